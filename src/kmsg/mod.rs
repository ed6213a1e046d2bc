//! The kernel's log: what a record is, and where records come from.

pub mod record;
pub mod saved;
pub mod source;
pub mod start;
