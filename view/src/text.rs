//! Texts of others, made fit for a terminal or a picture.

use core::fmt::Write as _;

/// The text with everything that a terminal could take for a command as `\xNN`, as dmesg prints it. Tabs stay.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character == '\t' || !is_command(character) {
            out.push(character);
        } else {
            let mut bytes = [0; 4];
            for byte in character.encode_utf8(&mut bytes).bytes() {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
    out
}

/// Control characters, and those that turn the direction of what follows.
fn is_command(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// At most so many characters, the last of which says that there were more.
pub(crate) fn shortened(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    text.chars().take(max.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_commands_a_terminal() {
        assert_eq!(printable("a\tb \x1b[2J\u{9b}31m\r\x7f µ"), "a\tb \\x1b[2J\\xc2\\x9b31m\\x0d\\x7f µ");
        assert_eq!(printable("\u{202e}x"), "\\xe2\\x80\\xaex");
    }

    #[test]
    fn texts_are_shortened() {
        assert_eq!(shortened("µµµ", 3), "µµµ");
        assert_eq!(shortened("µµµµ", 3), "µµ…");
    }
}
