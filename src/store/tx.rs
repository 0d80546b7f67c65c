//! A write transaction, and how it may end. It watches its own statements, so that "no row, no change" is no matter of
//! trust: a write that changed what the ledger keeps ends with its row, or it is undone and its caller gets an error.

use std::ops::Deref;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult, Statement};

use super::StoreError;
use super::statements::{Change, Verb, changes};
use crate::domain::ledger::RowKey;

/// A write transaction. It ends with the write that it was handed to.
pub struct Tx {
    watched: Watched,
    now: i64,
    row_key: SharedRowKey,
}

/// With which rows of the ledger are authenticated. It comes once the master key is known, after the database was opened.
pub(super) type SharedRowKey = Arc<OnceLock<RowKey>>;

impl Tx {
    pub(super) fn new(transaction: DatabaseTransaction, now: i64, row_key: SharedRowKey) -> Self {
        Self { watched: Watched { transaction, changed: Mutex::default() }, now, row_key }
    }

    /// Unix milliseconds at the start of the write; every time stamp of one write is this one.
    pub fn now(&self) -> i64 {
        self.now
    }

    /// With which rows of the ledger are authenticated. Errors where the store was opened without the server's keys.
    pub(super) fn row_key(&self) -> Result<&RowKey, StoreError> {
        self.row_key
            .get()
            .ok_or_else(|| StoreError::Internal("rows of the ledger need the server's keys, which were not opened".to_owned()))
    }

    pub(super) fn into_transaction(self) -> DatabaseTransaction {
        self.watched.transaction
    }

    /// The value of a recording write. Errors when it changed what the ledger keeps and wrote no row.
    pub(super) fn recorded<T>(&self, outcome: Recorded<T>) -> Result<T, StoreError> {
        if !self.watched.any(is_row) {
            self.only(Unrecorded::allows_without_row)?;
        }
        Ok(outcome.0)
    }

    /// Errors when a write of a kind that never is a row changed something else.
    pub(super) fn unrecorded(&self, kind: Unrecorded) -> Result<(), StoreError> {
        self.only(|change| kind.allows(change))
    }

    fn only(&self, allowed: impl Fn(&Change) -> bool) -> Result<(), StoreError> {
        let changed = self.watched.changed.lock().unwrap_or_else(PoisonError::into_inner);
        match changed.iter().find(|change| !allowed(change)) {
            None => Ok(()),
            Some(change) => Err(StoreError::Internal(format!("a change ({change}) has no row in the ledger, and was undone"))),
        }
    }
}

impl Deref for Tx {
    type Target = Watched;

    fn deref(&self) -> &Watched {
        &self.watched
    }
}

fn is_row(change: &Change) -> bool {
    change.verb == Verb::Insert && change.table == "ledger_entries"
}

/// A transaction that remembers which tables its statements changed.
pub struct Watched {
    transaction: DatabaseTransaction,
    changed: Mutex<Vec<Change>>,
}

impl Watched {
    fn note(&self, found: Vec<Change>) {
        if found.is_empty() {
            return;
        }
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        for change in found {
            if !changed.contains(&change) {
                changed.push(change);
            }
        }
    }

    fn any(&self, wanted: impl Fn(&Change) -> bool) -> bool {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner).iter().any(wanted)
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for Watched {
    fn get_database_backend(&self) -> DbBackend {
        self.transaction.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let found = changes(&statement.sql);
        let done = self.transaction.execute_raw(statement).await?;
        if done.rows_affected() > 0 {
            self.note(found);
        }
        Ok(done)
    }

    async fn execute_unprepared(&self, text: &str) -> Result<ExecResult, DbErr> {
        // There may be several statements in it; whether one had an effect is not told.
        self.note(text.split(';').flat_map(changes).collect());
        self.transaction.execute_unprepared(text).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let found = changes(&statement.sql);
        let row = self.transaction.query_one_raw(statement).await?;
        if row.is_some() {
            self.note(found);
        }
        Ok(row)
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let found = changes(&statement.sql);
        let rows = self.transaction.query_all_raw(statement).await?;
        if !rows.is_empty() {
            self.note(found);
        }
        Ok(rows)
    }
}

/// What the body of a recording write returns. [`Tx::record`] makes it with the row that it writes; the other way
/// says that there was nothing to record, which the transaction checks before it ends.
#[must_use]
#[derive(Debug)]
pub struct Recorded<T>(T);

impl<T> Recorded<T> {
    /// Nothing changed that the ledger keeps: a retry of an earlier call, or a change without effect.
    pub fn nothing(value: T) -> Self {
        Self(value)
    }

    pub(super) fn in_ledger(value: T) -> Self {
        Self(value)
    }

    /// The same for another value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Recorded<U> {
        Recorded(change(self.0))
    }

    /// The value.
    pub fn value(&self) -> &T {
        &self.0
    }
}

/// The outcome of a recording write that was committed: its row is in the ledger, or it changed nothing that the
/// ledger keeps. Only [`super::Store::write`] makes one, and an operation whose rule says that it records must return one.
#[derive(Debug)]
pub struct Kept<T>(T);

impl<T> Kept<T> {
    pub(super) fn new(value: T) -> Self {
        Self(value)
    }

    /// The same for what is made of the value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Kept<U> {
        Kept(change(self.0))
    }

    /// The same without the value, and the value.
    pub fn split(self) -> (Kept<()>, T) {
        (Kept(()), self.0)
    }

    /// The value, where nobody asks any more how it came about.
    pub fn into_value(self) -> T {
        self.0
    }
}

impl<T> Deref for Kept<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// What never is a row of the ledger. Each kind may change its own tables and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unrecorded {
    /// The bulk of tracking: params, tags and inputs of runs, params and tags of logged models, links between them.
    Tracking,
    /// Bytes on their way up that are no artifact yet.
    Uploads,
    /// When tokens were last used.
    TokenUse,
    /// Metric points of runs that were removed for good.
    Sweep,
    /// How much principals stored, for quotas.
    Usage,
    /// What the first start makes: keys, and the experiment `Default`.
    FirstStart,
    /// A write that is tried to see whether the database takes writes.
    Trial,
    /// The ledger's own upkeep: positions, tree, checkpoints, cosignatures, and its rows about entries that it refused.
    Ledger,
    /// What tests put in place.
    #[cfg(test)]
    Anything,
}

impl Unrecorded {
    /// Whether a write of this kind may make the change.
    fn allows(self, change: &Change) -> bool {
        let (verb, table) = (change.verb, change.table.as_str());
        match self {
            // The tag `mlflow.runName` is the name of its run.
            Self::Tracking if verb == Verb::Update && table == "runs" => change.columns == ["name"],
            Self::Tracking => matches!(
                table,
                "params"
                    | "run_tags"
                    | "datasets"
                    | "run_inputs"
                    | "run_input_tags"
                    | "run_model_inputs"
                    | "run_model_outputs"
                    | "logged_model_params"
                    | "logged_model_tags"
                    | "logged_model_metrics"
                    | "metric_keys"
                    | "metrics"
                    | "latest_metrics"
            ),
            Self::Uploads => matches!(table, "uploads" | "upload_parts" | "blobs"),
            Self::TokenUse => verb == Verb::Update && table == "tokens",
            Self::Sweep => verb == Verb::Delete && matches!(table, "metrics" | "purged_runs"),
            Self::Usage => table == "usage_by_day",
            Self::Trial => table == "settings",
            Self::FirstStart => verb == Verb::Insert && matches!(table, "settings" | "secret_keys" | "experiments"),
            #[cfg(test)]
            Self::Anything => true,
            Self::Ledger => {
                is_row(change)
                    || matches!(
                        table,
                        "ledger_positions" | "ledger_pending" | "ledger_hashes" | "ledger_checkpoints" | "ledger_cosignatures"
                    )
            }
        }
    }

    /// What a recording write may change when it has nothing to record: the bulk, the answers kept for retries,
    /// what an import remembers of its source, and the counter that has snapshots of access read anew.
    fn allows_without_row(change: &Change) -> bool {
        matches!(change.table.as_str(), "idempotent_answers" | "import_objects" | "access_epoch")
            || change.table != "runs" && Self::Tracking.allows(change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracking_sets_the_name_of_a_run_and_nothing_else_of_it() {
        for (statement, allowed) in [
            ("UPDATE runs SET name = $2 WHERE id = $1", true),
            ("UPDATE runs SET name = $2, status = $3, end_time = $4 WHERE id = $1", false),
            ("UPDATE runs SET active = $2 WHERE id = $1", false),
            ("UPDATE runs SET created_by = $2", false),
            ("WITH a AS (SELECT 1) UPDATE runs SET name = $1", false),
            ("INSERT INTO runs (name) VALUES ($1)", false),
            ("DELETE FROM runs", false),
            ("UPDATE run_tags SET value = $1", true),
        ] {
            assert!(changes(statement).iter().all(|change| Unrecorded::Tracking.allows(change) == allowed), "{statement}");
        }
    }
}
