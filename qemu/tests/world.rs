//! What the next init finds: the same as if earlykmsg had not been there.

use earlykmsg_initramfs::Image;
use earlykmsg_qemu::{Boot, End, Kernel, LONG, image};

const DESTINATION: &str = "talos.logging.kernel=tcp://10.0.2.2:5044/";

/// What an init sees that is the first program, and one that earlykmsg became.
fn worlds(image: Image, words: &str) -> [Vec<String>; 2] {
    let kernel = Kernel::debian().unwrap();
    let image = image
        .with(image::busybox().unwrap())
        .with(image::earlykmsg().unwrap())
        .file("/init", 0o755, earlykmsg_qemu::guest_tool().unwrap())
        .file("/after", 0o644, "poweroff -f\n")
        .to_cpio();
    ["/init", "/earlykmsg"].map(|rdinit| {
        let mut guest = Boot::new(&kernel, image.clone()).rdinit(rdinit).word(words).start().unwrap();
        guest.wait_console("W end", LONG).unwrap();
        assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
        let world = guest.report("W ");
        assert!(world.len() > 50, "{}", guest.failure("the init told too little"));
        world
    })
}

fn assert_equal(worlds: &[Vec<String>; 2]) {
    let [without, with] = worlds;
    let only_in = |these: &[String], others: &[String]| {
        these.iter().filter(|line| !others.contains(line)).cloned().collect::<Vec<_>>().join("\n  ")
    };
    let (gone, new) = (only_in(without, with), only_in(with, without));
    assert!(without == with, "without earlykmsg only:\n  {gone}\nwith earlykmsg only:\n  {new}");
}

#[test]
fn of_a_bare_image() {
    let words = format!("{DESTINATION} word name=value -- first second");
    let worlds = worlds(Image::new(), &words);
    assert_equal(&worlds);
    for expected in ["argument 0: /init", "argument 1: word", "argument 2: first", "environment: name=value"]
    {
        assert!(worlds[1].iter().any(|line| line == expected), "{expected} is not in {:#?}", worlds[1]);
    }
}

#[test]
fn of_an_image_with_mount_points() {
    let image = Image::new().dir("/proc").dir("/sys").dir("/dev").dir("/run").dir("/tmp");
    assert_equal(&worlds(image, DESTINATION));
}

#[test]
fn without_a_destination() {
    assert_equal(&worlds(Image::new(), "word"));
}
