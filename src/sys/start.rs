//! Where the program begins: the C library's start calls `main`.

use core::ffi::{c_char, c_int};
use core::ptr;

use super::args::{Args, auxiliary};
use super::memory::page_bytes;

/// Makes `$run` the program's `main`.
#[macro_export]
macro_rules! entry {
    ($run:path) => {
        #[allow(unsafe_code)]
        mod start {
            // SAFETY: no other function of the program has this name, which the C library's start calls.
            #[unsafe(no_mangle)]
            extern "C" fn main(
                argc: core::ffi::c_int,
                argv: *mut *mut core::ffi::c_char,
            ) -> core::ffi::c_int {
                // SAFETY: these are what the C library's start hands over, once and before anything else runs.
                unsafe { $crate::sys::start::main(argc, argv, $run) }
            }
        }
    };
}

/// Makes the relocated constants read-only and runs the program. Returns the exit code.
///
/// # Safety
///
/// Called once, before everything else, with what the C library hands to `main`.
pub unsafe fn main(argc: c_int, argv: *mut *mut c_char, run: fn(Args) -> i32) -> c_int {
    protect_relocated();
    // SAFETY: the kernel's own array.
    run(unsafe { Args::new(argc, argv) })
}

/// Makes read-only what had to be writable for the relocation at the start (RELRO). A dynamic linker would do that;
/// musl's start of a static program does not. If the kernel refuses, the program runs without.
fn protect_relocated() {
    unsafe extern "C" {
        /// The first byte of the ELF header in memory, a name that linkers define.
        static __ehdr_start: u8;
    }
    let [headers, count] = [libc::AT_PHDR, libc::AT_PHNUM].map(auxiliary);
    let page = page_bytes();
    if headers == 0 {
        return;
    }
    // SAFETY: the kernel's word for where the program headers are, which are mapped for as long as the program runs.
    let headers = unsafe {
        core::slice::from_raw_parts(ptr::with_exposed_provenance::<libc::Elf64_Phdr>(headers), count)
    };
    let end_of = |header: &libc::Elf64_Phdr| (header.p_vaddr + header.p_memsz) as usize;
    let mut segments = headers.iter().filter(|header| header.p_type == libc::PT_LOAD);
    let Some(first) = segments.clone().next() else { return };
    let Some(relro) = headers.iter().find(|header| header.p_type == libc::PT_GNU_RELRO) else { return };
    // The ELF header begins the first segment. The bias is 0 in a program that is not position independent.
    let bias = (&raw const __ehdr_start).addr().wrapping_sub(first.p_vaddr as usize);
    let start = bias.wrapping_add(relro.p_vaddr as usize) & !(page - 1);
    // Only whole pages can be protected. The last one may hold variables too, unless the part ends a segment: the next
    // segment has pages of its own, whatever their size.
    let end = bias.wrapping_add(end_of(relro));
    let ends_segment = segments.any(|segment| end_of(segment) == end_of(relro));
    let end = if ends_segment { end.next_multiple_of(page) } else { end & !(page - 1) };
    if start < end {
        // SAFETY: the relocation is done, and nothing else is ever written there.
        let _ = unsafe { libc::mprotect(ptr::without_provenance_mut(start), end - start, libc::PROT_READ) };
    }
}
