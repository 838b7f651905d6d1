//! `monotonic`: values go one way only, or in equal steps. Each is compared with the one before it, so one jump is one
//! violation.
use alloc::{vec, vec::Vec};
use core::cmp::Ordering;
use event::{Int, Value};

use super::{Anchor, Ctx, Instant, Part};
use crate::{
    expr::Val,
    pack::{Kind, Order, RoleIdx, Ties},
    scope::Span,
    touch::same_event,
    verdict::{EventRef, Unknown},
};

/// The last value of one key.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Monotonic {
    last: Option<(Value, EventRef)>,
    span: Option<Span>,
}

/// One value of the instant.
struct Carried {
    value: Value,
    at: EventRef,
    /// The event is a reset itself: its value is the first of the new run.
    begins: bool,
}

/// How a value follows another.
enum Follows {
    Well,
    Badly,
    /// The two have no order.
    Unclear,
}

impl Monotonic {
    pub(super) fn instant(&mut self, ctx: &mut Ctx<'_>, now: &Instant<'_>) {
        let Kind::Monotonic { of, value, order, step, reset } = &ctx.rule.kind else { return };
        let Some(span) = ctx.span(now.ts) else { return };
        if self.span.as_ref().is_some_and(|known| *known != span) {
            self.last = None;
        }
        self.span = Some(span);
        let resets: Vec<EventRef> = now.of_some(*reset).map(|touch| touch.at).collect();
        let mut carried = Vec::new();
        for touch in now.of(*of) {
            ctx.exercise(now.ts);
            match ctx.value_of(value, touch) {
                Some(value) => {
                    let begins = resets.iter().any(|reset| same_event(reset, &touch.at));
                    carried.push(Carried { value, at: touch.at, begins });
                }
                None => ctx.unknown(Unknown::Absent),
            }
        }
        // Inside an instant, values come in the order asked for; with `strict`, the other way round.
        let strict = matches!(ctx.rule.ties, Ties::Strict);
        carried.sort_by(|a, b| compare(&a.value, &b.value).unwrap_or(Ordering::Equal).then_with(|| a.at.cmp(&b.at)));
        if order.rises() == strict {
            carried.reverse();
        }
        let restarted = ctx.begins_anew(now);
        if resets.is_empty() && !restarted {
            carried.into_iter().for_each(|carried| self.take(ctx, *of, carried, *order, step.as_ref()));
            return;
        }
        // The reset (or a restart) may stand anywhere inside the instant: what goes on comes before it, what does not begins anew.
        let mut after = Vec::new();
        for carried in carried {
            let goes_on = self
                .last
                .as_ref()
                .is_none_or(|(last, _)| matches!(follows(last, &carried.value, *order, step.as_ref()), Follows::Well));
            if !carried.begins && (goes_on || strict) {
                self.take(ctx, *of, carried, *order, step.as_ref());
            } else {
                after.push(carried);
            }
        }
        self.last = None;
        after.into_iter().for_each(|carried| self.take(ctx, *of, carried, *order, step.as_ref()));
    }

    fn take(&mut self, ctx: &mut Ctx<'_>, of: RoleIdx, carried: Carried, order: Order, step: Option<&Int>) {
        match &self.last {
            None => ctx.tally.held += 1,
            Some((last, before)) => match follows(last, &carried.value, order, step) {
                Follows::Well => ctx.tally.held += 1,
                Follows::Unclear => ctx.unknown(Unknown::Incomparable),
                Follows::Badly => {
                    let evidence = vec![(Part::Before, *before), (Part::Role(of), carried.at)];
                    ctx.violated(Anchor::Event(carried.at), carried.at.ts, evidence, None);
                }
            },
        }
        self.last = Some((carried.value, carried.at));
    }

    pub(super) fn is_idle(&self) -> bool {
        self.last.is_none()
    }
}

fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    Val::from(a).compare(&Val::from(b))
}

fn follows(last: &Value, next: &Value, order: Order, step: Option<&Int>) -> Follows {
    let Some(found) = compare(next, last) else { return Follows::Unclear };
    let well = match found {
        Ordering::Equal => order.allows_equal(),
        Ordering::Greater => order.rises() && stepped(last, next, step),
        Ordering::Less => !order.rises() && stepped(next, last, step),
    };
    if well { Follows::Well } else { Follows::Badly }
}

/// Whether `high` lies exactly one step above `low`; without a step, whatever lies above.
fn stepped(low: &Value, high: &Value, step: Option<&Int>) -> bool {
    let Some(step) = step else { return true };
    match (low, high) {
        (Value::Int(low), Value::Int(high)) => high.sub(low) == *step,
        (Value::Int(_) | Value::Double(_), Value::Int(_) | Value::Double(_)) => {
            let double = |value: &Value| match value {
                Value::Int(int) => int.to_f64(),
                Value::Double(double) => *double,
                _ => f64::NAN,
            };
            step.cmp_f64(double(high) - double(low)) == Some(Ordering::Equal)
        }
        // What is no number has no steps.
        _ => false,
    }
}
