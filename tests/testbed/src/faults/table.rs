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
            /// rules' own windows. Others may rightly be found with them. Those that compare nodes (OBY-2, POK-10,
            /// TOS-2, TOS-3, ULT-V) need two or more, and those of state sync a peer to sync with; those of batches that go
            /// on being taken (APT-4, APT-7) need nodes that obey no breaker. Trends over minutes, hours and days (APT-16,
            /// OBY-20, POK-8, POK-33, TOS-15, TOS-18) show sooner where the pack's parameters say so.
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
        breaks ["APT-3a", "APT-4", "APT-7", "APT-19"], within 15;
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
        breaks ["APT-1a", "APT-1c", "APT-2", "APT-3a", "APT-4", "APT-7", "APT-19"], within 15;
    /// The generator hangs for eight seconds at a time while a peer floods the node: its channel fills up, and sends
    /// wait instead of failing.
    AptosChannelFull = "aptos.channel-full",
        "the generator hangs under a flood, its channel fills up",
        breaks ["APT-1b", "APT-7", "APT-11", "APT-12"], within 15;
    /// The generator pulls from mempool without leaving out the transactions of the remote batches that it tracks. What
    /// part of all transactions that is shows after five minutes (`duplicates_window`).
    AptosDuplicateLocalBatch = "aptos.duplicate-local-batch",
        "local batches repeat transactions of tracked remote batches",
        breaks ["APT-8", "APT-16"], within 5;
    /// The node restarts in proper order, but its generator pulls before it has taken over what is stored.
    AptosRestartWithoutReconcile = "aptos.restart-without-reconcile",
        "after a restart the generator pulls before it reconciles",
        breaks ["APT-9"], within 10;
    /// The generator ends, each worker's own breaker opens, and the workers go on taking batches. It shows at nodes whose
    /// workers have breakers.
    AptosBreakerIgnored = "aptos.breaker-ignored",
        "workers take batches although their breakers are open",
        breaks ["APT-3a", "APT-3b", "APT-4", "APT-7", "APT-19"], within 15;
    /// The node restarts, and stops coordinators before the generator and the proof manager before the proof coordinator.
    AptosShutdownOutOfOrder = "aptos.shutdown-out-of-order",
        "components stop in the wrong order",
        breaks ["APT-5"], within 10;
    /// The generator drops what it tracks each time before it pulls, so it pulls transactions that are in remote batches.
    AptosTrackingLost = "aptos.tracking-lost",
        "the generator loses what it tracks",
        breaks ["APT-8", "APT-10", "APT-18"], within 70;
    /// A worker panics on a batch that it has taken, and the node restarts in proper order: the batch was neither handed
    /// on nor refused.
    AptosInFlightLost = "aptos.in-flight-lost",
        "a worker loses a batch, then the node shuts down",
        breaks ["APT-6", "APT-15"], within 15;
    /// A peer sends a batch over the limits every second.
    AptosPeerIgnoresLimits = "aptos.peer-ignores-limits",
        "a peer keeps sending batches over the limits",
        breaks ["APT-14"], within 15;
    /// The node restarts without the batch number that it had saved, and counts from the beginning.
    AptosBatchNumberLost = "aptos.batch-number-lost",
        "after a restart batch ids are used again",
        breaks ["APT-17"], within 10;
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
    /// One node computes another result than all others for one trigger, and goes on from it. How many nodes are off is
    /// counted ten minutes later (`counted_after`).
    ObyteReplicaDiverges = "obyte.replica-diverges",
        "one node computes another state than the others",
        breaks ["OBY-2", "OBY-20"], within 10;
    /// COMMIT fails as in the first fault, and a process manager starts the node again after every crash.
    ObyteQuarantineIgnored = "obyte.quarantine-ignored",
        "COMMIT fails after the KV write, the crashing node is started again and again",
        breaks ["OBY-1", "OBY-2", "OBY-3", "OBY-4", "OBY-6", "OBY-9", "OBY-11", "OBY-21"], within 30;
    /// COMMIT fails when a joint is saved, outside of any trigger. The node saves it once more.
    ObyteJointCommitFails = "obyte.joint-commit-fails",
        "COMMIT fails after a joint is written",
        breaks ["OBY-3", "OBY-22"], within 10;
    /// The volume runs full: below 10 % free at once, below 2 % after 20 s, and after 75 s COMMIT fails for want of
    /// space while the KV file can still grow.
    ObyteDiskFull = "obyte.disk-full",
        "the disk fills up until COMMIT fails",
        breaks ["OBY-1", "OBY-3", "OBY-12"], within 95;
    /// COMMIT fails at a trigger that bounced: no state variable was written. The node crashes, comes back and runs the
    /// trigger again, to the same end.
    ObyteCommitFailsOnBounce = "obyte.commit-fails-on-bounce",
        "COMMIT of a bounced trigger fails after its joint is written",
        breaks ["OBY-1w", "OBY-3"], within 30;
    /// The node writes the KV batch after COMMIT, to a volume that has become read-only. The process ends, and from then
    /// on dies of its storage-size check.
    ObyteKvFailsAfterCommit = "obyte.kv-fails-after-commit",
        "the KV write fails after COMMIT",
        breaks ["OBY-5", "OBY-6"], within 25;
    /// COMMIT fails, and the node rolls the KV batch back from the old values before it crashes: the trigger runs again
    /// over the state it found the first time.
    ObyteCommitFailsCompensated = "obyte.commit-fails-compensated",
        "COMMIT fails and the KV batch is rolled back",
        breaks ["OBY-3"], within 25;
    /// COMMIT fails, and the KV volume is read-only by the time the batch is to be rolled back. OBY-8 is asked of nodes
    /// that the pack's `option_2` says to compensate.
    ObyteCompensationFails = "obyte.compensation-fails",
        "COMMIT fails and the KV batch cannot be rolled back",
        breaks ["OBY-1", "OBY-2", "OBY-3", "OBY-4", "OBY-6", "OBY-8", "OBY-9", "OBY-11", "OBY-21"], within 25;
    /// A trigger's output is not stored, and its agent is credited all the same. After a restart in proper order the node
    /// compares both and dies of it, again and again.
    ObyteOutputLost = "obyte.output-lost",
        "an output is lost, the agent's balance counts it",
        breaks ["OBY-7"], within 20;
    /// A database connection is not given back, and the formula that wants to read by it waits for ever.
    ObyteTriggerHangs = "obyte.trigger-hangs",
        "a trigger waits for ever for a database connection",
        breaks ["OBY-13", "OBY-16"], within 70;
    /// The disk stalls for a second and a half before a COMMIT.
    ObyteDiskStalls = "obyte.disk-stalls",
        "the disk stalls between the KV write and COMMIT",
        breaks ["OBY-14"], within 10;
    /// Responses are announced as soon as the KV batch is written.
    ObyteAnnouncedEarly = "obyte.announced-early",
        "responses are announced before COMMIT",
        breaks ["OBY-15"], within 10;
    /// The KV store is opened with options that leave syncing to the kernel.
    ObyteKvUnsynced = "obyte.kv-unsynced",
        "state variables are written without sync",
        breaks ["OBY-17"], within 10;
    /// What a bounced trigger has staged is written.
    ObyteBounceKept = "obyte.bounce-kept",
        "a bounced trigger keeps its changes",
        breaks ["OBY-2", "OBY-18"], within 30;
    /// Triggers pile up, and the node works them off from the last to the first.
    ObyteTriggersOutOfOrder = "obyte.triggers-out-of-order",
        "queued triggers are executed from the last to the first",
        breaks ["OBY-19"], within 15;
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
    /// The instance is told that entries and parameters changed, and keeps its copies.
    PocketInvalidationIgnored = "pocket.invalidation-ignored",
        "an instance keeps copies that it is told to drop",
        breaks ["POK-34"], within 35;
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
    /// Relays of all transports are charged what a load test's client takes them to cost.
    PocketLoadTestUnits = "pocket.load-test-units",
        "relays are charged a load test's constant",
        breaks ["POK-3", "POK-4", "POK-35"], within 5;
    /// Entities that the chain does not know any more stay in the cache. That they pile up shows after a day
    /// (`growth_window`).
    PocketEntitiesKept = "pocket.entities-kept",
        "entities that are gone are never evicted",
        breaks ["POK-8"], within 65;
    /// A pool of buffers never gives them back. That the memory keeps growing shows after six hours (`memory_hour`).
    PocketMemoryLeaks = "pocket.memory-leaks",
        "a process's memory grows and grows",
        breaks ["POK-33"], within 80;
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
    /// After the merge `add_new_block` applies the miner's reward once more.
    TosRewardAppliedTwice = "tos.reward-applied-twice",
        "add_new_block applies the reward that the chain state has applied",
        breaks ["TOS-2", "TOS-3", "TOS-4", "TOS-5"], within 20;
    /// The reward is forgotten.
    TosRewardForgotten = "tos.reward-forgotten",
        "blocks are executed without their reward",
        breaks ["TOS-2", "TOS-3", "TOS-4", "TOS-6"], within 15;
    /// The reward is applied after the block's transactions.
    TosRewardComesLate = "tos.reward-comes-late",
        "the reward is applied after the transactions",
        breaks ["TOS-6"], within 15;
    /// The reward is computed in a wrong unit, and a saturating addition hides it.
    TosRewardSaturates = "tos.reward-saturates",
        "an absurd reward saturates the miner's balance",
        breaks ["TOS-2", "TOS-3", "TOS-5", "TOS-7"], within 15;
    /// The merge iterates over its hash maps as they come.
    TosMergeUnsorted = "tos.merge-unsorted",
        "the merge writes in the order of its hash maps",
        breaks ["TOS-1", "TOS-2"], within 15;
    /// Gas is counted in a wrong unit, and the counter wraps around.
    TosGasWraps = "tos.gas-wraps",
        "the gas counter wraps around",
        breaks ["TOS-3", "TOS-8a", "TOS-8c", "TOS-13"], within 15;
    /// Gas is counted in a wrong unit, and the counter saturates.
    TosGasSaturates = "tos.gas-saturates",
        "the gas counter reaches the end of 64 bits",
        breaks ["TOS-3", "TOS-8b", "TOS-13", "TOS-27"], within 15;
    /// A counter is updated without trying again when another task was faster.
    TosCounterRace = "tos.counter-race",
        "tasks race for the gas counter and lose additions",
        breaks ["TOS-3", "TOS-13", "TOS-14", "TOS-27"], within 15;
    /// A burn over the limit is clamped to it and succeeds.
    TosBurnClamped = "tos.burn-clamped",
        "a burn over the limit is clamped and succeeds",
        breaks ["TOS-2", "TOS-3", "TOS-10", "TOS-12", "TOS-13"], within 20;
    /// Nothing limits the burned supply. That it would soon be used up at this rate shows after a day (`burn_window`).
    TosBurnUnlimited = "tos.burn-unlimited",
        "nothing limits the burned supply",
        breaks ["TOS-2", "TOS-3", "TOS-9", "TOS-10", "TOS-11", "TOS-15"], within 35;
    /// A burn is refused, and the error is dropped: the transaction succeeds.
    TosBurnErrorSwallowed = "tos.burn-error-swallowed",
        "a burn is refused and its transaction succeeds",
        breaks ["TOS-2", "TOS-3", "TOS-11"], within 20;
    /// The node runs with four storage permits.
    TosManyPermits = "tos.many-permits",
        "several tasks read storage at once",
        breaks ["TOS-16"], within 15;
    /// A task keeps the storage permit for ever. The node is silent until its supervisor starts it again after 40 s.
    TosPermitLeaks = "tos.permit-leaks",
        "a task keeps the storage permit, all others wait",
        breaks ["TOS-17"], within 60;
    /// The disk is slow. It shows against the week before (`pace_usual`).
    TosStorageSlow = "tos.storage-slow",
        "storage reads are slow",
        breaks ["TOS-18"], within 20;
    /// The node takes every signature for invalid.
    TosSignaturesRefused = "tos.signatures-refused",
        "a node refuses all transactions of its blocks",
        breaks ["TOS-2", "TOS-3", "TOS-19"], within 15;
    /// A storage error aborts a transaction, and the block goes on.
    TosAbortIgnored = "tos.abort-ignored",
        "an internal error aborts a transaction, the block goes on and is committed",
        breaks ["TOS-2", "TOS-3", "TOS-20"], within 15;
    /// A task is lost, and its transaction counts as failed.
    TosTaskLost = "tos.task-lost",
        "a task panics and leaves a result without transaction",
        breaks ["TOS-2", "TOS-3", "TOS-21", "TOS-27"], within 15;
    /// Small blocks run in parallel, too.
    TosSmallBlockParallel = "tos.small-block-parallel",
        "blocks with few transactions run in parallel",
        breaks ["TOS-22"], within 20;
    /// Parallel execution is switched off, and the node does not care.
    TosKillSwitchIgnored = "tos.kill-switch-ignored",
        "blocks run in parallel although that is switched off",
        breaks ["TOS-23"], within 15;
    /// A write of the merge fails and all are rolled back, and the merge completes all the same.
    TosRolledBackCompletes = "tos.rolled-back-completes",
        "a merge is rolled back and completes",
        breaks ["TOS-2", "TOS-3", "TOS-24", "TOS-25"], within 20;
    /// Some writes of the merge come after its commit.
    TosWritesAfterCommit = "tos.writes-after-commit",
        "the merge goes on writing after its commit",
        breaks ["TOS-24"], within 15;
    /// Adding the burned coins fails after the commit point.
    TosPartialMerge = "tos.partial-merge",
        "balances are committed, gas and burns are lost",
        breaks ["TOS-3", "TOS-25"], within 15;
    /// The node takes no block any more.
    TosNodeIdle = "tos.node-idle",
        "a node executes no blocks while others do",
        breaks ["TOS-27"], within 65;
    /// The grouping overlooks who receives a transfer.
    TosConflictingBatch = "tos.conflicting-batch",
        "transactions of one batch share an account",
        breaks ["TOS-26"], within 15;
    /// The server has lost the payloads of decided values.
    UltramarinePayloadLost = "ultramarine.payload-lost",
        "a server has lost its payloads and answers with metadata",
        breaks ["ULT-I1a", "ULT-I7a"], within 25;
    /// The server has lost the blobs of decided values.
    UltramarineBlobsLost = "ultramarine.blobs-lost",
        "a server has lost its blobs and answers with metadata",
        breaks ["ULT-I2", "ULT-I7a"], within 40;
    /// The server reads round 0 instead of the certificate's round.
    UltramarineWrongRound = "ultramarine.wrong-round",
        "a server serves the payload of another round than the decided one",
        breaks ["ULT-I5", "ULT-I6"], within 60;
    /// The server sends half of each package.
    UltramarineBadPackages = "ultramarine.bad-packages",
        "a server sends packages that cannot be decoded",
        breaks ["ULT-9b"], within 90;
    /// A byte of each blob that the server sends is wrong.
    UltramarineCorruptBlobs = "ultramarine.corrupt-blobs",
        "a server damages what it sends: blobs fail verification, packages without any cannot be read",
        breaks ["ULT-9b"], within 90;
    /// The server sends a megabyte of nothing with each package.
    UltramarinePackageBloated = "ultramarine.package-bloated",
        "a server sends packages of more than a megabyte",
        breaks ["ULT-13b"], within 25;
    /// The client asks for metadata, takes it for the value and decides without a block.
    UltramarineMetadataAccepted = "ultramarine.metadata-accepted",
        "a client takes metadata for the value, and crashes at its import",
        breaks ["ULT-I1b", "ULT-I1c", "ULT-I7a", "ULT-I7b", "ULT-17", "ULT-25"], within 30;
    /// The client logs that blobs could not be marked as decided, and goes on.
    UltramarineMarkDecidedFails = "ultramarine.mark-decided-fails",
        "blobs cannot be marked as decided, and the client goes on",
        breaks ["ULT-I3", "ULT-8", "ULT-14", "ULT-15", "ULT-17", "ULT-25", "ULT-26"], within 60;
    /// The client answers consensus before it stores the proposal.
    UltramarineReplyBeforeProposal = "ultramarine.reply-before-proposal",
        "consensus has its answer before the proposal is stored",
        breaks ["ULT-I4", "ULT-8", "ULT-12", "ULT-17", "ULT-25"], within 30;
    /// The client can decode no package, and blames nobody.
    UltramarineDecoderBroken = "ultramarine.decoder-broken",
        "a client can decode nothing, penalizes nobody and falls behind",
        breaks ["ULT-9a", "ULT-9b", "ULT-22"], within 90;
    /// The verification of blobs hangs, and its time limit does not work.
    UltramarineVerificationHangs = "ultramarine.verification-hangs",
        "verifying blobs never ends",
        breaks ["ULT-8", "ULT-10a", "ULT-22"], within 90;
    /// Blobs are verified without the tables that make it quick.
    UltramarineVerificationSlow = "ultramarine.verification-slow",
        "verifying blobs takes more than twice as long as it should",
        breaks ["ULT-10b"], within 15;
    /// Verification fails for want of the right setup, and the client goes on.
    UltramarineVerifyIgnored = "ultramarine.verify-ignored",
        "blobs that failed verification are stored and handed on",
        breaks ["ULT-8", "ULT-23"], within 60;
    /// The client takes a height from two peers.
    UltramarineDuplicateSync = "ultramarine.duplicate-sync",
        "a height is synced from two peers and handed on twice",
        breaks ["ULT-12", "ULT-24"], within 60;
    /// The client sends each request again and again.
    UltramarineSyncFlood = "ultramarine.sync-flood",
        "a client asks a peer for the same height many times",
        breaks ["ULT-13a"], within 25;
    /// The proposer does not store the blobs of its own proposals.
    UltramarineProposerDropsBlobs = "ultramarine.proposer-drops-blobs",
        "a proposer does not store its own blobs, and crashes at their import",
        breaks ["ULT-I3", "ULT-14", "ULT-15", "ULT-17", "ULT-25", "ULT-26", "ULT-27"], within 40;
    /// Blobs are stored under every second index.
    UltramarineBlobsMisnumbered = "ultramarine.blobs-misnumbered",
        "blobs are stored under wrong indices",
        breaks ["ULT-11"], within 25;
    /// The node commits the proposal of round 0 where all others commit that of round 1.
    UltramarineCommitsOtherRound = "ultramarine.commits-other-round",
        "a node commits another round's value than all others",
        breaks ["ULT-16", "ULT-17", "ULT-19", "ULT-25", "ULT-V"], within 25;
    /// The import reads the first payload that is stored for a height, that of round 0 where round 1 was decided and either
    /// has blobs.
    UltramarineImportsRoundZero = "ultramarine.imports-round-zero",
        "a node imports the payload of another round than the decided one",
        breaks ["ULT-15", "ULT-17", "ULT-21", "ULT-25"], within 40;
    /// The head moves before the execution layer has caught up.
    UltramarineHeadMovesWhileSyncing = "ultramarine.head-moves-while-syncing",
        "the head moves to blocks that were not found valid",
        breaks ["ULT-16"], within 15;
    /// Blobs of committed heights are deleted.
    UltramarineBlobsPruned = "ultramarine.blobs-pruned",
        "a node prunes blobs",
        breaks ["ULT-20"], within 25;
    /// The node restarts, and its write-ahead log goes back a height too far.
    UltramarineWalReplaysHeight = "ultramarine.wal-replays-height",
        "a restarted node commits its last height once more",
        breaks ["ULT-18"], within 15;
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
