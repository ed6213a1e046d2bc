//! The packages for Debian and for distributions with rpm: one list of files, made into both by `dpkg-deb` and
//! `rpmbuild`. The viewer's package, for the machine that receives, is for Debian alone.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::architecture::Architecture;
use crate::at;
use crate::overlay::Programs;
use crate::release::{Date, VERSION, output, workspace};

/// Who answers for a package. A distributor puts in an address of its own.
const MAINTAINER: &str = "the earlykmsg authors <earlykmsg@example.org>";

/// What is said of a package. Lines of at most 79 characters: both formats take them as they are.
struct About {
    name: &'static str,
    summary: &'static str,
    description: &'static [&'static str],
    /// More fields of the Debian package.
    fields: &'static str,
    /// `DEBIAN/triggers`
    triggers: Option<&'static str>,
}

const PROGRAM: About = About {
    name: "earlykmsg",
    summary: "ships the kernel log of a boot from its first line on",
    description: &[
        "earlykmsg is part of the initramfs, reads from the kernel command line where",
        "to send, and ships every record of the kernel log as a JSON line over TCP or",
        "UDP, from the first line of the boot until the main system delivers it.",
        "Where the command line names no destination, nothing runs. After this package",
        "is removed, a machine boots as before, whatever its command line still says.",
    ],
    fields: "Recommends: initramfs-tools | linux-initramfs-tool\nSection: admin\n",
    // The initramfs is made anew when the package comes, changes or goes.
    triggers: Some("activate-noawait update-initramfs\n"),
};

const VIEWER: About = About {
    name: "earlykmsg-view",
    summary: "shows the kernel logs that earlykmsg ships",
    description: &[
        "earlykmsg-view runs on the machine that receives, behind netcat or on the",
        "file of a log receiver. It prints the kernel logs of many machines as dmesg",
        "does, in colours, without repetitions and with marks where records are lost",
        "or a machine boots again, and draws each boot as a time line.",
    ],
    fields: "Enhances: earlykmsg\nSection: utils\n",
    triggers: None,
};

/// The same with rpm. Where the system's image is not made on the machine (ostree), there is nothing to do, and no
/// failure here is one of the installation.
const RPM_REBUILD: &str = "\
if [ ! -e /run/ostree-booted ] && command -v dracut > /dev/null; then
    dracut --regenerate-all --force || :
fi
";

/// A file as it is installed.
struct Installed {
    path: &'static str,
    mode: u32,
    bytes: Vec<u8>,
    /// Part of the Debian package only: what others have no use for.
    debian_only: bool,
}

impl Installed {
    fn new(path: &'static str, mode: u32, bytes: impl Into<Vec<u8>>) -> Installed {
        Installed { path, mode, bytes: bytes.into(), debian_only: false }
    }

    fn for_debian(path: &'static str, mode: u32, bytes: impl Into<Vec<u8>>) -> Installed {
        Installed { debian_only: true, ..Installed::new(path, mode, bytes) }
    }
}

/// A package before it is packed.
pub(crate) struct Package {
    about: &'static About,
    architecture: Architecture,
    date: Date,
    files: Vec<Installed>,
}

impl Package {
    /// The package of the programs. The manual page and the list of changes are taken from the repository.
    pub(crate) fn new(programs: &Programs, bill: &[u8], date: &Date) -> io::Result<Package> {
        macro_rules! tree {
            ($path:literal) => {
                &include_bytes!(concat!("../package/tree", $path))[..]
            };
        }
        let files = vec![
            Installed::new("/usr/sbin/earlykmsg", 0o755, &programs.earlykmsg[..]),
            Installed::new("/usr/lib/earlykmsg/network", 0o755, &programs.network[..]),
            Installed::new("/usr/lib/earlykmsg/pstore", 0o755, &programs.pstore[..]),
            Installed::for_debian(
                "/usr/share/initramfs-tools/hooks/earlykmsg",
                0o755,
                tree!("/usr/share/initramfs-tools/hooks/earlykmsg"),
            ),
            Installed::for_debian(
                "/usr/share/initramfs-tools/scripts/init-top/earlykmsg",
                0o755,
                tree!("/usr/share/initramfs-tools/scripts/init-top/earlykmsg"),
            ),
            Installed::new(
                "/usr/lib/dracut/modules.d/01earlykmsg/module-setup.sh",
                0o755,
                tree!("/usr/lib/dracut/modules.d/01earlykmsg/module-setup.sh"),
            ),
            Installed::new(
                "/usr/lib/dracut/modules.d/01earlykmsg/earlykmsg.sh",
                0o755,
                tree!("/usr/lib/dracut/modules.d/01earlykmsg/earlykmsg.sh"),
            ),
            Installed::new(
                "/usr/share/man/man8/earlykmsg.8.gz",
                0o644,
                gzip(&from_repository("docs/earlykmsg.8")?)?,
            ),
            Installed::new(
                "/usr/share/doc/earlykmsg/CHANGELOG.md.gz",
                0o644,
                gzip(&from_repository("CHANGELOG.md")?)?,
            ),
            Installed::for_debian(
                "/usr/share/doc/earlykmsg/changelog.gz",
                0o644,
                gzip(changelog(&PROGRAM, date)?.as_bytes())?,
            ),
            Installed::new(
                "/usr/share/doc/earlykmsg/copyright",
                0o644,
                tree!("/usr/share/doc/earlykmsg/copyright"),
            ),
            Installed::new("/usr/share/doc/earlykmsg/earlykmsg.cdx.json", 0o644, bill),
            Installed::for_debian(
                "/usr/share/doc/earlykmsg/examples/grub.cfg",
                0o644,
                tree!("/usr/share/doc/earlykmsg/examples/grub.cfg"),
            ),
            Installed::for_debian(
                "/usr/share/lintian/overrides/earlykmsg",
                0o644,
                tree!("/usr/share/lintian/overrides/earlykmsg"),
            ),
        ];
        let architecture = Architecture::of(&programs.earlykmsg)?;
        Ok(Package { about: &PROGRAM, architecture, date: date.clone(), files })
    }

    /// The viewer's package.
    pub(crate) fn viewer(program: &[u8], bill: &[u8], date: &Date) -> io::Result<Package> {
        macro_rules! tree {
            ($path:literal) => {
                &include_bytes!(concat!("../package/view", $path))[..]
            };
        }
        let files = vec![
            Installed::new("/usr/bin/earlykmsg-view", 0o755, program),
            Installed::new(
                "/usr/share/man/man1/earlykmsg-view.1.gz",
                0o644,
                gzip(&from_repository("docs/earlykmsg-view.1")?)?,
            ),
            Installed::new(
                "/usr/share/doc/earlykmsg-view/CHANGELOG.md.gz",
                0o644,
                gzip(&from_repository("CHANGELOG.md")?)?,
            ),
            Installed::new(
                "/usr/share/doc/earlykmsg-view/changelog.gz",
                0o644,
                gzip(changelog(&VIEWER, date)?.as_bytes())?,
            ),
            Installed::new(
                "/usr/share/doc/earlykmsg-view/copyright",
                0o644,
                tree!("/usr/share/doc/earlykmsg-view/copyright"),
            ),
            Installed::new("/usr/share/doc/earlykmsg-view/earlykmsg-view.cdx.json", 0o644, bill),
            Installed::new(
                "/usr/share/lintian/overrides/earlykmsg-view",
                0o644,
                tree!("/usr/share/lintian/overrides/earlykmsg-view"),
            ),
        ];
        Ok(Package { about: &VIEWER, architecture: Architecture::of(program)?, date: date.clone(), files })
    }

    /// The Debian package: its name and its bytes. `work` is a folder to work in, which is not there yet.
    pub(crate) fn deb(&self, work: &Path) -> io::Result<(String, Vec<u8>)> {
        let Architecture { debian, .. } = self.architecture;
        let About { name: package, summary, description, fields, triggers } = self.about;
        let name = format!("{package}_{VERSION}_{debian}.deb");
        let root = work.join("root");
        let files: Vec<&Installed> = self.files.iter().collect();
        install(&root, &files)?;
        let control = root.join("DEBIAN");
        make_dir(&control)?;
        let kib: usize = files.iter().map(|file| file.bytes.len().div_ceil(1024)).sum();
        let description: String = description.iter().map(|line| format!(" {line}\n")).collect();
        let fields = format!(
            "Package: {package}\nVersion: {VERSION}\nArchitecture: {debian}\nMaintainer: {MAINTAINER}\n\
             Installed-Size: {kib}\n{fields}Priority: optional\nDescription: {summary}\n{description}"
        );
        let sums = output(
            Command::new("md5sum")
                .args(files.iter().map(|file| file.path.trim_start_matches('/')))
                .current_dir(&root),
        )?;
        write(&control.join("control"), 0o644, fields.as_bytes())?;
        if let Some(triggers) = triggers {
            write(&control.join("triggers"), 0o644, triggers.as_bytes())?;
        }
        write(&control.join("md5sums"), 0o644, &sums)?;
        let package = work.join(&name);
        output(
            Command::new("dpkg-deb")
                .args(["--root-owner-group", "-Zxz", "--build"])
                .arg(&root)
                .arg(&package)
                // With more, xz may cut its stream elsewhere.
                .env("DPKG_DEB_THREADS_MAX", "1")
                .env("SOURCE_DATE_EPOCH", self.date.seconds().to_string()),
        )?;
        Ok((name, fs::read(&package).map_err(at("unable to read", &package))?))
    }

    /// The package for rpm: its name and its bytes. `work` is a folder to work in, which is not there yet.
    pub(crate) fn rpm(&self, work: &Path) -> io::Result<(String, Vec<u8>)> {
        let Architecture { machine, .. } = self.architecture;
        let name = format!("earlykmsg-{VERSION}-1.{machine}.rpm");
        let (source, spec) = (work.join("source"), work.join("earlykmsg.spec"));
        let files: Vec<&Installed> = self.files.iter().filter(|file| !file.debian_only).collect();
        install(&source, &files)?;
        let list: String = files
            .iter()
            .map(|file| format!("%attr({:04o}, root, root) {}\n", file.mode, file.path))
            .collect();
        let About { name: package, summary, description, .. } = self.about;
        let description: String = description.iter().map(|line| format!("{line}\n")).collect();
        let text = format!(
            "Name: {package}\nVersion: {VERSION}\nRelease: 1\nSummary: {summary}\nLicense: MIT OR Apache-2.0\n\
             AutoReqProv: no\n\n%description\n{description}\n\
             %install\ncp -r %{{source}}/. %{{buildroot}}\n\n%files\n\
             %dir %attr(0755, root, root) /usr/lib/dracut/modules.d/01earlykmsg\n\
             %dir %attr(0755, root, root) /usr/lib/earlykmsg\n\
             %dir %attr(0755, root, root) /usr/share/doc/earlykmsg\n{list}\n\
             %posttrans\n{RPM_REBUILD}\n%postun\nif [ \"$1\" = 0 ]; then\n{RPM_REBUILD}fi\n"
        );
        write(&spec, 0o644, text.as_bytes())?;
        let define = |name: &str, value: &str| ["--define".to_owned(), format!("{name} {value}")];
        let path = |path: &Path| path.display().to_string();
        output(
            Command::new("rpmbuild")
                .args(["-bb", "--quiet", "--target", &format!("{machine}-linux")])
                .args(define("_topdir", &path(work)))
                .args(define("source", &path(&source)))
                .args(define("_rpmdir", &path(work)))
                .args(define("_rpmfilename", "package.rpm"))
                // Nothing of this machine, and the files as they are: not stripped, not packed again.
                .args(define("_buildhost", "reproducible"))
                .args(define("use_source_date_epoch_as_buildtime", "1"))
                .args(define("clamp_mtime_to_source_date_epoch", "1"))
                .args(define("source_date_epoch_from_changelog", "0"))
                .args(define("__os_install_post", "%{nil}"))
                .args(define("debug_package", "%{nil}"))
                .args(define("_build_id_links", "none"))
                // What every rpm of the last fifteen years unpacks.
                .args(define("_binary_payload", "w9.xzdio"))
                .arg(&spec)
                .env("LC_ALL", "C")
                .env("SOURCE_DATE_EPOCH", self.date.seconds().to_string()),
        )?;
        let package = work.join("package.rpm");
        Ok((name, fs::read(&package).map_err(at("unable to read", &package))?))
    }
}

/// A file of the repository.
fn from_repository(name: &str) -> io::Result<Vec<u8>> {
    let path = workspace().join(name);
    fs::read(&path).map_err(at("unable to read", &path))
}

/// The changelog that Debian asks for.
fn changelog(about: &About, date: &Date) -> io::Result<String> {
    Ok(format!(
        "{} ({VERSION}) unstable; urgency=medium\n\n  * What changed is in CHANGELOG.md beside this file.\n\n \
         -- {MAINTAINER}  {}\n",
        about.name,
        date.rfc2822()?
    ))
}

/// Lays files out below a folder, with all folders above them, whatever the umask is.
fn install(root: &Path, files: &[&Installed]) -> io::Result<()> {
    make_dir(root)?;
    for file in files {
        let relative = Path::new(file.path.trim_start_matches('/'));
        let mut parents: Vec<&Path> = relative.ancestors().skip(1).collect();
        parents.pop(); // the root itself
        for parent in parents.into_iter().rev() {
            make_dir(&root.join(parent))?;
        }
        write(&root.join(relative), file.mode, &file.bytes)?;
    }
    Ok(())
}

fn make_dir(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path).map_err(at("unable to make the folder", path))?;
    set_mode(path, 0o755)
}

fn write(path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    fs::write(path, bytes).map_err(at("unable to write", path))?;
    set_mode(path, mode)
}

fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(at("unable to set the mode of", path))
}

/// As Debian wants it: without a name and without a time.
pub(crate) fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// A folder for work, gone with this value.
pub(crate) struct Workshop(pub(crate) PathBuf);

impl Workshop {
    pub(crate) fn new(path: PathBuf) -> io::Result<Workshop> {
        let _ = fs::remove_dir_all(&path); // of a run that was broken off
        make_dir(&path)?;
        Ok(Workshop(path))
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
