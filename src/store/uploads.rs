//! Uploads in parts that have begun, and the parts that have come.

use sea_orm::ConnectionTrait;

use super::blobs::Blob;
use super::{StoreError, Tx, is_sqlite, sql};
use crate::bind;

type Result<T> = std::result::Result<T, StoreError>;

/// An upload in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadRow {
    /// As clients name it.
    pub uid: String,
    /// The user who began it, by id.
    pub created_by: String,
    /// What the creator's credential stood on.
    pub claims: Option<String>,
    /// Where the file is to lie, as the client wrote it.
    pub folder: String,
    /// The file's name.
    pub file_name: String,
    /// How many parts there are to be.
    pub parts: i64,
    /// The blob of the file that it has become.
    pub blob_uid: Option<String>,
    /// Unix milliseconds.
    pub created: i64,
}

const COLUMNS: &str = "uid, created_by, claims, folder, file_name, parts, blob_uid, created";

fn read(row: &sql::Row) -> Result<UploadRow> {
    Ok(UploadRow {
        uid: row.get(0)?,
        created_by: row.get(1)?,
        claims: row.get(2)?,
        folder: row.get(3)?,
        file_name: row.get(4)?,
        parts: row.get(5)?,
        blob_uid: row.get(6)?,
        created: row.get(7)?,
    })
}

/// An upload by its id.
pub async fn by_uid<C: ConnectionTrait>(on: &C, uid: &str) -> Result<Option<UploadRow>> {
    sql::first(on, &format!("SELECT {COLUMNS} FROM uploads WHERE uid = $1"), bind![uid]).await?.as_ref().map(read).transpose()
}

/// The same for a change of it or its parts: no other write changes them until this one has ended.
pub async fn lock(tx: &Tx, uid: &str) -> Result<Option<UploadRow>> {
    let locking = if is_sqlite(&**tx) { "" } else { " FOR UPDATE" };
    let query = format!("SELECT {COLUMNS} FROM uploads WHERE uid = $1{locking}");
    sql::first(&**tx, &query, bind![uid]).await?.as_ref().map(read).transpose()
}

/// Begins an upload.
pub async fn insert(tx: &Tx, upload: &UploadRow) -> Result<()> {
    let insert = "INSERT INTO uploads (uid, created_by, folder, file_name, claims, parts, created) VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let texts = [&upload.uid, &upload.created_by, &upload.folder, &upload.file_name].map(String::as_str);
    sql::execute(&**tx, insert, bind![texts[0], texts[1], texts[2], texts[3], upload.claims.clone(), upload.parts, tx.now()]).await?;
    Ok(())
}

/// The parts that have come, in their order, with their numbers.
pub async fn parts<C: ConnectionTrait>(on: &C, uid: &str) -> Result<Vec<(i64, Blob)>> {
    let query = "SELECT part, blob_uid, size, sha256 FROM upload_parts WHERE upload_uid = $1 ORDER BY part";
    let part = |row: &sql::Row| Ok((row.get(0)?, Blob { uid: row.get(1)?, size: row.get(2)?, sha256: row.get(3)? }));
    sql::all(on, query, bind![uid]).await?.iter().map(part).collect()
}

/// Keeps a part; gives the blob of the one that it replaces. The upload must be locked.
pub async fn put_part(tx: &Tx, uid: &str, part: i64, blob: &Blob) -> Result<Option<String>> {
    let query = "SELECT blob_uid FROM upload_parts WHERE upload_uid = $1 AND part = $2";
    let replaced = sql::first(&**tx, query, bind![uid, part]).await?.map(|row| row.get(0)).transpose()?;
    let upsert = "INSERT INTO upload_parts (upload_uid, part, blob_uid, size, sha256) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (upload_uid, part) \
                  DO UPDATE SET blob_uid = excluded.blob_uid, size = excluded.size, sha256 = excluded.sha256";
    sql::execute(&**tx, upsert, bind![uid, part, blob.uid.as_str(), blob.size, blob.sha256.as_str()]).await?;
    Ok(replaced)
}

/// Takes the parts away and gives their blobs.
async fn take_parts(tx: &Tx, uid: &str) -> Result<Vec<String>> {
    let taken = parts(&**tx, uid).await?;
    sql::execute(&**tx, "DELETE FROM upload_parts WHERE upload_uid = $1", bind![uid]).await?;
    Ok(taken.into_iter().map(|(_, blob)| blob.uid).collect())
}

/// Marks an upload as one that has become a file; gives the blobs of its parts, which are not needed any more.
pub async fn finish(tx: &Tx, uid: &str, blob_uid: &str) -> Result<Vec<String>> {
    sql::execute(&**tx, "UPDATE uploads SET blob_uid = $2 WHERE uid = $1", bind![uid, blob_uid]).await?;
    take_parts(tx, uid).await
}

/// Forgets an upload; gives the blobs of its parts. The upload must be locked.
pub async fn delete(tx: &Tx, uid: &str) -> Result<Vec<String>> {
    let blobs = take_parts(tx, uid).await?;
    sql::execute(&**tx, "DELETE FROM uploads WHERE uid = $1", bind![uid]).await?;
    Ok(blobs)
}

/// Some uploads that began before a time, in Unix milliseconds.
pub async fn begun_before<C: ConnectionTrait>(on: &C, time: i64) -> Result<Vec<String>> {
    let query = "SELECT uid FROM uploads WHERE created < $1 ORDER BY created LIMIT 1000";
    sql::all(on, query, bind![time]).await?.iter().map(|row| row.get(0)).collect()
}
