//! The bounds of what is shipped of earlier boots.

/// Of what pstore kept of earlier boots, the newest is shipped up to this.
pub const PSTORE_BYTES_MAX: usize = 256 * 1024;
/// Files in pstore that are shipped at most. EFI variables take some 15 a panic.
pub const PSTORE_FILES_MAX: usize = 128;
/// The longest name of such a file: `dmesg-efi_pstore-173279999901001`.
pub const PSTORE_NAME_BYTES_MAX: usize = 47;
/// The first line of such a file: `Emergency#12 Part10`.
pub const PSTORE_HEADER_BYTES_MAX: usize = 32;
/// Both, as a member of an object.
pub const PSTORE_LABEL_BYTES_MAX: usize = PSTORE_NAME_BYTES_MAX + 1 + PSTORE_HEADER_BYTES_MAX;
/// The longest line of a dump: the kernel's records have 1,024 bytes at most, and what stands before the text of each line is
/// shorter than this. What is longer becomes several lines.
pub const PSTORE_LINE_BYTES_MAX: usize = 1024 + 48;
/// Two files that a dump was written to follow each other within this: EFI variables can be slow.
pub const PSTORE_PARTS_APART_US: u64 = 10_000_000;
/// The stack that the reader of pstore may use beyond what is in use at its start: its list of files is there.
pub const PSTORE_STACK_BYTES: u64 = 48 * 1024;
/// Shippers wait this long for what pstore has.
pub const PSTORE_AWAIT_MS: u64 = 1_000;
/// While they do, it is looked for as often as this: earlykmsg's own loader may load the driver that keeps it.
pub const PSTORE_LOOK_SOON_MS: u64 = 50;
/// The driver may be a module that the image loads: it is looked for as often as this …
pub const PSTORE_LOOK_MS: u64 = 500;
/// … and for this long.
pub const PSTORE_LOOK_FOR_MS: u64 = 60_000;
