//! Writing protobuf (<https://protobuf.dev/programming-guides/encoding/>): just enough for what is rewritten.

use std::ops::Range;

/// Where a message that is being written inside another begins, and where its content does.
#[derive(Debug)]
pub(crate) struct Opened {
    field: usize,
    content: usize,
}

impl Opened {
    /// Where its content begins.
    pub(crate) fn content(&self) -> usize {
        self.content
    }
}

/// A message being written.
#[derive(Debug, Default)]
pub(crate) struct Message(Vec<u8>);

impl Message {
    #[inline]
    fn key(&mut self, field: u32, wire_type: u8) {
        self.varint_raw(u64::from(field << 3) | u64::from(wire_type));
    }

    #[inline]
    fn varint_raw(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    #[inline]
    pub(crate) fn varint(&mut self, field: u32, value: u64) {
        self.key(field, 0);
        self.varint_raw(value);
    }

    #[inline]
    pub(crate) fn fixed64(&mut self, field: u32, value: u64) {
        self.key(field, 1);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    #[inline]
    pub(crate) fn fixed32(&mut self, field: u32, value: u32) {
        self.key(field, 5);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    #[inline]
    pub(crate) fn bytes(&mut self, field: u32, value: &[u8]) {
        if field < 16 && value.len() < 0x80 {
            self.0.extend_from_slice(&[(field << 3 | 2) as u8, value.len() as u8]);
        } else {
            self.key(field, 2);
            self.varint_raw(value.len() as u64);
        }
        self.0.extend_from_slice(value);
    }

    pub(crate) fn message(&mut self, field: u32, message: &Message) {
        self.bytes(field, &message.0);
    }

    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Begins a message inside this one; what is written until [`Message::close`] belongs to it.
    #[inline]
    pub(crate) fn open(&mut self, field: u32) -> Opened {
        let before = self.0.len();
        // Most messages are shorter than 128 bytes: their length takes one.
        if field < 16 {
            self.0.extend_from_slice(&[(field << 3 | 2) as u8, 0]);
        } else {
            self.key(field, 2);
            self.0.push(0);
        }
        Opened { field: before, content: self.0.len() }
    }

    #[inline]
    pub(crate) fn close(&mut self, opened: Opened) {
        self.close_at(opened.content);
    }

    /// Ends a message whose content begins there.
    #[inline]
    pub(crate) fn close_at(&mut self, content: usize) {
        let length = self.0.len() - content;
        if length < 0x80 {
            self.0[content - 1] = length as u8;
        } else {
            self.lengthen(content, length);
        }
    }

    /// Writes what was written in the same way before.
    #[inline]
    pub(crate) fn write(&mut self, written: &[u8]) {
        self.0.extend_from_slice(written);
    }

    /// What is written between these places.
    pub(crate) fn between(&self, from: usize, to: usize) -> &[u8] {
        self.0.get(from..to).unwrap_or_default()
    }

    /// Takes back everything that was written from there on.
    pub(crate) fn truncate(&mut self, length: usize) {
        self.0.truncate(length);
    }

    /// Makes room for a length of several bytes, and writes it.
    #[inline(never)]
    fn lengthen(&mut self, content: usize, length: usize) {
        let mut prefix = [0; 10];
        let mut used = 0;
        let mut left = length;
        loop {
            prefix[used] = if left >= 0x80 { left as u8 | 0x80 } else { left as u8 };
            used += 1;
            left >>= 7;
            if left == 0 {
                break;
            }
        }
        self.0.extend_from_slice(&prefix[1..used]);
        self.0.copy_within(content..content + length, content + used - 1);
        self.0[content - 1..content - 1 + used].copy_from_slice(&prefix[..used]);
    }

    /// Takes back a message that was begun, and all that was written since.
    pub(crate) fn cancel(&mut self, opened: Opened) {
        self.0.truncate(opened.field);
    }

    /// Takes back everything, and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Takes back what was written there.
    pub(crate) fn remove(&mut self, range: Range<usize>) {
        self.0.drain(range);
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}
