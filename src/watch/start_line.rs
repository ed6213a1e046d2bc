//! The first message: which version starts on which kernel, and what for.

use core::fmt::{self, Display};

use rustix::system::Uname;

use super::Origin;
use earlykmsg::config::Options;
use earlykmsg::text::Quoted;

/// Displays as that message.
pub struct StartLine<'a> {
    /// The kernel.
    pub kernel: Uname,
    /// What was asked for.
    pub options: &'a Options<'a>,
    /// How the program was started.
    pub origin: Origin<'a>,
}

impl Display for StartLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let release = Quoted(self.kernel.release().to_bytes());
        write!(f, "{} on {release}", env!("CARGO_PKG_VERSION"))?;
        for (at, endpoint) in self.options.destinations.iter().enumerate() {
            let before = if at == 0 { ", shipping to" } else { " and" };
            write!(f, "{before} {endpoint}")?;
        }
        if let Origin::Pid1 { next_init } = self.origin {
            write!(f, ", next init {}", Quoted(next_init.unwrap_or(c"not found").to_bytes()))?;
        }
        Ok(())
    }
}
