//! Rules that say what a rule above them says.
use engine::{Mode, Rule};

use crate::{diagnostic::Code, fields::Report, yaml::Node};

/// What the rules so far mean.
#[derive(Default)]
pub(crate) struct Rules(Vec<(u64, Mode, String)>);

impl Rules {
    /// Adds a rule, and warns if another one means the same. A rule on trial beside one in force is meant, and so is one that
    /// makes an event of its verdicts.
    pub(crate) fn add(&mut self, rule: &Rule, node: &Node, report: &mut Report<'_>) {
        if !rule.enabled || !rule.emits.is_empty() {
            return;
        }
        if let Some((.., id)) = self.0.iter().find(|(digest, mode, _)| *digest == rule.digest && *mode == rule.mode) {
            report.warning(
                Code::Repeated,
                &(node.span.start..node.span.start + 1),
                format!("`{}` judges exactly what `{id}` judges: whatever breaks one breaks both", rule.id),
                "leave one of them out, or give this one the key or the condition in which it differs",
            );
        }
        self.0.push((rule.digest, rule.mode, rule.id.clone()));
    }
}
