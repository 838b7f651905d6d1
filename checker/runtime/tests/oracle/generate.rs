//! Random packs and logs: few names, few keys, a coarse grid of times, so that ties and boundaries are the rule.
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};

use crate::{
    case,
    clocks::{Clock, Ticks},
    model::{
        Aggregate, Alternative, Assert, Compare, During, Event, Exclusive, From, Heartbeat, Kind, Limit, Machine,
        Measure, Monotonic, NODES, OnRestart, Order, OrderStep, Part, Pattern, Per, Precedence, Read, Response, Rule,
        Sequence, SequenceStep, Time,
    },
};

/// Kinds that every case may have.
pub const KINDS: &[&str] =
    &["never", "always", "response", "precedence", "count", "per", "agreement", "consecutive", "heartbeat"];

/// Kinds that the cases of odd seeds may have as well.
pub const LATER: &[&str] = &["monotonic", "order", "sequence", "exclusive", "state_machine", "aggregate"];

/// The grid of times, ms.
const STEP: Time = 500;

/// What came when, so that the cases of what was there before stay what they were.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
pub enum Age {
    First,
    /// Clocks, members and facts in keys.
    Newer,
    /// Guarded clocks, the end of a wait in counts, paired quorums, facts in spans.
    Newest,
}

pub struct Options {
    pub events: usize,
    pub kind: Option<String>,
    /// How much of what came later some of the cases have.
    pub age: Age,
}

pub struct Generated {
    pub rules: Vec<Rule>,
    pub log: Vec<Event>,
}

pub fn case(seed: u64, options: &Options) -> Generated {
    let mut random = Random(StdRng::seed_from_u64(seed));
    let later = if seed % 2 == 1 { LATER } else { &[] };
    let kinds: Vec<&str> = KINDS.iter().chain(later).copied().collect();
    let mut rules: Vec<Rule> = (0..random.0.random_range(1..=3)).map(|_| random.rule(options, &kinds)).collect();
    rules.iter_mut().for_each(|rule| rule.watched = !seed.is_multiple_of(3));
    let events = random.0.random_range(options.events / 2..=options.events + options.events / 2);
    let mut log = random.log(events);
    if options.age >= Age::Newer && seed % 5 < 3 {
        let mut random = Random(StdRng::seed_from_u64(seed ^ 0xc10c));
        rules.iter_mut().for_each(|rule| random.renew(rule));
        random.renew_log(&mut log);
    }
    if options.age >= Age::Newest && seed % 5 < 3 {
        let mut random = Random(StdRng::seed_from_u64(seed ^ 0xf1a7));
        rules.iter_mut().for_each(|rule| random.renew_again(rule));
        for rule in &rules {
            if let Kind::Response(response) = &rule.kind
                && response.pair
                && response.from.as_ref().is_some_and(|from| from.quorum.is_some())
            {
                random.crowd(response, &mut log);
            }
        }
        // Left out is where a member's answer to a paired quorum may go to one question or another.
        for rule in rules.iter_mut().filter(|rule| !case::is_settled(rule, &log)) {
            if let Kind::Response(response) = &mut rule.kind {
                response.pair = false;
            }
        }
    }
    Generated { rules, log }
}

struct Random(StdRng);

impl Random {
    fn one_in(&mut self, n: u32) -> bool {
        self.0.random_ratio(1, n)
    }

    fn some<T>(&mut self, n: u32, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.one_in(n).then(|| make(self))
    }

    fn duration(&mut self) -> Time {
        self.0.random_range(1..=8) * STEP
    }

    fn compare(&mut self) -> Compare {
        *[Compare::Equal, Compare::AtLeast].choose(&mut self.0).unwrap()
    }

    /// A pattern; `across` ones may compare with the rule's main event.
    fn pattern(&mut self, across: bool) -> Pattern {
        let count = if self.one_in(4) { 2 } else { 1 };
        let alternatives = (0..count)
            .map(|_| Alternative {
                name: *['a', 'b', 'c', 'd', 'S']
                    .choose_weighted(&mut self.0, |name| if *name == 'S' { 1 } else { 4 })
                    .unwrap(),
                own: self.some(3, |random| (random.compare(), random.0.random_range(0..3))),
                fact: self.some(8, |random| (random.one_in(2), random.0.random_range(0..3))),
                across: if across { self.some(3, Self::compare) } else { None },
            })
            .collect();
        Pattern { alternatives, key: None, k_of_fact: false }
    }

    /// A pattern with one alternative.
    fn single(&mut self, make: impl FnOnce(&mut Self, bool) -> Pattern, across: bool) -> Pattern {
        let mut pattern = make(self, across);
        pattern.alternatives.truncate(1);
        pattern
    }

    /// A pattern that may have a shorter key unless it is the first.
    fn support_after(&mut self, place: usize, key: &[Part], across: bool) -> Pattern {
        if place == 0 { self.pattern(across) } else { self.support(key, across) }
    }

    /// A pattern that may have a shorter key.
    fn support(&mut self, key: &[Part], across: bool) -> Pattern {
        let mut pattern = self.pattern(across);
        if key.len() > 1 && self.one_in(5) {
            pattern.key = Some(vec![*key.choose(&mut self.0).unwrap()]);
        }
        pattern
    }

    fn rule(&mut self, options: &Options, kinds: &[&str]) -> Rule {
        let key = [vec![Part::Node, Part::K], vec![Part::Node, Part::K], vec![Part::K], vec![Part::Node]]
            .choose(&mut self.0)
            .unwrap()
            .clone();
        let word = match &options.kind {
            Some(kind) => kind.as_str(),
            None => kinds.choose_weighted(&mut self.0, |kind| if *kind == "response" { 3 } else { 1 }).unwrap(),
        };
        let mut kind = self.kind(word, &key);
        // Aggregates are read without spans.
        let spanned = !matches!(kind, Kind::Aggregate(_));
        let during = self.some(3, |random| random.during(&key)).filter(|_| spanned);
        let choices: &[OnRestart] = match kind {
            Kind::Response(_) | Kind::CountPer(_) => {
                &[OnRestart::Broken, OnRestart::Ended, OnRestart::Reset, OnRestart::Keep]
            }
            // Left out are restarts where it is not settled to which process an event beside the start belongs.
            Kind::Agreement { .. } | Kind::Machine(_) | Kind::Aggregate(_) => &[OnRestart::Keep],
            Kind::Monotonic(_) | Kind::Order(_) | Kind::Sequence(_) | Kind::Exclusive(_) => {
                &[OnRestart::Ended, OnRestart::Reset, OnRestart::Keep]
            }
            _ => &[OnRestart::Ended, OnRestart::Reset, OnRestart::Keep],
        };
        // Left out are limits with `strict`: which of several readings a limit is held against is not settled.
        let limited = matches!(&kind, Kind::Machine(machine) if machine.limits.iter().any(Option::is_some));
        let strict = LATER.contains(&word) && !limited && self.one_in(4);
        if let Kind::Order(order) = &mut kind
            && !strict
            && self.one_in(3)
        {
            order.slack = self.duration();
        }
        Rule {
            strict,
            on_restart: *choices.choose(&mut self.0).unwrap(),
            report_first: self.one_in(6),
            quiet: self.some(8, Self::duration),
            watched: false,
            key,
            kind,
            during,
        }
    }

    fn during(&mut self, key: &[Part]) -> During {
        let edge = |random: &mut Self| {
            let mut pattern = random.support(key, false);
            pattern.alternatives.iter_mut().for_each(|one| one.fact = None);
            pattern
        };
        let after = self.some(2, edge);
        let until = if after.is_none() { Some(edge(self)) } else { self.some(2, edge) };
        let with_after = after.is_some();
        During {
            after,
            until,
            delay: if with_after && self.one_in(4) { self.duration() } else { 0 },
            within: if with_after { self.some(3, |random| random.duration() * 2) } else { None },
        }
    }

    fn kind(&mut self, word: &str, key: &[Part]) -> Kind {
        match word {
            "never" => Kind::Never(self.pattern(false)),
            "always" => Kind::Always(self.pattern(false), self.compare(), self.0.random_range(0..3)),
            "response" => {
                let limit = match self.0.random_range(0..6) {
                    0 => Limit::By(self.support(key, true)),
                    1 => Limit::Computed,
                    _ => Limit::Within(self.duration()),
                };
                Kind::Response(Response {
                    when: self.pattern(false),
                    then: self.support(key, true),
                    limit,
                    pair: self.one_in(3),
                    unless: self.some(3, |random| random.support(key, true)),
                    broken_by: self.some(3, |random| random.support(key, true)),
                    grace: if self.one_in(2) { self.duration() } else { 0 },
                    from: None,
                })
            }
            "precedence" => Kind::Precedence(Precedence {
                event: self.pattern(false),
                requires: (0..self.0.random_range(1..=2))
                    .map(|_| {
                        let mut support = self.support(key, true);
                        support.alternatives.truncate(1);
                        support
                    })
                    .collect(),
                all: self.one_in(2),
                within: self.some(2, Self::duration),
                ticks: None,
                since: self.some(3, |random| random.support(key, false)),
                unless: self.some(4, |random| random.support(key, true)),
            }),
            "count" => {
                let (of, max) = (self.pattern(false), self.0.random_range(0..4));
                if self.one_in(2) {
                    Kind::CountEver { of, max }
                } else {
                    Kind::CountWindow { of, max, window: self.duration() }
                }
            }
            "per" => {
                let min = self.some(2, |random| random.0.random_range(0..3));
                let max = if min.is_none() || self.one_in(2) {
                    Some(min.unwrap_or(0) + self.0.random_range(0..2))
                } else {
                    None
                };
                let within = self.some(2, Self::duration);
                let until = if within.is_none() || self.one_in(2) { Some(self.support(key, true)) } else { None };
                Kind::CountPer(Per {
                    of: self.support(key, true),
                    min,
                    max,
                    when: self.pattern(false),
                    before: if self.one_in(3) { self.duration() } else { 0 },
                    within,
                    ticks: None,
                    until,
                })
            }
            "agreement" => Kind::Agreement { event: self.pattern(false), within: self.some(2, Self::duration) },
            "consecutive" => Kind::Consecutive {
                fail: self.pattern(false),
                ok: self.support(key, false),
                count: self.0.random_range(1..4),
            },
            "heartbeat" => Kind::Heartbeat(Heartbeat {
                event: self.pattern(false),
                every: self.duration(),
                start: self.some(3, |random| random.pattern(false)),
                stop: self.some(2, |random| random.support(key, false)),
                while_: self.some(2, |random| random.support(key, false)),
            }),
            "monotonic" => Kind::Monotonic(Monotonic {
                event: self.pattern(false),
                rises: self.one_in(2),
                equal: self.one_in(2),
                step: self.some(3, |random| random.0.random_range(1..=2)),
                reset: self.some(3, |random| random.support(key, false)),
            }),
            "order" => {
                let mut steps: Vec<OrderStep> = (0..self.0.random_range(2..=4))
                    .map(|place| {
                        let conditional = place > 0 && self.one_in(3);
                        let condition = |random: &mut Self| (random.compare(), random.0.random_range(0..3));
                        OrderStep {
                            of: self.single(Self::pattern, false),
                            due: if conditional { Some(self.some(2, condition)) } else { None },
                        }
                    })
                    .collect();
                // Left out are conditions on an event that may play a later step itself: whether it is asked is not settled.
                let first = steps[0].of.alternatives[0].name;
                if steps[1..].iter().any(|step| step.of.alternatives[0].name == first) {
                    steps.iter_mut().for_each(|step| step.due = step.due.map(|_| None));
                }
                Kind::Order(Order { steps, within: self.some(2, Self::duration), slack: 0 })
            }
            "sequence" => {
                let steps = (0..self.0.random_range(2..=3))
                    .map(|place| SequenceStep {
                        of: self.single(|random, across| random.support_after(place, key, across), place > 0),
                        not: if place > 0 && self.one_in(2) { vec![self.support(key, true)] } else { Vec::new() },
                    })
                    .collect();
                Kind::Sequence(Sequence { steps, within: self.duration() })
            }
            "exclusive" => {
                let ttl = self.some(2, Self::duration);
                let (enter, mut exit) = (self.pattern(false), self.support(key, false));
                // No event enters and leaves; see `hand_overs`.
                let is_taken = |name: char| enter.names().any(|taken| taken == name);
                let free = ['a', 'b', 'c'].into_iter().find(|name| !is_taken(*name)).unwrap();
                exit.alternatives.iter_mut().filter(|one| is_taken(one.name)).for_each(|one| one.name = free);
                Kind::Exclusive(Exclusive {
                    enter,
                    exit,
                    renew: if ttl.is_some() { self.some(2, |random| random.support(key, false)) } else { None },
                    ttl,
                    max: self.0.random_range(1..=2),
                })
            }
            "aggregate" => {
                let measure = |random: &mut Self| {
                    *[Measure::Count, Measure::Sum, Measure::Distinct].choose(&mut random.0).unwrap()
                };
                let number = self.0.random_range(0..4);
                Kind::Aggregate(Aggregate {
                    terms: (0..2).map(|_| (measure(self), self.pattern(false))).collect(),
                    assert: *[Assert::AtMost(number), Assert::AtLeast(number), Assert::Beside(number), Assert::Alike]
                        .choose(&mut self.0)
                        .unwrap(),
                    window: self.duration(),
                    close: self.some(2, |random| random.pattern(false)),
                    tumbles: false,
                })
            }
            "state_machine" => Kind::Machine(self.machine()),
            other => panic!("there is no kind `{other}`"),
        }
    }

    fn machine(&mut self) -> Machine {
        let states = self.0.random_range(2..=3);
        let read = if self.one_in(2) {
            Read::Value(self.pattern(false))
        } else {
            let names = ['a', 'b', 'c'].into_iter().take(states);
            let of = |name| {
                let mut pattern = self.single(|random, _| random.pattern(false), false);
                pattern.alternatives[0].name = name;
                pattern
            };
            Read::Patterns(names.map(of).collect())
        };
        let terminal: Vec<bool> = (0..states).map(|_| self.one_in(4)).collect();
        let to =
            terminal.iter().map(|terminal| (0..states).filter(|_| !terminal && self.one_in(2)).collect()).collect();
        let limits =
            terminal.iter().map(|terminal| if *terminal { None } else { self.some(3, Self::duration) }).collect();
        Machine { read, initial: self.some(2, |random| random.0.random_range(0..states)), to, terminal, limits }
    }

    fn log(&mut self, events: usize) -> Vec<Event> {
        let last = self.0.random_range(10..=60);
        let mut log: Vec<Event> = (0..events)
            .map(|_| Event {
                id: self.0.random(),
                ts: self.0.random_range(2..=last) * STEP,
                node: self.0.random_range(0..2),
                name: *['a', 'b', 'c', 'd', 'f', 'g', 'S']
                    .choose_weighted(&mut self.0, |name| if matches!(name, 'a'..='d') { 6 } else { 1 })
                    .unwrap(),
                k: u8::from(self.one_in(3)),
                x: self.0.random_range(0..3),
                h: 0,
                pid: 0,
            })
            .collect();
        log.sort_by_key(|event| (event.ts, event.id));
        log.dedup_by_key(|event| event.id);
        // Each node's processes follow one another; some last words come after the first of the next.
        for node in 0..2 {
            let mut pid = 1;
            let often = self.0.random_range(6..40);
            for event in log.iter_mut().filter(|event| event.node == node) {
                if event.name == 'S' || self.one_in(often) {
                    pid += u32::from(!self.one_in(4));
                }
                event.pid = if pid > 1 && self.one_in(20) { pid - 1 } else { pid };
            }
        }
        log
    }

    /// Gives a rule some of what came later: clocks, members, facts in keys, windows that tumble.
    fn renew(&mut self, rule: &mut Rule) {
        match &mut rule.kind {
            Kind::Response(response) => {
                if self.one_in(3) {
                    response.limit = Limit::Ticks(self.ticks(true));
                }
                response.from = self.some(3, Self::from);
                if let Some(from) = &response.from {
                    // Left out is which questions a member's answer goes to where a quorum is paired.
                    response.pair &= from.quorum.is_none();
                    // One `when` may be broken by several at once, and which of them is said first is not settled.
                    (rule.report_first, rule.quiet) = (false, None);
                }
            }
            Kind::Precedence(precedence) if self.one_in(2) => {
                (precedence.within, precedence.ticks) = (None, Some(self.ticks(false)));
            }
            Kind::CountPer(per) if self.one_in(3) => (per.within, per.ticks) = (None, Some(self.ticks(false))),
            Kind::Aggregate(aggregate) if aggregate.close.is_none() => aggregate.tumbles = self.one_in(2),
            _ => {}
        }
        if rule.key.contains(&Part::K) && self.one_in(3) {
            let mut patterns: Vec<&mut Pattern> = match &mut rule.kind {
                Kind::Never(of) | Kind::Always(of, ..) => vec![of],
                Kind::CountEver { of, .. } | Kind::CountWindow { of, .. } => vec![of],
                Kind::Agreement { event, .. } => vec![event],
                Kind::Response(response) => vec![&mut response.when, &mut response.then],
                Kind::Precedence(precedence) => {
                    std::iter::once(&mut precedence.event).chain(&mut precedence.requires).collect()
                }
                Kind::CountPer(per) => vec![&mut per.of, &mut per.when],
                Kind::Consecutive { fail, ok, .. } => vec![fail, ok],
                _ => Vec::new(),
            };
            patterns.retain(|pattern| pattern.key.is_none());
            patterns.into_iter().for_each(|pattern| pattern.k_of_fact = self.one_in(2));
        }
        if self.one_in(4) {
            self.derive(rule);
        }
    }

    /// Has a rule ask for the first events of their keys. Left out is where one event would be both.
    fn derive(&mut self, rule: &mut Rule) {
        let mut derived = rule.clone();
        let main = match &mut derived.kind {
            Kind::Never(of) | Kind::Always(of, ..) | Kind::CountEver { of, .. } => of,
            Kind::Agreement { event, .. } => event,
            Kind::Response(response) if !response.pair => &mut response.when,
            Kind::Precedence(precedence) => &mut precedence.event,
            _ => return,
        };
        main.alternatives.truncate(1);
        main.alternatives[0].name = 'p';
        main.k_of_fact = false;
        // Which of several is said first depends on identities, and those of derived events are their own.
        (derived.report_first, derived.quiet) = (false, None);
        if !derived.kind.names('a') {
            *rule = derived;
        }
    }

    fn ticks(&mut self, waits: bool) -> Ticks {
        let and = self.some(3, Self::duration);
        let or = if and.is_none() && waits { self.some(2, |random| random.duration() * 2) } else { None };
        Ticks { clock: if self.one_in(3) { Clock::Own } else { Clock::All }, count: self.0.random_range(0..4), and, or }
    }

    fn from(&mut self) -> From {
        let shares = [(1, 2, false), (1, 2, true), (2, 3, false), (1, 1, false)];
        From {
            quorum: self.some(2, |random| *shares.choose(&mut random.0).unwrap()),
            at_end: self.one_in(3),
            but_own: self.one_in(3),
        }
    }

    /// Gives a rule some of what came last.
    fn renew_again(&mut self, rule: &mut Rule) {
        match &mut rule.kind {
            Kind::Response(response) => {
                // Questions of all nodes under one key are those that answers are shared among.
                if rule.key == [Part::K] && !self.one_in(3) {
                    response.from = Some(From { at_end: false, ..self.from() });
                    (rule.report_first, rule.quiet) = (false, None);
                }
                if let Some(From { quorum: Some(_), .. }) = &response.from {
                    response.pair |= !self.one_in(3);
                }
                if let Limit::Ticks(ticks) = &mut response.limit {
                    self.guard(ticks);
                }
            }
            Kind::Precedence(Precedence { ticks: Some(ticks), .. }) => self.guard(ticks),
            Kind::CountPer(Per { ticks: Some(ticks), .. }) => {
                self.guard(ticks);
                if ticks.and.is_none() {
                    ticks.or = self.some(2, |random| random.duration() * 2);
                }
            }
            _ => {}
        }
        let edges = rule.during.iter_mut().flat_map(|during| during.after.iter_mut().chain(&mut during.until));
        for one in edges.flat_map(|edge| &mut edge.alternatives) {
            one.fact = self.some(2, |random| (random.one_in(2), random.0.random_range(0..3)));
        }
    }

    /// Lets all nodes be members from early on, and ask and answer often.
    fn crowd(&mut self, response: &Response, log: &mut Vec<Event>) {
        let of = |pattern: &Pattern| pattern.alternatives[0].name;
        let (when, then) = (of(&response.when), of(&response.then));
        let last = log.last().map_or(2, |event| event.ts / STEP).max(3);
        let mut more: Vec<(char, u8, Time)> = (0..NODES).map(|node| ('f', node, STEP)).collect();
        more.extend((0..20).map(|_| {
            let name = if self.one_in(4) { when } else { then };
            (name, self.0.random_range(0..NODES), self.0.random_range(2..=last) * STEP)
        }));
        for (name, node, ts) in more.into_iter().filter(|(name, ..)| !matches!(name, 'S' | 'p')) {
            let before = log.iter().rfind(|event| event.node == node && event.ts <= ts);
            let pid = before.or(log.iter().find(|event| event.node == node)).map_or(1, |event| event.pid);
            let (id, x, k) = (self.0.random(), self.0.random_range(0..3), u8::from(self.one_in(4)));
            log.push(Event { id, ts, node, name, k, x, h: 0, pid });
            log.sort_by_key(|event| (event.ts, event.id));
        }
    }

    fn guard(&mut self, ticks: &mut Ticks) {
        if self.one_in(2) {
            ticks.clock = *[Clock::Two, Clock::Near, Clock::Wary].choose(&mut self.0).unwrap();
        }
    }

    /// Lets a third node and clocks be heard, and more come and go.
    fn renew_log(&mut self, log: &mut [Event]) {
        let mut height = 0;
        for event in log {
            if self.one_in(5) {
                event.node = 2;
            }
            if self.one_in(6) {
                event.name = if self.one_in(3) { 'g' } else { 'f' };
            } else if self.one_in(4) {
                event.name = 'e';
            }
            if event.name == 'e' {
                height += self.0.random_range(0..3);
                event.h = if self.one_in(6) { height - 2 } else { height };
            }
        }
    }
}
