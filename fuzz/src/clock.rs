//! Stamps into wall times, and their text.

use earlykmsg::record::clock::{Reading, StampOffset, TimeText, WallOffset};
use jiff::{SignedDuration, civil};

use crate::Input;

/// Offsets are what exact arithmetic makes of the readings, as far as 64 bits go; texts are what another library of
/// times writes, also when the one of another second was kept.
pub fn check(bytes: &[u8]) {
    let mut input = Input(bytes);
    let numbers = (|| Some([input.i64()?, input.i64()?, input.i64()?, input.i64()?, input.i64()?]))();
    let Some([before, stamp, wall_ns, raw_ns, second]) = numbers else { return };
    let stamp = stamp.unsigned_abs();

    let measured = StampOffset::measured(before, stamp);
    let exact = i128::from(before) / 1_000 - i128::from(stamp);
    assert!((i128::from(measured.0) - saturated(exact)).abs() <= 1, "{measured:?} for {exact}");

    let now = Reading { wall_ns, raw_ns };
    let wall = WallOffset::new(measured, now);
    let distance = saturated(i128::from(wall_ns) - i128::from(raw_ns)).div_euclid(1_000);
    let exact = i128::from(measured.0) + distance;
    assert_eq!(i128::from(wall.0), saturated(exact));
    let mut followed = WallOffset(second);
    followed.follow(measured, now);
    let steady = (i128::from(wall.0) - i128::from(second)).abs() < 500;
    assert_eq!(followed, if steady { WallOffset(second) } else { wall });

    let (seconds, micros) = wall.wall(stamp);
    let exact = i128::from(stamp) + i128::from(wall.0);
    assert_eq!(
        (i128::from(seconds), i128::from(micros)),
        (exact.div_euclid(1_000_000), exact.rem_euclid(1_000_000))
    );

    let mut text = TimeText::NONE;
    for second in [0, second, seconds, second.wrapping_add(1), 0] {
        // The years that four digits can say.
        let nearest = second.clamp(-62_167_219_200, 253_402_300_799);
        let time = civil::datetime(1970, 1, 1, 0, 0, 0, 0) + SignedDuration::from_secs(nearest);
        let want = time.strftime("%Y-%m-%dT%H:%M:%S").to_string();
        assert_eq!(str::from_utf8(text.text(second, 0)), Ok(&*(want.clone() + "Z")), "second {second}");
        let fraction = format!(".{micros:06}");
        let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
        assert_eq!(str::from_utf8(text.text(second, micros)), Ok(&*format!("{want}{fraction}Z")));
    }
}

fn saturated(number: i128) -> i128 {
    number.clamp(i64::MIN.into(), i64::MAX.into())
}
