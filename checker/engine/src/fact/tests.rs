//! What the tables hold to at their edges; what facts mean in rules is tested with the language.
use super::*;
use alloc::string::String;
use event::{Identity, Position};

fn at(ts: u64) -> EventRef {
    EventRef { ts: Timestamp(ts), identity: Identity(u128::from(ts)), element: 0, position: Position::default() }
}

fn row(name: &str) -> Box<[u8]> {
    let mut key = key::NO_NETWORK.to_vec();
    key::push(&mut key, &Val::String(name.into()));
    key.into()
}

fn relation() -> Fact {
    Fact {
        name: String::from("members"),
        key: Vec::new(),
        row: vec![String::from("member")],
        set_by: crate::pack::Role { name: "".into(), alternatives: Vec::new(), kept: 0, label: "".into() },
        value: crate::expr::Expr::Const(Value::Bool(true)),
        unset_by: None,
        keep: Keep::Last,
        expires: None,
        is: None,
        default: None,
        forget_after: Duration::from_nanos(1_000),
        max_keys: 2,
    }
}

fn members(facts: &Facts, ts: u64) -> usize {
    match facts.ask(0, &relation(), key::NO_NETWORK, 0, Moment::At(Timestamp(ts))) {
        Ok(Some(Val::List(rows))) => rows.len(),
        other => panic!("{other:?}"),
    }
}

const SHORT: Horizon = Horizon { look_back: Duration::ZERO, forget_after: Duration::from_nanos(1_000), max_rows: 2 };

#[test]
fn the_same_change_twice_is_no_news() {
    let mut facts = Facts::with_tables(1);
    assert!(facts.set(0, Keep::Last, &row("a"), at(1), true.into(), None));
    assert!(!facts.set(0, Keep::Last, &row("a"), at(1), true.into(), None));
    assert!(facts.unset(0, Keep::Last, &row("a"), at(2)));
    assert_eq!((members(&facts, 1), members(&facts, 2)), (1, 0));
}

#[test]
fn a_late_change_is_counted_in_what_followed_it() {
    let mut facts = Facts::with_tables(1);
    let counted = |facts: &Facts| {
        let table = &facts.tables[0];
        table.holding(&row("a"), &table.rows[&row("a")], Timestamp(9), false).and_then(Entry::held).cloned()
    };
    for ts in [3, 5, 1] {
        facts.set(0, Keep::Count, &row("a"), at(ts), true.into(), None);
    }
    assert_eq!(counted(&facts), Some(Value::from(3)));
    facts.unset_wide(0, Keep::Count, PartialKey(vec![Some(key::NO_NETWORK.into())]), at(4));
    assert_eq!(counted(&facts), Some(Value::from(1)), "an unset that comes late starts the count anew after it");
}

#[test]
fn a_row_that_still_holds_outlives_pruning_until_it_is_forgotten() {
    let mut facts = Facts::with_tables(1);
    facts.set(0, Keep::Last, &row("a"), at(10), true.into(), None);
    facts.set(0, Keep::Last, &row("b"), at(10), true.into(), Some(Timestamp(20)));
    facts.set(0, Keep::Last, &row("c"), at(10), true.into(), None);
    facts.unset(0, Keep::Last, &row("c"), at(15));
    facts.prune(Timestamp(100), &[SHORT]);
    assert_eq!(facts.tables[0].rows.len(), 1, "what ended before the floor is gone");
    assert_eq!(members(&facts, 100), 1);
    facts.prune(Timestamp(2_000), &[SHORT]);
    assert!(facts.tables[0].rows.is_empty());
}

#[test]
fn history_is_kept_as_far_as_rules_look_back() {
    let mut facts = Facts::with_tables(1);
    facts.set(0, Keep::Last, &row("a"), at(10), true.into(), None);
    facts.unset(0, Keep::Last, &row("a"), at(20));
    let back = Horizon { look_back: Duration::from_nanos(90), ..SHORT };
    facts.prune(Timestamp(100), &[back]);
    let during = Moment::During(Timestamp(10), Timestamp(12));
    assert!(matches!(facts.ask(0, &relation(), &row("a"), 1, during), Ok(Some(Val::Bool(true)))));
    facts.prune(Timestamp(200), &[back]);
    assert!(facts.tables[0].rows.is_empty());
}

#[test]
fn too_many_rows_lose_the_oldest_and_say_so() {
    let mut facts = Facts::with_tables(1);
    for (ts, name) in [(1, "a"), (2, "b"), (3, "c"), (4, "d")] {
        facts.set(0, Keep::Last, &row(name), at(ts), true.into(), None);
    }
    assert_eq!(facts.prune(Timestamp(5), &[SHORT]), [2]);
    assert!(!facts.tables[0].rows.contains_key(&row("b")));
    let ask = |facts: &Facts, name: &str, moment| match facts.ask(0, &relation(), &row(name), 1, moment) {
        Ok(Some(Val::Bool(holds))) => Ok(holds),
        Ok(other) => panic!("{other:?}"),
        Err(Forgotten) => Err(Forgotten),
    };
    let at_time = |ts| Moment::At(Timestamp(ts));
    assert_eq!(ask(&facts, "c", at_time(5)), Ok(true), "what is kept is known");
    assert_eq!(ask(&facts, "b", at_time(5)), Err(Forgotten), "who was forgotten may be a member");
    assert!(facts.ask(0, &relation(), key::NO_NETWORK, 0, at_time(5)).is_err(), "nobody knows who all are");
    facts.unset_wide(0, Keep::Last, PartialKey(vec![Some(key::NO_NETWORK.into())]), at(6));
    assert_eq!(ask(&facts, "b", at_time(6)), Ok(false), "nobody is a member any more");
    facts.set(0, Keep::Last, &row("b"), at(7), true.into(), None);
    assert_eq!(ask(&facts, "b", at_time(7)), Ok(true));
    facts.prune(Timestamp(2_000), &[SHORT]);
    assert_eq!(ask(&facts, "a", at_time(2_000)), Ok(false), "it would have been forgotten by now anyway");
}

#[test]
fn a_count_that_may_have_lost_its_beginning_is_not_known() {
    let mut facts = Facts::with_tables(1);
    let fact = Fact { keep: Keep::Count, row: Vec::new(), key: vec![String::from("member")], ..relation() };
    for (ts, name) in [(1, "a"), (2, "b"), (3, "c")] {
        facts.set(0, Keep::Count, &row(name), at(ts), true.into(), None);
    }
    facts.prune(Timestamp(4), &[SHORT]);
    facts.set(0, Keep::Count, &row("a"), at(5), true.into(), None);
    facts.set(0, Keep::Count, &row("c"), at(5), true.into(), None);
    let ask = |facts: &Facts, name, moment| {
        facts.ask(0, &fact, &row(name), 1, moment).map(|value| value.map(|value| value.to_value()))
    };
    let now = || Moment::At(Timestamp(9));
    assert_eq!(ask(&facts, "a", now()), Err(Forgotten));
    assert_eq!(ask(&facts, "c", now()), Ok(Some(Value::from(2))));
    assert_eq!(ask(&facts, "a", Moment::Since(Timestamp(9))), Err(Forgotten));
    facts.unset(0, Keep::Count, &row("a"), at(6));
    facts.set(0, Keep::Count, &row("a"), at(7), true.into(), None);
    assert_eq!(ask(&facts, "a", now()), Ok(Some(Value::from(1))), "it began anew since");
}

#[test]
fn an_expired_row_holds_up_to_its_end_and_not_in_it() {
    let mut facts = Facts::with_tables(1);
    facts.set(0, Keep::Last, &row("a"), at(10), true.into(), Some(Timestamp(20)));
    assert_eq!((members(&facts, 9), members(&facts, 10), members(&facts, 19), members(&facts, 20)), (0, 1, 1, 0));
    let fact = relation();
    let before = |ts| facts.ask(0, &fact, &row("a"), 1, Moment::Before(Timestamp(ts)));
    assert!(matches!(before(20), Ok(Some(Val::Bool(true)))));
    assert!(matches!(before(21), Ok(Some(Val::Bool(false)))));
    assert!(matches!(before(10), Ok(Some(Val::Bool(false)))));
}
