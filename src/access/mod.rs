//! Who calls, and whether they may: credentials, keys, the snapshot of grants, and the check that every
//! call passes. What operations mean does not stand here.

mod call;
mod check;
mod client_address;
mod credential;
mod key_rows;
mod keys;
mod master_key;
mod password;
mod refusal;
mod resolve;
mod sign_ins;
mod snapshot;
pub mod token;
mod usage;

use std::sync::{Arc, OnceLock, RwLock};
use std::time::{Duration, Instant};

pub use call::{Call, Caller, Credential, Subject, entry};
pub use check::Arrival;
pub use client_address::ClientAddress;
pub use key_rows::{authentic_keys, ledger_key_is_authentic, replace_key};
pub use keys::{KeyError, KeyRing, checkpoint_signer, ledger_key_under, token_key};
pub use master_key::{MasterKey, MasterKeyError};
pub use password::{Passwords, Throttled};
pub use refusal::{HOW_TO_ASK, Refused};
pub use sign_ins::row as sign_in_row;
pub use snapshot::POLL;
pub use usage::{Quotas, Usage};

use crate::domain::access::Snapshot;
use crate::domain::ledger::{ROW_KEY_PURPOSE, RowKey};
use crate::memory::Memory;
use crate::store::{Store, StoreError};
use refusal::Refusals;
use resolve::Resolver;
use sign_ins::SignIns;
use snapshot::SnapshotCache;

/// Everything that checks need.
pub struct Access {
    /// The store.
    pub store: Store,
    /// Hashing, and the memory of verified passwords.
    pub passwords: Passwords,
    master: Arc<MasterKey>,
    keys: RwLock<Arc<KeyRing>>,
    /// The epoch at which the keys were read.
    keys_of: tokio::sync::Mutex<i64>,
    snapshot: SnapshotCache,
    resolver: Resolver,
    refusals: Refusals,
    /// What principals have stored today, and how much they may.
    pub usage: Usage,
    /// The bytes that calls hold.
    pub memory: Memory,
    /// Under which address clients reach this server, without a slash at its end; unset where each request tells.
    pub base_url: OnceLock<String>,
    sign_ins: SignIns,
    used_tokens: moka::sync::Cache<String, i64>,
}

impl Access {
    /// Opens keys and takes the first snapshot. Errors stop the start.
    pub async fn open(store: Store, master: MasterKey) -> Result<Arc<Self>, KeyError> {
        let master = Arc::new(master);
        let keys = KeyRing::open(&store, &master).await?;
        store.authenticate_rows(RowKey::new(&master.derive(ROW_KEY_PURPOSE)));
        Ok(Arc::new(Self {
            snapshot: SnapshotCache::open(store.clone()).await?,
            store,
            passwords: Passwords::default(),
            master,
            keys: RwLock::new(Arc::new(keys)),
            keys_of: tokio::sync::Mutex::new(0),
            resolver: Resolver::new(),
            refusals: Refusals::new(),
            usage: Usage::default(),
            memory: Memory::default(),
            base_url: OnceLock::new(),
            sign_ins: SignIns::new(),
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

    /// Reads the keys again when they are older than an epoch: another replica may have made a new one, and
    /// this one must not go on signing with the old. One at a time; who waits finds the work done.
    pub async fn follow_keys(&self, epoch: i64) -> Result<(), KeyError> {
        let mut read_at = self.keys_of.lock().await;
        if *read_at < epoch {
            let keys = KeyRing::open(&self.store, &self.master).await?;
            *self.keys.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(keys);
            *read_at = epoch;
        }
        Ok(())
    }

    /// Lets caches go that an older epoch filled.
    fn follow(&self, snapshot: &Snapshot) {
        if self.resolver.follow(snapshot.epoch) {
            self.passwords.forget();
        }
    }

    /// Polls the epoch, and once a minute writes when tokens were used and what was refused. Ends with
    /// the runtime.
    pub async fn tend(self: Arc<Self>) {
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut flushed, mut counted) = (Instant::now(), Instant::now());
        loop {
            poll.tick().await;
            match self.refresh().await {
                Ok(snapshot) => {
                    if let Err(error) = self.follow_keys(snapshot.epoch).await {
                        tracing::warn!(%error, "the keys cannot be read again; those known so far are used");
                    }
                }
                Err(error) => tracing::warn!(%error, "the access epoch cannot be polled; checks will fail closed"),
            }
            if counted.elapsed() >= usage::WRITE {
                counted = Instant::now();
                if let Err(error) = self.usage.write(&self.store).await {
                    tracing::warn!(%error, "what principals stored could not be written; it is counted on");
                }
            }
            if flushed.elapsed() >= Duration::from_secs(60) {
                flushed = Instant::now();
                self.flush().await;
            }
        }
    }

    /// Writes what was only counted so far.
    pub async fn flush(&self) {
        let used: Vec<(String, i64)> = self.used_tokens.iter().map(|(token, at)| ((*token).clone(), at)).collect();
        self.used_tokens.invalidate_all();
        let (tokens, refusals) = (self.write_used_tokens(used).await, self.refusals.flush(&self.store).await);
        let (sign_ins, usage) = (self.sign_ins.flush(&self.store).await, self.usage.write(&self.store).await);
        for outcome in [tokens, refusals, sign_ins, usage] {
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
            .write_unrecorded(crate::store::Unrecorded::TokenUse, used, |tx, used| Box::pin(crate::store::access::touch_tokens(tx, used)))
            .await
    }
}
