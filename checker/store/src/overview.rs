//! What the pages ask of many rows at once. Each question is answered from an index, because a storm is when it is asked.
use serde::Serialize;
use sqlx::FromRow;

use crate::{DeliveryRow, IncidentRow, Store, StoreError};

/// Open incidents of one rule and component.
#[derive(Clone, Debug, Serialize, FromRow)]
pub struct OpenCount {
    /// The pack.
    pub pack: String,
    /// The rule.
    pub rule: String,
    /// The component of the last violation.
    pub component: String,
    /// How many.
    pub count: i64,
    /// The worst of them, 0 for info to 4 for critical.
    pub worst: i64,
}

/// Incidents opened in one hour.
#[derive(Clone, Debug, Serialize, FromRow)]
pub struct OpenedCount {
    /// The hour, as `2026-11-20T12`.
    pub hour: String,
    /// Their severity.
    pub severity: String,
    /// How many.
    pub count: i64,
}

/// A revision without its text.
#[derive(Clone, Debug, Serialize, FromRow)]
pub struct RevisionRow {
    /// The pack's name.
    pub name: String,
    /// Counted from 1.
    pub revision: i64,
    /// Who wrote it.
    pub author: String,
    /// `file` or `ui`.
    pub origin: String,
    /// When.
    pub at: String,
}

impl Store {
    /// Open incidents, the worst first, and of those the ones touched last.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn worst_open(&self, limit: i64) -> Result<Vec<IncidentRow>, StoreError> {
        // Each state has its own stretch of the index: a union of both walks only what is shown.
        let mut found: Vec<IncidentRow> = Vec::new();
        for status in ["open", "acknowledged"] {
            let rows: Vec<IncidentRow> = sqlx::query_as(
                "select * from incidents where status = ? order by severity_rank desc, severity desc, last_seen desc limit ?",
            )
            .bind(status)
            .bind(limit - i64::try_from(found.len()).unwrap_or(limit))
            .fetch_all(&self.reader)
            .await?;
            found.extend(rows);
        }
        Ok(found)
    }

    /// How many incidents are open, acknowledged ones included.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn count_open(&self) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar("select count(*) from incidents where status in ('open', 'acknowledged')")
            .fetch_one(&self.reader)
            .await?)
    }

    /// How many incidents are open, by pack, rule and component; those open and those acknowledged stand apart.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn open_counts(&self) -> Result<Vec<OpenCount>, StoreError> {
        Ok(sqlx::query_as(
            "select pack, rule, component, count(*) as count, max(severity_rank) as worst from incidents
             where status in ('open', 'acknowledged') group by status, pack, rule, component",
        )
        .fetch_all(&self.reader)
        .await?)
    }

    /// How many incidents were opened in each hour since that one (`2026-11-20T12`).
    ///
    /// # Errors
    /// When the database says no.
    pub async fn opened_since(&self, since: &str) -> Result<Vec<OpenedCount>, StoreError> {
        Ok(sqlx::query_as(
            "select substr(opened_at, 1, 13) as hour, severity, count(*) as count from incidents
             where substr(opened_at, 1, 13) >= ? group by substr(opened_at, 1, 13), severity",
        )
        .bind(since)
        .fetch_all(&self.reader)
        .await?)
    }

    /// Since when the incident that waits longest has waited for someone to take it.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn oldest_unacknowledged(&self) -> Result<Option<String>, StoreError> {
        Ok(sqlx::query_scalar("select min(opened_at) from incidents where status = 'open'")
            .fetch_one(&self.reader)
            .await?)
    }

    /// The revisions of all packs, the newest first.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn recent_revisions(&self, limit: i64) -> Result<Vec<RevisionRow>, StoreError> {
        Ok(sqlx::query_as(
            "select name, revision, author, origin, at from packs order by at desc, revision desc limit ?",
        )
        .bind(limit)
        .fetch_all(&self.reader)
        .await?)
    }

    /// Deliveries in that state, the newest first.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn deliveries_in(
        &self,
        state: &str,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Vec<DeliveryRow>, StoreError> {
        Ok(sqlx::query_as(
            "select id, incident, receiver, action, state, attempts, last_status, last_error, created_at, next_at,
                 delivered_at from deliveries where state = ? and id < ? order by id desc limit ?",
        )
        .bind(state)
        .bind(before.unwrap_or(i64::MAX))
        .bind(limit)
        .fetch_all(&self.reader)
        .await?)
    }
}
