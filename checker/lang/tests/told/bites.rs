//! What YAML makes of unquoted text, and how to quote it.
use expect_test::expect;

use super::{of_rule, of_shop, shown};

#[test]
fn words_that_other_tools_take_for_booleans() {
    of_rule(
        "    enabled: yes\n    never: batch.announced\n",
        &expect![[r#"
        error[I103]: `true` or `false` is needed here
          --> shop.yaml:15:14
           |
        15 |     enabled: yes
           |              ^^^
           |
           = help: `yes` is text in YAML 1.2: write `true`
    "#]],
    );
    of_rule(
        "    count:\n      of: batch.announced\n      max: 1\n    strict: on\n",
        &expect![[r#"
        error[I103]: `true` or `false` is needed here
          --> shop.yaml:18:13
           |
        18 |     strict: on
           |             ^^
           |
           = help: `on` is text in YAML 1.2: write `true`
    "#]],
    );
    of_shop(
        "params:\n  strict: no\nrules:\n  - id: r\n    key: [batch]\n    enabled: param.strict\n    never: batch.announced\n",
        &expect![[r#"
            error[I103]: `true` or `false` is needed here
              --> shop.yaml:17:14
               |
            17 |     enabled: param.strict
               |              ^^^^^^^^^^^^
               |
               = help: `no` is text in YAML 1.2: write `false`
        "#]],
    );
    // What another tool makes of `on: violated`.
    of_rule(
        "    never: batch.announced\n    emits:\n      true: violated\n      event: batch.seen\n",
        &expect![[r#"
            error[I101]: an emits has no field `true`
              --> shop.yaml:17:7
               |
            17 |       true: violated
               |       ^^^^
               |
               = help: many tools take `on` for a boolean and write `true`: put it in quotes, `"on"`
        "#]],
    );
    // As a field's name the words are text.
    of_rule("    never: batch.announced\n    emits:\n      on: violated\n      event: batch.seen\n", &expect![""]);
}

#[test]
fn a_map_in_one_line_splits_at_the_comma() {
    of_rule(
        "    never: {event: batch.announced, where: max(bytes, 3) > 2}\n",
        &expect![[r#"
        error[I003]: inside `{ }` YAML ends a value at the comma: `where` is only `max(bytes`
          --> shop.yaml:15:44
           |
        15 |     never: {event: batch.announced, where: max(bytes, 3) > 2}
           |                                            ^^^^^^^^^^^^^^^^^
           |
           = help: put all of it in quotes, `where: "max(bytes, 3) > 2"`, or write one field a line
    "#]],
    );
    of_rule(
        "    never: {event: batch.announced, where: bytes in [1, 2]}\n",
        &expect![[r#"
        error[I003]: inside `{ }` YAML ends a value at a comma or a bracket
          --> shop.yaml:15:53
           |
        15 |     never: {event: batch.announced, where: bytes in [1, 2]}
           |                                                     ^^^^^^^
           |
           = help: put the expression in quotes, or write the map in block style, one field a line
    "#]],
    );
    of_rule("    never: {event: batch.announced, where: \"max(bytes, 3) > 2\"}\n", &expect![""]);
}

#[test]
fn a_value_that_begins_with_an_exclamation_mark_has_a_tag() {
    of_rule(
        "    never:\n      event: batch.announced\n      where: !has(bytes)\n",
        &expect![[r#"
        error[I003]: YAML takes `!has(bytes)` for a tag of `where`, and leaves it out
          --> shop.yaml:17:14
           |
        17 |       where: !has(bytes)
           |              ^^^^^^^^^^^
           |
           = help: put all of it in quotes: `where: "!has(bytes)"`
    "#]],
    );
    of_rule(
        "    never: {where: !has(bytes), event: batch.announced}\n",
        &expect![[r#"
        error[I003]: YAML takes `!has(bytes)` for a tag of `where`, and leaves it out
          --> shop.yaml:15:20
           |
        15 |     never: {where: !has(bytes), event: batch.announced}
           |                    ^^^^^^^^^^^
           |
           = help: put all of it in quotes: `where: "!has(bytes)"`
    "#]],
    );
    of_rule(
        "    never:\n      event: batch.announced\n      where: !has(bytes) && bytes > 3 # or so\n",
        &expect![[r#"
        error[I003]: YAML takes `!has(bytes)` for a tag of `where`, and leaves it out
          --> shop.yaml:17:14
           |
        17 |       where: !has(bytes) && bytes > 3 # or so
           |              ^^^^^^^^^^^^^^^^^^^^^^^^
           |
           = help: put all of it in quotes: `where: "!has(bytes) && bytes > 3"`
    "#]],
    );
    of_rule("    never:\n      event: batch.announced\n      where: \"!has(bytes)\"\n", &expect![""]);
}

#[test]
fn a_colon_begins_a_map() {
    of_shop(
        "rules:\n  - id: r\n    about: note: a colon\n    never: batch.announced\n",
        &expect![[r#"
        error[I003]: in unquoted text `: ` begins a map, and there cannot be one here
          --> shop.yaml:14:16
           |
        14 |     about: note: a colon
           |                ^^^^^^^^^
           |
           = help: put all of it in quotes: `about: "note: a colon"`
    "#]],
    );
    of_rule(
        "    never:\n      event: batch.announced\n      where: bytes > 3 ? true : false\n",
        &expect![[r#"
        error[I003]: in unquoted text `: ` begins a map, and there cannot be one here
          --> shop.yaml:17:31
           |
        17 |       where: bytes > 3 ? true : false
           |                               ^^^^^^^
           |
           = help: put all of it in quotes: `where: "bytes > 3 ? true : false"`
    "#]],
    );
}

#[test]
fn a_hash_begins_a_comment() {
    of_rule(
        "    never: batch.announced where batch == \"a #b\"\n",
        &expect![[r#"
        error[I001]: this text has no end
          --> shop.yaml:15:43
           |
        15 |     never: batch.announced where batch == "a #b"
           |                                           ^^
           |
           = help: in YAML ` #` begins a comment, so that this ends before it: put all of it in quotes, `'batch.announced where batch == "a #b"'`

        warning[W304]: YAML takes `#b"` for a comment
          --> shop.yaml:15:46
           |
        15 |     never: batch.announced where batch == "a #b"
           |                                              ^^^
           |
           = help: put all of it in quotes, `'batch.announced where batch == "a #b"'`; a comment that is meant has a space behind its `#`
    "#]],
    );
    of_rule(
        "    never: batch.announced\n    message: shard #3 of {node} is down\n",
        &expect![[r#"
        warning[W304]: YAML takes `#3 of {node} is down` for a comment
          --> shop.yaml:16:20
           |
        16 |     message: shard #3 of {node} is down
           |                    ^^^^^^^^^^^^^^^^^^^^
           |
           = help: put all of it in quotes, `"shard #3 of {node} is down"`; a comment that is meant has a space behind its `#`
    "#]],
    );
    // Comments that are meant say nothing.
    of_rule("    never: batch.announced # every one of them\n    message: shard 3 is down # and out\n", &expect![""]);
}

#[test]
fn values_that_begin_with_what_yaml_knows() {
    of_rule(
        "    never: batch.announced\n    message: {node} lost {batch}\n",
        &expect![[r#"
        error[I003]: in YAML a value that begins with `{` is a map
          --> shop.yaml:16:21
           |
        16 |     message: {node} lost {batch}
           |                     ^^^^^^^^^^^^
           |
           = help: put all of it in quotes: `message: "{node} lost {batch}"`
    "#]],
    );
    of_rule(
        "    never:\n      event: batch.announced\n      where: \"a\" == batch\n",
        &expect![[r#"
        error[I003]: a value that begins with a quote ends with the next one, and more stands behind it
          --> shop.yaml:17:18
           |
        17 |       where: "a" == batch
           |                  ^^^^^^^^
           |
           = help: put all of it in quotes: `where: '"a" == batch'`
    "#]],
    );
    of_rule(
        "    never: *\n",
        &expect![[r#"
        error[I003]: in YAML a value that begins with `*` stands for an anchor
          --> shop.yaml:15:12
           |
        15 |     never: *
           |            ^
           |
           = help: put all of it in quotes: `never: "*"`
    "#]],
    );
    of_rule(
        "    never: batch.announced\n    about: @home\n",
        &expect![[r#"
        error[I003]: in YAML no value begins with `@`
          --> shop.yaml:16:12
           |
        16 |     about: @home
           |            ^^^^^
           |
           = help: put all of it in quotes: `about: "@home"`
    "#]],
    );
}

#[test]
fn what_is_no_bite_is_told_in_the_words_of_yaml() {
    shown(
        "pack: shop\nrules:\n  - id: r\n    key: [node\n    never: a\n",
        &expect![[r#"
        error[I003]: there cannot be a field here
         --> shop.yaml:5:10
          |
        5 |     never: a
          |          ^^^
          |
          = help: look for a `[`, a `{` or a quote on the lines before that is never closed
    "#]],
    );
    shown(
        "pack: shop\nrules:\n  - id: r\n    key: [node]]\n    never: a\n",
        &expect![[r#"
        error[I003]: misplaced bracket
         --> shop.yaml:4:16
          |
        4 |     key: [node]]
          |                ^
          |
          = help: look at the indentation and the quotes of this line and the one before
    "#]],
    );
    shown(
        "pack: shop\nrules:\n  - id: r\n    never: *lost\n",
        &expect![[r#"
        error[I003]: in YAML a value that begins with `*` stands for an anchor
         --> shop.yaml:4:12
          |
        4 |     never: *lost
          |            ^^^^^
          |
          = help: put all of it in quotes: `never: "*lost"`
    "#]],
    );
    shown(
        "pack: shop\npack: shop\n",
        &expect![[r#"
        error[I003]: `pack` stands here twice
         --> shop.yaml:2:1
          |
        2 | pack: shop
          | ^^^^^^^^^^
          |
          = help: a map has each field once: leave one of them out, or put their values together
    "#]],
    );
    shown(
        "pack: shop\nrules:\n  - id: r\n   never: a\n",
        &expect![[r#"
        error[I003]: while parsing a block collection, did not find expected '-' indicator
         --> shop.yaml:4:4
          |
        4 |    never: a
          |    ^^^^^^^^
          |
          = help: look at the indentation and the quotes of this line and the one before
    "#]],
    );
}
