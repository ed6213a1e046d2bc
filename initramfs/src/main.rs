//! The command `initramfs`: writes what is published into a folder.

use std::env;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use earlykmsg_initramfs::overlay::read_program;
use earlykmsg_initramfs::release::Release;

const USAGE: &str = "\
usage: initramfs release --program FILE [--program FILE]... [--viewer FILE]
                         --out FOLDER

Writes what is published of programs, each built for another processor, into
FOLDER: each as it is and packed as /earlykmsg into an archive that can be put
behind any other image (.cpio, .cpio.gz, .cpio.zst), its packages (.deb, .rpm),
its extension for Talos (.tar and, of all together, an OCI image layout), its
bill of materials (.cdx.json), and SHA256SUMS; of the viewer, its package (.deb).
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

struct Order {
    programs: Vec<PathBuf>,
    viewer: Option<PathBuf>,
    out: PathBuf,
}

impl Order {
    fn from(words: Vec<OsString>) -> Option<Order> {
        let (mut programs, mut viewer, mut out) = (Vec::new(), None, None);
        let mut words = words.into_iter();
        if words.next()? != "release" {
            return None;
        }
        while let Some(word) = words.next() {
            match word.to_str()? {
                "--program" => programs.push(words.next()?.into()),
                "--viewer" => viewer = Some(words.next()?.into()),
                "--out" => out = Some(words.next()?.into()),
                _ => return None,
            }
        }
        (!programs.is_empty()).then_some(Order { programs, viewer, out: out? })
    }

    fn carry_out(&self) -> io::Result<()> {
        let programs: Vec<Vec<u8>> =
            self.programs.iter().map(|path| read_program(path)).collect::<io::Result<_>>()?;
        let viewer = self.viewer.as_deref().map(read_program).transpose()?;
        for path in Release::new(&programs, viewer.as_deref(), &env::temp_dir())?.write_to(&self.out)? {
            println!("{}", path.display());
        }
        Ok(())
    }
}
