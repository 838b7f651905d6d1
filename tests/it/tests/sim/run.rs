//! One run: the world step by step, with one process after another in it.
use std::{collections::BTreeMap, task::Poll};

use bytes::Bytes;
use futures_util::{future::LocalBoxFuture, poll};
use journal::{Entry, Retention, Verify};
use tokio_util::sync::CancellationToken;

use super::{
    changes::Operator,
    compare::{self, Outcome},
    door::{Answer, Encoding, Form, Manner},
    faults::{Chance, Faults},
    machine::{Life, Machine, NoStart},
    pager::{DUTY, Fate, HOOK, Pager},
    script::{BEGINNING, Script},
    sender::{Request, Sender},
};

/// How much time a step takes, ms.
const STEP: u64 = 200;

/// How often the courier looks for what is due, ms.
const LOOK_EVERY: u64 = 1_000;

/// How long after the script's end there may still be faults, ms.
const TROUBLE_ENDS_AFTER: u64 = 30_000;

/// Until all lags are forgotten, and everyone is believed again.
const REST: [u64; 7] = [1_000, 1_000, 1_000, 70_000, 1_000, 1_000, 1_000];

/// How it went.
pub(crate) struct Story {
    pub(crate) outcome: Outcome,
    /// What must not be, whatever a calm run does.
    pub(crate) problems: Vec<String>,
    /// What happened, in order.
    pub(crate) told: Vec<String>,
    /// How often what went wrong.
    pub(crate) counts: BTreeMap<&'static str, u64>,
}

impl Story {
    /// The end of it.
    pub(crate) fn last(&self, lines: usize) -> String {
        self.told[self.told.len().saturating_sub(lines)..].join("\n")
    }
}

/// The process died.
struct Dead;

/// A request that waits for the disk.
struct Asked {
    sender: usize,
    answer: LocalBoxFuture<'static, Answer>,
}

/// When what was begun ends, ms since the epoch.
#[derive(Default)]
struct Until {
    syncs_fail: u64,
    disk_full: u64,
    database_full: u64,
    writer_rests: u64,
    checker_rests: u64,
    courier_rests: u64,
    /// The process is away.
    away: u64,
    /// A process whose journal has stopped is restarted by its operator.
    restart: Option<u64>,
}

struct Simulation {
    faults: Faults,
    chance: Chance,
    now: u64,
    until: Until,
    machine: Machine,
    life: Option<Life>,
    /// Of this life: a crash in the middle of an operation is to come.
    armed: bool,
    senders: Vec<Sender>,
    operator: Operator,
    asked: Vec<Asked>,
    /// The last frame of the journal when it last stopped in order and had written down all that it had judged.
    left_at: Option<u64>,
    last_append: u64,
    acknowledged: BTreeMap<u64, Bytes>,
    pager: Pager,
    told: Vec<String>,
    problems: Vec<String>,
    counts: BTreeMap<&'static str, u64>,
}

/// Runs a script with those faults.
pub(crate) async fn run(script: &Script, seed: u64, faults: Faults) -> Story {
    let mut simulation = Simulation {
        faults,
        chance: Chance::of(seed),
        now: BEGINNING,
        until: Until::default(),
        machine: Machine::new(seed).await,
        life: None,
        armed: false,
        senders: script.nodes.iter().map(|node| Sender::new(node)).collect(),
        operator: Operator::new(),
        asked: Vec::new(),
        left_at: None,
        last_append: 0,
        acknowledged: BTreeMap::new(),
        pager: Pager::default(),
        told: Vec::new(),
        problems: Vec::new(),
        counts: BTreeMap::new(),
    };
    simulation.until(script.end, script.end + TROUBLE_ENDS_AFTER).await;
    simulation.calm_down();
    simulation.until(script.end, u64::MAX).await;
    simulation.rest().await;
    let Simulation { machine, life, acknowledged, pager, told, operator, mut problems, counts, .. } = simulation;
    let journal = life.expect("it ran to the end").journal;
    problems.extend(compare::lost(&journal, &acknowledged, script));
    let outcome = Outcome::of(&machine.store, &pager, !counts.contains_key("retention"), &mut problems).await;
    problems.extend(operator.problems(&outcome.late, &outcome.bad, script));
    Story { outcome, problems, told, counts }
}

impl Simulation {
    fn tell(&mut self, what: impl std::fmt::Display) {
        self.told.push(format!("{:>7} ms: {what}", self.now - BEGINNING));
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// A place where the process may die. Troubles like company: it is likelier while something else is wrong.
    fn point(&mut self, place: &str) -> Result<(), Dead> {
        let Until { syncs_fail, disk_full, database_full, .. } = self.until;
        let in_trouble = self.now < syncs_fail.max(disk_full).max(database_full);
        if self.chance.happens(self.faults.crashes * if in_trouble { 8.0 } else { 1.0 }) {
            self.tell(format_args!("it dies: {place}"));
            return Err(Dead);
        }
        Ok(())
    }

    /// Steps until everything of a script that ends at `end` is acknowledged, but not longer than until `latest`.
    async fn until(&mut self, end: u64, latest: u64) {
        let done = |this: &Self| this.senders.iter().all(Sender::is_done) && this.operator.is_done();
        while self.now < latest && !(self.now >= end && self.life.is_some() && done(self)) {
            self.step(STEP).await;
        }
    }

    /// No more faults from here on.
    fn calm_down(&mut self) {
        self.tell("all is well from here on");
        self.faults = Faults { ring_bytes: self.faults.ring_bytes, ..Faults::none() };
        let (away, restart) = (self.until.away, self.until.restart);
        self.until = Until { away, restart, ..Until::default() };
        if self.armed {
            self.die();
        }
    }

    async fn step(&mut self, takes: u64) {
        self.now += takes;
        self.machine.set_clock(self.now);
        self.stir();
        if self.life.is_none() && self.until.away <= self.now {
            self.start().await;
        }
        let Some(mut life) = self.life.take() else { return self.nobody_is_there() };
        let lives = self.turn(&mut life).await.is_ok();
        self.life = Some(life);
        let torn = [
            (&self.machine.journal, "write torn by a crash"),
            (&self.machine.checkpoints, "checkpoint torn by a crash"),
        ]
        .into_iter()
        .find_map(|(disk, what)| disk.has_crashed().then_some(what));
        if let Some(what) = torn {
            self.count(what);
        }
        let restarted = self.until.restart.is_some_and(|at| at <= self.now);
        if !lives || torn.is_some() || restarted {
            self.die();
        } else if self.until.restart.is_none() && self.chance.happens(self.faults.stops) {
            self.stop().await;
        }
    }

    /// What may begin or end by itself.
    fn stir(&mut self) {
        let lasting = |most: u64, chance: &mut Chance, now: u64| now + chance.below(most);
        if self.chance.happens(self.faults.syncs_fail) {
            self.until.syncs_fail = lasting(2_000, &mut self.chance, self.now);
        }
        if self.chance.happens(self.faults.disk_full) {
            self.until.disk_full = lasting(8_000, &mut self.chance, self.now);
            self.count("full disk");
        }
        if self.chance.happens(self.faults.database_full) {
            self.until.database_full = lasting(8_000, &mut self.chance, self.now);
        }
        if self.chance.happens(self.faults.stalls) {
            self.count("stall");
            let until = lasting(self.faults.stall, &mut self.chance, self.now);
            let whose = self.chance.below(3 + self.senders.len() as u64);
            self.tell(format_args!("number {whose} rests for {} ms", until - self.now));
            match whose {
                0 => self.until.writer_rests = until,
                1 => self.until.checker_rests = until,
                2 => self.until.courier_rests = until,
                sender => self.senders[sender as usize - 3].rest_until(until),
            }
        }
        self.machine.journal.fail_syncs(self.now < self.until.syncs_fail);
        self.machine.journal.limit_space((self.now < self.until.disk_full).then_some(0));
        self.machine.store.fill(self.now < self.until.database_full);
    }

    async fn start(&mut self) {
        self.armed = self.chance.happens(self.faults.torn);
        if self.armed {
            match self.chance.below(4) {
                0 => self.machine.checkpoints.crash_after(self.chance.below(14)),
                _ => self.machine.journal.crash_after(self.chance.below(250)),
            }
        }
        let verify = if self.chance.below(2) == 0 { Verify::Tail } else { Verify::Everything };
        match self.machine.start(self.faults.ring_bytes, verify).await {
            Ok(life) => {
                let durable = *life.journal.durable().borrow();
                self.tell(format_args!("it runs; the journal has {durable} frames"));
                if let Some(left_at) = self.left_at.take()
                    && life.reader.next_frame() != left_at + 1
                {
                    let next = life.reader.next_frame();
                    self.problems.push(format!("it stopped in order after frame {left_at}, and goes on with {next}"));
                }
                self.life = Some(life);
            }
            Err(NoStart::ForNow(why)) => {
                self.count("start that failed");
                self.tell(format_args!("it does not start: {why}"));
                self.die();
            }
            Err(NoStart::Lost(why)) => {
                self.tell(format_args!("it cannot start: {why}"));
                self.problems.push(why);
                // Nothing more can be learned from this run: it goes on with nothing.
                self.machine.journal = journal::faulty::FaultyDisk::new(0);
            }
        }
    }

    /// Stops as a process that is asked to: nobody new is heard, who was heard is answered, what was acknowledged is judged, and
    /// the state is written down.
    async fn stop(&mut self) {
        let Some(mut life) = self.life.take() else { return };
        self.count("graceful stop");
        self.tell("it is asked to stop");
        let in_order = self.write(&mut life).await.is_ok() && self.until.restart.is_none();
        while in_order && let Ok(Some(frame)) = life.reader.try_next() {
            life.checker.take(&frame);
        }
        let once = CancellationToken::new();
        once.cancel();
        life.checker.stop(&once).await;
        let (durable, written) = (*life.journal.durable().borrow(), self.machine.newest_checkpoint());
        self.life = Some(life);
        // A disk or a database that says no leaves more to be done again; so does a death on the way.
        let well = in_order && !self.armed && self.until.database_full <= self.now;
        if well && written != Some(durable) {
            self.problems.push(format!("it stopped in order at frame {durable}, and wrote down {written:?}"));
        }
        self.die();
        self.left_at = well.then_some(durable);
    }

    fn die(&mut self) {
        self.left_at = None;
        let power_cut = self.chance.happens(self.faults.power);
        let away = self.chance.below(self.faults.away);
        self.count(if power_cut { "power cut" } else { "kill" });
        self.tell(format_args!("{} for {away} ms", if power_cut { "the power is cut" } else { "it is gone" }));
        self.life = None;
        self.asked.clear();
        self.machine.die(power_cut);
        self.until.away = self.now + away;
        self.until.restart = None;
        self.armed = false;
    }

    /// Senders find nobody, and come back.
    fn nobody_is_there(&mut self) {
        for sender in &mut self.senders {
            if sender.request(self.now, &self.faults, &mut self.chance).is_some() {
                sender.rest_until(self.now + 200 + self.chance.below(2_000));
            }
        }
    }

    async fn turn(&mut self, life: &mut Life) -> Result<(), Dead> {
        self.send(life).await;
        self.point("requests wait for the disk")?;
        if self.operator.is_due(self.now) {
            self.change_rules(life).await?;
        }
        if self.until.writer_rests <= self.now {
            self.write(life).await?;
        }
        if self.until.checker_rests <= self.now {
            self.judge(life).await?;
        }
        if self.until.courier_rests <= self.now {
            self.until.courier_rests = self.now + LOOK_EVERY;
            self.deliver(life).await?;
        }
        Ok(())
    }

    /// Senders send; a second without arrivals is a tick.
    async fn send(&mut self, life: &Life) {
        for sender in 0..self.senders.len() {
            if self.asked.iter().any(|asked| asked.sender == sender) {
                continue;
            }
            let Some(request) = self.senders[sender].request(self.now, &self.faults, &mut self.chance) else {
                continue;
            };
            if self.chance.happens(self.faults.requests_lost) {
                self.count("request lost");
                self.senders[sender].rest_until(self.now + 200 + self.chance.below(3_000));
                continue;
            }
            let answer = self.ask(life, sender, &request).await;
            self.asked.push(Asked { sender, answer });
            self.last_append = self.now;
        }
        if self.now - self.last_append >= 1_000 {
            // Nobody waits for a tick.
            drop(life.journal.append(Entry::tick()));
            self.last_append = self.now;
        }
    }

    /// Hands a request over; what comes of it, the disk decides.
    async fn ask(&mut self, life: &Life, sender: usize, request: &Request) -> LocalBoxFuture<'static, Answer> {
        if !self.chance.happens(self.faults.doors) {
            let body = request.body.clone();
            let appended = life.journal.append(request.entry());
            return Box::pin(async move {
                match appended.await {
                    Ok(appended) => Answer::Kept { frame: appended.frame, body },
                    Err(error) => Answer::Again(error.to_string()),
                }
            });
        }
        let manner = Manner::any(&mut self.chance);
        self.count(match manner.form {
            Form::Grpc => "request by gRPC",
            Form::Protobuf => "request in protobuf",
            Form::Json => "request in JSON",
            Form::Lines => "request as event lines",
        });
        if manner.encoding != Encoding::Identity {
            self.count("compressed request");
        }
        if manner.pieces > 1 {
            self.count("request in pieces");
        }
        if request.refused() > 0 {
            self.count("partial success");
        }
        let mut answer: LocalBoxFuture<'static, Answer> = Box::pin(life.door.send(sender, request, manner));
        // It comes as far as to the journal at once, and waits there.
        match poll!(&mut answer) {
            Poll::Ready(outcome) => Box::pin(std::future::ready(outcome)),
            Poll::Pending => answer,
        }
    }

    /// The operator changes the rules; when something is in the way, again in the next step.
    async fn change_rules(&mut self, life: &mut Life) -> Result<(), Dead> {
        let store = self.machine.store.clone();
        let Ok(entry) = self.operator.begin(&store).await else { return Ok(()) };
        self.point("the database has a change of rules, and the journal has not")?;
        let answer = Box::pin(life.journal.append(entry));
        self.write(life).await?;
        let Ok(appended) = answer.await else { return Ok(()) };
        self.point("a change of rules is journaled, and nobody knows")?;
        if self.operator.end(&store, self.now).await.is_ok() {
            self.count("change of rules");
            self.tell(format_args!("the rules are changed with frame {}", appended.frame));
        }
        Ok(())
    }

    /// The writer commits, and senders are answered.
    async fn write(&mut self, life: &mut Life) -> Result<(), Dead> {
        if self.chance.below(2) == 0 {
            life.writer.prepare();
        }
        if !life.writer.write() && self.until.restart.is_none() {
            self.count("sync that failed");
            self.tell("the journal has stopped");
            self.until.restart = Some(self.now + self.chance.below(5_000));
        }
        self.point("written, and nobody knows")?;
        for asked in std::mem::take(&mut self.asked) {
            let Asked { sender, answer } = asked;
            match answer.await {
                Answer::Kept { frame, body } => {
                    let lost = self.chance.happens(self.faults.replies_lost);
                    let told = if lost { ", and is not told" } else { "" };
                    self.tell(format_args!("sender {sender} has frame {frame}{told}"));
                    if lost {
                        self.count("reply lost");
                        self.senders[sender].rest_until(self.now + 200 + self.chance.below(3_000));
                    } else {
                        self.senders[sender].acknowledged(self.now);
                        self.acknowledged.insert(frame, body);
                    }
                }
                Answer::Wrong(why) => {
                    self.problems.push(format!("sender {sender} is told what it must not be: {why}"));
                    self.senders[sender].rest_until(self.now + 2_000);
                }
                Answer::Again(why) => {
                    self.count("request refused");
                    self.tell(format_args!("sender {sender} is refused: {why}"));
                    self.senders[sender].rest_until(self.now + 200 + self.chance.below(2_000));
                }
            }
        }
        self.point("acknowledged, and not judged")
    }

    async fn judge(&mut self, life: &mut Life) -> Result<(), Dead> {
        for _ in 0..=self.chance.below(40) {
            match life.checker.try_next(&mut life.reader) {
                Ok(Some(frame)) => life.checker.take(&frame),
                Ok(None) => break,
                Err(error) => {
                    self.problems.push(format!("the checker cannot read: {error}"));
                    break;
                }
            }
        }
        self.point("judged, and not committed")?;
        if self.now < self.until.database_full {
            self.count("full database");
        }
        // It tries once: it is asked again in the next step.
        let once = CancellationToken::new();
        once.cancel();
        life.checker.commit(&once).await;
        self.point("committed, and not written down")?;
        life.checker.checkpoint_when_due();
        self.point("written down")?;
        if self.chance.happens(self.faults.retains) {
            let checkpoints =
                runtime::checkpoint::Checkpoints::on(std::sync::Arc::new(self.machine.checkpoints.clone()));
            let keep_from = checkpoints.oldest_frame().map_or(1, |frame| frame + 1);
            let retention = Retention { bytes_max: Some(128 << 10), age_max: None };
            if life.journal.retain(retention, keep_from).is_ok_and(|kept| kept.dropped_segments > 0) {
                self.count("retention");
            }
        }
        Ok(())
    }

    async fn deliver(&mut self, life: &Life) -> Result<(), Dead> {
        let store = self.machine.store.clone();
        for receiver in [DUTY, HOOK] {
            let now = event::Timestamp(self.now * 1_000_000);
            for delivery in store.due_deliveries(receiver, now, 8).await.unwrap() {
                self.point("a page is due")?;
                let Some(letter) = life.outbox.begin(delivery).await else { continue };
                self.point("a page is begun")?;
                let (fate, reply) = self.pager.take(&letter.message(), &self.faults, &mut self.chance);
                self.tell(format_args!("{receiver} is told: {} {fate:?}", letter.message().id));
                match fate {
                    Fate::Accepted => {}
                    Fate::Refused => self.count("receiver that failed"),
                    Fate::AcceptedUnseen => self.count("receiver's reply lost"),
                }
                self.point("a page is sent, and not noted")?;
                life.outbox.end(&letter, &reply, now, self.chance.generator()).await;
            }
        }
        Ok(())
    }

    /// Time goes on until nothing more can follow: first for the rules, then for the pages.
    async fn rest(&mut self) {
        for takes in REST {
            self.step(takes).await;
            while self.life.as_ref().is_some_and(|life| life.reader.next_frame() <= *life.journal.durable().borrow()) {
                self.step(1).await;
            }
        }
        for _ in 0..200 {
            if self.machine.store.count_deliveries("pending").await.unwrap() == 0 {
                break;
            }
            self.now += 600_000;
            if let Some(life) = self.life.take() {
                // Nothing dies any more.
                let _ = self.deliver(&life).await;
                self.life = Some(life);
            }
        }
    }
}
