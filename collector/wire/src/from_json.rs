//! OTLP's JSON encoding, rewritten as protobuf: that is the form that is kept.
//!
//! Beyond what the specification asks (lowerCamelCase keys, hex ids, 64-bit integers as strings or numbers, unknown
//! fields ignored at every depth) this takes what real senders get wrong and counts it: snake_case keys, enum names,
//! integers beyond 2^53 as numbers, ids of the wrong length, keys that come twice.
//!
//! The text is read once and written as it is read; no tree of it is built. What the messages are called and hold stands
//! in [`schema`], how one value is written in [`scalar`]; what exporters send most is read by [`plain`], and what looks like what
//! came before it by [`shape`].
mod plain;
mod scalar;
mod schema;
mod shape;

use crate::{
    Fault, Limits, Malformed, Signal,
    encode::Message,
    json::{Stopped, Text},
};
use scalar::Scalars;
use schema::{Field, Kind};
use shape::{Recorder, Shapes};

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
/// When it is not JSON, nests too deep (127 levels of text, 30 of one value), holds too much, or a field has a value it
/// cannot have; with the place in the text and the field's path.
pub fn json_to_protobuf(signal: Signal, json: &[u8], limits: &Limits) -> Result<(Vec<u8>, Warnings), Malformed> {
    rewrite(signal, json, limits, Shapes::default())
}

fn rewrite(signal: Signal, json: &[u8], limits: &Limits, shapes: Shapes) -> Result<(Vec<u8>, Warnings), Malformed> {
    let mut rewriter = Rewriter {
        text: Text::new(json),
        written: Scalars { out: Message::with_capacity(json.len() / 2), warnings: Warnings::default() },
        path: Vec::new(),
        nodes: Nodes { counted: 0, most: limits.nodes },
        shapes,
        recorder: None,
    };
    match rewriter.request(schema::request(signal)) {
        Ok(()) => Ok((rewriter.written.out.into_bytes(), rewriter.written.warnings)),
        Err(Stopped) => {
            let (offset, path) = (rewriter.text.at(), rewriter.path());
            let fault = rewriter.text.into_fault().unwrap_or(Fault::Truncated);
            Err(Malformed { offset, path, fault })
        }
    }
}

/// One step on the way to where the reader stopped.
#[derive(Clone, Copy)]
enum Step {
    Field(&'static str),
    Item(usize),
}

/// How many values there are, and may be.
#[derive(Clone, Copy)]
struct Nodes {
    counted: u32,
    most: u32,
}

impl Nodes {
    #[inline(always)]
    fn count(&mut self) -> Result<(), Fault> {
        self.counted += 1;
        if self.counted > self.most { Err(Fault::TooMany) } else { Ok(()) }
    }
}

struct Rewriter<'a> {
    text: Text<'a>,
    written: Scalars,
    /// Where it stopped, from the inside out.
    path: Vec<Step>,
    nodes: Nodes,
    shapes: Shapes,
    /// Notes the shape of the record that is being read.
    recorder: Option<Recorder>,
}

impl Rewriter<'_> {
    fn path(&self) -> String {
        self.path.iter().rev().fold(String::new(), |mut path, step| {
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

    #[inline(always)]
    fn node(&mut self) -> Result<(), Stopped> {
        self.nodes.count().or_else(|fault| self.text.stop(fault))
    }

    fn request(&mut self, fields: &'static [Field]) -> Result<(), Stopped> {
        self.node()?;
        match self.text.peek() {
            b'{' => self.message(fields)?,
            _ => return self.unexpected(&Kind::Message(fields)),
        }
        self.text.end()
    }

    /// Reads the members of an object as the fields of a message.
    fn message(&mut self, fields: &'static [Field]) -> Result<(), Stopped> {
        let mut come = Come::default();
        let mut next = 0;
        let mut more = self.text.enter(b'}')?;
        while more {
            match self.key(fields, next)? {
                None => {
                    self.spoil();
                    self.skip()?;
                }
                Some(index) => {
                    next = index + 1;
                    let Some(field) = fields.get(index) else { return self.text.no_value() };
                    if come.has(index) {
                        self.spoil();
                        self.written.warnings.duplicate_keys += 1;
                        come.take_back(index, &mut self.written.out);
                    }
                    let before = self.written.out.len();
                    let first = self.text.peek();
                    let at = self.text.at();
                    let outcome = match first {
                        // As if it were not there.
                        b'n' => self.skip(),
                        _ => self.value(&field.kind, field.number),
                    };
                    if outcome.is_err() {
                        self.path.push(Step::Field(field.name.text));
                        return outcome;
                    }
                    if let Some(recorder) = &mut self.recorder
                        && !matches!(first, b'n' | b'{' | b'[')
                        && !schema::is_name(field)
                    {
                        recorder.value(field, &self.text, at, &self.written.out, before);
                    }
                    come.note(index, before, self.written.out.len());
                }
            }
            more = self.text.more(b'}')?;
        }
        Ok(())
    }

    /// Reads a key and what follows it: the field's place in the schema, none when it is not known. It is most likely the
    /// one at `next`.
    #[inline(always)]
    fn key(&mut self, fields: &'static [Field], next: usize) -> Result<Option<usize>, Stopped> {
        let index = match self.text.one_of(fields, next, |field| &field.name) {
            Some(index) => Some(index),
            None => self.other_key(fields)?,
        };
        self.text.colon()?;
        Ok(index)
    }

    /// A key that is not plainly the name of a field.
    #[inline(never)]
    fn other_key(&mut self, fields: &'static [Field]) -> Result<Option<usize>, Stopped> {
        let key = self.text.name()?;
        if let Some(index) = fields.iter().position(|field| field.name.text.as_bytes() == key) {
            return Ok(Some(index));
        }
        let index = fields.iter().position(|field| schema::is_snake_case_of(key, field.name.text));
        self.written.warnings.snake_case += u32::from(index.is_some());
        self.spoil();
        Ok(index)
    }

    /// What was read here is not the same in each record that looks like this one.
    fn spoil(&mut self) {
        if let Some(recorder) = &mut self.recorder {
            recorder.spoil();
        }
    }

    /// Reads past what is not known: it must be JSON still, and is bounded like all the rest.
    #[inline(never)]
    fn skip(&mut self) -> Result<(), Stopped> {
        let nodes = &mut self.nodes;
        self.text.skip(&mut || nodes.count())
    }

    /// Reads a value that is not null, and writes it under a field's number.
    fn value(&mut self, kind: &'static Kind, number: u32) -> Result<(), Stopped> {
        self.node()?;
        let at = self.text.at();
        let outcome = match (self.text.peek(), kind) {
            (b'{', Kind::Record(fields)) => return self.record(number, fields),
            (b'{', Kind::Attribute) if self.recorder.is_some() => return self.nested(number, &schema::KEY_VALUE),
            (b'{', Kind::Any) if self.recorder.is_some() => return self.nested(number, &schema::ANY),
            (b'{', Kind::Attribute) => {
                return match self.plain_attribute(number) {
                    Some(()) => Ok(()),
                    None => self.nested(number, &schema::KEY_VALUE),
                };
            }
            (b'{', Kind::Any) => {
                return match self.plain_any(number) {
                    Some(()) => Ok(()),
                    None => self.nested(number, &schema::ANY),
                };
            }
            (b'{', Kind::Message(fields)) => return self.nested(number, fields),
            (b'[', Kind::List(items)) => return self.list(items, number),
            (b'"', _) => self.written.text(number, kind, self.text.string()?),
            (b'-' | b'0'..=b'9', _) => self.written.number(number, kind, self.text.number()?),
            (b't', Kind::Bool) => {
                self.text.literal("true")?;
                self.written.out.varint(number, 1);
                return Ok(());
            }
            (b'f', Kind::Bool) => {
                self.text.literal("false")?;
                self.written.out.varint(number, 0);
                return Ok(());
            }
            _ => return self.unexpected(kind),
        };
        outcome.or_else(|fault| self.text.stop_at(at, fault))
    }

    /// Reads an object as a message under a field's number.
    fn nested(&mut self, number: u32, fields: &'static [Field]) -> Result<(), Stopped> {
        let opened = self.written.out.open(number);
        if let Some(recorder) = &mut self.recorder {
            recorder.open(opened.content());
        }
        self.message(fields)?;
        if let Some(recorder) = &mut self.recorder {
            recorder.ends(self.written.out.len());
        }
        self.written.out.close(opened);
        if let Some(recorder) = &mut self.recorder {
            recorder.close(self.written.out.len());
        }
        Ok(())
    }

    /// Reads one of many objects that look alike.
    fn record(&mut self, number: u32, fields: &'static [Field]) -> Result<(), Stopped> {
        let most = self.nodes.most - self.nodes.counted;
        if let Some(nodes) = self.shapes.read(&mut self.text, &mut self.written, most) {
            self.nodes.counted += nodes;
            return Ok(());
        }
        if !self.shapes.learns() {
            return self.nested(number, fields);
        }
        let mut recorder = Recorder::new(self.text.at(), self.written.out.len(), self.nodes.counted);
        let opened = self.written.out.open(number);
        recorder.open(opened.content());
        self.recorder = Some(recorder);
        self.message(fields)?;
        self.shapes.learn(self.recorder.take(), &self.text, &self.written.out, self.nodes.counted);
        self.written.out.close(opened);
        Ok(())
    }

    /// Reads the items of a list as so many fields of that number.
    fn list(&mut self, items: &'static Kind, number: u32) -> Result<(), Stopped> {
        let mut more = self.text.enter(b']')?;
        let mut item = 0;
        while more {
            if self.value(items, number).is_err() {
                self.path.push(Step::Item(item));
                return Err(Stopped);
            }
            item += 1;
            more = self.text.more(b']')?;
        }
        Ok(())
    }

    /// Stops at what cannot stand here, be it a value or not.
    #[cold]
    fn unexpected(&mut self, kind: &Kind) -> Result<(), Stopped> {
        match self.text.peek() {
            b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => {
                self.text.stop(Fault::Expected(kind.wanted()))
            }
            _ => self.text.no_value(),
        }
    }
}

/// Which fields of a message have come, and where what was written of each begins.
#[derive(Default)]
struct Come {
    /// A bit for each field.
    seen: u32,
    /// The same of those of which something was written.
    written: u32,
    starts: [usize; schema::FIELDS_MAX],
}

impl Come {
    #[inline(always)]
    fn has(&self, field: usize) -> bool {
        self.seen >> field & 1 == 1
    }

    #[inline(always)]
    fn note(&mut self, field: usize, from: usize, to: usize) {
        self.seen |= 1 << field;
        if let Some(start) = self.starts.get_mut(field)
            && from < to
        {
            self.written |= 1 << field;
            *start = from;
        }
    }

    /// Takes back what was written of a field.
    #[cold]
    fn take_back(&mut self, field: usize, out: &mut Message) {
        if self.written >> field & 1 == 0 {
            return;
        }
        let from = self.starts[field];
        let written = self.written;
        // What was written after it begins where it ends.
        let later =
            self.starts.iter_mut().enumerate().filter(|(other, start)| written >> other & 1 == 1 && **start > from);
        let later: Vec<&mut usize> = later.map(|(_, start)| start).collect();
        let to = later.iter().map(|start| **start).min().unwrap_or(out.len());
        out.remove(from..to);
        later.into_iter().for_each(|start| *start -= to - from);
        self.written &= !(1 << field);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::{
        collector::logs::v1::ExportLogsServiceRequest, common::v1::any_value::Value as Any,
    };
    use proptest::prelude::*;
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

    /// A log record with some of its fields, in some order, of which many look alike.
    fn record() -> impl Strategy<Value = String> {
        let value = prop_oneof![
            6 => "[a-c]{0,9}".prop_map(|text| format!(r#"{{"stringValue":"{text}"}}"#)),
            2 => Just(r#"{"stringValue":"é\n\""}"#.to_owned()),
            2 => (0..300_u64).prop_map(|number| format!(r#"{{"intValue":"{number}"}}"#)),
            2 => any::<u64>().prop_map(|number| format!(r#"{{"intValue":{number}}}"#)),
            2 => any::<bool>().prop_map(|flag| format!(r#"{{"boolValue":{flag}}}"#)),
            1 => "x{100,200}".prop_map(|text| format!(r#"{{"stringValue":"{text}"}}"#)),
            1 => Just(r#"{"arrayValue":{"values":[{"intValue":1},{"stringValue":"y"}]}}"#.to_owned()),
            1 => Just(r#"{"kvlistValue":{"values":[{"key":"k","value":{"doubleValue":1.5}}]}}"#.to_owned()),
            1 => Just("{}".to_owned()),
            1 => Just("null".to_owned()),
            1 => Just(r#"{"bytesValue":"AQ=="}"#.to_owned()),
        ];
        let attribute =
            (prop::sample::select(vec!["a", "b"]), value.clone(), 0..20_u8).prop_map(|(key, value, form)| match form {
                0 => format!(r#"{{"value":{value},"key":"{key}"}}"#),
                1 => format!(r#"{{"key":"{key}"}}"#),
                2 => format!(r#"{{ "key":"{key}", "value":{value}}}"#),
                _ => format!(r#"{{"key":"{key}","value":{value}}}"#),
            });
        let attributes = prop::collection::vec(attribute, 0..3);
        let id = prop::sample::select(vec!["", "00112233445566778899aabbccddeeff", "zz", "0011223344556677"]);
        (any::<u64>(), 0..9_u8, id, attributes, value, 0..9_u8).prop_map(|(time, form, id, attributes, body, end)| {
            let time = if form == 0 { time.to_string() } else { format!("\"{time}\"") };
            let attributes = attributes.join(",");
            let end = match end {
                0 => r#","flags":1"#,
                1 => r#","flags":"1","unknown":[1]"#,
                2 => r#","event_name":"e""#,
                3 => r#","severityNumber":"SEVERITY_NUMBER_INFO""#,
                4 => r#","timeUnixNano":null"#,
                5 => r#","attributes":[]"#,
                _ => r#","severityNumber":9,"eventName":"e""#,
            };
            format!(r#"{{"timeUnixNano":{time},"traceId":"{id}","attributes":[{attributes}],"body":{body}{end}}}"#)
        })
    }

    proptest! {
        #[test]
        fn a_record_that_looks_like_another_is_read_as_if_it_were_the_first(
            records in prop::collection::vec(record(), 0..20),
            picked in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
            damage in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
            nodes in prop_oneof![Just(1_000_000), 0..200_u32],
        ) {
            let records: Vec<&str> = match records.is_empty() {
                true => Vec::new(),
                false => picked.iter().map(|picked| records[picked.index(records.len())].as_str()).collect(),
            };
            let mut json = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{}]}}]}}]}}"#, records.join(",")).into_bytes();
            if let Some((at, byte)) = damage {
                let at = at.index(json.len());
                json[at] = byte;
            }
            let limits = Limits { nodes, ..Limits::default() };
            let singly = rewrite(Signal::Logs, &json, &limits, Shapes::unused());
            prop_assert_eq!(json_to_protobuf(Signal::Logs, &json, &limits), singly);
        }
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
