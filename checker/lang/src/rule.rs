//! Rules: one kind over roles, with modifiers.
use std::time::Duration;

use engine::expr::Expr;
use engine::{CountSpan, During, KeyPart, Kind, Mode, OnRestart, ROLES_MAX, RoleIdx, Rule, Severity, Ties};

use crate::{
    choice::choice,
    diagnostic::Code,
    emits,
    evidence::Evidence,
    fields::{self, Fields, Report, text, texts},
    kind as kinds, lint, modifiers,
    pattern::{self, Context, Layout, WrittenRole},
    severity, suggest, switch, template,
    yaml::{Node, Yaml},
};

/// The kinds of this version.
pub(crate) const KINDS: &[&str] = &[
    "never",
    "always",
    "response",
    "precedence",
    "count",
    "agreement",
    "consecutive",
    "heartbeat",
    "monotonic",
    "state_machine",
    "order",
    "sequence",
    "exclusive",
    "aggregate",
];

/// What the patterns of an aggregate's terms are called inside; outside they go by the terms' names.
pub(crate) const TERMS: &[&str] = &[
    "term1", "term2", "term3", "term4", "term5", "term6", "term7", "term8", "term9", "term10", "term11", "term12",
    "term13", "term14", "term15", "term16",
];

/// What the steps of a kind are called where they have no name of their own.
pub(crate) const STEPS: &[&str] = &[
    "step1", "step2", "step3", "step4", "step5", "step6", "step7", "step8", "step9", "step10", "step11", "step12",
    "step13", "step14", "step15", "step16",
];

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Roles being collected for one rule.
pub(crate) struct Roles<'n> {
    written: Vec<WrittenRole<'n>>,
    /// What orders the events of an instant, where the kind was given it.
    pub(crate) by: Option<&'n Node>,
}

impl<'n> Roles<'n> {
    pub(crate) fn add(
        &mut self,
        node: &'n Node,
        word: &'static str,
        cx: &Context<'_>,
        report: &mut Report<'_>,
    ) -> RoleIdx {
        if self.written.len() == ROLES_MAX {
            report.error(Code::Shape, &node.span, format!("a rule has at most {ROLES_MAX} patterns"));
            return 0;
        }
        self.written.push(pattern::read(node, word, cx, report));
        (self.written.len() - 1) as RoleIdx
    }

    /// Adds a pattern that goes by a name of its own.
    pub(crate) fn add_named(
        &mut self,
        node: &'n Node,
        word: &'static str,
        name: &str,
        cx: &Context<'_>,
        report: &mut Report<'_>,
    ) -> RoleIdx {
        let role = self.add(node, word, cx, report);
        let written = &mut self.written[role as usize];
        if written.name == word {
            name.clone_into(&mut written.name);
        }
        role
    }

    /// What orders the events of an instant, given inside the kind.
    pub(crate) fn by_of(&mut self, node: Option<&'n Node>) {
        self.by = node;
    }

    pub(crate) fn take(
        &mut self,
        fields: &mut Fields<'n>,
        word: &'static str,
        cx: &Context<'_>,
        report: &mut Report<'_>,
    ) -> Option<RoleIdx> {
        fields.take(word).map(|node| self.add(node, word, cx, report))
    }

    pub(crate) fn need(
        &mut self,
        fields: &mut Fields<'n>,
        word: &'static str,
        cx: &Context<'_>,
        report: &mut Report<'_>,
    ) -> Option<RoleIdx> {
        fields.need(word, report).map(|node| self.add(node, word, cx, report))
    }
}

/// Compiles a rule.
///
/// Returns the declarations of the events it emits, too.
pub(crate) fn compile<'n>(
    node: &'n Node,
    cx: &Context<'n>,
    report: &mut Report<'_>,
) -> Option<(Rule, Vec<engine::EventDecl>)> {
    let mut fields = Fields::of(node, "rule", report)?;
    let before = report.diagnostics.len();
    let line = report.source[..fields.span().start].matches('\n').count() as u32 + 1;
    let id = fields.need("id", report).and_then(|node| {
        let id = text(node, report)?;
        let plain = !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        if !plain {
            report.error(Code::Shape, &node.span, format!("`{id}` is not an id: letters, digits, `-` and `_` only"));
        }
        Some(id)
    });
    let about = fields.take("about").and_then(|node| text(node, report)).unwrap_or_default();
    let reference = fields.take("ref").and_then(|node| text(node, report));
    let severity_node = fields.take("severity");
    let one_severity = match severity_node {
        None => Some(Severity::default()),
        Some(Node { value: Yaml::List(_), .. }) => None,
        Some(node) => severity::severity(node, cx, report),
    };
    let across_networks = fields.take("across_networks").and_then(|node| cx.params.bool(node, report)).unwrap_or(false);
    let mut key = fields.take("key").map(|node| key_parts(node, report)).unwrap_or_default();
    let mut roles = Roles { written: Vec::new(), by: None };
    let word = KINDS.iter().copied().find(|kind| fields.has(kind)).unwrap_or_default();
    let draft = kind(&mut fields, &mut roles, cx, report);
    let during = fields.take("during").and_then(|node| during(node, &mut roles, cx, report));
    let quiet_node = fields.take("quiet");
    let quiet = quiet_node.and_then(|node| cx.params.duration(node, report));
    let report_first = fields
        .take("report")
        .and_then(|node| choice(node, "report", &[("first", true), ("all", false)], report))
        .unwrap_or(false);
    let modes = [("active", Mode::Active), ("shadow", Mode::Shadow), ("measure", Mode::Measure)];
    let mode = fields.take("mode").and_then(|node| choice(node, "mode", &modes, report)).unwrap_or_default();
    let enabled = fields.take("enabled").is_none_or(|node| switch::enabled(node, cx, report));
    let message = fields.take("message");
    let runbook_url = fields.take("runbook_url").and_then(|node| text(node, report));
    let runbook = fields.take("runbook").and_then(|node| text(node, report));
    let owner = fields.take("owner").and_then(|node| text(node, report));
    let labels = fields.take("labels").map(|node| fields::labels(node, report)).unwrap_or_default();
    let group_by = fields.take("group_by").map(|node| texts(node, report)).unwrap_or_default();
    let forget_after = fields.take("forget_after").and_then(|node| cx.params.duration(node, report)).unwrap_or(DAY);
    let max_keys_node = fields.take("max_keys");
    let max_keys = max_keys_node.and_then(|node| cx.params.number(node, report)).unwrap_or(1_000_000);
    let endings = [
        ("broken", OnRestart::Broken),
        ("ended", OnRestart::Ended),
        ("reset", OnRestart::Reset),
        ("keep", OnRestart::Keep),
    ];
    let on_restart = fields.take("on_restart").and_then(|node| choice(node, "on_restart", &endings, report));
    let strict = modifiers::strict(&mut fields, word, cx, report);
    let slack = modifiers::slack(&mut fields, word, strict, cx, report);
    let by = modifiers::by(&mut fields, &mut roles, strict, report);
    let hold = modifiers::hold(&mut fields, word, cx, report);
    let emits_node = fields.take("emits");
    let silence_counts = fields
        .take("on_silence")
        .and_then(|node| choice(node, "on_silence", &[("unknown", false), ("violated", true)], report))
        .unwrap_or(false);
    let settle = fields.take("settle").and_then(|node| cx.params.duration(node, report));
    fields.finish(report);

    let emitted = emits_node.map(|node| emits::read(node, cx.events, report)).unwrap_or_default();
    let draft = draft?;
    let mut layout = Layout { cx, roles: &mut roles.written };
    layout.mark_conditions();
    draft.mark(&mut layout);
    emits::mark(&emitted, &mut layout);
    let scopes = [during.as_ref().and_then(|d| d.after), during.as_ref().and_then(|d| d.until)];
    let ties = match by {
        Some(by) => modifiers::ordered_by(&by, &mut layout, &scopes, report),
        None if strict => Ties::Strict,
        None => Ties::Favourable,
    };
    let kind = draft.finish(&layout, &key, report);
    let compiled: Vec<engine::Role> = (0..layout.roles.len()).map(|role| layout.role(role, &key, report)).collect();
    for (place, (role, written)) in compiled.iter().zip(layout.roles.iter()).enumerate() {
        let is_scope = scopes.contains(&Some(place as RoleIdx));
        for (pattern, span) in role.alternatives.iter().zip(written.spans()) {
            if pattern.asks() {
                askers(pattern, &span, is_scope, cx, report);
            }
            if is_scope && pattern.where_late.as_ref().is_some_and(Expr::roles_used) {
                let message = format!("`{}` of `during` cannot ask for other events in its condition", role.name);
                let help = "what both have in common belongs into the `key`; what was before can be kept as a fact";
                report.error_help(Code::Unsupported, &span, message, help);
            }
            let Some(name) = pattern.name.literal().filter(|name| cx.verdicts.can_be_taken_back(name)) else {
                continue;
            };
            let name = name.split('/').next().unwrap_or_default();
            if is_scope {
                let message = format!("`{name}` may be taken back, and a span of `during` cannot");
                report.error_help(
                    Code::Unsupported,
                    &span,
                    message,
                    "begin and end it with events that components send",
                );
            } else if pattern.key.iter().any(Option::is_none) {
                let message =
                    format!("`{name}` may be taken back, and is of one key: a shorter one cannot be asked for");
                report.error_help(Code::Unsupported, &span, message, "have the rule's key name no more than it has");
            }
        }
    }
    if let Some(kind) = &kind {
        lint::opposed::warn(kind, &ties, layout.roles, report);
    }
    let evidence = Evidence::new(&layout, &key, kind.as_ref());
    // Of a kind that cannot be read nobody knows what it has in evidence.
    let message =
        message.filter(|_| kind.is_some()).and_then(|node| template::compile(node, &evidence, cx.params, report));
    let severity = match severity_node {
        Some(Node { value: Yaml::List(items), span }) => severity::grades(items, span, &evidence, cx, report),
        _ => one_severity.map(|severity| (severity, Vec::new())),
    };
    let (id, kind, (severity, grades)) = (id?, kind?, severity?);
    // Violations are of members: patterns bind the group alone.
    let member = match &kind {
        Kind::Aggregate(aggregate) => aggregate.each.as_ref().map(|each| each.name.clone()),
        _ => None,
    };
    key.extend(member.map(|name| KeyPart { name, optional: false }));
    for (name, span) in group_by.iter().filter(|(name, _)| key.iter().all(|part| part.name != *name)) {
        let parts = || key.iter().map(|part| part.name.as_str());
        let help = match suggest::closest(name, parts()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("the key has: {}", parts().collect::<Vec<_>>().join(", ")),
        };
        report.error_help(Code::Key, span, format!("`group_by` names key parts, `{name}` is none"), help);
    }
    let emitted = emits::compile(&emitted, &kind, hold.is_some(), &key, &layout, report);
    let group_by = group_by.into_iter().map(|(name, _)| name).collect();
    let default = match &kind {
        Kind::Response { .. } => OnRestart::Broken,
        Kind::Count { min: Some(_), .. } => OnRestart::Broken,
        _ => OnRestart::Keep,
    };
    let level = match &kind {
        Kind::Count { span, .. } => matches!(span, CountSpan::Window(_)),
        Kind::Aggregate(aggregate) => matches!(aggregate.span, engine::AggregateSpan::Window(_)),
        _ => true,
    };
    if hold.is_some() && !level {
        report.error_help(
            Code::Shape,
            &node.span,
            format!("`for` is how long a level must last, and this `{word}` is judged once"),
            "a level needs a `window`",
        );
    }
    let on_restart = on_restart.unwrap_or(default);
    if report.diagnostics[before..].iter().any(crate::Diagnostic::is_error) {
        return None;
    }
    let meaning = format!(
        "{key:?}{across_networks}{compiled:?}{kind:?}{during:?}{on_restart:?}{report_first}{quiet:?}{ties:?}{hold:?}{slack:?}{enabled}{silence_counts}{settle:?}{forget_after:?}{max_keys}"
    );
    let (emits, declared): (Vec<_>, Vec<_>) = emitted.into_iter().unzip();
    let rule = Rule {
        id,
        about,
        reference,
        severity,
        grades,
        key,
        across_networks,
        roles: compiled,
        kind,
        during,
        on_restart,
        report_first,
        quiet,
        ties,
        hold,
        slack,
        mode,
        enabled,
        message,
        runbook_url,
        runbook,
        owner,
        labels,
        group_by,
        silence_counts,
        settle,
        forget_after,
        max_keys,
        emits,
        digest: fnv(&meaning),
        line,
    };
    lint::cost::warn_memory(&rule, max_keys_node, report);
    lint::cost::warn_quiet(&rule, quiet_node, report);
    Some((rule, declared))
}

/// Reports what cannot be had of a pattern whose `let` or `for_each` asks for more than its event.
fn askers(
    pattern: &engine::Pattern,
    span: &std::ops::Range<usize>,
    is_scope: bool,
    cx: &Context<'_>,
    report: &mut Report<'_>,
) {
    let (what, help) = if is_scope {
        ("a span of `during`", "ask in `where`")
    } else if pattern.key.iter().any(Option::is_none) {
        ("a shorter key", "ask in `where`, or give the whole key")
    } else if pattern.name.literal().is_some_and(|name| cx.verdicts.can_be_taken_back(name)) {
        ("an event that may be taken back", "ask in `where`")
    } else {
        return;
    };
    let message =
        format!("a `let` or `for_each` that asks a fact, a clock, a breaker or who is live goes not with {what}");
    report.error_help(Code::Unsupported, span, message, help);
}

/// FNV-1a, 64 bits: the same in every build.
pub(crate) fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// `[node, batch.id, worker?]`; the network is a part of every key and need not be named.
pub(crate) fn key_parts(node: &Node, report: &mut Report<'_>) -> Vec<KeyPart> {
    texts(node, report)
        .into_iter()
        .filter(|(name, span)| {
            // Several parts that are written as one.
            let parts: Vec<&str> = name.split([',', ' ']).filter(|part| !part.is_empty()).collect();
            if parts.len() > 1 {
                let help = format!("a key is a list: `key: [{}]`", parts.join(", "));
                report.error_help(Code::Key, span, format!("`{name}` is no part of a key"), help);
            }
            parts.len() <= 1
        })
        .map(|(name, _)| KeyPart { optional: name.ends_with('?'), name: name.trim_end_matches('?').to_owned() })
        .filter(|part| part.name != "network")
        .collect()
}

fn during<'n>(node: &'n Node, roles: &mut Roles<'n>, cx: &Context<'_>, report: &mut Report<'_>) -> Option<During> {
    let mut fields = Fields::of(node, "during", report)?;
    let after = roles.take(&mut fields, "after", cx, report);
    let until = roles.take(&mut fields, "until", cx, report);
    let delay = fields.take("delay").and_then(|node| cx.params.duration(node, report)).unwrap_or_default();
    let within = fields.take("within").and_then(|node| cx.params.duration(node, report));
    if after.is_none() && until.is_none() {
        report.error_help(
            Code::MissingField,
            &node.span,
            "`during` has neither `after` nor `until`",
            "give at least one end",
        );
    }
    fields.finish(report);
    Some(During { after, until, delay, within })
}

/// Reads the one kind of a rule.
fn kind<'n>(
    fields: &mut Fields<'n>,
    roles: &mut Roles<'n>,
    cx: &Context<'n>,
    report: &mut Report<'_>,
) -> Option<Box<dyn kinds::Draft<'n> + 'n>> {
    let present: Vec<&'static str> = KINDS.iter().copied().filter(|kind| fields.has(kind)).collect();
    let start = fields.span().start..fields.span().start + 1;
    if present.is_empty()
        && let Some((kind, node)) = fields.take_misspelt(KINDS, "kind of rule", report)
    {
        // What else is wrong with it is said as well.
        return kinds::read(kind, node, roles, cx, report);
    }
    let [kind] = present[..] else {
        let (message, help) = if present.is_empty() {
            ("this rule has no kind".to_owned(), format!("a rule has exactly one of: {}", KINDS.join(", ")))
        } else {
            (format!("this rule has {} kinds: {}", present.len(), present.join(", ")), "make a rule of each".to_owned())
        };
        report.error_help(Code::MissingField, &start, message, help);
        for kind in present {
            fields.take(kind);
        }
        return None;
    };
    kinds::read(kind, fields.take(kind)?, roles, cx, report)
}
