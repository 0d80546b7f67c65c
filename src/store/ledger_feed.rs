//! How far the ledger has come, read once for all who follow it in this process.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Store, StoreError, ledger};

/// The end of the log as it was last seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Head {
    /// The first position that is not given yet.
    pub next_position: i64,
    /// The server stops: nothing more will be told.
    pub ended: bool,
}

/// Tells followers of the log that it grew, and all streams that the server stops.
#[derive(Clone)]
pub struct LedgerFeed(Arc<watch::Sender<Head>>, CancellationToken);

impl LedgerFeed {
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Head::default())), CancellationToken::new())
    }

    /// Follows the log. What is seen first may be old.
    pub fn follow(&self) -> watch::Receiver<Head> {
        self.0.subscribe()
    }

    /// Is cancelled when the server stops: for streams that do not follow the log.
    pub fn ended(&self) -> CancellationToken {
        self.1.clone()
    }

    /// Ends all that follow, because the server stops.
    pub fn end(&self) {
        self.1.cancel();
        self.0.send_modify(|head| head.ended = true);
    }

    fn advance(&self, next_position: i64) {
        self.0.send_if_modified(|head| {
            let advanced = next_position > head.next_position;
            head.next_position = head.next_position.max(next_position);
            advanced
        });
    }
}

impl Store {
    /// Looks how far the log has come and tells those who follow. Costs nothing when nobody does.
    pub async fn tell_followers(&self) -> Result<(), StoreError> {
        if self.feed.0.receiver_count() > 0 {
            self.feed.advance(ledger::next_position(self.reader()).await?);
        }
        Ok(())
    }
}
