//! Breakers, as the engine said them last.
use serde::Serialize;
use serde_json::Value as Json;
use sqlx::{FromRow, Row, SqliteConnection, sqlite::SqliteRow};

use crate::{Store, StoreError, note_change};

/// A breaker of one scope.
#[derive(Clone, Debug, Serialize)]
pub struct BreakerRow {
    /// Its id.
    pub id: String,
    /// Its pack.
    pub pack: String,
    /// Its scope: the network, and the parts it is kept per.
    pub scope: Json,
    /// `closed`, `open` or `half_open`.
    pub state: String,
    /// `advisory` or `enforcing`.
    pub mode: String,
    /// Since when.
    pub since: String,
    /// Why.
    pub reason: String,
    /// Who did it by hand; empty when nobody did.
    pub by: String,
    /// When it will move by itself.
    pub until: Option<String>,
}

impl FromRow<'_, SqliteRow> for BreakerRow {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        let scope: String = row.try_get("scope")?;
        let mut scope: Json = serde_json::from_str(&scope).unwrap_or_default();
        let network: String = row.try_get("network")?;
        if let (Json::Object(fields), false) = (&mut scope, network.is_empty()) {
            fields.insert("network".into(), network.into());
        }
        Ok(BreakerRow {
            id: row.try_get("id")?,
            pack: row.try_get("pack")?,
            scope,
            state: row.try_get("state")?,
            mode: row.try_get("mode")?,
            since: row.try_get("since")?,
            reason: row.try_get("reason")?,
            by: row.try_get("by")?,
            until: row.try_get("until")?,
        })
    }
}

/// A breaker's new state.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "as in `BreakerRow`")]
pub struct BreakerUpdate {
    pub pack: String,
    pub id: String,
    pub network: String,
    pub scope: Json,
    pub state: String,
    pub enforcing: bool,
    pub since: String,
    pub reason: String,
    pub by: String,
    pub until: Option<String>,
}

pub(crate) async fn put(
    connection: &mut SqliteConnection,
    breaker: &BreakerUpdate,
    at: &str,
) -> Result<i64, sqlx::Error> {
    sqlx::query(
        "insert into breakers (pack, id, network, scope, state, mode, since, reason, by, until)
         values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         on conflict (pack, id, network, scope) do update set state = excluded.state, mode = excluded.mode,
             since = excluded.since, reason = excluded.reason, by = excluded.by, until = excluded.until",
    )
    .bind(&breaker.pack)
    .bind(&breaker.id)
    .bind(&breaker.network)
    .bind(breaker.scope.to_string())
    .bind(&breaker.state)
    .bind(if breaker.enforcing { "enforcing" } else { "advisory" })
    .bind(&breaker.since)
    .bind(&breaker.reason)
    .bind(&breaker.by)
    .bind(&breaker.until)
    .execute(&mut *connection)
    .await?;
    note_change(connection, "breaker", &breaker.id, at).await
}

impl Store {
    /// All breakers that ever moved.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn breakers(&self) -> Result<Vec<BreakerRow>, StoreError> {
        Ok(sqlx::query_as("select * from breakers order by pack, id, network, scope").fetch_all(&self.reader).await?)
    }
}
