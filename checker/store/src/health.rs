//! What the checker says of itself about once a second: progress, rules, sources; and the ledger of refused records.
use event::Timestamp;
use serde::Serialize;
use sqlx::FromRow;

use crate::{Store, StoreError};

/// How many refusals the ledger keeps.
const REFUSED_KEPT: i64 = 10_000;

/// How far the checker has come.
#[derive(Clone, Debug, Default, Serialize, FromRow)]
pub struct Progress {
    /// The last frame committed.
    pub frame: i64,
    /// Everything before this has been judged; empty before the first step.
    pub frontier: String,
    /// The journal's time; empty before the first step.
    pub arrived: String,
    /// How far the frontier is behind it.
    pub lag_ms: i64,
    /// The source that holds it back most.
    pub slowest: String,
}

/// How a rule is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, FromRow)]
pub struct RuleHealthRow {
    /// Its pack.
    pub pack: String,
    /// Its id.
    pub rule: String,
    /// When its trigger last matched, in event time; empty: never.
    pub exercised: String,
    /// Judged and found in order.
    pub held: i64,
    /// Found broken.
    pub violated: i64,
    /// Impossible to judge.
    pub unknown: i64,
    /// Why that was so the last time.
    pub why_unknown: String,
    /// Found broken and taken back.
    pub retracted: i64,
    /// Matching events that lacked a part of the key.
    pub keyless: i64,
    /// Instances forgotten because there were too many: the rule is degraded.
    pub forgotten: i64,
    /// Instances kept.
    pub instances: i64,
    /// Obligations and levels open.
    pub open: i64,
}

/// A source.
#[derive(Clone, Debug, Default, Serialize, FromRow)]
pub struct SourceRow {
    /// Its network.
    pub network: String,
    /// Its node.
    pub node: String,
    /// Its component.
    pub component: String,
    /// When something of it last arrived.
    pub last_seen: String,
    /// The greatest time an event of it bore.
    pub last_ts: String,
    /// The greatest lag of its last minute.
    pub lag_ms: i64,
    /// How many events came.
    pub events: i64,
}

/// One refusal.
#[derive(Clone, Debug, Default, Serialize, FromRow)]
pub struct RefusedRow {
    /// Its number.
    pub id: i64,
    /// When.
    pub at: String,
    /// Who sent it.
    pub sender: String,
    /// What kind of refusal.
    pub reason: String,
    /// What the sender was told.
    pub message: String,
    /// How many records.
    pub records: i64,
    /// The first bytes, as text.
    pub sample: String,
}

impl Store {
    /// Writes what the checker knows of itself.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn put_health(
        &self,
        lag_ms: i64,
        slowest: &str,
        rules: &[RuleHealthRow],
        sources: &[SourceRow],
    ) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin().await?;
        sqlx::query("update progress set lag_ms = ?, slowest = ? where id = 1")
            .bind(lag_ms)
            .bind(slowest)
            .execute(&mut *transaction)
            .await?;
        // One statement for all: most of a statement's cost is its being one.
        sqlx::query(
            "insert or replace into rule_health
             select value ->> 'pack', value ->> 'rule', value ->> 'exercised', value ->> 'held', value ->> 'violated',
                 value ->> 'unknown', value ->> 'why_unknown', value ->> 'retracted', value ->> 'keyless',
                 value ->> 'forgotten', value ->> 'instances', value ->> 'open'
             from json_each(?)",
        )
        .bind(serde_json::json!(rules).to_string())
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "insert or replace into sources
             select value ->> 'network', value ->> 'node', value ->> 'component', value ->> 'last_seen',
                 value ->> 'last_ts', value ->> 'lag_ms', value ->> 'events'
             from json_each(?)",
        )
        .bind(serde_json::json!(sources).to_string())
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// How far the checker has come.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn progress(&self) -> Result<Progress, StoreError> {
        Ok(sqlx::query_as("select frame, frontier, arrived, lag_ms, slowest from progress where id = 1")
            .fetch_one(&self.reader)
            .await?)
    }

    /// How all rules are doing.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn rule_health(&self) -> Result<Vec<RuleHealthRow>, StoreError> {
        Ok(sqlx::query_as("select * from rule_health order by pack, rule").fetch_all(&self.reader).await?)
    }

    /// All sources.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn sources(&self) -> Result<Vec<SourceRow>, StoreError> {
        Ok(sqlx::query_as("select * from sources order by network, node, component").fetch_all(&self.reader).await?)
    }

    /// Adds to the ledger, which forgets its oldest entries.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn refuse(
        &self,
        now: Timestamp,
        sender: &str,
        reason: &str,
        message: &str,
        records: i64,
        sample: &str,
    ) -> Result<(), StoreError> {
        let done =
            sqlx::query("insert into refused (at, sender, reason, message, records, sample) values (?, ?, ?, ?, ?, ?)")
                .bind(now.to_string())
                .bind(sender)
                .bind(reason)
                .bind(message)
                .bind(records)
                .bind(sample)
                .execute(&self.writer)
                .await?;
        sqlx::query("delete from refused where id <= ?")
            .bind(done.last_insert_rowid() - REFUSED_KEPT)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// The ledger, the newest first.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn refused(&self, limit: i64) -> Result<Vec<RefusedRow>, StoreError> {
        Ok(sqlx::query_as("select * from refused order by id desc limit ?").bind(limit).fetch_all(&self.reader).await?)
    }
}
