//! `WatchLedger`: rows in the order of their positions, as they come, to those who may see them.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use futures::{StreamExt, stream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};
use tokio_stream::wrappers::ReceiverStream;

use super::ledger::{filter, fitting, range, shown};
use super::{Error, ResponseStream, Result};
use crate::access::Call;
use crate::contract::{Permission, v1};
use crate::domain::access::{Object, ObjectClass, Snapshot, Visibility};
use crate::domain::ledger::{Entry, Outcome};
use crate::store::ledger::Positioned;
use crate::store::ledger_feed::Head;
use crate::store::ledger_filter::{self, Filter};

/// Rows in one message.
const BATCH: u64 = 500;
/// Positions that one query looks at, so that a filter that few rows pass does not make it long.
const WINDOW: i64 = 5_000;
/// A message comes at least this often.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// The caller's rights are looked at at least this often.
const RECHECK: Duration = Duration::from_millis(500);
/// A client that takes no message for this long is sent away.
const PATIENCE: Duration = Duration::from_secs(60);
/// Messages that wait for the client.
const BUFFER: usize = 2;
/// Operations whose rows are about users, grants and tokens, whatever scope they name.
const ACCESS_OPERATIONS: &str = "stagegate.v1.AccessService/";

/// See the proto.
pub async fn watch_ledger(call: &Call, request: v1::WatchLedgerRequest) -> Result<ResponseStream<v1::WatchLedgerResponse>> {
    let filter = filter(call.store(), request.filter.as_ref()).await?;
    if let Err(error) = admitted(call).await {
        if let Error::Denied { message, .. } = &error {
            call.access().keep_denial(call, call.subject(), message).await?;
        }
        return Err(error);
    }
    let feed = call.store().ledger_feed().follow();
    let head = call.store().authentic_end().await?;
    let next = request.from_position.unwrap_or(head);
    if !(0..=head).contains(&next) {
        return Err(Error::invalid("from_position", format!("is {next}; must be between 0 and {head}, the end of the ledger")));
    }
    let (sender, receiver) = mpsc::channel(BUFFER);
    let (end, ended) = oneshot::channel();
    let mut watcher = Watcher { call: call.clone(), filter, feed, next, head, sender, sent: None };
    tokio::spawn(async move {
        // Nobody hears the end when the client has gone.
        if let Err(error) = watcher.run().await {
            let _ = end.send(error);
        }
    });
    let last = stream::once(ended).filter_map(async |end| end.ok().map(Err));
    Ok(ReceiverStream::new(receiver).map(Ok).chain(last).boxed())
}

struct Watcher {
    call: Call,
    filter: Filter,
    feed: watch::Receiver<Head>,
    /// The next position to look at.
    next: i64,
    /// The end of the log as far as known.
    head: i64,
    sender: mpsc::Sender<v1::WatchLedgerResponse>,
    /// When the last message was sent; none before the first.
    sent: Option<Instant>,
}

impl Watcher {
    /// Streams until something ends it; without an error when the client has gone.
    async fn run(&mut self) -> Result<()> {
        loop {
            let snapshot = admitted(&self.call).await?;
            while self.next < self.head {
                if !self.window(&snapshot).await? {
                    return Ok(());
                }
                if self.snapshot_is_old(&snapshot).await? {
                    break;
                }
            }
            if self.sent.is_none_or(|sent| sent.elapsed() >= HEARTBEAT) && !self.send(Vec::new(), self.next).await? {
                return Ok(());
            }
            if self.next >= self.head && !self.grown().await? {
                return Ok(());
            }
        }
    }

    async fn snapshot_is_old(&self, snapshot: &Snapshot) -> Result<bool> {
        Ok(self.call.access().snapshot().await?.epoch != snapshot.epoch || self.feed.borrow().ended)
    }

    /// Waits until the log has grown, or it is time to look at the caller's rights. False when the client has gone.
    async fn grown(&mut self) -> Result<bool> {
        let changed = tokio::select! {
            () = self.sender.closed() => return Ok(false),
            changed = timeout(RECHECK, self.feed.changed()) => changed.is_ok(),
        };
        let seen = *self.feed.borrow_and_update();
        if seen.ended {
            return Err(self.stopping());
        }
        self.head = self.head.max(seen.next_position);
        if !changed && self.sent.is_none_or(|sent| sent.elapsed() >= HEARTBEAT) {
            // Should nobody tell us, we still come on.
            self.head = self.head.max(self.call.store().authentic_end().await?);
        }
        Ok(true)
    }

    /// Streams the next window of positions. False when the client has gone.
    async fn window(&mut self, snapshot: &Snapshot) -> Result<bool> {
        if self.feed.borrow().ended {
            return Err(self.stopping());
        }
        let until = self.head.min(self.next.saturating_add(WINDOW));
        let found = range(self.call.store(), &self.filter, self.next, until, BATCH).await?;
        let full = found.len() as u64 == BATCH;
        let until = found.last().filter(|_| full).map_or(until, |last| last.position + 1);
        let mut rest = self.visible(snapshot, found).await?;
        while !rest.is_empty() {
            let behind = rest.split_off(fitting(&rest, BATCH));
            let reached = behind.first().map_or(until, |first| first.position);
            if !self.send(rest, reached).await? {
                return Ok(false);
            }
            rest = behind;
        }
        self.next = until;
        if self.sent.is_some_and(|sent| sent.elapsed() >= HEARTBEAT) {
            return self.send(Vec::new(), until).await;
        }
        Ok(true)
    }

    /// Sends a message once the client has room for it. False when the client has gone.
    async fn send(&mut self, entries: Vec<Positioned>, next_position: i64) -> Result<bool> {
        let begun = Instant::now();
        let permit = loop {
            match timeout(RECHECK, self.sender.reserve()).await {
                Ok(Ok(permit)) => break permit,
                Ok(Err(_)) => return Ok(false),
                Err(_) => {
                    // What waits must not outlive the right to it.
                    admitted(&self.call).await?;
                    if self.feed.borrow().ended {
                        return Err(self.stopping());
                    }
                    if begun.elapsed() >= PATIENCE {
                        return Err(Error::Exhausted(format!("messages were not taken for a minute; resume from position {}", self.next)));
                    }
                }
            }
        };
        permit.send(v1::WatchLedgerResponse { entries: entries.into_iter().map(shown).collect(), next_position });
        self.next = next_position;
        self.sent = Some(Instant::now());
        Ok(true)
    }

    fn stopping(&self) -> Error {
        Error::Unavailable(format!("the server stops; resume from position {}", self.next))
    }

    /// Leaves the rows that the caller may see.
    async fn visible(&self, snapshot: &Snapshot, found: Vec<Positioned>) -> Result<Vec<Positioned>> {
        let sight = Sight::new(&self.call, snapshot, &found).await?;
        Ok(found.into_iter().filter(|row| sight.shows(&row.entry)).collect())
    }
}

/// What a caller may see of some rows.
struct Sight {
    /// Refusals, and what belongs to no model or experiment.
    server: bool,
    /// Whether the rows of a scope may be seen.
    scopes: HashMap<String, bool>,
}

impl Sight {
    async fn new(call: &Call, snapshot: &Snapshot, found: &[Positioned]) -> Result<Self> {
        let store = call.store().reader();
        let scopes: BTreeSet<&str> = found.iter().map(|row| row.entry.scope_id.as_str()).filter(|scope| !scope.is_empty()).collect();
        // Ids of experiments are numbers, those of models have 32 characters.
        let (experiments, models): (Vec<&str>, Vec<&str>) =
            scopes.iter().partition(|scope| scope.len() < 20 && scope.parse::<i64>().is_ok());
        let ids: Vec<i64> = experiments.iter().filter_map(|scope| scope.parse().ok()).collect();
        let mut names = HashMap::new();
        if !ids.is_empty() {
            names.extend(ledger_filter::names_of_experiments(store, &ids).await?);
        }
        if !models.is_empty() {
            names.extend(ledger_filter::names_of_models(store, &models).await?);
        }
        let kinds =
            [(experiments, ObjectClass::Experiment, Permission::ExperimentsRead), (models, ObjectClass::Model, Permission::ModelsRead)];
        let mut seen = HashMap::new();
        for (scopes, class, read) in kinds {
            for scope in scopes {
                let object = Object { class, uid: Some(scope.to_owned()), name: names.get(scope).cloned(), ..Object::SERVER };
                let may = [Permission::LedgerWatch, read].iter().all(|permission| call.decide(snapshot, *permission, &object).allowed);
                seen.insert(scope.to_owned(), may);
            }
        }
        let server = [Permission::LedgerWatch, Permission::LedgerRead]
            .iter()
            .all(|permission| call.decide(snapshot, *permission, &Object::SERVER).allowed);
        Ok(Self { server, scopes: seen })
    }

    fn shows(&self, entry: &Entry) -> bool {
        if entry.outcome == Outcome::Denied || entry.action.starts_with(ACCESS_OPERATIONS) {
            return self.server;
        }
        self.scopes.get(&entry.scope_id).copied().unwrap_or(self.server)
    }
}

/// The snapshot that says that the caller may still watch something. Errors when the caller is no longer
/// who they were, or holds `ledger.watch` nowhere.
async fn admitted(call: &Call) -> Result<std::sync::Arc<Snapshot>> {
    let snapshot = call.still_known().await?;
    let sees = |class| something(&call.visibility(&snapshot, Permission::LedgerWatch, class));
    if !sees(ObjectClass::Model) && !sees(ObjectClass::Experiment) {
        return Err(Error::denied(Permission::LedgerWatch, call.subject(), ""));
    }
    Ok(snapshot)
}

fn something(visible: &Visibility) -> bool {
    !visible.none && (visible.all || visible.own || !visible.uids.is_empty() || !visible.patterns.is_empty())
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
