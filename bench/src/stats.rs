//! Many runs in three numbers.

use core::fmt;

/// The median of some figures, and the quartiles beside it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spread {
    /// A quarter is below.
    pub low: f64,
    /// Half of them are below.
    pub median: f64,
    /// A quarter is above.
    pub high: f64,
}

impl Spread {
    /// Of any figures; none of no figures.
    #[must_use]
    pub fn of(figures: &[f64]) -> Option<Spread> {
        let mut sorted = figures.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |quarter: usize| {
            let place = quarter as f64 * (sorted.len().checked_sub(1)?) as f64 / 4.0;
            let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
            Some(below + (above - below) * place.fract())
        };
        Some(Spread { low: at(1)?, median: at(2)?, high: at(3)? })
    }
}

impl fmt::Display for Spread {
    /// With the places that the formatter asks for: `1.20 (1.18–1.25)`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = out.precision().unwrap_or(2);
        write!(out, "{:.places$} ({:.places$}–{:.places$})", self.median, self.low, self.high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles() {
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(Spread::of(&[3.0]), Some(Spread { low: 3.0, median: 3.0, high: 3.0 }));
        assert_eq!(Spread::of(&[5.0, 1.0, 3.0, 2.0, 4.0]), Some(Spread { low: 2.0, median: 3.0, high: 4.0 }));
        assert_eq!(Spread::of(&[1.0, 2.0]).map(|spread| spread.median), Some(1.5));
        assert_eq!(format!("{:.1}", Spread::of(&[1.0, 2.0, 3.0]).unwrap()), "2.0 (1.5–2.5)");
    }
}
