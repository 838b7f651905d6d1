//! One rule over one log: the oracle's own matcher, its own reading of facts, spans and restarts.
use std::collections::BTreeSet;

use crate::model::{Event, Found, Key, Kind, NODES, OnRestart, Part, Pattern, Rule, Time, Verdict};

/// How the oracle is broken on purpose, to see that it would be noticed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mutant {
    None,
    /// A deadline does not include its end.
    OpenDeadline,
    /// A look-back does not include its beginning.
    OpenLookBack,
    /// A sliding window includes its beginning.
    ClosedWindow,
    /// Events of one time are taken in the order of their identities.
    OrderedTies,
    /// A start breaks what was owed only after its deadline.
    SleepyRestart,
    /// The end of a span still belongs to it.
    ClosedSpan,
    /// What is tied with a step does not lie between it and the next.
    OpenBetween,
    /// Who leaves at a time does so after others have entered.
    LateExit,
    /// A deadline in ticks passes when the clock reaches it.
    EarlyTick,
    /// Of a quorum one member less is enough.
    SmallQuorum,
    /// An answer to a paired quorum serves every question.
    FreeAnswers,
    /// Who is expected to answer is asked at the beginning of all.
    EarlyMembers,
    /// A fact gives no part of a key.
    PlainKeys,
    /// Not only the first event of a key makes a derived one.
    EveryFirst,
    /// A clock shows what one node has reached.
    LoneClock,
    /// A clock believes every leap.
    Credulous,
    /// A clock is waited for as long as it takes.
    Patient,
    /// Conditions on facts begin and end no span.
    PlainSpans,
    /// A window that tumbles includes the beginning of the next.
    LongStretch,
}

/// The time for which a rule is in force: opened by an event, or from the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    pub from: Time,
    pub opener: Option<u32>,
}

/// One rule over one log for one key.
pub struct Case<'a> {
    pub rule: &'a Rule,
    pub key: &'a [u8],
    pub log: &'a [Event],
    pub mutant: Mutant,
}

impl<'a> Case<'a> {
    fn agrees(&self, pattern: &Pattern, event: &Event) -> bool {
        self.rule.key.iter().zip(self.key).all(|(part, value)| {
            let given = match part {
                Part::K if pattern.k_of_fact && self.mutant != Mutant::PlainKeys => {
                    u8::try_from(self.fact(event, false)).unwrap()
                }
                _ => part.of(event),
            };
            pattern.key.as_ref().is_some_and(|bound| !bound.contains(part)) || given == *value
        })
    }

    /// The value of the fact `f` for a node: set by `f` to its `x`, unset by `g`, 0 by default.
    fn fact(&self, event: &Event, before: bool) -> i64 {
        let known = |at: &&Event| at.node == event.node && if before { at.ts < event.ts } else { at.ts <= event.ts };
        let last = self
            .log
            .iter()
            .filter(|at| matches!(at.name, 'f' | 'g'))
            .filter(known)
            .max_by_key(|at| (at.ts, at.name == 'f', at.id));
        last.filter(|at| at.name == 'f').map_or(0, |at| at.x)
    }

    /// Whether the event has that name, or one of that name is derived from it.
    fn is_named(&self, event: &Event, name: char) -> bool {
        let earlier =
            |other: &&Event| other.name == 'a' && other.k == event.k && (other.ts, other.id) < (event.ts, event.id);
        match name {
            'p' if self.mutant == Mutant::EveryFirst => event.name == 'a',
            'p' => event.name == 'a' && !self.log.iter().any(|other| earlier(&other)),
            name => event.name == name,
        }
    }

    /// Whether the event plays the part, beside `main` in the rule's main role.
    pub fn plays(&self, pattern: &Pattern, event: &Event, main: Option<&Event>) -> bool {
        self.agrees(pattern, event)
            && pattern.alternatives.iter().any(|one| {
                self.is_named(event, one.name)
                    && one.own.is_none_or(|(compare, value)| compare.holds(event.x, value))
                    && one.fact.is_none_or(|(before, value)| self.fact(event, before) == value)
                    && one.across.is_none_or(|compare| main.is_none_or(|main| compare.holds(event.x, main.x)))
            })
    }

    /// The nodes that the relation `here` holds.
    pub fn here(&self, ts: Time) -> Vec<u8> {
        let last = |node: u8| {
            let own = self.log.iter().filter(|at| at.node == node && at.ts <= ts && matches!(at.name, 'f' | 'g'));
            own.max_by_key(|at| (at.ts, at.name == 'f', at.id))
        };
        (0..NODES).filter(|node| last(*node).is_some_and(|last| last.name == 'f')).collect()
    }

    /// The events that play the part, in order of time, then of identity.
    pub fn all(&self, pattern: &Pattern, main: Option<&Event>) -> Vec<&'a Event> {
        let mut found: Vec<&Event> = self.log.iter().filter(|event| self.plays(pattern, event, main)).collect();
        found.sort_by_key(|event| (event.ts, event.id));
        found
    }

    pub fn some(&self, pattern: &Option<Pattern>, main: Option<&Event>) -> Vec<&'a Event> {
        pattern.as_ref().map_or_else(Vec::new, |pattern| self.all(pattern, main))
    }

    /// The events that begin or end a span.
    fn edges(&self, pattern: &Pattern) -> Vec<&'a Event> {
        if self.mutant != Mutant::PlainSpans {
            return self.all(pattern, None);
        }
        let mut plain = pattern.clone();
        plain.alternatives.iter_mut().for_each(|one| one.fact = None);
        self.all(&plain, None)
    }

    /// The span that `ts` lies strictly inside of.
    pub fn span(&self, ts: Time) -> Option<Span> {
        let Some(during) = &self.rule.during else { return Some(Span { from: 0, opener: None }) };
        let span = match &during.after {
            None => Span { from: 0, opener: None },
            Some(after) => {
                let opener = self.edges(after).into_iter().rfind(|opener| opener.ts < ts)?;
                if opener.ts + during.delay >= ts {
                    return None;
                }
                Span { from: opener.ts, opener: Some(opener.id) }
            }
        };
        (!self.ended(&span, ts)).then_some(span)
    }

    /// Whether that span is over at `ts`: nothing tested at a closer's own time is inside.
    pub fn ended(&self, span: &Span, ts: Time) -> bool {
        let Some(during) = &self.rule.during else { return false };
        let inside = |closer: Time| {
            if self.mutant == Mutant::ClosedSpan { closer < ts } else { closer <= ts }
        };
        let closed = during
            .until
            .iter()
            .flat_map(|until| self.edges(until))
            .any(|closer| closer.ts >= span.from && inside(closer.ts) && Some(closer.id) != span.opener);
        closed || (span.opener.is_some() && during.within.is_some_and(|within| ts > span.from + within))
    }

    /// The starts of the key's node: start events, and the first events of processes after the node's first.
    pub fn restarts(&self) -> Vec<&'a Event> {
        let Some(place) = self.rule.key.iter().position(|part| *part == Part::Node) else { return Vec::new() };
        if self.rule.on_restart == OnRestart::Keep {
            return Vec::new();
        }
        let mut own: Vec<&Event> = self.log.iter().filter(|event| event.node == self.key[place]).collect();
        own.sort_by_key(|event| (event.ts, event.id));
        let mut pids = BTreeSet::new();
        own.into_iter()
            .enumerate()
            .filter(|(number, event)| {
                let new = pids.insert(event.pid);
                (new && *number > 0) || event.name == 'S'
            })
            .map(|(_, event)| event)
            .collect()
    }

    /// Whether a time is past a deadline that includes its end.
    pub fn past(&self, ts: Time, deadline: Time) -> bool {
        if self.mutant == Mutant::OpenDeadline { ts >= deadline } else { ts > deadline }
    }

    /// Whether a time lies too far back for a look-back that includes its beginning.
    pub fn too_old(&self, ts: Time, from: Time) -> bool {
        if self.mutant == Mutant::OpenLookBack { ts <= from } else { ts < from }
    }
}

/// The keys that an event may have in a rule: a fact may give it any `k`.
fn keys_of(rule: &Rule, event: &Event) -> Vec<Key> {
    let with = |k: u8| rule.key.iter().map(|part| if *part == Part::K { k } else { part.of(event) }).collect();
    [event.k, 0, 1, 2].into_iter().map(with).collect()
}

/// Whether the oracle can say what the rule's verdicts are.
pub fn is_settled(rule: &Rule, log: &[Event]) -> bool {
    let Kind::Response(response) = &rule.kind else { return true };
    let keys: BTreeSet<Key> = log.iter().flat_map(|event| keys_of(rule, event)).collect();
    keys.iter().all(|key| crate::members::is_settled(&Case { rule, key, log, mutant: Mutant::None }, response))
}

/// All verdicts over a log, up to `end`.
pub fn verdicts(rules: &[Rule], log: &[Event], end: Time, mutant: Mutant) -> BTreeSet<Verdict> {
    let mut verdicts = BTreeSet::new();
    for (number, rule) in rules.iter().enumerate() {
        let keys: BTreeSet<Key> = log.iter().flat_map(|event| keys_of(rule, event)).collect();
        for key in keys {
            let case = Case { rule, key: &key, log, mutant };
            let mut found = match &rule.kind {
                Kind::Never(of) => crate::point::never(&case, of),
                Kind::Always(of, compare, value) => crate::point::always(&case, of, *compare, *value),
                Kind::Response(response) => crate::response::judge(&case, response),
                Kind::Precedence(precedence) => crate::precedence::judge(&case, precedence),
                Kind::CountEver { of, max } => crate::count::ever(&case, of, *max),
                Kind::CountWindow { of, max, window } => crate::count::window(&case, of, *max, *window),
                Kind::CountPer(per) => crate::count::per(&case, per),
                Kind::Agreement { event, within } => crate::agreement::judge(&case, event, *within),
                Kind::Consecutive { fail, ok, count } => crate::consecutive::judge(&case, fail, ok, *count),
                Kind::Heartbeat(heartbeat) => crate::heartbeat::judge(&case, heartbeat, end),
                Kind::Monotonic(monotonic) => crate::monotonic::judge(&case, monotonic),
                Kind::Order(order) => crate::order::judge(&case, order),
                Kind::Sequence(sequence) => crate::sequence::judge(&case, sequence),
                Kind::Exclusive(exclusive) => crate::exclusive::judge(&case, exclusive),
                Kind::Machine(machine) => crate::state_machine::judge(&case, machine, end),
                Kind::Aggregate(aggregate) => crate::aggregate::judge(&case, aggregate),
            };
            if rule.watched_part().is_some() {
                let held = match &rule.kind {
                    Kind::Always(of, compare, value) => crate::point::held(&case, of, *compare, *value),
                    Kind::Response(response) => crate::response::held(&case, response),
                    Kind::Precedence(precedence) => crate::precedence::held(&case, precedence),
                    Kind::CountPer(per) => crate::count::held(&case, per),
                    _ => Vec::new(),
                };
                let watcher = rules.len() + number;
                verdicts.extend(held.into_iter().map(|(event, at)| Verdict {
                    rule: watcher,
                    key: key.clone(),
                    at,
                    anchor: Some(event.id),
                    resolved: None,
                    missing: 0,
                }));
            }
            found.sort_by_key(|found| (found.certain, found.at, found.anchor_ts, found.anchor));
            let mut reported: Option<Time> = None;
            for found in found {
                let silent = reported
                    .is_some_and(|last| rule.report_first || rule.quiet.is_some_and(|quiet| found.at < last + quiet));
                if silent {
                    continue;
                }
                reported = Some(found.at);
                let Found { at, anchor, resolved, missing, .. } = found;
                verdicts.insert(Verdict { rule: number, key: key.clone(), at, anchor, resolved, missing });
            }
        }
    }
    verdicts
}
