//! Verification: rows are fed in the order of their positions, and everything is recomputed.

use std::collections::HashSet;

use tlog_tiles::{EMPTY_HASH, Hash, node_hash};

use super::entry::payload_digest;
use super::replay::StateReport;
use super::texts::{referred_to, text_sha256};
use super::{
    CheckpointError, Cosigner, Entry, LedgerKey, NEW_ORIGIN, NewOrigin, REFUSED_ENTRY, Report, Restart, VerifiedCheckpoint, Witnessed,
};

/// A checkpoint that was kept outside of what is verified.
struct Kept {
    /// As findings call it: `kept` or `sealed`.
    name: &'static str,
    checkpoint: VerifiedCheckpoint,
}

/// Recomputes the tree from rows and compares it with checkpoints.
pub struct Verifier {
    key: LedgerKey,
    /// The origin whose checkpoints are due now.
    origin: String,
    against: Vec<Kept>,
    /// The roots of the full subtrees so far, the largest first.
    frontier: Vec<Hash>,
    last_entry_id: String,
    /// The digests of the texts that were fed.
    texts: HashSet<String>,
    /// Whose cosignatures are counted, in the order of the report's.
    cosigners: Vec<Cosigner>,
    report: Report,
}

impl Verifier {
    /// A verifier for the ledger of a key, in the form of any of its origins. Errors when it is no key.
    pub fn new(verifier_key: &str) -> Result<Self, CheckpointError> {
        let key = LedgerKey::parse(verifier_key)?;
        Ok(Self {
            origin: key.first_origin().to_owned(),
            key,
            against: Vec::new(),
            frontier: Vec::new(),
            last_entry_id: String::new(),
            texts: HashSet::new(),
            cosigners: Vec::new(),
            report: Report {
                entries: 0,
                checkpoints: 0,
                checkpointed: 0,
                restarts: Vec::new(),
                witnesses: Vec::new(),
                refused: 0,
                first_refused: None,
                first_bad: None,
                state: None,
            },
        })
    }

    /// Compares also with a checkpoint that was kept elsewhere; findings call it by `name`. Errors when it is not of this
    /// ledger.
    /// To be called before any row is fed.
    pub fn keep_against(&mut self, name: &'static str, note: &str) -> Result<(), CheckpointError> {
        let checkpoint = self.key.verify(note)?;
        self.against.push(Kept { name, checkpoint });
        Ok(())
    }

    /// Counts how far witnesses cosigned. To be called before any checkpoint is fed.
    pub fn count_cosignatures(&mut self, of: Vec<Cosigner>) {
        self.report.witnesses = of.iter().map(|witness| Witnessed { name: witness.name().to_owned(), rows: 0 }).collect();
        self.cosigners = of;
    }

    /// What came of the comparison of the tables with the rows.
    pub fn compared(&mut self, state: StateReport) {
        self.report.state = Some(state);
    }

    /// How many rows were fed.
    pub fn size(&self) -> u64 {
        self.report.entries
    }

    /// The origin of the rows that were fed last.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// How many rows the largest checkpoint covers that was kept elsewhere.
    pub fn kept_size(&self) -> u64 {
        self.against.iter().map(|kept| kept.checkpoint.size).max().unwrap_or(0)
    }

    /// Whether nothing is wrong so far.
    pub fn sound(&self) -> bool {
        self.report.sound()
    }

    /// Whether a text was fed already.
    pub fn has_text(&self, sha256: &str) -> bool {
        self.texts.contains(sha256)
    }

    /// A text that the next row, or a later one, refers to.
    pub fn text(&mut self, sha256: &str, text: &str) {
        if text_sha256(text) == sha256 {
            self.texts.insert(sha256.to_owned());
        } else {
            self.bad(Some(self.report.entries), "", format!("the text {sha256}, to which rows refer, was changed"));
        }
    }

    /// Every text that a payload refers to must have been fed before the row.
    fn refers(&mut self, position: u64, entry_id: &str, payload: &str) {
        if let Some(missing) = referred_to(payload).into_iter().find(|sha256| !self.texts.contains(sha256)) {
            self.bad(Some(position), entry_id, format!("the text {missing}, to which the payload refers, is missing"));
        }
    }

    /// The next row. `stored` are hashes that the database keeps of it besides; all must agree.
    pub fn row(&mut self, position: u64, entry: &Entry, stored: &[Hash]) {
        let expected = self.report.entries;
        if position != expected {
            let what = if position > expected {
                format!("missing: the next row that is there is {position}")
            } else {
                format!("out of order: position {position} comes here again")
            };
            self.bad(Some(expected), &entry.entry_id, what);
        }
        match &entry.payload {
            // The format has no row that orders an erasure, so nothing excuses a payload that is not there.
            None => self.bad(Some(position), &entry.entry_id, "the payload was removed, and no row of the ledger orders that".to_owned()),
            Some(payload) if payload_digest(&entry.salt, payload) != entry.payload_digest => {
                self.bad(Some(position), &entry.entry_id, "the payload was changed".to_owned());
            }
            Some(payload) => self.refers(position, &entry.entry_id, payload),
        }
        let leaf = entry.leaf_hash();
        if stored.iter().any(|hash| *hash != leaf) {
            self.bad(Some(position), &entry.entry_id, "the row was changed: it does not match its hash".to_owned());
        }
        self.push(leaf);
        entry.entry_id.clone_into(&mut self.last_entry_id);
        match entry.action.as_str() {
            NEW_ORIGIN => self.restart(position, entry),
            REFUSED_ENTRY => {
                self.report.refused += 1;
                self.report.first_refused.get_or_insert(position);
            }
            _ => {}
        }
        let size = self.report.entries;
        let root = self.root();
        let here = self.against.iter().filter(|kept| kept.checkpoint.size == size && self.lost_by(&kept.checkpoint).is_none());
        let here: Vec<_> = here.map(|kept| (kept.name, kept.checkpoint.root == root)).collect();
        for (name, agrees) in here {
            if agrees {
                self.vouch(size);
            } else {
                self.bad_since_vouched(format!("the first {size} rows are not those that the {name} checkpoint covers"));
            }
        }
    }

    /// A good checkpoint covers so many rows.
    fn vouch(&mut self, size: u64) {
        if self.report.first_bad.is_none() {
            self.report.checkpointed = size;
        }
    }

    /// From this row on, another origin signs.
    fn restart(&mut self, position: u64, entry: &Entry) {
        let origin = &entry.object_id;
        let used = self.key.first_origin() == origin || self.report.restarts.iter().any(|earlier| earlier.origin == *origin);
        if used || !self.key.has_origin(origin) {
            let what = format!("the row starts the origin {origin}, which is not a new one of {}", self.key.first_origin());
            self.bad(Some(position), &entry.entry_id, what);
            return;
        }
        let said: NewOrigin = entry.payload.as_ref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let lost = self.key.verify(&said.lost_checkpoint).ok().map(|lost| (lost.origin, lost.size));
        self.report.restarts.push(Restart { position, origin: origin.clone(), reason: said.reason, lost });
        origin.clone_into(&mut self.origin);
    }

    /// The restart in which the rows behind a kept checkpoint were lost; none when they should be there.
    fn lost_by(&self, kept: &VerifiedCheckpoint) -> Option<&Restart> {
        let restarts = &self.report.restarts;
        let begun = restarts.iter().position(|restart| restart.origin == kept.origin);
        let behind = match begun {
            Some(index) => restarts.get(index + 1),
            None if kept.origin == self.key.first_origin() => restarts.first(),
            // An origin of which no row is left; a later restart may admit it.
            None => return restarts.iter().find(|restart| restart.lost.as_ref().is_some_and(|(origin, _)| *origin == kept.origin)),
        };
        behind.filter(|restart| restart.position < kept.size)
    }

    /// What the kept checkpoints show once all rows were read.
    fn compare_kept(&mut self) {
        let size = self.report.entries;
        for Kept { name, checkpoint: kept } in std::mem::take(&mut self.against) {
            if let Some(restart) = self.lost_by(&kept) {
                let begin = restart.position;
                let what = format!(
                    "rows that the {name} checkpoint covers ({} of {}) were lost, and the ledger admits it: {restart}",
                    kept.size, kept.origin
                );
                self.bad(Some(begin), "", what);
            } else if kept.size > size {
                self.bad(Some(size), "", format!("missing: the {name} checkpoint covers {} rows, only {size} are there", kept.size));
            } else if kept.origin != self.key.first_origin() && !self.report.restarts.iter().any(|restart| restart.origin == kept.origin) {
                self.bad(None, "", format!("the {name} checkpoint is of the origin {}, which this ledger never had", kept.origin));
            }
        }
    }

    /// A checkpoint of the ledger, fed behind the last row that it covers.
    pub fn checkpoint(&mut self, note: &str) {
        let size = self.report.entries;
        match self.key.verify(note) {
            Err(error) => self.bad(None, "", format!("a checkpoint near row {size}: {error}")),
            Ok(checkpoint) if checkpoint.size != size => {
                self.bad(None, "", format!("a checkpoint covers {} rows, but only {size} rows are there before it", checkpoint.size))
            }
            Ok(checkpoint) if checkpoint.origin != self.origin => self.bad(
                None,
                "",
                format!("the checkpoint of {size} rows is of the origin {}; here {} signs", checkpoint.origin, self.origin),
            ),
            Ok(checkpoint) if checkpoint.root != self.root() => {
                self.bad_since_vouched(format!("the rows do not add up to the checkpoint of {size} rows"))
            }
            Ok(_) => {
                self.report.checkpoints += 1;
                self.vouch(size);
                self.count(size, note);
            }
        }
    }

    /// Counts the cosignatures on a good checkpoint.
    fn count(&mut self, size: u64, note: &str) {
        let mut wrong = None;
        for (witness, counted) in self.cosigners.iter().zip(&mut self.report.witnesses) {
            match witness.cosigned(note) {
                Ok(Some(_)) => counted.rows = size,
                Ok(None) => {}
                Err(_) => wrong = Some(format!("the cosignature of {} on the checkpoint of {size} rows is wrong", witness.name())),
            }
        }
        if let Some(what) = wrong {
            self.bad(None, "", what);
        }
    }

    /// The result, once all was fed.
    pub fn finish(mut self) -> Report {
        self.compare_kept();
        self.report
    }

    /// Something is wrong that only its finder can say.
    pub fn bad(&mut self, position: Option<u64>, entry_id: &str, what: String) {
        self.report.bad(position, entry_id, what);
    }

    /// Rows and their hashes agree, yet the tree is another: the bad row is behind the last good checkpoint.
    fn bad_since_vouched(&mut self, what: String) {
        let first = self.report.checkpointed;
        let last = self.report.entries.saturating_sub(1);
        let entry_id = self.last_entry_id.clone();
        let (entry_id, range) = if first == last {
            (entry_id, String::new())
        } else {
            (String::new(), format!("; the first changed row lies between {first} and {last}"))
        };
        self.bad(Some(first), &entry_id, format!("{what}{range}"));
    }

    fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        let mut size = self.report.entries;
        while size & 1 == 1 {
            // A set bit of the size is a full subtree on the frontier.
            if let Some(left) = self.frontier.pop() {
                hash = node_hash(left, hash);
            }
            size >>= 1;
        }
        self.frontier.push(hash);
        self.report.entries += 1;
    }

    fn root(&self) -> Hash {
        self.frontier.iter().rev().copied().reduce(|right, left| node_hash(left, right)).unwrap_or(EMPTY_HASH)
    }
}
