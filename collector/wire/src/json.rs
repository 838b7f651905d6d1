//! JSON text (RFC 8259), read from front to back where it stands: no tree of it is built, and nothing is copied but strings
//! with escapes. It knows no schema.
//!
//! Every byte of a request passes through here, so plain strings are looked at eight bytes at a time, and names that are
//! expected are compared where they stand, before anybody has looked for their end.
mod name;
mod string;

use crate::Fault;
pub(crate) use name::Name;

/// How deep lists and objects may nest. Whoever reads a value owns a stack frame for each level.
const DEPTH_MAX: u32 = 127;

/// Reading has come to an end at a fault, which the [`Text`] knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stopped;

/// A text, and how far it is read.
pub(crate) struct Text<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: u32,
    /// The last string that had escapes, without them.
    unescaped: Vec<u8>,
    fault: Option<Fault>,
}

/// A number as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number<'a> {
    pub(crate) text: &'a [u8],
    /// Whether it has neither a fraction nor an exponent.
    pub(crate) is_whole: bool,
}

impl<'a> Text<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, depth: 0, unescaped: Vec::new(), fault: None }
    }

    /// How many bytes are read.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Goes back to where `at` was so much.
    pub(crate) fn back_to(&mut self, at: usize) {
        self.at = at;
    }

    /// Reads these bytes if they stand right here.
    #[inline(always)]
    pub(crate) fn pass<const N: usize>(&mut self, wanted: &[u8; N]) -> Option<()> {
        if self.bytes.get(self.at..)?.first_chunk::<N>()? != wanted {
            return None;
        }
        self.at += N;
        Some(())
    }

    /// Reads these bytes if they stand right here.
    #[inline]
    pub(crate) fn pass_all(&mut self, wanted: &[u8]) -> Option<()> {
        if !self.bytes.get(self.at..)?.starts_with(wanted) {
            return None;
        }
        self.at += wanted.len();
        Some(())
    }

    /// The byte right here; 0 at the end.
    #[inline]
    pub(crate) fn here(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or_default()
    }

    /// Whether what stands right here, a digit, is a number of its own.
    #[inline]
    pub(crate) fn is_digit_alone(&self) -> bool {
        self.bytes.get(self.at + 1).is_some_and(|next| matches!(next, b',' | b'}' | b']'))
    }

    /// What stands between these places.
    pub(crate) fn between(&self, from: usize, to: usize) -> &'a [u8] {
        self.bytes.get(from..to).unwrap_or_default()
    }

    /// What reading stopped at.
    pub(crate) fn into_fault(self) -> Option<Fault> {
        self.fault
    }

    /// Stops here.
    #[cold]
    pub(crate) fn stop<T>(&mut self, fault: Fault) -> Result<T, Stopped> {
        self.stop_at(self.at, fault)
    }

    /// Stops there.
    #[cold]
    pub(crate) fn stop_at<T>(&mut self, at: usize, fault: Fault) -> Result<T, Stopped> {
        self.at = at;
        self.fault = Some(fault);
        Err(Stopped)
    }

    #[cold]
    fn wrong<T>(&mut self, what: &str) -> Result<T, Stopped> {
        let what = if self.at < self.bytes.len() { what } else { "the text ends too early" };
        self.stop(Fault::Json(what.to_owned()))
    }

    /// The next byte that is not white space, which stays to be read; 0 at the end.
    #[inline(always)]
    pub(crate) fn peek(&mut self) -> u8 {
        match self.bytes.get(self.at) {
            Some(byte) if *byte > b' ' => *byte,
            _ => self.peek_past_space(),
        }
    }

    #[inline(never)]
    fn peek_past_space(&mut self) -> u8 {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let space = rest.iter().position(|byte| !matches!(byte, b' ' | b'\n' | b'\r' | b'\t'));
        self.at += space.unwrap_or(rest.len());
        self.bytes.get(self.at).copied().unwrap_or_default()
    }

    /// Nothing but white space may be left.
    pub(crate) fn end(&mut self) -> Result<(), Stopped> {
        self.peek_past_space();
        if self.at < self.bytes.len() { self.wrong("nothing is expected here") } else { Ok(()) }
    }

    /// Reads the bracket that begins a list or an object; says whether something is in it.
    #[inline(always)]
    pub(crate) fn enter(&mut self, close: u8) -> Result<bool, Stopped> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return self.stop(Fault::TooDeep);
        }
        self.at += 1;
        if self.peek() != close {
            return Ok(true);
        }
        self.depth -= 1;
        self.at += 1;
        Ok(false)
    }

    /// Reads what follows an item or a member; says whether there is another one.
    #[inline(always)]
    pub(crate) fn more(&mut self, close: u8) -> Result<bool, Stopped> {
        match self.peek() {
            b',' => {
                self.at += 1;
                Ok(true)
            }
            byte if byte == close => {
                self.depth -= 1;
                self.at += 1;
                Ok(false)
            }
            _ if close == b']' => self.wrong("a comma or ] is expected here"),
            _ => self.wrong("a comma or } is expected here"),
        }
    }

    /// Reads a member's name if it is one of those that are expected, plainly written; says which. They are looked for from
    /// `first` on, then from the start: members mostly come in the order of their schema.
    #[inline(always)]
    pub(crate) fn one_of<T>(&mut self, names: &[T], first: usize, name: impl Fn(&T) -> &Name) -> Option<usize> {
        if self.peek() != b'"' {
            return None;
        }
        let rest = self.bytes.get(self.at + 1..)?;
        let head = match rest.first_chunk::<8>() {
            Some(eight) => u64::from_le_bytes(*eight),
            None => rest.iter().rev().fold(0, |head, byte| head << 8 | u64::from(*byte)),
        };
        let mut index = first;
        for _ in 0..names.len() {
            let candidate = match names.get(index) {
                Some(candidate) => name(candidate),
                None => {
                    index = 0;
                    name(names.first()?)
                }
            };
            if candidate.begins(head, rest) {
                self.at += candidate.text.len() + 2;
                return Some(index);
            }
            index += 1;
        }
        None
    }

    /// Reads a member's name.
    pub(crate) fn name(&mut self) -> Result<&[u8], Stopped> {
        if self.peek() == b'"' { self.string() } else { self.wrong("a name in quotes is expected here") }
    }

    /// Reads what stands between a member's name and its value.
    #[inline(always)]
    pub(crate) fn colon(&mut self) -> Result<(), Stopped> {
        if self.peek() != b':' {
            return self.wrong("a colon is expected here");
        }
        self.at += 1;
        Ok(())
    }

    /// Reads a number; its first byte, a digit or a minus, was seen.
    pub(crate) fn number(&mut self) -> Result<Number<'a>, Stopped> {
        let digits = |from: usize| {
            from + self.bytes.get(from..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit()).count()
        };
        let is_at = |at: usize, any: &[u8]| self.bytes.get(at).is_some_and(|byte| any.contains(byte));
        let first = self.at + usize::from(is_at(self.at, b"-"));
        let mut end = digits(first);
        let mut is_complete = end > first && (end == first + 1 || !is_at(first, b"0"));
        let whole = end;
        if is_at(end, b".") {
            let fraction = end + 1;
            end = digits(fraction);
            is_complete &= end > fraction;
        }
        if is_at(end, b"eE") {
            let exponent = end + 1 + usize::from(is_at(end + 1, b"+-"));
            end = digits(exponent);
            is_complete &= end > exponent;
        }
        if !is_complete {
            return self.wrong("this is no number");
        }
        let text = self.bytes.get(self.at..end).unwrap_or_default();
        self.at = end;
        Ok(Number { text, is_whole: end == whole })
    }

    /// Reads `true`, `false` or `null`.
    pub(crate) fn literal(&mut self, literal: &'static str) -> Result<(), Stopped> {
        if !self.bytes.get(self.at..).unwrap_or_default().starts_with(literal.as_bytes()) {
            return self.no_value();
        }
        self.at += literal.len();
        Ok(())
    }

    /// Stops where no value begins.
    #[cold]
    pub(crate) fn no_value<T>(&mut self) -> Result<T, Stopped> {
        self.wrong("a value is expected here")
    }

    /// Reads past a value of any kind. `count` is asked for each value in it.
    pub(crate) fn skip(&mut self, count: &mut impl FnMut() -> Result<(), Fault>) -> Result<(), Stopped> {
        if let Err(fault) = count() {
            return self.stop(fault);
        }
        match self.peek() {
            b'{' => {
                let mut more = self.enter(b'}')?;
                while more {
                    self.name()?;
                    self.colon()?;
                    self.skip(count)?;
                    more = self.more(b'}')?;
                }
                Ok(())
            }
            b'[' => {
                let mut more = self.enter(b']')?;
                while more {
                    self.skip(count)?;
                    more = self.more(b']')?;
                }
                Ok(())
            }
            b'"' => self.string().map(drop),
            b'-' | b'0'..=b'9' => self.number().map(drop),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            _ => self.no_value(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    /// Reads a whole text and throws it away.
    fn read(text: &[u8]) -> Result<(), (usize, Fault)> {
        let mut text = Text::new(text);
        let outcome = text.skip(&mut || Ok(())).and_then(|()| text.end());
        outcome.map_err(|Stopped| (text.at(), text.into_fault().unwrap()))
    }

    /// A document that may be one, or nearly.
    fn document() -> impl Strategy<Value = String> {
        let number = "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,2})?";
        let text = prop_oneof!["[ -~]{0,20}", ".{0,12}", "(\\\\[bfnrtu\"/\\\\x]|d[89]|[0-9a-f]{4}|a){0,8}"];
        let leaf = prop_oneof![
            number,
            "[-0-9.eE+]{1,4}",
            text.prop_map(|text| format!("\"{text}\"")),
            prop::sample::select(vec!["true", "false", "null", "nul", "True", ""]).prop_map(str::to_owned),
        ];
        let space = || "[ \t\n\r]{0,1}";
        leaf.prop_recursive(4, 24, 4, move |inner| {
            let item = (space(), inner, space()).prop_map(|(before, item, after)| before + &item + &after);
            let member = ("[a-c\\\\]{0,9}", space(), item.clone())
                .prop_map(|(key, space, item)| format!("{space}\"{key}\"{space}:{item}"));
            let comma = || prop_oneof![20 => Just(","), 1 => Just(""), 1 => Just(",,")];
            let list = (prop::collection::vec(item, 0..4), comma())
                .prop_map(|(items, comma)| format!("[{}]", items.join(comma)));
            let object = (prop::collection::vec(member, 0..4), comma())
                .prop_map(|(members, comma)| format!("{{{}}}", members.join(comma)));
            prop_oneof![list, object]
        })
    }

    proptest! {
        #[test]
        fn a_text_is_json_where_serde_json_takes_it(text in document(), cut in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut damaged = text.clone().into_bytes();
            if !damaged.is_empty() {
                let at = cut.index(damaged.len());
                damaged[at] = byte;
            }
            for text in [text.as_bytes(), &damaged] {
                match serde_json::from_slice::<Value>(text) {
                    Ok(_) => prop_assert_eq!(read(text), Ok(())),
                    // That no double is so large is a matter of the field, not of the text.
                    Err(error) if error.to_string().contains("out of range") => {}
                    Err(error) => prop_assert!(read(text).is_err(), "{}: {error}", String::from_utf8_lossy(text)),
                }
            }
        }

    }

    #[test]
    fn a_fault_is_told_with_its_place() {
        for (text, at, reason) in [
            ("", 0, "the text ends too early"),
            ("[1,", 3, "the text ends too early"),
            ("[1 2]", 3, "a comma or ] is expected here"),
            ("{\"a\":1]", 6, "a comma or } is expected here"),
            ("{\"a\" 1}", 5, "a colon is expected here"),
            ("{a:1}", 1, "a name in quotes is expected here"),
            ("[01]", 1, "this is no number"),
            ("[1.]", 1, "this is no number"),
            ("[nil]", 1, "a value is expected here"),
            ("[] x", 3, "nothing is expected here"),
        ] {
            assert_eq!(read(text.as_bytes()), Err((at, Fault::Json(reason.to_owned()))), "{text}");
        }
    }

    #[test]
    fn nesting_has_a_limit() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(read(nested(DEPTH_MAX as usize).as_bytes()), Ok(()));
        assert_eq!(read(nested(DEPTH_MAX as usize + 1).as_bytes()), Err((DEPTH_MAX as usize, Fault::TooDeep)));
        // Not the number of brackets counts, but how many are open.
        assert_eq!(read(format!("[{}[]]", "[],".repeat(1_000)).as_bytes()), Ok(()));
    }
}
