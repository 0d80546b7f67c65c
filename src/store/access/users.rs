//! Rows of persons, users, groups and custom personas.

use sea_orm::ConnectionTrait;

use super::{Result, json};
use crate::bind;
use crate::domain::access::UserKind;
use crate::domain::ledger::{Revoked, UserNow};
use crate::domain::text::canonical_principal;
use crate::store::{Tx, sql};

/// A user as the tables hold it.
#[derive(Debug, Clone)]
pub struct UserRow {
    /// Immutable.
    pub uid: String,
    /// As shown.
    pub name: String,
    /// For people.
    pub display_name: String,
    /// Whether it is a login.
    pub kind: UserKind,
    /// The person behind it.
    pub person_uid: String,
    /// None when it cannot sign in with a password.
    pub password_hash: Option<String>,
    /// Whether its credentials work.
    pub active: bool,
    /// Unix milliseconds.
    pub created: i64,
    /// Somebody else set the password: it can only be changed.
    pub password_temporary: bool,
    /// Counts what ended the credentials before it.
    pub generation: i64,
}

/// What the row of the ledger says that makes a user.
impl From<&UserRow> for UserNow {
    fn from(user: &UserRow) -> Self {
        Self {
            name: Some(user.name.clone()),
            kind: Some(user.kind.as_str().to_owned()),
            person_id: Some(user.person_uid.clone()),
            active: Some(user.active),
            ..Self::default()
        }
    }
}

const USER_COLUMNS: &str = "uid, name, display_name, kind, person_uid, password_hash, active, created, password_temporary, generation";

fn read_user(row: &sql::Row) -> Result<UserRow> {
    Ok(UserRow {
        uid: row.get(0)?,
        name: row.get(1)?,
        display_name: row.get(2)?,
        kind: UserKind::parse(&row.get::<String>(3)?),
        person_uid: row.get(4)?,
        password_hash: row.get(5)?,
        active: row.get(6)?,
        created: row.get(7)?,
        password_temporary: row.get(8)?,
        generation: row.get(9)?,
    })
}

/// The user of a name, whatever its letter case.
pub async fn user_by_name<C: ConnectionTrait>(on: &C, name: &str) -> Result<Option<UserRow>> {
    let query = format!("SELECT {USER_COLUMNS} FROM users WHERE canonical_name = $1");
    sql::first(on, &query, bind![canonical_principal(name)]).await?.as_ref().map(read_user).transpose()
}

/// Users whose names come behind `after`, in the order of their names.
pub async fn users_after<C: ConnectionTrait>(on: &C, after: &str, limit: u64) -> Result<Vec<UserRow>> {
    let query = format!("SELECT {USER_COLUMNS} FROM users WHERE canonical_name > $1 ORDER BY canonical_name LIMIT $2");
    sql::all(on, &query, bind![after, limit.cast_signed()]).await?.iter().map(read_user).collect()
}

/// How many users there are.
pub async fn count_users<C: ConnectionTrait>(on: &C) -> Result<i64> {
    sql::one(on, "SELECT COUNT(*) FROM users", []).await?.get(0)
}

/// Inserts a person.
pub async fn insert_person(tx: &Tx, uid: &str) -> Result<()> {
    sql::execute(&**tx, "INSERT INTO persons (uid, created) VALUES ($1, $2)", bind![uid, tx.now()]).await?;
    Ok(())
}

/// Inserts a user. Errors with `Duplicate` when the name was ever given.
pub async fn insert_user(tx: &Tx, user: &UserRow) -> Result<()> {
    sql::execute(
        &**tx,
        "INSERT INTO users (uid, name, canonical_name, display_name, kind, person_uid, password_hash, active, created, \
         password_temporary, generation) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        bind![
            user.uid.as_str(),
            user.name.as_str(),
            canonical_principal(&user.name),
            user.display_name.as_str(),
            user.kind.as_str(),
            user.person_uid.as_str(),
            user.password_hash.clone(),
            user.active,
            user.created,
            user.password_temporary,
            user.generation
        ],
    )
    .await?;
    Ok(())
}

/// Changes display name and activity.
pub async fn update_user(tx: &Tx, uid: &str, display_name: &str, active: bool) -> Result<()> {
    let update = "UPDATE users SET display_name = $2, active = $3 WHERE uid = $1";
    sql::execute(&**tx, update, bind![uid, display_name, active]).await?;
    Ok(())
}

/// Sets the hash of a password, which with `temporary` can only be changed.
pub async fn set_password_hash(tx: &Tx, uid: &str, hash: &str, temporary: bool) -> Result<()> {
    let update = "UPDATE users SET password_hash = $2, password_temporary = $3 WHERE uid = $1";
    sql::execute(&**tx, update, bind![uid, hash, temporary]).await?;
    Ok(())
}

/// Ends for good what a user has made and been given so far: sessions, tokens, tokens made for others, and all that
/// was made with these. Gives the tokens that ended before their time.
pub async fn end_credentials(tx: &Tx, uid: &str) -> Result<Revoked> {
    // Tokens bear the generation: one that is being made at this moment ends as well.
    sql::execute(&**tx, "UPDATE users SET generation = generation + 1 WHERE uid = $1", bind![uid]).await?;
    super::tokens::revoke_with_children(tx, "user_uid = $1 OR issued_by = $1", uid).await
}

/// Inserts a group. Errors with `Duplicate` when the name is taken.
pub async fn insert_group(tx: &Tx, uid: &str, name: &str) -> Result<()> {
    sql::execute(
        &**tx,
        "INSERT INTO user_groups (uid, name, canonical_name, created) VALUES ($1, $2, $3, $4)",
        bind![uid, name, canonical_principal(name), tx.now()],
    )
    .await?;
    Ok(())
}

/// Deletes a group, its memberships and the grants to it.
pub async fn delete_group(tx: &Tx, uid: &str) -> Result<()> {
    sql::execute(&**tx, "DELETE FROM group_members WHERE group_uid = $1", bind![uid]).await?;
    sql::execute(&**tx, "DELETE FROM grants WHERE principal_kind = 'GROUP' AND principal_uid = $1", bind![uid]).await?;
    sql::execute(&**tx, "DELETE FROM user_groups WHERE uid = $1", bind![uid]).await?;
    Ok(())
}

/// Adds a member; false when it is one already.
pub async fn add_member(tx: &Tx, group: &str, user: &str) -> Result<bool> {
    let insert = "INSERT INTO group_members (group_uid, user_uid) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    Ok(sql::execute(&**tx, insert, bind![group, user]).await? > 0)
}

/// Removes a member; false when it is none.
pub async fn remove_member(tx: &Tx, group: &str, user: &str) -> Result<bool> {
    let delete = "DELETE FROM group_members WHERE group_uid = $1 AND user_uid = $2";
    Ok(sql::execute(&**tx, delete, bind![group, user]).await? > 0)
}

/// Inserts a custom persona. Errors with `Duplicate` when the name is taken.
pub async fn insert_persona(tx: &Tx, name: &str, rights: &[String]) -> Result<()> {
    let insert = "INSERT INTO personas (name, permissions, created) VALUES ($1, $2, $3)";
    sql::execute(&**tx, insert, bind![name, json(rights), tx.now()]).await?;
    Ok(())
}

/// Deletes a custom persona; false when there is none.
pub async fn delete_persona(tx: &Tx, name: &str) -> Result<bool> {
    Ok(sql::execute(&**tx, "DELETE FROM personas WHERE name = $1", bind![name]).await? > 0)
}
