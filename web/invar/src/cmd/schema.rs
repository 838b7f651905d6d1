//! `invar schema`: the pack format for editors.
use super::Outcome;

/// Prints the JSON Schema of packs, with which editors complete, explain and check what one writes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  invar schema > invar.schema.json\n\n\
                  Then begin a pack with\n  # yaml-language-server: $schema=./invar.schema.json\n\
                  for editors with the YAML language server (VS Code, Neovim, Helix, Zed, JetBrains by its settings).\n\
                  What a schema cannot see, `invar check` does: names of attributes, types, rules that can never fire.")]
pub struct Arguments {}

/// Runs the command.
///
/// # Errors
/// Never, in fact.
pub fn run(_: &Arguments) -> anyhow::Result<Outcome> {
    println!("{}", serde_json::to_string_pretty(&lang::schema())?);
    Ok(Outcome::Fine)
}
