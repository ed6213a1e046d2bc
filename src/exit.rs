//! Exit codes, as `sysexits.h` has them.

/// All done.
pub const DONE: i32 = 0;
/// The command was used wrongly.
pub const USAGE: i32 = 64;
/// Gave up, where giving up was asked for.
pub const UNAVAILABLE: i32 = 69;
/// The program itself failed.
pub const SOFTWARE: i32 = 70;
/// Made a system call that the process's filter denies.
pub const DENIED: i32 = 77;
