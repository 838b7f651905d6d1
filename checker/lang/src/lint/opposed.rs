//! Roles of a response that are played by the same events.
use engine::{Kind, Limit, RoleIdx, Ties};

use crate::{diagnostic::Code, fields::Report, pattern::WrittenRole};

/// Warns where what excuses or breaks an obligation is what opens or answers it, and where it answers itself.
pub(crate) fn warn(kind: &Kind, ties: &Ties, roles: &[WrittenRole<'_>], report: &mut Report<'_>) {
    let (when, then, unless, broken_by) = match kind {
        Kind::Response { when, then, unless, broken_by, .. } => (*when, *then, *unless, *broken_by),
        Kind::Expected { when, then, unless, broken_by, .. } => (*when, *then, *unless, *broken_by),
        _ => return,
    };
    let role = |role: RoleIdx| roles.get(role as usize);
    let overlap = |a: RoleIdx, b: RoleIdx| role(a).zip(role(b)).and_then(|(a, b)| a.shared(b));
    let mut say = |code, span: std::ops::Range<usize>, message: &str, help: &str| {
        report.warning(code, &span, message, help);
    };
    // With `strict` an excuse must come later than what it excuses.
    if let Some(span) = unless.and_then(|unless| overlap(unless, when))
        && !matches!(ties, Ties::Strict)
    {
        let help =
            "an excuse may come at the same time: give it a condition, or say `strict: true` if a later one is meant";
        say(Code::Opposed, span, "what opens this obligation excuses it at once, so that it is never broken", help);
    }
    if let Some(span) = unless.and_then(|unless| overlap(unless, then)) {
        say(Code::Opposed, span, "what answers is no excuse as well: this `unless` adds nothing", "leave it out");
    }
    if let Some(span) = broken_by.and_then(|broken_by| overlap(broken_by, then)) {
        let help = "an answer comes first: leave one of both out, or tell them apart by `where`";
        say(Code::Opposed, span, "what answers cannot break as well: this `broken_by` adds nothing", help);
    }
    // A deadline that is worked out or counted in ticks is none that a heartbeat has.
    let plain =
        matches!(kind, Kind::Response { limit: Limit::Within(_), pair: false, unless: None, broken_by: None, .. });
    if let (true, Some(written), Some(other)) = (plain, role(then), role(when))
        && let Some(span) = written.same(other)
    {
        let help = "if the next one must come in time, a `heartbeat` with `every` says so and ends when it returns";
        say(Code::SelfAnswered, span, "every answer is a question as well: the last one is never answered", help);
    }
}
