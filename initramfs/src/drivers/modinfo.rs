//! What a kernel module says of itself, in the section `.modinfo` of its file.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use object::{Object, ObjectSection};

use crate::at;

/// The fields that matter here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Modinfo {
    /// The kernel that it was built for, as `uname -r` has it.
    pub(crate) release: String,
    /// The modules whose symbols it uses.
    pub(crate) depends: Vec<String>,
    /// `pre: realtek`, as written.
    pub(crate) softdeps: Vec<String>,
    /// Patterns of the devices that it drives.
    pub(crate) aliases: Vec<String>,
    /// The files that it may ask for, below `/lib/firmware`.
    pub(crate) firmware: Vec<String>,
}

impl Modinfo {
    /// Reads a module's file, compressed or not.
    pub(crate) fn of(path: &Path) -> io::Result<Modinfo> {
        let module = unpacked(path)?;
        let invalid = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
        let no_module = at("no kernel module:", path);
        let section = object::File::parse(&module[..])
            .map_err(|why| invalid(&why.to_string()))
            .and_then(|file| {
                let section =
                    file.section_by_name(".modinfo").ok_or_else(|| invalid("no section .modinfo"))?;
                section.data().map(<[u8]>::to_vec).map_err(|why| invalid(&why.to_string()))
            })
            .map_err(no_module)?;
        Ok(Modinfo::parse(&section))
    }

    /// The section: `field=value` in any number, each with a NUL behind it, some with several.
    fn parse(section: &[u8]) -> Modinfo {
        let mut info = Modinfo::default();
        for pair in section.split(|byte| *byte == 0) {
            let pair = String::from_utf8_lossy(pair);
            let Some((field, value)) = pair.split_once('=') else { continue };
            match field {
                "vermagic" => info.release = value.split(' ').next().unwrap_or_default().to_owned(),
                "depends" => {
                    let names = value.split(',').filter(|name| !name.is_empty());
                    info.depends = names.map(module_name).collect();
                }
                "softdep" => info.softdeps.push(value.to_owned()),
                "alias" => info.aliases.push(value.to_owned()),
                "firmware" => info.firmware.push(value.to_owned()),
                _ => {}
            }
        }
        info
    }
}

/// As the kernel names it: `-` and `_` are the same in names of modules.
pub(crate) fn module_name(text: &str) -> String {
    text.replace('-', "_")
}

/// A file of modules' bytes, unpacked by what its name ends in.
fn unpacked(path: &Path) -> io::Result<Vec<u8>> {
    let bytes = fs::read(path).map_err(at("unable to read", path))?;
    let unpacked = match path.extension().and_then(|ending| ending.to_str()) {
        Some("gz") => {
            let mut unpacked = Vec::new();
            io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(&bytes[..]), &mut unpacked)
                .map(|_| unpacked)
        }
        Some("zst") => zstd::stream::decode_all(&bytes[..]),
        Some("xz") => xz(path),
        _ => Ok(bytes),
    };
    unpacked.map_err(at("unable to unpack", path))
}

fn xz(path: &Path) -> io::Result<Vec<u8>> {
    let output =
        Command::new("xz").args(["--decompress", "--stdout"]).arg(path).stdin(Stdio::null()).output();
    let output = output.map_err(at("unable to start", Path::new("xz (Debian: apt-get install xz-utils)")))?;
    if !output.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_section() {
        let section = b"firmware=a.fw\0alias=pci:v00008086d*\0\0\0license=GPL\0depends=dca,i2c-algo-bit\0\
            softdep=pre: realtek post: x\0alias=virtio:d1v*\0vermagic=6.1.0 SMP preempt\0parm=a:b=c\0no pair\0";
        let info = Modinfo::parse(section);
        assert_eq!(info.release, "6.1.0");
        assert_eq!(info.depends, ["dca", "i2c_algo_bit"]);
        assert_eq!(info.softdeps, ["pre: realtek post: x"]);
        assert_eq!(info.aliases, ["pci:v00008086d*", "virtio:d1v*"]);
        assert_eq!(info.firmware, ["a.fw"]);
        assert_eq!(Modinfo::parse(b"depends=\0").depends, [""; 0]);
    }
}
