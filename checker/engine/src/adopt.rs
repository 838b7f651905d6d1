//! State that outlives the program it was made by: other packs are adopted, checkpoints written and taken up again.
use alloc::{string::String, vec::Vec};
use hashbrown::HashMap;

use crate::{
    emission,
    engine::{Engine, EngineState, Input, PARTITIONS},
    first,
    program::{Program, RuleIdx},
    route::Column,
    source::Timing,
};

/// What rules, facts and packs mean, by their numbers: how a state finds its own again.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Identities {
    pub(crate) rules: Vec<(String, String, u64)>,
    pub(crate) facts: Vec<(String, String, u64)>,
    pub(crate) clocks: Vec<(String, String, u64)>,
    pub(crate) packs: Vec<String>,
    /// What decides which events are the first of their keys.
    pub(crate) firsts: Vec<u64>,
}

impl Engine {
    /// Adopts other packs. Rules and facts that mean the same keep their state, the others start anew.
    pub fn adopt(&mut self, program: Program) {
        let known = self.program.identities();
        // What waits is for the rules that were in force when it came.
        self.settle_held();
        let state = core::mem::take(&mut self.state);
        let (timing, offline, enforce) = (self.timing, self.offline, self.enforce_breakers);
        let input = if offline { Input::Offline } else { Input::Live };
        *self = Self::with_state(program, timing, input, None, EngineState::default());
        self.state = state.renumbered(&known, &self.program.identities());
        self.enforce_breakers = enforce;
    }

    /// The state, in bytes that [`Engine::restore`] takes.
    ///
    /// # Errors
    /// When the state cannot be encoded.
    pub fn checkpoint(&self) -> Result<Vec<u8>, CheckpointError> {
        let mut bytes = Vec::new();
        self.checkpoint_into(|piece| bytes.extend_from_slice(piece))?;
        Ok(bytes)
    }

    /// The same, given away piece by piece: a large state is never in memory a second time.
    ///
    /// # Errors
    /// When the state cannot be encoded.
    pub fn checkpoint_into(&self, put: impl FnMut(&[u8])) -> Result<(), CheckpointError> {
        let stored = (CHECKPOINT_VERSION, self.program.identities(), self.held_columns(), &self.state);
        postcard::serialize_with_flavor(&stored, Pieces::to(put)).map_err(|_| CheckpointError::Unreadable)
    }

    /// An engine that goes on from a checkpoint. Rules whose meaning has changed since start anew.
    ///
    /// # Errors
    /// When the bytes are not a checkpoint of this version.
    pub fn restore(program: Program, timing: Timing, bytes: &[u8]) -> Result<Self, CheckpointError> {
        let (version, rest) = postcard::take_from_bytes::<u32>(bytes).map_err(|_| CheckpointError::Unreadable)?;
        if version != CHECKPOINT_VERSION {
            return Err(CheckpointError::Version(version));
        }
        let (known, columns, state): (Identities, HashMap<String, Vec<Column>, _>, EngineState) =
            postcard::from_bytes(rest).map_err(|_| CheckpointError::Unreadable)?;
        if state.partitions.len() != PARTITIONS {
            return Err(CheckpointError::Unreadable);
        }
        let state = state.renumbered(&known, &program.identities());
        let mut engine = Self::with_state(program, timing, Input::Live, None, state);
        engine.relearn(&columns);
        Ok(engine)
    }
}

/// The version of the state's encoding; others are refused, and the journal is judged again from its start.
const CHECKPOINT_VERSION: u32 = 15;

/// How many bytes a piece of a checkpoint has, about.
const PIECE: usize = 1 << 16;

/// Encoded bytes on their way, a piece at a time.
struct Pieces<P: FnMut(&[u8])> {
    piece: Vec<u8>,
    put: P,
}

impl<P: FnMut(&[u8])> Pieces<P> {
    fn to(put: P) -> Self {
        Pieces { piece: Vec::with_capacity(2 * PIECE), put }
    }

    fn put_full(&mut self) {
        if self.piece.len() >= PIECE {
            (self.put)(&self.piece);
            self.piece.clear();
        }
    }
}

impl<P: FnMut(&[u8])> postcard::ser_flavors::Flavor for Pieces<P> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.piece.push(byte);
        self.put_full();
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.piece.extend_from_slice(bytes);
        self.put_full();
        Ok(())
    }

    fn finalize(mut self) -> postcard::Result<()> {
        (self.put)(&self.piece);
        Ok(())
    }
}

/// Why a checkpoint was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckpointError {
    /// Not a checkpoint, or damaged.
    Unreadable,
    /// Of another version.
    Version(u32),
}

impl core::fmt::Display for CheckpointError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            CheckpointError::Unreadable => f.write_str("the checkpoint cannot be read"),
            CheckpointError::Version(version) => {
                write!(f, "the checkpoint has version {version}, this engine writes {CHECKPOINT_VERSION}")
            }
        }
    }
}

impl core::error::Error for CheckpointError {}

impl EngineState {
    /// The state under other numbers of rules and facts; what is new starts empty.
    fn renumbered(mut self, old: &Identities, new: &Identities) -> Self {
        fn places<T: PartialEq>(of: &[T], among: &[T]) -> Vec<Option<usize>> {
            of.iter().map(|item| among.iter().position(|known| known == item)).collect()
        }
        let from = places(&new.rules, &old.rules);
        let to: Vec<Option<RuleIdx>> =
            places(&old.rules, &new.rules).into_iter().map(|place| place.map(|place| place as RuleIdx)).collect();
        let sources: Vec<Option<RuleIdx>> = from.iter().map(|place| place.map(|place| place as RuleIdx)).collect();
        fn moved<T: Default>(mut items: Vec<T>, from: &[Option<usize>]) -> Vec<T> {
            from.iter()
                .map(|place| place.and_then(|place| items.get_mut(place)).map(core::mem::take).unwrap_or_default())
                .collect()
        }
        self.facts = self.facts.renumbered(&places(&new.facts, &old.facts));
        self.clocks = self.clocks.renumbered(&places(&new.clocks, &old.clocks));
        self.scopes = moved(self.scopes, &from);
        self.wides = moved(self.wides, &from);
        self.undecided = moved(self.undecided, &from);
        self.tallies = moved(self.tallies, &from);
        // What is new has seen nothing of what was judged already.
        let since = |place: &Option<usize>| place.and_then(|place| self.since.get(place)).copied();
        self.since = from.iter().map(|place| since(place).unwrap_or(self.judged_to)).collect();
        for partition in &mut self.partitions {
            partition.renumber(&sources, &to);
        }
        self.mail.renumber(|rule| to.get(rule as usize).copied().flatten());
        self.agenda.renumber(|rule| to.get(rule as usize).copied().flatten());
        self.dirty.retain_mut(|interruption| match to.get(interruption.rule as usize).copied().flatten() {
            Some(rule) => {
                interruption.rule = rule;
                true
            }
            None => false,
        });
        let number = |rule: RuleIdx| to.get(rule as usize).copied().flatten();
        emission::renumber(&mut self.emitted, &mut self.unmade, number);
        first::renumber(&mut self.firsts, &new.firsts, number);
        self.readings.renumber(number);
        let packs = places(&old.packs, &new.packs);
        self.restarts.retain_mut(|restart| match restart.pack {
            None => true,
            Some(pack) => {
                restart.pack = packs.get(pack as usize).copied().flatten().map(|pack| pack as u16);
                restart.pack.is_some()
            }
        });
        self.restarts.sort();
        self
    }
}
