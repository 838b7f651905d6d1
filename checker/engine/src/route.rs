//! Routes: which patterns events of one name may match, and what of such events they read.
use alloc::{boxed::Box, string::String, vec::Vec};

use crate::{
    expr::Expr,
    pack::{Pattern, Role, RoleIdx, Slot},
    program::{Program, RuleIdx},
};

/// What an event may be to the program. The order is the order in which one instant is worked off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub(crate) enum Target {
    /// Starts a process of the pack's lifecycle.
    Started { pack: u16, lifecycle: u16 },
    /// Makes a derived event.
    Derive { pack: u16, derive: u16 },
    /// Moves a clock.
    Tick { clock: u32 },
    /// Sets a fact.
    Set { fact: u32 },
    /// Unsets a fact.
    Unset { fact: u32 },
    /// Opens or closes a rule's span.
    Scope { rule: RuleIdx, opens: bool },
    /// Plays a role in a rule.
    Role { rule: RuleIdx, role: u8 },
    /// Counts as a breaker's success.
    Success { breaker: u32 },
}

impl Target {
    /// The rule that it is part of.
    pub(crate) fn rule(self) -> Option<RuleIdx> {
        match self {
            Target::Role { rule, .. } | Target::Scope { rule, .. } => Some(rule),
            _ => None,
        }
    }
}

/// One pattern that events of some name may match, with its slots resolved for that name.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) target: Target,
    pub(crate) pack: u16,
    /// The alternative's number in its role.
    pub(crate) alternative: u8,
    pub(crate) kept: u16,
    /// Parts of one event with the same number have the same key; none: it has to be computed.
    pub(crate) key: Option<u16>,
    /// It has its effect when it arrives, not when the frontier has passed it.
    pub(crate) at_once: bool,
    /// Its pattern asks for more than the event (facts, clocks, breakers, who is live): it has its effect when all of its time is
    /// known, and another one when that turns out otherwise.
    pub(crate) reads: bool,
    /// Every event of the name matches its pattern.
    pub(crate) unconditional: bool,
    /// Its pattern leaves a part of the key open.
    pub(crate) wide: bool,
    /// The rule and the role that it leads to, where every event that matches becomes one touch, of whose key all parts stand
    /// in the row: most routes are such.
    pub(crate) straight: Option<(RuleIdx, RoleIdx)>,
    /// What its key is made of; none where an expression supplies a part.
    pub(crate) plain_key: Option<PlainKey>,
    /// For each slot that reads the row, the column.
    pub(crate) columns: Box<[Option<u16>]>,
}

/// Where a part of a key stands in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Column(u16),
    /// An integer, which may be written as text.
    Integer(u16),
    Name,
    Node,
    Component,
    Network,
    Ts,
    Severity,
    Body,
    TraceId,
}

impl Place {
    /// Of a slot whose column, if it reads one, has that number.
    fn of(slot: &Slot, column: Option<u16>) -> Option<Self> {
        Some(match slot {
            Slot::Attr { int: true, .. } => Place::Integer(column?),
            Slot::Attr { int: false, .. } | Slot::Resource(_) => Place::Column(column?),
            Slot::Name => Place::Name,
            Slot::Node => Place::Node,
            Slot::Component => Place::Component,
            Slot::Network => Place::Network,
            Slot::Ts => Place::Ts,
            Slot::Severity => Place::Severity,
            Slot::Body => Place::Body,
            Slot::TraceId => Place::TraceId,
            Slot::Let(_) | Slot::Element | Slot::Captured(_) => return None,
        })
    }
}

/// A key of which all parts stand in the row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PlainKey {
    pub(crate) across_networks: bool,
    /// With whether they may be absent.
    pub(crate) parts: Box<[(Place, bool)]>,
}

/// An attribute that some pattern reads from events of one name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Column {
    /// The attribute's name.
    pub name: String,
    /// Whether it is one of the resource's.
    pub of_resource: bool,
}

/// All that the program wants of events of one name.
#[derive(Debug, Default)]
pub struct Wanted {
    /// What a row of such an event holds, in this order.
    pub columns: Vec<Column>,
    pub(crate) routes: Vec<Route>,
    /// Whether some part has its effect when the event arrives.
    pub(crate) at_once: bool,
    /// Whether some part waits for the frontier.
    pub(crate) waits: bool,
    /// Whether some part asks for more than the event.
    pub(crate) asks: bool,
    pub(crate) reads_body: bool,
    pub(crate) reads_trace_id: bool,
}

impl Program {
    /// What is wanted of events of this name.
    #[must_use]
    pub fn wanted(&self, name: &str) -> Wanted {
        let mut wanted = Wanted::default();
        let mut keys: Vec<PlainKey> = Vec::new();
        for (target, pack, role) in self.targets() {
            for (number, pattern) in role.alternatives.iter().enumerate() {
                if pattern.name.matches(name) {
                    let reads = |what: fn(&Slot) -> bool| pattern.slots.iter().any(what);
                    wanted.reads_body |= pattern.body.is_some() || reads(|slot| matches!(slot, Slot::Body));
                    wanted.reads_trace_id |= reads(|slot| matches!(slot, Slot::TraceId));
                    let columns: Box<[_]> = pattern.slots.iter().map(|slot| wanted.column(slot)).collect();
                    let plain_key = self.plain_key(target, pattern, &columns);
                    let key = plain_key.as_ref().map(|key| {
                        keys.iter().position(|known| known == key).unwrap_or_else(|| {
                            keys.push(key.clone());
                            keys.len() - 1
                        }) as u16
                    });
                    let alternative = number as u8;
                    let kept = role.kept;
                    let reads = matches!(target, Target::Role { .. }) && pattern.asks();
                    wanted.asks |= reads;
                    let wide = pattern.key.iter().any(Option::is_none);
                    wanted.routes.push(Route {
                        target,
                        pack,
                        alternative,
                        kept,
                        key,
                        at_once: false,
                        reads,
                        unconditional: pattern.is_unconditional(),
                        wide,
                        straight: None,
                        plain_key,
                        columns,
                    });
                }
            }
        }
        wanted.routes.sort_by_key(|route| route.target);
        wanted
    }

    /// What a key is made of, where that is only what stands in the row.
    fn plain_key(&self, target: Target, pattern: &Pattern, columns: &[Option<u16>]) -> Option<PlainKey> {
        let rule = target.rule().map(|rule| self.rule(rule).1);
        let part = |(number, part): (usize, &Option<Expr>)| {
            let Some(Expr::Slot(slot)) = part else { return None };
            let optional = rule.is_some_and(|rule| rule.key.get(number).is_some_and(|part| part.optional));
            let slot = *slot as usize;
            Some((Place::of(pattern.slots.get(slot)?, *columns.get(slot)?)?, optional))
        };
        let parts = pattern.key.iter().enumerate().map(part).collect::<Option<_>>()?;
        Some(PlainKey { across_networks: rule.is_some_and(|rule| rule.across_networks), parts })
    }

    pub(crate) fn targets(&self) -> impl Iterator<Item = (Target, u16, &Role)> {
        let lifecycles = self.packs.iter().enumerate().flat_map(|(pack, content)| {
            content.lifecycles.iter().enumerate().filter_map(move |(lifecycle, declared)| {
                let target = Target::Started { pack: pack as u16, lifecycle: lifecycle as u16 };
                declared.started.as_ref().map(|role| (target, pack as u16, role))
            })
        });
        let derives = self.packs.iter().enumerate().flat_map(|(pack, content)| {
            content.derives.iter().enumerate().map(move |(derive, declared)| {
                (Target::Derive { pack: pack as u16, derive: derive as u16 }, pack as u16, &declared.from)
            })
        });
        let clocks = self.clocks.iter().enumerate().map(|(number, &(pack, clock))| {
            let declared = &self.packs[pack as usize].clocks[clock as usize];
            (Target::Tick { clock: number as u32 }, pack, &declared.of)
        });
        let facts = self.facts.iter().enumerate().flat_map(|(number, &(pack, fact))| {
            let declared = &self.packs[pack as usize].facts[fact as usize];
            let fact = number as u32;
            core::iter::once((Target::Set { fact }, pack, &declared.set_by))
                .chain(declared.unset_by.as_ref().map(|role| (Target::Unset { fact }, pack, role)))
        });
        let rules = self.rules().filter(|(_, _, rule)| rule.enabled).flat_map(|(number, _, rule)| {
            let pack = self.rules[number as usize].0;
            let scope = |role| rule.during.as_ref().is_some_and(|d| d.after == Some(role) || d.until == Some(role));
            rule.roles.iter().enumerate().flat_map(move |(role, declared)| {
                let role = role as u8;
                let opens = rule.during.as_ref().is_some_and(|during| during.after == Some(role));
                let closes = rule.during.as_ref().is_some_and(|during| during.until == Some(role));
                let span = |yes: bool, opens| yes.then_some((Target::Scope { rule: number, opens }, pack, declared));
                let played = (!scope(role)).then_some((Target::Role { rule: number, role }, pack, declared));
                span(opens, true).into_iter().chain(span(closes, false)).chain(played)
            })
        });
        let breakers = self.breakers.iter().enumerate().filter_map(|(number, &(pack, breaker))| {
            let declared = &self.packs[pack as usize].breakers[breaker as usize];
            declared.close.as_ref().map(|role| (Target::Success { breaker: number as u32 }, pack, role))
        });
        lifecycles.chain(derives).chain(clocks).chain(facts).chain(rules).chain(breakers)
    }

    pub(crate) fn pattern(&self, route: &Route) -> &Pattern {
        let pack = &self.packs[route.pack as usize];
        let role = match route.target {
            Target::Started { lifecycle, .. } => pack.lifecycles[lifecycle as usize].started.as_ref(),
            Target::Derive { derive, .. } => Some(&pack.derives[derive as usize].from),
            Target::Tick { clock } => Some(&self.clock(clock).of),
            Target::Set { fact } => Some(&self.fact(fact).set_by),
            Target::Unset { fact } => self.fact(fact).unset_by.as_ref(),
            Target::Scope { rule, opens } => {
                let rule = self.rule(rule).1;
                let during = rule.during.as_ref();
                during
                    .and_then(|during| if opens { during.after } else { during.until })
                    .and_then(|role| rule.roles.get(role as usize))
            }
            Target::Role { rule, role } => self.rule(rule).1.roles.get(role as usize),
            Target::Success { breaker } => self.breaker(breaker).1.close.as_ref(),
        };
        // Routes are made by `wanted` from the very roles looked up here.
        &role.expect("a route leads to a role").alternatives[route.alternative as usize]
    }
}

impl Wanted {
    fn column(&mut self, slot: &Slot) -> Option<u16> {
        let column = match slot {
            Slot::Attr { name, .. } => Column { name: name.clone(), of_resource: false },
            Slot::Resource(name) => Column { name: name.clone(), of_resource: true },
            _ => return None,
        };
        let at = self.columns.iter().position(|known| *known == column).unwrap_or_else(|| {
            self.columns.push(column);
            self.columns.len() - 1
        });
        Some(at as u16)
    }
}
