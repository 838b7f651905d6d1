//! OTLP's `AnyValue`, borrowed and lazy: lists and maps are read when asked for. It bounds no depth; checked input does.
use std::collections::HashMap;

use event::Value;

use crate::{
    Fault, Limits,
    reader::{Flaw, Reader, Wire, text},
};

/// A borrowed `AnyValue` (opentelemetry-proto, `common/v1/common.proto`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Any<'a> {
    /// Nothing is set.
    Null,
    /// `bool_value`.
    Bool(bool),
    /// `int_value`.
    Int(i64),
    /// `double_value`.
    Double(f64),
    /// `string_value`.
    Str(&'a str),
    /// `bytes_value`.
    Bytes(&'a [u8]),
    /// `array_value`.
    Array(List<'a>),
    /// `kvlist_value`.
    Map(Map<'a>),
}

/// An `ArrayValue`, not yet read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct List<'a>(&'a [u8]);

/// A `KeyValueList`, not yet read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Map<'a>(&'a [u8]);

impl<'a> Any<'a> {
    /// Reads one `AnyValue` message; of several members the last wins, as in protobuf.
    ///
    /// # Errors
    /// When a field is cut short, has the wrong wire type, or a string is not UTF-8.
    pub fn read(message: &'a [u8]) -> Result<Self, Fault> {
        Ok(Self::parse(message)?)
    }

    pub(crate) fn parse(message: &'a [u8]) -> Result<Self, Flaw> {
        let mut any = Any::Null;
        for field in Reader::new(message) {
            any = match field? {
                (1, Wire::Bytes(bytes)) => Any::Str(text(bytes)?),
                (2, Wire::Varint(value)) => Any::Bool(value != 0),
                (3, Wire::Varint(value)) => Any::Int(value.cast_signed()),
                (4, Wire::Fixed64(bits)) => Any::Double(f64::from_bits(bits)),
                (5, Wire::Bytes(bytes)) => Any::Array(List(bytes)),
                (6, Wire::Bytes(bytes)) => Any::Map(Map(bytes)),
                (7, Wire::Bytes(bytes)) => Any::Bytes(bytes),
                // An index into a table that only profiles have: here it says nothing.
                (8, Wire::Varint(_)) => Any::Null,
                (number @ 1..=8, _) => return Err(Flaw::FieldType(number)),
                _ => any,
            };
        }
        Ok(any)
    }
}

impl Any<'_> {
    /// Owned. Of equal keys in a map the last wins; what cannot be read is left out, and what nests deeper than any
    /// checked value is null.
    #[must_use]
    pub fn to_value(self) -> Value {
        self.owned(0)
    }

    fn owned(&self, depth: u32) -> Value {
        match *self {
            Any::Null => Value::Null,
            Any::Bool(value) => Value::Bool(value),
            Any::Int(value) => Value::from(value),
            Any::Double(value) => Value::Double(value),
            Any::Str(text) => Value::from(text),
            Any::Bytes(bytes) => Value::Bytes(bytes.into()),
            Any::Array(_) | Any::Map(_) if depth > 2 * Limits::default().depth => Value::Null,
            Any::Array(list) => Value::List(list.into_iter().flatten().map(|item| item.owned(depth + 1)).collect()),
            Any::Map(map) => {
                Value::Map(last_wins(map.into_iter().flatten().map(|(name, item)| (name, item.owned(depth + 1)))))
            }
        }
    }
}

/// Owned entries in the order of their first coming; of equal names the last value wins. Names may be as many as a sender
/// likes, so when there are many they are found by hash.
pub(crate) fn last_wins<'a, N: From<&'a str>>(pairs: impl Iterator<Item = (&'a str, Value)>) -> Vec<(N, Value)> {
    const FEW: usize = 16;
    let mut entries: Vec<(&'a str, Value)> = Vec::with_capacity(pairs.size_hint().0);
    let mut places: HashMap<&'a str, usize> = HashMap::new();
    for (name, value) in pairs {
        if entries.len() == FEW && places.is_empty() {
            places.extend(entries.iter().enumerate().map(|(place, (name, _))| (*name, place)));
        }
        let known = match places.is_empty() {
            true => entries.iter().position(|(known, _)| *known == name),
            false => places.get(name).copied(),
        };
        match known {
            Some(place) => entries[place].1 = value,
            None => {
                if !places.is_empty() {
                    places.insert(name, entries.len());
                }
                entries.push((name, value));
            }
        }
    }
    entries.into_iter().map(|(name, value)| (name.into(), value)).collect()
}

/// The elements of a [`List`], in the order sent.
#[derive(Clone, Copy, Debug)]
pub struct Elements<'a>(Reader<'a>);

/// The entries of a [`Map`], in the order sent; a key may come twice.
#[derive(Clone, Copy, Debug)]
pub struct Entries<'a>(Reader<'a>);

impl<'a> IntoIterator for List<'a> {
    type Item = Result<Any<'a>, Fault>;
    type IntoIter = Elements<'a>;

    fn into_iter(self) -> Elements<'a> {
        Elements(Reader::new(self.0))
    }
}

impl<'a> IntoIterator for Map<'a> {
    type Item = Result<(&'a str, Any<'a>), Fault>;
    type IntoIter = Entries<'a>;

    fn into_iter(self) -> Entries<'a> {
        Entries(Reader::new(self.0))
    }
}

/// The next occurrence of field 1, skipping unknown fields.
fn next_message<'a>(reader: &mut Reader<'a>) -> Option<Result<&'a [u8], Flaw>> {
    reader.find_map(|field| match field {
        Ok((1, Wire::Bytes(bytes))) => Some(Ok(bytes)),
        Ok((1, _)) => Some(Err(Flaw::FieldType(1))),
        Ok(_) => None,
        Err(fault) => Some(Err(fault)),
    })
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<Any<'a>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        next_message(&mut self.0).map(|message| Ok(Any::parse(message?)?))
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<(&'a str, Any<'a>), Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        next_message(&mut self.0).map(|message| Ok(key_value(message?)?))
    }
}

/// Reads one `KeyValue` message.
pub(crate) fn key_value(message: &[u8]) -> Result<(&str, Any<'_>), Flaw> {
    let (mut key, mut value) = ("", Any::Null);
    for field in Reader::new(message) {
        match field? {
            (1, Wire::Bytes(bytes)) => key = text(bytes)?,
            (2, Wire::Bytes(bytes)) => value = Any::parse(bytes)?,
            (3, Wire::Varint(_)) => {}
            (number @ 1..=3, _) => return Err(Flaw::FieldType(number)),
            _ => {}
        }
    }
    Ok((key, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList, any_value::Value as V};
    use proptest::prelude::*;
    use prost::Message;

    fn arbitrary() -> impl Strategy<Value = AnyValue> {
        let leaf = prop_oneof![
            Just(None),
            any::<bool>().prop_map(|v| Some(V::BoolValue(v))),
            any::<i64>().prop_map(|v| Some(V::IntValue(v))),
            (-1e9..1e9f64).prop_map(|v| Some(V::DoubleValue(v))),
            ".{0,8}".prop_map(|v| Some(V::StringValue(v))),
            any::<Vec<u8>>().prop_map(|v| Some(V::BytesValue(v))),
        ]
        .prop_map(|value| AnyValue { value });
        leaf.prop_recursive(3, 24, 4, |inner| {
            let entries = prop::collection::vec(("[a-z]{0,4}", inner.clone()), 0..4).prop_map(|pairs| {
                let values = pairs
                    .into_iter()
                    .map(|(key, value)| KeyValue { key, value: Some(value), ..KeyValue::default() })
                    .collect();
                AnyValue { value: Some(V::KvlistValue(KeyValueList { values })) }
            });
            let list = prop::collection::vec(inner, 0..4)
                .prop_map(|values| AnyValue { value: Some(V::ArrayValue(ArrayValue { values })) });
            prop_oneof![entries, list]
        })
    }

    fn same(ours: Any<'_>, theirs: &AnyValue) -> bool {
        match (ours, &theirs.value) {
            (Any::Null, None) => true,
            (Any::Bool(a), Some(V::BoolValue(b))) => a == *b,
            (Any::Int(a), Some(V::IntValue(b))) => a == *b,
            (Any::Double(a), Some(V::DoubleValue(b))) => a.to_bits() == b.to_bits(),
            (Any::Str(a), Some(V::StringValue(b))) => a == b,
            (Any::Bytes(a), Some(V::BytesValue(b))) => a == b,
            (Any::Array(a), Some(V::ArrayValue(b))) => {
                let items: Vec<_> = a.into_iter().map(Result::unwrap).collect();
                items.len() == b.values.len() && items.iter().zip(&b.values).all(|(a, b)| same(*a, b))
            }
            (Any::Map(a), Some(V::KvlistValue(b))) => {
                let items: Vec<_> = a.into_iter().map(Result::unwrap).collect();
                items.len() == b.values.len()
                    && items.iter().zip(&b.values).all(|((k, v), b)| {
                        *k == b.key && same(*v, b.value.as_ref().unwrap_or(&AnyValue { value: None }))
                    })
            }
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn values_read_as_prost_reads_them(value in arbitrary()) {
            let bytes = value.encode_to_vec();
            prop_assert!(same(Any::read(&bytes).unwrap(), &value));
        }

        #[test]
        fn no_bytes_panic(bytes in any::<Vec<u8>>()) {
            if let Ok(Any::Map(map)) = Any::read(&bytes) {
                let _ = map.into_iter().count();
            }
            let _ = Entries(Reader::new(&bytes)).count();
            let _ = Elements(Reader::new(&bytes)).count();
        }
    }
}
