//! What sharpens or softens a kind: `strict`, `by`, `slack`, `for`.
use std::time::Duration;

use engine::{Hold, RoleIdx, Ties};

use crate::{
    diagnostic::Code,
    fields::{Fields, Report},
    pattern::{Context, Layout, Parsed},
    rule::Roles,
    yaml::Yaml,
};

/// Kinds in which the order of events inside an instant can decide, so that `strict` has a meaning.
const ORDERED: &[&str] = &[
    "response",
    "precedence",
    "consecutive",
    "monotonic",
    "state_machine",
    "order",
    "sequence",
    "exclusive",
    "aggregate",
    "always",
];

/// Kinds that test an order between events, which `slack` may soften.
const SOFT: &[&str] = &["response", "precedence", "order"];

/// Kinds with a level that must last.
const LASTING: &[&str] = &["always", "count", "aggregate"];

/// How long a gauge's sample stands where nothing else is said.
const STALE_AFTER: Duration = Duration::from_secs(60);

/// `strict: true`, where the kind has an order to be strict about.
pub(crate) fn strict(fields: &mut Fields<'_>, kind: &str, cx: &Context<'_>, report: &mut Report<'_>) -> bool {
    let Some(node) = fields.take("strict") else { return false };
    let strict = cx.params.bool(node, report).unwrap_or(false);
    // Of an `always`, only a gauge has an order.
    let ordered = ORDERED.contains(&kind) && (kind != "always" || fields.has("for"));
    if strict && !ordered && !kind.is_empty() {
        report.error_help(
            Code::Shape,
            &node.span,
            format!("`strict` decides about the order inside an instant, and `{kind}` asks for none"),
            format!("kinds that do: {}", ORDERED.join(", ")),
        );
    }
    strict
}

/// `for: 30s` and `stale_after: 1m`, where the kind is a level or a gauge.
pub(crate) fn hold(fields: &mut Fields<'_>, kind: &str, cx: &Context<'_>, report: &mut Report<'_>) -> Option<Hold> {
    let node = fields.take("for");
    let stale = fields.take("stale_after");
    let stale_after = stale.and_then(|node| cx.params.duration(node, report)).unwrap_or(STALE_AFTER);
    if let (Some(stale), true) = (stale, node.is_none() || kind != "always") {
        report.error_help(
            Code::Shape,
            &stale.span,
            "`stale_after` says how long a sample of a gauge stands, and this rule has no gauge",
            "a gauge is an `always` with `for`",
        );
    }
    let node = node?;
    let lasts = cx.params.duration(node, report)?;
    if !LASTING.contains(&kind) && !kind.is_empty() {
        report.error_help(
            Code::Shape,
            &node.span,
            format!("`for` is how long a level must last, and `{kind}` has none that it could judge"),
            match kind {
                "response" | "order" | "sequence" => "how long something may take is its `within`".to_owned(),
                "heartbeat" => "how long it may be silent is its `every`".to_owned(),
                _ => format!("kinds that do: {}", LASTING.join(", ")),
            },
        );
    }
    Some(Hold { lasts, stale_after })
}

/// `slack: 50ms`, where the kind tests an order.
pub(crate) fn slack(
    fields: &mut Fields<'_>,
    kind: &str,
    strict: bool,
    cx: &Context<'_>,
    report: &mut Report<'_>,
) -> Duration {
    let Some(node) = fields.take("slack") else { return Duration::ZERO };
    let slack = cx.params.duration(node, report).unwrap_or_default();
    if !SOFT.contains(&kind) && !kind.is_empty() {
        report.error_help(
            Code::Shape,
            &node.span,
            format!("`slack` forgives disorder between events, and `{kind}` does not test any that could be forgiven"),
            format!("kinds that do: {}", SOFT.join(", ")),
        );
    } else if strict {
        report.error(Code::Shape, &node.span, "`strict` and `slack` ask for opposites: give one of them");
    }
    slack
}

/// `by: expression`, of the rule or of its kind.
pub(crate) fn by<'n>(
    fields: &mut Fields<'n>,
    roles: &mut Roles<'n>,
    strict: bool,
    report: &mut Report<'_>,
) -> Option<Parsed<'n>> {
    let own = fields.take("by");
    if let (Some(node), Some(_)) = (own, roles.by) {
        report.error(Code::Shape, &node.span, "`by` stands in the kind already");
    }
    let node = roles.by.or(own)?;
    if matches!(node.value, Yaml::List(_)) {
        let message = "`by` is an expression, which orders the events of one timestamp";
        report.error_help(Code::Shape, &node.span, message, "what a rule is judged for each of is its `key`");
        return None;
    }
    if strict {
        report.error(
            Code::Shape,
            &node.span,
            "`by` gives the order inside an instant: nothing is left to be `strict` about",
        );
    }
    Parsed::of(node, 0, report)
}

/// The order inside an instant, for each role that has what it asks for.
pub(crate) fn ordered_by(
    by: &Parsed<'_>,
    layout: &mut Layout<'_, '_>,
    scopes: &[Option<RoleIdx>],
    report: &mut Report<'_>,
) -> Ties {
    let played = |role: usize| !scopes.contains(&Some(role as RoleIdx));
    let knowing: Vec<bool> = (0..layout.roles.len()).map(|role| played(role) && layout.knows(role, &by.tree)).collect();
    for role in (0..layout.roles.len()).filter(|role| knowing[*role]) {
        layout.mark(role, &by.tree);
    }
    if !knowing.contains(&true) {
        // Whatever the first role has to say against it is the mistake.
        let _ = layout.late(0, by, report);
        return Ties::Favourable;
    }
    let order = |role: usize, report: &mut Report<'_>| {
        knowing[role].then(|| layout.late(role, by, report).map(|(expr, _)| expr)).flatten()
    };
    Ties::By((0..layout.roles.len()).map(|role| order(role, report)).collect())
}
