//! Words that other tools have for what a pack says otherwise. Who brings them along is told the word that is meant here.

/// A word as it is known elsewhere.
pub(crate) struct Meant {
    /// The fields that say it here; they are not missing as well.
    pub(crate) fields: &'static [&'static str],
    pub(crate) help: &'static str,
}

/// In what, under which words, the fields meant, and what to write.
const FIELDS: &[(&str, &[&str], &[&str], &str)] = &[
    (
        "pack",
        &["groups"],
        &["pack"],
        "rules of Prometheus are queries over samples; those of a pack are over events, a kind each: `pack: NAME` and `rules:`",
    ),
    (
        "pack",
        &["apiVersion", "kind", "metadata", "spec"],
        &["pack"],
        "a pack is no resource of Kubernetes: `pack: NAME`, `events:` and `rules:` stand at the beginning of a line",
    ),
    ("rule", &["alert", "name"], &["id"], "what a rule is called is its `id`"),
    ("rule", &["description"], &["about"], "what it is about is `about`; `message` says what is wrong"),
    (
        "rule",
        &["absent"],
        &[],
        "what must not fall silent is a `heartbeat`; what must follow something is a `response`, what must come before it a `precedence`",
    ),
    (
        "rule",
        &["threshold"],
        &[],
        "how many there may be is a `count` with `max`; a sum or a percentile is an `aggregate` with `assert`",
    ),
    (
        "pattern",
        &["filter", "condition", "if", "when", "match", "expr", "query", "selector"],
        &["where"],
        "a condition on the event is `where`",
    ),
    (
        "pattern",
        &["labels", "matchers", "match_labels", "matchLabels"],
        &["where"],
        "`where: namespace == \"x\"` asks for an attribute",
    ),
    ("during", &["from", "start", "since"], &["after"], "what opens the span is `after`"),
    ("during", &["to", "end", "before"], &["until"], "what ends the span is `until`"),
    (
        "rule",
        &["expr", "query"],
        &[],
        "a rule has a kind instead of a query: `never`, `always`, `response`, `count`, `aggregate` and others",
    ),
    (
        "rule",
        &["annotations", "summary"],
        &[],
        "`message` says what is wrong, with `{attribute}` in it; `about`, `runbook` and `runbook_url` stand beside it",
    ),
    (
        "aggregate",
        &["expr", "query"],
        &["terms", "assert"],
        "name what is measured under `terms` (`errors: {count: job.failed}`), and say in `assert` what holds of it",
    ),
    (
        "term",
        &["rate", "increase_over", "quantile", "percentile"],
        &[],
        "a rate is a `count` or a `sum` in a `window`, divided by its length; the 99th percentile is `p99: attribute` with `of: event`",
    ),
    ("count", &["equals", "exactly", "times"], &["min", "max"], "exactly one is `min: 1` with `max: 1`"),
    ("heartbeat", &["interval", "period", "timeout"], &["every"], "how often it must come is `every`"),
    ("response", &["timeout", "deadline"], &["within"], "how long it may take is `within`"),
    ("monotonic", &["direction"], &["order"], "which way it goes is `order`: increasing, nondecreasing and so on"),
    ("exclusive", &["lock", "acquire"], &["enter"], "what begins to hold is `enter`"),
    ("exclusive", &["unlock", "release"], &["exit"], "what ends it is `exit`"),
    ("exclusive", &["owner", "by"], &["holder"], "who holds is `holder`, an expression over the event"),
    ("consecutive", &["times", "max", "threshold"], &["count"], "how many in a row are too many is `count`"),
    (
        "consecutive",
        &["event", "of"],
        &["fail"],
        "`fail` is what must not come so often in a row, `ok` what ends the row",
    ),
    (
        "breaker",
        &["open_for", "reset_timeout", "timeout", "cooldown"],
        &["half_open_after"],
        "how long it stays open is `half_open_after`",
    ),
    (
        "breaker",
        &["when", "rules", "on", "threshold"],
        &["trip"],
        "what opens it is `trip`, with `rules`, a `count` and `within`",
    ),
];

/// What a field is called here that a part of a pack does not have, if that is known.
pub(crate) fn field(of: &str, word: &str) -> Option<Meant> {
    let known = FIELDS.iter().find(|(what, words, ..)| *what == of && words.contains(&word));
    known.map(|&(_, _, fields, help)| Meant { fields, help })
}

/// Which type of an attribute that is which is called so elsewhere.
pub(crate) fn kind(word: &str) -> Option<&'static str> {
    Some(match word.to_ascii_lowercase().as_str() {
        "integer" | "int32" | "int64" | "uint" | "uint32" | "uint64" | "i64" | "u64" | "u128" | "u256" | "long"
        | "bigint" => "int",
        "float" | "float32" | "float64" | "f32" | "f64" | "number" | "decimal" | "real" => "double",
        "str" | "text" | "keyword" | "varchar" | "uuid" => "string",
        "boolean" => "bool",
        "array" | "set" | "vec" => "list",
        "object" | "dict" | "struct" | "json" => "map",
        "blob" | "binary" | "hex" => "bytes",
        _ => return None,
    })
}

/// How severe something is here that is called so elsewhere.
pub(crate) fn severity(word: &str) -> Option<&'static str> {
    Some(match word.to_ascii_lowercase().as_str() {
        "page" | "fatal" | "emergency" | "alert" | "disaster" | "p1" | "sev1" => "critical",
        "error" | "major" | "p2" | "sev2" => "high",
        "warning" | "warn" | "average" | "p3" | "sev3" => "medium",
        "minor" | "notice" | "p4" | "sev4" => "low",
        "information" | "debug" | "none" | "p5" | "sev5" => "info",
        _ => return None,
    })
}

/// What to write in the place of a function that there is elsewhere.
pub(crate) fn function(name: &str) -> Option<&'static str> {
    Some(match name.to_ascii_lowercase().as_str() {
        "now" | "time" | "current_timestamp" => {
            "verdicts rest on events alone, which bear their time, `ts`; what must come in time is a `response` or a `heartbeat`"
        }
        "not" => "`not` is written `!`",
        "len" | "length" | "strlen" | "cardinality" => "write `size(x)`",
        "matches" | "match" | "regex" | "regexp" | "like" | "re_match" => "use startsWith, endsWith or contains",
        "coalesce" | "ifnull" | "nvl" | "default" => "write `has(x) ? x : 0`",
        "toint" | "parseint" | "tonumber" | "uint" => "write `int(x)`",
        "tostring" | "str" => "write `string(x)`",
        "lower" | "upper" | "tolower" | "toupper" | "lowerascii" | "upperascii" => "texts are compared as they are",
        _ => return None,
    })
}

/// Whether a function of that name looks over time elsewhere.
pub(crate) fn is_over_time(function: &str) -> bool {
    matches!(
        function,
        "rate"
            | "irate"
            | "increase"
            | "delta"
            | "sum"
            | "avg"
            | "count"
            | "histogram_quantile"
            | "quantile"
            | "absent"
    ) || function.ends_with("_over_time")
}

/// Whether what stands in doubled braces is a hole of another tool's template.
pub(crate) fn is_hole(text: &str) -> bool {
    text.trim_start().starts_with(['$', '.'])
}
