//! Storms: violations of one incident that follow one another in one step are counted together, once there are more of
//! them than are kept whole.
use std::collections::{BTreeMap, HashSet};

use event::Timestamp;
use sqlx::{Row, SqliteConnection};

use crate::{Change, NewViolation, incidents, note_change};

/// How many violations of an incident are kept whole; of those beyond it every power of two.
const VIOLATIONS_KEPT: i64 = 100;

/// Whether the violation that makes so many is kept whole.
pub(crate) fn is_kept(count: i64) -> bool {
    count <= VIOLATIONS_KEPT || (count & (count - 1)) == 0
}

/// What tells the incidents of violations apart: pack, rule, network and group.
type Case<'s> = (&'s str, &'s str, &'s str, &'s str);

fn case(violation: &NewViolation) -> Case<'_> {
    (&violation.pack, &violation.rule, &violation.network, &violation.group)
}

/// Whether nobody is to be told of it.
fn is_silent(violation: &NewViolation) -> bool {
    violation.shadow || violation.backfilled
}

/// An open incident that this step has touched.
struct Open<'s> {
    incident: String,
    /// How many violations it has, those that wait among them.
    count: i64,
    /// Nobody is told of it.
    silent: bool,
    waiting: Vec<&'s NewViolation>,
}

/// The storms of one step.
pub(crate) struct Storms<'s> {
    /// The violations of this step that are kept already.
    known: HashSet<String>,
    cases: BTreeMap<Case<'s>, Open<'s>>,
}

impl<'s> Storms<'s> {
    pub(crate) async fn of(connection: &mut SqliteConnection, changes: &'s [Change]) -> Result<Self, sqlx::Error> {
        let ids: Vec<&str> = changes
            .iter()
            .filter_map(|change| match change {
                Change::Violated(violation) => Some(violation.id.as_str()),
                _ => None,
            })
            .collect();
        let mut known = HashSet::new();
        if !ids.is_empty() {
            let list = serde_json::json!(ids).to_string();
            let rows = sqlx::query("select id from violations where id in (select value from json_each(?))")
                .bind(list)
                .fetch_all(connection)
                .await?;
            known.extend(rows.iter().map(|row| row.get::<String, _>(0)));
        }
        Ok(Storms { known, cases: BTreeMap::new() })
    }

    /// Whether the violation is kept already, from before or by this step.
    pub(crate) fn knows(&self, violation: &str) -> bool {
        self.known.contains(violation)
    }

    /// Counts a violation that needs no row of its own, in an incident that is open; false when it is no such one.
    pub(crate) fn count(&mut self, violation: &'s NewViolation) -> bool {
        let Some(open) = self.cases.get_mut(&case(violation)).filter(|open| !is_kept(open.count + 1)) else {
            return false;
        };
        if open.silent && !is_silent(violation) {
            // People must be told.
            return false;
        }
        open.count += 1;
        open.waiting.push(violation);
        true
    }

    /// A violation has been written, in an incident that has so many now.
    pub(crate) fn wrote(&mut self, violation: &'s NewViolation, incident: &str, count: i64) {
        if is_kept(count) {
            self.known.insert(violation.id.clone());
        }
        let silent = is_silent(violation);
        let open = Open { incident: incident.to_owned(), count, silent, waiting: Vec::new() };
        self.cases.insert(case(violation), open);
    }

    /// Writes down what waits of the violation's incident.
    pub(crate) async fn settle(
        &mut self,
        connection: &mut SqliteConnection,
        violation: &'s NewViolation,
        now: Timestamp,
    ) -> Result<i64, sqlx::Error> {
        match self.cases.get_mut(&case(violation)) {
            Some(open) => open.write(connection, now).await,
            None => Ok(0),
        }
    }

    /// Writes down all that waits, and forgets which incidents are open: something else may close them.
    pub(crate) async fn settle_all(
        &mut self,
        connection: &mut SqliteConnection,
        now: Timestamp,
    ) -> Result<i64, sqlx::Error> {
        let mut change = 0;
        for mut open in std::mem::take(&mut self.cases).into_values() {
            change = change.max(open.write(connection, now).await?);
        }
        Ok(change)
    }
}

impl Open<'_> {
    async fn write(&mut self, connection: &mut SqliteConnection, now: Timestamp) -> Result<i64, sqlx::Error> {
        let waiting = std::mem::take(&mut self.waiting);
        let Some(last) = waiting.last() else { return Ok(0) };
        let seen = now.to_string();
        let latest = waiting.iter().map(|violation| violation.at).max().unwrap_or_default();
        let worst =
            waiting.iter().map(|violation| violation.severity).max_by_key(|severity| incidents::rank(*severity));
        let worst = worst.unwrap_or(last.severity);
        let more = i64::try_from(waiting.len()).unwrap_or(i64::MAX);
        sqlx::query(
            "update incidents set count = count + ?, standing = standing + ?, last_at = max(last_at, ?), last_seen = ?,
                 message = ?, node = ?, component = ?, revision = ?,
                 severity = case when ? > severity_rank then ? else severity end, severity_rank = max(severity_rank, ?)
             where id = ?",
        )
        .bind(more)
        .bind(more)
        .bind(latest.to_string())
        .bind(&seen)
        .bind(&last.message)
        .bind(&last.node)
        .bind(&last.component)
        .bind(last.revision)
        .bind(incidents::rank(worst))
        .bind(worst.as_str())
        .bind(incidents::rank(worst))
        .bind(&self.incident)
        .execute(&mut *connection)
        .await?;
        note_change(connection, "incident", &self.incident, &seen).await
    }
}
