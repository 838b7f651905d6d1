//! `monotonic: {event, value, order, step, by, reset}`.
use engine::{KeyPart, Kind, Order, RoleIdx, Type};
use event::Int;

use super::{Draft, wrong_type};
use crate::{
    diagnostic::Code,
    fields::{Fields, Report},
    names,
    pattern::{Context, Layout, Parsed},
    rule::Roles,
    suggest,
    yaml::Node,
};

const ORDERS: &[&str] = &["increasing", "nondecreasing", "decreasing", "nonincreasing"];

struct Monotonic<'n> {
    of: RoleIdx,
    value: Parsed<'n>,
    order: Order,
    step: Option<Int>,
    reset: Option<RoleIdx>,
}

pub(super) fn read<'n>(
    node: &'n Node,
    roles: &mut Roles<'n>,
    cx: &Context<'_>,
    report: &mut Report<'_>,
) -> Option<Box<dyn Draft<'n> + 'n>> {
    let mut fields = Fields::of(node, "monotonic", report)?;
    let of = roles.need(&mut fields, "event", cx, report);
    let value = fields.need("value", report).and_then(|node| Parsed::of(node, 0, report));
    let order = fields.need("order", report).and_then(|node| {
        let text = node.scalar().unwrap_or_default();
        let order = Order::parse(&text);
        if order.is_none() {
            let help = match suggest::closest(&text, ORDERS.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("orders are: {}", ORDERS.join(", ")),
            };
            report.error_help(Code::Shape, &node.span, format!("`{text}` is not an order"), help);
        }
        order
    });
    let step = fields.take("step").and_then(|node| {
        let followed = cx.params.follow(node, report)?;
        let step = followed.scalar().and_then(|text| Int::parse(&text)).filter(|step| *step > Int::Small(0));
        if step.is_none() {
            report.error(Code::Shape, &node.span, "`step` is a whole number above 0");
        }
        step
    });
    roles.by_of(fields.take("by"));
    let reset = roles.take(&mut fields, "reset", cx, report);
    fields.finish(report);
    Some(Box::new(Monotonic { of: of?, value: value?, order: order?, step, reset }))
}

impl<'n> Draft<'n> for Monotonic<'n> {
    fn mark(&self, layout: &mut Layout<'_, 'n>) {
        layout.mark(self.of as usize, &self.value.tree);
    }

    fn finish(self: Box<Self>, layout: &Layout<'_, 'n>, _: &[KeyPart], report: &mut Report<'_>) -> Option<Kind> {
        let (value, kind) = layout.late(self.of as usize, &self.value, report)?;
        match kind {
            Type::List | Type::Map | Type::Null => {
                let message = format!("`value` needs something that has an order, this is {}", names::type_name(kind));
                wrong_type(&self.value, message, None, report);
            }
            Type::Bool | Type::String | Type::Bytes | Type::Timestamp if self.step.is_some() => {
                let message = format!("`step` counts in numbers, the value is {}", names::type_name(kind));
                wrong_type(&self.value, message, Some("leave `step` out, or convert the value with `int(…)`"), report);
            }
            _ => {}
        }
        let Monotonic { of, order, step, reset, .. } = *self;
        Some(Kind::Monotonic { of, value, order, step, reset })
    }
}
