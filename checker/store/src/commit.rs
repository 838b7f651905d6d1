//! The checker's step: what verdicts cause, in one transaction with the position they follow from.
use event::Timestamp;
use serde_json::Value as Json;
use sqlx::{Row, SqliteConnection};

use crate::{
    BreakerUpdate, IncidentRow, NewDelivery, Store, StoreError, breakers, deliveries, incidents, note_change,
    storm::{self, Storms},
};

/// Points that nobody closed resolve after so long without another, by the journal's time.
const RESOLVE_AFTER: std::time::Duration = std::time::Duration::from_secs(15 * 60);

/// An incident that returns so soon is reopened; later it is another one.
const REOPEN_WITHIN: std::time::Duration = std::time::Duration::from_secs(24 * 3_600);

/// One step of the checker.
#[derive(Clone, Debug, Default)]
pub struct Step {
    /// The last frame it has seen.
    pub frame: u64,
    /// Everything before this event time has been judged.
    pub frontier: Timestamp,
    /// The journal's time.
    pub now: Timestamp,
    /// What happened, in order.
    pub changes: Vec<Change>,
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Change {
    /// A violation, or more evidence of one.
    Violated(Box<NewViolation>),
    /// A violation never was.
    Retracted {
        /// Which.
        violation: String,
    },
    /// A level recovered.
    Resolved {
        /// Which.
        violation: String,
        /// When, in event time.
        at: Timestamp,
    },
    /// The missing event came after its deadline.
    LateResolved {
        /// Which.
        violation: String,
        /// The event, as evidence.
        event: Json,
    },
    /// A breaker changed.
    Breaker(BreakerUpdate),
}

impl Change {
    /// Whether it says how that violation ended.
    fn is_end_of(&self, id: &str) -> bool {
        match self {
            Change::Retracted { violation }
            | Change::Resolved { violation, .. }
            | Change::LateResolved { violation, .. } => violation == id,
            Change::Violated(_) | Change::Breaker(_) => false,
        }
    }
}

/// A violation, frozen.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the names of the JSON API, explained at `IncidentRow` and `ViolationRow`")]
pub struct NewViolation {
    pub id: String,
    pub pack: String,
    pub rule: String,
    pub reference: Option<String>,
    pub kind: String,
    pub severity: engine::Severity,
    pub shadow: bool,
    pub network: String,
    pub node: String,
    pub component: String,
    pub group: String,
    pub key: Json,
    pub message: String,
    pub at: Timestamp,
    pub evidence: Json,
    pub missing: Option<Json>,
    pub level: bool,
    pub grown: bool,
    pub backfilled: bool,
    pub revision: i64,
    pub runbook_url: Option<String>,
    pub labels: Json,
}

/// What became of an incident, for whoever plans pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// It is new.
    Opened,
    /// It is back.
    Reopened,
    /// A person has it.
    Acknowledged,
    /// It is over.
    Resolved,
    /// Its missing events came late.
    LateResolved,
    /// It never was.
    Retracted,
}

/// Decides who is told; pure. Its deliveries are written in the same transaction as the incident.
pub trait Planner: Send + Sync {
    /// The messages that follow from a transition.
    fn plan(&self, incident: &IncidentRow, transition: Transition) -> Vec<NewDelivery>;
}

impl Store {
    /// Applies a step, unless its frame has been committed before.
    ///
    /// # Errors
    /// When the database says no; nothing of the step is there then.
    pub async fn commit(&self, step: &Step, planner: &dyn Planner) -> Result<bool, StoreError> {
        let mut transaction = self.writer.begin().await?;
        let known: i64 =
            sqlx::query_scalar("select frame from progress where id = 1").fetch_one(&mut *transaction).await?;
        let frame = i64::try_from(step.frame).unwrap_or(i64::MAX);
        if frame <= known {
            return Ok(false);
        }
        let mut last_change = 0;
        let mut storms = Storms::of(&mut transaction, &step.changes).await?;
        for (place, change) in step.changes.iter().enumerate() {
            let rest = &step.changes[place + 1..];
            let noted = apply(&mut transaction, change, rest, step.now, planner, &mut storms).await?;
            last_change = last_change.max(noted);
        }
        last_change = last_change.max(storms.settle_all(&mut transaction, step.now).await?);
        let rested = resolve_rested(&mut transaction, step.now, planner).await?;
        last_change = last_change.max(rested);
        sqlx::query("update progress set frame = ?, frontier = ?, arrived = ? where id = 1")
            .bind(frame)
            .bind(if step.frontier == Timestamp::ZERO { String::new() } else { step.frontier.to_string() })
            .bind(step.now.to_string())
            .execute(&mut *transaction)
            .await?;
        #[cfg(any(test, feature = "testing"))]
        self.faults.meet()?;
        transaction.commit().await?;
        self.announce(last_change);
        Ok(true)
    }

    /// The last frame committed.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn committed_frame(&self) -> Result<u64, StoreError> {
        let frame: i64 = sqlx::query_scalar("select frame from progress where id = 1").fetch_one(&self.reader).await?;
        Ok(u64::try_from(frame).unwrap_or(0))
    }

    /// Goes back to an earlier frame, when those after it are gone; what followed from them stays.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn rewind(&self, frame: u64, arrived: Timestamp) -> Result<(), StoreError> {
        sqlx::query("update progress set frame = ?, arrived = ? where id = 1")
            .bind(i64::try_from(frame).unwrap_or(i64::MAX))
            .bind(if arrived == Timestamp::ZERO { String::new() } else { arrived.to_string() })
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// What a person does to an incident: `acknowledge`, `resolve`, `reopen` or `comment`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such incident.
    pub async fn act(
        &self,
        incident: &str,
        what: &str,
        who: &str,
        text: &str,
        now: Timestamp,
        planner: &dyn Planner,
    ) -> Result<IncidentRow, StoreError> {
        let mut transaction = self.writer.begin().await?;
        let before = incidents::by_id(&mut transaction, incident).await?.ok_or(StoreError::NotFound)?;
        let at = now.to_string();
        let transition = match what {
            "acknowledge" if before.status == "open" => {
                sqlx::query("update incidents set status = 'acknowledged', acknowledged_by = ? where id = ?")
                    .bind(who)
                    .bind(incident)
                    .execute(&mut *transaction)
                    .await?;
                Some(Transition::Acknowledged)
            }
            "resolve" if before.is_open() => {
                sqlx::query("update incidents set status = 'resolved', resolved_at = ? where id = ?")
                    .bind(&at)
                    .bind(incident)
                    .execute(&mut *transaction)
                    .await?;
                Some(Transition::Resolved)
            }
            "reopen" if !before.is_open() => {
                sqlx::query("update incidents set status = 'open', resolved_at = null, last_seen = ? where id = ?")
                    .bind(&at)
                    .bind(incident)
                    .execute(&mut *transaction)
                    .await?;
                Some(Transition::Reopened)
            }
            _ => None,
        };
        if transition.is_some() || what == "comment" {
            note_history(&mut transaction, incident, &at, what, who, text).await?;
        }
        let after = incidents::by_id(&mut transaction, incident).await?.ok_or(StoreError::NotFound)?;
        if let Some(transition) = transition {
            deliveries::insert(&mut transaction, &after, planner.plan(&after, transition), &at).await?;
        }
        let change = note_change(&mut transaction, "incident", incident, &at).await?;
        transaction.commit().await?;
        self.announce(change);
        Ok(after)
    }
}

async fn apply<'s>(
    connection: &mut SqliteConnection,
    change: &'s Change,
    rest: &[Change],
    now: Timestamp,
    planner: &dyn Planner,
    storms: &mut Storms<'s>,
) -> Result<i64, StoreError> {
    let settled = match change {
        Change::Violated(_) => 0,
        _ => storms.settle_all(connection, now).await?,
    };
    let noted = match change {
        Change::Violated(violation) => violated(connection, violation, rest, now, planner, storms).await,
        Change::Breaker(breaker) => Ok(breakers::put(connection, breaker, &now.to_string()).await?),
        Change::Retracted { violation } => ended(connection, violation, "retracted", None, now, planner).await,
        Change::Resolved { violation, at } => {
            ended(connection, violation, "resolved", Some(Json::String(at.to_string())), now, planner).await
        }
        Change::LateResolved { violation, event } => {
            ended(connection, violation, "late", Some(event.clone()), now, planner).await
        }
    };
    Ok(noted?.max(settled))
}

async fn violated<'s>(
    connection: &mut SqliteConnection,
    violation: &'s NewViolation,
    rest: &[Change],
    now: Timestamp,
    planner: &dyn Planner,
    storms: &mut Storms<'s>,
) -> Result<i64, StoreError> {
    let (at, seen) = (violation.at.to_string(), now.to_string());
    if storms.knows(&violation.id) {
        storms.settle_all(connection, now).await?;
        let known = sqlx::query("select incident, state from violations where id = ?")
            .bind(&violation.id)
            .fetch_one(&mut *connection)
            .await?;
        let (incident, state): (String, String) = (known.get(0), known.get(1));
        // Late evidence may prove it earlier than it was known to be.
        sqlx::query("update violations set at = ?, message = ?, evidence = ?, missing = ? where id = ?")
            .bind(&at)
            .bind(&violation.message)
            .bind(violation.evidence.to_string())
            .bind(violation.missing.as_ref().map(Json::to_string))
            .bind(&violation.id)
            .execute(&mut *connection)
            .await?;
        move_last_back(connection, &incident).await?;
        // A correction of what is over says both again: that it was violated, and how it ended.
        let over = rest.iter().any(|later| later.is_end_of(&violation.id));
        if state != "violated" && !over {
            stands_again(connection, violation, &incident, &state, now, planner).await?;
        }
        return Ok(note_change(connection, "incident", &incident, &seen).await?);
    }
    if violation.grown {
        // More evidence of one that a storm left out.
        return Ok(0);
    }
    if storms.count(violation) {
        return Ok(0);
    }
    storms.settle(connection, violation, now).await?;
    let latest = incidents::latest_of_case(connection, violation).await?;
    let reopen_from = now.minus(REOPEN_WITHIN).to_string();
    let (incident, transition) = match latest {
        Some(incident) if incident.is_open() && becomes_loud(&incident, violation) => {
            (incident.id, Some(Transition::Opened))
        }
        Some(incident) if incident.is_open() => (incident.id, None),
        Some(incident) if incident.last_seen >= reopen_from => (incident.id, Some(Transition::Reopened)),
        _ => {
            incidents::insert(connection, violation, &seen).await?;
            (incidents::id_of(violation), Some(Transition::Opened))
        }
    };
    if transition == Some(Transition::Reopened) {
        reopen(connection, &incident).await?;
    }
    if transition.is_some() {
        incidents::set_mode(connection, &incident, violation).await?;
    }
    let count: i64 = sqlx::query(
        "update incidents set count = count + 1, standing = standing + 1, last_at = max(last_at, ?), last_seen = ?,
             message = ?, node = ?, component = ?, revision = ?,
             severity = case when ? > severity_rank then ? else severity end, severity_rank = max(severity_rank, ?)
         where id = ? returning count",
    )
    .bind(&at)
    .bind(&seen)
    .bind(&violation.message)
    .bind(&violation.node)
    .bind(&violation.component)
    .bind(violation.revision)
    .bind(incidents::rank(violation.severity))
    .bind(violation.severity.as_str())
    .bind(incidents::rank(violation.severity))
    .bind(&incident)
    .fetch_one(&mut *connection)
    .await?
    .get(0);
    storms.wrote(violation, &incident, count);
    if storm::is_kept(count) {
        sqlx::query(
            "insert into violations (id, incident, at, detected_at, state, key, message, evidence, missing)
             values (?, ?, ?, ?, 'violated', ?, ?, ?, ?)",
        )
        .bind(&violation.id)
        .bind(&incident)
        .bind(&at)
        .bind(&seen)
        .bind(violation.key.to_string())
        .bind(&violation.message)
        .bind(violation.evidence.to_string())
        .bind(violation.missing.as_ref().map(Json::to_string))
        .execute(&mut *connection)
        .await?;
    }
    if let Some(transition) = transition {
        let what = if transition == Transition::Opened { "opened" } else { "reopened" };
        note_history(connection, &incident, &seen, what, "", &violation.message).await?;
        tell(connection, &incident, transition, &seen, planner).await?;
    }
    Ok(note_change(connection, "incident", &incident, &seen).await?)
}

/// Whether an incident of which nobody was told becomes one that people must know of: its rule was in shadow, or it was found
/// in the past, and this violation is neither.
fn becomes_loud(incident: &IncidentRow, violation: &NewViolation) -> bool {
    (incident.mode != "active" || incident.backfilled) && !violation.shadow && !violation.backfilled
}

/// A violation that was over has been found again: it never ended.
async fn stands_again(
    connection: &mut SqliteConnection,
    violation: &NewViolation,
    incident: &str,
    state: &str,
    now: Timestamp,
    planner: &dyn Planner,
) -> Result<(), StoreError> {
    sqlx::query("update violations set state = 'violated', late = null where id = ?")
        .bind(&violation.id)
        .execute(&mut *connection)
        .await?;
    // Only what never was had been taken off the count.
    let returned = i64::from(state == "retracted");
    let seen = now.to_string();
    let status: String = sqlx::query_scalar(
        "update incidents set standing = standing + 1, count = count + ?, last_at = max(last_at, ?), last_seen = ?
         where id = ? returning status",
    )
    .bind(returned)
    .bind(violation.at.to_string())
    .bind(&seen)
    .bind(incident)
    .fetch_one(&mut *connection)
    .await?;
    if !matches!(status.as_str(), "open" | "acknowledged") {
        reopen(connection, incident).await?;
        note_history(connection, incident, &seen, "reopened", "", &violation.message).await?;
        tell(connection, incident, Transition::Reopened, &seen, planner).await?;
    }
    Ok(())
}

async fn reopen(connection: &mut SqliteConnection, incident: &str) -> Result<(), sqlx::Error> {
    sqlx::query("update incidents set status = 'open', resolved_at = null, acknowledged_by = null where id = ?")
        .bind(incident)
        .execute(&mut *connection)
        .await?;
    Ok(())
}

/// A violation recovered, was answered late, or never was.
async fn ended(
    connection: &mut SqliteConnection,
    violation: &str,
    state: &str,
    by: Option<Json>,
    now: Timestamp,
    planner: &dyn Planner,
) -> Result<i64, StoreError> {
    let seen = now.to_string();
    let by = by.map(|by| by.to_string());
    let row =
        sqlx::query("update violations set state = ?, late = ? where id = ? and state = 'violated' returning incident")
            .bind(state)
            .bind(&by)
            .bind(violation)
            .fetch_optional(&mut *connection)
            .await?;
    let Some(row) = row else {
        // A storm keeps only some of its violations: what becomes of the others cannot be told apart. One that had
        // ended like this already may have ended otherwise than was known.
        sqlx::query("update violations set late = ? where id = ? and state = ?")
            .bind(by)
            .bind(violation)
            .bind(state)
            .execute(&mut *connection)
            .await?;
        return Ok(0);
    };
    let incident: String = row.get(0);
    let gone = i64::from(state == "retracted");
    let row = sqlx::query(
        "update incidents set standing = max(0, standing - 1), count = max(0, count - ?), last_seen = ?
         where id = ? returning standing, count, status",
    )
    .bind(gone)
    .bind(&seen)
    .bind(&incident)
    .fetch_one(&mut *connection)
    .await?;
    let (standing, count, status): (i64, i64, String) = (row.get(0), row.get(1), row.get(2));
    if state == "retracted" {
        move_last_back(connection, &incident).await?;
    }
    if standing == 0 && matches!(status.as_str(), "open" | "acknowledged") {
        let (status, transition) = match state {
            "retracted" if count == 0 => ("retracted", Transition::Retracted),
            "late" => ("late_resolved", Transition::LateResolved),
            _ => ("resolved", Transition::Resolved),
        };
        close(connection, &incident, status, &seen).await?;
        tell(connection, &incident, transition, &seen, planner).await?;
    }
    Ok(note_change(connection, "incident", &incident, &seen).await?)
}

/// An incident's latest violation is the latest that was: where all are kept, so that it is known which that is.
async fn move_last_back(connection: &mut SqliteConnection, incident: &str) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update incidents set last_at = kept.last
         from (select count(*) as number, max(at) as last from violations where incident = ? and state <> 'retracted') as kept
         where id = ? and kept.number > 0 and kept.number = count",
    )
    .bind(incident)
    .bind(incident)
    .execute(&mut *connection)
    .await?;
    Ok(())
}

async fn close(connection: &mut SqliteConnection, incident: &str, status: &str, at: &str) -> Result<(), sqlx::Error> {
    sqlx::query("update incidents set status = ?, resolved_at = ? where id = ?")
        .bind(status)
        .bind(at)
        .bind(incident)
        .execute(&mut *connection)
        .await?;
    note_history(connection, incident, at, status, "", "").await
}

/// Resolves points that have rested long enough.
async fn resolve_rested(
    connection: &mut SqliteConnection,
    now: Timestamp,
    planner: &dyn Planner,
) -> Result<i64, StoreError> {
    let rested: Vec<String> = sqlx::query_scalar(
        "select id from incidents where status in ('open', 'acknowledged') and level = 0 and last_seen < ? limit 100",
    )
    .bind(now.minus(RESOLVE_AFTER).to_string())
    .fetch_all(&mut *connection)
    .await?;
    let mut last = 0;
    let seen = now.to_string();
    for incident in rested {
        close(connection, &incident, "resolved", &seen).await?;
        tell(connection, &incident, Transition::Resolved, &seen, planner).await?;
        last = note_change(connection, "incident", &incident, &seen).await?;
    }
    Ok(last)
}

async fn tell(
    connection: &mut SqliteConnection,
    incident: &str,
    transition: Transition,
    at: &str,
    planner: &dyn Planner,
) -> Result<(), StoreError> {
    if let Some(incident) = incidents::by_id(connection, incident).await? {
        deliveries::insert(connection, &incident, planner.plan(&incident, transition), at).await?;
    }
    Ok(())
}

async fn note_history(
    connection: &mut SqliteConnection,
    incident: &str,
    at: &str,
    what: &str,
    who: &str,
    text: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query("insert into history (incident, at, what, who, text) values (?, ?, ?, ?, ?)")
        .bind(incident)
        .bind(at)
        .bind(what)
        .bind(who)
        .bind(text)
        .execute(connection)
        .await
        .map(drop)
}
