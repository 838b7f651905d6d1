//! What else is rightly found when a fault strikes: requirements that it does not break by itself, and that its effects
//! break in turn. Each with the reason; whatever is not said here must stay quiet.
use testbed::Fault;

/// A fault, what follows from it, and why.
const CONSEQUENCES: &[(Fault, &[&str], &str)] = &[
    (Fault::AptosGeneratorStops, &["APT-1b"], "what waited in the channel when the generator ended is never tracked"),
    (
        Fault::AptosNotifyFailsButPersists,
        &["APT-10", "APT-1b"],
        "as when the generator stops; and what is stored without being tracked adds up",
    ),
    (Fault::AptosBreakerIgnored, &["APT-1b"], "as when the generator stops"),
    (
        Fault::MalachiteNodeKilled,
        &["MAL-7"],
        "when it is the killed validator's turn, nobody proposes and the round is lost",
    ),
    (
        Fault::ObyteCommitFailsAfterKv,
        &["OBY-13"],
        "the attempt that crashed its node, and those its storage-size check ends, never complete",
    ),
    (
        Fault::ObyteKilledBetween,
        &["OBY-13", "OBY-16"],
        "the killed attempt never completes, and its transaction is neither committed nor rolled back",
    ),
    (
        Fault::ObyteTelemetryLost,
        &["OBY-6"],
        "the new process finds variables in the store that the database never counted",
    ),
    (
        Fault::ObyteDiskFull,
        &["OBY-2", "OBY-4", "OBY-6", "OBY-9", "OBY-11", "OBY-13", "OBY-21"],
        "once COMMIT fails after the KV write, all follows that follows from such a failure without a full disk",
    ),
    (Fault::ObyteCommitFailsOnBounce, &["OBY-13"], "the attempt that crashed its node never completes"),
    (
        Fault::ObyteQuarantineIgnored,
        &["OBY-13"],
        "the attempt that crashed its node, and those its storage-size check ends, never complete",
    ),
    (
        Fault::ObyteKvFailsAfterCommit,
        &["OBY-2", "OBY-13"],
        "the attempt never completes, and its agent's later triggers find variables that other nodes have changed",
    ),
    (Fault::ObyteCommitFailsCompensated, &["OBY-13"], "the attempt that crashed its node never completes"),
    (
        Fault::ObyteCompensationFails,
        &["OBY-13"],
        "the attempt that crashed its node, and those its storage-size check ends, never complete",
    ),
    (
        Fault::ObyteTriggersOutOfOrder,
        &["OBY-2"],
        "an agent that is triggered twice in the wrong order is in another state in between",
    ),
    (
        Fault::PocketRedisOutage,
        &["POK-22", "POK-25", "POK-34"],
        "the instance that is cut off hears of no update by another, and its sessions' windows pass meanwhile",
    ),
    (
        Fault::PocketReconnectsTooFast,
        &["POK-22", "POK-25", "POK-34"],
        "each reconnection misses blocks and messages: sessions miss windows that opened and closed in them, copies stay",
    ),
    (Fault::PocketInvalidationIgnored, &["POK-25"], "entries that another leader updates are kept as well"),
    (Fault::PocketEntitiesKept, &["POK-7"], "an entity that is missing five times is to be evicted"),
    (
        Fault::UltramarineImportsRoundZero,
        &["ULT-14", "ULT-16", "ULT-19", "ULT-26", "ULT-27", "ULT-I3"],
        "the other payload names other blobs, or none, and then becomes a block that the next one does not follow",
    ),
    (
        Fault::UltramarineMetadataAccepted,
        &["ULT-I2", "ULT-I3"],
        "a package of metadata alone brings no blobs that could be stored or marked",
    ),
    (
        Fault::UltramarineProposerDropsBlobs,
        &["ULT-I2"],
        "a height that is decided before a peer has sent the blobs back is decided without them",
    ),
    (
        Fault::UltramarineReplyBeforeProposal,
        &["ULT-24"],
        "a height whose commit crashed the node is synced once more, and its blobs, marked as decided, begin anew",
    ),
    (
        Fault::UltramarineWrongRound,
        &["ULT-I2", "ULT-I7a"],
        "what is kept under another round is not found when a peer asks for the height",
    ),
];

/// The requirements that may be found beside those of the fault.
pub(crate) fn of(fault: Fault) -> Vec<&'static str> {
    let own = CONSEQUENCES.iter().filter(|(of, ..)| *of == fault);
    own.flat_map(|(_, references, why)| {
        assert!(!why.is_empty(), "{fault}: a consequence has a reason");
        references.iter().copied()
    })
    .collect()
}
