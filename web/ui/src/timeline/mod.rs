//! One violation, or everything about one key, as marks by time: events where they happened, and the event that did not
//! come at its deadline. `draw` makes the picture of them; the pages make the table.
mod draw;
mod places;

use serde_json::Value as Json;
use store::ViolationRow;

use crate::text;

pub(crate) use draw::draw;

/// One mark, or the hole where one should be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mark {
    /// Its number in the drawing and in the table, from 1.
    pub(crate) number: usize,
    /// Nanoseconds since the epoch.
    pub(crate) ts: i128,
    /// The same, RFC 3339.
    pub(crate) stamp: String,
    /// Who sent it, or should have.
    pub(crate) node: String,
    pub(crate) component: String,
    pub(crate) event: String,
    pub(crate) role: String,
    /// Why it matters.
    pub(crate) why: String,
    /// From the first mark.
    pub(crate) delta: String,
    pub(crate) attrs: Vec<(String, String)>,
    pub(crate) trace: String,
    pub(crate) missing: bool,
    pub(crate) late: bool,
}

impl Mark {
    fn lane(&self) -> (&str, &str) {
        (&self.node, &self.component)
    }

    /// Whether a support had to come before, or an answer by its time.
    pub(crate) fn until(&self) -> &'static str {
        if matches!(self.role.as_str(), "requires" | "any" | "all") { "before" } else { "by" }
    }

    /// What it says beyond the key, as far as a row has room; long values stand below only.
    pub(crate) fn own(&self, key: &[(String, String)]) -> Vec<(String, String)> {
        let keyed = |name: &str| key.iter().any(|(part, _)| part == name);
        let own = self.attrs.iter().filter(|(name, value)| !keyed(name) && value.len() <= OWN_LENGTH_MAX);
        own.take(OWN_MAX).cloned().collect()
    }

    /// The time of day.
    pub(crate) fn clock(&self) -> String {
        text::fine_clock(&self.stamp)
    }
}

/// How many attributes a row shows beyond the key, and how long their values may be.
const OWN_MAX: usize = 6;
const OWN_LENGTH_MAX: usize = 100;

/// The event that a violation waited for.
pub(crate) fn missing_event(violation: &ViolationRow) -> Option<&str> {
    violation.missing.as_ref().and_then(|missing| missing["event"].as_str())
}

/// The marks of a violation, by time. `sender` is the component that sends what is missing, where that is known.
pub(crate) fn marks(violation: &ViolationRow, sender: Option<&str>) -> Vec<Mark> {
    let items = violation.evidence.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut marks: Vec<Mark> = items.iter().map(|item| mark(item, false)).collect();
    let late = violation.late.as_ref().filter(|late| late["ts"].is_string()).map(|late| mark(late, true));
    if let Some(missing) = &violation.missing {
        let text = |name: &str| missing[name].as_str().unwrap_or_default().to_owned();
        let key_node = violation.key["node"].as_str();
        let node =
            key_node.map_or_else(|| marks.first().map_or_else(String::new, |mark| mark.node.clone()), str::to_owned);
        let (node, component) = match (&late, sender) {
            (Some(late), _) => (late.node.clone(), late.component.clone()),
            (None, Some(sender)) => (node, sender.to_owned()),
            (None, None) => (node, String::new()),
        };
        let why = match (&late, text("role").as_str()) {
            (Some(_), _) => "expected by then",
            (None, "requires" | "any" | "all") => "expected before that, and did not come",
            (None, _) => "expected by then, and did not come",
        };
        marks.push(Mark {
            ts: text::nanos(&text("by")),
            stamp: text("by"),
            node,
            component,
            event: text("event"),
            role: text("role"),
            why: why.to_owned(),
            missing: true,
            ..Mark::default()
        });
    }
    marks.extend(late);
    numbered(marks)
}

/// The marks of events as the API shows them.
pub(crate) fn of_events(events: &[Json]) -> Vec<Mark> {
    numbered(events.iter().map(|event| mark(event, false)).collect())
}

fn numbered(mut marks: Vec<Mark>) -> Vec<Mark> {
    marks.sort_by_key(|mark| (mark.ts, mark.missing));
    let first = marks.first().map_or(0, |mark| mark.ts);
    for (at, mark) in marks.iter_mut().enumerate() {
        mark.number = at + 1;
        mark.delta = text::delta(mark.ts - first);
    }
    marks
}

fn mark(item: &Json, late: bool) -> Mark {
    let text = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
    let role = text("role");
    let why = match role.as_str() {
        _ if late => "came late",
        "when" => "trigger",
        "then" => "the answer",
        "broken_by" => "broke it at once",
        "unless" => "the excuse",
        "restart" => "the node started again",
        "dissent" => "differs",
        "since" => "opened the span",
        "fail" => "failure",
        "ok" => "success",
        "requires" => "support",
        "before" => "measured against this",
        "enter" => "took a hold",
        "close" => "closed the books",
        _ if role.strip_prefix("step").is_some_and(|number| number.parse::<u8>().is_ok()) => "step",
        "event" | "of" => "judged",
        _ => "context",
    };
    Mark {
        ts: text::nanos(&text("ts")),
        stamp: text("ts"),
        node: text("node"),
        component: text("component"),
        event: text("event"),
        role,
        why: why.to_owned(),
        attrs: item["attrs"]
            .as_object()
            .map(|attrs| attrs.iter().map(|(name, value)| (name.clone(), text::plain(value))).collect())
            .unwrap_or_default(),
        trace: text("trace_id"),
        late,
        ..Mark::default()
    }
}

/// How many differing attributes are listed.
const DIFFERENCES_MAX: usize = 8;

/// Where events that contradict one another differ: the attribute, and each mark's value of it.
pub(crate) fn differences(marks: &[Mark]) -> Vec<(String, Vec<(usize, String)>)> {
    if !marks.iter().any(|mark| mark.role == "dissent") {
        return Vec::new();
    }
    let votes: Vec<&Mark> = marks.iter().filter(|mark| !mark.missing && !mark.late).collect();
    let Some(first) = votes.first() else { return Vec::new() };
    let value =
        |mark: &Mark, name: &str| mark.attrs.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let mut found = Vec::new();
    for (name, _) in &first.attrs {
        let values: Vec<(usize, String)> =
            votes.iter().map(|mark| (mark.number, value(mark, name).unwrap_or_else(|| "absent".to_owned()))).collect();
        if values.iter().any(|(_, value)| *value != values[0].1) {
            found.push((name.clone(), values));
        }
    }
    found.truncate(DIFFERENCES_MAX);
    found
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::json;

    pub(crate) fn violation(evidence: Json, missing: Option<Json>, late: Option<Json>) -> ViolationRow {
        ViolationRow {
            id: "v".into(),
            incident: "i".into(),
            at: "2026-11-20T12:00:05.000000000Z".into(),
            detected_at: "2026-11-20T12:00:08.000000000Z".into(),
            state: "violated".into(),
            key: json!({"node": "n1"}),
            message: "m".into(),
            evidence,
            missing,
            late,
        }
    }

    pub(crate) fn event(role: &str, second: u32, component: &str) -> Json {
        json!({"role": role, "ts": format!("2026-11-20T12:00:{second:02}.000000000Z"), "node": "n1",
               "component": component, "event": "a.<b>.done", "attrs": {"x": "<script>", "at": second}})
    }

    #[test]
    fn the_event_that_did_not_come_stands_at_its_deadline_with_its_sender() {
        let missing = json!({"role": "then", "event": "a.answered", "by": "2026-11-20T12:00:05.000000000Z"});
        let marks = marks(&violation(json!([event("when", 0, "c")]), Some(missing), None), Some("answerer"));
        let last = marks.last().unwrap();
        assert_eq!((last.missing, last.delta.as_str(), last.number), (true, "+5.000 s", 2));
        assert_eq!(last.lane(), ("n1", "answerer"));
    }

    #[test]
    fn what_came_late_shows_who_should_have_been_in_time() {
        let missing = json!({"role": "then", "event": "a.answered", "by": "2026-11-20T12:00:05.000000000Z"});
        let late = event("then", 10, "d");
        let marks = marks(&violation(json!([event("when", 0, "c")]), Some(missing), Some(late)), Some("other"));
        assert_eq!(marks[1].lane(), ("n1", "d"));
        assert!(marks[2].late && marks[2].why == "came late");
    }

    #[test]
    fn contradictions_name_the_field_and_all_values() {
        let marks = marks(&violation(json!([event("event", 0, "c"), event("dissent", 1, "d")]), None, None), None);
        assert_eq!(differences(&marks), [("at".to_owned(), vec![(1, "0".to_owned()), (2, "1".to_owned())])]);
    }
}
