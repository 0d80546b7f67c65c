//! Versions of registered models and their tags.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, Value};

use super::models::pairs;
use super::search::{Cursor, Order, Query, statement};
use super::{StoreError, Tx, sql};
use crate::bind;
use crate::domain::ledger::VersionNow;

type Result<T> = std::result::Result<T, StoreError>;

/// A version as its table holds it, with its model's name.
#[derive(Debug, Clone)]
pub struct VersionRow {
    /// Immutable.
    pub uid: String,
    /// The registered model's id.
    pub model_uid: String,
    /// The registered model's name.
    pub model_name: String,
    /// Counts up from 1.
    pub version: i64,
    /// Possibly empty.
    pub description: String,
    /// As registered.
    pub source: String,
    /// SHA-256 of the manifest in hexadecimal, or `unverified`.
    pub source_digest: String,
    /// Empty when no run was named.
    pub run_id: String,
    /// The run's internal id.
    pub run: Option<i64>,
    /// The internal id of the logged model that it was made of.
    pub logged_model: Option<i64>,
    /// The same as clients know it; empty without one.
    pub model_id: String,
    /// Not interpreted.
    pub run_link: String,
    /// In its own spelling.
    pub current_stage: String,
    /// Unix milliseconds.
    pub created: i64,
    /// Unix milliseconds.
    pub updated: i64,
    /// The id of the user who created it.
    pub created_by: String,
}

/// What the row of the ledger says that makes a version.
impl From<&VersionRow> for VersionNow {
    fn from(version: &VersionRow) -> Self {
        Self {
            number: Some(version.version),
            source_digest: Some(version.source_digest.clone()),
            stage: Some(version.current_stage.clone()),
            ..Self::default()
        }
    }
}

const COLUMNS: &str = "v.uid, v.model_uid, m.name, v.version, v.description, v.source, v.source_digest, v.run_id, v.run, \
                       v.run_link, v.current_stage, v.created, v.updated, v.created_by, v.logged_model, COALESCE(g.model_id, '')";
const COLUMN_COUNT: usize = 16;
const FROM: &str = "FROM model_versions v JOIN registered_models m ON m.uid = v.model_uid \
                    LEFT JOIN logged_models g ON g.id = v.logged_model";

fn read(row: &sql::Row) -> Result<VersionRow> {
    Ok(VersionRow {
        uid: row.get(0)?,
        model_uid: row.get(1)?,
        model_name: row.get(2)?,
        version: row.get(3)?,
        description: row.get(4)?,
        source: row.get(5)?,
        source_digest: row.get(6)?,
        run_id: row.get(7)?,
        run: row.get(8)?,
        run_link: row.get(9)?,
        current_stage: row.get(10)?,
        created: row.get(11)?,
        updated: row.get(12)?,
        created_by: row.get(13)?,
        logged_model: row.get(14)?,
        model_id: row.get(15)?,
    })
}

async fn select<C: ConnectionTrait>(on: &C, condition: &str, values: impl IntoIterator<Item = Value>) -> Result<Vec<VersionRow>> {
    let query = format!("SELECT {COLUMNS} {FROM} WHERE v.deleted IS NULL AND {condition}");
    sql::all(on, &query, values).await?.iter().map(read).collect()
}

/// A live version by its number.
pub async fn by_number<C: ConnectionTrait>(on: &C, model_uid: &str, version: i64) -> Result<Option<VersionRow>> {
    Ok(select(on, "v.model_uid = $1 AND v.version = $2", bind![model_uid, version]).await?.pop())
}

/// A live version by its id.
pub async fn by_uid<C: ConnectionTrait>(on: &C, uid: &str) -> Result<Option<VersionRow>> {
    Ok(select(on, "v.uid = $1", bind![uid]).await?.pop())
}

/// The version that an alias points at.
pub async fn by_alias<C: ConnectionTrait>(on: &C, model_uid: &str, alias: &str) -> Result<Option<VersionRow>> {
    let condition = "v.uid = (SELECT a.version_uid FROM model_aliases a WHERE a.model_uid = $1 AND a.alias = $2)";
    Ok(select(on, condition, bind![model_uid, alias]).await?.pop())
}

/// The live version with the highest number.
pub async fn newest<C: ConnectionTrait>(on: &C, model_uid: &str) -> Result<Option<VersionRow>> {
    let condition = "v.model_uid = $1 ORDER BY v.version DESC LIMIT 1";
    Ok(select(on, condition, bind![model_uid]).await?.pop())
}

/// The version that the holding of a version's stage names.
const HOLDER: &str =
    "SELECT h.version_uid FROM holdings h WHERE h.model_uid = v.model_uid AND h.target = v.current_stage AND h.until_time IS NULL";

/// The live versions in a stage: first the one that holds it, then the highest number first.
pub async fn in_stage<C: ConnectionTrait>(on: &C, model_uid: &str, stage: &str) -> Result<Vec<VersionRow>> {
    let condition =
        format!("v.model_uid = $1 AND v.current_stage = $2 ORDER BY CASE WHEN v.uid = ({HOLDER}) THEN 0 ELSE 1 END, v.version DESC");
    select(on, &condition, bind![model_uid, stage]).await
}

/// For each of some models and each of its stages the version that holds it; in a stage that nobody holds, as
/// `None` and `Archived`, the one with the highest number.
pub async fn latest<C: ConnectionTrait>(on: &C, model_uids: &[String]) -> Result<HashMap<String, Vec<VersionRow>>> {
    let mut found: HashMap<String, Vec<VersionRow>> = HashMap::new();
    for chunk in model_uids.chunks(500) {
        let condition = format!(
            "v.model_uid IN {} AND v.uid = COALESCE(({HOLDER}), (SELECT w.uid FROM model_versions w WHERE w.model_uid = v.model_uid \
             AND w.current_stage = v.current_stage AND w.deleted IS NULL ORDER BY w.version DESC LIMIT 1)) ORDER BY v.version",
            sql::rows_of(1, 1, chunk.len())
        );
        for version in select(on, &condition, chunk.iter().map(|uid| uid.as_str().into())).await? {
            found.entry(version.model_uid.clone()).or_default().push(version);
        }
    }
    Ok(found)
}

/// The next number of a model; numbers of deleted versions are not given again.
pub async fn next_number(tx: &Tx, model_uid: &str) -> Result<i64> {
    let update = "UPDATE registered_models SET last_version = last_version + 1, updated = $2 WHERE uid = $1 RETURNING last_version";
    sql::one(&**tx, update, bind![model_uid, tx.now()]).await?.get(0)
}

/// Inserts a version.
pub async fn insert(tx: &Tx, version: &VersionRow) -> Result<()> {
    let insert = "INSERT INTO model_versions (uid, model_uid, version, description, source, source_digest, run_id, run, run_link, \
                  current_stage, created, updated, created_by, logged_model) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11, $12, $13)";
    let values = bind![
        version.uid.as_str(),
        version.model_uid.as_str(),
        version.version,
        version.description.as_str(),
        version.source.as_str(),
        version.source_digest.as_str(),
        version.run_id.as_str(),
        version.run,
        version.run_link.as_str(),
        version.current_stage.as_str(),
        version.created,
        version.created_by.as_str(),
        version.logged_model,
    ];
    sql::execute(&**tx, insert, values).await?;
    Ok(())
}

/// Sets the description.
pub async fn set_description(tx: &Tx, uid: &str, description: &str) -> Result<()> {
    let update = "UPDATE model_versions SET description = $2, updated = $3 WHERE uid = $1";
    sql::execute(&**tx, update, bind![uid, description, tx.now()]).await?;
    Ok(())
}

/// Makes a tombstone of a version.
pub async fn delete(tx: &Tx, uid: &str) -> Result<()> {
    sql::execute(&**tx, "UPDATE model_versions SET deleted = $2, updated = $2 WHERE uid = $1", bind![uid, tx.now()]).await?;
    Ok(())
}

/// Leaves tombstones of all versions of a model.
pub async fn delete_of_model(tx: &Tx, model_uid: &str) -> Result<()> {
    let update = "UPDATE model_versions SET deleted = $2, updated = $2 WHERE model_uid = $1 AND deleted IS NULL";
    sql::execute(&**tx, update, bind![model_uid, tx.now()]).await?;
    Ok(())
}

/// Sets a tag.
pub async fn set_tag(tx: &Tx, uid: &str, key: &str, value: &str) -> Result<()> {
    let upsert = "INSERT INTO model_version_tags (version_uid, tag_key, value) VALUES ($1, $2, $3) \
                  ON CONFLICT (version_uid, tag_key) DO UPDATE SET value = excluded.value";
    sql::execute(&**tx, upsert, bind![uid, key, value]).await?;
    Ok(())
}

/// Deletes a tag; false when there is none.
pub async fn delete_tag(tx: &Tx, uid: &str, key: &str) -> Result<bool> {
    let delete = "DELETE FROM model_version_tags WHERE version_uid = $1 AND tag_key = $2";
    Ok(sql::execute(&**tx, delete, bind![uid, key]).await? > 0)
}

/// The tags of some versions, in the order of their keys.
pub async fn tags<C: ConnectionTrait>(on: &C, uids: &[String]) -> Result<HashMap<String, Vec<(String, String)>>> {
    pairs(on, "SELECT version_uid, tag_key, value FROM model_version_tags WHERE version_uid IN", "ORDER BY version_uid, tag_key", uids)
        .await
}

/// The aliases of some versions, in their order.
pub async fn aliases<C: ConnectionTrait>(on: &C, uids: &[String]) -> Result<HashMap<String, Vec<(String, String)>>> {
    pairs(on, "SELECT version_uid, alias, alias FROM model_aliases WHERE version_uid IN", "ORDER BY version_uid, alias", uids).await
}

/// The versions of a query, in its order, each with the cursor of a page that ends at it.
pub async fn search<C: ConnectionTrait>(on: &C, query: Query, order: &Order, limit: u64) -> Result<Vec<(VersionRow, Vec<Cursor>)>> {
    let (text, values) = searching(query, order, limit);
    sql::all(on, &text, values).await?.iter().map(|row| Ok((read(row)?, order.cursor(row, COLUMN_COUNT)?))).collect()
}

pub(super) fn searching(mut query: Query, order: &Order, limit: u64) -> (String, Vec<sea_orm::Value>) {
    query.and("v.deleted IS NULL AND m.deleted IS NULL");
    statement(COLUMNS, FROM.trim_start_matches("FROM "), query, order, limit)
}

/// The internal id and the experiment of a live run.
pub async fn run_of<C: ConnectionTrait>(on: &C, run_id: &str) -> Result<Option<i64>> {
    let row = sql::first(on, "SELECT id FROM runs WHERE run_id = $1", bind![run_id]).await?;
    row.map(|row| row.get(0)).transpose()
}
