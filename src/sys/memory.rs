//! Large buffers with a fixed place, and what the whole process or several processes share.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU64, Ordering};

use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};

use super::At;
use earlykmsg::error::{Result, Step};
use earlykmsg::limits::STACK_BYTES;

/// A value with a fixed place in memory that one caller gets for good. For buffers that are too large for the stack.
#[repr(C)] // the flag first: behind the content it takes a page of its own
pub struct Buffer<T> {
    taken: AtomicBool,
    content: UnsafeCell<T>,
}

// SAFETY: the content is reachable only through `take`, which gives it out once.
unsafe impl<T: Send> Sync for Buffer<T> {}

impl<T> Buffer<T> {
    /// A buffer that nobody has taken.
    pub const fn new(content: T) -> Buffer<T> {
        Buffer { taken: AtomicBool::new(false), content: UnsafeCell::new(content) }
    }

    /// The content, for the first who asks.
    #[allow(clippy::mut_from_ref)] // that is its purpose; `taken` keeps it unique
    pub fn take(&'static self) -> Option<&'static mut T> {
        if self.taken.swap(true, Ordering::Relaxed) {
            return None;
        }
        // SAFETY: `taken` was false, so this is the only reference there will ever be.
        Some(unsafe { &mut *self.content.get() })
    }
}

/// A file descriptor that everything in the process may use, once it is set.
pub struct SharedFd(AtomicI32);

impl SharedFd {
    /// None yet.
    pub const fn none() -> SharedFd {
        SharedFd(AtomicI32::new(-1))
    }

    /// Sets it, or forgets it.
    pub fn set(&self, fd: Option<BorrowedFd<'static>>) {
        self.0.store(fd.map_or(-1, |fd| fd.as_raw_fd()), Ordering::Relaxed);
    }

    /// The descriptor.
    pub fn get(&self) -> Option<BorrowedFd<'static>> {
        match self.0.load(Ordering::Relaxed) {
            -1 => None,
            // SAFETY: `set` was given one that nobody closes.
            fd => Some(unsafe { BorrowedFd::borrow_raw(fd) }),
        }
    }
}

/// A number in memory that everything in the process may change, a signal handler too, once its place is set.
pub struct SharedNumber(AtomicPtr<AtomicU64>);

impl SharedNumber {
    /// None yet.
    pub const fn none() -> SharedNumber {
        SharedNumber(AtomicPtr::new(core::ptr::null_mut()))
    }

    /// Sets its place.
    pub fn set(&self, number: &'static AtomicU64) {
        self.0.store((&raw const *number).cast_mut(), Ordering::Relaxed);
    }

    /// The number.
    pub fn get(&self) -> Option<&'static AtomicU64> {
        // SAFETY: null, or the place that `set` was given, which lives as long as the process; atomics may be shared.
        unsafe { self.0.load(Ordering::Relaxed).as_ref() }
    }
}

/// The size of a page, which the kernel tells each program: 4 KiB, on arm64 16 or 64 as well.
pub(super) fn page_bytes() -> usize {
    let told = super::args::auxiliary(libc::AT_PAGESZ);
    if told.is_power_of_two() { told } else { 4096 }
}

/// Numbers, 0 at first, that this process and all that it starts see and change together.
pub fn shared_numbers<const N: usize, const M: usize>() -> Result<&'static [[AtomicU64; N]; M]> {
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    let bytes = size_of::<[[AtomicU64; N]; M]>();
    // SAFETY: a new mapping at an address of the kernel's choice touches no memory that anything else uses.
    let page = unsafe { mmap_anonymous(core::ptr::null_mut(), bytes, protection, MapFlags::SHARED) }
        .at(Step::MapShared)?;
    // SAFETY: the mapping is zeroed, large enough, aligned to a page and never unmapped; atomics may be shared.
    Ok(unsafe { &*page.cast::<[[AtomicU64; N]; M]>() })
}

/// Gives the pages of a buffer back to the kernel, as far as nothing else lies in them. What the buffer holds is lost.
pub fn give_back(buffer: &mut [u8]) {
    let range = buffer.as_mut_ptr_range();
    give_back_pages(range.start.expose_provenance(), range.end.expose_provenance());
}

/// Gives back the pages of the stack that only calls which are over have used.
#[inline(never)] // its caller's frame is in use, and lies above this one
pub fn give_back_stack() {
    /// What this function and those that it calls use.
    const OWN_BYTES: usize = 1024;
    let here = 0u8;
    let end = (&raw const here).expose_provenance() - OWN_BYTES;
    give_back_pages(end - STACK_BYTES as usize, end);
}

/// Gives back the whole pages from `start` to `end`. They hold zeros, or what the program's file has there, when they are
/// used again.
fn give_back_pages(start: usize, end: usize) {
    let page = page_bytes();
    let (start, end) = (start.next_multiple_of(page), end & !(page - 1));
    if start < end {
        // SAFETY: what lies there is an exclusively borrowed buffer of bytes, for which all values are valid, or unused stack
        // and, where that ends, nothing. If the kernel refuses, nothing has changed.
        let _ = unsafe {
            madvise(core::ptr::with_exposed_provenance_mut(start), end - start, Advice::LinuxDontNeed)
        };
    }
}
