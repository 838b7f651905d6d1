//! The reorder buffer: rows wait in it until the frontier has passed them.
//!
//! A row is kept once, however many rules name its event, in the memory of the 16 ms it falls into: of each value what it
//! is, and, where that does not say it all, a word more; all texts in one string. Of what is released a little memory is
//! used again.
use alloc::{collections::BTreeMap, string::String, vec::Vec};
use event::{Identity, Position, Timestamp, Value, ValueRef};

use crate::{
    row::{EventIdx, Row},
    source::SourceIdx,
};

/// Rows are kept together by 2^24 ns, about 16 ms.
const BUCKET_BITS: u32 = 24;

/// How many emptied buckets are kept for their memory, and of how many rows at most each.
const SPARE_BUCKETS: usize = 64;
const SPARE_ROWS: usize = 256;

/// See the module.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Hold {
    /// The bucket that the frontier is in, the latest row first.
    open: Bucket,
    /// What belongs into buckets before this one belongs into the open one.
    until: u64,
    later: BTreeMap<u64, Bucket>,
    /// The one of them into which a row came last, out of its place, and its number.
    latest: (u64, Bucket),
    /// Emptied ones, for their memory.
    #[serde(skip)]
    spare: Vec<Bucket>,
}

#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
struct Bucket {
    rows: Vec<Head>,
    /// What bodies, trace ids and columns are, row after row; most columns of most rows are absent.
    shapes: Vec<Shape>,
    /// What their shapes do not say.
    words: Vec<u64>,
    /// The texts of all.
    text: String,
    /// Values that fit into no word: bytes, lists, maps, great integers.
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
    name: Text,
    /// Where its shapes begin: the body and the trace id, if some rule reads them, then the columns.
    shapes: u32,
    words: u32,
    columns: u16,
    more: bool,
}

/// A piece of a bucket's text.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
struct Text {
    from: u32,
    len: u32,
}

/// What a value of a row is.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
enum Shape {
    Absent,
    Null,
    False,
    True,
    Int,
    Double,
    /// Where the text begins, and how long it is.
    Text,
    /// By its place among those that fit into no word.
    Nested,
}

impl Hold {
    pub(crate) fn push(&mut self, row: &Row<'_>) {
        let number = row.ts.0 >> BUCKET_BITS;
        if number >= self.until {
            if self.latest.0 != number {
                self.put_back();
                let bucket = self.later.remove(&number).or_else(|| self.spare.pop());
                self.latest = (number, bucket.unwrap_or_default());
            }
            self.latest.1.push(row);
        } else {
            let at = self.open.rows.partition_point(|known| known.ts > row.ts);
            self.open.push(row);
            // It came last; it may belong before others.
            self.open.rows[at..].rotate_right(1);
        }
    }

    /// Puts the latest bucket back into its place.
    fn put_back(&mut self) {
        let (number, bucket) = core::mem::take(&mut self.latest);
        if !bucket.rows.is_empty() {
            self.later.insert(number, bucket);
        }
    }

    /// Gives `take` every row before `to`, in order of time, and lets go of it.
    pub(crate) fn release(&mut self, to: Timestamp, mut take: impl FnMut(&Row<'_>)) {
        if self.latest.0 <= to.0 >> BUCKET_BITS {
            self.put_back();
        }
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
                let gone = core::mem::take(&mut self.open);
                self.spare(gone);
                return;
            };
            self.until = *next.key() + 1;
            let gone = core::mem::replace(&mut self.open, next.remove());
            self.spare(gone);
            // Stable: what came first of one time is taken first.
            self.open.rows.reverse();
            self.open.rows.sort_by_key(|row| core::cmp::Reverse(row.ts));
        }
    }

    /// Keeps an emptied bucket for its memory, unless that is too much.
    fn spare(&mut self, mut gone: Bucket) {
        let is_of_use = (1..=SPARE_ROWS).contains(&gone.rows.capacity());
        if is_of_use && self.spare.len() < SPARE_BUCKETS {
            gone.shapes.clear();
            gone.words.clear();
            gone.text.clear();
            gone.nested.clear();
            self.spare.push(gone);
        }
    }

    /// A time before which no more than about `rows` wait, and before which some do; none when fewer wait in all.
    pub(crate) fn slice(&self, rows: usize) -> Option<Timestamp> {
        let open = (self.until, self.open.rows.len());
        let later = self.buckets().map(|(number, bucket)| (number + 1, bucket.rows.len()));
        let mut waiting = 0;
        core::iter::once(open).chain(later).find_map(|(end, len)| {
            waiting += len;
            (waiting > rows).then_some(Timestamp(end << BUCKET_BITS))
        })
    }

    /// All buckets but the open one, in order of time.
    fn buckets(&self) -> impl Iterator<Item = (u64, &Bucket)> {
        let (number, latest) = &self.latest;
        let (before, after) = (self.later.range(..number), self.later.range(number..));
        let others = |(number, bucket): (&u64, _)| (*number, bucket);
        before.map(others).chain(core::iter::once((*number, latest))).chain(after.map(others))
    }

    /// How many rows wait.
    pub(crate) fn len(&self) -> usize {
        self.open.rows.len() + self.buckets().map(|(_, bucket)| bucket.rows.len()).sum::<usize>()
    }

    /// The events of which rows wait.
    pub(crate) fn events(&self) -> impl Iterator<Item = EventIdx> {
        let later = self.buckets().map(|(_, bucket)| bucket);
        core::iter::once(&self.open).chain(later).flat_map(|bucket| &bucket.rows).map(|row| row.event)
    }
}

impl Bucket {
    fn push(&mut self, row: &Row<'_>) {
        let name = self.text(row.name);
        let (shapes, words) = (self.shapes.len() as u32, self.words.len() as u32);
        let more = row.body != ValueRef::Null || !row.trace_id.is_empty();
        if more {
            self.value(Some(row.body));
            self.value(Some(ValueRef::String(row.trace_id)));
        }
        row.columns.iter().for_each(|value| self.value(*value));
        self.rows.push(Head {
            ts: row.ts,
            arrived: row.arrived,
            identity: row.identity,
            position: row.position,
            event: row.event,
            source: row.source,
            severity: row.severity,
            name,
            shapes,
            words,
            columns: row.columns.len() as u16,
            more,
        });
    }

    fn text(&mut self, text: &str) -> Text {
        let from = self.text.len() as u32;
        self.text.push_str(text);
        Text { from, len: text.len() as u32 }
    }

    fn value(&mut self, value: Option<ValueRef<'_>>) {
        let (shape, word) = match value {
            None => (Shape::Absent, None),
            Some(ValueRef::Null) => (Shape::Null, None),
            Some(ValueRef::Bool(false)) => (Shape::False, None),
            Some(ValueRef::Bool(true)) => (Shape::True, None),
            Some(ValueRef::Int(value)) => (Shape::Int, Some(value as u64)),
            Some(ValueRef::Double(value)) => (Shape::Double, Some(value.to_bits())),
            Some(ValueRef::String(text)) => {
                let Text { from, len } = self.text(text);
                (Shape::Text, Some(u64::from(from) << 32 | u64::from(len)))
            }
            Some(nested @ (ValueRef::Bytes(_) | ValueRef::BigInt(_) | ValueRef::List(_) | ValueRef::Map(_))) => {
                self.nested.push(nested.to_value());
                (Shape::Nested, Some(self.nested.len() as u64 - 1))
            }
        };
        self.shapes.push(shape);
        self.words.extend(word);
    }

    /// What was kept is read back as it was; of a checkpoint's bytes nothing is believed.
    fn read<'b>(&'b self, head: &Head, columns: &mut Vec<Option<ValueRef<'b>>>, take: &mut impl FnMut(&Row<'_>)) {
        let (mut body, mut trace_id) = (ValueRef::Null, "");
        let mut shapes = self.shapes.get(head.shapes as usize..).unwrap_or_default().iter();
        let mut words = self.words.get(head.words as usize..).unwrap_or_default().iter().copied();
        let mut next = || self.read_value(*shapes.next()?, &mut words);
        if head.more {
            body = next().unwrap_or(ValueRef::Null);
            if let Some(ValueRef::String(text)) = next() {
                trace_id = text;
            }
        }
        columns.clear();
        columns.extend((0..head.columns).map(|_| next()));
        take(&Row {
            event: head.event,
            name: self.read_text(head.name),
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

    fn read_text(&self, text: Text) -> &str {
        let from = text.from as usize;
        self.text.get(from..from + text.len as usize).unwrap_or_default()
    }

    fn read_value(&self, shape: Shape, words: &mut impl Iterator<Item = u64>) -> Option<ValueRef<'_>> {
        Some(match shape {
            Shape::Absent => return None,
            Shape::Null => ValueRef::Null,
            Shape::False => ValueRef::Bool(false),
            Shape::True => ValueRef::Bool(true),
            Shape::Int => ValueRef::Int(words.next()? as i64),
            Shape::Double => ValueRef::Double(f64::from_bits(words.next()?)),
            Shape::Text => {
                let word = words.next()?;
                ValueRef::String(self.read_text(Text { from: (word >> 32) as u32, len: word as u32 }))
            }
            Shape::Nested => self.nested.get(words.next()? as usize)?.as_ref(),
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
