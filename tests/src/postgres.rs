//! PostgreSQL, as Debian installs it, with a cluster of the test's own.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User};

use crate::binary::workspace;
use crate::foreign::until;
use crate::sandbox::Sandbox;

/// Where a sandbox sees the cluster, whatever the way to `target/`: PostgreSQL refuses to run as root, and another user
/// may have no way there. The socket is there too.
const HOME: &str = "/var/lib/postgresql";

/// A server at 127.0.0.1:5432 and at a socket. It ends with this value, and its files with it.
#[derive(Debug)]
pub struct Postgres {
    programs: PathBuf,
    server: Option<Child>,
    _files: tempfile::TempDir,
}

impl Postgres {
    /// Makes a cluster in this sandbox and starts it.
    #[track_caller]
    pub fn start(sandbox: &Sandbox) -> Postgres {
        let files = tempfile::tempdir_in(workspace().join("target")).expect("make a folder");
        let user = User::from_name("postgres").expect("read the users").expect("Debian's package makes it");
        chown(files.path(), Some(user.uid.as_raw()), Some(user.gid.as_raw())).expect("give a folder away");
        sandbox.bind(files.path(), HOME);
        let mut postgres = Postgres { programs: newest(), server: None, _files: files };
        let initdb = postgres
            .command("initdb")
            .args(["--pgdata", &format!("{HOME}/data"), "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"])
            .args(["--auth-local=trust", "--auth-host=scram-sha-256"])
            .output()
            .expect("start initdb");
        assert!(initdb.status.success(), "initdb: {}", String::from_utf8_lossy(&initdb.stderr));
        postgres.resume();
        postgres
    }

    /// Starts it again after [`Postgres::stop`].
    pub fn resume(&mut self) {
        let log = fs::File::options().create(true).append(true).open(format!("{HOME}/log"));
        let server = self
            .command("postgres")
            .args(["-D", &format!("{HOME}/data"), "-k", HOME, "-c", "fsync=off"])
            .stderr(log.expect("make a file"))
            .spawn()
            .expect("start postgres");
        self.server = Some(server);
        until("postgres", || {
            let mut ready = Command::new("psql");
            ready.args(["-h", HOME, "-U", "postgres", "-c", "select 1"]);
            ready.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("start psql").success()
        });
    }

    /// Ends it at once. Its data stays.
    pub fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = kill(Pid::from_raw(server.id().cast_signed()), Signal::SIGQUIT);
            let _ = server.wait();
        }
    }

    /// Makes a database.
    #[track_caller]
    pub fn create_database(&self, name: &str) {
        self.psql("postgres", &[], &format!("create database {name}"));
    }

    /// What a statement returns: columns separated by `|`, without their names.
    #[track_caller]
    pub fn query(&self, database: &str, sql: &str) -> String {
        self.psql(database, &["--no-align", "--tuples-only"], sql).trim_end().to_owned()
    }

    /// What psql prints of statements, which must succeed.
    #[track_caller]
    pub fn psql(&self, database: &str, options: &[&str], sql: &str) -> String {
        let output = Command::new("psql")
            .args(["--no-psqlrc", "--quiet", "-v", "ON_ERROR_STOP=1", "-h", HOME, "-U", "postgres"])
            .args(options)
            .args(["-d", database, "-c", sql])
            .env("PGCLIENTENCODING", "UTF8")
            .stdin(Stdio::null())
            .output()
            .expect("start psql");
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// A program of the package, as the user that it is for.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--pdeathsig=KILL", "--"]);
        command.arg(self.programs.join(program)).current_dir("/").stdin(Stdio::null()).stdout(Stdio::null());
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The programs of the newest version that is installed.
fn newest() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").expect("postgresql is installed");
    let number = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let versions = versions.map(|version| version.expect("read a folder").path());
    versions.max_by_key(|path| number(path)).expect("a version").join("bin")
}
