//! An event at the door: which patterns it matches, with which keys, and what of it is kept.
use alloc::{boxed::Box, vec::Vec};
use core::time::Duration;
use event::{Timestamp, Value};

use crate::{
    expr::Val,
    key::{self, PartialKey},
    pack::{Kind, Pattern},
    program::{Program, Route, Target, Traits},
    row::{ELEMENTS_MAX, Row, RowEnv, elements},
    source::SourceState,
    touch::Kept,
    verdict::EventRef,
};

/// One event in one part, evaluated, before it has its effect.
pub(crate) struct Landing {
    pub(crate) target: Target,
    pub(crate) alternative: u8,
    pub(crate) at: EventRef,
    pub(crate) what: Landed,
}

pub(crate) enum Landed {
    /// With all parts of the key.
    Keyed { key: Box<[u8]>, slots: Kept },
    /// Sets a fact's row.
    Fact { key: Box<[u8]>, value: Option<Value>, until: Option<Timestamp> },
    /// With a shorter key.
    Wide { key: PartialKey, slots: Kept },
    /// A part of the key is absent from the event.
    Keyless,
    /// Judged at once: whether it holds, if that can be said.
    Judged { key: Box<[u8]>, verdict: Option<bool> },
}

impl Landing {
    /// The key of an event that is judged at once.
    pub(crate) fn judged(&self) -> Option<&[u8]> {
        match &self.what {
            Landed::Judged { key, .. } => Some(key),
            _ => None,
        }
    }
}

/// An event at the door.
pub(crate) struct Arrival<'a> {
    pub(crate) program: &'a Program,
    pub(crate) traits: &'a [Traits],
    pub(crate) row: &'a Row<'a>,
    pub(crate) source: &'a SourceState,
}

impl Arrival<'_> {
    pub(crate) fn route(&self, route: &Route, landings: &mut Vec<Landing>) {
        let pattern = self.program.pattern(route);
        let mut elements = Vec::new();
        let mut number = 0;
        self.nest(route, pattern, 0, &mut elements, &mut number, landings);
    }

    /// Goes through the elements of the pattern's `for_each`, from the `depth`-th on.
    fn nest(
        &self,
        route: &Route,
        pattern: &Pattern,
        depth: usize,
        bound: &mut Vec<(u16, Value)>,
        number: &mut u32,
        landings: &mut Vec<Landing>,
    ) {
        let env = RowEnv { row: self.row, source: self.source, pattern, route, elements: bound };
        let Some(each) = pattern.for_each.get(depth) else {
            if env.matches() {
                let landing = self.landing(route, pattern, &env, *number);
                landings.push(landing);
            }
            *number += 1;
            return;
        };
        let Ok(over) = each.over.eval(&env) else { return };
        for element in elements(&over) {
            if *number as usize >= ELEMENTS_MAX {
                return;
            }
            bound.push((each.slot, element));
            self.nest(route, pattern, depth + 1, bound, number, landings);
            bound.pop();
        }
    }

    fn landing(&self, route: &Route, pattern: &Pattern, env: &RowEnv<'_>, element: u32) -> Landing {
        let row = self.row;
        let at = EventRef { ts: row.ts, identity: row.identity, element, position: row.position };
        let landing = |what| Landing { target: route.target, alternative: route.alternative, at, what };
        let rule = match route.target {
            Target::Role { rule, .. } | Target::Scope { rule, .. } => Some(self.program.rule(rule).1),
            _ => None,
        };
        let with_network = rule.is_none_or(|rule| !rule.across_networks);
        let full = pattern.key.iter().all(Option::is_some);
        let mut bytes = Vec::with_capacity(64);
        let mut parts: Vec<Option<Box<[u8]>>> = Vec::new();
        if with_network {
            key::push(&mut bytes, &Val::String(self.source.network.as_str().into()));
            if !full {
                parts.push(Some(bytes.as_slice().into()));
            }
        }
        for (number, part) in pattern.key.iter().enumerate() {
            let Some(part) = part else {
                parts.push(None);
                continue;
            };
            let from = bytes.len();
            match part.eval(env) {
                Ok(value) => key::push(&mut bytes, &value),
                Err(_) if rule.is_some_and(|rule| rule.key.get(number).is_some_and(|part| part.optional)) => {
                    key::push_absent(&mut bytes);
                }
                Err(_) => return landing(Landed::Keyless),
            }
            if !full {
                parts.push(Some(bytes[from..].into()));
            }
        }
        if !full {
            return landing(Landed::Wide { key: PartialKey(parts), slots: env.kept().into() });
        }
        let key: Box<[u8]> = bytes.as_slice().into();
        if let (Target::Role { rule: number, role }, Some(rule)) = (route.target, rule)
            && self.traits[number as usize].stateless
        {
            match &rule.kind {
                Kind::Never { of } if *of == role => return landing(Landed::Judged { key, verdict: Some(false) }),
                Kind::Always { of, assert } if *of == role => {
                    return landing(Landed::Judged { key, verdict: assert.test(env).ok() });
                }
                _ => {}
            }
        }
        if let Target::Set { fact } = route.target {
            let fact = self.program.fact(fact);
            let value = fact.value.eval(env).ok().map(|value| value.to_value());
            let until = fact.expires.as_ref().and_then(|expires| match expires.eval(env).ok()? {
                Val::Timestamp(at) => Some(at),
                Val::Duration(nanos) => Some(row.ts.plus(Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)))),
                _ => None,
            });
            return landing(Landed::Fact { key, value, until });
        }
        landing(Landed::Keyed { key, slots: env.kept().into() })
    }
}
