//! The overlay: an image that holds `/earlykmsg` and nothing else. Whatever image it is put behind keeps
//! all its files and gains this one.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::{Image, sbom};

/// Where the program is in an image: the value for `rdinit=`.
pub const PROGRAM: &str = "/earlykmsg";

/// An overlay in the forms that a kernel unpacks.
///
/// The plain one must start at a multiple of four bytes, which most images do not end at; the compressed
/// ones may follow anything.
pub struct Overlay {
    /// What it holds.
    program: Vec<u8>,
    /// Not compressed.
    pub cpio: Vec<u8>,
    /// Compressed by gzip.
    pub gzip: Vec<u8>,
    /// Compressed by zstd.
    pub zstd: Vec<u8>,
}

impl Overlay {
    /// Packs the bytes of the program.
    ///
    /// # Errors
    /// Those of the encoders, which have none for bytes in memory.
    pub fn new(program: &[u8]) -> io::Result<Overlay> {
        let cpio = Image::new().file(PROGRAM, 0o755, program).to_cpio();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(&cpio)?;
        let gzip = gzip.finish()?;
        let zstd = zstd::bulk::compress(&cpio, 19)?;
        Ok(Overlay { program: program.to_vec(), cpio, gzip, zstd })
    }

    /// Writes the program, the three forms, the bill of materials and the checksums of all (`sha256sum -c SHA256SUMS`) into a
    /// folder, which is made if it is not there. Gives the paths written.
    ///
    /// # Errors
    /// The step and the path that failed, with the system's reason.
    pub fn write_to(&self, sbom: &[u8], folder: &Path) -> io::Result<Vec<PathBuf>> {
        fs::create_dir_all(folder).map_err(at("unable to make the folder", folder))?;
        let files = [
            ("earlykmsg", &self.program[..]),
            ("earlykmsg.cpio", &self.cpio),
            ("earlykmsg.cpio.gz", &self.gzip),
            ("earlykmsg.cpio.zst", &self.zstd),
            (sbom::FILE, sbom),
        ];
        let mut sums = String::new();
        let mut paths = Vec::new();
        for (name, bytes) in files {
            sums.push_str(&format!("{}  {name}\n", sha256(bytes)));
            paths.push(write(folder.join(name), bytes)?);
        }
        fs::set_permissions(&paths[0], Permissions::from_mode(0o755))
            .map_err(at("unable to make a program of", &paths[0]))?;
        paths.push(write(folder.join("SHA256SUMS"), sums.as_bytes())?);
        Ok(paths)
    }
}

/// Reads the program that is to be packed, and refuses what a kernel could not start.
///
/// # Errors
/// The step and the path that failed, with the reason.
pub fn read_program(path: &Path) -> io::Result<Vec<u8>> {
    let program = fs::read(path).map_err(at("unable to read", path))?;
    if !program.starts_with(b"\x7fELF") {
        let why = io::Error::new(io::ErrorKind::InvalidData, "not an ELF program");
        return Err(at("unable to pack", path)(why));
    }
    Ok(program)
}

fn write(path: PathBuf, bytes: &[u8]) -> io::Result<PathBuf> {
    fs::write(&path, bytes).map_err(at("unable to write", &path))?;
    Ok(path)
}

/// The checksum of bytes, in the digits that `sha256sum` writes.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn at(step: &str, path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    let what = format!("{step} {}", path.display());
    move |why| io::Error::new(why.kind(), format!("{what}: {why}"))
}
