//! min
use clap::{Parser, Subcommand};
use invar::cmd;
#[derive(Parser)]
struct Cli { #[command(subcommand)] command: Command }
#[derive(Subcommand)]
enum Command { Check(cmd::check::Arguments), Test(cmd::test::Arguments), Replay(cmd::replay::Arguments) }
fn main() -> std::process::ExitCode { let r = match Cli::parse().command { Command::Check(a) => cmd::check::run(&a), Command::Test(a) => cmd::test::run(&a), Command::Replay(a) => cmd::replay::run(&a) }; match r { Ok(cmd::Outcome::Fine) => 0.into(), Ok(_) => 1.into(), Err(e) => { cmd::say_error(&e); 2.into() } } }
