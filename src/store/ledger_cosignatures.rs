//! Cosignatures of witnesses, kept with the checkpoints that they are on.

use std::collections::HashMap;

use sea_orm::ConnectionTrait;

use super::{StoreError, Tx, sql};
use crate::bind;

type Result<T> = std::result::Result<T, StoreError>;

/// Keeps a witness's line; the first on a checkpoint stays.
pub async fn insert(tx: &Tx, size: u64, witness: &str, line: &str) -> Result<()> {
    let insert = "INSERT INTO ledger_cosignatures (size, witness, line, created) SELECT $1, $2, $3, $4 \
                  WHERE NOT EXISTS (SELECT 1 FROM ledger_cosignatures c WHERE c.size = $1 AND c.witness = $2) ON CONFLICT DO NOTHING";
    sql::execute(&**tx, insert, bind![size.cast_signed(), witness, line, tx.now()]).await?;
    Ok(())
}

/// How many rows the newest checkpoint covers that a witness cosigned; 0 when it cosigned none.
pub async fn newest_of<C: ConnectionTrait>(on: &C, witness: &str) -> Result<u64> {
    let query = "SELECT COALESCE(MAX(size), 0) FROM ledger_cosignatures WHERE witness = $1";
    Ok(sql::one(on, query, bind![witness]).await?.get::<i64>(0)?.cast_unsigned())
}

/// The lines on checkpoints whose sizes lie above `after` and up to `until`, each checkpoint's as one text.
pub async fn between<C: ConnectionTrait>(on: &C, after: i64, until: i64) -> Result<HashMap<i64, String>> {
    let query = "SELECT size, line FROM ledger_cosignatures WHERE size > $1 AND size <= $2 ORDER BY size, witness";
    let mut lines: HashMap<i64, String> = HashMap::new();
    for row in sql::all(on, query, bind![after, until]).await? {
        lines.entry(row.get(0)?).or_default().push_str(&row.get::<String>(1)?);
    }
    Ok(lines)
}

/// A note with the lines of the witnesses that cosigned it.
pub async fn with_cosignatures<C: ConnectionTrait>(on: &C, size: u64, note: String) -> Result<String> {
    let size = size.cast_signed();
    let lines = between(on, size - 1, size).await?;
    Ok(note + lines.get(&size).map_or("", String::as_str))
}
