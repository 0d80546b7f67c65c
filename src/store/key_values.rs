//! Keys and values of runs and logged models: params, whose first value stays, and tags. The owner is an
//! internal id; names of tables and columns are constants of the callers.

use std::collections::HashMap;

use sea_orm::Value;

use super::{StoreError, Tx, sql};
use crate::bind;

type Result<T> = std::result::Result<T, StoreError>;

/// Where keys and values lie: the table, and its columns of the owner and the key.
#[derive(Clone, Copy)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) owner: &'static str,
    pub(super) key: &'static str,
}

impl Table {
    /// Inserts different keys. What is stored under a key stays; returns the first of `pairs`, by its
    /// index, that has another value there, with that value.
    pub(super) async fn insert_once(self, tx: &Tx, owner: i64, pairs: &[(String, String)]) -> Result<Option<(usize, String)>> {
        if self.insert(tx, owner, pairs, "DO NOTHING").await? == pairs.len() as u64 {
            return Ok(None);
        }
        let Self { name, owner: owner_column, key } = self;
        let mut stored: HashMap<String, String> = HashMap::with_capacity(pairs.len());
        for (width, chunk) in sql::in_widths(pairs) {
            let query = format!("SELECT {key}, value FROM {name} WHERE {owner_column} = $1 AND {key} IN {}", sql::rows_of(2, 1, width));
            let mut values: Vec<Value> = vec![owner.into()];
            values.extend(sql::padded(width, chunk).map(|(key, _)| Value::from(key.as_str())));
            for row in sql::all(&**tx, &query, values).await? {
                stored.insert(row.get(0)?, row.get(1)?);
            }
        }
        let other = |(index, (key, value)): (usize, &(String, String))| {
            stored.get(key).filter(|stored| *stored != value).map(|stored| (index, stored.clone()))
        };
        Ok(pairs.iter().enumerate().find_map(other))
    }

    /// Sets the values of different keys.
    pub(super) async fn set(self, tx: &Tx, owner: i64, pairs: &[(String, String)]) -> Result<()> {
        self.insert(tx, owner, pairs, "DO UPDATE SET value = excluded.value").await?;
        Ok(())
    }

    /// Deletes a key; false when there is none.
    pub(super) async fn delete(self, tx: &Tx, owner: i64, key: &str) -> Result<bool> {
        let delete = format!("DELETE FROM {} WHERE {} = $1 AND {} = $2", self.name, self.owner, self.key);
        Ok(sql::execute(&**tx, &delete, bind![owner, key]).await? > 0)
    }

    /// Always in the order of the keys, so that writes of PostgreSQL wait for each other and do not
    /// deadlock. Not padded: an upsert must not meet a row twice.
    async fn insert(self, tx: &Tx, owner: i64, pairs: &[(String, String)], on_conflict: &str) -> Result<u64> {
        let Self { name, owner: owner_column, key } = self;
        let mut sorted: Vec<&(String, String)> = pairs.iter().collect();
        sorted.sort_unstable();
        let mut changed = 0;
        for chunk in sorted.chunks(sql::WIDTHS[4]) {
            let rows = sql::rows_of(1, chunk.len(), 3);
            let text = format!(
                "INSERT INTO {name} ({owner_column}, {key}, value) VALUES {rows} ON CONFLICT ({owner_column}, {key}) {on_conflict}"
            );
            let values: Vec<Value> = chunk.iter().flat_map(|(key, value)| bind![owner, key.as_str(), value.as_str()]).collect();
            changed += sql::execute(&**tx, &text, values).await?;
        }
        Ok(changed)
    }
}
