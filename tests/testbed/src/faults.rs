//! What can be made to go wrong, and which requirements then must be found broken.
//!
//! A fault only ever changes what a node *does*. No fault writes an event that did not happen: what Invar finds, it
//! finds in what the node reports of itself.

use std::{collections::BTreeSet, fmt, str::FromStr, time::Duration};

use tokio::sync::watch;

use crate::System;

/// Something that goes wrong at one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The batch generator's task ends while coordinators go on. Sends to it fail, the batches are dropped, and still
    /// more are taken.
    AptosGeneratorStops,
    /// The batch store refuses remote batches for their quota after the generator was told of them, and the
    /// coordinator announces them to the proof manager all the same.
    AptosPersistFailsAfterNotify,
    /// A coordinator worker panics on a batch that it has taken, again every ten seconds.
    AptosWorkerPanics,
    /// The audit's finding: the generator is gone, and the coordinator treats the failed send as a warning. It stores
    /// the batch, signs it and hands it to the proof manager, with nobody tracking it.
    AptosNotifyFailsButPersists,
    /// The generator hangs for eight seconds at a time while a peer floods the node: its channel fills up, and sends
    /// wait instead of failing.
    AptosChannelFull,
    /// The generator pulls from mempool without leaving out the transactions of the remote batches that it tracks.
    AptosDuplicateLocalBatch,
    /// The node restarts in proper order, but its generator pulls before it has taken over what is stored.
    AptosRestartWithoutReconcile,
    /// COMMIT fails after the KV batch of a trigger is durable. The node crashes, comes back, runs the trigger again
    /// over its own result, and from then on dies of its storage-size check.
    ObyteCommitFailsAfterKv,
    /// The process is killed between the KV write and COMMIT: the write is reported, then there is silence, then a
    /// new process.
    ObyteKilledBetween,
    /// The same kill, and nothing of the attempt is reported, nor the new process's start.
    ObyteTelemetryLost,
    /// One node computes another result than all others for one trigger, and goes on from it.
    ObyteReplicaDiverges,
    /// The volume runs full: below 10 % free at once, below 2 % after 20 s, and after 75 s COMMIT fails for want of
    /// space while the KV file can still grow.
    ObyteDiskFull,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 12] = [
        Fault::AptosGeneratorStops,
        Fault::AptosPersistFailsAfterNotify,
        Fault::AptosWorkerPanics,
        Fault::AptosNotifyFailsButPersists,
        Fault::AptosChannelFull,
        Fault::AptosDuplicateLocalBatch,
        Fault::AptosRestartWithoutReconcile,
        Fault::ObyteCommitFailsAfterKv,
        Fault::ObyteKilledBetween,
        Fault::ObyteTelemetryLost,
        Fault::ObyteReplicaDiverges,
        Fault::ObyteDiskFull,
    ];

    /// The name as flags spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Fault::AptosGeneratorStops => "aptos.generator-stops",
            Fault::AptosPersistFailsAfterNotify => "aptos.persist-fails-after-notify",
            Fault::AptosWorkerPanics => "aptos.worker-panics",
            Fault::AptosNotifyFailsButPersists => "aptos.notify-fails-but-persists",
            Fault::AptosChannelFull => "aptos.channel-full",
            Fault::AptosDuplicateLocalBatch => "aptos.duplicate-local-batch",
            Fault::AptosRestartWithoutReconcile => "aptos.restart-without-reconcile",
            Fault::ObyteCommitFailsAfterKv => "obyte.commit-fails-after-kv",
            Fault::ObyteKilledBetween => "obyte.killed-between",
            Fault::ObyteTelemetryLost => "obyte.telemetry-lost",
            Fault::ObyteReplicaDiverges => "obyte.replica-diverges",
            Fault::ObyteDiskFull => "obyte.disk-full",
        }
    }

    /// The system it strikes.
    #[must_use]
    pub fn system(self) -> System {
        if self.name().starts_with("aptos.") { System::Aptos } else { System::Obyte }
    }

    /// What goes wrong, in one line.
    #[must_use]
    pub fn about(self) -> &'static str {
        match self {
            Fault::AptosGeneratorStops => "the batch generator ends, coordinators go on taking batches",
            Fault::AptosPersistFailsAfterNotify => "batches that could not be stored go to the proof manager",
            Fault::AptosWorkerPanics => "a coordinator worker panics every ten seconds",
            Fault::AptosNotifyFailsButPersists => "the generator is gone, batches are stored and signed all the same",
            Fault::AptosChannelFull => "the generator hangs under a flood, its channel fills up",
            Fault::AptosDuplicateLocalBatch => "local batches repeat transactions of tracked remote batches",
            Fault::AptosRestartWithoutReconcile => "after a restart the generator pulls before it reconciles",
            Fault::ObyteCommitFailsAfterKv => "COMMIT fails after the KV write, the node runs the trigger twice",
            Fault::ObyteKilledBetween => "the node is killed between the KV write and COMMIT",
            Fault::ObyteTelemetryLost => "the same, and the attempt's telemetry is lost with it",
            Fault::ObyteReplicaDiverges => "one node computes another state than the others",
            Fault::ObyteDiskFull => "the disk fills up until COMMIT fails",
        }
    }

    /// The requirements that must be found broken while the fault is on, within [`Fault::shows_within`] and the rules'
    /// own windows. Others may rightly be found with them. Those that compare nodes (OBY-2) need two or more; those of
    /// batches that go on being taken (APT-4, APT-7) need nodes that obey no breaker.
    #[must_use]
    pub fn refs(self) -> &'static [&'static str] {
        match self {
            Fault::AptosGeneratorStops => &["APT-3a", "APT-4", "APT-7"],
            Fault::AptosPersistFailsAfterNotify => &["APT-13"],
            Fault::AptosWorkerPanics => &["APT-6"],
            Fault::AptosNotifyFailsButPersists => &["APT-1a", "APT-1c", "APT-2", "APT-3a", "APT-4", "APT-7"],
            Fault::AptosChannelFull => &["APT-1b", "APT-7", "APT-11", "APT-12"],
            Fault::AptosDuplicateLocalBatch => &["APT-8"],
            Fault::AptosRestartWithoutReconcile => &["APT-9"],
            Fault::ObyteCommitFailsAfterKv => {
                &["OBY-1", "OBY-2", "OBY-3", "OBY-4", "OBY-6", "OBY-9", "OBY-11", "OBY-21"]
            }
            Fault::ObyteKilledBetween => &["OBY-1", "OBY-2", "OBY-4", "OBY-6", "OBY-9", "OBY-10", "OBY-21"],
            Fault::ObyteTelemetryLost => &["OBY-2", "OBY-9"],
            Fault::ObyteReplicaDiverges => &["OBY-2"],
            Fault::ObyteDiskFull => &["OBY-1", "OBY-3", "OBY-12"],
        }
    }

    /// How long after it is switched on all its events have been reported, at the default rate.
    #[must_use]
    pub fn shows_within(self) -> Duration {
        Duration::from_secs(match self {
            Fault::AptosGeneratorStops | Fault::AptosNotifyFailsButPersists | Fault::AptosChannelFull => 15,
            Fault::AptosPersistFailsAfterNotify | Fault::AptosDuplicateLocalBatch => 5,
            Fault::AptosWorkerPanics | Fault::AptosRestartWithoutReconcile | Fault::ObyteReplicaDiverges => 10,
            Fault::ObyteCommitFailsAfterKv | Fault::ObyteKilledBetween | Fault::ObyteTelemetryLost => 25,
            Fault::ObyteDiskFull => 95,
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A fault's name that is none.
#[derive(Debug, thiserror::Error)]
#[error("no fault is called `{0}`: `testbed --list-faults` shows them all")]
pub struct UnknownFault(String);

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(text: &str) -> Result<Fault, UnknownFault> {
        Fault::ALL.into_iter().find(|fault| fault.name() == text).ok_or_else(|| UnknownFault(text.to_owned()))
    }
}

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
        for fault in Fault::ALL {
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
