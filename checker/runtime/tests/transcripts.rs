//! Transcripts: one file is one test. A pack, then what arrives when, and under each line what the live engine says.
//!
//! ```text
//! # What is shown.
//! set correct_for 10s
//! pack: p                        the pack's YAML, up to a line of dashes
//! ---
//! 1s: 0s n1 asked k=1            arrives at 1 s: an event of 0 s from n1, as one request
//! 2s: 1s n1 told k=1; 1s n2 told two events in one request
//! 9s: tick                       time alone
//! 9s: checkpoint                 the engine is written down and taken up again
//! 9s: adopt                      rules that `set without RULE` left out, or that were otherwise by `set instead OF => WHAT`,
//!                                take force, and are shown what came before
//!      > answered n1/1: violated at 5s ...
//! ```
//!
//! Lines that start with `>` are the engine's; `UPDATE_EXPECT=1` rewrites them.
use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path, sync::Arc, time::Duration};

use engine::{Census, Engine, Input, Output, Program, Timing, Violation, ViolationId};
use event::{Position, Timestamp};
use expect_test::expect_file;
use runtime::{
    feed::{Feeder, Received},
    json,
};
use wire::{Limits, Occurrences, Refused, Signal};

const BEGINNING: Timestamp = Timestamp(1_795_500_000_000_000_000);

#[test]
fn transcripts_hold() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("test_data/transcripts");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "transcript"));
    files.sort();
    assert!(!files.is_empty());
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        expect_file![&path].assert_eq(&replay(&text, &path.display().to_string()));
    }
}

/// The transcript again, with what the engine says today.
fn replay(text: &str, file: &str) -> String {
    let mut lines = text.lines().peekable();
    let mut out = String::new();
    let mut timing = Timing::default();
    let mut yaml = String::new();
    let mut without: Vec<String> = Vec::new();
    let mut instead: Vec<(String, String)> = Vec::new();
    while let Some(line) = lines.next_if(|line| *line != "---") {
        let _ = writeln!(out, "{line}");
        match line.strip_prefix("set ").map(|set| set.split_once(' ').expect("`set NAME TIME`")) {
            Some(("correction_memory", bytes)) => timing.correction_memory = bytes.parse().expect("a number of bytes"),
            Some(("without", rule)) => without.push(rule.to_owned()),
            Some(("instead", change)) => {
                let (of, first) = change.split_once(" => ").expect("`set instead OF => WHAT`");
                instead.push((of.to_owned(), first.to_owned()));
            }
            Some((name, value)) => set(&mut timing, name, duration(value)),
            None => {
                yaml.push_str(line);
                yaml.push('\n');
            }
        }
    }
    let _ = writeln!(out, "{}", lines.next().expect("a line of dashes after the pack"));
    let compiled = |yaml: &str| {
        let (pack, diagnostics) = lang::compile(yaml, file, &lang::Options::default());
        pack.unwrap_or_else(|| panic!("{}", lang::render(&diagnostics, yaml)))
    };
    let before = instead.iter().fold(yaml.clone(), |yaml, (of, first)| {
        assert!(yaml.contains(of.as_str()), "`{of}` is not in the pack");
        yaml.replace(of, first)
    });
    let (mut first, pack) = (compiled(&before), Arc::new(compiled(&yaml)));
    first.rules.retain(|rule| !without.contains(&rule.id));
    let first = Arc::new(first);
    let mut stage = Stage {
        engine: Engine::new(Program::link([first.clone()]), timing, Input::Live),
        pack: first,
        whole: pack,
        past: Vec::new(),
        timing,
        feeder: Feeder::default(),
        frame: 0,
        known: BTreeMap::new(),
        unknown: 0,
        census: Census::default(),
    };
    for line in lines {
        if line.trim_start().starts_with('>') {
            continue;
        }
        let _ = writeln!(out, "{line}");
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        for said in stage.line(line) {
            let _ = writeln!(out, "     > {said}");
        }
    }
    out
}

fn set(timing: &mut Timing, name: &str, value: Duration) {
    let field = match name {
        "lateness" => &mut timing.lateness,
        "correct_for" => &mut timing.correct_for,
        "max_delay" => &mut timing.max_delay,
        "idle_after" => &mut timing.idle_after,
        "settle" => &mut timing.settle,
        "future" => &mut timing.future,
        "remember" => &mut timing.remember,
        other => panic!("there is no timing `{other}`"),
    };
    *field = value;
}

fn duration(text: &str) -> Duration {
    let nanos = engine::expr::parse_duration(text).unwrap_or_else(|| panic!("`{text}` is no time"));
    Duration::from_nanos(u64::try_from(nanos).unwrap())
}

fn instant(text: &str) -> Timestamp {
    match text.strip_prefix('-') {
        Some(before) => BEGINNING.minus(duration(before)),
        None => BEGINNING.plus(duration(text)),
    }
}

fn relative(ts: Timestamp) -> String {
    if ts < BEGINNING {
        return format!("-{}", event::format_duration(BEGINNING.since(ts)));
    }
    event::format_duration(ts.since(BEGINNING))
}

struct Stage {
    engine: Engine,
    /// What is in force.
    pack: Arc<engine::Pack>,
    /// What is in force after `adopt`.
    whole: Arc<engine::Pack>,
    /// The requests so far.
    past: Vec<(Vec<u8>, Timestamp, Position)>,
    timing: Timing,
    feeder: Feeder,
    frame: u64,
    known: BTreeMap<ViolationId, String>,
    unknown: u64,
    census: Census,
}

impl Stage {
    fn line(&mut self, line: &str) -> Vec<String> {
        let (arrived, what) = line.split_once(": ").unwrap_or_else(|| panic!("`{line}` is not `TIME: WHAT`"));
        let arrived = instant(arrived.trim());
        let mut adopted = Vec::new();
        match what.trim() {
            "tick" => {}
            "checkpoint" => {
                let written = self.engine.checkpoint().unwrap();
                let program = Program::link([self.pack.clone()]);
                self.engine = Engine::restore(program, self.timing, &written).unwrap();
                self.feeder.reset();
            }
            "adopt" => adopted = self.adopt(),
            events => self.request(events, arrived),
        }
        let mut outputs = adopted;
        self.engine.tick(arrived, &mut outputs);
        let mut said: Vec<String> = outputs.iter().map(|output| self.say(output)).collect();
        self.account(&mut said);
        said
    }

    fn request(&mut self, events: &str, arrived: Timestamp) {
        let lines: Vec<String> = events.split(';').map(|event| self.json(event.trim())).collect();
        let body = wire::lines_to_protobuf(lines.join("\n").as_bytes()).unwrap();
        self.frame += 1;
        let at = Position { partition: 0, frame: self.frame, record: 0 };
        let checked = wire::check_and_digest(Signal::Logs, &body, &Limits::default(), &mut Occurrences::default());
        let notes = checked.unwrap().1.into_bytes();
        let (signal, refused) = (Signal::Logs, &Refused::default());
        let received = Received { signal, body: &body, refused, notes: &notes, arrived, at, group: 0 };
        self.feeder.request(&mut self.engine, received);
        self.past.push((body, arrived, at));
    }

    fn adopt(&mut self) -> Vec<Output> {
        let program = Program::link([self.whole.clone()]);
        let mut warm = self.engine.warm_up(&program).expect("something is new, and something came before");
        let (from, mut feeder) = (warm.from(), Feeder::default());
        for &(ref body, arrived, at) in self.past.iter().filter(|(_, arrived, _)| *arrived >= from) {
            let (signal, refused) = (Signal::Logs, &Refused::default());
            feeder.request(warm.engine(), Received { signal, body, refused, notes: &[], arrived, at, group: 0 });
            warm.shown(arrived);
        }
        self.pack = self.whole.clone();
        self.feeder.reset();
        self.engine.adopt_warm(warm)
    }

    fn json(&self, event: &str) -> String {
        let mut words = event.split_whitespace();
        let mut next = || words.next().unwrap_or_else(|| panic!("`{event}` is not `TIME NODE NAME…`"));
        let (ts, node, name) = (next(), next(), next());
        let attrs: serde_json::Map<String, serde_json::Value> = words
            .map(|word| {
                let (name, value) = word.split_once('=').expect("NAME=VALUE");
                (name.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| value.into()))
            })
            .collect();
        serde_json::json!({
            "ts": instant(ts).to_string(), "node": node, "component": "c", "network": "net", "event": name, "attrs": attrs
        })
        .to_string()
    }

    fn name(&self, violation: &Violation) -> String {
        let (_, rule) = self.engine.program().rule(violation.rule);
        let key: Vec<String> =
            violation.key.iter().map(|part| part.as_ref().map_or_else(|| "-".into(), json::text)).collect();
        format!("{} {}", rule.id, key.join("/"))
    }

    fn say(&mut self, output: &Output) -> String {
        match output {
            Output::Violated(violation) => {
                let name = self.name(violation);
                let known = self.known.insert(violation.id, name.clone()).is_some();
                let again = match (violation.grown, known) {
                    (true, true) => ", again",
                    (false, false) => "",
                    _ => ", INCONSISTENT",
                };
                let evidence: Vec<String> = violation
                    .evidence
                    .iter()
                    .map(|cited| format!("{} {}", cited.role, relative(cited.event.ts)))
                    .collect();
                let missing = violation
                    .missing
                    .as_ref()
                    .map(|missing| format!("; no {} by {}", missing.event, relative(missing.by)))
                    .unwrap_or_default();
                let level = if violation.level { " (level)" } else { "" };
                format!(
                    "{name}: violated at {}{level}{again}: {}{missing}",
                    relative(violation.at),
                    evidence.join(", ")
                )
            }
            Output::Retracted { id, .. } => format!("{}: retracted", self.known.remove(id).unwrap_or_default()),
            Output::Resolved { id, at, .. } => format!("{}: resolved at {}", self.which(*id), relative(*at)),
            Output::LateResolved { id, by, .. } => {
                format!("{}: late, {} at {}", self.which(*id), by.role, relative(by.event.ts))
            }
            Output::Breaker(change) => {
                let scope: Vec<String> = change
                    .scope
                    .iter()
                    .map(|(_, value)| value.as_ref().map_or_else(|| "-".into(), json::text))
                    .collect();
                format!("breaker {} {}: {} ({})", change.id, scope.join("/"), change.state.as_str(), change.reason)
            }
        }
    }

    fn which(&self, id: ViolationId) -> &str {
        self.known.get(&id).map_or("(muted)", String::as_str)
    }

    /// Says what became of events and verdicts that nothing else shows.
    fn account(&mut self, said: &mut Vec<String>) {
        let census = self.engine.census();
        let before = std::mem::replace(&mut self.census, census);
        for (what, count) in [
            ("duplicate", census.duplicates - before.duplicates),
            ("late", census.late - before.late),
            ("too late", census.too_late - before.too_late),
            ("from the future", census.future - before.future),
        ] {
            if count > 0 {
                said.insert(0, format!("{what}: {count}"));
            }
        }
        let tallies: Vec<_> = self
            .engine
            .program()
            .rules()
            .map(|(number, _, rule)| (rule.id.clone(), self.engine.tally(number)))
            .collect();
        let unknown = tallies.iter().map(|(_, tally)| tally.unknown).sum();
        if unknown > self.unknown {
            let whys =
                tallies.iter().filter_map(|(rule, tally)| Some(format!("{rule} ({})", tally.why_unknown?.as_str())));
            said.push(format!("unknown: {}", whys.collect::<Vec<_>>().join(", ")));
        }
        self.unknown = unknown;
    }
}
