//! The overlay of drivers, made of modules that hold nothing but what modules say of themselves. A real kernel's are in
//! qemu/tests/drivers.rs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs};

use earlykmsg_initramfs::drivers::Drivers;

/// A kernel's folder of modules, gone when the test is over.
struct Kernel(PathBuf);

impl Kernel {
    fn new(name: &str) -> Kernel {
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("drivers-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("kernel")).unwrap();
        fs::write(
            path.join("modules.builtin"),
            "kernel/drivers/virtio/virtio-pci.ko\nkernel/crypto/crc32c.ko\n",
        )
        .unwrap();
        Kernel(path)
    }

    /// A module: an object file with the fields in its section `.modinfo`, compressed by what its name ends in.
    fn module(self, file: &str, fields: &[&str]) -> Kernel {
        let path = self.0.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let (plain, compressor) = match file.rsplit_once('.').unwrap() {
            (plain, "xz") => (plain, Some(["xz", "--check=crc32"])),
            (plain, "zst") => (plain, Some(["zstd", "--quiet"])),
            (plain, "gz") => (plain, Some(["gzip", "--no-name"])),
            _ => (file, None),
        };
        let plain = self.0.join(plain);
        let source = plain.with_extension("S");
        let fields = fields.iter().map(|field| format!(".asciz \"{field}\"\n")).collect::<String>();
        let text =
            format!(".section .modinfo,\"a\"\n.asciz \"vermagic=6.1.0-test SMP mod_unload\"\n{fields}");
        fs::write(&source, text).unwrap();
        ran(Command::new("cc").arg("-c").arg(&source).arg("-o").arg(&plain));
        fs::remove_file(source).unwrap();
        if let Some([program, option]) = compressor {
            ran(Command::new(program).arg(option).arg(&plain));
            let _ = fs::remove_file(plain);
        }
        self
    }

    fn drivers(&self, names: &[&str]) -> std::io::Result<Drivers> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Drivers::of(&self.0, &names)
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn ran(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|why| panic!("{command:?}: {why}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// The files of an overlay as `cpio` unpacks them, by their names.
fn files(drivers: &Drivers) -> BTreeMap<String, Vec<u8>> {
    let folder = new_folder();
    fs::write(folder.join("archive"), drivers.image.to_cpio()).unwrap();
    ran(Command::new("sh").args(["-c", "cpio -id --quiet < archive && rm archive"]).current_dir(&folder));
    let list = ran(Command::new("find").args([".", "-type", "f", "-printf", "%P\\n"]).current_dir(&folder));
    let names = String::from_utf8(list.stdout).unwrap();
    let files = names.lines().map(|name| (name.to_owned(), fs::read(folder.join(name)).unwrap())).collect();
    fs::remove_dir_all(folder).unwrap();
    files
}

fn new_folder() -> PathBuf {
    let template = Path::new(env!("CARGO_TARGET_TMPDIR")).join("drivers.XXXXXX");
    let made = ran(Command::new("mktemp").arg("-d").arg(template));
    PathBuf::from(String::from_utf8(made.stdout).unwrap().trim())
}

fn text(files: &BTreeMap<String, Vec<u8>>, name: &str) -> String {
    String::from_utf8(files[&format!("earlykmsg.d/{name}")].clone()).unwrap()
}

/// A card with dependencies upon dependencies, in all forms that modules have, and others that nobody asked for.
fn card(name: &str) -> Kernel {
    Kernel::new(name)
        .module(
            "kernel/net/card.ko.xz",
            &["alias=pci:v00001234d*", "alias=pci:v00005678d*", "depends=bus-lib,mdio"],
        )
        .module("kernel/lib/bus-lib.ko.zst", &["depends=virtio_pci,base"])
        .module("kernel/lib/base.ko.gz", &["depends="])
        .module("kernel/lib/mdio.ko", &["depends=base", "softdep=pre: crc32c phy post: late"])
        .module("kernel/phy/phy.ko", &["alias=mdio:1"])
        .module("kernel/phy/late.ko", &["firmware=late.fw"])
        .module("kernel/sound/sound.ko", &["alias=pci:v0000aaaad*"])
}

#[test]
fn a_driver_with_all_that_it_needs() {
    let kernel = card("all");
    let drivers = kernel.drivers(&["card"]).unwrap();
    assert_eq!((&drivers.release[..], drivers.modules), ("6.1.0-test", 5));
    assert_eq!(drivers.left_out, ["needs firmware: late, which mdio can do without"]);
    let files = files(&drivers);
    let names: Vec<&str> = files.keys().map(|name| name.strip_prefix("earlykmsg.d/").unwrap()).collect();
    assert_eq!(
        names,
        [
            "kernel/lib/base.ko.gz",
            "kernel/lib/bus-lib.ko.zst",
            "kernel/lib/mdio.ko",
            "kernel/net/card.ko.xz",
            "kernel/phy/phy.ko",
            "modules.alias",
            "modules.dep",
            "modules.softdep",
        ]
    );
    for name in names.iter().filter(|name| name.starts_with("kernel/")) {
        assert_eq!(files[&format!("earlykmsg.d/{name}")], fs::read(kernel.0.join(name)).unwrap(), "{name}");
    }
    assert_eq!(
        text(&files, "modules.dep"),
        "kernel/lib/base.ko.gz:\n\
         kernel/lib/bus-lib.ko.zst: kernel/lib/base.ko.gz\n\
         kernel/net/card.ko.xz: kernel/lib/mdio.ko kernel/lib/bus-lib.ko.zst kernel/lib/base.ko.gz\n\
         kernel/lib/mdio.ko: kernel/lib/base.ko.gz\n\
         kernel/phy/phy.ko:\n"
    );
    assert_eq!(
        text(&files, "modules.alias"),
        "# Aliases extracted from modules themselves.\n\
         alias pci:v00001234d* card\n\
         alias pci:v00005678d* card\n\
         alias mdio:1 phy\n"
    );
    assert_eq!(
        text(&files, "modules.softdep"),
        "# Soft dependencies extracted from modules themselves.\nsoftdep mdio pre: phy post:\n"
    );
}

#[test]
fn what_needs_firmware_is_left_out() {
    let kernel = card("firmware")
        .module("kernel/net/thirsty.ko", &["firmware=a.fw", "firmware=b.fw"])
        .module("kernel/net/upon.ko", &["depends=thirsty"]);
    let drivers = kernel.drivers(&["thirsty", "sound", "upon"]).unwrap();
    assert_eq!(
        drivers.left_out,
        [
            "needs firmware: thirsty (a.fw b.fw)",
            "needs firmware by thirsty, which it depends on: upon (a.fw b.fw)"
        ]
    );
    assert_eq!(drivers.modules, 1);
    let why = kernel.drivers(&["upon"]).unwrap_err().to_string();
    assert!(why.starts_with("no driver is left to pack\nneeds firmware by thirsty"), "{why}");
}

#[test]
fn names_that_are_built_in_or_unknown() {
    let kernel = card("names");
    let drivers = kernel.drivers(&["virtio-pci", "sound"]).unwrap();
    assert_eq!(
        (drivers.modules, drivers.left_out),
        (1, vec!["built into the kernel: virtio_pci".to_owned()])
    );
    assert_eq!(
        kernel.drivers(&["sound", "no-such"]).unwrap_err().to_string(),
        "the kernel has no module no_such"
    );
    let kernel = kernel.module("kernel/net/lonely.ko", &["depends=gone"]);
    assert_eq!(kernel.drivers(&["lonely"]).unwrap_err().to_string(), "a module is missing: gone");
    fs::write(kernel.0.join("kernel/net/broken.ko"), "nothing").unwrap();
    let why = kernel.drivers(&["broken"]).unwrap_err().to_string();
    assert!(why.starts_with("no kernel module: ") && why.contains("kernel/net/broken.ko: "), "{why}");
}

/// A kernel has some of the usual ones, and the others are said.
#[test]
fn the_usual_ones() {
    let kernel =
        card("usual").module("kernel/net/e1000.ko", &[]).module("kernel/net/tg3.ko", &["firmware=tg3.bin"]);
    let drivers = kernel.drivers(&[]).unwrap();
    assert_eq!(drivers.modules, 1);
    let [unknown, builtin, firmware] = &drivers.left_out[..] else { panic!("{:?}", drivers.left_out) };
    assert!(unknown.starts_with("not of this kernel: ") && unknown.contains(" vmxnet3,"), "{unknown}");
    assert_eq!(builtin, "built into the kernel: virtio_pci");
    assert_eq!(firmware, "needs firmware: tg3 (tg3.bin)");
}

/// modprobe takes the one in `updates` too.
#[test]
fn a_newer_module_in_updates() {
    let kernel = card("updates").module("updates/dkms/sound.ko", &["alias=newer"]);
    let files = files(&kernel.drivers(&["sound"]).unwrap());
    assert_eq!(text(&files, "modules.dep"), "updates/dkms/sound.ko:\n");
}

/// The kernel's request for mlx4_en goes to a modprobe that an image without drivers has not.
#[test]
fn a_module_that_only_the_kernel_asks_for() {
    let kernel = card("asked")
        .module("kernel/net/mlx4_core.ko", &["alias=pci:v000015B3d*"])
        .module("kernel/net/mlx4_en.ko", &["depends=mlx4_core"]);
    let files = files(&kernel.drivers(&["mlx4_core"]).unwrap());
    assert!(text(&files, "modules.softdep").ends_with("\nsoftdep mlx4_core post: mlx4_en\n"));
}

/// The script in another folder with relative paths, then what it runs: the three forms, the same bytes each time.
#[test]
fn the_command() {
    let kernel = card("command");
    let package = kernel.0.join("package/usr/lib/modules/6.1.0-test");
    fs::create_dir_all(&package).unwrap();
    for part in ["kernel", "modules.builtin"] {
        fs::rename(kernel.0.join(part), package.join(part)).unwrap();
    }
    let in_folder = |program: &Path, arguments: &[&str]| {
        Command::new(program).args(arguments).current_dir(&kernel.0).output().unwrap()
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("release").canonicalize().unwrap();
    let said = |output: Output| {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let lines = |out: &str| {
        let name = format!("{out}/earlykmsg-drivers-6.1.0-test.cpio");
        format!(
            "needs firmware: late, which mdio can do without\n6 modules for the kernel 6.1.0-test\n\
             {name}\n{name}.gz\n{name}.zst\n"
        )
    };
    let arguments = ["--drivers", "package", "card,sound", "phy", "--out", "one"];
    assert_eq!(said(in_folder(&script, &arguments)), lines("one"));
    let program = Path::new(env!("CARGO_BIN_EXE_initramfs"));
    let arguments = ["drivers", "--out", "two", "--kernel", "package", "sound", "phy,card"];
    assert_eq!(said(in_folder(program, &arguments)), lines("two"));
    let compare = "diff -r one two; cd one; for cpio in *.cpio; do gzip -dc $cpio.gz | cmp - $cpio; \
                   zstd -dc $cpio.zst | cmp - $cpio; done";
    said(in_folder(Path::new("/bin/bash"), &["-e", "-o", "pipefail", "-c", compare]));

    let refused = |program: &Path, arguments: &[&str], code: i32, words: &str| {
        let output = in_folder(program, arguments);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(code) && errors.contains(words), "{arguments:?}: {errors}");
    };
    refused(&script, &["--drivers"], 64, "--drivers KERNEL");
    let drivers = |more: &[&'static str]| [&["drivers", "--out", "three", "--kernel"], more].concat();
    refused(program, &drivers(&["nowhere"]), 1, "no modules in nowhere: neither /lib/modules/VERSION");
    refused(program, &drivers(&["package", "--wrong"]), 64, "usage: initramfs");
    refused(program, &drivers(&["package", "no-such"]), 1, "the kernel has no module no_such");
}
