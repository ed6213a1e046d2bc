//! What a record's priority is made of: how severe it is, and who wrote it.

/// The kernel's own facility.
pub const KERN: u64 = 0;
/// The facility of user space.
pub const USER: u64 = 1;

/// A record's severity, 0 (the system is unusable) to 7.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Level(u8);

impl Level {
    /// The level in a priority, which is `facility * 8 + level`.
    pub fn of(priority: u64) -> Level {
        Level((priority & 7) as u8)
    }

    /// An error.
    pub const ERR: Level = Level(3);
    /// A warning.
    pub const WARNING: Level = Level(4);
    /// Information.
    pub const INFO: Level = Level(6);
    /// The least severe.
    pub const DEBUG: Level = Level(7);

    /// All levels, most severe first.
    pub fn all() -> impl Iterator<Item = Level> {
        (0..=Level::DEBUG.0).map(Level)
    }

    /// Reads one of the eight names.
    pub fn from_name(name: &[u8]) -> Option<Level> {
        Level::all().find(|level| level.name().as_bytes() == name)
    }

    /// Its number.
    pub fn number(self) -> u8 {
        self.0
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self.0 {
            0 => "emerg",
            1 => "alert",
            2 => "crit",
            3 => "err",
            4 => "warning",
            5 => "notice",
            6 => "info",
            _ => "debug",
        }
    }

    /// What Talos makes of it.
    pub fn talos_name(self) -> &'static str {
        match self.0 {
            0..=3 => "error",
            4 => "warn",
            5 | 6 => "info",
            _ => "debug",
        }
    }
}

/// The name of a facility. Those from 24 on have none.
pub fn facility_name(facility: u64) -> Option<&'static str> {
    Some(match facility {
        0 => "kern",
        1 => "user",
        2 => "mail",
        3 => "daemon",
        4 => "auth",
        5 => "syslog",
        6 => "lpr",
        7 => "news",
        8 => "uucp",
        9 => "cron",
        10 => "authpriv",
        11 => "ftp",
        12 => "ntp",
        13 => "audit",
        14 => "alert",
        15 => "clock",
        16 => "local0",
        17 => "local1",
        18 => "local2",
        19 => "local3",
        20 => "local4",
        21 => "local5",
        22 => "local6",
        23 => "local7",
        _ => return None,
    })
}
