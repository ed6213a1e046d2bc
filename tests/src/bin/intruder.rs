//! Takes over a process; see [`earlykmsg_tests::intruder`]. A process of its own: who waits for the stop of another's
//! child must not be the one that waits for its end.

use earlykmsg_tests::intruder::{arguments_of, make_call_here};

fn main() {
    let (victim, number, arguments) = arguments_of(std::env::args().skip(1));
    make_call_here(victim, number, arguments);
}
