//! The start: PID 1, which becomes the next init, and `earlykmsg --background`, which an init script starts.

pub mod background;
mod detach;
pub mod next_init;
pub mod pid1;
