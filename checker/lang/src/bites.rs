//! How YAML bites: text that was meant as an expression or as words, and that YAML reads as something else. Each bite is
//! told with what YAML made of it and how to quote it; where it can be seen what was meant, reading goes on with that.
use std::ops::Range;

use crate::{
    diagnostic::Code,
    fields::Report,
    yaml::{Key, Node, Yaml},
};

/// Reports what YAML made of a tree's unquoted values, and puts back what was meant.
pub(crate) fn mend(node: &mut Node, report: &mut Report<'_>) {
    let flow = report.source[node.span.start..].starts_with('{');
    match &mut node.value {
        Yaml::Map(entries) => {
            if flow {
                join(entries, report);
            }
            for (key, value) in entries {
                untag(key, value, flow, report);
                mend(value, report);
            }
        }
        Yaml::List(items) => items.iter_mut().for_each(|item| mend(item, report)),
        Yaml::Text(_) => commented(node, report),
        Yaml::Null | Yaml::Bool(_) | Yaml::Number(_) => {}
    }
}

/// `shard #3 is down`: text that ends at a comment which was hardly meant as one.
fn commented(node: &Node, report: &mut Report<'_>) {
    let Some(comment) = comment(report.source, node) else { return };
    if comment.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '{') {
        let text = node.scalar().unwrap_or_default();
        let end = node.span.start + text.len();
        let line = report.source[end..].lines().next().unwrap_or_default();
        let help = format!(
            "put all of it in quotes, `{}`; a comment that is meant has a space behind its `#`",
            quoted(&format!("{text}{line}"))
        );
        let start = end + line.len() - comment.len() - 1;
        let message = format!("YAML takes `#{comment}` for a comment");
        report.warning(Code::Comment, &(start..end + line.len()), message, help);
    }
}

/// What stands behind a ` #` on the line of an unquoted value.
fn comment<'s>(source: &'s str, node: &Node) -> Option<&'s str> {
    let line = source[node.span.start..].strip_prefix(node.scalar()?.as_str())?.lines().next()?;
    let comment = line.trim_start();
    if comment.len() == line.len() { None } else { comment.strip_prefix('#') }
}

/// `where: !has(x)`: a tag, and nothing behind it.
fn untag(key: &Key, value: &mut Node, flow: bool, report: &mut Report<'_>) {
    let after = report.source[key.span.end..].trim_start_matches(['"', '\'']);
    let Some(after) = after.trim_start().strip_prefix(':') else { return };
    let written = after.trim_start_matches(' ');
    if !written.starts_with('!') || written.starts_with("!!") {
        return;
    }
    let start = report.source.len() - written.len();
    let line = written.lines().next().unwrap_or_default();
    let line = if flow { line.split([',', '}']).next().unwrap_or_default() } else { line };
    let meant = line.find(" #").map_or(line, |comment| &line[..comment]).trim_end();
    let tag = meant.split(' ').next().unwrap_or_default();
    let span = start..start + meant.len();
    report.error_help(
        Code::Yaml,
        &span,
        format!("YAML takes `{tag}` for a tag of `{}`, and leaves it out", key.name),
        format!("put all of it in quotes: `{}: {}`", key.name, quoted(meant)),
    );
    *value = Node { value: Yaml::Text(meant.to_owned()), span };
}

/// `{where: f(a, b)}`: a value that ends at the comma, and a field `b)` of its own.
fn join(entries: &mut Vec<(Key, Node)>, report: &mut Report<'_>) {
    let mut place = 0;
    while place < entries.len() {
        let (key, value) = &entries[place];
        let begun = match &value.value {
            Yaml::Text(text) if report.source[value.span.start..].starts_with(text.as_str()) => text.clone(),
            _ => String::new(),
        };
        let mut open = depth(&begun);
        let rest = entries[place + 1..].iter().take_while(|(key, value)| {
            let part = open > 0 && value.value == Yaml::Null;
            open += depth(&key.name);
            part
        });
        let parts = rest.count();
        let whole = value.span.start..entries[place + parts].0.span.end;
        if let (true, Some(meant)) = (parts > 0, report.source.get(whole.clone())) {
            report.error_help(
                Code::Yaml,
                &whole,
                format!("inside `{{ }}` YAML ends a value at the comma: `{}` is only `{begun}`", key.name),
                format!("put all of it in quotes, `{}: {}`, or write one field a line", key.name, quoted(meant)),
            );
            entries[place].1 = Node { value: Yaml::Text(meant.to_owned()), span: whole };
            entries.drain(place + 1..=place + parts);
        }
        place += 1;
    }
}

/// How many brackets a text opens and does not close.
fn depth(text: &str) -> i32 {
    let of = |c| match c {
        '(' | '[' => 1,
        ')' | ']' => -1,
        _ => 0,
    };
    text.chars().map(of).sum()
}

/// What to do about an unquoted value that a comment cuts off, when `node` is one.
pub(crate) fn cut_off(source: &str, node: &Node) -> Option<String> {
    comment(source, node)?;
    let meant = quoted(source[node.span.start..].lines().next()?);
    Some(format!("in YAML ` #` begins a comment, so that this ends before it: put all of it in quotes, `{meant}`"))
}

/// What is wrong where the YAML library could not go on, and how to mend it: `said` is what it says, `line` the line, and
/// `at` where in it.
pub(crate) fn explain(said: &str, line: &str, at: usize) -> (String, String) {
    let (field, value) = field(line);
    let begins = value.chars().next().unwrap_or(' ');
    let quote = |why: &str| {
        let field = if field.is_empty() { String::new() } else { format!("{field}: ") };
        (why.to_owned(), format!("put all of it in quotes: `{field}{}`", quoted(value)))
    };
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if has(&["budget", "alias expansion", "alias replay"]) {
        let help = "write out what the aliases (`*name`) stand for: a pack holds at most a few thousand lines";
        ("with its aliases expanded, this YAML is larger than a pack may be".to_owned(), help.to_owned())
    } else if has(&["recursion limit", "depth"]) {
        let help = "a pack needs about ten levels: look for a bracket that is opened over and over";
        ("this YAML nests too deep".to_owned(), help.to_owned())
    } else if let Some(key) = said.strip_prefix("duplicate mapping key: ") {
        let key = key.split(',').next().unwrap_or_default();
        let help = "a map has each field once: leave one of them out, or put their values together";
        (format!("`{key}` stands here twice"), help.to_owned())
    } else if has(&["illegal placement of ':'"]) {
        let help = "look for a `[`, a `{` or a quote on the lines before that is never closed";
        ("there cannot be a field here".to_owned(), help.to_owned())
    } else if has(&["mapping values are not allowed"]) && at > line.len() - value.len() {
        quote("in unquoted text `: ` begins a map, and there cannot be one here")
    } else if has(&["trailing content after"]) && matches!(begins, '"' | '\'') {
        quote("a value that begins with a quote ends with the next one, and more stands behind it")
    } else if matches!(begins, '*' | '&' | '!') {
        let what = match begins {
            '*' => "stands for an anchor",
            '&' => "has an anchor",
            _ => "has a tag",
        };
        quote(&format!("in YAML a value that begins with `{begins}` {what}"))
    } else if has(&["flow mapping", "flow sequence"]) && begins == '{' && value[1..].contains(['[', '{']) {
        let message = "inside `{ }` YAML ends a value at a comma or a bracket";
        (
            message.to_owned(),
            "put the expression in quotes, or write the map in block style, one field a line".to_owned(),
        )
    } else if matches!(begins, '[' | '{') && goes_on(value) {
        quote(&format!(
            "in YAML a value that begins with `{begins}` is a {}",
            if begins == '[' { "list" } else { "map" }
        ))
    } else if matches!(begins, '@' | '`' | '%') {
        quote(&format!("in YAML no value begins with `{begins}`"))
    } else {
        let said = said.find(" at line ").map_or(said, |place| &said[..place]);
        (said.to_owned(), "look at the indentation and the quotes of this line and the one before".to_owned())
    }
}

/// A line's field and its value, without `- `.
fn field(line: &str) -> (&str, &str) {
    let line = line.trim();
    let line = line.strip_prefix("- ").unwrap_or(line);
    match line.split_once(": ") {
        Some((field, value)) if !field.contains(['{', '[', '"', '\'']) => (field, value.trim()),
        _ => ("", line),
    }
}

/// Whether something stands behind the bracket that closes the one a value begins with.
fn goes_on(value: &str) -> bool {
    let mut open = 0;
    let closed = value.char_indices().find(|(_, c)| {
        open += match c {
            '[' | '{' => 1,
            ']' | '}' => -1,
            _ => 0,
        };
        open == 0
    });
    closed.is_some_and(|(at, _)| !value[at + 1..].trim_matches([' ', ']', '}']).is_empty())
}

/// A text in the quotes that it needs no escapes in, where there are such.
fn quoted(text: &str) -> String {
    if text.contains('"') || text.contains('\\') {
        format!("'{}'", text.replace('\'', "''"))
    } else {
        format!("\"{text}\"")
    }
}

/// What a word is that other versions of YAML take for a boolean.
pub(crate) fn boolean(word: &str) -> Option<&'static str> {
    match word.to_ascii_lowercase().as_str() {
        "yes" | "on" | "y" => Some("true"),
        "no" | "off" | "n" => Some("false"),
        _ => None,
    }
}

/// The first tab inside a line's indentation.
pub(crate) fn tab(source: &str) -> Option<Range<usize>> {
    let mut at = 0;
    for line in source.split_inclusive('\n') {
        let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
        if let Some(tab) = line[..indent].find('\t')
            && !line.trim().is_empty()
        {
            return Some(at + tab..at + tab + 1);
        }
        at += line.len();
    }
    None
}
