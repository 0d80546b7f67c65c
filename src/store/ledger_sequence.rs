//! Order and proof: rows get positions, are hashed into the tree and covered by signed checkpoints. A row that the
//! server did not write gets none of these: in its place comes a row that says so.

use std::sync::Arc;

use sea_orm::ConnectionTrait;
use serde_json::json;

use super::ledger::{self as rows, COLUMN_COUNT, COLUMNS, SEQUENCER_LOCK};
use super::{Store, StoreError, Tx, Unrecorded, WORKSPACE, is_sqlite, sql};
use crate::bind;
use crate::clock;
use crate::domain::ledger::{self, CheckpointSigner, Entry, Hash, Hashes, Outcome, REFUSED_ENTRY, RowKey, payload_digest};

type Result<T> = std::result::Result<T, StoreError>;

/// Rows that one step of the sequencer takes.
const STEP: i64 = 2_000;
/// Rows that one checkpoint covers more than the one before it.
pub const TREE_STEP: u64 = 5_000;
/// Rows in one INSERT.
const CHUNK: usize = 400;
/// Characters that are kept of what a refused row claims.
const CLAIM: usize = 200;

/// A row that was refused.
#[derive(Debug, Clone)]
pub struct Refused {
    /// Its internal id.
    id: i64,
    /// What it claims to be, as far as it can be read.
    claim: serde_json::Value,
}

/// What a step did.
#[derive(Debug, Default)]
pub struct Step {
    /// Whether there was work.
    pub worked: bool,
    /// Rows that were refused.
    pub refused: Vec<Refused>,
}

/// The columns of a header, for those who need no payload.
fn headers() -> String {
    COLUMNS.replace("e.payload,", "NULL,")
}

/// The leaf of a row that the server wrote; of another one, what it claims to be. The columns are the headers, the
/// position, the hash, the code.
fn authentic_leaf(row: &sql::Row, key: &RowKey) -> std::result::Result<Hash, serde_json::Value> {
    let read = rows::positioned(row).map_err(|_| json!({}))?;
    let leaf_bytes = read.entry.leaf_bytes();
    let leaf = ledger::leaf_hash(&leaf_bytes);
    if key.wrote(&leaf_bytes, &read.code) && leaf == read.leaf_hash {
        return Ok(leaf);
    }
    let short = |text: &str| text.chars().take(CLAIM).collect::<String>();
    let entry = &read.entry;
    Err(json!({
        "entry_id": short(&entry.entry_id), "action": short(&entry.action), "actor_name": short(&entry.actor_name), "time": entry.time,
        "object_kind": short(&entry.object_kind), "object_id": short(&entry.object_id), "object_name": short(&entry.object_name),
    }))
}

/// The first position of a range whose row is missing or not the server's; the end of the range when all are.
pub async fn first_unauthentic<C: ConnectionTrait>(on: &C, key: &RowKey, from: i64, until: i64) -> Result<i64> {
    let query = format!(
        "SELECT {}, p.position, e.leaf_hash, e.code FROM ledger_positions p LEFT JOIN ledger_entries e ON e.id = p.entry \
         WHERE p.position >= $1 AND p.position < $2 ORDER BY p.position LIMIT $3",
        headers()
    );
    let mut next = from;
    while next < until {
        let found = sql::all(on, &query, bind![next, until, STEP]).await?;
        for row in &found {
            if row.get::<i64>(COLUMN_COUNT)? != next || authentic_leaf(row, key).is_err() {
                return Ok(next);
            }
            next += 1;
        }
        if found.is_empty() {
            return Ok(next);
        }
    }
    Ok(until)
}

/// One at a time gives positions and signs; on SQLite there is one writer anyway.
async fn is_elected(tx: &Tx) -> Result<bool> {
    if is_sqlite(&**tx) {
        return Ok(true);
    }
    sql::one(&**tx, "SELECT pg_try_advisory_xact_lock($1)", bind![SEQUENCER_LOCK]).await?.get(0)
}

/// Gives positions to rows that wait for one, in the order of their ids.
pub async fn sequence(tx: &Tx) -> Result<Step> {
    if !is_elected(tx).await? {
        return Ok(Step::default());
    }
    let query = format!(
        "SELECT {}, CAST(-1 AS BIGINT), e.leaf_hash, e.code, w.entry, p.position FROM ledger_pending w \
         LEFT JOIN ledger_entries e ON e.id = w.entry LEFT JOIN ledger_positions p ON p.entry = w.entry ORDER BY w.entry LIMIT $1",
        headers()
    );
    let waiting = sql::all(&**tx, &query, bind![STEP]).await?;
    let (mut taken, mut good, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for row in &waiting {
        let id: i64 = row.get(COLUMN_COUNT + 3)?;
        taken.push(id);
        // One that has a position already was put here by somebody else, and needs none.
        if row.get::<Option<i64>>(COLUMN_COUNT + 4)?.is_none() {
            match authentic_leaf(row, tx.row_key()?) {
                Ok(_) => good.push(id),
                Err(claim) => refused.push(Refused { id, claim }),
            }
        }
    }
    for refused in &refused {
        let refusal = tx.insert_entry(&refusal(tx.now(), refused)).await?;
        good.push(refusal);
        taken.push(refusal);
    }
    let first = rows::next_position(&**tx).await?;
    let given: Vec<(i64, i64)> = (first..).zip(good).collect();
    for chunk in given.chunks(CHUNK) {
        let insert = format!("INSERT INTO ledger_positions (position, entry) VALUES {}", sql::rows_of(1, chunk.len(), 2));
        sql::execute(&**tx, &insert, chunk.iter().flat_map(|(position, entry)| bind![*position, *entry])).await?;
    }
    for chunk in taken.chunks(CHUNK) {
        let delete = format!("DELETE FROM ledger_pending WHERE entry IN {}", sql::rows_of(1, 1, chunk.len()));
        sql::execute(&**tx, &delete, chunk.iter().map(|id| (*id).into())).await?;
    }
    Ok(Step { worked: !taken.is_empty(), refused })
}

/// Hashes the next rows, at most `step`, into the tree and signs a checkpoint over them. A signer of an earlier origin
/// signs no more. Errors when a row is missing: nothing can be signed past it.
pub async fn grow_tree(tx: &Tx, signer: &CheckpointSigner, step: u64) -> Result<Step> {
    if !is_elected(tx).await? || rows::verifier_key(&**tx).await?.is_some_and(|(origin, _)| origin != signer.origin()) {
        return Ok(Step::default());
    }
    let size = rows::newest_checkpoint(&**tx).await?.map_or(0, |(size, _)| size);
    let (leaves, refused) = next_leaves(tx, size, step).await?;
    if leaves.is_empty() {
        return Ok(Step::default());
    }
    let mut known = Hashes::default();
    let mut new: Vec<(u64, Hash)> = Vec::new();
    for (position, leaf) in (size..).zip(&leaves) {
        let plan = ledger::appended(position, *leaf);
        rows::fetch_missing(&**tx, &plan.needs, &mut known).await?;
        let hashes = plan.run(&known).map_err(tree_fault)?;
        for (index, hash) in (ledger::stored_count(position)..).zip(hashes) {
            known.0.insert(index, hash);
            new.push((index, hash));
        }
    }
    for chunk in new.chunks(CHUNK) {
        let values = chunk.iter().flat_map(|(index, hash)| bind![index.cast_signed(), hash.0.to_vec()]);
        let insert = format!("INSERT INTO ledger_hashes (idx, hash) VALUES {}", sql::rows_of(1, chunk.len(), 2));
        sql::execute(&**tx, &insert, values).await?;
    }
    let grown = size + leaves.len() as u64;
    let plan = ledger::tree_root(grown);
    rows::fetch_missing(&**tx, &plan.needs, &mut known).await?;
    let root = plan.run(&known).map_err(tree_fault)?;
    let note = signer.sign(grown, root, "").map_err(|error| StoreError::Internal(error.to_string()))?;
    let insert = "INSERT INTO ledger_checkpoints (size, note, created) VALUES ($1, $2, $3)";
    sql::execute(&**tx, insert, bind![grown.cast_signed(), note, tx.now()]).await?;
    Ok(Step { worked: true, refused })
}

/// The leaves from a position on. A row that the server did not write loses its place to the row that says so.
async fn next_leaves(tx: &Tx, from: u64, step: u64) -> Result<(Vec<Hash>, Vec<Refused>)> {
    let query = format!(
        "SELECT {}, p.position, e.leaf_hash, e.code, p.entry FROM ledger_positions p LEFT JOIN ledger_entries e ON e.id = p.entry \
         WHERE p.position >= $1 ORDER BY p.position LIMIT $2",
        headers()
    );
    let found = sql::all(&**tx, &query, bind![from.cast_signed(), step.cast_signed()]).await?;
    let (mut leaves, mut all_refused) = (Vec::with_capacity(found.len()), Vec::new());
    for (expected, row) in (from.cast_signed()..).zip(&found) {
        let position: i64 = row.get(COLUMN_COUNT)?;
        if position != expected {
            return Err(tree_fault(format!("row {expected} is missing, so nothing can be signed past it; see `stagegate ledger verify`")));
        }
        match authentic_leaf(row, tx.row_key()?) {
            Ok(leaf) => leaves.push(leaf),
            Err(claim) => {
                let refused = Refused { id: row.get(COLUMN_COUNT + 3)?, claim };
                let entry = refusal(tx.now(), &refused);
                let id = tx.insert_entry(&entry).await?;
                sql::execute(&**tx, "UPDATE ledger_positions SET entry = $2 WHERE position = $1", bind![position, id]).await?;
                leaves.push(entry.leaf_hash());
                all_refused.push(refused);
            }
        }
    }
    Ok((leaves, all_refused))
}

/// The row that says that another one was refused.
fn refusal(now: i64, refused: &Refused) -> Entry {
    let (salt, payload) = (clock::new_uid(), refused.claim.to_string());
    Entry {
        entry_id: clock::new_uid(),
        workspace_id: WORKSPACE.to_owned(),
        time: now,
        actor_id: String::new(),
        actor_name: String::new(),
        person_id: String::new(),
        on_behalf_of: String::new(),
        token_id: String::new(),
        credential: "system".to_owned(),
        request_id: String::new(),
        source_address: String::new(),
        action: REFUSED_ENTRY.to_owned(),
        object_kind: "ledger_entry".to_owned(),
        object_id: refused.id.to_string(),
        object_name: refused.claim.get("entry_id").and_then(|id| id.as_str()).unwrap_or_default().to_owned(),
        scope_id: String::new(),
        outcome: Outcome::Denied,
        reason: "the server did not write this entry: its authentication code is wrong".to_owned(),
        payload_digest: payload_digest(&salt, &payload),
        salt,
        payload: Some(payload),
        texts: Vec::new(),
    }
}

fn tree_fault(error: impl std::fmt::Display) -> StoreError {
    StoreError::Internal(format!("the ledger's tree: {error}"))
}

impl Store {
    /// One round of the ledger's upkeep: positions, then, when it is due, tree and checkpoint. Returns
    /// whether there was work. Looks before it writes, so that an idle ledger costs no transaction.
    pub async fn tend_ledger(&self, signer: &Arc<CheckpointSigner>, checkpoint: bool) -> Result<bool> {
        let mut worked = false;
        if is_waiting(self.reader()).await? {
            let step = self.write_unrecorded(Unrecorded::Ledger, (), |tx, ()| Box::pin(sequence(tx))).await?;
            worked |= alarmed(step);
        }
        if checkpoint && is_behind(self.reader()).await? {
            let step =
                self.write_unrecorded(Unrecorded::Ledger, signer.clone(), |tx, signer| Box::pin(grow_tree(tx, signer, TREE_STEP))).await?;
            worked |= alarmed(step);
        }
        Ok(worked)
    }
}

/// Raises the alarm for what was refused. Whether there was work.
fn alarmed(step: Step) -> bool {
    for Refused { id, claim } in step.refused {
        tracing::error!(
            id,
            %claim,
            "ALARM: somebody wrote an entry into the ledger's table past the server. It was kept out of the log; a row of the action \
             {REFUSED_ENTRY} names it. Find out who can write to the database"
        );
    }
    step.worked
}

/// Whether rows wait for the sequencer.
async fn is_waiting<C: ConnectionTrait>(on: &C) -> Result<bool> {
    Ok(sql::first(on, "SELECT 1 FROM ledger_pending LIMIT 1", []).await?.is_some())
}

/// Whether the newest checkpoint does not cover all rows.
async fn is_behind<C: ConnectionTrait>(on: &C) -> Result<bool> {
    let covered = rows::newest_checkpoint(on).await?.map_or(0, |(size, _)| size);
    Ok(rows::next_position(on).await?.cast_unsigned() > covered)
}
