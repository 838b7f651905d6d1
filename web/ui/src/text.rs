//! Strangers' text made fit for a page: escaped, long ids folded in the middle, long values cut; and times, lengths and
//! states as people read them. The only place that makes HTML out of text; templates escape everything else themselves.
use std::fmt::{self, Write};

use jiff::{SpanRound, Timestamp, Unit};
use serde_json::Value as Json;

/// Finished HTML: all text in it has been escaped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Markup(String);

impl Markup {
    /// Takes HTML that this crate has made.
    pub(crate) fn new(html: String) -> Self {
        Markup(html)
    }

    /// The HTML.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Markup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl askama::filters::HtmlSafe for Markup {}

/// From how many characters on a run of letters and digits is an id to be folded.
const ID_MIN: usize = 20;

/// From how many characters on any word is folded, so that nothing pushes a page apart.
const WORD_MIN: usize = 72;

/// How much of a value is shown before "show all".
pub(crate) const VALUE_MAX: usize = 2_000;

/// How much of a sentence is shown in a list.
const SENTENCE_MAX: usize = 400;

/// Text for HTML, in elements and in attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Controls and direction overrides would let a value dress up as something else.
            '\n' | '\t' => out.push(character),
            c if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => {
                out.push('\u{fffd}');
            }
            c => out.push(c),
        }
    }
    out
}

/// The first characters, and an ellipsis where there were more.
pub(crate) fn cut(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        None => text.to_owned(),
        Some(_) => text.chars().take(characters.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// A word without its middle: `0xb7b186…af1390`.
pub(crate) fn shorten(word: &str, head: usize, tail: usize) -> String {
    let count = word.chars().count();
    if count <= head + tail + 1 {
        return word.to_owned();
    }
    word.chars().take(head).chain(['…']).chain(word.chars().skip(count - tail)).collect()
}

/// A sentence with its ids folded; the whole of each is its title.
pub(crate) fn fold(text: &str) -> Markup {
    let text = cut(text, SENTENCE_MAX);
    let mut html = String::new();
    for (number, word) in text.split(' ').enumerate() {
        if number > 0 {
            html.push(' ');
        }
        word_into(&mut html, word);
    }
    Markup(html)
}

/// A sentence with its ids shortened, as plain text.
pub(crate) fn fold_plain(text: &str) -> String {
    let text = cut(text, SENTENCE_MAX);
    let words = text.split(' ').map(|word| match id_in(word) {
        Some((start, end)) => format!("{}{}{}", &word[..start], shorten(&word[start..end], 8, 6), &word[end..]),
        None => shorten(word, 48, 16),
    });
    words.collect::<Vec<_>>().join(" ")
}

fn word_into(html: &mut String, word: &str) {
    match id_in(word) {
        Some((start, end)) => {
            let id = &word[start..end];
            let _ = write!(
                html,
                "{}<span class=\"id\" title=\"{}\">{}</span>{}",
                escape(&shorten(&word[..start], 24, 16)),
                escape(id),
                escape(&shorten(id, 8, 6)),
                escape(&shorten(&word[end..], 24, 16))
            );
        }
        None if word.chars().count() >= WORD_MIN => {
            let _ =
                write!(html, "<span class=\"id\" title=\"{}\">{}</span>", escape(word), escape(&shorten(word, 40, 12)));
        }
        None => html.push_str(&escape(word)),
    }
}

/// Where in a word a hash, address or key stands: a long run of letters and digits, at least one a digit.
fn id_in(word: &str) -> Option<(usize, usize)> {
    let path = word.starts_with('/') || word.contains("://");
    let belongs = |c: char| c.is_ascii_alphanumeric() || c == '+' || (c == '/' && !path);
    let mut start = 0;
    let mut best = None;
    let bytes = word.len();
    for (at, c) in word.char_indices().chain([(bytes, '\0')]) {
        if !belongs(c) {
            let run = &word[start..at];
            if run.len() >= ID_MIN && run.bytes().any(|byte| byte.is_ascii_digit()) {
                let padding = word[at..].bytes().take_while(|byte| *byte == b'=').count();
                best = Some((start, at + padding));
                break;
            }
            start = at + c.len_utf8().min(bytes.saturating_sub(at));
        }
    }
    best
}

/// A value of an event: whole while it is short, cut with a way to all of it otherwise. An empty address: no way.
pub(crate) fn value(text: &str, all: &str) -> Markup {
    let count = text.chars().count();
    if count <= VALUE_MAX || all == SHOW_ALL {
        return Markup(escape(text));
    }
    let mut html = escape(&cut(text, VALUE_MAX));
    if !all.is_empty() {
        let _ = write!(html, " <a class=\"all\" href=\"{}\">show all {count} characters</a>", escape(all));
    }
    Markup(html)
}

/// What [`value`] takes when nothing is to be cut.
pub(crate) const SHOW_ALL: &str = "\0all";

/// A JSON value as a person reads it.
pub(crate) fn plain(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Nanoseconds since the epoch; 0 where the text is no time.
pub(crate) fn nanos(text: &str) -> i128 {
    text.parse::<Timestamp>().map_or(0, Timestamp::as_nanosecond)
}

/// The time of day to the millisecond.
pub(crate) fn clock(text: &str) -> String {
    text.get(11..23).unwrap_or(text).to_owned()
}

/// The time of day to the microsecond: what tells an effect from its cause.
pub(crate) fn fine_clock(text: &str) -> String {
    text.get(11..26).unwrap_or(text).to_owned()
}

/// A point in time: the time of day, with its date where that is not today's. UTC; the page may turn it to local time.
pub(crate) fn when(text: &str) -> Markup {
    let (Some(day), Some(time)) = (text.get(..10), text.get(11..19)) else { return Markup(escape(text)) };
    let today = Timestamp::now().to_string();
    let shown = if today.get(..10) == Some(day) { time.to_owned() } else { format!("{day} {time}") };
    Markup(format!("<time datetime=\"{0}\" title=\"{0}\">{1}</time>", escape(text), escape(&shown)))
}

/// How long ago that was: `4 min ago`.
pub(crate) fn ago(text: &str) -> Markup {
    if text.is_empty() {
        return Markup("never".to_owned());
    }
    let past = Timestamp::now().as_nanosecond() - nanos(text);
    Markup(format!(
        "<time class=\"ago\" datetime=\"{0}\" title=\"{0}\">{1}</time>",
        escape(text),
        length(past) + " ago"
    ))
}

/// A length of time in one unit: `12 s`, `4 min`, `3 h`, `2 d`.
pub(crate) fn length(nanos: i128) -> String {
    let seconds = i64::try_from(nanos / 1_000_000_000).unwrap_or(0).max(0);
    match seconds {
        s if s < 90 => format!("{s} s"),
        s if s < 90 * 60 => format!("{} min", s / 60),
        s if s < 48 * 3_600 => format!("{} h", s / 3_600),
        s => format!("{} d", s / 86_400),
    }
}

/// A signed difference as exact as it needs to be: `+168.8 µs`.
pub(crate) fn delta(nanos: i128) -> String {
    let sign = if nanos < 0 { "−" } else { "+" };
    let nanos = nanos.unsigned_abs();
    match nanos {
        0 => "0".to_owned(),
        n if n < 1_000 => format!("{sign}{n} ns"),
        n if n < 1_000_000 => format!("{sign}{:.1} µs", n as f64 / 1e3),
        n if n < 1_000_000_000 => format!("{sign}{:.1} ms", n as f64 / 1e6),
        n if n < 120_000_000_000 => format!("{sign}{:.3} s", n as f64 / 1e9),
        n if n < 7_200_000_000_000 => format!("{sign}{:.1} min", n as f64 / 6e10),
        n => format!("{sign}{:.1} h", n as f64 / 3.6e12),
    }
}

/// A length as rules are written: `1m 30s`.
pub(crate) fn span(duration: std::time::Duration) -> String {
    let whole = jiff::SignedDuration::try_from(duration).ok().and_then(|duration| {
        let round = SpanRound::new().largest(Unit::Hour).smallest(Unit::Millisecond).days_are_24_hours();
        jiff::Span::try_from(duration).ok()?.round(round).ok()
    });
    let Some(whole) = whole else { return format!("{} s", duration.as_secs()) };
    let parts = [
        (i64::from(whole.get_hours()), "h"),
        (whole.get_minutes(), "min"),
        (whole.get_seconds(), "s"),
        (whole.get_milliseconds(), "ms"),
    ];
    let said: Vec<String> =
        parts.iter().filter(|(count, _)| *count != 0).map(|(count, unit)| format!("{count} {unit}")).collect();
    if said.is_empty() { "0 s".to_owned() } else { said.join(" ") }
}

/// A number with its thousands apart.
pub(crate) fn number(count: &i64) -> String {
    let digits = count.unsigned_abs().to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    if *count < 0 { format!("−{out}") } else { out }
}

/// A state as shape and word; colour comes from the class.
pub(crate) fn state(name: &str) -> Markup {
    let (glyph, word) = match name {
        "open" => ("●", "open"),
        "acknowledged" => ("◐", "acknowledged"),
        "resolved" => ("✓", "resolved"),
        "late_resolved" => ("⧖", "late"),
        "retracted" => ("⟲", "retracted"),
        "closed" => ("○", "closed"),
        "half_open" => ("◑", "half-open"),
        "delivered" => ("✓", "delivered"),
        "pending" => ("…", "waiting"),
        "failed" => ("✗", "given up"),
        "superseded" => ("⟲", "superseded"),
        "firing" => ("●", "firing"),
        "quiet" => ("✓", "quiet"),
        "unexercised" => ("?", "never exercised"),
        "disabled" => ("–", "disabled"),
        "shadow" => ("◌", "shadow"),
        "measure" => ("◌", "measure"),
        "live" => ("●", "heard"),
        "silent" => ("◌", "silent"),
        "never" => ("–", "not heard"),
        "violated" => ("●", "broken"),
        "late" => ("⧖", "came late"),
        other => ("?", other),
    };
    Markup(format!(
        "<span class=\"state {}\"><span aria-hidden=\"true\">{glyph}</span> {}</span>",
        escape(name),
        escape(word)
    ))
}

/// A severity: a bar of as many marks as it is severe, and the word.
pub(crate) fn severity(name: &str) -> Markup {
    let marks = match name {
        "critical" => "▰▰▰▰",
        "high" => "▰▰▰▱",
        "medium" => "▰▰▱▱",
        "low" => "▰▱▱▱",
        _ => "▱▱▱▱",
    };
    Markup(format!(
        "<span class=\"sev {0}\"><span class=\"bar\" aria-hidden=\"true\">{marks}</span> {0}</span>",
        escape(name)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "8dcf30d942f9d5752e0b9de213a58b43a98ae2a96d4a479c3a3eddde36d4ee1a";

    #[test]
    fn ids_in_a_sentence_are_folded_and_stay_readable_whole() {
        let folded = fold(&format!("n1: batch {HASH}, stored"));
        assert_eq!(
            folded.as_str(),
            format!("n1: batch <span class=\"id\" title=\"{HASH}\">8dcf30d9…d4ee1a</span>, stored")
        );
        assert_eq!(fold_plain(&format!("batch {HASH}.")), "batch 8dcf30d9…d4ee1a.");
        let unit = "q9d735QYY7O0SsKkHQPuzCRV5WmxuI8OIiQEroKcWNI=";
        assert!(fold(unit).as_str().contains(&format!("title=\"{unit}\"")), "the padding belongs to the id");
    }

    #[test]
    fn names_are_not_taken_for_ids() {
        for name in
            ["quorum_store.batch.generator_notified", "nothing-taken-without-generator", "http://example.org/a/b1"]
        {
            assert_eq!(fold(name).as_str(), name);
        }
    }

    #[test]
    fn hostile_text_stays_text() {
        let html = fold("<script>alert(1)</script> \"'& \u{202e}evil \u{7}");
        assert_eq!(html.as_str(), "&lt;script&gt;alert(1)&lt;/script&gt; &quot;&#39;&amp; \u{fffd}evil \u{fffd}");
        let long = "<b>".repeat(100);
        assert!(!fold(&long).as_str().contains("<b>"));
        assert!(fold(&"x".repeat(100_000)).as_str().len() < 2_000);
        assert!(fold(&"ü".repeat(90)).as_str().contains('…'));
    }

    #[test]
    fn long_values_are_cut_and_say_how_long_they_are() {
        let long = "a".repeat(5_000);
        assert!(
            value(&long, "/x?a=1&b=2")
                .as_str()
                .ends_with("<a class=\"all\" href=\"/x?a=1&amp;b=2\">show all 5000 characters</a>")
        );
        assert_eq!(value(&long, SHOW_ALL).as_str(), long);
        assert_eq!(value("short", "/x").as_str(), "short");
    }

    #[test]
    fn lengths_and_numbers_read_well() {
        assert_eq!(span(std::time::Duration::from_millis(90_500)), "1 min 30 s 500 ms");
        assert_eq!(span(std::time::Duration::from_secs(86_400)), "24 h");
        assert_eq!(delta(168_800), "+168.8 µs");
        assert_eq!(delta(-5_200_000_000), "−5.200 s");
        assert_eq!(number(&1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(length(250_000_000_000), "4 min");
    }
}
