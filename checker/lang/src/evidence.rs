//! What a violation has to tell: the parts of its key, what its rule measured, and the attributes of the events in evidence.
use engine::{BEFORE, BEFORE_NAME, EventDecl, KeyPart, Kind, RoleIdx, Type};

use crate::{
    names::BUILTINS,
    pattern::{Layout, WrittenRole},
    suggest, syntax,
};

/// Names that messages and severities of one rule may speak of.
pub(crate) struct Evidence<'e> {
    roles: Vec<Told<'e>>,
    /// Known by name alone: the parts of the key, and what is measured.
    given: Vec<String>,
}

/// The events of one role.
struct Told<'e> {
    name: String,
    word: &'static str,
    /// Their attributes; `None` where the vocabulary does not say.
    attributes: Option<Vec<&'e str>>,
    /// Those of them that the vocabulary declares integers, wherever it declares them.
    ints: Vec<&'e str>,
    /// What its pattern defines by `let`.
    lets: Vec<(String, syntax::Node)>,
}

impl<'e> Evidence<'e> {
    /// What violations of a rule with these roles have.
    pub(crate) fn new(layout: &Layout<'e, '_>, key: &[KeyPart], kind: Option<&Kind>) -> Self {
        let roles = layout.roles.iter().map(|role| Told {
            name: role.name.clone(),
            word: role.word,
            attributes: attributes(role, layout.cx.events),
            ints: ints(role, layout.cx.events),
            lets: role.lets().map(|(name, tree)| (name.to_owned(), tree.clone())).collect(),
        });
        let mut given: Vec<String> = key.iter().map(|part| part.name.clone()).collect();
        if let Some(Kind::Aggregate(aggregate)) = kind {
            given.extend(aggregate.names());
            given.extend(aggregate.each.iter().map(|each| each.name.clone()));
        }
        Evidence { roles: roles.collect(), given }
    }

    /// What a role is called.
    pub(crate) fn name(&self, role: RoleIdx) -> Option<&str> {
        self.roles.get(role as usize).map(|told| told.name.as_str())
    }

    /// The role of that name.
    pub(crate) fn role(&self, name: &str) -> Option<RoleIdx> {
        let role = self.roles.iter().position(|role| role.name == name || role.word == name);
        role.map(|place| place as RoleIdx).or_else(|| (name == BEFORE_NAME).then_some(BEFORE))
    }

    /// Whether a part of the key or a measured figure has that name.
    pub(crate) fn gives(&self, name: &str) -> bool {
        self.given.iter().any(|given| given == name)
    }

    /// How many of these segments name one value of the events of a role (of any, without one).
    pub(crate) fn longest(&self, role: Option<RoleIdx>, segments: &[String]) -> usize {
        let has = |name: &str| {
            let attributes = || self.of(role).flat_map(|told| told.attributes.iter().flatten());
            (role.is_none() && self.gives(name)) || attributes().any(|attribute| *attribute == name)
        };
        (1..=segments.len()).rev().find(|used| has(&segments[..*used].join("."))).unwrap_or(segments.len())
    }

    /// What a name means that the pattern of a role (of any, without one) defines by `let`, and the role.
    pub(crate) fn defined(&self, role: Option<RoleIdx>, name: &str) -> Option<(RoleIdx, &syntax::Node)> {
        let mut roles =
            self.roles.iter().enumerate().filter(|(place, _)| role.is_none_or(|role| role as usize == *place));
        roles.find_map(|(place, told)| {
            let (_, tree) = told.lets.iter().find(|(known, _)| known == name)?;
            Some((place as RoleIdx, tree))
        })
    }

    /// The roles that a name without a role, or with this one, may speak of.
    fn of(&self, role: Option<RoleIdx>) -> impl Iterator<Item = &Told<'e>> {
        let role = role.filter(|role| *role != BEFORE);
        let meant = move |place: usize| role.is_none_or(|role| role as usize == place);
        self.roles.iter().enumerate().filter(move |(place, _)| meant(*place)).map(|(_, told)| told)
    }

    /// Whether the events of a role (of any, without one) have an integer of that name, which may arrive as text.
    pub(crate) fn is_int(&self, role: Option<RoleIdx>, name: &str) -> bool {
        let mut having =
            self.of(role).filter(|told| told.attributes.iter().flatten().any(|known| *known == name)).peekable();
        having.peek().is_some() && having.all(|told| told.ints.contains(&name))
    }

    /// What to say where no event of a role (of any, without one) can have an attribute of that name.
    pub(crate) fn lacks(&self, role: Option<RoleIdx>, name: &str) -> Option<(String, String)> {
        let of: Vec<&Told<'_>> = self.of(role).collect();
        let given = role.is_none() && self.gives(name);
        let has = |told: &&Told<'_>| told.attributes.as_ref().is_none_or(|all| all.contains(&name));
        if given || of.is_empty() || of.iter().any(has) {
            return None;
        }
        let attributes = || of.iter().flat_map(|told| told.attributes.iter().flatten().copied());
        let lets = of.iter().flat_map(|told| told.lets.iter().map(|(name, _)| name.as_str()));
        let mut known: Vec<String> = attributes().chain(lets).map(str::to_owned).collect();
        if role.is_none() {
            known.extend(self.given.iter().cloned());
            known.extend(BUILTINS.iter().map(|(name, _)| (*name).to_owned()));
            let spoken = self.roles.iter().flat_map(|told| {
                told.attributes.iter().flatten().map(|attribute| format!("{}.{attribute}", told.name))
            });
            known.extend(spoken);
        }
        let help = match suggest::closest(name, known.iter().map(String::as_str)) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => {
                let mut all: Vec<&str> = attributes().chain(self.given.iter().map(String::as_str)).collect();
                all.sort_unstable();
                all.dedup();
                format!("there are: {}", all.join(", "))
            }
        };
        let whose = match role.and_then(|role| self.roles.get(role as usize)) {
            Some(told) => format!("no `{}` has", told.name),
            None => "nothing in evidence has".to_owned(),
        };
        Some((format!("{whose} `{name}`"), help))
    }
}

/// The attributes that all events of a role that have them declare as integers.
fn ints<'e>(role: &WrittenRole<'_>, events: &'e [EventDecl]) -> Vec<&'e str> {
    let meant = |event: &&EventDecl| role.alternatives.iter().any(|written| written.name.matches(&event.name));
    let all: Vec<&(String, Type)> = events.iter().filter(meant).flat_map(|event| &event.attrs).collect();
    let int = |name: &str| all.iter().all(|(known, kind)| known != name || *kind == Type::Int);
    all.iter().map(|(name, _)| name.as_str()).filter(|name| int(name)).collect()
}

/// The attributes that events of a role may have, where the vocabulary says so of all of them.
fn attributes<'e>(role: &WrittenRole<'_>, events: &'e [EventDecl]) -> Option<Vec<&'e str>> {
    let mut all = Vec::new();
    for written in &role.alternatives {
        let mut matched = events.iter().filter(|event| written.name.matches(&event.name)).peekable();
        matched.peek()?;
        for event in matched {
            if event.attrs.is_empty() {
                return None;
            }
            all.extend(event.attrs.iter().map(|(name, _)| name.as_str()));
        }
    }
    Some(all)
}
