//! What the figures of a group's members come to: exact where they are integers, else doubles in the members' order.
use alloc::vec::Vec;
use core::cmp::Ordering;
use event::{Int, Value};

use super::term::{compare, double, int, plus};
use crate::pack::Statistic;

/// One statistic of the figures of those of `members` that have one; absent where figures are needed and there are none,
/// or where they are no numbers.
pub(super) fn of(statistic: Statistic, figures: &[&Value], members: usize) -> Option<Value> {
    match statistic {
        Statistic::Count => Some(Value::Int(int(members as u64))),
        Statistic::Sum => sum(figures, |value| value.clone()),
        Statistic::Squares => sum(figures, square),
        Statistic::Min => ordered(figures)?.first().map(|value| (*value).clone()),
        Statistic::Max => ordered(figures)?.last().map(|value| (*value).clone()),
        Statistic::Median => median(&ordered(figures)?),
        Statistic::Avg => mean(figures).map(Value::Double),
        Statistic::Variance => variance(figures).map(Value::Double),
        Statistic::Stddev => variance(figures).map(|variance| Value::Double(libm::sqrt(variance))),
    }
}

fn is_number(value: &&Value) -> bool {
    matches!(value, Value::Int(_) | Value::Double(_))
}

fn sum(figures: &[&Value], of: impl Fn(&Value) -> Value) -> Option<Value> {
    let zero = Value::Int(Int::Small(0));
    figures.iter().all(is_number).then(|| figures.iter().fold(zero, |sum, value| plus(&sum, &of(value))))
}

fn square(value: &Value) -> Value {
    match value {
        Value::Int(int) => Value::Int(int.mul(int)),
        other => Value::Double(double(other) * double(other)),
    }
}

fn ordered<'v>(figures: &[&'v Value]) -> Option<Vec<&'v Value>> {
    let first = figures.first()?;
    let mut ordered: Vec<&Value> = figures.to_vec();
    // What does not compare with the others (no number, another type) leaves no order.
    ordered.iter().all(|value| compare(first, value).is_some()).then(|| {
        ordered.sort_by(|a, b| compare(a, b).unwrap_or(Ordering::Equal));
        ordered
    })
}

fn median(ordered: &[&Value]) -> Option<Value> {
    let upper = *ordered.get(ordered.len() / 2)?;
    if ordered.len() % 2 == 1 {
        return Some(upper.clone());
    }
    let lower = ordered[ordered.len() / 2 - 1];
    [lower, upper].iter().all(is_number).then(|| Value::Double(double(&plus(lower, upper)) / 2.0))
}

fn mean(figures: &[&Value]) -> Option<f64> {
    let sum = sum(figures, |value| value.clone()).filter(|_| !figures.is_empty())?;
    Some(double(&sum) / figures.len() as f64)
}

fn variance(figures: &[&Value]) -> Option<f64> {
    let mean = mean(figures)?;
    let off = |value: &&Value| (double(value) - mean) * (double(value) - mean);
    Some(figures.iter().map(off).sum::<f64>() / figures.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(statistic: Statistic, figures: &[i64], expected: Option<Value>) {
        let values: Vec<Value> = figures.iter().map(|&figure| Value::Int(Int::from(figure))).collect();
        let figures: Vec<&Value> = values.iter().collect();
        assert_eq!(of(statistic, &figures, 7), expected, "{statistic:?} of {figures:?}");
    }

    #[test]
    fn figures_of_a_group() {
        let whole = |figure: i64| Some(Value::Int(Int::from(figure)));
        let double = |figure: f64| Some(Value::Double(figure));
        check(Statistic::Count, &[1], whole(7));
        check(Statistic::Sum, &[1, 2, 9], whole(12));
        check(Statistic::Squares, &[1, 2, 9], whole(86));
        check(Statistic::Avg, &[1, 2, 9], double(4.0));
        check(Statistic::Median, &[9, 1, 2], whole(2));
        check(Statistic::Median, &[9, 1, 2, 5], double(3.5));
        check(Statistic::Variance, &[1, 3], double(1.0));
        check(Statistic::Stddev, &[1, 5], double(2.0));
    }

    #[test]
    fn nobody_has_no_mean() {
        check(Statistic::Sum, &[], Some(Value::Int(Int::Small(0))));
        for statistic in [Statistic::Avg, Statistic::Median, Statistic::Min, Statistic::Max, Statistic::Variance] {
            check(statistic, &[], None);
        }
    }

    #[test]
    fn text_has_an_order_and_no_sum() {
        let values = [Value::from("b"), Value::from("a")];
        let figures: Vec<&Value> = values.iter().collect();
        assert_eq!(of(Statistic::Min, &figures, 2), Some(Value::from("a")));
        assert_eq!(of(Statistic::Sum, &figures, 2), None);
        assert_eq!(of(Statistic::Median, &figures, 2), None);
    }
}
