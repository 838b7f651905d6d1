//! Texts and numbers of JSON as the scalars of protobuf (<https://protobuf.dev/programming-guides/json/>).
use base64::{Engine, engine::general_purpose};

use super::{Warnings, schema::Kind};
use crate::{Fault, encode::Message, json::Number};

/// What is written, and what was strange about it.
pub(super) struct Scalars {
    pub(super) out: Message,
    pub(super) warnings: Warnings,
}

impl Scalars {
    /// Writes a text under a field's number.
    #[inline]
    pub(super) fn text(&mut self, number: u32, kind: &Kind, text: &[u8]) -> Result<(), Fault> {
        // So it is with nearly all numbers.
        if let Kind::Time | Kind::Int = kind
            && let Some(natural) = natural(text)
            && self.natural(number, kind, natural)
        {
            return Ok(());
        }
        match kind {
            Kind::Text => self.out.bytes(number, text),
            Kind::Id(length) => match from_hex(text, *length) {
                Some(bytes) => self.out.bytes(number, bytes.get(..*length).unwrap_or_default()),
                None => self.warnings.bad_ids += u32::from(!text.is_empty()),
            },
            Kind::Bytes => self.out.bytes(number, &from_base64(text).ok_or(Fault::Expected(kind.wanted()))?),
            Kind::Double => self.out.fixed64(number, double(text).ok_or(Fault::Expected(kind.wanted()))?.to_bits()),
            Kind::Enum(named) if text.first().is_some_and(u8::is_ascii_alphabetic) => {
                self.warnings.enum_names += 1;
                self.out.varint(number, named(text).ok_or(Fault::Expected("a known enum value"))?);
            }
            Kind::Time | Kind::Uint32 | Kind::Flags | Kind::Int | Kind::Enum(_) => {
                self.integer(number, kind, whole(text).ok_or(Fault::Expected(kind.wanted()))?)?;
            }
            Kind::Bool | Kind::Message(_) | Kind::Record(_) | Kind::Attribute | Kind::Any | Kind::List(_) => {
                return Err(Fault::Expected(kind.wanted()));
            }
        }
        Ok(())
    }

    /// Writes a number under a field's number.
    #[inline]
    pub(super) fn number(&mut self, number: u32, kind: &Kind, value: Number<'_>) -> Result<(), Fault> {
        let wanted = Fault::Expected(kind.wanted());
        match kind {
            Kind::Double => self.out.fixed64(number, double(value.text).ok_or(wanted)?.to_bits()),
            Kind::Time | Kind::Uint32 | Kind::Flags | Kind::Int | Kind::Enum(_) => {
                let int = match value.is_whole {
                    true => integer(value.text),
                    false => whole_double(value.text),
                };
                let int = int.ok_or(wanted)?;
                self.warnings.large_numbers += u32::from(int.unsigned_abs() > EXACT_MAX);
                self.integer(number, kind, int)?;
            }
            _ => return Err(wanted),
        }
        Ok(())
    }

    /// Writes a number without a sign in a place for integers that can hold it for certain; says whether it is one.
    #[inline(always)]
    pub(super) fn natural(&mut self, number: u32, kind: &Kind, natural: u64) -> bool {
        match kind {
            Kind::Time => self.out.fixed64(number, natural),
            Kind::Int if natural <= i64::MAX.cast_unsigned() => self.out.varint(number, natural),
            Kind::Uint32 | Kind::Enum(_) if natural <= 9 => self.out.varint(number, natural),
            Kind::Flags if natural <= 9 => self.out.fixed32(number, natural as u32),
            _ => return false,
        }
        true
    }

    /// Writes a whole number in a place for integers.
    #[inline]
    fn integer(&mut self, number: u32, kind: &Kind, int: i128) -> Result<(), Fault> {
        let wanted = |_| Fault::Expected(kind.wanted());
        match kind {
            Kind::Time => self.out.fixed64(number, u64::try_from(int).map_err(wanted)?),
            Kind::Uint32 => self.out.varint(number, u64::from(u32::try_from(int).map_err(wanted)?)),
            Kind::Flags => self.out.fixed32(number, u32::try_from(int).map_err(wanted)?),
            Kind::Enum(_) => {
                self.out.varint(number, i64::from(i32::try_from(int).map_err(wanted)?).cast_unsigned());
            }
            _ => self.out.varint(number, i64::try_from(int).map_err(wanted)?.cast_unsigned()),
        }
        Ok(())
    }
}

/// Doubles hold integers exactly up to here.
const EXACT_MAX: u128 = 1 << 53;

/// The integer that a whole number is.
#[inline]
fn integer(text: &[u8]) -> Option<i128> {
    match natural(text) {
        Some(int) => Some(i128::from(int)),
        None => str::from_utf8(text).ok()?.parse().ok(),
    }
}

/// The number that a few digits are.
#[inline]
fn natural(digits: &[u8]) -> Option<u64> {
    // So many fit 64 bits.
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    let (eights, rest) = digits.as_chunks::<8>();
    let mut number = 0;
    for eight in eights {
        number = number * 100_000_000 + eight_digits(u64::from_le_bytes(*eight))?;
    }
    for digit in rest {
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number * 10 + u64::from(digit - b'0');
    }
    Some(number)
}

/// The number that eight digits are, the first of them in the lowest byte: pairs of neighbours become one number, three times.
#[inline]
fn eight_digits(digits: u64) -> Option<u64> {
    const ZEROS: u64 = 0x3030_3030_3030_3030;
    const HIGH: u64 = 0xf0f0_f0f0_f0f0_f0f0;
    // Digits are 0x30 to 0x39: six more and they are still in that row.
    if digits & HIGH != ZEROS || digits.wrapping_add(0x0606_0606_0606_0606) & HIGH != ZEROS {
        return None;
    }
    let ones = digits - ZEROS;
    let twos = (ones * 10 + (ones >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (twos * 100 + (twos >> 16)) & 0x0000_ffff_0000_ffff;
    Some((fours * 10_000 + (fours >> 32)) & 0xffff_ffff)
}

/// The integer a number is that is written with a fraction of zero or an exponent.
fn whole_double(text: &[u8]) -> Option<i128> {
    let value = double(text)?;
    (value.fract() == 0.0 && value.abs() < 1e20).then_some(value as i128)
}

/// The integer a text is. A number's text may have an exponent or a fraction, as long as it is whole and exact.
#[inline]
fn whole(text: &[u8]) -> Option<i128> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    if !digits.first()?.is_ascii_digit() {
        return None;
    }
    integer(text).or_else(|| whole_double(text).filter(|int| int.unsigned_abs() <= EXACT_MAX))
}

fn double(text: &[u8]) -> Option<f64> {
    match text {
        b"NaN" => Some(f64::NAN),
        b"Infinity" => Some(f64::INFINITY),
        b"-Infinity" => Some(f64::NEG_INFINITY),
        [b'-' | b'0'..=b'9', ..] => str::from_utf8(text).ok()?.parse().ok().filter(|value: &f64| value.is_finite()),
        _ => None,
    }
}

/// The values of hex digits, in either case; 16 for what is none.
const HEX: [u8; 256] = {
    let (mut values, mut value) = ([16; 256], 0);
    while value < 16 {
        values[b"0123456789abcdef"[value] as usize] = value as u8;
        values[b"0123456789ABCDEF"[value] as usize] = value as u8;
        value += 1;
    }
    values
};

/// Hex of exactly so many bytes, sixteen at most.
fn from_hex(text: &[u8], length: usize) -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    if text.len() != length * 2 {
        return None;
    }
    let mut seen = 0;
    for (byte, [high, low]) in bytes.iter_mut().zip(text.as_chunks().0) {
        let (high, low) = (HEX[usize::from(*high)], HEX[usize::from(*low)]);
        seen |= high | low;
        *byte = high << 4 | low;
    }
    (seen < 16).then_some(bytes)
}

/// Standard or URL-safe, padded or not.
fn from_base64(text: &[u8]) -> Option<Vec<u8>> {
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    let plain = text.get(..text.len() - padding)?;
    general_purpose::STANDARD_NO_PAD.decode(plain).or_else(|_| general_purpose::URL_SAFE_NO_PAD.decode(plain)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn digits_are_the_number_that_the_standard_library_reads(text in "[0-9]{0,21}|[0-9/:]{1,19}|.{0,12}") {
            prop_assert_eq!(natural(text.as_bytes()), text.parse().ok().filter(|_| text.len() < 20 && !text.starts_with('+')));
        }
    }
}
