//! Packs linked into one program: rules numbered, events routed to the roles they may play.
use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    string::String,
    sync::Arc,
    vec::Vec,
};
use core::time::Duration;
use event::Timestamp;

use crate::{
    adopt::Identities,
    clock::Clocks,
    expr::Expr,
    fact::{Facts, Horizon},
    kind::Automaton,
    pack::{EmitOn, Kind, OnRestart, Pack, Pattern, RoleIdx, Rule, Ties},
};

/// A rule's number in the running program.
pub type RuleIdx = u32;

/// All packs in force together.
#[derive(Clone, Debug, Default)]
pub struct Program {
    pub(crate) packs: Vec<Arc<Pack>>,
    /// Of which pack, and which of it; so with facts, clocks and breakers.
    pub(crate) rules: Vec<(u16, u16)>,
    pub(crate) facts: Vec<(u16, u16)>,
    pub(crate) clocks: Vec<(u16, u16)>,
    pub(crate) breakers: Vec<(u16, u16)>,
    globs: bool,
}

impl Program {
    /// Links packs. Names must be unique; of packs with one name the last wins.
    #[must_use]
    pub fn link(packs: impl IntoIterator<Item = Arc<Pack>>) -> Self {
        let by_name: BTreeMap<String, Arc<Pack>> = packs.into_iter().map(|pack| (pack.name.clone(), pack)).collect();
        let mut program = Program { packs: by_name.into_values().collect(), ..Program::default() };
        for (number, pack) in program.packs.iter().enumerate() {
            let number = number as u16;
            program.rules.extend((0..pack.rules.len()).map(|rule| (number, rule as u16)));
            program.facts.extend((0..pack.facts.len()).map(|fact| (number, fact as u16)));
            program.clocks.extend((0..pack.clocks.len()).map(|clock| (number, clock as u16)));
            program.breakers.extend((0..pack.breakers.len()).map(|breaker| (number, breaker as u16)));
        }
        let is_glob = |pattern: &Pattern| pattern.name.literal().is_none();
        let globs = program.targets().any(|(_, _, role)| role.alternatives.iter().any(is_glob));
        program.globs = globs;
        program
    }

    /// The packs, by name.
    #[must_use]
    pub fn packs(&self) -> &[Arc<Pack>] {
        &self.packs
    }

    /// The rule of that number, with its pack.
    #[must_use]
    pub fn rule(&self, rule: RuleIdx) -> (&Pack, &Rule) {
        let (pack, rule) = self.rules[rule as usize];
        let pack = &self.packs[pack as usize];
        (pack, &pack.rules[rule as usize])
    }

    /// All rules in order of pack and appearance.
    pub fn rules(&self) -> impl Iterator<Item = (RuleIdx, &Pack, &Rule)> {
        (0..self.rules.len() as RuleIdx).map(|number| {
            let (pack, rule) = self.rule(number);
            (number, pack, rule)
        })
    }

    /// What a scope name is called: a topology's component that matches it, else itself.
    #[must_use]
    pub fn component<'a>(&'a self, scope: &'a str) -> &'a str {
        self.packs
            .iter()
            .flat_map(|pack| &pack.topology)
            .find(|component| component.match_scope.iter().any(|glob| glob.matches(scope)))
            .map_or(scope, |component| &component.name)
    }

    /// The attributes whose new value is a process's start, over all packs.
    pub fn process_attributes(&self) -> impl Iterator<Item = &str> {
        self.packs.iter().flat_map(|pack| &pack.lifecycles).filter_map(|lifecycle| lifecycle.instance.as_deref())
    }

    /// Whether some pattern could match a name that none names in full. Asked for every event that none names.
    pub(crate) fn has_globs(&self) -> bool {
        self.globs
    }

    /// Every name that a pattern names in full.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        self.targets()
            .flat_map(|(_, _, role)| &role.alternatives)
            .filter_map(|pattern| pattern.name.literal())
            .map(String::from)
            .collect()
    }

    /// The late condition of the pattern with which an event opens (else closes) a span of a rule's `during`.
    pub(crate) fn scope_condition(&self, rule: RuleIdx, opens: bool, alternative: u8) -> Option<&Expr> {
        let rule = self.rule(rule).1;
        let during = rule.during.as_ref()?;
        let role = if opens { during.after } else { during.until }?;
        rule.roles.get(role as usize)?.alternatives.get(alternative as usize)?.where_late.as_ref()
    }

    pub(crate) fn fact(&self, fact: u32) -> &crate::pack::Fact {
        let (pack, fact) = self.facts[fact as usize];
        &self.packs[pack as usize].facts[fact as usize]
    }

    pub(crate) fn clock(&self, clock: u32) -> &crate::pack::Clock {
        let (pack, clock) = self.clocks[clock as usize];
        &self.packs[pack as usize].clocks[clock as usize]
    }

    pub(crate) fn clocks(&self) -> impl Iterator<Item = &crate::pack::Clock> {
        (0..self.clocks.len() as u32).map(|clock| self.clock(clock))
    }

    pub(crate) fn fact_count(&self) -> usize {
        self.facts.len()
    }

    /// How long each fact's history is needed: as far back as rules ask about spans of time.
    pub(crate) fn horizons(&self, traits: &[Traits]) -> Vec<Horizon> {
        (0..self.facts.len() as u32)
            .map(|number| {
                let fact = self.fact(number);
                let asking = traits.iter().enumerate().filter(|(_, traits)| traits.reads.contains(&number));
                let look_back = |(rule, traits): (usize, &Traits)| {
                    let rule = self.rule(rule as RuleIdx).1;
                    match rule.kind {
                        _ if traits.looks_back.contains(&number) => rule.forget_after,
                        // Conditions are decided when both events are there, each as of its own time.
                        _ if traits.pairs => Automaton::horizon(rule),
                        // Who was expected when it was broken is asked when the grace is over.
                        Kind::Expected { grace, at_deadline: true, .. } => grace,
                        _ => Duration::ZERO,
                    }
                };
                Horizon {
                    look_back: asking.map(look_back).max().unwrap_or_default(),
                    forget_after: fact.forget_after,
                    max_rows: usize::try_from(fact.max_keys).unwrap_or(usize::MAX),
                }
            })
            .collect()
    }

    pub(crate) fn breaker(&self, breaker: u32) -> (&Pack, &crate::pack::BreakerDef) {
        let (pack, breaker) = self.breakers[breaker as usize];
        let pack = &self.packs[pack as usize];
        (pack, &pack.breakers[breaker as usize])
    }

    pub(crate) fn breakers(&self) -> impl Iterator<Item = (u32, &Pack, &crate::pack::BreakerDef)> {
        (0..self.breakers.len() as u32).map(|number| {
            let (pack, breaker) = self.breaker(number);
            (number, pack, breaker)
        })
    }

    /// The number of the pack's first fact: expressions count facts within their pack.
    pub(crate) fn fact_base(&self, pack: u16) -> u32 {
        self.facts.iter().position(|&(owner, _)| owner == pack).unwrap_or(0) as u32
    }

    /// The number of the pack's first clock.
    pub(crate) fn clock_base(&self, pack: u16) -> u32 {
        self.clocks.iter().position(|&(owner, _)| owner == pack).unwrap_or(0) as u32
    }

    /// Whether the rule's pack declares a lifecycle that shows a restart: its own start event, or (`None`) a new process.
    pub(crate) fn knows(&self, traits: &Traits, rule: RuleIdx, pack: Option<u16>) -> bool {
        traits.restarts
            && match pack {
                Some(pack) => pack == self.pack_of(rule),
                None => self.rule(rule).0.lifecycles.iter().any(|lifecycle| lifecycle.instance.is_some()),
            }
    }

    /// What everything means, by number.
    pub(crate) fn identities(&self) -> Identities {
        let meaning = |fact: &crate::pack::Fact| crate::key::hash(alloc::format!("{fact:?}").as_bytes());
        Identities {
            rules: self.rules().map(|(_, pack, rule)| (pack.name.clone(), rule.id.clone(), rule.digest)).collect(),
            facts: (0..self.facts.len() as u32)
                .map(|number| {
                    let pack = &self.packs[self.facts[number as usize].0 as usize];
                    let fact = self.fact(number);
                    let derived = match pack.derives.as_slice() {
                        [] => 0,
                        derives => crate::key::hash(alloc::format!("{derives:?}").as_bytes()),
                    };
                    (pack.name.clone(), fact.name.clone(), meaning(fact) ^ derived)
                })
                .collect(),
            clocks: (0..self.clocks.len() as u32)
                .map(|number| {
                    let pack = &self.packs[self.clocks[number as usize].0 as usize];
                    let clock = self.clock(number);
                    let meaning = alloc::format!("{clock:?}{:?}", pack.derives);
                    (pack.name.clone(), clock.name.clone(), crate::key::hash(meaning.as_bytes()))
                })
                .collect(),
            packs: self.packs.iter().map(|pack| pack.name.clone()).collect(),
            firsts: self.packs.iter().flat_map(|pack| &pack.derives).filter_map(|derive| derive.first_per).collect(),
        }
    }

    pub(crate) fn pack_of(&self, rule: RuleIdx) -> u16 {
        self.rules[rule as usize].0
    }
}

/// Facts about a rule that the running engine asks for again and again.
#[derive(Clone, Debug)]
pub(crate) struct Traits {
    /// What the names of its violations begin with.
    pub(crate) id_prefix: Box<[u8]>,
    /// Judged on arrival, with no state at all.
    pub(crate) stateless: bool,
    /// Some pattern has a condition that is decided in order of time.
    pub(crate) conditions: bool,
    /// One of those asks for another event.
    pub(crate) pairs: bool,
    /// It is judged after the rules whose verdicts it builds on.
    pub(crate) stratum: u8,
    /// Numbers (in the program) of the facts its conditions read.
    pub(crate) reads: Vec<u32>,
    /// Those of them that it asks about spans of time.
    pub(crate) looks_back: Vec<u32>,
    /// It asks who is live.
    pub(crate) reads_live: bool,
    /// The number of its pack's first clock.
    pub(crate) clock_base: u32,
    /// Numbers (in the program) of the clocks it reads, in conditions or deadlines.
    pub(crate) clocks: Vec<u32>,
    /// The clock by which it counts its deadlines.
    pub(crate) ticks: Option<u32>,
    /// The facts that say whom it measures; none unless it measures the members of a group.
    pub(crate) members: Vec<u32>,
    /// Where in its key the node stands, the network not counted.
    pub(crate) node_part: Option<usize>,
    /// Restarts of its node matter to it.
    pub(crate) restarts: bool,
    /// The number of its pack's first fact.
    pub(crate) fact_base: u32,
    /// The breakers it trips.
    pub(crate) trips: Vec<u32>,
    /// The breakers whose state it asks for, or whose changes it builds on.
    pub(crate) asks_breakers: Vec<u32>,
    /// Its patterns ask for more than their events.
    pub(crate) asks: bool,
    /// The slots of its roles for which it asks when it judges.
    pub(crate) asked_later: Vec<(RoleIdx, u16)>,
}

impl Traits {
    /// The times in [from, to) at which what the rule waits for beside events moves on.
    pub(crate) fn ticks(&self, clocks: &Clocks, facts: &Facts, from: Timestamp, to: Timestamp) -> Vec<Timestamp> {
        let mut ticks = self.ticks.map_or_else(Vec::new, |clock| clocks.ticks(clock, from, to));
        for &fact in &self.members {
            facts.changes(fact, from, to, &mut ticks);
        }
        ticks.sort_unstable();
        ticks.dedup();
        ticks
    }

    pub(crate) fn of(program: &Program, number: RuleIdx) -> Self {
        let (_, rule) = program.rule(number);
        let base = program.fact_base(program.pack_of(number));
        let pack = program.rule(number).0;
        let mut asked: Vec<(u16, bool)> = Vec::new();
        let mut late = false;
        for pattern in rule.roles.iter().flat_map(|role| &role.alternatives) {
            late |= pattern.where_late.is_some() || pattern.asks();
            for expression in pattern.own_expressions() {
                pack.facts_read(expression, &mut |fact, back| asked.push((fact, back)));
            }
            if let Some(condition) = &pattern.where_late {
                pack.facts_read(condition, &mut |fact, back| asked.push((fact, back)));
            }
        }
        let before = asked.len();
        for expression in rule.kind.expressions() {
            pack.facts_read(expression, &mut |fact, back| asked.push((fact, back)));
        }
        let asks = |expression: &Expr| {
            let mut found = expression.uses_live();
            pack.facts_read(expression, &mut |fact, _| {
                let is = pack.facts.get(fact as usize).and_then(|fact| fact.is.as_ref());
                found |= is.is_some_and(Expr::uses_live);
            });
            found
        };
        let conditions = rule.roles.iter().flat_map(|role| &role.alternatives).filter_map(|p| p.where_late.as_ref());
        let reads_live = conditions.chain(rule.kind.expressions()).any(asks);
        let clock_base = program.clock_base(program.pack_of(number));
        let mut clocks: Vec<u32> = Vec::new();
        let patterns = || rule.roles.iter().flat_map(|role| &role.alternatives);
        let asking = || {
            let of_patterns = patterns().flat_map(|pattern| pattern.own_expressions().chain(&pattern.where_late));
            of_patterns.chain(rule.kind.expressions())
        };
        for expression in asking() {
            expression.visit_clocks(&mut |clock| clocks.push(clock_base + u32::from(clock)));
            pack.facts_read(expression, &mut |fact, _| {
                if let Some(is) = pack.facts.get(fact as usize).and_then(|fact| fact.is.as_ref()) {
                    is.visit_clocks(&mut |clock| clocks.push(clock_base + u32::from(clock)));
                }
            });
        }
        let breaker_base =
            program.breakers.iter().position(|&(owner, _)| owner == program.pack_of(number)).unwrap_or(0);
        let mut asks_breakers: Vec<u32> = Vec::new();
        for expression in asking() {
            expression.visit_breakers(&mut |breaker| asks_breakers.push(breaker_base as u32 + u32::from(breaker)));
        }
        // What is told of first events can be taken back.
        let revocable = patterns()
            .filter_map(|pattern| pattern.name.literal())
            .any(|name| pack.derives.iter().any(|derive| derive.first_per.is_some() && derive.name == name));
        for name in patterns().filter_map(|pattern| pattern.name.literal()) {
            let changes = pack.breakers.iter().position(|breaker| name == breaker.changes());
            asks_breakers.extend(changes.map(|breaker| (breaker_base + breaker) as u32));
        }
        let assertion_reads = asked.len() > before || reads_live || !clocks.is_empty() || !asks_breakers.is_empty();
        let ticks = rule.kind.ticks().map(|ticks| clock_base + u32::from(ticks.clock));
        clocks.extend(ticks);
        // What looks back waits for nothing.
        let ticks = ticks.filter(|_| !matches!(rule.kind, Kind::Precedence { .. }));
        let number_of = |fact: u16| base + u32::from(fact);
        let mut reads: Vec<u32> = asked.iter().map(|(fact, _)| number_of(*fact)).collect();
        let mut looks_back: Vec<u32> =
            asked.iter().filter(|(_, back)| *back).map(|(fact, _)| number_of(*fact)).collect();
        for list in [&mut reads, &mut looks_back] {
            list.sort_unstable();
            list.dedup();
        }
        let mut members: Vec<u32> = Vec::new();
        if let Kind::Aggregate(aggregate) = &rule.kind
            && let Some(each) = &aggregate.each
        {
            pack.facts_read(&each.members, &mut |fact, _| members.push(number_of(fact)));
        }
        let pointwise = matches!(rule.kind, Kind::Never { .. } | Kind::Always { .. });
        Traits {
            id_prefix: crate::world::id_prefix(&pack.name, &rule.id),
            conditions: patterns().any(|pattern| pattern.where_late.is_some()),
            pairs: patterns().any(|pattern| pattern.where_late.as_ref().is_some_and(Expr::roles_used)),
            stratum: 0,
            stateless: pointwise
                && rule.hold.is_none()
                // What is in order would be told of only when the frontier has passed it.
                && rule.emits.iter().all(|emit| emit.on != EmitOn::Held)
                && !late
                && !revocable
                && !assertion_reads
                && rule.during.is_none()
                && !rule.report_first
                && rule.quiet.is_none(),
            reads,
            looks_back,
            reads_live,
            clock_base,
            clocks,
            ticks,
            members,
            node_part: rule.key.iter().position(|part| part.name == "node"),
            restarts: rule.on_restart != OnRestart::Keep && rule.key.iter().any(|part| part.name == "node"),
            fact_base: base,
            trips: program
                .breakers()
                .filter(|(_, pack, breaker)| {
                    pack.name == program.rule(number).0.name && breaker.trip_rules.contains(&rule.id)
                })
                .map(|(breaker, _, _)| breaker)
                .collect(),
            asks_breakers,
            asks: patterns().any(Pattern::asks),
            asked_later: asked_later(rule),
        }
    }
}

/// The slots of a rule's roles that its late conditions, its kind and what orders events of one time read.
fn asked_later(rule: &Rule) -> Vec<(RoleIdx, u16)> {
    let mut asked: Vec<(RoleIdx, u16)> = Vec::new();
    let mut reads = |own: RoleIdx, expression: &Expr| {
        expression.visit(&mut |part| match part {
            Expr::Slot(slot) => asked.push((own, *slot)),
            Expr::Role(role, slot) => asked.push((*role, *slot)),
            _ => {}
        });
    };
    for (role, declared) in rule.roles.iter().enumerate() {
        let role = role as RoleIdx;
        let conditions = declared.alternatives.iter().filter_map(|pattern| pattern.where_late.as_ref());
        conditions.for_each(|condition| reads(role, condition));
        // Whose slots an expression of the kind reads depends on the kind.
        rule.kind.visit(&mut |expression| reads(role, expression));
        if let Ties::By(by) = &rule.ties
            && let Some(Some(by)) = by.get(role as usize)
        {
            reads(role, by);
        }
    }
    asked.sort_unstable();
    asked.dedup();
    asked
}
