#![no_std]
#![no_main]
#![allow(missing_docs)]
use earlykmsg as _;
#[unsafe(no_mangle)]
#[allow(unsafe_code)]
extern "C" fn main(_c: i32, _v: *const *const u8) -> i32 { 0 }
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! { loop {} }
