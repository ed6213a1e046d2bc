//! The document's measured parts stand between marks, so that a new run replaces them and nothing else.

use std::fs;
use std::path::PathBuf;

use earlykmsg_tests::binary::workspace;

/// The document.
#[must_use]
pub fn path() -> PathBuf {
    workspace().join("docs/measurements/performance.md")
}

/// Puts a part's text where the document has its marks.
pub fn write(part: &str, text: &str) {
    let before = fs::read_to_string(path()).expect("read the document");
    let after =
        replaced(&before, part, text).unwrap_or_else(|| panic!("no place for {part} in the document"));
    fs::write(path(), after).expect("write the document");
}

/// The part as it stands there.
#[must_use]
pub fn read(document: &str, part: &str) -> Option<String> {
    let (begin, end) = marks(part);
    let (_, rest) = document.split_once(&begin)?;
    Some(rest.split_once(&end)?.0.to_owned())
}

fn replaced(document: &str, part: &str, text: &str) -> Option<String> {
    let (begin, end) = marks(part);
    let (before, rest) = document.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}{}\n{end}{after}", text.trim_end()))
}

fn marks(part: &str) -> (String, String) {
    (format!("<!-- measured: {part} -->\n"), format!("<!-- end: {part} -->"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_part_is_replaced() {
        let document = "a\n<!-- measured: x -->\nold\n<!-- end: x -->\nb\n";
        let new = replaced(document, "x", "new\n\n").expect("it has a place");
        assert_eq!(new, "a\n<!-- measured: x -->\nnew\n<!-- end: x -->\nb\n");
        assert_eq!(read(&new, "x").as_deref(), Some("new\n"));
        assert_eq!(replaced(&new, "y", ""), None);
    }
}
