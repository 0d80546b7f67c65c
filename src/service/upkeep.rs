//! The ledger's upkeep, as long as the server runs: positions, checkpoints, and word to those who follow.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::access::Access;
use crate::store::StoreError;

/// A round that finds nothing to do is followed by the next after this.
const IDLE: Duration = Duration::from_millis(20);
/// A round that failed is followed by the next after this: a database that is away is not asked all the time.
const FAILED: Duration = Duration::from_secs(1);
/// Checkpoints are signed this often while rows come.
const CHECKPOINT: Duration = Duration::from_millis(500);

/// Gives positions, tells followers and signs checkpoints until `stopped` turns true, and once more then.
pub async fn tend_ledger(access: Arc<Access>, mut stopped: watch::Receiver<bool>) {
    let mut checkpointed = Instant::now();
    loop {
        let stop = *stopped.borrow();
        let due = stop || checkpointed.elapsed() >= CHECKPOINT;
        let mut pause = IDLE;
        let worked = match round(&access, due).await {
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

async fn round(access: &Access, checkpoint: bool) -> Result<bool, StoreError> {
    let worked = access.store.tend_ledger(&access.keys().ledger, checkpoint).await?;
    access.store.tell_followers().await?;
    Ok(worked)
}

#[cfg(test)]
#[path = "forgery_tests.rs"]
mod tests;
