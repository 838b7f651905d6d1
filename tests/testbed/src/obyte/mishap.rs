//! What goes wrong in the execution of a trigger, and which fault makes it happen at which trigger. What a mishap does
//! is the composer's to say.

use super::agent::Response;
use crate::faults::Fault;

/// What goes wrong in one execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mishap {
    /// COMMIT finds a constraint broken.
    CommitFails,
    /// There is no space left for COMMIT.
    NoSpace,
    /// The process is killed after the KV write.
    KilledBetween,
    /// The formula's result is off by one.
    Miscomputed,
    /// The KV batch is written after COMMIT, to a volume that has become read-only.
    KvFailsAfterCommit,
    /// COMMIT fails, and the KV batch is rolled back.
    Compensated,
    /// COMMIT fails, and the KV volume becomes read-only before the batch is rolled back.
    CompensationFails,
    /// What the trigger brought is credited, and its output is not stored.
    OutputLost,
    /// The database connection that the formula reads by is never given back by its last user.
    ConnectionLeaks,
    /// The disk stalls before COMMIT.
    DiskStalls,
    /// The response is announced before COMMIT.
    AnnouncedEarly,
    /// The KV batch is not synced.
    Unsynced,
    /// The changes of a bounced trigger are kept.
    BounceKept,
}

/// Which triggers a mishap waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// One that changes its agent's storage size, without which ocore's own check would not notice.
    Growing,
    /// One that bounces.
    Bounced,
}

/// How often a mishap happens while its fault is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Times {
    Once,
    Always,
}

/// What a fault does to the execution of triggers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Strike {
    pub(super) fault: Fault,
    pub(super) mishap: Mishap,
    at: At,
    times: Times,
    /// Whether the node's stores then differ from each other or from other nodes'.
    pub(super) leaves_inconsistent: bool,
}

/// A line of [`STRIKES`].
const fn strike(fault: Fault, mishap: Mishap, at: At, times: Times, leaves_inconsistent: bool) -> Strike {
    Strike { fault, mishap, at, times, leaves_inconsistent }
}

/// The faults that strike in the execution of a trigger.
const STRIKES: &[Strike] = &[
    strike(Fault::ObyteCommitFailsAfterKv, Mishap::CommitFails, At::Growing, Times::Once, true),
    strike(Fault::ObyteQuarantineIgnored, Mishap::CommitFails, At::Growing, Times::Once, true),
    strike(Fault::ObyteKilledBetween, Mishap::KilledBetween, At::Growing, Times::Once, true),
    strike(Fault::ObyteTelemetryLost, Mishap::KilledBetween, At::Growing, Times::Once, true),
    strike(Fault::ObyteReplicaDiverges, Mishap::Miscomputed, At::Growing, Times::Once, true),
    strike(Fault::ObyteDiskFull, Mishap::NoSpace, At::Growing, Times::Always, true),
    strike(Fault::ObyteCommitFailsOnBounce, Mishap::CommitFails, At::Bounced, Times::Once, false),
    strike(Fault::ObyteKvFailsAfterCommit, Mishap::KvFailsAfterCommit, At::Growing, Times::Once, true),
    strike(Fault::ObyteCommitFailsCompensated, Mishap::Compensated, At::Growing, Times::Once, false),
    strike(Fault::ObyteCompensationFails, Mishap::CompensationFails, At::Growing, Times::Once, true),
    strike(Fault::ObyteOutputLost, Mishap::OutputLost, At::Growing, Times::Once, true),
    strike(Fault::ObyteTriggerHangs, Mishap::ConnectionLeaks, At::Growing, Times::Once, false),
    strike(Fault::ObyteDiskStalls, Mishap::DiskStalls, At::Growing, Times::Once, false),
    strike(Fault::ObyteAnnouncedEarly, Mishap::AnnouncedEarly, At::Growing, Times::Always, false),
    strike(Fault::ObyteKvUnsynced, Mishap::Unsynced, At::Growing, Times::Always, false),
    strike(Fault::ObyteBounceKept, Mishap::BounceKept, At::Bounced, Times::Once, true),
];

/// The strike that comes next at a node: of a fault that is on there, and that has not had its turn.
pub(super) fn next(is_on: impl Fn(Fault) -> bool, struck: &[Fault]) -> Option<Strike> {
    let due =
        |strike: &&Strike| is_on(strike.fault) && (strike.times == Times::Always || !struck.contains(&strike.fault));
    STRIKES.iter().find(due).copied()
}

impl Strike {
    /// Whether it waits for a trigger that would do this.
    pub(super) fn fits(&self, response: &Response) -> bool {
        match self.at {
            At::Growing => !response.bounced && response.storage_growth() != 0,
            At::Bounced => response.bounced,
        }
    }
}
