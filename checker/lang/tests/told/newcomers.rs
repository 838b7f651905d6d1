//! The mistakes that everybody makes in the first hour.
use expect_test::expect;

use super::{of_rule, of_shop, shown};

#[test]
fn a_misspelt_attribute() {
    of_rule(
        "    never:\n      event: batch.announced\n      where: bites > 3\n",
        &expect![[r#"
        error[I204]: unknown attribute `bites` of `batch.announced`
          --> shop.yaml:17:14
           |
        17 |       where: bites > 3
           |              ^^^^^
           |
           = help: did you mean `bytes`?
    "#]],
    );
}

#[test]
fn a_length_of_time_in_words_or_without_a_unit() {
    let within = |text: &str| {
        format!("    response:\n      when: batch.announced\n      then: batch.tracked\n      within: {text}\n")
    };
    of_rule(
        &within("5 sec"),
        &expect![[r#"
        error[I104]: `5 sec` is not a duration
          --> shop.yaml:18:15
           |
        18 |       within: 5 sec
           |               ^^^^^
           |
           = help: write `5s`, the unit right behind the number
    "#]],
    );
    of_rule(
        &within("5000"),
        &expect![[r#"
        error[I104]: `5000` is not a duration: it has no unit
          --> shop.yaml:18:15
           |
        18 |       within: 5000
           |               ^^^^
           |
           = help: write `5000ms`, `5000s` or `5000m`, whichever is meant
    "#]],
    );
}

#[test]
fn a_field_or_a_part_of_the_key_that_is_missing() {
    of_rule(
        "    response:\n      then: batch.tracked\n      within: 5s\n",
        &expect![[r#"
        error[I102]: this response has no `when`
          --> shop.yaml:16:7
           |
        16 |       then: batch.tracked
           |       ^
           |
           = help: add `when: …`: what asks
    "#]],
    );
    of_shop(
        "rules:\n  - id: r\n    key: [shop, batch]\n    never: batch.tracked\n",
        &expect![[r#"
        error[I205]: this event can never supply `shop`, a part of the key
          --> shop.yaml:15:12
           |
        15 |     never: batch.tracked
           |            ^^^^^^^^^^^^^
           |
           = help: it has: batch; give it with `let`, leave it out with a shorter `key: […]`, or write `shop?` if it may be absent
    "#]],
    );
}

#[test]
fn a_comparison_of_two_types() {
    of_rule(
        "    never:\n      event: batch.announced\n      where: bytes > \"3\"\n",
        &expect![[r#"
        error[I202]: these have no order: an integer and text
          --> shop.yaml:17:14
           |
        17 |       where: bytes > "3"
           |              ^^^^^^^^^^^
           |
           = help: a number is written without quotes, text with them; the vocabulary says which it is
    "#]],
    );
}

#[test]
fn a_kind_that_does_not_exist() {
    of_rule(
        "    eventually:\n      when: batch.announced\n      then: batch.tracked\n",
        &expect![[r#"
        error[I102]: this rule has no kind
          --> shop.yaml:13:5
           |
        13 |   - id: r
           |     ^
           |
           = help: a rule has exactly one of: never, always, response, precedence, count, agreement, consecutive, heartbeat, monotonic, state_machine, order, sequence, exclusive, aggregate

        error[I101]: a rule has no field `eventually`
          --> shop.yaml:15:5
           |
        15 |     eventually:
           |     ^^^^^^^^^^
           |
           = help: fields are: id, about, ref, severity, across_networks, key, during, quiet, report, mode, enabled, message, runbook_url, runbook, owner, labels, group_by, forget_after, max_keys, on_restart, strict, slack, by, for, stale_after, emits, on_silence, settle
    "#]],
    );
}

#[test]
fn an_id_that_is_taken() {
    of_shop(
        "rules:\n  - id: tracked\n    key: [batch]\n    never: batch.announced\n  - id: tracked\n    key: [batch]\n    never: batch.tracked\n",
        &expect![[r#"
            error[I106]: there is a rule `tracked` already
              --> shop.yaml:16:9
               |
            16 |   - id: tracked
               |         ^^^^^^^
               |
               = help: the first one is on line 13
        "#]],
    );
}

#[test]
fn a_transition_to_a_state_that_does_not_exist() {
    of_rule(
        "    state_machine:\n      state:\n        new: batch.announced\n        done: batch.tracked\n      initial: new\n      transitions:\n        new: [done, finished]\n      terminal: [done]\n",
        &expect![[r#"
            error[I206]: there is no state `finished`
              --> shop.yaml:21:21
               |
            21 |         new: [done, finished]
               |                     ^^^^^^^^
               |
               = help: states are: new, done
        "#]],
    );
}

#[test]
fn a_breaker_of_a_rule_that_does_not_exist() {
    of_shop(
        "rules:\n  - id: tracked\n    key: [batch]\n    never: batch.announced\nbreakers:\n  - id: stop\n    guards: ingester -> tracker\n    trip:\n      rules: [trackd]\n",
        &expect![[r#"
            error[I206]: there is no rule `trackd`
              --> shop.yaml:20:15
               |
            20 |       rules: [trackd]
               |               ^^^^^^
               |
               = help: did you mean `tracked`?
        "#]],
    );
}

#[test]
fn tabs() {
    of_rule(
        "    never:\n\t\tevent: batch.announced\n",
        &expect![[r#"
        error[I003]: a tab cannot indent YAML
          --> shop.yaml:16:1
           |
        16 |         event: batch.announced
           | ^^^^
           |
           = help: indent with spaces, two a level
    "#]],
    );
}

#[test]
fn yaml_that_grows_or_nests_without_end() {
    let mut bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (one, next) in "abcdefg".chars().zip("bcdefgh".chars()) {
        bomb.push_str(&format!("{next}: &{next} [{}]\n", vec![format!("*{one}"); 9].join(", ")));
    }
    shown(
        &format!("{bomb}pack: shop\n"),
        &expect![[r#"
        error[I003]: with its aliases expanded, this YAML is larger than a pack may be
         --> shop.yaml:6:16
          |
        6 | f: &f [*e, *e, *e, *e, *e, *e, *e, *e, *e]
          |                ^^^^^^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: write out what the aliases (`*name`) stand for: a pack holds at most a few thousand lines
    "#]],
    );
    shown(
        &format!("pack: shop\nrules:\n{}{}\n", "[".repeat(5_000), "]".repeat(5_000)),
        &expect![[r#"
        error[I003]: this YAML nests too deep
         --> shop.yaml:3:256
          |
        3 | ...[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[...
          |                                       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: a pack needs about ten levels: look for a bracket that is opened over and over
    "#]],
    );
}

#[test]
fn rules_as_prometheus_has_them() {
    shown(
        "groups:\n  - name: shop\n    rules:\n      - alert: Slow\n        expr: rate(slow[5m]) > 1\n",
        &expect![[r#"
            error[I101]: a pack has no field `groups`
             --> shop.yaml:1:1
              |
            1 | groups:
              | ^^^^^^
              |
              = help: rules of Prometheus are queries over samples; those of a pack are over events, a kind each: `pack: NAME` and `rules:`
        "#]],
    );
    of_rule(
        "    expr: rate(announced[5m]) > 1\n    annotations:\n      summary: slow\n    never: batch.announced\n    message: \"{{ $labels.shop }} is slow\"\n",
        &expect![[r#"
            error[I101]: a rule has no field `expr`
              --> shop.yaml:15:5
               |
            15 |     expr: rate(announced[5m]) > 1
               |     ^^^^
               |
               = help: a rule has a kind instead of a query: `never`, `always`, `response`, `count`, `aggregate` and others

            error[I101]: a rule has no field `annotations`
              --> shop.yaml:16:5
               |
            16 |     annotations:
               |     ^^^^^^^^^^^
               |
               = help: `message` says what is wrong, with `{attribute}` in it; `about`, `runbook` and `runbook_url` stand beside it

            warning[W305]: `{{ $labels.shop }}` is no hole: doubled braces are printed
              --> shop.yaml:19:15
               |
            19 |     message: "{{ $labels.shop }} is slow"
               |               ^^^^^^^^^^^^^^^^^^
               |
               = help: a hole is `{attribute}`, with single braces
        "#]],
    );
    of_rule(
        "    never:\n      event: batch.announced\n      where: rate(bytes) > 3\n    for: 5m\n",
        &expect![[r#"
            error[I201]: there is no function `rate`
              --> shop.yaml:17:14
               |
            17 |       where: rate(bytes) > 3
               |              ^^^^^^^^^^^
               |
               = help: what is counted, summed or compared over time is a term of an `aggregate`

            error[I103]: `for` is how long a level must last, and `never` has none that it could judge
              --> shop.yaml:18:10
               |
            18 |     for: 5m
               |          ^^
               |
               = help: kinds that do: always, count, aggregate
        "#]],
    );
    of_shop(
        "rules:\n  - id: r\n    severity: warning\n    key: [batch]\n    response:\n      when: batch.announced\n      then: batch.tracked\n      within: 5s\n    for: 5m\n",
        &expect![[r#"
            error[I103]: `severity` is critical, high, medium, low or info
              --> shop.yaml:14:15
               |
            14 |     severity: warning
               |               ^^^^^^^
               |
               = help: `warning` of others is `medium` here; from the worst: critical, high, medium, low, info

            error[I103]: `for` is how long a level must last, and `response` has none that it could judge
              --> shop.yaml:20:10
               |
            20 |     for: 5m
               |          ^^
               |
               = help: how long something may take is its `within`
        "#]],
    );
}

#[test]
fn fields_as_other_tools_call_them() {
    of_rule(
        "    heartbeat:\n      event: batch.announced\n      interval: 30s\n",
        &expect![[r#"
        error[I101]: a heartbeat has no field `interval`
          --> shop.yaml:17:7
           |
        17 |       interval: 30s
           |       ^^^^^^^^
           |
           = help: how often it must come is `every`
    "#]],
    );
    of_rule(
        "    count:\n      of: batch.announced\n      where: bytes > 3\n      exactly: 1\n",
        &expect![[r#"
        error[I102]: a count has `min`, `max` or both
          --> shop.yaml:16:7
           |
        16 |       of: batch.announced
           |       ^
           |
           = help: exactly one is `min: 1` with `max: 1`, at most three `max: 3`

        error[I101]: a count has no field `where`
          --> shop.yaml:17:7
           |
        17 |       where: bytes > 3
           |       ^^^^^
           |
           = help: a condition belongs to its pattern: `NAME where CONDITION`, or `event:` with `where:` beside it

        error[I101]: a count has no field `exactly`
          --> shop.yaml:18:7
           |
        18 |       exactly: 1
           |       ^^^^^^^
           |
           = help: exactly one is `min: 1` with `max: 1`
    "#]],
    );
    of_rule(
        "    exclusive:\n      lock: batch.announced\n      unlock: batch.tracked\n      holder: batch\n",
        &expect![[r#"
        error[I101]: an exclusive has no field `lock`
          --> shop.yaml:16:7
           |
        16 |       lock: batch.announced
           |       ^^^^
           |
           = help: what begins to hold is `enter`

        error[I101]: an exclusive has no field `unlock`
          --> shop.yaml:17:7
           |
        17 |       unlock: batch.tracked
           |       ^^^^^^
           |
           = help: what ends it is `exit`
    "#]],
    );
    of_rule(
        "    sequence:\n      - batch.announced\n      - batch.tracked\n",
        &expect![[r#"
        error[I103]: a sequence is a map, this is a list
          --> shop.yaml:16:7
           |
        16 | /       - batch.announced
        17 | |       - batch.tracked
           | |_____________________^
           |
           = help: put the list under `steps:`, and `within:` beside it
    "#]],
    );
    of_rule(
        "    state_machine:\n      state:\n        new: batch.announced\n        done: batch.tracked\n      initial: new\n      transitions: new -> done\n",
        &expect![[r#"
            error[I103]: `transitions` is a map of states, this is text
              --> shop.yaml:20:20
               |
            20 |       transitions: new -> done
               |                    ^^^^^^^^^^^
               |
               = help: write `new: [running, failed]`: a state, and the list of those that may follow
        "#]],
    );
}

#[test]
fn expressions_as_other_languages_write_them() {
    let of = |condition: &str| format!("    never:\n      event: batch.announced\n      where: {condition}\n");
    of_rule(
        &of("batch =~ \"a.*\""),
        &expect![[r#"
        error[I001]: `=` has no meaning in an expression
          --> shop.yaml:17:20
           |
        17 |       where: batch =~ "a.*"
           |                    ^
           |
           = help: there are no regular expressions: use startsWith, endsWith or contains
    "#]],
    );
    of_rule(
        &of("not batch.startsWith(\"a\")"),
        &expect![[r#"
        error[I001]: expected an operator or the end, found `batch`
          --> shop.yaml:17:18
           |
        17 |       where: not batch.startsWith("a")
           |                  ^^^^^
           |
           = help: `not` is written `!`
    "#]],
    );
    of_rule(
        &of("batch in (\"a\", \"b\")"),
        &expect![[r#"
        error[I001]: expected `)`, found `,`
          --> shop.yaml:17:27
           |
        17 |       where: batch in ("a", "b")
           |                           ^
           |
           = help: a list is written `[a, b]`
    "#]],
    );
    of_rule(
        &of("batch.announced > 3"),
        &expect![[r#"
        error[I202]: `batch` is text, it has no `announced`
          --> shop.yaml:17:14
           |
        17 |       where: batch.announced > 3
           |              ^^^^^^^^^^^^^^^
    "#]],
    );
    let shipped = |condition: &str| {
        format!(
            "  parcel.sent:\n    weight: int\n  parcel.lost:\n    weight: int\nrules:\n  - id: r\n    key: []\n    never: parcel.sent where {condition}\n"
        )
    };
    of_shop(
        &shipped("parcel.sent.weight > 3"),
        &expect![[r#"
        error[I204]: unknown attribute `parcel.sent.weight` of `parcel.sent`
          --> shop.yaml:19:30
           |
        19 |     never: parcel.sent where parcel.sent.weight > 3
           |                              ^^^^^^^^^^^^^^^^^^
           |
           = help: an attribute is named without its event: `weight`
    "#]],
    );
    of_shop(
        &shipped("parcel.lost.weight == weight"),
        &expect![[r#"
        error[I204]: unknown attribute `parcel.lost.weight` of `parcel.sent`
          --> shop.yaml:19:30
           |
        19 |     never: parcel.sent where parcel.lost.weight == weight
           |                              ^^^^^^^^^^^^^^^^^^
           |
           = help: another event is spoken of by its part in the rule, as in `when.amount`, where the kind has several
    "#]],
    );
}
