//! A boot in namespaces: the program as PID 1 of a world that a test prepared, with the faults it asked for.
//!
//! Two processes make it. The outer one, `stage`, makes the process namespace and stays outside; its child is
//! PID 1 there: it makes the folder of the image its root, sets limits and descriptors, and becomes the
//! program by exec. A namespace has the machine's own kernel command line and a kernel that
//! refuses nothing; where a test wants others, the outer process traces PID 1 and answers system calls in the
//! kernel's place until the next init runs, which is never traced.

use core::time::Duration;
use std::collections::BTreeMap;
use std::ffi::{CString, OsStr};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::ptrace;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use rustix::thread::CapabilitySet;
use serde::{Deserialize, Serialize};

use crate::events::Events;
use crate::{binary, proc};

/// A boot: what PID 1 finds.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub struct Boot {
    /// The folder that becomes `/`.
    pub root: PathBuf,
    /// What PID 1 becomes.
    pub program: String,
    /// Its arguments, the first one included.
    pub arguments: Vec<String>,
    /// Its environment.
    pub environment: Vec<String>,
    /// Where `/proc` is mounted before it starts.
    pub proc_at: Option<String>,
    /// Where the machine's `/dev/kmsg` is bound before it starts.
    pub kmsg_at: Option<String>,
    /// What `/proc/cmdline` seems to hold; the machine's own if none.
    pub cmdline: Option<Vec<u8>>,
    /// System calls of PID 1 that fail.
    pub refused: Vec<Refusal>,
    /// The one that fails by its place among all that PID 1 makes, counted from 0, and how.
    pub refused_at: Option<(usize, i32)>,
    /// Whether PID 1's system calls are printed, by number, a line each.
    pub listed: bool,
    /// What happens to each child of PID 1 as soon as it is there.
    pub child: Fate,
    /// Whether PID 1 lacks the right to mount, as in a container. What `cmdline` holds is then bound over the
    /// `/proc/cmdline` of `proc_at`.
    pub no_mounts: bool,
    /// The most address space PID 1 may have.
    pub memory_bytes: Option<u64>,
    /// Whether descriptors 0, 1 and 2 are closed.
    pub no_stdio: bool,
    /// Whether a signal is ignored and another blocked, a limit lowered, a descriptor inherited and the working
    /// directory another, so that what PID 1 passes on differs from what everyone has.
    pub peculiar: bool,
    /// How `strace` makes system calls of the program's processes fail, or late: its arguments `-e`.
    pub faults: Vec<String>,
    /// Whether the time, in nanoseconds since 1970, is printed just before PID 1 becomes the program.
    pub timed: bool,
}

/// A system call that fails.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Refusal {
    /// Its name.
    pub call: String,
    /// Only with a text argument that holds this.
    pub with: Option<String>,
    /// How.
    pub errno: i32,
}

/// What happens to a child of PID 1.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub enum Fate {
    /// It lives.
    #[default]
    Lives,
    /// It is killed.
    Killed,
    /// It is stopped for ever.
    Stopped,
}

impl Boot {
    /// The program as `/earlykmsg` of an image, as the kernel starts it.
    pub fn of(root: &Path) -> Boot {
        Boot {
            root: root.to_path_buf(),
            program: "/earlykmsg".to_owned(),
            arguments: vec!["/earlykmsg".to_owned()],
            environment: vec!["HOME=/".to_owned(), "TERM=linux".to_owned()],
            ..Boot::default()
        }
    }

    /// With these words on the kernel's command line.
    #[must_use]
    pub fn cmdline(mut self, words: impl AsRef<[u8]>) -> Boot {
        self.cmdline = Some(words.as_ref().to_vec());
        self
    }

    /// With a system call that fails.
    #[must_use]
    pub fn refuse(mut self, call: &str, errno: Errno) -> Boot {
        self.refused.push(Refusal { call: call.to_owned(), with: None, errno: errno as i32 });
        self
    }

    /// With a system call that fails when a text argument of it holds `with`.
    #[must_use]
    pub fn refuse_with(mut self, call: &str, with: &str, errno: Errno) -> Boot {
        self.refused.push(Refusal {
            call: call.to_owned(),
            with: Some(with.to_owned()),
            errno: errno as i32,
        });
        self
    }

    /// With all its system calls on the console.
    #[must_use]
    pub fn list(self) -> Boot {
        Boot { listed: true, ..self }
    }

    /// The calls that [`Boot::list`] printed on a console.
    pub fn listed(console: &[String]) -> Vec<i64> {
        console.iter().filter_map(|line| line.strip_prefix(LISTED)?.parse().ok()).collect()
    }

    /// With one system call that fails, by its place.
    #[must_use]
    pub fn refuse_at(self, place: usize, errno: Errno) -> Boot {
        Boot { refused_at: Some((place, errno as i32)), ..self }
    }

    /// Starts it, when no other boot is at work: the program ships a kernel log once, and all boots in namespaces have
    /// the machine's.
    pub fn start(&self) -> Machine {
        let boots_alone =
            File::create(std::env::temp_dir().join("earlykmsg-tests-pid1.lock")).expect("make a lock file");
        boots_alone.lock().expect("lock a file");
        let mut child = self.command().spawn().expect("start the stage");
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else { unreachable!("all three are piped") };
        let mut machine = Machine::new(child, stdin, stdout, stderr, boots_alone);
        machine.is_straced = !self.faults.is_empty();
        machine
    }

    /// The command that makes this boot: [`enter_if_asked`] of the `stage`.
    pub fn command(&self) -> Command {
        let stage = stage();
        let mut command =
            Command::new(if self.faults.is_empty() { stage.as_path() } else { Path::new("strace") });
        if !self.faults.is_empty() {
            command.args(["-f", "-qq", "-o", "/dev/null"]);
            command.args(self.faults.iter().flat_map(|fault| ["-e", fault])).arg(&stage);
        }
        command.arg(OUTER).arg(serde_json::to_string(self).expect("a boot is data"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// The tests' `stage`, or this program itself where that is an example.
pub(crate) fn stage() -> PathBuf {
    let this = std::env::current_exe().expect("the path of this program");
    let stage = this.parent().and_then(Path::parent).map(|target| target.join("pid1_sandbox"));
    let examples = this.parent().is_some_and(|folder| folder.ends_with("examples"));
    if examples { this } else { stage.expect("a target folder") }
}

/// A folder that holds an image: the program and busybox, and `init` as the next init, which leaves [`ran`].
pub fn image(folder: &Path, init: &str) -> PathBuf {
    let root = folder.join("image");
    for path in ["bin", "sbin", "etc", "tmp"] {
        fs::create_dir_all(root.join(path)).expect("make a folder");
    }
    fs::copy(binary::earlykmsg(), root.join("earlykmsg")).expect("copy the program");
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists());
    fs::copy(busybox.expect("busybox-static is installed"), root.join("bin/busybox")).expect("copy busybox");
    script(&root, "init", init);
    root
}

/// Puts the program that brings a network up into an image.
pub fn add_network(root: &Path) {
    fs::create_dir(root.join("earlykmsg.d")).expect("make a folder");
    fs::copy(binary::earlykmsg_network(), root.join("earlykmsg.d/network")).expect("copy the program");
}

/// Whoever loads a driver of this image waits for ever: the list of modules is a pipe that nobody writes to. Returns its path.
pub fn hang_drivers(root: &Path) -> PathBuf {
    let release = nix::sys::utsname::uname().expect("ask for the kernel's release");
    let folder = root.join("lib/modules").join(release.release());
    fs::create_dir_all(&folder).expect("make a folder");
    let list = folder.join("modules.dep");
    nix::unistd::mkfifo(&list, nix::sys::stat::Mode::S_IRUSR).expect("make a pipe");
    list
}

/// Puts the program that reads pstore into an image.
pub fn add_pstore(root: &Path) {
    fs::create_dir(root.join("earlykmsg.d")).expect("make a folder");
    fs::copy(binary::earlykmsg_pstore(), root.join("earlykmsg.d/pstore")).expect("copy the program");
}

/// Puts a shell script that can be run into an image; it leaves its path and arguments in `/ran` first.
pub fn script(root: &Path, path: &str, body: &str) {
    let text = format!("#!/bin/busybox sh\necho \"$0\" \"$@\" >> /ran\n{body}\n");
    let path = root.join(path);
    fs::write(&path, text).expect("write a script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("make it executable");
}

/// What the scripts of an image left: a line for each that ran.
pub fn ran(root: &Path) -> String {
    fs::read_to_string(root.join("ran")).unwrap_or_default()
}

/// A boot that runs. Everything in it ends when this value is dropped.
#[derive(Debug)]
pub struct Machine {
    stage: Pid,
    /// Whether that is `strace`, whose child is the stage.
    is_straced: bool,
    /// What was printed, by line, stderr among it.
    pub console: Arc<Events<String>>,
    ended: Arc<Events<ExitStatus>>,
    stdin: Option<ChildStdin>,
    waiter: Option<JoinHandle<()>>,
    /// Held until all of it has ended.
    _boots_alone: File,
}

impl Machine {
    fn new(
        mut child: Child,
        stdin: ChildStdin,
        stdout: ChildStdout,
        stderr: ChildStderr,
        boots_alone: File,
    ) -> Machine {
        let stage = Pid::from_raw(child.id().cast_signed());
        let (console, ended) = (Arc::new(Events::default()), Arc::new(Events::default()));
        let out = printer(stdout, &console);
        let err = printer(stderr, &console);
        let waiter = thread::spawn({
            let ended = Arc::clone(&ended);
            move || {
                let status = child.wait().expect("wait for the stage");
                let _ = (out.join(), err.join());
                ended.push(status);
            }
        });
        Machine {
            stage,
            is_straced: false,
            console,
            ended,
            stdin: Some(stdin),
            waiter: Some(waiter),
            _boots_alone: boots_alone,
        }
    }

    /// PID 1, as the machine knows it.
    pub fn init(&self) -> Option<Pid> {
        let child = |pid| proc::children(pid).first().copied();
        let stage = if self.is_straced { child(self.stage)? } else { self.stage };
        child(stage)
    }

    /// Gives a line to PID 1's stdin.
    pub fn type_line(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("stdin is open");
        stdin.write_all(format!("{line}\n").as_bytes()).expect("write to PID 1");
    }

    /// Closes PID 1's stdin and waits for its end: its exit code, 128 and the signal's number if one ended it.
    #[track_caller]
    pub fn finish(self, within: Duration) -> Option<i32> {
        let console = Arc::clone(&self.console);
        let end = self.ends(within);
        end.unwrap_or_else(|| panic!("PID 1 still runs after {within:?}; console: {:#?}", *console.items()))
    }

    /// As [`Machine::finish`]; none when it still runs.
    pub fn ends(mut self, within: Duration) -> Option<Option<i32>> {
        self.stdin = None;
        let status = self.ended.try_wait(within, |ended| ended.first().copied());
        status.map(|status| status.code())
    }
}

fn printer(mut from: impl Read + Send + 'static, console: &Arc<Events<String>>) -> JoinHandle<()> {
    let console = Arc::clone(console);
    thread::spawn(move || {
        let (mut buffer, mut partial) = ([0; 4096], Vec::new());
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            for piece in buffer[..length].split_inclusive(|&b| b == b'\n') {
                partial.extend_from_slice(piece);
                if partial.pop_if(|last| *last == b'\n').is_some() {
                    console.push(String::from_utf8_lossy(&core::mem::take(&mut partial)).into_owned());
                }
            }
        }
    })
}

impl Drop for Machine {
    fn drop(&mut self) {
        if self.ended.is_empty() {
            // With PID 1 everything in its namespace ends, and only when that is done does the stage see its end.
            let _ = kill(self.init().unwrap_or(self.stage), Signal::SIGKILL);
        }
        if let Some(waiter) = self.waiter.take() {
            let _ = waiter.join();
        }
    }
}

const OUTER: &str = "--make-this-boot";
const INNER: &str = "--be-its-pid-1";
/// What stands before the number of a system call.
const LISTED: &str = "system call ";

/// What a stage's exit code is when it failed itself.
pub const STAGE_FAILED: i32 = 99;

/// Makes the boot that the arguments ask for, and ends; returns when they ask for none.
pub fn enter_if_asked() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, role, boot] = arguments.as_slice() else { return };
    if role != OUTER && role != INNER {
        return;
    }
    let boot: Boot = serde_json::from_str(boot).expect("a boot");
    let code = if role == OUTER { outer(&boot) } else { inner(&boot) };
    std::process::exit(code.unwrap_or_else(|why| {
        eprintln!("stage: {why}");
        STAGE_FAILED
    }));
}

/// Starts PID 1, waits for its end and ends as it did.
fn outer(boot: &Boot) -> nix::Result<i32> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    unshare(CloneFlags::CLONE_NEWPID)?;
    let this = std::env::current_exe().expect("the path of this program");
    let mut command = Command::new(if boot.peculiar { OsStr::new("env") } else { this.as_os_str() });
    if boot.peculiar {
        command.args(["--ignore-signal=USR1", "--block-signal=USR2"]).arg(&this);
    }
    let child = command.arg(INNER).arg(serde_json::to_string(boot).expect("a boot is data")).spawn();
    let init = Pid::from_raw(child.expect("start PID 1").id().cast_signed());
    let mut tracer = Tracer { boot, init, call: None, calls: 0, cmdline: BTreeMap::new(), done: false };
    loop {
        match waitpid(init, Some(WaitPidFlag::__WALL))? {
            WaitStatus::Exited(_, code) => return Ok(code),
            WaitStatus::Signaled(_, signal, _) => return Ok(128 + signal as i32),
            stopped => tracer.go_on(stopped)?,
        }
    }
}

/// As PID 1: prepares the world and becomes the program.
fn inner(boot: &Boot) -> nix::Result<i32> {
    let none = None::<&str>;
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    // Whoever started the tests may have left descriptors open.
    let open = fs::read_dir("/proc/self/fd").expect("the open descriptors").flatten();
    let open: Vec<i32> = open.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    open.into_iter().filter(|&fd| fd > 2).for_each(|fd| _ = nix::unistd::close(fd));
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    mount(Some(&boot.root), &boot.root, none, MsFlags::MS_BIND, none)?;
    let place = |path: &str| boot.root.join(path.trim_start_matches('/'));
    if let Some(path) = &boot.proc_at {
        fs::create_dir_all(place(path)).expect("make a folder");
        mount(Some("proc"), &place(path), Some("proc"), MsFlags::empty(), none)?;
        if let (true, Some(words)) = (boot.no_mounts, &boot.cmdline) {
            let file = place("/tmp/cmdline");
            fs::write(&file, words).expect("write a command line");
            mount(Some(&file), &place(path).join("cmdline"), none, MsFlags::MS_BIND, none)?;
        }
    }
    if let Some(path) = &boot.kmsg_at {
        fs::create_dir_all(place(path).parent().expect("a folder")).expect("make a folder");
        fs::write(place(path), "").expect("make a place for kmsg");
        mount(Some("/dev/kmsg"), &place(path), none, MsFlags::MS_BIND, none)?;
    }
    nix::unistd::chdir(&boot.root)?;
    nix::unistd::pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    nix::unistd::chdir("/")?;

    if boot.peculiar {
        setrlimit(Resource::RLIMIT_NOFILE, 500, 600)?;
        setrlimit(Resource::RLIMIT_CORE, 4096, 8192)?;
        nix::unistd::chdir("/tmp")?;
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o031));
        let file = File::open("/etc").expect("open a folder");
        fcntl(&file, FcntlArg::F_DUPFD(7))?;
    }
    if boot.no_mounts {
        rustix::thread::remove_capability_from_bounding_set(CapabilitySet::SYS_ADMIN)
            .map_err(|errno| Errno::from_raw(errno.raw_os_error()))?;
    }
    if let Some(bytes) = boot.memory_bytes {
        setrlimit(Resource::RLIMIT_AS, bytes, bytes)?;
    }
    let text = |text: &String| CString::new(text.as_bytes()).expect("no NUL");
    let arguments: Vec<CString> = boot.arguments.iter().map(text).collect();
    let environment: Vec<CString> = boot.environment.iter().map(text).collect();
    let program = text(&boot.program);
    if boot.timed {
        println!("{}", std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos()));
    }
    // After this nothing may be printed any more.
    if boot.no_stdio {
        (0..3).try_for_each(nix::unistd::close)?;
    }
    if boot.is_traced() {
        ptrace::traceme()?;
    }
    nix::unistd::execve(&program, &arguments, &environment)?;
    unreachable!("exec returns only with an error")
}

impl Boot {
    fn is_traced(&self) -> bool {
        self.cmdline.is_some() && !self.no_mounts || self.is_troubled()
    }

    /// Whether anything is to be done but to give the command line.
    fn is_troubled(&self) -> bool {
        !self.refused.is_empty() || self.refused_at.is_some() || self.listed || self.child != Fate::Lives
    }
}

/// Stands between PID 1 and the kernel, until the next init runs.
struct Tracer<'a> {
    boot: &'a Boot,
    init: Pid,
    /// The system call that PID 1 is in.
    call: Option<Call>,
    /// How many it has begun.
    calls: usize,
    /// Descriptors of the command line, and how much of it each has given.
    cmdline: BTreeMap<u64, usize>,
    /// Whether all is done that the boot asks for.
    done: bool,
}

/// A system call that has begun.
#[derive(Clone, Copy)]
struct Call {
    number: u64,
    arguments: [u64; 4],
    refused: Option<i32>,
}

#[cfg(target_arch = "x86_64")]
impl Tracer<'_> {
    /// Lets PID 1 go on to its next system call, or out of hand.
    fn go_on(&mut self, stopped: WaitStatus) -> nix::Result<()> {
        let signal = match stopped {
            WaitStatus::PtraceEvent(_, _, libc::PTRACE_EVENT_EXEC) => {
                let file = fs::read_link(format!("/proc/{}/exe", self.init)).unwrap_or_default();
                if !file.ends_with(self.boot.program.trim_start_matches('/')) {
                    return ptrace::detach(self.init, None);
                }
                None
            }
            WaitStatus::PtraceSyscall(_) => {
                match self.call.take() {
                    None => self.call = Some(self.begins()?),
                    Some(call) => self.ends(call)?,
                }
                if self.done {
                    return ptrace::detach(self.init, None);
                }
                None
            }
            WaitStatus::Stopped(_, Signal::SIGTRAP) => {
                use ptrace::Options;
                let options = Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACEEXEC;
                ptrace::setoptions(self.init, options | Options::PTRACE_O_EXITKILL)?;
                None
            }
            WaitStatus::Stopped(_, signal) => Some(signal),
            _ => None,
        };
        ptrace::syscall(self.init, signal)
    }

    fn begins(&mut self) -> nix::Result<Call> {
        let mut registers = ptrace::getregs(self.init)?;
        let arguments = [registers.rdi, registers.rsi, registers.rdx, registers.r10];
        let number = registers.orig_rax;
        let texts = || arguments[..3].iter().filter_map(|&address| self.text(address));
        let hit = self.boot.refused.iter().find(|refusal| {
            let holds = |with: &String| texts().any(|text| text.contains(with.as_str()));
            numbers(&refusal.call).contains(&number.cast_signed()) && refusal.with.as_ref().is_none_or(holds)
        });
        let here = self.boot.refused_at.filter(|&(place, _)| place == self.calls);
        let refused = hit.map(|refusal| refusal.errno).or(here.map(|(_, errno)| errno));
        self.calls += 1;
        if self.boot.listed {
            eprintln!("{LISTED}{number}");
        }
        if refused.is_some() {
            registers.orig_rax = u64::MAX; // no such call: the kernel does nothing
            ptrace::setregs(self.init, registers)?;
        }
        Ok(Call { number, arguments, refused })
    }

    fn ends(&mut self, call: Call) -> nix::Result<()> {
        let mut registers = ptrace::getregs(self.init)?;
        let result = registers.rax.cast_signed();
        if let Some(errno) = call.refused {
            registers.rax = i64::from(-errno).cast_unsigned();
            return ptrace::setregs(self.init, registers);
        }
        let [first, second, third, fourth] = call.arguments;
        match call.number.cast_signed() {
            libc::SYS_open | libc::SYS_openat | libc::SYS_openat2 if result >= 0 => {
                let path = if call.number.cast_signed() == libc::SYS_open { first } else { second };
                self.cmdline.remove(&result.cast_unsigned());
                if self.text(path).is_some_and(|path| path.ends_with("cmdline")) {
                    self.cmdline.insert(result.cast_unsigned(), 0);
                }
            }
            libc::SYS_close => _ = self.cmdline.remove(&first),
            number @ (libc::SYS_read | libc::SYS_pread64) if result >= 0 => {
                if let (Some(words), Some(done)) = (&self.boot.cmdline, self.cmdline.get_mut(&first)) {
                    let from = if number == libc::SYS_read { *done } else { fourth as usize };
                    let rest = &words[from.min(words.len())..];
                    let given = &rest[..rest.len().min(third as usize)];
                    let memory = File::options().write(true).open(format!("/proc/{}/mem", self.init));
                    memory
                        .and_then(|memory| memory.write_all_at(given, second))
                        .map_err(|_| Errno::EFAULT)?;
                    *done += given.len();
                    self.done = given.is_empty() && !self.boot.is_troubled();
                    registers.rax = given.len() as u64;
                    ptrace::setregs(self.init, registers)?;
                }
            }
            number if numbers("clone").contains(&number) && result > 0 => {
                let signal = match self.boot.child {
                    Fate::Lives => return Ok(()),
                    Fate::Killed => Signal::SIGKILL,
                    Fate::Stopped => Signal::SIGSTOP,
                };
                for child in proc::children(self.init) {
                    kill(child, signal)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The text at an address of PID 1.
    fn text(&self, address: u64) -> Option<String> {
        let mut buffer = [0; 256];
        let length =
            File::open(format!("/proc/{}/mem", self.init)).ok()?.read_at(&mut buffer, address).ok()?;
        let end = buffer[..length].iter().position(|&b| b == 0)?;
        Some(String::from_utf8_lossy(&buffer[..end]).into_owned())
    }
}

/// The system calls that a name stands for.
#[cfg(target_arch = "x86_64")]
fn numbers(name: &str) -> &'static [i64] {
    match name {
        "clone" => &[libc::SYS_clone, libc::SYS_clone3, libc::SYS_fork, libc::SYS_vfork],
        "fsopen" => &[libc::SYS_fsopen],
        "fsmount" => &[libc::SYS_fsmount],
        "mount" => &[libc::SYS_mount],
        "open" => &[libc::SYS_open, libc::SYS_openat, libc::SYS_openat2],
        "mmap" => &[libc::SYS_mmap, libc::SYS_brk, libc::SYS_mremap],
        "exec" => &[libc::SYS_execve, libc::SYS_execveat],
        "fcntl" => &[libc::SYS_fcntl],
        "close_range" => &[libc::SYS_close_range],
        _ => panic!("which system call is {name}?"),
    }
}

/// Whether the kernel cannot refuse a system call that is asked for rightly. Of those that [`Boot::listed`] gives
/// these are the C library's first, and the question for the own process id.
#[cfg(target_arch = "x86_64")]
pub fn cannot_fail(number: i64) -> bool {
    [libc::SYS_arch_prctl, libc::SYS_getpid].contains(&number)
}

/// As above.
#[cfg(not(target_arch = "x86_64"))]
pub fn cannot_fail(number: i64) -> bool {
    number == libc::SYS_getpid
}

#[cfg(not(target_arch = "x86_64"))]
impl Tracer<'_> {
    /// Other machines have other registers; nobody has written that yet.
    fn go_on(&mut self, _: WaitStatus) -> nix::Result<()> {
        Err(Errno::ENOSYS)
    }
}
