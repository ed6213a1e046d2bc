//! The boot: what PID 1 does before it becomes the next init, and how `/proc` and `/dev` are reached without it.

pub mod kernel_fs;
pub mod next_init;
pub mod note;
pub mod pid1;
pub mod switch;
