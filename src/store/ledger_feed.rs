//! How far the ledger has come, read once for all who follow it in this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Store, StoreError, ledger, ledger_sequence};

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
pub struct LedgerFeed {
    head: Arc<watch::Sender<Head>>,
    stop: CancellationToken,
    /// Before this position all rows are known to be the server's own.
    authentic: Arc<AtomicI64>,
    signed: Arc<watch::Sender<Option<Arc<Signed>>>>,
}

/// The newest checkpoint, as this process last saw it.
#[derive(Debug, PartialEq, Eq)]
pub struct Signed {
    /// The signed note.
    pub note: String,
    /// How many rows it covers.
    pub size: u64,
}

impl LedgerFeed {
    pub(super) fn new() -> Self {
        Self {
            head: Arc::new(watch::Sender::new(Head::default())),
            stop: CancellationToken::new(),
            authentic: Arc::default(),
            signed: Arc::new(watch::Sender::new(None)),
        }
    }

    /// Follows the log. What is seen first may be old.
    pub fn follow(&self) -> watch::Receiver<Head> {
        self.head.subscribe()
    }

    /// The newest checkpoint, and word when there is a newer one. None before the first was seen.
    pub fn signed(&self) -> watch::Receiver<Option<Arc<Signed>>> {
        self.signed.subscribe()
    }

    /// Tells of a checkpoint.
    pub fn tell_signed(&self, note: String, size: u64) {
        self.signed.send_replace(Some(Arc::new(Signed { note, size })));
    }

    /// Is cancelled when the server stops: for streams that do not follow the log.
    pub fn ended(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Ends all that follow, because the server stops.
    pub fn end(&self) {
        self.stop.cancel();
        self.head.send_modify(|head| head.ended = true);
    }

    fn advance(&self, next_position: i64) {
        self.head.send_if_modified(|head| {
            let advanced = next_position > head.next_position;
            head.next_position = head.next_position.max(next_position);
            advanced
        });
    }
}

impl Store {
    /// Looks how far the log has come and tells those who follow. Costs nothing when nobody does.
    pub async fn tell_followers(&self) -> Result<(), StoreError> {
        if self.feed.head.receiver_count() > 0 {
            self.feed.advance(self.authentic_end().await?);
        }
        Ok(())
    }

    /// How far the log may be shown before it is signed: up to the first position that is not given yet, or whose row
    /// the server did not write. That one is refused within a second, and the row that says so takes its place.
    pub async fn authentic_end(&self) -> Result<i64, StoreError> {
        let given = ledger::next_position(self.reader()).await?;
        let known = self.feed.authentic.load(Ordering::Acquire);
        let Some(key) = self.row_key().filter(|_| known < given) else { return Ok(given) };
        // What is signed was looked at before.
        let signed = ledger::newest_checkpoint(self.reader()).await?.map_or(0, |(size, _)| size.cast_signed());
        let end = ledger_sequence::first_unauthentic(self.reader(), key, known.max(signed).min(given), given).await?;
        self.feed.authentic.fetch_max(end, Ordering::AcqRel);
        Ok(end)
    }
}
