//! What is wrong with a pack, as data: for the terminal, the editor and the API alike. Drawing comes last.
use annotate_snippets::{AnnotationKind, Level as Drawn, Renderer, Snippet};
use serde::Serialize;
use std::ops::Range;

/// Whether the pack can be used all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// It cannot.
    Error,
    /// It can, but it hardly means what was meant.
    Warning,
}

/// The stable codes. A code never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Code {
    /// I001: an expression cannot be parsed.
    #[serde(rename = "I001")]
    ExpressionSyntax,
    /// I002: an expression is too long or nests too deep.
    #[serde(rename = "I002")]
    ExpressionTooLarge,
    /// I003: the file is not YAML, or more of it than a pack may be.
    #[serde(rename = "I003")]
    Yaml,
    /// I101: a field that does not exist here.
    #[serde(rename = "I101")]
    UnknownField,
    /// I102: a field that must be there.
    #[serde(rename = "I102")]
    MissingField,
    /// I103: a value of the wrong shape: a list for a map, text for a number.
    #[serde(rename = "I103")]
    Shape,
    /// I104: not a duration.
    #[serde(rename = "I104")]
    Duration,
    /// I105: part of the language that this version does not have yet.
    #[serde(rename = "I105")]
    Unsupported,
    /// I106: a name that is already taken.
    #[serde(rename = "I106")]
    Duplicate,
    /// I201: a name, function, parameter or fact that does not exist.
    #[serde(rename = "I201")]
    Name,
    /// I202: types that do not go together.
    #[serde(rename = "I202")]
    Type,
    /// I203: an event that the vocabulary does not declare.
    #[serde(rename = "I203")]
    Event,
    /// I204: an attribute that the event does not have.
    #[serde(rename = "I204")]
    Attribute,
    /// I205: a key part that an event can never supply.
    #[serde(rename = "I205")]
    Key,
    /// I206: a rule, component or breaker that does not exist.
    #[serde(rename = "I206")]
    Reference,
    /// I207: something that rests on itself.
    #[serde(rename = "I207")]
    Cycle,
    /// W301: a breaker that no rule trips.
    #[serde(rename = "W301")]
    Untripped,
    /// W302: a counting rule whose event declares nothing that tells twins apart.
    #[serde(rename = "W302")]
    Twins,
    /// W303: a state that no transitions lead to.
    #[serde(rename = "W303")]
    Unreachable,
    /// W304: a comment that cuts off a text, and hardly is one.
    #[serde(rename = "W304")]
    Comment,
    /// W305: a hole of a message, or a severity's condition, that asks for what nothing in evidence has.
    #[serde(rename = "W305")]
    Untold,
    /// W306: a state that nothing leads out of, and that is not said to be terminal.
    #[serde(rename = "W306")]
    Stuck,
    /// W307: a rule that says what another one says.
    #[serde(rename = "W307")]
    Repeated,
    /// W308: what excuses or breaks an obligation is what opens or answers it.
    #[serde(rename = "W308")]
    Opposed,
    /// W309: a condition that is the same for every event.
    #[serde(rename = "W309")]
    Constant,
    /// W310: a rule that may keep more than is sensible.
    #[serde(rename = "W310")]
    Memory,
    /// W311: a `quiet` that is longer than anything is remembered.
    #[serde(rename = "W311")]
    Forgotten,
    /// W312: a response whose answer is its question.
    #[serde(rename = "W312")]
    SelfAnswered,
    /// W313: a severity that no violation can have.
    #[serde(rename = "W313")]
    Ungraded,
}

impl Code {
    /// `I001` and so on.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Code::ExpressionSyntax => "I001",
            Code::ExpressionTooLarge => "I002",
            Code::Yaml => "I003",
            Code::UnknownField => "I101",
            Code::MissingField => "I102",
            Code::Shape => "I103",
            Code::Duration => "I104",
            Code::Unsupported => "I105",
            Code::Duplicate => "I106",
            Code::Name => "I201",
            Code::Type => "I202",
            Code::Event => "I203",
            Code::Attribute => "I204",
            Code::Key => "I205",
            Code::Reference => "I206",
            Code::Cycle => "I207",
            Code::Untripped => "W301",
            Code::Twins => "W302",
            Code::Unreachable => "W303",
            Code::Comment => "W304",
            Code::Untold => "W305",
            Code::Stuck => "W306",
            Code::Repeated => "W307",
            Code::Opposed => "W308",
            Code::Constant => "W309",
            Code::Memory => "W310",
            Code::Forgotten => "W311",
            Code::SelfAnswered => "W312",
            Code::Ungraded => "W313",
        }
    }
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Its stable code.
    pub code: Code,
    /// How bad it is.
    pub severity: Level,
    /// What is wrong, in one sentence.
    pub message: String,
    /// The file's name as it was given.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The bytes of the source it is about.
    pub span: Range<usize>,
    /// How to mend it.
    pub help: Option<String>,
    /// What else helps to understand it.
    pub notes: Vec<String>,
}

impl Diagnostic {
    /// An error at these bytes of `source`; a span that does not lie in the source is cut to it.
    #[must_use]
    pub fn error(code: Code, message: impl Into<String>, file: &str, source: &str, span: Range<usize>) -> Self {
        let start = source.floor_char_boundary(span.start);
        let end = source.ceil_char_boundary(span.end).max(start);
        let before = &source[..start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Self {
            code,
            severity: Level::Error,
            message: message.into(),
            file: file.into(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            span: start..end,
            help: None,
            notes: Vec::new(),
        }
    }

    /// Whether the pack cannot be used because of it.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Level::Error
    }

    /// The same, as a warning.
    #[must_use]
    pub fn warning(self) -> Self {
        Self { severity: Level::Warning, ..self }
    }

    /// The same, saying how to mend it.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

/// Draws the diagnostics of one file, each with its line and a caret.
#[must_use]
pub fn render(diagnostics: &[Diagnostic], source: &str) -> String {
    let renderer = Renderer::plain();
    let drawn = diagnostics.iter().map(|diagnostic| {
        let level = match diagnostic.severity {
            Level::Error => Drawn::ERROR,
            Level::Warning => Drawn::WARNING,
        };
        let annotation = AnnotationKind::Primary.span(diagnostic.span.clone());
        let group = level
            .primary_title(diagnostic.message.as_str())
            .id(diagnostic.code.as_str())
            .element(Snippet::source(source).path(diagnostic.file.as_str()).annotation(annotation))
            .elements(diagnostic.notes.iter().map(|note| Drawn::NOTE.message(note.as_str())))
            .elements(diagnostic.help.iter().map(|help| Drawn::HELP.message(help.as_str())));
        renderer.render(&[group]) + "\n"
    });
    drawn.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn a_diagnostic_shows_its_line_a_caret_and_the_way_out() {
        let source = "rules:\n  - never: a where b = c\n";
        let at = source.find("= c").unwrap_or(0);
        let diagnostic = Diagnostic::error(Code::ExpressionSyntax, "`=` has no meaning", "p.yaml", source, at..at + 1)
            .help("equality is written `==`");
        assert_eq!((diagnostic.line, diagnostic.column), (2, 22));
        expect![[r#"
            error[I001]: `=` has no meaning
             --> p.yaml:2:22
              |
            2 |   - never: a where b = c
              |                      ^
              |
              = help: equality is written `==`
        "#]]
        .assert_eq(&render(&[diagnostic], source));
    }

    #[test]
    fn spans_outside_the_source_are_cut_to_it() {
        let diagnostic = Diagnostic::error(Code::ExpressionSyntax, "x", "p.yaml", "é", 1..99);
        assert_eq!(diagnostic.span, 0..2);
        assert!(!render(&[diagnostic], "é").is_empty());
    }
}
