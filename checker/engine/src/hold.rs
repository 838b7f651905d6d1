//! The reorder buffer: rows wait in it until the frontier has passed them.
//!
//! A row is kept once, however many rules name its event, as bytes in the memory of the 16 ms it falls into; that memory
//! is given back as a whole.
use alloc::{collections::BTreeMap, vec::Vec};
use event::{Identity, Position, Timestamp, Value, ValueRef};

use crate::{
    row::{EventIdx, Row},
    source::SourceIdx,
};

/// Rows are kept together by 2^24 ns, about 16 ms.
const BUCKET_BITS: u32 = 24;

/// See the module.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Hold {
    /// The bucket that the frontier is in, the latest row first.
    open: Bucket,
    /// What belongs into buckets before this one belongs into the open one.
    until: u64,
    later: BTreeMap<u64, Bucket>,
}

#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
struct Bucket {
    rows: Vec<Head>,
    /// Names, trace ids and values, row after row.
    bytes: Vec<u8>,
    /// Values that are not written as bytes: lists, maps, great integers.
    nested: Vec<Value>,
}

/// What every row has.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
struct Head {
    ts: Timestamp,
    arrived: Timestamp,
    identity: Identity,
    position: Position,
    event: EventIdx,
    source: SourceIdx,
    severity: i32,
    /// Where its bytes begin.
    from: u32,
    columns: u16,
}

/// How values begin.
mod tag {
    pub(super) const ABSENT: u8 = 0;
    pub(super) const NULL: u8 = 1;
    pub(super) const FALSE: u8 = 2;
    pub(super) const TRUE: u8 = 3;
    pub(super) const INT: u8 = 4;
    pub(super) const DOUBLE: u8 = 5;
    pub(super) const STRING: u8 = 6;
    pub(super) const BYTES: u8 = 7;
    pub(super) const NESTED: u8 = 8;
}

impl Hold {
    pub(crate) fn push(&mut self, row: &Row<'_>) {
        let number = row.ts.0 >> BUCKET_BITS;
        if number >= self.until {
            self.later.entry(number).or_default().push(row);
        } else {
            let at = self.open.rows.partition_point(|known| known.ts > row.ts);
            self.open.push(row);
            // It came last; it may belong before others.
            self.open.rows[at..].rotate_right(1);
        }
    }

    /// Gives `take` every row before `to`, in order of time, and lets go of it.
    pub(crate) fn release(&mut self, to: Timestamp, mut take: impl FnMut(&Row<'_>)) {
        loop {
            let waiting = self.open.rows.partition_point(|row| row.ts >= to);
            let mut columns = Vec::new();
            for head in self.open.rows[waiting..].iter().rev() {
                self.open.read(head, &mut columns, &mut take);
            }
            self.open.rows.truncate(waiting);
            if waiting > 0 {
                return;
            }
            let Some(next) = self.later.first_entry().filter(|next| *next.key() <= to.0 >> BUCKET_BITS) else {
                self.open = Bucket::default();
                return;
            };
            self.until = *next.key() + 1;
            self.open = next.remove();
            // Stable: what came first of one time is taken first.
            self.open.rows.reverse();
            self.open.rows.sort_by_key(|row| core::cmp::Reverse(row.ts));
        }
    }

    /// A time before which no more than about `rows` wait, and before which some do; none when fewer wait in all.
    pub(crate) fn slice(&self, rows: usize) -> Option<Timestamp> {
        let open = (self.until, self.open.rows.len());
        let later = self.later.iter().map(|(number, bucket)| (number + 1, bucket.rows.len()));
        let mut waiting = 0;
        core::iter::once(open).chain(later).find_map(|(end, len)| {
            waiting += len;
            (waiting > rows).then_some(Timestamp(end << BUCKET_BITS))
        })
    }

    /// How many rows wait.
    pub(crate) fn len(&self) -> usize {
        self.open.rows.len() + self.later.values().map(|bucket| bucket.rows.len()).sum::<usize>()
    }

    /// The events of which rows wait.
    pub(crate) fn events(&self) -> impl Iterator<Item = EventIdx> {
        core::iter::once(&self.open).chain(self.later.values()).flat_map(|bucket| &bucket.rows).map(|row| row.event)
    }
}

impl Bucket {
    fn push(&mut self, row: &Row<'_>) {
        self.rows.push(Head {
            ts: row.ts,
            arrived: row.arrived,
            identity: row.identity,
            position: row.position,
            event: row.event,
            source: row.source,
            severity: row.severity,
            from: self.bytes.len() as u32,
            columns: row.columns.len() as u16,
        });
        self.text(row.name.as_bytes());
        self.text(row.trace_id.as_bytes());
        self.value(Some(row.body));
        for column in row.columns {
            self.value(*column);
        }
    }

    fn text(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(bytes);
    }

    fn value(&mut self, value: Option<ValueRef<'_>>) {
        match value {
            None => self.bytes.push(tag::ABSENT),
            Some(ValueRef::Null) => self.bytes.push(tag::NULL),
            Some(ValueRef::Bool(false)) => self.bytes.push(tag::FALSE),
            Some(ValueRef::Bool(true)) => self.bytes.push(tag::TRUE),
            Some(ValueRef::Int(value)) => {
                self.bytes.push(tag::INT);
                self.bytes.extend_from_slice(&value.to_le_bytes());
            }
            Some(ValueRef::Double(value)) => {
                self.bytes.push(tag::DOUBLE);
                self.bytes.extend_from_slice(&value.to_bits().to_le_bytes());
            }
            Some(ValueRef::String(text)) => {
                self.bytes.push(tag::STRING);
                self.text(text.as_bytes());
            }
            Some(ValueRef::Bytes(bytes)) => {
                self.bytes.push(tag::BYTES);
                self.text(bytes);
            }
            Some(nested @ (ValueRef::BigInt(_) | ValueRef::List(_) | ValueRef::Map(_))) => {
                self.bytes.push(tag::NESTED);
                self.bytes.extend_from_slice(&(self.nested.len() as u32).to_le_bytes());
                self.nested.push(nested.to_value());
            }
        }
    }

    fn read<'b>(&'b self, head: &Head, columns: &mut Vec<Option<ValueRef<'b>>>, take: &mut impl FnMut(&Row<'_>)) {
        let mut rest = Rest { bytes: &self.bytes[head.from as usize..], nested: &self.nested };
        let (name, trace_id) = (rest.text(), rest.text());
        let body = rest.value().unwrap_or(ValueRef::Null);
        columns.clear();
        columns.extend((0..head.columns).map(|_| rest.value()));
        take(&Row {
            event: head.event,
            name,
            source: head.source,
            ts: head.ts,
            sent: head.ts,
            arrived: head.arrived,
            identity: head.identity,
            position: head.position,
            severity: head.severity,
            body,
            trace_id,
            process: None,
            columns,
        });
    }
}

/// What is left to read of a row. What was written is read back as it was; of bytes from elsewhere nothing is believed.
struct Rest<'b> {
    bytes: &'b [u8],
    nested: &'b [Value],
}

impl<'b> Rest<'b> {
    fn take(&mut self, len: usize) -> &'b [u8] {
        let (taken, rest) = self.bytes.split_at(len.min(self.bytes.len()));
        self.bytes = rest;
        taken
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        self.take(N).try_into().unwrap_or([0; N])
    }

    fn slice(&mut self) -> &'b [u8] {
        let len = u32::from_le_bytes(self.array());
        self.take(len as usize)
    }

    fn text(&mut self) -> &'b str {
        core::str::from_utf8(self.slice()).unwrap_or_default()
    }

    fn value(&mut self) -> Option<ValueRef<'b>> {
        let [tag] = self.array();
        Some(match tag {
            tag::NULL => ValueRef::Null,
            tag::FALSE => ValueRef::Bool(false),
            tag::TRUE => ValueRef::Bool(true),
            tag::INT => ValueRef::Int(i64::from_le_bytes(self.array())),
            tag::DOUBLE => ValueRef::Double(f64::from_bits(u64::from_le_bytes(self.array()))),
            tag::STRING => ValueRef::String(self.text()),
            tag::BYTES => ValueRef::Bytes(self.slice()),
            tag::NESTED => self.nested.get(u32::from_le_bytes(self.array()) as usize)?.as_ref(),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{string::String, vec};

    fn row<'a>(ts: u64, columns: &'a [Option<ValueRef<'a>>]) -> Row<'a> {
        Row {
            event: 7,
            name: "some.event",
            source: 3,
            ts: Timestamp(ts),
            sent: Timestamp(ts),
            arrived: Timestamp(ts + 1),
            identity: Identity(u128::from(ts) << 64),
            position: Position { partition: 0, frame: ts, record: 1 },
            severity: -9,
            body: ValueRef::String("a body"),
            trace_id: "00ff",
            process: None,
            columns,
        }
    }

    #[test]
    fn rows_come_out_in_order_as_they_went_in() {
        let list = vec![Value::from(1), Value::from("x")];
        let columns = [
            None,
            Some(ValueRef::Null),
            Some(ValueRef::Bool(true)),
            Some(ValueRef::Int(-5)),
            Some(ValueRef::Double(0.5)),
            Some(ValueRef::String("text")),
            Some(ValueRef::Bytes(&[1, 2])),
            Some(ValueRef::List(&list)),
        ];
        let mut hold = Hold::default();
        let times = [5_u64, 3, 1 << 30, 4, 1 << 25, 3];
        for ts in times {
            hold.push(&row(ts, &columns));
        }
        let mut out: Vec<u64> = Vec::new();
        let taken = |row: &Row<'_>, out: &mut Vec<u64>| {
            assert_eq!((row.name, row.trace_id, row.severity, row.event), ("some.event", "00ff", -9, 7));
            assert_eq!(row.columns, columns);
            assert_eq!(row.body, ValueRef::String("a body"));
            out.push(row.ts.0);
        };
        hold.release(Timestamp(4), |row| taken(row, &mut out));
        assert_eq!(out, [3, 3]);
        // Into the bucket that is open by now.
        hold.push(&row(4, &columns));
        hold.push(&row(6, &columns));
        hold.release(Timestamp(6), |row| taken(row, &mut out));
        assert_eq!(out, [3, 3, 4, 4, 5]);
        assert_eq!(hold.len(), 3);
        assert_eq!(hold.slice(3), None);
        assert_eq!(hold.slice(2), Some(Timestamp((1 << 30) + (1 << BUCKET_BITS))));
        assert_eq!(hold.slice(0), Some(Timestamp(1 << BUCKET_BITS)));
        hold.release(Timestamp::MAX, |row| taken(row, &mut out));
        assert_eq!(out[5..], [6, 1 << 25, 1 << 30]);
        assert_eq!(hold.len(), 0);
    }

    #[test]
    fn a_name_is_kept_whatever_it_is() {
        let mut hold = Hold::default();
        hold.push(&Row { name: "\u{1F980}", ..row(1, &[]) });
        let mut names: Vec<String> = Vec::new();
        hold.release(Timestamp::MAX, |row| names.push(row.name.into()));
        assert_eq!(names, ["\u{1F980}"]);
    }
}
