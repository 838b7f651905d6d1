//! OTLP's JSON encoding, rewritten as protobuf: that is the form that is kept.
//!
//! Beyond what the specification asks (lowerCamelCase keys, hex ids, 64-bit integers as strings or numbers, unknown
//! fields ignored at every depth) this takes what real senders get wrong and counts it: snake_case keys, enum names,
//! integers beyond 2^53 as numbers, ids of the wrong length.
use base64::{Engine, engine::general_purpose};
use serde_json::{Map, Number, Value};

use crate::{Fault, Limits, Malformed, Signal, encode::Message};

/// What was taken although the specification says otherwise, by how often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Warnings {
    /// Keys in snake_case.
    pub snake_case: u32,
    /// Enum values by name.
    pub enum_names: u32,
    /// Integers beyond 2^53 as numbers: precision may be gone at the sender.
    pub large_numbers: u32,
    /// Trace and span ids of the wrong length or alphabet, taken as absent.
    pub bad_ids: u32,
}

/// Rewrites an OTLP JSON request.
///
/// # Errors
/// When it is not JSON, nests too deep, holds too much, or a field has a value it cannot have; with the field's path.
pub fn json_to_protobuf(signal: Signal, json: &[u8], limits: &Limits) -> Result<(Vec<u8>, Warnings), Malformed> {
    let wrong = |fault| Malformed { offset: 0, path: String::new(), fault };
    let value: Value = serde_json::from_slice(json).map_err(|error| wrong(Fault::Json(error.to_string())))?;
    let mut nodes = 0;
    measure(&value, 0, limits, &mut nodes).map_err(wrong)?;
    let mut writer = Writer { path: Vec::new(), warnings: Warnings::default() };
    match writer.request(signal, &value) {
        Ok(message) => Ok((message.into_bytes(), writer.warnings)),
        Err(fault) => Err(Malformed { offset: 0, path: writer.path.concat(), fault }),
    }
}

fn measure(value: &Value, depth: u32, limits: &Limits, nodes: &mut u32) -> Result<(), Fault> {
    // An attribute's value is four objects deep in JSON for each level it nests.
    if depth > limits.depth * 2 {
        return Err(Fault::TooDeep);
    }
    *nodes += 1;
    if *nodes > limits.nodes {
        return Err(Fault::TooMany);
    }
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| measure(item, depth + 1, limits, nodes)),
        Value::Object(fields) => fields.values().try_for_each(|item| measure(item, depth + 1, limits, nodes)),
        _ => Ok(()),
    }
}

type Written<T = Message> = Result<T, Fault>;

struct Writer {
    path: Vec<String>,
    warnings: Warnings,
}

fn snake(name: &str) -> String {
    name.chars().fold(String::new(), |mut text, c| {
        if c.is_ascii_uppercase() {
            text.push('_');
        }
        text.push(c.to_ascii_lowercase());
        text
    })
}

impl Writer {
    /// A field by its lowerCamelCase name, or its snake_case one; null is as unset.
    fn field<'v>(&mut self, of: &'v Map<String, Value>, name: &str) -> Option<&'v Value> {
        let found = match of.get(name) {
            Some(value) => Some(value),
            None => {
                let found = of.get(&snake(name)).filter(|_| name.contains(|c: char| c.is_ascii_uppercase()));
                self.warnings.snake_case += u32::from(found.is_some());
                found
            }
        };
        found.filter(|value| !value.is_null())
    }

    /// Runs `work` with a step added to the path, which stays there when it fails.
    fn at<T>(&mut self, step: String, work: impl FnOnce(&mut Self) -> Written<T>) -> Written<T> {
        self.path.push(if self.path.is_empty() { step } else { format!(".{step}") });
        let done = work(self)?;
        self.path.pop();
        Ok(done)
    }

    fn object(value: &Value) -> Written<&Map<String, Value>> {
        value.as_object().ok_or(Fault::Expected("an object"))
    }

    /// Writes each item of a list.
    fn list(
        &mut self,
        of: &Map<String, Value>,
        name: &'static str,
        mut write: impl FnMut(&mut Self, &Map<String, Value>) -> Written<()>,
    ) -> Written<()> {
        let Some(value) = self.field(of, name) else { return Ok(()) };
        let Some(items) = value.as_array() else { return self.at(name.to_owned(), |_| Err(Fault::Expected("a list"))) };
        for (number, item) in items.iter().enumerate() {
            self.at(format!("{name}[{number}]"), |writer| write(writer, Self::object(item)?))?;
        }
        Ok(())
    }

    fn request(&mut self, signal: Signal, value: &Value) -> Written {
        let (resources, scopes, records) = match signal {
            Signal::Logs => ("resourceLogs", "scopeLogs", "logRecords"),
            Signal::Traces => ("resourceSpans", "scopeSpans", "spans"),
        };
        let mut request = Message::default();
        self.list(Self::object(value)?, resources, |writer, fields| {
            let mut resource = Message::default();
            if let Some(inner) = writer.field(fields, "resource") {
                let message = writer.at("resource".into(), |writer| {
                    let fields = Self::object(inner)?;
                    let mut message = Message::default();
                    writer.attributes(fields, &mut message, 1)?;
                    writer.uint32(fields, "droppedAttributesCount", &mut message, 2)?;
                    Ok(message)
                })?;
                resource.message(1, &message);
            }
            writer.list(fields, scopes, |writer, fields| {
                let mut scoped = Message::default();
                if let Some(inner) = writer.field(fields, "scope") {
                    let message = writer.at("scope".into(), |writer| {
                        let fields = Self::object(inner)?;
                        let mut message = Message::default();
                        writer.text(fields, "name", &mut message, 1)?;
                        writer.text(fields, "version", &mut message, 2)?;
                        writer.attributes(fields, &mut message, 3)?;
                        Ok(message)
                    })?;
                    scoped.message(1, &message);
                }
                writer.list(fields, records, |writer, fields| {
                    let record = match signal {
                        Signal::Logs => writer.log(fields)?,
                        Signal::Traces => writer.span(fields)?,
                    };
                    scoped.message(2, &record);
                    Ok(())
                })?;
                writer.text(fields, "schemaUrl", &mut scoped, 3)?;
                resource.message(2, &scoped);
                Ok(())
            })?;
            writer.text(fields, "schemaUrl", &mut resource, 3)?;
            request.message(1, &resource);
            Ok(())
        })?;
        Ok(request)
    }

    fn log(&mut self, fields: &Map<String, Value>) -> Written {
        let mut log = Message::default();
        self.time(fields, "timeUnixNano", &mut log, 1)?;
        self.severity(fields, &mut log)?;
        self.text(fields, "severityText", &mut log, 3)?;
        if let Some(body) = self.field(fields, "body") {
            let body = self.at("body".into(), |writer| writer.any(body))?;
            log.message(5, &body);
        }
        self.attributes(fields, &mut log, 6)?;
        self.uint32(fields, "droppedAttributesCount", &mut log, 7)?;
        if let Some(flags) = self.field(fields, "flags") {
            let flags = self.at("flags".into(), |writer| writer.integer(flags, "a uint32"))?;
            log.fixed32(8, u32::try_from(flags).map_err(|_| Fault::Expected("a uint32"))?);
        }
        self.id(fields, "traceId", 16, &mut log, 9)?;
        self.id(fields, "spanId", 8, &mut log, 10)?;
        self.time(fields, "observedTimeUnixNano", &mut log, 11)?;
        self.text(fields, "eventName", &mut log, 12)?;
        Ok(log)
    }

    fn span(&mut self, fields: &Map<String, Value>) -> Written {
        let mut span = Message::default();
        self.id(fields, "traceId", 16, &mut span, 1)?;
        self.id(fields, "spanId", 8, &mut span, 2)?;
        self.text(fields, "traceState", &mut span, 3)?;
        self.id(fields, "parentSpanId", 8, &mut span, 4)?;
        self.text(fields, "name", &mut span, 5)?;
        self.enumeration(fields, "kind", &mut span, 6, |name| {
            let names = ["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"];
            names.iter().position(|known| Some(*known) == name.strip_prefix("SPAN_KIND_")).map(|at| at as u64)
        })?;
        self.time(fields, "startTimeUnixNano", &mut span, 7)?;
        self.time(fields, "endTimeUnixNano", &mut span, 8)?;
        self.attributes(fields, &mut span, 9)?;
        self.uint32(fields, "droppedAttributesCount", &mut span, 10)?;
        self.list(fields, "events", |writer, fields| {
            let mut event = Message::default();
            writer.time(fields, "timeUnixNano", &mut event, 1)?;
            writer.text(fields, "name", &mut event, 2)?;
            writer.attributes(fields, &mut event, 3)?;
            writer.uint32(fields, "droppedAttributesCount", &mut event, 4)?;
            span.message(11, &event);
            Ok(())
        })?;
        if let Some(status) = self.field(fields, "status") {
            let status = self.at("status".into(), |writer| {
                let fields = Self::object(status)?;
                let mut message = Message::default();
                writer.text(fields, "message", &mut message, 2)?;
                writer.enumeration(fields, "code", &mut message, 3, |name| {
                    let names = ["UNSET", "OK", "ERROR"];
                    names.iter().position(|known| Some(*known) == name.strip_prefix("STATUS_CODE_")).map(|at| at as u64)
                })?;
                Ok(message)
            })?;
            span.message(15, &status);
        }
        Ok(span)
    }

    fn attributes(&mut self, fields: &Map<String, Value>, message: &mut Message, number: u32) -> Written<()> {
        self.list(fields, "attributes", |writer, fields| {
            let attribute = writer.key_value(fields)?;
            message.message(number, &attribute);
            Ok(())
        })
    }

    fn key_value(&mut self, fields: &Map<String, Value>) -> Written {
        let mut attribute = Message::default();
        self.text(fields, "key", &mut attribute, 1)?;
        if let Some(value) = self.field(fields, "value") {
            let value = self.at("value".into(), |writer| writer.any(value))?;
            attribute.message(2, &value);
        }
        Ok(attribute)
    }

    /// `AnyValue`: none of its members set is an empty value.
    fn any(&mut self, value: &Value) -> Written {
        let fields = Self::object(value)?;
        let mut any = Message::default();
        if let Some(text) = self.field(fields, "stringValue") {
            any.bytes(1, text.as_str().ok_or(Fault::Expected("text"))?.as_bytes());
        } else if let Some(value) = self.field(fields, "boolValue") {
            any.varint(2, u64::from(value.as_bool().ok_or(Fault::Expected("a boolean"))?));
        } else if let Some(value) = self.field(fields, "intValue") {
            let int = self.at("intValue".into(), |writer| writer.integer(value, "an int64"))?;
            let int = i64::try_from(int).map_err(|_| Fault::Expected("an int64"))?;
            any.varint(3, int.cast_unsigned());
        } else if let Some(value) = self.field(fields, "doubleValue") {
            any.fixed64(4, double(value).ok_or(Fault::Expected("a double"))?.to_bits());
        } else if let Some(value) = self.field(fields, "arrayValue") {
            let list = self.at("arrayValue".into(), |writer| {
                let mut list = Message::default();
                writer.list(Self::object(value)?, "values", |writer, fields| {
                    let item = writer.any(&Value::Object(fields.clone()))?;
                    list.message(1, &item);
                    Ok(())
                })?;
                Ok(list)
            })?;
            any.message(5, &list);
        } else if let Some(value) = self.field(fields, "kvlistValue") {
            let map = self.at("kvlistValue".into(), |writer| {
                let mut map = Message::default();
                writer.list(Self::object(value)?, "values", |writer, fields| {
                    let entry = writer.key_value(fields)?;
                    map.message(1, &entry);
                    Ok(())
                })?;
                Ok(map)
            })?;
            any.message(6, &map);
        } else if let Some(value) = self.field(fields, "bytesValue") {
            let bytes = value.as_str().and_then(from_base64).ok_or(Fault::Expected("base64"))?;
            any.bytes(7, &bytes);
        }
        Ok(any)
    }

    fn text(
        &mut self,
        fields: &Map<String, Value>,
        name: &'static str,
        message: &mut Message,
        number: u32,
    ) -> Written<()> {
        let Some(value) = self.field(fields, name) else { return Ok(()) };
        match value.as_str() {
            Some(text) => {
                message.bytes(number, text.as_bytes());
                Ok(())
            }
            None => self.at(name.to_owned(), |_| Err(Fault::Expected("text"))),
        }
    }

    fn time(
        &mut self,
        fields: &Map<String, Value>,
        name: &'static str,
        message: &mut Message,
        number: u32,
    ) -> Written<()> {
        let Some(value) = self.field(fields, name) else { return Ok(()) };
        let time = self.at(name.to_owned(), |writer| {
            u64::try_from(writer.integer(value, "a uint64")?).map_err(|_| Fault::Expected("a uint64"))
        })?;
        message.fixed64(number, time);
        Ok(())
    }

    fn uint32(
        &mut self,
        fields: &Map<String, Value>,
        name: &'static str,
        message: &mut Message,
        number: u32,
    ) -> Written<()> {
        let Some(value) = self.field(fields, name) else { return Ok(()) };
        let value = self.at(name.to_owned(), |writer| {
            u32::try_from(writer.integer(value, "a uint32")?).map_err(|_| Fault::Expected("a uint32"))
        })?;
        message.varint(number, u64::from(value));
        Ok(())
    }

    fn severity(&mut self, fields: &Map<String, Value>, message: &mut Message) -> Written<()> {
        self.enumeration(fields, "severityNumber", message, 2, |name| {
            let level = name.strip_prefix("SEVERITY_NUMBER_")?;
            let digits = level.trim_start_matches(|c: char| c.is_ascii_alphabetic());
            let base = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"]
                .iter()
                .position(|known| *known == &level[..level.len() - digits.len()])? as u64;
            let step =
                if digits.is_empty() { 1 } else { digits.parse::<u64>().ok().filter(|step| (1..=4).contains(step))? };
            Some(base * 4 + step)
        })
    }

    fn enumeration(
        &mut self,
        fields: &Map<String, Value>,
        name: &'static str,
        message: &mut Message,
        number: u32,
        named: impl Fn(&str) -> Option<u64>,
    ) -> Written<()> {
        let Some(value) = self.field(fields, name) else { return Ok(()) };
        let number_of = value.as_str().filter(|text| text.starts_with(|c: char| c.is_ascii_alphabetic()));
        let value = match number_of {
            Some(text) => {
                self.warnings.enum_names += 1;
                match named(text) {
                    Some(value) => value,
                    None => return self.at(name.to_owned(), |_| Err(Fault::Expected("a known enum value"))),
                }
            }
            None => {
                let value = self.at(name.to_owned(), |writer| {
                    i32::try_from(writer.integer(value, "an enum number")?)
                        .map_err(|_| Fault::Expected("an enum number"))
                })?;
                i64::from(value).cast_unsigned()
            }
        };
        message.varint(number, value);
        Ok(())
    }

    /// Hex, in either case; anything else is as absent.
    fn id(
        &mut self,
        fields: &Map<String, Value>,
        name: &'static str,
        length: usize,
        message: &mut Message,
        number: u32,
    ) -> Written<()> {
        let Some(value) = self.field(fields, name) else { return Ok(()) };
        let Some(text) = value.as_str() else {
            return self.at(name.to_owned(), |_| Err(Fault::Expected("hex digits")));
        };
        if text.is_empty() {
            return Ok(());
        }
        let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
        let bytes: Option<Vec<u8>> = (text.len() == length * 2)
            .then(|| text.as_bytes().chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect())
            .flatten();
        match bytes {
            Some(bytes) => message.bytes(number, &bytes),
            None => self.warnings.bad_ids += 1,
        }
        Ok(())
    }

    /// A whole number, as number or as text.
    fn integer(&mut self, value: &Value, wanted: &'static str) -> Written<i128> {
        let parsed = match value {
            Value::Number(number) => {
                let int = whole(number);
                if int.is_some_and(|int| int.unsigned_abs() > 1 << 53) {
                    self.warnings.large_numbers += 1;
                }
                int
            }
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        parsed.ok_or(Fault::Expected(wanted))
    }
}

/// The integer a JSON number is, also when it is written with a fraction of zero or an exponent.
fn whole(number: &Number) -> Option<i128> {
    if let Some(int) = number.as_i64() {
        return Some(i128::from(int));
    }
    if let Some(int) = number.as_u64() {
        return Some(i128::from(int));
    }
    let double = number.as_f64()?;
    (double.fract() == 0.0 && double.abs() < 1e19).then_some(double as i128)
}

fn double(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            other => other.parse().ok(),
        },
        _ => None,
    }
}

/// Standard or URL-safe, padded or not.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let plain = text.trim_end_matches('=');
    general_purpose::STANDARD_NO_PAD.decode(plain).or_else(|_| general_purpose::URL_SAFE_NO_PAD.decode(plain)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::{
        collector::logs::v1::ExportLogsServiceRequest, common::v1::any_value::Value as Any,
    };
    use prost::Message as _;

    fn logs(record: &str) -> Result<(ExportLogsServiceRequest, Warnings), Malformed> {
        let json =
            format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"scope":{{"name":"c"}},"logRecords":[{record}]}}]}}]}}"#);
        let (bytes, warnings) = json_to_protobuf(Signal::Logs, json.as_bytes(), &Limits::default())?;
        Ok((ExportLogsServiceRequest::decode(bytes.as_slice()).unwrap(), warnings))
    }

    fn value(any: &str) -> Option<Any> {
        let (request, _) = logs(&format!(r#"{{"attributes":[{{"key":"k","value":{any}}}]}}"#)).unwrap();
        let record = &request.resource_logs[0].scope_logs[0].log_records[0];
        record.attributes[0].value.clone().unwrap().value
    }

    #[test]
    fn values_of_every_kind_are_read() {
        assert_eq!(value(r#"{"stringValue":"x"}"#), Some(Any::StringValue("x".into())));
        assert_eq!(value(r#"{"intValue":"-9223372036854775808"}"#), Some(Any::IntValue(i64::MIN)));
        assert_eq!(value(r#"{"intValue":5}"#), Some(Any::IntValue(5)));
        assert_eq!(value(r#"{"intValue":5.0}"#), Some(Any::IntValue(5)));
        assert_eq!(value(r#"{"doubleValue":"-Infinity"}"#), Some(Any::DoubleValue(f64::NEG_INFINITY)));
        assert_eq!(value(r#"{"bytesValue":"_-8"}"#), Some(Any::BytesValue(vec![0xff, 0xef])));
        assert_eq!(value(r#"{"bytesValue":"/+8="}"#), Some(Any::BytesValue(vec![0xff, 0xef])));
        assert_eq!(value(r#"{"boolValue":null}"#), None);
        assert_eq!(value("{}"), None);
    }

    #[test]
    fn ids_are_hex_and_anything_else_is_absent_and_counted() {
        let (request, warnings) =
            logs(r#"{"traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"AAAAAAAAAAA=","eventName":"e"}"#).unwrap();
        let record = &request.resource_logs[0].scope_logs[0].log_records[0];
        assert_eq!(record.trace_id.len(), 16);
        assert!(record.span_id.is_empty());
        assert_eq!(warnings.bad_ids, 1);
        assert_eq!(record.event_name, "e");
    }

    #[test]
    fn what_senders_get_wrong_is_taken_and_counted() {
        let (request, warnings) = logs(
            r#"{"time_unix_nano":"7","severityNumber":"SEVERITY_NUMBER_WARN2","attributes":[{"key":"k","value":{"intValue":9007199254740993}}],"unknown":{"x":[1]}}"#,
        )
        .unwrap();
        let record = &request.resource_logs[0].scope_logs[0].log_records[0];
        assert_eq!((record.time_unix_nano, record.severity_number), (7, 14));
        assert_eq!((warnings.snake_case, warnings.enum_names, warnings.large_numbers), (1, 1, 1));
    }

    #[test]
    fn a_wrong_value_is_refused_with_its_path() {
        let error = logs(r#"{}, {"timeUnixNano":"1.5"}"#).unwrap_err();
        assert_eq!(error.path, "resourceLogs[0].scopeLogs[0].logRecords[1].timeUnixNano");
        for bad in [
            r#"{"timeUnixNano":-1}"#,
            r#"{"timeUnixNano":1.5}"#,
            r#"{"body":7}"#,
            r#"{"flags":4294967296}"#,
            r#"{"eventName":3}"#,
        ] {
            assert!(logs(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn nesting_without_end_and_text_that_is_not_utf_8_are_refused() {
        let deep = format!("{}{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
        assert!(json_to_protobuf(Signal::Logs, deep.as_bytes(), &Limits::default()).is_err());
        assert!(json_to_protobuf(Signal::Logs, b"{\"x\":\"\xff\"}", &Limits::default()).is_err());
    }
}
