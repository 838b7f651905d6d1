//! Integers that are exact at any size: chains count in 256 bits, OTLP's integers end at 63.
use alloc::{
    boxed::Box,
    string::{String, ToString},
};
use core::{cmp::Ordering, fmt};
use num_bigint::BigInt;
use num_traits::{Num, Signed, ToPrimitive, Zero};

/// An integer of any size. Values that fit `i128` are always [`Int::Small`], so equality is structural.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Int {
    /// Fits 128 bits.
    Small(i128),
    /// Does not.
    Big(Box<BigInt>),
}

impl Int {
    /// Reads a decimal (`-12`) or hexadecimal (`0xff`) integer; nothing else: no spaces, no sign `+`, no fraction.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (radix, digits) = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
            Some(rest) => (16, rest),
            None => (10, digits),
        };
        if digits.is_empty() || !digits.bytes().all(|b| (b as char).is_digit(radix)) {
            return None;
        }
        let magnitude = match i128::from_str_radix(digits, radix) {
            Ok(small) => Int::Small(small),
            Err(_) => Int::from(BigInt::from_str_radix(digits, radix).ok()?),
        };
        Some(if negative { magnitude.neg() } else { magnitude })
    }

    /// As arbitrary-precision number.
    #[must_use]
    pub fn to_big(&self) -> BigInt {
        match self {
            Int::Small(small) => BigInt::from(*small),
            Int::Big(big) => (**big).clone(),
        }
    }

    /// Sum, exact.
    #[must_use]
    pub fn add(&self, other: &Self) -> Self {
        self.with(other, i128::checked_add, |a, b| a + b)
    }

    /// Difference, exact.
    #[must_use]
    pub fn sub(&self, other: &Self) -> Self {
        self.with(other, i128::checked_sub, |a, b| a - b)
    }

    /// Product, exact.
    #[must_use]
    pub fn mul(&self, other: &Self) -> Self {
        self.with(other, i128::checked_mul, |a, b| a * b)
    }

    /// Quotient rounded towards zero, as in CEL; `None` for division by zero.
    #[must_use]
    pub fn div(&self, other: &Self) -> Option<Self> {
        (!other.is_zero()).then(|| self.with(other, i128::checked_div, |a, b| a / b))
    }

    /// Remainder with the sign of the dividend, as in CEL; `None` for division by zero.
    #[must_use]
    pub fn rem(&self, other: &Self) -> Option<Self> {
        (!other.is_zero()).then(|| self.with(other, i128::checked_rem, |a, b| a % b))
    }

    /// The negative.
    #[must_use]
    pub fn neg(&self) -> Self {
        Int::Small(0).sub(self)
    }

    /// Without its sign.
    #[must_use]
    pub fn abs(&self) -> Self {
        if self.is_negative() { self.neg() } else { self.clone() }
    }

    /// Whether it is 0.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        matches!(self, Int::Small(0))
    }

    /// Whether it is below 0.
    #[must_use]
    pub fn is_negative(&self) -> bool {
        match self {
            Int::Small(small) => *small < 0,
            Int::Big(big) => big.is_negative(),
        }
    }

    /// The nearest double.
    #[must_use]
    pub fn to_f64(&self) -> f64 {
        match self {
            Int::Small(small) => *small as f64,
            Int::Big(big) => big.to_f64().unwrap_or(f64::NAN),
        }
    }

    /// As 64 bits, where it fits.
    #[must_use]
    pub fn to_i64(&self) -> Option<i64> {
        match self {
            Int::Small(small) => i64::try_from(*small).ok(),
            Int::Big(_) => None,
        }
    }

    /// Compares with a double by value, without rounding either; `None` for NaN.
    #[must_use]
    pub fn cmp_f64(&self, other: f64) -> Option<Ordering> {
        if other.is_nan() {
            return None;
        }
        if other.is_infinite() {
            return Some(if other > 0.0 { Ordering::Less } else { Ordering::Greater });
        }
        let whole = <BigInt as num_traits::FromPrimitive>::from_f64(other)?;
        let fraction = other - whole.to_f64().unwrap_or(other);
        Some(self.to_big().cmp(&whole).then(match fraction.partial_cmp(&0.0) {
            Some(Ordering::Greater) => Ordering::Less,
            Some(Ordering::Less) => Ordering::Greater,
            _ => Ordering::Equal,
        }))
    }

    fn with(&self, other: &Self, small: fn(i128, i128) -> Option<i128>, big: fn(BigInt, BigInt) -> BigInt) -> Self {
        if let (Int::Small(a), Int::Small(b)) = (self, other)
            && let Some(result) = small(*a, *b)
        {
            return Int::Small(result);
        }
        Int::from(big(self.to_big(), other.to_big()))
    }
}

impl From<BigInt> for Int {
    fn from(big: BigInt) -> Self {
        match big.to_i128() {
            Some(small) => Int::Small(small),
            None if big.is_zero() => Int::Small(0),
            None => Int::Big(Box::new(big)),
        }
    }
}

impl From<i64> for Int {
    fn from(value: i64) -> Self {
        Int::Small(i128::from(value))
    }
}

impl PartialOrd for Int {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Int {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Int::Small(a), Int::Small(b)) => a.cmp(b),
            _ => self.to_big().cmp(&other.to_big()),
        }
    }
}

impl fmt::Display for Int {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Int::Small(small) => small.fmt(f),
            Int::Big(big) => big.fmt(f),
        }
    }
}

impl serde::Serialize for Int {
    /// As decimal text, so that no format loses a digit.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_string())
    }
}

impl<'de> serde::Deserialize<'de> for Int {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Int::parse(&text).ok_or_else(|| serde::de::Error::custom("not an integer"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_exact_beyond_every_machine_word() {
        let max = Int::parse("0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff").unwrap();
        assert_eq!(
            max.add(&Int::Small(1)).to_string(),
            "115792089237316195423570985008687907853269984665640564039457584007913129639936"
        );
        assert_eq!(max.add(&Int::Small(1)).sub(&max), Int::Small(1));
        assert_eq!(Int::Small(i128::MAX).add(&Int::Small(1)).sub(&Int::Small(1)), Int::Small(i128::MAX));
    }

    #[test]
    fn only_plain_integers_parse() {
        for bad in ["", "-", "+1", "1.0", " 1", "0x", "1e3", "0xg", "--1"] {
            assert_eq!(Int::parse(bad), None, "{bad}");
        }
        assert_eq!(Int::parse("-0x10"), Some(Int::Small(-16)));
        assert_eq!(Int::parse("18446744073709551615"), Some(Int::Small(18_446_744_073_709_551_615)));
    }

    #[test]
    fn comparison_with_doubles_does_not_round() {
        assert_eq!(Int::Small(9_007_199_254_740_993).cmp_f64(9_007_199_254_740_992.0), Some(Ordering::Greater));
        assert_eq!(Int::Small(3).cmp_f64(3.5), Some(Ordering::Less));
        assert_eq!(Int::Small(-3).cmp_f64(-3.5), Some(Ordering::Greater));
        assert_eq!(Int::Small(3).cmp_f64(f64::NAN), None);
    }
}
