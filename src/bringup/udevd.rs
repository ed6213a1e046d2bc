//! Whether there is a udevd that names links.

use rustix::fs::{Access, AtFlags, CWD, accessat};

/// Whether it runs.
pub fn is_running() -> bool {
    accessat(CWD, c"/run/udev/control", Access::EXISTS, AtFlags::empty()).is_ok()
}
