//! Typed attribute values, owned and borrowed.
use crate::Int;
use alloc::{boxed::Box, vec::Vec};

/// An attribute's value. Types stay as sent: a string of digits is a string until a vocabulary says `int`.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum Value {
    /// Present without a value (an OTLP `AnyValue` with nothing set).
    #[default]
    Null,
    /// True or false.
    Bool(bool),
    /// An integer of any size.
    Int(Int),
    /// A double.
    Double(f64),
    /// Text.
    String(Box<str>),
    /// Bytes; printed as 0x-hex and equal to their hex string.
    Bytes(Box<[u8]>),
    /// A list.
    List(Vec<Value>),
    /// A map, in the order sent.
    Map(Vec<(Box<str>, Value)>),
}

/// A borrowed [`Value`]: what a compiled slot of an event holds on its way to the rules.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ValueRef<'a> {
    /// See [`Value::Null`].
    Null,
    /// See [`Value::Bool`].
    Bool(bool),
    /// An integer as OTLP carries it.
    Int(i64),
    /// An integer that needs more than 64 bits.
    BigInt(&'a Int),
    /// See [`Value::Double`].
    Double(f64),
    /// See [`Value::String`].
    String(&'a str),
    /// See [`Value::Bytes`].
    Bytes(&'a [u8]),
    /// See [`Value::List`].
    List(&'a [Value]),
    /// See [`Value::Map`].
    Map(&'a [(Box<str>, Value)]),
}

impl Value {
    /// Borrows it.
    #[must_use]
    pub fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Value::Null => ValueRef::Null,
            Value::Bool(value) => ValueRef::Bool(*value),
            Value::Int(value) => value.to_i64().map_or(ValueRef::BigInt(value), ValueRef::Int),
            Value::Double(value) => ValueRef::Double(*value),
            Value::String(value) => ValueRef::String(value),
            Value::Bytes(value) => ValueRef::Bytes(value),
            Value::List(value) => ValueRef::List(value),
            Value::Map(value) => ValueRef::Map(value),
        }
    }

    /// The text, where it is a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }
}

impl ValueRef<'_> {
    /// Copies it.
    #[must_use]
    pub fn to_value(self) -> Value {
        match self {
            ValueRef::Null => Value::Null,
            ValueRef::Bool(value) => Value::Bool(value),
            ValueRef::Int(value) => Value::Int(Int::from(value)),
            ValueRef::BigInt(value) => Value::Int(value.clone()),
            ValueRef::Double(value) => Value::Double(value),
            ValueRef::String(value) => Value::String(value.into()),
            ValueRef::Bytes(value) => Value::Bytes(value.into()),
            ValueRef::List(value) => Value::List(value.to_vec()),
            ValueRef::Map(value) => Value::Map(value.to_vec()),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::String(text.into())
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Value::Int(Int::from(value))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}
