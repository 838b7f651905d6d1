//! The picture of one violation: a lane per component, events as marks, and the event that did not come at its deadline.
use std::fmt::Write;

use serde_json::Value as Json;
use store::ViolationRow;

/// One mark, or the hole where one should be.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    /// Nanoseconds since the epoch.
    pub(crate) ts: i128,
    pub(crate) time: String,
    pub(crate) lane: String,
    pub(crate) event: String,
    pub(crate) role: String,
    /// Why it matters.
    pub(crate) why: &'static str,
    pub(crate) delta: String,
    pub(crate) attrs: Vec<(String, String)>,
    pub(crate) trace: String,
    pub(crate) missing: bool,
    pub(crate) late: bool,
}

/// The marks of a violation, by time.
pub(crate) fn marks(violation: &ViolationRow) -> Vec<Mark> {
    let mut marks: Vec<Mark> = Vec::new();
    let items = violation.evidence.as_array().map(Vec::as_slice).unwrap_or_default();
    marks.extend(items.iter().map(|item| mark(item, false)));
    if let Some(late) = violation.late.as_ref().filter(|late| late.is_object()) {
        marks.push(mark(late, true));
    }
    if let Some(missing) = &violation.missing {
        let text = |name: &str| missing[name].as_str().unwrap_or_default().to_owned();
        let by = text("by");
        marks.push(Mark {
            ts: nanos(&by),
            time: clock(&by),
            lane: "nobody".to_owned(),
            event: text("event"),
            role: text("role"),
            why: "expected, did not come",
            delta: String::new(),
            attrs: Vec::new(),
            trace: String::new(),
            missing: true,
            late: false,
        });
    }
    marks.sort_by_key(|mark| (mark.ts, mark.missing));
    let first = marks.first().map_or(0, |mark| mark.ts);
    for mark in &mut marks {
        mark.delta = delta(mark.ts - first);
    }
    marks
}

fn mark(item: &Json, late: bool) -> Mark {
    let text = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
    let ts = text("ts");
    let role = text("role");
    let why = match role.as_str() {
        _ if late => "came late",
        "when" => "trigger",
        "restart" => "restart of the node",
        "dissent" => "differs",
        "since" => "opened the span",
        "fail" => "failure",
        "before" => "measured against this",
        "enter" => "took a hold",
        "close" => "closed the books",
        _ if role.strip_prefix("step").is_some_and(|number| number.parse::<u8>().is_ok()) => "step",
        _ => "evidence",
    };
    Mark {
        ts: nanos(&ts),
        time: clock(&ts),
        lane: format!("{} {}", text("node"), text("component")).trim().to_owned(),
        event: text("event"),
        role,
        why,
        delta: String::new(),
        attrs: item["attrs"]
            .as_object()
            .map(|attrs| attrs.iter().map(|(name, value)| (name.clone(), plain(value))).collect())
            .unwrap_or_default(),
        trace: text("trace_id"),
        missing: false,
        late,
    }
}

/// A JSON value as a person reads it, cut where it would bury the rest.
pub(crate) fn plain(value: &Json) -> String {
    let text = match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    if text.chars().count() > 2_000 { text.chars().take(2_000).chain(['…']).collect() } else { text }
}

pub(crate) fn nanos(text: &str) -> i128 {
    text.parse::<jiff::Timestamp>().map_or(0, |ts| ts.as_nanosecond())
}

/// The time of day, to the millisecond and without trailing noise.
pub(crate) fn clock(text: &str) -> String {
    text.get(11..23).unwrap_or(text).to_owned()
}

pub(crate) fn delta(nanos: i128) -> String {
    let sign = if nanos < 0 { "-" } else { "+" };
    let nanos = nanos.unsigned_abs();
    match nanos {
        0 => "0".to_owned(),
        n if n < 1_000 => format!("{sign}{n} ns"),
        n if n < 1_000_000 => format!("{sign}{:.1} µs", n as f64 / 1e3),
        n if n < 1_000_000_000 => format!("{sign}{:.1} ms", n as f64 / 1e6),
        n if n < 120_000_000_000 => format!("{sign}{:.3} s", n as f64 / 1e9),
        n => format!("{sign}{:.1} min", n as f64 / 6e10),
    }
}

const WIDTH: f64 = 1_040.0;
const LEFT: f64 = 210.0;
const LANE: f64 = 62.0;
const TOP: f64 = 34.0;

/// How many lanes are drawn; the others stand in the table.
const LANES_MAX: usize = 14;

/// Draws the marks. All text is escaped.
pub(crate) fn draw(marks: &[Mark]) -> String {
    let mut lanes: Vec<&str> = Vec::new();
    for mark in marks.iter().filter(|mark| !mark.missing) {
        if !lanes.contains(&mark.lane.as_str()) && lanes.len() < LANES_MAX {
            lanes.push(&mark.lane);
        }
    }
    let late = marks.iter().find(|mark| mark.late);
    // Who should have spoken: the one who spoke late, else a lane of its own.
    let hole = late.map_or("nobody", |late| late.lane.as_str());
    if marks.iter().any(|mark| mark.missing) && !lanes.contains(&hole) {
        lanes.push(hole);
    }
    let xs = places(marks);
    let height = TOP + LANE * lanes.len() as f64 + 40.0;
    let mut svg = format!(
        "<svg class=\"timeline\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"Timeline of the violation; the table below says the same\">"
    );
    let y = |lane: &str| lanes.iter().position(|known| *known == lane).map(|row| TOP + LANE * (row as f64 + 0.5));
    for (row, lane) in lanes.iter().enumerate() {
        let middle = TOP + LANE * (row as f64 + 0.5);
        let label = if *lane == "nobody" { "expected" } else { lane };
        let (node, component) = label.split_once(' ').unwrap_or(("", label));
        let _ = write!(
            svg,
            "<text class=\"lane\" x=\"8\" y=\"{}\">{}</text><text class=\"node\" x=\"8\" y=\"{}\">{}</text>\
             <line class=\"lane\" x1=\"{LEFT}\" y1=\"{middle}\" x2=\"{}\" y2=\"{middle}\"/>",
            middle + 1.0,
            escape(&cut(component, 28)),
            middle + 16.0,
            escape(&cut(node, 30)),
            WIDTH - 16.0
        );
    }
    bracket(&mut svg, marks, &xs, height);
    contradiction(&mut svg, marks, &xs, &y);
    for (mark, x) in marks.iter().zip(&xs) {
        let lane = if mark.missing { hole } else { mark.lane.as_str() };
        let Some(y) = y(lane) else { continue };
        let class = match (mark.missing, mark.late, mark.role.as_str()) {
            (true, _, _) => "missing",
            (_, true, _) => "late",
            (_, _, "restart") => "restart",
            (_, _, "dissent") => "dissent",
            (_, _, "before") => "before",
            _ => "seen",
        };
        let name = mark.event.rsplit('.').next().unwrap_or(&mark.event);
        let anchor = if *x > WIDTH - 160.0 { "end" } else { "start" };
        let shift = if anchor == "end" { -10.0 } else { 10.0 };
        let _ = write!(
            svg,
            "<g class=\"mark {class}\"><title>{} {}: {}</title><circle cx=\"{x}\" cy=\"{y}\" r=\"8\"/>",
            escape(&mark.time),
            escape(&mark.event),
            mark.why
        );
        if mark.missing {
            let _ = write!(svg, "<text class=\"hole\" x=\"{x}\" y=\"{}\" text-anchor=\"middle\">?</text>", y + 4.0);
        }
        let _ = write!(
            svg,
            "<text class=\"name\" x=\"{}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>\
             <text class=\"when\" x=\"{}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text></g>",
            x + shift,
            y - 11.0,
            escape(&cut(name, 34)),
            x + shift,
            y + 20.0,
            escape(&mark.time)
        );
    }
    svg.push_str("</svg>");
    svg
}

/// Where marks stand: true to scale, but never so close that one hides another.
fn places(marks: &[Mark]) -> Vec<f64> {
    let (Some(first), Some(last)) = (marks.first(), marks.last()) else { return Vec::new() };
    let span = (last.ts - first.ts).max(1) as f64;
    let room = WIDTH - LEFT - 200.0;
    let gap = (room / marks.len() as f64).min(96.0);
    let mut previous = f64::MIN;
    let mut xs: Vec<f64> = Vec::new();
    for mark in marks {
        let scaled = LEFT + 24.0 + room * ((mark.ts - first.ts) as f64 / span);
        let x = scaled.max(previous + gap);
        xs.push(x);
        previous = x;
    }
    // Pushing apart may have pushed the last ones out: squeeze them back.
    let most = LEFT + 24.0 + room;
    if let Some(&end) = xs.last().filter(|end| **end > most) {
        let factor = (most - LEFT - 24.0) / (end - LEFT - 24.0);
        for x in &mut xs {
            *x = LEFT + 24.0 + (*x - LEFT - 24.0) * factor;
        }
    }
    xs
}

/// From the trigger to the deadline, with its length; and from the deadline to an answer that came late.
fn bracket(svg: &mut String, marks: &[Mark], xs: &[f64], height: f64) {
    let place = |found: &dyn Fn(&Mark) -> bool| marks.iter().position(found);
    let Some(missing) = place(&|mark: &Mark| mark.missing) else { return };
    let Some(trigger) = place(&|mark: &Mark| !mark.missing && !mark.late) else { return };
    let base = height - 26.0;
    let (from, to) = (xs[trigger], xs[missing]);
    let length = delta(marks[missing].ts - marks[trigger].ts);
    let _ = write!(
        svg,
        "<g class=\"bracket\"><path d=\"M{from} {} V{base} H{to} V{}\"/><text x=\"{}\" y=\"{}\" text-anchor=\"middle\">\
         {length}: expected {} by {}</text></g>",
        base - 8.0,
        base - 8.0,
        ((from + to) / 2.0).clamp(LEFT + 120.0, WIDTH - 260.0),
        base + 17.0,
        escape(&cut(&marks[missing].event, 48)),
        escape(&marks[missing].time)
    );
    if let Some(late) = place(&|mark: &Mark| mark.late) {
        let _ = write!(
            svg,
            "<text class=\"lateness\" x=\"{}\" y=\"20\" text-anchor=\"middle\">{} late</text>",
            xs[late].min(WIDTH - 60.0),
            delta(marks[late].ts - marks[missing].ts)
        );
    }
}

/// Joins the events that contradict one another.
fn contradiction(svg: &mut String, marks: &[Mark], xs: &[f64], y: &dyn Fn(&str) -> Option<f64>) {
    let Some(agreed) = marks.iter().position(|mark| !mark.missing && mark.role != "dissent") else { return };
    for (mark, x) in marks.iter().zip(xs).filter(|(mark, _)| mark.role == "dissent") {
        let (Some(from), Some(to)) = (y(&marks[agreed].lane), y(&mark.lane)) else { continue };
        let _ =
            write!(svg, "<line class=\"contradiction\" x1=\"{}\" y1=\"{from}\" x2=\"{x}\" y2=\"{to}\"/>", xs[agreed]);
    }
}

fn cut(text: &str, characters: usize) -> String {
    if text.chars().count() <= characters {
        text.to_owned()
    } else {
        text.chars().take(characters - 1).chain(['…']).collect()
    }
}

pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn violation(evidence: Json, missing: Option<Json>, late: Option<Json>) -> ViolationRow {
        ViolationRow {
            id: "v".into(),
            incident: "i".into(),
            at: "2026-11-20T12:00:05.000000000Z".into(),
            detected_at: "2026-11-20T12:00:08.000000000Z".into(),
            state: "violated".into(),
            key: json!({}),
            message: "m".into(),
            evidence,
            missing,
            late,
        }
    }

    fn event(role: &str, second: u32, component: &str) -> Json {
        json!({"role": role, "ts": format!("2026-11-20T12:00:{second:02}.000000000Z"), "node": "n1",
               "component": component, "event": "a.<b>.done", "attrs": {"x": "<script>"}})
    }

    #[test]
    fn the_event_that_did_not_come_is_drawn_at_its_deadline() {
        let missing = json!({"role": "then", "event": "a.answered", "by": "2026-11-20T12:00:05.000000000Z"});
        let marks = marks(&violation(json!([event("when", 0, "c")]), Some(missing), None));
        assert_eq!(marks.last().map(|mark| (mark.missing, mark.delta.as_str())), Some((true, "+5.000 s")));
        let svg = draw(&marks);
        assert!(svg.contains("class=\"mark missing\"") && svg.contains("expected a.answered by 12:00:05.000"), "{svg}");
    }

    #[test]
    fn an_answer_that_came_late_says_by_how_much() {
        let missing = json!({"role": "then", "event": "a.answered", "by": "2026-11-20T12:00:05.000000000Z"});
        let late = event("then", 10, "d");
        let svg = draw(&marks(&violation(json!([event("when", 0, "c")]), Some(missing), Some(late))));
        assert!(svg.contains("+5.000 s late") && svg.contains("class=\"mark late\""), "{svg}");
    }

    #[test]
    fn contradictions_are_joined_and_hostile_text_stays_text() {
        let svg = draw(&marks(&violation(json!([event("event", 0, "c"), event("dissent", 1, "<i>")]), None, None)));
        assert!(svg.contains("class=\"contradiction\""));
        assert!(!svg.contains("<i>") && svg.contains("&lt;i&gt;"), "{svg}");
    }
}
