//! The door for metric points beside `Store::write`: points of requests that wait together share their
//! statements and their commit. Nobody waits for company: a request that comes alone goes alone.

use std::sync::Arc;

use sea_orm::{DatabaseConnection, DatabaseTransaction, TransactionTrait};
use tokio::sync::{Mutex, mpsc, oneshot};

use super::metrics::{self, LogError, Logged, Points};
use super::write::{ATTEMPTS, GROUP, QUEUE, Work, Writer, copy, pause};
use super::{Store, StoreError};

/// Points in one group; a larger request goes alone.
pub(super) const POINTS: usize = 20_000;
/// Workers on PostgreSQL. Each has one group under way.
const WORKERS: usize = 3;

/// One request's points, and whom to tell.
pub(super) struct Waiting {
    item: Points,
    reply: oneshot::Sender<Logged>,
}

impl Waiting {
    pub(super) fn points(&self) -> usize {
        self.item.points.len()
    }
}

impl Store {
    /// Stores points of one run durably, all of them or none. Points that are stored already are no error.
    pub async fn log_metrics(&self, item: Points) -> Logged {
        let (reply, answer) = oneshot::channel();
        let waiting = Waiting { item, reply };
        let gone = || LogError::Store(StoreError::Unavailable("the writer has stopped".to_owned()));
        match self.writer() {
            Writer::Sqlite(queue) => queue.send(Work::Points(waiting)).await.map_err(|_| gone())?,
            Writer::Postgres { bulk, .. } => bulk.send(waiting).await.map_err(|_| gone())?,
        }
        let outcome = answer.await.map_err(|_| gone())?;
        if let Err(LogError::Store(error)) = &outcome {
            self.condition().note::<(), _>(&Err(copy(error)));
        }
        outcome
    }
}

/// Stores a group in a transaction that holds nothing else yet.
pub(super) async fn shared(on: &DatabaseTransaction, group: &[Waiting]) -> Result<Vec<Logged>, StoreError> {
    metrics::log(on, &items(group)).await
}

/// Stores a group in a transaction that others share: together if that goes, else one by one, so that
/// what is wrong with one request is not the others' error.
pub(super) async fn in_savepoints(outer: &DatabaseTransaction, group: &[Waiting]) -> Result<Vec<Logged>, StoreError> {
    if let Ok(outcomes) = in_savepoint(outer, group).await? {
        return Ok(outcomes);
    }
    let mut outcomes = Vec::with_capacity(group.len());
    for one in group {
        match in_savepoint(outer, std::slice::from_ref(one)).await? {
            Ok(outcome) => outcomes.extend(outcome),
            Err(error) => outcomes.push(Err(error.into())),
        }
    }
    Ok(outcomes)
}

async fn in_savepoint(outer: &DatabaseTransaction, group: &[Waiting]) -> Result<Result<Vec<Logged>, StoreError>, StoreError> {
    let savepoint = outer.begin().await?;
    let outcomes = metrics::log(&savepoint, &items(group)).await;
    match &outcomes {
        Ok(_) => savepoint.commit().await?,
        Err(_) => savepoint.rollback().await?,
    }
    Ok(outcomes)
}

/// Tells everyone in a group what became of their points, once its commit is decided.
pub(super) fn answer(group: Vec<Waiting>, outcomes: Vec<Logged>, commit: Result<(), &StoreError>) {
    let mut outcomes = outcomes.into_iter();
    for waiting in group {
        let lost = || Err(StoreError::Internal("the points were not stored".to_owned()).into());
        let outcome = match commit {
            Ok(()) => outcomes.next().unwrap_or_else(lost),
            Err(error) => Err(copy(error).into()),
        };
        // A caller that has gone away needs no answer.
        let _ = waiting.reply.send(outcome);
    }
}

fn items(group: &[Waiting]) -> Vec<&Points> {
    group.iter().map(|waiting| &waiting.item).collect()
}

/// Starts the workers of a PostgreSQL database.
pub(super) fn postgres(pool: &DatabaseConnection) -> mpsc::Sender<Waiting> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let queue = Arc::new(Mutex::new(receiver));
    for _ in 0..WORKERS {
        tokio::spawn(work(pool.clone(), queue.clone()));
    }
    sender
}

async fn work(pool: DatabaseConnection, queue: Arc<Mutex<mpsc::Receiver<Waiting>>>) {
    loop {
        let group = {
            let mut queue = queue.lock().await;
            let Some(first) = queue.recv().await else { return };
            drain(first, &mut queue)
        };
        let outcomes = store(&pool, &group).await;
        answer(group, outcomes, Ok(()));
    }
}

fn drain(first: Waiting, queue: &mut mpsc::Receiver<Waiting>) -> Vec<Waiting> {
    let mut points = first.points();
    let mut group = vec![first];
    while group.len() < GROUP && points < POINTS {
        let Ok(next) = queue.try_recv() else { break };
        points += next.points();
        group.push(next);
    }
    group
}

/// Stores a group on PostgreSQL; one by one when an error of one of them must not be all the others'.
async fn store(pool: &DatabaseConnection, group: &[Waiting]) -> Vec<Logged> {
    match with_retry(pool, group).await {
        Ok(outcomes) => outcomes,
        Err(error) if group.len() > 1 && !matches!(error, StoreError::Unavailable(_) | StoreError::Conflict) => {
            tracing::warn!(%error, requests = group.len(), "a group of metric points failed; trying one by one");
            let mut outcomes = Vec::with_capacity(group.len());
            for one in group {
                match with_retry(pool, std::slice::from_ref(one)).await {
                    Ok(outcome) => outcomes.extend(outcome),
                    Err(error) => outcomes.push(Err(error.into())),
                }
            }
            outcomes
        }
        Err(error) => group.iter().map(|_| Err(copy(&error).into())).collect(),
    }
}

async fn with_retry(pool: &DatabaseConnection, group: &[Waiting]) -> Result<Vec<Logged>, StoreError> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        match metrics::log(pool, &items(group)).await {
            Err(StoreError::Conflict) if attempt < ATTEMPTS => pause(attempt).await,
            outcome => return outcome,
        }
    }
}
