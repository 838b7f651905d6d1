//! Did you mean …?
use expect_test::expect;

use super::{of_rule, of_shop};

#[test]
fn misspelt_fields_of_every_map() {
    of_shop(
        "rules:
  - id: r
    key: [node, batch]
    response:
      whne: batch.announced
      then:
        event: batch.tracked
        wehre: batch != \"\"
      within: 5s
    durign:
      after: batch.announced
  - id: s
    key: [node, batch]
    never: batch.tracked
    during:
      aftr: batch.announced
      until: batch.tracked
    emits:
      \"on\": violated
      evnt: batch.seen
facts:
  sizes:
    kye: [batch]
    set_by: batch.announced
    valeu: bytes
clocks:
  height:
    evnt: batch.announced
    value: bytes
derive:
  batch.known:
    form: batch.announced
breakers:
  - id: b
    gaurds: ingester -> tracker
    trip:
      rules: [r]
      cuont: 3
    close:
      evetn: batch.tracked
lifecycle:
  strated: batch.announced
",
        &expect![[r#"
            error[I101]: a response has no field `whne`
              --> shop.yaml:16:7
               |
            16 |       whne: batch.announced
               |       ^^^^
               |
               = help: did you mean `when`?

            error[I101]: a pattern has no field `wehre`
              --> shop.yaml:19:9
               |
            19 |         wehre: batch != ""
               |         ^^^^^
               |
               = help: did you mean `where`?

            error[I101]: a rule has no field `durign`
              --> shop.yaml:21:5
               |
            21 |     durign:
               |     ^^^^^^
               |
               = help: did you mean `during`?

            error[I101]: a during has no field `aftr`
              --> shop.yaml:27:7
               |
            27 |       aftr: batch.announced
               |       ^^^^
               |
               = help: did you mean `after`?

            error[I101]: an emits has no field `evnt`
              --> shop.yaml:31:7
               |
            31 |       evnt: batch.seen
               |       ^^^^
               |
               = help: did you mean `event`?

            error[I101]: a fact has no field `kye`
              --> shop.yaml:34:5
               |
            34 |     kye: [batch]
               |     ^^^
               |
               = help: did you mean `key`?

            error[I102]: this fact has neither `value` nor `row`
              --> shop.yaml:34:5
               |
            34 |     kye: [batch]
               |     ^
               |
               = help: give `value: attribute` for one value per key, or `row: [column]` where many may hold

            error[I101]: a fact has no field `valeu`
              --> shop.yaml:36:5
               |
            36 |     valeu: bytes
               |     ^^^^^
               |
               = help: did you mean `value`?

            error[I101]: a clock has no field `evnt`
              --> shop.yaml:39:5
               |
            39 |     evnt: batch.announced
               |     ^^^^
               |
               = help: did you mean `event`?

            error[I101]: a derived event has no field `form`
              --> shop.yaml:43:5
               |
            43 |     form: batch.announced
               |     ^^^^
               |
               = help: did you mean `from`?

            error[I101]: a breaker has no field `gaurds`
              --> shop.yaml:46:5
               |
            46 |     gaurds: ingester -> tracker
               |     ^^^^^^
               |
               = help: did you mean `guards`?

            error[I101]: a trip has no field `cuont`
              --> shop.yaml:49:7
               |
            49 |       cuont: 3
               |       ^^^^^
               |
               = help: did you mean `count`?

            error[I101]: a close has no field `evetn`
              --> shop.yaml:51:7
               |
            51 |       evetn: batch.tracked
               |       ^^^^^
               |
               = help: did you mean `event`?

            error[I101]: a lifecycle has no field `strated`
              --> shop.yaml:53:3
               |
            53 |   strated: batch.announced
               |   ^^^^^^^
               |
               = help: did you mean `started`?
        "#]],
    );
}

#[test]
fn misspelt_words() {
    of_shop(
        "rules:
  - id: r
    key: [node, batch]
    mode: shadw
    report: frist
    on_restart: kept
    on_silence: violatd
    monotonic:
      event: batch.announced
      value: bytes
      order: increasng
    emits:
      \"on\": violted
      event: batch.seen
facts:
  sizes:
    key: [batch]
    set_by: batch.announced
    value: bytes
    keep: lsat
breakers:
  - id: b
    mode: enforced
    trip:
      rules: [r]
",
        &expect![[r#"
            error[I103]: `mode` is `active`, `shadow` or `measure`
              --> shop.yaml:15:11
               |
            15 |     mode: shadw
               |           ^^^^^
               |
               = help: did you mean `shadow`?

            error[I103]: `report` is `first` or `all`
              --> shop.yaml:16:13
               |
            16 |     report: frist
               |             ^^^^^
               |
               = help: did you mean `first`?

            error[I103]: `on_restart` is `broken`, `ended`, `reset` or `keep`
              --> shop.yaml:17:17
               |
            17 |     on_restart: kept
               |                 ^^^^
               |
               = help: did you mean `keep`?

            error[I103]: `on_silence` is `unknown` or `violated`
              --> shop.yaml:18:17
               |
            18 |     on_silence: violatd
               |                 ^^^^^^^
               |
               = help: did you mean `violated`?

            error[I103]: `increasng` is not an order
              --> shop.yaml:22:14
               |
            22 |       order: increasng
               |              ^^^^^^^^^
               |
               = help: did you mean `increasing`?

            error[I103]: `on` is `violated`, `resolved`, `retracted`, `held` or `close`
              --> shop.yaml:24:13
               |
            24 |       "on": violted
               |             ^^^^^^^
               |
               = help: did you mean `violated`?

            error[I103]: `keep` is `last`, `max`, `min` or `count`
              --> shop.yaml:31:11
               |
            31 |     keep: lsat
               |           ^^^^
               |
               = help: did you mean `last`?

            error[I103]: `mode` is `advisory` or `enforcing`
              --> shop.yaml:34:11
               |
            34 |     mode: enforced
               |           ^^^^^^^^
               |
               = help: did you mean `enforcing`?
        "#]],
    );
    of_shop(
        "  batch.lost:\n    batch: strng\n",
        &expect![[r#"
        error[I103]: this is not the type of `batch`
          --> shop.yaml:13:12
           |
        13 |     batch: strng
           |            ^^^^^
           |
           = help: did you mean `string`?
    "#]],
    );
}

#[test]
fn misspelt_parts_of_the_key() {
    of_rule(
        "    group_by: [nodes]\n    response:\n      when: batch.announced\n      then:\n        event: batch.tracked\n        key: [bach]\n      within: 5s\n",
        &expect![[r#"
            error[I205]: `group_by` names key parts, `nodes` is none
              --> shop.yaml:15:16
               |
            15 |     group_by: [nodes]
               |                ^^^^^
               |
               = help: did you mean `node`?

            error[I205]: `bach` is not a part of the key
              --> shop.yaml:20:15
               |
            20 |         key: [bach]
               |               ^^^^
               |
               = help: did you mean `batch`?
        "#]],
    );
}

#[test]
fn misspelt_components() {
    of_shop(
        "rules:
  - id: r
    key: [node, batch]
    never:
      event: batch.announced
      component: ingestor
breakers:
  - id: b
    guards: ingester -> trakcer
    trip:
      rules: [r]
",
        &expect![[r#"
            error[I206]: there is no component `ingestor`
              --> shop.yaml:17:18
               |
            17 |       component: ingestor
               |                  ^^^^^^^^
               |
               = help: did you mean `ingester`?

            error[I206]: there is no component `trakcer`
              --> shop.yaml:20:25
               |
            20 |     guards: ingester -> trakcer
               |                         ^^^^^^^
               |
               = help: did you mean `tracker`?
        "#]],
    );
    // A scope that is no part of the topology, and a pattern of them.
    of_rule("    never:\n      event: batch.announced\n      component: 'store::*'\n", &expect![""]);
}

#[test]
fn names_in_messages_and_severities() {
    of_rule(
        "    response:
      when: batch.announced
      then: batch.tracked
      within: 5s
    severity:
      - where: byts > 3
        is: high
      - is: low
    message: '{nod}: {btch} of {when.byts} bytes; {whn.batch}'
",
        &expect![[r#"
            warning[W305]: nothing in evidence has `byts`: a condition on it never holds
              --> shop.yaml:20:16
               |
            20 |       - where: byts > 3
               |                ^^^^^^^^
               |
               = help: did you mean `bytes`?

            warning[W305]: nothing in evidence has `nod`: the message will say `?`
              --> shop.yaml:23:16
               |
            23 |     message: '{nod}: {btch} of {when.byts} bytes; {whn.batch}'
               |                ^^^
               |
               = help: did you mean `node`?

            warning[W305]: nothing in evidence has `btch`: the message will say `?`
              --> shop.yaml:23:23
               |
            23 |     message: '{nod}: {btch} of {when.byts} bytes; {whn.batch}'
               |                       ^^^^
               |
               = help: did you mean `batch`?

            warning[W305]: no `when` has `byts`: the message will say `?`
              --> shop.yaml:23:33
               |
            23 |     message: '{nod}: {btch} of {when.byts} bytes; {whn.batch}'
               |                                 ^^^^^^^^^
               |
               = help: did you mean `bytes`?

            warning[W305]: nothing in evidence has `whn.batch`: the message will say `?`
              --> shop.yaml:23:52
               |
            23 |     message: '{nod}: {btch} of {when.byts} bytes; {whn.batch}'
               |                                                    ^^^^^^^^^
               |
               = help: did you mean `when.batch`?
        "#]],
    );
    // What is told: the key, attributes by role or without, what a pattern defines.
    of_rule(
        "    response:
      when:
        event: batch.announced
        let:
          kib: bytes / 1024
      then: batch.tracked
      within: 5s
    severity:
      - where: kib > 3
        is: high
      - is: low
    message: '{node}: {batch} of {when.bytes} bytes ({kib} KiB, {when.kib}) at {ts}'
",
        &expect![""],
    );
    // Of a term, its figures.
    of_shop(
        "facts:
  members:
    row: [node]
    set_by: batch.tracked
rules:
  - id: r
    aggregate:
      each:
        in: fact.members()
        as: node
      terms:
        sent:
          count: batch.announced
      window: 1m
      assert: sent <= 2 * sent.avg
    message: '{node} sent {sent}, {sent.avg} are usual; {sent.bytse}'
",
        &expect![[r#"
            warning[W305]: no `sent` has `bytse`: the message will say `?`
              --> shop.yaml:27:58
               |
            27 |     message: '{node} sent {sent}, {sent.avg} are usual; {sent.bytse}'
               |                                                          ^^^^^^^^^^
               |
               = help: did you mean `bytes`?
        "#]],
    );
}

#[test]
fn messages_read_definitions_and_figures_from_where_they_are() {
    let slots = |rule: &str| {
        let source = format!("{}rules:\n  - id: r\n    key: [node]\n{rule}", super::SHOP);
        let (pack, diagnostics) = lang::compile(&source, "shop.yaml", &lang::Options::default());
        let message = pack.and_then(|pack| pack.rules.into_iter().next()?.message);
        let message = message.unwrap_or_else(|| panic!("{}", lang::render(&diagnostics, &source)));
        format!("{:?}\n", message.slots)
    };
    expect![[r#"
        [(None, Attr { name: "bytes", int: false }), (Some(0), Attr { name: "bytes", int: true })]
    "#]].assert_eq(&slots(
        "    never:\n      event: batch.announced\n      let:\n        kib: bytes / 1024\n    message: '{bytes} bytes are {kib} KiB'\n",
    ));
    expect![[r#"
        [(None, Attr { name: "sent", int: false }), (None, Attr { name: "sent.avg", int: false }), (Some(0), Attr { name: "batch", int: false })]
    "#]].assert_eq(&slots(
        "    aggregate:\n      each:\n        in: '[\"a\"]'\n        as: member\n        of: batch\n      terms:\n        sent:\n          count: batch.announced\n      window: 1m\n      assert: sent < 3\n    message: '{sent}, {sent.avg}, {sent.batch}'\n",
    ));
}
