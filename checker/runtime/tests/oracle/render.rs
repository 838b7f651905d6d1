//! The generated rules as a pack's YAML, so that the language is read as well.
use std::fmt::Write;

use crate::{
    clocks::Ticks,
    model::{
        Alternative, Assert, Compare, During, From, Kind, Limit, Machine, Measure, OnRestart, Part, Pattern, Read,
        Rule, Time,
    },
};

pub fn pack(rules: &[Rule]) -> String {
    let derives = rules.iter().any(|rule| rule.kind.names('p'));
    let derive = "derive:\n  p: {from: a, first_per: [k], set: {k: k, x: x, id: id}}\n";
    let mut out = String::from(
        "pack: random\nlifecycle:\n  - of: [node]\n    started: S\n    instance: process.pid\nfacts:\n  f:\n    set_by: f\n    unset_by: g\n    key: [node]\n    value: x\n    default: 0\n  here:\n    row: [who]\n    set_by: {event: f, let: {who: node}}\n    unset_by: {event: g, let: {who: node}}\nclocks:\n  all: {event: e, value: h}\n  own: {event: e, value: h, key: [node]}\n  two: {event: e, value: h, quorum: 2}\n  near: {event: e, value: h, max_step: 1}\n  wary: {event: e, value: h, quorum: 2, max_step: 1}\nrules:\n",
    );
    if derives {
        let place = out.find("facts:").unwrap();
        out.insert_str(place, derive);
    }
    for (number, rule) in rules.iter().enumerate() {
        let mut text = Text { out: &mut out, indent: 4, main: "" };
        let _ = writeln!(text.out, "  - id: r{number}");
        text.field("key", &key(&rule.key));
        text.kind(&rule.kind);
        if let Some(during) = &rule.during {
            text.during(during);
        }
        let on_restart = match rule.on_restart {
            OnRestart::Broken => "broken",
            OnRestart::Ended => "ended",
            OnRestart::Reset => "reset",
            OnRestart::Keep => "keep",
        };
        text.field("on_restart", on_restart);
        if rule.strict {
            text.field("strict", "true");
        }
        if rule.report_first {
            text.field("report", "first");
        }
        if let Some(quiet) = rule.quiet {
            text.time("quiet", quiet);
        }
        if let Some(part) = rule.watched_part() {
            text.nest("emits", |text| {
                text.field("on", "held");
                text.field("event", &format!("held{number}"));
                text.nest("set", |text| text.field("of", &format!("{part}.id")));
            });
        }
    }
    for (number, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.watched_part().is_some()) {
        let mut text = Text { out: &mut out, indent: 4, main: "" };
        let _ = writeln!(text.out, "  - id: h{number}");
        let names = rule.key.iter().map(|part| part.name()).chain(["of"]);
        text.field("key", &format!("[{}]", names.collect::<Vec<_>>().join(", ")));
        text.field("never", &format!("held{number}"));
    }
    out
}

fn key(parts: &[Part]) -> String {
    let names: Vec<&str> = parts.iter().map(|part| part.name()).collect();
    format!("[{}]", names.join(", "))
}

struct Text<'a> {
    out: &'a mut String,
    indent: usize,
    /// What the rule's main role is called.
    main: &'static str,
}

impl Text<'_> {
    fn line(&mut self, text: &str) {
        let _ = writeln!(self.out, "{}{text}", " ".repeat(self.indent));
    }

    fn field(&mut self, name: &str, value: &str) {
        self.line(&format!("{name}: {value}"));
    }

    fn time(&mut self, name: &str, time: Time) {
        self.field(name, &format!("{time}ms"));
    }

    fn number(&mut self, name: &str, number: Option<u64>) {
        if let Some(number) = number {
            self.field(name, &number.to_string());
        }
    }

    fn nest(&mut self, name: &str, inside: impl FnOnce(&mut Text<'_>)) {
        self.line(&format!("{name}:"));
        inside(&mut Text { out: self.out, indent: self.indent + 2, main: self.main });
    }

    fn pattern(&mut self, name: &str, pattern: &Pattern) {
        self.line(&format!("{name}:"));
        self.alternatives(pattern);
    }

    fn alternatives(&mut self, pattern: &Pattern) {
        for one in &pattern.alternatives {
            self.alternative(one, pattern);
        }
    }

    /// The only alternative of a pattern, as an item of a list.
    fn item(&mut self, pattern: &Pattern) {
        self.alternative(&pattern.alternatives[0], pattern);
    }

    fn alternative(&mut self, one: &Alternative, pattern: &Pattern) {
        self.line(&format!("  - event: {}", one.name));
        let condition = condition(one, self.main);
        if !condition.is_empty() {
            self.line(&format!("    where: {condition:?}"));
        }
        if pattern.k_of_fact {
            self.line("    let: {k: fact.f(node)}");
        }
        if let Some(bound) = &pattern.key {
            self.line(&format!("    key: {}", key(bound)));
        }
    }

    fn some(&mut self, name: &str, pattern: &Option<Pattern>) {
        if let Some(pattern) = pattern {
            self.pattern(name, pattern);
        }
    }

    fn during(&mut self, during: &During) {
        self.nest("during", |text| {
            text.some("after", &during.after);
            text.some("until", &during.until);
            if during.delay > 0 {
                text.time("delay", during.delay);
            }
            if let Some(within) = during.within {
                text.time("within", within);
            }
        });
    }

    fn ticks(&mut self, ticks: &Ticks) {
        let clock = ticks.clock.name();
        let count = ticks.count;
        match (ticks.and, ticks.or) {
            (Some(and), _) => self.field("within", &format!("[{count} {clock}, {and}ms]")),
            (None, Some(or)) => self.field("within", &format!("{{{clock}: {count}, or: {or}ms}}")),
            (None, None) => self.field("within", &format!("{count} {clock}")),
        }
    }

    fn from(&mut self, from: &From) {
        self.nest("from", |text| {
            match from.quorum {
                None => text.field("each", "fact.here()"),
                Some((part, whole, more)) => {
                    text.field("quorum", &format!("\"{}{part}/{whole}\"", if more { "> " } else { "" }));
                    text.field("of", "fact.here()");
                }
            }
            if from.at_end {
                text.field("as_of", "now");
            }
            if from.but_own {
                text.field("except", "[when.node]");
            }
        });
    }

    fn machine(&mut self, machine: &Machine) {
        let name = |state: usize| match machine.read {
            Read::Value(_) => format!("\"{state}\""),
            Read::Patterns(_) => format!("s{state}"),
        };
        match &machine.read {
            Read::Value(event) => {
                self.pattern("event", event);
                self.field("state", "x");
            }
            Read::Patterns(patterns) => self.nest("state", |text| {
                for (state, pattern) in patterns.iter().enumerate() {
                    text.pattern(&name(state), pattern);
                }
            }),
        }
        self.field("initial", &machine.initial.map_or_else(|| "any".into(), name));
        let list = |states: &mut dyn Iterator<Item = usize>| {
            let names: Vec<String> = states.map(name).collect();
            format!("[{}]", names.join(", "))
        };
        self.nest("transitions", |text| {
            for (state, to) in machine.to.iter().enumerate() {
                text.field(&name(state), &list(&mut to.iter().copied()));
            }
        });
        self.field("terminal", &list(&mut (0..machine.to.len()).filter(|state| machine.terminal[*state])));
        if machine.limits.iter().any(Option::is_some) {
            self.nest("limits", |text| {
                for (state, limit) in machine.limits.iter().enumerate() {
                    if let Some(limit) = limit {
                        text.time(&name(state), *limit);
                    }
                }
            });
        }
    }

    fn kind(&mut self, kind: &Kind) {
        match kind {
            Kind::Never(of) => self.pattern("never", of),
            Kind::Always(of, compare, value) => self.nest("always", |text| {
                text.pattern("event", of);
                text.field("assert", &format!("\"x {} {value}\"", compare.sign()));
            }),
            Kind::Response(response) => self.nest("response", |text| {
                text.main = "when";
                text.pattern("when", &response.when);
                text.pattern("then", &response.then);
                match &response.limit {
                    Limit::Within(within) => text.time("within", *within),
                    Limit::Computed => text.field("within", "\"when.x * duration('1s')\""),
                    Limit::By(marker) => text.pattern("by", marker),
                    Limit::Ticks(ticks) => text.ticks(ticks),
                }
                text.field("pair", &response.pair.to_string());
                text.some("unless", &response.unless);
                text.some("broken_by", &response.broken_by);
                if response.broken_by.is_some() {
                    text.time("grace", response.grace);
                }
                if let Some(from) = &response.from {
                    text.from(from);
                }
            }),
            Kind::Precedence(precedence) => self.nest("precedence", |text| {
                text.main = "event";
                text.pattern("event", &precedence.event);
                text.nest("requires", |text| {
                    text.line(if precedence.all { "all:" } else { "any:" });
                    for required in &precedence.requires {
                        text.item(required);
                    }
                });
                if let Some(within) = precedence.within {
                    text.time("within", within);
                }
                if let Some(ticks) = &precedence.ticks {
                    text.ticks(ticks);
                }
                text.some("since", &precedence.since);
                text.some("unless", &precedence.unless);
            }),
            Kind::CountEver { of, max } => self.nest("count", |text| {
                text.pattern("of", of);
                text.number("max", Some(*max));
            }),
            Kind::CountWindow { of, max, window } => self.nest("count", |text| {
                text.pattern("of", of);
                text.number("max", Some(*max));
                text.time("window", *window);
            }),
            Kind::CountPer(per) => self.nest("count", |text| {
                text.main = "when";
                text.pattern("of", &per.of);
                text.number("min", per.min);
                text.number("max", per.max);
                text.nest("per", |text| {
                    text.pattern("when", &per.when);
                    if per.before > 0 {
                        text.time("before", per.before);
                    }
                    if let Some(within) = per.within {
                        text.time("within", within);
                    }
                    if let Some(ticks) = &per.ticks {
                        text.ticks(ticks);
                    }
                    text.some("until", &per.until);
                });
            }),
            Kind::Agreement { event, within } => self.nest("agreement", |text| {
                text.pattern("event", event);
                text.field("value", "x");
                if let Some(within) = within {
                    text.time("within", *within);
                }
            }),
            Kind::Consecutive { fail, ok, count } => self.nest("consecutive", |text| {
                text.pattern("fail", fail);
                text.pattern("ok", ok);
                text.number("count", Some(*count));
            }),
            Kind::Heartbeat(heartbeat) => self.nest("heartbeat", |text| {
                text.pattern("event", &heartbeat.event);
                text.time("every", heartbeat.every);
                text.some("start", &heartbeat.start);
                text.some("stop", &heartbeat.stop);
                text.some("while", &heartbeat.while_);
            }),
            Kind::Monotonic(monotonic) => self.nest("monotonic", |text| {
                text.pattern("event", &monotonic.event);
                text.field("value", "x");
                let order = match (monotonic.rises, monotonic.equal) {
                    (true, false) => "increasing",
                    (true, true) => "nondecreasing",
                    (false, false) => "decreasing",
                    (false, true) => "nonincreasing",
                };
                text.field("order", order);
                if let Some(step) = monotonic.step {
                    text.field("step", &step.to_string());
                }
                text.some("reset", &monotonic.reset);
            }),
            Kind::Order(order) => {
                self.nest("order", |text| {
                    text.line("steps:");
                    for step in &order.steps {
                        text.item(&step.of);
                        match &step.due {
                            None => {}
                            Some(None) => text.line("    if: false"),
                            Some(Some((compare, value))) => {
                                text.line(&format!("    if: \"x {} {value}\"", compare.sign()));
                            }
                        }
                    }
                    if let Some(within) = order.within {
                        text.time("within", within);
                    }
                });
                if order.slack > 0 {
                    self.time("slack", order.slack);
                }
            }
            Kind::Sequence(sequence) => self.nest("sequence", |text| {
                text.main = "step1";
                text.line("steps:");
                for step in &sequence.steps {
                    for not in &step.not {
                        text.line("  - not:");
                        text.indent += 6;
                        text.alternatives(not);
                        text.indent -= 6;
                    }
                    text.item(&step.of);
                }
                text.time("within", sequence.within);
            }),
            Kind::Exclusive(exclusive) => self.nest("exclusive", |text| {
                text.pattern("enter", &exclusive.enter);
                text.pattern("exit", &exclusive.exit);
                text.some("renew", &exclusive.renew);
                if let Some(ttl) = exclusive.ttl {
                    text.time("ttl", ttl);
                }
                text.field("holder", "x");
                text.number("max", Some(exclusive.max));
            }),
            Kind::Aggregate(aggregate) => self.nest("aggregate", |text| {
                text.nest("terms", |text| {
                    for (number, (measure, of)) in aggregate.terms.iter().enumerate() {
                        text.nest(&format!("m{number}"), |text| match measure {
                            Measure::Count => text.pattern("count", of),
                            Measure::Sum => {
                                text.field("sum", "x");
                                text.pattern("of", of);
                            }
                            Measure::Distinct => {
                                text.field("distinct", "x");
                                text.pattern("of", of);
                            }
                        });
                    }
                });
                match &aggregate.close {
                    Some(close) => text.pattern("close", close),
                    None if aggregate.tumbles => text.time("tumbling", aggregate.window),
                    None => text.time("window", aggregate.window),
                }
                let assert = match aggregate.assert {
                    Assert::AtMost(number) => format!("m0 <= {number}"),
                    Assert::AtLeast(number) => format!("m0 >= {number}"),
                    Assert::Beside(number) => format!("m0 <= m1 + {number}"),
                    Assert::Alike => "m0 == m1".into(),
                };
                text.field("assert", &assert);
            }),
            Kind::Machine(machine) => self.nest("state_machine", |text| text.machine(machine)),
        }
    }
}

fn condition(one: &Alternative, main: &str) -> String {
    let mut parts = Vec::new();
    if let Some((compare, value)) = one.own {
        parts.push(format!("x {} {value}", compare.sign()));
    }
    if let Some((before, value)) = one.fact {
        let call = if before { "fact.f.before(node)" } else { "fact.f(node)" };
        parts.push(format!("{call} == {value}"));
    }
    if let Some(compare) = one.across {
        let sign = match compare {
            Compare::Equal => "==",
            Compare::AtLeast => ">=",
        };
        parts.push(format!("x {sign} {main}.x"));
    }
    parts.join(" && ")
}
