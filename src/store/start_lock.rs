//! The lock of a start. Schema, keys and the first admin are made once, however many servers start together: one after the
//! other holds the lock while it makes what is missing. On SQLite the server keeps it, since only one may serve a file.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sea_orm::{ConnectOptions, Database, DatabaseConnection};

use super::{StoreError, sql};
use crate::bind;
use crate::domain::url::DatabaseUrl;

/// Names the lock among PostgreSQL's advisory locks, which count for one database: `stagegat`.
const KEY: i64 = 0x7374_6167_6567_6174;
/// What follows the name of SQLite's file in that of its lock.
const LOCK: &str = ".lock";
/// How often the lock is tried.
const TRY: Duration = Duration::from_millis(100);
/// How often it is said that the lock is waited for.
const SAY: Duration = Duration::from_secs(10);
/// How long another server may hold a SQLite file: longer than one takes that is stopping.
const STOPPING: Duration = Duration::from_secs(15);

/// The lock, as long as this lives.
pub struct StartLock(Held);

enum Held {
    /// The file that is locked; the lock goes with it, also when the process is killed.
    File { _file: File },
    /// A connection of its own; the lock goes with it.
    Connection(DatabaseConnection),
    /// Nobody else can reach a database in memory.
    Nothing,
}

impl StartLock {
    /// Takes the lock of a database; waits while somebody else starts on it. On SQLite errors when another server goes on
    /// using the file.
    pub async fn take(url: &DatabaseUrl) -> Result<Self, StoreError> {
        if !url.is_sqlite() {
            return Self::on_postgres(url).await;
        }
        match url.file() {
            Some(file) => Self::on_file(&file).await,
            None => Ok(Self(Held::Nothing)),
        }
    }

    async fn on_file(database: &Path) -> Result<Self, StoreError> {
        let path = beside(database);
        let wrong = |error: std::io::Error| StoreError::Unavailable(format!("the lock file beside it (…{LOCK}): {error}"));
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(wrong)?;
        let mut waiting = Waiting::default();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self(Held::File { _file: file })),
                Err(TryLockError::Error(error)) => return Err(wrong(error)),
                Err(TryLockError::WouldBlock) if waiting.since.elapsed() < STOPPING => {
                    waiting.on("another server uses the SQLite file; waiting for it to stop").await;
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(StoreError::Unavailable(format!(
                        "it is in use by another server, which holds the lock file beside it (…{LOCK}); stop that one first, or use \
                         PostgreSQL for several servers"
                    )));
                }
            }
        }
    }

    async fn on_postgres(url: &DatabaseUrl) -> Result<Self, StoreError> {
        let mut options = ConnectOptions::new(url.exposed());
        options.max_connections(1).sqlx_logging(false).acquire_timeout(Duration::from_secs(10));
        let connection = match Database::connect(options).await {
            Ok(connection) => connection,
            Err(error) => return Err(super::no_connection(url.exposed(), error).await),
        };
        let mut waiting = Waiting::default();
        // Tried again and again rather than waited for in the database, where a statement timeout would end it.
        while !sql::one(&connection, "SELECT pg_try_advisory_lock($1)", bind![KEY]).await?.get::<bool>(0)? {
            waiting.on("another server is starting on this database; waiting until it has").await;
        }
        Ok(Self(Held::Connection(connection)))
    }

    /// The start is over: others may start. On SQLite the lock stays, for one server serves the file.
    pub async fn started(self) -> Result<Self, StoreError> {
        match self.0 {
            Held::Connection(connection) => {
                connection.close().await?;
                Ok(Self(Held::Nothing))
            }
            held => Ok(Self(held)),
        }
    }
}

fn beside(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(LOCK);
    PathBuf::from(name)
}

struct Waiting {
    since: Instant,
    said: Option<Instant>,
}

impl Default for Waiting {
    fn default() -> Self {
        Self { since: Instant::now(), said: None }
    }
}

impl Waiting {
    async fn on(&mut self, what: &'static str) {
        if self.said.is_none_or(|said| said.elapsed() >= SAY) {
            self.said = Some(Instant::now());
            tracing::info!(seconds = self.since.elapsed().as_secs(), "{what}");
        }
        tokio::time::sleep(TRY).await;
    }
}
