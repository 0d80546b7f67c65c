//! What the database says, typed. The only place that looks at driver errors; their texts go to the
//! log, never to a client.

use sea_orm::{DbErr, RuntimeErr, SqlErr, sqlx};

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A unique constraint: the thing is there already. Holds the constraint's or column's name.
    #[error("already exists: {0}")]
    Duplicate(String),
    /// A trigger or check of promotion refused the change. Holds its name and words.
    #[error("{0}")]
    Refused(String),
    /// Another transaction was in the way; trying again may help.
    #[error("a concurrent change was in the way")]
    Conflict,
    /// The database cannot be reached, is full, or does not answer in time.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The caller has as much under way as one may have; it passes by itself.
    #[error("{0}")]
    Busy(String),
    /// Anything else: a fault of ours or of the database.
    #[error("database: {0}")]
    Internal(String),
}

/// What a write's error must tell the store.
pub trait WriteError: From<StoreError> + Send + 'static {
    /// Whether the same write can succeed when it is tried again.
    fn is_conflict(&self) -> bool;

    /// Whether the database could not be written to.
    fn is_unavailable(&self) -> bool;
}

impl WriteError for StoreError {
    fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict)
    }

    fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        if let Some(SqlErr::UniqueConstraintViolation(what)) = error.sql_err() {
            return Self::Duplicate(what);
        }
        match &error {
            DbErr::Exec(RuntimeErr::SqlxError(inner))
            | DbErr::Query(RuntimeErr::SqlxError(inner))
            | DbErr::Conn(RuntimeErr::SqlxError(inner)) => from_driver(inner),
            DbErr::ConnectionAcquire(_) => Self::Unavailable(error.to_string()),
            _ => Self::Internal(error.to_string()),
        }
    }
}

fn from_driver(error: &sqlx::Error) -> StoreError {
    let sqlx::Error::Database(database) = error else {
        let gone = matches!(
            error,
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Tls(_) | sqlx::Error::WorkerCrashed
        );
        return match error {
            // Its text may hold a part of the URL.
            sqlx::Error::Configuration(_) => StoreError::Unavailable("the driver does not understand the database's URL".to_owned()),
            _ if gone => StoreError::Unavailable(error.to_string()),
            _ => StoreError::Internal(error.to_string()),
        };
    };
    let code = database.code().unwrap_or_default();
    let message = database.message().to_owned();
    match code.as_ref() {
        // PostgreSQL: serialization failure, deadlock. SQLite: busy, locked, busy snapshot.
        "40001" | "40P01" | "5" | "6" | "261" | "517" => StoreError::Conflict,
        // PostgreSQL, in words of ours: its own name whatever the URL was cut into.
        "28000" | "28P01" => StoreError::Unavailable("the database refuses the user or the password".to_owned()),
        "3D000" => StoreError::Unavailable("the server has no database of the name that the URL gives".to_owned()),
        // A standby, or one that was set to read only.
        "25006" => StoreError::Unavailable("the database is read-only".to_owned()),
        // PostgreSQL: check, integrity. SQLite: trigger, check.
        "23514" | "23000" | "1811" | "275" => match message.split_once("_not_replaced: ") {
            // On SQLite a trigger looks for the row in the way before a unique index does.
            Some((table, _)) => StoreError::Duplicate(table.to_owned()),
            None => StoreError::Refused(message),
        },
        // PostgreSQL: connection, resources, operator intervention. SQLite: full, I/O, read-only.
        _ if ["08", "53", "57"].iter().any(|class| code.len() == 5 && code.starts_with(class)) => StoreError::Unavailable(message),
        _ if matches!(primary(&code), Some(8 | 10 | 13 | 14)) => StoreError::Unavailable(message),
        _ => StoreError::Internal(format!("{code}: {message}")),
    }
}

/// SQLite's primary code: it says in further bits what exactly went wrong. PostgreSQL's codes are longer.
fn primary(code: &str) -> Option<u16> {
    code.parse::<u16>().ok().filter(|_| code.len() < 5).map(|code| code & 0xff)
}
