//! Registered models, their tags and aliases.

use std::collections::HashMap;

use sea_orm::ConnectionTrait;

use super::search::{Cursor, Order, Query, statement};
use super::{StoreError, Tx, WORKSPACE, is_sqlite, sql};
use crate::bind;
use crate::domain::confusable::{confusable, skeleton};
use crate::domain::text::canonical_name;

type Result<T> = std::result::Result<T, StoreError>;

/// A registered model as its table holds it.
#[derive(Debug, Clone)]
pub struct ModelRow {
    /// Immutable.
    pub uid: String,
    /// As shown.
    pub name: String,
    /// Possibly empty.
    pub description: String,
    /// Unix milliseconds.
    pub created: i64,
    /// Unix milliseconds.
    pub updated: i64,
    /// The id of the user who created it.
    pub created_by: String,
}

const COLUMNS: &str = "m.uid, m.name, m.description, m.created, m.updated, m.created_by";
const COLUMN_COUNT: usize = 6;

fn read(row: &sql::Row) -> Result<ModelRow> {
    Ok(ModelRow {
        uid: row.get(0)?,
        name: row.get(1)?,
        description: row.get(2)?,
        created: row.get(3)?,
        updated: row.get(4)?,
        created_by: row.get(5)?,
    })
}

/// A live model by its name.
pub async fn by_name<C: ConnectionTrait>(on: &C, name: &str) -> Result<Option<ModelRow>> {
    let query =
        format!("SELECT {COLUMNS} FROM registered_models m WHERE m.workspace_id = $1 AND m.canonical_name = $2 AND m.deleted IS NULL");
    sql::first(on, &query, bind![WORKSPACE, canonical_name(name)]).await?.as_ref().map(read).transpose()
}

/// A model by its id, deleted or not.
pub async fn by_uid<C: ConnectionTrait>(on: &C, uid: &str) -> Result<Option<ModelRow>> {
    let query = format!("SELECT {COLUMNS} FROM registered_models m WHERE m.uid = $1");
    sql::first(on, &query, bind![uid]).await?.as_ref().map(read).transpose()
}

/// A live model by its name, locked until the write ends: what concerns one model happens one after the other.
pub async fn lock_by_name(tx: &Tx, name: &str) -> Result<Option<ModelRow>> {
    let lock = if is_sqlite(&**tx) { "" } else { " FOR UPDATE" };
    let query = format!(
        "SELECT {COLUMNS} FROM registered_models m WHERE m.workspace_id = $1 AND m.canonical_name = $2 AND m.deleted IS NULL{lock}"
    );
    sql::first(&**tx, &query, bind![WORKSPACE, canonical_name(name)]).await?.as_ref().map(read).transpose()
}

/// Locks a model by its id until the write ends, as `lock_by_name` does.
pub async fn lock_by_uid(tx: &Tx, uid: &str) -> Result<()> {
    let lock = if is_sqlite(&**tx) { "" } else { " FOR UPDATE" };
    sql::first(&**tx, &format!("SELECT uid FROM registered_models WHERE uid = $1{lock}"), bind![uid]).await?;
    Ok(())
}

/// Inserts a model; `taken_by` is who may give it a name that was promoted. Errors with `Duplicate` when the name is
/// taken, with `Refused` when it was promoted and nobody may give it.
pub async fn insert(tx: &Tx, model: &ModelRow, taken_by: Option<&str>) -> Result<()> {
    let insert = "INSERT INTO registered_models (uid, workspace_id, name, canonical_name, description, created, updated, created_by, last_version, \
                  name_taken_by, skeleton) VALUES ($1, $2, $3, $4, $5, $6, $6, $7, 0, $8, $9)";
    let canonical = canonical_name(&model.name);
    let values = bind![
        model.uid.as_str(),
        WORKSPACE,
        model.name.as_str(),
        canonical,
        model.description.as_str(),
        model.created,
        model.created_by.as_str(),
        taken_by.map(str::to_owned),
        skeleton(&model.name)
    ];
    sql::execute(&**tx, insert, values).await?;
    Ok(())
}

/// Sets the description.
pub async fn set_description(tx: &Tx, uid: &str, description: &str) -> Result<()> {
    let update = "UPDATE registered_models SET description = $2, updated = $3 WHERE uid = $1";
    sql::execute(&**tx, update, bind![uid, description, tx.now()]).await?;
    Ok(())
}

/// Another model whose name can be taken for `name`, by its uid and name: one that is there, or a deleted one that held a
/// gated target. Nobody gives a name that looks like it until this write has ended.
pub async fn look_alike(tx: &Tx, uid: &str, name: &str) -> Result<Option<(String, String)>> {
    let skeleton = skeleton(name);
    if !is_sqlite(&**tx) {
        let lock = "SELECT pg_advisory_xact_lock(hashtextextended('looks like ' || $1, 0))";
        sql::all(&**tx, lock, bind![skeleton.as_str()]).await?;
    }
    let query = "SELECT m.uid, m.name FROM registered_models m WHERE m.workspace_id = $1 AND m.skeleton = $2 AND m.uid <> $3 \
                 AND (m.deleted IS NULL OR EXISTS (SELECT 1 FROM promoted_names p WHERE p.model_uid = m.uid)) ORDER BY m.name";
    let found = sql::all(&**tx, query, bind![WORKSPACE, skeleton, uid]).await?;
    for row in found {
        let (uid, other): (String, String) = (row.get(0)?, row.get(1)?);
        if confusable(name, &other) {
            return Ok(Some((uid, other)));
        }
    }
    Ok(None)
}

/// Whether another model held a gated target under a name.
pub async fn was_promoted<C: ConnectionTrait>(on: &C, uid: &str, name: &str) -> Result<bool> {
    let query = "SELECT COUNT(*) FROM promoted_names WHERE workspace_id = $1 AND canonical_name = $2 AND model_uid <> $3";
    Ok(sql::one(on, query, bind![WORKSPACE, canonical_name(name), uid]).await?.get::<i64>(0)? > 0)
}

/// Renames a model; its versions count as updated. See `insert` for `taken_by` and the errors.
pub async fn rename(tx: &Tx, uid: &str, name: &str, taken_by: Option<&str>) -> Result<()> {
    let canonical = canonical_name(name);
    // The same name in another form is taken by nobody.
    let update = "UPDATE registered_models SET name = $2, canonical_name = $3, skeleton = $6, updated = $4, \
                  name_taken_by = CASE WHEN canonical_name = $3 THEN name_taken_by ELSE $5 END WHERE uid = $1";
    sql::execute(&**tx, update, bind![uid, name, canonical, tx.now(), taken_by.map(str::to_owned), skeleton(name)]).await?;
    sql::execute(&**tx, "UPDATE model_versions SET updated = $2 WHERE model_uid = $1 AND deleted IS NULL", bind![uid, tx.now()]).await?;
    Ok(())
}

/// Notes that a model changed.
pub async fn touch(tx: &Tx, uid: &str) -> Result<()> {
    sql::execute(&**tx, "UPDATE registered_models SET updated = $2 WHERE uid = $1", bind![uid, tx.now()]).await?;
    Ok(())
}

/// Leaves a tombstone of a model, after those of its versions.
pub async fn delete(tx: &Tx, uid: &str) -> Result<()> {
    sql::execute(&**tx, "UPDATE registered_models SET deleted = $2, updated = $2 WHERE uid = $1", bind![uid, tx.now()]).await?;
    Ok(())
}

/// Sets a tag.
pub async fn set_tag(tx: &Tx, uid: &str, key: &str, value: &str) -> Result<()> {
    let upsert = "INSERT INTO registered_model_tags (model_uid, tag_key, value) VALUES ($1, $2, $3) \
                  ON CONFLICT (model_uid, tag_key) DO UPDATE SET value = excluded.value";
    sql::execute(&**tx, upsert, bind![uid, key, value]).await?;
    Ok(())
}

/// Deletes a tag; false when there is none.
pub async fn delete_tag(tx: &Tx, uid: &str, key: &str) -> Result<bool> {
    let delete = "DELETE FROM registered_model_tags WHERE model_uid = $1 AND tag_key = $2";
    Ok(sql::execute(&**tx, delete, bind![uid, key]).await? > 0)
}

/// The tags of some models, in the order of their keys.
pub async fn tags<C: ConnectionTrait>(on: &C, uids: &[String]) -> Result<HashMap<String, Vec<(String, String)>>> {
    pairs(on, "SELECT model_uid, tag_key, value FROM registered_model_tags WHERE model_uid IN", "ORDER BY model_uid, tag_key", uids).await
}

/// The aliases of a model.
pub async fn aliases_of<C: ConnectionTrait>(on: &C, uid: &str) -> Result<Vec<String>> {
    let query = "SELECT alias FROM model_aliases WHERE model_uid = $1 ORDER BY alias";
    sql::all(on, query, bind![uid]).await?.iter().map(|row| row.get(0)).collect()
}

/// The aliases of some models with the numbers that they point at, in the order of the aliases.
pub async fn aliases<C: ConnectionTrait>(on: &C, uids: &[String]) -> Result<HashMap<String, Vec<(String, String)>>> {
    let query = "SELECT a.model_uid, a.alias, CAST(v.version AS TEXT) FROM model_aliases a JOIN model_versions v ON v.uid = a.version_uid WHERE a.model_uid IN";
    pairs(on, query, "ORDER BY a.model_uid, a.alias", uids).await
}

/// Runs a query of triples (id, key, value) over many ids.
pub(super) async fn pairs<C: ConnectionTrait>(
    on: &C,
    query: &str,
    order: &str,
    ids: &[String],
) -> Result<HashMap<String, Vec<(String, String)>>> {
    let mut found: HashMap<String, Vec<(String, String)>> = HashMap::new();
    for chunk in ids.chunks(500) {
        let text = format!("{query} {} {order}", sql::rows_of(1, 1, chunk.len()));
        for row in sql::all(on, &text, chunk.iter().map(|id| id.as_str().into())).await? {
            found.entry(row.get(0)?).or_default().push((row.get(1)?, row.get(2)?));
        }
    }
    Ok(found)
}

/// The models of a query, in its order, each with the cursor of a page that ends at it.
pub async fn search<C: ConnectionTrait>(on: &C, query: Query, order: &Order, limit: u64) -> Result<Vec<(ModelRow, Vec<Cursor>)>> {
    let (text, values) = searching(query, order, limit);
    sql::all(on, &text, values).await?.iter().map(|row| Ok((read(row)?, order.cursor(row, COLUMN_COUNT)?))).collect()
}

pub(super) fn searching(mut query: Query, order: &Order, limit: u64) -> (String, Vec<sea_orm::Value>) {
    query.and("m.deleted IS NULL");
    statement(COLUMNS, "registered_models m", query, order, limit)
}
