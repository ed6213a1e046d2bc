//! Texts in messages. Pure.
//!
//! The standard way to show a text pads it, and the code for that takes 1 KiB of the program; these do not.

use core::fmt::{self, Write};

/// A text as it is.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a>(pub &'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Bytes from outside: what is not printable ASCII is shown as `\xNN`.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a>(pub &'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digit = |value: u8| char::from_digit(u32::from(value & 15), 16).unwrap_or('?');
        for &byte in self.0 {
            if byte.is_ascii_graphic() || byte == b' ' {
                f.write_char(char::from(byte))?;
            } else {
                f.write_str("\\x")?;
                f.write_char(digit(byte >> 4))?;
                f.write_char(digit(byte))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn only_printable_ascii_is_shown_as_it_is() {
        assert_eq!(format!("{}", Quoted(b"a b~\n\0\x7f\xc3\xa9")), "a b~\\x0a\\x00\\x7f\\xc3\\xa9");
        assert_eq!(format!("{}", Text("a\nb")), "a\nb");
    }
}
