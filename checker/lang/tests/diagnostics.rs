//! What authors are told of typical mistakes: the place, what is wrong, and how to mend it.
use expect_test::{Expect, expect};

/// Compares the diagnostics of a pack that consists of these sections and two rules' worth of vocabulary.
fn check(sections: &str, told: Expect) {
    let source = format!(
        "pack: p\nevents:\n  a.set:\n    who: string\n    height: int\n  a.unset:\n    who: string\n  a.asked:\n    who: string\n{sections}"
    );
    let (_, diagnostics) = lang::compile(&source, "p.yaml", &lang::Options::default());
    let lines: Vec<String> = diagnostics
        .iter()
        .map(|told| {
            let help = told.help.as_deref().map(|help| format!(" ({help})")).unwrap_or_default();
            let marked = &source[told.span.clone()];
            format!("{} `{}`: {}{help}\n", told.code.as_str(), marked.lines().next().unwrap_or_default(), told.message)
        })
        .collect();
    told.assert_eq(&lines.concat());
}

/// The same for one fact and a condition that asks it.
fn check_fact(fact: &str, condition: &str, told: Expect) {
    let sections = format!(
        "facts:\n  members:\n    row: [who]\n    set_by: a.set\n  last:\n    key: [who]\n    set_by: a.set\n    value: height\n{fact}\
         rules:\n  - id: r\n    key: [who]\n    never:\n      event: a.asked\n      where: '{condition}'\n"
    );
    check(&sections, told);
}

#[test]
fn mistakes_in_facts_are_explained() {
    check_fact(
        "  wrong:\n    key: [who]\n    set_by: a.set\n",
        "has(who)",
        expect![[r#"
            I102 `k`: this fact has neither `value` nor `row` (give `value: attribute` for one value per key, or `row: [column]` where many may hold)
        "#]],
    );
    check_fact(
        "  wrong:\n    row: [who]\n    set_by: a.set\n    value: height\n    keep: max\n",
        "has(who)",
        expect![[r#"
            I103 `height`: a relation has no `value`: its rows are all it says (leave `row` out for one value per key, or make the value a column of it)
            I103 `max`: a relation keeps every row: `keep` is for one value per key
        "#]],
    );
    check_fact(
        "  wrong:\n    key: [who]\n    value: height\n",
        "has(who)",
        expect![[r#"
        I102 `k`: this fact has no `set_by` (name the event that sets it, or give `is:` with an expression over other facts)
    "#]],
    );
    check_fact(
        "  wrong:\n    key: [who]\n    is: fact.last(who) + height\n",
        "has(who)",
        expect![[r#"
        I201 `height`: a computed fact has no event at hand to read `height` from (it may use its key and the time (who, ts), facts and parameters)
    "#]],
    );
    check_fact(
        "  wrong:\n    is: fact.later()\n  later:\n    set_by: a.set\n    value: height\n",
        "has(who)",
        expect![[r#"
        I201 `fact.later()`: there is no fact `later` (declare it under `facts:`; a computed fact may ask those above it)
    "#]],
    );
    check_fact(
        "  wrong:\n    key: [who]\n    is: fact.last(who)\n    set_by: a.set\n",
        "has(who)",
        expect![[r#"
        I103 `a.set`: a computed fact is not kept from events (beside `is` it has only `key` and `default`)
    "#]],
    );
    check_fact(
        "  wrong:\n    row: [who]\n    set_by: a.set\n    expires: height\n",
        "has(who)",
        expect![[r#"
            I202 `height`: `expires` needs an instant or a duration, this is an integer (write `duration("500ms")`, or `timestamp(0) + expiry_usecs * duration("1us")`)
        "#]],
    );
    check_fact(
        "  wrong:\n    row: [who]\n    key: [who]\n    set_by: a.set\n",
        "has(who)",
        expect![[r#"
        I106 `row: [who]`: `who` is a column of this fact already
    "#]],
    );
}

#[test]
fn mistaken_questions_to_facts_are_explained() {
    check_fact(
        "",
        "fact.memebers(who)",
        expect![[r#"
        I201 `fact.memebers(who)`: there is no fact `memebers` (did you mean `members`?)
    "#]],
    );
    check_fact(
        "",
        "fact.members",
        expect![[r#"
        I201 `fact.members`: a fact is asked with its key (write `fact.members(…)`)
    "#]],
    );
    check_fact(
        "",
        "fact.members(who, who)",
        expect![[r#"
        I201 `fact.members(who, who)`: `fact.members` has 1 key part (who), 2 are given
    "#]],
    );
    check_fact(
        "",
        "fact.members() > 2",
        expect![[r#"
        I202 `fact.members() > 2`: these have no order: a list and an integer (compare values of one type, or convert with int(), double() or string())
    "#]],
    );
    check_fact(
        "",
        "fact.last(who).during(ts) == []",
        expect![[r#"
        I201 `fact.last(who).during(ts)`: a span of time has two ends, and an instant none (write `.during(from, to)`, `.throughout(from, to)`, `.before` or `.since`)
    "#]],
    );
    check_fact(
        "",
        "fact.last(who).throughout(1, 2) == 3",
        expect![[r#"
        I202 `1`: a span of time begins and ends with an instant, this is an integer
    "#]],
    );
    check_fact(
        "",
        "fact.last().since < ts",
        expect![[r#"
        I201 `fact.last().since`: `fact.last` has 1 key part (who), `.since` needs them all
    "#]],
    );
    check_fact(
        "",
        "fact.last.after(who) == 3",
        expect![[r#"
        I201 `fact.last.after(who)`: a fact cannot be asked `.after` (there are `.before`, `.since`, `.during(from, to)` and `.throughout(from, to)`, after the key)
    "#]],
    );
    check_fact(
        "  sum:\n    key: [who]\n    is: fact.last(who) + 1\n",
        "fact.sum(who).since < ts",
        expect![[r#"
        I201 `fact.sum(who).since`: `fact.sum` is computed: it has no rows of its own (ask it with its whole key, and at one time)
    "#]],
    );
}

#[test]
fn mistakes_in_derived_events_are_explained() {
    let derive = |text: &str, told: Expect| check(&format!("derive:\n{text}"), told);
    derive(
        "  b.made:\n    from:\n      component: x\n    set:\n      who: who\n",
        expect![[r#"
            I102 `c`: this pattern has no `event` (add `event: …`: the name, a glob, or a list of them)
        "#]],
    );
    derive(
        "  b.made:\n    from:\n      body: 'made {who} {}{x}'\n",
        expect![[r#"
        I001 `{`: nothing says where the capture before this one ends (`{name}` keeps what stands there, `{}` skips it, a brace that is meant is `{{`)
    "#]],
    );
    derive(
        "  b.made:\n    from:\n      body: 'made {who'\n",
        expect![[r#"
        I001 `{`: this brace has no partner (`{name}` keeps what stands there, `{}` skips it, a brace that is meant is `{{`)
    "#]],
    );
    derive(
        "  b.made:\n    from: a.sett\n",
        expect![[r#"
        I203 `a.sett`: unknown event `a.sett` (did you mean `a.set`?)
    "#]],
    );
    derive(
        "  b.made:\n    from: a.set\n    set:\n      who: hight\n",
        expect![[r#"
        I204 `hight`: unknown attribute `hight` of `a.set` (did you mean `height`?)
    "#]],
    );
    derive(
        "  a.unset:\n    from: a.set\n    set:\n      whom: who\n",
        expect![[r#"
        I204 `whom`: unknown attribute `whom` of `a.unset` (did you mean `who`?)
    "#]],
    );
    derive(
        "  a.set:\n    from:\n      body: '{who}'\n    set:\n      height: true\n",
        expect![[r#"
        I202 `true`: `height` of `a.set` is an integer, this is a boolean (convert it with int(), double() or string())
    "#]],
    );
    derive(
        "  b.made:\n    from: c.made\n  c.made:\n    from: b.made\n",
        expect![[r#"
        I207 `c.made`: `c.made` is derived further down (a derived event rests on those above it, so that none rests on itself: change their order)
    "#]],
    );
    derive(
        "  b.made:\n    from: 'b.*'\n",
        expect![[r#"
        I207 `'b.`: `b.made` would be derived from itself (derive it from another event, or narrow the pattern)
    "#]],
    );
    derive(
        "  b.made:\n    from:\n      body: x\n      severity: loud\n",
        expect![[r#"
        I103 `loud`: `loud` is no severity of a log record (trace, debug, info, warn, error, fatal, or 1 to 24)
    "#]],
    );
}

#[test]
fn mistakes_in_what_members_owe_are_explained() {
    let from = |from: &str, told: Expect| {
        check(
            &format!(
                "topology:\n  cache: {{}}\nfacts:\n  members:\n    row: [who]\n    set_by: a.set\n  last:\n    key: [who]\n    is: 1\nrules:\n  - id: r\n    response:\n      when: a.set\n      then: a.asked\n      within: 5s\n      from:\n{from}"
            ),
            told,
        );
    };
    from(
        "        each: fact.members(who)\n",
        expect![[r#"
        I202 `fact.members(who)`: a list of members is needed here, this is a boolean (ask a relation without its last column, `fact.members()`, or `live("component")`)
    "#]],
    );
    from(
        "        quorum: 2/3\n",
        expect![[r#"
        I102 `2/3`: a quorum of whom? (give `of:` with a list, such as `fact.validators()` or `live("component")`)
    "#]],
    );
    from(
        "        quorum: 4/3\n        of: fact.members()\n",
        expect![[r#"
        I103 `4/3`: `quorum` is a share of the members (write `2/3` for at least two thirds, `"> 2/3"` for more than that, or a number such as `0.67`)
    "#]],
    );
    from(
        "        each: live(\"cash\")\n",
        expect![[r#"
        I206 `"cash"`: there is no component `cash` (did you mean `cache`?)
    "#]],
    );
    from(
        "        each: fact.members()\n        as_of: later\n",
        expect![[r#"
        I103 `later`: `as_of` is `when` or `now` (`when`: whoever was a member when it was asked; `now`: whoever is at the deadline)
    "#]],
    );
    from(
        "        all: fact.members()\n",
        expect![[r#"
        I101 `all`: a from has no field `all` (fields are: each, quorum, of, member, as_of, except)
        I102 `a`: `from` says who is expected to answer (write `each: fact.members()`, or `quorum: 2/3` with `of: fact.members()`)
    "#]],
    );
    let rule = |rule: &str, told: Expect| {
        check(
            &format!(
                "facts:\n  computed:\n    is: 1\n  gone:\n    row: [who]\n    set_by: a.set\n    expires: ts\nrules:\n  - id: r\n    key: [who]\n{rule}"
            ),
            told,
        );
    };
    rule(
        "    heartbeat:\n      event: a.asked\n      every: 5s\n      expect: fact.computed\n",
        expect![[r#"
        I103 `fact.computed`: `computed` has `is`: no event says when its rows begin and end (expect a fact that events set and unset)
    "#]],
    );
    rule(
        "    heartbeat:\n      event: a.asked\n      every: 5s\n      expect: fact.gone()\n",
        expect![[r#"
        I103 `fact.gone()`: `gone` has `expires`: no event says when its rows begin and end (expect a fact that events set and unset)
    "#]],
    );
    rule(
        "    heartbeat:\n      event: a.asked\n      every: 5s\n      expect: members\n",
        expect![[r#"
        I201 `m`: there is no fact `members` (declare it under `facts:`; a computed fact may ask those above it)
    "#]],
    );
    rule(
        "    agreement:\n      event: a.set\n      value: height\n      assert: dissent == 0\n",
        expect![[r#"
        I102 `dissent == 0`: `assert` is judged when the time to vote is over, and this rule has none (give `within: 10m`, counted from the first vote)
    "#]],
    );
}

#[test]
fn mistakes_in_clocks_are_explained() {
    let with = |clock: &str, rule: &str, told: Expect| {
        check(
            &format!(
                "clocks:\n  height:\n    event: a.set\n    value: {clock}\nrules:\n  - id: r\n    key: [who]\n{rule}"
            ),
            told,
        );
    };
    let response = |within: &str, told: Expect| {
        let rule = format!("    response:\n      when: a.set\n      then: a.asked\n      within: {within}\n");
        with("height", &rule, told);
    };
    with(
        "who",
        "    never: a.asked\n",
        expect![[r#"
        I202 `who`: a clock counts in whole numbers, this is text (declare the attribute `int`, or convert it with int())
    "#]],
    );
    with(
        "hight",
        "    never: a.asked\n",
        expect![[r#"
        I204 `a.set`: unknown attribute `hight` of `a.set` (did you mean `height`?)
        I204 `hight`: unknown attribute `hight` of `a.set` (did you mean `height`?)
    "#]],
    );
    response(
        "4 hight",
        expect![[r#"
        I201 `4 hight`: there is no clock `hight` (did you mean `height`?)
    "#]],
    );
    response(
        "{or: 10m}",
        expect![[r#"
        I103 `{or: 10m`: this is no deadline (write `5s`, `4 height`, or `{4 height, or: 10m}`)
    "#]],
    );
    response(
        "[10s, 60s]",
        expect![[r#"
        I103 `[10s, 60s`: of several lengths of time the longest is the later end (write it alone, or give one end in ticks of a clock)
    "#]],
    );
    response(
        "[2 height, 3 height]",
        expect![[r#"
        I103 `3 height`: only one of several ends can be in ticks
    "#]],
    );
    with(
        "height",
        "    never:\n      event: a.set\n      where: height > clock.hight\n",
        expect![[r#"
        I201 `clock.hight`: there is no clock `hight` (did you mean `height`?)
    "#]],
    );
    let precedence = |within: &str| {
        format!("    precedence:\n      event: a.set\n      requires: a.unset\n      within: {within}\n")
    };
    with("height", &precedence("[4 height, 5s]"), expect![[""]]);
    with(
        "height",
        &precedence("4 hight"),
        expect![[r#"
        I201 `4 hight`: there is no clock `hight` (did you mean `height`?)
    "#]],
    );
    with(
        "height",
        &precedence("{height: 4, or: 10m}"),
        expect![[r#"
        I103 `{height: 4, or: 10m`: `or` ends a wait, and what looks back waits for nothing (leave it out, or write a list of which the farther end counts: `[4 height, 10m]`)
    "#]],
    );
    let count = "    count:\n      of: a.set\n      max: 1\n      window: 4 height\n";
    with(
        "height",
        count,
        expect![[r#"
            I104 `4 height`: `4 height`: only `within` of a response, a precedence or around each event of a count is in ticks of a clock (write a duration such as `5s` or `1m`)
        "#]],
    );
}

#[test]
fn misspelt_kinds_and_severities_are_understood_and_the_rest_is_read_on() {
    check(
        "rules:\n  - id: r\n    severity: critcal\n    key: [who]\n    respnse:\n      when: a.askd\n      then: a.set\n      within: 5 parsecs\n",
        expect![[r#"
            I103 `critcal`: `severity` is critical, high, medium, low or info (did you mean `critical`?)
            I101 `respnse`: `respnse` is no kind of rule (did you mean `response`?)
            I203 `a.askd`: unknown event `a.askd` (did you mean `a.asked`?)
            I201 `5 parsecs`: there is no clock `parsecs` (declare it under `clocks:`)
        "#]],
    );
    check(
        "rules:\n  - id: r\n    owner: core\n    severity: bad\n    key: [who]\n    whenever: a.asked\n",
        expect![[r#"
            I102 `i`: this rule has no kind (a rule has exactly one of: never, always, response, precedence, count, agreement, consecutive, heartbeat, monotonic, state_machine, order, sequence, exclusive, aggregate)
            I103 `bad`: `severity` is critical, high, medium, low or info (from the worst: critical, high, medium, low, info)
            I101 `whenever`: a rule has no field `whenever` (fields are: id, about, ref, severity, across_networks, key, during, quiet, report, mode, enabled, message, runbook_url, runbook, owner, labels, group_by, forget_after, max_keys, on_restart, strict, slack, by, for, stale_after, emits, on_silence, settle)
        "#]],
    );
}

#[test]
fn mistakes_in_answers_of_members_are_explained() {
    let from = |more: &str| {
        format!(
            "facts:\n  f:\n    row: [who]\n    set_by: a.set\nrules:\n  - id: r\n    key: []\n    response:\n      when: a.asked\n      then: a.set\n{more}      from:\n        each: fact.f()\n        member: who\n"
        )
    };
    check(&from("      by: a.unset\n"), expect![[""]]);
    check(&from("      within: 5s\n      broken_by: a.unset\n"), expect![[""]]);
    check(
        &from(""),
        expect![[r#"
        I102 `w`: this response has no end (give `within: 5s`, or `by:` with a marker event)
    "#]],
    );
    check(
        &from("      within: 5s\n      by: a.unset\n"),
        expect![[r#"
        I103 `when: a.asked`: `within` and `by` are alternatives: give one of them
    "#]],
    );
    for whole in ["within: 5s\n      pair: true", "within: 5s\n      broken_by: a.unset\n      grace: 1s"] {
        check(&from(&format!("      {whole}\n")), expect![[""]]);
    }
}

#[test]
fn patterns_that_ask_facts_say_what_goes_not_with_them() {
    let fact = "facts:\n  f:\n    key: [who]\n    set_by: a.set\n    value: height\n";
    let rule = |when: &str, then: &str, more: &str| {
        format!(
            "{fact}rules:\n  - id: r\n    key: [h]\n    response:\n      when:\n        event: a.set\n        let:\n          h: {when}\n      then:\n        event: a.asked\n{then}\n      within: 5s\n{more}"
        )
    };
    let same = "        let:\n          h: fact.f(who)";
    check(&rule("fact.f(who)", same, ""), expect![[""]]);
    check(
        &rule("fact.g(who)", same, ""),
        expect![[r#"
            I201 `fact.g(who)`: there is no fact `g` (did you mean `f`?)
        "#]],
    );
    check(
        &rule("fact.f(whom)", same, ""),
        expect![[r#"
            I204 `whom`: unknown attribute `whom` of `a.set` (did you mean `who`?)
        "#]],
    );
    check(
        &rule("height", "        key: []\n        let:\n          o: fact.f(who)\n        where: o > 1", ""),
        expect![[r#"
            I105 `a.asked`: a `let` or `for_each` that asks a fact, a clock, a breaker or who is live goes not with a shorter key (ask in `where`, or give the whole key)
        "#]],
    );
    let during = "    during:\n      after:\n        event: a.unset\n        let:\n          h: fact.f(who)\n";
    check(
        &rule("height", same, during),
        expect![[r#"
            I105 `a.unset`: a `let` or `for_each` that asks a fact, a clock, a breaker or who is live goes not with a span of `during` (ask in `where`)
        "#]],
    );
    let where_ = |condition: &str| {
        format!("    during:\n      after:\n        event: a.set\n        key: []\n        where: {condition}\n")
    };
    check(&rule("height", same, &where_("fact.f(who) > 1")), expect![[""]]);
    check(
        &rule("height", same, &where_("height > when.height")),
        expect![[r#"
            I105 `a.set`: `after` of `during` cannot ask for other events in its condition (what both have in common belongs into the `key`; what was before can be kept as a fact)
        "#]],
    );
    check(
        "facts:\n  f:\n    key: [who]\n    set_by: a.set\n    value: height\n  g:\n    key: [o]\n    value: height\n    set_by:\n      event: a.set\n      let:\n        o: fact.f(who)\n",
        expect![[r#"
            I105 `fact.f(who)`: facts can be asked in rules only: in `where`, `let`, `for_each` and `assert`
        "#]],
    );
}

#[test]
fn mistakes_about_first_events_are_explained() {
    let first = |first_per: &str, rest: &str| {
        format!("derive:\n  a.first:\n    from: a.set\n    set:\n      whose: who\n    first_per: {first_per}\n{rest}")
    };
    let rules = "rules:\n  - id: r\n    key: [whose]\n    never: a.first\n";
    check(&first("[whose]", rules), expect![[""]]);
    check(&first("[height]", rules), expect![[""]]);
    check(
        &first("[wose]", rules),
        expect![[r#"
            I205 `[wose`: `wose` is nothing that these events have (did you mean `whose`?)
        "#]],
    );
    check(
        &first("[\"whose?\"]", rules),
        expect![[r#"
            I205 `["whose?"`: `whose?` may be absent: an event without it would be the first of nothing (write it without `?`, or leave it out)
        "#]],
    );
    let fact = "facts:\n  f:\n    row: [whose]\n    set_by: a.first\n";
    check(
        &first("[whose]", fact),
        expect![[r#"
        I105 `a.first`: only rules can build on `a.first`: which event is the first may turn out later (let a rule build on it, and this on every event)
    "#]],
    );
    let during = "rules:\n  - id: r\n    key: [who]\n    never: a.asked\n    during:\n      after:\n        event: a.first\n        let:\n          who: whose\n";
    check(
        &first("[whose]", during),
        expect![[r#"
        I105 `a.first`: `a.first` may be taken back, and a span of `during` cannot (begin and end it with events that components send)
    "#]],
    );
    let wide = "rules:\n  - id: r\n    key: [who]\n    response:\n      when: a.asked\n      then:\n        event: a.first\n        key: []\n      within: 5s\n";
    check(
        &first("[whose]", wide),
        expect![[r#"
        I105 `a.first`: `a.first` may be taken back, and is of one key: a shorter one cannot be asked for (have the rule's key name no more than it has)
    "#]],
    );
}

#[test]
fn mistakes_about_breakers_that_rules_ask_for_are_explained() {
    let asked = |condition: &str| {
        format!(
            "rules:\n  - id: first\n    key: [node]\n    never: a.set\n  - id: asking\n    key: [node]\n    never:\n      event: a.asked\n      where: '{condition}'\n\
             breakers:\n  - id: early\n    per: [node]\n    trip:\n      rules: [first]\n  - id: own\n    trip:\n      rules: [asking]\n"
        )
    };
    check(&asked("breaker(\"early\", node) == \"open\""), expect![[""]]);
    check(
        &asked("breaker(\"erly\", node) == \"open\""),
        expect![[r#"
        I206 `"erly"`: there is no breaker `erly` (did you mean `early`?)
    "#]],
    );
    check(
        &asked("breaker(\"early\") == \"open\""),
        expect![[r#"
        I201 `breaker("early")`: `early` has 1 part of its scope (node), 0 are given
    "#]],
    );
    check(
        &asked("breaker(who) == \"open\""),
        expect![[r#"
        I201 `who`: `breaker("id", part…)` takes the breaker's id as text, and the parts of its scope (it is `closed`, `open` or `half_open`)
    "#]],
    );
    check(
        &asked("breaker(\"own\") == \"open\""),
        expect![[r#"
        I207 `"own"`: `own` is tripped by the rule `asking`, which does not stand above this one (a rule asks for breakers that rules above it trip, so that none waits for itself: change their order)
    "#]],
    );
    let changed = |pattern: &str| {
        format!(
            "rules:\n  - id: first\n    key: [node]\n    never: a.set\n  - id: second\n    key: [node]\n    never:\n{pattern}\
             breakers:\n  - id: early\n    per: [node]\n    trip:\n      rules: [first]\n"
        )
    };
    check(&changed("      event: invar.breaker.changed\n      breaker: early\n"), expect![[""]]);
    check(
        &changed("      event: invar.breaker.changed\n"),
        expect![[r#"
        I102 `invar.breaker.changed`: `invar.breaker.changed` of which breaker? (write `breaker: ID` beside it, with a breaker that rules above this one trip)
    "#]],
    );
    check(
        &changed("      event: a.set\n      breaker: early\n"),
        expect![[r#"
        I103 `early`: `breaker` says whose changes are meant, and this event is none (it belongs to `invar.breaker.changed`)
    "#]],
    );
}

#[test]
fn what_is_worked_out_of_parameters_is_explained() {
    let never = |within: &str, max: &str| {
        let params = "params:\n  hour: 1h\n  limit: 3\n  strict: true\n";
        let response = format!("response:\n      when: a.asked\n      then: a.set\n      within: {within}");
        let count = format!("count:\n      of: a.set\n      max: {max}");
        format!("{params}rules:\n  - id: r\n    key: [who]\n    {response}\n  - id: s\n    key: [who]\n    {count}\n")
    };
    let choice = "'param.strict ? param.hour : 2 * param.hour'";
    for within in ["2 * param.hour", "param.hour + duration(\"5s\")", choice] {
        check(&never(within, "2 * param.limit - 1"), expect![[""]]);
    }
    check(
        &never("2 * param.our", "3"),
        expect![[r#"
        I201 `param.our`: there is no parameter `our` (did you mean `param.hour`?)
    "#]],
    );
    check(
        &never("2 * param.limit", "param.hour * 2"),
        expect![[r#"
        I202 `2 * param.limit`: a length of time is needed here, this is an integer
        I202 `param.hour * 2`: a whole number is needed here, this is a duration
    "#]],
    );
    check(
        &never("param.hour - 2 * param.hour", "param.limit - 4"),
        expect![[r#"
        I202 `param.hour - 2 * param.hour`: a length of time is needed here, this comes to less than nothing (-1h)
        I202 `param.limit - 4`: a whole number is needed here, this comes to -1
    "#]],
    );
    check(
        &never("param.hour + ", "param.limit / 0"),
        expect![[r#"
        I001 ` `: expected a value, found the end
        I202 `param.limit / 0`: this comes to nothing: it divides by zero, or is no number
    "#]],
    );
}
