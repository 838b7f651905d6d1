//! Lengths of time that are not written as such, and what was probably meant.

/// Units as people write them, and as they are written here.
const UNITS: &[(&str, &[&str])] = &[
    ("ns", &["nano", "nanos", "nanosec", "nanosecond", "nanoseconds"]),
    ("us", &["micro", "micros", "microsec", "microsecond", "microseconds"]),
    ("ms", &["ms", "milli", "millis", "msec", "millisec", "millisecond", "milliseconds"]),
    ("s", &["s", "sec", "secs", "second", "seconds"]),
    ("m", &["m", "min", "mins", "minute", "minutes"]),
    ("h", &["h", "hr", "hrs", "hour", "hours"]),
    ("d", &["d", "day", "days"]),
];

/// `5s` for `5 sec`: a number and a unit in some other spelling.
pub(crate) fn meant(text: &str) -> Option<String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, word) = (text[..digits].trim_end_matches('.'), text[digits..].trim().to_ascii_lowercase());
    let (unit, _) = UNITS.iter().find(|(unit, words)| *unit == word || words.contains(&word.as_str()))?;
    let written = format!("{number}{unit}");
    engine::expr::parse_duration(&written).map(|_| written)
}

/// What is wrong with a text that is no length of time, and how to mend it.
pub(crate) fn refused(text: &str) -> (String, String) {
    if let Some(meant) = meant(text) {
        return (format!("`{text}` is not a duration"), format!("write `{meant}`, the unit right behind the number"));
    }
    if !text.is_empty() && text.chars().all(|c| c.is_ascii_digit()) {
        return (
            format!("`{text}` is not a duration: it has no unit"),
            format!("write `{text}ms`, `{text}s` or `{text}m`, whichever is meant"),
        );
    }
    let ticks = text.split_once(' ').is_some_and(|(number, unit)| {
        number.parse::<u64>().is_ok() && unit.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    });
    if ticks {
        let message = format!(
            "`{text}`: only `within` of a response, a precedence or around each event of a count is in ticks of a clock"
        );
        return (message, "write a duration such as `5s` or `1m`".to_owned());
    }
    let message =
        if text.is_empty() { "this is not a duration".to_owned() } else { format!("`{text}` is not a duration") };
    (message, "write a number and a unit: `250ms`, `5s`, `1m30s`, `24h`, `7d`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::meant;

    #[test]
    fn units_in_words_are_understood() {
        for (text, written) in
            [("5 sec", "5s"), ("2 Hours", "2h"), ("10min", "10m"), ("1.5 seconds", "1.5s"), ("7 days", "7d")]
        {
            assert_eq!(meant(text).as_deref(), Some(written), "{text}");
        }
        for text in ["4 height", "5", "", "sec", "5 parsecs"] {
            assert_eq!(meant(text), None, "{text}");
        }
    }
}
