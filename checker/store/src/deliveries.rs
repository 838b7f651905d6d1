//! The outbox: what is to be sent, in order per dedup key, and every attempt.
use event::Timestamp;
use serde::Serialize;
use serde_json::Value as Json;
use sqlx::{FromRow, SqliteConnection};

use crate::{IncidentRow, Store, StoreError};

/// A message to be sent.
#[derive(Clone, Debug)]
pub struct NewDelivery {
    /// The receiver's name.
    pub receiver: String,
    /// `trigger`, `acknowledge` or `resolve`.
    pub action: String,
    /// What ties the messages of one incident together.
    pub dedup_key: String,
    /// What the receiver's sender renders from.
    pub body: Json,
}

/// A message that is due.
#[derive(Clone, Debug, FromRow)]
pub struct DueDelivery {
    /// Its number.
    pub id: i64,
    /// Its incident.
    pub incident: String,
    /// The receiver's name.
    pub receiver: String,
    /// What to do.
    pub action: String,
    /// What ties the messages of one incident together.
    pub dedup_key: String,
    /// JSON text.
    pub body: String,
    /// How often it was tried.
    pub attempts: i64,
}

/// A delivery as the API shows it.
#[derive(Clone, Debug, Serialize, FromRow)]
pub struct DeliveryRow {
    /// Its number.
    pub id: i64,
    /// Its incident.
    pub incident: String,
    /// The receiver's name.
    pub receiver: String,
    /// `trigger`, `acknowledge` or `resolve`.
    pub action: String,
    /// `pending`, `delivered`, `failed` or `superseded`.
    pub state: String,
    /// How often it was tried.
    pub attempts: i64,
    /// The last reply's status.
    pub last_status: Option<i64>,
    /// What was wrong the last time.
    pub last_error: Option<String>,
    /// When it was written.
    pub created_at: String,
    /// When it will be tried (again).
    pub next_at: String,
    /// When it was accepted.
    pub delivered_at: Option<String>,
}

/// One try.
#[derive(Clone, Debug, Serialize, FromRow)]
pub struct Attempt {
    /// When.
    pub at: String,
    /// The reply's status; none when there was no reply.
    pub status: Option<i64>,
    /// What was wrong.
    pub error: Option<String>,
    /// How long it took.
    pub latency_ms: i64,
}

/// How a try ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Accepted.
    Delivered,
    /// To be tried again then.
    Retry(Timestamp),
    /// Given up.
    Failed,
}

/// How many attempts of one delivery are kept.
const ATTEMPTS_KEPT: i64 = 100;

/// Writes messages. A resolve whose trigger was never tried takes both out of the queue.
pub(crate) async fn insert(
    connection: &mut SqliteConnection,
    incident: &IncidentRow,
    planned: Vec<NewDelivery>,
    at: &str,
) -> Result<(), sqlx::Error> {
    for delivery in planned {
        let mut state = "pending";
        if delivery.action == "resolve" {
            let waiting = sqlx::query(
                "update deliveries set state = 'superseded'
                 where receiver = ? and dedup_key = ? and action <> 'resolve' and state = 'pending' and attempts = 0",
            )
            .bind(&delivery.receiver)
            .bind(&delivery.dedup_key)
            .execute(&mut *connection)
            .await?
            .rows_affected();
            let sent: i64 = sqlx::query_scalar(
                "select count(*) from deliveries where receiver = ? and dedup_key = ? and action = 'trigger'
                 and state in ('pending', 'delivered')
                 and id > coalesce((select max(id) from deliveries where receiver = ? and dedup_key = ?
                                    and action = 'resolve' and state in ('pending', 'delivered')), 0)",
            )
            .bind(&delivery.receiver)
            .bind(&delivery.dedup_key)
            .bind(&delivery.receiver)
            .bind(&delivery.dedup_key)
            .fetch_one(&mut *connection)
            .await?;
            if waiting > 0 && sent == 0 {
                state = "superseded";
            }
        }
        sqlx::query(
            "insert into deliveries (incident, receiver, action, dedup_key, body, state, attempts, created_at, next_at)
             values (?, ?, ?, ?, ?, ?, 0, ?, ?)",
        )
        .bind(&incident.id)
        .bind(&delivery.receiver)
        .bind(&delivery.action)
        .bind(&delivery.dedup_key)
        .bind(delivery.body.to_string())
        .bind(state)
        .bind(at)
        .bind(at)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

impl Store {
    /// A receiver's messages that are due: of each dedup key only the first that is pending, so that nothing overtakes.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn due_deliveries(
        &self,
        receiver: &str,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<DueDelivery>, StoreError> {
        Ok(sqlx::query_as(
            "select id, incident, receiver, action, dedup_key, body, attempts from deliveries d
             where state = 'pending' and receiver = ? and next_at <= ?
               and not exists (select 1 from deliveries e where e.receiver = d.receiver and e.dedup_key = d.dedup_key
                               and e.state = 'pending' and e.id < d.id)
             order by next_at, id limit ?",
        )
        .bind(receiver)
        .bind(now.to_string())
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&self.reader)
        .await?)
    }

    /// Gives up what waits for receivers that are not among these: nobody can send it any more. Returns how many.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn abandon_deliveries(&self, receivers: &[&str]) -> Result<u64, StoreError> {
        let known = serde_json::to_string(receivers).unwrap_or_default();
        let done = sqlx::query(
            "update deliveries set state = 'failed', last_error = 'there is no receiver of that name any more'
             where state = 'pending' and receiver not in (select value from json_each(?))",
        )
        .bind(known)
        .execute(&self.writer)
        .await?;
        Ok(done.rows_affected())
    }

    /// Notes that a try begins; false when the message is not wanted any more. From here on it may have reached its
    /// receiver, so that a resolve must follow it.
    ///
    /// # Errors
    /// When the database says no; it must not be sent then.
    pub async fn delivery_begins(&self, id: i64) -> Result<bool, StoreError> {
        let done = sqlx::query("update deliveries set attempts = attempts + 1 where id = ? and state = 'pending'")
            .bind(id)
            .execute(&self.writer)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Notes how a try ended that [`Store::delivery_begins`] began.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn delivery_attempted(
        &self,
        id: i64,
        outcome: &Outcome,
        status: Option<u16>,
        error: Option<&str>,
        latency_ms: i64,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let at = now.to_string();
        let (state, next, delivered) = match outcome {
            Outcome::Delivered => ("delivered", at.clone(), Some(at.clone())),
            Outcome::Retry(next) => ("pending", next.to_string(), None),
            Outcome::Failed => ("failed", at.clone(), None),
        };
        let mut transaction = self.writer.begin().await?;
        sqlx::query(
            "update deliveries set state = ?, last_status = ?, last_error = ?, next_at = ?,
                 delivered_at = ? where id = ?",
        )
        .bind(state)
        .bind(status.map(i64::from))
        .bind(error)
        .bind(next)
        .bind(delivered)
        .bind(id)
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "insert into attempts (delivery, at, status, error, latency_ms)
             select ?, ?, ?, ?, ? where (select count(*) from attempts where delivery = ?) < ?",
        )
        .bind(id)
        .bind(&at)
        .bind(status.map(i64::from))
        .bind(error)
        .bind(latency_ms)
        .bind(id)
        .bind(ATTEMPTS_KEPT)
        .execute(&mut *transaction)
        .await?;
        let change = crate::note_change(&mut transaction, "delivery", &id.to_string(), &at).await?;
        transaction.commit().await?;
        self.announce(change);
        Ok(())
    }

    /// Deliveries, the newest first; of one incident where given.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn deliveries(
        &self,
        incident: Option<&str>,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Vec<DeliveryRow>, StoreError> {
        Ok(sqlx::query_as(
            "select id, incident, receiver, action, state, attempts, last_status, last_error, created_at, next_at,
                 delivered_at from deliveries
             where (? is null or incident = ?) and id < ? order by id desc limit ?",
        )
        .bind(incident)
        .bind(incident)
        .bind(before.unwrap_or(i64::MAX))
        .bind(limit)
        .fetch_all(&self.reader)
        .await?)
    }

    /// The tries of one delivery, in order.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn attempts(&self, delivery: i64) -> Result<Vec<Attempt>, StoreError> {
        Ok(sqlx::query_as("select at, status, error, latency_ms from attempts where delivery = ? order by rowid")
            .bind(delivery)
            .fetch_all(&self.reader)
            .await?)
    }

    /// How many deliveries are in that state.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn count_deliveries(&self, state: &str) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar("select count(*) from deliveries where state = ?")
            .bind(state)
            .fetch_one(&self.reader)
            .await?)
    }
}
