//! The engine over a generated log: offline, and live with all that may happen on the way.
use std::{collections::BTreeMap, sync::Arc, time::Duration};

use engine::{Engine, Input, Output, Pack, Program, Timing, Violation, ViolationId};
use event::{Identity, Position, Source, Timestamp, Value};
use rand::{Rng, rngs::StdRng, seq::SliceRandom};
use runtime::feed;

use crate::model::{Event, Kind, NODES, Rule, Time, Verdict};

/// When every log begins.
const BEGINNING: Timestamp = Timestamp(1_795_500_000_000_000_000);

/// Names of events that no rule speaks of: each node is heard well before its log and well after it, so that nothing is
/// unknown for want of a beginning or of a sign of life.
const HELLO: char = 'h';

/// What the steps of a sequence are called.
const STEPS: &[&str] = &["step1", "step2", "step3"];

/// What came of a run.
pub type Verdicts = BTreeMap<ViolationId, Verdict>;

pub struct Subject<'a> {
    pub rules: &'a [Rule],
    pub pack: Arc<Pack>,
    pub log: &'a [Event],
    /// Past all deadlines; the last thing heard.
    pub end: Time,
}

fn instant(ts: Time) -> Timestamp {
    BEGINNING.plus(Duration::from_millis(ts))
}

fn event(event: &Event, arrived: Timestamp) -> event::Event {
    let attr = |name: &str, value: i64| (name.to_owned(), Value::from(value));
    let mut attrs =
        vec![attr("k", event.k.into()), attr("x", event.x), attr("h", event.h), attr("id", event.id.into())];
    if event.pid > 0 {
        attrs.push(attr("process.pid", event.pid.into()));
    }
    event::Event {
        position: Position { partition: 0, frame: 1, record: event.id },
        identity: Identity(event.id.into()),
        ts: if event.name == HELLO { Timestamp(event.ts) } else { instant(event.ts) },
        arrived,
        source: Source { network: String::new(), node: format!("n{}", event.node), component: "c".into() },
        name: event.name.to_string(),
        attrs,
        ..event::Event::default()
    }
}

/// Signs of life before and after the log.
fn bounds(end: Time) -> Vec<Event> {
    let sign = |node: u8, ts: Timestamp, id: u32| Event { id, ts: ts.0, node, name: HELLO, k: 0, x: 0, h: 0, pid: 0 };
    let before = BEGINNING.minus(Duration::from_secs(30));
    (0..NODES)
        .flat_map(|node| [sign(node, before, u32::from(node)), sign(node, instant(end), 10 + u32::from(node))])
        .collect()
}

impl Subject<'_> {
    fn program(&self) -> Program {
        Program::link([self.pack.clone()])
    }

    /// Everything at once, or in order piece by piece.
    pub fn offline(&self, random: &mut StdRng) -> Verdicts {
        // The shorter corrections last, the sooner shared history is let go of.
        let timing = Timing { correct_for: Duration::from_secs(random.random_range(1..60)), ..Timing::default() };
        let mut engine = Engine::new(self.program(), timing, Input::Offline);
        let mut events: Vec<event::Event> =
            self.log.iter().chain(&bounds(self.end)).map(|known| event(known, Timestamp::ZERO)).collect();
        let mut said = Heard::default();
        if random.random() {
            events.shuffle(random);
            events.iter().for_each(|known| feed::event(&mut engine, known));
        } else {
            events.sort_by_key(|known| known.ts);
            for known in &events {
                if random.random_ratio(1, 3) {
                    let mut out = Vec::new();
                    engine.judge_before(known.ts, &mut out);
                    said.take(out);
                }
                feed::event(&mut engine, known);
            }
        }
        let mut out = Vec::new();
        engine.finish(false, &mut out);
        said.take(out);
        self.verdicts(&said)
    }

    /// As it may come: out of order, late, twice, in other batches, with the engine written down and taken up again.
    pub fn live(&self, random: &mut StdRng) -> Verdicts {
        let timing = Timing { correct_for: Duration::from_secs(random.random_range(5..60)), ..Timing::default() };
        let mut engine = Engine::new(self.program(), timing, Input::Live);
        let in_time = Duration::from_millis(1_900);
        let late = timing.correct_for + Duration::from_millis(1_900);
        let often_late = random.random_range(0..3_u32);
        let mut coming: Vec<(Timestamp, event::Event)> = Vec::new();
        for known in self.log.iter().chain(&bounds(self.end)) {
            let mut delays =
                vec![if random.random_ratio(often_late, 6) && known.name != HELLO { late } else { in_time }];
            // A repeat comes while identities are remembered.
            if random.random_ratio(1, 6) {
                delays.push(late.min(Duration::from_secs(60)));
            }
            for delay in delays {
                let delay = Duration::from_millis(random.random_range(0..delay.as_millis() as u64));
                let one = event(known, Timestamp::ZERO);
                let arrived = one.ts.plus(if known.name == HELLO { Duration::ZERO } else { delay });
                coming.push((arrived, one));
            }
        }
        coming.sort_by_key(|(arrived, one)| (*arrived, one.identity));
        let mut said = Heard::default();
        let batch = random.random_range(1..6_usize);
        let ticks = random.random_range(1..4_u64);
        let restarts = random.random_range(0..4_u32);
        let mut clock = coming[0].0;
        let mut place = 0;
        while place < coming.len() {
            // Ticks between what comes, but not for the long silences before and after the log.
            let next = coming[place].0;
            let mut quiet = 0;
            while clock.plus(Duration::from_secs(ticks)) < next && quiet < 12 {
                clock = clock.plus(Duration::from_secs(ticks));
                quiet += 1;
                said.tick(&mut engine, clock);
            }
            // A batch comes when its last event does; the others of it come later than they might.
            let mut size = random.random_range(1..=batch).min(coming.len() - place);
            while size > 1 && coming[place + size - 1].0.since(next) > Duration::from_millis(90) {
                size -= 1;
            }
            let arrived = coming[place + size - 1].0;
            let mut together: Vec<event::Event> =
                coming[place..place + size].iter().map(|(_, one)| event::Event { arrived, ..one.clone() }).collect();
            together.shuffle(random);
            together.iter().for_each(|one| feed::event(&mut engine, one));
            place += size;
            clock = arrived;
            said.tick(&mut engine, clock);
            if random.random_ratio(restarts, 20) {
                let written = engine.checkpoint().unwrap();
                engine = Engine::restore(self.program(), timing, &written).unwrap();
            }
        }
        // Until the last delay is forgotten, and everyone is believed again.
        for seconds in [1, 1, 1, 70, 1, 1, 1] {
            clock = clock.plus(Duration::from_secs(seconds));
            said.tick(&mut engine, clock);
        }
        assert_eq!(engine.census().too_late, 0, "the run let an event come too late");
        self.verdicts(&said)
    }

    /// As it comes in time, with rules that are adopted on the way and shown what came before. Returns where the engine stood
    /// then: from there on it must say what it would have said with the rules in force from the start.
    pub fn adopted(&self, random: &mut StdRng) -> (Verdicts, Time) {
        let mut engine = Engine::new(Program::default(), Timing::default(), Input::Live);
        let mut coming: Vec<(Timestamp, event::Event)> = Vec::new();
        for known in self.log.iter().chain(&bounds(self.end)) {
            let delay = if known.name == HELLO { 0 } else { random.random_range(0..1_900) };
            let one = event(known, Timestamp::ZERO);
            let arrived = one.ts.plus(Duration::from_millis(delay));
            coming.push((arrived, event::Event { arrived, ..one }));
        }
        coming.sort_by_key(|(arrived, one)| (*arrived, one.identity));
        let mut said = Heard::default();
        let adopted = random.random_range(0..coming.len());
        let mut stood = Timestamp::ZERO;
        for place in 0..coming.len() {
            let (arrived, one) = &coming[place];
            if place == adopted {
                match engine.warm_up(&self.program()) {
                    None => engine.adopt(self.program()),
                    Some(mut warm) => {
                        let from = warm.from();
                        for (arrived, one) in coming[..place].iter().filter(|(arrived, _)| *arrived >= from) {
                            feed::event(warm.engine(), one);
                            warm.shown(*arrived);
                        }
                        said.take(engine.adopt_warm(warm));
                    }
                }
                stood = engine.frontier();
                if random.random() {
                    let written = engine.checkpoint().unwrap();
                    engine = Engine::restore(self.program(), Timing::default(), &written).unwrap();
                }
            }
            feed::event(&mut engine, one);
            said.tick(&mut engine, *arrived);
        }
        let mut clock = coming[coming.len() - 1].0;
        for seconds in [1, 1, 1, 70, 1, 1, 1] {
            clock = clock.plus(Duration::from_secs(seconds));
            said.tick(&mut engine, clock);
        }
        (self.verdicts(&said), stood.since(BEGINNING).as_millis() as Time)
    }

    fn verdicts(&self, heard: &Heard) -> Verdicts {
        let in_log = |at: Timestamp| at <= instant(self.end);
        heard
            .standing
            .iter()
            .filter(|(_, (violation, _))| in_log(violation.at))
            .map(|(id, (violation, resolved))| (*id, self.verdict(violation, resolved.filter(|at| in_log(*at)))))
            .collect()
    }

    fn verdict(&self, violation: &Violation, resolved: Option<Timestamp>) -> Verdict {
        let rule = violation.rule as usize;
        let since = |ts: Timestamp| ts.since(BEGINNING).as_millis() as Time;
        let mut key: Vec<u32> = violation
            .key
            .iter()
            .map(|part| match part.as_ref().unwrap() {
                Value::String(node) => node.trim_start_matches('n').parse().unwrap(),
                value => runtime::json::text(value).parse().unwrap(),
            })
            .collect();
        if rule >= self.rules.len() {
            // Behind all rules stand those that look for what some of them find in order; the last part says of what.
            let mut watched = (0..self.rules.len()).filter(|rule| self.rules[*rule].watched_part().is_some());
            let rule = self.rules.len() + watched.nth(rule - self.rules.len()).unwrap();
            let anchor = key.pop();
            let key = key.into_iter().map(|part| u8::try_from(part).unwrap()).collect();
            return Verdict { rule, key, at: since(violation.at), anchor, resolved: None, missing: 0 };
        }
        let key = key.into_iter().map(|part| u8::try_from(part).unwrap());
        let main = match &self.rules[rule].kind {
            Kind::Never(_) | Kind::Always(..) | Kind::Precedence(_) | Kind::Monotonic(_) => Some("event"),
            // Whichever step it is that is judged.
            Kind::Order(_) => Some("step"),
            Kind::Sequence(sequence) => STEPS.get(sequence.steps.len() - 1).copied(),
            Kind::Aggregate(aggregate) => aggregate.close.as_ref().map(|_| "close"),
            Kind::Exclusive(_) => Some("enter"),
            // The event that takes a transition; at a limit there is none.
            Kind::Machine(_) => violation
                .evidence
                .iter()
                .find(|cited| cited.event.ts == violation.at && *cited.role != *"before")
                .map(|cited| &*cited.role),
            Kind::Response(_) | Kind::CountPer(_) => Some("when"),
            Kind::CountWindow { .. } => Some("of"),
            Kind::Consecutive { .. } => Some("fail"),
            Kind::CountEver { .. } | Kind::Agreement { .. } | Kind::Heartbeat(_) => None,
        };
        let anchor = main.map(|main| {
            let cited = violation.evidence.iter().filter(|cited| cited.role.starts_with(main));
            let last = cited.map(|cited| cited.event).max_by_key(|event| (event.ts, event.identity));
            last.expect("a violation cites its main event").position.record
        });
        let from = violation.missing.iter().flat_map(|missing| &missing.from);
        let missing =
            from.map(|node| 1_u32 << runtime::json::text(node).trim_start_matches('n').parse::<u32>().unwrap());
        let (at, resolved) = (since(violation.at), resolved.map(since));
        Verdict { rule, key: key.collect(), at, anchor, resolved, missing: missing.sum() }
    }
}

/// What stands of all that was said.
#[derive(Default)]
struct Heard {
    standing: BTreeMap<ViolationId, (Violation, Option<Timestamp>)>,
}

impl Heard {
    fn tick(&mut self, engine: &mut Engine, clock: Timestamp) {
        let mut out = Vec::new();
        engine.tick(clock, &mut out);
        self.take(out);
    }

    fn take(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Violated(violation) => {
                    let known = self.standing.get(&violation.id);
                    assert_eq!(
                        violation.grown,
                        known.is_some(),
                        "said as news twice, or as grown first: {violation:?}"
                    );
                    // A level that is said again is on, until it is said to have recovered.
                    self.standing.insert(violation.id, (violation, None));
                }
                Output::Retracted { id, .. } => {
                    assert!(self.standing.remove(&id).is_some(), "taken back, but never said");
                }
                Output::Resolved { id, at, .. } => {
                    if let Some((_, resolved)) = self.standing.get_mut(&id) {
                        *resolved = Some(at);
                    }
                }
                Output::LateResolved { .. } | Output::Breaker(_) => {}
            }
        }
    }
}
