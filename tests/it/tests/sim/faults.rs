//! What goes wrong, how often and for how long. Each seed has faults of its own: some have all, most have a few, because rare
//! faults together hide one another.
use rand::{Rng, SeedableRng, rngs::StdRng};

/// What a run counts; each must come up in a run over many seeds.
pub(crate) const KINDS: &[&str] = &[
    "kill",
    "power cut",
    "write torn by a crash",
    "checkpoint torn by a crash",
    "start that failed",
    "sync that failed",
    "full disk",
    "full database",
    "request refused",
    "request lost",
    "reply lost",
    "stall",
    "receiver that failed",
    "receiver's reply lost",
    "retention",
    "graceful stop",
    "change of rules",
    "request by gRPC",
    "request in protobuf",
    "request in JSON",
    "request as event lines",
    "compressed request",
    "request in pieces",
    "partial success",
];

/// Chance that repeats itself.
pub(crate) struct Chance(StdRng);

impl Chance {
    pub(crate) fn of(seed: u64) -> Self {
        Chance(StdRng::seed_from_u64(seed))
    }

    /// Whether something happens that has this probability.
    pub(crate) fn happens(&mut self, probability: f64) -> bool {
        0.0 < probability && self.0.random_bool(probability)
    }

    /// A number below that one.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0.random_range(0..end.max(1))
    }

    pub(crate) fn generator(&mut self) -> &mut StdRng {
        &mut self.0
    }
}

/// Probabilities: of a step of 200 ms where nothing else is said.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// The process dies, at any one of the places where it could.
    pub(crate) crashes: f64,
    /// It dies in the middle of a write, sync or change of names of the journal, or of a checkpoint: of one life.
    pub(crate) torn: f64,
    /// A death is a power cut.
    pub(crate) power: f64,
    /// How long it stays away at most, ms.
    pub(crate) away: u64,
    /// Syncs begin to fail, for a while.
    pub(crate) syncs_fail: f64,
    /// The journal's disk is full, for a while.
    pub(crate) disk_full: f64,
    /// The database has no room, for a while.
    pub(crate) database_full: f64,
    /// A request does not arrive.
    pub(crate) requests_lost: f64,
    /// An acknowledgement does not arrive.
    pub(crate) replies_lost: f64,
    /// What is sent again is cut into other requests.
    pub(crate) rebatches: f64,
    /// A request also holds an event that was acknowledged before.
    pub(crate) repeats: f64,
    /// A sender, the writer, the checker or the courier rests for a while.
    pub(crate) stalls: f64,
    /// How long at most, ms.
    pub(crate) stall: u64,
    /// A receiver does not take a message.
    pub(crate) receiver_fails: f64,
    /// It does, and nobody learns of it.
    pub(crate) receiver_mute: f64,
    /// Old segments are dropped.
    pub(crate) retains: f64,
    /// It is asked to stop, and does so in order.
    pub(crate) stops: f64,
    /// How much of the journal is kept in memory.
    pub(crate) ring_bytes: u64,
    /// A request comes through a receiver, in whatever form; the others are the journal's at once.
    pub(crate) doors: f64,
}

impl Faults {
    /// All is well.
    pub(crate) fn none() -> Self {
        Faults { ring_bytes: 1 << 20, ..Faults::default() }
    }

    /// Those of a seed.
    pub(crate) fn of(seed: u64) -> Self {
        let mut chance = Chance::of(seed ^ 0x5eed);
        let mut some = |most: f64| {
            let share = chance.below(1_000) as f64 / 1_000.0;
            if chance.happens(0.5) { share * most } else { 0.0 }
        };
        Faults {
            crashes: some(0.004),
            torn: some(0.8),
            power: some(1.0),
            syncs_fail: some(0.01),
            disk_full: some(0.02),
            database_full: some(0.02),
            requests_lost: some(0.2),
            replies_lost: some(0.2),
            rebatches: some(1.0),
            repeats: some(0.5),
            stalls: some(0.02),
            receiver_fails: some(0.5),
            receiver_mute: some(0.3),
            retains: some(0.1),
            away: [500, 5_000, 20_000][chance.below(3) as usize],
            stall: [1_000, 6_000, 20_000][chance.below(3) as usize],
            ring_bytes: [0, 20_000, 1 << 20][chance.below(3) as usize],
            stops: chance.below(1_000) as f64 / 1_000.0 * 0.02,
            doors: [0.0, 0.5, 1.0][chance.below(3) as usize],
        }
    }
}
