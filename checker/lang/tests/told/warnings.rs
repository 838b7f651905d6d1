//! What is legal and hardly meant, each beside what is like it and meant.
use expect_test::expect;

use super::{of_rule, of_shop};

/// A response of the shop with further fields.
fn response(fields: &str) -> String {
    format!("    response:\n      when: batch.announced\n      then: batch.tracked\n      within: 5s\n{fields}")
}

/// A pattern with this condition.
fn never(condition: &str) -> String {
    format!("    never:\n      event: batch.announced\n      where: '{condition}'\n")
}

#[test]
fn a_state_that_nothing_leads_out_of() {
    let machine = |rest: &str| {
        format!(
            "    state_machine:\n      state:\n        new: batch.announced\n        done: batch.tracked\n      initial: new\n      transitions:\n        new: [done]\n{rest}"
        )
    };
    of_rule(
        &machine(""),
        &expect![[r#"
        warning[W306]: nothing leads out of `done`, and it is not terminal
          --> shop.yaml:18:9
           |
        18 |         done: batch.tracked
           |         ^^^^
           |
           = help: list what follows it, or write `done: []` if nothing does, or `terminal: [done]` if it cannot even happen twice
    "#]],
    );
    of_rule(&machine("        done: []\n"), &expect![""]);
    of_rule(&machine("      terminal: [done]\n"), &expect![""]);
}

#[test]
fn a_rule_that_says_what_another_one_says() {
    let second = |fields: &str| {
        format!(
            "rules:\n  - id: first\n    key: [node, batch]\n    never: batch.tracked\n  - id: second\n    about: The same in other words.\n    severity: high\n{fields}    never: batch.tracked\n"
        )
    };
    of_shop(
        &second("    key: [node, batch]\n"),
        &expect![[r#"
        warning[W307]: `second` judges exactly what `first` judges: whatever breaks one breaks both
          --> shop.yaml:16:5
           |
        16 |   - id: second
           |     ^
           |
           = help: leave one of them out, or give this one the key or the condition in which it differs
    "#]],
    );
    of_shop(&second("    key: [batch]\n"), &expect![""]);
    of_shop(&second("    key: [node, batch]\n    mode: shadow\n"), &expect![""]);
}

#[test]
fn an_excuse_that_always_comes_and_what_answers_twice() {
    of_rule(
        &response("      unless: batch.announced\n"),
        &expect![[r#"
        warning[W308]: what opens this obligation excuses it at once, so that it is never broken
          --> shop.yaml:19:15
           |
        19 |       unless: batch.announced
           |               ^^^^^^^^^^^^^^^
           |
           = help: an excuse may come at the same time: give it a condition, or say `strict: true` if a later one is meant
    "#]],
    );
    of_rule(
        &response("      unless: batch.tracked\n      broken_by: batch.tracked\n"),
        &expect![[r#"
        warning[W308]: what answers is no excuse as well: this `unless` adds nothing
          --> shop.yaml:19:15
           |
        19 |       unless: batch.tracked
           |               ^^^^^^^^^^^^^
           |
           = help: leave it out

        warning[W308]: what answers cannot break as well: this `broken_by` adds nothing
          --> shop.yaml:20:18
           |
        20 |       broken_by: batch.tracked
           |                  ^^^^^^^^^^^^^
           |
           = help: an answer comes first: leave one of both out, or tell them apart by `where`
    "#]],
    );
    of_rule(&response("      unless: batch.announced where bytes == 0\n"), &expect![""]);
    of_rule(&response("      unless: batch.announced\n    strict: true\n"), &expect![""]);
    of_rule(&response("      broken_by: batch.announced\n"), &expect![""]);
}

#[test]
fn a_response_that_is_its_own_question() {
    let next = |within: &str| {
        format!("    response:\n      when: batch.announced\n      then: batch.announced\n      within: {within}\n")
    };
    of_rule(
        &next("5s"),
        &expect![[r#"
        warning[W312]: every answer is a question as well: the last one is never answered
          --> shop.yaml:17:13
           |
        17 |       then: batch.announced
           |             ^^^^^^^^^^^^^^^
           |
           = help: if the next one must come in time, a `heartbeat` with `every` says so and ends when it returns
    "#]],
    );
    // No heartbeat has a deadline that depends on the event.
    of_rule(&next("when.bytes * duration(\"1ms\")"), &expect![""]);
}

#[test]
fn a_condition_that_is_the_same_for_every_event() {
    of_rule(
        &never("batch != \"a\" || batch != \"b\""),
        &expect![[r#"
        warning[W309]: this condition always holds
          --> shop.yaml:17:15
           |
        17 |       where: 'batch != "a" || batch != "b"'
           |               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
           |
           = help: every value differs from one of two: join them by `&&`, or write `!(x in [a, b])`
    "#]],
    );
    of_rule(
        &never("bytes > 3 && batch == \"a\" && batch == \"b\""),
        &expect![[r#"
        warning[W309]: this condition never holds
          --> shop.yaml:17:15
           |
        17 |       where: 'bytes > 3 && batch == "a" && batch == "b"'
           |               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
           |
           = help: no value is two at once: join them by `||`, or write `x in [a, b]`
    "#]],
    );
    of_rule(
        &never("bytes <= bytes"),
        &expect![[r#"
        warning[W309]: this condition always holds
          --> shop.yaml:17:15
           |
        17 |       where: 'bytes <= bytes'
           |               ^^^^^^^^^^^^^^
           |
           = help: leave it out, or compare with what differs from event to event
    "#]],
    );
    of_rule(
        &never("size([1, 2]) > 3"),
        &expect![[r#"
        warning[W309]: this condition reads nothing of any event: it is always the same
          --> shop.yaml:17:15
           |
        17 |       where: 'size([1, 2]) > 3'
           |               ^^^^^^^^^^^^^^^^
           |
           = help: leave it out, or compare with what differs from event to event
    "#]],
    );
    of_rule(
        "    always:\n      event: batch.announced\n      assert: true\n",
        &expect![[r#"
        warning[W309]: this condition always holds
          --> shop.yaml:17:15
           |
        17 |       assert: true
           |               ^^^^
           |
           = help: leave it out, or compare with what differs from event to event
    "#]],
    );
    of_rule(&never("batch != \"a\" && batch != \"b\" || bytes == 1 || bytes == 2"), &expect![""]);
    of_shop(
        "params:\n  strict: true\nrules:\n  - id: r\n    key: [batch]\n    never:\n      event: batch.tracked\n      where: param.strict\n",
        &expect![""],
    );
}

#[test]
fn more_memory_than_is_sensible() {
    let count = |keys: u64| {
        format!("    max_keys: {keys}\n    count:\n      of: batch.announced\n      max: 1000\n      window: 24h\n")
    };
    of_rule(
        &count(1_000_000),
        &expect![[r#"
            warning[W310]: 1000000 keys of about 64700 bytes may come to 60 GiB
              --> shop.yaml:15:15
               |
            15 |     max_keys: 1000000
               |               ^^^^^^^
               |
               = help: keep fewer, or forget them sooner than after 1d (`forget_after`): then fewer are alive at once
        "#]],
    );
    of_rule(&count(50_000), &expect![""]);
    of_rule(
        &format!("    max_keys: 100000000\n    forget_after: 30d\n{}", response("")),
        &expect![[r#"
            warning[W310]: 100000000 keys of about 700 bytes may come to 65 GiB
              --> shop.yaml:15:15
               |
            15 |     max_keys: 100000000
               |               ^^^^^^^^^
               |
               = help: keep fewer, or forget them sooner than after 30d (`forget_after`): then fewer are alive at once
        "#]],
    );
}

#[test]
fn a_silence_that_is_forgotten() {
    of_rule(
        &format!("    quiet: 7d\n{}", response("")),
        &expect![[r#"
        warning[W311]: a key is forgotten 1d after its last event, and with it that nothing was to be said for 7d
          --> shop.yaml:15:12
           |
        15 |     quiet: 7d
           |            ^^
           |
           = help: add `forget_after: 7d`, or make `quiet` shorter
    "#]],
    );
    of_rule(&format!("    quiet: 7d\n    forget_after: 7d\n{}", response("")), &expect![""]);
}

#[test]
fn a_severity_that_nothing_comes_to() {
    let graded = |second: &str| {
        format!(
            "    severity:\n      - where: bytes > 3\n        is: high\n      - where: {second}\n        is: critical\n      - is: low\n    never: batch.announced\n"
        )
    };
    of_rule(
        &graded("bytes > 3"),
        &expect![[r#"
        warning[W313]: no violation comes to this severity
          --> shop.yaml:18:16
           |
        18 |       - where: bytes > 3
           |                ^^^^^^^^^
           |
           = help: the first entry whose `where` holds counts: leave this one out, or change its condition
    "#]],
    );
    of_rule(
        &graded("true"),
        &expect![[r#"
        warning[W313]: what follows this severity never counts
          --> shop.yaml:18:16
           |
        18 |       - where: true
           |                ^^^^
           |
           = help: leave its `where` out and make it the last one, or change its condition
    "#]],
    );
    of_rule(&graded("bytes > 2"), &expect![""]);
}
