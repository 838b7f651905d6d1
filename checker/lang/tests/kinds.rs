//! What authors of rules of the later kinds, and of the words that go with them, are told of typical mistakes.
use expect_test::{Expect, expect};

const VOCABULARY: &str = "\
pack: p
events:
  job.state:
    job: string
    state: string
    at: int
  job.started:
    job: string
    size: int
  job.done:
    job: string
    ok: bool
    names: list
rules:
  - id: r
    key: [node, job]
";

/// Compares what is said of a rule.
fn check(rule: &str, told: Expect) {
    let body: String = rule.lines().map(|line| format!("    {line}\n")).collect();
    let source = format!("{VOCABULARY}{body}");
    let (_, diagnostics) = lang::compile(&source, "p.yaml", &lang::Options::default());
    let lines: Vec<String> = diagnostics
        .iter()
        .map(|told| {
            let help = told.help.as_deref().map(|help| format!(" ({help})")).unwrap_or_default();
            let marked = source[told.span.clone()].lines().next().unwrap_or_default();
            format!("{} {}:{} `{marked}`: {}{help}\n", told.code.as_str(), told.line, told.column, told.message)
        })
        .collect();
    told.assert_eq(&lines.concat());
}

#[test]
fn mistakes_in_monotonic_are_explained() {
    check(
        "monotonic:\n  event: job.started\n  value: size\n  order: incresing",
        expect![[r#"
        I103 20:14 `incresing`: `incresing` is not an order (did you mean `increasing`?)
    "#]],
    );
    check(
        "monotonic:\n  event: job.started\n  value: sise\n  order: increasing\n  steps: 1",
        expect![[r#"
        I204 18:14 `job.started`: unknown attribute `sise` of `job.started` (did you mean `size`?)
        I204 19:14 `sise`: unknown attribute `sise` of `job.started` (did you mean `size`?)
        I101 21:7 `steps`: a monotonic has no field `steps` (did you mean `step`?)
    "#]],
    );
    check(
        "monotonic:\n  event: job.started\n  value: job\n  order: increasing\n  step: 1",
        expect![[r#"
        I202 19:14 `job`: `step` counts in numbers, the value is text (leave `step` out, or convert the value with `int(…)`)
    "#]],
    );
    check(
        "monotonic:\n  event: job.done\n  value: names\n  order: increasing",
        expect![[r#"
        I202 19:14 `names`: `value` needs something that has an order, this is a list
    "#]],
    );
    check(
        "monotonic:\n  event: job.started\n  value: size\n  order: increasing\n  step: 0",
        expect![[r#"
        I103 21:13 `0`: `step` is a whole number above 0
    "#]],
    );
    check(
        "monotonic:\n  event: job.started\n  value: size",
        expect![[r#"
            I102 18:7 `e`: this monotonic has no `order` (add `order: …`: how it moves)
        "#]],
    );
    check(
        "monotonic:\n  event: job.started\n  value: size\n  order: increasing\n  by: sequence",
        expect![[r#"
        I204 21:11 `sequence`: unknown attribute `sequence` of `job.started` (it has: job, size)
    "#]],
    );
}

#[test]
fn mistakes_in_state_machines_are_explained() {
    let machine = |rest: &str| format!("state_machine:\n  event: job.state\n  state: state\n{rest}");
    check(
        &machine(
            "  initial: new\n  transitions:\n    new: [running]\n    running: [done, faild]\n    done: []\n    failed: []",
        ),
        expect![[r#"
            W303 22:9 `n`: no transitions lead from `new` to `failed` (list a transition to it, or leave it out)
            I206 23:25 `faild`: there is no state `faild` (did you mean `failed`?)
        "#]],
    );
    check(
        &machine("  initial: new\n  transitions:\n    new: [running]\n    running: []\n    paused: [running]"),
        expect![[r#"
            W303 22:9 `n`: no transitions lead from `new` to `paused` (list a transition to it, or leave it out)
        "#]],
    );
    check(
        &machine(
            "  initial: any\n  transitions:\n    new: [done]\n    done: [new]\n  terminal: [done]\n  limits:\n    new: soon",
        ),
        expect![[r#"
            I103 24:18 `done`: `done` is terminal and has transitions (nothing may follow a terminal state: leave one of both out)
            I104 26:14 `soon`: `soon` is not a duration (write a number and a unit: `250ms`, `5s`, `1m30s`, `24h`, `7d`)
        "#]],
    );
    check(
        &machine("  transitions:\n    new: []"),
        expect![[r#"
            I102 18:7 `e`: this state_machine has no `initial` (add `initial: …`: the first state, or `any`)
        "#]],
    );
    check(
        "state_machine:\n  event: job.done\n  state: names\n  initial: any\n  transitions:\n    a: []",
        expect![[r#"
            I202 19:14 `names`: `state` needs the name of a state, this is a list
        "#]],
    );
    check(
        "state_machine:\n  event: job.state\n  state:\n    on_: job.started\n    off: job.done\n  initial: on_\n  transitions:\n    on_: [off]",
        expect![[r#"
            I103 18:14 `job.state`: `event` and a map of patterns under `state` are alternatives (with `event`, `state` is an expression that yields the state's name)
            W306 21:9 `off`: nothing leads out of `off`, and it is not terminal (list what follows it, or write `off: []` if nothing does, or `terminal: [off]` if it cannot even happen twice)
        "#]],
    );
}

#[test]
fn mistakes_in_orders_and_sequences_are_explained() {
    check(
        "order:\n  steps: job.started",
        expect![[r#"
        I103 18:14 `job.started`: `steps` is a list of patterns, this is text (begin each step with `- `)
    "#]],
    );
    check(
        "order:\n  steps:\n    - job.started",
        expect![[r#"
        I103 18:7 `s`: an order has 2 to 16 steps, this one has 1
    "#]],
    );
    check(
        "order:\n  steps:\n    - job.started\n    - event: job.done\n      if: sise > 0\n    - job.state",
        expect![[r#"
            I204 19:11 `job.started`: unknown attribute `sise` of `job.started` (did you mean `size`?)
            I204 21:15 `sise`: unknown attribute `sise` of `job.started` (did you mean `size`?)
        "#]],
    );
    check(
        "order:\n  steps:\n    - job.started\n    - event: job.done\n      if: size\n    - job.state",
        expect![[r#"
        I202 21:15 `size`: `if` needs a condition, this is an integer
    "#]],
    );
    check(
        "sequence:\n  steps:\n    - job.started\n    - job.done",
        expect![[r#"
            I102 18:7 `s`: this sequence has no `within` (add `within: …`: from the first to the last)
        "#]],
    );
    check(
        "sequence:\n  steps:\n    - not: job.done\n    - job.started\n    - job.done\n  within: 5s",
        expect![[r#"
        I103 19:11 `not: job.done`: `not` says what must not lie between two steps: none stands before it (begin with a step that must happen)
    "#]],
    );
    check(
        "sequence:\n  steps:\n    - job.started\n    - job.state\n    - not: job.done\n  within: 5s",
        expect![[r#"
        I103 21:11 `not: job.done`: `not` says what must not lie between two steps: none follows it (end with a step that must happen; for what must follow, use `response`)
    "#]],
    );
    check(
        "sequence:\n  steps:\n    - job.started\n    - not: job.done\n  within: 5s",
        expect![[r#"
        I103 18:7 `s`: a sequence has 2 to 16 steps that happen, this one has 1
        I103 20:11 `not: job.done`: `not` says what must not lie between two steps: none follows it (end with a step that must happen; for what must follow, use `response`)
    "#]],
    );
}

#[test]
fn mistakes_in_exclusive_are_explained() {
    check(
        "exclusive:\n  enter: job.started\n  exit: job.done\n  renew: job.state\n  holder: node",
        expect![[r#"
        I102 20:14 `job.state`: `renew` prolongs a hold, and this one never lapses (give `ttl`, how long a hold lasts without renewal)
    "#]],
    );
    check(
        "exclusive:\n  enter: job.started\n  exit: job.done\n  holder: size",
        expect![[r#"
        I204 19:13 `job.done`: unknown attribute `size` of `job.done` (it has: job, ok, names)
        I204 20:15 `size`: unknown attribute `size` of `job.done` (it has: job, ok, names)
    "#]],
    );
    check(
        "exclusive:\n  enter: job.started\n  exit: job.done\n  holder: node\n  max: 0",
        expect![[r#"
        I103 21:12 `0`: `max: 0` allows no holder (use `never` for what must not happen)
    "#]],
    );
    check(
        "exclusive:\n  enter: job.started\n  holder: node",
        expect![[r#"
            I102 18:7 `e`: this exclusive has no `exit` (add `exit: …`: ends)
        "#]],
    );
}

#[test]
fn mistakes_about_members_of_a_group_are_explained() {
    let each = |each: &str, terms: &str| {
        format!("aggregate:\n  each: {each}\n  terms:\n{terms}\n  window: 1m\n  assert: n <= 2 * n.median")
    };
    let n = "    n:\n      count: job.started";
    check(
        &each("{in: 'live(\"p2p\")', as: worker}", n),
        expect![[r#"
        I204 18:37 `worker`: unknown attribute `worker` of `job.started` (it has: job, size)
        I204 21:18 `job.started`: unknown attribute `worker` of `job.started` (it has: job, size)
    "#]],
    );
    check(
        &each("{in: job, as: worker}", n),
        expect![[r#"
        I204 18:27 `worker`: unknown attribute `worker` of `job.started` (it has: job, size)
        I204 21:18 `job.started`: unknown attribute `worker` of `job.started` (it has: job, size)
    "#]],
    );
    check(
        &each("{in: '[1]', as: node}", n),
        expect![[r#"
        I106 18:29 `node`: `node` is a part of the key already (the key names the group; what `as` names is added to it, one violation for each member)
    "#]],
    );
    check(
        &each("{as: node}", n),
        expect![[r#"
            I102 18:13 `{`: this each has no `in` (add `in: …`: a list of members)
        "#]],
    );
    check(
        &each("{in: '[1]', as: worker}", "    n:\n      first: size\n      of: job.started"),
        expect![[r#"
        I103 18:7 `e`: `n` is one sample, and samples of one instant have no order to choose one by (with `each` measure what has one value: count, sum, avg, min, max, distinct, p50, …)
        I204 18:29 `worker`: unknown attribute `worker` of `job.started` (it has: job, size)
        I204 22:15 `job.started`: unknown attribute `worker` of `job.started` (it has: job, size)
    "#]],
    );
    check(
        &each("{in: '[1]', as: size}", n).replace("n.median", "n.medium"),
        expect![[r#"
        I202 23:24 `n.medium`: `n` is an integer, it has no `medium`
    "#]],
    );
}

#[test]
fn mistakes_in_emits_are_explained() {
    let emits = |emits: &str| format!("never: job.done\nemits: {emits}");
    check(&emits("{on: violated, event: job.lost, set: {n: at}}"), expect![[""]]);
    check(
        &emits("{on: often, event: job.lost}"),
        expect![[r#"
            I103 18:17 `often`: `on` is `violated`, `resolved`, `retracted`, `held` or `close`
        "#]],
    );
    let met = |kind: &str, set: &str| format!("{kind}\nemits:\n  on: held\n  event: job.met\n  set:\n    n: {set}");
    let response = "response: {when: job.started, then: job.done, unless: job.done where !ok, within: 5s}";
    check(&met(response, "then.ts - when.ts"), expect![""]);
    check(
        &met(response, "unless.ts"),
        expect![[r#"
            I201 22:12 `unless.ts`: the event of `unless` is not at hand here (one may speak here of the key, of `at`, and of the events of `when`, `then`)
        "#]],
    );
    check(
        &met(response, "then.size + when.siz"),
        expect![[r#"
            I204 22:12 `then.size`: unknown attribute `size` of `job.done` (it has: job, ok, names)
        "#]],
    );
    check(
        &met("response: {when: job.started, then: job.done, within: 5s}", "when.ts + 5"),
        expect![[r#"
        I202 22:12 `when.ts + 5`: this arithmetic is not possible: an instant and an integer
    "#]],
    );
    check(
        &met("never: job.done", "at"),
        expect![[r#"
            I105 19:11 `held`: this `never` has no event at which it is known to have held (`on: held` goes with `always`, `response`, `precedence`, `count` with `per`, `agreement` with `assert`, and `aggregate` with `close` or `tumbling`)
        "#]],
    );
    check(
        &met("count: {of: job.done, max: 3}", "at"),
        expect![[r#"
            I105 19:11 `held`: this `count` has no event at which it is known to have held (`on: held` goes with `always`, `response`, `precedence`, `count` with `per`, `agreement` with `assert`, and `aggregate` with `close` or `tumbling`)
        "#]],
    );
    check(&met("count: {of: job.done, max: 3, per: {when: job.started, within: 5s}}", "count * 2"), expect![[""]]);
    check(
        &met(response, "then.ts").replace("held", "close"),
        expect![[r#"
            I105 19:11 `close`: this `response` measures over nothing that ends (`on: close` goes with `count` with `per`, and with `aggregate` with `close` or `tumbling`)
        "#]],
    );
    check(
        &met(response, "then.ts").replace("held", "violated"),
        expect![[r#"
            I201 22:12 `then.ts`: the event of `then` is not at hand here (one may speak here of the key, of terms and of `at`)
        "#]],
    );
    check(
        &emits("{event: job.lost}"),
        expect![[r#"
            I102 18:12 `{`: this emits has no `on` (add `on: …`: what makes it)
        "#]],
    );
    check(
        &emits("{on: violated, event: job.started}"),
        expect![[r#"
        I106 18:34 `job.started`: `job.started` is declared as an event that components send (an emitted event is declared by being emitted: take it out of `events`, or choose another name)
    "#]],
    );
    check(
        &emits("{on: violated, event: invar.lost}"),
        expect![[r#"
        I201 18:34 `invar.lost`: `invar.lost` is a name that verdicts have by themselves (give it a name of your system, such as `reboot.unintended`)
    "#]],
    );
    check(
        &emits("{on: violated, event: job.lost, set: {n: nothing}}"),
        expect![[r#"
        I201 18:53 `nothing`: there is no term `nothing` (one may speak here of node, job, at)
    "#]],
    );
    check(
        "never: invar.violated",
        expect![[r#"
        I102 17:12 `invar.violated`: `invar.violated` of which rule? (write `rule: ID` beside it, with a rule above this one)
    "#]],
    );
    check(
        "never: {event: invar.violated, rule: other}",
        expect![[r#"
        I206 17:42 `other`: there is no rule `other` above this one (rules build on rules above them, so that none builds on itself)
    "#]],
    );
    check(
        "never: {event: job.done, rule: r}",
        expect![[r#"
            I103 17:36 `r`: `rule` says whose verdicts are meant, and `job.done` is none (it belongs to `invar.violated`, `invar.resolved` and `invar.retracted`)
        "#]],
    );
    check(
        "never: job.lost\nemits: {on: violated, event: job.lost}",
        expect![[r#"
        I207 17:12 `job.lost`: `job.lost` is made by the rule `r`, on which this cannot build (rules build on rules above them, so that none builds on itself: change their order)
    "#]],
    );
}

#[test]
fn mistakes_in_aggregates_are_explained() {
    let over = |terms: &str, rest: &str| format!("aggregate:\n  terms:\n{terms}\n{rest}");
    let n = "    n:\n      count: job.started";
    check(
        &over(n, "  window: 1m\n  assert: m < 3"),
        expect![[r#"
        I201 22:15 `m`: there is no term `m` (did you mean `n`?)
    "#]],
    );
    check(
        &over(n, "  assert: n < 3"),
        expect![[r#"
            I102 18:7 `t`: this aggregate is over no time (give `window: 1m` for a level, `tumbling: 1m` for one verdict a minute, or `close:` with the event at which it is judged)
        "#]],
    );
    check(
        &over(n, "  window: 1m\n  close: job.done\n  assert: n < 3"),
        expect![[r#"
            I103 21:15 `1m`: `window`, `tumbling` and `close` are alternatives: give one of them
        "#]],
    );
    check(&over(n, "  tumbling: 1m\n  assert: n < 3"), expect![[""]]);
    check(
        &over(n, "  tumbling: 1m\n  every: 1s\n  assert: n < 3"),
        expect![[r#"
        I103 22:14 `1s`: `every` is for sliding windows: what ends with a `close` or as a `tumbling` window is judged then
    "#]],
    );
    check(
        &over(&format!("{n}\n      offset: 1m"), "  tumbling: 1m\n  assert: n < 3"),
        expect![[r#"
        I103 18:7 `t`: `n` has a `window` or an `offset` of its own, and the window tumbles (a sliding `window` can have terms with their own)
    "#]],
    );
    check(
        &over(n, "  window: 1m\n  assert: n + 3"),
        expect![[r#"
        I202 22:15 `n + 3`: `assert` needs a condition, this is an integer
    "#]],
    );
    check(
        &over("    n:\n      sum: job\n      of: job.started", "  window: 1m\n  assert: n < 3"),
        expect![[r#"
        I202 20:16 `job`: `n` needs numbers, this is text
        I202 23:15 `n < 3`: these have no order: text and an integer (a number is written without quotes, text with them; the vocabulary says which it is)
    "#]],
    );
    check(
        &over("    n:\n      sum: size", "  window: 1m\n  assert: n < 3"),
        expect![[r#"
        I102 20:11 `s`: `n` has no `of`: which events does it measure?
    "#]],
    );
    check(
        &over("    n:\n      som: size\n      of: job.started", "  window: 1m\n  assert: n < 3"),
        expect![[r#"
        I101 20:11 `som`: a term has no field `som` (did you mean `sum`?)
        I102 20:11 `s`: `n` measures nothing (a term has one measure, such as `count` or `sum`)
    "#]],
    );
    check(
        &over("    n:\n      sum: size\n      max: size\n      of: job.started", "  window: 1m\n  assert: n < 3"),
        expect![[r#"
            I102 20:11 `s`: `n` measures 2 things (a term has one measure, such as `count` or `sum`)
        "#]],
    );
    check(
        &over("    n:\n      duration: ok\n      of: job.done", "  window: 1m\n  assert: n < duration(\"3s\")"),
        expect![[r#"
            I102 18:7 `t`: `n` grows while nothing happens, and nothing says when to look (give `every: 10s`, how often it is judged)
        "#]],
    );
    check(
        &over("    n:\n      avg: size\n      of: job.started\n      each: members", "  window: 1m\n  assert: n < 3"),
        expect![[r#"
            I101 22:11 `each`: `each` belongs to the aggregate, not to a term (write it beside `terms`: all of them are then measured for each member)
        "#]],
    );
    check(
        &over(n, "  window: 1m\n  assert: n / 3 < 0.5"),
        expect![[r#"
        I202 22:15 `n / 3 < 0.5`: dividing two integers drops the fraction that is compared here (write `double(a) / b`)
    "#]],
    );
}

#[test]
fn words_that_a_kind_has_no_use_for_are_refused() {
    check(
        "never: job.started\nstrict: true",
        expect![[r#"
        I103 18:13 `true`: `strict` decides about the order inside an instant, and `never` asks for none (kinds that do: response, precedence, consecutive, monotonic, state_machine, order, sequence, exclusive, aggregate, always)
    "#]],
    );
    check(
        "always:\n  event: job.done\n  assert: ok\nstrict: true",
        expect![[r#"
        I103 20:13 `true`: `strict` decides about the order inside an instant, and `always` asks for none (kinds that do: response, precedence, consecutive, monotonic, state_machine, order, sequence, exclusive, aggregate, always)
    "#]],
    );
    check(
        "count:\n  of: job.started\n  max: 1\nslack: 5ms",
        expect![[r#"
        I103 20:12 `5ms`: `slack` forgives disorder between events, and `count` does not test any that could be forgiven (kinds that do: response, precedence, order)
    "#]],
    );
    check(
        "precedence:\n  event: job.done\n  requires: job.started\nslack: 5ms\nstrict: true",
        expect![[r#"
        I103 20:12 `5ms`: `strict` and `slack` ask for opposites: give one of them
    "#]],
    );
    check(
        "precedence:\n  event: job.done\n  requires: job.started\nby: size\nstrict: true",
        expect![[r#"
        I103 20:9 `size`: `by` gives the order inside an instant: nothing is left to be `strict` about
    "#]],
    );
    check(
        "precedence:\n  event: job.done\n  requires: job.started\nby: sise",
        expect![[r#"
        I204 20:9 `sise`: unknown attribute `sise` of `job.done` (it has: job, ok, names)
    "#]],
    );
    check(
        "never: job.started\nfor: 5s",
        expect![[r#"
        I103 18:10 `5s`: `for` is how long a level must last, and `never` has none that it could judge (kinds that do: always, count, aggregate)
    "#]],
    );
    check(
        "aggregate:\n  terms:\n    n:\n      count: job.done\n  window: 1m\n  assert: n < 3\nstale_after: 5s",
        expect![[r#"
            I103 23:18 `5s`: `stale_after` says how long a sample of a gauge stands, and this rule has no gauge (a gauge is an `always` with `for`)
        "#]],
    );
}
