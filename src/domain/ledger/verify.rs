//! Verification: rows are fed in the order of their positions, and everything is recomputed.

use std::fmt;

use tlog_tiles::{EMPTY_HASH, Hash, node_hash};

use super::{CheckpointError, Entry, VerifiedCheckpoint, verify_note};

/// The first thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The row, when one can be named.
    pub position: Option<u64>,
    /// The row's id, when one can be named.
    pub entry_id: String,
    /// What is wrong, in words.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(position) = self.position {
            write!(f, "row {position}")?;
            if !self.entry_id.is_empty() {
                write!(f, " (entry {})", self.entry_id)?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.what)
    }
}

/// The result of a verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Rows read.
    pub entries: u64,
    /// Rows whose payload was erased; their headers were checked all the same.
    pub erased: u64,
    /// Checkpoints whose signature and root are good.
    pub checkpoints: u64,
    /// How many rows the newest good checkpoint covers.
    pub checkpointed: u64,
    /// The first bad row or checkpoint.
    pub first_bad: Option<Finding>,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn sound(&self) -> bool {
        self.first_bad.is_none()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.first_bad {
            None => write!(f, "the ledger is sound: ")?,
            Some(finding) => write!(f, "the ledger is NOT sound: {finding}; ")?,
        }
        write!(
            f,
            "{} rows read ({} with erased payload), {} checkpoints verified, the newest covers {} rows",
            self.entries, self.erased, self.checkpoints, self.checkpointed
        )
    }
}

/// Recomputes the tree from rows and compares it with checkpoints.
pub struct Verifier {
    verifier_key: String,
    against: Vec<VerifiedCheckpoint>,
    /// The roots of the full subtrees so far, the largest first.
    frontier: Vec<Hash>,
    /// The size up to which the last good checkpoint vouches.
    vouched: u64,
    last_entry_id: String,
    report: Report,
}

impl Verifier {
    /// A verifier for the ledger of a key.
    pub fn new(verifier_key: &str) -> Self {
        Self {
            verifier_key: verifier_key.to_owned(),
            against: Vec::new(),
            frontier: Vec::new(),
            vouched: 0,
            last_entry_id: String::new(),
            report: Report { entries: 0, erased: 0, checkpoints: 0, checkpointed: 0, first_bad: None },
        }
    }

    /// Compares also with a checkpoint that was kept elsewhere. Errors when it is not of this ledger.
    /// To be called before any row is fed.
    pub fn keep_against(&mut self, note: &str) -> Result<(), CheckpointError> {
        self.against.push(verify_note(note, &self.verifier_key)?);
        Ok(())
    }

    /// How many rows were fed.
    pub fn size(&self) -> u64 {
        self.report.entries
    }

    /// Whether nothing is wrong so far.
    pub fn sound(&self) -> bool {
        self.report.sound()
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
        if !entry.payload_matches() {
            self.bad(Some(position), &entry.entry_id, "the payload was changed".to_owned());
        }
        let leaf = entry.leaf_hash();
        if stored.iter().any(|hash| *hash != leaf) {
            self.bad(Some(position), &entry.entry_id, "the row was changed: it does not match its hash".to_owned());
        }
        self.report.erased += u64::from(entry.payload.is_none());
        self.push(leaf);
        entry.entry_id.clone_into(&mut self.last_entry_id);
        let size = self.report.entries;
        let root = self.root();
        let contradicted = self.against.iter().any(|kept| kept.size == size && kept.root != root);
        if contradicted {
            let what = format!("the first {size} rows are not those that the kept checkpoint covers");
            self.bad_since_vouched(what);
        }
    }

    /// A checkpoint of the ledger, fed behind the last row that it covers.
    pub fn checkpoint(&mut self, note: &str) {
        let size = self.report.entries;
        match verify_note(note, &self.verifier_key) {
            Err(error) => self.bad(None, "", format!("a checkpoint near row {size}: {error}")),
            Ok(checkpoint) if checkpoint.size != size => {
                self.bad(None, "", format!("a checkpoint covers {} rows, but only {size} rows are there before it", checkpoint.size))
            }
            Ok(checkpoint) if checkpoint.root != self.root() => {
                self.bad_since_vouched(format!("the rows do not add up to the checkpoint of {size} rows"))
            }
            Ok(_) => {
                self.report.checkpoints += 1;
                if self.report.first_bad.is_none() {
                    self.vouched = size;
                    self.report.checkpointed = size;
                }
            }
        }
    }

    /// The result, once all was fed.
    pub fn finish(mut self) -> Report {
        let size = self.report.entries;
        if let Some(kept) = self.against.iter().map(|kept| kept.size).filter(|kept| *kept > size).max() {
            self.bad(Some(size), "", format!("missing: the kept checkpoint covers {kept} rows, only {size} are there"));
        }
        self.report
    }

    /// Something is wrong that only its finder can say.
    pub fn bad(&mut self, position: Option<u64>, entry_id: &str, what: String) {
        self.report.first_bad.get_or_insert_with(|| Finding { position, entry_id: entry_id.to_owned(), what });
    }

    /// Rows and their hashes agree, yet the tree is another: the bad row is behind the last good checkpoint.
    fn bad_since_vouched(&mut self, what: String) {
        let first = self.vouched;
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
