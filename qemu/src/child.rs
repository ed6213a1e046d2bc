//! Child processes that do not outlive what started them.

use std::process::Command;

/// A command that is killed when the thread that starts it ends, however that happens.
#[must_use]
pub fn dying_with_us(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", program]);
    command
}
