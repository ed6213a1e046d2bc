//! Boot safety: whatever is wrong, the next init runs.

use earlykmsg_initramfs::Image;
use earlykmsg_qemu::{Boot, End, Guest, Kernel, LONG, image};

const DESTINATION: &str = "talos.logging.kernel=tcp://10.0.2.2:5044/";

/// An init that says under which name it runs.
const INIT: &str = "#!/bin/sh\n\
                    mkdir -p /proc /dev; mount -t proc proc /proc; mount -t devtmpfs dev /dev\n\
                    . /lib/steps.sh\n\
                    echo \"NEXT INIT IS $0 IN $$\"; show_processes; echo; poweroff -f\n";

/// All that an init needs, but no init.
fn without_init() -> Image {
    image::busybox().unwrap().with(image::tool().unwrap()).with(image::earlykmsg().unwrap()).file(
        "/lib/steps.sh",
        0o644,
        include_str!("../guest/steps.sh"),
    )
}

fn boot(image: &Image, words: &str) -> Guest {
    let kernel = Kernel::debian().unwrap();
    let boot = Boot::new(&kernel, image.to_cpio()).without_network().word(words);
    let mut guest = boot.start().unwrap();
    let end = guest.wait_exit(LONG);
    assert_eq!(end.unwrap_or_else(|why| panic!("{words:?}: {why}")), End::Off);
    guest
}

/// Boots with earlykmsg in front and claims which init came next.
fn assert_next(image: &Image, words: &str, init: &str) -> Guest {
    let guest = boot(image, &format!("rdinit=/earlykmsg {words}"));
    guest.wait_console(&format!("NEXT INIT IS {init} IN 1"), LONG).unwrap();
    guest
}

#[test]
fn the_images_own_init() {
    let guest = assert_next(&without_init().file("/init", 0o755, INIT), DESTINATION, "/init");
    assert!(guest.console().contains("PROCESS"), "{}", guest.failure("earlykmsg does not run"));
}

#[test]
fn nothing_runs_without_a_destination() {
    for words in ["", "talos.logging.kernel="] {
        let guest = assert_next(&without_init().file("/init", 0o755, INIT), words, "/init");
        assert!(!guest.console().contains("PROCESS"), "{}", guest.failure("earlykmsg runs"));
    }
}

#[test]
fn the_first_that_is_there() {
    for path in ["/sbin/init", "/etc/init", "/bin/init"] {
        assert_next(&without_init().file(path, 0o755, INIT), DESTINATION, path);
    }
}

#[test]
fn the_one_that_is_named() {
    let image = without_init().file("/init", 0o755, "#!/bin/sh\n").file("/other/init", 0o755, INIT);
    assert_next(&image, &format!("{DESTINATION} earlykmsg.init=/other/init"), "/other/init");
}

#[test]
fn another_than_the_one_that_is_named_wrongly() {
    let image = without_init().file("/init", 0o755, INIT).file("/text", 0o644, "no program");
    for path in ["/nowhere", "/text", "/lib", "relative", "/earlykmsg", ""] {
        assert_next(&image, &format!("{DESTINATION} earlykmsg.init={path}"), "/init");
    }
}

#[test]
fn the_next_where_the_first_cannot_start() {
    let broken = [
        without_init().file("/init", 0o644, INIT),
        without_init().dir("/init"),
        without_init().symlink("/init", "nowhere"),
        without_init().symlink("/init", "init"),
        without_init().symlink("/init", "earlykmsg"),
        without_init().file("/init", 0o755, "#!/no/such/interpreter\n"),
        without_init().file("/init", 0o755, ""),
    ];
    for image in broken {
        assert_next(&image.file("/sbin/init", 0o755, INIT), DESTINATION, "/sbin/init");
    }
}

/// Installed under the name of the init, without any word that starts it.
#[test]
fn as_the_images_init() {
    let image = without_init().file("/init", 0o755, earlykmsg_qemu::earlykmsg().unwrap()).file(
        "/sbin/init",
        0o755,
        INIT,
    );
    let guest = boot(&image, DESTINATION);
    guest.wait_console("NEXT INIT IS /sbin/init IN 1", LONG).unwrap();
}

/// The program as another build: the same code, other bytes.
fn other_build(number: u8) -> Vec<u8> {
    let mut program = earlykmsg_qemu::earlykmsg().unwrap();
    program.push(number);
    program
}

/// Two copies that are candidates both: neither starts the other.
#[test]
fn two_copies_of_itself() {
    let shell =
        INIT.replace("#!/bin/sh", "#!/bin/busybox sh").replace("show_processes;", "show_processes_at_work;");
    for first in ["rdinit=/earlykmsg", ""] {
        let image = without_init()
            .file("/init", 0o755, other_build(1))
            .file("/sbin/init", 0o755, other_build(2))
            .symlink("/etc/init", "../sbin/init")
            .symlink("/bin/init", "../init")
            .file("/bin/sh", 0o755, shell.as_str());
        let guest = boot(&image, &format!("{first} {DESTINATION}"));
        guest.wait_console("NEXT INIT IS /bin/sh IN 1", LONG).unwrap();
        let console = guest.console();
        let processes = console.lines().filter(|line| line.contains("PROCESS ")).count();
        assert_eq!(processes, 2, "a watcher and its shipper: {console}");
    }
}

/// Nothing but copies: said, and then the kernel's own end.
#[test]
fn only_copies_of_itself() {
    let mut image = image::earlykmsg().unwrap();
    for (number, path) in (1..).zip(["/init", "/sbin/init", "/etc/init", "/bin/init", "/bin/sh"]) {
        image = image.file(path, 0o755, other_build(number));
    }
    for words in ["", DESTINATION] {
        let guest = boot(&image, words);
        let console = guest.console();
        assert!(console.contains("Kernel panic"), "{}", guest.failure("the kernel goes on"));
        assert_eq!(console.matches("earlykmsg: no next init: ").count(), 1, "{}", guest.failure("said once"));
    }
}

/// busybox looks at the name that it is started under.
#[test]
fn busybox_under_its_own_name() {
    let image = without_init()
        .symlink("/sbin/init", "../bin/busybox")
        .file("/etc/inittab", 0o644, "::sysinit:/bin/sh /start\n")
        .file("/start", 0o644, "echo NEXT INIT IS BUSYBOX; poweroff -f\n");
    let guest = boot(&image, &format!("rdinit=/earlykmsg {DESTINATION}"));
    guest.wait_console("NEXT INIT IS BUSYBOX", LONG).unwrap();
}

/// A kernel that was told to let programs neither read nor write its log: the console is told why nothing is shipped.
#[test]
fn a_log_that_is_switched_off() {
    let words = format!("printk.devkmsg=off {DESTINATION}");
    let init = INIT.replace("show_processes;", "show_leftovers 5044;");
    let guest = assert_next(&without_init().file("/init", 0o755, init), &words, "/init");
    let said = "earlykmsg: open /dev/kmsg: not permitted (errno 1); the log is not shipped";
    guest.wait_console(said, LONG).unwrap();
    assert!(!guest.console().contains("LEFT"), "{}", guest.failure("earlykmsg runs on"));
}

/// No init at all: said, and then the kernel's own end.
#[test]
fn none_at_all() {
    let image = image::earlykmsg().unwrap();
    for words in [String::new(), DESTINATION.to_owned(), format!("{DESTINATION} earlykmsg.init=/nowhere")] {
        let guest = boot(&image, &format!("rdinit=/earlykmsg {words}"));
        let console = guest.console();
        assert!(console.contains("Kernel panic"), "{}", guest.failure("the kernel goes on"));
        let before = console.split("Kernel panic").next().unwrap();
        assert!(before.contains("earlykmsg: "), "{}", guest.failure("not a word about it"));
    }
}

#[test]
fn odd_command_lines() {
    let image = without_init().file("/init", 0o755, INIT);
    let fifty: Vec<String> = (1..=50).map(|n| format!("talos.logging.kernel=tcp://h:{n}")).collect();
    let odd = [
        fifty.join(" "),
        "talos.logging.kernel=tcp://\u{1}\u{7f}é\u{10ffff}:1/ earlykmsg.tags=\u{2}=\u{3} earlykmsg.linger=\u{ffff}".to_owned(),
        "talos.logging.kernel=tcp://h:1/ earlykmsg.level=loud earlykmsg.linger=-1 earlykmsg.tags=,=,a earlykmsg.ip=dhcp".to_owned(),
        format!("{DESTINATION} \"talos.logging.kernel=tcp://a b:1/ unclosed"),
        format!("{DESTINATION} talos.logging.kernel=gopher://h:1 talos.logging.kernel=tcp://h:0 talos.logging.kernel=:"),
        // As much as the kernel takes.
        format!("{DESTINATION} earlykmsg.tags=long={}", "x".repeat(1800)),
        format!("talos.logging.kernel=tcp://{}:1/", "h".repeat(1800)),
    ];
    for words in odd {
        assert_next(&image, &words, "/init");
    }
}
