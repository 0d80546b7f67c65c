//! Who calls, and whether they may: credentials, keys, the snapshot of grants, and the check that every
//! call passes. What operations mean does not stand here.

mod call;
mod check;
mod credential;
mod keys;
mod master_key;
mod password;
mod refusal;
mod resolve;
mod snapshot;
pub mod token;

use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

pub use check::Arrival;
pub use call::{Call, Caller, Credential, Subject, entry};
pub use keys::{KeyError, KeyRing, token_key};
pub use master_key::{MasterKey, MasterKeyError};
pub use password::{Passwords, Throttled};
pub use refusal::Refused;
pub use snapshot::POLL;

use crate::domain::access::Snapshot;
use crate::store::{Store, StoreError};
use refusal::Refusals;
use resolve::Resolver;
use snapshot::SnapshotCache;

/// Everything that checks need.
pub struct Access {
    /// The store.
    pub store: Store,
    /// Hashing, and the memory of verified passwords.
    pub passwords: Passwords,
    master: Arc<MasterKey>,
    keys: RwLock<Arc<KeyRing>>,
    keys_read: std::sync::Mutex<Instant>,
    snapshot: SnapshotCache,
    resolver: Resolver,
    refusals: Refusals,
    used_tokens: moka::sync::Cache<String, i64>,
}

impl Access {
    /// Opens keys and takes the first snapshot. Errors stop the start.
    pub async fn open(store: Store, master: MasterKey) -> Result<Arc<Self>, KeyError> {
        let master = Arc::new(master);
        let keys = KeyRing::open(&store, &master).await?;
        Ok(Arc::new(Self {
            snapshot: SnapshotCache::open(store.clone()).await?,
            store,
            passwords: Passwords::new(),
            master,
            keys: RwLock::new(Arc::new(keys)),
            keys_read: std::sync::Mutex::new(Instant::now()),
            resolver: Resolver::new(),
            refusals: Refusals::new(),
            used_tokens: moka::sync::Cache::new(100_000),
        }))
    }

    /// The server's keys.
    pub fn keys(&self) -> Arc<KeyRing> {
        self.keys.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// The key that seals what is stored.
    pub fn master(&self) -> &MasterKey {
        &self.master
    }

    /// Who is who, at most a second ago.
    pub async fn snapshot(&self) -> Result<Arc<Snapshot>, StoreError> {
        let snapshot = self.snapshot.get().await?;
        self.follow(&snapshot);
        Ok(snapshot)
    }

    /// Takes up what has changed until now; called after a change of access, so that the caller who made
    /// it sees it at once.
    pub async fn refresh(&self) -> Result<Arc<Snapshot>, StoreError> {
        let snapshot = self.snapshot.refresh(Instant::now()).await?;
        self.follow(&snapshot);
        Ok(snapshot)
    }

    /// Reads the keys again.
    pub async fn reload_keys(&self) -> Result<(), KeyError> {
        let keys = KeyRing::open(&self.store, &self.master).await?;
        *self.keys.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(keys);
        Ok(())
    }

    /// Lets caches go that an older epoch filled; tells whether the epoch is another.
    fn follow(&self, snapshot: &Snapshot) -> bool {
        let changed = self.resolver.follow(snapshot.epoch);
        if changed {
            self.passwords.forget();
        }
        changed
    }

    /// Polls the epoch, and once a minute writes when tokens were used and what was refused. Ends with
    /// the runtime.
    pub async fn tend(self: Arc<Self>) {
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut flushed = Instant::now();
        loop {
            poll.tick().await;
            self.poll().await;
            if flushed.elapsed() >= Duration::from_secs(60) {
                flushed = Instant::now();
                self.flush().await;
            }
        }
    }

    async fn poll(&self) {
        match self.snapshot.refresh(Instant::now()).await {
            Ok(snapshot) if self.follow(&snapshot) => {
                // A new signing key raises the epoch, too.
                if let Err(error) = self.reload_keys().await {
                    tracing::warn!(%error, "the keys cannot be read again");
                }
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the access epoch cannot be polled; checks will fail closed"),
        }
    }

    /// Writes what was only counted so far.
    pub async fn flush(&self) {
        let used: Vec<(String, i64)> = self.used_tokens.iter().map(|(token, at)| ((*token).clone(), at)).collect();
        self.used_tokens.invalidate_all();
        for outcome in [self.write_used_tokens(used).await, self.refusals.flush(&self.store).await] {
            if let Err(error) = outcome {
                tracing::warn!(%error, "what was counted could not be written");
            }
        }
    }

    async fn write_used_tokens(&self, used: Vec<(String, i64)>) -> Result<(), StoreError> {
        if used.is_empty() {
            return Ok(());
        }
        self.store
            .write(used, |tx, used| {
                Box::pin(async move {
                    crate::store::access::touch_tokens(tx, used).await?;
                    Ok::<_, StoreError>(crate::store::Recorded::outside_ledger(()))
                })
            })
            .await
    }
}
