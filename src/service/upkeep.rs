//! The ledger's upkeep, as long as the server runs: positions, checkpoints, and word to those who follow.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::access::Access;
use crate::domain::ledger::LedgerKey;
use crate::store::{Store, StoreError, ledger as rows, ledger_seal};

/// A round that finds nothing to do is followed by the next after this.
const IDLE: Duration = Duration::from_millis(20);
/// A round that failed is followed by the next after this: a database that is away is not asked all the time.
const FAILED: Duration = Duration::from_secs(1);
/// An alarm that stays is repeated this often.
const ALARM: Duration = Duration::from_secs(60);
/// Checkpoints are signed this often while rows come.
const CHECKPOINT: Duration = Duration::from_millis(500);

/// Gives positions, tells followers and signs checkpoints until `stopped` turns true, and once more then.
pub async fn tend_ledger(access: Arc<Access>, mut stopped: watch::Receiver<bool>) {
    let mut checkpointed = Instant::now();
    let mut signing = Signing::default();
    loop {
        let stop = *stopped.borrow();
        let due = stop || checkpointed.elapsed() >= CHECKPOINT;
        let mut pause = IDLE;
        let worked = match round(&access, &mut signing, due).await {
            Ok(worked) => worked,
            Err(error) => {
                tracing::warn!(%error, "the ledger could not be tended");
                if stop {
                    return;
                }
                pause = FAILED;
                false
            }
        };
        if due {
            checkpointed = Instant::now();
        }
        if stop && !worked {
            return;
        }
        if !worked {
            // Either way the loop goes on; which of the two it was does not matter.
            let _ = tokio::time::timeout(pause, stopped.changed()).await;
        }
    }
}

async fn round(access: &Access, signing: &mut Signing, due: bool) -> Result<bool, StoreError> {
    let key = LedgerKey::parse(&access.keys().ledger_verifier).map_err(|error| StoreError::Internal(error.to_string()))?;
    let sign = due && signing.may_go_on(&access.store, &key).await?;
    let worked = access.store.tend_ledger(&access.keys().ledger, sign).await?;
    if due {
        signing.keep_newest(&access.store, key).await?;
    }
    access.store.tell_followers().await?;
    Ok(worked)
}

/// The newest checkpoint as this process knows it. Nothing is signed on a log that has become another one: that would
/// be the second of one origin.
#[derive(Default)]
struct Signing {
    newest: Option<String>,
    is_sealed: bool,
    alarmed: Option<Instant>,
}

impl Signing {
    /// Whether the log still is the one that was signed. Raises the alarm when it is not.
    async fn may_go_on(&mut self, store: &Store, key: &LedgerKey) -> Result<bool, StoreError> {
        let Some(newest) = &self.newest else { return Ok(true) };
        let Some(fault) = ledger_seal::contradiction(store, key, newest).await? else { return Ok(true) };
        if self.alarmed.is_none_or(|alarmed| alarmed.elapsed() >= ALARM) {
            self.alarmed = Some(Instant::now());
            tracing::error!(
                fault,
                "ALARM: the ledger is not the one that this server signed last. Nothing more is signed; see `stagegate ledger verify`"
            );
        }
        Ok(false)
    }

    /// Takes up a checkpoint that is new, whoever signed it, seals it and tells those who pass it on.
    async fn keep_newest(&mut self, store: &Store, key: LedgerKey) -> Result<(), StoreError> {
        let Some((size, note)) = rows::newest_checkpoint(store.reader()).await? else { return Ok(()) };
        let is_new = self.newest.as_ref() != Some(&note);
        if !is_new && self.is_sealed {
            return Ok(());
        }
        // One that is forged or cut is no reason to forget the last good one.
        if !key.verify(&note).is_ok_and(|checkpoint| checkpoint.size == size) || (is_new && !self.may_go_on(store, &key).await?) {
            return Ok(());
        }
        if is_new {
            store.ledger_feed().tell_signed(note.clone(), size);
        }
        let (seals, sealed) = (store.seals().clone(), note.clone());
        let written = tokio::task::spawn_blocking(move || seals.renew(&key, &sealed)).await;
        self.newest = Some(note);
        self.is_sealed = match written.map_err(std::io::Error::other).flatten() {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%error, "the newest checkpoint of the ledger could not be sealed; trying again");
                false
            }
        };
        Ok(())
    }
}

#[cfg(test)]
#[path = "forgery_tests.rs"]
mod tests;
