//! The boot: what PID 1 does before it becomes the next init.

pub mod next_init;
pub mod pid1;
