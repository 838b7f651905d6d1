//! The functions of the language.
use alloc::{
    borrow::Cow,
    string::{String, ToString},
};
use core::cmp::Ordering;
use event::{Int, Timestamp};

use super::{Undefined, Val, parse_duration, parse_json, parse_timestamp, val::hex};

/// The functions of the language; a method's receiver is its first argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// `size(x)`: code points of a string, bytes, elements of a list, entries of a map.
    Size,
    /// `text.startsWith(prefix)`
    StartsWith,
    /// `text.endsWith(suffix)`
    EndsWith,
    /// `text.contains(part)`
    Contains,
    /// `int(x)`: of a number (rounded towards zero), decimal or 0x text, or an instant (whole seconds since 1970).
    Int,
    /// `double(x)`: of a number or text.
    Double,
    /// `string(x)`: as text; bytes as 0x-hex.
    String,
    /// `duration("5s")`
    Duration,
    /// `timestamp("2026-11-20T12:00:00Z")`, or of seconds since 1970.
    Timestamp,
    /// `abs(x)`: without its sign.
    Abs,
    /// `min(a, b, …)`, or the least of a list.
    Min,
    /// `max(a, b, …)`, or the greatest of a list.
    Max,
    /// `json(text)`: the value that JSON text describes.
    Json,
    /// `d.getSeconds()`: whole seconds of a length of time.
    GetSeconds,
    /// `d.getMilliseconds()`: whole milliseconds of a length of time.
    GetMilliseconds,
    /// A length of time from its nanoseconds; what a length that was kept as a plain value is read with.
    Nanoseconds,
}

impl Function {
    /// The function of that name, and whether it is called as a method.
    #[must_use]
    pub fn named(name: &str) -> Option<(Self, bool)> {
        Some(match name {
            "size" => (Function::Size, false),
            "startsWith" => (Function::StartsWith, true),
            "endsWith" => (Function::EndsWith, true),
            "contains" => (Function::Contains, true),
            "int" => (Function::Int, false),
            "double" => (Function::Double, false),
            "string" => (Function::String, false),
            "duration" => (Function::Duration, false),
            "timestamp" => (Function::Timestamp, false),
            "abs" => (Function::Abs, false),
            "min" => (Function::Min, false),
            "max" => (Function::Max, false),
            "json" => (Function::Json, false),
            "getSeconds" => (Function::GetSeconds, true),
            "getMilliseconds" => (Function::GetMilliseconds, true),
            _ => return None,
        })
    }

    /// The names that [`Function::named`] knows.
    pub const NAMES: [&'static str; 15] = [
        "size",
        "startsWith",
        "endsWith",
        "contains",
        "int",
        "double",
        "string",
        "duration",
        "timestamp",
        "abs",
        "min",
        "max",
        "json",
        "getSeconds",
        "getMilliseconds",
    ];

    /// Calls it.
    pub(super) fn call<'a>(self, args: &[Val<'a>]) -> Result<Val<'a>, Undefined> {
        match (self, args) {
            (Function::Min, args) => extreme(args, Ordering::Less),
            (Function::Max, args) => extreme(args, Ordering::Greater),
            (Function::StartsWith, [Val::String(text), Val::String(part)]) => {
                Ok(Val::Bool(text.starts_with(part.as_ref())))
            }
            (Function::EndsWith, [Val::String(text), Val::String(part)]) => {
                Ok(Val::Bool(text.ends_with(part.as_ref())))
            }
            (Function::Contains, [Val::String(text), Val::String(part)]) => Ok(Val::Bool(text.contains(part.as_ref()))),
            (_, [value]) => self.unary(value),
            _ => Err(Undefined::Type),
        }
    }

    fn unary<'a>(self, value: &Val<'a>) -> Result<Val<'a>, Undefined> {
        Ok(match (self, value) {
            (Function::Size, value) => {
                let size = match value {
                    Val::String(text) => text.chars().count(),
                    Val::Bytes(bytes) => bytes.len(),
                    Val::List(items) => items.len(),
                    Val::Map(entries) => entries.len(),
                    _ => return Err(Undefined::Type),
                };
                Val::Int(Int::Small(size as i128))
            }
            (Function::Int, Val::Double(double)) => Val::Int(truncate(*double)?),
            (Function::Int, Val::String(text)) => Val::Int(Int::parse(text).ok_or(Undefined::Malformed)?),
            (Function::Int, Val::Timestamp(ts)) => Val::Int(Int::Small(i128::from(ts.0 / 1_000_000_000))),
            (Function::Double, Val::Int(int)) => Val::Double(int.to_f64()),
            (Function::Double, Val::String(text)) => Val::Double(text.parse().map_err(|_| Undefined::Malformed)?),
            (Function::String, value) => Val::String(text_of(value)?),
            (Function::Duration, Val::String(text)) => Val::Duration(parse_duration(text).ok_or(Undefined::Malformed)?),
            (Function::Timestamp, Val::String(text)) => {
                Val::Timestamp(parse_timestamp(text).ok_or(Undefined::Malformed)?)
            }
            (Function::Timestamp, Val::Int(seconds)) => {
                let seconds = seconds.to_i64().and_then(|seconds| u64::try_from(seconds).ok());
                let nanos = seconds.and_then(|seconds| seconds.checked_mul(1_000_000_000));
                Val::Timestamp(Timestamp(nanos.ok_or(Undefined::Overflow)?))
            }
            (Function::Abs, Val::Int(int)) => Val::Int(int.abs()),
            (Function::Abs, Val::Double(double)) => Val::Double(double.abs()),
            (Function::Abs, Val::Duration(nanos)) => Val::Duration(nanos.abs()),
            (Function::Json, Val::String(text)) => Val::from(parse_json(text).ok_or(Undefined::Malformed)?),
            (Function::GetSeconds, Val::Duration(nanos)) => Val::Int(Int::Small(nanos / 1_000_000_000)),
            (Function::GetMilliseconds, Val::Duration(nanos)) => Val::Int(Int::Small(nanos / 1_000_000)),
            (Function::Nanoseconds, Val::Int(Int::Small(nanos))) => Val::Duration(*nanos),
            // A mean of lengths of time.
            (Function::Nanoseconds, Val::Double(nanos)) => match truncate(*nanos)? {
                Int::Small(nanos) => Val::Duration(nanos),
                Int::Big(_) => return Err(Undefined::Overflow),
            },
            (Function::Int, Val::Int(_))
            | (Function::Double, Val::Double(_))
            | (Function::Duration | Function::Nanoseconds, Val::Duration(_))
            | (Function::Timestamp, Val::Timestamp(_)) => value.clone(),
            _ => return Err(Undefined::Type),
        })
    }
}

fn truncate(double: f64) -> Result<Int, Undefined> {
    // Beyond 2^127 the cast saturates, and the double is no number that anyone counts in.
    if double.is_finite() && double.abs() < 1.7e38 { Ok(Int::Small(double as i128)) } else { Err(Undefined::Overflow) }
}

fn text_of<'a>(value: &Val<'a>) -> Result<Cow<'a, str>, Undefined> {
    Ok(match value {
        Val::String(text) => text.clone(),
        Val::Bool(value) => Cow::Borrowed(if *value { "true" } else { "false" }),
        Val::Int(int) => Cow::Owned(int.to_string()),
        Val::Double(double) => Cow::Owned(double.to_string()),
        Val::Bytes(bytes) => Cow::Owned(hex(bytes)),
        Val::Timestamp(ts) => Cow::Owned(ts.to_string()),
        Val::Duration(nanos) => {
            let length = core::time::Duration::from_nanos(u64::try_from(nanos.unsigned_abs()).unwrap_or(u64::MAX));
            let mut text = String::from(if *nanos < 0 { "-" } else { "" });
            text.push_str(&event::format_duration(length));
            Cow::Owned(text)
        }
        Val::Null | Val::List(_) | Val::Map(_) => return Err(Undefined::Type),
    })
}

fn extreme<'a>(args: &[Val<'a>], wanted: Ordering) -> Result<Val<'a>, Undefined> {
    let better = |best: Val<'a>, next: Val<'a>| match next.compare(&best) {
        Some(order) => Ok(if order == wanted { next } else { best }),
        None => Err(Undefined::Type),
    };
    match args {
        [Val::List(items)] => {
            let mut items = items.iter().cloned().map(Val::from);
            let first = items.next().ok_or(Undefined::NoSuchKey)?;
            items.try_fold(first, better)
        }
        [first, rest @ ..] => rest.iter().cloned().try_fold(first.clone(), better),
        [] => Err(Undefined::Type),
    }
}
