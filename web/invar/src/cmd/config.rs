//! `invar config`: the settings that `invar serve` would run with.
use super::{Outcome, serve::Settings};

/// Prints the settings that `invar serve` would run with, as a file for `--config`: defaults, file, variables and flags
/// put together. Secrets are not shown.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  invar config > invar.yaml             a file to begin with\n  \
                        invar config --config invar.yaml      what that file comes to, or all that is wrong with it\n\n\
                        Exit codes: 0 the settings can be used, 2 they cannot.")]
pub struct Arguments {
    #[command(flatten)]
    settings: Settings,
}

/// Runs the command.
///
/// # Errors
/// When the settings are wrong.
pub fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    let settings = arguments.settings.gather()?;
    let open = settings.allow_open;
    print!("{}", settings.validate()?.as_file(open));
    Ok(Outcome::Fine)
}
