//! Which files runs, logged models and versions have: rows that lead from a path to a blob.

use sea_orm::{ConnectionTrait, Value};

use super::blobs::{Blob, NewBlob};
use super::chunks::{CHUNK_BYTES, DIGEST_BYTES};
use super::{StoreError, Tx, is_sqlite, sql};
use crate::bind;

type Result<T> = std::result::Result<T, StoreError>;

/// Rows that one statement takes.
const ROWS: usize = 400;
/// What is read of a file.
const FILES: &str = "SELECT f.path, b.uid, b.size, b.sha256 FROM";

/// Whose files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// A run's, by its internal id.
    Run(i64),
    /// A logged model's, by its internal id.
    LoggedModel(i64),
    /// A version's, by its uid.
    Version(String),
}

impl Owner {
    /// Table, key column and key.
    fn rows(&self) -> (&'static str, &'static str, Value) {
        match self {
            Self::Run(id) => ("run_artifacts", "run", (*id).into()),
            Self::LoggedModel(id) => ("logged_model_artifacts", "model", (*id).into()),
            Self::Version(uid) => ("version_artifacts", "version_uid", uid.as_str().into()),
        }
    }
}

/// A file of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestFile {
    /// Relative to the manifest's root.
    pub path: String,
    /// The blob's uid.
    pub blob: String,
    /// Bytes.
    pub size: i64,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
}

/// A file or folder directly below a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// The last segment of its path.
    pub name: String,
    /// Whether it is a folder.
    pub is_dir: bool,
    /// Bytes; 0 for folders.
    pub size: i64,
    /// SHA-256 in hexadecimal; empty for folders.
    pub sha256: String,
}

/// The file at a path.
pub async fn file<C: ConnectionTrait>(on: &C, owner: &Owner, path: &str) -> Result<Option<Blob>> {
    let (table, key, id) = owner.rows();
    let query =
        format!("SELECT b.uid, b.size, b.sha256 FROM {table} f JOIN blobs b ON b.uid = f.blob_uid WHERE f.{key} = $1 AND f.path = $2");
    let row = sql::first(on, &query, [id, path.into()]).await?;
    row.map(|row| Ok(Blob { uid: row.get(0)?, size: row.get(1)?, sha256: row.get(2)? })).transpose()
}

/// The file at a path, and the digests of its MiBs from the one that holds the byte `offset` on.
pub async fn file_from<C: ConnectionTrait>(on: &C, owner: &Owner, path: &str, offset: u64) -> Result<Option<(Blob, Vec<u8>)>> {
    let (table, key, id) = owner.rows();
    // Positions are counted from 1. No blob has so many MiBs that the position does not fit. SQLite gives NULL for a part
    // of an empty one.
    let first = i32::try_from(offset / CHUNK_BYTES * DIGEST_BYTES as u64 + 1).unwrap_or(i32::MAX);
    let query = format!(
        "SELECT b.uid, b.size, b.sha256, COALESCE(SUBSTR(b.chunks, $3), b.chunks) FROM {table} f JOIN blobs b ON b.uid = f.blob_uid \
         WHERE f.{key} = $1 AND f.path = $2"
    );
    let row = sql::first(on, &query, [id, path.into(), first.into()]).await?;
    row.map(|row| Ok((Blob { uid: row.get(0)?, size: row.get(1)?, sha256: row.get(2)? }, row.get(3)?))).transpose()
}

/// Files and folders directly below a folder, empty for the root, in the order of their names' bytes and
/// behind the name `after`.
pub async fn children<C: ConnectionTrait>(on: &C, owner: &Owner, folder: &str, after: &str, limit: u64) -> Result<Vec<Child>> {
    let (table, key, id) = owner.rows();
    let (slash, bytewise) = if is_sqlite(on) { ("INSTR(rest, '/')", "") } else { ("STRPOS(rest, '/')", "COLLATE \"C\"") };
    let (first, end) = bounds(folder);
    // Positions in texts are counted from 1, in characters.
    let rest = if folder.is_empty() { 1 } else { i32::try_from(first.chars().count() + 1).unwrap_or(i32::MAX) };
    let query = format!(
        "SELECT name, MIN(leaf), MAX(size), MAX(sha256) FROM (\
           SELECT CASE WHEN {slash} > 0 THEN SUBSTR(rest, 1, {slash} - 1) ELSE rest END {bytewise} AS name, \
             CAST(CASE WHEN {slash} > 0 THEN 0 ELSE 1 END AS BIGINT) AS leaf, \
             CASE WHEN {slash} > 0 THEN 0 ELSE size END AS size, CASE WHEN {slash} > 0 THEN '' ELSE sha256 END AS sha256 \
           FROM (SELECT SUBSTR(f.path, $4) AS rest, b.size, b.sha256 FROM {table} f JOIN blobs b ON b.uid = f.blob_uid \
                 WHERE f.{key} = $1 AND f.path > $2 AND ($3 = '' OR f.path < $3)) below\
         ) entries WHERE name > $5 GROUP BY name ORDER BY name LIMIT $6"
    );
    let values = [id, first.into(), end.into(), rest.into(), after.into(), limit.cast_signed().into()];
    let read = |row: &sql::Row| Ok(Child { name: row.get(0)?, is_dir: row.get::<i64>(1)? == 0, size: row.get(2)?, sha256: row.get(3)? });
    sql::all(on, &query, values).await?.iter().map(read).collect()
}

/// Between these two lie the paths below a folder: `a/` and `a0`, for `0` comes next to `/`. Below the root
/// lie all, and no end is given.
fn bounds(folder: &str) -> (String, String) {
    if folder.is_empty() { (String::new(), String::new()) } else { (format!("{folder}/"), format!("{folder}0")) }
}

/// A path of the owner that keeps a file from lying at `path`: a file where it needs a folder, or any file
/// below it.
pub async fn obstacle<C: ConnectionTrait>(on: &C, owner: &Owner, path: &str) -> Result<Option<String>> {
    let (table, key, id) = owner.rows();
    let above: Vec<&str> = path.match_indices('/').map(|(end, _)| &path[..end]).collect();
    let (first, end) = bounds(path);
    let mut condition = "path > $2 AND path < $3".to_owned();
    let mut values: Vec<Value> = bind![id, first, end].into();
    if !above.is_empty() {
        condition = format!("{condition} OR path IN {}", sql::rows_of(4, 1, above.len()));
        values.extend(above.into_iter().map(Value::from));
    }
    let query = format!("SELECT path FROM {table} WHERE {key} = $1 AND ({condition}) ORDER BY path LIMIT 1");
    sql::first(on, &query, values).await?.map(|row| row.get(0)).transpose()
}

/// Makes a blob the file at a path of a run or logged model.
pub async fn put(tx: &Tx, owner: &Owner, path: &str, blob: &NewBlob) -> Result<()> {
    let insert = "INSERT INTO blobs (uid, size, sha256, chunks, created) VALUES ($1, $2, $3, $4, $5)";
    sql::execute(&**tx, insert, bind![blob.uid.as_str(), blob.size, blob.sha256.as_str(), blob.chunks.clone(), tx.now()]).await?;
    let (table, key, id) = owner.rows();
    let upsert = format!(
        "INSERT INTO {table} ({key}, path, blob_uid) VALUES ($1, $2, $3) ON CONFLICT ({key}, path) DO UPDATE SET blob_uid = excluded.blob_uid"
    );
    sql::execute(&**tx, &upsert, bind![id, path, blob.uid.as_str()]).await?;
    Ok(())
}

/// Takes the file at a path, or all files below it, from a run or logged model, and gives what was there by their
/// whole paths. An empty path stands for all.
pub async fn take(tx: &Tx, owner: &Owner, path: &str) -> Result<Vec<ManifestFile>> {
    let (table, key, id) = owner.rows();
    let (first, end) = bounds(path);
    let condition = format!("{key} = $1 AND ($2 = '' OR path = $2 OR path > $3 AND path < $4)");
    let query = format!("{FILES} {table} f JOIN blobs b ON b.uid = f.blob_uid WHERE {condition} ORDER BY f.path");
    let found = sql::all(&**tx, &query, bind![id.clone(), path, first.as_str(), end.as_str()]).await?;
    let found = found.iter().map(manifest_file).collect::<Result<_>>()?;
    sql::execute(&**tx, &format!("DELETE FROM {table} WHERE {condition}"), bind![id, path, first, end]).await?;
    Ok(found)
}

/// Forgets those of the blobs that no run, logged model or version refers to, and gives their uids. Their bytes can be
/// deleted once the write is committed.
pub async fn forget_unused(tx: &Tx, blobs: &[String]) -> Result<Vec<String>> {
    let mut forgotten = Vec::new();
    for chunk in blobs.chunks(ROWS) {
        let delete = format!(
            "DELETE FROM blobs WHERE uid IN {} \
             AND NOT EXISTS (SELECT 1 FROM run_artifacts r WHERE r.blob_uid = blobs.uid) \
             AND NOT EXISTS (SELECT 1 FROM logged_model_artifacts g WHERE g.blob_uid = blobs.uid) \
             AND NOT EXISTS (SELECT 1 FROM version_artifacts v WHERE v.blob_uid = blobs.uid) RETURNING uid",
            sql::rows_of(1, 1, chunk.len())
        );
        for row in sql::all(&**tx, &delete, chunk.iter().map(|uid| Value::from(uid.as_str()))).await? {
            forgotten.push(row.get(0)?);
        }
    }
    Ok(forgotten)
}

/// The files of a run below a folder, empty for all, or the one file at that path, by paths relative to it; a
/// single file gets its base name. Within a write on PostgreSQL they stay as they are until it ends.
pub async fn manifest_of_run<C: ConnectionTrait>(on: &C, run: i64, path_prefix: &str) -> Result<Vec<ManifestFile>> {
    if !is_sqlite(on) {
        sql::first(on, "SELECT id FROM runs WHERE id = $1 FOR SHARE", bind![run]).await?;
    }
    if path_prefix.is_empty() {
        return files(on, "f.run = $1", bind![run]).await;
    }
    let (first, end) = bounds(path_prefix);
    let mut found =
        files(on, "f.run = $1 AND (f.path = $2 OR f.path > $3 AND f.path < $4)", bind![run, path_prefix, first.as_str(), end]).await?;
    for file in &mut found {
        let relative = match file.path.strip_prefix(&first) {
            Some(below) => below,
            None => file.path.rsplit_once('/').map_or(file.path.as_str(), |(_, name)| name),
        };
        file.path = relative.to_owned();
    }
    Ok(found)
}

/// The files of a logged model. Within a write on PostgreSQL they stay as they are until it ends.
pub async fn manifest_of_logged_model<C: ConnectionTrait>(on: &C, model: i64) -> Result<Vec<ManifestFile>> {
    if !is_sqlite(on) {
        sql::first(on, "SELECT id FROM logged_models WHERE id = $1 FOR SHARE", bind![model]).await?;
    }
    let query = format!("{FILES} logged_model_artifacts f JOIN blobs b ON b.uid = f.blob_uid WHERE f.model = $1 ORDER BY f.path");
    sql::all(on, &query, bind![model]).await?.iter().map(manifest_file).collect()
}

/// The files of a version.
pub async fn manifest_of_version<C: ConnectionTrait>(on: &C, version_uid: &str) -> Result<Vec<ManifestFile>> {
    let query = format!("{FILES} version_artifacts f JOIN blobs b ON b.uid = f.blob_uid WHERE f.version_uid = $1 ORDER BY f.path");
    sql::all(on, &query, bind![version_uid]).await?.iter().map(manifest_file).collect()
}

/// Gives a new version its files. They never change after that.
pub async fn insert_manifest(tx: &Tx, version_uid: &str, manifest: &[ManifestFile]) -> Result<()> {
    for chunk in manifest.chunks(ROWS) {
        let insert = format!("INSERT INTO version_artifacts (version_uid, path, blob_uid) VALUES {}", sql::rows_of(1, chunk.len(), 3));
        let values = chunk.iter().flat_map(|file| bind![version_uid, file.path.as_str(), file.blob.as_str()]);
        sql::execute(&**tx, &insert, values).await?;
    }
    Ok(())
}

async fn files<C: ConnectionTrait>(on: &C, condition: &str, values: impl IntoIterator<Item = Value>) -> Result<Vec<ManifestFile>> {
    let query = format!("{FILES} run_artifacts f JOIN blobs b ON b.uid = f.blob_uid WHERE {condition} ORDER BY f.path");
    sql::all(on, &query, values).await?.iter().map(manifest_file).collect()
}

fn manifest_file(row: &sql::Row) -> Result<ManifestFile> {
    Ok(ManifestFile { path: row.get(0)?, blob: row.get(1)?, size: row.get(2)?, sha256: row.get(3)? })
}

#[cfg(test)]
#[path = "artifacts_tests.rs"]
mod tests;
