//! The checker at work: follows the journal, feeds the engine, commits what follows, checkpoints.
//!
//! It is driven by the journal alone. What it has committed it never commits again: after a restart it goes on from a
//! checkpoint no newer than the database, and drops what the engine says until it has caught up with it.
use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, RwLock},
    time::Duration,
};

use engine::{Engine, Forced, Input, Output, Pack, Program, Timing, breaker::Signal as BreakerSignal};
use event::{Position, Timestamp};
use journal::{Frame, Journal, Kind, Loss, ReadError, Reader};
use store::{Change, Planner, RuleHealthRow, Step, Store, StoreError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use wire::Refused;

use crate::{
    changes,
    checkpoint::{Checkpoints, Pace, PackText},
    control::Control,
    evidence::Picked,
    feed::{Feeder, Received},
    health::{self, Told},
    packs::PackFile,
    search, warm,
};

/// How much is fed before what follows is committed.
const FRAMES_PER_STEP: usize = 256;

/// How often, by the journal's time, the checker says how it is doing.
const HEALTH_EVERY: Duration = Duration::from_secs(1);

/// How the checker is doing, for metrics and readiness.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The last frame judged.
    pub frame: u64,
    /// Everything before this has been judged.
    pub frontier: Timestamp,
    /// The journal's time.
    pub arrived: Timestamp,
    /// Events and where they went.
    pub census: engine::Census,
    /// Violations found since the start of this process: pack, rule, severity.
    pub violations: BTreeMap<(String, String, &'static str), u64>,
    /// Verdicts that could not be given: pack, rule.
    pub unknown: BTreeMap<(String, String), u64>,
    /// How long commits took, seconds; only those since the last look.
    pub commits: Vec<f64>,
    /// Whether the database takes what is committed.
    pub healthy: bool,
    /// Frames of the journal that could not be read since the start of this process, and were not judged.
    pub lost_frames: u64,
}

/// What others may see of the checker while it works.
#[derive(Clone)]
pub struct Shared {
    /// The packs in force.
    pub packs: Arc<RwLock<Arc<[Arc<Pack>]>>>,
    /// Their revisions, by name; a pack that does not compile any more has one, too.
    pub revisions: Arc<RwLock<BTreeMap<String, i64>>>,
    /// See [`Status`].
    pub status: Arc<RwLock<Status>>,
    /// The last frame judged and committed; moves on with the journal.
    pub judged: watch::Receiver<u64>,
}

/// Why the checker stopped.
#[derive(Debug, thiserror::Error)]
pub enum CheckerError {
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] ReadError),
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A checkpoint folder cannot be used.
    #[error("checkpoints: {0}")]
    Checkpoints(#[from] io::Error),
    /// The database speaks of another journal, or one of the two is damaged.
    #[error(
        "the database and the journal do not belong together: frame {frame} came at {journal} by the journal, at \
         {database} by the database. Restore both from one backup; or, to have the journal judged again, move invar.db, \
         invar.db-wal and invar.db-shm out of the data directory"
    )]
    Apart {
        /// The last frame that the database has seen.
        frame: u64,
        /// When it came, by the journal.
        journal: Timestamp,
        /// When it came, by the database.
        database: String,
    },
}

/// See the module.
pub struct Checker {
    journal: Journal,
    store: Store,
    planner: Arc<dyn Planner>,
    checkpoints: Checkpoints,
    engine: Engine,
    feeder: Feeder,
    packs: BTreeMap<String, PackText>,
    evidence: Picked<Journal>,
    /// The last frame fed.
    frame: u64,
    arrived: Timestamp,
    /// Frames have been lost since then.
    lost_since: Option<Timestamp>,
    /// The last frame the database has.
    committed: u64,
    outputs: Vec<Output>,
    /// What new rules found in the past.
    past: Vec<Output>,
    /// What was said, frozen; the database has not taken it yet.
    changes: Vec<Change>,
    spoke: Timestamp,
    told: Told<(String, String), RuleHealthRow>,
    pace: Pace,
    enforce_breakers: bool,
    shared: Shared,
    judged: watch::Sender<u64>,
}

impl Checker {
    /// Takes up where the last one stopped.
    ///
    /// # Errors
    /// When the database or the checkpoints cannot be read, or the database speaks of another journal.
    pub async fn recover(
        journal: Journal,
        store: Store,
        planner: Arc<dyn Planner>,
        checkpoints: Checkpoints,
        enforce_breakers: bool,
    ) -> Result<Self, CheckerError> {
        let committed = agreed(&journal, &store).await?;
        let (found, passed_over) = checkpoints.newest(committed)?;
        for problem in passed_over {
            tracing::warn!(problem, "a checkpoint was passed over");
        }
        checkpoints.drop_beyond(committed)?;
        let timing = Timing::default();
        let mut packs = BTreeMap::new();
        let mut frame = 0;
        let mut engine = None;
        if let Some(checkpoint) = found {
            let program = link(&checkpoint.packs);
            match Engine::restore(program, timing, &checkpoint.state) {
                Ok(restored) => {
                    engine = Some(restored);
                    frame = checkpoint.frame;
                    packs = checkpoint.packs;
                }
                Err(error) => {
                    tracing::warn!(%error, "the checkpoint is not used: the journal is judged from its start");
                }
            }
        }
        let mut engine = engine.unwrap_or_else(|| Engine::new(link(&packs), timing, Input::Live));
        engine.enforce_breakers(enforce_breakers);
        let (judged, judged_seen) = watch::channel(frame);
        let shared = Shared {
            packs: Arc::new(RwLock::new(engine.program().packs().into())),
            revisions: Arc::new(RwLock::new(revisions(&packs))),
            status: Arc::new(RwLock::new(Status { healthy: true, ..Status::default() })),
            judged: judged_seen,
        };
        Ok(Checker {
            evidence: Picked::new(journal.clone()),
            journal,
            store,
            planner,
            checkpoints,
            engine,
            feeder: Feeder::default(),
            packs,
            frame,
            arrived: Timestamp::ZERO,
            lost_since: None,
            committed,
            outputs: Vec::new(),
            past: Vec::new(),
            changes: Vec::new(),
            spoke: Timestamp::ZERO,
            told: Told::default(),
            pace: Pace::default(),
            enforce_breakers,
            shared,
            judged,
        })
    }

    /// What others may see while it works.
    #[must_use]
    pub fn shared(&self) -> Shared {
        self.shared.clone()
    }

    /// Works until told to stop; then finishes the step under way and writes a checkpoint.
    ///
    /// # Errors
    /// When the journal cannot be read any more. A database that says no is tried again, for as long as it takes.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), CheckerError> {
        let mut reader = self.reader();
        while !stop.is_cancelled() {
            let frame = match self.try_next(&mut reader) {
                Ok(None) => tokio::select! {
                    biased;
                    () = stop.cancelled() => break,
                    frame = reader.next() => frame,
                },
                Ok(Some(frame)) => Ok(frame),
                Err(error) => Err(error),
            };
            match frame {
                Ok(frame) => self.take(&frame),
                Err(ReadError::Lost(loss)) => self.pass(&mut reader, &loss),
                Err(ReadError::Closed) => break,
                Err(error) => return Err(error.into()),
            }
            for _ in 1..FRAMES_PER_STEP {
                match self.try_next(&mut reader) {
                    Ok(Some(frame)) => self.take(&frame),
                    Ok(None) => break,
                    Err(ReadError::Lost(loss)) => self.pass(&mut reader, &loss),
                    Err(error) => return Err(error.into()),
                }
            }
            self.commit(&stop).await;
            self.checkpoint_when_due();
        }
        self.stop(&stop).await;
        Ok(())
    }

    /// Commits what was said and writes the state down: what has been judged is not judged again by the next one.
    pub async fn stop(&mut self, stop: &CancellationToken) {
        // Also where there is nothing to say: a checkpoint is no newer than the database.
        self.spoke = Timestamp::ZERO;
        self.commit(stop).await;
        self.checkpoint();
    }

    /// Reads on from where the journal has been judged.
    pub fn reader(&mut self) -> Reader {
        let first = self.journal.segments().first().map_or(1, |segment| segment.first_frame);
        if self.frame + 1 < first {
            tracing::warn!(from = self.frame + 1, to = first - 1, "frames were forgotten before they were judged");
            self.frame = first - 1;
        }
        self.journal.reader(self.frame + 1)
    }

    /// The next frame, if there is one: without its body where that is no longer in memory, and what was noted of it says all
    /// that is asked.
    ///
    /// # Errors
    /// As [`Reader::try_next`].
    pub fn try_next(&mut self, reader: &mut Reader) -> Result<Option<Frame>, ReadError> {
        reader.try_next_where(|outline| match search::signal(outline) {
            Some(_) => outline.refused.is_empty() && self.feeder.reads_none(&mut self.engine, &outline.notes),
            None => outline.kind == Kind::TICK,
        })
    }

    /// Goes on behind frames that are lost. What may have been in them is unknown.
    pub fn pass(&mut self, reader: &mut Reader, loss: &Loss) {
        let (first, last) = (loss.frames.start(), loss.frames.end());
        tracing::error!(
            first, last, file = %loss.damage.file.display(), offset = loss.damage.offset, what = loss.damage.what,
            "frames of the journal are damaged: what they held is not judged, and what misses it is unknown"
        );
        if let Ok(mut status) = self.shared.status.write() {
            status.lost_frames += last - first + 1;
        }
        if self.lost_since.is_none() {
            let before = read(&self.journal, first - 1).ok().flatten();
            self.lost_since = Some(before.map_or(self.arrived, |frame| frame.arrived));
        }
        // It counts as fed with the next one: a checkpoint before that has a restart meet the loss again.
        reader.pass(loss);
    }

    /// Every node may have said anything in the time of lost frames, which a frame that came then ends.
    fn note_loss(&mut self, arrived: Timestamp) {
        let Some(since) = self.lost_since.take() else { return };
        // What arrived then happened as long before as sources lag.
        self.engine.lost(since.minus(since.since(self.engine.frontier())), arrived);
    }

    /// Feeds one frame. What follows from it is there for others after [`Checker::commit`].
    pub fn take(&mut self, frame: &Frame) {
        self.frame = frame.number;
        self.arrived = frame.arrived;
        self.note_loss(frame.arrived);
        if let Some(signal) = search::signal(frame) {
            let at = Position { partition: 0, frame: frame.number, record: 0 };
            let refused = &Refused::from(&*frame.refused);
            let (body, notes, arrived) = (&frame.body, &frame.notes, frame.arrived);
            let received = Received { signal, body, refused, notes, arrived, at, group: 0 };
            let fed = self.feeder.request(&mut self.engine, received);
            self.pace.judged(fed.into());
        } else if frame.kind == Kind::CONTROL {
            self.pace.judged(1);
            self.control(frame);
        }
        let mut said = Vec::new();
        self.engine.tick(frame.arrived, &mut said);
        // What the database has already is not said again.
        if frame.number > self.committed {
            self.outputs.append(&mut said);
        }
    }

    fn control(&mut self, frame: &Frame) {
        match Control::from_body(&frame.body) {
            Some(Control::Started) => self.engine.returned(frame.arrived),
            Some(Control::Adopt { pack, revision, yaml }) => {
                let text = PackText { revision, yaml };
                if self.packs.get(&pack) != Some(&text) {
                    self.freeze();
                    self.packs.insert(pack, text);
                    self.adopt(frame.number);
                }
            }
            Some(Control::Drop { pack }) => {
                if self.packs.contains_key(&pack) {
                    self.freeze();
                    self.packs.remove(&pack);
                    self.adopt(frame.number);
                }
            }
            Some(Control::Force { pack, breaker, network, scope, open, until, reason, by }) => {
                let signal = if open { BreakerSignal::Trip(until.map(Timestamp)) } else { BreakerSignal::Reset };
                let forced = Forced {
                    pack: &pack,
                    breaker: &breaker,
                    network: &network,
                    scope: &scope,
                    signal,
                    reason: &reason,
                    by: &by,
                };
                if self.engine.force_breaker(&forced, frame.arrived).is_err() {
                    tracing::warn!(breaker, "a breaker that no pack has was forced");
                }
            }
            None => tracing::warn!(frame = frame.number, "a control frame of an unknown kind was passed over"),
        }
    }

    /// Adopts the packs, at that frame. What is new among them is shown what came before.
    fn adopt(&mut self, frame: u64) {
        let program = link(&self.packs);
        match self.engine.warm_up(&program) {
            None => self.engine.adopt(program),
            Some(mut warm) => {
                warm::show(&self.journal, frame, &mut warm);
                let past = self.engine.adopt_warm(warm);
                if frame > self.committed {
                    self.past.extend(past);
                }
            }
        }
        self.engine.enforce_breakers(self.enforce_breakers);
        self.feeder.reset();
        if let Ok(mut packs) = self.shared.packs.write() {
            *packs = self.engine.program().packs().into();
        }
        if let Ok(mut known) = self.shared.revisions.write() {
            *known = revisions(&self.packs);
        }
    }

    /// Commits what was said, trying again until the database takes it or `stop` is cancelled: then it stays to be committed.
    #[tracing::instrument(level = "debug", skip_all, fields(frame = self.frame, outputs = self.outputs.len()))]
    pub async fn commit(&mut self, stop: &CancellationToken) {
        let talkative = self.arrived >= self.spoke.plus(HEALTH_EVERY);
        self.freeze();
        if !self.changes.is_empty() || talkative {
            let changes = std::mem::take(&mut self.changes);
            let step = Step { frame: self.frame, frontier: self.engine.frontier(), now: self.arrived, changes };
            let mut wait = Duration::from_millis(100);
            loop {
                let started = std::time::Instant::now();
                match self.store.commit(&step, &*self.planner).await {
                    Ok(_) => {
                        self.note_commit(started.elapsed());
                        break;
                    }
                    Err(error) => {
                        tracing::error!(%error, "verdicts cannot be committed; trying again");
                        self.note_trouble();
                        tokio::select! {
                            biased;
                            () = stop.cancelled() => {
                                self.changes = step.changes;
                                return;
                            }
                            () = tokio::time::sleep(wait) => {}
                        }
                        wait = (wait * 2).min(Duration::from_secs(5));
                    }
                }
            }
            self.committed = self.committed.max(self.frame);
        }
        if talkative {
            self.spoke = self.arrived;
            self.tell_health().await;
        }
        self.judged.send_replace(self.frame);
    }

    /// Writes the state down if it is time to.
    pub fn checkpoint_when_due(&mut self) {
        if self.pace.is_due(self.arrived) {
            self.checkpoint();
        }
    }

    /// Makes what was said so far ready for the database: it speaks of rules by their numbers in the packs that are in force.
    fn freeze(&mut self) {
        let (past, outputs) = (std::mem::take(&mut self.past), std::mem::take(&mut self.outputs));
        let (past, frozen) = (self.changes(past, true), self.changes(outputs, false));
        self.changes.extend(past.into_iter().chain(frozen));
    }

    /// What was said, for the database.
    fn changes(&mut self, outputs: Vec<Output>, backfilled: bool) -> Vec<Change> {
        let program = self.engine.program();
        let changes = changes::of(program, outputs, &mut self.evidence);
        let mut status = self.shared.status.write().ok();
        let completed = changes.into_iter().map(|mut change| {
            if let Change::Violated(violation) = &mut change {
                violation.backfilled = backfilled;
                violation.revision = self.packs.get(&violation.pack).map_or(0, |pack| pack.revision);
                if let Some(status) = status.as_mut().filter(|_| !violation.grown) {
                    let name = (violation.pack.clone(), violation.rule.clone(), violation.severity.as_str());
                    *status.violations.entry(name).or_default() += 1;
                }
            }
            change
        });
        completed.collect()
    }

    fn note_commit(&self, took: Duration) {
        if let Ok(mut status) = self.shared.status.write() {
            status.commits.push(took.as_secs_f64());
            status.healthy = true;
            if status.commits.len() > 10_000 {
                status.commits.clear();
            }
        }
    }

    fn note_trouble(&self) {
        if let Ok(mut status) = self.shared.status.write() {
            status.healthy = false;
        }
    }

    async fn tell_health(&mut self) {
        let rules = health::rules(&self.engine);
        let sources = health::sources(&self.engine, self.arrived);
        let slowest =
            self.engine.slowest().map(|source| format!("{} {}", source.node, source.component)).unwrap_or_default();
        let lag = self.lag();
        if let Ok(mut status) = self.shared.status.write() {
            status.frame = self.frame;
            status.frontier = self.engine.frontier();
            status.arrived = self.arrived;
            status.census = self.engine.census();
            status.unknown = rules
                .iter()
                .filter(|rule| rule.unknown > 0)
                .map(|rule| ((rule.pack.clone(), rule.rule.clone()), u64::try_from(rule.unknown).unwrap_or(0)))
                .collect();
        }
        let lag_ms = i64::try_from(lag.as_millis()).unwrap_or(i64::MAX);
        let of_rule = |row: &RuleHealthRow| (row.pack.clone(), row.rule.clone());
        let news = self.told.news(&rules, of_rule);
        match self.store.put_health(lag_ms, &slowest, &news, &sources).await {
            Ok(()) => self.told.note(news, of_rule),
            Err(error) => tracing::warn!(%error, "the checker's health cannot be written"),
        }
    }

    /// How far the frontier is behind; nothing while nobody has been heard.
    fn lag(&self) -> Duration {
        match self.engine.frontier() {
            Timestamp::ZERO => Duration::ZERO,
            frontier => self.arrived.since(frontier),
        }
    }

    /// Writes the state down, when the database has come as far.
    #[tracing::instrument(level = "debug", skip_all, fields(frame = self.frame))]
    fn checkpoint(&mut self) {
        if self.committed < self.frame {
            return;
        }
        let written = self
            .checkpoints
            .write(self.frame, &self.packs, |put| self.engine.checkpoint_into(put).map_err(io::Error::other));
        // One that failed is tried again no sooner than another would be due.
        self.pace.written(self.arrived, *written.as_ref().unwrap_or(&0));
        if let Err(error) = written {
            tracing::warn!(%error, "no checkpoint was written: a restart will take longer");
        }
    }
}

/// The last frame that the database has seen, once journal and database agree about it.
///
/// A journal that ends before it was cut back by someone who moved damaged files away, or by a disk that lost what it had
/// said was safe. New frames will have the numbers of those that are gone: the position goes back, so that they are judged.
async fn agreed(journal: &Journal, store: &Store) -> Result<u64, CheckerError> {
    let progress = store.progress().await?;
    let committed = u64::try_from(progress.frame).unwrap_or(0);
    let last = *journal.durable().borrow();
    if last < committed {
        tracing::error!(
            journal = last,
            database = committed,
            "the journal ends before what has been judged: what was found in the frames that are gone stays, and what comes \
             now is judged without them"
        );
        let arrived = read(journal, last)?.map_or(Timestamp::ZERO, |frame| frame.arrived);
        store.rewind(last, arrived).await?;
        return Ok(last);
    }
    if let Some(frame) = read(journal, committed)?
        && frame.arrived.to_string() != progress.arrived
    {
        return Err(CheckerError::Apart { frame: committed, journal: frame.arrived, database: progress.arrived });
    }
    Ok(committed)
}

/// A frame, if it is kept and can be read: whoever needs one that cannot is told then.
fn read(journal: &Journal, number: u64) -> Result<Option<Frame>, ReadError> {
    if number == 0 {
        return Ok(None);
    }
    match journal.read_frame(number) {
        Err(ReadError::Gone { .. } | ReadError::Lost(_) | ReadError::Corrupt(_)) => Ok(None),
        frame => frame,
    }
}

fn revisions(packs: &BTreeMap<String, PackText>) -> BTreeMap<String, i64> {
    packs.iter().map(|(name, pack)| (name.clone(), pack.revision)).collect()
}

/// The program of these packs; one that does not compile any more is left out and said.
fn link(packs: &BTreeMap<String, PackText>) -> Program {
    Program::link(packs.iter().filter_map(|(name, text)| {
        let file = PackFile::compile(std::path::Path::new(name), text.yaml.clone());
        if file.pack.is_none() {
            tracing::error!(pack = name, revision = text.revision, "a pack does not compile and is left out");
        }
        file.pack
    }))
}
