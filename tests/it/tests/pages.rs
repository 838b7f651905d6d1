//! The dashboard over the real binary: in a real browser, and without one, because every page must be whole without
//! JavaScript.
mod browser;
mod plain;
mod scripted;

use serde_json::{Value, json};

use crate::harness::{Home, Invar, Line, now_ms};

/// A system as small as can be: what a clerk takes, the store must keep.
const SHOP: &str = r#"pack: shop
about: What a clerk takes, the store keeps.
topology:
  clerk:
    about: Takes orders.
    sends_to: [store]
  store:
    about: Keeps orders.
events:
  order.taken: { order.id: string }
  order.stored: { order.id: string }
  order.lost: { order.id: string }
rules:
  - id: order-is-stored
    about: An order that was taken is stored in time.
    ref: SHOP-1
    severity: critical
    key: [node, order.id]
    response:
      when: order.taken
      then: order.stored
      within: 1s
    message: "{node}: order {order.id} was taken but never stored"
    runbook: Look at the store.
breakers:
  - id: clerk-to-store
    about: The clerk stops taking orders.
    guards: clerk -> store
    per: [node]
    trip:
      rules: [order-is-stored]
      count: 100
      within: 1m
    half_open_after: 30s
    close:
      event: order.stored
      count: 1
"#;

/// A rule that [`SHOP`] does not have.
const LOST: &str = r#"  - id: nothing-is-lost
    about: No order is ever lost.
    ref: SHOP-2
    severity: high
    key: [node, order.id]
    never: order.lost
    message: "{node}: order {order.id} was lost"
breakers:
"#;

fn shop() -> Home {
    Home::new().pack("shop.yaml", SHOP)
}

fn event(node: &str, component: &str, name: &str, id: &str) -> Line {
    Line::new(node, component, name, json!({ "order.id": id }))
}

/// An order that is stored at once: it tells Invar who sends what.
async fn good_order(invar: &Invar, node: &str, id: &str) {
    let at = now_ms() - 3_000;
    let taken = event(node, "clerk", "order.taken", id).at(at);
    invar.send(&[taken, event(node, "store", "order.stored", id).at(at + 5)]).await;
}

/// An order that nobody stores: its incident.
async fn broken_order(invar: &Invar, node: &str, id: &str) -> Value {
    invar.send(&[event(node, "clerk", "order.taken", id)]).await;
    invar.expect_incident("SHOP-1", node).await
}

/// The id of an incident.
fn id(incident: &Value) -> &str {
    incident["id"].as_str().unwrap()
}
