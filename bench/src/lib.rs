//! What earlykmsg costs, measured beside a floor and beside other senders. `./bench/run` is the way in,
//! `docs/measurements/performance.md` what comes out.
//!
//! | file | what it is |
//! | --- | --- |
//! | `sender.rs` | who sends: earlykmsg, the floor, others, any that a command line names |
//! | `receive.rs` | who listens, and when what arrived |
//! | `measure.rs` | the loads on the machine's own log, and what a sender spends on them |
//! | `size.rs` | files, images, memory |
//! | `instructions.rs` | parsing and encoding, counted by callgrind |
//! | `guest.rs` | what takes a boot: storms, PID 1, silence, rings of other sizes |
//! | `place.rs` | which processor is whose |
//! | `stats.rs` | many runs in three numbers |
//! | `parts.rs` | the parts of the document, each measured and written |
//! | `document.rs` | where in the document a part stands |
//! | `chart.rs` | bars |
//! | `fleet/` | many machines that boot at once: `./bench/fleet` |
//! | `../floor/` | the floor, in C |
//! | `../guest/` | the next init of a measured boot, in C |
//! | `../pure/` | parsing and encoding alone, built as the program is |

pub mod chart;
pub mod document;
pub mod fleet;
pub mod guest;
pub mod instructions;
pub mod measure;
pub mod parts;
pub mod place;
pub mod receive;
pub mod sender;
pub mod size;
pub mod stats;
