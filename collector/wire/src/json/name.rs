//! Names of members that are expected, compared where they stand.

/// A name of an object's member that is expected.
pub(crate) struct Name {
    pub(crate) text: &'static str,
    /// The first eight bytes of the name and its closing quote.
    head: u64,
    /// Which of the eight it has.
    mask: u64,
    /// The last eight bytes of a longer one.
    tail: u64,
}

impl Name {
    pub(crate) const fn new(text: &'static str) -> Self {
        let bytes = text.as_bytes();
        let (mut head, mut mask, mut tail, mut at) = ([0; 8], [0; 8], [0; 8], 0);
        while at <= bytes.len() {
            let byte = if at < bytes.len() { bytes[at] } else { b'"' };
            if at < 8 {
                (head[at], mask[at]) = (byte, 0xff);
            }
            if at + 7 >= bytes.len() {
                tail[at + 7 - bytes.len()] = byte;
            }
            at += 1;
        }
        let [head, mask, tail] = [u64::from_le_bytes(head), u64::from_le_bytes(mask), u64::from_le_bytes(tail)];
        Self { text, head, mask, tail }
    }

    /// Whether `bytes` begin with this name and a quote; `head` are the first eight of them.
    #[inline(always)]
    pub(super) fn begins(&self, head: u64, bytes: &[u8]) -> bool {
        head & self.mask == self.head && (self.text.len() < 8 || self.goes_on(bytes))
    }

    #[inline(always)]
    fn goes_on(&self, bytes: &[u8]) -> bool {
        let length = self.text.len() + 1;
        let tail = bytes.get(length - 8..).and_then(|rest| rest.first_chunk::<8>());
        tail.is_some_and(|tail| u64::from_le_bytes(*tail) == self.tail)
            && (length <= 16 || bytes.starts_with(self.text.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Text;

    #[test]
    fn names_are_told_apart_by_all_of_their_bytes() {
        let names = ["key", "seventh", "eighteen", "ninetynine", "droppedAttributesCount", "droppedAttributesCounts"];
        let names = names.map(Name::new);
        let which = |text: &str| Text::new(text.as_bytes()).one_of(&names, 4, |name| name);
        for (index, name) in names.iter().enumerate() {
            assert_eq!(which(&format!("\"{}\"", name.text)), Some(index));
            assert_eq!(which(&format!("\"{}\":1234567890", name.text)), Some(index));
            // Neither a byte less, nor one more, nor another.
            assert_eq!(which(&format!("\"{}", name.text)), None);
            assert_eq!(which(&format!("\"{}x\"", name.text)), None);
            for at in 0..name.text.len() {
                let mut other = name.text.as_bytes().to_vec();
                other[at] ^= 1;
                assert_eq!(which(&format!("\"{}\"", String::from_utf8(other).unwrap())), None);
            }
        }
    }
}
