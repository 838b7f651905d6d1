//! The autonomous agents and their triggers: a pure function from a trigger and the agent's state to its new state.

use std::collections::BTreeMap;

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// How many agents there are.
const AGENTS: usize = 4;
/// How many users trigger them.
const USERS: u32 = 6;
/// One trigger in so many bounces.
const BOUNCES_ONE_IN: u32 = 10;

/// What tells one run of the testbed from another: its seed and its start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain {
    pub(super) seed: u64,
    /// Milliseconds since 1970.
    pub(super) genesis_ms: i64,
}

/// A stable unit that triggers an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trigger {
    /// Its place in the order of execution, from 0.
    pub(super) index: i64,
    /// The main chain index that made it stable.
    pub(super) mci: i64,
    pub(super) unit: String,
    /// The agent's address.
    pub(super) agent: String,
    /// The sender's address.
    pub(super) from: String,
    user: u32,
    amount: i64,
    bounces: bool,
}

/// An agent's state variables.
pub(super) type Vars = BTreeMap<String, Value>;

/// One state variable's change.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Change {
    pub(super) var: String,
    pub(super) old: Option<Value>,
    pub(super) new: Value,
}

/// What a trigger does.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Response {
    pub(super) bounced: bool,
    /// Changes that stand; empty when it bounced.
    pub(super) changes: Vec<Change>,
    /// Changes that were staged before it bounced.
    pub(super) discarded: usize,
    /// Bytes that the agent keeps.
    pub(super) amount: i64,
    pub(super) unit: String,
}

impl Chain {
    fn digest(&self, what: &str, number: i64) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.seed.to_be_bytes());
        hash.update(self.genesis_ms.to_be_bytes());
        hash.update(what.as_bytes());
        hash.update(number.to_be_bytes());
        hash.finalize().into()
    }

    /// The agents' addresses.
    pub(super) fn agents(&self) -> Vec<String> {
        (0..AGENTS).map(|agent| address(&self.digest("agent", i64::try_from(agent).unwrap_or_default()))).collect()
    }

    /// The trigger at a place in the order, the same on every node.
    pub(super) fn trigger(&self, index: i64) -> Trigger {
        let mut choices = StdRng::from_seed(self.digest("trigger", index));
        let user = choices.random_range(0..USERS);
        let agent = i64::try_from(choices.random_range(0..AGENTS)).unwrap_or_default();
        Trigger {
            index,
            // Grows over the life of the chain and, by the clock, over its runs.
            mci: self.genesis_ms / 1000 + index,
            unit: base64(&self.digest("unit", index)),
            agent: address(&self.digest("agent", agent)),
            from: address(&self.digest("user", user.into())),
            user,
            amount: choices.random_range(1..100) * 1000,
            bounces: choices.random_ratio(1, BOUNCES_ONE_IN),
        }
    }
}

impl Trigger {
    /// Executes the agent's formula over its state variables.
    pub(super) fn execute(&self, vars: &Vars) -> Response {
        let changes = self.stage(vars);
        let unit = base64(&Sha256::digest(format!("response {}", self.unit)));
        if self.bounces {
            return Response { bounced: true, discarded: changes.len(), changes: Vec::new(), amount: 0, unit };
        }
        Response { bounced: false, changes, discarded: 0, amount: self.amount, unit }
    }

    /// The changes that the formula makes before it is known whether it bounces.
    pub(super) fn stage(&self, vars: &Vars) -> Vec<Change> {
        let integer = |var: &str| vars.get(var).and_then(Value::as_i64).unwrap_or_default();
        let deposit = format!("deposit_{}", self.user);
        // The note's length follows from the unit, so that most triggers change the agent's storage size.
        let length = 1 + usize::from(self.unit.as_bytes().first().copied().unwrap_or_default() % 23);
        let note: String = self.unit.chars().take(length).collect();
        let staged = [
            ("counter".to_owned(), json!(integer("counter") + 1)),
            (deposit.clone(), json!(integer(&deposit) + self.amount)),
            ("note".to_owned(), json!(note)),
        ];
        staged.into_iter().map(|(var, new)| Change { old: vars.get(&var).cloned(), var, new }).collect()
    }
}

impl Response {
    /// By how many bytes the agent's storage grows, as ocore counts: from the values it found to those it writes.
    pub(super) fn storage_growth(&self) -> i64 {
        self.changes
            .iter()
            .map(|change| {
                let old = change.old.as_ref().map_or(0, |old| stored_bytes(&change.var, old));
                stored_bytes(&change.var, &change.new) - old
            })
            .sum()
    }

    /// `obyte.state_vars`: what each changed variable was and is.
    pub(super) fn state_vars(&self) -> String {
        let vars: serde_json::Map<String, Value> = self
            .changes
            .iter()
            .map(|Change { var, old, new }| {
                let change = match old {
                    Some(old) => json!({"value": new, "old_value": old}),
                    None => json!({"value": new}),
                };
                (var.clone(), change)
            })
            .collect();
        Value::Object(vars).to_string()
    }
}

/// What a state variable weighs: its name and its value as written.
pub(super) fn stored_bytes(var: &str, value: &Value) -> i64 {
    let value = match value {
        Value::String(text) => text.len(),
        other => other.to_string().len(),
    };
    i64::try_from(var.len() + value).unwrap_or(i64::MAX)
}

/// The digest of an agent's state: its variables in order, and its balance.
pub(super) fn state_digest(vars: &Vars, balance: i64) -> String {
    let mut hash = Sha256::new();
    for (var, value) in vars {
        hash.update(format!("{var}\n{value}\n"));
    }
    hash.update(balance.to_be_bytes());
    hex::encode(hash.finalize())
}

/// An address in the alphabet of Obyte's, without its checksum.
fn address(hash: &[u8; 32]) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    hash.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect()
}

fn base64(hash: &[u8]) -> String {
    use ::base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.encode(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAIN: Chain = Chain { seed: 7, genesis_ms: 1_790_000_000_000 };

    #[test]
    fn same_chain_same_triggers() {
        assert_eq!(CHAIN.trigger(3), CHAIN.trigger(3));
        assert_ne!(CHAIN.trigger(3).unit, CHAIN.trigger(4).unit);
        assert!(CHAIN.trigger(3).mci < CHAIN.trigger(4).mci);
        assert!(CHAIN.agents().contains(&CHAIN.trigger(3).agent));
        let other = Chain { seed: 8, ..CHAIN };
        assert_ne!(other.trigger(3).unit, CHAIN.trigger(3).unit);
    }

    #[test]
    fn response_continues_from_what_it_finds() {
        let trigger = (0..).map(|index| CHAIN.trigger(index)).find(|trigger| !trigger.bounces).unwrap();
        let mut vars = Vars::new();
        let first = trigger.execute(&vars);
        assert!(first.changes.iter().all(|change| change.old.is_none()));
        for change in &first.changes {
            vars.insert(change.var.clone(), change.new.clone());
        }
        let size: i64 = vars.iter().map(|(var, value)| stored_bytes(var, value)).sum();
        assert_eq!(first.storage_growth(), size);
        let again = trigger.execute(&vars);
        assert_eq!(again.changes[0], Change { var: "counter".into(), old: Some(json!(1)), new: json!(2) });
        assert_eq!(serde_json::from_str::<Value>(&again.state_vars()).unwrap()["counter"]["old_value"], 1);
    }

    #[test]
    fn bounced_trigger_changes_nothing() {
        let trigger = (0..).map(|index| CHAIN.trigger(index)).find(|trigger| trigger.bounces).unwrap();
        let response = trigger.execute(&Vars::new());
        assert!(response.bounced && response.changes.is_empty() && response.discarded == 3);
        assert_eq!((response.storage_growth(), response.amount), (0, 0));
    }
}
