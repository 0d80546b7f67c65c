//! Rows of keys and secrets, sealed and authenticated under the master key. Whether a row is authentic is asked by
//! whoever has that key; nothing read here is to be believed before.

use sea_orm::ConnectionTrait;

use super::Result;
use crate::bind;
use crate::store::{Tx, sql};

/// A sealed key or secret.
#[derive(Debug, Clone)]
pub struct KeyRow {
    /// Its name in token headers.
    pub key_id: String,
    /// `token`, `ledger` or `page_token`.
    pub purpose: String,
    /// What may be published of it.
    pub public_key: String,
    /// Encrypted under the master key.
    pub sealed: Vec<u8>,
    /// Unix milliseconds.
    pub created: i64,
    /// Since when it no longer signs, in Unix milliseconds.
    pub retired: Option<i64>,
    /// Authenticates all of the above.
    pub mac: Vec<u8>,
}

/// All keys, the oldest first.
pub async fn keys<C: ConnectionTrait>(on: &C) -> Result<Vec<KeyRow>> {
    let query = "SELECT key_id, purpose, public_key, sealed, created, retired, mac FROM secret_keys ORDER BY created, key_id";
    let read = |row: &sql::Row| {
        Ok(KeyRow {
            key_id: row.get(0)?,
            purpose: row.get(1)?,
            public_key: row.get(2)?,
            sealed: row.get(3)?,
            created: row.get(4)?,
            retired: row.get(5)?,
            mac: row.get(6)?,
        })
    };
    sql::all(on, query, []).await?.iter().map(read).collect()
}

/// Inserts a key.
pub async fn insert_key(tx: &Tx, key: &KeyRow) -> Result<()> {
    sql::execute(
        &**tx,
        "INSERT INTO secret_keys (key_id, purpose, public_key, sealed, created, retired, mac) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        bind![
            key.key_id.as_str(),
            key.purpose.as_str(),
            key.public_key.as_str(),
            key.sealed.clone(),
            key.created,
            key.retired,
            key.mac.clone()
        ],
    )
    .await?;
    Ok(())
}

/// Writes when a key was retired, with the row's new mark.
pub async fn retire_key(tx: &Tx, key: &KeyRow) -> Result<()> {
    let update = "UPDATE secret_keys SET retired = $2, mac = $3 WHERE key_id = $1";
    sql::execute(&**tx, update, bind![key.key_id.as_str(), key.retired, key.mac.clone()]).await?;
    Ok(())
}
