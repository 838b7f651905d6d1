//! The commands. Each reads its flags and prints; what it calls is a library function.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "commands speak to people")]

pub mod backup;
pub mod check;
pub mod config;
pub mod demo;
pub mod eval;
pub mod explain;
pub mod replay;
pub mod schema;
pub mod serve;
pub mod test;

/// How a command ended, when it could run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing was found.
    Fine,
    /// Violations, failed tests or mistakes were found.
    Found,
}

/// Tells a person why a command could not run.
pub fn say_error(error: &anyhow::Error) {
    eprintln!("invar: {error:#}");
}
