//! Packs whose rules build on verdicts, on facts and on clocks: whatever the order of arrival, the repeats and a restart,
//! they find the same.
use proptest::prelude::*;

use crate::harness::{both_ways, history};

/// Rules on the verdicts of rules, three deep: one that is said on arrival, levels, and absences of verdicts.
const STORIES: &str = "\
pack: p
rules:
  - id: low
    key: []
    never: a where v == 3
    emits:
      on: violated
      event: low.seen
  - id: answered
    key: [h]
    response:
      when: a
      then: b
      within: 4s
    emits:
      on: violated
      event: missed
      set:
        of: h + 1
  - id: few
    key: []
    count:
      of: [missed, low.seen]
      max: 1
      window: 6s
  - id: calm
    key: []
    response:
      when:
        event: invar.violated
        rule: few
      then:
        event: invar.resolved
        rule: few
      within: 3s
  - id: explained
    key: []
    precedence:
      event:
        event: invar.violated
        rule: [few, calm]
      requires: c
      within: 5s
  - id: ordered
    key: [of]
    sequence:
      steps:
        - missed
        - not:
            event: b
            let:
              of: h + 1
        - missed
      within: 20s
";

/// Rules on what others found in order, and on what they measured.
const MEASURED: &str = "\
pack: p
rules:
  - id: answered
    key: [h]
    response:
      when: a
      then: b where v >= when.v
      within: 4s
      pair: true
    emits:
      - on: held
        event: took
        set:
          ms: (then.ts - when.ts).getMilliseconds()
      - on: violated
        event: missed
  - id: quick
    key: []
    aggregate:
      terms:
        longest:
          max: ms
          of: took
        n:
          count: took
      window: 6s
      assert: n < 3 && (!has(longest) || longest < 3000)
  - id: mixed
    key: [h]
    sequence:
      steps:
        - took
        - missed
      within: 20s
  - id: books
    key: []
    aggregate:
      terms:
        total:
          sum: v
          of: a
      close: c
      assert: total < 4
    emits:
      - on: close
        event: closed
        set:
          sum: total
      - on: held
        event: balanced
  - id: growing
    key: []
    monotonic:
      event: closed
      value: sum
      order: nondecreasing
  - id: balanced-again
    key: []
    response:
      when: closed
      then: balanced
      within: 3s
  - id: counted
    key: [h]
    count:
      of: b
      min: 1
      max: 2
      per:
        when: a
        within: 5s
    emits:
      - on: close
        event: came
        set:
          n: count
      - on: held
        event: right
  - id: few
    key: [h]
    never: came where n > 1
  - id: right-after
    key: []
    precedence:
      event: missed
      requires: right
      within: 8s
  - id: supported
    key: []
    precedence:
      event: b
      requires: a
      within: 3s
    slack: 2s
    emits:
      on: held
      event: leant
      set:
        ms: (event.ts - requires.ts).getMilliseconds()
  - id: leaning
    key: []
    never: leant where ms > 1000
  - id: low
    key: [h]
    always:
      event: a
      assert: v < 3
    emits:
      on: held
      event: was.low
  - id: few-low
    key: []
    count:
      of: was.low
      max: 2
      window: 5s
";

/// Rules on derived events that only the first event of each key makes.
const FIRSTS: &str = "\
pack: p
derive:
  begun:
    from: a
    set:
      who: h
      value: v
    first_per: [who]
  high:
    from: a where v > 1
    set:
      who: h
rules:
  - id: begun
    key: [who]
    never: begun
  - id: begun-low
    key: [who]
    always:
      event: begun
      assert: value < 2
  - id: begun-before-high
    key: [who]
    precedence:
      event: high
      requires: begun
      within: 5s
  - id: ended
    key: [who]
    response:
      when: begun
      then:
        event: b
        let:
          who: h
      within: 6s
";

const GROUP: &str = "\
pack: p
facts:
  members:
    row: [h]
    set_by: a
    unset_by: b
rules:
  - id: r
    key: []
    aggregate:
      each:
        in: fact.members()
        as: h
      terms:
        n:
          count: c
        most:
          max: v
          of: c
      window: 5s
      assert: n <= 2 * n.avg && (!has(most) || most <= most.median + 2)
";

/// Books that are closed for every member of a group.
const GROUP_CLOSED: &str = "\
pack: p
facts:
  members:
    row: [h]
    set_by: n
    unset_by: r
rules:
  - id: r
    key: []
    aggregate:
      each:
        in: fact.members()
        as: h
      terms:
        put:
          sum: v
          of: a
        got:
          sum: v
          of: b
        lately:
          count: b
          window: 5s
      close: c
      assert: put >= got && got <= 2 * got.avg + 1 && lately < 3
    emits:
      - on: close
        event: closed
        set:
          got: got
      - on: held
        event: balanced
  - id: grows
    key: [h]
    monotonic:
      event: closed
      value: got
      order: nondecreasing
  - id: balanced
    key: [h]
    precedence:
      event: closed
      requires: balanced
      within: 8s
";

/// What members owe until a marker, at their deadline, and until something breaks it.
const MEMBERS: &str = "\
pack: p
facts:
  members:
    row: [h]
    set_by: n
    unset_by: r
rules:
  - id: all
    key: [v]
    response:
      when: a
      then: b
      by: c
      from:
        each: fact.members()
        member: h
    emits:
      on: held
      event: done
      set:
        of: then.h
  - id: most
    key: []
    response:
      when: a
      then: b
      within: 5s
      broken_by: c where v > when.v
      from:
        quorum: \"> 1/2\"
        of: fact.members()
        member: h
        as_of: now
    emits:
      on: held
      event: enough
  - id: done-once
    key: [of]
    count:
      of: done
      max: 1
      window: 9s
  - id: enough-after-done
    key: []
    precedence:
      event: enough
      requires: done
      within: 6s
";

/// Keys and elements that facts give.
const FACT_KEYS: &str = "\
pack: p
facts:
  owner:
    key: [h]
    set_by: n
    value: v
    unset_by: r
  members:
    row: [v]
    set_by: n
    unset_by: r
rules:
  - id: answered
    key: [who]
    response:
      when:
        event: a
        let:
          who: fact.owner(h)
      then:
        event: b
        let:
          who: v
      within: 4s
    emits:
      on: held
      event: met
  - id: few-met
    key: [who]
    count:
      of: met
      max: 1
      window: 8s
  - id: rare
    key: [who]
    count:
      of:
        event: [a, b]
        let:
          who: fact.owner.before(h)
        where: who > 0
      max: 1
      window: 6s
  - id: heard-of-all
    key: [m]
    response:
      when:
        event: c
        for_each:
          in: fact.members()
          as: m
      then:
        event: a
        let:
          m: v
      within: 5s
";

/// What is counted in ticks of a clock that `n` moves.
const CLOCKED: &str = "\
pack: p
clocks:
  height:
    event: n
    value: v
rules:
  - id: answered
    key: []
    response:
      when: a
      then: b
      within: 1 height
  - id: recent
    key: []
    precedence:
      event: b
      requires: a
      within: 1 height
  - id: recent-or-soon
    key: [h]
    precedence:
      event: b
      requires: a
      within: [1 height, 3s]
    slack: 1s
  - id: counted
    key: [h]
    count:
      of: b
      min: 1
      max: 1
      per:
        when: a
        within: [1 height, 4s]
        until: c
";

proptest! {
    // Each history is judged by many rules, twice.
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_rules_build_on_does_not_depend_on_arrival(
        events in history(&["a", "b", "c", "n", "r"], 4, 16),
        keys in prop::collection::vec(any::<u64>(), 16),
        cut in 0_usize..16,
    ) {
        let mut order: Vec<usize> = (0..events.len()).collect();
        order.sort_by_key(|&number| keys[number]);
        for pack in [STORIES, MEASURED, FIRSTS, GROUP, GROUP_CLOSED, MEMBERS, FACT_KEYS, CLOCKED] {
            let [recorded, live] = both_ways(pack, &events, &order, cut);
            prop_assert_eq!(recorded, live, "{}", pack);
        }
    }
}
