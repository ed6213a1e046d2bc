//! The command `initramfs`: writes what is published into a folder.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, io};

use earlykmsg_initramfs::drivers::Drivers;
use earlykmsg_initramfs::overlay::{Overlay, Programs, read_program};
use earlykmsg_initramfs::release::Release;

const USAGE: &str = "\
usage: initramfs release --program FILE [--program FILE]... [--viewer FILE]
                         --out FOLDER
       initramfs drivers --kernel FOLDER --out FOLDER [NAME[,NAME]...]...

release: writes what is published of programs, each built for another processor
and with earlykmsg-network and earlykmsg-pstore beside it, into FOLDER: as they are
and packed as /earlykmsg, /earlykmsg.d/network and /earlykmsg.d/pstore into an
archive that can be put behind any other image (.cpio, .cpio.gz, .cpio.zst), their packages (.deb, .rpm), the
extension for Talos (.tar and, of all together, an OCI image layout), the bill of
materials (.cdx.json), and SHA256SUMS; of the viewer, its package (.deb).

drivers: packs the usual network drivers of a kernel, or those named, with all
that they need as /earlykmsg.d into an archive of the same three forms. The
kernel is the folder /lib/modules/VERSION or a package that was unpacked. Drivers
that need firmware are left out and listed.
";

fn main() -> ExitCode {
    let words: Vec<OsString> = env::args_os().skip(1).collect();
    if words.iter().any(|word| word == "--help" || word == "-h") {
        print!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let Some(order) = Order::from(words) else {
        eprint!("{USAGE}");
        return ExitCode::from(64);
    };
    match order.carry_out() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("initramfs: {why}");
            ExitCode::FAILURE
        }
    }
}

enum Order {
    Release { programs: Vec<PathBuf>, viewer: Option<PathBuf>, out: PathBuf },
    Drivers { kernel: PathBuf, names: Vec<String>, out: PathBuf },
}

impl Order {
    fn from(words: Vec<OsString>) -> Option<Order> {
        let mut words = words.into_iter();
        let order = words.next()?;
        let (mut programs, mut viewer, mut out) = (Vec::new(), None, None);
        let (mut kernel, mut names) = (None, Vec::new());
        while let Some(word) = words.next() {
            match word.to_str()? {
                "--program" if order == "release" => programs.push(words.next()?.into()),
                "--viewer" if order == "release" => viewer = Some(words.next()?.into()),
                "--kernel" if order == "drivers" => kernel = Some(words.next()?.into()),
                "--out" => out = Some(words.next()?.into()),
                list if order == "drivers" && !list.starts_with('-') => {
                    names.extend(list.split(',').filter(|name| !name.is_empty()).map(str::to_owned));
                }
                _ => return None,
            }
        }
        match order.to_str()? {
            "release" if !programs.is_empty() => Some(Order::Release { programs, viewer, out: out? }),
            "drivers" => Some(Order::Drivers { kernel: kernel?, names, out: out? }),
            _ => None,
        }
    }

    fn carry_out(&self) -> io::Result<()> {
        match self {
            Order::Release { programs, viewer, out } => {
                let programs: Vec<Programs> =
                    programs.iter().map(|path| Programs::read(path)).collect::<io::Result<_>>()?;
                let viewer = viewer.as_deref().map(read_program).transpose()?;
                let release = Release::new(&programs, viewer.as_deref(), &env::temp_dir())?;
                for path in release.write_to(out)? {
                    println!("{}", path.display());
                }
                Ok(())
            }
            Order::Drivers { kernel, names, out } => pack_drivers(kernel, names, out),
        }
    }
}

fn pack_drivers(kernel: &Path, names: &[String], out: &Path) -> io::Result<()> {
    let drivers = Drivers::of(kernel, names)?;
    for line in &drivers.left_out {
        println!("{line}");
    }
    println!("{} modules for the kernel {}", drivers.modules, drivers.release);
    let overlay = Overlay::of(&drivers.image)?;
    let told = |path: &Path| {
        let path = path.display().to_string();
        move |why: io::Error| io::Error::new(why.kind(), format!("unable to write {path}: {why}"))
    };
    fs::create_dir_all(out).map_err(told(out))?;
    for (ending, bytes) in [("cpio", overlay.cpio), ("cpio.gz", overlay.gzip), ("cpio.zst", overlay.zstd)] {
        let path = out.join(format!("earlykmsg-drivers-{}.{ending}", drivers.release));
        fs::write(&path, bytes).map_err(told(&path))?;
        println!("{}", path.display());
    }
    Ok(())
}
