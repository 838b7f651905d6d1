//! What is legal and hardly meant. Everything here is a warning: the pack can be used all the same.
pub(crate) mod condition;
pub(crate) mod cost;
pub(crate) mod opposed;
mod repeated;

pub(crate) use repeated::Rules;
