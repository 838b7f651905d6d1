//! Records mostly look like the one before them: between their values stands the same text, byte for byte. What that text means
//! was found out when the first of them was read; of the others the values alone are read, each in the way in which the first
//! one's was.
//!
//! A shape says nothing of values: a record that is read by one is written as if it had been read from its beginning. Where
//! another text stands between two values, or a value is none of its field, the record is read from its beginning.
use super::{
    scalar::Scalars,
    schema::{Field, Kind},
};
use crate::{encode::Message, json::Text};

/// How many shapes are tried: the events of one exporter's request have few.
const SHAPES_MAX: usize = 8;

/// After so many records in a row that none of them fitted, they are not tried any more.
const MISSES_MAX: u32 = 32;

/// Of a record with more text than this no shape is noted: what is noted takes memory beside the request.
const TEXT_BYTES_MAX: usize = 16 << 10;

/// How deep the messages of a shape nest.
const DEPTH_MAX: usize = 16;

/// The shapes of the records that came last, the last one first.
#[derive(Default)]
pub(super) struct Shapes {
    known: Vec<Shape>,
    misses: u32,
}

/// What stands between a record's values, and what it means.
struct Shape {
    steps: Vec<Step>,
    /// What stands behind the last value.
    literal: Box<[u8]>,
    /// What is written of it.
    written: Box<[u8]>,
    /// How many values there are, those in it counted.
    nodes: u32,
}

/// A value, and what stands before it.
struct Step {
    literal: Box<[u8]>,
    /// What is written of it: whole fields, and the beginnings of messages.
    written: Box<[u8]>,
    /// Where in it the contents of these messages begin, the outermost first.
    opens: Box<[usize]>,
    field: &'static Field,
    /// How long the value was the last time, where it was a plain string.
    length: usize,
    /// How many messages end behind the value.
    closes: usize,
}

impl Shapes {
    /// None, and none are noted.
    #[cfg(test)]
    pub(super) fn unused() -> Self {
        Self { known: Vec::new(), misses: MISSES_MAX }
    }

    /// Whether it is worth while to note the shapes of records.
    pub(super) fn learns(&self) -> bool {
        self.misses < MISSES_MAX
    }

    /// Notes the shape of a record that none of those before it had.
    pub(super) fn learn(&mut self, shape: Option<Recorder>, text: &Text<'_>, out: &Message, nodes: u32) {
        self.misses += 1;
        let Some(shape) = shape.and_then(|recorder| recorder.finish(text, out, nodes)) else { return };
        self.known.truncate(SHAPES_MAX - 1);
        self.known.insert(0, shape);
    }

    /// Reads a record of a known shape as a message, its number and the beginning of its content included. Returns how many
    /// values it has, which are at most so many; none where it has no known shape: then nothing is changed.
    pub(super) fn read(&mut self, text: &mut Text<'_>, written: &mut Scalars, most: u32) -> Option<u32> {
        let (at, length, warnings) = (text.at(), written.out.len(), written.warnings);
        for place in 0..self.known.len() {
            let shape = self.known.get_mut(place)?;
            if shape.nodes <= most && shape.read(text, written).is_some() {
                let nodes = shape.nodes;
                self.misses = 0;
                self.known[..=place].rotate_right(1);
                return Some(nodes);
            }
            text.back_to(at);
            written.out.truncate(length);
            written.warnings = warnings;
        }
        None
    }
}

impl Shape {
    fn read(&mut self, text: &mut Text<'_>, written: &mut Scalars) -> Option<()> {
        let mut opened = [0; DEPTH_MAX];
        let mut depth = 0;
        for step in &mut self.steps {
            text.pass_all(&step.literal)?;
            let before = written.out.len();
            written.out.write(&step.written);
            for content in &*step.opens {
                *opened.get_mut(depth)? = before + content;
                depth += 1;
            }
            let Field { number, kind, .. } = step.field;
            match (text.here(), kind) {
                (b'"', _) => {
                    let value = match text.plain_string_of(step.length) {
                        Some(value) => value,
                        None => text.string().ok()?,
                    };
                    step.length = value.len();
                    match kind {
                        Kind::Text => written.out.bytes(*number, value),
                        _ => written.text(*number, kind, value).ok()?,
                    }
                }
                (digit @ b'0'..=b'9', _)
                    if text.is_digit_alone() && written.natural(*number, kind, u64::from(digit - b'0')) =>
                {
                    text.pass(&[digit])?;
                }
                (b'-' | b'0'..=b'9', _) => written.number(*number, kind, text.number().ok()?).ok()?,
                (b't', Kind::Bool) => {
                    text.pass(b"true")?;
                    written.out.varint(*number, 1);
                }
                (b'f', Kind::Bool) => {
                    text.pass(b"false")?;
                    written.out.varint(*number, 0);
                }
                _ => return None,
            }
            for _ in 0..step.closes {
                depth = depth.checked_sub(1)?;
                written.out.close_at(*opened.get(depth)?);
            }
        }
        text.pass_all(&self.literal)?;
        written.out.write(&self.written);
        // The record itself.
        written.out.close_at(*opened.first()?);
        Some(())
    }
}

/// Notes the shape of a record that is being read.
pub(super) struct Recorder {
    steps: Vec<Step>,
    /// The messages that have begun and not ended: where their contents begin, and how many values were before.
    opened: Vec<(usize, usize)>,
    /// Where the record begins.
    begins: usize,
    /// How far text and message are part of the steps.
    text_from: usize,
    out_from: usize,
    nodes_from: u32,
    spoiled: bool,
}

impl Recorder {
    /// For a record that begins here in the text and, with its number, there in the message.
    pub(super) fn new(text_from: usize, out_from: usize, nodes_from: u32) -> Self {
        let (steps, opened) = (Vec::new(), Vec::new());
        Self { steps, opened, begins: text_from, text_from, out_from, nodes_from, spoiled: false }
    }

    /// The record has something that cannot be told from its text alone. Nothing more is noted of it.
    pub(super) fn spoil(&mut self) {
        self.spoiled = true;
    }

    /// A message begins.
    pub(super) fn open(&mut self, content: usize) {
        if self.spoiled {
            return;
        }
        self.opened.push((content, self.steps.len()));
        self.spoiled |= self.opened.len() > DEPTH_MAX;
    }

    /// A message is about to end where the whole has `length` bytes.
    pub(super) fn ends(&mut self, length: usize) {
        // One without a value is the same in each record.
        let has_value = self.opened.last().is_some_and(|(_, steps)| *steps < self.steps.len());
        self.spoiled |= has_value && length != self.out_from;
    }

    /// It has ended, and the whole has `length` bytes now.
    pub(super) fn close(&mut self, length: usize) {
        if !self.spoiled
            && let Some((_, steps)) = self.opened.pop()
            && steps < self.steps.len()
            && let Some(last) = self.steps.last_mut()
        {
            last.closes += 1;
            self.out_from = length;
        }
    }

    /// A field was read whose value begins there in the text, and there in the message.
    pub(super) fn value(
        &mut self,
        field: &'static Field,
        text: &Text<'_>,
        text_at: usize,
        out: &Message,
        out_at: usize,
    ) {
        self.spoiled |= text.at() - self.begins > TEXT_BYTES_MAX;
        if self.spoiled {
            return;
        }
        let (literal, written) = (text.between(self.text_from, text_at), out.between(self.out_from, out_at));
        let steps = self.steps.len();
        let opens =
            self.opened.iter().filter(|(_, before)| *before == steps).map(|(content, _)| content - self.out_from);
        let opens = opens.collect();
        self.steps.push(Step { literal: literal.into(), written: written.into(), opens, field, length: 0, closes: 0 });
        (self.text_from, self.out_from) = (text.at(), out.len());
    }

    /// The record has been read up to here, and is about to end.
    fn finish(self, text: &Text<'_>, out: &Message, nodes: u32) -> Option<Shape> {
        let is_long = text.at() - self.begins > TEXT_BYTES_MAX;
        if is_long || self.spoiled || self.steps.is_empty() || self.opened.len() != 1 {
            return None;
        }
        Some(Shape {
            steps: self.steps,
            literal: text.between(self.text_from, text.at()).into(),
            written: out.between(self.out_from, out.len()).into(),
            nodes: nodes - self.nodes_from,
        })
    }
}
