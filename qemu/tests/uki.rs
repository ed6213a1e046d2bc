//! Unified kernel images by the commands of docs/uki.md, started by UEFI firmware: built with earlykmsg, and with an
//! add-on beside an image that stays as it is.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use earlykmsg_initramfs::overlay::Overlay;
use earlykmsg_qemu::{
    Boot, End, Kernel, LONG, Machine, Receiver, debian_dir, image, programs_for, target_dir,
};

/// A folder with what the commands of the documentation name.
struct Bench {
    machine: Machine,
    folder: PathBuf,
    tools: PathBuf,
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|why| panic!("{command:?}: {why}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

impl Bench {
    fn new(machine: Machine, name: &str, script: &str) -> Bench {
        let kernel = Kernel::of(machine).unwrap();
        let home = target_dir().join("qemu");
        let folder = home.join(format!("uki-{}-{name}-{}", machine.name, std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let bench = Bench { machine, folder, tools: tools(machine) };
        fs::copy(&kernel.vmlinuz, bench.folder.join("vmlinuz")).unwrap();
        let initramfs = image::standard(&kernel, script).unwrap().to_cpio();
        fs::write(bench.folder.join("initrd.img"), initramfs).unwrap();
        let overlay = Overlay::new(&programs_for(machine).unwrap()).unwrap();
        let name = format!("earlykmsg-{}.cpio.zst", machine.architecture.debian);
        fs::write(bench.folder.join(name), overlay.zstd).unwrap();
        bench
    }

    /// The documented command that writes a file, with this test's words in place of the documentation's, and the names
    /// of the machine's processor as the documentation has them in its table.
    fn ukify(&self, output: &str, words: &str) {
        let text = include_str!("../../docs/uki.md");
        let end = text.find(&format!("--output={output}\n")).expect("a command in the documentation");
        let start = text[..end].rfind("    ukify build").expect("the command's start");
        let command = text[start..end].trim_start().to_owned() + &format!("--output={output}");
        let documented = "talos.logging.kernel=tcp://10.0.0.1:5044/";
        assert!(command.contains(documented), "{command}");
        let tools = self.tools.display().to_string();
        let command = command
            .replace(documented, words)
            .replace("addonx64.efi.stub", &format!("addon{}.efi.stub", self.machine.efi_name))
            .replace("-amd64.cpio", &format!("-{}.cpio", self.machine.architecture.debian))
            .replace("/usr/lib/systemd/boot/efi", &format!("{tools}/usr/lib/systemd/boot/efi"))
            .replace("--linux=", &format!("--stub={} --linux=", self.stub().display()))
            .replace("ukify build", &format!("/usr/bin/python3 {tools}/usr/bin/ukify build"));
        run(Command::new("sh").args(["-ec", &command]).current_dir(&self.folder));
    }

    /// What a unified image begins with.
    fn stub(&self) -> PathBuf {
        self.tools.join(format!("usr/lib/systemd/boot/efi/linux{}.efi.stub", self.machine.efi_name))
    }

    /// Where firmware looks for what it starts.
    fn boot_path(&self) -> String {
        format!("EFI/BOOT/BOOT{}.EFI", self.machine.efi_name.to_uppercase())
    }

    /// An image without earlykmsg.
    fn plain_image(&self) {
        run(Command::new("/usr/bin/python3") // Debian's, with python3-pefile
            .arg(self.tools.join("usr/bin/ukify"))
            .args(["build", "--linux=vmlinuz", "--initrd=initrd.img", "--output=linux.efi"])
            .arg(format!("--stub={}", self.stub().display()))
            .arg(format!("--cmdline={}", self.machine.kernel_words))
            .current_dir(&self.folder));
    }

    /// A disk that firmware starts these files from, each at its path.
    fn disk(&self, files: &[(&str, &str)]) -> PathBuf {
        let disk = self.folder.join("disk");
        File::create(&disk).unwrap().set_len(96 << 20).unwrap();
        run(Command::new("mformat").args(["-F", "-i"]).arg(&disk).arg("::"));
        let partition = self.folder.join("partition");
        for (file, path) in files {
            let to = partition.join(path);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(self.folder.join(file), to).unwrap();
        }
        let names = fs::read_dir(&partition).unwrap().map(|entry| entry.unwrap().path());
        run(Command::new("mcopy").args(["-s", "-i"]).arg(&disk).args(names).arg("::"));
        disk
    }
}

/// ukify and the stubs of systemd 257, from Debian 13; fetched once, by the first that needs them.
fn tools(machine: Machine) -> PathBuf {
    let arch = machine.architecture.debian;
    let folder = debian_dir().join(format!("uki-tools-{arch}"));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/fetch");
    run(Command::new(script).args(["trixie", arch]).arg(&folder).args(["systemd-ukify", "systemd-boot-efi"]));
    folder
}

fn script(ring: &Receiver) -> String {
    format!("network_up; say 'of the init'; send_ring {}; wait_for_go", ring.port())
}

/// Started from a disk, all records arrive.
fn assert_ships(bench: &Bench, files: &[(&str, &str)], receiver: &Receiver, ring: &Receiver) {
    let disk = bench.disk(files);
    let mut guest = Boot::from_firmware(bench.machine, &disk).start().unwrap();
    guest.wait_ready(LONG).unwrap();
    let records = guest.explain(receiver.wait_whole_ring(ring, LONG)).unwrap();
    assert_eq!(records[0].seq, 0, "{}", guest.failure("the first record"));
    assert!(records.iter().any(|record| record.msg.contains("of the init")), "{}", guest.failure("no init"));
    guest.go().unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
    println!("{} records, {:.1} s", records.len(), guest.age().as_secs_f64());
}

fn assert_ships_when_built_with_two_archives(machine: Machine) {
    let (receiver, ring) = (Receiver::tcp(), Receiver::tcp());
    let bench = Bench::new(machine, "two", &script(&ring));
    bench.ukify("linux.efi", &format!("{} {}", receiver.word(), bench.machine.kernel_words));
    assert_ships(&bench, &[("linux.efi", &bench.boot_path())], &receiver, &ring);
}

/// An image that stays as it is, and an add-on for it in a folder.
fn assert_ships_by_an_add_on(machine: Machine, name: &str, folder: &str) {
    let (receiver, ring) = (Receiver::tcp(), Receiver::tcp());
    let bench = Bench::new(machine, name, &script(&ring));
    bench.plain_image();
    bench.ukify("earlykmsg.addon.efi", &receiver.word());
    let image = bench.boot_path();
    let add_on = format!("{}/earlykmsg.addon.efi", folder.replace("NAME.efi", &image));
    assert_ships(&bench, &[("linux.efi", &image), ("earlykmsg.addon.efi", &add_on)], &receiver, &ring);
}

#[test]
fn long_built_with_two_archives() {
    assert_ships_when_built_with_two_archives(Machine::AMD64);
}

#[test]
fn long_built_with_two_archives_for_arm64() {
    assert_ships_when_built_with_two_archives(Machine::ARM64);
}

#[test]
fn long_an_add_on_for_one_image() {
    assert_ships_by_an_add_on(Machine::AMD64, "one", "NAME.efi.extra.d");
}

#[test]
fn long_an_add_on_for_one_image_for_arm64() {
    assert_ships_by_an_add_on(Machine::ARM64, "one", "NAME.efi.extra.d");
}

#[test]
fn long_an_add_on_for_all_images() {
    assert_ships_by_an_add_on(Machine::AMD64, "all", "loader/addons");
}

/// The names that the documentation has for the processors are those of the machines.
#[test]
fn the_table_of_names() {
    let text = include_str!("../../docs/uki.md");
    for machine in [Machine::AMD64, Machine::ARM64] {
        let (arch, efi) = (machine.architecture.debian, machine.efi_name);
        let upper = efi.to_uppercase();
        let row = format!(
            "| {arch} | `earlykmsg-{arch}.cpio.zst` | `addon{efi}.efi.stub` | `linux{efi}.efi.stub` | `BOOT{upper}.EFI` |"
        );
        assert!(text.contains(&row), "no {row}");
    }
}
