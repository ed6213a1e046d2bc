//! What one module is loaded with, and whether it may be loaded: from `modprobe.d`, `modules.softdep` and the kernel's
//! command line.

use heapless::Vec;

use super::{Name, name_of};
use crate::config::cmdline::{Argument, Arguments};
use crate::limits::{MODULE_OPTIONS_BYTES_MAX, MODULES_MAX};
use crate::text::{next_word, split_once};

/// What holds for one module.
#[derive(Clone, Debug)]
pub struct Settings {
    name: Name,
    /// Nobody is to load it for a device.
    pub blacklisted: bool,
    /// Loading it means running a command, which this program does not.
    pub needs_command: bool,
    /// Its parameters, each behind a space.
    pub options: Vec<u8, MODULE_OPTIONS_BYTES_MAX>,
    /// What is to be loaded before it, if it is there.
    pub before: Vec<Name, MODULES_MAX>,
    /// What is to be loaded after it, if it is there.
    pub after: Vec<Name, MODULES_MAX>,
}

impl Settings {
    /// Nothing special holds for the module.
    pub fn of(name: &Name) -> Settings {
        Settings {
            name: name.clone(),
            blacklisted: false,
            needs_command: false,
            options: Vec::new(),
            before: Vec::new(),
            after: Vec::new(),
        }
    }

    /// Takes a line of a file.
    pub fn take_line(&mut self, mut line: &[u8]) {
        let command = next_word(&mut line);
        let name = next_word(&mut line);
        if !self.is_own(name) {
            return;
        }
        match command {
            b"blacklist" => self.blacklisted = true,
            b"install" => self.needs_command = true,
            b"options" => self.add_option(line.trim_ascii()),
            b"softdep" => self.take_soft_dependencies(line),
            _ => {}
        }
    }

    /// Takes the command line: `modprobe.blacklist=NAME,NAME`, `NAME.PARAMETER=VALUE`.
    pub fn take_cmdline(&mut self, cmdline: &[u8]) {
        for Argument { name, value } in Arguments(cmdline) {
            match (name, value) {
                (b"modprobe.blacklist" | b"rd.driver.blacklist", Some(names)) => {
                    self.blacklisted |= names.split(|&byte| byte == b',').any(|name| self.is_own(name));
                }
                _ => {
                    let Some((module, parameter)) = split_once(name, b'.') else { continue };
                    if self.is_own(module) {
                        self.add_option(parameter);
                        if let Some(value) = value {
                            let _ = self.options.push(b'=');
                            let _ = self.options.extend_from_slice(value);
                        }
                    }
                }
            }
        }
    }

    fn is_own(&self, name: &[u8]) -> bool {
        name_of(name).is_some_and(|name| name == self.name)
    }

    fn add_option(&mut self, option: &[u8]) {
        if !self.options.is_empty() {
            let _ = self.options.push(b' ');
        }
        // One that does not fit is left out.
        let _ = self.options.extend_from_slice(option);
    }

    fn take_soft_dependencies(&mut self, mut line: &[u8]) {
        let mut list = None;
        loop {
            match next_word(&mut line) {
                b"" => return,
                b"pre:" => list = Some(&mut self.before),
                b"post:" => list = Some(&mut self.after),
                name => {
                    if let (Some(list), Some(name)) = (&mut list, name_of(name)) {
                        let _ = list.push(name);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    fn settings(name: &str, lines: &[&str], cmdline: &str) -> Settings {
        let mut settings = Settings::of(&name_of(name.as_bytes()).unwrap());
        lines.iter().for_each(|line| settings.take_line(line.as_bytes()));
        settings.take_cmdline(cmdline.as_bytes());
        settings
    }

    fn options(settings: &Settings) -> String {
        String::from_utf8(settings.options.to_vec()).unwrap()
    }

    #[test]
    fn what_lines_say() {
        let lines = [
            "# a remark",
            "options usb_storage quirks=x  delay=1 ",
            "options other x=1",
            "softdep usb-storage pre: uas  scsi-mod post: sd_mod",
            "alias x y",
            "",
        ];
        let got = settings("usb-storage", &lines, "");
        assert_eq!((got.blacklisted, got.needs_command), (false, false));
        assert_eq!(options(&got), "quirks=x  delay=1");
        let before: std::vec::Vec<&[u8]> = got.before.iter().map(|name| &name[..]).collect();
        assert_eq!(before, [&b"uas"[..], b"scsi_mod"]);
        assert_eq!(got.after, [name_of(b"sd_mod").unwrap()]);
        assert!(settings("e1000", &["blacklist e1000"], "").blacklisted);
        assert!(settings("e1000", &["install e1000 /bin/true"], "").needs_command);
        assert!(!settings("e1000", &["blacklist e1000e", "install e100 x"], "").blacklisted);
    }

    #[test]
    fn what_the_command_line_says() {
        let line = "quiet modprobe.blacklist=a,e1000 usbcore.quirks=x bonding.max_bonds=0 bonding.flag";
        assert!(settings("e1000", &[], line).blacklisted);
        assert!(!settings("e100", &[], line).blacklisted);
        assert!(settings("b", &[], "rd.driver.blacklist=b").blacklisted);
        assert_eq!(
            options(&settings("bonding", &["options bonding mode=1"], line)),
            "mode=1 max_bonds=0 flag"
        );
        assert_eq!(options(&settings("usbcore", &[], line)), "quirks=x");
    }

    #[test]
    fn long_options_are_cut() {
        let long = std::format!("options a x={}", "y".repeat(MODULE_OPTIONS_BYTES_MAX));
        let got = settings("a", &[&long, "options a z=1"], "");
        assert!(got.options.len() <= MODULE_OPTIONS_BYTES_MAX);
    }
}
