//! Boot images: newc cpio archives that hold what they were given, the same bytes every time, made
//! without root.
//!
//! - [`Image`]: what goes into an image, and the archive made of it;
//! - [`overlay`]: earlykmsg alone, to be put behind any other image, with its compressed forms;
//! - [`drivers`]: the drivers of network cards, for images that have none;
//! - [`architecture`]: the processors, and their names;
//! - [`release`]: all that is published: overlays, packages, Talos's extension, checksums;
//! - `package`: the packages for Debian and rpm, from the files in `package/`;
//! - [`talos`]: the system extension;
//! - [`sbom`]: what went into the program.

pub mod architecture;
mod cpio;
pub mod drivers;
pub mod overlay;
mod package;
pub mod release;
pub mod sbom;
pub mod talos;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// What a boot image holds. Paths are absolute; the folders above an entry need not be named.
///
/// ```
/// let archive = earlykmsg_initramfs::Image::new()
///     .file("/init", 0o755, "#!/bin/sh\n")
///     .dir("/proc")
///     .symlink("/bin/sh", "busybox")
///     .to_cpio();
/// assert!(archive.starts_with(b"070701"));
/// ```
///
/// A path given again replaces what was there, so a standard image can be varied. A path that is not
/// absolute or not normal (`//`, `.`, `..`, a NUL, a trailing slash) is a mistake of the caller and
/// panics, as does an entry below something that is no folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// By path without its leading slash. Sorted, so a folder stands before what is in it.
    entries: BTreeMap<String, Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    Dir { mode: u32 },
    File { mode: u32, bytes: Vec<u8> },
    Symlink { target: String },
    CharDevice { mode: u32, major: u32, minor: u32 },
}

impl Image {
    /// An image that holds nothing.
    #[must_use]
    pub fn new() -> Image {
        Image::default()
    }

    /// A file with its permissions (`0o755`) and content.
    #[must_use]
    pub fn file(self, path: &str, mode: u32, bytes: impl Into<Vec<u8>>) -> Image {
        self.put(path, Entry::File { mode, bytes: bytes.into() })
    }

    /// A folder that anyone may read.
    #[must_use]
    pub fn dir(self, path: &str) -> Image {
        self.put(path, Entry::Dir { mode: 0o755 })
    }

    /// A symbolic link; the target is taken as it is.
    #[must_use]
    pub fn symlink(self, path: &str, target: &str) -> Image {
        assert!(!target.is_empty() && !target.contains('\0'), "{path}: no target for a link: {target:?}");
        self.put(path, Entry::Symlink { target: target.to_owned() })
    }

    /// A character device, such as `/dev/console`, which is `0o600, 5, 1`.
    #[must_use]
    pub fn char_device(self, path: &str, mode: u32, major: u32, minor: u32) -> Image {
        self.put(path, Entry::CharDevice { mode, major, minor })
    }

    /// All that another image holds, over what this one holds.
    #[must_use]
    pub fn with(mut self, other: Image) -> Image {
        for (path, entry) in other.entries {
            self = self.put(&format!("/{path}"), entry);
        }
        self
    }

    /// The archive: a multiple of 512 bytes, so that another one can follow it directly.
    #[must_use]
    pub fn to_cpio(&self) -> Vec<u8> {
        let mut archive = cpio::Writer::new();
        for (path, entry) in &self.entries {
            archive.entry(path, entry);
        }
        archive.finish()
    }

    fn put(mut self, path: &str, entry: Entry) -> Image {
        let name = relative(path);
        for (slash, _) in name.match_indices('/') {
            let parent = &name[..slash];
            let there = self.entries.entry(parent.to_owned()).or_insert(Entry::Dir { mode: 0o755 });
            assert!(matches!(there, Entry::Dir { .. }), "{path}: /{parent} is no folder");
        }
        let below = format!("{name}/");
        let has_children =
            self.entries.range(below.clone()..).next().is_some_and(|(n, _)| n.starts_with(&below));
        assert!(
            !has_children || matches!(entry, Entry::Dir { .. }),
            "{path}: a folder that holds something cannot become anything else"
        );
        self.entries.insert(name.to_owned(), entry);
        self
    }
}

/// The path as an archive names it, after a check that it is one.
fn relative(path: &str) -> &str {
    let name = path.strip_prefix('/').unwrap_or_else(|| panic!("{path:?}: not an absolute path"));
    let normal = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
    assert!(name.split('/').all(normal), "{path:?}: not a normal path");
    assert!(name.len() < cpio::NAME_BYTES_MAX, "{path:?}: longer than the kernel takes");
    name
}

fn at(step: &str, path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    let what = format!("{step} {}", path.display());
    move |why| io::Error::new(why.kind(), format!("{what}: {why}"))
}
