//! What a rule keeps: more than a machine has, or for less long than it is asked for.
use engine::{CountSpan, Kind, Rule};

use crate::{diagnostic::Code, fields::Report, yaml::Node};

/// What an instance with one event takes while late events may still correct it, as measured; see `docs/performance.md`.
const INSTANCE_BYTES: u64 = 700;

/// What every further event of an instance takes, about.
const EVENT_BYTES: u64 = 64;

/// More than this, and a machine that does other things besides is too small.
const SENSIBLE_BYTES: u64 = 8 << 30;

/// Warns of `max_keys` that allows a rule more memory than is sensible.
pub(crate) fn warn_memory(rule: &Rule, max_keys: Option<&Node>, report: &mut Report<'_>) {
    let Some(node) = max_keys else { return };
    let further = match &rule.kind {
        Kind::Count { max: Some(max), span: CountSpan::Window(_), .. } => *max,
        Kind::Consecutive { count, .. } => u64::from(*count).saturating_sub(1),
        _ => 0,
    };
    let each = INSTANCE_BYTES.saturating_add(further.saturating_mul(EVENT_BYTES));
    let all = each.saturating_mul(rule.max_keys);
    if all > SENSIBLE_BYTES {
        let message = format!("{} keys of about {each} bytes may come to {} GiB", rule.max_keys, all / (1 << 30));
        let forget = event::format_duration(rule.remembered_for());
        let help = format!(
            "keep fewer, or forget them sooner than after {forget} (`forget_after`): then fewer are alive at once"
        );
        report.warning(Code::Memory, &node.span, message, help);
    }
}

/// Warns of a rule that has forgotten what it said before it may say it again.
pub(crate) fn warn_quiet(rule: &Rule, quiet: Option<&Node>, report: &mut Report<'_>) {
    let (Some(node), Some(quiet)) = (quiet, rule.quiet) else { return };
    let remembered = rule.remembered_for();
    if quiet > remembered {
        let message = format!(
            "a key is forgotten {} after its last event, and with it that nothing was to be said for {}",
            event::format_duration(remembered),
            event::format_duration(quiet)
        );
        let help = format!("add `forget_after: {}`, or make `quiet` shorter", event::format_duration(quiet));
        report.warning(Code::Forgotten, &node.span, message, help);
    }
}
