//! Many machines that boot at once and one receiver: `./bench/fleet` is the way in, `docs/fleet.md` what comes out.
//!
//! | file | what it is |
//! | --- | --- |
//! | `machines.rs` | many shippers on this machine's own log, which they cannot write to |
//! | `sink.rs` | a receiver that only counts |
//! | `account.rs` | which records arrived at all, again, or never |
//! | `cases.rs` | what happens to the receiver |
//! | `watch.rs` | connection attempts over time, as the receiver's network sees them |
//! | `picture.rs` | the same as a picture |

pub mod account;
pub mod cases;
pub mod machines;
pub mod picture;
pub mod sink;
pub mod watch;
