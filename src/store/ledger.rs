//! Rows of the ledger: written with the change that they record, then given a position, hashed into the
//! tree and covered by signed checkpoints.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, Value};

use super::{Recorded, Store, StoreError, Tx, is_sqlite, sql};
use crate::bind;
use crate::domain::ledger::{self, CheckpointSigner, Entry, Hash, Hashes, Outcome};

type Result<T> = std::result::Result<T, StoreError>;

/// The columns of an entry, in the order in which `read_entry` reads them.
const COLUMNS: &str = "e.entry_id, e.workspace_id, e.time, e.actor_id, e.actor_name, e.person_id, e.on_behalf_of, \
    e.token_id, e.credential, e.request_id, e.source_address, e.action, e.object_kind, e.object_id, e.object_name, e.scope_id, \
    e.outcome, e.reason, e.salt, e.payload, e.payload_digest";
/// How many of them there are.
const COLUMN_COUNT: usize = 21;
/// Rows that one step of the sequencer takes.
const STEP: u64 = 2_000;
/// Rows that one checkpoint covers more than the one before it.
pub const TREE_STEP: u64 = 5_000;
/// The advisory lock of PostgreSQL that elects the sequencer.
const SEQUENCER_LOCK: i64 = 0x5747_4154_4531;

/// A row with its place in the log.
#[derive(Debug, Clone)]
pub struct Positioned {
    /// Counts up from 0 without gaps.
    pub position: i64,
    /// The row.
    pub entry: Entry,
    /// The hash that was stored with it.
    pub leaf_hash: Hash,
}

impl Tx {
    /// Writes the row of a change and gives the proof that a write must return.
    pub async fn record(&self, entry: &Entry) -> Result<Recorded<()>> {
        let id = self.insert_entry(entry).await?;
        if is_sqlite(&**self) {
            // One writer at a time: the position can be given here.
            give_next_position(self, id).await?;
        } else {
            sql::execute(&**self, "INSERT INTO ledger_pending (entry) VALUES ($1)", bind![id]).await?;
        }
        Ok(Recorded::in_ledger(()))
    }

    /// Writes a row that gets its position here, before those that wait for the sequencer.
    pub async fn record_before_waiting(&self, entry: &Entry) -> Result<Recorded<()>> {
        if !is_sqlite(&**self) {
            sql::execute(&**self, "SELECT pg_advisory_xact_lock($1)", bind![SEQUENCER_LOCK]).await?;
        }
        let id = self.insert_entry(entry).await?;
        give_next_position(self, id).await?;
        Ok(Recorded::in_ledger(()))
    }

    /// Inserts a row and gives its internal id.
    async fn insert_entry(&self, entry: &Entry) -> Result<i64> {
        let mut values: Vec<Value> = bind![
            entry.entry_id.as_str(),
            entry.workspace_id.as_str(),
            entry.time,
            entry.actor_id.as_str(),
            entry.actor_name.as_str(),
            entry.person_id.as_str(),
            entry.on_behalf_of.as_str(),
            entry.token_id.as_str(),
            entry.credential.as_str(),
            entry.request_id.as_str(),
            entry.source_address.as_str(),
            entry.action.as_str(),
            entry.object_kind.as_str(),
            entry.object_id.as_str(),
            entry.object_name.as_str(),
            entry.scope_id.as_str(),
            entry.outcome.as_str(),
            entry.reason.as_str(),
            entry.salt.as_str(),
            entry.payload.clone(),
            entry.payload_digest.as_str(),
        ]
        .into();
        values.push(entry.leaf_hash().0.to_vec().into());
        let insert = format!(
            "INSERT INTO ledger_entries ({}, leaf_hash) VALUES {} RETURNING id",
            COLUMNS.replace("e.", ""),
            sql::rows_of(1, 1, COLUMN_COUNT + 1)
        );
        sql::one(&**self, &insert, values).await?.get(0)
    }
}

async fn give_next_position(tx: &Tx, entry: i64) -> Result<()> {
    let insert = "INSERT INTO ledger_positions (position, entry) SELECT COALESCE(MAX(position), -1) + 1, $1 FROM ledger_positions";
    sql::execute(&**tx, insert, bind![entry]).await?;
    Ok(())
}

/// Gives positions to rows that have none, in the order of their ids. PostgreSQL only: the advisory lock
/// lets one sequencer work at a time. Returns how many rows got one.
pub async fn sequence(tx: &Tx) -> Result<u64> {
    let locked: bool = sql::one(&**tx, "SELECT pg_try_advisory_xact_lock($1)", bind![SEQUENCER_LOCK]).await?.get(0)?;
    if !locked {
        return Ok(0);
    }
    sql::execute(
        &**tx,
        "WITH taken AS (DELETE FROM ledger_pending WHERE entry IN (SELECT entry FROM ledger_pending ORDER BY entry LIMIT $1) RETURNING entry)
         INSERT INTO ledger_positions (position, entry)
         SELECT (SELECT COALESCE(MAX(position), -1) FROM ledger_positions) + ROW_NUMBER() OVER (ORDER BY entry), entry FROM taken",
        bind![STEP.cast_signed()],
    )
    .await
}

/// Hashes the next rows, at most `step`, into the tree and signs a checkpoint over them. Returns the tree's size,
/// and whether it grew. A signer of an earlier origin signs no more.
pub async fn grow_tree(tx: &Tx, signer: &CheckpointSigner, step: u64) -> Result<(u64, bool)> {
    if !is_sqlite(&**tx) {
        let locked: bool = sql::one(&**tx, "SELECT pg_try_advisory_xact_lock($1)", bind![SEQUENCER_LOCK]).await?.get(0)?;
        if !locked {
            return Ok((0, false));
        }
    }
    if verifier_key(&**tx).await?.is_some_and(|(origin, _)| origin != signer.origin()) {
        return Ok((0, false));
    }
    let size = newest_checkpoint(&**tx).await?.map_or(0, |(size, _)| size);
    let rows = sql::all(
        &**tx,
        "SELECT e.leaf_hash FROM ledger_positions p JOIN ledger_entries e ON e.id = p.entry WHERE p.position >= $1 ORDER BY p.position LIMIT $2",
        bind![size.cast_signed(), step.cast_signed()],
    )
    .await?;
    if rows.is_empty() {
        return Ok((size, false));
    }
    let mut known = Hashes::default();
    let mut new: Vec<(u64, Hash)> = Vec::new();
    let mut grown = size;
    for row in &rows {
        let plan = ledger::appended(grown, hash(row.get(0)?)?);
        fetch_missing(&**tx, &plan.needs, &mut known).await?;
        let hashes = plan.run(&known).map_err(tree_fault)?;
        for (index, hash) in (ledger::stored_count(grown)..).zip(hashes) {
            known.0.insert(index, hash);
            new.push((index, hash));
        }
        grown += 1;
    }
    for chunk in new.chunks(400) {
        let values = chunk.iter().flat_map(|(index, hash)| bind![index.cast_signed(), hash.0.to_vec()]);
        let insert = format!("INSERT INTO ledger_hashes (idx, hash) VALUES {}", sql::rows_of(1, chunk.len(), 2));
        sql::execute(&**tx, &insert, values).await?;
    }
    let plan = ledger::tree_root(grown);
    fetch_missing(&**tx, &plan.needs, &mut known).await?;
    let root = plan.run(&known).map_err(tree_fault)?;
    let note = signer.sign(grown, root, "").map_err(|error| StoreError::Internal(error.to_string()))?;
    sql::execute(
        &**tx,
        "INSERT INTO ledger_checkpoints (size, note, created) VALUES ($1, $2, $3)",
        bind![grown.cast_signed(), note, tx.now()],
    )
    .await?;
    Ok((grown, true))
}

async fn fetch_missing<C: ConnectionTrait>(on: &C, needs: &[u64], known: &mut Hashes) -> Result<()> {
    let missing: Vec<u64> = needs.iter().copied().filter(|index| !known.0.contains_key(index)).collect();
    if !missing.is_empty() {
        known.0.extend(stored_hashes(on, &missing).await?);
    }
    Ok(())
}

/// Stored hashes of the tree by their indexes.
pub async fn stored_hashes<C: ConnectionTrait>(on: &C, indexes: &[u64]) -> Result<HashMap<u64, Hash>> {
    let mut found = HashMap::with_capacity(indexes.len());
    for chunk in indexes.chunks(500) {
        let query = format!("SELECT idx, hash FROM ledger_hashes WHERE idx IN {}", sql::rows_of(1, 1, chunk.len()));
        let values = chunk.iter().map(|index| Value::from(index.cast_signed()));
        for row in sql::all(on, &query, values).await? {
            found.insert(row.get::<i64>(0)?.cast_unsigned(), hash(row.get(1)?)?);
        }
    }
    Ok(found)
}

/// The checkpoint of the largest tree: its size and note.
pub async fn newest_checkpoint<C: ConnectionTrait>(on: &C) -> Result<Option<(u64, String)>> {
    let row = sql::first(on, "SELECT size, note FROM ledger_checkpoints ORDER BY size DESC LIMIT 1", []).await?;
    row.map(|row| Ok((row.get::<i64>(0)?.cast_unsigned(), row.get(1)?))).transpose()
}

/// The checkpoint of a tree size.
pub async fn checkpoint_of<C: ConnectionTrait>(on: &C, size: i64) -> Result<Option<String>> {
    let row = sql::first(on, "SELECT note FROM ledger_checkpoints WHERE size = $1", bind![size]).await?;
    row.map(|row| row.get(0)).transpose()
}

/// Checkpoints whose sizes lie above `after` and up to `until`, the smallest first.
pub async fn checkpoints_between<C: ConnectionTrait>(on: &C, after: i64, until: i64) -> Result<Vec<(u64, String)>> {
    sql::all(on, "SELECT size, note FROM ledger_checkpoints WHERE size > $1 AND size <= $2 ORDER BY size", bind![after, until])
        .await?
        .iter()
        .map(|row| Ok((row.get::<i64>(0)?.cast_unsigned(), row.get(1)?)))
        .collect()
}

/// The first position that is not given yet.
pub async fn next_position<C: ConnectionTrait>(on: &C) -> Result<i64> {
    sql::one(on, "SELECT COALESCE(MAX(position), -1) + 1 FROM ledger_positions", []).await?.get(0)
}

/// A row by its position.
pub async fn at_position<C: ConnectionTrait>(on: &C, position: i64) -> Result<Option<Positioned>> {
    Ok(page(on, "p.position = $1", bind![position].into(), 1).await?.pop())
}

/// Rows whose positions fulfil a condition of the store's own making, in order.
pub async fn page<C: ConnectionTrait>(on: &C, condition: &str, mut values: Vec<Value>, limit: u64) -> Result<Vec<Positioned>> {
    values.push(limit.cast_signed().into());
    let query = format!(
        "SELECT {COLUMNS}, p.position, e.leaf_hash FROM ledger_positions p JOIN ledger_entries e ON e.id = p.entry \
         WHERE {condition} ORDER BY p.position LIMIT ${}",
        values.len()
    );
    sql::all(on, &query, values).await?.iter().map(positioned).collect()
}

/// The origin that signs now, and with which its checkpoints are verified; none before the first start of a server.
pub async fn verifier_key<C: ConnectionTrait>(on: &C) -> Result<Option<(String, String)>> {
    let row = sql::first(on, "SELECT key_id, public_key FROM secret_keys WHERE purpose = 'ledger' AND retired IS NULL", []).await?;
    row.map(|row| Ok((row.get(0)?, row.get(1)?))).transpose()
}

/// Rows that the table holds and no position refers to: on PostgreSQL those that wait for the
/// sequencer are left out.
pub async fn without_position<C: ConnectionTrait>(on: &C) -> Result<Option<String>> {
    let row = sql::first(
        on,
        "SELECT e.entry_id FROM ledger_entries e LEFT JOIN ledger_positions p ON p.entry = e.id \
         LEFT JOIN ledger_pending w ON w.entry = e.id WHERE p.entry IS NULL AND w.entry IS NULL ORDER BY e.id LIMIT 1",
        [],
    )
    .await?;
    row.map(|row| row.get(0)).transpose()
}

fn positioned(row: &sql::Row) -> Result<Positioned> {
    let outcome: String = row.get(16)?;
    let entry = Entry {
        entry_id: row.get(0)?,
        workspace_id: row.get(1)?,
        time: row.get(2)?,
        actor_id: row.get(3)?,
        actor_name: row.get(4)?,
        person_id: row.get(5)?,
        on_behalf_of: row.get(6)?,
        token_id: row.get(7)?,
        credential: row.get(8)?,
        request_id: row.get(9)?,
        source_address: row.get(10)?,
        action: row.get(11)?,
        object_kind: row.get(12)?,
        object_id: row.get(13)?,
        object_name: row.get(14)?,
        scope_id: row.get(15)?,
        outcome: Outcome::parse(&outcome)
            .ok_or_else(|| StoreError::Internal(format!("a row of the ledger has the outcome {outcome:?}")))?,
        reason: row.get(17)?,
        salt: row.get(18)?,
        payload: row.get(19)?,
        payload_digest: row.get(20)?,
    };
    Ok(Positioned { position: row.get(21)?, entry, leaf_hash: hash(row.get(22)?)? })
}

fn hash(bytes: Vec<u8>) -> Result<Hash> {
    bytes.try_into().map(Hash).map_err(|_| StoreError::Internal("a stored hash has not 32 bytes".to_owned()))
}

fn tree_fault(error: impl std::fmt::Display) -> StoreError {
    StoreError::Internal(format!("the ledger's tree: {error}"))
}

impl Store {
    /// One round of the ledger's upkeep: positions, then, when it is due, tree and checkpoint. Returns
    /// whether there was work. Looks before it writes, so that an idle ledger costs no transaction.
    pub async fn tend_ledger(&self, signer: &std::sync::Arc<CheckpointSigner>, checkpoint: bool) -> Result<bool> {
        let mut worked = false;
        if self.engine() == super::Engine::Postgres && is_waiting(self.reader()).await? {
            let given = self.write((), |tx, ()| Box::pin(async move { sequence(tx).await.map(Recorded::outside_ledger) })).await?;
            worked = given > 0;
        }
        if checkpoint && is_behind(self.reader()).await? {
            worked |= self
                .write(signer.clone(), |tx, signer| {
                    Box::pin(async move { Ok::<_, StoreError>(Recorded::outside_ledger(grow_tree(tx, signer, TREE_STEP).await?.1)) })
                })
                .await?;
        }
        Ok(worked)
    }
}

/// Whether rows wait for the sequencer.
async fn is_waiting<C: ConnectionTrait>(on: &C) -> Result<bool> {
    Ok(sql::first(on, "SELECT 1 FROM ledger_pending LIMIT 1", []).await?.is_some())
}

/// Whether the newest checkpoint does not cover all rows.
async fn is_behind<C: ConnectionTrait>(on: &C) -> Result<bool> {
    let covered = newest_checkpoint(on).await?.map_or(0, |(size, _)| size);
    Ok(next_position(on).await?.cast_unsigned() > covered)
}
