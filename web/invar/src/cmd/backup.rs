//! `invar backup`: a consistent copy of a data directory.
use std::{io::IsTerminal, path::PathBuf};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Outcome;
use crate::backup;

/// Copies a data directory while Invar runs on it: journal, database and checkpoints as of one moment. To go back to it,
/// stop Invar and start it with the copy as its `--data`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  invar backup --data /var/lib/invar --to /backup/invar-$(date +%F)\n\n\
                        The copy holds every event that was acknowledged before it began. It needs as much space as the data.")]
pub struct Arguments {
    /// The data directory of `invar serve`
    #[arg(long, value_name = "DIR", env = "INVAR_DATA", default_value = "data")]
    data: PathBuf,
    /// Where the copy goes: a folder that does not exist yet
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// When there is nothing to copy, or the copy cannot be written; nothing is left of it then.
pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let target =
        if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template("{msg} {bar:40} {pos}/{len} segments, {eta} left")?;
    let bar = ProgressBar::with_draw_target(Some(0), target).with_style(style).with_message("copying");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(backup::backup(&arguments.data, &arguments.to, &mut |done, of| {
        bar.set_length(of);
        bar.set_position(done);
    }));
    bar.finish_and_clear();
    let copied = done?;
    println!(
        "{}: {} of journal in {} segments, the database, {} checkpoints",
        arguments.to.display(),
        backup::bytes(copied.journal.bytes),
        copied.journal.segments,
        copied.checkpoints
    );
    Ok(Outcome::Fine)
}
