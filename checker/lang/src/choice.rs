//! Fields that hold one of a few words.
use crate::{diagnostic::Code, fields::Report, suggest, yaml::Node};

/// What the word stands for; a word that is none of them is reported, with the one that was probably meant.
pub(crate) fn choice<T: Copy>(node: &Node, field: &str, words: &[(&str, T)], report: &mut Report<'_>) -> Option<T> {
    let written = node.scalar().unwrap_or_default();
    if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == written) {
        return Some(*meaning);
    }
    let names = || words.iter().map(|(word, _)| *word);
    let quoted: Vec<String> = names().map(|word| format!("`{word}`")).collect();
    let all = match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, before)) => format!("{} or {last}", before.join(", ")),
        None => String::new(),
    };
    report.error(Code::Shape, &node.span, format!("`{field}` is {all}")).help =
        suggest::closest(&written, names()).map(|meant| format!("did you mean `{meant}`?"));
    None
}
