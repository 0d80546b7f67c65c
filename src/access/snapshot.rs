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
        let snapshot = rows::snapshot(store.reader(), clock::now_ms()).await?;
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
        let epoch = rows::epoch(self.store.reader()).await?;
        let snapshot =
            if epoch == snapshot.epoch { snapshot } else { Arc::new(rows::snapshot(self.store.reader(), clock::now_ms()).await?) };
        *self.current.write().unwrap_or_else(std::sync::PoisonError::into_inner) = (snapshot.clone(), started);
        Ok(snapshot)
    }

    fn current(&self) -> (Arc<Snapshot>, Instant) {
        self.current.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}
