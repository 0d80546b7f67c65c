//! The snapshot of access that checks decide on, and how fresh it is. The epoch in the database is
//! polled; a snapshot is good for one second from the start of its last successful poll, by the
//! monotonic clock. After that a check reads the database, or is refused.

use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::clock;
use crate::domain::access::Snapshot;
use crate::store::{Store, StoreError, access as rows};

/// How often the epoch is polled.
pub const POLL: Duration = Duration::from_millis(250);
/// How long a snapshot is good.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// A database that does not answer for this long is away: checks are refused then, not held up.
const PATIENCE: Duration = Duration::from_secs(5);

/// The newest snapshot.
pub struct SnapshotCache {
    store: Store,
    current: RwLock<(Arc<Snapshot>, Instant)>,
    /// One refresh at a time; who waits for one often finds the work done.
    refreshing: Mutex<()>,
}

impl SnapshotCache {
    /// With a first snapshot.
    pub async fn open(store: Store) -> Result<Self, StoreError> {
        let started = Instant::now();
        let snapshot = whole(&store).await?;
        Ok(Self { store, current: RwLock::new((Arc::new(snapshot), started)), refreshing: Mutex::new(()) })
    }

    /// A snapshot that is good now. Errors when the database cannot be read: checks then fail closed.
    pub async fn get(&self) -> Result<Arc<Snapshot>, StoreError> {
        let (snapshot, polled) = self.current();
        if polled.elapsed() < GOOD_FOR {
            return Ok(snapshot);
        }
        self.refresh(Instant::now()).await
    }

    /// A snapshot that was read, or found unchanged, after `asked`.
    pub async fn refresh(&self, asked: Instant) -> Result<Arc<Snapshot>, StoreError> {
        let _one = self.refreshing.lock().await;
        let (snapshot, polled) = self.current();
        if polled > asked {
            return Ok(snapshot);
        }
        let started = Instant::now();
        let read = tokio::time::timeout(PATIENCE, self.read(snapshot)).await;
        let snapshot = read.map_err(|_| StoreError::Unavailable("the database does not answer".to_owned()))??;
        *self.current.write().unwrap_or_else(std::sync::PoisonError::into_inner) = (snapshot.clone(), started);
        Ok(snapshot)
    }

    /// A new snapshot, or the same when nothing has changed.
    async fn read(&self, known: Arc<Snapshot>) -> Result<Arc<Snapshot>, StoreError> {
        let epoch = rows::epoch(self.store.reader()).await?;
        if epoch == known.epoch {
            return Ok(known);
        }
        Ok(Arc::new(whole(&self.store).await?))
    }

    fn current(&self) -> (Arc<Snapshot>, Instant) {
        self.current.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

/// A snapshot of one state. Members of before a change and grants of behind it would give what nobody ever gave.
async fn whole(store: &Store) -> Result<Snapshot, StoreError> {
    let view = store.view().await?;
    let snapshot = rows::snapshot(&view, clock::now_ms()).await?;
    view.done().await?;
    Ok(snapshot)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::access::{Effect, Grant, Principal, Scope, UserKind};
    use crate::store::Tx;
    use crate::store::testing::stores;

    /// One change of access after the other: `ann` leaves the group before it gets its grant, and comes back when
    /// that is gone.
    async fn change(tx: &Tx, step: &u32) -> Result<(), StoreError> {
        rows::raise_epoch(tx).await?;
        match step % 4 {
            0 => rows::remove_member(tx, "g", "ann").await.map(|_| ())?,
            1 => {
                let grant = Grant {
                    uid: "grant".to_owned(),
                    principal: Principal::Group("g".to_owned()),
                    persona: "admin".to_owned(),
                    scope: Scope::Server,
                    targets: Vec::new(),
                    effect: Effect::Allow,
                    created: 0,
                    created_by: String::new(),
                };
                rows::insert_grant(tx, &grant).await?;
            }
            2 => rows::delete_grant(tx, "grant").await.map(|_| ())?,
            _ => rows::add_member(tx, "g", "ann").await.map(|_| ())?,
        }
        Ok(())
    }

    async fn people(tx: &Tx, _: &()) -> Result<(), StoreError> {
        rows::insert_person(tx, "p").await?;
        let ann = rows::UserRow {
            uid: "ann".to_owned(),
            name: "ann".to_owned(),
            display_name: String::new(),
            kind: UserKind::Person,
            person_uid: "p".to_owned(),
            password_hash: None,
            active: true,
            created: 0,
            password_temporary: false,
            generation: 0,
        };
        rows::insert_user(tx, &ann).await?;
        rows::insert_group(tx, "g", "g").await?;
        rows::add_member(tx, "g", "ann").await?;
        Ok(())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_snapshot_is_of_one_state() {
        for test in stores().await {
            let store = test.store.clone();
            store.set_up((), |tx, input| Box::pin(people(tx, input))).await.unwrap();
            let writer = store.clone();
            let changing = tokio::spawn(async move {
                for step in 0..400 {
                    writer.set_up(step, |tx, step| Box::pin(change(tx, step))).await.unwrap();
                }
            });
            let mut seen = std::collections::HashSet::new();
            while !changing.is_finished() {
                let snapshot = whole(&store).await.unwrap();
                assert_eq!(snapshot.grants_of("ann").count(), 0, "ann never held the grant");
                seen.insert(snapshot.epoch);
            }
            changing.await.unwrap();
            assert!(seen.len() > 4, "there were changes meanwhile");
        }
    }
}
