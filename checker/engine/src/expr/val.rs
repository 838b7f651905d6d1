//! Values while an expression runs: borrowed where possible, with instants and lengths of time as kinds of their own.
use alloc::{
    borrow::Cow,
    boxed::Box,
    string::{String, ToString},
    vec::Vec,
};
use core::cmp::Ordering;
use event::{Int, Timestamp, Value, ValueRef};

/// See the module.
#[derive(Clone, Debug)]
pub enum Val<'a> {
    /// Present without a value.
    Null,
    /// True or false.
    Bool(bool),
    /// An integer of any size.
    Int(Int),
    /// A double.
    Double(f64),
    /// Text.
    String(Cow<'a, str>),
    /// Bytes; equal to their 0x-hex text.
    Bytes(Cow<'a, [u8]>),
    /// A list.
    List(Cow<'a, [Value]>),
    /// A map.
    Map(Cow<'a, [(Box<str>, Value)]>),
    /// An instant.
    Timestamp(Timestamp),
    /// A length of time in nanoseconds.
    Duration(i128),
}

impl<'a> From<ValueRef<'a>> for Val<'a> {
    fn from(value: ValueRef<'a>) -> Self {
        match value {
            ValueRef::Null => Val::Null,
            ValueRef::Bool(value) => Val::Bool(value),
            ValueRef::Int(value) => Val::Int(Int::from(value)),
            ValueRef::BigInt(value) => Val::Int(value.clone()),
            ValueRef::Double(value) => Val::Double(value),
            ValueRef::String(value) => Val::String(Cow::Borrowed(value)),
            ValueRef::Bytes(value) => Val::Bytes(Cow::Borrowed(value)),
            ValueRef::List(value) => Val::List(Cow::Borrowed(value)),
            ValueRef::Map(value) => Val::Map(Cow::Borrowed(value)),
        }
    }
}

impl<'a> From<&'a Value> for Val<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Int(value) => Val::Int(value.clone()),
            other => Val::from(other.as_ref()),
        }
    }
}

impl From<Value> for Val<'_> {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Val::Null,
            Value::Bool(value) => Val::Bool(value),
            Value::Int(value) => Val::Int(value),
            Value::Double(value) => Val::Double(value),
            Value::String(value) => Val::String(Cow::Owned(value.into())),
            Value::Bytes(value) => Val::Bytes(Cow::Owned(value.into())),
            Value::List(value) => Val::List(Cow::Owned(value)),
            Value::Map(value) => Val::Map(Cow::Owned(value)),
        }
    }
}

impl Val<'_> {
    /// The same, borrowing nothing.
    #[must_use]
    pub fn into_owned(self) -> Val<'static> {
        match self {
            Val::Null => Val::Null,
            Val::Bool(value) => Val::Bool(value),
            Val::Int(value) => Val::Int(value),
            Val::Double(value) => Val::Double(value),
            Val::String(value) => Val::String(Cow::Owned(value.into_owned())),
            Val::Bytes(value) => Val::Bytes(Cow::Owned(value.into_owned())),
            Val::List(value) => Val::List(Cow::Owned(value.into_owned())),
            Val::Map(value) => Val::Map(Cow::Owned(value.into_owned())),
            Val::Timestamp(ts) => Val::Timestamp(ts),
            Val::Duration(nanos) => Val::Duration(nanos),
        }
    }

    /// As a plain value: instants become their RFC 3339 text, lengths of time their nanoseconds.
    /// [`crate::expr::Function::Timestamp`] and [`crate::expr::Function::Nanoseconds`] turn them back.
    #[must_use]
    pub fn to_value(&self) -> Value {
        match self {
            Val::Null => Value::Null,
            Val::Bool(value) => Value::Bool(*value),
            Val::Int(value) => Value::Int(value.clone()),
            Val::Double(value) => Value::Double(*value),
            Val::String(value) => Value::String(value.as_ref().into()),
            Val::Bytes(value) => Value::Bytes(value.as_ref().into()),
            Val::List(value) => Value::List(value.to_vec()),
            Val::Map(value) => Value::Map(value.to_vec()),
            Val::Timestamp(ts) => Value::String(ts.to_string().into()),
            Val::Duration(nanos) => Value::Int(Int::Small(*nanos)),
        }
    }

    /// Whether both are the same value: numbers across their types, bytes as their hex text. Values of kinds that have
    /// nothing in common are not the same.
    #[must_use]
    pub fn equals(&self, other: &Val<'_>) -> bool {
        match (self, other) {
            (Val::Null, Val::Null) => true,
            (Val::Bool(a), Val::Bool(b)) => a == b,
            (Val::Int(a), Val::Int(b)) => a == b,
            (Val::Double(a), Val::Double(b)) => a == b,
            (Val::Int(a), Val::Double(b)) | (Val::Double(b), Val::Int(a)) => a.cmp_f64(*b) == Some(Ordering::Equal),
            (Val::String(a), Val::String(b)) => a == b,
            (Val::Bytes(a), Val::Bytes(b)) => a == b,
            (Val::Bytes(a), Val::String(b)) | (Val::String(b), Val::Bytes(a)) => is_hex_of(b, a),
            (Val::List(a), Val::List(b)) => {
                a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| Val::from(a).equals(&Val::from(b)))
            }
            (Val::Map(a), Val::Map(b)) => {
                a.len() == b.len()
                    && a.iter()
                        .all(|(name, a)| b.iter().any(|(other, b)| name == other && Val::from(a).equals(&Val::from(b))))
            }
            (Val::Timestamp(a), Val::Timestamp(b)) => a == b,
            (Val::Duration(a), Val::Duration(b)) => a == b,
            _ => false,
        }
    }

    /// The order of two values; `None` where there is none (kinds that do not compare, NaN).
    #[must_use]
    pub fn compare(&self, other: &Val<'_>) -> Option<Ordering> {
        match (self, other) {
            (Val::Bool(a), Val::Bool(b)) => Some(a.cmp(b)),
            (Val::Int(a), Val::Int(b)) => Some(a.cmp(b)),
            (Val::Double(a), Val::Double(b)) => a.partial_cmp(b),
            (Val::Int(a), Val::Double(b)) => a.cmp_f64(*b),
            (Val::Double(a), Val::Int(b)) => b.cmp_f64(*a).map(Ordering::reverse),
            (Val::String(a), Val::String(b)) => Some(a.cmp(b)),
            (Val::Bytes(a), Val::Bytes(b)) => Some(a.cmp(b)),
            (Val::Bytes(a), Val::String(b)) => Some(hex(a).as_str().cmp(b)),
            (Val::String(a), Val::Bytes(b)) => Some(a.as_ref().cmp(hex(b).as_str())),
            (Val::Timestamp(a), Val::Timestamp(b)) => Some(a.cmp(b)),
            (Val::Duration(a), Val::Duration(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }

    /// Whether both are numbers: then no order means NaN, not a wrong type.
    pub(super) fn both_numbers(&self, other: &Val<'_>) -> bool {
        let number = |val: &Val<'_>| matches!(val, Val::Int(_) | Val::Double(_));
        number(self) && number(other)
    }
}

fn is_hex_of(text: &str, bytes: &[u8]) -> bool {
    let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) else { return false };
    digits.len() == bytes.len() * 2
        && digits.as_bytes().chunks_exact(2).zip(bytes).all(|(pair, byte)| {
            let digit = |at: usize| (pair[at] as char).to_digit(16);
            digit(0).zip(digit(1)).is_some_and(|(high, low)| high * 16 + low == u32::from(*byte))
        })
}

/// The 0x-hex text of bytes.
pub(super) fn hex(bytes: &[u8]) -> String {
    let digits: Vec<u8> =
        bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| b"0123456789abcdef"[digit as usize]).collect();
    let mut text = String::from("0x");
    text.extend(digits.into_iter().map(char::from));
    text
}
