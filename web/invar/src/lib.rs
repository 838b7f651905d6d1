//! The commands of the one binary, as functions that tests can call too. Introduces all crates to one another.
pub mod cmd;
pub mod config;
