//! Every line of SQL: incidents, violations, breakers, deliveries, packs, health, and how far the checker has come.
//!
//! Callers see plain rows with the names of the JSON API, never a database's types: SQLite answers today, and PostgreSQL
//! fits behind the same functions. What verdicts cause is written in one transaction with the position it follows from.
mod breakers;
mod commit;
mod deliveries;
mod error;
#[cfg(any(test, feature = "testing"))]
mod faulty;
mod health;
mod incidents;
mod overview;
mod packs;
mod storm;

use std::{path::Path, sync::Arc, time::Duration};

use sqlx::{
    ConnectOptions, Connection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::watch;

pub use breakers::{BreakerRow, BreakerUpdate};
pub use commit::{Change, NewViolation, Planner, Step, Transition};
pub use deliveries::{Attempt, DeliveryRow, DueDelivery, NewDelivery, Outcome};
pub use error::StoreError;
pub use health::{Progress, RefusedRow, RuleHealthRow, SourceRow};
pub use incidents::{Filter, HistoryRow, IncidentRow, ViolationRow};
pub use overview::{OpenCount, OpenedCount, RevisionRow};
pub use packs::PackRow;

/// The database.
#[derive(Clone)]
pub struct Store {
    /// One connection: SQLite has one writer, and waiting here is fairer than waiting in the database.
    writer: SqlitePool,
    reader: SqlitePool,
    changes: Arc<watch::Sender<i64>>,
    #[cfg(any(test, feature = "testing"))]
    faults: Arc<faulty::Faults>,
}

impl Store {
    /// Opens the database in that file, making or migrating it, and looks through it for damage, which takes about a second
    /// a gigabyte.
    ///
    /// # Errors
    /// When the file cannot be used, or is damaged.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(10));
        let open = |connections| pool(connections).connect_with(options.clone());
        let (writer, reader) = (open(1).await?, open(4).await?);
        let found: String = sqlx::query_scalar("pragma quick_check(1)").fetch_one(&writer).await?;
        if found != "ok" {
            return Err(StoreError::Corrupt(found));
        }
        Self::with_pools(writer, Some(reader)).await
    }

    /// Copies the database in `from`, which another process may be using, to the file `to`, as it is at one moment.
    ///
    /// # Errors
    /// When there is none, or the copy cannot be written.
    pub async fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
        let options = SqliteConnectOptions::new().filename(from).read_only(true).busy_timeout(Duration::from_secs(10));
        let mut connection = options.connect().await?;
        sqlx::query("vacuum into ?").bind(to.to_string_lossy().as_ref()).execute(&mut connection).await?;
        connection.close().await?;
        Ok(())
    }

    /// A database that ends with the process, for tests.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn memory() -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new().in_memory(true).foreign_keys(true);
        let pool = pool(1).idle_timeout(None).max_lifetime(None).connect_with(options).await?;
        Self::with_pools(pool, None).await
    }

    async fn with_pools(writer: SqlitePool, reader: Option<SqlitePool>) -> Result<Self, StoreError> {
        sqlx::migrate!().run(&writer).await?;
        packs::vouch_for_packs(&writer).await?;
        let reader = reader.unwrap_or_else(|| writer.clone());
        let last: i64 = sqlx::query_scalar("select coalesce(max(id), 0) from changes").fetch_one(&reader).await?;
        Ok(Store {
            writer,
            reader,
            changes: Arc::new(watch::Sender::new(last)),
            #[cfg(any(test, feature = "testing"))]
            faults: Arc::default(),
        })
    }

    /// The number of the last change; moves when something people see has changed.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<i64> {
        self.changes.subscribe()
    }

    /// Changes after that number: number, topic (`incident`, `breaker`, `pack`), subject.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn changes_since(&self, after: i64, limit: i64) -> Result<Vec<(i64, String, String)>, StoreError> {
        Ok(sqlx::query_as("select id, topic, subject from changes where id > ? order by id limit ?")
            .bind(after)
            .bind(limit)
            .fetch_all(&self.reader)
            .await?)
    }

    /// Whether changes after that number have been dropped by now: who knows no more than that must look anew.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn has_dropped_changes_since(&self, after: i64) -> Result<bool, StoreError> {
        let oldest: Option<i64> = sqlx::query_scalar("select min(id) from changes").fetch_one(&self.reader).await?;
        Ok(oldest.is_some_and(|oldest| oldest > after + 1))
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }

    fn announce(&self, change: i64) {
        self.changes.send_if_modified(|last| {
            let news = change > *last;
            *last = change.max(*last);
            news
        });
    }
}

/// Connections to a database in this process: asking whether one is still there would only cost time.
fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new().max_connections(connections).test_before_acquire(false)
}

/// How many changes are kept for readers of the live stream that come back, and how often the others are dropped.
const CHANGES_KEPT: i64 = 65_536;
const CHANGES_PRUNED_EVERY: i64 = 1_024;

/// Notes a change inside a transaction; returns its number.
async fn note_change(
    connection: &mut sqlx::SqliteConnection,
    topic: &str,
    subject: &str,
    at: &str,
) -> Result<i64, sqlx::Error> {
    let done = sqlx::query("insert into changes (topic, subject, at) values (?, ?, ?)")
        .bind(topic)
        .bind(subject)
        .bind(at)
        .execute(&mut *connection)
        .await?;
    let id = done.last_insert_rowid();
    if id % CHANGES_PRUNED_EVERY == 0 {
        sqlx::query("delete from changes where id <= ?").bind(id - CHANGES_KEPT).execute(connection).await?;
    }
    Ok(id)
}
