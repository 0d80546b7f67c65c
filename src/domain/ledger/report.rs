//! What a verification found, in words.

use std::fmt;

use super::replay::StateReport;

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
    /// Checkpoints whose signature and root are good.
    pub checkpoints: u64,
    /// How many rows good checkpoints vouch for: the ledger's own, or one that was kept elsewhere.
    pub checkpointed: u64,
    /// Where the ledger went on under a new origin.
    pub restarts: Vec<Restart>,
    /// The witnesses that were asked for.
    pub witnesses: Vec<Witnessed>,
    /// How many rows say that an entry was refused which the server had not written.
    pub refused: u64,
    /// The first of them.
    pub first_refused: Option<u64>,
    /// The first bad row or checkpoint.
    pub first_bad: Option<Finding>,
    /// The tables compared with what the rows say; none when that was not asked for, or the rows are not sound.
    pub state: Option<StateReport>,
}

/// A row that starts a new origin: the ledger was restored from a backup there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restart {
    /// The row.
    pub position: u64,
    /// The origin from it on.
    pub origin: String,
    /// Why, by the one who did it.
    pub reason: String,
    /// The origin and size of the lost checkpoint that the row names.
    pub lost: Option<(String, u64)>,
}

impl fmt::Display for Restart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "row {} starts the origin {}, because the ledger was restored: {:?}", self.position, self.origin, self.reason)?;
        if let Some((origin, size)) = &self.lost {
            write!(f, " (the lost ledger {origin} had {size} rows or more)")?;
        }
        Ok(())
    }
}

/// How far a witness cosigned the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witnessed {
    /// The witness's name.
    pub name: String,
    /// How many rows the newest checkpoint covers that it cosigned; 0 when it cosigned none.
    pub rows: u64,
}

impl Report {
    /// Something is wrong; of several such findings the first is kept.
    pub fn bad(&mut self, position: Option<u64>, entry_id: &str, what: String) {
        self.first_bad.get_or_insert_with(|| Finding { position, entry_id: entry_id.to_owned(), what });
    }

    /// Whether nothing is wrong.
    pub fn sound(&self) -> bool {
        self.first_bad.is_none() && self.state.as_ref().is_none_or(|state| state.differences == 0)
    }

    /// Whether checkpoints vouch for every row. A ledger without a checkpoint is vouched for by nothing.
    pub fn vouched(&self) -> bool {
        self.checkpointed > 0 && self.checkpointed == self.entries
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let different = self.state.as_ref().and_then(|state| state.first.as_ref());
        match &self.first_bad {
            None if different.is_some() => write!(f, "the ledger is NOT sound: its rows are, but the tables are not what they say; ")?,
            None if self.vouched() => write!(f, "the ledger is sound: ")?,
            None => write!(f, "the ledger is sound as far as it goes, but NOT vouched for to its end: ")?,
            Some(finding) => write!(f, "the ledger is NOT sound: {finding}; ")?,
        }
        write!(f, "{} rows read, {} checkpoints verified, {} rows are vouched for", self.entries, self.checkpoints, self.checkpointed)?;
        if self.sound() && !self.vouched() {
            write!(f, "; no checkpoint vouches for the {} rows from row {} on", self.entries - self.checkpointed, self.checkpointed)?;
        }
        if !self.witnesses.is_empty() {
            let cosigned = self.witnesses.iter().filter(|witness| witness.rows > 0).count();
            write!(f, "; {cosigned} of {} witnesses cosigned:", self.witnesses.len())?;
            self.witnesses.iter().try_for_each(|Witnessed { name, rows }| write!(f, " {name} ({rows} rows)"))?;
        }
        if let Some(first) = self.first_refused {
            let refused = self.refused;
            write!(f, "; {refused} entries that the server had not written were kept out of the log, the first as row {first} tells")?;
        }
        self.restarts.iter().try_for_each(|restart| write!(f, "; {restart}"))?;
        self.state.as_ref().map_or(Ok(()), |state| write!(f, "; {state}"))
    }
}
