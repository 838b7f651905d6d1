//! What authors are shown, as `invar check` draws it: the place, what is wrong, and how to mend it.
mod bites;
mod habits;
mod newcomers;
mod spelling;
mod warnings;

use expect_test::Expect;

/// A system of two components, for rules to be wrong about.
const SHOP: &str = "\
pack: shop
topology:
  ingester:
    sends_to: [tracker]
  tracker: {}
events:
  batch.announced:
    batch: string
    bytes: int
  batch.tracked:
    batch: string
";

/// Compares what is shown of a whole file.
fn shown(source: &str, told: &Expect) {
    let (_, diagnostics) = lang::compile(source, "shop.yaml", &lang::Options::default());
    told.assert_eq(&lang::render(&diagnostics, source));
}

/// The same for sections behind the shop's.
fn of_shop(sections: &str, told: &Expect) {
    shown(&format!("{SHOP}{sections}"), told);
}

/// The same for one rule of the shop, without its id and key.
fn of_rule(rule: &str, told: &Expect) {
    of_shop(&format!("rules:\n  - id: r\n    key: [node, batch]\n{rule}"), told);
}
