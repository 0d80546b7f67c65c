//! Verification of the ledger as it lies in its tables: rows, positions, the tree's hashes and the
//! checkpoints are read page by page and recomputed. What is recomputed only grows, so the pages need no
//! transaction around them: one that lasted as long as a large ledger takes would hold back the database's
//! own upkeep.

use std::collections::HashMap;

use super::ledger::{self as rows, Positioned};
use super::{Store, StoreError, ledger_state, sql};
use crate::bind;
use crate::clock;
use crate::domain::gate;
use crate::domain::ledger::replay::Replay;
use crate::domain::ledger::{self, Hash, Hashes, LedgerKey, Report, Verifier};

type Result<T> = std::result::Result<T, StoreError>;

/// Rows that are read at a time.
const PAGE: u64 = 500;

/// A verification in the making. It ends where the ledger ended when it began, or at the first thing that is wrong.
pub struct Check {
    store: Store,
    verifier: Verifier,
    /// The state that the rows add up to, when it is compared with the tables.
    replay: Option<Replay>,
    /// Read and not fed yet, the largest first.
    checkpoints: Vec<(i64, String)>,
    /// How many rows the largest checkpoint claimed to cover at the beginning; below it the tree's hashes
    /// must be stored.
    tree_size: u64,
    /// The first position that was not given at the beginning.
    end: u64,
    /// Recomputed hashes of the full subtrees that the next rows build on.
    frontier: Hashes,
    sound: bool,
    done: bool,
}

/// Verifies the tables at one go. The verifier knows the key and the checkpoints that were kept elsewhere.
/// Errors when the database cannot be read.
pub async fn verify(store: &Store, verifier: Verifier, state: bool) -> Result<Report> {
    let mut check = Check::begin(store.clone(), verifier, state).await?;
    while check.next().await? {}
    Ok(check.finish())
}

/// What is wrong with the end of the log, as far as a few look-ups show it: rows that its newest checkpoint
/// covers are missing, or the tree is not the signed one. None when nothing is.
pub async fn tail_fault(store: &Store, key: &LedgerKey) -> Result<Option<String>> {
    let Some((size, note)) = rows::newest_checkpoint(store.reader()).await? else { return Ok(None) };
    let given = rows::next_position(store.reader()).await?.cast_unsigned();
    if given < size {
        return Ok(Some(format!("its newest checkpoint covers {size} rows, only {given} are there")));
    }
    let signed = match key.verify(&note) {
        Ok(signed) if signed.size == size => signed,
        Ok(signed) => return Ok(Some(format!("the checkpoint that stands as {size} rows is of {}", signed.size))),
        Err(error) => return Ok(Some(format!("its newest checkpoint, of {size} rows: {error}"))),
    };
    let root = ledger::tree_root(size);
    let leaf = ledger::leaf_index(size.saturating_sub(1));
    let needs: Vec<u64> = root.needs.iter().copied().chain([leaf]).collect();
    let stored = Hashes(rows::stored_hashes(store.reader(), &needs).await?);
    if root.run(&stored).ok() != Some(signed.root) {
        return Ok(Some(format!("its tree of {size} rows is not the one that was signed")));
    }
    let last = rows::at_position(store.reader(), size.saturating_sub(1).cast_signed()).await;
    let is_leaf = matches!(&last, Ok(Some(last)) if stored.0.get(&leaf) == Some(&last.entry.leaf_hash()));
    Ok((!is_leaf).then(|| format!("row {} is not the one that the newest checkpoint covers", size.saturating_sub(1))))
}

/// Tokens that end so soon may end while they are compared.
const TOKENS_LEFT_OUT_MS: i64 = 600_000;

impl Check {
    /// Begins to verify a database; with `state`, also that the tables hold what the rows say.
    pub async fn begin(store: Store, verifier: Verifier, state: bool) -> Result<Self> {
        // In this order: rows and checkpoints that come in between are only more.
        let tree_size = rows::newest_checkpoint(store.reader()).await?.map_or(0, |(size, _)| size);
        let end = rows::settled_end(store.reader()).await?;
        let sound = verifier.sound();
        let mut check = Self {
            store,
            verifier,
            replay: state.then(|| Replay::new(&gate::built_in(), clock::now_ms() + TOKENS_LEFT_OUT_MS)),
            checkpoints: Vec::new(),
            tree_size,
            end,
            frontier: Hashes::default(),
            sound,
            done: false,
        };
        check.read_checkpoints(i64::MIN, 0).await?;
        check.feed_checkpoints();
        Ok(check)
    }

    /// How many rows are verified, and how many there are to be.
    pub fn progress(&self) -> (u64, u64) {
        (self.verifier.size(), self.end)
    }

    /// The result.
    pub fn finish(self) -> Report {
        self.verifier.finish()
    }

    /// Verifies the next page; false when nothing is left to do.
    pub async fn next(&mut self) -> Result<bool> {
        if self.done || !self.sound {
            return Ok(false);
        }
        let from = self.verifier.size();
        if from >= self.end {
            self.done = true;
            self.ends().await?;
            // Rows that are not sound say nothing of the state.
            if let Some(replay) = self.replay.take().filter(|_| self.sound) {
                self.verifier.compared(ledger_state::compare(&self.store, replay, from).await?);
            }
            return Ok(false);
        }
        let page = self.page(from.cast_signed()).await?;
        let Some(last) = page.last() else {
            self.bad(Some(from), "", format!("missing: positions up to {} were given, and the row is not there", self.end - 1));
            return Ok(false);
        };
        // A page without gaps ends here; one with a gap ends the check before it matters.
        let until = from + page.len() as u64;
        self.read_checkpoints(from.cast_signed(), last.position.saturating_add(1)).await?;
        let stored = self.tree_hashes(from, until).await?;
        for row in &page {
            self.texts(row).await?;
            self.row(row, &stored)?;
            if !self.sound {
                break;
            }
        }
        Ok(self.sound)
    }

    /// The next rows. A row that cannot be read as one is named, and ends the check.
    async fn page(&mut self, from: i64) -> Result<Vec<Positioned>> {
        let on = self.store.reader();
        let range = bind![from, self.end.cast_signed()];
        let unreadable = match rows::page(on, "p.position >= $1 AND p.position < $2", range.into(), PAGE).await {
            Err(StoreError::Internal(reason)) => reason,
            other => return other,
        };
        let mut readable = Vec::new();
        for position in (from..self.end.cast_signed()).take(usize::try_from(PAGE).unwrap_or(usize::MAX)) {
            match rows::at_position(on, position).await {
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

    /// Feeds the texts that a row refers to. One that is not there is the verifier's finding.
    async fn texts(&mut self, row: &Positioned) -> Result<()> {
        for sha256 in row.entry.payload.as_deref().map(ledger::referred_to).unwrap_or_default() {
            if !self.verifier.has_text(&sha256)
                && let Some(text) = rows::text(self.store.reader(), &sha256).await?
            {
                self.verifier.text(&sha256, &text);
            }
        }
        Ok(())
    }

    fn row(&mut self, row: &Positioned, stored: &HashMap<u64, Hash>) -> Result<()> {
        let position = self.verifier.size();
        let id = &row.entry.entry_id;
        let in_tree = stored.get(&ledger::leaf_index(position)).copied();
        let hashes: Vec<Hash> = [Some(row.leaf_hash), in_tree].into_iter().flatten().collect();
        self.verifier.row(row.position.cast_unsigned(), &row.entry, &hashes);
        if self.store.row_key().is_some_and(|key| !row.is_authentic(key)) {
            let what = "the server did not write the row as it is: its authentication code is wrong";
            self.bad(Some(position), id, what.to_owned());
        }
        if let Some(replay) = &mut self.replay {
            replay.row(Some(position), &row.entry);
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
        let found = rows::checkpoints_between(self.store.reader(), after, until).await?;
        self.checkpoints.extend(found.into_iter().rev().map(|(size, note)| (size.cast_signed(), note)));
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
        for row in sql::all(self.store.reader(), query, bind![first.cast_signed(), end.cast_signed()]).await? {
            let bytes: Vec<u8> = row.get(1)?;
            // One of another length matches nothing.
            found.insert(row.get::<i64>(0)?.cast_unsigned(), bytes.try_into().map_or(Hash([0; 32]), Hash));
        }
        Ok(found)
    }

    /// What only shows once all rows were read. What is counted is counted in one statement, which sees one state.
    async fn ends(&mut self) -> Result<()> {
        let size = self.verifier.size();
        if self.tree_size > size {
            self.bad(Some(size), "", format!("missing: a checkpoint covers {} rows, only {size} are there", self.tree_size));
        }
        let counts = "SELECT (SELECT COUNT(*) FROM ledger_positions WHERE position < $1), (SELECT COUNT(*) FROM ledger_hashes), \
                      (SELECT COALESCE(MAX(size), 0) FROM ledger_checkpoints), (SELECT COALESCE(MAX(position), -1) + 1 FROM ledger_positions)";
        let counted = sql::one(self.store.reader(), counts, bind![self.end.cast_signed()]).await?;
        let [positions, hashes, tree_size, given] =
            [counted.get::<i64>(0)?, counted.get(1)?, counted.get(2)?, counted.get(3)?].map(i64::cast_unsigned);
        if positions != size {
            self.bad(None, "", format!("{positions} positions are in the table for {size} rows"));
        }
        if (tree_size + 1..=size).contains(&self.verifier.kept_size()) {
            let kept = self.verifier.kept_size();
            self.bad(
                None,
                "",
                format!("checkpoints were removed: the newest that is there covers {tree_size} rows, one that was kept {kept}"),
            );
        }
        if tree_size < self.tree_size || given < self.end {
            self.bad(Some(size), "", "rows or checkpoints were removed while they were verified".to_owned());
        }
        if let Some(key) = self.store.row_key() {
            let forged = match rows::waiting(self.store.reader()).await {
                Ok(waiting) => waiting.into_iter().find(|row| !row.is_authentic(key)).map(|row| row.entry.entry_id),
                Err(StoreError::Internal(_)) => Some("that cannot be read".to_owned()),
                Err(error) => return Err(error),
            };
            if let Some(entry_id) = forged {
                self.bad(None, &entry_id, format!("the entry {entry_id} waits for a position, and the server did not write it"));
            }
        }
        if let Some(entry_id) = rows::without_position(self.store.reader()).await? {
            self.bad(
                None,
                &entry_id,
                format!("the entry {entry_id} has no position: it was inserted past the log, or its position removed"),
            );
        }
        let expected = ledger::stored_count(tree_size);
        if hashes != expected {
            let what = format!(
                "the tree holds {hashes} hashes, the newest checkpoint stands on {expected}: checkpoints or hashes were removed or added"
            );
            self.bad(Some(tree_size), "", what);
        }
        Ok(())
    }

    fn bad(&mut self, position: Option<u64>, entry_id: &str, what: String) {
        self.sound = false;
        self.verifier.bad(position, entry_id, what);
    }
}
