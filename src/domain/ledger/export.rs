//! The export: lines of JSON that can be verified without the server.

use std::io::{BufRead, Read};

use serde::{Deserialize, Serialize};

use super::Entry;

/// No line of an export is longer.
const LINE_BYTES: u64 = 16 * 1024 * 1024;

/// A line of an export, in this order: one `Begin`, the entries with their texts and checkpoints, one `End`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum Line {
    /// The first line.
    Begin {
        /// The layout of the export: 1.
        format: u8,
        /// The ledger's name.
        origin: String,
        /// With which its checkpoints are verified.
        verifier_key: String,
    },
    /// A row; rows come in the order of their positions, from 0.
    Entry {
        /// Where it stands in the tree.
        position: u64,
        /// The row.
        entry: Box<Entry>,
    },
    /// A long text; it comes before the first row whose payload refers to it, and only there.
    Text {
        /// By which payloads refer to it.
        sha256: String,
        /// The text.
        text: String,
    },
    /// A signed checkpoint; it comes behind the last row that it covers.
    Checkpoint {
        /// The signed note.
        note: String,
    },
    /// The last line.
    End {
        /// How many rows there are.
        entries: u64,
    },
}

impl Line {
    /// The line with its line feed.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        let mut text = serde_json::to_string(self)?;
        text.push('\n');
        Ok(text)
    }
}

/// What makes a file no export.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The file cannot be read.
    #[error("cannot read the export: {0}")]
    Io(#[from] std::io::Error),
    /// A line is not what it should be.
    #[error("line {line}: {reason}")]
    Line {
        /// Counted from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
}

/// Reads an export line by line and hands each to `each`. Errors at the first malformed line.
pub fn read_export(mut reader: impl BufRead, mut each: impl FnMut(Line)) -> Result<(), ExportError> {
    let mut text = String::new();
    for line in 1.. {
        text.clear();
        let length = (&mut reader).take(LINE_BYTES + 1).read_line(&mut text)? as u64;
        let malformed = |reason: String| ExportError::Line { line, reason };
        if length == 0 {
            break;
        }
        if length > LINE_BYTES {
            return Err(malformed("is longer than 16 MiB".to_owned()));
        }
        each(serde_json::from_str(&text).map_err(|error| malformed(error.to_string()))?);
    }
    Ok(())
}
