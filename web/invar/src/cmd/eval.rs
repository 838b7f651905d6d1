//! `invar eval`: an expression against one event.
use std::io::Read;

use anyhow::Context;
use runtime::eval::{self, EvalError};

use super::Outcome;

/// Tries an expression against one event and prints its value and type.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  invar eval 'bytes > 1024 && author != \"\"' --event '{\"attrs\":{\"bytes\":2048,\"author\":\"0xa1\"}}'\n  \
                        head -1 events.ndjson | invar eval 'json(state).counter' --event -\n\n\
                        Exit codes: 0 it has a value, 1 it has none or is mistaken, 2 the event cannot be read."
)]
pub struct Arguments {
    /// The expression, as in `where` and `assert`
    #[arg(value_name = "EXPRESSION")]
    expression: String,
    /// The event as one JSON object: `attrs`, and if they matter `ts`, `node`, `component`, `network`, `event`; `-` reads
    /// it from standard input
    #[arg(long, value_name = "JSON", default_value = "{}")]
    event: String,
}

/// Runs the command.
///
/// # Errors
/// When the event cannot be read.
pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let mut line = arguments.event.clone();
    if line == "-" {
        line.clear();
        std::io::stdin().read_to_string(&mut line).context("standard input cannot be read")?;
    }
    match eval::eval(&arguments.expression, &line) {
        Ok(answer) => {
            println!("{} ({})", answer.value, answer.kind);
            Ok(Outcome::Fine)
        }
        Err(EvalError::Expression(diagnostic)) => {
            eprintln!("{}", lang::render(&[*diagnostic], &arguments.expression));
            Ok(Outcome::Found)
        }
        Err(error @ EvalError::Undefined { .. }) => {
            println!("{error}");
            Ok(Outcome::Found)
        }
        Err(error @ EvalError::Event(_)) => Err(error.into()),
    }
}
