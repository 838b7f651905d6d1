//! Rules: one kind over roles, with modifiers.
use std::time::Duration;

use engine::{
    CountSpan, During, KeyPart, Kind, Limit, Mode, OnRestart, ROLES_MAX, RoleIdx, Rule, Severity, Ties, Type,
    expr::Expr,
};

use crate::{
    clock,
    diagnostic::Code,
    emits, expected,
    fields::{self, Fields, Report, text, texts},
    kind as kinds, modifiers, names,
    pattern::{self, Context, Layout, Parsed, WrittenRole},
    severity, switch, template,
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

/// A kind whose expressions wait for the slots to be laid out.
enum Draft<'n> {
    Done(Kind),
    Always(RoleIdx, Parsed<'n>),
    Agreement {
        of: RoleIdx,
        value: Parsed<'n>,
        among: Vec<Parsed<'n>>,
        within: Option<Duration>,
        voters: Option<Parsed<'n>>,
        assert: Option<Parsed<'n>>,
    },
    Expected(expected::Roles, expected::From<'n>),
    Response {
        kind: Kind,
        limit: Parsed<'n>,
    },
    Ticks {
        kind: Kind,
        ticks: clock::Written,
        node: &'n Node,
    },
    Other(Box<dyn kinds::Draft<'n> + 'n>),
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
    let quiet = fields.take("quiet").and_then(|node| cx.params.duration(node, report));
    let report_first = fields.take("report").is_some_and(|node| match node.scalar().as_deref() {
        Some("first") => true,
        Some("all") => false,
        _ => {
            report.error(Code::Shape, &node.span, "`report` is `first` or `all`");
            false
        }
    });
    let mode = fields.take("mode").map_or(Mode::Active, |node| match node.scalar().as_deref() {
        Some("active") => Mode::Active,
        Some("shadow") => Mode::Shadow,
        Some("measure") => Mode::Measure,
        _ => {
            report.error(Code::Shape, &node.span, "`mode` is `active`, `shadow` or `measure`");
            Mode::Active
        }
    });
    let enabled = fields.take("enabled").is_none_or(|node| switch::enabled(node, cx, report));
    let message = fields.take("message");
    let runbook_url = fields.take("runbook_url").and_then(|node| text(node, report));
    let runbook = fields.take("runbook").and_then(|node| text(node, report));
    let owner = fields.take("owner").and_then(|node| text(node, report));
    let labels = fields.take("labels").map(|node| fields::labels(node, report)).unwrap_or_default();
    let group_by = fields.take("group_by").map(|node| texts(node, report)).unwrap_or_default();
    let forget_after = fields.take("forget_after").and_then(|node| cx.params.duration(node, report)).unwrap_or(DAY);
    let max_keys = fields.take("max_keys").and_then(|node| cx.params.number(node, report)).unwrap_or(1_000_000);
    let on_restart = fields.take("on_restart");
    let strict = modifiers::strict(&mut fields, word, cx, report);
    let slack = modifiers::slack(&mut fields, word, strict, cx, report);
    let by = modifiers::by(&mut fields, &mut roles, strict, report);
    let hold = modifiers::hold(&mut fields, word, cx, report);
    let emits_node = fields.take("emits");
    let silence_counts = fields.take("on_silence").is_some_and(|node| match node.scalar().as_deref() {
        Some("violated") => true,
        Some("unknown") => false,
        _ => {
            report.error(Code::Shape, &node.span, "`on_silence` is `unknown` or `violated`");
            false
        }
    });
    let settle = fields.take("settle").and_then(|node| cx.params.duration(node, report));
    fields.finish(report);

    let draft = draft?;
    let mut layout = Layout { cx, roles: &mut roles.written };
    layout.mark_conditions();
    match &draft {
        Draft::Done(_) => {}
        Draft::Always(of, assert) => layout.mark(*of as usize, &assert.tree),
        Draft::Expected(roles, from) => from.mark(roles, &mut layout),
        Draft::Agreement { of, value, among, voters, assert, .. } => {
            layout.mark(*of as usize, &value.tree);
            voters.iter().for_each(|voters| layout.mark(*of as usize, &voters.tree));
            assert.iter().for_each(|assert| layout.mark_but(*of as usize, &assert.tree, POLLED));
            among.iter().for_each(|part| layout.mark(*of as usize, &part.tree));
            if among.is_empty() {
                layout.keep(*of as usize, names::Variable::Builtin("node"));
            }
        }
        Draft::Response { kind: Kind::Response { when, .. }, limit } => layout.mark(*when as usize, &limit.tree),
        Draft::Other(draft) => draft.mark(&mut layout),
        Draft::Ticks { kind: Kind::Response { when, .. }, ticks, .. } => ticks.mark(*when, &mut layout),
        Draft::Response { .. } | Draft::Ticks { .. } => {}
    }
    let scopes = [during.as_ref().and_then(|d| d.after), during.as_ref().and_then(|d| d.until)];
    let ties = match by {
        Some(by) => modifiers::ordered_by(&by, &mut layout, &scopes, report),
        None if strict => Ties::Strict,
        None => Ties::Favourable,
    };
    let kind = finish(draft, &layout, &key, report);
    let compiled: Vec<engine::Role> = (0..layout.roles.len()).map(|role| layout.role(role, &key, report)).collect();
    for (place, role) in compiled.iter().enumerate() {
        let scope = scopes.contains(&Some(place as RoleIdx));
        if scope && role.alternatives.iter().any(|pattern| pattern.where_late.is_some()) {
            report.error(
                Code::Unsupported,
                &node.span,
                format!(
                    "`{}`: conditions of `during` on facts or other events are not supported yet by this version",
                    role.name
                ),
            );
        }
    }
    let names: Vec<(String, &'static str)> = layout.roles.iter().map(|role| (role.name.clone(), role.word)).collect();
    let message = message.and_then(|node| template::compile(node, &names, cx.params, report));
    let severity = match severity_node {
        Some(Node { value: Yaml::List(items), span }) => severity::grades(items, span, &names, cx, report),
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
        report.error(Code::Key, span, format!("`group_by` names key parts, `{name}` is none"));
    }
    let emitted = emits_node.map(|node| emits::compile(node, &kind, &key, cx.params, cx.events, report));
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
    let on_restart = on_restart.map_or(default, |node| match node.scalar().as_deref() {
        Some("broken") => OnRestart::Broken,
        Some("ended") => OnRestart::Ended,
        Some("reset") => OnRestart::Reset,
        Some("keep") => OnRestart::Keep,
        _ => {
            report.error(Code::Shape, &node.span, "`on_restart` is `broken`, `ended`, `reset` or `keep`");
            default
        }
    });
    if report.diagnostics[before..].iter().any(crate::Diagnostic::is_error) {
        return None;
    }
    let meaning = format!(
        "{key:?}{across_networks}{compiled:?}{kind:?}{during:?}{on_restart:?}{report_first}{quiet:?}{ties:?}{hold:?}{slack:?}{enabled}{silence_counts}{settle:?}{forget_after:?}{max_keys}"
    );
    let (emits, declared): (Vec<_>, Vec<_>) = emitted.unwrap_or_default().into_iter().unzip();
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
    Some((rule, declared))
}

/// FNV-1a, 64 bits: the same in every build.
pub(crate) fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// `[node, batch.id, worker?]`; the network is a part of every key and need not be named.
pub(crate) fn key_parts(node: &Node, report: &mut Report<'_>) -> Vec<KeyPart> {
    texts(node, report)
        .into_iter()
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
) -> Option<Draft<'n>> {
    let present: Vec<&'static str> = KINDS.iter().copied().filter(|kind| fields.has(kind)).collect();
    let start = fields.span().start..fields.span().start + 1;
    if present.is_empty()
        && let Some((kind, node)) = fields.take_misspelt(KINDS, "kind of rule", report)
    {
        // What else is wrong with it is said as well.
        return draft(kind, node, roles, cx, report);
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
    draft(kind, fields.take(kind)?, roles, cx, report)
}

/// Reads what stands under the kind's name.
fn draft<'n>(
    kind: &str,
    node: &'n Node,
    roles: &mut Roles<'n>,
    cx: &Context<'n>,
    report: &mut Report<'_>,
) -> Option<Draft<'n>> {
    match kind {
        "never" => Some(Draft::Done(Kind::Never { of: roles.add(node, "event", cx, report) })),
        "always" => {
            let mut fields = Fields::of(node, "always", report)?;
            let of = roles.need(&mut fields, "event", cx, report);
            let assert = fields.need("assert", report).and_then(|node| Parsed::of(node, 0, report));
            fields.finish(report);
            Some(Draft::Always(of?, assert?))
        }
        "response" => response(node, roles, cx, report),
        "precedence" => precedence(node, roles, cx, report),
        "count" => count(node, roles, cx, report),
        "agreement" => agreement(node, roles, cx, report),
        "consecutive" => {
            let mut fields = Fields::of(node, "consecutive", report)?;
            let fail = roles.need(&mut fields, "fail", cx, report);
            let ok = roles.need(&mut fields, "ok", cx, report);
            let count = fields.need("count", report).and_then(|node| cx.params.number(node, report));
            fields.finish(report);
            let count = u32::try_from(count?).unwrap_or(u32::MAX).max(1);
            Some(Draft::Done(Kind::Consecutive { fail: fail?, ok: ok?, count }))
        }
        "heartbeat" => {
            let mut fields = Fields::of(node, "heartbeat", report)?;
            let of = roles.need(&mut fields, "event", cx, report);
            let every = fields.need("every", report).and_then(|node| cx.params.duration(node, report));
            let start = roles.take(&mut fields, "start", cx, report);
            let stop = roles.take(&mut fields, "stop", cx, report);
            let while_ = roles.take(&mut fields, "while", cx, report);
            let expect_node = fields.take("expect");
            fields.finish(report);
            let (expect, left) = expect_node.map_or((None, None), |node| expect(node, roles, cx, report));
            if let (Some(node), Some(_), Some(_)) = (expect_node, left, stop) {
                let message = "`expect` ends when the fact is unset, `stop` would end it too";
                report.error_help(
                    Code::Shape,
                    &node.span,
                    message,
                    "give one of them, or unset the fact by both events",
                );
            }
            Some(Draft::Done(Kind::Heartbeat { of: of?, every: every?, start, stop: stop.or(left), expect, while_ }))
        }
        other => kinds::read(other, node, roles, cx, report).map(Draft::Other),
    }
}

/// `expect: fact.members`: the events that set and unset the fact begin and end what a heartbeat expects.
fn expect<'n>(
    node: &'n Node,
    roles: &mut Roles<'n>,
    cx: &Context<'n>,
    report: &mut Report<'_>,
) -> (Option<RoleIdx>, Option<RoleIdx>) {
    let text = text(node, report).unwrap_or_default();
    let name = text.strip_prefix("fact.").unwrap_or(&text);
    let name = name.strip_suffix("()").unwrap_or(name);
    let found = match crate::fact::find(name, cx.facts) {
        Ok((_, known)) => cx.fact_nodes.iter().find(|(key, _)| key.name == known.name),
        Err(problem) => {
            report.inside(node, 0, problem);
            return (None, None);
        }
    };
    let Some((_, Node { value: Yaml::Map(fields), .. })) = found else { return (None, None) };
    let field = |name: &str| fields.iter().find(|(key, _)| key.name == name).map(|(_, node)| node);
    if let Some(why) = ["is", "expires"].into_iter().find(|word| field(word).is_some()) {
        let message = format!("`{name}` has `{why}`: no event says when its rows begin and end");
        report.error_help(Code::Shape, &node.span, message, "expect a fact that events set and unset");
        return (None, None);
    }
    let mut role = |field: &'n Node, word| roles.add(field, word, cx, report);
    (field("set_by").map(|node| role(node, "expect")), field("unset_by").map(|node| role(node, "stop")))
}

fn response<'n>(node: &'n Node, roles: &mut Roles<'n>, cx: &Context<'_>, report: &mut Report<'_>) -> Option<Draft<'n>> {
    let mut fields = Fields::of(node, "response", report)?;
    let when = roles.need(&mut fields, "when", cx, report);
    let then = roles.need(&mut fields, "then", cx, report);
    let within = fields.take("within");
    let by = roles.take(&mut fields, "by", cx, report);
    let unless = roles.take(&mut fields, "unless", cx, report);
    let broken_by = roles.take(&mut fields, "broken_by", cx, report);
    let grace = fields.take("grace").and_then(|node| cx.params.duration(node, report)).unwrap_or_default();
    let pair = fields.take("pair").and_then(|node| cx.params.bool(node, report)).unwrap_or(false);
    let from_node = fields.take("from");
    let span = fields.span().clone();
    fields.finish(report);
    if let Some(node) = from_node {
        let from = expected::read(node, cx, report);
        if by.is_some() || broken_by.is_some() || pair {
            let message = "with `from` a response has `within` and may have `unless`, nothing else";
            report.error_help(Code::Shape, &node.span, message, "make a rule of its own of the rest");
        }
        let Some(within) = within else {
            report.error_help(
                Code::MissingField,
                &(span.start..span.start + 1),
                "this response has no end",
                "give `within: 5s`",
            );
            return None;
        };
        let within = cx.params.duration(within, report)?;
        return Some(Draft::Expected(expected::Roles { when: when?, then: then?, unless, within }, from?));
    }
    let kind = |limit| Some(Kind::Response { when: when?, then: then?, limit, pair, unless, broken_by, grace });
    match (within, by) {
        (Some(_), Some(_)) => {
            report.error(Code::Shape, &span, "`within` and `by` are alternatives: give one of them");
            None
        }
        (None, Some(by)) => kind(Limit::By(by)).map(Draft::Done),
        (None, None) => {
            report.error_help(
                Code::MissingField,
                &(span.start..span.start + 1),
                "this response has no end",
                "give `within: 5s`, or `by:` with a marker event",
            );
            None
        }
        (Some(node), None) => {
            let expression = match &node.value {
                Yaml::Text(text) => text.contains(['*', '(']) || (text.contains('.') && !text.starts_with("param.")),
                _ => false,
            };
            if let Some(ticks) = clock::ticks(node, cx, report) {
                let kind = kind(Limit::Within(Duration::ZERO))?;
                return Some(Draft::Ticks { kind, ticks: ticks.ok()?, node });
            }
            if expression && engine::expr::parse_duration(&node.scalar().unwrap_or_default()).is_none() {
                let limit = Parsed::of(node, 0, report)?;
                return kind(Limit::Within(Duration::ZERO)).map(|kind| Draft::Response { kind, limit });
            }
            let within = cx.params.duration(node, report)?;
            kind(Limit::Within(within)).map(Draft::Done)
        }
    }
}

fn precedence<'n>(
    node: &'n Node,
    roles: &mut Roles<'n>,
    cx: &Context<'_>,
    report: &mut Report<'_>,
) -> Option<Draft<'n>> {
    let mut fields = Fields::of(node, "precedence", report)?;
    let event = roles.need(&mut fields, "event", cx, report);
    let mut requires = Vec::new();
    let mut all = true;
    if let Some(node) = fields.need("requires", report) {
        let map = match &node.value {
            Yaml::Map(entries) => entries.iter().any(|(key, _)| key.name == "all" || key.name == "any"),
            _ => false,
        };
        let patterns = if map {
            let mut inner = Fields::of(node, "requires", report)?;
            let found = match (inner.take("all"), inner.take("any")) {
                (Some(list), None) => Some(list),
                (None, Some(list)) => {
                    all = false;
                    Some(list)
                }
                _ => {
                    report.error(Code::Shape, &node.span, "`requires` has `all` or `any`, not both");
                    None
                }
            };
            inner.finish(report);
            found
        } else {
            Some(node)
        };
        match patterns.map(|node| (&node.value, node)) {
            Some((Yaml::List(items), _)) => {
                requires.extend(items.iter().map(|item| roles.add(item, "requires", cx, report)));
            }
            Some((_, node)) => requires.push(roles.add(node, "requires", cx, report)),
            None => {}
        }
    }
    let within = fields.take("within").and_then(|node| cx.params.duration(node, report));
    let since = roles.take(&mut fields, "since", cx, report);
    let unless = roles.take(&mut fields, "unless", cx, report);
    fields.finish(report);
    Some(Draft::Done(Kind::Precedence { event: event?, requires, all, within, since, unless }))
}

fn count<'n>(node: &'n Node, roles: &mut Roles<'n>, cx: &Context<'_>, report: &mut Report<'_>) -> Option<Draft<'n>> {
    let mut fields = Fields::of(node, "count", report)?;
    let of = roles.need(&mut fields, "of", cx, report);
    let min = fields.take("min").and_then(|node| cx.params.number(node, report));
    let max = fields.take("max").and_then(|node| cx.params.number(node, report));
    let window = fields.take("window").and_then(|node| cx.params.duration(node, report));
    let per = fields.take("per");
    let span = match (window, per) {
        (Some(_), Some(node)) => {
            report.error(Code::Shape, &node.span, "`window` and `per` are alternatives: give one of them");
            return None;
        }
        (Some(window), None) => CountSpan::Window(window),
        (None, None) => CountSpan::Ever,
        (None, Some(node)) => {
            let mut per = Fields::of(node, "per", report)?;
            let when = roles.need(&mut per, "when", cx, report);
            let before = per.take("before").and_then(|node| cx.params.duration(node, report)).unwrap_or_default();
            let within = per.take("within").and_then(|node| cx.params.duration(node, report));
            let until = roles.take(&mut per, "until", cx, report);
            per.finish(report);
            if within.is_none() && until.is_none() {
                report.error_help(
                    Code::MissingField,
                    &node.span,
                    "these spans never end",
                    "give `within`, `until`, or both",
                );
            }
            CountSpan::Per { when: when?, before, within, until }
        }
    };
    let place = fields.span().clone();
    if min.is_none() && max.is_none() {
        report.error(Code::MissingField, &(place.start..place.start + 1), "a count has `min`, `max` or both");
    }
    if min.is_some() && !matches!(span, CountSpan::Per { .. }) {
        report.error_help(
            Code::Shape,
            &place,
            "`min` needs an end at which it is judged",
            "give `per: {when: …, within: …}`",
        );
    }
    fields.finish(report);
    Some(Draft::Done(Kind::Count { of: of?, min, max, span }))
}

fn agreement<'n>(
    node: &'n Node,
    roles: &mut Roles<'n>,
    cx: &Context<'_>,
    report: &mut Report<'_>,
) -> Option<Draft<'n>> {
    let mut fields = Fields::of(node, "agreement", report)?;
    let of = roles.need(&mut fields, "event", cx, report);
    let value = fields.need("value", report).and_then(|node| Parsed::of(node, 0, report));
    let among = match fields.take("among") {
        Some(Node { value: Yaml::List(items), .. }) => {
            items.iter().filter_map(|item| Parsed::of(item, 0, report)).collect()
        }
        Some(node) => Parsed::of(node, 0, report).into_iter().collect(),
        None => Vec::new(),
    };
    let within = fields.take("within").and_then(|node| cx.params.duration(node, report));
    let voters_node = fields.take("voters");
    let voters = voters_node.and_then(|node| Parsed::of(node, 0, report));
    let assert_node = fields.take("assert");
    let assert = assert_node.and_then(|node| Parsed::of(node, 0, report));
    fields.finish(report);
    if let (Some(node), None) = (assert_node, within) {
        report.error_help(
            Code::MissingField,
            &node.span,
            "`assert` is judged when the time to vote is over, and this rule has none",
            "give `within: 10m`, counted from the first vote",
        );
    }
    if let (Some(node), true) = (voters_node, among.len() > 1) {
        let message = "`voters` lists single names, and `among` tells voters apart by several";
        report.error_help(Code::Shape, &node.span, message, "give one expression under `among`, the node by default");
    }
    Some(Draft::Agreement { of: of?, value: value?, among, within, voters, assert })
}

/// Compiles the expressions that waited for the slots.
fn finish<'n>(draft: Draft<'n>, layout: &Layout<'_, 'n>, key: &[KeyPart], report: &mut Report<'_>) -> Option<Kind> {
    match draft {
        Draft::Done(kind) => Some(kind),
        Draft::Other(draft) => draft.finish(layout, key, report),
        Draft::Always(of, assert) => {
            let (expr, kind) = layout.late(of as usize, &assert, report)?;
            expected::condition(&assert, kind, report);
            Some(Kind::Always { of, assert: expr })
        }
        Draft::Expected(roles, from) => from.finish(&roles, layout, report),
        Draft::Agreement { of, value, among, within, voters, assert } => {
            let (value, _) = layout.late(of as usize, &value, report)?;
            let mut by: Vec<Expr> =
                among.iter().filter_map(|part| layout.late(of as usize, part, report)).map(|(expr, _)| expr).collect();
            if by.is_empty() {
                let node = layout.roles[of as usize].kept.iter().position(|v| *v == names::Variable::Builtin("node"));
                by.push(Expr::Slot(node? as u16));
            }
            let voters = voters.and_then(|voters| expected::list(of, &voters, layout, report));
            let assert = assert.and_then(|assert| {
                let (expr, kind) = layout.late_with(of as usize, &assert, POLLED, report)?;
                expected::condition(&assert, kind, report);
                Some(expr)
            });
            Some(Kind::Agreement { of, value, among: by, within, voters, assert })
        }
        Draft::Ticks { mut kind, ticks, node } => {
            if let Kind::Response { when, limit, .. } = &mut kind {
                *limit = Limit::Ticks(ticks.finish(*when, node, layout, report)?);
            }
            Some(kind)
        }
        Draft::Response { kind, limit } => {
            let Kind::Response { when, then, pair, unless, broken_by, grace, .. } = kind else { return None };
            let (expr, kind) = layout.late(when as usize, &limit, report)?;
            if !matches!(kind, Type::Duration | Type::Any) {
                let message = format!("`within` needs a duration, this is {}", names::type_name(kind));
                let problem =
                    names::Problem { span: limit.tree.span.clone(), ..names::Problem::new(Code::Type, message) };
                report.inside(
                    limit.node,
                    limit.offset,
                    problem.help("multiply by a length: `when.ttl_s * duration(\"1s\")`"),
                );
            }
            Some(Kind::Response { when, then, limit: Limit::Computed(expr), pair, unless, broken_by, grace })
        }
    }
}

/// What `assert` of an agreement may speak of besides the first vote.
const POLLED: &[&str] = &["values", "dissent", "voters"];
