//! Packs and their revisions.
use serde::Serialize;
use sqlx::{FromRow, SqlitePool};

use crate::{Store, StoreError, note_change};

/// One revision of a pack.
#[derive(Clone, Debug, Serialize, FromRow)]
pub struct PackRow {
    /// The pack's name.
    pub name: String,
    /// Counted from 1.
    pub revision: i64,
    /// Its text.
    pub yaml: String,
    /// Who wrote it.
    pub author: String,
    /// `file` or `ui`.
    pub origin: String,
    /// When.
    pub at: String,
    /// Whether it is in force.
    pub current: bool,
}

/// A row as it is kept, beside the checksum of its text. SQLite finds damage to its own structures; a byte that changes in a
/// text it does not, and a changed pack would be put in force as if somebody had written it.
#[derive(FromRow)]
struct Kept {
    #[sqlx(flatten)]
    pack: PackRow,
    yaml_crc32: Option<i64>,
}

impl Kept {
    fn whole(self) -> Result<PackRow, StoreError> {
        let Kept { pack, yaml_crc32 } = self;
        if yaml_crc32.is_some_and(|known| known != crc32(&pack.yaml)) {
            let PackRow { name, revision, .. } = pack;
            return Err(StoreError::Corrupt(format!(
                "revision {revision} of the pack {name} is not the text that was written"
            )));
        }
        Ok(pack)
    }
}

fn crc32(text: &str) -> i64 {
    crc32fast::hash(text.as_bytes()).into()
}

/// Gives the packs that have none their checksums: those of earlier versions.
pub(crate) async fn vouch_for_packs(writer: &SqlitePool) -> Result<(), StoreError> {
    let unvouched: Vec<PackRow> =
        sqlx::query_as("select * from packs where yaml_crc32 is null").fetch_all(writer).await?;
    for pack in unvouched {
        sqlx::query("update packs set yaml_crc32 = ? where name = ? and revision = ?")
            .bind(crc32(&pack.yaml))
            .bind(pack.name)
            .bind(pack.revision)
            .execute(writer)
            .await?;
    }
    Ok(())
}

impl Store {
    /// Adds a revision and puts it in force; returns its number. `expected` is the revision the author saw.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when another one is in force.
    pub async fn put_pack(
        &self,
        name: &str,
        yaml: &str,
        author: &str,
        origin: &str,
        expected: Option<i64>,
        at: &str,
    ) -> Result<i64, StoreError> {
        let mut transaction = self.writer.begin().await?;
        let current: i64 =
            sqlx::query_scalar("select coalesce(max(revision), 0) from packs where name = ? and current = 1")
                .bind(name)
                .fetch_one(&mut *transaction)
                .await?;
        if let Some(expected) = expected.filter(|expected| *expected != current) {
            return Err(StoreError::Conflict { current, expected });
        }
        let last: i64 = sqlx::query_scalar("select coalesce(max(revision), 0) from packs where name = ?")
            .bind(name)
            .fetch_one(&mut *transaction)
            .await?;
        sqlx::query("update packs set current = 0 where name = ?").bind(name).execute(&mut *transaction).await?;
        sqlx::query(
            "insert into packs (name, revision, yaml, author, origin, at, current, yaml_crc32) \
             values (?, ?, ?, ?, ?, ?, 1, ?)",
        )
        .bind(name)
        .bind(last + 1)
        .bind(yaml)
        .bind(author)
        .bind(origin)
        .bind(at)
        .bind(crc32(yaml))
        .execute(&mut *transaction)
        .await?;
        let change = note_change(&mut transaction, "pack", name, at).await?;
        transaction.commit().await?;
        self.announce(change);
        Ok(last + 1)
    }

    /// Takes a pack out of force; its revisions stay.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn drop_pack(&self, name: &str, at: &str) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin().await?;
        let done = sqlx::query("update packs set current = 0 where name = ? and current = 1")
            .bind(name)
            .execute(&mut *transaction)
            .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::NotFound);
        }
        let change = note_change(&mut transaction, "pack", name, at).await?;
        transaction.commit().await?;
        self.announce(change);
        Ok(())
    }

    /// The packs in force, by name.
    ///
    /// # Errors
    /// When the database says no; [`StoreError::Corrupt`] when a text is not what was written.
    pub async fn packs(&self) -> Result<Vec<PackRow>, StoreError> {
        let kept: Vec<Kept> =
            sqlx::query_as("select * from packs where current = 1 order by name").fetch_all(&self.reader).await?;
        kept.into_iter().map(Kept::whole).collect()
    }

    /// The revision in force.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Corrupt`].
    pub async fn pack(&self, name: &str) -> Result<PackRow, StoreError> {
        let kept: Kept = sqlx::query_as("select * from packs where name = ? and current = 1")
            .bind(name)
            .fetch_one(&self.reader)
            .await?;
        kept.whole()
    }

    /// All revisions, the newest first.
    ///
    /// # Errors
    /// When the database says no; [`StoreError::Corrupt`] when a text is not what was written.
    pub async fn revisions(&self, name: &str) -> Result<Vec<PackRow>, StoreError> {
        let kept: Vec<Kept> = sqlx::query_as("select * from packs where name = ? order by revision desc")
            .bind(name)
            .fetch_all(&self.reader)
            .await?;
        kept.into_iter().map(Kept::whole).collect()
    }
}
