//! `earlykmsg --background`: started by an init script, it ships as if PID 1 had started it, and returns at once.

use super::detach::{Start, open_kernel_log, start_watcher};
use crate::exit;
use crate::kernel_fs::{KernelFs, is_initramfs};
use crate::logger::error;
use crate::sys::args::Args;
use crate::watch::{Origin, watch};
use earlykmsg::config::Options;

/// Starts the watcher, unless another one runs. `read_options` is called by its process, and logs what is wrong.
/// Returns the exit code.
pub fn run(args: Args, read_options: impl FnOnce() -> Options<'static>) -> i32 {
    let kernel_fs = KernelFs::detached();
    open_kernel_log(&kernel_fs);
    let started = start_watcher(&kernel_fs, |kernel_log| {
        // systemd's initrd sends SIGTERM to all processes but those of root whose name begins so.
        args.mark_as_spared();
        let options = read_options();
        watch(&options, &kernel_fs, Origin::Background { in_initramfs: is_initramfs() }, kernel_log)
    });
    match started {
        Ok(Start::Started | Start::AnotherRuns) => exit::DONE,
        Err(error) => {
            error!("{error}; the log is not shipped");
            exit::UNAVAILABLE
        }
    }
}
