//! Experiments and their tags.

use std::collections::HashMap;

use sea_orm::ConnectionTrait;

use super::search::{Cursor, Order, Query, statement};
use super::{StoreError, Tx, WORKSPACE, sql};
use crate::bind;
use crate::domain::text::canonical_name;

type Result<T> = std::result::Result<T, StoreError>;

/// An experiment as its table holds it.
#[derive(Debug, Clone)]
pub struct ExperimentRow {
    /// Counts up; 0 is `Default`.
    pub id: i64,
    /// As shown.
    pub name: String,
    /// Not deleted.
    pub active: bool,
    /// Unix milliseconds.
    pub created: i64,
    /// Unix milliseconds.
    pub updated: i64,
}

const COLUMNS: &str = "x.id, x.name, x.active, x.created, x.updated";
const COLUMN_COUNT: usize = 5;

fn read(row: &sql::Row) -> Result<ExperimentRow> {
    Ok(ExperimentRow { id: row.get(0)?, name: row.get(1)?, active: row.get(2)?, created: row.get(3)?, updated: row.get(4)? })
}

/// An experiment by its id.
pub async fn by_id<C: ConnectionTrait>(on: &C, id: i64) -> Result<Option<ExperimentRow>> {
    let query = format!("SELECT {COLUMNS} FROM experiments x WHERE x.id = $1");
    sql::first(on, &query, bind![id]).await?.as_ref().map(read).transpose()
}

/// An experiment by its name.
pub async fn by_name<C: ConnectionTrait>(on: &C, name: &str) -> Result<Option<ExperimentRow>> {
    let query = format!("SELECT {COLUMNS} FROM experiments x WHERE x.workspace_id = $1 AND x.canonical_name = $2");
    sql::first(on, &query, bind![WORKSPACE, canonical_name(name)]).await?.as_ref().map(read).transpose()
}

/// Inserts an experiment and gives its id. Errors with `Duplicate` when the name is taken.
pub async fn insert(tx: &Tx, name: &str, created_by: &str) -> Result<i64> {
    let insert = "INSERT INTO experiments (workspace_id, name, canonical_name, active, created, updated, created_by) \
                  VALUES ($1, $2, $3, TRUE, $4, $4, $5) RETURNING id";
    sql::one(&**tx, insert, bind![WORKSPACE, name, canonical_name(name), tx.now(), created_by]).await?.get(0)
}

/// Inserts the experiment 0, `Default`, when it is not there.
pub async fn insert_default(tx: &Tx) -> Result<bool> {
    let insert = "INSERT INTO experiments (id, workspace_id, name, canonical_name, active, created, updated, created_by) \
                  VALUES (0, $1, 'Default', 'Default', TRUE, $2, $2, '') ON CONFLICT DO NOTHING";
    Ok(sql::execute(&**tx, insert, bind![WORKSPACE, tx.now()]).await? > 0)
}

/// Renames an experiment. Errors with `Duplicate` when the name is taken.
pub async fn rename(tx: &Tx, id: i64, name: &str) -> Result<()> {
    let update = "UPDATE experiments SET name = $2, canonical_name = $3, updated = $4 WHERE id = $1";
    sql::execute(&**tx, update, bind![id, name, canonical_name(name), tx.now()]).await?;
    Ok(())
}

/// Deletes or restores an experiment and all its runs.
pub async fn set_active(tx: &Tx, id: i64, active: bool) -> Result<()> {
    sql::execute(&**tx, "UPDATE experiments SET active = $2, updated = $3 WHERE id = $1", bind![id, active, tx.now()]).await?;
    let runs = if active {
        "UPDATE runs SET active = TRUE, deleted_time = NULL WHERE experiment = $1"
    } else {
        "UPDATE runs SET active = FALSE, deleted_time = COALESCE(deleted_time, (SELECT x.updated FROM experiments x WHERE x.id = $1)) \
         WHERE experiment = $1"
    };
    sql::execute(&**tx, runs, bind![id]).await?;
    Ok(())
}

/// Sets a tag.
pub async fn set_tag(tx: &Tx, id: i64, key: &str, value: &str) -> Result<()> {
    let upsert = "INSERT INTO experiment_tags (experiment, tag_key, value) VALUES ($1, $2, $3) \
                  ON CONFLICT (experiment, tag_key) DO UPDATE SET value = excluded.value";
    sql::execute(&**tx, upsert, bind![id, key, value]).await?;
    Ok(())
}

/// Deletes a tag; false when there is none.
pub async fn delete_tag(tx: &Tx, id: i64, key: &str) -> Result<bool> {
    let delete = "DELETE FROM experiment_tags WHERE experiment = $1 AND tag_key = $2";
    Ok(sql::execute(&**tx, delete, bind![id, key]).await? > 0)
}

/// The tags of some experiments, in the order of their keys.
pub async fn tags<C: ConnectionTrait>(on: &C, ids: &[i64]) -> Result<HashMap<i64, Vec<(String, String)>>> {
    let mut found: HashMap<i64, Vec<(String, String)>> = HashMap::new();
    for chunk in ids.chunks(500) {
        let query = format!(
            "SELECT experiment, tag_key, value FROM experiment_tags WHERE experiment IN {} ORDER BY experiment, tag_key",
            sql::rows_of(1, 1, chunk.len())
        );
        for row in sql::all(on, &query, chunk.iter().map(|id| (*id).into())).await? {
            found.entry(row.get(0)?).or_default().push((row.get(1)?, row.get(2)?));
        }
    }
    Ok(found)
}

/// The experiments of a query, in its order, each with the cursor of a page that ends at it.
pub async fn search<C: ConnectionTrait>(on: &C, query: Query, order: &Order, limit: u64) -> Result<Vec<(ExperimentRow, Vec<Cursor>)>> {
    let (text, values) = searching(query, order, limit);
    sql::all(on, &text, values).await?.iter().map(|row| Ok((read(row)?, order.cursor(row, COLUMN_COUNT)?))).collect()
}

pub(super) fn searching(query: Query, order: &Order, limit: u64) -> (String, Vec<sea_orm::Value>) {
    statement(COLUMNS, "experiments x", query, order, limit)
}
