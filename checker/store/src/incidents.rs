//! Incidents, violations and their history.
use engine::Severity;
use serde::Serialize;
use serde_json::Value as Json;
use sqlx::{FromRow, QueryBuilder, Row, Sqlite, SqliteConnection, sqlite::SqliteRow};

use crate::{NewViolation, Store, StoreError};

/// The violations of one rule in one group, until resolved.
#[derive(Clone, Debug, Serialize)]
pub struct IncidentRow {
    /// A hash of the case and its first violation.
    pub id: String,
    /// The rule's pack.
    pub pack: String,
    /// The rule.
    pub rule: String,
    /// What the rule implements.
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    /// The rule's kind.
    pub kind: String,
    /// The highest of its violations.
    pub severity: String,
    /// `open`, `acknowledged`, `resolved`, `late_resolved` or `retracted`.
    pub status: String,
    /// `violated`.
    pub verdict: String,
    /// The network.
    pub network: String,
    /// The node of the last violation.
    pub node: String,
    /// What its violations have in common.
    pub group: String,
    /// What the last violation says.
    pub message: String,
    /// How many violations, kept or not.
    pub count: i64,
    /// When it was opened, by the journal's time.
    pub opened_at: String,
    /// The last violation's event time.
    pub last_at: String,
    /// When it was last touched, by the journal's time.
    pub last_seen: String,
    /// When it was closed.
    pub resolved_at: Option<String>,
    /// Who has it.
    pub acknowledged_by: Option<String>,
    /// Found in the past, by a rule that is newer: pages nobody.
    pub backfilled: bool,
    /// The pack's revision that judged it.
    pub revision: i64,
    /// The component of the last violation.
    pub component: String,
    /// `active` or `shadow`.
    pub mode: String,
    /// Where the runbook is.
    pub runbook_url: Option<String>,
    /// The rule's labels.
    pub labels: Json,
}

impl IncidentRow {
    /// Whether someone should care.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.status.as_str(), "open" | "acknowledged")
    }
}

impl FromRow<'_, SqliteRow> for IncidentRow {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(IncidentRow {
            id: row.try_get("id")?,
            pack: row.try_get("pack")?,
            rule: row.try_get("rule")?,
            reference: row.try_get("ref")?,
            kind: row.try_get("kind")?,
            severity: row.try_get("severity")?,
            status: row.try_get("status")?,
            verdict: row.try_get("verdict")?,
            network: row.try_get("network")?,
            node: row.try_get("node")?,
            group: row.try_get("group")?,
            message: row.try_get("message")?,
            count: row.try_get("count")?,
            opened_at: row.try_get("opened_at")?,
            last_at: row.try_get("last_at")?,
            last_seen: row.try_get("last_seen")?,
            resolved_at: row.try_get("resolved_at")?,
            acknowledged_by: row.try_get("acknowledged_by")?,
            backfilled: row.try_get("backfilled")?,
            revision: row.try_get("revision")?,
            component: row.try_get("component")?,
            mode: row.try_get("mode")?,
            runbook_url: row.try_get("runbook_url")?,
            labels: json(row, "labels")?.unwrap_or_default(),
        })
    }
}

fn json(row: &SqliteRow, column: &str) -> Result<Option<Json>, sqlx::Error> {
    let text: Option<String> = row.try_get(column)?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
}

/// One violation, frozen.
#[derive(Clone, Debug, Serialize)]
pub struct ViolationRow {
    /// A hash of pack, rule, key and anchor.
    pub id: String,
    /// Its incident.
    pub incident: String,
    /// Where in event time it was found.
    pub at: String,
    /// When, by the journal's time.
    pub detected_at: String,
    /// `violated`, `resolved`, `late` or `retracted`.
    pub state: String,
    /// The key's parts.
    pub key: Json,
    /// What happened.
    pub message: String,
    /// The events that prove it.
    pub evidence: Json,
    /// What did not come.
    pub missing: Option<Json>,
    /// The event that came late, or when a level recovered.
    pub late: Option<Json>,
}

impl FromRow<'_, SqliteRow> for ViolationRow {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(ViolationRow {
            id: row.try_get("id")?,
            incident: row.try_get("incident")?,
            at: row.try_get("at")?,
            detected_at: row.try_get("detected_at")?,
            state: row.try_get("state")?,
            key: json(row, "key")?.unwrap_or_default(),
            message: row.try_get("message")?,
            evidence: json(row, "evidence")?.unwrap_or_default(),
            missing: json(row, "missing")?,
            late: json(row, "late")?,
        })
    }
}

/// Something that happened to an incident.
#[derive(Clone, Debug, Serialize, FromRow)]
pub struct HistoryRow {
    /// When.
    pub at: String,
    /// `opened`, `reopened`, `acknowledge`, `resolve`, `comment` and so on.
    pub what: String,
    /// Who; empty for Invar itself.
    pub who: String,
    /// What was said.
    pub text: String,
}

/// Which incidents.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// `open` also means acknowledged ones when nothing else is asked for.
    pub status: Option<String>,
    /// The rule.
    pub rule: Option<String>,
    /// The pack.
    pub pack: Option<String>,
    /// The node.
    pub node: Option<String>,
    /// The severity.
    pub severity: Option<String>,
    /// Touched since then, RFC 3339.
    pub since: Option<String>,
    /// Text in the message, the rule or the reference.
    pub q: Option<String>,
}

impl Filter {
    /// The states asked for, each of which is looked up by itself: together they have no order in any index.
    fn states(&self) -> Vec<Option<&str>> {
        match self.status.as_deref() {
            Some("open") => vec![Some("open"), Some("acknowledged")],
            state => vec![state],
        }
    }

    fn push(&self, state: Option<&str>, query: &mut QueryBuilder<Sqlite>) {
        if let Some(state) = state {
            query.push(" and status = ").push_bind(state.to_owned());
        }
        for (column, value) in
            [("rule", &self.rule), ("pack", &self.pack), ("node", &self.node), ("severity", &self.severity)]
        {
            if let Some(value) = value {
                query.push(format!(" and {column} = ")).push_bind(value.clone());
            }
        }
        if let Some(since) = &self.since {
            query.push(" and last_seen >= ").push_bind(since.clone());
        }
        if let Some(q) = &self.q {
            let like = format!("%{}%", q.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_"));
            query.push(" and (message like ").push_bind(like.clone());
            query.push(" escape '\\' or rule like ").push_bind(like.clone());
            query.push(" escape '\\' or ref like ").push_bind(like).push(" escape '\\')");
        }
    }
}

/// How severe, as a number that sorts.
pub(crate) fn rank(severity: Severity) -> i64 {
    severity as i64
}

/// The id of the incident that a violation opens.
pub(crate) fn id_of(violation: &NewViolation) -> String {
    let mut hash = [0_u64; 2];
    let case = [&violation.pack, &violation.rule, &violation.network, &violation.group, &violation.id];
    for (seed, half) in hash.iter_mut().enumerate() {
        *half = case
            .iter()
            .flat_map(|part| part.bytes().chain([0]))
            .fold(0xcbf2_9ce4_8422_2325_u64.wrapping_add(seed as u64), |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
    }
    format!("{:016x}{:08x}", hash[0], hash[1] as u32)
}

pub(crate) async fn by_id(connection: &mut SqliteConnection, id: &str) -> Result<Option<IncidentRow>, sqlx::Error> {
    sqlx::query_as("select * from incidents where id = ?").bind(id).fetch_optional(connection).await
}

/// The newest incident of the violation's rule and group.
pub(crate) async fn latest_of_case(
    connection: &mut SqliteConnection,
    violation: &NewViolation,
) -> Result<Option<IncidentRow>, sqlx::Error> {
    sqlx::query_as(
        "select * from incidents where pack = ? and rule = ? and network = ? and \"group\" = ? order by opened_at desc limit 1",
    )
    .bind(&violation.pack)
    .bind(&violation.rule)
    .bind(&violation.network)
    .bind(&violation.group)
    .fetch_optional(connection)
    .await
}

/// Opens an incident, still without violations.
pub(crate) async fn insert(
    connection: &mut SqliteConnection,
    violation: &NewViolation,
    seen: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into incidents (id, pack, rule, ref, kind, severity, severity_rank, status, verdict, network, node,
             \"group\", message, count, standing, level, mode, opened_at, last_at, last_seen, backfilled, revision,
             component, runbook_url, labels)
         values (?, ?, ?, ?, ?, ?, ?, 'open', 'violated', ?, ?, ?, ?, 0, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         on conflict (id) do update set status = 'open'",
    )
    .bind(id_of(violation))
    .bind(&violation.pack)
    .bind(&violation.rule)
    .bind(&violation.reference)
    .bind(&violation.kind)
    .bind(violation.severity.as_str())
    .bind(rank(violation.severity))
    .bind(&violation.network)
    .bind(&violation.node)
    .bind(&violation.group)
    .bind(&violation.message)
    .bind(violation.level)
    .bind(if violation.shadow { "shadow" } else { "active" })
    .bind(seen)
    .bind(violation.at.to_string())
    .bind(seen)
    .bind(violation.backfilled)
    .bind(violation.revision)
    .bind(&violation.component)
    .bind(&violation.runbook_url)
    .bind(violation.labels.to_string())
    .execute(connection)
    .await
    .map(drop)
}

/// Whether people are told of an incident, as its latest violation says.
pub(crate) async fn set_mode(
    connection: &mut SqliteConnection,
    id: &str,
    violation: &NewViolation,
) -> Result<(), sqlx::Error> {
    sqlx::query("update incidents set mode = ?, backfilled = ? where id = ?")
        .bind(if violation.shadow { "shadow" } else { "active" })
        .bind(violation.backfilled)
        .bind(id)
        .execute(connection)
        .await
        .map(drop)
}

impl Store {
    /// Incidents, those touched last first. The cursor is opaque; none: there are no more.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn incidents(
        &self,
        filter: &Filter,
        cursor: Option<&str>,
        limit: i64,
    ) -> Result<(Vec<IncidentRow>, Option<String>), StoreError> {
        let mut rows: Vec<IncidentRow> = Vec::new();
        for state in filter.states() {
            let mut query: QueryBuilder<Sqlite> = QueryBuilder::new("select * from incidents where 1 = 1");
            filter.push(state, &mut query);
            if let Some((seen, id)) = cursor.and_then(|cursor| cursor.split_once('|')) {
                query.push(" and (last_seen, id) < (").push_bind(seen.to_owned()).push(", ");
                query.push_bind(id.to_owned()).push(")");
            }
            query.push(" order by last_seen desc, id desc limit ").push_bind(limit + 1);
            rows.extend(query.build_query_as::<IncidentRow>().fetch_all(&self.reader).await?);
        }
        rows.sort_by(|a, b| (&b.last_seen, &b.id).cmp(&(&a.last_seen, &a.id)));
        let more = rows.len() as i64 > limit;
        rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let next = rows.last().filter(|_| more).map(|last| format!("{}|{}", last.last_seen, last.id));
        Ok((rows, next))
    }

    /// How many incidents fit, counted no further than `at_most`.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn count_incidents(&self, filter: &Filter, at_most: i64) -> Result<i64, StoreError> {
        let mut count = 0;
        for state in filter.states() {
            let mut query: QueryBuilder<Sqlite> =
                QueryBuilder::new("select count(*) from (select 1 from incidents where 1 = 1");
            filter.push(state, &mut query);
            query.push(" limit ").push_bind(at_most - count).push(")");
            count += query.build_query_scalar::<i64>().fetch_one(&self.reader).await?;
        }
        Ok(count)
    }

    /// One incident.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn incident(&self, id: &str) -> Result<IncidentRow, StoreError> {
        Ok(sqlx::query_as("select * from incidents where id = ?").bind(id).fetch_one(&self.reader).await?)
    }

    /// The violations kept of an incident, the newest first.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn violations(
        &self,
        incident: &str,
        cursor: Option<&str>,
        limit: i64,
    ) -> Result<(Vec<ViolationRow>, Option<String>), StoreError> {
        let (at, id) = cursor.and_then(|cursor| cursor.split_once('|')).unwrap_or(("~", "~"));
        let mut rows: Vec<ViolationRow> = sqlx::query_as(
            "select * from violations where incident = ? and (at, id) < (?, ?) order by at desc, id desc limit ?",
        )
        .bind(incident)
        .bind(at)
        .bind(id)
        .bind(limit + 1)
        .fetch_all(&self.reader)
        .await?;
        let more = rows.len() as i64 > limit;
        rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let next = rows.last().filter(|_| more).map(|last| format!("{}|{}", last.at, last.id));
        Ok((rows, next))
    }

    /// One violation.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn violation(&self, id: &str) -> Result<ViolationRow, StoreError> {
        Ok(sqlx::query_as("select * from violations where id = ?").bind(id).fetch_one(&self.reader).await?)
    }

    /// What happened to an incident, in order.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn history(&self, incident: &str) -> Result<Vec<HistoryRow>, StoreError> {
        Ok(sqlx::query_as("select at, what, who, text from history where incident = ? order by id limit 500")
            .bind(incident)
            .fetch_all(&self.reader)
            .await?)
    }

    /// Open incidents by severity, and how many of them nobody has acknowledged.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn open_by_severity(&self) -> Result<Vec<(String, i64, i64)>, StoreError> {
        let rows: Vec<(String, String, i64)> = sqlx::query_as(
            "select status, severity, count(*) from incidents
             where status in ('open', 'acknowledged') group by status, severity_rank, severity
             order by severity_rank desc",
        )
        .fetch_all(&self.reader)
        .await?;
        let mut found: Vec<(String, i64, i64)> = Vec::new();
        for (status, severity, count) in rows {
            let unseen = if status == "open" { count } else { 0 };
            match found.iter_mut().find(|(known, _, _)| *known == severity) {
                Some((_, all, waiting)) => {
                    *all += count;
                    *waiting += unseen;
                }
                None => found.push((severity, count, unseen)),
            }
        }
        Ok(found)
    }
}
