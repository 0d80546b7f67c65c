//! The store: one database, SQLite or PostgreSQL, behind typed queries per subject. Everything that
//! changes goes through `Store::write`, or through `Store::write_unrecorded` for what never is a row; queries take the connection or transaction they run on.
//! No rule of the service stands here, and no driver error leaves it.

pub mod access;
pub mod artifacts;
pub mod blobs;
pub mod blobs_marker;
mod bulk;
pub mod chunks;
pub mod comments;
pub mod condition;
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
mod ledger_state;
pub mod logged_model_values;
pub mod logged_models;
pub mod metrics;
pub mod migration;
pub mod model_links;
pub mod models;
pub mod moves;
pub mod objects;
pub mod protection;
pub mod purge;
mod reading;
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
mod start_lock;
mod statements;
#[cfg(test)]
pub(crate) mod testing;
mod turns;
mod tx;
pub mod uploads;
pub mod usage;
pub mod version_files;
pub mod versions;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sea_orm::{
    AccessMode, ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, IsolationLevel,
    RuntimeErr, TransactionOptions, TransactionTrait,
};
use sea_orm_migration::MigratorTrait;

use crate::domain::ledger::RowKey;
use crate::domain::url::DatabaseUrl;
pub use error::{StoreError, WriteError};
use migration::Schema;
pub use reading::Reading;
pub use search_connection::Search;
pub use start_lock::StartLock;
pub use tx::{Kept, Recorded, Tx, Unrecorded, Watched};
use write::Door;
pub use write::{Body, UnrecordedBody};

/// A connection that has idled this long is tried before it is used; a busy one is not, that costs a
/// round trip for each statement.
const IDLE: Duration = Duration::from_secs(1);

/// How long queries may take to end when the store is closed.
const READERS_END: Duration = Duration::from_secs(3);

/// Connections of PostgreSQL for all calls but searches, which have [`search_connection::AT_ONCE`].
const CALLS: u32 = 24;
/// Connections of PostgreSQL for what must not wait for calls.
const CONTROL: u32 = 2;

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
    reader: Reading<DatabaseConnection>,
    /// For what must not wait for calls.
    control: Reading<DatabaseConnection>,
    searches: search_connection::Searches,
    writer: write::Writer,
    /// The file of SQLite.
    file: Option<PathBuf>,
    condition: Arc<condition::Condition>,
    blobs: Option<blobs::Blobs>,
    metric_names: Arc<metrics::Names>,
    compared: version_files::Compared,
    feed: ledger_feed::LedgerFeed,
    row_key: tx::SharedRowKey,
    seals: ledger_seal::Seals,
}

impl Store {
    /// Connects, brings the schema up to date and checks that commits are durable.
    /// `url` is `sqlite://PATH` or `postgres://…`. Errors say what to do.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        let url = understood(url)?;
        let lock = StartLock::take(&url).await?;
        Self::open_locked(&url, &lock).await
    }

    /// The same for whoever holds the lock of the start, and does more under it.
    pub async fn open_locked(url: &DatabaseUrl, _lock: &StartLock) -> Result<Self, StoreError> {
        let store = Self::connect(url).await?;
        match migration::schema(&store.reader).await? {
            Schema::Current => {}
            Schema::Empty | Schema::Older => migration::Migrator::up(store.migration_connection(), None).await?,
            Schema::Newer => return Err(newer()),
        }
        Ok(store)
    }

    /// Connects to a database that is there already, and leaves its schema alone. Errors when there is none, and when its
    /// schema is of another version.
    pub async fn open_existing(url: &str) -> Result<Self, StoreError> {
        Self::open_if_there(&understood(url)?).await?.ok_or_else(|| {
            StoreError::Unavailable(
                "there is no database yet: run `stagegate serve` once, which sets it up, or give the right --data-dir or --database-url"
                    .to_owned(),
            )
        })
    }

    /// The same; none where there is nothing yet.
    pub async fn open_if_there(url: &DatabaseUrl) -> Result<Option<Self>, StoreError> {
        match Self::open_as_it_is(url).await? {
            Some((store, Schema::Current)) => Ok(Some(store)),
            None | Some((_, Schema::Empty)) => Ok(None),
            Some((_, Schema::Newer)) => Err(newer()),
            Some((_, Schema::Older)) => Err(StoreError::Unavailable(
                "its schema is older than this program, and this command does not change it: stop the servers of the older version, then \
                 run `stagegate migrate` or start `stagegate serve`"
                    .to_owned(),
            )),
        }
    }

    /// Connects to a database whose schema is up to date; none where it is not, or not there.
    pub async fn open_if_current(url: &DatabaseUrl) -> Result<Option<Self>, StoreError> {
        Ok(Self::open_as_it_is(url).await?.and_then(|(store, schema)| (schema == Schema::Current).then_some(store)))
    }

    async fn open_as_it_is(url: &DatabaseUrl) -> Result<Option<(Self, Schema)>, StoreError> {
        if url.file().is_some_and(|file| !file.is_file()) {
            return Ok(None);
        }
        let store = Self::connect(url).await?;
        let schema = migration::schema(&store.reader).await?;
        Ok(Some((store, schema)))
    }

    async fn connect(url: &DatabaseUrl) -> Result<Self, StoreError> {
        let is_sqlite = url.is_sqlite();
        let file = url.file();
        let condition = Arc::new(condition::Condition::default());
        let url = url.exposed();
        if is_sqlite {
            let row_key = tx::SharedRowKey::default();
            let writer = write::Writer::sqlite(sqlite_options(url, 1), row_key.clone()).await?;
            let reader = Database::connect(sqlite_options(url, 8)).await?;
            let searching = search_connection::sqlite_pool(sqlite_options(url, search_connection::AT_ONCE)).await?;
            let store = Self {
                engine: Engine::Sqlite,
                reader: Reading(reader.clone()),
                searches: search_connection::Searches::new(Engine::Sqlite, searching, reader.clone()),
                control: Reading(reader),
                writer,
                file,
                condition,
                metric_names: Arc::default(),
                compared: version_files::Compared::default(),
                blobs: None,
                feed: ledger_feed::LedgerFeed::new(),
                row_key,
                seals: ledger_seal::Seals::default(),
            };
            store.check_sqlite().await?;
            return Ok(store);
        }
        let mut options = ConnectOptions::new(url);
        options.sqlx_logging(false).acquire_timeout(Duration::from_secs(10)).test_before_acquire_if_idle_for(IDLE);
        let known = condition.clone();
        options.map_sqlx_postgres_before_acquire(move |_, connection| {
            let is_fresh = known.is_fresh(connection.age);
            Box::pin(async move { Ok(is_fresh) })
        });
        let pool = async |connections| Database::connect(options.clone().max_connections(connections).to_owned()).await;
        // What cancels searches and asks for the database's health waits for neither searches nor calls.
        let (control, searching) = (pool(CONTROL).await?, pool(search_connection::AT_ONCE).await?);
        let pool = pool(CALLS).await?;
        let row_key = tx::SharedRowKey::default();
        let store = Self {
            engine: Engine::Postgres,
            reader: Reading(pool.clone()),
            searches: search_connection::Searches::new(Engine::Postgres, searching, control.clone()),
            control: Reading(control),
            writer: write::Writer::postgres(pool, row_key.clone()),
            file,
            condition,
            metric_names: Arc::default(),
            compared: version_files::Compared::default(),
            blobs: None,
            feed: ledger_feed::LedgerFeed::new(),
            row_key,
            seals: ledger_seal::Seals::default(),
        };
        store.check_postgres().await?;
        Ok(store)
    }

    /// Writes what waits, and closes all connections. On SQLite the file then holds everything: with `checkpoint` also where
    /// other processes have it open, as far as they do not read an older state. Whoever writes later gets an error.
    pub async fn close(&self, checkpoint: bool) {
        if self.engine == Engine::Sqlite {
            // Nobody waits for more than this: a reader that does not end would hold up the stop.
            let readers = async { (self.searches.close().await, self.reader.0.clone().close().await) };
            if !matches!(tokio::time::timeout(READERS_END, readers).await, Ok((Ok(()), Ok(())))) {
                tracing::warn!("queries that had not ended hold the database open");
            }
            self.writer.close(checkpoint).await;
        } else {
            for pool in [&self.reader, &self.control] {
                if let Err(error) = pool.0.clone().close().await {
                    tracing::warn!(%error, "connections to the database were not closed well");
                }
            }
            if let Err(error) = self.searches.close().await {
                tracing::warn!(%error, "connections for searches were not closed well");
            }
        }
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
    pub fn reader(&self) -> &Reading<DatabaseConnection> {
        &self.reader
    }

    /// A connection for a search of a principal. What the search still does in the database ends when this is dropped
    /// before it was done. Waits for its turn among all searches. Errors when that takes too long.
    pub async fn search(&self, principal: &str) -> Result<Search, StoreError> {
        self.searches.begin(principal).await
    }

    /// A transaction that reads one state of the database, and changes nothing. For a few short queries that
    /// must agree: what lasts longer would hold back the database's own upkeep.
    pub async fn view(&self) -> Result<Reading<DatabaseTransaction>, StoreError> {
        let options = match self.engine {
            // A transaction of SQLite reads one state by itself.
            Engine::Sqlite => TransactionOptions::default(),
            Engine::Postgres => TransactionOptions {
                isolation_level: Some(IsolationLevel::RepeatableRead),
                access_mode: Some(AccessMode::ReadOnly),
                ..Default::default()
            },
        };
        Ok(Reading(self.reader.0.begin_with_options(options).await?))
    }

    /// A connection that may change the schema.
    pub fn migration_connection(&self) -> &DatabaseConnection {
        &self.reader.0
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
        let outcome = self.writer.write(input, Door::Recording(body)).await;
        self.condition.note(&outcome);
        outcome.map(Kept::new)
    }

    /// Runs `body` in a write transaction of a kind that never is a row. One that changed anything else is undone,
    /// with an error. What it gives is no [`Kept`], so that no recording operation can end with it.
    pub async fn write_unrecorded<I, T, E>(&self, kind: Unrecorded, input: I, body: UnrecordedBody<I, T, E>) -> Result<T, E>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
        E: WriteError,
    {
        let outcome = self.writer.write(input, Door::Unrecorded(kind, body)).await;
        self.condition.note(&outcome);
        outcome
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

    fn compared(&self) -> &version_files::Compared {
        &self.compared
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

/// Tries one connection to PostgreSQL: a pool waits for a server that refuses it, and says no more than that it took too
/// long.
pub async fn try_postgres(url: &str) -> Result<(), StoreError> {
    use sea_orm::sqlx::{Connection, PgConnection};
    let slow = |_| StoreError::Unavailable("the database does not answer".to_owned());
    let tried = tokio::time::timeout(Duration::from_secs(5), PgConnection::connect(url)).await.map_err(slow)?;
    let connection = tried.map_err(|cause| DbErr::Conn(RuntimeErr::SqlxError(cause.into())))?;
    // Whether it closes well does not matter.
    let _ = connection.close().await;
    Ok(())
}

/// Why there is no connection to PostgreSQL.
async fn no_connection(url: &str, error: DbErr) -> StoreError {
    let took_too_long = match &error {
        DbErr::ConnectionAcquire(_) => true,
        DbErr::Conn(RuntimeErr::SqlxError(inner)) => matches!(&**inner, sea_orm::sqlx::Error::PoolTimedOut),
        _ => false,
    };
    if took_too_long && let Err(cause) = try_postgres(url).await { cause } else { error.into() }
}

fn understood(url: &str) -> Result<DatabaseUrl, StoreError> {
    DatabaseUrl::parse(url).map_err(|fault| StoreError::Unavailable(format!("its URL {fault}")))
}

fn newer() -> StoreError {
    StoreError::Unavailable("its schema is newer than this program, which must not touch it: use the version of its servers".to_owned())
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
