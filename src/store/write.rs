//! The way to a write transaction. On SQLite one writer drains what waits and commits it together, each
//! request in a savepoint of its own; on PostgreSQL each request has its own transaction and is tried
//! again when another one was in the way.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, SqliteTransactionMode, TransactionOptions,
    TransactionTrait,
};
use tokio::sync::{mpsc, oneshot};

use super::bulk::{self, Waiting as WaitingPoints};
use super::metrics::Logged;
use super::tx::SharedRowKey;
use super::{Recorded, StoreError, Tx, Unrecorded, WriteError, sql};
use crate::clock;

/// Requests that wait for the SQLite writer; more of them wait at their callers.
pub(super) const QUEUE: usize = 1_024;
/// Requests in one commit.
pub(super) const GROUP: usize = 256;
/// After this long without a pause other processes get a chance at the lock.
const HOLD: Duration = Duration::from_millis(50);
/// How often a write is tried on PostgreSQL before its conflict is reported.
pub(super) const ATTEMPTS: u32 = 8;

/// The body of a write. It may run twice and share its commit with others, so it gets all it needs as
/// input and touches nothing but the transaction.
pub type Body<I, T, E> = for<'a> fn(&'a Tx, &'a I) -> BoxFuture<'a, Result<Recorded<T>, E>>;
/// The body of a write of a kind that never is a row.
pub type UnrecordedBody<I, T, E> = for<'a> fn(&'a Tx, &'a I) -> BoxFuture<'a, Result<T, E>>;

/// The two ways into a write. Which one it was decides how it may end.
pub(super) enum Door<I, T, E> {
    Recording(Body<I, T, E>),
    Unrecorded(Unrecorded, UnrecordedBody<I, T, E>),
}

impl<I, T, E: WriteError> Door<I, T, E> {
    async fn enter(&self, tx: &Tx, input: &I) -> Result<T, E> {
        match self {
            Self::Recording(body) => Ok(tx.recorded(body(tx, input).await?)?),
            Self::Unrecorded(kind, body) => {
                let value = body(tx, input).await?;
                tx.unrecorded(*kind)?;
                Ok(value)
            }
        }
    }
}

/// Where writes go.
#[derive(Clone)]
pub(super) enum Writer {
    Sqlite(mpsc::Sender<Work>),
    Postgres { pool: DatabaseConnection, bulk: mpsc::Sender<WaitingPoints>, row_key: SharedRowKey },
}

/// What waits for the SQLite writer.
pub(super) enum Work {
    Job(Box<dyn Job>),
    Points(WaitingPoints),
    /// The end: nothing is written after it.
    Close(Closing),
}

/// How the SQLite writer ends.
pub(super) struct Closing {
    /// Whether the write-ahead log is to be brought into the file, waiting for those who read, or only as far as it goes
    /// beside a running server, which must not be held up.
    checkpoint: bool,
    reply: oneshot::Sender<()>,
}

impl Writer {
    /// The writer of a SQLite database, with the one connection that `options` describe.
    ///
    /// # Errors
    /// When the database cannot be opened.
    pub(super) async fn sqlite(options: ConnectOptions, row_key: SharedRowKey) -> Result<Self, StoreError> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let mut connection = Renewed { options, open: None };
        connection.get().await?;
        tokio::spawn(drain(connection, receiver, row_key));
        Ok(Self::Sqlite(sender))
    }

    /// The writer of a PostgreSQL database.
    pub(super) fn postgres(pool: DatabaseConnection, row_key: SharedRowKey) -> Self {
        Self::Postgres { bulk: bulk::postgres(&pool), pool, row_key }
    }

    /// Writes what waits, and closes the writer's connection.
    pub(super) async fn close(&self, checkpoint: bool) {
        if let Self::Sqlite(queue) = self {
            let (reply, closed) = oneshot::channel();
            // A writer that is gone has closed its connection.
            if queue.send(Work::Close(Closing { checkpoint, reply })).await.is_ok() {
                let _ = closed.await;
            }
        }
    }

    pub(super) async fn write<I, T, E>(&self, input: I, door: Door<I, T, E>) -> Result<T, E>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
        E: WriteError,
    {
        match self {
            Self::Sqlite(queue) => {
                let (reply, answer) = oneshot::channel();
                let gone = |_| StoreError::Unavailable("the writer has stopped".to_owned());
                let job = Work::Job(Box::new(Waiting { input, door, outcome: None, reply }));
                queue.send(job).await.map_err(|_| gone(()))?;
                answer.await.map_err(|_| gone(()))?
            }
            Self::Postgres { pool, row_key, .. } => write_alone(pool, row_key, &input, &door).await,
        }
    }
}

/// A write that waits for the SQLite writer, whatever its types.
pub(super) trait Job: Send {
    /// Runs the body; true when its savepoint shall be kept.
    fn run<'a>(&'a mut self, tx: &'a Tx) -> BoxFuture<'a, bool>;
    /// Answers the caller, once the group's commit is decided.
    fn answer(self: Box<Self>, commit: Result<(), &StoreError>);
}

struct Waiting<I, T, E> {
    input: I,
    door: Door<I, T, E>,
    outcome: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<I, T, E> Job for Waiting<I, T, E>
where
    I: Send + Sync + 'static,
    T: Send + 'static,
    E: WriteError,
{
    fn run<'a>(&'a mut self, tx: &'a Tx) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let outcome = guarded(tx, &self.input, &self.door).await;
            let keep = outcome.is_ok();
            self.outcome = Some(outcome);
            keep
        })
    }

    fn answer(self: Box<Self>, commit: Result<(), &StoreError>) {
        let outcome = match (commit, self.outcome) {
            (Ok(()), Some(outcome)) => outcome,
            (_, Some(Err(error))) => Err(error),
            (Err(error), _) => Err(copy(error).into()),
            (Ok(()), None) => Err(StoreError::Internal("the write was not run".to_owned()).into()),
        };
        // A caller that has gone away needs no answer.
        let _ = self.reply.send(outcome);
    }
}

/// The same error for a further caller.
pub(super) fn copy(error: &StoreError) -> StoreError {
    match error {
        StoreError::Conflict => StoreError::Conflict,
        StoreError::Unavailable(what) => StoreError::Unavailable(what.clone()),
        other => StoreError::Internal(other.to_string()),
    }
}

/// Runs a body so that a panic in it is an error of this one request.
async fn guarded<I, T, E: WriteError>(tx: &Tx, input: &I, door: &Door<I, T, E>) -> Result<T, E> {
    AssertUnwindSafe(door.enter(tx, input)).catch_unwind().await.unwrap_or_else(|panic: Box<dyn Any + Send>| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        Err(StoreError::Internal(format!("a write panicked: {text}")).into())
    })
}

/// What goes into one commit.
#[derive(Default)]
struct Group {
    jobs: Vec<Box<dyn Job>>,
    points: Vec<WaitingPoints>,
    rows: usize,
    logged: Vec<Logged>,
    closing: Option<Closing>,
}

impl Group {
    fn add(&mut self, work: Work) {
        match work {
            Work::Close(closing) => self.closing = Some(closing),
            Work::Job(job) => self.jobs.push(job),
            Work::Points(waiting) => {
                self.rows += waiting.points();
                self.points.push(waiting);
            }
        }
    }

    fn len(&self) -> usize {
        self.jobs.len() + self.points.len()
    }

    fn answer(self, committed: Result<(), &StoreError>) {
        for job in self.jobs {
            job.answer(committed);
        }
        bulk::answer(self.points, self.logged, committed);
    }
}

/// The writer's connection. One on which a group failed is never used again: on a full disk SQLite ends the whole
/// transaction by itself, the driver goes on counting savepoints in it, and from then on writes would be answered that
/// nobody commits.
struct Renewed {
    options: ConnectOptions,
    open: Option<DatabaseConnection>,
}

impl Renewed {
    async fn get(&mut self) -> Result<&DatabaseConnection, StoreError> {
        let open = match self.open.take() {
            Some(open) => open,
            None => Database::connect(self.options.clone()).await?,
        };
        Ok(self.open.insert(open))
    }

    /// Closes the connection. The last one of a file takes what is in the write-ahead log into the file, and removes it.
    async fn finish(mut self, checkpoint: bool) {
        if checkpoint {
            match self.get().await {
                Ok(connection) => match self::checkpoint(connection).await {
                    Ok(true) => {}
                    Ok(false) => tracing::warn!("another process reads the database; what it holds up stays in the -wal file beside it"),
                    Err(error) => tracing::warn!(%error, "the -wal file could not be brought into the database file; keep it beside it"),
                },
                Err(error) => tracing::warn!(%error, "the database could not be opened once more to bring its -wal file into it"),
            }
        }
        self.give_up().await;
    }

    async fn give_up(&mut self) {
        if let Some(open) = self.open.take()
            && let Err(error) = open.close().await
        {
            tracing::warn!(%error, "a connection of the writer was not closed well");
        }
    }
}

/// Brings the write-ahead log into the file and empties it; false when somebody reads an older state.
async fn checkpoint(connection: &DatabaseConnection) -> Result<bool, StoreError> {
    connection.execute_unprepared("PRAGMA busy_timeout = 2000").await?;
    let busy: i64 = sql::one(connection, "PRAGMA wal_checkpoint(TRUNCATE)", []).await?.get(0)?;
    Ok(busy == 0)
}

async fn drain(mut connection: Renewed, mut queue: mpsc::Receiver<Work>, row_key: SharedRowKey) {
    let mut since_pause = Instant::now();
    while let Some(first) = queue.recv().await {
        let mut group = Group::default();
        group.add(first);
        while group.closing.is_none() && group.len() < GROUP && group.rows < bulk::POINTS {
            match queue.try_recv() {
                Ok(work) => group.add(work),
                Err(_) => break,
            }
        }
        let closing = group.closing.take();
        let committed = match connection.get().await {
            _ if group.len() == 0 => Ok(()),
            Ok(connection) => commit_group(connection, &mut group, &row_key).await,
            Err(error) => Err(error),
        };
        if let Err(error) = &committed {
            tracing::warn!(%error, writes = group.len(), "a group of writes was not committed");
        }
        let failed = committed.is_err();
        group.answer(committed.as_ref().copied());
        if failed {
            connection.give_up().await;
        }
        if let Some(closing) = closing {
            connection.finish(closing.checkpoint).await;
            // Who asked may have gone away; the connection is closed all the same.
            let _ = closing.reply.send(());
            return;
        }
        if queue.is_empty() {
            since_pause = Instant::now();
        } else if since_pause.elapsed() > HOLD {
            tokio::time::sleep(Duration::from_millis(2)).await;
            since_pause = Instant::now();
        }
    }
}

async fn begin(connection: &DatabaseConnection) -> Result<DatabaseTransaction, StoreError> {
    let options = TransactionOptions { sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate), ..Default::default() };
    Ok(connection.begin_with_options(options).await?)
}

async fn commit_group(connection: &DatabaseConnection, group: &mut Group, row_key: &SharedRowKey) -> Result<(), StoreError> {
    let mut outer = begin(connection).await?;
    if group.jobs.is_empty() {
        // Nothing else is in the transaction, so it needs no savepoint unless something goes wrong.
        match bulk::shared(&outer, &group.points).await {
            Ok(logged) => {
                group.logged = logged;
                return Ok(outer.commit().await?);
            }
            Err(error) => {
                tracing::warn!(%error, requests = group.points.len(), "a group of metric points failed; trying one by one");
                outer.rollback().await?;
                outer = begin(connection).await?;
            }
        }
    }
    let now = clock::now_ms();
    for job in &mut group.jobs {
        let savepoint = Tx::new(outer.begin().await?, now, row_key.clone());
        if job.run(&savepoint).await {
            savepoint.into_transaction().commit().await?;
        } else {
            savepoint.into_transaction().rollback().await?;
        }
    }
    if !group.points.is_empty() {
        group.logged = bulk::in_savepoints(&outer, &group.points).await?;
    }
    outer.commit().await?;
    Ok(())
}

/// Waits before another attempt, longer each time, and not as long as the others that failed.
pub(super) async fn pause(attempt: u32) {
    let [jitter] = clock::random_bytes::<1>();
    let pause = (1_u64 << attempt) * (64 + u64::from(jitter)) / 64;
    tokio::time::sleep(Duration::from_millis(pause)).await;
}

async fn write_alone<I, T, E: WriteError>(
    pool: &DatabaseConnection,
    row_key: &SharedRowKey,
    input: &I,
    door: &Door<I, T, E>,
) -> Result<T, E> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let outcome = attempt_alone(pool, row_key, input, door).await;
        match outcome {
            Err(error) if error.is_conflict() && attempt < ATTEMPTS => pause(attempt).await,
            outcome => return outcome,
        }
    }
}

async fn attempt_alone<I, T, E: WriteError>(
    pool: &DatabaseConnection,
    row_key: &SharedRowKey,
    input: &I,
    door: &Door<I, T, E>,
) -> Result<T, E> {
    let transaction = pool.begin().await.map_err(StoreError::from)?;
    let tx = Tx::new(transaction, clock::now_ms(), row_key.clone());
    match guarded(&tx, input, door).await {
        Ok(value) => {
            tx.into_transaction().commit().await.map_err(StoreError::from)?;
            Ok(value)
        }
        Err(error) => {
            // The error that is reported is the body's; a failed rollback ends with the connection.
            let _ = tx.into_transaction().rollback().await;
            Err(error)
        }
    }
}

#[cfg(test)]
#[path = "write_tests.rs"]
mod tests;
