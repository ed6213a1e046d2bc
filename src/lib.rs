//! Ships the kernel log.
#![no_std]
