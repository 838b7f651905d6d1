//! Strings: plain ones stay where they stand, those with escapes are put together anew.
use super::{Stopped, Text};
use crate::Fault;

impl<'a> Text<'a> {
    /// Reads a string, which is UTF-8; its opening quote was seen.
    #[inline(always)]
    pub(crate) fn string(&mut self) -> Result<&[u8], Stopped> {
        match self.plain_string() {
            Some(string) => Ok(string),
            None => self.any_string(),
        }
    }

    /// Reads a string if one stands right here, in ASCII and without escapes.
    #[inline(always)]
    pub(crate) fn plain_string(&mut self) -> Option<&'a [u8]> {
        if self.bytes.get(self.at) != Some(&b'"') {
            return None;
        }
        let from = self.at + 1;
        let (end, is_ascii) = plain(self.bytes, from);
        if self.bytes.get(end) != Some(&b'"') || !is_ascii {
            return None;
        }
        self.at = end + 1;
        self.bytes.get(from..end)
    }

    /// Reads a string if one of that length stands right here, in ASCII and without escapes: that takes less than to look for
    /// its end.
    #[inline(always)]
    pub(crate) fn plain_string_of(&mut self, length: usize) -> Option<&'a [u8]> {
        let [b'"', rest @ ..] = self.bytes.get(self.at..)? else { return None };
        let (string, [b'"', ..]) = rest.split_at_checked(length)? else { return None };
        if !is_plain(string) {
            return None;
        }
        self.at += length + 2;
        Some(string)
    }

    #[inline(never)]
    fn any_string(&mut self) -> Result<&[u8], Stopped> {
        let from = self.at + 1;
        let (end, _) = plain(self.bytes, from);
        match self.bytes.get(end) {
            Some(b'"') => {
                self.at = end + 1;
                self.unicode(from, self.bytes.get(from..end).unwrap_or_default())
            }
            Some(b'\\') => self.escaped(from, end),
            Some(_) => self.stop_at(end, Fault::Json("a string holds a control character".to_owned())),
            None => self.stop_at(end, Fault::Json("the text ends too early".to_owned())),
        }
    }

    #[inline(never)]
    fn unicode(&mut self, from: usize, string: &'a [u8]) -> Result<&'a [u8], Stopped> {
        match str::from_utf8(string) {
            Ok(_) => Ok(string),
            Err(error) => self.stop_at(from + error.valid_up_to(), Fault::Utf8),
        }
    }

    /// Goes on with a string at its first escape.
    #[inline(never)]
    fn escaped(&mut self, from: usize, escape: usize) -> Result<&[u8], Stopped> {
        self.unescaped.clear();
        let (mut run, mut end) = (from, escape);
        loop {
            self.unescaped.extend_from_slice(self.bytes.get(run..end).unwrap_or_default());
            self.at = end;
            match self.bytes.get(end) {
                Some(b'"') => break,
                Some(b'\\') => run = self.escape()?,
                Some(_) => return self.wrong("a string holds a control character"),
                None => return self.wrong(""),
            }
            end = plain(self.bytes, run).0;
        }
        self.at = end + 1;
        // Escapes are ASCII, and stand for whole characters: what is between them is UTF-8 if all of it is.
        self.unicode(from, self.bytes.get(from..end).unwrap_or_default())?;
        Ok(&self.unescaped)
    }

    /// Unescapes one escape; says where it ends.
    fn escape(&mut self) -> Result<usize, Stopped> {
        let plain = match self.bytes.get(self.at + 1) {
            Some(byte @ (b'"' | b'\\' | b'/')) => *byte,
            Some(b'b') => 0x08,
            Some(b'f') => 0x0c,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => return self.unicode_escape(),
            _ => return self.wrong("there is no such escape"),
        };
        self.unescaped.push(plain);
        Ok(self.at + 2)
    }

    fn unicode_escape(&mut self) -> Result<usize, Stopped> {
        let unit = |at: usize| match self.bytes.get(at..at + 6)? {
            [b'\\', b'u', digits @ ..] => {
                digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)?))
            }
            _ => None,
        };
        let Some(first) = unit(self.at) else { return self.wrong("an escape needs four hex digits") };
        let (code, length) = match first {
            // Two surrogates are one character beyond the first 2^16 (RFC 8259, section 7).
            0xd800..=0xdbff => match unit(self.at + 6) {
                Some(second @ 0xdc00..=0xdfff) => (0x1_0000 + ((first - 0xd800) << 10 | (second - 0xdc00)), 12),
                _ => return self.wrong("half of a surrogate pair is no character"),
            },
            _ => (first, 6),
        };
        let Some(character) = char::from_u32(code) else {
            return self.wrong("half of a surrogate pair is no character");
        };
        self.unescaped.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(self.at + length)
    }
}

const HIGH: u64 = 0x8080_8080_8080_8080;

/// The high bits of those of eight bytes that are a quote, a backslash or a control character. Of several only the lowest is
/// certain.
#[inline(always)]
fn special(eight: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // A byte below another borrows from its high bit. The lowest that did so tells no lie, and others do not matter.
    let control = eight.wrapping_sub(ONES * 0x20);
    let is = |byte: u8| (eight ^ (ONES * u64::from(byte))).wrapping_sub(ONES);
    (control | is(b'"') | is(b'\\')) & !eight & HIGH
}

/// Whether all bytes are characters in ASCII, and none is a quote, a backslash or a control character.
#[inline(always)]
fn is_plain(bytes: &[u8]) -> bool {
    let (eights, rest) = bytes.as_chunks::<8>();
    let odd = |eight: u64| special(eight) | eight & HIGH;
    let seen = eights.iter().fold(0, |seen, eight| seen | odd(u64::from_le_bytes(*eight)));
    // The last eight or four overlap with what was seen; that is cheaper than to go by single bytes.
    let last = if let Some(last) = bytes.last_chunk::<8>() {
        u64::from_le_bytes(*last)
    } else if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32
    } else {
        rest.iter().fold(0x2020_2020_2020_2020, |last, byte| last << 8 | u64::from(*byte))
    };
    seen | odd(last) == 0
}

/// Where a string's plain characters from there on end: at a quote, a backslash, a control character or the end; and
/// whether they are ASCII, or may not be.
#[inline(always)]
fn plain(bytes: &[u8], from: usize) -> (usize, bool) {
    let (mut at, mut seen) = (from, 0);
    while let Some(eight) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let eight = u64::from_le_bytes(*eight);
        seen |= eight;
        let special = special(eight);
        if special != 0 {
            return (at + special.trailing_zeros() as usize / 8, seen & HIGH == 0);
        }
        at += 8;
    }
    while let Some(byte) = bytes.get(at)
        && !matches!(byte, b'"' | b'\\' | 0..0x20)
    {
        seen |= u64::from(*byte);
        at += 1;
    }
    (at, seen & HIGH == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn string(text: &[u8]) -> Result<Vec<u8>, (usize, Fault)> {
        let mut text = Text::new(text);
        match text.string().map(<[u8]>::to_vec) {
            Ok(string) => Ok(string),
            Err(Stopped) => Err((text.at(), text.into_fault().unwrap())),
        }
    }

    proptest! {
        #[test]
        fn a_string_is_what_serde_json_reads(text in "(\\\\[bfnrt\"/\\\\]|\\\\u[0-9a-f]{4}|[ -~&&[^\"\\\\]]|é|😀){0,40}") {
            let quoted = format!("\"{text}\"");
            let theirs = serde_json::from_str::<String>(&quoted);
            prop_assert_eq!(string(quoted.as_bytes()).ok(), theirs.ok().map(String::into_bytes));
        }

        #[test]
        fn a_string_ends_at_its_quote_wherever_that_stands(length in 0usize..40, at in 0usize..40, byte in any::<u8>()) {
            let mut text = vec![b'"'];
            text.extend(std::iter::repeat_n(b'x', length));
            if at < length {
                text[at + 1] = byte;
            }
            text.extend_from_slice(b"\"....................");
            let theirs = serde_json::Deserializer::from_slice(&text).into_iter::<String>().next().unwrap();
            prop_assert_eq!(string(&text).ok(), theirs.ok().map(String::into_bytes));
        }
    }

    proptest! {
        #[test]
        fn a_string_whose_length_is_known_is_the_string_that_is_looked_for(
            text in prop_oneof!["[ -~]{0,40}", "[ -~\"\\\\é\u{7f}\n]{0,20}"],
            length in prop_oneof![3 => Just(None), 1 => (0usize..40).prop_map(Some)],
        ) {
            let quoted = format!("\"{text}\" ");
            let length = length.unwrap_or(text.len());
            let (mut known, mut looked_for) = (Text::new(quoted.as_bytes()), Text::new(quoted.as_bytes()));
            let wanted = looked_for.plain_string().filter(|string| string.len() == length);
            prop_assert_eq!(known.plain_string_of(length), wanted);
            prop_assert_eq!(known.at(), wanted.map_or(0, |_| looked_for.at()));
        }
    }

    #[test]
    fn escapes_are_characters_and_halves_of_pairs_are_none() {
        assert_eq!(
            string(br#""a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00z""#).unwrap(),
            "a\"\\/\u{8}\u{c}\n\r\té😀z".as_bytes()
        );
        for (text, at) in [
            (&br#""ab\ud800""#[..], 3),
            (br#""\udc00\ud800""#, 1),
            (br#""\ud800\ud800""#, 1),
            (br#""\ud800x""#, 1),
            (br#""\u12g4""#, 1),
            (br#""\u12"#, 1),
            (br#""\x""#, 1),
            (br#""\"#, 1),
            (b"\"a\nb\"", 2),
            (b"\"abcdefghij", 11),
        ] {
            let (offset, fault) = string(text).unwrap_err();
            assert!(offset == at && matches!(fault, Fault::Json(_)), "{}: {offset}", String::from_utf8_lossy(text));
        }
        assert_eq!(string(b"\"abc\xff\""), Err((4, Fault::Utf8)));
        assert_eq!(string(b"\"\\nabc\xff\""), Err((6, Fault::Utf8)));
    }
}
