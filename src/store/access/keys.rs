//! Rows of keys and secrets, sealed under the master key.

use sea_orm::ConnectionTrait;

use super::Result;
use crate::bind;
use crate::store::{Tx, sql};

/// A sealed key or secret.
#[derive(Debug, Clone)]
pub struct KeyRow {
    /// Its name in token headers.
    pub key_id: String,
    /// `token`, `ledger`, `page_token` or `probe`.
    pub purpose: String,
    /// What may be published of it.
    pub public_key: String,
    /// Encrypted under the master key.
    pub sealed: Vec<u8>,
    /// Whether it no longer signs.
    pub retired: bool,
}

/// All keys, the oldest first.
pub async fn keys<C: ConnectionTrait>(on: &C) -> Result<Vec<KeyRow>> {
    let query = "SELECT key_id, purpose, public_key, sealed, retired FROM secret_keys ORDER BY created, key_id";
    let read = |row: &sql::Row| {
        let retired: Option<i64> = row.get(4)?;
        Ok(KeyRow { key_id: row.get(0)?, purpose: row.get(1)?, public_key: row.get(2)?, sealed: row.get(3)?, retired: retired.is_some() })
    };
    sql::all(on, query, []).await?.iter().map(read).collect()
}

/// Inserts a key.
pub async fn insert_key(tx: &Tx, key: &KeyRow) -> Result<()> {
    sql::execute(
        &**tx,
        "INSERT INTO secret_keys (key_id, purpose, public_key, sealed, created) VALUES ($1, $2, $3, $4, $5)",
        bind![key.key_id.as_str(), key.purpose.as_str(), key.public_key.as_str(), key.sealed.clone(), tx.now()],
    )
    .await?;
    Ok(())
}

/// Lets all keys of a purpose but one sign no more.
pub async fn retire_keys(tx: &Tx, purpose: &str, but: &str) -> Result<()> {
    let update = "UPDATE secret_keys SET retired = $3 WHERE purpose = $1 AND key_id <> $2 AND retired IS NULL";
    sql::execute(&**tx, update, bind![purpose, but, tx.now()]).await?;
    Ok(())
}
