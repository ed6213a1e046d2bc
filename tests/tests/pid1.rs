//! PID 1 of a namespace: whatever fails, the next init runs, in the world that it would have found without us.

use core::time::Duration;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use earlykmsg_tests::kmsg::{Writer, ring, tag};
use earlykmsg_tests::pid1_sandbox::{Boot, Fate, image, ran, script};
use earlykmsg_tests::receiver::{Tcp, TcpBehaviour};
use earlykmsg_tests::sandbox::{Sandbox, alone};
use earlykmsg_tests::{binary, json, proc};
use nix::errno::Errno;

const WITHIN: Duration = Duration::from_secs(10);

/// A command line that makes the program do all that it can.
const SHIP: &str =
    "quiet talos.logging.kernel=tcp://127.0.0.1:9/ talos.logging.kernel=udp://127.0.0.1:9/ -- x";

/// A fault, and the next init that runs all the same.
struct Fault {
    what: &'static str,
    image: fn(&Path),
    boot: fn(Boot) -> Boot,
    /// The path that runs, and its exit code.
    runs: (&'static str, i32),
}

const INIT: (&str, i32) = ("/init", 42);

/// The kernel's side: what it refuses, what the command line holds.
const KERNEL: &[Fault] = &[
    fault("nothing", |boot| boot.cmdline(SHIP)),
    fault("the machine's own command line", |boot| boot),
    fault("no /proc and none to be had", |boot| {
        boot.cmdline(SHIP).refuse("fsopen", Errno::EPERM).refuse("mount", Errno::EPERM)
    }),
    fault("no fsopen, no mount of proc", |boot| {
        boot.cmdline(SHIP).refuse("fsopen", Errno::ENOSYS).refuse_with("mount", "proc", Errno::ENODEV)
    }),
    fault("an old kernel", |boot| boot.cmdline(SHIP).refuse("fsopen", Errno::ENOSYS)),
    fault("an old kernel, /proc mounted", |boot| Boot {
        proc_at: Some("/proc".into()),
        ..boot.cmdline(SHIP).refuse("fsopen", Errno::ENOSYS)
    }),
    fault("an old kernel, /proc mounted, busy", |boot| Boot {
        proc_at: Some("/proc".into()),
        ..boot.cmdline(SHIP).refuse("fsopen", Errno::ENOSYS).refuse("mount", Errno::EBUSY)
    }),
    fault("no right to mount", |boot| Boot { no_mounts: true, ..boot.cmdline(SHIP) }),
    fault("no right to mount, /proc mounted", |boot| Boot {
        proc_at: Some("/proc".into()),
        no_mounts: true,
        ..boot.cmdline(SHIP)
    }),
    fault("/proc mounted", |boot| Boot { proc_at: Some("/proc".into()), ..boot.cmdline(SHIP) }),
    fault("/proc and /dev/kmsg there", |boot| Boot {
        proc_at: Some("/proc".into()),
        kmsg_at: Some("/dev/kmsg".into()),
        ..boot.cmdline(SHIP)
    }),
    fault("fsopen without fsmount", |boot| boot.cmdline(SHIP).refuse("fsmount", Errno::ENOMEM)),
    fault("no detached devtmpfs", |boot| boot.cmdline(SHIP).refuse_with("fsopen", "devtmpfs", Errno::ENODEV)),
    fault("no devtmpfs at all", |boot| {
        boot.cmdline(SHIP).refuse_with("fsopen", "devtmpfs", Errno::ENODEV).refuse_with(
            "mount",
            "devtmpfs",
            Errno::ENODEV,
        )
    }),
    fault("no kmsg", |boot| boot.cmdline(SHIP).refuse_with("open", "kmsg", Errno::ENOENT)),
    fault("no cmdline", |boot| boot.cmdline(SHIP).refuse_with("open", "cmdline", Errno::ENOENT)),
    fault("nothing can be opened", |boot| boot.cmdline(SHIP).refuse("open", Errno::ENFILE)),
    fault("command line empty", |boot| boot.cmdline("")),
    fault("command line a newline", |boot| boot.cmdline("\n")),
    fault("command line of 4,096 bytes", |boot| boot.cmdline([b'x'; 4096])),
    fault("command line that ends in a cut word", |boot| {
        let mut words = format!("{SHIP} {}", "x".repeat(8192 - SHIP.len() - 30)).into_bytes();
        words.extend(b" earlykmsg.init=/bin/busybox-that-was-cut");
        boot.cmdline(words)
    }),
    fault("command line of 16 KiB", |boot| boot.cmdline(vec![b' '; 1 << 14])),
    fault("command line of anything", |boot| {
        boot.cmdline((0..4096u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect::<Vec<_>>())
    }),
    fault("anything behind a destination", |boot| {
        let mut bytes = b"talos.logging.kernel=udp://127.0.0.1:9 earlykmsg.init=".to_vec();
        bytes.extend((0..4000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8));
        boot.cmdline(bytes)
    }),
    fault("no destination", |boot| boot.cmdline("quiet root=/dev/vda talos.logging.kernel=")),
    fault("50 destinations", |boot| {
        let words: Vec<_> = (1..=50).map(|n| format!("talos.logging.kernel=udp://127.0.0.{n}:9")).collect();
        boot.cmdline(words.join(" "))
    }),
    fault("only broken destinations", |boot| {
        boot.cmdline("talos.logging.kernel=http://x/ talos.logging.kernel=tcp://[::1 talos.logging.kernel=:")
    }),
    fault("no child: EAGAIN", |boot| boot.cmdline(SHIP).refuse("clone", Errno::EAGAIN)),
    fault("no child: ENOMEM", |boot| boot.cmdline(SHIP).refuse("clone", Errno::ENOMEM)),
    fault("no memory", |boot| boot.cmdline(SHIP).refuse("mmap", Errno::ENOMEM)),
    fault("little memory", |boot| Boot { memory_bytes: Some(3 << 20), ..boot.cmdline(SHIP) }),
    fault("no close_range", |boot| boot.cmdline(SHIP).refuse("close_range", Errno::ENOSYS)),
    fault("no fcntl", |boot| boot.cmdline(SHIP).refuse("fcntl", Errno::EMFILE)),
    fault("the child killed at once", |boot| Boot { child: Fate::Killed, ..boot.cmdline(SHIP) }),
    fault("the child stopped for ever", |boot| Boot { child: Fate::Stopped, ..boot.cmdline(SHIP) }),
    fault("descriptors 0 to 2 closed", |boot| Boot { no_stdio: true, ..boot.cmdline(SHIP) }),
    fault("descriptors closed, an old kernel", |boot| Boot {
        no_stdio: true,
        ..boot.cmdline(SHIP).refuse("fsopen", Errno::ENOSYS)
    }),
    fault("descriptors closed, no child", |boot| Boot {
        no_stdio: true,
        ..boot.cmdline(SHIP).refuse("clone", Errno::EAGAIN)
    }),
    fault("no arguments at all", |boot| Boot { arguments: Vec::new(), ..boot.cmdline(SHIP) }),
    fault("no environment", |boot| Boot { environment: Vec::new(), ..boot.cmdline(SHIP) }),
];

/// The image's side: what the next init is.
const IMAGE: &[Fault] = &[
    next("/init gone: /sbin/init", |root| rename(root, "sbin/init"), |boot| boot, ("/sbin/init", 42)),
    next("/init gone: /etc/init", |root| rename(root, "etc/init"), |boot| boot, ("/etc/init", 42)),
    next("/init gone: /bin/init", |root| rename(root, "bin/init"), |boot| boot, ("/bin/init", 42)),
    next("/init gone: /bin/sh", |root| rename(root, "bin/sh"), |boot| boot, ("/bin/sh", 42)),
    next("/init not executable", |root| spoil(root, |init| chmod(init, 0o644)), |boot| boot, SBIN),
    next(
        "/init a folder",
        |root| {
            spoil(root, |init| {
                remove(init);
                fs::create_dir(init).expect("a folder");
            });
        },
        |boot| boot,
        SBIN,
    ),
    next("/init empty", |root| spoil(root, |init| fs::write(init, "").expect("write")), |boot| boot, SBIN),
    next(
        "/init no program",
        |root| spoil(root, |init| fs::write(init, "\0\0\0\0").expect("write")),
        |boot| boot,
        SBIN,
    ),
    next(
        "/init a script without its shell",
        |root| spoil(root, |init| fs::write(init, "#!/gone\n").expect("write")),
        |boot| boot,
        SBIN,
    ),
    next("/init a link to nothing", |root| spoil(root, |init| relink(init, "/gone")), |boot| boot, SBIN),
    next("/init a link to itself", |root| spoil(root, |init| relink(init, "/init")), |boot| boot, SBIN),
    next("/init a link to us", |root| spoil(root, |init| relink(init, "/earlykmsg")), |boot| boot, SBIN),
    next(
        "/init a link from here to us",
        |root| spoil(root, |init| relink(init, "earlykmsg")),
        |boot| boot,
        SBIN,
    ),
    next(
        "/init another name of us",
        |root| {
            spoil(root, |init| {
                remove(init);
                fs::hard_link(init.with_file_name("earlykmsg"), init).expect("link");
            });
        },
        |boot| boot,
        SBIN,
    ),
    next(
        "/init a copy of us",
        |root| {
            spoil(root, |init| {
                remove(init);
                fs::copy(init.with_file_name("earlykmsg"), init).expect("copy");
            });
        },
        |boot| boot,
        SBIN,
    ),
    next(
        "/init and /sbin/init other builds of us",
        |root| {
            remove(&root.join("init"));
            other_build(root, "init");
            other_build(root, "sbin/init");
            script(root, "etc/init", "exit 42");
        },
        |boot| boot,
        ("/etc/init", 42),
    ),
    next(
        "/init a link to another build of us",
        |root| {
            other_build(root, "bin/other");
            spoil(root, |init| relink(init, "bin/other"));
        },
        |boot| boot,
        SBIN,
    ),
    next(
        "two builds of us installed",
        |root| {
            fs::rename(root.join("earlykmsg"), root.join("init")).expect("rename");
            other_build(root, "sbin/init");
            script(root, "bin/sh", "exit 42");
        },
        as_init,
        ("/bin/sh", 42),
    ),
    next(
        "another build of us, and we are /init",
        |root| {
            fs::rename(root.join("earlykmsg"), root.join("init")).expect("rename");
            other_build(root, "bin/other");
            script(root, "bin/sh", "exit 42");
        },
        |boot| init(as_init(boot), "/bin/other"),
        ("/bin/sh", 42),
    ),
    // As a version without the note would do.
    next(
        "/init starts us, who are /sbin/init",
        |root| {
            spoil(root, |init| fs::write(init, "#!/bin/busybox sh\nexec /sbin/init\n").expect("write"));
            fs::rename(root.join("earlykmsg"), root.join("sbin/init")).expect("rename");
            script(root, "etc/init", "exit 42");
        },
        |boot| Boot { program: "/sbin/init".into(), arguments: vec!["/sbin/init".into()], ..boot },
        ("/etc/init", 42),
    ),
    next("/init a FIFO", |root| spoil(root, fifo), |boot| boot, SBIN),
    next("/proc no proc", fake_proc, |boot| Boot { no_mounts: true, ..boot }, INIT),
    next(
        "installed as /init",
        |root| {
            script(root, "sbin/init", "exit 42");
            fs::rename(root.join("earlykmsg"), root.join("init")).expect("rename");
        },
        as_init,
        SBIN,
    ),
    next(
        "installed as /init, /sbin/init a link to it",
        |root| {
            script(root, "etc/init", "exit 42");
            fs::rename(root.join("earlykmsg"), root.join("init")).expect("rename");
            symlink("../init", root.join("sbin/init")).expect("link");
        },
        as_init,
        ("/etc/init", 42),
    ),
    next(
        "earlykmsg.init= another",
        |root| script(root, "bin/other", "exit 42"),
        |boot| init(boot, "/bin/other"),
        ("/bin/other", 42),
    ),
    next("earlykmsg.init= missing", |_| {}, |boot| init(boot, "/bin/gone"), INIT),
    next("earlykmsg.init= us", |_| {}, |boot| init(boot, "/earlykmsg"), INIT),
    next("earlykmsg.init= a folder", |_| {}, |boot| init(boot, "/bin"), INIT),
    next("earlykmsg.init= no path", |_| {}, |boot| init(boot, "init"), INIT),
    next("earlykmsg.init= empty", |_| {}, |boot| init(boot, ""), INIT),
];
const SBIN: (&str, i32) = ("/sbin/init", 42);

/// Busybox in the next init's place answers to the name that it is called by.
const BUSYBOX: &[Fault] = &[
    next("busybox as false", |root| busybox(root, "bin/false"), |boot| init(boot, "/bin/false"), ("", 1)),
    next("busybox as true", |root| busybox(root, "bin/true"), |boot| init(boot, "/bin/true"), ("", 0)),
    next(
        "busybox under its own name",
        |root| script(root, "sbin/init", "exit 42"),
        |boot| Boot {
            arguments: ["/earlykmsg", "sh", "/sbin/init"].map(str::to_owned).to_vec(),
            ..init(boot, "/bin/busybox")
        },
        SBIN,
    ),
];

const fn fault(what: &'static str, boot: fn(Boot) -> Boot) -> Fault {
    Fault { what, image: |_| {}, boot, runs: INIT }
}

const fn next(
    what: &'static str,
    image: fn(&Path),
    boot: fn(Boot) -> Boot,
    runs: (&'static str, i32),
) -> Fault {
    Fault { what, image, boot, runs }
}

fn init(boot: Boot, path: &str) -> Boot {
    boot.cmdline(format!("earlykmsg.init={path} {SHIP}"))
}

fn as_init(boot: Boot) -> Boot {
    Boot { program: "/init".into(), arguments: vec!["/init".into()], ..boot }
}

/// Puts the program into an image as a file of its own that differs from all others.
fn other_build(root: &Path, path: &str) {
    let mut program = fs::read(binary::earlykmsg()).expect("read the program");
    program.extend(path.as_bytes());
    fs::write(root.join(path), program).expect("write a program");
    chmod(&root.join(path), 0o755);
}

fn fifo(path: &Path) {
    remove(path);
    nix::unistd::mkfifo(path, nix::sys::stat::Mode::from_bits_truncate(0o755)).expect("make a FIFO");
}

/// A folder that could be taken for `/proc`.
fn fake_proc(root: &Path) {
    script(root, "sbin/init", "exit 42");
    fs::create_dir(root.join("proc")).expect("make a folder");
    fs::write(root.join("proc/cmdline"), "earlykmsg.init=/sbin/init").expect("write a file");
}

fn rename(root: &Path, to: &str) {
    fs::rename(root.join("init"), root.join(to)).expect("rename the next init");
}

/// Makes `/init` unusable; the next candidate is there.
fn spoil(root: &Path, how: fn(&Path)) {
    script(root, "sbin/init", "exit 42");
    how(&root.join("init"));
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("change the mode");
}

fn remove(path: &Path) {
    fs::remove_file(path).expect("remove a file");
}

fn relink(path: &Path, to: &str) {
    remove(path);
    symlink(to, path).expect("make a link");
}

fn busybox(root: &Path, name: &str) {
    symlink("busybox", root.join(name)).expect("make a link");
}

/// Boots with each fault; tells all that went wrong.
fn check(faults: &[Fault]) {
    let mut wrong = Vec::new();
    for fault in faults {
        let told = alone(|sandbox| {
            let root = image(sandbox.dir(), "exit 42");
            (fault.image)(&root);
            let (path, code) = fault.runs;
            let machine = (fault.boot)(Boot::of(&root)).start();
            let console = std::sync::Arc::clone(&machine.console);
            let Some(end) = machine.ends(WITHIN) else { return Some("PID 1 never ended".to_owned()) };
            let ran = ran(&root);
            let names: Vec<&str> = ran.lines().map(|line| line.split(' ').next().unwrap_or("")).collect();
            let want: Vec<&str> = Some(path).filter(|path| !path.is_empty()).into_iter().collect();
            let well = end == Some(code) && names == want;
            (!well).then(|| {
                format!(
                    "{path} was to end with {code}; {ran:?} ended with {end:?}; console {:?}",
                    *console.items()
                )
            })
        });
        println!("{:<45} {}", fault.what, told.as_deref().unwrap_or("the next init ran"));
        wrong.extend(told.map(|told| format!("{}: {told}", fault.what)));
    }
    assert!(wrong.is_empty(), "{} of {} faults:\n{}", wrong.len(), faults.len(), wrong.join("\n"));
}

#[test]
fn the_next_init_runs_whatever_the_kernel_refuses() {
    check(KERNEL);
}

#[test]
fn the_next_init_is_the_first_that_runs() {
    check(IMAGE);
    check(BUSYBOX);
}

/// Without any next init PID 1 says so and ends, as the kernel's own search would.
#[test]
fn no_next_init_at_all() {
    alone(|sandbox| {
        let root = image(sandbox.dir(), "");
        remove(&root.join("init"));
        let before = ring().last().map_or(0, |record| record.seq);
        let end = Boot::of(&root).cmdline("quiet").start().finish(WITHIN);
        assert_ne!(end, Some(0));
        assert_eq!(ran(&root), "");
        let words: Vec<String> =
            ring().into_iter().filter(|record| record.seq > before).map(|record| record.msg).collect();
        let said = words.iter().find(|text| text.starts_with("earlykmsg: ") && text.contains("init"));
        println!("{said:?}");
        assert!(said.is_some(), "it says nothing: {words:?}");
    });
}

/// Where all candidates are copies of the program, it ends as where there is none.
#[test]
fn only_copies_of_itself() {
    alone(|sandbox| {
        let root = image(sandbox.dir(), "");
        let candidates = ["init", "sbin/init", "etc/init", "bin/init", "bin/sh"];
        remove(&root.join("init"));
        candidates.iter().for_each(|path| other_build(&root, path));
        for started in ["/earlykmsg", "/init", "/bin/init", "/bin/sh"] {
            let before = ring().last().map_or(0, |record| record.seq);
            let boot = Boot { program: started.into(), arguments: vec![started.into()], ..Boot::of(&root) };
            assert_eq!(boot.cmdline("quiet").start().finish(WITHIN), Some(1), "{started}");
            let said = ring().into_iter().filter(|record| record.seq > before).map(|record| record.msg);
            let said: Vec<String> =
                said.filter(|text| text.starts_with("earlykmsg: no next init: ")).collect();
            assert!(!said.is_empty(), "{started} says nothing");
        }
    });
}

/// Starts the program again and again as PID 1; the fourth time, the watcher of the first three is gone. The shell
/// looks for it only when told to: a watcher names itself some time after PID 1 has gone on.
const AGAIN: &str = r#"
case $1 in
    '') exec /earlykmsg 2 ;;
    2) exec /earlykmsg 3 ;;
    3) echo started three times; read line
       watcher=$(/bin/busybox grep -l @earlykmsg /proc/[0-9]*/cmdline |
           /bin/busybox sed 's:/proc/::;s:/cmdline::' | /bin/busybox head -n 1)
       /bin/busybox kill -9 $watcher
       while [ -d /proc/$watcher ] && ! /bin/busybox grep -q 'State:.Z' /proc/$watcher/status; do :; done
       exec /earlykmsg 4 ;;
esac
echo started again; read line
exit 42
"#;

/// Where a watcher is at work, no second one is started; when it is gone, the next one is.
#[test]
fn one_watcher_for_a_log() {
    alone(|sandbox| {
        let (receiver, writer, tag) = (Tcp::new(TcpBehaviour::Reads), Writer::new(), tag("one watcher"));
        let root = image(sandbox.dir(), AGAIN);
        let boot = Boot {
            proc_at: Some("/proc".into()),
            kmsg_at: Some("/dev/kmsg".into()),
            no_mounts: true,
            ..Boot::of(&root).cmdline(format!("talos.logging.kernel={}", receiver.url()))
        };
        let mut machine = boot.start();
        let wait = |line: &str| {
            machine.console.wait(WITHIN, line, |lines| lines.iter().any(|l| l == line).then_some(()));
        };
        wait("started three times");
        writer.write(&format!("{tag} first"));
        receiver.lines.wait_for(&format!("{tag} first"), WITHIN);
        let family = proc::children(machine.init().expect("PID 1"));
        assert_eq!(family.len(), 1, "the third start found the first one's watcher: {family:?}");
        machine.type_line("go on");
        let wait = |line: &str| {
            machine.console.wait(WITHIN, line, |lines| lines.iter().any(|l| l == line).then_some(()));
        };
        wait("started again");
        writer.write(&format!("{tag} second"));
        receiver.lines.wait_for(&format!("{tag} second"), WITHIN);
        machine.type_line("end");
        assert_eq!(machine.finish(WITHIN), Some(42));
    });
}

/// A script that tells all that a process can find out about itself, into `/world`.
const WORLD: &str = r#"
/bin/busybox mkdir -p /mnt
/bin/busybox mount -t proc proc /mnt
/bin/busybox ls -l /mnt/1/fd > /fds
exec 3>/world
/bin/busybox sed -n 's/.* \([0-9]*\) -> \(.*\)/fd \1 \2/p' /fds >&3
for file in limits cmdline environ comm oom_score_adj timerslack_ns personality coredump_filter; do
    echo "$file: $(/bin/busybox tr '\0' '|' < /mnt/1/$file)"
done >&3
/bin/busybox grep -E '^(Name|Umask|Uid|Gid|Groups|SigPnd|SigBlk|SigIgn|SigCgt|Shd|Cap|NoNew|Seccomp|Cpus|NSpid|NSpgid|NSsid)' /mnt/1/status >&3
/bin/busybox cut -d ' ' -f 4- /mnt/1/mountinfo >&3
echo "cwd $(/bin/busybox readlink /mnt/1/cwd) root $(/bin/busybox readlink /mnt/1/root)" >&3
for ns in mnt pid net uts ipc user cgroup; do
    echo "$ns $(/bin/busybox readlink /mnt/1/ns/$ns)"
done | /bin/busybox sed -E '/^(mnt|pid)/s/[0-9]+/N/' >&3
# A watcher that has just been forked still has the name of the program.
unnamed() {
    name=$(/bin/busybox tr '\0' ' ' < $1/cmdline)
    case $name in
        '' | /earlykmsg*) [ -d $1 ] && ! /bin/busybox grep -q 'State:.Z' $1/status ;;
        *) false ;;
    esac
}
for child in /mnt/[0-9]*; do
    while unnamed $child; do :; done
    [ "$child" = /mnt/1 ] || echo "$name"
done > /others
/bin/busybox umount /mnt
exit 42
"#;

/// What the next init finds with `boot`, and the other processes there.
fn world(sandbox: &Sandbox, boot: impl FnOnce(Boot) -> Boot) -> (String, String) {
    let root = image(sandbox.dir(), WORLD);
    let arguments = ["/earlykmsg", "single", "a b", "", "tcp://127.0.0.1:1/"].map(str::to_owned).to_vec();
    let environment = ["HOME=/", "TERM=linux", "odd", "PATH=/bin", "HOME=/twice"].map(str::to_owned).to_vec();
    let boot = boot(Boot { arguments, environment, peculiar: true, ..Boot::of(&root) });
    let machine = boot.start();
    let console = std::sync::Arc::clone(&machine.console);
    assert_eq!(machine.finish(WITHIN), Some(42), "{:#?}", *console.items());
    let world = fs::read_to_string(root.join("world")).expect("the world");
    let others = fs::read_to_string(root.join("others")).expect("the others");
    fs::remove_dir_all(root).expect("remove the image");
    // Each run has pipes of its own.
    let world = world.lines().map(|line| match line.split_once(" pipe:[") {
        Some((fd, _)) => format!("{fd} pipe\n"),
        None => format!("{line}\n"),
    });
    (world.collect(), others)
}

/// Descriptors, mounts, signals, limits, working directory, environment, arguments: all as without us.
#[test]
fn the_next_init_finds_the_world_untouched() {
    alone(|sandbox| {
        let receiver = Tcp::new(TcpBehaviour::Reads);
        let ship = format!("talos.logging.kernel={} earlykmsg.tags=uuid={{uuid}}", receiver.url());
        let plain = |boot: Boot| {
            let mut boot = Boot { program: "/init".to_owned(), ..boot };
            boot.arguments[0] = "/init".to_owned();
            boot
        };
        let closed = |boot: Boot| Boot { no_stdio: true, ..boot };
        let mounted = |boot: Boot| Boot { proc_at: Some("/proc".into()), ..boot };
        type Change<'a> = Box<dyn Fn(Boot) -> Boot + 'a>;
        let worlds: [(&str, Change); 3] =
            [("plain", Box::new(|boot| boot)), ("closed", Box::new(closed)), ("mounted", Box::new(mounted))];
        for (name, change) in worlds {
            let (want, _) = world(sandbox, |boot| change(plain(boot)));
            for part in [
                "fd 7 /etc",
                "SigBlk:\t0000000000000800",
                "Umask:\t0031",
                "cwd /tmp root /",
                "|single|a b||tcp:",
            ] {
                assert!(want.contains(part), "this test does not see {part:?}:\n{want}");
            }
            assert_eq!(want.contains("fd 0 "), name != "closed", "{want}");
            let ways: [(&str, Change); 4] = [
                ("no destination", Box::new(|boot| boot.cmdline("quiet"))),
                ("shipping", Box::new(|boot| boot.cmdline(&ship))),
                (
                    "shipping, an old kernel",
                    Box::new(|boot| boot.cmdline(&ship).refuse("fsopen", Errno::ENOSYS)),
                ),
                ("no child", Box::new(|boot| boot.cmdline(&ship).refuse("clone", Errno::EAGAIN))),
            ];
            for (way, with) in ways {
                let (got, others) = world(sandbox, |boot| with(change(boot)));
                let only = |these: &str, those: &str| -> Vec<String> {
                    these
                        .lines()
                        .filter(|line| !those.lines().any(|other| other == *line))
                        .map(str::to_owned)
                        .collect()
                };
                let (less, more) = (only(&want, &got), only(&got, &want));
                assert_eq!(got, want, "{name}, {way}: without us {less:#?}, with us {more:#?}");
                assert_eq!(
                    others.contains("@earlykmsg"),
                    way.starts_with("shipping"),
                    "{name}, {way}: {others:?}"
                );
                if way == "no destination" {
                    assert_eq!(others.trim(), "", "nothing else runs");
                }
            }
        }
    });
}

/// From PID 1 on: the start is told, records arrive, the helpers stay out of the way, and nothing of them is
/// left in the image's tree.
fn ships(boot: impl FnOnce(Boot) -> Boot + Send) {
    alone(|sandbox| {
        let (receiver, writer, tag) = (Tcp::new(TcpBehaviour::Reads), Writer::new(), tag("pid1"));
        let root = image(sandbox.dir(), "echo it runs; read line; exit 42");
        writer.write(&format!("{tag} before"));
        let ship = format!("quiet talos.logging.kernel={}", receiver.url());
        let mut machine = boot(Boot::of(&root).cmdline(ship)).start();
        machine
            .console
            .wait(WITHIN, "the next init", |lines| lines.iter().any(|l| l == "it runs").then_some(()));
        writer.write(&format!("{tag} after"));
        receiver.lines.wait_for(&format!("{tag} after"), WITHIN);
        assert_eq!(receiver.lines.texts(&tag).len(), 2);

        let objects = receiver.lines.objects();
        let version = env!("CARGO_PKG_VERSION");
        let url = receiver.url();
        let start = objects.iter().map(json::msg).rfind(|text| {
            text.starts_with("earlykmsg: ")
                && [version, url.trim_end_matches('/'), "/init"].iter().all(|part| text.contains(part))
        });
        println!("start: {start:?}");
        assert!(
            start.is_some(),
            "no start record with version, destination and next init: {:#?}",
            objects.iter().map(json::msg).filter(|text| text.starts_with("earlykmsg")).collect::<Vec<_>>()
        );

        let init = machine.init().expect("PID 1");
        let children = proc::children(init);
        let [watcher] = children.as_slice() else { panic!("PID 1 has one child, the watcher: {children:?}") };
        assert!(
            proc::file(*watcher, "cmdline").starts_with("@earlykmsg"),
            "{:?}",
            proc::file(*watcher, "cmdline")
        );
        assert_eq!(proc::status(*watcher, "Uid"), "0\t0\t0\t0", "systemd spares only root's");
        for helper in proc::family(*watcher) {
            let held = proc::descriptors(helper);
            println!("{helper}: {held:?}");
            assert!(
                !held
                    .values()
                    .any(|path| path.to_string_lossy().starts_with("pipe:[") && pipes(init).contains(path)),
                "PID 1's own pipes are held by a helper: {held:?}"
            );
        }
        machine.type_line("end");
        assert_eq!(machine.finish(WITHIN), Some(42));
    });
}

fn pipes(pid: nix::unistd::Pid) -> Vec<std::path::PathBuf> {
    let all = proc::descriptors(pid).into_values();
    all.filter(|path| path.to_string_lossy().starts_with("pipe:[")).collect()
}

#[test]
fn ships_from_pid_1() {
    ships(|boot| boot);
}

#[test]
fn ships_from_pid_1_of_an_old_kernel() {
    ships(|boot| boot.refuse("fsopen", Errno::ENOSYS));
}

/// A second mount of a file system in its own place is refused there.
#[test]
fn ships_from_pid_1_of_an_old_kernel_where_all_is_mounted() {
    ships(|boot| Boot {
        proc_at: Some("/proc".into()),
        kmsg_at: Some("/dev/kmsg".into()),
        ..boot.refuse("fsopen", Errno::ENOSYS).refuse("mount", Errno::EBUSY)
    });
}

#[test]
fn ships_from_pid_1_without_the_right_to_mount() {
    ships(|boot| Boot {
        proc_at: Some("/proc".into()),
        kmsg_at: Some("/dev/kmsg".into()),
        no_mounts: true,
        ..boot
    });
}

#[test]
fn ships_from_pid_1_where_all_is_mounted() {
    ships(|boot| Boot { proc_at: Some("/proc".into()), kmsg_at: Some("/dev/kmsg".into()), ..boot });
}

#[test]
fn ships_from_pid_1_with_closed_descriptors() {
    // The next init cannot speak: what arrives must do.
    alone(|sandbox| {
        let (receiver, writer, tag) = (Tcp::new(TcpBehaviour::Reads), Writer::new(), tag("closed"));
        let root = image(sandbox.dir(), "while :; do /bin/busybox sleep 1; done");
        let ship = format!("talos.logging.kernel={}", receiver.url());
        let machine = Boot { no_stdio: true, ..Boot::of(&root).cmdline(ship) }.start();
        writer.write(&tag);
        receiver.lines.wait_for(&tag, WITHIN);
        let init = machine.init().expect("PID 1");
        let held = proc::descriptors(init);
        assert!(!held.keys().any(|&fd| fd < 3), "{held:?}");
    });
}
