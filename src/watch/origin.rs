//! Who started the program, and what follows from it.

use core::ffi::CStr;

/// How the program was started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin<'a> {
    /// By PID 1, which becomes the next init.
    Pid1 {
        /// The path of the next init, as far as it can be foreseen.
        next_init: Option<&'a CStr>,
    },
    /// By `earlykmsg --background`, from an init script.
    Background {
        /// On an initramfs: a root switch is to come, and the boot began just now.
        in_initramfs: bool,
    },
    /// From a shell or a script, in the foreground.
    ByHand {
        /// `--once`
        once: bool,
    },
}

impl Origin<'_> {
    /// Whether it belongs to the boot: nobody waits for it, and it ends when the main system delivers.
    pub(super) fn is_of_boot(self) -> bool {
        matches!(self, Origin::Pid1 { .. } | Origin::Background { .. })
    }

    /// Whether a root switch is to come.
    pub(super) fn expects_root_switch(self) -> bool {
        matches!(self, Origin::Pid1 { .. } | Origin::Background { in_initramfs: true })
    }
}
