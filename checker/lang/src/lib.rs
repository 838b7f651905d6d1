//! What authors of packs write: YAML and expressions in, compiled packs out, or diagnostics that point at the place.
//!
//! This crate does no I/O and judges nothing.
mod bites;
mod breaker;
mod choice;
mod clock;
mod compile;
mod constant;
mod derive;
pub mod diagnostic;
mod duration;
mod elsewhere;
mod emits;
mod evidence;
mod expected;
pub mod expression;
mod extend;
mod fact;
mod fields;
mod kind;
mod lint;
mod modifiers;
mod names;
mod pattern;
mod rule;
mod schema;
mod severity;
mod suggest;
pub mod suite;
mod switch;
pub mod syntax;
mod template;
mod yaml;

pub use compile::{Options, compile};
pub use diagnostic::{Code, Diagnostic, Level, render};
pub use extend::{extended, extends, pack_name};
pub use schema::schema;
pub use suggest::closest;
