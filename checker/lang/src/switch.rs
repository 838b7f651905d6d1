//! `enabled`: what parameters decide about a rule when a pack is compiled.
use engine::{RoleIdx, Type, expr::Expr};

use crate::{
    bites,
    diagnostic::Code,
    fields::{Params, Report},
    names,
    pattern::{Context, Parsed},
    yaml::{Node, Yaml},
};

/// `true`, `param.x`, or an expression over parameters.
pub(crate) fn enabled(node: &Node, cx: &Context<'_>, report: &mut Report<'_>) -> bool {
    match &node.value {
        Yaml::Text(expression)
            if bites::boolean(expression).is_none()
                && (!expression.starts_with("param.") || expression.contains(' ')) =>
        {
            let Some(parsed) = Parsed::of(node, 0, report) else { return true };
            match constant(&parsed, cx.params) {
                Ok(value) => value,
                Err(problem) => {
                    report.inside(node, 0, problem);
                    true
                }
            }
        }
        _ => cx.params.bool(node, report).unwrap_or(true),
    }
}

fn constant(parsed: &Parsed<'_>, params: &Params) -> Result<bool, names::Problem> {
    struct OnlyParams<'p>(&'p Params);
    let wrong = || names::Problem::new(Code::Name, "only parameters can be spoken of here");
    impl names::Names for OnlyParams<'_> {
        fn variable(&mut self, _: names::Variable) -> Result<(Expr, Type), names::Problem> {
            Err(names::Problem::new(Code::Name, "only parameters can be spoken of here"))
        }
        fn longest(&mut self, _: &[String]) -> Option<(usize, names::Variable)> {
            None
        }
        fn role(&mut self, _: &str) -> Option<RoleIdx> {
            None
        }
        fn role_variable(&mut self, _: RoleIdx, _: &[String]) -> Result<(usize, Expr, Type), names::Problem> {
            Err(names::Problem::new(Code::Name, "only parameters can be spoken of here"))
        }
        fn param(&mut self, name: &str) -> Result<(Expr, Type), names::Problem> {
            self.0.expression(name)
        }
        fn fact(&mut self, _: &str) -> Result<(u16, crate::fact::Known), names::Problem> {
            Err(names::Problem::new(Code::Name, "only parameters can be spoken of here"))
        }
    }
    struct Nothing;
    impl engine::expr::Env for Nothing {
        fn slot(&self, _: u16) -> Option<engine::expr::Val<'_>> {
            None
        }
        fn role(&self, _: RoleIdx, _: u16) -> Option<engine::expr::Val<'_>> {
            None
        }
        fn fact(&self, _: u16, _: &[engine::expr::Val<'_>], _: engine::expr::AsOf) -> Option<engine::expr::Val<'_>> {
            None
        }
    }
    let (expr, _) = names::resolve(&parsed.tree, &mut OnlyParams(params))?;
    expr.test(&Nothing).map_err(|_| wrong())
}
