//! What who comes from Prometheus or Kubernetes writes first.
use expect_test::expect;

use super::{of_rule, of_shop, shown};

#[test]
fn a_pack_that_is_a_resource() {
    shown(
        "apiVersion: v1\nkind: Pack\nmetadata:\n  name: pods\nspec:\n  rules: []\n",
        &expect![[r#"
            error[I101]: a pack has no field `apiVersion`
             --> shop.yaml:1:1
              |
            1 | apiVersion: v1
              | ^^^^^^^^^^
              |
              = help: a pack is no resource of Kubernetes: `pack: NAME`, `events:` and `rules:` stand at the beginning of a line

            error[I101]: a pack has no field `kind`
             --> shop.yaml:2:1
              |
            2 | kind: Pack
              | ^^^^
              |
              = help: a pack is no resource of Kubernetes: `pack: NAME`, `events:` and `rules:` stand at the beginning of a line

            error[I101]: a pack has no field `metadata`
             --> shop.yaml:3:1
              |
            3 | metadata:
              | ^^^^^^^^
              |
              = help: a pack is no resource of Kubernetes: `pack: NAME`, `events:` and `rules:` stand at the beginning of a line

            error[I101]: a pack has no field `spec`
             --> shop.yaml:5:1
              |
            5 | spec:
              | ^^^^
              |
              = help: a pack is no resource of Kubernetes: `pack: NAME`, `events:` and `rules:` stand at the beginning of a line
        "#]],
    );
}

#[test]
fn types_as_others_call_them() {
    shown(
        "pack: p\nevents:\n  e:\n    a: integer\n    b: float64\n    c: array\n    d: quux\n",
        &expect![[r#"
            error[I103]: this is not the type of `a`
             --> shop.yaml:4:8
              |
            4 |     a: integer
              |        ^^^^^^^
              |
              = help: did you mean `int`?

            error[I103]: this is not the type of `b`
             --> shop.yaml:5:8
              |
            5 |     b: float64
              |        ^^^^^^^
              |
              = help: did you mean `double`?

            error[I103]: this is not the type of `c`
             --> shop.yaml:6:8
              |
            6 |     c: array
              |        ^^^^^
              |
              = help: did you mean `list`?

            error[I103]: this is not the type of `d`
             --> shop.yaml:7:8
              |
            7 |     d: quux
              |        ^^^^
              |
              = help: types are string, int, bool, double, bytes, list, map and any
        "#]],
    );
}

#[test]
fn a_key_written_as_one_text() {
    of_shop(
        "rules:\n  - id: r\n    key: node, batch\n    never: batch.tracked\n",
        &expect![[r#"
        error[I205]: `node, batch` is no part of a key
          --> shop.yaml:14:10
           |
        14 |     key: node, batch
           |          ^^^^^^^^^^^
           |
           = help: a key is a list: `key: [node, batch]`
    "#]],
    );
    of_shop(
        "rules:\n  - id: r\n    key: [node batch]\n    never: batch.tracked\n",
        &expect![[r#"
        error[I205]: `node batch` is no part of a key
          --> shop.yaml:14:11
           |
        14 |     key: [node batch]
           |           ^^^^^^^^^^
           |
           = help: a key is a list: `key: [node, batch]`
    "#]],
    );
}

#[test]
fn fields_on_the_wrong_side_of_the_kind() {
    of_rule(
        "    never:\n      event: batch.tracked\n      severity: high\n",
        &expect![[r#"
            error[I103]: `high` is no severity of a log record
              --> shop.yaml:17:17
               |
            17 |       severity: high
               |                 ^^^^
               |
               = help: how bad a violation is stands beside the kind; in a pattern it is the least severity of a log record
        "#]],
    );
    of_rule(
        "    response:\n      when: batch.announced\n      then: batch.tracked\n    within: 5s\n",
        &expect![[r#"
            error[I102]: this response has no end
              --> shop.yaml:16:7
               |
            16 |       when: batch.announced
               |       ^
               |
               = help: give `within: 5s`, or `by:` with a marker event

            error[I101]: a rule has no field `within`
              --> shop.yaml:18:5
               |
            18 |     within: 5s
               |     ^^^^^^
               |
               = help: `within` stands in a kind: `response`, `precedence`, `agreement`, `order`, `sequence`
        "#]],
    );
    of_rule(
        "    heartbeat:\n      event: batch.tracked\n      every: 5s\n      for: 1m\n",
        &expect![[r#"
            error[I101]: a heartbeat has no field `for`
              --> shop.yaml:18:7
               |
            18 |       for: 1m
               |       ^^^
               |
               = help: `for` is the rule's: it stands beside `heartbeat`, not in it
        "#]],
    );
}

#[test]
fn queries_over_time_in_a_condition() {
    of_rule(
        "    always:\n      event: batch.announced\n      assert: rate(bytes[5m]) < 5\n",
        &expect![[r#"
        error[I001]: `5m` is not a number
          --> shop.yaml:17:26
           |
        17 |       assert: rate(bytes[5m]) < 5
           |                          ^^
           |
           = help: a condition sees one event: over a time look `count` with `window` and `aggregate`, which are kinds of rules
    "#]],
    );
    of_rule(
        "    never: batch.announced where bytes > 500ms\n",
        &expect![[r#"
        error[I001]: `500ms` is not a number
          --> shop.yaml:15:42
           |
        15 |     never: batch.announced where bytes > 500ms
           |                                          ^^^^^
           |
           = help: a length of time is written `duration("500ms")`
    "#]],
    );
}

#[test]
fn attributes_among_labels() {
    of_rule(
        "    never: batch.announced where labels.bytes > 5\n",
        &expect![[r#"
        error[I204]: unknown attribute `labels.bytes` of `batch.announced`
          --> shop.yaml:15:34
           |
        15 |     never: batch.announced where labels.bytes > 5
           |                                  ^^^^^^^^^^^^
           |
           = help: an attribute stands by itself: `bytes`
    "#]],
    );
}

#[test]
fn words_of_other_tools() {
    of_rule(
        "    absent:\n      event: batch.tracked\n      for: 1m\n",
        &expect![[r#"
        error[I102]: this rule has no kind
          --> shop.yaml:13:5
           |
        13 |   - id: r
           |     ^
           |
           = help: a rule has exactly one of: never, always, response, precedence, count, agreement, consecutive, heartbeat, monotonic, state_machine, order, sequence, exclusive, aggregate

        error[I101]: a rule has no field `absent`
          --> shop.yaml:15:5
           |
        15 |     absent:
           |     ^^^^^^
           |
           = help: what must not fall silent is a `heartbeat`; what must follow something is a `response`, what must come before it a `precedence`
    "#]],
    );
    of_rule(
        "    never: batch.tracked\n    during:\n      from: batch.announced\n      to: batch.tracked\n",
        &expect![[r#"
        error[I102]: `during` has neither `after` nor `until`
          --> shop.yaml:17:7
           |
        17 | /       from: batch.announced
        18 | |       to: batch.tracked
           | |_______________________^
           |
           = help: give at least one end

        error[I101]: a during has no field `from`
          --> shop.yaml:17:7
           |
        17 |       from: batch.announced
           |       ^^^^
           |
           = help: what opens the span is `after`

        error[I101]: a during has no field `to`
          --> shop.yaml:18:7
           |
        18 |       to: batch.tracked
           |       ^^
           |
           = help: what ends the span is `until`
    "#]],
    );
    of_rule(
        "    consecutive:\n      fail: batch.announced\n      ok: batch.tracked\n      times: 3\n",
        &expect![[r#"
        error[I101]: a consecutive has no field `times`
          --> shop.yaml:18:7
           |
        18 |       times: 3
           |       ^^^^^
           |
           = help: how many in a row are too many is `count`
    "#]],
    );
    of_rule(
        "    never: batch.tracked\n    description: It is not tracked.\n",
        &expect![[r#"
        error[I101]: a rule has no field `description`
          --> shop.yaml:16:5
           |
        16 |     description: It is not tracked.
           |     ^^^^^^^^^^^
           |
           = help: what it is about is `about`; `message` says what is wrong
    "#]],
    );
}

#[test]
fn a_terminal_state_need_not_be_listed_again() {
    let machine = |terminal: &str| {
        format!(
            "    state_machine:\n      event: batch.tracked\n      state: batch\n      initial: Pending\n      transitions:\n        \
             Pending: [Running, Failed]\n        Running: [Succeeded, Failed]\n      terminal: [{terminal}]\n"
        )
    };
    of_rule(&machine("Succeeded, Failed"), &expect![[""]]);
    of_rule(
        &machine("Succeded, Failed"),
        &expect![[r#"
        error[I206]: there is no state `Succeeded`
          --> shop.yaml:21:19
           |
        21 |         Running: [Succeeded, Failed]
           |                   ^^^^^^^^^
           |
           = help: states are: Pending, Running, Failed

        error[I206]: there is no state `Succeded`
          --> shop.yaml:22:18
           |
        22 |       terminal: [Succeded, Failed]
           |                  ^^^^^^^^
           |
           = help: states are: Pending, Running, Failed
    "#]],
    );
}

#[test]
fn functions_of_other_languages() {
    of_rule(
        "    never: batch.announced where now() - ts > duration(\"5m\")\n",
        &expect![[r#"
        error[I201]: there is no function `now`
          --> shop.yaml:15:34
           |
        15 |     never: batch.announced where now() - ts > duration("5m")
           |                                  ^^^^^
           |
           = help: verdicts rest on events alone, which bear their time, `ts`; what must come in time is a `response` or a `heartbeat`
    "#]],
    );
    of_rule(
        "    never: batch.announced where len(batch) > 5\n",
        &expect![[r#"
        error[I201]: there is no function `len`
          --> shop.yaml:15:34
           |
        15 |     never: batch.announced where len(batch) > 5
           |                                  ^^^^^^^^^^
           |
           = help: write `size(x)`
    "#]],
    );
    of_rule(
        "    never: batch.announced where coalesce(bytes, 0) > 5\n",
        &expect![[r#"
        error[I201]: there is no function `coalesce`
          --> shop.yaml:15:34
           |
        15 |     never: batch.announced where coalesce(bytes, 0) > 5
           |                                  ^^^^^^^^^^^^^^^^^^
           |
           = help: write `has(x) ? x : 0`
    "#]],
    );
}

#[test]
fn groupings_filters_and_assertions_of_other_tools() {
    of_rule(
        "    never: batch.tracked\n    by: [node, batch]\n",
        &expect![[r#"
        error[I103]: `by` is an expression, which orders the events of one timestamp
          --> shop.yaml:16:9
           |
        16 |     by: [node, batch]
           |         ^^^^^^^^^^^^
           |
           = help: what a rule is judged for each of is its `key`
    "#]],
    );
    of_rule(
        "    never:\n      event: batch.announced\n      filter: bytes > 3\n",
        &expect![[r#"
        error[I101]: a pattern has no field `filter`
          --> shop.yaml:17:7
           |
        17 |       filter: bytes > 3
           |       ^^^^^^
           |
           = help: a condition on the event is `where`
    "#]],
    );
    of_rule(
        "    never:\n      event: batch.announced\n      matchLabels: {bytes: 3}\n",
        &expect![[r#"
        error[I101]: a pattern has no field `matchLabels`
          --> shop.yaml:17:7
           |
        17 |       matchLabels: {bytes: 3}
           |       ^^^^^^^^^^^
           |
           = help: `where: namespace == "x"` asks for an attribute
    "#]],
    );
    of_rule(
        "    always: batch.announced where bytes > 3\n",
        &expect![[r#"
        error[I103]: an always is a map, this is text
          --> shop.yaml:15:13
           |
        15 |     always: batch.announced where bytes > 3
           |             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
           |
           = help: write `event:` with the event, and `assert:` with what holds of it; what must not happen is a `never`
    "#]],
    );
    of_rule(
        "    never: batch.announced where not (bytes > 3)\n",
        &expect![[r#"
        error[I201]: there is no function `not`
          --> shop.yaml:15:34
           |
        15 |     never: batch.announced where not (bytes > 3)
           |                                  ^^^^^^^^^^^^^^^
           |
           = help: `not` is written `!`
    "#]],
    );
}
