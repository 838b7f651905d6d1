//! An event at the door: which patterns it matches, with which keys, and what of it is kept.
use alloc::{boxed::Box, vec::Vec};
use core::time::Duration;
use event::{Timestamp, Value, ValueRef};
use hashbrown::HashSet;
use smallvec::SmallVec;

use crate::{
    expr::{Undefined, Val},
    fact::Reader,
    key::{self, PartialKey},
    mail::Mail,
    pack::{Kind, Pattern, RoleIdx, Rule},
    program::{Program, RuleIdx, Traits},
    route::{PlainKey, Route, Target},
    row::{ELEMENTS_MAX, Row, RowEnv, elements},
    source::SourceState,
    touch::{Kept, KeyAt, Touch},
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
    Keyed { key: KeyAt, slots: Kept },
    /// Sets a fact's row.
    Fact { key: KeyAt, value: Option<Value>, until: Option<Timestamp> },
    /// With a shorter key.
    Wide { key: PartialKey, slots: Kept },
    /// A part of the key is absent from the event.
    Keyless,
    /// What its pattern asks was forgotten: nobody knows whether it plays this part, or with which key; as far as it is
    /// known, with this one.
    Undecided { key: PartialKey },
    /// Judged at once: whether it holds, if that can be said.
    Judged { key: KeyAt, verdict: Option<bool> },
}

/// All parts that one event plays.
#[derive(Default)]
pub(crate) struct Landings {
    pub(crate) list: Vec<Landing>,
    /// The keys, one after the other.
    pub(crate) keys: Vec<u8>,
    /// Keys that several parts share, once they are known; of some an element is absent.
    shared: SharedKeys,
    /// The same of what has been sent straight to its instances: these are in the memory of the mail.
    pub(crate) sent: SharedKeys,
}

/// Keys of one event by the number of what they are made of.
type SharedKeys = SmallVec<[(u16, Option<KeyAt>); 4]>;

impl Landings {
    /// Forgets all, but for the memory.
    pub(crate) fn clear(&mut self) {
        self.list.clear();
        self.keys.clear();
        self.shared.clear();
        self.sent.clear();
    }

    /// Whether the event has no effect but on what it was sent to.
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// What rules are told of the event.
    pub(crate) fn touches(self) -> Vec<(RuleIdx, Box<[u8]>, Touch)> {
        let keys = &self.keys;
        let touch = |landing: Landing| {
            let Target::Role { rule, role } = landing.target else { return None };
            let Landed::Keyed { key, slots } = landing.what else { return None };
            let touch = Touch { at: landing.at, role, alternative: landing.alternative, slots };
            Some((rule, key.of(keys).into(), touch))
        };
        self.list.into_iter().filter_map(touch).collect()
    }

    /// The rules, and the roles in them, of which nobody knows whether the event plays them, with what is known of its keys.
    pub(crate) fn undecided(&self) -> impl Iterator<Item = (RuleIdx, RoleIdx, u32, &PartialKey)> {
        self.list.iter().filter_map(|landing| match (landing.target, &landing.what) {
            (Target::Role { rule, role }, Landed::Undecided { key }) => Some((rule, role, landing.at.element, key)),
            _ => None,
        })
    }

    /// The rules that are told nothing of it, as it lacks a part of their keys.
    pub(crate) fn keyless(&self) -> impl Iterator<Item = RuleIdx> {
        self.list.iter().filter_map(|landing| match (landing.target, &landing.what) {
            (Target::Role { rule, .. }, Landed::Keyless) => Some(rule),
            _ => None,
        })
    }

    /// An event that several alternatives of a role match is judged once.
    pub(crate) fn judge_once(&mut self) {
        let keys = &self.keys;
        let judged = |landing: &Landing| match landing.what {
            Landed::Judged { key, .. } => Some(key),
            _ => None,
        };
        if !self.list.iter().any(|landing| landing.alternative > 0 && judged(landing).is_some()) {
            return;
        }
        let mut known: HashSet<(Target, u32, Box<[u8]>), foldhash::fast::FixedState> = HashSet::default();
        self.list.retain(|landing| {
            judged(landing).is_none_or(|key| known.insert((landing.target, landing.at.element, key.of(keys).into())))
        });
    }
}

/// A part of a key was forgotten by whom it is asked.
struct Forgotten;

/// An event at the door.
pub(crate) struct Arrival<'a> {
    pub(crate) program: &'a Program,
    pub(crate) traits: &'a [Traits],
    pub(crate) row: &'a Row<'a>,
    pub(crate) source: &'a SourceState,
    /// What is known beside events as of the event's time, where patterns ask for it.
    pub(crate) known: Option<Reader<'a>>,
}

impl Arrival<'_> {
    /// Sends the touch of a straight route to its instance. Returns whether the event has all parts of the key, if it matches.
    pub(crate) fn send(&self, route: &Route, sent: &mut SharedKeys, mail: &mut Mail, late: bool) -> bool {
        let (Some((rule, role)), Some(plain)) = (route.straight, &route.plain_key) else { return true };
        let pattern = self.program.pattern(route);
        let env = RowEnv { row: self.row, source: self.source, pattern, route, elements: &[], known: None };
        if env.matches() != Some(true) {
            return true;
        }
        let key = match sent.iter().find(|(known, _)| Some(*known) == route.key) {
            Some((_, known)) => *known,
            None => {
                let key = plain_key(plain, &env, mail.keys_mut());
                sent.extend(route.key.map(|shared| (shared, key)));
                key
            }
        };
        let Some(key) = key else { return false };
        let at = EventRef { ts: self.row.ts, identity: self.row.identity, element: 0, position: self.row.position };
        mail.send(Touch { at, role, alternative: route.alternative, slots: env.kept() }, rule, key, late);
        true
    }

    pub(crate) fn route(&self, route: &Route, landings: &mut Landings) {
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
        landings: &mut Landings,
    ) {
        let env = RowEnv { row: self.row, source: self.source, pattern, route, elements: bound, known: self.known };
        let Some(each) = pattern.for_each.get(depth) else {
            match env.matches() {
                Some(true) => {
                    let landing = self.landing(route, pattern, &env, *number, landings);
                    landings.list.push(landing);
                }
                Some(false) => {}
                None => landings.list.push(self.undecided(route, pattern, &env, *number)),
            }
            *number += 1;
            return;
        };
        let over = match each.over.eval(&env) {
            Ok(over) => over,
            Err(Undefined::Forgotten) => {
                if env.matches() != Some(false) {
                    landings.list.push(self.undecided(route, pattern, &env, *number));
                }
                *number += 1;
                return;
            }
            Err(_) => return,
        };
        for element in elements(&over) {
            if *number as usize >= ELEMENTS_MAX {
                return;
            }
            bound.push((each.slot, element));
            self.nest(route, pattern, depth + 1, bound, number, landings);
            bound.pop();
        }
    }

    fn landing(
        &self,
        route: &Route,
        pattern: &Pattern,
        env: &RowEnv<'_>,
        element: u32,
        landings: &mut Landings,
    ) -> Landing {
        let row = self.row;
        let at = EventRef { ts: row.ts, identity: row.identity, element, position: row.position };
        let landing = |what| Landing { target: route.target, alternative: route.alternative, at, what };
        let rule = route.target.rule().map(|rule| self.program.rule(rule).1);
        if route.wide {
            return landing(match self.partial_key(rule, pattern, env) {
                Some(key) => Landed::Wide { key, slots: env.kept() },
                None => Landed::Keyless,
            });
        }
        let shared = route.key.and_then(|key| landings.shared.iter().find(|(known, _)| *known == key));
        let key = match shared {
            Some((_, known)) => *known,
            None => {
                let Ok(key) = self.full_key(rule, pattern, env, &mut landings.keys) else {
                    return self.undecided(route, pattern, env, element);
                };
                landings.shared.extend(route.key.map(|shared| (shared, key)));
                key
            }
        };
        let Some(key) = key else { return landing(Landed::Keyless) };
        if route.reads && self.lacks_for_later(route, env) {
            return self.undecided(route, pattern, env, element);
        }
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
        landing(Landed::Keyed { key, slots: env.kept() })
    }

    /// An event of which nobody knows what part it plays.
    fn undecided(&self, route: &Route, pattern: &Pattern, env: &RowEnv<'_>, element: u32) -> Landing {
        let row = self.row;
        let rule = route.target.rule().map(|rule| self.program.rule(rule).1);
        let what = match self.partial_key(rule, pattern, env) {
            Some(key) => Landed::Undecided { key },
            None => Landed::Keyless,
        };
        let at = EventRef { ts: row.ts, identity: row.identity, element, position: row.position };
        Landing { target: route.target, alternative: route.alternative, at, what }
    }

    /// Whether something was forgotten of the event for which the rule asks when it judges.
    fn lacks_for_later(&self, route: &Route, env: &RowEnv<'_>) -> bool {
        let Target::Role { rule, role } = route.target else { return false };
        let asked = &self.traits[rule as usize].asked_later;
        asked.iter().any(|(of, slot)| *of == role && env.has_forgotten(*slot))
    }

    /// Writes a key behind the others; none when a part that is not optional is absent.
    ///
    /// # Errors
    /// When a part was forgotten.
    fn full_key(
        &self,
        rule: Option<&Rule>,
        pattern: &Pattern,
        env: &RowEnv<'_>,
        keys: &mut Vec<u8>,
    ) -> Result<Option<KeyAt>, Forgotten> {
        if let Some(plain) = &env.route.plain_key {
            return Ok(plain_key(plain, env, keys));
        }
        let from = keys.len();
        if rule.is_none_or(|rule| !rule.across_networks) {
            key::push_ref(keys, ValueRef::String(&self.source.network));
        }
        for (number, part) in pattern.key.iter().enumerate() {
            let Some(part) = part else { return Ok(None) };
            match part.eval(env) {
                Ok(value) => key::push(keys, &value),
                Err(Undefined::Forgotten) => return Err(Forgotten),
                Err(_) if is_optional(rule, number) => key::push_absent(keys),
                Err(_) => {
                    keys.truncate(from);
                    return Ok(None);
                }
            }
        }
        Ok(Some(KeyAt::since(from, keys)))
    }

    /// The parts of the key that the pattern binds and that are known; none when one is absent that is not optional.
    fn partial_key(&self, rule: Option<&Rule>, pattern: &Pattern, env: &RowEnv<'_>) -> Option<PartialKey> {
        let mut parts: Vec<Option<Box<[u8]>>> = Vec::new();
        let encoded = |value: &Val<'_>| {
            let mut bytes = Vec::new();
            key::push(&mut bytes, value);
            bytes.into_boxed_slice()
        };
        if rule.is_none_or(|rule| !rule.across_networks) {
            parts.push(Some(encoded(&Val::String(self.source.network.as_str().into()))));
        }
        for (number, part) in pattern.key.iter().enumerate() {
            parts.push(match part.as_ref().map(|part| part.eval(env)) {
                None | Some(Err(Undefined::Forgotten)) => None,
                Some(Ok(value)) => Some(encoded(&value)),
                Some(Err(_)) if is_optional(rule, number) => {
                    let mut absent = Vec::new();
                    key::push_absent(&mut absent);
                    Some(absent.into())
                }
                Some(Err(_)) => return None,
            });
        }
        Some(PartialKey(parts))
    }
}

/// Writes a key of which all parts stand in the row behind the others; none when a part that is not optional is absent.
fn plain_key(plain: &PlainKey, env: &RowEnv<'_>, keys: &mut Vec<u8>) -> Option<KeyAt> {
    let from = keys.len();
    if !plain.across_networks {
        key::push_ref(keys, ValueRef::String(&env.source.network));
    }
    for (place, optional) in &plain.parts {
        if env.push_key(keys, *place).is_none() {
            if !optional {
                keys.truncate(from);
                return None;
            }
            key::push_absent(keys);
        }
    }
    Some(KeyAt::since(from, keys))
}

/// Whether that part of the rule's key may be absent.
fn is_optional(rule: Option<&Rule>, part: usize) -> bool {
    rule.is_some_and(|rule| rule.key.get(part).is_some_and(|part| part.optional))
}
