//! `/etc/hosts`: an address, then its names.

use super::{InterfaceIndex, next_line, parse_address};
use crate::address::Found;
use crate::text::next_word;
use crate::text::without_final_dot;

/// Adds every address that `text` has for `name`.
pub fn find(mut text: &[u8], name: &[u8], interface_index: InterfaceIndex<'_>, found: &mut Found) {
    let name = without_final_dot(name);
    while let Some(mut line) = next_line(&mut text) {
        let address = next_word(&mut line);
        loop {
            let alias = next_word(&mut line);
            if alias.is_empty() {
                break;
            }
            if alias.eq_ignore_ascii_case(name)
                && let Some(address) = parse_address(address, interface_index)
            {
                found.add(address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::address;
    use super::*;
    use crate::address::Address;
    use crate::testing::Random;
    use std::vec::Vec;

    fn check(text: &[u8], name: &str, want: &[&str]) {
        let mut found = Found::nothing();
        find(text, name.as_bytes(), &mut |zone| if zone == b"eth0" { 7 } else { 0 }, &mut found);
        let got: Vec<Address> = found.iter().collect();
        let want: Vec<Address> = want.iter().map(|text| address(text)).collect();
        assert_eq!(got, want, "{name}");
    }

    #[test]
    fn a_file_as_it_is_found() {
        let text = b"# The machines\r\n\
            127.0.0.1\tlocalhost localhost.localdomain\r\n\
            ::1             localhost ip6-localhost\n\
            \n\
            \t 10.0.0.5  Logs.Example.ORG\tlogs  # logs-old\n\
            10.0.0.6 lOgs other\n\
            #10.0.0.7 logs\n\
            fe80::5%eth0 logs\n\
            nonsense logs\n\
            10.0.0.8\n\
            10.0.0.300 logs\n\
            2001:DB8::9 last";
        check(text, "localhost", &["127.0.0.1", "::1"]);
        check(text, "LOCALHOST.localdomain.", &["127.0.0.1"]);
        check(text, "logs", &["10.0.0.5", "10.0.0.6", "fe80::5%eth0"]);
        check(text, "logs.example.org", &["10.0.0.5"]);
        check(text, "logs-old", &[]);
        check(text, "log", &[]);
        check(text, "10.0.0.8", &[]);
        check(text, "last", &["2001:db8::9"]);
        check(b"", "last", &[]);
    }

    #[test]
    fn any_bytes_are_a_file() {
        let mut random = Random::new(5);
        let letters = b"10.:f%e ah\t\n\r#;\0\xff";
        for _ in 0..20_000 {
            let text: Vec<u8> = (0..random.below(80)).map(|_| letters[random.below(letters.len())]).collect();
            find(&text, b"ah", &mut |_| 1, &mut Found::nothing());
        }
    }
}
