//! Text to tokens.
use super::SyntaxError;
use event::{Int, Value};
use std::ops::Range;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Literal(Value),
    Name(String),
    /// An operator or a bracket.
    Sign(&'static str),
    End,
}

const SIGNS: [&str; 24] = [
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "+", "-", "*", "/", "%", "!", "?", ":", ".", ",", "(", ")", "[", "]",
    "{", "}",
];

/// All tokens with their bytes; the last is [`Token::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<(Token, Range<usize>)>, SyntaxError> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let from = at;
        let rest = &text[at..];
        if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        }
        if rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
            continue;
        }
        let token = if matches!(c, '"' | '\'') {
            let (value, length) = string(rest, at)?;
            at += length;
            Token::Literal(Value::String(value.into()))
        } else if c.is_ascii_digit() {
            let (value, length) = number(rest, at)?;
            at += length;
            Token::Literal(value)
        } else if c.is_ascii_alphabetic() || c == '_' {
            at += rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
            match &text[from..at] {
                "true" => Token::Literal(Value::Bool(true)),
                "false" => Token::Literal(Value::Bool(false)),
                "null" => Token::Literal(Value::Null),
                name => Token::Name(name.into()),
            }
        } else if let Some(sign) = SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
            at += sign.len();
            Token::Sign(sign)
        } else {
            let error = SyntaxError::new(format!("`{c}` has no meaning in an expression"), at..at + c.len_utf8());
            return Err(match c {
                '=' if rest.starts_with("=~") => {
                    error.help("there are no regular expressions: use startsWith, endsWith or contains")
                }
                '=' => error.help("equality is written `==`"),
                '&' => error.help("`and` is written `&&`"),
                '|' => error.help("`or` is written `||`"),
                '$' | '@' | '`' => error.help("attributes with unusual names are written `attr[\"any name\"]`"),
                _ => error,
            });
        };
        out.push((token, from..at));
    }
    out.push((Token::End, text.len()..text.len()));
    Ok(out)
}

fn number(rest: &str, at: usize) -> Result<(Value, usize), SyntaxError> {
    let hex = rest.starts_with("0x") || rest.starts_with("0X");
    let mut length = 0;
    let mut whole = true;
    let bytes = rest.as_bytes();
    while let Some(&byte) = bytes.get(length) {
        let digit_follows = |from: usize| bytes.get(from).is_some_and(u8::is_ascii_digit);
        match byte {
            b'.' if whole && !hex && digit_follows(length + 1) => whole = false,
            b'e' | b'E' if !hex && (digit_follows(length + 1) || digit_follows(length + 2)) => {
                whole = false;
                length += usize::from(matches!(bytes.get(length + 1), Some(b'-' | b'+')));
            }
            byte if byte.is_ascii_alphanumeric() => {}
            _ => break,
        }
        length += 1;
    }
    let text = &rest[..length];
    let value = if whole { Int::parse(text).map(Value::Int) } else { text.parse().ok().map(Value::Double) };
    value.map(|value| (value, length)).ok_or_else(|| {
        let error = SyntaxError::new(format!("`{text}` is not a number"), at..at + length);
        match engine::expr::parse_duration(text) {
            // `rate(errors[5m])`
            Some(_) if rest[length..].trim_start().starts_with(']') => error.help(
                "a condition sees one event: over a time look `count` with `window` and `aggregate`, which are kinds of rules",
            ),
            Some(_) => error.help(format!("a length of time is written `duration(\"{text}\")`")),
            None => error.help("a length of time is written `duration(\"5s\")`"),
        }
    })
}

fn string(rest: &str, at: usize) -> Result<(String, usize), SyntaxError> {
    let mut chars = rest.char_indices();
    let quote = chars.next().map_or('"', |(_, c)| c);
    let mut out = String::new();
    while let Some((index, c)) = chars.next() {
        match c {
            c if c == quote => return Ok((out, index + 1)),
            '\\' => {
                let escape = chars.next().map(|(_, c)| c);
                let digits = match escape {
                    Some('x') => 2,
                    Some('u') => 4,
                    Some('U') => 8,
                    _ => 0,
                };
                out.push(match escape {
                    Some('n') => '\n',
                    Some('t') => '\t',
                    Some('r') => '\r',
                    Some(c @ ('\\' | '"' | '\'' | '`' | '?')) => c,
                    _ => {
                        let code: String = chars.by_ref().take(digits).map(|(_, c)| c).collect();
                        let read = u32::from_str_radix(&code, 16).ok().and_then(char::from_u32);
                        read.filter(|_| digits > 0 && code.len() == digits).ok_or_else(|| {
                            SyntaxError::new("unknown escape in a text", at + index..at + chars.offset())
                                .help("a backslash is written `\\\\`")
                        })?
                    }
                });
            }
            c => out.push(c),
        }
    }
    Err(SyntaxError::new("this text has no end", at..at + rest.len()).help("close it with the quote it begins with"))
}
