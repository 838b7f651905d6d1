//! YAML as a tree in which every value knows its bytes in the source. The only place that knows the YAML library.
use std::{fmt, ops::Range};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::Spanned;

use crate::{
    bites,
    diagnostic::{Code, Diagnostic},
};

/// A value with its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) value: Yaml,
    pub(crate) span: Range<usize>,
}

/// A value. Numbers keep their text: integers may be of any size.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Yaml {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A map's key with its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) span: Range<usize>,
}

impl Node {
    /// The value under a name; none where it has none, or is no map.
    pub(crate) fn field(&self, name: &str) -> Option<&Node> {
        match &self.value {
            Yaml::Map(entries) => entries.iter().find(|(key, _)| key.name == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// What kind of value it is, for people.
    pub(crate) fn shape(&self) -> &'static str {
        match self.value {
            Yaml::Null => "nothing",
            Yaml::Bool(_) => "a boolean",
            Yaml::Number(_) => "a number",
            Yaml::Text(_) => "text",
            Yaml::List(_) => "a list",
            Yaml::Map(_) => "a map",
        }
    }

    /// The text of a scalar, as written.
    pub(crate) fn scalar(&self) -> Option<String> {
        match &self.value {
            Yaml::Bool(value) => Some(value.to_string()),
            Yaml::Number(text) | Yaml::Text(text) => Some(text.clone()),
            Yaml::Null | Yaml::List(_) | Yaml::Map(_) => None,
        }
    }
}

/// Reads one document.
///
/// # Errors
/// What the library says is wrong, with the hints that its words lack.
pub(crate) fn read(source: &str, file: &str) -> Result<Node, Box<Diagnostic>> {
    if let Some(tab) = bites::tab(source) {
        let diagnostic = Diagnostic::error(Code::Yaml, "a tab cannot indent YAML", file, source, tab);
        return Err(Box::new(diagnostic.help("indent with spaces, two a level")));
    }
    let lines = Lines::of(source);
    let options = serde_saphyr::options! { with_snippet: false, strict_booleans: true };
    let raw: Spanned<Raw> = serde_saphyr::from_str_with_options(source, options).map_err(|error| {
        let at = |location: serde_saphyr::Location| lines.byte_offset(location.line(), location.column());
        let at = error.location().map_or(0, at);
        let said = error.without_snippet().to_string();
        let begin = source[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let end = source[at..].find('\n').map_or(source.len(), |length| at + length);
        let (message, help) = bites::explain(said.lines().next().unwrap_or_default(), &source[begin..end], at - begin);
        // Of a long line the beginning says enough.
        let shown = source.floor_char_boundary(end.min(at + 60));
        Box::new(Diagnostic::error(Code::Yaml, message, file, source, at..shown.max(at)).help(help))
    })?;
    Ok(node(raw, &lines))
}

/// A source and where its lines begin.
struct Lines<'s> {
    source: &'s str,
    starts: Vec<usize>,
}

impl<'s> Lines<'s> {
    fn of(source: &'s str) -> Self {
        let starts = source.match_indices('\n').map(|(newline, _)| newline + 1);
        Lines { source, starts: std::iter::once(0).chain(starts).collect() }
    }

    /// Line and column, both from 1 and in characters, as a byte offset.
    fn byte_offset(&self, line: u64, column: u64) -> usize {
        let number = |from_one: u64| usize::try_from(from_one.saturating_sub(1)).unwrap_or(usize::MAX);
        let Some(&start) = self.starts.get(number(line)) else { return self.source.len() };
        let mut characters = self.source[start..].char_indices();
        characters.nth(number(column)).map_or(self.source.len(), |(offset, _)| start + offset)
    }
}

enum Raw {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

fn node(raw: Spanned<Raw>, lines: &Lines<'_>) -> Node {
    let source = lines.source;
    let start = lines.byte_offset(raw.referenced.line(), raw.referenced.column());
    let plain_end = |text: &str| {
        // Quotes are not part of the text; block scalars end where their text does, about.
        let quoted = source[start..].starts_with(['"', '\'']);
        let length = text.len() + if quoted { 2 } else { 0 };
        source.floor_char_boundary((start + length).min(source.len()))
    };
    let value = match raw.value {
        Raw::Null => Yaml::Null,
        Raw::Bool(value) => Yaml::Bool(value),
        Raw::Number(text) => Yaml::Number(number_text(source, start).unwrap_or(text)),
        Raw::Text(text) => Yaml::Text(text),
        Raw::List(items) => Yaml::List(items.into_iter().map(|item| node(item, lines)).collect()),
        Raw::Map(entries) => Yaml::Map(
            entries
                .into_iter()
                .map(|(name, value)| {
                    let at = lines.byte_offset(name.referenced.line(), name.referenced.column());
                    let end = source.floor_char_boundary((at + name.value.len()).min(source.len()));
                    (Key { name: name.value, span: at..end }, node(value, lines))
                })
                .collect(),
        ),
    };
    let end = match &value {
        Yaml::Text(text) | Yaml::Number(text) => plain_end(text),
        Yaml::Bool(value) => plain_end(if *value { "true" } else { "false" }),
        Yaml::Null => start,
        Yaml::List(items) => items.last().map_or(start, |item| item.span.end),
        Yaml::Map(entries) => entries.last().map_or(start, |(_, value)| value.span.end),
    };
    Node { value, span: start..end.max(start) }
}

/// A number as its author wrote it.
fn number_text(source: &str, start: usize) -> Option<String> {
    let rest = &source[start..];
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "+-._".contains(c))).unwrap_or(rest.len());
    (end > 0).then(|| rest[..end].to_owned())
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Raw;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_unit<E>(self) -> Result<Raw, E> {
                Ok(Raw::Null)
            }

            fn visit_none<E>(self) -> Result<Raw, E> {
                Ok(Raw::Null)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
                Ok(Raw::Bool(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
                Ok(Raw::Number(value.to_string()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
                Ok(Raw::Number(value.to_string()))
            }

            fn visit_i128<E>(self, value: i128) -> Result<Raw, E> {
                Ok(Raw::Number(value.to_string()))
            }

            fn visit_u128<E>(self, value: u128) -> Result<Raw, E> {
                Ok(Raw::Number(value.to_string()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
                Ok(Raw::Number(value.to_string()))
            }

            fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
                Ok(Raw::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Raw::List(list))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
                let mut map: Vec<(Spanned<String>, Spanned<Raw>)> = Vec::new();
                while let Some(name) = entries.next_key::<Spanned<String>>()? {
                    if map.iter().any(|(known, _)| known.value == name.value) {
                        return Err(serde::de::Error::custom(format!("`{}` stands here twice", name.value)));
                    }
                    map.push((name, entries.next_value()?));
                }
                Ok(Raw::Map(map))
            }
        }

        deserializer.deserialize_any(Any)
    }
}
