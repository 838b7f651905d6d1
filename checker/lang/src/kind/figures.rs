//! What an assertion over figures may speak of: terms, parts of the key, what the members of a group come to, facts and
//! parameters.
use engine::{KeyPart, RoleIdx, Statistic, Type, expr::Expr};

use crate::{
    diagnostic::Code,
    fact::Known,
    fields::Params,
    names::{self, Names, Problem, Variable},
    suggest,
};

/// See the module.
#[derive(Clone)]
pub(crate) struct Figures<'a> {
    /// Names and types, by their slots.
    slots: Vec<(String, Type)>,
    params: &'a Params,
    facts: &'a [Known],
}

impl<'a> Figures<'a> {
    pub(crate) fn of(
        terms: &[(&str, Type)],
        key: &[KeyPart],
        each: Option<&str>,
        params: &'a Params,
        facts: &'a [Known],
    ) -> Self {
        let mut slots: Vec<(String, Type)> = terms.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect();
        slots.extend(key.iter().map(|part| (part.name.clone(), Type::Any)));
        if let Some(each) = each {
            slots.push((each.to_owned(), Type::Any));
            for (name, kind) in terms {
                let of_all =
                    |statistic: &Statistic| (format!("{name}.{}", statistic.as_str()), yields(*statistic, *kind));
                slots.extend(Statistic::ALL.iter().map(of_all));
            }
        }
        Figures { slots, params, facts }
    }

    /// One more name.
    pub(crate) fn add(&mut self, name: &str, kind: Type) {
        self.slots.push((name.to_owned(), kind));
    }

    /// The slot of a name.
    pub(crate) fn slot(&self, name: &str) -> Option<u16> {
        self.slots.iter().position(|(known, _)| known == name).map(|place| place as u16)
    }

    /// The names, by their slots.
    pub(crate) fn names(&self) -> Vec<String> {
        self.slots.iter().map(|(name, _)| name.clone()).collect()
    }

    /// With these names alone; the slots stay what they are.
    pub(super) fn only(&self, parts: &[KeyPart]) -> Self {
        let mut only = self.clone();
        for (name, _) in only.slots.iter_mut().filter(|(name, _)| parts.iter().all(|part| part.name != *name)) {
            // No name can be written like that.
            name.clear();
        }
        only
    }

    fn known(&self) -> Vec<&str> {
        self.slots.iter().map(|(name, _)| name.as_str()).filter(|name| !name.is_empty()).collect()
    }
}

/// The type of a statistic over figures of a type.
fn yields(statistic: Statistic, of: Type) -> Type {
    match (statistic, of) {
        (Statistic::Count, _) => Type::Int,
        (Statistic::Squares | Statistic::Variance, Type::Duration) => Type::Double,
        (_, Type::Duration) => Type::Duration,
        (Statistic::Avg | Statistic::Variance | Statistic::Stddev, _) => Type::Double,
        (Statistic::Min | Statistic::Max, kind) => kind,
        (Statistic::Sum | Statistic::Squares, Type::Int) => Type::Int,
        (Statistic::Sum | Statistic::Squares | Statistic::Median, _) => Type::Any,
    }
}

impl Names for Figures<'_> {
    fn variable(&mut self, variable: Variable) -> Result<(Expr, Type), Problem> {
        let name = match &variable {
            Variable::Builtin(name) => (*name).to_owned(),
            Variable::Attr(name) | Variable::Let(name) | Variable::Resource(name) => name.clone(),
        };
        if let Some(place) = self.slots.iter().position(|(known, _)| *known == name) {
            let kind = self.slots[place].1;
            return Ok((names::typed(Expr::Slot(place as u16), kind), kind));
        }
        let known = self.known();
        let problem = Problem::new(Code::Name, format!("there is no term `{name}`"));
        Err(match suggest::closest(&name, known.iter().copied()) {
            Some(meant) => problem.help(format!("did you mean `{meant}`?")),
            None => problem.help(format!("one may speak here of {}", known.join(", "))),
        })
    }

    fn longest(&mut self, segments: &[String]) -> Option<(usize, Variable)> {
        let known = self.known();
        let longest =
            (1..=segments.len()).rev().find(|length| known.contains(&segments[..*length].join(".").as_str()))?;
        Some((longest, Variable::Attr(segments[..longest].join("."))))
    }

    fn role(&mut self, _: &str) -> Option<RoleIdx> {
        None
    }

    fn role_variable(&mut self, _: RoleIdx, _: &[String]) -> Result<(usize, Expr, Type), Problem> {
        Err(Problem::new(Code::Name, "an assertion over many events speaks of no single one"))
    }

    fn param(&mut self, name: &str) -> Result<(Expr, Type), Problem> {
        self.params.expression(name)
    }

    fn live(&mut self, _component: &str) -> Result<(), Problem> {
        Ok(())
    }

    fn fact(&mut self, name: &str) -> Result<(u16, Known), Problem> {
        crate::fact::find(name, self.facts)
    }
}
