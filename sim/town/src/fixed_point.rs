//! Fixed-point decimals with six places, for need levels, money in meals, ratios and rewards. They are exact and the same on
//! every machine; floats exist only in files and on screens.

use std::fmt;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};

use serde::{Deserialize, Serialize};

/// A decimal with six places, held as an `i64` count of millionths. Range ±9.2 × 10¹².
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Micro(pub i64);

impl Micro {
    /// Zero.
    pub const ZERO: Self = Self(0);
    /// One whole: a satisfied need, a basic meal, 100 %.
    pub const ONE: Self = Self(1_000_000);

    /// The nearest representable value; `None` for NaN, infinities and magnitudes over 10⁹.
    pub fn from_f64(value: f64) -> Option<Self> {
        (value.is_finite() && value.abs() <= 1e9).then(|| Self((value * 1e6).round() as i64))
    }

    /// A whole number.
    pub const fn whole(value: i64) -> Self {
        Self(value * 1_000_000)
    }

    /// `part` ÷ `total`, rounded towards zero; zero when `total` is zero.
    pub fn ratio(part: i64, total: i64) -> Self {
        match part.checked_mul(1_000_000) {
            _ if total == 0 => Self::ZERO,
            // Division of 128 bits is many times slower and rarely needed.
            Some(part) if total > 0 => Self(part / total),
            _ => Self((i128::from(part) * 1_000_000 / i128::from(total)) as i64),
        }
    }

    /// For screens and files. The town never reads it back.
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// The product, rounded towards zero.
    #[must_use]
    pub fn times(self, other: Self) -> Self {
        match self.0.checked_mul(other.0) {
            // Division of 128 bits is many times slower and rarely needed.
            Some(product) => Self(product / 1_000_000),
            None => Self((i128::from(self.0) * i128::from(other.0) / 1_000_000) as i64),
        }
    }

    /// `self` × a count.
    #[must_use]
    pub const fn scaled(self, count: i64) -> Self {
        Self(self.0 * count)
    }

    /// Clamped to `[0, 1]`.
    #[must_use]
    pub fn unit(self) -> Self {
        self.clamp(Self::ZERO, Self::ONE)
    }
}

impl Add for Micro {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Sub for Micro {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl Neg for Micro {
    type Output = Self;
    fn neg(self) -> Self {
        Self(-self.0)
    }
}

impl AddAssign for Micro {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl SubAssign for Micro {
    fn sub_assign(&mut self, other: Self) {
        self.0 -= other.0;
    }
}

impl std::iter::Sum for Micro {
    fn sum<I: Iterator<Item = Self>>(values: I) -> Self {
        Self(values.map(|value| value.0).sum())
    }
}

/// Shown with the fewest decimals that are exact: `0.4`, `-2`, `0.000125`.
impl fmt::Display for Micro {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.0.unsigned_abs() / 1_000_000, self.0.unsigned_abs() % 1_000_000);
        let sign = if self.0 < 0 { "-" } else { "" };
        if fraction == 0 {
            write!(f, "{sign}{whole}")
        } else {
            write!(f, "{sign}{whole}.{}", format!("{fraction:06}").trim_end_matches('0'))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_survive_exactly() {
        for text in ["0", "0.4", "-2", "0.000125", "-0.5", "1234.567891"] {
            let value = Micro::from_f64(text.parse().unwrap()).unwrap();
            assert_eq!(value.to_string(), text);
        }
        assert_eq!(Micro::from_f64(f64::NAN), None);
        assert_eq!(Micro::from_f64(1e10), None);
    }

    #[test]
    fn ratios_and_products_round_towards_zero() {
        assert_eq!(Micro::ratio(1, 3), Micro(333_333));
        assert_eq!(Micro::ratio(5, 0), Micro::ZERO);
        assert_eq!(Micro(333_333).times(Micro::whole(3)), Micro(999_999));
        assert_eq!(Micro(-333_333).times(Micro(500_000)), Micro(-166_666));
        assert_eq!(Micro::ratio(-1, 3), Micro(-333_333));
        assert_eq!(Micro::ratio(1, -3), Micro(-333_333));
    }

    #[test]
    fn large_products_and_ratios_are_exact() {
        assert_eq!(Micro::whole(3_000_000).times(Micro::whole(1_000_000)), Micro(3_000_000_000_000_000_000));
        assert_eq!(Micro::ratio(i64::MAX, i64::MAX), Micro::ONE);
        assert_eq!(Micro::ratio(i64::MAX, -i64::MAX), -Micro::ONE);
    }
}
