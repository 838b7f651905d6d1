//! `invar explain`: what a rule means, in words.
use std::path::PathBuf;

use anyhow::{bail, ensure};
use engine::{Pack, Rule};
use runtime::packs;

use super::Outcome;

/// Says in words what a rule means: what it judges, when a violation is known, what ties and absence mean, what it keeps, for
/// how long, per what, and what follows from a violation.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  invar explain announced-batch-is-tracked\n  invar explain obyte-aa-composer/kv-write-is-committed --rules rules/\n  \
                        invar explain --rules my-rules/jobs.yaml\n\n\
                        Exit codes: 0 it was explained, 1 the packs have mistakes, 2 there is no such rule."
)]
pub struct Arguments {
    /// The rule, by its id, its reference, or PACK/ID; all rules when left out
    #[arg(value_name = "RULE")]
    rule: Option<String>,
    /// A pack or a folder of packs
    #[arg(long, value_name = "PATH", default_value = "rules")]
    rules: Vec<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// When the packs cannot be read or have no such rule.
pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let loaded = packs::load(&arguments.rules)?;
    if loaded.has_mistakes() {
        eprint!("{}", loaded.rendered());
        return Ok(Outcome::Found);
    }
    let all = || loaded.packs().flat_map(|pack| pack.rules.iter().map(move |rule| (&**pack, rule)));
    let Some(asked) = &arguments.rule else {
        ensure!(all().next().is_some(), "the packs have no rules");
        all().for_each(|(pack, rule)| print(pack, rule));
        return Ok(Outcome::Fine);
    };
    let is_it = |(pack, rule): &(&Pack, &Rule)| {
        rule.id == *asked || rule.reference.as_ref() == Some(asked) || format!("{}/{}", pack.name, rule.id) == *asked
    };
    let found: Vec<(&Pack, &Rule)> = all().filter(is_it).collect();
    if found.is_empty() {
        let names: Vec<&str> = all().map(|(_, rule)| rule.id.as_str()).collect();
        match lang::closest(asked, names) {
            Some(meant) => bail!("there is no rule `{asked}`; did you mean `{meant}`?"),
            None => bail!("there is no rule `{asked}`; `invar explain` without a rule lists them all"),
        }
    }
    found.into_iter().for_each(|(pack, rule)| print(pack, rule));
    Ok(Outcome::Fine)
}

/// Columns of text, as terminals have at least.
const WIDTH: usize = 100;

fn print(pack: &Pack, rule: &Rule) {
    let reference = rule.reference.as_ref().map(|reference| format!("  {reference}")).unwrap_or_default();
    println!("{}/{}  {}{reference}", pack.name, rule.id, rule.kind.name());
    if !rule.about.is_empty() {
        println!("{}", wrapped(&rule.about, 2));
    }
    for side in ui::words::explain(pack, rule) {
        println!("\n  {}", side.title);
        side.said.iter().for_each(|said| println!("{}", wrapped(said, 4)));
    }
    println!();
}

/// The text in lines that fit, each so far to the right.
fn wrapped(text: &str, indent: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && indent + line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines.iter().map(|line| format!("{}{line}", " ".repeat(indent))).collect::<Vec<_>>().join("\n")
}
