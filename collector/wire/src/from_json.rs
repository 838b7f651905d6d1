//! OTLP's JSON encoding, rewritten as protobuf: that is the form that is kept.
//!
//! Beyond what the specification asks (lowerCamelCase keys, hex ids, 64-bit integers as strings or numbers, unknown
//! fields ignored at every depth) this takes what real senders get wrong and counts it: snake_case keys, enum names,
//! integers beyond 2^53 as numbers, ids of the wrong length, keys that come twice.
//!
//! The text is read once and written as it is read; no tree of it is built. What the messages are called and hold stands
//! in [`schema`].
mod schema;

use base64::{Engine, engine::general_purpose};
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::{Fault, Limits, Malformed, Signal, encode::Message};
use schema::{Field, Kind};

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
    /// Keys that came twice in one object, of which the last was taken.
    pub duplicate_keys: u32,
}

/// Rewrites an OTLP JSON request.
///
/// # Errors
/// When it is not JSON, nests too deep (128 levels of text, 30 of one value), holds too much, or a field has a value it
/// cannot have; with the field's path.
pub fn json_to_protobuf(signal: Signal, json: &[u8], limits: &Limits) -> Result<(Vec<u8>, Warnings), Malformed> {
    let mut writer = Writer {
        out: Message::with_capacity(json.len() / 2),
        path: Vec::new(),
        warnings: Warnings::default(),
        nodes: 0,
        nodes_max: limits.nodes,
        fault: None,
    };
    // Once for all strings: the reader need not look at each.
    let json = std::str::from_utf8(json).map_err(|error| Malformed {
        offset: error.valid_up_to(),
        path: String::new(),
        fault: Fault::Utf8,
    })?;
    let mut text = serde_json::Deserializer::from_str(json);
    let root = Slot { writer: &mut writer, kind: schema::request(signal), at: Place::Root };
    match root.deserialize(&mut text).and_then(|()| text.end()) {
        Ok(()) => Ok((writer.out.into_bytes(), writer.warnings)),
        Err(error) => {
            let fault = writer.fault.take().unwrap_or_else(|| Fault::Json(error.to_string()));
            Err(Malformed { offset: 0, path: writer.path(), fault })
        }
    }
}

/// The way to where the writer is; it stays there when something is wrong.
#[derive(Clone, Copy)]
enum Step {
    Field(&'static str),
    Item(usize),
}

struct Writer {
    out: Message,
    path: Vec<Step>,
    warnings: Warnings,
    nodes: u32,
    nodes_max: u32,
    /// What is wrong, where it is not the JSON itself.
    fault: Option<Fault>,
}

impl Writer {
    fn fail<E: de::Error>(&mut self, fault: Fault) -> E {
        self.fault = Some(fault);
        E::custom("a field has a value it cannot have")
    }

    fn node<E: de::Error>(&mut self) -> Result<(), E> {
        self.nodes += 1;
        if self.nodes > self.nodes_max { Err(self.fail(Fault::TooMany)) } else { Ok(()) }
    }

    fn path(&self) -> String {
        self.path.iter().fold(String::new(), |mut path, step| {
            match step {
                Step::Field(name) => {
                    path.push_str(if path.is_empty() { "" } else { "." });
                    path.push_str(name);
                }
                Step::Item(number) => path.push_str(&format!("[{number}]")),
            }
            path
        })
    }

    /// A whole number in a place for integers.
    fn integer(&mut self, number: u32, kind: &Kind, int: i128) -> Result<(), Fault> {
        let wanted = || Fault::Expected(kind.wanted());
        match kind {
            Kind::Time => self.out.fixed64(number, u64::try_from(int).map_err(|_| wanted())?),
            Kind::Uint32 => self.out.varint(number, u64::from(u32::try_from(int).map_err(|_| wanted())?)),
            Kind::Flags => self.out.fixed32(number, u32::try_from(int).map_err(|_| wanted())?),
            Kind::Int => self.out.varint(number, i64::try_from(int).map_err(|_| wanted())?.cast_unsigned()),
            Kind::Enum(_) => {
                let value = i32::try_from(int).map_err(|_| wanted())?;
                self.out.varint(number, i64::from(value).cast_unsigned());
            }
            Kind::Double => self.out.fixed64(number, (int as f64).to_bits()),
            _ => return Err(wanted()),
        }
        Ok(())
    }

    fn text(&mut self, number: u32, kind: &Kind, text: &str) -> Result<(), Fault> {
        let wanted = || Fault::Expected(kind.wanted());
        match kind {
            Kind::Text => self.out.bytes(number, text.as_bytes()),
            Kind::Id(length) => match from_hex(text, *length) {
                Some(bytes) => self.out.bytes(number, &bytes[..*length]),
                None => self.warnings.bad_ids += u32::from(!text.is_empty()),
            },
            Kind::Bytes => self.out.bytes(number, &from_base64(text).ok_or_else(wanted)?),
            Kind::Double => self.out.fixed64(number, double(text).ok_or_else(wanted)?.to_bits()),
            Kind::Enum(named) if text.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                self.warnings.enum_names += 1;
                self.out.varint(number, named(text).ok_or(Fault::Expected("a known enum value"))?);
            }
            Kind::Time | Kind::Uint32 | Kind::Flags | Kind::Int | Kind::Enum(_) => {
                self.integer(number, kind, whole(text).ok_or_else(wanted)?)?;
            }
            _ => return Err(wanted()),
        }
        Ok(())
    }
}

/// Where a value is written to.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// It is the request.
    Root,
    /// Under a field's number; null is as unset.
    Field(u32),
    /// Under a field's number, one of many; null is not one.
    Item(u32),
}

/// The place for one value.
struct Slot<'w> {
    writer: &'w mut Writer,
    kind: &'static Kind,
    at: Place,
}

impl Slot<'_> {
    fn number(&self) -> u32 {
        match self.at {
            Place::Root => 0,
            Place::Field(number) | Place::Item(number) => number,
        }
    }

    fn take<E: de::Error>(self, outcome: impl FnOnce(&mut Writer, u32) -> Result<(), Fault>) -> Result<(), E> {
        if matches!(self.kind, Kind::Ignored) {
            return Ok(());
        }
        let number = self.number();
        outcome(self.writer, number).map_err(|fault| self.writer.fail(fault))
    }

    /// Reads past what is not known: it must be JSON still, and is bounded like all the rest.
    fn ignored<'de, A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_key_seed(Key(&[]))?.is_some() {
            map.next_value_seed(Slot { writer: &mut *self.writer, kind: &Kind::Ignored, at: Place::Field(0) })?;
        }
        Ok(())
    }

    /// Reads the fields of one message.
    fn fields<'de, A: MapAccess<'de>>(self, fields: &'static [Field], mut map: A) -> Result<(), A::Error> {
        let Self { writer, at, .. } = self;
        let opened = match at {
            Place::Root => None,
            Place::Field(number) | Place::Item(number) => Some(writer.out.open(number)),
        };
        // Where in the output each field stands that has come; fields are few.
        let mut come: [Option<(usize, usize)>; schema::FIELDS_MAX] = [None; schema::FIELDS_MAX];
        while let Some(key) = map.next_key_seed(Key(fields))? {
            let Some((index, snake)) = key else {
                map.next_value_seed(Slot { writer: &mut *writer, kind: &Kind::Ignored, at: Place::Field(0) })?;
                continue;
            };
            let (Some(field), Some(place)) = (fields.get(index), come.get(index).copied()) else { continue };
            writer.warnings.snake_case += u32::from(snake);
            if let Some((from, to)) = place {
                writer.warnings.duplicate_keys += 1;
                writer.out.remove(from..to);
                for (start, end) in come.iter_mut().flatten().filter(|(start, _)| *start >= to) {
                    (*start, *end) = (*start - (to - from), *end - (to - from));
                }
            }
            writer.path.push(Step::Field(field.name));
            let from = writer.out.len();
            map.next_value_seed(Slot { writer: &mut *writer, kind: &field.kind, at: Place::Field(field.number) })?;
            come[index] = Some((from, writer.out.len()));
            writer.path.pop();
        }
        if let Some(opened) = opened {
            writer.out.close(opened);
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Slot<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.writer.node()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Slot<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.kind.wanted())
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        match self.at {
            Place::Field(_) => Ok(()),
            Place::Root | Place::Item(_) => self.take(|_, _| Err(Fault::Expected("an object"))),
        }
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
        let kind = self.kind;
        self.take(|writer, number| match kind {
            Kind::Bool => {
                writer.out.varint(number, u64::from(value));
                Ok(())
            }
            _ => Err(Fault::Expected(kind.wanted())),
        })
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
        let kind = self.kind;
        self.take(|writer, number| {
            writer.warnings.large_numbers += u32::from(value.unsigned_abs() > EXACT_MAX && kind.is_integer());
            writer.integer(number, kind, i128::from(value))
        })
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
        let kind = self.kind;
        self.take(|writer, number| {
            writer.warnings.large_numbers += u32::from(value > EXACT_MAX && kind.is_integer());
            writer.integer(number, kind, i128::from(value))
        })
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
        let kind = self.kind;
        self.take(|writer, number| match kind {
            Kind::Double => {
                writer.out.fixed64(number, value.to_bits());
                Ok(())
            }
            _ => {
                let int = whole_double(value).ok_or(Fault::Expected(kind.wanted()))?;
                writer.warnings.large_numbers += u32::from(value.abs() > EXACT_MAX as f64 && kind.is_integer());
                writer.integer(number, kind, int)
            }
        })
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        let kind = self.kind;
        self.take(|writer, number| writer.text(number, kind, text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let (kind, place) = match self.kind {
            Kind::List(kind) => (*kind, Place::Item(self.number())),
            Kind::Ignored => (&Kind::Ignored, Place::Field(0)),
            other => return self.take(|_, _| Err(Fault::Expected(other.wanted()))),
        };
        for number in 0.. {
            self.writer.path.push(Step::Item(number));
            if items.next_element_seed(Slot { writer: &mut *self.writer, kind, at: place })?.is_none() {
                self.writer.path.pop();
                break;
            }
            self.writer.path.pop();
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        match self.kind {
            Kind::Message(fields) => self.fields(fields, map),
            Kind::Ignored => self.ignored(map),
            other => self.take(|_, _| Err(Fault::Expected(other.wanted()))),
        }
    }
}

/// A key: the field's place in the schema, and whether it was written in snake_case; none when it is not known.
struct Key(&'static [Field]);

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Option<(usize, bool)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Option<(usize, bool)>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<Self::Value, E> {
        let exact = self.0.iter().position(|field| field.name == key).map(|index| (index, false));
        Ok(exact
            .or_else(|| self.0.iter().position(|field| schema::is_snake_case_of(key, field.name)).map(|at| (at, true))))
    }
}

/// Doubles hold integers exactly up to here.
const EXACT_MAX: u64 = 1 << 53;

/// The integer a number is, also when it is written with a fraction of zero or an exponent.
fn whole_double(value: f64) -> Option<i128> {
    (value.fract() == 0.0 && value.abs() < 1e20).then_some(value as i128)
}

/// The integer a text is. A number's text may have an exponent or a fraction, as long as it is whole and exact.
fn whole(text: &str) -> Option<i128> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().or_else(|| whole_double(double(text)?).filter(|int| int.unsigned_abs() <= u128::from(EXACT_MAX)))
}

fn double(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        other if other.starts_with(|c: char| c.is_ascii_digit() || c == '-') => {
            other.parse().ok().filter(|v: &f64| v.is_finite())
        }
        _ => None,
    }
}

/// Hex of exactly so many bytes, in either case.
fn from_hex(text: &str, length: usize) -> Option<[u8; 16]> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let mut bytes = [0; 16];
    if text.len() != length * 2 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
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

    /// The specification's encoding, row by row: what is taken and what it becomes.
    #[test]
    fn each_kind_of_value_is_taken_in_every_form_that_senders_write() {
        for (any, wanted) in [
            (r#"{"intValue":"-7"}"#, Any::IntValue(-7)),
            (r#"{"intValue":-7}"#, Any::IntValue(-7)),
            (r#"{"intValue":7.0}"#, Any::IntValue(7)),
            (r#"{"intValue":7e2}"#, Any::IntValue(700)),
            (r#"{"intValue":"7e2"}"#, Any::IntValue(700)),
            (r#"{"int_value":"9223372036854775807"}"#, Any::IntValue(i64::MAX)),
            (r#"{"doubleValue":1}"#, Any::DoubleValue(1.0)),
            (r#"{"doubleValue":-0.5}"#, Any::DoubleValue(-0.5)),
            (r#"{"doubleValue":"2.5e3"}"#, Any::DoubleValue(2500.0)),
            (r#"{"doubleValue":"Infinity"}"#, Any::DoubleValue(f64::INFINITY)),
            (r#"{"boolValue":false}"#, Any::BoolValue(false)),
            (r#"{"stringValue":"a\"\u00e9\ud83d\ude00"}"#, Any::StringValue("a\"é😀".into())),
            (r#"{"bytesValue":""}"#, Any::BytesValue(vec![])),
            (r#"{"bytesValue":"AQ=="}"#, Any::BytesValue(vec![1])),
            (r#"{"bytesValue":"AQ"}"#, Any::BytesValue(vec![1])),
            (r#"{"stringValue":"first","stringValue":"last"}"#, Any::StringValue("last".into())),
            (r#"{"stringValue":null,"boolValue":true}"#, Any::BoolValue(true)),
            (r#"{"unknown":{"deep":[1,{"x":null}]},"boolValue":true}"#, Any::BoolValue(true)),
        ] {
            assert_eq!(value(any), Some(wanted), "{any}");
        }
        let nan = value(r#"{"doubleValue":"NaN"}"#);
        assert!(matches!(nan, Some(Any::DoubleValue(nan)) if nan.is_nan()));
    }

    #[test]
    fn what_a_field_cannot_hold_is_refused() {
        for any in [
            r#"{"intValue":1.5}"#,
            r#"{"intValue":"1.5"}"#,
            r#"{"intValue":"+1"}"#,
            r#"{"intValue":" 1"}"#,
            r#"{"intValue":""}"#,
            r#"{"intValue":"0x10"}"#,
            r#"{"intValue":9223372036854775808}"#,
            r#"{"intValue":"-9223372036854775809"}"#,
            r#"{"intValue":true}"#,
            r#"{"doubleValue":"infinity"}"#,
            r#"{"doubleValue":"one"}"#,
            r#"{"boolValue":"true"}"#,
            r#"{"boolValue":1}"#,
            r#"{"stringValue":1}"#,
            r#"{"stringValue":["a"]}"#,
            r#"{"bytesValue":"*"}"#,
            r#"{"bytesValue":[1]}"#,
            r#"{"arrayValue":[1]}"#,
            r#"{"arrayValue":{"values":[null]}}"#,
            r#"{"kvlistValue":{"values":{}}}"#,
            r#""text""#,
            "[]",
        ] {
            let error = logs(&format!(r#"{{"body":{any}}}"#)).unwrap_err();
            assert!(error.path.starts_with("resourceLogs[0].scopeLogs[0].logRecords[0].body"), "{any}: {error}");
        }
        for record in [
            r#"{"timeUnixNano":"18446744073709551616"}"#,
            r#"{"timeUnixNano":1e30}"#,
            r#"{"severityNumber":"LOUD"}"#,
            r#"{"severityNumber":"SEVERITY_NUMBER_WARN1"}"#,
            r#"{"severityNumber":2147483648}"#,
            r#"{"droppedAttributesCount":-1}"#,
            r#"{"traceId":5}"#,
            r#"{"attributes":{}}"#,
            r#"{"attributes":[5]}"#,
            "null",
            "5",
        ] {
            assert!(logs(record).is_err(), "{record}");
        }
        for request in ["null", "5", "[]", "{\"resourceLogs\":[{}]} x", "", "{\"resourceLogs\":[{}]", "{'a':1}"] {
            assert!(json_to_protobuf(Signal::Logs, request.as_bytes(), &Limits::default()).is_err(), "{request}");
        }
    }

    #[test]
    fn whole_numbers_are_taken_as_text_or_number_and_enums_are_open() {
        let (request, warnings) = logs(
            r#"{"timeUnixNano":18446744073709551615,"observedTimeUnixNano":"18446744073709551615","severityNumber":"99",
                "flags":"1","droppedAttributesCount":2,"body":null,"spanId":"","traceId":null}"#,
        )
        .unwrap();
        let record = &request.resource_logs[0].scope_logs[0].log_records[0];
        assert_eq!((record.time_unix_nano, record.observed_time_unix_nano), (u64::MAX, u64::MAX));
        assert_eq!((record.severity_number, record.flags, record.dropped_attributes_count), (99, 1, 2));
        assert_eq!((&record.body, record.span_id.len(), record.trace_id.len()), (&None, 0, 0));
        assert_eq!(warnings, Warnings { large_numbers: 1, ..Warnings::default() });
    }

    #[test]
    fn of_equal_keys_the_last_wins_whatever_they_hold() {
        let (request, warnings) = logs(
            r#"{"attributes":[{"key":"a"},{"key":"b"}],"eventName":"one","body":{"stringValue":"long ago"},
                "attributes":[{"key":"c"}],"body":{"arrayValue":{"values":[{"intValue":1}],"values":[{"intValue":2}]}},
                "eventName":"two","eventName":null}"#,
        )
        .unwrap();
        let record = &request.resource_logs[0].scope_logs[0].log_records[0];
        assert_eq!(record.attributes.iter().map(|attribute| &*attribute.key).collect::<Vec<_>>(), ["c"]);
        assert_eq!(record.event_name, "");
        let Some(Any::ArrayValue(list)) = record.body.clone().unwrap().value else { panic!("not a list") };
        assert_eq!(list.values.len(), 1);
        assert_eq!(list.values[0].value, Some(Any::IntValue(2)));
        assert_eq!(warnings.duplicate_keys, 5);
    }

    #[test]
    fn the_number_of_values_is_bounded_also_where_they_are_not_known() {
        let limits = Limits { nodes: 100, ..Limits::default() };
        for json in [
            format!(r#"{{"unknown":[{}1]}}"#, "1,".repeat(100)),
            format!(r#"{{"resourceLogs":[{}{{}}]}}"#, "{},".repeat(100)),
        ] {
            let error = json_to_protobuf(Signal::Logs, json.as_bytes(), &limits).unwrap_err();
            assert_eq!(error.fault, Fault::TooMany);
        }
    }

    #[test]
    fn nesting_without_end_and_text_that_is_not_utf_8_are_refused() {
        let deep = format!("{}{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
        assert!(json_to_protobuf(Signal::Logs, deep.as_bytes(), &Limits::default()).is_err());
        assert!(json_to_protobuf(Signal::Logs, b"{\"x\":\"\xff\"}", &Limits::default()).is_err());
    }
}
