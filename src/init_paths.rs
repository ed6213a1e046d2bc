//! Where an init usually is.

use core::ffi::CStr;

/// The usual paths, in the order in which they are tried.
const USUAL: [&CStr; 5] = [c"/init", c"/sbin/init", c"/etc/init", c"/bin/init", c"/bin/sh"];

/// The usual paths that are left to try. When this program was itself started by one of them, those before it have had
/// their turn: one may be what started it, and would start it again for ever.
pub fn usual_candidates(own_path: Option<&CStr>) -> &'static [&'static CStr] {
    match USUAL.iter().position(|&path| Some(path) == own_path) {
        Some(own) => &USUAL[own + 1..],
        None => &USUAL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_goes_on_behind_its_own_place() {
        assert_eq!(usual_candidates(None), USUAL);
        assert_eq!(usual_candidates(Some(c"/earlykmsg")), USUAL);
        assert_eq!(usual_candidates(Some(c"/init")), &USUAL[1..]);
        assert_eq!(usual_candidates(Some(c"/sbin/init")), [c"/etc/init", c"/bin/init", c"/bin/sh"]);
        assert!(usual_candidates(Some(c"/bin/sh")).is_empty());
    }
}
