//! Unified kernel images by the commands of docs/uki.md, started by UEFI firmware: built with earlykmsg, and with an
//! add-on beside an image that stays as it is.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use earlykmsg_initramfs::overlay::Overlay;
use earlykmsg_qemu::{Boot, CONSOLE, End, Kernel, LONG, Receiver, earlykmsg, image, target_dir};

/// A folder with what the commands of the documentation name.
struct Bench {
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
    fn new(name: &str, script: &str) -> Bench {
        let kernel = Kernel::debian().unwrap();
        let home = target_dir().join("qemu");
        let folder = home.join(format!("uki-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let bench = Bench { folder, tools: tools(&home) };
        fs::copy(&kernel.vmlinuz, bench.folder.join("vmlinuz")).unwrap();
        let initramfs = image::standard(&kernel, script).unwrap().to_cpio();
        fs::write(bench.folder.join("initrd.img"), initramfs).unwrap();
        let overlay = Overlay::new(&earlykmsg().unwrap()).unwrap();
        fs::write(bench.folder.join("earlykmsg-amd64.cpio.zst"), overlay.zstd).unwrap();
        bench
    }

    /// The documented command that writes a file, with this test's words in place of the documentation's.
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
            .replace("/usr/lib/systemd/boot/efi", &format!("{tools}/usr/lib/systemd/boot/efi"))
            .replace(
                "--linux=",
                &format!("--stub={tools}/usr/lib/systemd/boot/efi/linuxx64.efi.stub --linux="),
            )
            .replace("ukify build", &format!("/usr/bin/python3 {tools}/usr/bin/ukify build"));
        run(Command::new("sh").args(["-ec", &command]).current_dir(&self.folder));
    }

    /// An image without earlykmsg.
    fn plain_image(&self, words: &str) {
        let stub = self.tools.join("usr/lib/systemd/boot/efi/linuxx64.efi.stub");
        run(Command::new("/usr/bin/python3") // Debian's, with python3-pefile
            .arg(self.tools.join("usr/bin/ukify"))
            .args(["build", "--linux=vmlinuz", "--initrd=initrd.img", "--output=linux.efi"])
            .arg(format!("--stub={}", stub.display()))
            .arg(format!("--cmdline={words}"))
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

/// Fetched once, by the first that needs them.
fn tools(home: &Path) -> PathBuf {
    let folder = home.join("uki-tools");
    let lock = File::create(home.join("uki-tools.lock")).unwrap();
    lock.lock().unwrap();
    if !folder.exists() {
        let part = home.join("uki-tools.part");
        let _ = fs::remove_dir_all(&part); // of a fetch that was broken off
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("guest/uki/fetch.sh");
        run(Command::new(script).arg(&part));
        fs::rename(part.join("tree"), &folder).unwrap();
    }
    folder
}

fn script(ring: &Receiver) -> String {
    format!("network_up; say 'of the init'; send_ring {}; wait_for_go", ring.port())
}

/// Started from a disk, all records arrive.
fn assert_ships(disk: &Path, receiver: &Receiver, ring: &Receiver) {
    let mut guest = Boot::from_firmware(disk).start().unwrap();
    guest.wait_ready(LONG).unwrap();
    let records = guest.explain(receiver.wait_whole_ring(ring, LONG)).unwrap();
    assert_eq!(records[0].seq, 0, "{}", guest.failure("the first record"));
    assert!(records.iter().any(|record| record.msg.contains("of the init")), "{}", guest.failure("no init"));
    guest.go().unwrap();
    assert_eq!(guest.wait_exit(LONG).unwrap(), End::Off);
    println!("{} records, {:.1} s", records.len(), guest.age().as_secs_f64());
}

#[test]
fn long_built_with_two_archives() {
    let (receiver, ring) = (Receiver::tcp(), Receiver::tcp());
    let bench = Bench::new("two", &script(&ring));
    bench.ukify("linux.efi", &format!("{} {CONSOLE}", receiver.word()));
    assert_ships(&bench.disk(&[("linux.efi", "EFI/BOOT/BOOTX64.EFI")]), &receiver, &ring);
}

#[test]
fn long_an_add_on_for_one_image() {
    let (receiver, ring) = (Receiver::tcp(), Receiver::tcp());
    let bench = Bench::new("one", &script(&ring));
    bench.plain_image(CONSOLE);
    bench.ukify("earlykmsg.addon.efi", &receiver.word());
    let disk = bench.disk(&[
        ("linux.efi", "EFI/BOOT/BOOTX64.EFI"),
        ("earlykmsg.addon.efi", "EFI/BOOT/BOOTX64.EFI.extra.d/earlykmsg.addon.efi"),
    ]);
    assert_ships(&disk, &receiver, &ring);
}

#[test]
fn long_an_add_on_for_all_images() {
    let (receiver, ring) = (Receiver::tcp(), Receiver::tcp());
    let bench = Bench::new("all", &script(&ring));
    bench.plain_image(CONSOLE);
    bench.ukify("earlykmsg.addon.efi", &receiver.word());
    let disk = bench.disk(&[
        ("linux.efi", "EFI/BOOT/BOOTX64.EFI"),
        ("earlykmsg.addon.efi", "loader/addons/earlykmsg.addon.efi"),
    ]);
    assert_ships(&disk, &receiver, &ring);
}
