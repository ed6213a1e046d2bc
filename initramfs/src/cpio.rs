//! The newc format as the kernel unpacks it: a header of hexadecimal numbers, the name, the content, each
//! part filled up to four bytes. Nothing of the machine that packs gets in: no time, no owner.

use crate::Entry;

/// The kernel takes no longer name (`PATH_MAX`), its NUL included.
pub(crate) const NAME_BYTES_MAX: usize = 4096;

const ARCHIVE_ALIGN: usize = 512;
const FIELD_ALIGN: usize = 4;

const TYPE_DIR: u32 = 0o040_000;
const TYPE_FILE: u32 = 0o100_000;
const TYPE_SYMLINK: u32 = 0o120_000;
const TYPE_CHAR_DEVICE: u32 = 0o020_000;

pub(crate) struct Writer {
    bytes: Vec<u8>,
    inode: u32,
}

impl Writer {
    pub(crate) fn new() -> Writer {
        Writer { bytes: Vec::new(), inode: 0 }
    }

    pub(crate) fn entry(&mut self, name: &str, entry: &Entry) {
        self.inode += 1;
        let inode = self.inode;
        match entry {
            // A folder counts itself and its own "."; the kernel takes a file of more than one link for a
            // hard link.
            Entry::Dir { mode } => {
                self.put(&Header { inode, mode: TYPE_DIR | mode, links: 2, device: (0, 0) }, name, &[]);
            }
            Entry::File { mode, bytes } => {
                self.put(&Header { inode, mode: TYPE_FILE | mode, links: 1, device: (0, 0) }, name, bytes);
            }
            Entry::Symlink { target } => {
                let header = Header { inode, mode: TYPE_SYMLINK | 0o777, links: 1, device: (0, 0) };
                self.put(&header, name, target.as_bytes());
            }
            Entry::CharDevice { mode, major, minor } => {
                let mode = TYPE_CHAR_DEVICE | mode;
                self.put(&Header { inode, mode, links: 1, device: (*major, *minor) }, name, &[]);
            }
        }
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.put(&Header { inode: 0, mode: 0, links: 1, device: (0, 0) }, "TRAILER!!!", &[]);
        self.pad(ARCHIVE_ALIGN);
        self.bytes
    }

    fn put(&mut self, header: &Header, name: &str, content: &[u8]) {
        let size = u32::try_from(content.len()).unwrap_or_else(|_| panic!("/{name}: 4 GiB and more"));
        let name_bytes = u32::try_from(name.len() + 1).unwrap_or_else(|_| panic!("/{name}: name too long"));
        let (owner, group, time, checksum) = (0, 0, 0, 0);
        let (major, minor) = header.device;
        let fields = [
            header.inode,
            header.mode,
            owner,
            group,
            header.links,
            time,
            size,
            0,
            0,
            major,
            minor,
            name_bytes,
            checksum,
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad(FIELD_ALIGN);
        self.bytes.extend_from_slice(content);
        self.pad(FIELD_ALIGN);
    }

    fn pad(&mut self, align: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(align), 0);
    }
}

struct Header {
    inode: u32,
    /// Type and permissions.
    mode: u32,
    links: u32,
    device: (u32, u32),
}
