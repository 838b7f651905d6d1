//! `derive`: named, typed events made out of others.
use engine::{Derive, EventDecl, KeyPart, Type, expr::Expr};

use crate::{
    diagnostic::Code,
    fields::{Fields, Report, text},
    names::{self, Problem, Variable},
    pattern::{self, Context, Layout, Parsed},
    rule, suggest,
    yaml::{Node, Yaml},
};

/// Compiles a derived event, and declares it for those below when the vocabulary does not.
///
/// `pack` is the pack's name, `above` what is derived above it.
pub(crate) fn compile(
    name: &str,
    node: &Node,
    pack: &str,
    above: &[Derive],
    cx: &Context<'_>,
    report: &mut Report<'_>,
) -> Option<(Derive, Option<EventDecl>)> {
    let mut fields = Fields::of(node, "derived event", report)?;
    let about = fields.take("about").and_then(|node| text(node, report)).unwrap_or_default();
    let from = fields.need("from", report);
    let set = fields.take("set");
    let first_node = fields.take("first_per");
    fields.finish(report);
    let mut role = pattern::read(from?, "from", cx, report);
    let declared = cx.events.iter().find(|event| event.name == name);
    let mut attrs: Vec<(String, Parsed<'_>)> = Vec::new();
    match set.map(|node| (&node.value, node)) {
        Some((Yaml::Map(entries), _)) => {
            for (key, value) in entries {
                if let Some(known) = declared.filter(|event| !event.attrs.iter().any(|(attr, _)| *attr == key.name)) {
                    let message = format!("unknown attribute `{}` of `{name}`", key.name);
                    let names = known.attrs.iter().map(|(attr, _)| attr.as_str());
                    let help = match suggest::closest(&key.name, names) {
                        Some(meant) => format!("did you mean `{meant}`?"),
                        None => format!("declare it under `events: {name}:`"),
                    };
                    report.error_help(Code::Attribute, &key.span, message, help);
                }
                attrs.extend(Parsed::of(value, 0, report).map(|parsed| (key.name.clone(), parsed)));
            }
        }
        Some((_, node)) => drop(report.error(Code::Shape, &node.span, "`set` is a map of attributes and expressions")),
        None => {}
    }
    for (attr, parsed) in &attrs {
        role.bind(&bound(attr), parsed);
    }
    role.kept = attrs.iter().map(|(attr, _)| Variable::Let(bound(attr))).collect();
    let mut roles = vec![role];
    let layout = Layout { cx, roles: &mut roles };
    let mut kinds: Vec<(String, Type)> = Vec::new();
    for (attr, parsed) in &attrs {
        let kind = match layout.kept_type(0, &Variable::Let(bound(attr))) {
            // Kept as plain values, both of them.
            Ok(Type::Timestamp) => Type::String,
            Ok(Type::Duration) => Type::Int,
            Ok(kind) => kind,
            Err(problem) => {
                report.inside(parsed.node, parsed.offset, problem);
                continue;
            }
        };
        let wanted =
            declared.and_then(|event| event.attrs.iter().find(|(known, _)| known == attr)).map(|(_, kind)| *kind);
        if let Some(wanted) = wanted.filter(|wanted| !fits(kind, *wanted)) {
            let message =
                format!("`{attr}` of `{name}` is {}, this is {}", names::type_name(wanted), names::type_name(kind));
            let problem = Problem { span: parsed.tree.span.clone(), ..Problem::new(Code::Type, message) };
            report.inside(parsed.node, parsed.offset, problem.help("convert it with int(), double() or string()"));
        }
        kinds.push((attr.clone(), kind));
    }
    if kinds.len() < attrs.len() {
        return None;
    }
    let parts = first_node.map(|node| first_parts(node, &attrs, &layout, report));
    let is_set = |name: &str| attrs.iter().position(|(attr, _)| attr == name);
    let of_origin: Vec<KeyPart> = parts.iter().flatten().filter(|part| is_set(&part.name).is_none()).cloned().collect();
    let mut from = layout.role(0, &of_origin, report);
    for pattern in &mut from.alternatives {
        let mut others = std::mem::take(&mut pattern.key).into_iter();
        let part = |part: &KeyPart| match is_set(&part.name) {
            // The attributes are kept in their order.
            Some(place) => Some(Expr::Slot(place as u16)),
            None => others.next().flatten(),
        };
        pattern.key = parts.iter().flatten().map(part).collect();
    }
    for (alternative, span) in from.alternatives.iter().zip(layout.roles[0].spans()) {
        if alternative.name.matches(name) {
            report.error_help(
                Code::Cycle,
                &span,
                format!("`{name}` would be derived from itself"),
                "derive it from another event, or narrow the pattern",
            );
        }
    }
    let declaration = match declared {
        Some(_) => None,
        None => Some(EventDecl { name: name.to_owned(), about, attrs: kinds }),
    };
    let attrs = attrs.into_iter().map(|(attr, _)| attr).collect();
    // What it is derived from may be derived, too.
    let first_per = parts.map(|_| rule::fnv(&format!("{pack}{name}{from:?}{above:?}")));
    Some((Derive { name: name.to_owned(), from, attrs, first_per }, declaration))
}

/// The parts of the key of which only the first event counts: attributes that are set, else of the event itself.
fn first_parts(
    node: &Node,
    attrs: &[(String, Parsed<'_>)],
    layout: &Layout<'_, '_>,
    report: &mut Report<'_>,
) -> Vec<KeyPart> {
    let mut parts = rule::key_parts(node, report);
    parts.retain(|part| {
        let is_known = attrs.iter().any(|(attr, _)| *attr == part.name) || layout.supplies_path(0, &part.name);
        let (message, help) = if part.optional {
            let message = format!("`{}?` may be absent: an event without it would be the first of nothing", part.name);
            (message, "write it without `?`, or leave it out".to_owned())
        } else if !is_known {
            let set = attrs.iter().map(|(attr, _)| attr.as_str());
            let help = match suggest::closest(&part.name, set) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "name attributes that `set` gives, or that every event it is made of has".to_owned(),
            };
            (format!("`{}` is nothing that these events have", part.name), help)
        } else {
            return true;
        };
        report.error_help(Code::Key, &node.span, message, help);
        false
    });
    parts
}

/// The `let` that holds an attribute's value; no author can write it.
fn bound(attr: &str) -> String {
    format!("set {attr}")
}

fn fits(kind: Type, wanted: Type) -> bool {
    kind == wanted
        || kind == Type::Any
        || wanted == Type::Any
        // Integers may arrive as text.
        || matches!((kind, wanted), (Type::String, Type::Int) | (Type::Int, Type::Double))
}
