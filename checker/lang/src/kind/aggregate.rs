//! `aggregate: {terms, window | close | tumbling, assert, every, each}`.
use std::time::Duration;

use engine::{Aggregate, AggregateSpan, KeyPart, Kind, Measure, RoleIdx, Term, Type};

use super::{Draft, each, figures::Figures, start, wrong_type};
use crate::{
    diagnostic::Code,
    fact::Known,
    fields::{Fields, Params, Report},
    lint, names,
    pattern::{Context, Layout, Parsed},
    rule::{Roles, TERMS},
    suggest,
    yaml::{Node, Yaml},
};

/// The measures that have a name of their own; percentiles are `p50`, `p99`, `p999`.
const MEASURES: &[(&str, Measure)] = &[
    ("count", Measure::Count),
    ("sum", Measure::Sum),
    ("avg", Measure::Avg),
    ("min", Measure::Min),
    ("max", Measure::Max),
    ("first", Measure::First),
    ("last", Measure::Last),
    ("distinct", Measure::Distinct),
    ("increase", Measure::Increase),
    ("slope", Measure::Slope),
    ("duration", Measure::Duration),
];

struct WrittenTerm<'n> {
    name: String,
    of: RoleIdx,
    measure: Measure,
    value: Option<Parsed<'n>>,
    window: Option<Duration>,
    offset: Duration,
}

struct Written<'n> {
    terms: Vec<WrittenTerm<'n>>,
    each: Option<each::Written<'n>>,
    span: AggregateSpan,
    assert: Parsed<'n>,
    every: Option<Duration>,
    params: Params,
    facts: Vec<Known>,
}

/// `p50` is half, `p99` 99 %, `p999` 99.9 %: in hundredths of a per cent.
fn percentile(word: &str) -> Option<u16> {
    let digits = word.strip_prefix('p')?;
    let plain = (2..=4).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit());
    let number: u16 = digits.parse().ok().filter(|_| plain)?;
    let scale = 10_u16.pow(4 - u32::try_from(digits.len()).ok()?);
    Some(number * scale).filter(|percentile| *percentile > 0)
}

fn measure(word: &str) -> Option<Measure> {
    let named = MEASURES.iter().find(|(name, _)| *name == word).map(|(_, measure)| *measure);
    named.or_else(|| percentile(word).map(Measure::Percentile))
}

pub(super) fn read<'n>(
    node: &'n Node,
    roles: &mut Roles<'n>,
    cx: &Context<'_>,
    report: &mut Report<'_>,
) -> Option<Box<dyn Draft<'n> + 'n>> {
    let mut fields = Fields::of(node, "aggregate", report)?;
    let span = fields.span().clone();
    let window = fields.take("window");
    let close = roles.take(&mut fields, "close", cx, report);
    let tumbling = fields.take("tumbling");
    let mut terms: Vec<WrittenTerm<'n>> = Vec::new();
    let mut declared = 0;
    match fields.need("terms", report).map(|node| (&node.value, node)) {
        Some((Yaml::Map(entries), node)) => {
            if entries.len() > TERMS.len() {
                report.error(Code::Shape, &start(&node.span), format!("at most {} terms", TERMS.len()));
            }
            declared = entries.len();
            for ((name, node), word) in entries.iter().zip(TERMS.iter().copied()) {
                let plain = name.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                    && !name.name.starts_with(|c: char| c.is_ascii_digit());
                if !plain {
                    let message = format!("`{}` is not a term's name: letters, digits and `_` only", name.name);
                    report.error(Code::Shape, &name.span, message);
                }
                terms.extend(term(&name.name, node, word, roles, cx, report));
            }
        }
        Some((_, node)) => {
            report.error_help(
                Code::Shape,
                &node.span,
                format!("`terms` is a map of names and what they measure, this is {}", node.shape()),
                "write `terms: {failed: {count: job.failed}}`",
            );
        }
        None => {}
    }
    let assert = fields.need("assert", report).and_then(|node| Parsed::of(node, 0, report));
    let each_node = fields.take("each");
    let each = each_node.and_then(|node| each::read(node, report));
    let every_node = fields.take("every");
    let every = every_node.and_then(|node| cx.params.duration(node, report));
    fields.finish(report);
    let mut length = |node: &Node| {
        let length = cx.params.duration(node, report);
        if length.is_some_and(|length| length.is_zero()) {
            report.error(Code::Shape, &node.span, "a window of no length holds nothing");
        }
        length
    };
    let measured = match (window, tumbling, close) {
        (None, None, None) => {
            report.error_help(
                Code::MissingField,
                &start(&span),
                "this aggregate is over no time",
                "give `window: 1m` for a level, `tumbling: 1m` for one verdict a minute, or `close:` with the event at which \
                 it is judged",
            );
            None
        }
        (Some(node), None, None) => length(node).map(AggregateSpan::Window),
        (None, Some(node), None) => length(node).map(AggregateSpan::Tumbling),
        (None, None, Some(close)) => Some(AggregateSpan::Close(close)),
        (window, tumbling, _) => {
            let node = window.or(tumbling).unwrap_or(node);
            let message = "`window`, `tumbling` and `close` are alternatives: give one of them";
            report.error(Code::Shape, &node.span, message);
            None
        }
    };
    if let (Some(node), true) = (every_node, close.is_some() || tumbling.is_some()) {
        let message =
            "`every` is for sliding windows: what ends with a `close` or as a `tumbling` window is judged then";
        report.error(Code::Shape, &node.span, message);
    }
    if let (Some(node), Some(Duration::ZERO)) = (every_node, every) {
        report.error(Code::Shape, &node.span, "`every` needs a length of time");
    }
    for (place, term) in terms.iter().enumerate() {
        if each_node.is_some() && matches!(term.measure, Measure::First | Measure::Last) {
            report.error_help(
                Code::Shape,
                &start(&span),
                format!("`{}` is one sample, and samples of one instant have no order to choose one by", term.name),
                "with `each` measure what has one value: count, sum, avg, min, max, distinct, p50, …",
            );
        }
        if tumbling.is_some() && (term.window.is_some() || !term.offset.is_zero()) {
            let message = format!("`{}` has a `window` or an `offset` of its own, and the window tumbles", term.name);
            report.error_help(Code::Shape, &start(&span), message, "a sliding `window` can have terms with their own");
        }
        let sliding = window.is_some() || term.window.is_some();
        if term.measure == Measure::Duration && close.is_none() && every.is_none() {
            report.error_help(
                Code::MissingField,
                &start(&span),
                format!("`{}` grows while nothing happens, and nothing says when to look", term.name),
                "give `every: 10s`, how often it is judged",
            );
        }
        if close.is_some() && !sliding && !term.offset.is_zero() {
            report.error(Code::Shape, &start(&span), format!("`{}` has an `offset` and no window", term.name));
        }
        if terms[..place].iter().any(|known| known.name == term.name) {
            report.error(Code::Duplicate, &start(&span), format!("there is a term `{}` already", term.name));
        }
    }
    if terms.len() < declared || each_node.is_some() != each.is_some() {
        // Whoever reads the assertion would only hear of terms that were never read.
        return None;
    }
    let written = Written {
        terms,
        each,
        span: measured?,
        assert: assert?,
        every,
        params: cx.params.clone(),
        facts: cx.facts.to_vec(),
    };
    Some(Box::new(written))
}

fn term<'n>(
    name: &str,
    node: &'n Node,
    word: &'static str,
    roles: &mut Roles<'n>,
    cx: &Context<'_>,
    report: &mut Report<'_>,
) -> Option<WrittenTerm<'n>> {
    let Yaml::Map(entries) = &node.value else {
        report.error_help(
            Code::Shape,
            &node.span,
            format!("a term is a map, this is {}", node.shape()),
            "write `{count: job.failed}` or `{sum: bytes, of: batch.stored}`",
        );
        return None;
    };
    const OTHER: &[&str] = &["of", "window", "offset"];
    let mut found: Vec<(&'n Node, Measure)> = Vec::new();
    for (key, value) in entries {
        if let Some(measure) = measure(&key.name) {
            found.push((value, measure));
        } else if key.name == "each" {
            let help = "write it beside `terms`: all of them are then measured for each member";
            report.error_help(Code::UnknownField, &key.span, "`each` belongs to the aggregate, not to a term", help);
        } else if !OTHER.contains(&key.name.as_str()) {
            let known = MEASURES.iter().map(|(name, _)| *name).chain(OTHER.iter().copied());
            let help = match suggest::closest(&key.name, known) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => {
                    let names: Vec<&str> = MEASURES.iter().map(|(name, _)| *name).collect();
                    format!("measures are: {}, p50, p99, p999; and `of`, `window`, `offset`", names.join(", "))
                }
            };
            report.error_help(Code::UnknownField, &key.span, format!("a term has no field `{}`", key.name), help);
        }
    }
    let field = |name: &str| entries.iter().find(|(key, _)| key.name == name).map(|(_, node)| node);
    let [(value_node, measure)] = found[..] else {
        let message = if found.is_empty() {
            format!("`{name}` measures nothing")
        } else {
            format!("`{name}` measures {} things", found.len())
        };
        report.error_help(
            Code::MissingField,
            &start(&node.span),
            message,
            "a term has one measure, such as `count` or `sum`",
        );
        return None;
    };
    let window = field("window").and_then(|node| cx.params.duration(node, report));
    let offset = field("offset").and_then(|node| cx.params.duration(node, report)).unwrap_or_default();
    let (of, value) = match field("of") {
        Some(of) => {
            let all = matches!(&value_node.value, Yaml::Bool(true));
            let value = if all && measure == Measure::Count { None } else { Some(Parsed::of(value_node, 0, report)?) };
            (of, value)
        }
        // `count: P` alone counts the events of a pattern.
        None if measure == Measure::Count => (value_node, None),
        None => {
            report.error(
                Code::MissingField,
                &start(&node.span),
                format!("`{name}` has no `of`: which events does it measure?"),
            );
            return None;
        }
    };
    let of = roles.add_named(of, word, name, cx, report);
    Some(WrittenTerm { name: name.to_owned(), of, measure, value, window, offset })
}

impl<'n> Draft<'n> for Written<'n> {
    fn mark(&self, layout: &mut Layout<'_, 'n>) {
        for term in &self.terms {
            if let Some(value) = &term.value {
                layout.mark(term.of as usize, &value.tree);
            }
            if let Some(each) = &self.each {
                each.mark(term.of, layout);
            }
        }
    }

    fn finish(self: Box<Self>, layout: &Layout<'_, 'n>, key: &[KeyPart], report: &mut Report<'_>) -> Option<Kind> {
        let mut terms = Vec::new();
        let mut types = Vec::new();
        for term in &self.terms {
            let mut kind = Type::Any;
            let value = match &term.value {
                Some(parsed) => {
                    let (value, found) = layout.late(term.of as usize, parsed, report)?;
                    check(term, parsed, found, report);
                    kind = found;
                    Some(value)
                }
                None => None,
            };
            types.push(yields(term.measure, kind));
            let WrittenTerm { name, of, measure, window, offset, .. } = term;
            terms.push(Term {
                name: name.clone(),
                of: *of,
                measure: *measure,
                value,
                window: *window,
                offset: *offset,
            });
        }
        lint::condition::warn(&self.assert, report);
        let names: Vec<(&str, Type)> = terms.iter().map(|term| term.name.as_str()).zip(types).collect();
        let figures =
            Figures::of(&names, key, self.each.as_ref().map(|each| each.name.as_str()), &self.params, &self.facts);
        let each = match &self.each {
            Some(each) => Some(each.finish(&terms, &figures, layout, key, report)?),
            None => None,
        };
        let mut names = figures;
        let assert = match names::resolve(&self.assert.tree, &mut names) {
            Ok((assert, Type::Bool | Type::Any)) => assert,
            Ok((_, kind)) => {
                let message = format!("`assert` needs a condition, this is {}", names::type_name(kind));
                wrong_type(&self.assert, message, None, report);
                return None;
            }
            Err(problem) => {
                report.inside(self.assert.node, self.assert.offset, problem);
                return None;
            }
        };
        Some(Kind::Aggregate(Box::new(Aggregate { terms, span: self.span, assert, every: self.every, each })))
    }
}

/// Reports values that a measure can make nothing of.
fn check(term: &WrittenTerm<'_>, parsed: &Parsed<'_>, kind: Type, report: &mut Report<'_>) {
    let number = matches!(kind, Type::Int | Type::Double | Type::Any);
    let ordered = !matches!(kind, Type::List | Type::Map | Type::Null);
    let (fine, needs) = match term.measure {
        Measure::Avg | Measure::Increase | Measure::Slope => (number, "numbers"),
        Measure::Sum => (number || kind == Type::Duration, "numbers"),
        Measure::Duration => (matches!(kind, Type::Bool | Type::Any), "a condition"),
        Measure::Min | Measure::Max | Measure::Percentile(_) => (ordered, "values that have an order"),
        Measure::Count | Measure::First | Measure::Last | Measure::Distinct => (true, ""),
    };
    if !fine {
        let message = format!("`{}` needs {needs}, this is {}", term.name, names::type_name(kind));
        wrong_type(parsed, message, None, report);
    }
}

/// The type of a measured figure.
fn yields(measure: Measure, of: Type) -> Type {
    match measure {
        Measure::Count | Measure::Distinct => Type::Int,
        Measure::Avg | Measure::Slope => Type::Double,
        Measure::Duration => Type::Duration,
        Measure::Sum | Measure::Increase if of == Type::Any => Type::Any,
        // Sums of doubles that happen to be none are the integer 0.
        Measure::Sum | Measure::Increase if of == Type::Double => Type::Any,
        Measure::Sum
        | Measure::Increase
        | Measure::Min
        | Measure::Max
        | Measure::First
        | Measure::Last
        | Measure::Percentile(_) => of,
    }
}
