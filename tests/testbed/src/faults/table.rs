//! Every fault in one place: its name, what it does, which requirements it breaks and how soon that shows.

use std::{fmt, str::FromStr, time::Duration};

use crate::System;

/// Makes the list of faults and what is said of each.
macro_rules! faults {
    ($($(#[doc = $doc:literal])+ $fault:ident = $name:literal, $about:literal, breaks $refs:expr, within $seconds:literal;)+) => {
        /// Something that goes wrong at one node.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Fault {
            $($(#[doc = $doc])+ $fault,)+
        }

        impl Fault {
            /// All of them.
            pub const ALL: &'static [Fault] = &[$(Fault::$fault),+];

            /// The name as flags spell it; it begins with the name of the system.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Fault::$fault => $name,)+
                }
            }

            /// What goes wrong, in one line.
            #[must_use]
            pub fn about(self) -> &'static str {
                match self {
                    $(Fault::$fault => $about,)+
                }
            }

            /// The requirements that must be found broken while the fault is on, within [`Fault::shows_within`] and the
            /// rules' own windows. Others may rightly be found with them. Those that compare nodes (OBY-2, POK-10) need two
            /// or more; those of batches that go on being taken (APT-4, APT-7) need nodes that obey no breaker.
            #[must_use]
            pub fn refs(self) -> &'static [&'static str] {
                match self {
                    $(Fault::$fault => &$refs,)+
                }
            }

            /// How long after it is switched on all its events have been reported, at the default rate.
            #[must_use]
            pub fn shows_within(self) -> Duration {
                Duration::from_secs(match self {
                    $(Fault::$fault => $seconds,)+
                })
            }
        }
    };
}

faults! {
    /// The batch generator's task ends while coordinators go on. Sends to it fail, the batches are dropped, and still
    /// more are taken.
    AptosGeneratorStops = "aptos.generator-stops",
        "the batch generator ends, coordinators go on taking batches",
        breaks ["APT-3a", "APT-4", "APT-7"], within 15;
    /// The batch store refuses remote batches for their quota after the generator was told of them, and the
    /// coordinator announces them to the proof manager all the same.
    AptosPersistFailsAfterNotify = "aptos.persist-fails-after-notify",
        "batches that could not be stored go to the proof manager",
        breaks ["APT-13"], within 5;
    /// A coordinator worker panics on a batch that it has taken, again every ten seconds.
    AptosWorkerPanics = "aptos.worker-panics",
        "a coordinator worker panics every ten seconds",
        breaks ["APT-6"], within 10;
    /// The audit's finding: the generator is gone, and the coordinator treats the failed send as a warning. It stores
    /// the batch, signs it and hands it to the proof manager, with nobody tracking it.
    AptosNotifyFailsButPersists = "aptos.notify-fails-but-persists",
        "the generator is gone, batches are stored and signed all the same",
        breaks ["APT-1a", "APT-1c", "APT-2", "APT-3a", "APT-4", "APT-7"], within 15;
    /// The generator hangs for eight seconds at a time while a peer floods the node: its channel fills up, and sends
    /// wait instead of failing.
    AptosChannelFull = "aptos.channel-full",
        "the generator hangs under a flood, its channel fills up",
        breaks ["APT-1b", "APT-7", "APT-11", "APT-12"], within 15;
    /// The generator pulls from mempool without leaving out the transactions of the remote batches that it tracks.
    AptosDuplicateLocalBatch = "aptos.duplicate-local-batch",
        "local batches repeat transactions of tracked remote batches",
        breaks ["APT-8"], within 5;
    /// The node restarts in proper order, but its generator pulls before it has taken over what is stored.
    AptosRestartWithoutReconcile = "aptos.restart-without-reconcile",
        "after a restart the generator pulls before it reconciles",
        breaks ["APT-9"], within 10;
    /// COMMIT fails after the KV batch of a trigger is durable. The node crashes, comes back, runs the trigger again
    /// over its own result, and from then on dies of its storage-size check.
    ObyteCommitFailsAfterKv = "obyte.commit-fails-after-kv",
        "COMMIT fails after the KV write, the node runs the trigger twice",
        breaks ["OBY-1", "OBY-2", "OBY-3", "OBY-4", "OBY-6", "OBY-9", "OBY-11", "OBY-21"], within 25;
    /// The process is killed between the KV write and COMMIT: the write is reported, then there is silence, then a
    /// new process.
    ObyteKilledBetween = "obyte.killed-between",
        "the node is killed between the KV write and COMMIT",
        breaks ["OBY-1", "OBY-2", "OBY-4", "OBY-6", "OBY-9", "OBY-10", "OBY-21"], within 25;
    /// The same kill, and nothing of the attempt is reported, nor the new process's start.
    ObyteTelemetryLost = "obyte.telemetry-lost",
        "the same, and the attempt's telemetry is lost with it",
        breaks ["OBY-2", "OBY-9"], within 25;
    /// One node computes another result than all others for one trigger, and goes on from it.
    ObyteReplicaDiverges = "obyte.replica-diverges",
        "one node computes another state than the others",
        breaks ["OBY-2"], within 10;
    /// The volume runs full: below 10 % free at once, below 2 % after 20 s, and after 75 s COMMIT fails for want of
    /// space while the KV file can still grow.
    ObyteDiskFull = "obyte.disk-full",
        "the disk fills up until COMMIT fails",
        breaks ["OBY-1", "OBY-3", "OBY-12"], within 95;
    /// The parameters refresher meets a value that it cannot write as JSON, and panics at every block.
    PocketParamsRefresherPanics = "pocket.params-refresher-panics",
        "the parameters refresher panics at every block",
        breaks ["POK-1"], within 5;
    /// WebSocket handshakes of the second version are accepted without looking at their signature.
    PocketHandshakeUnverified = "pocket.handshake-unverified",
        "WebSocket handshakes are not verified",
        breaks ["POK-2"], within 10;
    /// WebSocket and gRPC relays are charged one compute unit, whatever they cost.
    PocketMeteredAsOne = "pocket.metered-as-one",
        "WebSocket and gRPC relays are charged one unit",
        breaks ["POK-3", "POK-4"], within 5;
    /// Parameters are asked for with every relay. It shows to a watcher that has heard a minute of the instance.
    PocketParamsNotCached = "pocket.params-not-cached",
        "parameters are queried for every relay",
        breaks ["POK-5", "POK-19"], within 70;
    /// Sessions are judged by the parameters of the current height.
    PocketParamsOfToday = "pocket.params-of-today",
        "sessions are judged by today's parameters",
        breaks ["POK-6"], within 10;
    /// An application is evicted when it was not found once.
    PocketEntityEvictedEarly = "pocket.entity-evicted-early",
        "an application is evicted at its first miss",
        breaks ["POK-7"], within 35;
    /// A supplier that asked to leave is inactive at once.
    PocketSupplierInactiveEarly = "pocket.supplier-inactive-early",
        "a leaving supplier is inactive before its end",
        breaks ["POK-9"], within 30;
    /// The instance puts sessions together from stale applications.
    PocketSessionDiffers = "pocket.session-differs",
        "one instance has other sessions than the chain",
        breaks ["POK-10"], within 10;
    /// What follows the end of a session fails, the error is logged and the session stays in memory.
    PocketCallbackFails = "pocket.callback-fails",
        "ended sessions stay in memory and are processed at every block",
        breaks ["POK-11", "POK-14", "POK-15", "POK-36"], within 30;
    /// A proven session is not taken out of memory, and written off at the next block.
    PocketSessionReopened = "pocket.session-reopened",
        "a proven session is written off",
        breaks ["POK-12", "POK-13", "POK-22"], within 30;
    /// Every message of a WebSocket but the first is published without having been looked at.
    PocketWebsocketUnvalidated = "pocket.websocket-unvalidated",
        "later WebSocket messages are not validated",
        breaks ["POK-16"], within 5;
    /// Keys are reloaded while relays are served.
    PocketSignerReloaded = "pocket.signer-reloaded",
        "the response signer changes at run time",
        breaks ["POK-17"], within 5;
    /// Ring signatures are computed for every relay.
    PocketRingNotCached = "pocket.ring-not-cached",
        "ring signatures are not remembered",
        breaks ["POK-18"], within 5;
    /// The block subscriber loses its connection for six seconds and tries every second.
    PocketReconnectsTooFast = "pocket.reconnects-too-fast",
        "a subscriber does not wait longer and longer",
        breaks ["POK-20"], within 10;
    /// The block subscriber drops every fifth block.
    PocketBlockMissed = "pocket.block-missed",
        "an instance misses blocks",
        breaks ["POK-21a"], within 12;
    /// The instance is cut off from Redis: it sees no blocks, and serves relays unmetered.
    PocketRedisOutage = "pocket.redis-outage",
        "an instance is cut off from Redis",
        breaks ["POK-21b", "POK-40"], within 75;
    /// Claims are sent when their window has closed.
    PocketClaimsLate = "pocket.claims-late",
        "claims are sent after their window",
        breaks ["POK-22"], within 20;
    /// The leader is elected anew and does not load all of what Redis has.
    PocketRecoveryLosesSessions = "pocket.recovery-loses-sessions",
        "a new leader loads too few sessions",
        breaks ["POK-23"], within 10;
    /// The instance restarts without a signer, and serves relays all the same.
    PocketPipelineIncomplete = "pocket.pipeline-incomplete",
        "relays are served by an incomplete pipeline",
        breaks ["POK-24"], within 10;
    /// The leader updates the shared cache, parameters change, and it tells nobody.
    PocketInvalidationLost = "pocket.invalidation-lost",
        "an update of the cache is not published",
        breaks ["POK-25", "POK-34"], within 35;
    /// A relay goes into a tree that has been flushed.
    PocketFlushNotExclusive = "pocket.flush-not-exclusive",
        "a flushed tree is changed",
        breaks ["POK-26"], within 15;
    /// The supplier registry hangs while changes come in.
    PocketRegistryStuck = "pocket.registry-stuck",
        "the supplier registry's queue fills up",
        breaks ["POK-27"], within 10;
    /// The claim pipeline hangs while sessions are queued again and again.
    PocketClaimsStuck = "pocket.claims-stuck",
        "the claim queue fills up",
        breaks ["POK-28"], within 25;
    /// A round of refreshing takes two blocks.
    PocketRefreshSlow = "pocket.refresh-slow",
        "refreshing takes longer than a block",
        breaks ["POK-29"], within 20;
    /// The backend answers after twenty seconds, and the gateway tries again and again.
    PocketBackendHangs = "pocket.backend-hangs",
        "a backend hangs until all connections are in use",
        breaks ["POK-30", "POK-31"], within 90;
    /// The instance restarts with a build for debugging.
    PocketDebugBuild = "pocket.debug-build",
        "an instance runs a build that is not released",
        breaks ["POK-32", "POK-39"], within 10;
    /// The instance is given the parameters that were replaced.
    PocketParamsStale = "pocket.params-stale",
        "replaced parameters are used",
        breaks ["POK-34"], within 35;
    /// The leader does not renew its lock and goes on: another one is elected beside it.
    PocketLeaderPauses = "pocket.leader-pauses",
        "a leader stops renewing its lock and goes on",
        breaks ["POK-37", "POK-38"], within 40;
    /// The instance steps down once, and then leads without asking for the lock that another one holds.
    PocketLockIgnored = "pocket.lock-ignored",
        "an instance leads although another one holds the lock",
        breaks ["POK-37", "POK-38"], within 30;
    /// Claims bear another root than the tree was flushed to.
    PocketClaimsWrongRoot = "pocket.claims-wrong-root",
        "a root is claimed that no tree has",
        breaks ["POK-38"], within 15;
    /// The validator prevotes for the value and for nothing in the same round, and tells all peers both.
    MalachiteVoteEquivocation = "malachite.vote-equivocation",
        "a validator prevotes twice in every round",
        breaks ["MAL-2", "MAL-3"], within 8;
    /// The validator proposes one value to some peers and another one to the others. Nobody hears both, so the engine
    /// has no evidence; the round is lost.
    MalachiteProposalEquivocation = "malachite.proposal-equivocation",
        "a proposer tells peers different values",
        breaks ["MAL-4", "MAL-7"], within 15;
    /// The node takes the value it would have built itself for the one that was decided.
    MalachiteReplicaForks = "malachite.replica-forks",
        "one node decides another value than the others",
        breaks ["MAL-1"], within 5;
    /// The node takes two of four votes for a quorum.
    MalachiteQuorumMiscounted = "malachite.quorum-miscounted",
        "a node decides with too few votes",
        breaks ["MAL-11"], within 8;
    /// The node restarts in proper order, comes back behind, asks its peers for the wrong height and believes the answer.
    MalachiteSyncUnverified = "malachite.sync-unverified",
        "a node syncs a wrong value and decides it",
        breaks ["MAL-1", "MAL-12"], within 20;
    /// The validator is killed right after its vote, and comes back eight seconds later with its write-ahead log.
    MalachiteNodeKilled = "malachite.node-killed",
        "a validator is killed in the middle of a height",
        breaks ["MAL-6", "MAL-8"], within 20;
    /// The validator restarts in proper order in the middle of a height, and its disk has changed a byte of its log.
    MalachiteWalCorrupted = "malachite.wal-corrupted",
        "a validator's write-ahead log is damaged",
        breaks ["MAL-13"], within 15;
    /// The node restarts in proper order, and its store has forgotten the last height: it decides it again.
    MalachiteStoreLosesHeight = "malachite.store-loses-height",
        "a node decides and finalizes a height twice",
        breaks ["MAL-10"], within 15;
    /// Nothing gets from the node to its peers, nor from them to it. That it falls behind shows to a watcher that has
    /// heard a minute of it.
    MalachiteNodeIsolated = "malachite.node-isolated",
        "a validator is cut off from its peers",
        breaks ["MAL-5", "MAL-7", "MAL-8", "MAL-9"], within 25;
    /// The validator's application hangs whenever it should build a value.
    MalachiteProposerSilent = "malachite.proposer-silent",
        "a validator proposes nothing when it is its turn",
        breaks ["MAL-7"], within 15;
    /// The validator proposes in every round, whosever turn it is.
    MalachiteWrongProposer = "malachite.wrong-proposer",
        "a validator proposes out of turn",
        breaks ["MAL-14"], within 6;
}

impl Fault {
    /// The system it strikes.
    #[must_use]
    pub fn system(self) -> System {
        let of = |system: &System| self.name().split_once('.').is_some_and(|(prefix, _)| prefix == system.name());
        System::ALL.into_iter().find(of).unwrap_or(System::Aptos)
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
        Fault::ALL.iter().copied().find(|fault| fault.name() == text).ok_or_else(|| UnknownFault(text.to_owned()))
    }
}
