//! The first instructions of the program: it puts itself to rights, and `main` follows.
//!
//! The C library's own start sets up threads, a place for errors and a search for the kernel's clock, which takes 3 KiB
//! of the program and serves nothing here. What is left to do: write the program's own address into the constants that
//! hold addresses (it is loaded anywhere), and make those constants read-only, which the C library never does.

use core::ffi::{c_char, c_int};

use super::args::Args;
use super::call::call3;
use super::process::exit;

/// Makes `$run` the program's `main`.
#[macro_export]
macro_rules! entry {
    ($run:path) => {
        #[allow(unsafe_code)]
        mod start {
            #[cfg(all(target_arch = "x86_64", not(target_env = "musl")))]
            core::arch::global_asm!(
                ".globl _start",
                ".hidden _DYNAMIC, __ehdr_start",
                "_start:",
                "xor ebp, ebp",
                "mov rdi, rsp",
                "lea rsi, [rip + __ehdr_start]",
                "lea rdx, [rip + _DYNAMIC]",
                "and rsp, -16",
                "call {begin}",
                "ud2",
                begin = sym begin,
            );
            // The C library's are made for speed and take 0.3 KiB; nothing large is ever filled or measured here.
            #[cfg(all(target_arch = "x86_64", not(target_env = "musl")))]
            core::arch::global_asm!(
                ".globl memset",
                "memset:",
                "push rdi",
                "mov eax, esi",
                "mov rcx, rdx",
                "rep stosb",
                "pop rax",
                "ret",
                ".globl strlen",
                "strlen:",
                "lea rax, [rdi - 1]",
                "2:",
                "inc rax",
                "cmp byte ptr [rax], 0",
                "jne 2b",
                "sub rax, rdi",
                "ret",
            );
            #[cfg(all(target_arch = "aarch64", not(target_env = "musl")))]
            core::arch::global_asm!(
                ".globl _start",
                ".hidden _DYNAMIC, __ehdr_start",
                "_start:",
                "mov x29, 0",
                "mov x30, 0",
                "mov x0, sp",
                "adrp x1, __ehdr_start",
                "add x1, x1, :lo12:__ehdr_start",
                "adrp x2, _DYNAMIC",
                "add x2, x2, :lo12:_DYNAMIC",
                "bl {begin}",
                "brk 1",
                begin = sym begin,
            );

            #[cfg(not(target_env = "musl"))]
            unsafe extern "C" fn begin(stack: *mut usize, base: usize, tables: usize) -> ! {
                // SAFETY: the instructions above hand over these, once.
                unsafe {
                    $crate::sys::start::relocate(base, tables);
                    $crate::sys::start::begin(stack, base, $run)
                }
            }

            /// Rust's own musl targets bring the C library's start, and will have it used.
            #[cfg(target_env = "musl")]
            #[unsafe(no_mangle)]
            extern "C" fn main(_: core::ffi::c_int, argv: *mut usize) -> core::ffi::c_int {
                unsafe extern "C" {
                    static __ehdr_start: usize;
                }
                // SAFETY: the C library hands over the kernel's array, before which the count stands.
                unsafe { $crate::sys::start::begin(argv.sub(1), &raw const __ehdr_start as usize, $run) }
            }
        }
    };
}

/// Writes the program's own address into the constants that hold addresses.
///
/// # Safety
///
/// `base` is where the program is loaded, `tables` the linker's (`_DYNAMIC`), and nothing that holds an address was used
/// before. That is why this is one plain loop after the other, and calls nothing.
#[inline(always)]
pub unsafe fn relocate(base: usize, tables: usize) {
    const WORD: usize = size_of::<usize>();
    const DT_RELR: usize = 36;
    const DT_RELRSZ: usize = 35;

    let (mut at, mut list, mut bytes) = (tables, 0, 0);
    // SAFETY: pairs of a key and a value; the last key is 0.
    unsafe {
        while *(at as *const usize) != 0 {
            let value = *((at + WORD) as *const usize);
            match *(at as *const usize) {
                DT_RELR => list = base + value,
                DT_RELRSZ => bytes = value,
                _ => {}
            }
            at += 2 * WORD;
        }
    }
    let (mut place, end) = (base, list + bytes);
    while list < end {
        // SAFETY: the linker's list. An even entry is where a word stands that holds an address without `base`; an odd
        // one has a bit for each of the 63 words that follow.
        unsafe {
            let entry = *(list as *const usize);
            if entry & 1 == 0 {
                place = base + entry;
                *(place as *mut usize) += base;
                place += WORD;
            } else {
                let (mut bits, mut word) = (entry >> 1, place);
                while bits != 0 {
                    if bits & 1 != 0 {
                        *(word as *mut usize) += base;
                    }
                    bits >>= 1;
                    word += WORD;
                }
                place += (usize::BITS as usize - 1) * WORD;
            }
        }
        list += WORD;
    }
}

/// What the kernel tells a program: pairs of a key and a value; the last key is 0.
#[derive(Clone, Copy)]
struct Facts(*const [usize; 2]);

impl Facts {
    fn find(self, key: usize) -> usize {
        let mut at = self.0;
        loop {
            // SAFETY: the table has not ended before.
            let [own, value] = unsafe { *at };
            if own == key || own == 0 {
                return if own == key { value } else { 0 };
            }
            // SAFETY: this was not the last.
            at = unsafe { at.add(1) };
        }
    }
}

/// Makes the constants read-only and runs the program.
///
/// # Safety
///
/// Called once, before everything else, with the stack as the kernel made it and where the program is loaded.
pub unsafe fn begin(stack: *mut usize, base: usize, run: fn(Args) -> i32) -> ! {
    const AT_PHDR: usize = 3;
    const AT_PHNUM: usize = 5;
    const AT_EXECFN: usize = 31;
    const PAGE: usize = 4096;

    // SAFETY: the kernel puts the count of arguments, the arguments, a null, the environment, a null, then its facts.
    let (count, argv, facts) = unsafe {
        let count = *stack;
        let argv = stack.add(1);
        let mut end = argv.add(count + 1);
        while *end != 0 {
            end = end.add(1);
        }
        (count, argv, Facts(end.add(1).cast()))
    };
    // SAFETY: the program's headers are mapped for as long as it runs.
    let headers = unsafe {
        let first = facts.find(AT_PHDR) as *const libc::Elf64_Phdr;
        core::slice::from_raw_parts(first, facts.find(AT_PHNUM))
    };
    if let Some(constants) = headers.iter().find(|header| header.p_type == libc::PT_GNU_RELRO) {
        let start = base + constants.p_vaddr as usize;
        let (first, end) = (start & !(PAGE - 1), (start + constants.p_memsz as usize) & !(PAGE - 1));
        // SAFETY: the linker put nothing there that is written after this. Kernels with larger pages refuse, and the
        // constants stay as they are.
        let _ = unsafe { call3(libc::SYS_mprotect, first, end - first, libc::PROT_READ as usize) };
    }
    // SAFETY: the kernel's own array and string.
    let args = unsafe { Args::of_start(count as c_int, argv.cast(), facts.find(AT_EXECFN) as *const c_char) };
    exit(run(args))
}
