//! What the evaluator holds to, on trees built by hand; the language's own tests go through the parser in `lang`.
use super::*;
use alloc::{string::String, vec};

struct Nothing;

impl Env for Nothing {
    fn slot(&self, slot: u16) -> Option<Val<'_>> {
        (slot == 0).then(|| Val::from(event::ValueRef::Int(7)))
    }
    fn role(&self, _: RoleIdx, _: u16) -> Option<Val<'_>> {
        None
    }
}

fn binary(operator: Binary, a: Expr, b: Expr) -> Expr {
    Expr::Binary(operator, Box::new(a), Box::new(b))
}

fn truth(value: bool) -> Expr {
    Expr::Const(Value::Bool(value))
}

#[test]
fn an_operand_that_decides_wins_over_absence_on_either_side() {
    let absent = || Expr::Slot(9);
    for (operator, decides) in [(Binary::And, false), (Binary::Or, true)] {
        assert_eq!(binary(operator, absent(), truth(decides)).test(&Nothing), Ok(decides));
        assert_eq!(binary(operator, truth(decides), absent()).test(&Nothing), Ok(decides));
        let undecided = binary(operator, absent(), truth(!decides)).test(&Nothing);
        assert_eq!(undecided, Err(Undefined::Absent { slot: 9 }));
    }
}

#[test]
fn has_asks_for_presence_only() {
    assert_eq!(Expr::Has(Box::new(Expr::Slot(0))).test(&Nothing), Ok(true));
    assert_eq!(Expr::Has(Box::new(Expr::Slot(9))).test(&Nothing), Ok(false));
}

#[test]
fn nested_macros_end_with_an_error_instead_of_hanging() {
    let many = Expr::Const(Value::List(vec![Value::Bool(true); 1000]));
    let nested = (0..4).fold(truth(true), |body, _| Expr::Macro(Macro::All, Box::new(many.clone()), Box::new(body)));
    assert_eq!(nested.test(&Nothing), Err(Undefined::Cost));
}

#[test]
fn instants_and_lengths_survive_being_kept_as_plain_values() {
    let ts = parse_timestamp("2026-11-20T12:00:00.5+02:00").unwrap();
    let kept = Val::Timestamp(ts).to_value();
    let Ok(Val::Timestamp(back)) = Function::Timestamp.call(&[Val::from(&kept)]) else { panic!("not an instant") };
    assert_eq!(back, ts);
    let kept = Val::Duration(-5).to_value();
    assert!(matches!(Function::Nanoseconds.call(&[Val::from(&kept)]), Ok(Val::Duration(-5))));
}

#[test]
fn json_is_read_strictly_and_exactly() {
    let value =
        parse_json(r#"{"a": [1, -2.5e1, "\ud83d\ude00"], "big": 340282366920938463463374607431768211456}"#).unwrap();
    let Value::Map(entries) = value else { panic!("not a map") };
    let big = event::Int::parse("340282366920938463463374607431768211456").map(Value::Int);
    assert_eq!(Some(&entries[1].1), big.as_ref());
    for bad in ["", "01", "1.", "[1,]", "{\"a\" 1}", "\"\\ud800\"", "nul", "1 2", "\"\u{1}\""] {
        assert_eq!(parse_json(bad), None, "{bad}");
    }
    assert_eq!(parse_json(&"[".repeat(100_000)), None);
}

#[test]
fn durations_need_their_units() {
    for (text, nanos) in [("5s", 5_000_000_000), ("1m30s", 90_000_000_000), ("1.5ms", 1_500_000), ("-2ns", -2)] {
        assert_eq!(parse_duration(text), Some(nanos), "{text}");
    }
    for bad in ["", "5", "s", "5 s", "5parsecs", "1.s", "é", "99999999999999999999999999999999999999999s"] {
        assert_eq!(parse_duration(bad), None, "{}", String::from(bad));
    }
}
