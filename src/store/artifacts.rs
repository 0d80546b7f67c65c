//! Files of runs and versions: which path leads to which bytes.

use sea_orm::ConnectionTrait;

use super::{StoreError, Tx, sql};
use crate::bind;

type Result<T> = std::result::Result<T, StoreError>;

/// A file of a version: relative path, blob, size and SHA-256.
pub type ManifestFile = (String, String, i64, String);

/// The files of a run at or below a path, with paths relative to it. A file named by its own path gets
/// its base name.
pub async fn manifest_of_run<C: ConnectionTrait>(on: &C, run: i64, path: &str) -> Result<Vec<ManifestFile>> {
    let query = "SELECT a.path, b.uid, b.size, b.sha256 FROM run_artifacts a JOIN blobs b ON b.uid = a.blob_uid \
                 WHERE a.run = $1 AND (a.path = $2 OR $2 = '' OR SUBSTR(a.path, 1, LENGTH($2) + 1) = $2 || '/') ORDER BY a.path";
    let relative = |full: String| match full.strip_prefix(path).map(|rest| rest.trim_start_matches('/')) {
        Some("") | None => full.rsplit('/').next().unwrap_or(&full).to_owned(),
        Some(rest) => rest.to_owned(),
    };
    sql::all(on, query, bind![run, path])
        .await?
        .iter()
        .map(|row| Ok((relative(row.get(0)?), row.get(1)?, row.get(2)?, row.get(3)?)))
        .collect()
}

/// The files of a version.
pub async fn manifest_of_version<C: ConnectionTrait>(on: &C, version_uid: &str) -> Result<Vec<ManifestFile>> {
    let query = "SELECT a.path, b.uid, b.size, b.sha256 FROM version_artifacts a JOIN blobs b ON b.uid = a.blob_uid \
                 WHERE a.version_uid = $1 ORDER BY a.path";
    sql::all(on, query, bind![version_uid])
        .await?
        .iter()
        .map(|row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .collect()
}

/// Inserts a version's files.
pub async fn insert_manifest(tx: &Tx, version_uid: &str, files: &[ManifestFile]) -> Result<()> {
    for chunk in files.chunks(100) {
        let insert = format!(
            "INSERT INTO version_artifacts (version_uid, path, blob_uid) VALUES {}",
            sql::rows_of(1, chunk.len(), 3)
        );
        let values = chunk.iter().flat_map(|(path, blob, ..)| bind![version_uid, path.as_str(), blob.as_str()]);
        sql::execute(&**tx, &insert, values).await?;
    }
    Ok(())
}
