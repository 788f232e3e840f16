//! Numbers of a prediction, with their units.

use core::fmt;

use crate::arithmetic::softmax;

/// A score in the network's own units, as the float network would give it: Q16.16, from
/// `-32768` to just below `32768`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct Logit(i32);

impl Logit {
    /// Steps of a whole unit.
    const ONE: i64 = 1 << 16;

    /// Of 65536ths of a unit.
    pub const fn from_q16(q16: i32) -> Self {
        Self(q16)
    }

    /// In 65536ths of a unit.
    pub const fn to_q16(self) -> i32 {
        self.0
    }

    /// Of thousandths of a unit, the nearest there is: `from_thousandths(-1500)` is -1.5.
    pub const fn from_thousandths(thousandths: i32) -> Self {
        let scaled = thousandths as i64 * Self::ONE;
        let half = if scaled < 0 { -500 } else { 500 };
        let nearest = (scaled + half) / 1000;
        Self(if nearest > i32::MAX as i64 {
            i32::MAX
        } else if nearest < i32::MIN as i64 {
            i32::MIN
        } else {
            nearest as i32
        })
    }

    /// The nearest whole thousandths of a unit.
    pub const fn to_thousandths(self) -> i32 {
        let scaled = self.0 as i64 * 1000;
        let half = if scaled < 0 {
            -Self::ONE / 2
        } else {
            Self::ONE / 2
        };
        ((scaled + half) / Self::ONE) as i32
    }

    /// `1 / (1 + e^-x)`: the probability that a network with one score gives.
    pub fn sigmoid(self) -> Probability {
        let (own, other) = match self.0 >= 0 {
            true => (softmax::PEAK, weight(self.0.unsigned_abs())),
            false => (weight(self.0.unsigned_abs()), softmax::PEAK),
        };
        Probability::of(own, own + other)
    }
}

/// The softmax's weight of a logit that lies so many 65536ths below the largest one:
/// `PEAK * e^-d`.
pub(super) fn weight(distance: u32) -> u32 {
    // log2(e), Q24; the product is Q40.
    const LOG2_E: u64 = 24_204_406;
    softmax::weight((u64::from(distance) * LOG2_E) >> 8)
}

impl fmt::Display for Logit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let thousandths = self.to_thousandths();
        let sign = if thousandths < 0 { "-" } else { "" };
        let size = thousandths.unsigned_abs();
        write!(f, "{sign}{}.{:03}", size / 1000, size % 1000)
    }
}

impl fmt::Debug for Logit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Logit {
    fn format(&self, f: defmt::Formatter<'_>) {
        let thousandths = self.to_thousandths();
        let sign = if thousandths < 0 { "-" } else { "" };
        let size = thousandths.unsigned_abs();
        defmt::write!(f, "{=str}{=u32}.{=u32:03}", sign, size / 1000, size % 1000);
    }
}

/// A probability, in 65536ths.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Probability(u32);

impl Probability {
    /// Certain.
    pub const ONE: Self = Self(1 << 16);

    /// `part / whole`, the nearest there is; `whole` is below `2^32` and not zero.
    pub(super) fn of(part: u32, whole: u32) -> Self {
        // Weights have fifteen bits and so has `part`: in 32 bits, which cores divide.
        let whole = whole.max(1);
        Self(((part << 16) + whole / 2) / whole)
    }

    /// Of hundredths, at most 100.
    pub const fn from_percent(percent: u32) -> Self {
        let percent = if percent > 100 { 100 } else { percent };
        Self((percent * Self::ONE.0 + 50) / 100)
    }

    /// The nearest whole hundredths.
    pub const fn to_percent(self) -> u32 {
        (self.0 * 100 + Self::ONE.0 / 2) >> 16
    }

    /// In 65536ths, at most 65536.
    pub const fn to_q16(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Probability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = (self.0 * 1000 + Self::ONE.0 / 2) >> 16;
        write!(f, "{}.{} %", tenths / 10, tenths % 10)
    }
}

impl fmt::Debug for Probability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Probability {
    fn format(&self, f: defmt::Formatter<'_>) {
        let tenths = (self.0 * 1000 + Self::ONE.0 / 2) >> 16;
        defmt::write!(f, "{=u32}.{=u32} %", tenths / 10, tenths % 10);
    }
}

#[cfg(test)]
mod tests {
    use std::format;

    use super::*;

    #[test]
    fn thousandths_come_back() {
        for thousandths in [-32_000_000, -1500, -1, 0, 1, 999, 12_345, 32_000_000] {
            assert_eq!(
                Logit::from_thousandths(thousandths).to_thousandths(),
                thousandths
            );
        }
        assert_eq!(Logit::from_thousandths(i32::MAX).to_q16(), i32::MAX);
        assert_eq!(Logit::from_thousandths(i32::MIN).to_q16(), i32::MIN);
        assert_eq!(
            format!("{} {:?}", Logit::from_q16(-98_304), Logit::from_q16(40)),
            "-1.500 0.001"
        );
    }

    #[test]
    fn sigmoids_are_those_of_real_numbers() {
        for q16 in (i32::MIN..=i32::MAX)
            .step_by(9_999_991)
            .chain(-800_000..800_000)
        {
            let real = 1.0 / (1.0 + (-f64::from(q16) / 65_536.0).exp());
            let found = f64::from(Logit::from_q16(q16).sigmoid().to_q16()) / 65_536.0;
            assert!((found - real).abs() < 5e-5, "{q16}: {found} {real}");
        }
        assert_eq!(Logit::default().sigmoid().to_percent(), 50);
    }

    #[test]
    fn percents_come_back() {
        for percent in 0..=100 {
            assert_eq!(Probability::from_percent(percent).to_percent(), percent);
        }
        assert_eq!(Probability::from_percent(900), Probability::ONE);
        assert_eq!(format!("{}", Probability::from_percent(7)), "7.0 %");
    }
}
