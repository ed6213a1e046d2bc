//! The overlay: an image that holds `/earlykmsg`, the programs beside it that it starts, and nothing else.
//! Whatever image it is put behind keeps all its files and gains these.

use std::path::Path;
use std::{fs, io};

use sha2::{Digest, Sha256};

use crate::package::gzip;
use crate::{Image, at};

/// Where the program is in an image: the value for `rdinit=`.
pub const PROGRAM: &str = "/earlykmsg";
/// Where the program is in an image that brings a network up (`earlykmsg.ip=`).
pub const NETWORK: &str = "/earlykmsg.d/network";
/// Where the program is in an image that reads what pstore kept (`earlykmsg.pstore=`).
pub const PSTORE: &str = "/earlykmsg.d/pstore";

/// The programs for one processor.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The one that ships.
    pub earlykmsg: Vec<u8>,
    /// The one that brings a network up.
    pub network: Vec<u8>,
    /// The one that reads what pstore kept.
    pub pstore: Vec<u8>,
}

impl Programs {
    /// Reads them as cargo builds them: `earlykmsg-network` and `earlykmsg-pstore` beside the one at `path`.
    ///
    /// # Errors
    /// As [`read_program`].
    pub fn read(path: &Path) -> io::Result<Programs> {
        let read = |name: &str| read_program(&path.with_file_name(name));
        Ok(Programs {
            earlykmsg: read_program(path)?,
            network: read("earlykmsg-network")?,
            pstore: read("earlykmsg-pstore")?,
        })
    }

    /// The image that holds them.
    #[must_use]
    pub fn image(&self) -> Image {
        Image::new().file(PROGRAM, 0o755, &self.earlykmsg[..]).file(NETWORK, 0o755, &self.network[..]).file(
            PSTORE,
            0o755,
            &self.pstore[..],
        )
    }
}

/// An overlay in the forms that a kernel unpacks.
///
/// The plain one must start at a multiple of four bytes, which most images do not end at; the compressed
/// ones may follow anything.
pub struct Overlay {
    /// Not compressed.
    pub cpio: Vec<u8>,
    /// Compressed by gzip.
    pub gzip: Vec<u8>,
    /// Compressed by zstd.
    pub zstd: Vec<u8>,
}

impl Overlay {
    /// Packs the programs.
    ///
    /// # Errors
    /// Those of the encoders, which have none for bytes in memory.
    pub fn new(programs: &Programs) -> io::Result<Overlay> {
        Overlay::of(&programs.image())
    }

    /// Packs an image.
    ///
    /// # Errors
    /// As [`Overlay::new`].
    pub fn of(image: &Image) -> io::Result<Overlay> {
        let cpio = image.to_cpio();
        let gzip = gzip(&cpio)?;
        let zstd = zstd::bulk::compress(&cpio, 19)?;
        Ok(Overlay { cpio, gzip, zstd })
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

/// The checksum of bytes, in the digits that `sha256sum` writes.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
