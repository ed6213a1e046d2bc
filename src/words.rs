//! Messages: texts and numbers put one behind the other into a line of fixed size. Pure.
//!
//! The standard way to format takes 4 KiB of the program: padding, precision, a table of functions for each type.
//! Messages need none of it: `words!(line, "lost ", count, " records")` says what is in it, part by part.

use crate::limits::WORDS_BYTES_MAX;

/// What can stand in a message.
pub trait Words {
    /// Puts it at the end of `line`.
    fn put(&self, line: &mut Line);
}

/// Defines an enumeration and what each value of it is called, all in one text: a `match` takes 12 bytes more a value.
/// No name holds a comma.
#[macro_export]
macro_rules! named {
    ($(#[$attribute:meta])* pub enum $type:ident { $($value:ident = $words:literal,)+ }) => {
        $(#[$attribute])*
        pub enum $type {
            $($value,)+
        }

        impl $type {
            /// What an operator reads.
            pub fn words(self) -> &'static [u8] {
                $type::nth_words(self as usize)
            }

            /// The same for the value of this number.
            pub fn nth_words(nth: usize) -> &'static [u8] {
                $crate::words::nth_name(concat!($($words, ", "),+), nth)
            }
        }
    };
}

pub use named;

/// A message in the making. What does not fit is left out; there is always room for its end.
pub struct Line {
    bytes: [u8; WORDS_BYTES_MAX + 1],
    len: usize,
}

/// Puts parts at the end of a [`Line`], one behind the other.
#[macro_export]
macro_rules! words {
    ($line:expr, $($part:expr),+ $(,)?) => {{
        let line: &mut $crate::words::Line = $line;
        $($crate::words::Words::put(&$part, line);)+
    }};
}

impl Line {
    /// An empty line.
    pub const fn new() -> Line {
        Line { bytes: [0; WORDS_BYTES_MAX + 1], len: 0 }
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// What was put into it.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// The same with a newline at its end: without one, the kernel would hold a line back.
    pub fn ended(&mut self) -> &[u8] {
        self.bytes[self.len] = b'\n';
        &self.bytes[..=self.len]
    }

    /// Puts one byte.
    pub fn byte(&mut self, byte: u8) {
        if self.len < WORDS_BYTES_MAX {
            self.bytes[self.len] = byte;
            self.len += 1;
        }
    }

    /// Puts a byte's two hexadecimal digits.
    pub fn hex(&mut self, byte: u8) {
        self.byte(hex_digit(byte >> 4));
        self.byte(hex_digit(byte & 15));
    }
}

impl Default for Line {
    fn default() -> Self {
        Line::new()
    }
}

/// What implements `Display` can be put into a message too. What does not fit is left out.
impl core::fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        text.put(self);
        Ok(())
    }
}

impl Words for str {
    fn put(&self, line: &mut Line) {
        self.as_bytes().put(line);
    }
}

/// Bytes that are known to be a text.
impl Words for [u8] {
    #[inline(never)]
    fn put(&self, line: &mut Line) {
        for &byte in self {
            line.byte(byte);
        }
    }
}

impl Words for u64 {
    fn put(&self, line: &mut Line) {
        let mut digits = [0; 20];
        for &digit in decimal(*self, &mut digits) {
            line.byte(digit);
        }
    }
}

impl Words for u32 {
    fn put(&self, line: &mut Line) {
        u64::from(*self).put(line);
    }
}

impl<T: Words + ?Sized> Words for &T {
    fn put(&self, line: &mut Line) {
        (**self).put(line);
    }
}

/// The decimal digits of a number, without leading zeros.
pub fn decimal(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 || at == 0 {
            return &digits[at..];
        }
    }
}

/// The name at place `nth` of a list. (An array of texts takes 40 bytes more a name.)
pub fn nth_name(names: &'static str, nth: usize) -> &'static [u8] {
    let names = names.as_bytes();
    let (mut nth, mut from) = (nth, 0);
    for (at, &byte) in names.iter().enumerate() {
        match byte {
            b',' if nth == 0 => return &names[from..at],
            b',' => {
                nth -= 1;
                from = at + 2;
            }
            _ => {}
        }
    }
    &names[from..]
}

/// Bytes from outside: what is not printable ASCII is shown as `\xNN`.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a>(pub &'a [u8]);

impl Words for Quoted<'_> {
    fn put(&self, line: &mut Line) {
        for &byte in self.0 {
            if byte.is_ascii_graphic() || byte == b' ' {
                line.byte(byte);
            } else {
                line.byte(b'\\');
                line.byte(b'x');
                line.hex(byte);
            }
        }
    }
}

/// The hexadecimal digit of a value below 16.
pub fn hex_digit(value: u8) -> u8 {
    value + if value < 10 { b'0' } else { b'a' - 10 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::said;

    #[test]
    fn only_printable_ascii_is_shown_as_it_is() {
        assert_eq!(said(Quoted(b"a b~\n\0\x7f\xc3\xa9")), "a b~\\x0a\\x00\\x7f\\xc3\\xa9");
        assert_eq!(said("a\nb"), "a\nb");
    }

    #[test]
    fn numbers() {
        for number in [0, 9, 10, 1_234_567_890, u64::MAX] {
            assert_eq!(said(number), std::format!("{number}"));
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let mut line = Line::new();
        for _ in 0..=WORDS_BYTES_MAX {
            words!(&mut line, "x", 1_u64);
        }
        assert_eq!(line.bytes().len(), WORDS_BYTES_MAX);
    }
}
