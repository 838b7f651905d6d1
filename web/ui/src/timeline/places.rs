//! Where things stand in the drawing: instants true to scale but never one over another, and labels where there is room.
use super::Mark;

/// Horizontal room that one mark needs.
pub(super) const MARK: f64 = 24.0;

/// The place of each mark between `left` and `right`. Marks of one instant share a place, unless they share a lane too.
pub(super) fn places(marks: &[&Mark], left: f64, right: f64) -> Vec<f64> {
    let (Some(first), Some(last)) = (marks.first(), marks.last()) else { return Vec::new() };
    let span = (last.ts - first.ts).max(1) as f64;
    let room = right - left;
    let scaled = |mark: &Mark| left + room * ((mark.ts - first.ts) as f64 / span);
    // How far a mark stands after the one before: nothing within an instant of several lanes, else the width of a mark.
    let steps: Vec<f64> = (0..marks.len())
        .map(|at| {
            let same_instant = at > 0 && marks[at].ts == marks[at - 1].ts;
            let mut instant = marks[..at].iter().rev().take_while(|before| before.ts == marks[at].ts);
            let shares_lane = instant.any(|before| before.lane() == marks[at].lane());
            if at == 0 || (same_instant && !shares_lane) { 0.0 } else { MARK }
        })
        .collect();
    let needed: f64 = steps.iter().sum();
    let shrink = if needed > room { room / needed } else { 1.0 };
    let mut xs: Vec<f64> = Vec::with_capacity(marks.len());
    for (at, mark) in marks.iter().enumerate() {
        let after = xs.last().map_or(left, |before| before + steps[at] * shrink);
        let instant = at > 0 && steps[at] == 0.0;
        xs.push(if instant { after } else { scaled(mark).max(after) });
    }
    // What was pushed out on the right pushes its neighbours back.
    let mut most = right;
    for at in (0..xs.len()).rev() {
        xs[at] = xs[at].min(most);
        most = xs[at] - steps[at] * shrink;
    }
    xs
}

/// Rows of text in which nothing overlaps.
#[derive(Debug, Default)]
pub(super) struct Row(Vec<(f64, f64)>);

impl Row {
    /// Takes the stretch from `from` to `to` if it is free and inside the drawing.
    pub(super) fn take(&mut self, from: f64, to: f64, inside: (f64, f64)) -> bool {
        let free = from >= inside.0
            && to <= inside.1
            && self.0.iter().all(|(start, end)| to + 6.0 < *start || *end + 6.0 < from);
        if free {
            self.0.push((from, to));
        }
        free
    }
}

/// About how wide a text of the drawing is.
pub(super) fn width(text: &str, bold: bool) -> f64 {
    text.chars().count() as f64 * if bold { 7.4 } else { 6.7 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(ts: i128, component: &str) -> Mark {
        Mark { ts, component: component.to_owned(), ..Mark::default() }
    }

    #[test]
    fn marks_of_one_lane_never_hide_one_another() {
        let marks: Vec<Mark> = [0, 1, 2, 2, 2, 1_000_000, 1_000_001].map(|ts| mark(ts, "c")).into();
        let xs = places(&marks.iter().collect::<Vec<_>>(), 100.0, 900.0);
        assert!(xs.windows(2).all(|pair| pair[1] - pair[0] >= MARK - 0.001), "{xs:?}");
        assert!(xs[0] >= 100.0 && xs[6] <= 900.0, "{xs:?}");
    }

    #[test]
    fn one_instant_is_one_place_across_lanes() {
        let marks = [mark(0, "a"), mark(5, "a"), mark(5, "b"), mark(9, "c")];
        let xs = places(&marks.iter().collect::<Vec<_>>(), 0.0, 900.0);
        assert!((xs[1] - xs[2]).abs() < f64::EPSILON, "{xs:?}");
    }

    #[test]
    fn crowds_are_squeezed_into_the_drawing() {
        let marks: Vec<Mark> = (0..200).map(|ts| mark(ts, "c")).collect();
        let xs = places(&marks.iter().collect::<Vec<_>>(), 0.0, 900.0);
        assert!(xs.windows(2).all(|pair| pair[1] > pair[0]) && xs[199] <= 900.001, "{xs:?}");
    }
}
