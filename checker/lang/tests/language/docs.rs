//! Every example in the documentation of the rule language compiles, and its tests pass.
use std::{collections::BTreeMap, fs, path::Path};

use crate::run;

/// A fenced block: what it is, its first line's number, its text.
struct Block {
    kind: String,
    line: usize,
    text: String,
}

fn blocks() -> Vec<Block> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/rules.md");
    let text = fs::read_to_string(path).unwrap();
    let mut blocks: Vec<Block> = Vec::new();
    let mut open = false;
    for (number, line) in text.lines().enumerate() {
        if let Some(kind) = line.strip_prefix("```") {
            open = !open;
            if open {
                blocks.push(Block { kind: kind.to_owned(), line: number + 2, text: String::new() });
            }
        } else if open && let Some(block) = blocks.last_mut() {
            block.text.push_str(line);
            block.text.push('\n');
        }
    }
    blocks
}

fn name(pack: &str) -> &str {
    pack.lines().find_map(|line| line.strip_prefix("pack: ")).expect("a pack has a name").trim()
}

#[test]
fn packs_and_rules_in_the_documentation_compile() {
    let mut seen = 0;
    for block in blocks() {
        let source = match block.kind.as_str() {
            "yaml pack" => block.text,
            "yaml rules" => {
                let rules: String = block.text.lines().map(|line| format!("  {line}\n")).collect();
                format!("pack: example\nrules:\n{rules}")
            }
            _ => continue,
        };
        seen += 1;
        let (_, diagnostics) = lang::compile(&source, "docs/rules.md", &lang::Options::default());
        assert!(diagnostics.is_empty(), "line {}:\n{}", block.line, lang::render(&diagnostics, &source));
    }
    assert!(seen > 10, "the examples were not found");
}

#[test]
fn tests_in_the_documentation_pass() {
    let blocks = blocks();
    let packs: BTreeMap<String, &str> = blocks
        .iter()
        .filter(|block| block.kind == "yaml pack")
        .map(|block| (format!("{}.yaml", name(&block.text)), block.text.as_str()))
        .collect();
    let mut cases = 0;
    for block in blocks.iter().filter(|block| block.kind == "yaml test") {
        let (suite, diagnostics) = lang::suite::read(&block.text, "docs/rules.md");
        let suite = suite.unwrap_or_else(|| panic!("{}", lang::render(&diagnostics, &block.text)));
        let used: Vec<String> = suite.packs.iter().map(|pack| packs[pack].to_owned()).collect();
        for case in &suite.cases {
            let differences = run::differences(case, &run::offline(&used, case));
            assert!(differences.is_empty(), "line {}: {}: {differences:?}", block.line, case.name);
            cases += 1;
        }
    }
    assert!(cases > 1, "the tests were not found");
}
