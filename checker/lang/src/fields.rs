//! Reading maps field by field: what is not asked for is reported, with the name that was probably meant.
use std::{ops::Range, time::Duration};

use engine::Type;
use event::Value;

use crate::{
    bites, constant,
    diagnostic::{Code, Diagnostic},
    duration, elsewhere,
    names::{self, Problem},
    rule::KINDS,
    schema, suggest,
    yaml::{Key, Node, Yaml},
};

/// Where a file's mistakes are collected.
pub(crate) struct Report<'s> {
    pub(crate) source: &'s str,
    pub(crate) file: &'s str,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

impl Report<'_> {
    pub(crate) fn error(&mut self, code: Code, span: &Range<usize>, message: impl Into<String>) -> &mut Diagnostic {
        let diagnostic = Diagnostic::error(code, message, self.file, self.source, span.clone());
        self.diagnostics.push(diagnostic);
        let last = self.diagnostics.len() - 1;
        &mut self.diagnostics[last]
    }

    pub(crate) fn error_help(
        &mut self,
        code: Code,
        span: &Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.error(code, span, message).help = Some(help.into());
    }

    pub(crate) fn warning(
        &mut self,
        code: Code,
        span: &Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let diagnostic = Diagnostic::error(code, message, self.file, self.source, span.clone());
        self.diagnostics.push(diagnostic.warning().help(help));
    }

    /// Reports a problem inside the text of a scalar.
    pub(crate) fn inside(&mut self, node: &Node, offset: usize, problem: Problem) {
        let span = locate(self.source, node, offset + problem.span.start..offset + problem.span.end);
        let cut = (problem.code == Code::ExpressionSyntax).then(|| bites::cut_off(self.source, node)).flatten();
        self.error(problem.code, &span, problem.message).help = cut.or(problem.help);
    }
}

/// The bytes of the source that hold `range` of a scalar's text: exact for plain and quoted scalars of one line, else the
/// whole scalar.
pub(crate) fn locate(source: &str, node: &Node, range: Range<usize>) -> Range<usize> {
    let Some(text) = node.scalar() else { return node.span.clone() };
    for skip in [0, 1] {
        let start = node.span.start + skip;
        if source.get(start..start + text.len()) == Some(&text) {
            return start + range.start..(start + range.end).max(start + range.start + 1).min(source.len());
        }
    }
    node.span.clone()
}

/// Where a field belongs that stands in a kind and is the rule's, or the other way round.
fn misplaced(of: &str, field: &str) -> Option<String> {
    if KINDS.contains(&of) && schema::about("rule", field).is_some() && !KINDS.contains(&field) {
        return Some(format!("`{field}` is the rule's: it stands beside `{of}`, not in it"));
    }
    if of != "rule" {
        return None;
    }
    let kinds: Vec<String> =
        KINDS.iter().filter(|kind| schema::about(kind, field).is_some()).map(|kind| format!("`{kind}`")).collect();
    (!kinds.is_empty()).then(|| format!("`{field}` stands in a kind: {}", kinds.join(", ")))
}

/// The fields of one map.
pub(crate) struct Fields<'n> {
    /// What the map is, for people: `rule`, `response`.
    what: &'static str,
    span: Range<usize>,
    left: Vec<(&'n Key, &'n Node)>,
    asked: Vec<&'static str>,
    /// What was needed and is not there, with the number of the diagnostic that says so.
    missing: Vec<(&'static str, usize)>,
}

impl<'n> Fields<'n> {
    /// The fields of a map; reports anything else.
    pub(crate) fn of(node: &'n Node, what: &'static str, report: &mut Report<'_>) -> Option<Self> {
        match &node.value {
            Yaml::Map(entries) => Some(Fields {
                what,
                span: node.span.clone(),
                left: entries.iter().map(|(key, value)| (key, value)).collect(),
                asked: Vec::new(),
                missing: Vec::new(),
            }),
            _ => {
                let message = format!("{} {what} is a map, this is {}", article(what), node.shape());
                let error = report.error(Code::Shape, &node.span, message);
                let help = match (what, &node.value) {
                    ("order" | "sequence", Yaml::List(_)) => {
                        Some("put the list under `steps:`, and `within:` beside it")
                    }
                    ("always", Yaml::Text(_)) => Some(
                        "write `event:` with the event, and `assert:` with what holds of it; what must not happen is a `never`",
                    ),
                    _ => None,
                };
                error.help = help.map(str::to_owned);
                None
            }
        }
    }

    pub(crate) fn span(&self) -> &Range<usize> {
        &self.span
    }

    /// Takes a field out.
    pub(crate) fn take(&mut self, name: &'static str) -> Option<&'n Node> {
        self.asked.push(name);
        let place = self.left.iter().position(|(key, _)| key.name == name)?;
        Some(self.left.remove(place).1).filter(|node| node.value != Yaml::Null)
    }

    /// Takes a field out that must be there.
    pub(crate) fn need(&mut self, name: &'static str, report: &mut Report<'_>) -> Option<&'n Node> {
        let found = self.take(name);
        if found.is_none() {
            let start = self.span.start..self.span.start + 1;
            self.missing.push((name, report.diagnostics.len()));
            report.error(Code::MissingField, &start, format!("this {} has no `{name}`", self.what)).help =
                schema::about(self.what, name).map(|about| format!("add `{name}: …`: {about}"));
        }
        found
    }

    /// Takes a field out that must be there, even if it is empty.
    pub(crate) fn need_present(&mut self, name: &'static str, report: &mut Report<'_>) -> Option<&'n Node> {
        if self.has(name) { self.take(name) } else { self.need(name, report) }
    }

    /// Takes out a field that nobody knows and that was meant as one of these, which none is; says so, and which one.
    pub(crate) fn take_misspelt(
        &mut self,
        meant: &[&'static str],
        what: &str,
        report: &mut Report<'_>,
    ) -> Option<(&'static str, &'n Node)> {
        let of = |name: &str| {
            let candidate = suggest::nearly(name, meant.iter().copied())?;
            meant.iter().copied().find(|known| *known == candidate)
        };
        let (place, name) = self.left.iter().enumerate().find_map(|(place, (key, _))| Some((place, of(&key.name)?)))?;
        let (key, node) = self.left.remove(place);
        let message = format!("`{}` is no {what}", key.name);
        report.error_help(Code::UnknownField, &key.span, message, format!("did you mean `{name}`?"));
        Some((name, node))
    }

    /// Whether a field is there, without taking it.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.left.iter().any(|(key, _)| key.name == name)
    }

    /// Reports what nobody asked for.
    pub(crate) fn finish(self, report: &mut Report<'_>) {
        #[cfg(test)]
        asked::note(self.what, &self.asked);
        let mut misspelt = Vec::new();
        for (key, _) in self.left {
            let message = format!("{} {} has no field `{}`", article(self.what), self.what, key.name);
            // What tools of an older YAML make of `on`.
            let known = if key.name == "true" { "on" } else { &key.name };
            let foreign = elsewhere::field(self.what, known);
            let help = match suggest::closest(known, self.asked.iter().copied()) {
                _ if foreign.is_some() => {
                    let meant = foreign.as_ref().map_or(&[][..], |meant| meant.fields);
                    let told = self.missing.iter().filter(|(name, _)| meant.contains(name));
                    misspelt.extend(told.map(|(_, told)| *told));
                    foreign.map_or("", |meant| meant.help).to_owned()
                }
                _ if misplaced(self.what, known).is_some() => misplaced(self.what, known).unwrap_or_default(),
                None if known == "where" => {
                    "a condition belongs to its pattern: `NAME where CONDITION`, or `event:` with `where:` beside it"
                        .to_owned()
                }
                Some(meant) => {
                    misspelt.extend(self.missing.iter().filter(|(name, _)| *name == meant).map(|(_, told)| *told));
                    match meant {
                        "on" if key.name == "true" => {
                            "many tools take `on` for a boolean and write `true`: put it in quotes, `\"on\"`".to_owned()
                        }
                        meant => format!("did you mean `{meant}`?"),
                    }
                }
                None => {
                    let mut known: Vec<&str> = Vec::new();
                    for name in &self.asked {
                        if !known.contains(name) {
                            known.push(name);
                        }
                    }
                    format!("fields are: {}", known.join(", "))
                }
            };
            report.error_help(Code::UnknownField, &key.span, message, help);
        }
        // What is there under another name is not missing as well.
        misspelt.sort_unstable();
        misspelt.dedup();
        for told in misspelt.into_iter().rev() {
            if report.diagnostics.get(told).is_some_and(|told| told.code == Code::MissingField) {
                report.diagnostics.remove(told);
            }
        }
    }
}

/// Values of parameters, as literals of expressions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params(pub(crate) Vec<(String, Node)>);

impl Params {
    /// Follows `param.x` to the value it stands for.
    pub(crate) fn follow<'a>(&'a self, node: &'a Node, report: &mut Report<'_>) -> Option<&'a Node> {
        let Yaml::Text(text) = &node.value else { return Some(node) };
        let Some(name) = text.strip_prefix("param.") else { return Some(node) };
        match self.0.iter().find(|(known, _)| known == name) {
            Some((_, value)) => Some(value),
            None => {
                let help = match suggest::closest(name, self.0.iter().map(|(name, _)| name.as_str())) {
                    Some(meant) => format!("did you mean `param.{meant}`?"),
                    None => "declare it under `params:`".to_owned(),
                };
                report.error_help(Code::Name, &node.span, format!("there is no parameter `{name}`"), help);
                None
            }
        }
    }

    pub(crate) fn expression(&self, name: &str) -> Result<(engine::expr::Expr, Type), Problem> {
        match self.0.iter().find(|(known, _)| known == name).map(|(_, node)| &node.value) {
            Some(Yaml::Bool(value)) => Ok((engine::expr::Expr::Const(Value::Bool(*value)), Type::Bool)),
            Some(Yaml::Number(text)) => Ok(names::literal(text, false)),
            Some(Yaml::Text(text)) => Ok(names::literal(text, true)),
            Some(_) => Err(Problem::new(Code::Shape, format!("parameter `{name}` is not a single value"))),
            None => {
                let problem = Problem::new(Code::Name, format!("there is no parameter `{name}`"));
                Err(match suggest::closest(name, self.0.iter().map(|(name, _)| name.as_str())) {
                    Some(meant) => problem.help(format!("did you mean `param.{meant}`?")),
                    None => problem.help("declare it under `params:`"),
                })
            }
        }
    }

    /// A length of time, a parameter, or what is worked out of parameters.
    pub(crate) fn duration(&self, node: &Node, report: &mut Report<'_>) -> Option<Duration> {
        if constant::is_written(node, self) {
            return constant::duration(node, self, report);
        }
        let followed = self.follow(node, report)?;
        let text = followed.scalar().unwrap_or_default();
        let found = engine::expr::parse_duration(&text).and_then(|nanos| u64::try_from(nanos).ok());
        if found.is_none() {
            let (message, help) = duration::refused(&text);
            report.error_help(Code::Duration, &node.span, message, help);
        }
        found.map(Duration::from_nanos)
    }

    /// A whole number, a parameter, or what is worked out of parameters.
    pub(crate) fn number(&self, node: &Node, report: &mut Report<'_>) -> Option<u64> {
        if constant::is_written(node, self) {
            return constant::number(node, self, report);
        }
        let followed = self.follow(node, report)?;
        let found = followed.scalar().and_then(|text| text.parse().ok());
        if found.is_none() {
            report.error(
                Code::Shape,
                &node.span,
                format!("a whole number is needed here, this is {}", followed.shape()),
            );
        }
        found
    }

    pub(crate) fn bool(&self, node: &Node, report: &mut Report<'_>) -> Option<bool> {
        let followed = self.follow(node, report)?;
        match followed.value {
            Yaml::Bool(value) => Some(value),
            _ => {
                let word = followed.scalar().unwrap_or_default();
                let help = match bites::boolean(&word) {
                    Some(meant) => format!("`{word}` is text in YAML 1.2: write `{meant}`"),
                    None => "a parameter is written `param.name`".to_owned(),
                };
                report.error_help(Code::Shape, &node.span, "`true` or `false` is needed here", help);
                None
            }
        }
    }
}

/// The text of a field.
pub(crate) fn text(node: &Node, report: &mut Report<'_>) -> Option<String> {
    let found = node.scalar();
    if found.is_none() {
        report.error(Code::Shape, &node.span, format!("text is needed here, this is {}", node.shape()));
    }
    found
}

/// One text or a list of them, each with its place.
pub(crate) fn texts(node: &Node, report: &mut Report<'_>) -> Vec<(String, Range<usize>)> {
    match &node.value {
        Yaml::List(items) => items.iter().filter_map(|item| Some((text(item, report)?, item.span.clone()))).collect(),
        _ => text(node, report).map(|text| (text, node.span.clone())).into_iter().collect(),
    }
}

/// Labels, for routing.
pub(crate) fn labels(node: &Node, report: &mut Report<'_>) -> Vec<(String, String)> {
    match &node.value {
        Yaml::Map(entries) => {
            entries.iter().filter_map(|(name, value)| Some((name.name.clone(), text(value, report)?))).collect()
        }
        _ => {
            report.error(Code::Shape, &node.span, "`labels` is a map of names and texts");
            Vec::new()
        }
    }
}

/// `a` or `an`.
fn article(word: &str) -> &'static str {
    if word.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

/// What was read of each kind of map, for the test that the schema says the same.
#[cfg(test)]
pub(crate) mod asked {
    use std::{
        cell::RefCell,
        collections::{BTreeMap, BTreeSet},
    };

    type Asked = BTreeMap<&'static str, BTreeSet<&'static str>>;

    thread_local! {
        static ASKED: RefCell<Asked> = RefCell::default();
    }

    pub(crate) fn note(what: &'static str, fields: &[&'static str]) {
        ASKED.with_borrow_mut(|asked| asked.entry(what).or_default().extend(fields));
    }

    pub(crate) fn forget() {
        ASKED.take();
    }

    pub(crate) fn all() -> Asked {
        ASKED.with_borrow(Clone::clone)
    }
}
