//! `enabled`: what parameters decide about a rule when a pack is compiled.
use crate::{
    bites, constant,
    fields::Report,
    pattern::Context,
    yaml::{Node, Yaml},
};

/// `true`, `param.x`, or an expression over parameters.
pub(crate) fn enabled(node: &Node, cx: &Context<'_>, report: &mut Report<'_>) -> bool {
    let decided = match &node.value {
        Yaml::Text(expression)
            if bites::boolean(expression).is_none()
                && (!expression.starts_with("param.") || expression.contains(' ')) =>
        {
            constant::condition(node, cx.params, report)
        }
        _ => cx.params.bool(node, report),
    };
    decided.unwrap_or(true)
}
