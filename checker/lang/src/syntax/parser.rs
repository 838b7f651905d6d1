//! Tokens to a tree: operator precedence by binding power.
use super::{
    DEPTH_MAX, LENGTH_MAX, Node, NodeKind, SyntaxError,
    lexer::{Token, tokens},
};
use engine::expr::{Binary, Unary};
use std::ops::Range;

/// Parses one expression.
///
/// # Errors
/// The first mistake, with its place; texts over [`LENGTH_MAX`] bytes or [`DEPTH_MAX`] levels are refused.
pub fn parse(text: &str) -> Result<Node, SyntaxError> {
    if text.len() > LENGTH_MAX {
        return Err(SyntaxError { too_large: true, ..SyntaxError::new("this expression is too long", 0..text.len()) });
    }
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0 };
    let node = parser.conditional()?;
    match parser.peek() {
        Token::End => Ok(node),
        _ => Err(parser.unexpected("an operator or the end")),
    }
}

struct Parser {
    tokens: Vec<(Token, Range<usize>)>,
    at: usize,
    depth: u16,
}

fn operator(token: &Token) -> Option<(Binary, u8)> {
    Some(match token {
        Token::Sign("||") => (Binary::Or, 1),
        Token::Sign("&&") => (Binary::And, 2),
        Token::Sign("==") => (Binary::Equal, 3),
        Token::Sign("!=") => (Binary::NotEqual, 3),
        Token::Sign("<") => (Binary::Less, 3),
        Token::Sign("<=") => (Binary::LessEqual, 3),
        Token::Sign(">") => (Binary::Greater, 3),
        Token::Sign(">=") => (Binary::GreaterEqual, 3),
        Token::Name(name) if name == "in" => (Binary::In, 3),
        Token::Sign("+") => (Binary::Add, 4),
        Token::Sign("-") => (Binary::Subtract, 4),
        Token::Sign("*") => (Binary::Multiply, 5),
        Token::Sign("/") => (Binary::Divide, 5),
        Token::Sign("%") => (Binary::Remainder, 5),
        _ => return None,
    })
}

fn node(kind: NodeKind, span: Range<usize>) -> Result<Node, SyntaxError> {
    let below = match &kind {
        NodeKind::Literal(_) | NodeKind::Name(_) => 0,
        NodeKind::Field(a, _) | NodeKind::Unary(_, a) => a.depth,
        NodeKind::Index(a, b) | NodeKind::Binary(_, a, b) => a.depth.max(b.depth),
        NodeKind::Conditional(a, b, c) => a.depth.max(b.depth).max(c.depth),
        NodeKind::List(items) => items.iter().map(|item| item.depth).max().unwrap_or(0),
        NodeKind::Call { receiver, args, .. } => {
            args.iter().chain(receiver.as_deref()).map(|arg| arg.depth).max().unwrap_or(0)
        }
        NodeKind::Map(entries) => entries.iter().map(|(k, v)| k.depth.max(v.depth)).max().unwrap_or(0),
    };
    if below >= DEPTH_MAX { Err(too_deep(span)) } else { Ok(Node { kind, span, depth: below + 1 }) }
}

fn too_deep(span: Range<usize>) -> SyntaxError {
    SyntaxError { too_large: true, ..SyntaxError::new("this expression nests too deep", span) }
        .help("name parts of it with `let`")
}

impl Parser {
    fn peek(&self) -> &Token {
        &self.tokens[self.at].0
    }

    fn span(&self) -> Range<usize> {
        self.tokens[self.at].1.clone()
    }

    /// The end of the token before.
    fn end(&self) -> usize {
        self.at.checked_sub(1).map_or(0, |at| self.tokens[at].1.end)
    }

    fn advance(&mut self) -> Token {
        let token = self.peek().clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    fn take(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Token::Sign(next) if *next == sign);
        if found {
            self.advance();
        }
        found
    }

    fn expect(&mut self, sign: &'static str) -> Result<(), SyntaxError> {
        if self.take(sign) { Ok(()) } else { Err(self.unexpected(&format!("`{sign}`"))) }
    }

    /// Whether that word stands just before.
    fn is_behind(&self, word: &str) -> bool {
        let before = self.at.checked_sub(1).and_then(|at| self.tokens.get(at));
        matches!(before, Some((Token::Name(name), _)) if name.eq_ignore_ascii_case(word))
    }

    fn unexpected(&self, wanted: &str) -> SyntaxError {
        let found = match self.peek() {
            Token::End => "the end".to_string(),
            Token::Sign(sign) => format!("`{sign}`"),
            Token::Name(name) => format!("`{name}`"),
            Token::Literal(_) => "a literal".to_string(),
        };
        let error = SyntaxError::new(format!("expected {wanted}, found {found}"), self.span());
        match self.peek() {
            Token::Name(name) if name == "and" => error.help("`and` is written `&&`"),
            Token::Name(name) if name == "or" => error.help("`or` is written `||`"),
            Token::Sign(",") => error.help("a list is written `[a, b]`"),
            Token::Name(_) if self.is_behind("not") => error.help("`not` is written `!`"),
            _ => error,
        }
    }

    fn conditional(&mut self) -> Result<Node, SyntaxError> {
        // Recursion is bounded here and in `unary`: every bracket leads through the one, every sign through the other.
        self.deeper()?;
        let condition = self.binary(0)?;
        let result = if self.take("?") {
            let then = self.binary(0)?;
            self.expect(":")?;
            let otherwise = self.conditional()?;
            let span = condition.span.start..otherwise.span.end;
            node(NodeKind::Conditional(condition.into(), then.into(), otherwise.into()), span)?
        } else {
            condition
        };
        self.depth -= 1;
        Ok(result)
    }

    fn deeper(&mut self) -> Result<(), SyntaxError> {
        if self.depth >= DEPTH_MAX {
            return Err(too_deep(self.span()));
        }
        self.depth += 1;
        Ok(())
    }

    fn binary(&mut self, least: u8) -> Result<Node, SyntaxError> {
        let mut left = self.unary()?;
        while let Some((operator, power)) = operator(self.peek()).filter(|(_, power)| *power > least) {
            self.advance();
            let right = self.binary(power)?;
            let span = left.span.start..right.span.end;
            left = node(NodeKind::Binary(operator, left.into(), right.into()), span)?;
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Node, SyntaxError> {
        let from = self.span().start;
        let operator = match self.peek() {
            Token::Sign("!") => Unary::Not,
            Token::Sign("-") => Unary::Negate,
            _ => return self.postfix(),
        };
        self.advance();
        self.deeper()?;
        let operand = self.unary()?;
        self.depth -= 1;
        let span = from..operand.span.end;
        node(NodeKind::Unary(operator, operand.into()), span)
    }

    fn postfix(&mut self) -> Result<Node, SyntaxError> {
        let mut left = self.primary()?;
        loop {
            let from = left.span.start;
            if self.take(".") {
                let name_span = self.span();
                let Token::Name(name) = self.peek().clone() else { return Err(self.unexpected("a name")) };
                self.advance();
                let kind = if self.take("(") {
                    NodeKind::Call { receiver: Some(left.into()), name, name_span, args: self.items(")")? }
                } else {
                    NodeKind::Field(left.into(), name)
                };
                left = node(kind, from..self.end())?;
            } else if self.take("[") {
                let index = self.conditional()?;
                self.expect("]")?;
                left = node(NodeKind::Index(left.into(), index.into()), from..self.end())?;
            } else {
                return Ok(left);
            }
        }
    }

    fn primary(&mut self) -> Result<Node, SyntaxError> {
        let span = self.span();
        let kind = match self.peek().clone() {
            Token::Literal(value) => {
                self.advance();
                NodeKind::Literal(value)
            }
            Token::Name(name) if name != "in" => {
                self.advance();
                if self.take("(") {
                    NodeKind::Call { receiver: None, name, name_span: span.clone(), args: self.items(")")? }
                } else {
                    NodeKind::Name(name)
                }
            }
            Token::Sign("(") => {
                self.advance();
                let inner = self.conditional()?;
                self.expect(")")?;
                return Ok(Node { span: span.start..self.end(), ..inner });
            }
            Token::Sign("[") => {
                self.advance();
                NodeKind::List(self.items("]")?)
            }
            Token::Sign("{") => {
                self.advance();
                NodeKind::Map(self.entries()?)
            }
            _ => return Err(self.unexpected("a value")),
        };
        node(kind, span.start..self.end())
    }

    /// Expressions up to the closing sign; a comma may stand before it.
    fn items(&mut self, close: &'static str) -> Result<Vec<Node>, SyntaxError> {
        let mut items = Vec::new();
        while !self.take(close) {
            items.push(self.conditional()?);
            if !self.take(",") {
                self.expect(close)?;
                break;
            }
        }
        Ok(items)
    }

    fn entries(&mut self) -> Result<Vec<(Node, Node)>, SyntaxError> {
        let mut entries = Vec::new();
        while !self.take("}") {
            let key = self.conditional()?;
            self.expect(":")?;
            entries.push((key, self.conditional()?));
            if !self.take(",") {
                self.expect("}")?;
                break;
            }
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tree with every operator's operands in brackets.
    fn shape(node: &Node) -> String {
        let all = |nodes: &[Node]| nodes.iter().map(shape).collect::<Vec<_>>().join(" ");
        match &node.kind {
            NodeKind::Literal(value) => format!("{value:?}"),
            NodeKind::Name(name) => name.clone(),
            NodeKind::Field(of, name) => format!("{}.{name}", shape(of)),
            NodeKind::Index(of, index) => format!("{}[{}]", shape(of), shape(index)),
            NodeKind::Call { receiver, name, args, .. } => {
                format!("{}{name}({})", receiver.as_ref().map(|r| shape(r) + ".").unwrap_or_default(), all(args))
            }
            NodeKind::Unary(operator, a) => format!("({operator:?} {})", shape(a)),
            NodeKind::Binary(operator, a, b) => format!("({operator:?} {} {})", shape(a), shape(b)),
            NodeKind::Conditional(a, b, c) => format!("(if {} {} {})", shape(a), shape(b), shape(c)),
            NodeKind::List(items) => format!("[{}]", all(items)),
            NodeKind::Map(entries) => format!("{{{}}}", entries.len()),
        }
    }

    #[test]
    fn operators_bind_as_in_cel() {
        for (text, tree) in [
            ("a || b && c", "(Or a (And b c))"),
            ("a - b - c", "(Subtract (Subtract a b) c)"),
            ("a + b * c < d", "(Less (Add a (Multiply b c)) d)"),
            ("!a.b(c)[d]", "(Not a.b(c)[d])"),
            ("a in [b, c,] ? d : e ? f : g", "(if (In a [b c]) d (if e f g))"),
            ("fact.x(node).before", "fact.x(node).before"),
        ] {
            assert_eq!(parse(text).map(|node| shape(&node)).as_deref(), Ok(tree), "{text}");
        }
    }

    #[test]
    fn mistakes_name_their_bytes() {
        for (text, span) in [("a = b", 2..3), ("a &&", 4..4), ("f(a b)", 4..5), ("5parsecs", 0..8), ("\"é", 0..3)] {
            assert_eq!(parse(text).map_err(|error| error.span), Err(span), "{text}");
        }
    }

    #[test]
    fn deep_nesting_is_refused_in_every_direction() {
        let chain = vec!["a"; 2_000].join(" + ");
        for text in ["(".repeat(9_000), "!".repeat(9_000), "[".repeat(9_000), "a?b:".repeat(3_000), chain] {
            assert!(parse(&text).is_err_and(|error| error.too_large), "{}", &text[..9]);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in r#"([a-z0-9."'\\(){}\[\]&|=!<>+*/%?:,é -]|in|0x|\\u00|duration\("5s"\))*"#) {
            if let Err(error) = parse(&text) {
                proptest::prop_assert!(text.get(error.span).is_some(), "a span between characters");
            }
        }
    }
}
