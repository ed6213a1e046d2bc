//! Which kernels can rename a link that is up.

use crate::text::{decimal, next_part};

/// Whether a kernel of this release (`6.1.0-13-amd64`) can: those from 6.2 on. One that cannot be read is taken for older.
pub fn renames_links_that_are_up(release: &[u8]) -> bool {
    let mut rest = release;
    let [major, minor] = [(); 2].map(|()| {
        let part = next_part(&mut rest, b'.');
        let digits = part.iter().take_while(|byte| byte.is_ascii_digit()).count();
        decimal(&part[..digits])
    });
    (major, minor) >= (Some(6), Some(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases() {
        for (release, can) in [
            ("6.1.0-13-amd64", false),
            ("6.2", true),
            ("6.2-rc1", true),
            ("6.12.9+deb13-cloud-amd64", true),
            ("7.0.0", true),
            ("5.15.0", false),
            ("", false),
            ("6", false),
            ("x.y", false),
        ] {
            assert_eq!(renames_links_that_are_up(release.as_bytes()), can, "{release}");
        }
    }
}
