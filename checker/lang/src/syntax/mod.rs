//! The syntax of expressions (google/cel-spec, `doc/langdef.md`): text to a tree in which every node knows its bytes.
//!
//! Names are not resolved here, nothing is typed, and macros are still calls.
mod lexer;
mod parser;

use engine::expr::{Binary, Unary};
use event::Value;
use std::ops::Range;

pub use parser::parse;

/// How many bytes an expression may have.
pub const LENGTH_MAX: usize = 16 * 1024;
/// How deep an expression's tree may be.
pub const DEPTH_MAX: u16 = 64;

/// A piece of an expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it is.
    pub kind: NodeKind,
    /// Its bytes in the expression's text.
    pub span: Range<usize>,
    /// How many levels it has, itself included.
    pub depth: u16,
}

/// What a [`Node`] is.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeKind {
    /// A literal.
    Literal(Value),
    /// A single name (`node`, `batch`).
    Name(String),
    /// `of.name`
    Field(Box<Node>, String),
    /// `of[index]`
    Index(Box<Node>, Box<Node>),
    /// `name(args)`, or `receiver.name(args)`.
    Call {
        /// What the method is called on.
        receiver: Option<Box<Node>>,
        /// The function's name.
        name: String,
        /// Where that name stands.
        name_span: Range<usize>,
        /// Its arguments.
        args: Vec<Node>,
    },
    /// An operator with one operand.
    Unary(Unary, Box<Node>),
    /// An operator with two operands.
    Binary(Binary, Box<Node>, Box<Node>),
    /// `condition ? then : otherwise`
    Conditional(Box<Node>, Box<Node>, Box<Node>),
    /// `[a, b]`
    List(Vec<Node>),
    /// `{k: v}`
    Map(Vec<(Node, Node)>),
}

/// Why a text is no expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SyntaxError {
    /// What is wrong.
    pub message: String,
    /// Where, in bytes of the text.
    pub span: Range<usize>,
    /// How to mend it.
    pub help: Option<String>,
    /// Whether the text is only too large.
    pub too_large: bool,
}

impl SyntaxError {
    fn new(message: impl Into<String>, span: Range<usize>) -> Self {
        Self { message: message.into(), span, help: None, too_large: false }
    }

    fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}
