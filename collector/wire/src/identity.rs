//! Identities of records. The same however the record came: JSON or protobuf, fields in any order.
use std::collections::HashMap;

use event::Identity;
use xxhash_rust::xxh3::xxh3_128;

use crate::{Any, Record, record::Lazy};

/// How many records' worth of memory is kept from one request to the next.
const KEPT_MAX: usize = 1 << 14;

/// Counts the twins inside one request: a retried request repeats the same identities, while two honest twins in one
/// request stay two.
#[derive(Clone, Debug, Default)]
pub struct Occurrences {
    seen: HashMap<u128, u32, foldhash::fast::RandomState>,
    bytes: Vec<u8>,
}

impl Occurrences {
    /// Starts another request.
    pub fn clear(&mut self) {
        // Emptying costs what a table could hold: one huge request must not make all later ones dear.
        if self.seen.capacity() > KEPT_MAX {
            self.seen = HashMap::default();
        } else {
            self.seen.clear();
        }
    }

    /// `log.record.uid` with its source where the sender gives one (OpenTelemetry semantic conventions, general/logs);
    /// else the content with its number among equals.
    pub(crate) fn identity(&mut self, record: &Record<'_, '_>) -> Identity {
        let bytes = &mut self.bytes;
        bytes.clear();
        if let Some(Any::Str(uid)) = record.attr("log.record.uid") {
            bytes.push(1);
            for part in [record.network(), record.node(), uid] {
                push_text(bytes, part);
            }
            return Identity(xxh3_128(bytes));
        }
        bytes.push(0);
        // The arrival never enters: a retry arrives later and must repeat its identity.
        let time = if record.time == 0 { record.observed } else { record.time };
        bytes.extend_from_slice(&time.to_le_bytes());
        bytes.extend_from_slice(&record.observed.to_le_bytes());
        for part in [record.network(), record.node(), record.component(), record.name()] {
            push_text(bytes, part);
        }
        for part in [record.trace_id(), record.span_id()] {
            push_bytes(bytes, part);
        }
        for attribute in record.attrs {
            push_bytes(bytes, attribute.name);
            push_lazy(bytes, attribute.value);
        }
        push_lazy(bytes, record.body);
        let content = xxh3_128(bytes);
        let twins = self.seen.entry(content).or_insert(0);
        let twin = *twins;
        *twins += 1;
        if twin == 0 {
            return Identity(content);
        }
        bytes.clear();
        bytes.extend_from_slice(&content.to_le_bytes());
        bytes.extend_from_slice(&twin.to_le_bytes());
        Identity(xxh3_128(bytes))
    }
}

fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    push_bytes(out, text.as_bytes());
}

/// The same bytes as [`push_any`] writes. The values that nearly all records have are told by their encoding alone.
#[inline]
fn push_lazy(out: &mut Vec<u8>, value: Lazy<'_>) {
    match value {
        Lazy::Sent(&[0x0a, length, ref text @ ..]) if length < 0x80 && usize::from(length) == text.len() => {
            out.extend_from_slice(&[4, length, 0, 0, 0]);
            out.extend_from_slice(text);
        }
        Lazy::Sent(&[0x18, value]) if value < 0x80 => {
            out.push(2);
            out.extend_from_slice(&i64::from(value).to_le_bytes());
        }
        Lazy::Sent(&[0x10, value]) if value < 0x80 => out.extend_from_slice(&[1, u8::from(value != 0)]),
        other => push_any(out, other.value()),
    }
}

fn push_any(out: &mut Vec<u8>, any: Any<'_>) {
    match any {
        Any::Null => out.push(0),
        Any::Bool(value) => out.extend_from_slice(&[1, u8::from(value)]),
        Any::Int(value) => {
            out.push(2);
            out.extend_from_slice(&value.to_le_bytes());
        }
        Any::Double(value) => {
            out.push(3);
            out.extend_from_slice(&value.to_bits().to_le_bytes());
        }
        Any::Str(text) => {
            out.push(4);
            push_text(out, text);
        }
        Any::Bytes(bytes) => {
            out.push(5);
            push_bytes(out, bytes);
        }
        Any::Array(list) => {
            out.push(6);
            list.into_iter().flatten().for_each(|item| push_any(out, item));
            out.push(u8::MAX);
        }
        Any::Map(map) => {
            out.push(7);
            map.into_iter().flatten().for_each(|(name, item)| {
                push_text(out, name);
                push_any(out, item);
            });
            out.push(u8::MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, any_value::Value as V};
    use proptest::prelude::*;
    use prost::Message;

    fn same(message: &[u8]) {
        let (mut short, mut long) = (Vec::new(), Vec::new());
        push_lazy(&mut short, Lazy::Sent(message));
        push_any(&mut long, Any::read(message).unwrap_or(Any::Null));
        assert_eq!(short, long, "{message:?}");
    }

    proptest! {
        #[test]
        fn values_told_by_their_encoding_are_the_values_that_are_read(
            text in ".{0,80}",
            int in prop_oneof![any::<i64>(), 0i64..300],
            flag in any::<bool>(),
            bytes in any::<Vec<u8>>(),
        ) {
            let values = [V::StringValue(text.clone()), V::IntValue(int), V::BoolValue(flag), V::BytesValue(bytes)];
            for value in values {
                let value = AnyValue { value: Some(value) };
                same(&value.encode_to_vec());
                let list = V::ArrayValue(ArrayValue { values: vec![value] });
                same(&AnyValue { value: Some(list) }.encode_to_vec());
            }
            // Of several members the last counts.
            let mut two = AnyValue { value: Some(V::StringValue(text)) }.encode_to_vec();
            two.extend(AnyValue { value: Some(V::IntValue(int)) }.encode_to_vec());
            same(&two);
        }
    }
}
