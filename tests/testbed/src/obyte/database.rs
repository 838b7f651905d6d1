//! The SQL side of a node: queued triggers, balances, responses, sizes. Every statement of the Obyte testbed is here.

use std::{path::Path, time::Duration};

use sqlx::{
    ConnectOptions, Connection, Row, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use super::agent::{Response, Trigger};

/// How long a statement waits for another connection's lock: ocore's setting.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS main_chain (id INTEGER PRIMARY KEY CHECK (id = 0), next_trigger INTEGER NOT NULL);
INSERT OR IGNORE INTO main_chain VALUES (0, 0);
CREATE TABLE IF NOT EXISTS aa_triggers (trigger_index INTEGER PRIMARY KEY, unit TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS aa_addresses (address TEXT PRIMARY KEY, storage_size INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS aa_balances (address TEXT PRIMARY KEY, balance INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS outputs (
    unit TEXT NOT NULL, address TEXT NOT NULL, amount INTEGER NOT NULL, is_spent INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS outputs_by_address ON outputs (address, is_spent);
CREATE TABLE IF NOT EXISTS aa_responses (
    trigger_unit TEXT PRIMARY KEY, address TEXT NOT NULL, bounced INTEGER NOT NULL, response_unit TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS witnessed (unit TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS unwitnessed (
    unit TEXT NOT NULL REFERENCES witnessed (unit) DEFERRABLE INITIALLY DEFERRED);
";

/// One connection of a node.
#[derive(Debug)]
pub(super) struct Database {
    connection: SqliteConnection,
}

/// What SQLite said of a statement that failed, in the terms of `error.type`.
pub(super) fn error_type(error: &sqlx::Error) -> &'static str {
    let code = error.as_database_error().and_then(|error| error.code()).and_then(|code| code.parse::<u32>().ok());
    // The low byte of an extended result code is the primary one: https://sqlite.org/rescode.html
    match code.map(|code| code & 0xff) {
        Some(5) => "SQLITE_BUSY",
        Some(11) => "SQLITE_CORRUPT",
        Some(13) => "SQLITE_FULL",
        Some(19) => "SQLITE_CONSTRAINT",
        _ => "SQLITE_IOERR",
    }
}

impl Database {
    /// Opens or makes the database.
    pub(super) async fn open(path: &Path) -> sqlx::Result<Database> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let mut connection = options.disable_statement_logging().connect().await?;
        sqlx::raw_sql(SCHEMA).execute(&mut connection).await?;
        Ok(Database { connection })
    }

    /// Closes the connection; a transaction that is open is rolled back, as by a kill.
    pub(super) async fn close(self) {
        // What cannot be closed is closed by dropping it.
        let _ = self.connection.close().await;
    }

    /// The first trigger that is not yet queued.
    pub(super) async fn next_trigger(&mut self) -> sqlx::Result<i64> {
        let row = sqlx::query("SELECT next_trigger FROM main_chain").fetch_one(&mut self.connection).await?;
        row.try_get(0)
    }

    /// Queues a trigger that became stable.
    pub(super) async fn enqueue(&mut self, trigger: &Trigger) -> sqlx::Result<()> {
        sqlx::query("INSERT INTO aa_triggers (trigger_index, unit) VALUES (?, ?)")
            .bind(trigger.index)
            .bind(&trigger.unit)
            .execute(&mut self.connection)
            .await?;
        sqlx::query("UPDATE main_chain SET next_trigger = ?")
            .bind(trigger.index + 1)
            .execute(&mut self.connection)
            .await
            .map(drop)
    }

    /// The queued trigger that is to be executed first.
    pub(super) async fn first_queued(&mut self) -> sqlx::Result<Option<i64>> {
        self.queued("SELECT trigger_index FROM aa_triggers ORDER BY trigger_index LIMIT 1").await
    }

    /// The queued trigger that is to be executed last.
    pub(super) async fn last_queued(&mut self) -> sqlx::Result<Option<i64>> {
        self.queued("SELECT trigger_index FROM aa_triggers ORDER BY trigger_index DESC LIMIT 1").await
    }

    async fn queued(&mut self, query: &'static str) -> sqlx::Result<Option<i64>> {
        let row = sqlx::query(query).fetch_optional(&mut self.connection).await?;
        row.map(|row| row.try_get(0)).transpose()
    }

    pub(super) async fn begin(&mut self) -> sqlx::Result<()> {
        self.run("BEGIN IMMEDIATE").await
    }

    pub(super) async fn commit(&mut self) -> sqlx::Result<()> {
        self.run("COMMIT").await
    }

    pub(super) async fn rollback(&mut self) -> sqlx::Result<()> {
        self.run("ROLLBACK").await
    }

    pub(super) async fn savepoint(&mut self) -> sqlx::Result<()> {
        self.run("SAVEPOINT initial_balances").await
    }

    pub(super) async fn rollback_to_savepoint(&mut self) -> sqlx::Result<()> {
        self.run("ROLLBACK TO SAVEPOINT initial_balances").await
    }

    async fn run(&mut self, statement: &'static str) -> sqlx::Result<()> {
        sqlx::query(statement).execute(&mut self.connection).await.map(drop)
    }

    /// Stores what the trigger brought as an output of its agent.
    pub(super) async fn store_output(&mut self, trigger: &Trigger, response: &Response) -> sqlx::Result<()> {
        sqlx::query("INSERT INTO outputs (unit, address, amount) VALUES (?, ?, ?)")
            .bind(&trigger.unit)
            .bind(&trigger.agent)
            .bind(response.amount)
            .execute(&mut self.connection)
            .await
            .map(drop)
    }

    /// Credits what the trigger brought.
    pub(super) async fn credit(&mut self, trigger: &Trigger, response: &Response) -> sqlx::Result<()> {
        sqlx::query(
            "INSERT INTO aa_balances (address, balance) VALUES (?1, ?2)
             ON CONFLICT (address) DO UPDATE SET balance = balance + ?2",
        )
        .bind(&trigger.agent)
        .bind(response.amount)
        .execute(&mut self.connection)
        .await
        .map(drop)
    }

    /// Notes the response and takes the trigger from the queue.
    pub(super) async fn respond(&mut self, trigger: &Trigger, response: &Response) -> sqlx::Result<()> {
        sqlx::query(
            "INSERT INTO aa_addresses (address, storage_size) VALUES (?1, ?2)
             ON CONFLICT (address) DO UPDATE SET storage_size = storage_size + ?2",
        )
        .bind(&trigger.agent)
        .bind(response.storage_growth())
        .execute(&mut self.connection)
        .await?;
        sqlx::query("INSERT INTO aa_responses (trigger_unit, address, bounced, response_unit) VALUES (?, ?, ?, ?)")
            .bind(&trigger.unit)
            .bind(&trigger.agent)
            .bind(response.bounced)
            .bind(&response.unit)
            .execute(&mut self.connection)
            .await?;
        sqlx::query("DELETE FROM aa_triggers WHERE trigger_index = ?")
            .bind(trigger.index)
            .execute(&mut self.connection)
            .await
            .map(drop)
    }

    /// Breaks a deferred constraint, which SQLite only finds at COMMIT: https://sqlite.org/foreignkeys.html
    pub(super) async fn spoil_commit(&mut self, trigger: &Trigger) -> sqlx::Result<()> {
        sqlx::query("INSERT INTO unwitnessed (unit) VALUES (?)")
            .bind(&trigger.unit)
            .execute(&mut self.connection)
            .await
            .map(drop)
    }

    /// An agent's balance.
    pub(super) async fn balance(&mut self, agent: &str) -> sqlx::Result<i64> {
        let row = sqlx::query("SELECT coalesce(sum(balance), 0) FROM aa_balances WHERE address = ?")
            .bind(agent)
            .fetch_one(&mut self.connection)
            .await?;
        row.try_get(0)
    }

    /// An agent's recorded storage size.
    pub(super) async fn storage_size(&mut self, agent: &str) -> sqlx::Result<i64> {
        let row = sqlx::query("SELECT coalesce(sum(storage_size), 0) FROM aa_addresses WHERE address = ?")
            .bind(agent)
            .fetch_one(&mut self.connection)
            .await?;
        row.try_get(0)
    }

    /// What an agent's unspent outputs come to.
    pub(super) async fn unspent(&mut self, agent: &str) -> sqlx::Result<i64> {
        let row = sqlx::query("SELECT coalesce(sum(amount), 0) FROM outputs WHERE address = ? AND is_spent = 0")
            .bind(agent)
            .fetch_one(&mut self.connection)
            .await?;
        row.try_get(0)
    }
}
