//! Fields of one protobuf message, borrowed (<https://protobuf.dev/programming-guides/encoding/>). Knows no schema.
//!
//! Every byte that comes passes through here twice, so this is written to be inlined into the loops that use it: the
//! short forms (keys and lengths of one byte) stand first, everything else is kept out of the way.
use crate::Fault;

/// A field's value by wire type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

/// A [`Fault`] of the kinds that protobuf can have: small, because it is part of every field's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    Truncated,
    Varint,
    FieldNumber,
    WireType(u8),
    FieldType(u32),
    Twice(u32),
    TooDeep,
    TooMany,
    Utf8,
}

impl From<Flaw> for Fault {
    fn from(flaw: Flaw) -> Self {
        match flaw {
            Flaw::Truncated => Fault::Truncated,
            Flaw::Varint => Fault::Varint,
            Flaw::FieldNumber => Fault::FieldNumber,
            Flaw::WireType(other) => Fault::WireType(other),
            Flaw::FieldType(number) => Fault::FieldType(number),
            Flaw::Twice(number) => Fault::Twice(number),
            Flaw::TooDeep => Fault::TooDeep,
            Flaw::TooMany => Fault::TooMany,
            Flaw::Utf8 => Fault::Utf8,
        }
    }
}

/// Reads fields from the front of `rest`; after a fault it yields nothing more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    pub(crate) rest: &'a [u8],
}

impl<'a> Reader<'a> {
    #[inline(always)]
    pub(crate) fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    #[inline(always)]
    fn field(&mut self) -> Result<(u32, Wire<'a>), Flaw> {
        let key = self.varint()?;
        let number = key >> 3;
        if number == 0 || number >= 1 << 29 {
            return Err(Flaw::FieldNumber);
        }
        let value = match key & 7 {
            2 => {
                let len = usize::try_from(self.varint()?).map_err(|_| Flaw::Truncated)?;
                let (bytes, rest) = self.rest.split_at_checked(len).ok_or(Flaw::Truncated)?;
                self.rest = rest;
                Wire::Bytes(bytes)
            }
            0 => Wire::Varint(self.varint()?),
            1 => Wire::Fixed64(u64::from_le_bytes(self.array()?)),
            5 => {
                self.array::<4>()?;
                Wire::Fixed32
            }
            other => return Err(Flaw::WireType(other as u8)),
        };
        Ok((number as u32, value))
    }

    #[inline(always)]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Flaw> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(Flaw::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    #[inline(always)]
    fn varint(&mut self) -> Result<u64, Flaw> {
        // Keys and most lengths take one byte, those of records two.
        match *self.rest {
            [byte, ref rest @ ..] if byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(byte))
            }
            [low, high, ref rest @ ..] if high < 0x80 => {
                self.rest = rest;
                Ok(u64::from(low & 0x7f) | u64::from(high) << 7)
            }
            _ => {
                let (value, rest) = long_varint(self.rest)?;
                self.rest = rest;
                Ok(value)
            }
        }
    }
}

/// A varint of any length, and what follows it.
#[inline(never)]
fn long_varint(bytes: &[u8]) -> Result<(u64, &[u8]), Flaw> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            if index == 9 && *byte > 1 {
                return Err(Flaw::Varint);
            }
            return Ok((value, &bytes[index + 1..]));
        }
    }
    Err(if bytes.len() < 10 { Flaw::Truncated } else { Flaw::Varint })
}

impl<'a> Iterator for Reader<'a> {
    type Item = Result<(u32, Wire<'a>), Flaw>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// All length-delimited fields of that number, up to the first damage.
pub(crate) fn all(message: &[u8], number: u32) -> impl Iterator<Item = &[u8]> {
    Reader::new(message).map_while(Result::ok).filter_map(move |field| match field {
        (at, Wire::Bytes(bytes)) if at == number => Some(bytes),
        _ => None,
    })
}

/// An id as it is sent: of another length than its own it is as absent.
#[inline(always)]
pub(crate) fn id_of(sent: &[u8], length: usize) -> &[u8] {
    if sent.len() == length { sent } else { &[] }
}

/// The string that these bytes must be.
pub(crate) fn text(bytes: &[u8]) -> Result<&str, Flaw> {
    str::from_utf8(bytes).map_err(|_| Flaw::Utf8)
}

/// Whether the bytes are a string. Most are short and ASCII, which takes a few instructions to see.
#[inline(always)]
pub(crate) fn check_text(bytes: &[u8]) -> Result<(), Flaw> {
    if is_ascii(bytes) { Ok(()) } else { check_unicode(bytes) }
}

#[inline(never)]
fn check_unicode(bytes: &[u8]) -> Result<(), Flaw> {
    text(bytes).map(drop)
}

#[inline(always)]
fn is_ascii(bytes: &[u8]) -> bool {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let (eights, rest) = bytes.as_chunks::<8>();
    let mut seen = eights.iter().fold(0, |seen, eight| seen | u64::from_le_bytes(*eight));
    // The last eight or four overlap with what was seen; that is cheaper than to go by single bytes.
    if let Some(last) = bytes.last_chunk::<8>() {
        seen |= u64::from_le_bytes(*last);
    } else if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        seen |= u64::from(u32::from_le_bytes(*first) | u32::from_le_bytes(*last));
    } else {
        seen |= rest.iter().fold(0, |seen, byte| seen | u64::from(*byte));
    }
    seen & HIGH == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_is_what_the_standard_library_takes_for_text(
            ascii in proptest::collection::vec(0u8..128, 0..40),
            other in any::<Vec<u8>>(),
            at in any::<prop::sample::Index>(),
        ) {
            prop_assert_eq!(check_text(&ascii), Ok(()));
            prop_assert_eq!(check_text(&other).is_ok(), str::from_utf8(&other).is_ok());
            if !ascii.is_empty() {
                let mut broken = ascii;
                let at = at.index(broken.len());
                broken[at] |= 0x80;
                prop_assert_eq!(check_text(&broken).is_ok(), str::from_utf8(&broken).is_ok());
            }
        }
    }
}
