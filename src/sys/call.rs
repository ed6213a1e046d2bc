//! System calls, bare. (The C library's leave errors in a variable of the thread, and threads take 2 KiB to start.)

use core::arch::asm;

/// What a call gave, or the kernel's number for what went wrong.
pub(super) type Answer = core::result::Result<usize, u16>;

fn answer(value: usize) -> Answer {
    const ERRORS: isize = -4095;
    match value.cast_signed() {
        error @ ERRORS..=-1 => Err(error.unsigned_abs() as u16),
        _ => Ok(value),
    }
}

/// Defines a function for each number of arguments: unused registers would have to be filled.
macro_rules! calls {
    ($($name:ident($($x86:tt $arm:tt $argument:ident),*);)+) => {$(
        /// Makes the system call `number`.
        ///
        /// # Safety
        ///
        /// The call does with the arguments what the caller has made sure that it may.
        #[inline(always)]
        pub(super) unsafe fn $name(number: i64, first: usize $(, $argument: usize)*) -> Answer {
            let value;
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the kernel keeps all registers but those that are named.
            unsafe {
                asm!("syscall", inlateout("rax") number as usize => value, in("rdi") first, $(in($x86) $argument,)*
                    lateout("rcx") _, lateout("r11") _, options(nostack));
            }
            #[cfg(target_arch = "aarch64")]
            // SAFETY: the kernel keeps all registers but the first.
            unsafe {
                asm!("svc 0", in("x8") number, inlateout("x0") first => value, $(in($arm) $argument,)*
                    options(nostack));
            }
            answer(value)
        }
    )+};
}

calls! {
    call1();
    call2("rsi" "x1" second);
    call3("rsi" "x1" second, "rdx" "x2" third);
    call4("rsi" "x1" second, "rdx" "x2" third, "r10" "x3" fourth);
    call5("rsi" "x1" second, "rdx" "x2" third, "r10" "x3" fourth, "r8" "x4" fifth);
    call6("rsi" "x1" second, "rdx" "x2" third, "r10" "x3" fourth, "r8" "x4" fifth, "r9" "x5" sixth);
}
