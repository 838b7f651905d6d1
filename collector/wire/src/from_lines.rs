//! Event lines, one JSON object a line, rewritten as a logs request in the same order.
//!
//! `{"ts":"2026-11-20T12:00:00.000000001Z","node":"n1","component":"c","network":"testnet","event":"e","attrs":{}}`; `ts` may
//! also be nanoseconds since the epoch. `observed`, `trace_id`, `span_id`, `severity` and `body` may be there.
use serde_json::{Map, Value};

use crate::{Fault, Malformed, encode::Message};

const FIELDS: [&str; 11] =
    ["ts", "node", "component", "network", "event", "attrs", "observed", "trace_id", "span_id", "severity", "body"];

/// Rewrites event lines; blank lines are skipped.
///
/// # Errors
/// At the first line that is not an event, with its number.
pub fn lines_to_protobuf(lines: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut request = Message::default();
    let mut resource: Option<Run> = None;
    let mut at = 0;
    for (number, line) in lines.split(|&byte| byte == b'\n').enumerate() {
        let offset = at;
        at += line.len() + 1;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let wrong = |fault| Malformed { offset, path: format!("line {}", number + 1), fault };
        let value: Value = serde_json::from_slice(line).map_err(|error| wrong(Fault::Json(error.to_string())))?;
        let Value::Object(fields) = value else { return Err(wrong(Fault::Expected("an object"))) };
        let record = record(&fields).map_err(wrong)?;
        let text = |name: &str| match fields.get(name) {
            None | Some(Value::Null) => Ok(String::new()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(_) => Err(wrong(Fault::Expected("text for node, component and network"))),
        };
        let source = (text("network")?, text("node")?, text("component")?);
        if resource.as_ref().is_none_or(|run| run.source != source) {
            if let Some(run) = resource.take() {
                request.message(1, &run.finish());
            }
            resource = Some(Run { source, records: Vec::new() });
        }
        if let Some(run) = &mut resource {
            run.records.push(record);
        }
    }
    if let Some(run) = resource {
        request.message(1, &run.finish());
    }
    Ok(request.into_bytes())
}

/// Lines of one source that follow one another.
struct Run {
    source: (String, String, String),
    records: Vec<Message>,
}

impl Run {
    fn finish(self) -> Message {
        let (network, node, component) = self.source;
        let mut inner = Message::default();
        for (name, value) in [("service.instance.id", &node), ("deployment.environment.name", &network)] {
            if !value.is_empty() {
                inner.message(1, &key_value(name, &Value::String(value.clone())));
            }
        }
        let mut scope = Message::default();
        scope.bytes(1, component.as_bytes());
        let mut scoped = Message::default();
        scoped.message(1, &scope);
        self.records.iter().for_each(|record| scoped.message(2, record));
        let mut resource = Message::default();
        resource.message(1, &inner);
        resource.message(2, &scoped);
        resource
    }
}

fn record(fields: &Map<String, Value>) -> Result<Message, Fault> {
    if let Some(unknown) = fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        return Err(Fault::Json(format!("unknown field `{unknown}`; known are {}", FIELDS.join(", "))));
    }
    let mut record = Message::default();
    record.fixed64(1, time(fields.get("ts").ok_or(Fault::Json("`ts` is missing".into()))?)?);
    if let Some(severity) = fields.get("severity").filter(|value| !value.is_null()) {
        record.varint(
            2,
            severity.as_u64().filter(|number| *number <= 24).ok_or(Fault::Expected("a severity of 0 to 24"))?,
        );
    }
    if let Some(body) = fields.get("body").filter(|value| !value.is_null()) {
        record.message(5, &any(body));
    }
    match fields.get("attrs") {
        None | Some(Value::Null) => {}
        Some(Value::Object(attrs)) => {
            attrs.iter().for_each(|(name, value)| record.message(6, &key_value(name, value)));
        }
        Some(_) => return Err(Fault::Expected("an object for attrs")),
    }
    for (name, length, number) in [("trace_id", 16, 9), ("span_id", 8, 10)] {
        if let Some(text) = fields.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()) {
            let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
            let bytes: Option<Vec<u8>> = text
                .as_bytes()
                .chunks(2)
                .map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?))
                .collect();
            let bytes = bytes.filter(|bytes| bytes.len() == length).ok_or(Fault::Expected("hex digits for ids"))?;
            record.bytes(number, &bytes);
        }
    }
    if let Some(observed) = fields.get("observed").filter(|value| !value.is_null()) {
        record.fixed64(11, time(observed)?);
    }
    match fields.get("event") {
        Some(Value::String(name)) if !name.is_empty() => record.bytes(12, name.as_bytes()),
        _ => return Err(Fault::Json("`event` is missing".into())),
    }
    Ok(record)
}

fn time(value: &Value) -> Result<u64, Fault> {
    const WANTED: Fault = Fault::Expected("a time: RFC 3339, or nanoseconds since 1970");
    match value {
        Value::Number(number) => number.as_u64().ok_or(WANTED),
        Value::String(text) => match text.parse::<u64>() {
            Ok(nanos) => Ok(nanos),
            Err(_) => {
                let ts: jiff::Timestamp = text.parse().map_err(|_| WANTED)?;
                // OTLP's 0 is "no time" (`time_unix_nano`): who writes the epoch out means it, as logs of tests do.
                u64::try_from(ts.as_nanosecond()).map(|nanos| nanos.max(1)).map_err(|_| WANTED)
            }
        },
        _ => Err(WANTED),
    }
}

fn key_value(name: &str, value: &Value) -> Message {
    let mut attribute = Message::default();
    attribute.bytes(1, name.as_bytes());
    attribute.message(2, &any(value));
    attribute
}

fn any(value: &Value) -> Message {
    let mut message = Message::default();
    match value {
        Value::Null => {}
        Value::Bool(value) => message.varint(2, u64::from(*value)),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(int), _) => message.varint(3, int.cast_unsigned()),
            // OTLP's integers end at 63 bits: larger ones travel as decimal text.
            (None, Some(large)) => message.bytes(1, large.to_string().as_bytes()),
            (None, None) => message.fixed64(4, number.as_f64().unwrap_or(f64::NAN).to_bits()),
        },
        Value::String(text) => message.bytes(1, text.as_bytes()),
        Value::Array(items) => {
            let mut list = Message::default();
            items.iter().for_each(|item| list.message(1, &any(item)));
            message.message(5, &list);
        }
        Value::Object(fields) => {
            let mut map = Message::default();
            fields.iter().for_each(|(name, item)| map.message(1, &key_value(name, item)));
            message.message(6, &map);
        }
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, Occurrences, Refused, Scratch, Signal, check, walk};
    use event::{Event, Position, Timestamp, Value as Own};

    fn read(lines: &str) -> Vec<Event> {
        let body = lines_to_protobuf(lines.as_bytes()).unwrap();
        check(Signal::Logs, &body, &Limits::default()).unwrap();
        let mut events = Vec::new();
        let mut occurrences = Occurrences::default();
        walk(Signal::Logs, &body, &Refused::default(), &mut Scratch::default(), |record| {
            let mut event = record.to_event(Timestamp::ZERO, Position::default());
            event.identity = record.identity(&mut occurrences);
            events.push(event);
        })
        .unwrap();
        events
    }

    #[test]
    fn lines_keep_their_order_and_say_who_sent_them() {
        let events = read(concat!(
            r#"{"ts":"2026-11-20T12:00:00.000000001Z","node":"n1","component":"c","network":"testnet","event":"a","attrs":{"height":100,"big":18446744073709551615}}"#,
            "\n\n",
            r#"{"ts":5,"node":"n2","component":"d","event":"b"}"#,
            "\n",
            r#"{"ts":"6","node":"n1","component":"c","network":"testnet","event":"c"}"#,
        ));
        let names: Vec<&str> = events.iter().map(|event| event.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert_eq!((events[0].source.node.as_str(), events[0].source.network.as_str()), ("n1", "testnet"));
        assert_eq!(events[0].ts, Timestamp(1_795_176_000_000_000_001));
        assert_eq!(events[0].attr("height"), Some(&Own::from(100)));
        assert_eq!(events[0].attr("big"), Some(&Own::from("18446744073709551615")));
        assert_eq!((events[1].ts, events[1].source.component.as_str()), (Timestamp(5), "d"));
    }

    #[test]
    fn twins_in_one_request_stay_two_and_a_retry_repeats_their_identities() {
        let line = r#"{"ts":5,"node":"n","event":"b"}"#;
        let once = read(&format!("{line}\n{line}"));
        assert_ne!(once[0].identity, once[1].identity);
        assert_eq!(read(line)[0].identity, once[0].identity);
    }

    #[test]
    fn a_bad_line_is_named() {
        for (bad, said) in [
            ("{\"ts\":1,\"evnt\":\"x\"}", "unknown field `evnt`"),
            ("{\"ts\":1}", "`event` is missing"),
            ("{\"event\":\"x\"}", "`ts` is missing"),
            ("{\"ts\":\"yesterday\",\"event\":\"x\"}", "RFC 3339"),
            ("nonsense", "expected"),
        ] {
            let error = lines_to_protobuf(format!("{{\"ts\":1,\"event\":\"ok\"}}\n{bad}").as_bytes()).unwrap_err();
            assert_eq!(error.path, "line 2");
            assert!(error.to_string().contains(said), "{error}");
        }
    }
}
