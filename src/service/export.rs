//! `ExportLedger`: the ledger as lines of JSON, for verifiers that have no server.

use std::collections::HashSet;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};

use super::{Error, ResponseStream, Result};
use crate::access::Call;
use crate::bind;
use crate::contract::v1;
use crate::domain::ledger::{Line, referred_to};
use crate::store::Store;
use crate::store::ledger as rows;

/// Rows that are read at a time. Every checkpoint is exported: the more there are, the closer a changed row
/// can be named.
const PAGE: u64 = 500;
/// Bytes in one message.
const CHUNK: usize = 1024 * 1024;

/// See the proto.
pub async fn export_ledger(call: &Call, _: v1::ExportLedgerRequest) -> Result<ResponseStream<v1::ExportLedgerResponse>> {
    let keys = call.access().keys();
    let export = Export::new(call.store().clone(), &keys.ledger_origin, &keys.ledger_verifier).await?;
    let parts = stream::try_unfold((call.clone(), export), async |(call, mut export)| {
        // A long export must not outlive the right to it.
        call.still_admitted().await?;
        let part = export.next().await?;
        Ok::<_, Error>(part.map(|part| (part, (call, export))))
    });
    let chunks = parts.map_ok(|part: String| {
        let part = Bytes::from(part);
        let starts = (0..part.len()).step_by(CHUNK);
        let chunks: Vec<_> = starts.map(|start| part.slice(start..part.len().min(start + CHUNK))).collect();
        stream::iter(chunks).map(|chunk| Ok(v1::ExportLedgerResponse { chunk }))
    });
    Ok(chunks.try_flatten().boxed())
}

/// An export in the making. It ends with the first checkpoint that covers what was there when it began.
pub struct Export {
    store: Store,
    begin: Option<Line>,
    next: i64,
    end: i64,
    done: bool,
    /// The digests of the texts that have their lines.
    told: HashSet<String>,
}

impl Export {
    /// Begins an export of the ledger of that name and key.
    pub async fn new(store: Store, origin: &str, verifier_key: &str) -> Result<Self> {
        let begin = Line::Begin { format: 1, origin: origin.to_owned(), verifier_key: verifier_key.to_owned() };
        let end = rows::settled_end(store.reader()).await?.cast_signed();
        Ok(Self { store, begin: Some(begin), next: 0, end, done: false, told: HashSet::new() })
    }

    /// The next whole lines; none behind the last.
    pub async fn next(&mut self) -> Result<Option<String>> {
        let mut text = String::new();
        if let Some(begin) = self.begin.take() {
            push(&mut text, &begin)?;
        }
        if self.done {
            return Ok(None);
        }
        if self.next < self.end {
            self.page(&mut text).await?;
        }
        if self.next >= self.end {
            push(&mut text, &Line::End { entries: self.end.cast_unsigned() })?;
            self.done = true;
        }
        Ok(Some(text))
    }

    async fn page(&mut self, text: &mut String) -> Result<()> {
        let on = self.store.reader();
        let range = bind![self.next, self.end];
        let page = rows::page(on, "p.position >= $1 AND p.position < $2", range.into(), PAGE).await?;
        let reached = page.last().map_or(self.end, |last| last.position + 1);
        let mut checkpoints = rows::checkpoints_between(on, self.next, reached).await?.into_iter().peekable();
        for row in page {
            for sha256 in row.entry.payload.as_deref().map(referred_to).unwrap_or_default() {
                // A text that is not there makes the export unsound, and the verifier says so.
                if !self.told.contains(&sha256)
                    && let Some(long) = rows::text(on, &sha256).await?
                {
                    push(text, &Line::Text { sha256: sha256.clone(), text: long })?;
                    self.told.insert(sha256);
                }
            }
            let covered = row.position.cast_unsigned() + 1;
            push(text, &Line::Entry { position: row.position.cast_unsigned(), entry: Box::new(row.entry) })?;
            if let Some((_, note)) = checkpoints.next_if(|(size, _)| *size == covered) {
                push(text, &Line::Checkpoint { note })?;
            }
        }
        self.next = reached;
        Ok(())
    }
}

fn push(text: &mut String, line: &Line) -> Result<()> {
    text.push_str(&line.to_json().map_err(|error| Error::Internal(error.to_string()))?);
    Ok(())
}
