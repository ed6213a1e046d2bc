//! What went wrong: the step, and the reason.

use core::fmt;

/// A failure in words: what was tried, on what, and why it failed.
pub struct Error(String);

/// What everything here gives back.
pub type Result<T> = core::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(words: impl Into<String>) -> Error {
        Error(words.into())
    }

    /// For `map_err`: the step and what it was done to, before the reason.
    pub(crate) fn at<W: fmt::Display>(step: impl fmt::Display) -> impl FnOnce(W) -> Error {
        move |why| Error(format!("{step}: {why}"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// As for people: `unwrap` in a test prints this, and a console is of no use with its line ends escaped.
impl fmt::Debug for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl core::error::Error for Error {}
