//! The one binary of Invar: reads flags, runs a command, turns its outcome into an exit code.
//!
//! 0: fine. 1: found something (violations, failed tests, mistakes). 2: could not run.
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use invar::cmd;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Watches invariants between the components of distributed nodes.
///
/// Components report events over OpenTelemetry; rules written as YAML say what must hold between them; what is broken
/// becomes incidents with evidence, circuit breakers that nodes obey, and pages.
#[derive(Parser)]
#[command(name = "invar", version, max_term_width = 110, arg_required_else_help = true)]
#[command(
    after_help = "Start here: `invar demo` shows the whole path in a browser; `invar serve --help` runs the real thing.\n\
                        Exit codes: 0 fine, 1 found something, 2 could not run."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run everything: receive, keep, judge, show and page
    Serve(cmd::serve::Arguments),
    /// Show the whole path on this machine: two watched systems, faults that come and go, pages
    Demo(cmd::demo::Arguments),
    /// Find the mistakes in packs
    Check(cmd::check::Arguments),
    /// Run the tests beside packs
    Test(cmd::test::Arguments),
    /// Judge recorded events offline
    Replay(cmd::replay::Arguments),
    /// Say in words what a rule means, what it keeps and what follows from it
    Explain(cmd::explain::Arguments),
    /// Try an expression against one event
    Eval(cmd::eval::Arguments),
    /// Print the JSON Schema of packs, for editors
    Schema(cmd::schema::Arguments),
    /// Print the settings that `serve` would run with
    Config(cmd::config::Arguments),
    /// Copy a data directory while Invar runs on it
    Backup(cmd::backup::Arguments),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(arguments) => cmd::serve::run(arguments),
        Command::Demo(arguments) => cmd::demo::run(arguments),
        Command::Check(arguments) => cmd::check::run(&arguments),
        Command::Test(arguments) => cmd::test::run(&arguments),
        Command::Replay(arguments) => cmd::replay::run(&arguments),
        Command::Explain(arguments) => cmd::explain::run(&arguments),
        Command::Eval(arguments) => cmd::eval::run(&arguments),
        Command::Schema(arguments) => cmd::schema::run(&arguments),
        Command::Config(arguments) => cmd::config::run(arguments),
        Command::Backup(arguments) => cmd::backup::run(&arguments),
    };
    match outcome {
        Ok(cmd::Outcome::Fine) => ExitCode::SUCCESS,
        Ok(cmd::Outcome::Found) => ExitCode::from(1),
        Err(error) => {
            cmd::say_error(&error);
            ExitCode::from(2)
        }
    }
}
