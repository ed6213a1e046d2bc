//! What is published: judged by the tools that will read it (`dpkg-deb`, lintian, rpm, tar, skopeo, umoci), and by
//! packing it twice.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs};

use earlykmsg_initramfs::release::{TALOS_OCI, VERSION};
use earlykmsg_tests::binary;
use serde_json::Value;

/// As much of an ELF header as tells the processor.
const AMD64: &[u8] = b"\x7fELF the program \x00\x3e\x00";
const ARM64: &[u8] = b"\x7fELF the program \x00\xb7\x00";
const RISCV64: &[u8] = b"\x7fELF the program \x00\xf3\x00";

/// A folder that is gone when the test is over.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The programs for a processor: the same bytes each.
    fn programs(&self, name: &str, bytes: &[u8]) -> PathBuf {
        fs::create_dir(self.path(name)).unwrap();
        self.file(&format!("{name}/earlykmsg-network"), bytes);
        self.file(&format!("{name}/earlykmsg-pstore"), bytes);
        self.file(&format!("{name}/earlykmsg"), bytes)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn pack(programs: &[&Path], out: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_initramfs"));
    command.arg("release").env_remove("SOURCE_DATE_EPOCH");
    for program in programs {
        command.arg("--program").arg(program);
    }
    command.arg("--out").arg(out).output().unwrap()
}

/// The release of the program itself, in a folder.
fn released(name: &str) -> Folder {
    let folder = Folder::new(name);
    let output = pack(&[binary::earlykmsg()], &folder.0);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    folder
}

/// What a tool says that has to succeed.
fn said(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|why| panic!("{command:?}: {why}"));
    let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}{errors}", output.status);
    out.into_owned()
}

fn shell(script: &str, file: &Path) -> String {
    said(Command::new("bash").args(["-e", "-o", "pipefail", "-c", script]).arg(file))
}

/// A program for each processor, and every file of each with its checksum.
#[test]
fn the_command() {
    let folder = Folder::new("release-command");
    let programs = [("amd64", AMD64), ("arm64", ARM64), ("riscv64", RISCV64)];
    let programs = programs.map(|(name, bytes)| folder.programs(name, bytes));
    let out = folder.path("a/b");
    let output = pack(&programs.each_ref().map(PathBuf::as_path), &out);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let of = |debian: &str, rpm: &str| {
        [
            format!("earlykmsg-{debian}"),
            format!("earlykmsg-network-{debian}"),
            format!("earlykmsg-pstore-{debian}"),
            format!("earlykmsg-{debian}.cpio"),
            format!("earlykmsg-{debian}.cpio.gz"),
            format!("earlykmsg-{debian}.cpio.zst"),
            format!("earlykmsg_{VERSION}_{debian}.deb"),
            format!("earlykmsg-{VERSION}-1.{rpm}.rpm"),
            format!("earlykmsg-talos-{debian}.tar"),
            format!("earlykmsg-{debian}.cdx.json"),
        ]
    };
    let processors = [("amd64", "x86_64"), ("arm64", "aarch64"), ("riscv64", "riscv64")];
    let all = processors.map(|(debian, rpm)| of(debian, rpm)).concat();
    let expected: Vec<&str> =
        all.iter().map(String::as_str).chain(["earlykmsg-talos-oci.tar", "SHA256SUMS"]).collect();
    let paths = String::from_utf8(output.stdout).unwrap();
    let names: Vec<&str> = paths.lines().map(|path| path.rsplit_once('/').unwrap().1).collect();
    assert_eq!(names, expected);
    let sums = said(Command::new("sha256sum").args(["--check", "--strict", "SHA256SUMS"]).current_dir(&out));
    assert_eq!(sums.lines().count() + 1, names.len());

    for (debian, machine) in processors {
        let deb = out.join(format!("earlykmsg_{VERSION}_{debian}.deb"));
        let field = said(Command::new("dpkg-deb").arg("--field").arg(deb).arg("Architecture"));
        assert_eq!(field.trim(), debian);
        let rpm = out.join(format!("earlykmsg-{VERSION}-1.{machine}.rpm"));
        let tag = said(Command::new("rpm").args(["-qp", "--queryformat", "%{ARCH}"]).arg(rpm));
        assert_eq!(tag, machine);
        let talos = out.join(format!("earlykmsg-talos-{debian}.tar"));
        let program = out.join(format!("earlykmsg-{debian}"));
        let compare = "tar -xOf \"$0\" rootfs/usr/lib/firmware/earlykmsg | cmp -";
        shell(&format!("{compare} '{}'", program.display()), &talos);
    }

    assert_eq!(fs::read(out.join("earlykmsg-amd64")).unwrap(), AMD64);
    assert_eq!(fs::metadata(out.join("earlykmsg-amd64")).unwrap().permissions().mode() & 0o777, 0o755);
    let plain = out.join("earlykmsg-amd64.cpio");
    let names = shell("cpio -it --quiet < \"$0\"", &plain);
    assert_eq!(names, "earlykmsg\nearlykmsg.d\nearlykmsg.d/network\nearlykmsg.d/pstore\n");
    for name in ["earlykmsg", "earlykmsg.d/network", "earlykmsg.d/pstore"] {
        let content = shell(&format!("cpio -i --to-stdout --quiet {name} < \"$0\""), &plain);
        assert_eq!(content.as_bytes(), AMD64);
    }
    shell("gzip -dc \"$0.gz\" | cmp - \"$0\"", &plain);
    shell("zstd -dc \"$0.zst\" | cmp - \"$0\"", &plain);
}

#[test]
fn what_cannot_be_packed_is_told() {
    let folder = Folder::new("release-mistakes");
    let refused = |program: &Path, out: &Path| {
        let output = pack(&[program], out);
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let (none, out) = (folder.path("none"), folder.path("out"));
    let expected =
        format!("initramfs: unable to read {}: No such file or directory (os error 2)\n", none.display());
    assert_eq!(refused(&none, &out), expected);
    let program = folder.programs("programs", AMD64);
    let below_a_file = program.join("out");
    let expected = format!(
        "initramfs: unable to make the folder {}: Not a directory (os error 20)\n",
        below_a_file.display()
    );
    assert_eq!(refused(&program, &below_a_file), expected);
    let script = folder.programs("scripts", b"#!/bin/sh\n");
    let expected = format!("initramfs: unable to pack {}: not an ELF program\n", script.display());
    assert_eq!(refused(&script, &out), expected);
    let elsewhere = folder.programs("elsewhere", b"\x7fELF the program \x00\x03\x00");
    assert_eq!(refused(&elsewhere, &out), "initramfs: the program is for none of x86_64, aarch64, riscv64\n");
    assert!(!out.exists());
}

/// Whatever the umask, the time and the folder are.
#[test]
fn the_same_bytes_twice() {
    let folder = Folder::new("release-twice");
    let program = folder.programs("programs", AMD64);
    let pack = |umask: &str, out: &str, date: Option<&str>| {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("umask {umask}; exec \"$@\""), "sh", env!("CARGO_BIN_EXE_initramfs")]);
        command.args(["release", "--program"]).arg(&program).arg("--out").arg(folder.path(out));
        command.env_remove("SOURCE_DATE_EPOCH").env("TZ", "Pacific/Kiritimati").current_dir(&folder.0);
        command.envs(date.map(|date| ("SOURCE_DATE_EPOCH", date)));
        said(&mut command);
        fs::read_to_string(folder.path(out).join("SHA256SUMS")).unwrap()
    };
    let one = pack("022", "one", None);
    assert_eq!(one, pack("077", "another folder", None));
    let other = pack("022", "other", Some("1700000000"));
    let dated: Vec<&str> = one
        .lines()
        .filter(|line| !other.contains(*line))
        .map(|line| line.split_once("  ").unwrap().1)
        .collect();
    let packages = [format!("earlykmsg_{VERSION}_amd64.deb"), format!("earlykmsg-{VERSION}-1.x86_64.rpm")];
    assert_eq!(dated, [&packages[0], &packages[1], "earlykmsg-talos-amd64.tar", TALOS_OCI]);
}

#[test]
fn the_package_for_debian() {
    let folder = released("release-deb");
    let deb = folder.path(&format!("earlykmsg_{VERSION}_amd64.deb"));
    let field = |name: &str| said(Command::new("dpkg-deb").arg("--field").arg(&deb).arg(name));
    assert_eq!(field("Package"), "earlykmsg\n");
    assert_eq!(field("Version"), format!("{VERSION}\n"));
    assert_eq!(field("Architecture"), "amd64\n");
    // It is static: nothing must be installed beside it.
    assert_eq!(field("Depends").trim(), "");

    let root = folder.path("root");
    said(Command::new("dpkg-deb").arg("--raw-extract").arg(&deb).arg(&root));
    let control: Vec<String> = names_in(&root.join("DEBIAN"));
    // No script runs as root: the trigger does all.
    assert_eq!(control, ["control", "md5sums", "triggers"]);
    assert_eq!(
        fs::read_to_string(root.join("DEBIAN/triggers")).unwrap(),
        "activate-noawait update-initramfs\n"
    );
    said(Command::new("md5sum").args(["--check", "--strict", "DEBIAN/md5sums"]).current_dir(&root));
    let list = said(Command::new("dpkg-deb").arg("--contents").arg(&deb));
    let files: Vec<(&str, &str)> = list
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .inspect(|words| assert_eq!(words[1], "root/root"))
        .map(|words| (words[0], words[5]))
        .filter(|(mode, _)| mode.starts_with('-'))
        .collect();
    let (program, data) = ("-rwxr-xr-x", "-rw-r--r--");
    assert_eq!(
        files,
        [
            (program, "./usr/lib/dracut/modules.d/01earlykmsg/earlykmsg.sh"),
            (program, "./usr/lib/dracut/modules.d/01earlykmsg/module-setup.sh"),
            (program, "./usr/lib/earlykmsg/network"),
            (program, "./usr/lib/earlykmsg/pstore"),
            (program, "./usr/sbin/earlykmsg"),
            (data, "./usr/share/doc/earlykmsg/CHANGELOG.md.gz"),
            (data, "./usr/share/doc/earlykmsg/changelog.gz"),
            (data, "./usr/share/doc/earlykmsg/copyright"),
            (data, "./usr/share/doc/earlykmsg/earlykmsg.cdx.json"),
            (data, "./usr/share/doc/earlykmsg/examples/grub.cfg"),
            (program, "./usr/share/initramfs-tools/hooks/earlykmsg"),
            (program, "./usr/share/initramfs-tools/scripts/init-top/earlykmsg"),
            (data, "./usr/share/lintian/overrides/earlykmsg"),
            (data, "./usr/share/man/man8/earlykmsg.8.gz"),
        ]
    );
    assert_holds_the_programs(&root);
    let is_built = |path: &str| path.ends_with("sbin/earlykmsg") || path.contains("/lib/earlykmsg/");
    for script in files.iter().filter(|(mode, path)| *mode == program && !is_built(path)) {
        said(Command::new("sh").arg("-n").arg(root.join(script.1)));
    }
}

/// All, as they were built.
fn assert_holds_the_programs(root: &Path) {
    for (path, program) in [
        ("usr/sbin/earlykmsg", binary::earlykmsg()),
        ("usr/lib/earlykmsg/network", &binary::earlykmsg_network()),
        ("usr/lib/earlykmsg/pstore", &binary::earlykmsg_pstore()),
    ] {
        assert!(fs::read(root.join(path)).unwrap() == fs::read(program).unwrap(), "{path}");
    }
}

/// Errors and warnings: none that is not overridden with a reason.
#[test]
fn lintian_has_nothing_to_say_about_it() {
    let folder = Folder::new("release-lintian");
    let programs = [binary::earlykmsg().to_owned(), binary::cross("arm64"), binary::cross("riscv64")];
    let output = pack(&programs.each_ref().map(PathBuf::as_path), &folder.0);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for architecture in ["amd64", "arm64", "riscv64"] {
        let words = said(
            Command::new("lintian")
                .args(["--allow-root", "--no-tag-display-limit", "--fail-on", "error,warning"])
                .arg(folder.path(&format!("earlykmsg_{VERSION}_{architecture}.deb"))),
        );
        assert_eq!(words, "", "{architecture}");
    }
}

/// For the machine that receives: a command and its manual page. (tests/tests/reproducible.rs looks at the real one.)
#[test]
fn the_package_of_the_viewer() {
    let folder = Folder::new("release-viewer");
    let (program, viewer) = (folder.programs("programs", ARM64), folder.file("viewer", AMD64));
    let mut command = Command::new(env!("CARGO_BIN_EXE_initramfs"));
    command.args(["release", "--program"]).arg(program).arg("--viewer").arg(viewer);
    said(command.arg("--out").arg(folder.path("out")).env_remove("SOURCE_DATE_EPOCH"));
    let deb = folder.path(&format!("out/earlykmsg-view_{VERSION}_amd64.deb"));
    let field = |name: &str| said(Command::new("dpkg-deb").arg("--field").arg(&deb).arg(name));
    assert_eq!(field("Package"), "earlykmsg-view\n");
    assert_eq!(field("Depends").trim(), "");
    let root = folder.path("root");
    said(Command::new("dpkg-deb").arg("--raw-extract").arg(&deb).arg(&root));
    assert_eq!(names_in(&root.join("DEBIAN")), ["control", "md5sums"]);
    said(Command::new("md5sum").args(["--check", "--strict", "DEBIAN/md5sums"]).current_dir(&root));
    let files =
        said(Command::new("find").arg("usr").args(["-type", "f", "-printf", "%m %p\n"]).current_dir(&root));
    let mut files: Vec<&str> = files.lines().collect();
    files.sort_unstable();
    assert_eq!(
        files,
        [
            "644 usr/share/doc/earlykmsg-view/CHANGELOG.md.gz",
            "644 usr/share/doc/earlykmsg-view/changelog.gz",
            "644 usr/share/doc/earlykmsg-view/copyright",
            "644 usr/share/doc/earlykmsg-view/earlykmsg-view.cdx.json",
            "644 usr/share/lintian/overrides/earlykmsg-view",
            "644 usr/share/man/man1/earlykmsg-view.1.gz",
            "755 usr/bin/earlykmsg-view",
        ]
    );
    assert_eq!(fs::read(root.join("usr/bin/earlykmsg-view")).unwrap(), AMD64);
    let bill = fs::read(root.join("usr/share/doc/earlykmsg-view/earlykmsg-view.cdx.json")).unwrap();
    let bill: Value = serde_json::from_slice(&bill).unwrap();
    assert_eq!(bill["metadata"]["component"]["name"], "earlykmsg-view");
}

#[test]
fn the_package_for_rpm() {
    let folder = released("release-rpm");
    let rpm = folder.path(&format!("earlykmsg-{VERSION}-1.x86_64.rpm"));
    let ask = |format: &str| said(Command::new("rpm").args(["-qp", "--queryformat", format]).arg(&rpm));
    assert_eq!(
        ask("%{NAME} %{VERSION} %{RELEASE} %{ARCH} %{BUILDHOST}"),
        format!("earlykmsg {VERSION} 1 x86_64 reproducible")
    );
    let needs = said(Command::new("rpm").args(["-qp", "--requires"]).arg(&rpm));
    let needs: Vec<&str> = needs.lines().filter(|need| !need.starts_with("rpmlib(")).collect();
    assert!(needs.iter().all(|need| *need == "/bin/sh"), "{needs:?}");
    let mut files = ask("[%{FILEMODES:perms} %{FILEUSERNAME} %{FILENAMES}\n]")
        .lines()
        .map(str::to_owned)
        .collect::<Vec<_>>();
    files.sort();
    assert_eq!(
        files,
        [
            "-rw-r--r-- root /usr/share/doc/earlykmsg/CHANGELOG.md.gz",
            "-rw-r--r-- root /usr/share/doc/earlykmsg/copyright",
            "-rw-r--r-- root /usr/share/doc/earlykmsg/earlykmsg.cdx.json",
            "-rw-r--r-- root /usr/share/man/man8/earlykmsg.8.gz",
            "-rwxr-xr-x root /usr/lib/dracut/modules.d/01earlykmsg/earlykmsg.sh",
            "-rwxr-xr-x root /usr/lib/dracut/modules.d/01earlykmsg/module-setup.sh",
            "-rwxr-xr-x root /usr/lib/earlykmsg/network",
            "-rwxr-xr-x root /usr/lib/earlykmsg/pstore",
            "-rwxr-xr-x root /usr/sbin/earlykmsg",
            "drwxr-xr-x root /usr/lib/dracut/modules.d/01earlykmsg",
            "drwxr-xr-x root /usr/lib/earlykmsg",
            "drwxr-xr-x root /usr/share/doc/earlykmsg",
        ]
    );

    // Into a root, and out of it again. Its scripts have nothing to run there.
    let root = folder.path("root");
    fs::create_dir(&root).unwrap();
    let manage = |arguments: &[&str]| {
        said(Command::new("rpm").arg("--root").arg(&root).args(["--nodeps", "--noscripts"]).args(arguments))
    };
    manage(&["--install", rpm.to_str().unwrap()]);
    assert_holds_the_programs(&root);
    manage(&["--erase", "earlykmsg"]);
    let left = said(Command::new("find").arg(root.join("usr")).args(["-not", "-type", "d"]));
    assert!(!left.contains("earlykmsg"), "{left}");
}

#[test]
fn the_extension_for_talos() {
    let folder = released("release-talos");
    let tar = folder.path("earlykmsg-talos-amd64.tar");
    let list = said(Command::new("tar").args(["--list", "--verbose", "--numeric-owner", "--file"]).arg(&tar));
    let list: Vec<String> = list
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .map(|words| format!("{} {} {}", words[0], words[1], words[5]))
        .collect();
    assert_eq!(
        list,
        [
            "-rw-r--r-- 0/0 manifest.yaml",
            "drwxr-xr-x 0/0 rootfs/",
            "drwxr-xr-x 0/0 rootfs/usr/",
            "drwxr-xr-x 0/0 rootfs/usr/lib/",
            "drwxr-xr-x 0/0 rootfs/usr/lib/firmware/",
            "-rwxr-xr-x 0/0 rootfs/usr/lib/firmware/earlykmsg",
        ]
    );
    let manifest = shell("tar -xOf \"$0\" manifest.yaml", &tar);
    for line in [
        "version: v1alpha1",
        "  name: earlykmsg",
        &format!("  version: {VERSION}"),
        "      version: \">= v1.10.0\"",
    ] {
        assert!(manifest.lines().any(|found| found == line), "no {line:?} in\n{manifest}");
    }
    let program = binary::earlykmsg().display();
    shell(&format!("tar -xOf \"$0\" rootfs/usr/lib/firmware/earlykmsg | cmp - '{program}'"), &tar);
}

/// As others read it: skopeo, which copies it to a registry, and umoci, which unpacks it.
#[test]
fn the_extension_as_an_oci_image() {
    let folder = Folder::new("release-oci");
    let arm64 = folder.programs("arm64", ARM64);
    let out = folder.path("out");
    let output = pack(&[binary::earlykmsg(), &arm64], &out);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let layout = folder.path("layout");
    fs::create_dir(&layout).unwrap();
    said(Command::new("tar").arg("-xf").arg(out.join(TALOS_OCI)).arg("-C").arg(&layout));
    for (name, program) in [("amd64", fs::read(binary::earlykmsg()).unwrap()), ("arm64", ARM64.to_vec())] {
        let tag = format!("{VERSION}-{name}");
        let image = format!("{}:{tag}", layout.display());
        let seen = said(Command::new("skopeo").args(["inspect", &format!("oci:{image}")]));
        let seen: Value = serde_json::from_str(&seen).unwrap();
        assert_eq!((&seen["Architecture"], &seen["Os"]), (&name.into(), &"linux".into()));
        assert_eq!(seen["Layers"].as_array().unwrap().len(), 1);
        // Digests and sizes are right, else it would not be copied.
        let copy = format!("dir:{}", folder.path(&format!("copy-{name}")).display());
        let archive = format!("oci-archive:{}:{tag}", out.join(TALOS_OCI).display());
        said(Command::new("skopeo").args(["--insecure-policy", "copy", "--quiet", &archive, &copy]));

        let bundle = folder.path(&format!("bundle-{name}"));
        said(Command::new("umoci").args(["unpack", "--image", &image]).arg(&bundle));
        let root = bundle.join("rootfs");
        assert_eq!(names_in(&root), ["manifest.yaml", "rootfs"]);
        let unpacked = root.join("rootfs/usr/lib/firmware/earlykmsg");
        assert!(fs::read(&unpacked).unwrap() == program);
        assert_eq!(fs::metadata(&unpacked).unwrap().permissions().mode() & 0o777, 0o755);
    }
    // Talos's imager takes the one whose platform is that of the image that it makes.
    let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let platforms: Vec<&str> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|image| image["platform"]["architecture"].as_str().unwrap())
        .collect();
    assert_eq!(platforms, ["amd64", "arm64"]);
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

/// The tools have a version of their own, which packages and archives carry: it is that of the program.
#[test]
fn the_version_is_that_of_the_program() {
    let program = include_str!("../../Cargo.toml");
    assert!(program.contains(&format!("version = \"{VERSION}\"\n")), "{VERSION} is not in Cargo.toml");
}
