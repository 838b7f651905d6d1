//! What `invar test` says of tests that do not come out as expected.
use expect_test::{Expect, expect};

const PACK: &str = "\
pack: p
rules:
  - id: answered
    key: [node, k]
    response:
      when: asked
      then: told
      within: 5s
    message: \"{node} was not told of {k}\"
breakers:
  - id: b
    per: [node]
    trip:
      rules: [answered]
      count: 2
      within: 1m
    half_open_after: 30s
    close:
      event: told
      count: 1
";

/// Runs a test in which two questions are not answered and a third one is.
fn check(expected: &str, told: &Expect) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("p.yaml"), PACK).unwrap();
    let events: String = [(0, "asked", 1), (1, "asked", 2), (60, "asked", 3), (61, "told", 3)]
        .map(|(at, event, k)| format!("      - {{at: {at}s, node: n, event: {event}, attrs: {{k: {k}}}}}\n"))
        .concat();
    let expected: String = expected.lines().map(|line| format!("      - {line}\n")).collect();
    let text = format!("pack: p.yaml\ntests:\n  - name: t\n    events:\n{events}    expect:\n{expected}");
    let tests = folder.path().join("p.test.yaml");
    std::fs::write(&tests, text).unwrap();
    let report = runtime::suite::run(&tests).unwrap();
    let mistakes = report.mistakes.iter().map(|mistake| mistake.replace(&*folder.path().to_string_lossy(), "…"));
    let failures = report.outcomes.into_iter().flat_map(|outcome| outcome.failures);
    let lines: Vec<String> = mistakes.chain(failures).map(|line| format!("{line}\n")).collect();
    told.assert_eq(&lines.concat());
}

#[test]
fn messages_are_held_against_what_people_are_told() {
    let first = "{rule: answered, at: 5s, key: {k: 1}, message: n was not told of 1}";
    check(&format!("{first}\n{{rule: answered, message: n was not told of 2}}"), &expect![[""]]);
    check(
        &format!("{first}\n{{rule: answered, at: 6s, message: n was told of 2}}"),
        &expect![[r#"
        line 11: expected answered at 6s with the message `n was told of 2`, not found: it says `n was not told of 2`
        found answered at 6s (node=n, k=2), not expected
    "#]],
    );
}

#[test]
fn breakers_are_held_against_their_states() {
    let found = "{rule: answered}\n{rule: answered}";
    let breaker = |rest: &str| format!("{found}\n{{breaker: b, key: {{node: n}}, {rest}}}");
    for right in
        ["at: 5s, is: closed", "at: 6s, is: open", "at: 36s, is: half_open", "at: 61s, is: closed", "is: closed"]
    {
        check(&breaker(right), &expect![[""]]);
    }
    check(
        &breaker("at: 35999ms, is: half_open"),
        &expect![[r#"
        line 12: the breaker b (node=n) is open at 35s999ms, expected half_open
    "#]],
    );
    check(
        &breaker("is: open"),
        &expect![[r#"
        line 12: the breaker b (node=n) is closed at the end, expected open
    "#]],
    );
    check(
        &breaker("is: shut"),
        &expect![[r#"
        error[I103]: `is` is `closed`, `open` or `half_open`
          --> …/p.test.yaml:12:42
           |
        12 |       - {breaker: b, key: {node: n}, is: shut}
           |                                          ^^^^

    "#]],
    );
    check(
        &format!("{found}\n{{breaker: b, is: closed}}"),
        &expect![[r#"
        line 12: the scope of the breaker `b` has node: give them under `key`
    "#]],
    );
    check(
        &format!("{found}\n{{breaker: c, is: closed}}"),
        &expect![[r#"
        line 12: there is no breaker `c`
    "#]],
    );
    check(&format!("{found}\n{{breaker: b, key: {{node: other}}, at: 6s, is: closed}}"), &expect![[""]]);
}
