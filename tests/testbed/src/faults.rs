//! What can be made to go wrong, and which requirements then must be found broken.
//!
//! A fault only ever changes what a node *does*. No fault writes an event that did not happen: what Invar finds, it
//! finds in what the node reports of itself.

mod table;

use std::{collections::BTreeSet, fmt, str::FromStr};

use tokio::sync::watch;

pub use table::{Fault, UnknownFault};

/// A fault and where it strikes; written `NAME` or `NAME@NODE`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Injection {
    /// What goes wrong.
    pub fault: Fault,
    /// At which node; the first one of the fault's system when absent.
    pub at: Option<String>,
}

impl Injection {
    /// The node it strikes.
    #[must_use]
    pub fn node(&self) -> String {
        self.at.clone().unwrap_or_else(|| self.fault.system().node(0))
    }
}

impl From<Fault> for Injection {
    fn from(fault: Fault) -> Injection {
        Injection { fault, at: None }
    }
}

impl FromStr for Injection {
    type Err = UnknownFault;

    fn from_str(text: &str) -> Result<Injection, UnknownFault> {
        match text.split_once('@') {
            Some((fault, node)) => Ok(Injection { fault: fault.parse()?, at: Some(node.to_owned()) }),
            None => Ok(Injection { fault: text.parse()?, at: None }),
        }
    }
}

impl fmt::Display for Injection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.fault, self.node())
    }
}

/// The switches, shared by all nodes.
#[derive(Clone, Debug)]
pub(crate) struct Faults {
    on: watch::Sender<BTreeSet<(Fault, String)>>,
}

impl Default for Faults {
    fn default() -> Faults {
        Faults { on: watch::Sender::new(BTreeSet::new()) }
    }
}

impl Faults {
    pub(crate) fn switch_on(&self, fault: Fault, node: String) {
        self.on.send_modify(|on| {
            on.insert((fault, node));
        });
    }

    pub(crate) fn switch_off(&self, fault: Fault) {
        self.on.send_modify(|on| on.retain(|(of, _)| *of != fault));
    }

    pub(crate) fn switch_all_off(&self) {
        self.on.send_modify(BTreeSet::clear);
    }

    pub(crate) fn active(&self) -> Vec<Injection> {
        self.on.borrow().iter().map(|(fault, node)| Injection { fault: *fault, at: Some(node.clone()) }).collect()
    }

    pub(crate) fn is_on(&self, fault: Fault, node: &str) -> bool {
        self.on.borrow().iter().any(|(of, at)| *of == fault && at == node)
    }

    /// Whether anything is wrong at this node.
    pub(crate) fn any_on(&self, node: &str) -> bool {
        self.on.borrow().iter().any(|(_, at)| at == node)
    }

    /// The first node where the fault is on.
    pub(crate) fn node_of(&self, fault: Fault) -> Option<String> {
        self.on.borrow().iter().find(|(of, _)| *of == fault).map(|(_, at)| at.clone())
    }

    /// Waits until `wanted` holds of the switches. Returns at once when it does.
    pub(crate) async fn until(&self, wanted: impl Fn(&Faults) -> bool) {
        let mut changes = self.on.subscribe();
        while !wanted(self) {
            // The sender is `self`, so there always is one.
            if changes.changed().await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for fault in Fault::ALL.iter().copied() {
            assert_eq!(fault.name().parse::<Fault>().unwrap(), fault);
            assert!(fault.name().starts_with(fault.system().name()));
            assert!(!fault.refs().is_empty());
        }
        let injection: Injection = "obyte.disk-full@obyte-2".parse().unwrap();
        assert_eq!((injection.fault, injection.node().as_str()), (Fault::ObyteDiskFull, "obyte-2"));
        assert_eq!("aptos.channel-full".parse::<Injection>().unwrap().to_string(), "aptos.channel-full@validator-1");
        assert!("aptos.nothing".parse::<Injection>().is_err());
    }

    #[tokio::test]
    async fn switches_are_seen_by_who_waits() {
        let faults = Faults::default();
        faults.switch_on(Fault::ObyteDiskFull, "obyte-1".to_owned());
        assert!(faults.is_on(Fault::ObyteDiskFull, "obyte-1") && !faults.is_on(Fault::ObyteDiskFull, "obyte-2"));
        let waiting = tokio::spawn({
            let faults = faults.clone();
            async move { faults.until(|faults| !faults.any_on("obyte-1")).await }
        });
        faults.switch_off(Fault::ObyteDiskFull);
        waiting.await.unwrap();
        assert!(faults.active().is_empty());
    }
}
