//! The kernel's time stamps and the wall clock. Pure: readings come in, times come out.
//!
//! The kernel stamps records with a clock of its own. It runs beside `CLOCK_MONOTONIC_RAW` (both count the same
//! oscillator, and no one slews either), at a distance that is measured once: a record is written just after a
//! reading, and its stamp read back. The wall clock is read anew before every batch of records, so a step of it
//! is over with the next batch:
//!
//! ```text
//! wall time of a record = stamp + (raw - stamp clock) + (wall - raw)
//!                                  measured once         before every batch
//! ```

use heapless::Vec;

use crate::limits::TIME_BYTES_MAX;

/// Two clocks read at the same moment, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// `CLOCK_REALTIME`: since 1970.
    pub wall_ns: i64,
    /// `CLOCK_MONOTONIC_RAW`.
    pub raw_ns: i64,
}

/// How far `CLOCK_MONOTONIC_RAW` is ahead of the kernel's stamps, in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StampOffset(pub i64);

impl StampOffset {
    /// From a record that was written just after a reading of `CLOCK_MONOTONIC_RAW`. The kernel stamps first: how long
    /// the writing takes then, with consoles and with readers that wake up, says nothing.
    pub fn measured(before_ns: i64, stamp_us: u64) -> StampOffset {
        StampOffset((before_ns / 1_000).saturating_sub(i64::try_from(stamp_us).unwrap_or(i64::MAX)))
    }
}

/// What is added to a stamp to make it a wall time, in microseconds. Small changes are not followed, so that a
/// record that is sent twice says the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WallOffset(pub i64);

impl WallOffset {
    /// Changes of less than this are the reading's own, or a slew that is followed a little later.
    const STEADY_US: i64 = 500;

    /// From the stamps' offset and a reading.
    pub fn new(stamp: StampOffset, now: Reading) -> WallOffset {
        WallOffset(stamp.0.saturating_add(now.wall_ns.saturating_sub(now.raw_ns).div_euclid(1_000)))
    }

    /// Follows the wall clock.
    pub fn follow(&mut self, stamp: StampOffset, now: Reading) {
        let new = WallOffset::new(stamp, now);
        if new.0.abs_diff(self.0) >= WallOffset::STEADY_US as u64 {
            *self = new;
        }
    }

    /// The wall time of a stamp: seconds since 1970 and microseconds.
    pub fn wall(self, stamp_us: u64) -> (i64, u32) {
        let micros = (stamp_us % 1_000_000) as i64 + self.0.rem_euclid(1_000_000);
        let seconds = (stamp_us / 1_000_000) as i64 + self.0.div_euclid(1_000_000) + micros / 1_000_000;
        (seconds, (micros % 1_000_000) as u32)
    }
}

/// Writes RFC 3339 times in UTC. The text of the last second is kept: records come in crowds.
#[derive(Debug)]
pub struct TimeText {
    second: i64,
    /// The second, and behind it room for its fraction. Empty at first.
    text: Vec<u8, TIME_BYTES_MAX>,
}

impl TimeText {
    const SECOND_BYTES: usize = b"2021-11-26T16:53:21".len();
    const SECOND_MIN: i64 = -62_167_219_200; // the year 0
    const SECOND_MAX: i64 = 253_402_300_799; // the end of the year 9999

    /// No second yet.
    pub const NONE: TimeText = TimeText { second: 0, text: Vec::new() };

    /// The text of a time, trailing zeros of its fraction cut: `2021-11-26T16:53:21.25Z`. Of a second that four digits
    /// of a year cannot say, the nearest that they can.
    pub fn text(&mut self, second: i64, micros: u32) -> &[u8] {
        if self.text.is_empty() || second != self.second {
            self.second = second;
            self.text = second_text(second);
        }
        self.text.truncate(TimeText::SECOND_BYTES);
        if micros != 0 {
            let mut fraction = *b".000000";
            add_number(&mut fraction[1..], micros);
            let mut fraction = &fraction[..];
            while let [shorter @ .., b'0'] = fraction {
                fraction = shorter;
            }
            let _ = self.text.extend_from_slice(fraction); // TIME_BYTES_MAX has room
        }
        let _ = self.text.push(b'Z');
        &self.text
    }
}

/// `2021-11-26T16:53:21`
fn second_text(second: i64) -> Vec<u8, TIME_BYTES_MAX> {
    let second = (second.clamp(TimeText::SECOND_MIN, TimeText::SECOND_MAX) - TimeText::SECOND_MIN) as u64;
    let (year, month, day) = date((second / 86_400) as u32);
    let of_day = (second % 86_400) as u32;
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    let mut text = *b"0000-00-00T00:00:00";
    let fields = text.split_mut(|&byte| byte != b'0');
    for (field, number) in fields.zip([year, month, day, hour, minute, second]) {
        add_number(field, number);
    }
    Vec::from_slice(&text).unwrap_or_default()
}

/// Writes a number into a field of zeros.
fn add_number(field: &mut [u8], number: u32) {
    let mut rest = number;
    for digit in field.iter_mut().rev() {
        *digit += (rest % 10) as u8;
        rest /= 10;
    }
}

/// The civil date of a day since the year 0, in the proleptic Gregorian calendar, counted in years that begin in March
/// and eras of 400 years, which all have the same length.
fn date(day: u32) -> (u32, u32, u32) {
    const ERA_DAYS: u32 = 146_097;
    const JANUARY_AND_FEBRUARY: u32 = 60; // of the year 0, in whose March the first era begins
    let day = day + ERA_DAYS - JANUARY_AND_FEBRUARY;
    let era = day / ERA_DAYS;
    let of_era = day % ERA_DAYS;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day_of_month = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + u32::from(month <= 2) - 400;
    (year, month, day_of_month)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    #[track_caller]
    fn check(second: i64, want: &str) {
        let mut time = TimeText::NONE;
        for before in [second, 7] {
            time.text(before, 123_456);
            for (micros, fraction) in
                [(0, ""), (1, ".000001"), (250_000, ".25"), (999_999, ".999999"), (100, ".0001")]
            {
                let text = time.text(second, micros).to_vec();
                assert_eq!(String::from_utf8(text).unwrap(), std::format!("{want}{fraction}Z"));
            }
        }
    }

    #[test]
    fn dates() {
        check(0, "1970-01-01T00:00:00");
        check(1_637_945_595, "2021-11-26T16:53:15");
        check(951_782_400, "2000-02-29T00:00:00");
        check(951_868_800, "2000-03-01T00:00:00");
        check(4_107_542_399, "2100-02-28T23:59:59");
        check(4_107_542_400, "2100-03-01T00:00:00");
        check(-1, "1969-12-31T23:59:59");
        check(TimeText::SECOND_MIN, "0000-01-01T00:00:00");
        check(i64::MIN, "0000-01-01T00:00:00");
        check(TimeText::SECOND_MAX, "9999-12-31T23:59:59");
        check(i64::MAX, "9999-12-31T23:59:59");
    }

    #[test]
    fn the_text_of_a_second_is_kept_only_for_it() {
        let mut time = TimeText::NONE;
        for (second, want) in
            [(5, "1970-01-01T00:00:05Z"), (6, "1970-01-01T00:00:06Z"), (5, "1970-01-01T00:00:05Z")]
        {
            assert_eq!(time.text(second, 0), want.as_bytes());
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut before = date(0);
        assert_eq!(before, (0, 1, 1));
        for day in 1..=3_652_424 {
            let today = date(day);
            let next_in_month = (before.0, before.1, before.2 + 1);
            let first = today.2 == 1 && before.2 >= 28 && (today.1 == before.1 % 12 + 1);
            assert!(today == next_in_month || first, "{before:?} {today:?}");
            before = today;
        }
        assert_eq!(before, (9999, 12, 31));
    }

    #[test]
    fn wall_times() {
        let second = 1_637_945_595;
        let stamp = StampOffset::measured(10_000_000, 8_000);
        assert_eq!(stamp, StampOffset(2_000));
        let now = Reading { wall_ns: second * 1_000_000_000 + 2_000_000, raw_ns: 4_000_000 };
        let mut wall = WallOffset::new(stamp, now);
        assert_eq!(wall.wall(0), (second, 0));
        assert_eq!(wall.wall(1_500_001), (second + 1, 500_001));
        let before = wall;
        wall.follow(stamp, Reading { wall_ns: now.wall_ns + 100_000, ..now });
        assert_eq!(wall, before, "a small change is not followed");
        wall.follow(stamp, Reading { wall_ns: now.wall_ns + 5_000_000_000, ..now });
        assert_eq!(wall.wall(0), (second + 5, 0), "a step is");
        assert_eq!(WallOffset(600_000).wall(500_000), (1, 100_000));
        assert_eq!(WallOffset(-1).wall(0), (-1, 999_999));
        assert_eq!(WallOffset(i64::MAX).wall(u64::MAX).1, 327_422);
    }
}
