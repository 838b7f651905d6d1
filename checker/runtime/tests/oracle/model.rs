//! Events and rules as the oracle sees them: its own event, its own matcher, its own reading of spans and restarts.
use std::collections::BTreeSet;

/// Milliseconds from the log's beginning.
pub type Time = u64;

pub const NEVER: Time = Time::MAX;

/// How many nodes there are at most.
pub const NODES: u8 = 3;

/// One event. All carry the attributes `k`, `x` and the process.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its identity; events of one time are ordered by it where an order must be chosen.
    pub id: u32,
    pub ts: Time,
    pub node: u8,
    /// `a`, `b`, …; `S` is the start of a process.
    pub name: char,
    pub k: u8,
    pub x: i64,
    /// What clocks take from an `e`.
    pub h: i64,
    pub pid: u32,
}

/// A part of a rule's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Node,
    K,
}

impl Part {
    pub fn name(self) -> &'static str {
        match self {
            Part::Node => "node",
            Part::K => "k",
        }
    }

    pub fn of(self, event: &Event) -> u8 {
        match self {
            Part::Node => event.node,
            Part::K => event.k,
        }
    }
}

pub type Key = Vec<u8>;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Compare {
    Equal,
    AtLeast,
}

impl Compare {
    pub fn sign(self) -> &'static str {
        match self {
            Compare::Equal => "==",
            Compare::AtLeast => ">=",
        }
    }

    pub fn holds(self, a: i64, b: i64) -> bool {
        match self {
            Compare::Equal => a == b,
            Compare::AtLeast => a >= b,
        }
    }
}

/// One alternative of a pattern.
#[derive(Clone, Debug)]
pub struct Alternative {
    /// `p` is derived: the first `a` of each `k`.
    pub name: char,
    /// `x` against a constant.
    pub own: Option<(Compare, i64)>,
    /// The fact `f` at the event's node, or just before the event, against a constant.
    pub fact: Option<(bool, i64)>,
    /// `x` against the `x` of the event in the rule's main role.
    pub across: Option<Compare>,
}

/// Any of the alternatives, with all of the key or fewer parts of it.
#[derive(Clone, Debug)]
pub struct Pattern {
    pub alternatives: Vec<Alternative>,
    pub key: Option<Vec<Part>>,
    /// The fact `f` at the event's node takes the place of its `k`.
    pub k_of_fact: bool,
}

impl Pattern {
    pub fn names(&self) -> impl Iterator<Item = char> {
        self.alternatives.iter().map(|one| one.name)
    }
}

/// Whose reports a clock shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Clock {
    /// The greatest of all.
    All,
    /// Those of the event's node.
    Own,
    /// What two nodes have reached.
    Two,
    /// The greatest of all, but no leap that one node alone has made.
    Near,
    /// What two nodes have reached in no leap.
    Wary,
}

impl Clock {
    pub fn name(self) -> &'static str {
        match self {
            Clock::All => "all",
            Clock::Own => "own",
            Clock::Two => "two",
            Clock::Near => "near",
            Clock::Wary => "wary",
        }
    }

    /// How many nodes must have reached a value.
    pub fn quorum(self) -> usize {
        if matches!(self, Clock::Two | Clock::Wary) { 2 } else { 1 }
    }

    /// The farthest step that is believed of fewer than two.
    pub fn max_step(self) -> Option<i64> {
        matches!(self, Clock::Near | Clock::Wary).then_some(1)
    }
}

/// A time in ticks of a clock.
#[derive(Clone, Debug)]
pub struct Ticks {
    pub clock: Clock,
    pub count: i64,
    /// Not before this, or as far back as this.
    pub and: Option<Time>,
    /// It is waited for no longer.
    pub or: Option<Time>,
}

/// From whom answers are expected: the nodes that the relation `here` holds, entered by `f` and left by `g`.
#[derive(Clone, Debug)]
pub struct From {
    /// So many of so many are enough, or more; none: each.
    pub quorum: Option<(u64, u64, bool)>,
    /// Who is expected is asked in the end.
    pub at_end: bool,
    /// All but the node of the `when`.
    pub but_own: bool,
}

#[derive(Clone, Debug)]
pub enum Limit {
    Within(Time),
    /// `when.x * duration("1s")`.
    Computed,
    By(Pattern),
    Ticks(Ticks),
}

#[derive(Clone, Debug)]
pub struct Response {
    pub when: Pattern,
    pub then: Pattern,
    pub limit: Limit,
    pub pair: bool,
    pub unless: Option<Pattern>,
    pub broken_by: Option<Pattern>,
    pub grace: Time,
    pub from: Option<From>,
}

#[derive(Clone, Debug)]
pub struct Precedence {
    pub event: Pattern,
    pub requires: Vec<Pattern>,
    pub all: bool,
    pub within: Option<Time>,
    pub ticks: Option<Ticks>,
    pub since: Option<Pattern>,
    pub unless: Option<Pattern>,
}

#[derive(Clone, Debug)]
pub struct Per {
    pub of: Pattern,
    pub min: Option<u64>,
    pub max: Option<u64>,
    pub when: Pattern,
    pub before: Time,
    pub within: Option<Time>,
    pub ticks: Option<Ticks>,
    pub until: Option<Pattern>,
}

#[derive(Clone, Debug)]
pub struct Heartbeat {
    pub event: Pattern,
    pub every: Time,
    pub start: Option<Pattern>,
    pub stop: Option<Pattern>,
    pub while_: Option<Pattern>,
}

#[derive(Clone, Debug)]
pub struct Monotonic {
    pub event: Pattern,
    /// The values go up, or down.
    pub rises: bool,
    /// Equal values are allowed.
    pub equal: bool,
    pub step: Option<i64>,
    pub reset: Option<Pattern>,
}

#[derive(Clone, Debug)]
pub struct OrderStep {
    pub of: Pattern,
    /// A step that need not come: it is due never, or when the first step's `x` compares so.
    pub due: Option<Option<(Compare, i64)>>,
}

#[derive(Clone, Debug)]
pub struct Order {
    pub steps: Vec<OrderStep>,
    pub within: Option<Time>,
    pub slack: Time,
}

#[derive(Clone, Debug)]
pub struct SequenceStep {
    pub of: Pattern,
    /// What must not lie between the step before and this one.
    pub not: Vec<Pattern>,
}

#[derive(Clone, Debug)]
pub struct Sequence {
    pub steps: Vec<SequenceStep>,
    pub within: Time,
}

/// The holder is `x`.
#[derive(Clone, Debug)]
pub struct Exclusive {
    pub enter: Pattern,
    pub exit: Pattern,
    pub renew: Option<Pattern>,
    pub ttl: Option<Time>,
    pub max: u64,
}

/// What says which state it is.
#[derive(Clone, Debug)]
pub enum Read {
    /// `x`, which is a state's number.
    Value(Pattern),
    /// A pattern for each state.
    Patterns(Vec<Pattern>),
}

#[derive(Clone, Debug)]
pub struct Machine {
    pub read: Read,
    /// None: any.
    pub initial: Option<usize>,
    /// By state, those that may follow.
    pub to: Vec<Vec<usize>>,
    pub terminal: Vec<bool>,
    pub limits: Vec<Option<Time>>,
}

/// What a term measures.
#[derive(Clone, Copy, Debug)]
pub enum Measure {
    Count,
    Sum,
    Distinct,
}

/// What two terms are held against.
#[derive(Clone, Copy, Debug)]
pub enum Assert {
    AtMost(i64),
    AtLeast(i64),
    /// The first is at most so much more than the second.
    Beside(i64),
    Alike,
}

#[derive(Clone, Debug)]
pub struct Aggregate {
    pub terms: Vec<(Measure, Pattern)>,
    pub assert: Assert,
    /// How far back it looks where nothing closes it.
    pub window: Time,
    pub close: Option<Pattern>,
    /// The windows do not overlap; each is judged once.
    pub tumbles: bool,
}

#[derive(Clone, Debug)]
pub enum Kind {
    Never(Pattern),
    Always(Pattern, Compare, i64),
    Response(Response),
    Precedence(Precedence),
    CountEver { of: Pattern, max: u64 },
    CountWindow { of: Pattern, max: u64, window: Time },
    CountPer(Per),
    Agreement { event: Pattern, within: Option<Time> },
    Consecutive { fail: Pattern, ok: Pattern, count: u64 },
    Heartbeat(Heartbeat),
    Monotonic(Monotonic),
    Order(Order),
    Sequence(Sequence),
    Exclusive(Exclusive),
    Machine(Machine),
    Aggregate(Aggregate),
}

impl Kind {
    /// Whether a pattern of those that may derive something names that event.
    pub fn names(&self, name: char) -> bool {
        let named = |pattern: &Pattern| pattern.names().any(|known| known == name);
        match self {
            Kind::Never(of) | Kind::Always(of, ..) | Kind::CountEver { of, .. } => named(of),
            Kind::Agreement { event, .. } => named(event),
            Kind::Response(response) => {
                let mut limits = match &response.limit {
                    Limit::By(marker) => vec![marker],
                    _ => Vec::new(),
                };
                limits.extend(response.unless.iter().chain(&response.broken_by));
                limits.extend([&response.when, &response.then]);
                limits.into_iter().any(named)
            }
            Kind::Precedence(rule) => {
                let others = rule.requires.iter().chain(&rule.since).chain(&rule.unless);
                others.chain([&rule.event]).any(named)
            }
            _ => false,
        }
    }
}

#[derive(Clone, Debug)]
pub struct During {
    pub after: Option<Pattern>,
    pub until: Option<Pattern>,
    pub delay: Time,
    pub within: Option<Time>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OnRestart {
    Broken,
    Ended,
    Reset,
    Keep,
}

#[derive(Clone, Debug)]
pub struct Rule {
    pub key: Vec<Part>,
    pub kind: Kind,
    pub during: Option<During>,
    pub on_restart: OnRestart,
    /// Ties are read against the rule.
    pub strict: bool,
    pub report_first: bool,
    pub quiet: Option<Time>,
    /// What it finds in order is found by another rule, if it can be told.
    pub watched: bool,
}

impl Rule {
    /// The part of the event to which what is found in order belongs, where another rule looks for that.
    pub fn watched_part(&self) -> Option<&'static str> {
        let part = match self.kind {
            Kind::Always(..) | Kind::Precedence(_) => "event",
            Kind::Response(Response { from: None, .. }) | Kind::CountPer(_) => "when",
            _ => return None,
        };
        self.watched.then_some(part)
    }
}

/// What is compared: the rule, its key, where it was found, the event it hangs on, and when a level recovered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Verdict {
    pub rule: usize,
    pub key: Key,
    pub at: Time,
    /// The event judged, or the one that opened the obligation; none where it is the key or a silence.
    pub anchor: Option<u32>,
    pub resolved: Option<Time>,
    /// The nodes that did not answer, as bits; of rules without `from` none.
    pub missing: u32,
}

/// A violation with the moment at which it became certain, for `report: first` and `quiet`.
#[derive(Clone, Debug)]
pub struct Found {
    pub at: Time,
    pub anchor: Option<u32>,
    pub anchor_ts: Time,
    pub resolved: Option<Time>,
    pub missing: u32,
    /// When it was certain; what time alone shows comes after the events of that time.
    pub certain: (Time, bool),
}

impl Found {
    pub fn at_event(event: &Event, at: Time) -> Self {
        Found { at, anchor: Some(event.id), anchor_ts: event.ts, resolved: None, missing: 0, certain: (at, false) }
    }
}

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

    /// Where a clock stands: the greatest that all, or enough of all, have reported by then; of one node's clock its own alone.
    fn clock(&self, ticks: &Ticks, node: u8, ts: Time) -> Option<i64> {
        let Ticks { clock, .. } = *ticks;
        let heard = |of: u8| clock != Clock::Own || of == node;
        let mut reports: Vec<&Event> =
            self.log.iter().filter(|event| event.name == 'e' && event.ts <= ts && heard(event.node)).collect();
        reports.sort_by_key(|event| (event.ts, event.id));
        let quorum = if self.mutant == Mutant::LoneClock { 1 } else { clock.quorum() };
        let max_step = clock.max_step().filter(|_| self.mutant != Mutant::Credulous);
        let mut stands: Option<i64> = None;
        for count in 1..=reports.len() {
            let of_node =
                |node: u8| reports[..count].iter().filter(|event| event.node == node).map(|event| event.h).max();
            let mut nodes: Vec<i64> = (0..NODES).filter_map(of_node).collect();
            nodes.sort_unstable_by(|a, b| b.cmp(a));
            // What enough nodes have reached, and of that what is near or what two have reached.
            let believed = |place: usize, value: i64| {
                let leap = stands.zip(max_step).is_some_and(|(stands, step)| value > stands + step);
                place + 1 >= quorum && (!leap || place >= 1)
            };
            let reached = nodes.iter().enumerate().filter(|(place, value)| believed(*place, **value));
            stands = stands.max(reached.map(|(_, value)| *value).max());
        }
        stands
    }

    /// When a deadline in ticks that begins with an event passes: the clock first exceeds where it stood then, or where it begins.
    pub fn ticked(&self, ticks: &Ticks, node: u8, from: Time) -> Time {
        let mut times: Vec<Time> = self.log.iter().filter(|event| event.name == 'e').map(|event| event.ts).collect();
        times.sort_unstable();
        let begins = || times.iter().find_map(|ts| self.clock(ticks, node, *ts));
        let Some(stood) = self.clock(ticks, node, from).or_else(begins) else { return NEVER };
        let over = stood + ticks.count - i64::from(self.mutant == Mutant::EarlyTick);
        let exceeds = |ts: &&Time| self.clock(ticks, node, **ts).is_some_and(|now| now > over);
        times.iter().find(exceeds).copied().unwrap_or(NEVER)
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
    keys.iter().all(|key| crate::response::is_settled(&Case { rule, key, log, mutant: Mutant::None }, response))
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
