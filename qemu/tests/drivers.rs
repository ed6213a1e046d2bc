//! The overlay of drivers of real kernels: judged by depmod, and by a machine that has no other drivers.

use core::time::Duration;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use earlykmsg_initramfs::drivers::Drivers;
use earlykmsg_qemu::{Boot, End, Kernel, Machine, image, target_dir};

const LONG: Duration = Duration::from_secs(300);

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|why| panic!("{command:?}: {why}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn drivers(kernel: &Kernel) -> Drivers {
    let drivers = Drivers::of(&kernel.folder, &[]).unwrap();
    assert_eq!(drivers.release, kernel.release);
    println!("{}: {} modules", drivers.release, drivers.modules);
    drivers
}

/// The lines of a file but for comments.
fn lines(path: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

/// What depmod makes of the same modules: the same aliases, and of each module the same others.
fn assert_as_depmod_has_it(drivers: &Drivers) {
    let root = target_dir().join("qemu").join(format!("depmod-{}-{}", drivers.release, std::process::id()));
    let modules = root.join("lib/modules").join(&drivers.release);
    fs::create_dir_all(root.join("lib/modules")).unwrap();
    fs::write(root.join("overlay.cpio"), drivers.image.to_cpio()).unwrap();
    run(Command::new("sh").args(["-ec", "cpio -id --quiet < overlay.cpio"]).current_dir(&root));
    let ours = ["modules.dep", "modules.alias", "modules.softdep"].map(|name| {
        let path = root.join("earlykmsg.d").join(name);
        let lines = lines(&path);
        fs::remove_file(path).unwrap();
        lines
    });
    fs::rename(root.join("earlykmsg.d"), &modules).unwrap();
    run(Command::new("depmod").arg("-b").arg(&root).arg(&drivers.release));
    let [ours_dep, ours_alias, ours_softdep] = ours;

    assert!(ours_alias == lines(&modules.join("modules.alias")), "the aliases differ");
    let added = ["softdep mlx4_core post: mlx4_en".to_owned()];
    let softdeps: BTreeSet<String> = ours_softdep.into_iter().filter(|line| !added.contains(line)).collect();
    assert_eq!(softdeps, lines(&modules.join("modules.softdep")));
    let sets = |lines: &BTreeSet<String>| -> Vec<(String, BTreeSet<String>)> {
        let parts = lines.iter().map(|line| line.split_once(':').unwrap());
        parts
            .map(|(file, needs)| (file.to_owned(), needs.split_whitespace().map(str::to_owned).collect()))
            .collect()
    };
    assert_eq!(sets(&ours_dep), sets(&lines(&modules.join("modules.dep"))));
    assert_eq!(ours_dep.len(), drivers.modules);
    fs::remove_dir_all(root).unwrap();
}

/// In a machine with these cards and nothing but the overlay, each is driven.
fn assert_they_drive(kernel: &Kernel, drivers: &Drivers, cards: &[(&str, &str)]) {
    let script = "load_all; show_drivers";
    let image = image::standard(&Kernel { network_modules: Vec::new(), ..kernel.clone() }, script).unwrap();
    let image = image.file("/lib/network.sh", 0o644, include_str!("../guest/drivers.sh"));
    let mut archives = image.to_cpio();
    archives.extend(drivers.image.to_cpio());
    let mut boot = Boot::new(kernel, archives).without_network().memory_mib(512);
    for (device, _) in cards {
        boot = boot.qemu_argument("-device").qemu_argument(*device);
    }
    let mut guest = boot.start().unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
    assert_eq!(guest.report("FAILED "), [""; 0], "{}", guest.failure("a module was not loaded"));
    let mut expected: Vec<&str> =
        cards.iter().map(|(_, driver)| *driver).filter(|driver| !driver.is_empty()).collect();
    expected.sort_unstable();
    assert_eq!(guest.report("DRIVER "), expected, "{}", guest.failure("the links' drivers"));
    println!("{:?}", guest.report("LOADED "));
}

const VIRTIO: (&str, &str) = ("virtio-net-pci,romfile=", "virtio_net");
const VMXNET3: (&str, &str) = ("vmxnet3,romfile=", "vmxnet3");

/// All that a generic kernel drives and QEMU has.
const CARDS: [(&str, &str); 7] = [
    VIRTIO,
    VMXNET3,
    ("e1000,romfile=", "e1000"),
    ("e1000e,romfile=", "e1000e"),
    ("rtl8139,romfile=", "8139cp"),
    ("qemu-xhci,id=usb", ""),
    ("usb-net,bus=usb.0", "cdc_ether"),
];

#[test]
fn debian_12_for_virtual_machines() {
    let kernel = Kernel::debian().unwrap();
    let drivers = drivers(&kernel);
    assert_as_depmod_has_it(&drivers);
    assert_they_drive(&kernel, &drivers, &[VIRTIO, VMXNET3]);
}

#[test]
fn long_debian_12_for_all_machines() {
    let kernel = Kernel::of(Machine::AMD64_GENERIC).unwrap();
    let drivers = drivers(&kernel);
    assert_as_depmod_has_it(&drivers);
    assert_they_drive(&kernel, &drivers, &CARDS);
}

/// Its modules are compressed by xz.
#[test]
fn long_debian_13_for_all_machines() {
    let kernel = Kernel::of(Machine::AMD64_GENERIC_13).unwrap();
    let drivers = drivers(&kernel);
    assert_as_depmod_has_it(&drivers);
    assert_they_drive(&kernel, &drivers, &CARDS);
}
