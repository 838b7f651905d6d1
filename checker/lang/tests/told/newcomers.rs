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
