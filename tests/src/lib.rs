//! What the tests from outside stand on: real sockets, real namespaces, the release binary.
//!
//! A test starts the program as a user or PID 1 would, gives it a kernel log ([`kmsg`]) and receivers with
//! faults ([`receiver`]) or those that people have ([`foreign`], [`postgres`]), names to look up ([`nameserver`]), and
//! judges what arrives ([`json`], [`syslog`], [`account`], [`judge`]) against a decoder of its own ([`record`]). What happens to receivers and on the
//! way to them is a table ([`fault`], in a [`scene`], with any [`shipper`]). Tests that need a network, mounts or a
//! kernel command line of their own run [`sandbox::alone`]. Waiting is always for an event, with a deadline
//! ([`events::Events`]).

pub mod account;
pub mod binary;
pub mod distance;
pub mod events;
pub mod fault;
pub mod foreign;
pub mod intruder;
pub mod json;
pub mod judge;
pub mod kmsg;
pub mod nameserver;
pub mod netconsole;
pub mod network_sandbox;
pub mod pid1_sandbox;
pub mod postgres;
pub mod proc;
pub mod program;
pub mod receiver;
pub mod record;
pub mod sandbox;
pub mod scene;
pub mod shipper;
pub mod syslog;
