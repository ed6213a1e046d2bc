//! Shows what earlykmsg sends, on the machine that receives it. The way of the bytes:
//!
//! ```text
//! bytes ─> frame ─> record (syslog) ─> history ─> print      lines as dmesg prints them
//!                                              └─> timeline   each boot as a picture
//! ```
//!
//! - [`frame`]: where an object, a syslog message or a line of anything else begins and ends;
//! - [`record`]: what an object says; `syslog`: what an RFC 5424 message says;
//! - [`decode`]: both in one;
//! - [`history`]: which machine and which boot a record belongs to, what is a repetition, what is missing;
//! - [`print`]: lines and their colours;
//! - [`timeline`]: the picture.

pub mod decode;
pub mod frame;
pub mod history;
pub mod print;
pub mod record;
mod syslog;
mod text;
pub mod timeline;
