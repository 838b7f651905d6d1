//! Keys of rule instances: the network and the declared parts in one canonical run of bytes, hashed once.
use alloc::{boxed::Box, string::String, vec::Vec};
use core::{
    borrow::Borrow,
    hash::{Hash, Hasher},
    ops::Deref,
};
use event::{Int, Value, ValueRef};
use triomphe::ThinArc;

use crate::expr::Val;

const ABSENT: u8 = 0;
const BOOL: u8 = 1;
const INT: u8 = 2;
const DOUBLE: u8 = 3;
const STRING: u8 = 4;
const LIST: u8 = 5;
const MAP: u8 = 6;
const NULL: u8 = 7;

/// The network of those that name none, as a key begins with it.
pub(crate) const NO_NETWORK: &[u8] = &[STRING, 0, 0, 0, 0];

/// Appends an absent part.
pub(crate) fn push_absent(out: &mut Vec<u8>) {
    out.push(ABSENT);
}

/// Appends a part. Values that compare equal encode equally: integral doubles as integers, bytes as their hex text.
pub(crate) fn push(out: &mut Vec<u8>, value: &Val<'_>) {
    match value {
        Val::String(text) => push_text(out, text),
        Val::Int(int) => push_int(out, int),
        other => push_value(out, &other.to_value()),
    }
}

/// Appends a part as it stands in an event.
pub(crate) fn push_ref(out: &mut Vec<u8>, value: ValueRef<'_>) {
    match value {
        ValueRef::String(text) => push_text(out, text),
        ValueRef::Int(word) => push_word(out, word),
        other => push(out, &Val::from(other)),
    }
}

#[inline]
fn push_word(out: &mut Vec<u8>, word: i64) {
    out.reserve(HEAD + 8);
    push_head(out, INT, 8);
    out.extend_from_slice(&word.to_le_bytes());
}

#[inline]
fn push_text(out: &mut Vec<u8>, text: &str) {
    out.reserve(HEAD + text.len());
    push_head(out, STRING, text.len());
    out.extend_from_slice(text.as_bytes());
}

/// A tag and a length.
const HEAD: usize = 5;

#[inline]
fn push_head(out: &mut Vec<u8>, tag: u8, length: usize) {
    let [a, b, c, d] = u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    out.extend_from_slice(&[tag, a, b, c, d]);
}

fn push_int(out: &mut Vec<u8>, int: &Int) {
    match int {
        Int::Small(small) => match i64::try_from(*small) {
            Ok(word) => push_word(out, word),
            Err(_) => {
                push_head(out, INT, 16);
                out.extend_from_slice(&small.to_le_bytes());
            }
        },
        Int::Big(big) => {
            let bytes = big.to_signed_bytes_le();
            push_head(out, INT, bytes.len());
            out.extend_from_slice(&bytes);
        }
    }
}

fn push_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.push(NULL),
        Value::Bool(value) => out.extend_from_slice(&[BOOL, u8::from(*value)]),
        Value::Int(int) => push_int(out, int),
        Value::Double(double) => match whole(*double) {
            Some(int) => push_int(out, &int),
            None => {
                out.push(DOUBLE);
                out.extend_from_slice(&double.to_bits().to_le_bytes());
            }
        },
        Value::String(text) => push_text(out, text),
        Value::Bytes(bytes) => push_text(out, &hex(bytes)),
        Value::List(items) => {
            push_head(out, LIST, items.len());
            items.iter().for_each(|item| push_value(out, item));
        }
        Value::Map(entries) => {
            push_head(out, MAP, entries.len());
            let mut sorted: Vec<_> = entries.iter().collect();
            sorted.sort_by(|a, b| a.0.cmp(&b.0));
            for (name, value) in sorted {
                push_text(out, name);
                push_value(out, value);
            }
        }
    }
}

/// The integer a double is, if it is one.
fn whole(double: f64) -> Option<Int> {
    let int = Int::Small(double as i128);
    (double.abs() < 1e30 && int.cmp_f64(double) == Some(core::cmp::Ordering::Equal)).then_some(int)
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::from("0x");
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
    text
}

/// The encoded parts of a key, one after the other.
pub(crate) fn parts(mut key: &[u8]) -> impl Iterator<Item = &[u8]> {
    core::iter::from_fn(move || {
        let length = value_length(key)?;
        let (part, rest) = key.split_at(length);
        key = rest;
        Some(part)
    })
}

fn length_at(bytes: &[u8]) -> Option<usize> {
    Some(u32::from_le_bytes(bytes.get(1..5)?.try_into().ok()?) as usize)
}

/// How many bytes the first value takes; `None` at the end.
fn value_length(bytes: &[u8]) -> Option<usize> {
    let length = match *bytes.first()? {
        BOOL => 2,
        DOUBLE => 9,
        INT | STRING => 5 + length_at(bytes)?,
        tag @ (LIST | MAP) => {
            let items = length_at(bytes)? * if tag == MAP { 2 } else { 1 };
            (0..items).try_fold(5, |at, _| Some(at + value_length(bytes.get(at..)?)?))?
        }
        _ => 1,
    };
    (length <= bytes.len()).then_some(length)
}

/// Reads an encoded part back; `None` for an absent one.
pub(crate) fn decode(part: &[u8]) -> Option<Value> {
    let body = || part.get(5..).unwrap_or_default();
    match *part.first()? {
        NULL => Some(Value::Null),
        BOOL => Some(Value::Bool(part.get(1) == Some(&1))),
        DOUBLE => Some(Value::Double(f64::from_bits(u64::from_le_bytes(part.get(1..9)?.try_into().ok()?)))),
        STRING => Some(Value::String(match core::str::from_utf8(body()) {
            Ok(text) => text.into(),
            Err(_) => String::from_utf8_lossy(body()).into(),
        })),
        INT => Some(Value::Int(match body().len() {
            8 => Int::from(i64::from_le_bytes(body().try_into().ok()?)),
            16 => Int::Small(i128::from_le_bytes(body().try_into().ok()?)),
            _ => Int::from(num_bigint::BigInt::from_signed_bytes_le(body())),
        })),
        LIST => Some(Value::List(parts(body()).map(|item| decode(item).unwrap_or_default()).collect())),
        MAP => {
            let mut entries = Vec::new();
            let mut items = parts(body());
            while let (Some(name), Some(value)) = (items.next(), items.next()) {
                let name: Box<str> = decode(name).as_ref().and_then(Value::as_str).unwrap_or_default().into();
                entries.push((name, decode(value).unwrap_or_default()));
            }
            Some(Value::Map(entries))
        }
        _ => None,
    }
}

/// The text of an encoded part, where it is text.
pub(crate) fn text(part: &[u8]) -> Option<&str> {
    match part.split_first()? {
        (&STRING, rest) => core::str::from_utf8(rest.get(4..)?).ok(),
        _ => None,
    }
}

/// A hash that is the same on every machine and in every version: partitions and digests rest on it.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}

/// An encoded key on its own. Most are short enough to need no memory.
pub(crate) type ShortKey = smallvec::SmallVec<[u8; 40]>;

/// An encoded key, kept once however many instances have it: a pointer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key(ThinArc<(), u8>);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        self
    }
}

impl From<&[u8]> for Key {
    fn from(bytes: &[u8]) -> Self {
        Key(ThinArc::from_header_and_slice((), bytes))
    }
}

impl serde::Serialize for Key {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self)
    }
}

impl<'de> serde::Deserialize<'de> for Key {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&[u8]>::deserialize(deserializer).map(Key::from)
    }
}

impl Deref for Key {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0.slice
    }
}

/// A key of which only some parts are bound, as a pattern with a shorter key supplies it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub(crate) struct PartialKey(pub(crate) Vec<Option<Box<[u8]>>>);

impl PartialKey {
    /// Whether the full key agrees on every bound part.
    pub(crate) fn agrees(&self, key: &[u8]) -> bool {
        self.0.iter().zip(parts(key)).all(|(bound, part)| bound.as_ref().is_none_or(|bound| **bound == *part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn keys_read_back_as_they_were_written() {
        let values = vec![
            Value::from("n1"),
            Value::Int(Int::parse("-5").unwrap()),
            Value::Int(Int::parse("340282366920938463463374607431768211456").unwrap()),
            Value::Double(0.5),
            Value::List(vec![Value::from("a"), Value::Null, Value::from(true)]),
            Value::Map(vec![("k".into(), Value::from(7))]),
        ];
        let mut key = Vec::new();
        values.iter().for_each(|value| push_value(&mut key, value));
        push_absent(&mut key);
        let read: Vec<_> = parts(&key).map(decode).collect();
        let mut expected: Vec<_> = values.into_iter().map(Some).collect();
        expected.push(None);
        assert_eq!(read, expected);
    }

    #[test]
    fn equal_values_have_equal_encodings() {
        let encode = |value: &Value| {
            let mut out = Vec::new();
            push_value(&mut out, value);
            out
        };
        assert_eq!(encode(&Value::Double(3.0)), encode(&Value::from(3)));
        assert_eq!(encode(&Value::Bytes([0xab, 1].into())), encode(&Value::from("0xab01")));
        assert_ne!(encode(&Value::from("3")), encode(&Value::from(3)));
    }
}
