//! Boots in QEMU, described by plain values, with a receiver beside them.
//!
//! A test reads like this: an image ([`image`]) in a [`Boot`], a [`Receiver`], `boot.start()`, and then
//! claims about what the receiver got and what the [`Guest`] wrote to its console.
//!
//! | file | what it is |
//! | --- | --- |
//! | `machine.rs` | the kinds of machine: all that differs between processors |
//! | `kernel.rs` | Debian's kernels, fetched once and unpacked, never installed |
//! | `program.rs` | the release binary of earlykmsg, and the helper that runs inside guests |
//! | `image.rs` | the images that guests start from: busybox, the network, an init |
//! | `boot.rs` | what a boot is: kernel, command line, image, memory, network |
//! | `guest.rs` | a boot that runs: its console, its end |
//! | `receiver.rs` | what listens on the host, and what it got |
//! | `record.rs` | a received object, and the guest's own ring to compare with |
//! | `account.rs` | what became of records: received, reported, or neither |
//! | `debian.rs` | a Debian with systemd, its disk made once, and the two initramfs that it makes |
//! | `installed.rs` | a Debian that starts itself, with our package and after it is purged |
//! | `matrix.rs` | Debians that bring their network up in each of the usual ways, and what became of it |
//! | `storm.rs` | more records than a ring holds, past receivers that fail |
//! | `child.rs` | processes that do not outlive what started them |
//! | `slots.rs` | how many guests run at once |
//! | `error.rs` | what went wrong, in words |
//! | `demo.rs` | the program behind the script `demo` |
//! | `../guest/` | what runs inside guests: shell scripts, and a tool in C |
//! | `../tests/` | `harness` itself, then what earlykmsg must do: `ship`, `next_init`, `world`, `switch`, `hand_over`, `storm`, `netem`, `away`, `debian`, `packages`, `userspace`, `drivers`, `network`, `cards`, `matrix`, `emergency`, `uki`, `ipxe`, `pstore`, `demo` |
//! | `../examples/` | `storm`: a table of storms |

mod account;
mod boot;
mod child;
mod debian;
mod error;
mod guest;
pub mod image;
mod installed;
mod kernel;
mod machine;
mod matrix;
mod program;
mod receiver;
mod record;
mod slots;
pub mod storm;

pub use account::{Account, Known, none_known};
pub use boot::Boot;
pub use child::dying_with_us;
pub use debian::{Debian, Maker};
pub use error::{Error, Result};
pub use guest::{End, Guest, Line};
pub use installed::{Installed, Suite, When};
pub use kernel::{Kernel, Module};
pub use machine::Machine;
pub use matrix::{Manager, Networked, Outcome, Starter};
pub use program::{
    debian_dir, earlykmsg, earlykmsg_for, guest_tool, guest_tool_for, programs, programs_for, target_dir,
};
pub use receiver::{Protocol, Receiver};
pub use record::{Record, RingRecord, all_received, ring_records, seqs_missing, seqs_repeated, timeline};

/// How long anything of a boot may take. A machine that shares its processors boots a Debian in a minute and a half.
pub const LONG: core::time::Duration = core::time::Duration::from_secs(300);
