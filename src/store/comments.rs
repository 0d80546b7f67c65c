//! Comments on versions.

use sea_orm::ConnectionTrait;

use super::versions::VersionRow;
use super::{StoreError, Tx, sql};
use crate::bind;

type Result<T> = std::result::Result<T, StoreError>;

/// A comment with the names around it.
#[derive(Debug, Clone)]
pub struct CommentRow {
    /// Immutable.
    pub uid: String,
    /// The registered model's id.
    pub model_uid: String,
    /// The registered model's name.
    pub model_name: String,
    /// The version's number.
    pub version: i64,
    /// The author's name.
    pub user_name: String,
    /// What it says.
    pub text: String,
    /// Unix milliseconds.
    pub created: i64,
    /// Unix milliseconds.
    pub updated: i64,
}

const SELECT: &str = "SELECT c.uid, c.model_uid, m.name, v.version, u.name, c.text, c.created, c.updated FROM comments c \
    JOIN registered_models m ON m.uid = c.model_uid JOIN model_versions v ON v.uid = c.version_uid \
    JOIN users u ON u.uid = c.user_uid WHERE c.deleted IS NULL";

fn read(row: &sql::Row) -> Result<CommentRow> {
    Ok(CommentRow {
        uid: row.get(0)?,
        model_uid: row.get(1)?,
        model_name: row.get(2)?,
        version: row.get(3)?,
        user_name: row.get(4)?,
        text: row.get(5)?,
        created: row.get(6)?,
        updated: row.get(7)?,
    })
}

/// A comment by its id.
pub async fn by_uid<C: ConnectionTrait>(on: &C, uid: &str) -> Result<Option<CommentRow>> {
    sql::first(on, &format!("{SELECT} AND c.uid = $1"), bind![uid]).await?.as_ref().map(read).transpose()
}

/// The comments on a version behind (time, id), the oldest first.
pub async fn after<C: ConnectionTrait>(on: &C, version_uid: &str, after: (i64, &str), limit: u64) -> Result<Vec<CommentRow>> {
    let query =
        format!("{SELECT} AND c.version_uid = $1 AND (c.created > $2 OR c.created = $2 AND c.uid > $3) ORDER BY c.created, c.uid LIMIT $4");
    sql::all(on, &query, bind![version_uid, after.0, after.1, limit.cast_signed()]).await?.iter().map(read).collect()
}

/// Inserts a comment.
pub async fn insert(tx: &Tx, uid: &str, version: &VersionRow, user_uid: &str, text: &str) -> Result<()> {
    let insert = "INSERT INTO comments (uid, model_uid, version_uid, user_uid, text, created, updated) VALUES ($1, $2, $3, $4, $5, $6, $6)";
    let values = bind![uid, version.model_uid.as_str(), version.uid.as_str(), user_uid, text, tx.now()];
    sql::execute(&**tx, insert, values).await?;
    Ok(())
}

/// Changes the text.
pub async fn set_text(tx: &Tx, uid: &str, text: &str) -> Result<()> {
    sql::execute(&**tx, "UPDATE comments SET text = $2, updated = $3 WHERE uid = $1", bind![uid, text, tx.now()]).await?;
    Ok(())
}

/// Makes a tombstone.
pub async fn delete(tx: &Tx, uid: &str) -> Result<()> {
    sql::execute(&**tx, "UPDATE comments SET deleted = $2 WHERE uid = $1", bind![uid, tx.now()]).await?;
    Ok(())
}
