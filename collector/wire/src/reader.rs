//! Fields of one protobuf message, borrowed (<https://protobuf.dev/programming-guides/encoding/>). Knows no schema.
use crate::Fault;

/// A field's value by wire type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

/// Reads fields from the front of `rest`; after a fault it yields nothing more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    pub(crate) rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    #[inline(always)]
    fn field(&mut self) -> Result<(u32, Wire<'a>), Fault> {
        let key = self.varint()?;
        // Keys of one byte, which nearly all are, need no further look at their number than that it is none.
        let number = if (8..0x80).contains(&key) {
            (key >> 3) as u32
        } else {
            u32::try_from(key >> 3).ok().filter(|n| (1..1 << 29).contains(n)).ok_or(Fault::FieldNumber)?
        };
        let value = match (key & 7) as u8 {
            2 => {
                let len = self.varint()?;
                if len > self.rest.len() as u64 {
                    return Err(Fault::Truncated);
                }
                let (bytes, rest) = self.rest.split_at(len as usize);
                self.rest = rest;
                Wire::Bytes(bytes)
            }
            0 => Wire::Varint(self.varint()?),
            1 => Wire::Fixed64(u64::from_le_bytes(self.array()?)),
            5 => {
                self.array::<4>()?;
                Wire::Fixed32
            }
            other => return Err(Fault::WireType(other)),
        };
        Ok((number, value))
    }

    #[inline(always)]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(Fault::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    #[inline(always)]
    fn varint(&mut self) -> Result<u64, Fault> {
        // Keys and most lengths take one byte, records two.
        match *self.rest {
            [byte, ref rest @ ..] if byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(byte))
            }
            [low, high, ref rest @ ..] if high < 0x80 => {
                self.rest = rest;
                Ok(u64::from(low & 0x7f) | u64::from(high) << 7)
            }
            _ => self.long_varint(),
        }
    }

    #[inline(never)]
    fn long_varint(&mut self) -> Result<u64, Fault> {
        let mut value = 0;
        for (index, byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                if index == 9 && *byte > 1 {
                    return Err(Fault::Varint);
                }
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(if self.rest.len() < 10 { Fault::Truncated } else { Fault::Varint })
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Result<(u32, Wire<'a>), Fault>;

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

pub(crate) fn text(bytes: &[u8]) -> Result<&str, Fault> {
    str::from_utf8(bytes).map_err(|_| Fault::Utf8)
}
