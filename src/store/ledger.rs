//! Rows of the ledger: written with the change that they record, and read by their positions.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait, Value};

use super::{Recorded, StoreError, Tx, is_sqlite, ledger_cosignatures, sql};
use crate::bind;
use crate::domain::ledger::{self, Entry, Hash, Hashes, Outcome, REFUSED_ENTRY, RowKey};

type Result<T> = std::result::Result<T, StoreError>;

/// The columns of an entry, in the order in which `read_entry` reads them.
pub(super) const COLUMNS: &str = "e.entry_id, e.workspace_id, e.time, e.actor_id, e.actor_name, e.person_id, e.on_behalf_of, \
    e.token_id, e.credential, e.request_id, e.source_address, e.action, e.object_kind, e.object_id, e.object_name, e.scope_id, \
    e.outcome, e.reason, e.salt, e.payload, e.payload_digest";
/// How many of them there are.
pub(super) const COLUMN_COUNT: usize = 21;
/// So long a reader waits for a checkpoint that covers the last rows: the server signs one each second.
const SETTLED: Duration = Duration::from_secs(3);
/// The advisory lock of PostgreSQL that elects the sequencer.
pub(super) const SEQUENCER_LOCK: i64 = 0x5747_4154_4531;

/// A row with its place in the log.
#[derive(Debug, Clone)]
pub struct Positioned {
    /// Counts up from 0 without gaps.
    pub position: i64,
    /// The row.
    pub entry: Entry,
    /// The hash that was stored with it.
    pub leaf_hash: Hash,
    /// The code that was stored with it.
    pub code: Vec<u8>,
}

impl Positioned {
    /// Whether the server wrote the row, as its code says.
    pub fn is_authentic(&self, key: &RowKey) -> bool {
        key.wrote(&self.entry.leaf_bytes(), &self.code)
    }
}

impl Tx {
    /// Writes the row of a change and gives the proof that a write must return.
    pub async fn record(&self, entry: &Entry) -> Result<Recorded<()>> {
        let id = self.insert_entry(entry).await?;
        if is_sqlite(&**self) {
            // One writer at a time: the position can be given here. On PostgreSQL the row waits for it.
            give_next_position(self, id).await?;
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

    /// Inserts a row, which waits for its position from then on, and gives its internal id.
    pub(super) async fn insert_entry(&self, entry: &Entry) -> Result<i64> {
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
        let leaf = entry.leaf_bytes();
        values.push(ledger::leaf_hash(&leaf).0.to_vec().into());
        values.push(self.row_key()?.code(&leaf).to_vec().into());
        let insert = format!(
            "INSERT INTO ledger_entries ({}, leaf_hash, code) VALUES {} RETURNING id",
            COLUMNS.replace("e.", ""),
            sql::rows_of(1, 1, COLUMN_COUNT + 2)
        );
        for text in &entry.texts {
            // Whoever wrote it first, wrote the same.
            let insert = "INSERT INTO ledger_texts (sha256, text) SELECT $1, $2 \
                          WHERE NOT EXISTS (SELECT 1 FROM ledger_texts t WHERE t.sha256 = $1) ON CONFLICT (sha256) DO NOTHING";
            sql::execute(&**self, insert, bind![text.sha256.as_str(), text.text.as_str()]).await?;
        }
        sql::one(&**self, &insert, values).await?.get(0)
    }
}

/// The text of a digest that payloads refer to.
pub async fn text<C: ConnectionTrait>(on: &C, sha256: &str) -> Result<Option<String>> {
    sql::first(on, "SELECT text FROM ledger_texts WHERE sha256 = $1", bind![sha256]).await?.map(|row| row.get(0)).transpose()
}

pub(super) async fn give_next_position(tx: &Tx, entry: i64) -> Result<()> {
    let insert = "INSERT INTO ledger_positions (position, entry) SELECT COALESCE(MAX(position), -1) + 1, $1 FROM ledger_positions";
    sql::execute(&**tx, insert, bind![entry]).await?;
    sql::execute(&**tx, "DELETE FROM ledger_pending WHERE entry = $1", bind![entry]).await?;
    Ok(())
}

pub(super) async fn fetch_missing<C: ConnectionTrait>(on: &C, needs: &[u64], known: &mut Hashes) -> Result<()> {
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

/// Checkpoints whose sizes lie above `after` and up to `until`, the smallest first, with the lines of their witnesses.
pub async fn checkpoints_between<C: ConnectionTrait>(on: &C, after: i64, until: i64) -> Result<Vec<(u64, String)>> {
    let lines = ledger_cosignatures::between(on, after, until).await?;
    let read = |row: &sql::Row| {
        let (size, note): (i64, String) = (row.get(0)?, row.get(1)?);
        Ok((size.cast_unsigned(), note + lines.get(&size).map_or("", String::as_str)))
    };
    let query = "SELECT size, note FROM ledger_checkpoints WHERE size > $1 AND size <= $2 ORDER BY size";
    sql::all(on, query, bind![after, until]).await?.iter().map(read).collect()
}

/// The first position that is not given yet.
pub async fn next_position<C: ConnectionTrait>(on: &C) -> Result<i64> {
    sql::one(on, "SELECT COALESCE(MAX(position), -1) + 1 FROM ledger_positions", []).await?.get(0)
}

/// Where the log ends for one who reads it to the end: at the newest checkpoint, once that covers all rows that are
/// there now. A running server signs one within a second; where none does, the end is that of the rows.
pub async fn settled_end<C: ConnectionTrait>(on: &C) -> Result<u64> {
    let there = next_position(on).await?.cast_unsigned();
    let since = Instant::now();
    while since.elapsed() < SETTLED {
        let covered = newest_checkpoint(on).await?.map_or(0, |(size, _)| size);
        if covered >= there {
            return Ok(covered.min(next_position(on).await?.cast_unsigned()));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(there)
}

/// A row by its position.
pub async fn at_position<C: ConnectionTrait>(on: &C, position: i64) -> Result<Option<Positioned>> {
    Ok(page(on, "p.position = $1", bind![position].into(), 1).await?.pop())
}

/// Rows whose positions fulfil a condition of the store's own making, in order.
pub async fn page<C: ConnectionTrait>(on: &C, condition: &str, mut values: Vec<Value>, limit: u64) -> Result<Vec<Positioned>> {
    values.push(limit.cast_signed().into());
    let query = format!(
        "SELECT {COLUMNS}, p.position, e.leaf_hash, e.code FROM ledger_positions p JOIN ledger_entries e ON e.id = p.entry \
         WHERE {condition} ORDER BY p.position LIMIT ${}",
        values.len()
    );
    sql::all(on, &query, values).await?.iter().map(positioned).collect()
}

/// Rows that have no position yet, in the order in which they will get them; their own positions are -1.
pub async fn waiting<C: ConnectionTrait>(on: &C) -> Result<Vec<Positioned>> {
    let query = format!(
        "SELECT {COLUMNS}, CAST(-1 AS BIGINT), e.leaf_hash, e.code FROM ledger_pending w JOIN ledger_entries e ON e.id = w.entry ORDER BY e.id"
    );
    sql::all(on, &query, []).await?.iter().map(positioned).collect()
}

/// The origin that signs now, and with which its checkpoints are verified; none before the first start of a server.
pub async fn verifier_key<C: ConnectionTrait>(on: &C) -> Result<Option<(String, String)>> {
    let row = sql::first(on, "SELECT key_id, public_key FROM secret_keys WHERE purpose = 'ledger' AND retired IS NULL", []).await?;
    row.map(|row| Ok((row.get(0)?, row.get(1)?))).transpose()
}

/// A row that the table holds and no position refers to. Those that wait for the sequencer are left out, and those
/// that a row of the log says were refused.
pub async fn without_position<C: ConnectionTrait>(on: &C) -> Result<Option<String>> {
    let row = sql::first(
        on,
        "SELECT e.entry_id FROM ledger_entries e LEFT JOIN ledger_positions p ON p.entry = e.id \
         LEFT JOIN ledger_pending w ON w.entry = e.id WHERE p.entry IS NULL AND w.entry IS NULL AND NOT EXISTS ( \
         SELECT 1 FROM ledger_entries refusal JOIN ledger_positions q ON q.entry = refusal.id \
         WHERE refusal.object_id = CAST(e.id AS TEXT) AND refusal.action = $1) ORDER BY e.id LIMIT 1",
        bind![REFUSED_ENTRY],
    )
    .await?;
    row.map(|row| row.get(0)).transpose()
}

pub(super) fn positioned(row: &sql::Row) -> Result<Positioned> {
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
        texts: Vec::new(),
    };
    Ok(Positioned {
        position: row.get(COLUMN_COUNT)?,
        entry,
        leaf_hash: hash(row.get(COLUMN_COUNT + 1)?)?,
        code: row.get(COLUMN_COUNT + 2)?,
    })
}

fn hash(bytes: Vec<u8>) -> Result<Hash> {
    bytes.try_into().map(Hash).map_err(|_| StoreError::Internal("a stored hash has not 32 bytes".to_owned()))
}
