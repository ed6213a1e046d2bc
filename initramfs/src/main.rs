//! The command `initramfs`: writes the overlay into a folder.

use std::env;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use earlykmsg_initramfs::overlay::{Overlay, read_program};

const USAGE: &str = "\
usage: initramfs overlay --program FILE --out FOLDER

Packs FILE as /earlykmsg into an image that can be put behind any other one:
earlykmsg.cpio, earlykmsg.cpio.gz, earlykmsg.cpio.zst and SHA256SUMS in FOLDER.
";

fn main() -> ExitCode {
    let words: Vec<OsString> = env::args_os().skip(1).collect();
    if words.iter().any(|word| word == "--help" || word == "-h") {
        print!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let Some(order) = Order::from(words) else {
        eprint!("{USAGE}");
        return ExitCode::from(2);
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
    program: PathBuf,
    out: PathBuf,
}

impl Order {
    fn from(words: Vec<OsString>) -> Option<Order> {
        let (mut program, mut out) = (None, None);
        let mut words = words.into_iter();
        if words.next()? != "overlay" {
            return None;
        }
        while let Some(word) = words.next() {
            match word.to_str()? {
                "--program" => program = Some(words.next()?.into()),
                "--out" => out = Some(words.next()?.into()),
                _ => return None,
            }
        }
        Some(Order { program: program?, out: out? })
    }

    fn carry_out(&self) -> io::Result<()> {
        let overlay = Overlay::new(&read_program(&self.program)?)?;
        for path in overlay.write_to(&self.out)? {
            println!("{}", path.display());
        }
        Ok(())
    }
}
