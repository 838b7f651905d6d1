//! Identities of records. The same however the record came: JSON or protobuf, fields in any order.
use std::collections::HashMap;

use event::Identity;
use xxhash_rust::xxh3::xxh3_128;

use crate::{Any, Record};

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
        for (name, value) in record.attrs() {
            push_text(bytes, name);
            push_any(bytes, *value);
        }
        push_any(bytes, record.body());
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
