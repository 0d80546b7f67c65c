//! Verification of the ledger as it lies in its tables: rows, positions, the tree's hashes and the
//! checkpoints are read in one consistent view, page by page, and recomputed.

use std::collections::HashMap;

use sea_orm::{AccessMode, DatabaseTransaction, IsolationLevel, TransactionOptions, TransactionTrait};

use super::ledger::{self as rows, Positioned};
use super::{Engine, Store, StoreError, sql};
use crate::bind;
use crate::domain::ledger::{self, Hash, Hashes, Report, Verifier};

type Result<T> = std::result::Result<T, StoreError>;

/// Rows that are read at a time.
const PAGE: u64 = 500;

/// Verifies the tables. The verifier knows the key and the checkpoints that were kept elsewhere. Ends at
/// the first thing that is wrong. Errors when the database cannot be read.
pub async fn verify(store: &Store, verifier: Verifier) -> Result<Report> {
    let view = store.view().await?;
    let mut check = Check { view, verifier, checkpoints: Vec::new(), tree_size: 0, frontier: Hashes::default(), sound: true };
    check.run().await?;
    check.view.rollback().await?;
    Ok(check.verifier.finish())
}

impl Store {
    /// A transaction that reads one state of the database however long it takes, and changes nothing.
    pub async fn view(&self) -> Result<DatabaseTransaction> {
        let options = match self.engine() {
            // A transaction of SQLite reads one state by itself.
            Engine::Sqlite => TransactionOptions::default(),
            Engine::Postgres => TransactionOptions {
                isolation_level: Some(IsolationLevel::RepeatableRead),
                access_mode: Some(AccessMode::ReadOnly),
                ..Default::default()
            },
        };
        Ok(self.reader().begin_with_options(options).await?)
    }
}

struct Check {
    view: DatabaseTransaction,
    verifier: Verifier,
    /// Read and not fed yet, the largest first.
    checkpoints: Vec<(i64, String)>,
    /// How many rows the largest checkpoint claims to cover; below it the tree's hashes must be stored.
    tree_size: u64,
    /// Recomputed hashes of the full subtrees that the next rows build on.
    frontier: Hashes,
    sound: bool,
}

impl Check {
    async fn run(&mut self) -> Result<()> {
        self.tree_size = rows::newest_checkpoint(&self.view).await?.map_or(0, |(size, _)| size);
        self.read_checkpoints(i64::MIN, 0).await?;
        self.feed_checkpoints();
        while self.sound {
            let from = self.verifier.size();
            let page = self.page(from.cast_signed()).await?;
            let Some(last) = page.last() else { break };
            // A page without gaps ends here; one with a gap ends the check before it matters.
            let until = from + page.len() as u64;
            self.read_checkpoints(from.cast_signed(), last.position.saturating_add(1)).await?;
            let stored = self.tree_hashes(from, until).await?;
            for row in &page {
                self.row(row, &stored)?;
                if !self.sound {
                    break;
                }
            }
        }
        if self.sound {
            self.ends().await?;
        }
        Ok(())
    }

    /// The next rows. A row that cannot be read as one is named, and ends the check.
    async fn page(&mut self, from: i64) -> Result<Vec<Positioned>> {
        let unreadable = match rows::page(&self.view, "p.position >= $1", bind![from].into(), PAGE).await {
            Err(StoreError::Internal(reason)) => reason,
            other => return other,
        };
        let mut readable = Vec::new();
        for position in (from..).take(usize::try_from(PAGE).unwrap_or(usize::MAX)) {
            match rows::at_position(&self.view, position).await {
                Ok(row) => readable.extend(row),
                Err(_) if readable.is_empty() => {
                    self.bad(Some(position.cast_unsigned()), "", format!("the row was changed: it cannot be read ({unreadable})"));
                    break;
                }
                // The rows before it come first; the next page begins with it.
                Err(_) => break,
            }
        }
        Ok(readable)
    }

    fn row(&mut self, row: &Positioned, stored: &HashMap<u64, Hash>) -> Result<()> {
        let position = self.verifier.size();
        let id = &row.entry.entry_id;
        let in_tree = stored.get(&ledger::leaf_index(position)).copied();
        let hashes: Vec<Hash> = [Some(row.leaf_hash), in_tree].into_iter().flatten().collect();
        self.verifier.row(row.position.cast_unsigned(), &row.entry, &hashes);
        if row.entry.payload.is_none() {
            self.bad(Some(position), id, "the payload was removed, and no order of the ledger says so".to_owned());
        }
        let leaf = row.entry.leaf_hash();
        let plan = ledger::appended(position, leaf);
        let expected = plan.run(&self.frontier).map_err(|error| StoreError::Internal(error.to_string()))?;
        for index in &plan.needs {
            self.frontier.0.remove(index);
        }
        let first = ledger::stored_count(position);
        for (index, hash) in (first..).zip(&expected) {
            if position < self.tree_size && stored.get(&index) != Some(hash) {
                let width = 1_u64 << (index - first).min(63);
                let begin = (position + 1).saturating_sub(width);
                let what = if stored.contains_key(&index) { "does not match" } else { "is missing" };
                self.bad(Some(begin), if width == 1 { id } else { "" }, format!("the tree's hash over rows {begin} to {position} {what}"));
            }
        }
        if let Some(top) = expected.last() {
            self.frontier.0.insert(first + expected.len() as u64 - 1, *top);
        }
        self.feed_checkpoints();
        Ok(())
    }

    async fn read_checkpoints(&mut self, after: i64, until: i64) -> Result<()> {
        let query = "SELECT size, note FROM ledger_checkpoints WHERE size > $1 AND size <= $2 ORDER BY size DESC";
        for row in sql::all(&self.view, query, bind![after, until]).await? {
            self.checkpoints.push((row.get(0)?, row.get(1)?));
        }
        Ok(())
    }

    fn feed_checkpoints(&mut self) {
        while let Some((_, note)) = self.checkpoints.pop_if(|(size, _)| *size <= self.verifier.size().cast_signed()) {
            self.verifier.checkpoint(&note);
        }
        self.sound = self.sound && self.verifier.sound();
    }

    async fn tree_hashes(&self, from: u64, until: u64) -> Result<HashMap<u64, Hash>> {
        let (first, end) = (ledger::stored_count(from), ledger::stored_count(until));
        let query = "SELECT idx, hash FROM ledger_hashes WHERE idx >= $1 AND idx < $2";
        let mut found = HashMap::new();
        for row in sql::all(&self.view, query, bind![first.cast_signed(), end.cast_signed()]).await? {
            let bytes: Vec<u8> = row.get(1)?;
            // One of another length matches nothing.
            found.insert(row.get::<i64>(0)?.cast_unsigned(), bytes.try_into().map_or(Hash([0; 32]), Hash));
        }
        Ok(found)
    }

    /// What only shows once all rows were read.
    async fn ends(&mut self) -> Result<()> {
        let size = self.verifier.size();
        let given = rows::next_position(&self.view).await?.cast_unsigned();
        if given > size {
            self.bad(Some(size), "", format!("missing: positions up to {} were given, and the row is not there", given - 1));
        }
        if self.tree_size > size {
            self.bad(Some(size), "", format!("missing: a checkpoint covers {} rows, only {size} are there", self.tree_size));
        }
        let positions: i64 = sql::one(&self.view, "SELECT COUNT(*) FROM ledger_positions", []).await?.get(0)?;
        if positions.cast_unsigned() != size {
            self.bad(None, "", format!("{positions} positions are in the table for {size} rows"));
        }
        if let Some(entry_id) = rows::without_position(&self.view).await? {
            self.bad(
                None,
                &entry_id,
                format!("the entry {entry_id} has no position: it was inserted past the log, or its position removed"),
            );
        }
        let hashes: i64 = sql::one(&self.view, "SELECT COUNT(*) FROM ledger_hashes", []).await?.get(0)?;
        let expected = ledger::stored_count(self.tree_size);
        if hashes.cast_unsigned() != expected {
            let what = format!(
                "the tree holds {hashes} hashes, the newest checkpoint stands on {expected}: checkpoints or hashes were removed or added"
            );
            self.bad(Some(self.tree_size), "", what);
        }
        Ok(())
    }

    fn bad(&mut self, position: Option<u64>, entry_id: &str, what: String) {
        self.sound = false;
        self.verifier.bad(position, entry_id, what);
    }
}
