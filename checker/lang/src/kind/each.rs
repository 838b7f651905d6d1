//! `each: {in: fact.members(subnet), as: member}`: an aggregate's terms measured for every member of a group.
use engine::{Each, KeyPart, RoleIdx, Term, Type, expr::Expr};

use super::{figures::Figures, wrong_type};
use crate::{
    diagnostic::Code,
    fields::{Fields, Report, text},
    names,
    pattern::{Layout, Parsed},
    yaml::Node,
};

/// As it was written.
pub(super) struct Written<'n> {
    members: Parsed<'n>,
    /// What the key calls a member.
    pub(super) name: String,
    /// Whose event it is, an expression over each term's events; without `of` the name itself.
    whose: Parsed<'n>,
}

pub(super) fn read<'n>(node: &'n Node, report: &mut Report<'_>) -> Option<Written<'n>> {
    let mut fields = Fields::of(node, "each", report)?;
    let members = fields.need("in", report).and_then(|node| Parsed::of(node, 0, report));
    let name = fields.need("as", report);
    let of = fields.take("of").or(name).and_then(|node| Parsed::of(node, 0, report));
    let name = name.and_then(|node| text(node, report));
    fields.finish(report);
    Some(Written { members: members?, name: name?, whose: of? })
}

impl<'n> Written<'n> {
    pub(super) fn mark(&self, of: RoleIdx, layout: &mut Layout<'_, 'n>) {
        layout.mark(of as usize, &self.whose.tree);
    }

    pub(super) fn finish(
        &self,
        terms: &[Term],
        figures: &Figures<'_>,
        layout: &Layout<'_, 'n>,
        key: &[KeyPart],
        report: &mut Report<'_>,
    ) -> Option<Each> {
        if key.iter().any(|part| part.name == self.name) {
            report.error_help(
                Code::Duplicate,
                &self.whose.node.span,
                format!("`{}` is a part of the key already", self.name),
                "the key names the group; what `as` names is added to it, one violation for each member",
            );
            return None;
        }
        let members = match names::resolve(&self.members.tree, &mut figures.only(key)) {
            Ok((members, Type::List | Type::Any)) => members,
            Ok((_, kind)) => {
                let message = format!("`in` needs a list of members, this is {}", names::type_name(kind));
                let help = "such as `fact.members(subnet)` or `live(\"component\")`";
                wrong_type(&self.members, message, Some(help), report);
                return None;
            }
            Err(problem) => {
                report.inside(self.members.node, self.members.offset, problem);
                return None;
            }
        };
        let whose = terms.iter().map(|term| Some(layout.late(term.of as usize, &self.whose, report)?.0));
        Some(Each { members, name: self.name.clone(), whose: whose.collect::<Option<Vec<Expr>>>()? })
    }
}
