//! Why the database said no, by what a caller does about it.

/// See the module.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No room: nothing was written, and the same call may be repeated when there is.
    #[error("the disk under the database is full: make room, the checker goes on by itself")]
    Full,
    /// The file may not be written.
    #[error("the database cannot be written: check the owner and the mount of the data directory")]
    ReadOnly,
    /// The file is damaged.
    #[error("the database is damaged ({0}): restore a backup, or move it away and let the journal be judged again")]
    Corrupt(String),
    /// There is nothing of that name.
    #[error("not found")]
    NotFound,
    /// Someone else was faster.
    #[error("revision {current} is in force, not {expected}")]
    Conflict {
        /// The revision that is in force; 0 for none.
        current: i64,
        /// The revision the caller expected.
        expected: i64,
    },
    /// Anything else.
    #[error("database: {0}")]
    Database(String),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if let sqlx::Error::RowNotFound = error {
            return StoreError::NotFound;
        }
        // SQLite's primary result codes, sqlite.org/rescode.html.
        let code =
            error.as_database_error().and_then(|error| error.code()?.parse::<u32>().ok()).map(|code| code & 0xff);
        match code {
            Some(13) => StoreError::Full,
            Some(8) => StoreError::ReadOnly,
            Some(11 | 26) => StoreError::Corrupt(error.to_string()),
            _ => StoreError::Database(error.to_string()),
        }
    }
}

impl From<sqlx::migrate::MigrateError> for StoreError {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        use sqlx::migrate::MigrateError::{Execute, ExecuteMigration};
        match error {
            Execute(error) | ExecuteMigration(error, _) => error.into(),
            error => StoreError::Database(format!("migration: {error}")),
        }
    }
}
