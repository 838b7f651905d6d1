//! Gaps: events of a node that came and were never judged, or may have come unseen, and may have been what a verdict misses.
use alloc::{boxed::Box, collections::VecDeque};
use event::Timestamp;

use crate::{
    pack::{Pack, Role, Rule},
    verdict::Unknown,
};

/// How many gaps of a node are remembered.
const GAPS_MAX: usize = 256;

/// The longest name of an event that is remembered; one with a longer name may have been any event.
const NAME_MAX: usize = 1_024;

/// The gaps of one node; the latest ones.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Gaps(VecDeque<Gap>);

/// An event that was not judged, or a time of which nobody knows what happened in it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Gap {
    from: Timestamp,
    /// The last time of it.
    to: Timestamp,
    why: Unknown,
    /// The event's name; none: nobody knows.
    event: Option<Box<str>>,
}

impl Gaps {
    /// Notes that an event was not judged. Returns whether that is news.
    pub(crate) fn note(&mut self, event: &str, ts: Timestamp, why: Unknown) -> bool {
        self.push(Gap { from: ts, to: ts, why, event: name(event).map(Box::from) })
    }

    /// Notes that any event may have come between these times, both included. Returns whether that is news.
    pub(crate) fn note_span(&mut self, from: Timestamp, to: Timestamp, why: Unknown) -> bool {
        self.push(Gap { from, to, why, event: None })
    }

    fn push(&mut self, gap: Gap) -> bool {
        // What is refused is mostly sent again.
        if self.0.contains(&gap) {
            return false;
        }
        if self.0.len() == GAPS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(gap);
        true
    }

    /// Why an event that a rule asks for may have come between these times, both included, and never been judged. Where the
    /// verdict was `said` already, those gaps alone count that correct what was said.
    pub(crate) fn between(
        &self,
        from: Timestamp,
        to: Timestamp,
        said: bool,
        asks: &impl Fn(&str) -> bool,
    ) -> Option<Unknown> {
        let covers = |gap: &&Gap| {
            from <= gap.to && gap.from <= to && (!said || corrects(gap.why)) && gap.event.as_deref().is_none_or(asks)
        };
        self.0.iter().find(covers).map(|gap| gap.why)
    }
}

/// The name of an event that was not judged, where it is one that can be remembered.
pub(crate) fn name(event: &str) -> Option<&str> {
    Some(event).filter(|name| !name.is_empty() && name.len() <= NAME_MAX)
}

/// Whether a gap takes back what was said before anybody knew of it, as late evidence does. What came too late corrects
/// nothing, and what came from the future was known before its time.
fn corrects(why: Unknown) -> bool {
    matches!(why, Unknown::Refused | Unknown::Lost)
}

/// Whether an event of that name, or one derived from it, may play a part in the rule.
pub(crate) fn asks(rule: &Rule, pack: &Pack, event: &str) -> bool {
    let plays = |role: &Role| role.alternatives.iter().any(|pattern| pattern.name.matches(event));
    rule.roles.iter().any(plays)
        || pack.derives.iter().any(|derive| plays(&derive.from) && asks(rule, pack, &derive.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_hides_what_it_may_have_been() {
        let mut gaps = Gaps::default();
        gaps.note("stored", Timestamp(10), Unknown::TooLate);
        gaps.note(&"x".repeat(NAME_MAX + 1), Timestamp(20), Unknown::Refused);
        let between =
            |from, to, name: &str| gaps.between(Timestamp(from), Timestamp(to), false, &|event| event == name);
        assert_eq!(between(10, 10, "stored"), Some(Unknown::TooLate));
        assert_eq!(between(0, 9, "stored"), None);
        assert_eq!(between(11, 19, "stored"), None);
        assert_eq!(between(0, 15, "decided"), None);
        assert_eq!(between(15, 25, "decided"), Some(Unknown::Refused));
    }

    #[test]
    fn a_span_hides_what_it_touches() {
        let mut gaps = Gaps::default();
        gaps.note_span(Timestamp(10), Timestamp(20), Unknown::Lost);
        let between = |from, to| gaps.between(Timestamp(from), Timestamp(to), false, &|_| false);
        assert_eq!([between(0, 9), between(21, 30)], [None, None]);
        let touching = [between(0, 10), between(14, 15), between(20, 30), between(0, 30)];
        assert_eq!(touching, [Some(Unknown::Lost); 4]);
    }

    #[test]
    fn the_latest_gaps_are_remembered() {
        let mut gaps = Gaps::default();
        for ts in 0..=GAPS_MAX as u64 {
            gaps.note("stored", Timestamp(ts), Unknown::TooLate);
        }
        let any = |_: &str| true;
        assert_eq!(gaps.between(Timestamp(0), Timestamp(0), false, &any), None);
        assert_eq!(gaps.between(Timestamp(1), Timestamp(1), false, &any), Some(Unknown::TooLate));
    }

    #[test]
    fn what_was_said_is_taken_back_by_what_came_in_time_to_correct_it() {
        let mut gaps = Gaps::default();
        gaps.note("stored", Timestamp(10), Unknown::TooLate);
        let between = |gaps: &Gaps, said| gaps.between(Timestamp(0), Timestamp(20), said, &|_| true);
        assert_eq!([between(&gaps, false), between(&gaps, true)], [Some(Unknown::TooLate), None]);
        gaps.note("stored", Timestamp(11), Unknown::Refused);
        assert_eq!([between(&gaps, false), between(&gaps, true)], [Some(Unknown::TooLate), Some(Unknown::Refused)]);
    }

    #[test]
    fn what_is_refused_again_takes_no_room() {
        let mut gaps = Gaps::default();
        assert!(gaps.note("stored", Timestamp(0), Unknown::Refused));
        for _ in 0..=GAPS_MAX {
            assert!(!gaps.note("stored", Timestamp(0), Unknown::Refused));
        }
        assert_eq!(gaps.0.len(), 1);
    }
}
