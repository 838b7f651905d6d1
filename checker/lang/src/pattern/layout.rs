//! Which slots the roles of a rule lay out, and what their expressions become.
use engine::{
    ForEach, KeyPart, Pattern, Role, RoleIdx, Slot, Type,
    expr::{Binary, Expr},
};

use super::{
    Context, Parsed, Written, WrittenRole,
    slots::{LateNames, OwnNames, longest, longest_in},
    trees::{attr_reads, conjuncts, is_late, other_role, paths, variables},
};
use crate::{
    diagnostic::Code,
    fields::Report,
    names::{self, Names, Problem, Variable},
    suggest, syntax,
};

/// Which slots a set of roles lays out, and what its expressions become.
pub(crate) struct Layout<'l, 'n> {
    pub(crate) cx: &'l Context<'l>,
    pub(crate) roles: &'l mut Vec<WrittenRole<'n>>,
}

impl Layout<'_, '_> {
    /// Marks what later conditions will ask for: what the late parts of `where` read of their own event and of others.
    pub(crate) fn mark_conditions(&mut self) {
        for own in 0..self.roles.len() {
            let trees: Vec<syntax::Node> = self.roles[own]
                .alternatives
                .iter()
                .filter_map(|written| written.condition.as_ref())
                .flat_map(|parsed| conjuncts(&parsed.tree).into_iter().cloned().collect::<Vec<_>>())
                .collect();
            for tree in trees {
                if is_late(&tree, own, self.roles) {
                    self.mark(own, &tree);
                }
            }
        }
    }

    /// Marks all that an expression of role `own` reads as kept.
    pub(crate) fn mark(&mut self, own: usize, tree: &syntax::Node) {
        self.mark_but(own, tree, &[]);
    }

    /// The same, but for names that are not the event's.
    pub(crate) fn mark_but(&mut self, own: usize, tree: &syntax::Node, locals: &[&str]) {
        let mut reads: Vec<(usize, Vec<String>)> = Vec::new();
        let mut bound: Vec<String> = locals.iter().map(|&local| local.to_owned()).collect();
        variables(tree, &mut bound);
        paths(tree, &mut |segments| match other_role(segments, own, self.roles) {
            Some(other) => reads.push((other, segments[1..].to_vec())),
            None if segments[0] == self.roles[own].name && segments.len() > 1 => {
                reads.push((own, segments[1..].to_vec()));
            }
            None => reads.push((own, segments.to_vec())),
        });
        // A clock is asked with its key, which nobody writes.
        for (_, segments) in reads.clone().iter().filter(|(_, segments)| segments[0] == "clock" && segments.len() > 1) {
            let known = self.cx.clocks.iter().find(|known| known.name == segments[1]);
            for part in known.into_iter().flat_map(|known| &known.key) {
                reads.push((own, part.split('.').map(str::to_owned).collect()));
            }
        }
        attr_reads(tree, &mut |variable| self.keep(own, variable));
        for (role, segments) in reads {
            if matches!(segments[0].as_str(), "fact" | "param" | "clock") || bound.contains(&segments[0]) {
                continue;
            }
            let variable = longest(&segments, &self.roles[role], self.cx)
                .map_or_else(|| Variable::Attr(segments.join(".")), |(_, variable)| variable);
            self.keep(role, variable);
        }
    }

    /// Marks what an expression reads of roles that it names as kept.
    pub(crate) fn mark_named(&mut self, tree: &syntax::Node) {
        let mut reads: Vec<(usize, Vec<String>)> = Vec::new();
        paths(tree, &mut |segments| {
            reads.extend(other_role(segments, usize::MAX, self.roles).map(|role| (role, segments[1..].to_vec())));
        });
        for (role, segments) in reads {
            let variable = longest(&segments, &self.roles[role], self.cx)
                .map_or_else(|| Variable::Attr(segments.join(".")), |(_, variable)| variable);
            // What no event can have is said where it is asked for.
            if self.supplies(role, &variable) {
                self.keep(role, variable);
            }
        }
    }

    /// Whether every alternative of a role can supply what is written like that.
    pub(crate) fn supplies_path(&self, role: usize, path: &str) -> bool {
        let segments: Vec<String> = path.split('.').map(str::to_owned).collect();
        let variable = longest(&segments, &self.roles[role], self.cx)
            .map_or_else(|| Variable::Attr(path.to_owned()), |(_, variable)| variable);
        self.supplies(role, &variable)
    }

    /// Whether every alternative of a role can supply a variable.
    fn supplies(&self, role: usize, variable: &Variable) -> bool {
        self.roles[role].alternatives.iter().all(|written| {
            let mut names = OwnNames { cx: self.cx, written, slots: Vec::new(), open: Vec::new() };
            names.make(variable.clone()).is_ok()
        })
    }

    /// The role of that name.
    pub(crate) fn role_named(&self, name: &str) -> Option<RoleIdx> {
        LateNames { cx: self.cx, roles: self.roles, own: usize::MAX }.role(name)
    }

    /// What of a path names a kept value of a role: how many segments, its slot and its type.
    pub(crate) fn kept_of(&self, role: RoleIdx, segments: &[String]) -> Result<(usize, u16, Type), Problem> {
        let place = role as usize;
        let (used, variable) = longest(segments, &self.roles[place], self.cx)
            .unwrap_or_else(|| (segments.len(), Variable::Attr(segments.join("."))));
        let (slot, kind) = LateNames { cx: self.cx, roles: self.roles, own: place }.kept(place, &variable)?;
        Ok((used, slot, kind))
    }

    /// Whether every alternative of a role can supply what an expression reads.
    pub(crate) fn knows(&self, own: usize, tree: &syntax::Node) -> bool {
        let mut known = true;
        paths(tree, &mut |segments| {
            if matches!(segments[0].as_str(), "fact" | "param" | "clock") {
                return;
            }
            let (_, variable) = longest(segments, &self.roles[own], self.cx)
                .unwrap_or_else(|| (segments.len(), Variable::Attr(segments.join("."))));
            known &= self.supplies(own, &variable);
        });
        known
    }

    pub(crate) fn keep(&mut self, role: usize, variable: Variable) {
        let kept = &mut self.roles[role].kept;
        if !kept.contains(&variable) {
            kept.push(variable);
        }
    }

    /// Compiles an expression that an instance evaluates later: only kept values are there.
    pub(crate) fn late(&self, own: usize, parsed: &Parsed<'_>, report: &mut Report<'_>) -> Option<(Expr, Type)> {
        self.late_with(own, parsed, &[], report)
    }

    /// The same, with names for what the kind itself supplies.
    pub(crate) fn late_with(
        &self,
        own: usize,
        parsed: &Parsed<'_>,
        locals: &[&str],
        report: &mut Report<'_>,
    ) -> Option<(Expr, Type)> {
        let mut names = LateNames { cx: self.cx, roles: self.roles, own };
        let locals = locals.iter().map(|&local| local.to_owned()).collect();
        names::resolve_with(&parsed.tree, &mut names, locals)
            .map_err(|problem| report.inside(parsed.node, parsed.offset, problem))
            .ok()
    }

    /// The type of a kept variable of that role.
    pub(crate) fn kept_type(&self, own: usize, variable: &Variable) -> Result<Type, Problem> {
        LateNames { cx: self.cx, roles: self.roles, own }.kept(own, variable).map(|(_, kind)| kind)
    }

    /// Compiles a role.
    pub(crate) fn role(&self, own: usize, key: &[KeyPart], report: &mut Report<'_>) -> Role {
        let written = &self.roles[own];
        let mut labels: Vec<&str> = Vec::new();
        for alternative in &written.alternatives {
            if !labels.contains(&alternative.name.as_str()) {
                labels.push(alternative.name.as_str());
            }
        }
        Role {
            name: written.name.as_str().into(),
            kept: written.kept.len() as u16,
            label: labels.join(" or ").into(),
            alternatives: written.alternatives.iter().map(|one| self.pattern(own, one, key, report)).collect(),
        }
    }

    fn pattern(&self, own: usize, written: &Written<'_>, key: &[KeyPart], report: &mut Report<'_>) -> Pattern {
        let mut names = OwnNames { cx: self.cx, written, slots: Vec::new(), open: Vec::new() };
        // Kept slots first, in the same order for every alternative; what they need comes after them.
        let kept = &self.roles[own].kept;
        names.slots = kept.iter().map(|variable| (variable.clone(), Slot::Name, Type::Any)).collect();
        for (place, variable) in kept.iter().enumerate() {
            match names.make(variable.clone()) {
                Ok((slot, kind)) => (names.slots[place].1, names.slots[place].2) = (slot, kind),
                Err(problem) => {
                    report.error(problem.code, &written.name_span, problem.message).help = problem.help;
                }
            }
        }
        let mut own_condition: Option<Expr> = None;
        let mut late_condition: Option<Expr> = None;
        if let Some(parsed) = &written.condition {
            for part in conjuncts(&parsed.tree) {
                let late = is_late(part, own, self.roles);
                let resolved = if late {
                    names::resolve(part, &mut LateNames { cx: self.cx, roles: self.roles, own })
                } else {
                    names::resolve(part, &mut names)
                };
                match resolved {
                    Ok((expr, Type::Bool | Type::Any)) => {
                        let place = if late { &mut late_condition } else { &mut own_condition };
                        *place = Some(match place.take() {
                            Some(before) => Expr::Binary(Binary::And, Box::new(before), Box::new(expr)),
                            None => expr,
                        });
                    }
                    Ok((_, kind)) => {
                        let message = format!("`where` needs a condition, this is {}", names::type_name(kind));
                        let problem = Problem { span: part.span.clone(), ..Problem::new(Code::Type, message) };
                        report.inside(parsed.node, parsed.offset, problem);
                    }
                    Err(problem) => report.inside(parsed.node, parsed.offset, problem),
                }
            }
        }
        let mut for_each = Vec::new();
        for (name, over) in &written.each {
            match names::resolve(&over.tree, &mut names) {
                Ok((over, _)) => {
                    let slot = names.slot(Variable::Let(name.clone())).map_or(0, |(slot, _)| slot);
                    for_each.push(ForEach { over, slot });
                }
                Err(problem) => report.inside(over.node, over.offset, problem),
            }
        }
        for (name, span) in written.key.iter().flatten() {
            let bare = name.trim_end_matches('?');
            if bare != "network" && !key.iter().any(|part| part.name == bare) {
                let parts = || key.iter().map(|part| part.name.as_str());
                let help = match suggest::closest(bare, parts()) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("the key has: {}", parts().collect::<Vec<_>>().join(", ")),
                };
                report.error_help(Code::Key, span, format!("`{name}` is not a part of the key"), help);
            }
        }
        let key = key.iter().map(|part| self.key_part(written, part, &mut names, report)).collect();
        Pattern {
            name: written.name.clone(),
            component: written.component.clone(),
            severity: written.severity,
            body: written.body.clone(),
            slots: names.slots.into_iter().map(|(_, slot, _)| slot).collect(),
            for_each,
            where_own: own_condition,
            where_late: late_condition,
            key,
        }
    }

    fn key_part(
        &self,
        written: &Written<'_>,
        part: &KeyPart,
        names: &mut OwnNames<'_, '_>,
        report: &mut Report<'_>,
    ) -> Option<Expr> {
        if written
            .key
            .as_ref()
            .is_some_and(|chosen| !chosen.iter().any(|(name, _)| name.trim_end_matches('?') == part.name))
        {
            return None;
        }
        let segments: Vec<String> = part.name.split('.').map(str::to_owned).collect();
        let (_, variable) = longest_in(&segments, written, self.cx).unwrap_or((0, Variable::Attr(part.name.clone())));
        // An element's field may be a part: `item.id` with `for_each: {as: item}`.
        match names::resolve_path(&segments, names) {
            Ok((expr, _)) => Some(expr),
            Err(problem) => {
                if part.optional && matches!(variable, Variable::Attr(_)) {
                    return Some(Expr::Slot(u16::MAX));
                }
                if let Variable::Let(name) = &variable
                    && let Some((_, parsed)) = written.lets.iter().find(|(known, _)| known == name)
                {
                    report.inside(parsed.node, parsed.offset, problem);
                    return None;
                }
                let message = format!("this event can never supply `{}`, a part of the key", part.name);
                let otherwise = format!(
                    "give it with `let`, leave it out with a shorter `key: […]`, or write `{}?` if it may be absent",
                    part.name
                );
                let help = problem.help.map_or(otherwise.clone(), |known| format!("{known}; {otherwise}"));
                report.error_help(Code::Key, &written.name_span, message, help);
                None
            }
        }
    }
}
