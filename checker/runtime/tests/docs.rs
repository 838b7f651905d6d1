//! The examples in the documentation of rules are real: each pack compiles without a word against it, and each block of
//! tests passes against the pack above it.
use std::{fs, path::Path};

/// The fenced blocks of a page that begin with ```` ```yaml ````, with what follows that word and their line.
fn blocks(page: &str) -> Vec<(String, usize, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, usize, String)> = None;
    for (number, line) in page.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(tag)) => open = Some((tag.trim().to_owned(), number + 1, String::new())),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some((_, _, text)), None) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is never closed");
    blocks
        .into_iter()
        .filter_map(|(tag, line, text)| Some((tag.strip_prefix("yaml")?.trim().to_owned(), line, text)))
        .collect()
}

/// The pages that explain rules.
fn pages() -> Vec<std::path::PathBuf> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let mut pages = vec![docs.join("rules.md"), docs.join("emits.md")];
    let kinds = fs::read_dir(docs.join("kinds")).expect("docs/kinds");
    pages.extend(kinds.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "md")));
    pages.sort();
    pages
}

/// The last pack of a page that names every rule a block of tests speaks of.
fn pack_for<'p>(packs: &'p [(usize, String)], line: usize, tests: &str) -> Option<&'p String> {
    let rules: Vec<&str> = tests
        .match_indices("rule: ")
        .map(|(at, word)| tests[at + word.len()..].split([',', '}', '\n']).next().unwrap_or_default().trim())
        .collect();
    packs
        .iter()
        .rev()
        .filter(|(at, _)| *at < line)
        .find(|(_, pack)| rules.iter().all(|rule| pack.contains(&format!("id: {rule}\n"))))
        .map(|(_, pack)| pack)
}

#[test]
fn packs_in_the_documentation_compile_and_their_tests_pass() {
    let folder = tempfile::tempdir().unwrap();
    let mut tested = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let mut packs: Vec<(usize, String)> = Vec::new();
        for (tag, line, block) in blocks(&text) {
            let place = format!("{}:{line}", page.display());
            match tag.as_str() {
                "pack" => {
                    let (pack, diagnostics) = lang::compile(&block, &place, &lang::Options::default());
                    assert!(pack.is_some() && diagnostics.is_empty(), "{}", lang::render(&diagnostics, &block));
                    packs.push((line, block));
                }
                "rules" => {
                    let rules: String = block.lines().map(|line| format!("  {line}\n")).collect();
                    let pack = format!("pack: example\nrules:\n{rules}");
                    let (compiled, diagnostics) = lang::compile(&pack, &place, &lang::Options::default());
                    assert!(compiled.is_some(), "{}", lang::render(&diagnostics, &pack));
                }
                "test" => {
                    let pack =
                        pack_for(&packs, line, &block).unwrap_or_else(|| panic!("{place}: no pack has these rules"));
                    fs::write(folder.path().join("page.yaml"), pack).unwrap();
                    let body: String =
                        block.lines().filter(|line| !line.starts_with("pack: ")).map(|l| format!("{l}\n")).collect();
                    let tests = folder.path().join("page.test.yaml");
                    fs::write(&tests, format!("pack: page.yaml\n{body}")).unwrap();
                    let report = runtime::suite::run(&tests).unwrap();
                    assert!(report.mistakes.is_empty(), "{place}:\n{}", report.mistakes.join("\n"));
                    for outcome in &report.outcomes {
                        assert!(outcome.failures.is_empty(), "{place}: {}: {:#?}", outcome.name, outcome.failures);
                        tested += 1;
                    }
                }
                _ => {}
            }
        }
    }
    assert!(tested > 20, "only {tested} tests were found in the documentation");
}
