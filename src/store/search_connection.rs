//! Connections for searches: what a search still does in the database ends when its caller has gone or its time is
//! over, and searches have their turns, so that nobody's keep others from theirs. They have connections of their own, so
//! that none keeps anybody from reading and writing.
//!
//! SQLite asks now and then whether to go on; PostgreSQL is asked to cancel, and limits each statement by itself in
//! case nobody can ask any more. Both are done when a [`Search`] is dropped before its end.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sea_orm::sqlx::{self, SqliteConnection};
use sea_orm::{ConnectOptions, Database, DatabaseConnection, DatabaseTransaction, TransactionTrait};

use super::turns::{NoTurn, SLICE, Turn, Turns};
use super::{Engine, Reading, StoreError, sql};
use crate::bind;

type Result<T> = std::result::Result<T, StoreError>;

/// Instructions of SQLite's machine between two questions whether to go on: a few rows' worth.
const INSTRUCTIONS: i32 = 200;
/// Searches that run at a time.
pub(super) const AT_ONCE: u32 = 8;
/// A search waits this long for its turn: less than any call has, so that its caller is told why.
const PATIENCE: Duration = Duration::from_secs(45);
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
    /// For the cancelling of searches on PostgreSQL, which must not wait for them.
    control: DatabaseConnection,
    turns: Arc<Turns>,
}

/// One search: a connection in a transaction that only reads. Ends in the database when it is dropped.
pub struct Search {
    watch: Watch,
    transaction: Reading<DatabaseTransaction>,
    turn: Turn,
}

struct Watch {
    control: DatabaseConnection,
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
    pub(super) fn new(engine: Engine, pool: DatabaseConnection, control: DatabaseConnection) -> Self {
        Self { engine, pool, control, turns: Turns::new(AT_ONCE as usize) }
    }

    /// Closes the connections.
    pub(super) async fn close(&self) -> Result<()> {
        Ok(self.pool.clone().close().await?)
    }

    /// Begins a search for a principal when it is its turn.
    pub(super) async fn begin(&self, principal: &str) -> Result<Search> {
        let turn = self.turns.take(principal, PATIENCE).await.map_err(|why| {
            StoreError::Busy(match why {
                NoTurn::Crowded => "as many searches wait as may; send fewer at a time".to_owned(),
                NoTurn::Late => format!("the search waited for its turn among others for {} seconds", PATIENCE.as_secs()),
            })
        })?;
        let gone = Arc::new(AtomicBool::new(false));
        let transaction = GONE.scope(gone.clone(), self.pool.begin()).await?;
        let mut watch = Watch { control: self.control.clone(), gone, process: None, done: false };
        if self.engine == Engine::Postgres {
            let about = "SELECT pg_backend_pid(), CAST(EXTRACT(EPOCH FROM now()) * 1000000 AS BIGINT), \
                         set_config('statement_timeout', $1, TRUE)";
            let row = sql::one(&transaction, about, bind![STATEMENT_TIMEOUT]).await?;
            watch.process = Some((row.get(0)?, row.get(1)?));
        }
        Ok(Search { watch, transaction: Reading(transaction), turn })
    }
}

impl Search {
    /// Runs queries of the search. They end with an error when the search has run long and others wait for their turn.
    pub async fn run<T, E: From<StoreError>>(&self, queries: impl Future<Output = std::result::Result<T, E>>) -> std::result::Result<T, E> {
        tokio::select! {
            biased;
            done = queries => done,
            () = self.turn.over() => Err(StoreError::Busy(format!(
                "the search had run for {} seconds, and others wait for their turn; search for less at a time, or try again when there are fewer",
                SLICE.as_secs()
            )).into()),
        }
    }

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
        let control = self.control.clone();
        runtime.spawn(async move {
            // Only this transaction: the process may serve another caller by now.
            let cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity \
                          WHERE pid = $1 AND CAST(EXTRACT(EPOCH FROM xact_start) * 1000000 AS BIGINT) = $2";
            if let Err(error) = sql::first(&control, cancel, bind![process, began]).await {
                tracing::warn!(%error, "a search whose caller has gone could not be cancelled");
            }
        });
    }
}
