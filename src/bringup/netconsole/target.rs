//! Netconsole's target. The driver is set up by files of configfs: a directory for a target, a file for each of its values,
//! and the removal of the directory stops it.

use core::ffi::CStr;
use core::fmt::{Display, Write};

use heapless::String;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, mkdirat, openat, unlinkat};
use rustix::io::{Errno, write};

use crate::kernel_fs::DIRECTORY;
use crate::sys::fds::keep;
use earlykmsg::config::netconsole::Netconsole;
use earlykmsg::limits::NETCONSOLE_VALUE_BYTES_MAX;
use earlykmsg::network::netconsole::{ShowMac, Target};
use earlykmsg::text::Quoted;

/// The driver's directory where the image has mounted configfs …
const MOUNTED: &CStr = c"/sys/kernel/config/netconsole";
/// … and in a mount of our own.
const DRIVER: &CStr = c"netconsole";
/// Our target in it.
const TARGET: &CStr = c"earlykmsg";

/// Opens the driver's directory, in a mount of our own or in the image's.
pub fn open_driver(configfs: Option<BorrowedFd<'_>>) -> Option<BorrowedFd<'static>> {
    let own = configfs.and_then(|configfs| openat(configfs, DRIVER, DIRECTORY, Mode::empty()).ok());
    own.or_else(|| openat(CWD, MOUNTED, DIRECTORY, Mode::empty()).ok()).map(keep)
}

/// Makes the target and switches it on.
pub fn set_up(driver: BorrowedFd<'_>, to: &Netconsole<'_>, target: &Target) -> Result<(), Errno> {
    // One that is there was left by a process that was killed.
    remove(driver);
    match mkdirat(driver, TARGET, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno),
    }
    let directory = openat(driver, TARGET, DIRECTORY, Mode::empty())?;
    let values: [(&CStr, &dyn Display); 7] = [
        (c"extended", &1),
        (c"dev_name", &Quoted(&target.interface)),
        (c"local_ip", &target.local),
        (c"remote_ip", &to.address),
        (c"remote_port", &to.port),
        (c"remote_mac", &ShowMac(target.mac)),
        (c"enabled", &1),
    ];
    for (name, value) in values {
        set(directory.as_fd(), name, value)?;
    }
    Ok(())
}

/// Gives the target one of its values.
fn set(directory: BorrowedFd<'_>, name: &CStr, value: &dyn Display) -> Result<(), Errno> {
    let mut text = String::<NETCONSOLE_VALUE_BYTES_MAX>::new();
    // The longest fits.
    let _ = write!(text, "{value}");
    let file = openat(directory, name, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    write(file, text.as_bytes()).map(drop)
}

/// Stops and removes the target, if there is one.
pub fn remove(driver: BorrowedFd<'_>) {
    let _ = unlinkat(driver, TARGET, AtFlags::REMOVEDIR);
}
