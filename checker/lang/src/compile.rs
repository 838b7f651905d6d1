//! Packs: the sections of a file, put together.
use engine::{Component, EventDecl, Glob, KeyPart, Kind, Lifecycle, Pack, Rule, Type};

use crate::{
    bites, breaker, clock, derive,
    diagnostic::{Code, Diagnostic},
    elsewhere,
    emits::{self, Verdicts},
    extend, fact,
    fields::{Fields, Params, Report, text, texts},
    lint,
    pattern::{self, Context, Layout},
    rule, suggest,
    yaml::{self, Node, Yaml},
};

/// What a caller decides about a pack.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Values that win over the pack's own parameters, as they would be written in YAML.
    pub params: Vec<(String, String)>,
}

/// Compiles a pack, collecting every mistake. The pack is none when it has errors.
#[must_use]
pub fn compile(source: &str, file: &str, options: &Options) -> (Option<Pack>, Vec<Diagnostic>) {
    let mut report = Report { source, file, diagnostics: Vec::new() };
    let mut trees = Vec::new();
    for part in extend::documents(source) {
        match extend::read(source, &part, file) {
            Ok(mut tree) => {
                bites::mend(&mut tree, &mut report);
                trees.push(tree);
            }
            Err(diagnostic) => return (None, vec![*diagnostic]),
        }
    }
    let mut trees = trees.into_iter();
    let Some(mut document) = trees.next() else { return (None, report.diagnostics) };
    trees.for_each(|overrides| extend::apply(&mut document, &overrides, &mut report));
    let pack = compile_pack(&document, options, &mut report);
    report.diagnostics.sort_by_key(|diagnostic| diagnostic.span.start);
    let broken = report.diagnostics.iter().any(Diagnostic::is_error);
    (pack.filter(|_| !broken), report.diagnostics)
}

fn compile_pack(document: &Node, options: &Options, report: &mut Report<'_>) -> Option<Pack> {
    let mut fields = Fields::of(document, "pack", report)?;
    let name = fields.need("pack", report).and_then(|node| {
        let name = text(node, report)?;
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') {
            report.error(Code::Shape, &node.span, format!("`{name}` is not a name: letters, digits, `-` and `_` only"));
        }
        Some(name)
    });
    let about = fields.take("about").and_then(|node| text(node, report)).unwrap_or_default();
    let params = params(fields.take("params"), options, report);
    let topology = fields.take("topology").map(|node| topology(node, report)).unwrap_or_default();
    let events = fields.take("events").map(|node| events(node, report)).unwrap_or_default();
    let facts_node = fields.take("facts");
    let lifecycle_node = fields.take("lifecycle");
    let rules_node = fields.take("rules");
    let breakers_node = fields.take("breakers");
    let derive_node = fields.take("derive");
    let clocks_node = fields.take("clocks");
    if let Some(node) = fields.take("extends") {
        report.error_help(
            Code::Shape,
            &node.span,
            "a pack extends no other: it has a name of its own",
            "a file of overrides begins with `extends: NAME` and has no `pack`",
        );
    }
    fields.finish(report);

    let mut pack = Pack { name: name.unwrap_or_default(), about, topology, events, ..Pack::default() };
    // What rules make of their verdicts is for rules alone.
    let rule_nodes = list(rules_node, "rules", report);
    let made: Vec<(String, String)> = rule_nodes.iter().flat_map(emits::written).collect();
    let derive_nodes = entries(derive_node, "derive", report);
    let firsts: Vec<&str> = derive_nodes
        .iter()
        .filter(|(_, node)| node.field("first_per").is_some())
        .map(|(key, _)| key.name.as_str())
        .collect();
    for (key, node) in derive_nodes {
        // Each may rest on those above it, so that none rests on itself.
        let later = derive_nodes.iter().map(|(later, _)| later.name.as_str());
        let later: Vec<&str> = later.skip(pack.derives.len()).filter(|later| *later != key.name).collect();
        let cx = Context {
            params: &params,
            events: &pack.events,
            facts: &[],
            fact_nodes: &[],
            topology: &pack.topology,
            clocks: &[],
            breakers: &[],
            raw: true,
            later: &later,
            verdicts: Verdicts { below: &made, firsts: &firsts, ..Verdicts::default() },
        };
        let Some((derive, declaration)) = derive::compile(&key.name, node, &pack.name, &pack.derives, &cx, report)
        else {
            continue;
        };
        pack.derives.push(derive);
        // A pack without a vocabulary has none to be checked against.
        if !pack.events.is_empty() {
            pack.events.extend(declaration);
        }
    }
    let mut clocks: Vec<clock::Known> = Vec::new();
    for (key, node) in entries(clocks_node, "clocks", report) {
        let cx = Context {
            params: &params,
            events: &pack.events,
            facts: &[],
            fact_nodes: &[],
            topology: &pack.topology,
            clocks: &[],
            breakers: &[],
            raw: false,
            later: &[],
            verdicts: Verdicts { below: &made, firsts: &firsts, ..Verdicts::default() },
        };
        if let Some(declared) = clock::compile(&key.name, node, &cx, report) {
            clocks.push(clock::Known { name: declared.name.clone(), key: declared.key.clone() });
            pack.clocks.push(declared);
        }
    }
    let mut known: Vec<fact::Known> = Vec::new();
    let fact_nodes = entries(facts_node, "facts", report);
    for (key, node) in fact_nodes {
        let cx = Context {
            params: &params,
            events: &pack.events,
            facts: &known,
            fact_nodes,
            topology: &pack.topology,
            clocks: &clocks,
            breakers: &[],
            raw: false,
            later: &[],
            verdicts: Verdicts { below: &made, firsts: &firsts, ..Verdicts::default() },
        };
        if let Some((fact, declared)) = fact::compile(&key.name, node, &cx, report) {
            known.push(declared);
            pack.facts.push(fact);
        }
    }
    let breaker_nodes = list(breakers_node, "breakers", report);
    let breakers = breaker::written(breaker_nodes);
    let (vocabulary, topology) = (pack.events.clone(), pack.topology.clone());
    let cx = Context {
        params: &params,
        events: &vocabulary,
        facts: &known,
        fact_nodes,
        topology: &topology,
        clocks: &clocks,
        breakers: &breakers,
        raw: false,
        later: &[],
        verdicts: Verdicts { below: &made, firsts: &firsts, ..Verdicts::default() },
    };
    pack.lifecycles = items(lifecycle_node).filter_map(|node| lifecycle(node, &cx, report)).collect();
    let mut ids: Vec<(String, std::ops::Range<usize>)> = Vec::new();
    let mut said = lint::Rules::default();
    let mut vocabulary = vocabulary.clone();
    for (place, node) in rule_nodes.iter().enumerate() {
        note_id(node, "rule", &mut ids, report);
        let above: Vec<String> = pack.rules.iter().map(|rule: &Rule| rule.id.clone()).collect();
        let below: Vec<(String, String)> = rule_nodes[place..].iter().flat_map(emits::written).collect();
        let verdicts = Verdicts { above: &above, below: &below, made: &made, firsts: &firsts, in_rule: true };
        let cx = Context { events: &vocabulary, verdicts, ..cx };
        if let Some((mut rule, declared)) = rule::compile(node, &cx, report) {
            warn_twins(&rule, node, &pack.events, report);
            said.add(&rule, node, report);
            // A rule also means what the facts and the rules mean that it rests on.
            rule.digest ^= facts_digest(&rule, &pack) ^ emits::provide(&rule, &mut pack.rules);
            pack.rules.push(rule);
            // A pack without a vocabulary has none to be checked against.
            if !vocabulary.is_empty() {
                vocabulary.extend(declared);
            }
        }
    }
    let rule_ids: Vec<String> = ids.iter().map(|(id, _)| id.clone()).collect();
    let mut breaker_ids = Vec::new();
    for node in breaker_nodes {
        note_id(node, "breaker", &mut breaker_ids, report);
        if let Some(breaker) = breaker::compile(node, &rule_ids, &cx, report) {
            pack.breakers.push(breaker);
        }
    }
    Some(pack)
}

/// Remembers an id and reports one that is taken.
fn note_id(node: &Node, what: &str, ids: &mut Vec<(String, std::ops::Range<usize>)>, report: &mut Report<'_>) {
    let Yaml::Map(entries) = &node.value else { return };
    let Some((_, value)) = entries.iter().find(|(key, _)| key.name == "id") else { return };
    let Some(id) = value.scalar() else { return };
    if let Some((_, first)) = ids.iter().find(|(known, _)| *known == id) {
        let line = report.source[..first.start].matches('\n').count() + 1;
        report.error_help(
            Code::Duplicate,
            &value.span,
            format!("there is a {what} `{id}` already"),
            format!("the first one is on line {line}"),
        );
    }
    ids.push((id, value.span.clone()));
}

fn items(node: Option<&Node>) -> impl Iterator<Item = &Node> {
    node.into_iter().flat_map(|node| match &node.value {
        Yaml::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    })
}

fn list<'n>(node: Option<&'n Node>, what: &str, report: &mut Report<'_>) -> &'n [Node] {
    match node {
        None => &[],
        Some(Node { value: Yaml::List(items), .. }) => items,
        Some(node) => {
            report.error_help(
                Code::Shape,
                &node.span,
                format!("`{what}` is a list, this is {}", node.shape()),
                "begin each entry with `- id: …`",
            );
            &[]
        }
    }
}

fn entries<'n>(node: Option<&'n Node>, what: &str, report: &mut Report<'_>) -> &'n [(yaml::Key, Node)] {
    match node {
        None => &[],
        Some(Node { value: Yaml::Map(entries), .. }) => entries,
        Some(node) => {
            report.error(Code::Shape, &node.span, format!("`{what}` is a map of names, this is {}", node.shape()));
            &[]
        }
    }
}

fn params(node: Option<&Node>, options: &Options, report: &mut Report<'_>) -> Params {
    let mut params = Params::default();
    for (key, value) in entries(node, "params", report) {
        let given = options.params.iter().find(|(name, _)| *name == key.name).map(|(_, text)| given(text, value));
        params.0.push((key.name.clone(), given.unwrap_or_else(|| value.clone())));
    }
    for (name, _) in &options.params {
        if !params.0.iter().any(|(known, _)| known == name) {
            report.error(Code::Name, &(0..0), format!("there is no parameter `{name}` to set"));
        }
    }
    params
}

/// An overriding value, read as YAML would.
fn given(text: &str, place: &Node) -> Node {
    let value = match text {
        "true" => Yaml::Bool(true),
        "false" => Yaml::Bool(false),
        number if number.parse::<f64>().is_ok() => Yaml::Number(number.to_owned()),
        other => Yaml::Text(other.to_owned()),
    };
    Node { value, span: place.span.clone() }
}

fn topology(node: &Node, report: &mut Report<'_>) -> Vec<Component> {
    let mut components = Vec::new();
    let mut channels = Vec::new();
    for (key, node) in entries(Some(node), "topology", report) {
        let mut component = Component { name: key.name.clone(), ..Component::default() };
        if node.value != Yaml::Null
            && let Some(mut fields) = Fields::of(node, "component", report)
        {
            component.about = fields.take("about").and_then(|node| text(node, report)).unwrap_or_default();
            component.match_scope = fields
                .take("match_scope")
                .map(|node| texts(node, report))
                .unwrap_or_default()
                .into_iter()
                .map(|(glob, _)| Glob::new(&glob))
                .collect();
            for (to, span) in fields.take("sends_to").map(|node| texts(node, report)).unwrap_or_default() {
                channels.push((to.clone(), span));
                component.sends_to.push(to);
            }
            fields.finish(report);
        }
        components.push(component);
    }
    for (to, span) in channels {
        if !components.iter().any(|component| component.name == to) {
            let help = match suggest::closest(&to, components.iter().map(|component| component.name.as_str())) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "declare it in the topology too".to_owned(),
            };
            report.error_help(Code::Reference, &span, format!("there is no component `{to}`"), help);
        }
    }
    components
}

fn events(node: &Node, report: &mut Report<'_>) -> Vec<EventDecl> {
    let mut events = Vec::new();
    for (key, node) in entries(Some(node), "events", report) {
        let mut event = EventDecl { name: key.name.clone(), ..EventDecl::default() };
        let long = |node: &Node| match &node.value {
            Yaml::Map(entries) => entries
                .iter()
                .any(|(key, value)| key.name == "attrs" && matches!(value.value, Yaml::Map(_) | Yaml::Null)),
            _ => false,
        };
        let about_only = |node: &Node| match &node.value {
            Yaml::Map(entries) => {
                matches!(entries.as_slice(), [(key, value)] if key.name == "about" && value.scalar().is_some_and(|text| parse_type(&text).is_none()))
            }
            _ => false,
        };
        let attrs = if long(node) || about_only(node) {
            let Some(mut fields) = Fields::of(node, "event", report) else { continue };
            event.about = fields.take("about").and_then(|node| text(node, report)).unwrap_or_default();
            let attrs = fields.take("attrs");
            fields.finish(report);
            attrs
        } else {
            Some(node).filter(|node| node.value != Yaml::Null)
        };
        for (name, value) in entries(attrs, "attrs", report) {
            let Some(kind) = value.scalar().and_then(|text| parse_type(&text)) else {
                let types = TYPES.iter().map(|(name, _)| *name);
                let said = value.scalar().unwrap_or_default();
                let help = match elsewhere::kind(&said).or_else(|| suggest::closest(&said, types)) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => "types are string, int, bool, double, bytes, list, map and any".to_owned(),
                };
                let message = format!("this is not the type of `{}`", name.name);
                report.error_help(Code::Shape, &value.span, message, help);
                continue;
            };
            event.attrs.push((name.name.clone(), kind));
        }
        events.push(event);
    }
    events
}

/// The types of attributes, as the vocabulary names them.
const TYPES: &[(&str, Type)] = &[
    ("string", Type::String),
    ("int", Type::Int),
    ("bool", Type::Bool),
    ("double", Type::Double),
    ("bytes", Type::Bytes),
    ("list", Type::List),
    ("map", Type::Map),
    ("any", Type::Any),
];

fn parse_type(text: &str) -> Option<Type> {
    TYPES.iter().find(|(name, _)| *name == text).map(|(_, kind)| *kind)
}

fn lifecycle(node: &Node, cx: &Context<'_>, report: &mut Report<'_>) -> Option<Lifecycle> {
    let mut fields = Fields::of(node, "lifecycle", report)?;
    let of = fields
        .take("of")
        .map_or_else(|| vec![KeyPart { name: "node".into(), optional: false }], |node| rule::key_parts(node, report));
    let role = |word: &'static str, fields: &mut Fields<'_>, report: &mut Report<'_>| {
        fields.take(word).map(|node| {
            let mut roles = vec![pattern::read(node, word, cx, report)];
            Layout { cx, roles: &mut roles }.role(0, &of, report)
        })
    };
    let started = role("started", &mut fields, report);
    let stopped = role("stopped", &mut fields, report);
    let instance = fields.take("instance").and_then(|node| text(node, report));
    fields.finish(report);
    Some(Lifecycle { started, stopped, instance })
}

/// Events without anything of their own but the time cannot be told from their twins.
fn warn_twins(rule: &Rule, node: &Node, events: &[EventDecl], report: &mut Report<'_>) {
    let Kind::Count { of, .. } = rule.kind else { return };
    for pattern in rule.roles.get(of as usize).into_iter().flat_map(|role| &role.alternatives) {
        let bare = |event: &&EventDecl| {
            pattern.name.matches(&event.name)
                && event.attrs.is_empty()
                && rule.key.iter().all(|part| part.name == "node")
        };
        if let Some(event) = events.iter().find(bare) {
            let start = node.span.start..node.span.start + 1;
            report.warning(
                Code::Twins,
                &start,
                format!("`{}` declares nothing that tells twins apart: two of one nanosecond in different requests count once", event.name),
                "let its sender set `log.record.uid`, or give it a number of its own",
            );
        }
    }
}

fn facts_digest(rule: &Rule, pack: &Pack) -> u64 {
    let mut read = std::collections::BTreeSet::new();
    let patterns = rule.roles.iter().flat_map(|role| &role.alternatives);
    let conditions = patterns.filter_map(|pattern| pattern.where_late.as_ref());
    let own = rule.roles.iter().flat_map(|role| &role.alternatives).flat_map(engine::Pattern::own_expressions);
    for expression in conditions.chain(rule.kind.expressions()).chain(own) {
        pack.facts_read(expression, &mut |fact, _| {
            read.insert(fact);
        });
    }
    let derived = pack.derives.iter().any(|derive| {
        let own = rule.roles.iter();
        let of_facts = read.iter().filter_map(|fact| pack.facts.get(*fact as usize));
        let mut roles = own.chain(of_facts.flat_map(|fact| core::iter::once(&fact.set_by).chain(&fact.unset_by)));
        roles.any(|role| role.alternatives.iter().any(|pattern| pattern.name.matches(&derive.name)))
    });
    // And what the events mean that are made out of others.
    let derived = if derived { rule::fnv(&format!("{:?}", pack.derives)) } else { 0 };
    let facts: Vec<&engine::Fact> = read.iter().filter_map(|fact| pack.facts.get(*fact as usize)).collect();
    let mut clocks = String::new();
    let conditions = rule.roles.iter().flat_map(|role| &role.alternatives).filter_map(|p| p.where_late.as_ref());
    let computed = facts.iter().filter_map(|fact| fact.is.as_ref());
    for expression in conditions.chain(rule.kind.expressions()).chain(computed) {
        expression.visit_clocks(&mut |clock| clocks.push_str(&format!("{:?}", pack.clocks.get(clock as usize))));
    }
    if let Some(ticks) = rule.kind.ticks() {
        clocks.push_str(&format!("{:?}", pack.clocks.get(ticks.clock as usize)));
    }
    let derived = derived ^ if clocks.is_empty() { 0 } else { rule::fnv(&clocks) };
    derived ^ if facts.is_empty() { 0 } else { rule::fnv(&format!("{facts:?}")) }
}
