//! Event lines, one JSON object a line, rewritten as a logs request in the same order.
//!
//! `{"ts":"2026-11-20T12:00:00.000000001Z","node":"n1","component":"c","network":"testnet","event":"e","attrs":{}}`; `ts` may
//! also be nanoseconds since the epoch. `observed`, `trace_id`, `span_id`, `severity` and `body` may be there.
//!
//! A line is read once and written as it is read; no tree of it is built.
use std::{borrow::Cow, fmt};

use serde::{
    Deserialize,
    de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor},
};

use crate::{Fault, Malformed, encode::Message};

const FIELDS: [&str; 11] =
    ["ts", "node", "component", "network", "event", "attrs", "observed", "trace_id", "span_id", "severity", "body"];

/// Rewrites event lines; blank lines are skipped.
///
/// # Errors
/// At the first line that is not an event, with its number.
pub fn lines_to_protobuf(lines: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut request = Message::with_capacity(lines.len());
    let mut run: Option<Run> = None;
    let mut record = Message::default();
    let mut at = 0;
    for (number, line) in lines.split(|&byte| byte == b'\n').enumerate() {
        let offset = at;
        at += line.len() + 1;
        if line.trim_ascii().is_empty() {
            continue;
        }
        record.clear();
        let read = read(line, &mut record).and_then(|line| line.finish(&mut record));
        let source = read.map_err(|fault| Malformed { offset, path: format!("line {}", number + 1), fault })?;
        if run.as_ref().is_none_or(|run| !run.is_of(&source)) {
            if let Some(run) = run.take() {
                request.message(1, &run.finish());
            }
            run = Some(Run::new(&source));
        }
        if let Some(run) = &mut run {
            run.scoped.message(2, &record);
        }
    }
    if let Some(run) = run {
        request.message(1, &run.finish());
    }
    Ok(request.into_bytes())
}

/// Who sent a line: network, node and component.
type Source<'a> = [Cow<'a, str>; 3];

/// Lines of one source that follow one another.
struct Run {
    source: [String; 3],
    scoped: Message,
}

impl Run {
    fn new(source: &Source<'_>) -> Self {
        let mut scoped = Message::default();
        let scope = scoped.open(1);
        scoped.bytes(1, source[2].as_bytes());
        scoped.close(scope);
        Run { source: source.each_ref().map(|part| part.clone().into_owned()), scoped }
    }

    fn is_of(&self, source: &Source<'_>) -> bool {
        self.source.iter().zip(source).all(|(own, other)| own == other)
    }

    fn finish(self) -> Message {
        let [network, node, _] = &self.source;
        let mut whole = Message::default();
        let resource = whole.open(1);
        for (name, value) in [("service.instance.id", node), ("deployment.environment.name", network)] {
            if !value.is_empty() {
                let attribute = whole.open(1);
                whole.bytes(1, name.as_bytes());
                let any = whole.open(2);
                whole.bytes(1, value.as_bytes());
                whole.close(any);
                whole.close(attribute);
            }
        }
        whole.close(resource);
        whole.message(2, &self.scoped);
        whole
    }
}

/// What a line says besides its attributes and its body, which are in its record already.
#[derive(Default)]
struct Line<'a> {
    ts: Option<Scalar<'a>>,
    observed: Option<Scalar<'a>>,
    severity: Option<Scalar<'a>>,
    event: Option<Scalar<'a>>,
    trace_id: Option<Scalar<'a>>,
    span_id: Option<Scalar<'a>>,
    network: Option<Scalar<'a>>,
    node: Option<Scalar<'a>>,
    component: Option<Scalar<'a>>,
}

/// Reads a line, its attributes and its body into `record`.
fn read<'a>(line: &'a [u8], record: &mut Message) -> Result<Line<'a>, Fault> {
    let line = std::str::from_utf8(line).map_err(|_| Fault::Utf8)?;
    let mut text = serde_json::Deserializer::from_str(line);
    let read = text.deserialize_any(LineVisitor { record });
    let read = read.and_then(|line| text.end().map(|()| line));
    // Each line is read alone, so its number is not what the reader takes it for.
    read.map_err(|error| Fault::Json(error.to_string().replace(" at line 1 column ", " at column ")))
}

impl<'a> Line<'a> {
    /// Writes the rest of the record; returns who sent it.
    fn finish(self, record: &mut Message) -> Result<Source<'a>, Fault> {
        record.fixed64(1, time(&self.ts.ok_or(Fault::Json("`ts` is missing".into()))?)?);
        match self.severity {
            None | Some(Scalar::Null) => {}
            Some(Scalar::Whole(severity @ 0..=24)) => record.varint(2, severity),
            Some(_) => return Err(Fault::Expected("a severity of 0 to 24")),
        }
        for (id, length, number) in [(self.trace_id, 16, 9), (self.span_id, 8, 10)] {
            const WANTED: Fault = Fault::Expected("hex digits for ids");
            let id = text(id, WANTED)?;
            if !id.is_empty() {
                record.bytes(number, &from_hex(&id).filter(|id| id.len() == length).ok_or(WANTED)?);
            }
        }
        match self.observed {
            None | Some(Scalar::Null) => {}
            Some(observed) => record.fixed64(11, time(&observed)?),
        }
        match self.event {
            Some(Scalar::Text(name)) if !name.is_empty() => record.bytes(12, name.as_bytes()),
            _ => return Err(Fault::Json("`event` is missing".into())),
        }
        const WANTED: Fault = Fault::Expected("text for node, component and network");
        Ok([text(self.network, WANTED)?, text(self.node, WANTED)?, text(self.component, WANTED)?])
    }
}

fn text(value: Option<Scalar<'_>>, wanted: Fault) -> Result<Cow<'_, str>, Fault> {
    match value {
        None | Some(Scalar::Null) => Ok(Cow::Borrowed("")),
        Some(Scalar::Text(text)) => Ok(text),
        Some(_) => Err(wanted),
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    text.as_bytes().chunks(2).map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
}

fn time(value: &Scalar<'_>) -> Result<u64, Fault> {
    const WANTED: Fault = Fault::Expected("a time: RFC 3339, or nanoseconds since 1970");
    match value {
        Scalar::Whole(nanos) => Ok(*nanos),
        Scalar::Text(text) => match text.parse::<u64>() {
            Ok(nanos) => Ok(nanos),
            Err(_) => {
                let ts: jiff::Timestamp = text.parse().map_err(|_| WANTED)?;
                // OTLP's 0 is "no time" (`time_unix_nano`): who writes the epoch out means it, as logs of tests do.
                u64::try_from(ts.as_nanosecond()).map(|nanos| nanos.max(1)).map_err(|_| WANTED)
            }
        },
        Scalar::Null | Scalar::Other => Err(WANTED),
    }
}

struct LineVisitor<'m> {
    record: &'m mut Message,
}

impl<'de> Visitor<'de> for LineVisitor<'_> {
    type Value = Line<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Line<'de>, A::Error> {
        let mut line = Line::default();
        let (mut attrs, mut body) = (false, false);
        while let Some(Borrowed(name)) = map.next_key()? {
            let place = match &*name {
                "ts" => &mut line.ts,
                "observed" => &mut line.observed,
                "severity" => &mut line.severity,
                "event" => &mut line.event,
                "trace_id" => &mut line.trace_id,
                "span_id" => &mut line.span_id,
                "network" => &mut line.network,
                "node" => &mut line.node,
                "component" => &mut line.component,
                "attrs" if !attrs => {
                    attrs = true;
                    map.next_value_seed(Attributes(self.record))?;
                    continue;
                }
                "body" if !body => {
                    body = true;
                    let opened = self.record.open(5);
                    if map.next_value_seed(Any(self.record))? {
                        self.record.close(opened);
                    } else {
                        self.record.cancel(opened);
                    }
                    continue;
                }
                "attrs" | "body" => return Err(de::Error::custom(format_args!("`{name}` comes twice"))),
                _ => {
                    let known = FIELDS.join(", ");
                    return Err(de::Error::custom(format_args!("unknown field `{name}`; known are {known}")));
                }
            };
            if place.is_some() {
                return Err(de::Error::custom(format_args!("`{name}` comes twice")));
            }
            *place = Some(map.next_value()?);
        }
        Ok(line)
    }
}

/// Text, out of the line itself where it has no escapes.
#[derive(Deserialize)]
struct Borrowed<'a>(#[serde(borrow)] Cow<'a, str>);

/// A value where no list or object can stand.
enum Scalar<'a> {
    Null,
    Whole(u64),
    Text(Cow<'a, str>),
    /// Of no use anywhere.
    Other,
}

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Scalar<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text or a number")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Scalar::Null)
            }

            fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
                Ok(Scalar::Whole(value))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                Ok(Scalar::Other)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
                Ok(Scalar::Other)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(Scalar::Other)
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Scalar::Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Scalar::Text(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_any(Reader)
    }
}

/// Writes an object's members as attributes.
struct Attributes<'m>(&'m mut Message);

impl<'de> DeserializeSeed<'de> for Attributes<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Attributes<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object for attrs")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        members(self.0, 6, map)
    }
}

/// Writes an object's members as `KeyValue` messages into a field.
fn members<'de, A: MapAccess<'de>>(out: &mut Message, field: u32, mut map: A) -> Result<(), A::Error> {
    while let Some(Borrowed(name)) = map.next_key()? {
        let member = out.open(field);
        out.bytes(1, name.as_bytes());
        let value = out.open(2);
        map.next_value_seed(Any(out))?;
        out.close(value);
        out.close(member);
    }
    Ok(())
}

/// Writes a value as the content of an `AnyValue`; says whether there is one.
struct Any<'m>(&'m mut Message);

impl<'de> DeserializeSeed<'de> for Any<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Any<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_bool<E>(self, value: bool) -> Result<bool, E> {
        self.0.varint(2, u64::from(value));
        Ok(true)
    }

    fn visit_i64<E>(self, value: i64) -> Result<bool, E> {
        self.0.varint(3, value.cast_unsigned());
        Ok(true)
    }

    fn visit_u64<E>(self, value: u64) -> Result<bool, E> {
        match i64::try_from(value) {
            Ok(value) => self.0.varint(3, value.cast_unsigned()),
            // OTLP's integers end at 63 bits: larger ones travel as decimal text.
            Err(_) => self.0.bytes(1, value.to_string().as_bytes()),
        }
        Ok(true)
    }

    fn visit_f64<E>(self, value: f64) -> Result<bool, E> {
        self.0.fixed64(4, value.to_bits());
        Ok(true)
    }

    fn visit_str<E>(self, value: &str) -> Result<bool, E> {
        self.0.bytes(1, value.as_bytes());
        Ok(true)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<bool, A::Error> {
        let list = self.0.open(5);
        loop {
            let item = self.0.open(1);
            if items.next_element_seed(Any(self.0))?.is_none() {
                self.0.cancel(item);
                break;
            }
            self.0.close(item);
        }
        self.0.close(list);
        Ok(true)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<bool, A::Error> {
        let object = self.0.open(6);
        members(self.0, 1, map)?;
        self.0.close(object);
        Ok(true)
    }
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
    fn values_keep_their_kinds() {
        let event = read(
            r#"{"ts":1,"event":"e","body":{"text":"a\nb","list":[1,[],{"x":null}]},"attrs":{"t":true,"f":0.5,"n":-3,"s":"\u00e9","none":null,"m":{"a":[1.0]}},"node":null,"trace_id":"000102030405060708090a0b0c0d0e0f","span_id":null,"severity":9}"#,
        )
        .remove(0);
        let attr = |name: &str| event.attr(name).cloned();
        assert_eq!(attr("t"), Some(Own::from(true)));
        assert_eq!(attr("f"), Some(Own::Double(0.5)));
        assert_eq!(attr("n"), Some(Own::from(-3)));
        assert_eq!(attr("s"), Some(Own::from("\u{e9}")));
        assert_eq!(attr("none"), Some(Own::Null));
        assert_eq!(attr("m"), Some(Own::Map(vec![("a".into(), Own::List(vec![Own::Double(1.0)]))])));
        let list = vec![Own::from(1), Own::List(vec![]), Own::Map(vec![("x".into(), Own::Null)])];
        let body = vec![("text".into(), Own::from("a\nb")), ("list".into(), Own::List(list))];
        assert_eq!(event.body, Own::Map(body));
        assert_eq!((event.severity, &*event.trace_id), (9, "000102030405060708090a0b0c0d0e0f"));
        let bare = read(r#"{"ts":1,"event":"e","body":null}"#).remove(0);
        assert_eq!(bare.body, Own::Null);
    }

    #[test]
    fn a_bad_line_is_named() {
        for (bad, said) in [
            ("{\"ts\":1,\"evnt\":\"x\"}", "unknown field `evnt`"),
            ("{\"ts\":1}", "`event` is missing"),
            ("{\"event\":\"x\"}", "`ts` is missing"),
            ("{\"ts\":\"yesterday\",\"event\":\"x\"}", "RFC 3339"),
            ("nonsense", "expected"),
            ("7", "expected an object"),
            ("{\"ts\":1,\"event\":\"x\",\"node\":7}", "text for node"),
            ("{\"ts\":1,\"event\":\"x\",\"attrs\":[]}", "expected an object for attrs at column"),
            ("{\"ts\":1,\"event\":\"x\",\"severity\":25}", "0 to 24"),
            ("{\"ts\":1,\"event\":\"x\",\"trace_id\":\"00f\"}", "hex digits"),
            ("{\"ts\":1,\"event\":\"x\",\"ts\":2}", "`ts` comes twice"),
            ("{\"ts\":1,\"event\":\"x\",\"attrs\":{},\"attrs\":{}}", "`attrs` comes twice"),
            ("{\"ts\":1,\"event\":\"x\"} {", "trailing characters at column 22"),
        ] {
            let error = lines_to_protobuf(format!("{{\"ts\":1,\"event\":\"ok\"}}\n{bad}").as_bytes()).unwrap_err();
            assert_eq!(error.path, "line 2");
            assert!(error.to_string().contains(said), "{error}");
        }
    }
}
