//! The picture of marks: a lane per component instance, time from left to right, the hole where an event is missing, a
//! bracket from the trigger to the deadline, a double line between what contradicts. All text is escaped.
use std::fmt::Write;

use super::{
    Mark,
    places::{Row, places, width},
};
use crate::text::{Markup, cut, delta, escape, fine_clock, shorten};

const WIDTH: f64 = 1_120.0;
const LEFT: f64 = 210.0;
const RIGHT: f64 = WIDTH - 40.0;
const LANE: f64 = 64.0;
const TOP: f64 = 40.0;
const RADIUS: f64 = 9.5;

/// How many lanes are drawn; the others stand in the table.
const LANES_MAX: usize = 12;

/// How many marks are drawn; the others stand in the table.
const MARKS_MAX: usize = 28;

/// How many contradictions are joined by lines.
const JOINED_MAX: usize = 8;

/// Draws the marks; nothing when there are none.
pub(crate) fn draw(marks: &[Mark]) -> Markup {
    let (shown, lanes) = choose(marks);
    if shown.is_empty() {
        return Markup::default();
    }
    let xs = places(&shown, LEFT + 24.0, RIGHT - 24.0);
    let bottom = TOP + LANE * lanes.len() as f64;
    let left_out = marks.len() - shown.len();
    let bracket = if shown.iter().any(|mark| mark.missing) { 44.0 } else { 8.0 };
    let height = bottom + bracket + if left_out > 0 { 20.0 } else { 0.0 };
    let mut drawing = Drawing { svg: String::new(), shown, lanes, xs, bottom };
    let _ = write!(
        drawing.svg,
        "<svg class=\"timeline\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"Timeline of {} events; the table below says the same\">\
         <defs><marker id=\"late-arrow\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\"/></marker></defs>",
        marks.len()
    );
    drawing.lanes();
    drawing.axis();
    drawing.contradictions();
    drawing.lateness();
    drawing.marks();
    drawing.bracket();
    if left_out > 0 {
        let _ = write!(
            drawing.svg,
            "<text class=\"when\" x=\"8\" y=\"{}\">{left_out} more events stand in the table only</text>",
            height - 8.0
        );
    }
    drawing.svg.push_str("</svg>");
    Markup::new(drawing.svg)
}

/// What is drawn of many marks: what contradicts or is missing, the first, the last; and their lanes.
fn choose(marks: &[Mark]) -> (Vec<&Mark>, Vec<(&str, &str)>) {
    let matters =
        |mark: &Mark| mark.missing || mark.late || matches!(mark.role.as_str(), "dissent" | "when" | "restart");
    let mut order: Vec<&Mark> = marks.iter().filter(|mark| matters(mark)).collect();
    let (mut front, mut back) = (0, marks.len());
    while front < back {
        order.push(&marks[front]);
        front += 1;
        if front < back {
            back -= 1;
            order.push(&marks[back]);
        }
    }
    let mut lanes: Vec<(&str, &str)> = Vec::new();
    let mut shown: Vec<&Mark> = Vec::new();
    for mark in order {
        let known = lanes.contains(&mark.lane());
        if shown.len() < MARKS_MAX
            && !shown.iter().any(|other| other.number == mark.number)
            && (known || lanes.len() < LANES_MAX)
        {
            if !known {
                lanes.push(mark.lane());
            }
            shown.push(mark);
        }
    }
    shown.sort_by_key(|mark| mark.number);
    // Lanes in the order of their first event; where only the missing one would stand comes last.
    lanes.sort_by_key(|lane| {
        let first = |missing: bool| shown.iter().position(|mark| mark.lane() == *lane && mark.missing == missing);
        first(false).unwrap_or_else(|| usize::MAX / 2 + first(true).unwrap_or(0))
    });
    (shown, lanes)
}

struct Drawing<'a> {
    svg: String,
    shown: Vec<&'a Mark>,
    lanes: Vec<(&'a str, &'a str)>,
    xs: Vec<f64>,
    bottom: f64,
}

impl Drawing<'_> {
    fn y(&self, mark: &Mark) -> f64 {
        let row = self.lanes.iter().position(|lane| *lane == mark.lane()).unwrap_or(0);
        TOP + LANE * (row as f64 + 0.5)
    }

    fn place(&self, found: impl Fn(&Mark) -> bool) -> Option<usize> {
        self.shown.iter().position(|mark| found(mark))
    }

    fn lanes(&mut self) {
        for (row, (node, component)) in self.lanes.iter().enumerate() {
            let middle = TOP + LANE * (row as f64 + 0.5);
            let component = if component.is_empty() { "no known sender" } else { component };
            let _ = write!(
                self.svg,
                "<g class=\"lane\"><title>{} on {}</title><text class=\"component\" x=\"8\" y=\"{}\">{}</text>\
                 <text class=\"node\" x=\"8\" y=\"{}\">{}</text><line x1=\"{LEFT}\" y1=\"{middle}\" x2=\"{RIGHT}\" y2=\"{middle}\"/></g>",
                escape(&cut(component, 200)),
                escape(&cut(node, 200)),
                middle - 1.0,
                escape(&shorten(component, 16, 9)),
                middle + 15.0,
                escape(&shorten(node, 16, 10)),
            );
        }
    }

    /// A guide and a time for each instant, where there is room for the text.
    fn axis(&mut self) {
        let mut row = Row::default();
        let first = self.shown[0].ts;
        let mut previous = f64::MIN;
        for (mark, &x) in self.shown.iter().zip(&self.xs) {
            if (x - previous).abs() < 1.0 {
                continue;
            }
            previous = x;
            let label =
                if mark.ts == first { format!("{} UTC", fine_clock(&mark.stamp)) } else { delta(mark.ts - first) };
            let class = if mark.missing { " missing" } else { "" };
            let _ = write!(
                self.svg,
                "<line class=\"guide{class}\" x1=\"{x:.1}\" y1=\"{}\" x2=\"{x:.1}\" y2=\"{}\"/>",
                TOP - 8.0,
                self.bottom
            );
            let half = width(&label, false) / 2.0;
            let middle = x.clamp(LEFT + half, WIDTH - 8.0 - half);
            if row.take(middle - half, middle + half, (0.0, WIDTH)) {
                let _ = write!(
                    self.svg,
                    "<text class=\"when{class}\" x=\"{middle:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                    TOP - 16.0,
                    escape(&label)
                );
            }
        }
    }

    fn marks(&mut self) {
        let mut rows: Vec<(Row, Row)> = self.lanes.iter().map(|_| (Row::default(), Row::default())).collect();
        let mut out = String::new();
        for (at, (mark, &x)) in self.shown.iter().zip(&self.xs).enumerate() {
            let y = self.y(mark);
            let class = match (mark.missing, mark.late, mark.role.as_str()) {
                (true, _, _) => "missing",
                (_, true, _) => "late",
                (_, _, "restart" | "broken_by" | "fail") => "bad",
                (_, _, "dissent") => "dissent",
                _ => "seen",
            };
            let _ = write!(
                out,
                "<g class=\"mark {class}\"><title>{} {} {}: {}</title><circle cx=\"{x:.1}\" cy=\"{y}\" r=\"{RADIUS}\"/>\
                 <text class=\"number\" x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                mark.number,
                escape(&fine_clock(&mark.stamp)),
                escape(&cut(&mark.event, 200)),
                escape(&mark.why),
                y + 4.0,
                if mark.missing { "?".to_owned() } else { mark.number.to_string() }
            );
            let name = shorten(mark.event.rsplit('.').next().unwrap_or(&mark.event), 20, 10);
            let long = width(&name, mark.missing);
            let row = self.lanes.iter().position(|lane| *lane == mark.lane()).unwrap_or(0);
            let (above, below) = &mut rows[row];
            // Neighbours of the same name say it once.
            let said = at > 0
                && self.shown[at - 1].event == mark.event
                && self.shown[at - 1].lane() == mark.lane()
                && !mark.missing;
            let inside = (LEFT, WIDTH - 4.0);
            let place = if said && mark.role != "dissent" {
                None
            } else if above.take(x - 8.0, x - 8.0 + long, inside) {
                Some((x - 8.0, -15.0, "start"))
            } else if above.take(x + 8.0 - long, x + 8.0, inside) {
                Some((x + 8.0, -15.0, "end"))
            } else if below.take(x - 8.0, x - 8.0 + long, inside) {
                Some((x - 8.0, 24.0, "start"))
            } else if below.take(x + 8.0 - long, x + 8.0, inside) {
                Some((x + 8.0, 24.0, "end"))
            } else {
                None
            };
            if let Some((at, down, anchor)) = place {
                let _ = write!(
                    out,
                    "<text class=\"name\" x=\"{at:.1}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>",
                    y + down,
                    escape(&name)
                );
            }
            out.push_str("</g>");
        }
        self.svg.push_str(&out);
    }

    /// From the trigger to the deadline, with its length and what was expected.
    fn bracket(&mut self) {
        let Some(missing) = self.place(|mark| mark.missing) else { return };
        let opener = self.place(|mark| mark.role == "when").or_else(|| self.place(|mark| mark.role == "since"));
        let Some(trigger) = opener.or_else(|| self.place(|mark| !mark.missing && !mark.late)) else { return };
        let (from, to) = (self.xs[trigger].min(self.xs[missing]), self.xs[trigger].max(self.xs[missing]));
        let base = self.bottom + 16.0;
        let hole = self.shown[missing];
        let gap = (hole.ts - self.shown[trigger].ts).abs();
        let by = hole.until();
        let said = format!(
            "{}expected {} {by} {}",
            if gap == 0 { String::new() } else { format!("{}: ", delta(gap).trim_start_matches('+')) },
            cut(&hole.event, 64),
            fine_clock(&hole.stamp)
        );
        let half = width(&said, false) / 2.0;
        let _ = write!(
            self.svg,
            "<g class=\"bracket\"><path d=\"M{from:.1} {} V{base} H{to:.1} V{}\"/><text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text></g>",
            base - 9.0,
            base - 9.0,
            f64::midpoint(from, to).clamp(8.0 + half, WIDTH - 8.0 - half),
            base + 18.0,
            escape(&said)
        );
    }

    /// From the hole to the event that came after its deadline.
    fn lateness(&mut self) {
        let (Some(missing), Some(late)) = (self.place(|mark| mark.missing), self.place(|mark| mark.late)) else {
            return;
        };
        let (from, to, y) = (self.xs[missing], self.xs[late], self.y(self.shown[late]));
        let said = format!("{} late", delta(self.shown[late].ts - self.shown[missing].ts));
        let _ = write!(
            self.svg,
            "<g class=\"lateness\"><line x1=\"{:.1}\" y1=\"{y}\" x2=\"{:.1}\" y2=\"{y}\" marker-end=\"url(#late-arrow)\"/>\
             <text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text></g>",
            from + RADIUS + 1.0,
            to - RADIUS - 2.0,
            f64::midpoint(from, to),
            y + 24.0,
            escape(&said)
        );
    }

    /// Joins the events that contradict one another by a double line.
    fn contradictions(&mut self) {
        let Some(agreed) = self.place(|mark| !mark.missing && mark.role != "dissent") else { return };
        let (x1, y1) = (self.xs[agreed], self.y(self.shown[agreed]));
        let dissents: Vec<(f64, f64)> = (0..self.shown.len())
            .filter(|at| self.shown[*at].role == "dissent")
            .map(|at| (self.xs[at], self.y(self.shown[at])))
            .take(JOINED_MAX)
            .collect();
        for (x2, y2) in dissents {
            for class in ["contradiction", "contradiction inner"] {
                let _ =
                    write!(self.svg, "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1}\" x2=\"{x2:.1}\" y2=\"{y2}\"/>");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::{
        marks,
        tests::{event, violation},
    };
    use serde_json::json;

    #[test]
    fn the_hole_is_drawn_in_the_lane_of_its_sender_with_a_bracket_of_the_window() {
        let missing = json!({"role": "then", "event": "a.answered", "by": "2026-11-20T12:00:05.000000000Z"});
        let svg = draw(&marks(&violation(json!([event("when", 0, "c")]), Some(missing), None), Some("answerer")));
        let svg = svg.as_str();
        assert!(svg.contains("class=\"mark missing\"") && svg.contains(">answerer</text>"), "{svg}");
        assert!(svg.contains("5.000 s: expected a.answered by 12:00:05.000000"), "{svg}");
    }

    #[test]
    fn an_answer_that_came_late_says_by_how_much() {
        let missing = json!({"role": "then", "event": "a.answered", "by": "2026-11-20T12:00:05.000000000Z"});
        let late = event("then", 10, "d");
        let svg = draw(&marks(&violation(json!([event("when", 0, "c")]), Some(missing), Some(late)), None));
        assert!(svg.as_str().contains("+5.000 s late") && svg.as_str().contains("class=\"mark late\""), "{svg}");
    }

    #[test]
    fn contradictions_are_joined_and_hostile_text_stays_text() {
        let svg =
            draw(&marks(&violation(json!([event("event", 0, "c"), event("dissent", 1, "<i>")]), None, None), None));
        let svg = svg.as_str();
        assert!(svg.contains("class=\"contradiction inner\""));
        assert!(!svg.contains("<i>") && svg.contains("&lt;i&gt;"), "{svg}");
    }

    #[test]
    fn a_crowd_is_cut_and_the_cut_is_said() {
        let crowd: Vec<_> = (0..50).map(|second| event("event", second, &format!("c{second}"))).collect();
        let svg = draw(&marks(&violation(json!(crowd), None, None), None));
        let svg = svg.as_str();
        assert!(svg.contains("38 more events stand in the table only"), "{svg}");
        assert_eq!(svg.matches("<g class=\"lane\"").count(), LANES_MAX);
    }
}
