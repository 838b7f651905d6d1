//! Body templates: `Persisted batch {batch_id} from {author}` against the text of a log record.
use alloc::{string::String, vec::Vec};

/// A text with captures between its literal parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyTemplate {
    /// What stands before the first capture.
    start: String,
    /// What stands after each capture; only the last may be empty.
    after: Vec<String>,
    /// The captures' names; empty for one that is not kept.
    names: Vec<String>,
}

/// Why a text is not a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TemplateError {
    /// A brace without its partner, at this byte.
    Brace(usize),
    /// Two captures with nothing between them, the second at this byte.
    Adjacent(usize),
    /// A name that was given already, at this byte.
    Twice(usize),
}

impl BodyTemplate {
    /// Reads a template: `{name}` keeps what stands there, `{}` skips it, braces that are meant are doubled.
    ///
    /// # Errors
    /// Where and why it is none.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut template = BodyTemplate { start: String::new(), after: Vec::new(), names: Vec::new() };
        let mut at = 0;
        while let Some(found) = text[at..].find(['{', '}']) {
            let brace = at + found;
            template.literal().push_str(&text[at..brace]);
            let rest = &text[brace..];
            if rest.starts_with("{{") || rest.starts_with("}}") {
                template.literal().push_str(&rest[..1]);
                at = brace + 2;
                continue;
            }
            let end = rest.find('}').filter(|_| rest.starts_with('{')).ok_or(TemplateError::Brace(brace))?;
            let name = rest[1..end].trim();
            if template.after.last().is_some_and(String::is_empty) {
                return Err(TemplateError::Adjacent(brace));
            }
            if !name.is_empty() && template.names.iter().any(|known| known == name) {
                return Err(TemplateError::Twice(brace));
            }
            template.names.push(name.into());
            template.after.push(String::new());
            at = brace + end + 1;
        }
        template.literal().push_str(&text[at..]);
        Ok(template)
    }

    fn literal(&mut self) -> &mut String {
        match self.after.last_mut() {
            Some(last) => last,
            None => &mut self.start,
        }
    }

    /// The names of its captures, in order; empty for those that are not kept.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// What a text has in the places of the captures, when all of it fits. Each capture is as short as it can be, and the
    /// last takes what is left.
    #[must_use]
    pub fn matches<'t>(&self, text: &'t str) -> Option<Vec<&'t str>> {
        let mut rest = text.strip_prefix(self.start.as_str())?;
        let Some((last, before)) = self.after.split_last() else { return rest.is_empty().then(Vec::new) };
        let mut captured = Vec::with_capacity(self.after.len());
        for literal in before {
            let end = rest.find(literal.as_str())?;
            captured.push(&rest[..end]);
            rest = &rest[end + literal.len()..];
        }
        captured.push(rest.strip_suffix(last.as_str())?);
        Some(captured)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(template: &str, text: &str) -> Option<Vec<String>> {
        let template = BodyTemplate::parse(template).unwrap();
        template.matches(text).map(|parts| parts.into_iter().map(String::from).collect())
    }

    #[test]
    fn captures_are_what_stands_between_the_literal_parts() {
        let found = captured("Persisted batch {batch} from {author}", "Persisted batch 7 from 0xa1 again").unwrap();
        assert_eq!(found, ["7", "0xa1 again"]);
        assert_eq!(captured("{a}, {b}!", "1, 2, 3!").unwrap(), ["1", "2, 3"]);
        assert_eq!(captured("exactly", "exactly"), Some(Vec::new()));
        assert_eq!(captured("{{{a}}}", "{x}").unwrap(), ["x"]);
        assert_eq!(captured("é{a}é", "éüé").unwrap(), ["ü"]);
    }

    #[test]
    fn all_of_the_text_must_fit() {
        for (template, text) in [("a {x} b", "a 1 c"), ("a {x}", "b 1"), ("exactly", "exactly so"), ("{x} end", "no")] {
            assert_eq!(captured(template, text), None, "{template}");
        }
    }

    #[test]
    fn mistakes_name_their_place() {
        assert_eq!(BodyTemplate::parse("a {b"), Err(TemplateError::Brace(2)));
        assert_eq!(BodyTemplate::parse("a } b"), Err(TemplateError::Brace(2)));
        assert_eq!(BodyTemplate::parse("{a}{b}"), Err(TemplateError::Adjacent(3)));
        assert_eq!(BodyTemplate::parse("{a} {a}"), Err(TemplateError::Twice(4)));
    }
}
