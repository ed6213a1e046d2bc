//! Which processor is whose: the last is the senders', all others are for the receivers and the writer.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// Leaves the last processor to the senders. Threads and processes that are started later stay away from it too.
pub fn leave_senders_processor() {
    if let Some((last, others)) = processors() {
        let mut set = CpuSet::new();
        for cpu in others {
            set.set(cpu).expect("a processor");
        }
        assert!(!set.is_set(last).expect("a processor"), "it is left");
        sched_setaffinity(Pid::from_raw(0), &set).expect("choose processors");
    }
}

/// What `start` starts runs on the last processor.
pub fn on_senders_processor<R>(start: impl FnOnce() -> R) -> R {
    let before = sched_getaffinity(Pid::from_raw(0)).expect("its processors");
    let mut set = CpuSet::new();
    set.set(count() - 1).expect("a processor");
    sched_setaffinity(Pid::from_raw(0), &set).expect("choose a processor");
    let result = start();
    sched_setaffinity(Pid::from_raw(0), &before).expect("choose processors");
    result
}

/// The last and the others; none when there is only one.
fn processors() -> Option<(usize, core::ops::Range<usize>)> {
    let last = count() - 1;
    (last > 0).then_some((last, 0..last))
}

fn count() -> usize {
    use std::sync::OnceLock;
    static COUNT: OnceLock<usize> = OnceLock::new();
    // Asked once, before anything is placed: it counts what this process may use.
    *COUNT.get_or_init(|| std::thread::available_parallelism().map_or(1, core::num::NonZero::get))
}
