//! The store: one database, SQLite or PostgreSQL, behind typed queries per subject. Everything that
//! changes goes through `Store::write`, or through `Store::write_unrecorded` for what never is a row; queries take the connection or transaction they run on.
//! No rule of the service stands here, and no driver error leaves it.

pub mod access;
pub mod artifacts;
pub mod blobs;
mod bulk;
pub mod chunks;
pub mod comments;
pub mod error;
pub mod evidence;
pub mod experiments;
pub mod gates;
pub mod imports;
pub mod inputs;
mod key_values;
pub mod ledger;
pub mod ledger_check;
pub mod ledger_cosignatures;
pub mod ledger_feed;
pub mod ledger_filter;
pub mod ledger_seal;
pub mod ledger_sequence;
pub mod logged_model_values;
pub mod logged_models;
pub mod metrics;
pub mod migration;
pub mod model_links;
pub mod models;
pub mod moves;
pub mod objects;
pub mod protection;
pub mod request_makers;
pub mod requests;
pub mod run_search;
pub mod run_values;
pub mod runs;
pub mod scope_names;
pub mod search;
mod search_connection;
mod search_order;
pub mod sql;
mod statements;
#[cfg(test)]
pub(crate) mod testing;
mod tx;
pub mod uploads;
pub mod usage;
pub mod versions;
mod write;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sea_orm::{
    AccessMode, ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, DbBackend, IsolationLevel,
    TransactionOptions, TransactionTrait,
};
use sea_orm_migration::MigratorTrait;

use crate::domain::ledger::RowKey;
pub use error::{StoreError, WriteError};
pub use search_connection::Search;
pub use tx::{Kept, Recorded, Tx, Unrecorded, Watched};
use write::Door;
pub use write::{Body, UnrecordedBody};

/// A connection that has idled this long is tried before it is used; a busy one is not, that costs a
/// round trip for each statement.
const IDLE: Duration = Duration::from_secs(1);

/// The only workspace, for now.
pub const WORKSPACE: &str = "default";

/// The kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// Embedded, one writer.
    Sqlite,
    /// A server that several replicas may share.
    Postgres,
}

/// A connected database with an up-to-date schema.
#[derive(Clone)]
pub struct Store {
    engine: Engine,
    reader: DatabaseConnection,
    searches: search_connection::Searches,
    writer: write::Writer,
    blobs: Option<blobs::Blobs>,
    metric_names: Arc<metrics::Names>,
    feed: ledger_feed::LedgerFeed,
    row_key: tx::SharedRowKey,
    seals: ledger_seal::Seals,
}

impl Store {
    /// Connects, brings the schema up to date and checks that commits are durable.
    /// `url` is `sqlite://PATH` or `postgres://…`. Errors say what to do.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        let store = Self::connect(url).await?;
        migration::Migrator::up(store.migration_connection(), None).await?;
        Ok(store)
    }

    /// Connects to a database that is there already, and leaves its schema alone. Errors when there is none.
    pub async fn open_existing(url: &str) -> Result<Self, StoreError> {
        let file = url.strip_prefix("sqlite:").map(|rest| rest.trim_start_matches("//"));
        let file = file.map(|rest| rest.split_once('?').map_or(rest, |(file, _)| file));
        if let Some(file) = file.filter(|file| !Path::new(file).is_file()) {
            return Err(StoreError::Unavailable(format!("there is no file {file}")));
        }
        Self::connect(url).await
    }

    async fn connect(url: &str) -> Result<Self, StoreError> {
        if url.starts_with("sqlite:") {
            let row_key = tx::SharedRowKey::default();
            let writer = write::Writer::sqlite(sqlite_options(url, 1), row_key.clone()).await?;
            let reader = Database::connect(sqlite_options(url, 8)).await?;
            let searching = search_connection::sqlite_pool(sqlite_options(url, 8)).await?;
            let store = Self {
                engine: Engine::Sqlite,
                reader,
                searches: search_connection::Searches::new(Engine::Sqlite, searching),
                writer,
                metric_names: Arc::default(),
                blobs: None,
                feed: ledger_feed::LedgerFeed::new(),
                row_key,
                seals: ledger_seal::Seals::default(),
            };
            store.check_sqlite().await?;
            return Ok(store);
        }
        if !url.starts_with("postgres:") && !url.starts_with("postgresql:") {
            return Err(StoreError::Unavailable("the database URL must start with `sqlite:` or `postgres:`".to_owned()));
        }
        let mut options = ConnectOptions::new(url);
        options.max_connections(32).sqlx_logging(false).acquire_timeout(Duration::from_secs(10)).test_before_acquire_if_idle_for(IDLE);
        let pool = Database::connect(options).await?;
        let row_key = tx::SharedRowKey::default();
        let store = Self {
            engine: Engine::Postgres,
            reader: pool.clone(),
            searches: search_connection::Searches::new(Engine::Postgres, pool.clone()),
            writer: write::Writer::postgres(pool, row_key.clone()),
            metric_names: Arc::default(),
            blobs: None,
            feed: ledger_feed::LedgerFeed::new(),
            row_key,
            seals: ledger_seal::Seals::default(),
        };
        store.check_postgres().await?;
        Ok(store)
    }

    /// The same store, with a place for the bytes of artifacts.
    #[must_use]
    pub fn with_blobs(self, blobs: blobs::Blobs) -> Self {
        Self { blobs: Some(blobs), ..self }
    }

    /// Where the bytes of artifacts lie. Errors where none was opened: commands beside the server need none.
    pub fn blobs(&self) -> Result<&blobs::Blobs, StoreError> {
        self.blobs.as_ref().ok_or_else(|| StoreError::Internal("no artifact store was opened".to_owned()))
    }

    /// Gives the key that authenticates rows of the ledger, which are written from now on. Once given it stays.
    pub fn authenticate_rows(&self, key: RowKey) {
        let _ = self.row_key.set(key);
    }

    /// The key that authenticates rows of the ledger; none where the store was opened without the server's keys.
    pub fn row_key(&self) -> Option<&RowKey> {
        self.row_key.get()
    }

    /// The kind of database.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// The connection for reads.
    pub fn reader(&self) -> &DatabaseConnection {
        &self.reader
    }

    /// A connection for a search of a principal. What the search still does in the database ends when this is dropped
    /// before it was done. Waits for other searches of the principal. Errors when those take too long.
    pub async fn search(&self, principal: &str) -> Result<Search, StoreError> {
        self.searches.begin(principal).await
    }

    /// A transaction that reads one state of the database, and changes nothing. For a few short queries that
    /// must agree: what lasts longer would hold back the database's own upkeep.
    pub async fn view(&self) -> Result<DatabaseTransaction, StoreError> {
        let options = match self.engine {
            // A transaction of SQLite reads one state by itself.
            Engine::Sqlite => TransactionOptions::default(),
            Engine::Postgres => TransactionOptions {
                isolation_level: Some(IsolationLevel::RepeatableRead),
                access_mode: Some(AccessMode::ReadOnly),
                ..Default::default()
            },
        };
        Ok(self.reader.begin_with_options(options).await?)
    }

    /// A connection that may change the schema.
    pub fn migration_connection(&self) -> &DatabaseConnection {
        &self.reader
    }

    /// How far the ledger has come, for those who follow it.
    pub fn ledger_feed(&self) -> &ledger_feed::LedgerFeed {
        &self.feed
    }

    /// Runs `body` in a write transaction that leaves a row in the ledger, or no change: one that changed what the
    /// ledger keeps and wrote no row is undone, with an error. An error leaves nothing behind. See [`Body`] for what a
    /// body may do.
    pub async fn write<I, T, E>(&self, input: I, body: Body<I, T, E>) -> Result<Kept<T>, E>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
        E: WriteError,
    {
        self.writer.write(input, Door::Recording(body)).await.map(Kept::new)
    }

    /// Runs `body` in a write transaction of a kind that never is a row. One that changed anything else is undone,
    /// with an error. What it gives is no [`Kept`], so that no recording operation can end with it.
    pub async fn write_unrecorded<I, T, E>(&self, kind: Unrecorded, input: I, body: UnrecordedBody<I, T, E>) -> Result<T, E>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
        E: WriteError,
    {
        self.writer.write(input, Door::Unrecorded(kind, body)).await
    }

    /// Puts something in place for a test, without rows in the ledger.
    #[cfg(test)]
    pub(crate) async fn set_up<I, T, E>(&self, input: I, body: UnrecordedBody<I, T, E>) -> Result<T, E>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
        E: WriteError,
    {
        self.write_unrecorded(Unrecorded::Anything, input, body).await
    }

    fn writer(&self) -> &write::Writer {
        &self.writer
    }

    fn metric_names(&self) -> &metrics::Names {
        &self.metric_names
    }

    async fn check_sqlite(&self) -> Result<(), StoreError> {
        let synchronous: i64 = sql::one(&self.reader, "PRAGMA synchronous", []).await?.get(0)?;
        let journal: String = sql::one(&self.reader, "PRAGMA journal_mode", []).await?.get(0)?;
        if synchronous != 2 || journal != "wal" {
            return Err(StoreError::Unavailable(format!(
                "SQLite must run with journal_mode=wal and synchronous=FULL, found {journal} and {synchronous}"
            )));
        }
        Ok(())
    }

    async fn check_postgres(&self) -> Result<(), StoreError> {
        for setting in ["fsync", "full_page_writes", "synchronous_commit"] {
            let value: String = sql::one(&self.reader, &format!("SHOW {setting}"), []).await?.get(0)?;
            if value == "off" {
                return Err(StoreError::Unavailable(format!(
                    "PostgreSQL runs with {setting}=off and would lose acknowledged writes; turn it on"
                )));
            }
        }
        Ok(())
    }
}

/// The URL of a SQLite file, which is created when it is not there.
pub fn sqlite_url(file: &Path) -> String {
    format!("sqlite://{}", file.display())
}

fn sqlite_options(url: &str, connections: u32) -> ConnectOptions {
    use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
    let mut options = ConnectOptions::new(url);
    options.max_connections(connections).sqlx_logging(false).acquire_timeout(Duration::from_secs(10)).test_before_acquire_if_idle_for(IDLE);
    options.map_sqlx_sqlite_opts(|options| {
        options
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(10))
            .pragma("case_sensitive_like", "ON")
            .pragma("recursive_triggers", "ON")
            .pragma("trusted_schema", "OFF")
            .statement_cache_capacity(512)
    });
    options
}

/// Whether a connection is to SQLite.
pub fn is_sqlite<C: ConnectionTrait>(on: &C) -> bool {
    on.get_database_backend() == DbBackend::Sqlite
}
