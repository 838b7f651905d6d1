//! Expressions, compiled: every name is resolved to a slot, a role or a fact before the engine sees it.
//!
//! The meaning is that of the Common Expression Language (google/cel-spec, `doc/langdef.md`), except that integers are
//! exact at any size. Nothing here parses source text, knows attribute names, or can run without bound.
mod eval;
mod functions;
mod json;
mod time;
mod val;

use alloc::{boxed::Box, vec::Vec};
use core::fmt;
use event::Value;

use crate::pack::RoleIdx;
pub use functions::Function;
pub use json::parse_json;
pub use time::{parse_duration, parse_timestamp};
pub use val::Val;

/// A compiled expression.
#[derive(Clone, Debug)]
pub enum Expr {
    /// A literal, or a parameter with its value filled in.
    Const(Value),
    /// A length of time, in nanoseconds; [`Value`] has no such kind.
    Duration(i128),
    /// An instant, in nanoseconds since the Unix epoch.
    Timestamp(event::Timestamp),
    /// A slot of the event in question.
    Slot(u16),
    /// A kept slot of the event in another role (`when.gas`).
    Role(RoleIdx, u16),
    /// A variable of an enclosing macro, counted from the outermost.
    Local(u16),
    /// What a fact says.
    Fact {
        /// The fact's number in its pack.
        fact: u16,
        /// Its key, in the order declared, or the first parts of it; for a span of time its two ends come last.
        args: Vec<Expr>,
        /// As of when.
        as_of: AsOf,
    },
    /// Where a clock stands.
    Clock {
        /// The clock's number in its pack.
        clock: u16,
        /// Its key, in the order declared.
        key: Vec<Expr>,
    },
    /// `breaker("id", key…)`: the state of a breaker.
    Breaker {
        /// The breaker's number in its pack.
        breaker: u16,
        /// Its scope, in the order of its `per`.
        scope: Vec<Expr>,
    },
    /// `live("component")`: the nodes whose component of that name was heard lately.
    Live(Box<Expr>),
    /// An operator with one operand.
    Unary(Unary, Box<Expr>),
    /// An operator with two operands.
    Binary(Binary, Box<Expr>, Box<Expr>),
    /// `condition ? then : otherwise`.
    Conditional(Box<Expr>, Box<Expr>, Box<Expr>),
    /// A function and its arguments; a method's receiver is the first.
    Call(Function, Vec<Expr>),
    /// `list[0]` or `map["key"]`.
    Index(Box<Expr>, Box<Expr>),
    /// `map.field`.
    Field(Box<Expr>, Box<str>),
    /// `has(x)`: whether `x` is there.
    Has(Box<Expr>),
    /// `[a, b]`.
    List(Vec<Expr>),
    /// `{k: v}`.
    Map(Vec<(Expr, Expr)>),
    /// A macro over the elements of a list or the keys of a map; its variable is the next [`Expr::Local`].
    Macro(Macro, Box<Expr>, Box<Expr>),
}

/// As of when a fact is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsOf {
    /// At the asking event's instant, what happens in it included.
    At,
    /// Just before it.
    Before,
    /// Since when it has held what it holds at that instant.
    Since,
    /// At any time between the last two arguments, both included.
    During,
    /// All the time between the last two arguments, both included.
    Throughout,
}

/// Operators with one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unary {
    /// `!`
    Not,
    /// `-`
    Negate,
}

/// Operators with two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the operators of the language by their usual names")]
pub enum Binary {
    And,
    Or,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    In,
}

/// The macros of the language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Macro {
    /// Whether the condition holds for every element.
    All,
    /// For any element.
    Exists,
    /// For exactly one element.
    ExistsOne,
    /// The elements for which it holds.
    Filter,
    /// The expression's value for each element.
    Map,
}

/// What an expression reads.
pub trait Env {
    /// A slot of the event in question; `None` where the event has no such value.
    fn slot(&self, slot: u16) -> Option<Val<'_>>;
    /// Why a slot has no value.
    fn absent(&self, slot: u16) -> Undefined {
        Undefined::Absent { slot }
    }
    /// A kept slot of the event in another role.
    fn role(&self, role: RoleIdx, slot: u16) -> Option<Val<'_>>;
    /// What a fact says for a key.
    ///
    /// # Errors
    /// [`Undefined::NotAFact`] where it has no value, [`Undefined::Forgotten`] where nobody knows whether it has one.
    fn fact(&self, fact: u16, _key: &[Val<'_>], _as_of: AsOf) -> Result<Val<'_>, Undefined> {
        Err(Undefined::NotAFact { fact })
    }
    /// Where a clock stands; none where nobody knows.
    fn clock(&self, _clock: u16, _key: &[Val<'_>]) -> Option<Val<'_>> {
        None
    }
    /// The state of a breaker; none where nobody knows.
    fn breaker(&self, _breaker: u16, _scope: &[Val<'_>]) -> Option<Val<'_>> {
        None
    }
    /// The nodes whose component of that name was heard lately; none where nobody knows.
    fn live(&self, _component: &str) -> Option<Val<'_>> {
        None
    }
}

/// Why an expression has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undefined {
    /// The event has no such value.
    Absent {
        /// The slot asked for.
        slot: u16,
    },
    /// The event in the other role is not there, or has no such value.
    AbsentInRole {
        /// The role asked for.
        role: RoleIdx,
        /// Its slot.
        slot: u16,
    },
    /// The fact has no value for the key.
    NotAFact {
        /// The fact's number in its pack.
        fact: u16,
    },
    /// What the fact said was forgotten, as it had too many rows.
    Forgotten,
    /// No such key in a map, or no such index in a list.
    NoSuchKey,
    /// An operator or a function met a kind of value it is not made for.
    Type,
    /// Text that should be a number, a time or JSON is not.
    Malformed,
    /// Division by zero, or a remainder by zero.
    DivisionByZero,
    /// A result beyond every bound set for numbers and times.
    Overflow,
    /// More work than one evaluation may do.
    Cost,
}

impl Undefined {
    /// Whether something asked for is missing, rather than wrong.
    #[must_use]
    pub fn is_absence(self) -> bool {
        matches!(
            self,
            Undefined::Absent { .. }
                | Undefined::AbsentInRole { .. }
                | Undefined::NotAFact { .. }
                | Undefined::NoSuchKey
        )
    }
}

impl fmt::Display for Undefined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Undefined::Absent { .. } => "an attribute is absent",
            Undefined::AbsentInRole { .. } => "an attribute of another event is absent",
            Undefined::NotAFact { .. } => "a fact has no value for this key",
            Undefined::Forgotten => "what a fact said was forgotten",
            Undefined::NoSuchKey => "no such key or index",
            Undefined::Type => "a value is of the wrong type",
            Undefined::Malformed => "a text is not what it should be",
            Undefined::DivisionByZero => "division by zero",
            Undefined::Overflow => "a number is too large",
            Undefined::Cost => "the evaluation takes too much work",
        })
    }
}

impl core::error::Error for Undefined {}

impl Expr {
    /// Calls `see` for this expression and everything in it, outermost first.
    pub fn visit(&self, see: &mut dyn FnMut(&Expr)) {
        see(self);
        match self {
            Expr::Const(_)
            | Expr::Duration(_)
            | Expr::Timestamp(_)
            | Expr::Slot(_)
            | Expr::Role(..)
            | Expr::Local(_) => {}
            Expr::Fact { args, .. }
            | Expr::Clock { key: args, .. }
            | Expr::Breaker { scope: args, .. }
            | Expr::Call(_, args)
            | Expr::List(args) => {
                args.iter().for_each(|arg| arg.visit(see));
            }
            Expr::Unary(_, operand) | Expr::Field(operand, _) | Expr::Has(operand) | Expr::Live(operand) => {
                operand.visit(see);
            }
            Expr::Binary(_, a, b) | Expr::Index(a, b) | Expr::Macro(_, a, b) => {
                a.visit(see);
                b.visit(see);
            }
            Expr::Conditional(condition, then, otherwise) => {
                [condition, then, otherwise].into_iter().for_each(|part| part.visit(see));
            }
            Expr::Map(entries) => entries.iter().for_each(|(key, value)| {
                key.visit(see);
                value.visit(see);
            }),
        }
    }

    /// Calls `see` with the number of every fact asked.
    pub fn visit_facts(&self, see: &mut dyn FnMut(u16)) {
        self.visit(&mut |expr| {
            if let Expr::Fact { fact, .. } = expr {
                see(*fact);
            }
        });
    }

    /// Whether it asks for more than events: facts, clocks, breakers, who is live.
    #[must_use]
    pub fn asks(&self) -> bool {
        let mut found = false;
        self.visit(&mut |expr| {
            found |= matches!(expr, Expr::Fact { .. } | Expr::Clock { .. } | Expr::Breaker { .. } | Expr::Live(_));
        });
        found
    }

    /// Calls `see` with the number of every clock asked.
    pub fn visit_clocks(&self, see: &mut dyn FnMut(u16)) {
        self.visit(&mut |expr| {
            if let Expr::Clock { clock, .. } = expr {
                see(*clock);
            }
        });
    }

    /// Calls `see` with the number of every breaker asked.
    pub fn visit_breakers(&self, see: &mut dyn FnMut(u16)) {
        self.visit(&mut |expr| {
            if let Expr::Breaker { breaker, .. } = expr {
                see(*breaker);
            }
        });
    }

    /// Whether it asks who is live.
    #[must_use]
    pub fn uses_live(&self) -> bool {
        let mut found = false;
        self.visit(&mut |expr| found |= matches!(expr, Expr::Live(_)));
        found
    }

    /// The other roles it reads, each once, ascending.
    #[must_use]
    pub fn roles(&self) -> Vec<RoleIdx> {
        let mut roles = Vec::new();
        self.visit(&mut |expr| {
            if let Expr::Role(role, _) = expr {
                roles.push(*role);
            }
        });
        roles.sort_unstable();
        roles.dedup();
        roles
    }

    /// Whether it reads any other role.
    #[must_use]
    pub fn roles_used(&self) -> bool {
        let mut found = false;
        self.visit(&mut |expr| found |= matches!(expr, Expr::Role(..)));
        found
    }
}

#[cfg(test)]
mod tests;
