//! Values and events as JSON. Integers beyond 2^53 are strings, bytes 0x-hex: no reader loses a digit.
use event::{Event, Value};
use serde_json::{Map, Value as Json, json};

/// The greatest integer that every JSON reader keeps exactly.
const EXACT: i64 = 1 << 53;

/// A value as JSON.
#[must_use]
pub fn value(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Int(int) => match int.to_i64().filter(|small| (-EXACT..=EXACT).contains(small)) {
            Some(small) => json!(small),
            None => Json::String(int.to_string()),
        },
        Value::Double(double) => {
            serde_json::Number::from_f64(*double).map_or_else(|| Json::String(double.to_string()), Json::Number)
        }
        Value::String(text) => Json::String(text.to_string()),
        Value::Bytes(bytes) => Json::String(hex(bytes)),
        Value::List(items) => Json::Array(items.iter().map(self::value).collect()),
        Value::Map(entries) => {
            Json::Object(entries.iter().map(|(name, item)| (name.to_string(), self::value(item))).collect())
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::from("0x"), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A value as people read it in a sentence.
#[must_use]
pub fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.to_string(),
        other => match self::value(other) {
            Json::String(text) => text,
            other => other.to_string(),
        },
    }
}

/// A JSON value as people read it in a sentence.
#[must_use]
pub fn text_of(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// An event called as evidence.
#[must_use]
pub fn evidence(role: &str, event: &Event) -> Json {
    let mut object = json!({
        "role": role,
        "ts": event.ts.to_string(),
        "node": event.source.node,
        "component": event.source.component,
        "event": event.name,
        "attrs": attrs(event),
    });
    if let Json::Object(fields) = &mut object {
        if !event.source.network.is_empty() {
            fields.insert("network".into(), event.source.network.clone().into());
        }
        if !event.trace_id.is_empty() {
            fields.insert("trace_id".into(), event.trace_id.clone().into());
        }
        if event.body != Value::Null {
            fields.insert("body".into(), value(&event.body));
        }
    }
    object
}

/// The event's attributes.
#[must_use]
pub fn attrs(event: &Event) -> Json {
    let fields: Map<String, Json> = event.attrs.iter().map(|(name, item)| (name.clone(), value(item))).collect();
    Json::Object(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use event::Int;

    #[test]
    fn integers_that_a_reader_could_round_are_strings() {
        assert_eq!(value(&Value::from(1 << 53)), json!(9_007_199_254_740_992_i64));
        assert_eq!(value(&Value::from((1 << 53) + 1)), json!("9007199254740993"));
        let max = Int::parse("18446744073709551615").unwrap();
        assert_eq!(value(&Value::Int(max)), json!("18446744073709551615"));
    }

    #[test]
    fn bytes_print_as_hex() {
        assert_eq!(value(&Value::Bytes([0, 255].into())), json!("0x00ff"));
    }
}
