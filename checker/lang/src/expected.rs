//! `from` of a response: who is expected to answer, and how many of them are enough.
use engine::{Quorum, RoleIdx, Type, expr::Expr};

use crate::{
    diagnostic::Code,
    fields::{Fields, Report},
    names::{self, Problem},
    pattern::{Context, Layout, Parsed},
    yaml::{Node, Yaml},
};

/// `from` as written.
pub(crate) struct From<'n> {
    of: Parsed<'n>,
    member: Option<Parsed<'n>>,
    except: Vec<Parsed<'n>>,
    quorum: Option<Quorum>,
    at_deadline: bool,
}

/// `from`, compiled.
pub(crate) struct Group {
    /// Who is expected, over the `when`'s kept slots.
    pub(crate) of: Expr,
    /// Whose answer a `then` is, over its kept slots.
    pub(crate) member: Expr,
    /// Who is not expected, over the `when`'s kept slots.
    pub(crate) except: Vec<Expr>,
    pub(crate) quorum: Option<Quorum>,
    pub(crate) at_deadline: bool,
}

/// Reads `from`.
pub(crate) fn read<'n>(node: &'n Node, cx: &Context<'_>, report: &mut Report<'_>) -> Option<From<'n>> {
    let mut fields = Fields::of(node, "from", report)?;
    let each = fields.take("each");
    let quorum_node = fields.take("quorum");
    let of = fields.take("of");
    let member = fields.take("member").and_then(|node| Parsed::of(node, 0, report));
    let as_of = fields.take("as_of");
    let except = match fields.take("except") {
        Some(Node { value: Yaml::List(items), .. }) => {
            items.iter().filter_map(|item| Parsed::of(item, 0, report)).collect()
        }
        Some(node) => Parsed::of(node, 0, report).into_iter().collect(),
        None => Vec::new(),
    };
    let start = fields.span().start..fields.span().start + 1;
    fields.finish(report);
    let at_deadline = as_of.is_some_and(|node| match node.scalar().as_deref() {
        Some("when") => false,
        Some("now") => true,
        _ => {
            report.error_help(
                Code::Shape,
                &node.span,
                "`as_of` is `when` or `now`",
                "`when`: whoever was a member when it was asked; `now`: whoever is at the deadline",
            );
            false
        }
    });
    let (of, quorum) = match (each, quorum_node, of) {
        (Some(each), None, None) => (each, None),
        (None, Some(node), Some(of)) => (of, Some(quorum(node, cx, report)?)),
        (None, Some(node), None) => {
            report.error_help(
                Code::MissingField,
                &node.span,
                "a quorum of whom?",
                "give `of:` with a list, such as `fact.validators()` or `live(\"component\")`",
            );
            return None;
        }
        _ => {
            report.error_help(
                Code::MissingField,
                &start,
                "`from` says who is expected to answer",
                "write `each: fact.members()`, or `quorum: 2/3` with `of: fact.members()`",
            );
            return None;
        }
    };
    Some(From { of: Parsed::of(of, 0, report)?, member, except, quorum, at_deadline })
}

/// `2/3`, `"> 2/3"`, `0.67` or a parameter with one of them.
fn quorum(node: &Node, cx: &Context<'_>, report: &mut Report<'_>) -> Option<Quorum> {
    let text = cx.params.follow(node, report)?.scalar().unwrap_or_default();
    let (more, share) = match text.trim().strip_prefix('>') {
        Some(rest) => (true, rest.trim()),
        None => (false, text.trim()),
    };
    let read = || -> Option<Quorum> {
        if let Some((part, whole)) = share.split_once('/') {
            return Some(Quorum { part: part.trim().parse().ok()?, whole: whole.trim().parse().ok()?, more });
        }
        let (whole, decimals) = share.split_once('.').unwrap_or((share, ""));
        let scale = 10_u64.checked_pow(u32::try_from(decimals.len()).ok()?)?;
        let decimals: u64 = if decimals.is_empty() { 0 } else { decimals.parse().ok()? };
        Some(Quorum { part: whole.parse::<u64>().ok()?.checked_mul(scale)?.checked_add(decimals)?, whole: scale, more })
    };
    let found = read().filter(|quorum| quorum.whole > 0 && quorum.part > 0 && quorum.part <= quorum.whole);
    if found.is_none() {
        report.error_help(
            Code::Shape,
            &node.span,
            "`quorum` is a share of the members",
            "write `2/3` for at least two thirds, `\"> 2/3\"` for more than that, or a number such as `0.67`",
        );
    }
    found
}

impl From<'_> {
    /// Marks what it reads of the roles' events.
    pub(crate) fn mark(&self, when: RoleIdx, then: RoleIdx, layout: &mut Layout<'_, '_>) {
        layout.mark(when as usize, &self.of.tree);
        self.except.iter().for_each(|one| layout.mark(when as usize, &one.tree));
        match &self.member {
            Some(member) => layout.mark(then as usize, &member.tree),
            None => layout.keep(then as usize, names::Variable::Builtin("node")),
        }
    }

    /// Compiles it.
    pub(crate) fn finish(
        self,
        when: RoleIdx,
        then: RoleIdx,
        layout: &Layout<'_, '_>,
        report: &mut Report<'_>,
    ) -> Option<Group> {
        let of = list(when, &self.of, layout, report)?;
        let member = match &self.member {
            Some(member) => layout.late(then as usize, member, report)?.0,
            None => {
                let kept = &layout.roles[then as usize].kept;
                let place = kept.iter().position(|kept| *kept == names::Variable::Builtin("node"))?;
                Expr::Slot(place as u16)
            }
        };
        let except = self
            .except
            .iter()
            .filter_map(|one| layout.late(when as usize, one, report))
            .map(|(expr, _)| expr)
            .collect();
        Some(Group { of, member, except, quorum: self.quorum, at_deadline: self.at_deadline })
    }
}

/// An expression that must yield a list.
pub(crate) fn list(
    role: RoleIdx,
    parsed: &Parsed<'_>,
    layout: &Layout<'_, '_>,
    report: &mut Report<'_>,
) -> Option<Expr> {
    let (expr, kind) = layout.late(role as usize, parsed, report)?;
    if !matches!(kind, Type::List | Type::Any) {
        let message = format!("a list of members is needed here, this is {}", names::type_name(kind));
        let problem = Problem { span: parsed.tree.span.clone(), ..Problem::new(Code::Type, message) };
        let help = "ask a relation without its last column, `fact.members()`, or `live(\"component\")`";
        report.inside(parsed.node, parsed.offset, problem.help(help));
    }
    Some(expr)
}

/// Reports an `assert` that is no condition.
pub(crate) fn condition(assert: &Parsed<'_>, kind: Type, report: &mut Report<'_>) {
    if !matches!(kind, Type::Bool | Type::Any) {
        let message = format!("`assert` needs a condition, this is {}", names::type_name(kind));
        let problem = Problem { span: assert.tree.span.clone(), ..Problem::new(Code::Type, message) };
        report.inside(assert.node, assert.offset, problem);
    }
}
