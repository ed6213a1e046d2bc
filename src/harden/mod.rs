//! What a process may do: the table of its system calls, and giving up everything else.

pub mod policy;
pub mod privileges;
