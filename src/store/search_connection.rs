//! Connections for searches: what a search still does in the database ends when its caller has gone or its time is
//! over, and one caller's searches do not take all there is of the machine.
//!
//! SQLite asks now and then whether to go on; PostgreSQL is asked to cancel, and limits each statement by itself in
//! case nobody can ask any more. Both are done when a [`Search`] is dropped before its end.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use moka::sync::Cache;
use sea_orm::sqlx::{self, SqliteConnection};
use sea_orm::{ConnectOptions, Database, DatabaseConnection, DatabaseTransaction, TransactionTrait};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Engine, Reading, StoreError, sql};
use crate::bind;

type Result<T> = std::result::Result<T, StoreError>;

/// Instructions of SQLite's machine between two questions whether to go on: a few rows' worth.
const INSTRUCTIONS: i32 = 200;
/// Searches of one principal that run at a time; further ones wait.
const AT_ONCE: usize = 2;
/// A search waits this long for its principal's other ones.
const PATIENCE: Duration = Duration::from_secs(10);
/// PostgreSQL ends a statement of a search by itself after this: the time that any call has.
const STATEMENT_TIMEOUT: &str = "60000";

tokio::task_local! {
    /// Whether whoever acquires a connection has gone; the pool's hooks hand it to the connection.
    static GONE: Arc<AtomicBool>;
}

/// Where searches get their connections.
#[derive(Clone)]
pub struct Searches {
    engine: Engine,
    pool: DatabaseConnection,
    turns: Cache<String, Arc<Semaphore>>,
}

/// One search: a connection in a transaction that only reads. Ends in the database when it is dropped.
pub struct Search {
    watch: Watch,
    transaction: Reading<DatabaseTransaction>,
    _turn: OwnedSemaphorePermit,
}

struct Watch {
    pool: DatabaseConnection,
    gone: Arc<AtomicBool>,
    /// On PostgreSQL, the process and when its transaction began.
    process: Option<(i32, i64)>,
    done: bool,
}

/// Connects searches of SQLite to a pool of their own: a connection that was interrupted must not serve others before
/// it has a new caller to ask for.
pub(super) async fn sqlite_pool(mut options: ConnectOptions) -> Result<DatabaseConnection> {
    options.map_sqlx_sqlite_pool_opts(|pool| pool.after_connect(|connection, _| Box::pin(follow(connection))));
    options.map_sqlx_sqlite_before_acquire(|connection, _| Box::pin(async move { follow(connection).await.map(|()| true) }));
    Ok(Database::connect(options).await?)
}

/// Has a connection stop when whoever acquires it has gone.
async fn follow(connection: &mut SqliteConnection) -> std::result::Result<(), sqlx::Error> {
    let mut handle = connection.lock_handle().await?;
    match GONE.try_with(Clone::clone) {
        Ok(gone) => handle.set_progress_handler(INSTRUCTIONS, move || !gone.load(Ordering::Relaxed)),
        Err(_) => handle.remove_progress_handler(),
    }
    Ok(())
}

impl Searches {
    pub(super) fn new(engine: Engine, pool: DatabaseConnection) -> Self {
        // Longer than any search takes: nobody gets more turns by being forgotten.
        let turns = Cache::builder().max_capacity(100_000).time_to_idle(Duration::from_secs(600)).build();
        Self { engine, pool, turns }
    }

    /// Closes the connections.
    pub(super) async fn close(&self) -> Result<()> {
        Ok(self.pool.clone().close().await?)
    }

    /// Begins a search for a principal, after others of theirs.
    pub(super) async fn begin(&self, principal: &str) -> Result<Search> {
        let turns = self.turns.get_with_by_ref(principal, || Arc::new(Semaphore::new(AT_ONCE)));
        let busy = || StoreError::Busy(format!("{AT_ONCE} searches of yours run already, which is the most at a time"));
        let turn = tokio::time::timeout(PATIENCE, turns.acquire_owned()).await.ok().and_then(|turn| turn.ok()).ok_or_else(busy)?;
        let gone = Arc::new(AtomicBool::new(false));
        let transaction = GONE.scope(gone.clone(), self.pool.begin()).await?;
        let mut watch = Watch { pool: self.pool.clone(), gone, process: None, done: false };
        if self.engine == Engine::Postgres {
            let about = "SELECT pg_backend_pid(), CAST(EXTRACT(EPOCH FROM now()) * 1000000 AS BIGINT), \
                         set_config('statement_timeout', $1, TRUE)";
            let row = sql::one(&transaction, about, bind![STATEMENT_TIMEOUT]).await?;
            watch.process = Some((row.get(0)?, row.get(1)?));
        }
        Ok(Search { watch, transaction: Reading(transaction), _turn: turn })
    }
}

impl Search {
    /// Gives the connection back.
    pub async fn done(mut self) -> Result<()> {
        self.watch.done = true;
        self.transaction.done().await
    }
}

impl Deref for Search {
    type Target = Reading<DatabaseTransaction>;

    fn deref(&self) -> &Self::Target {
        &self.transaction
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        self.gone.store(true, Ordering::Relaxed);
        let (Some((process, began)), Ok(runtime)) = (self.process, tokio::runtime::Handle::try_current()) else { return };
        let pool = self.pool.clone();
        runtime.spawn(async move {
            // Only this transaction: the process may serve another caller by now.
            let cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity \
                          WHERE pid = $1 AND CAST(EXTRACT(EPOCH FROM xact_start) * 1000000 AS BIGINT) = $2";
            if let Err(error) = sql::first(&pool, cancel, bind![process, began]).await {
                tracing::warn!(%error, "a search whose caller has gone could not be cancelled");
            }
        });
    }
}
