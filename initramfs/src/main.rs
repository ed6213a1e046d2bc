//! The command `initramfs`: writes the overlay and what belongs to it into a folder.

use std::env;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use earlykmsg_initramfs::overlay::{Overlay, read_program};
use earlykmsg_initramfs::sbom;

const USAGE: &str = "\
usage: initramfs overlay --program FILE --out FOLDER

Packs FILE as /earlykmsg into an image that can be put behind any other one, and
writes what is published of it: earlykmsg, earlykmsg.cpio, earlykmsg.cpio.gz,
earlykmsg.cpio.zst, earlykmsg.cdx.json (what went into the program) and SHA256SUMS
in FOLDER.
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
        let program = read_program(&self.program)?;
        let sbom = sbom::of(&program)?;
        for path in Overlay::new(&program)?.write_to(&sbom, &self.out)? {
            println!("{}", path.display());
        }
        Ok(())
    }
}
