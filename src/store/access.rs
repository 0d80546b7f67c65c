//! Users, groups, personas, grants and tokens, and the snapshot of them all.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, Value};

use super::{StoreError, Tx, is_sqlite, sql};
use crate::bind;
use crate::contract::Permission;
use crate::domain::access::{Effect, Grant, Group, Persona, Principal, Right, Scope, Snapshot, User, UserKind};
use crate::domain::text::canonical_principal;

type Result<T> = std::result::Result<T, StoreError>;

/// By how much the clocks of replicas may differ: five minutes.
const CLOCKS_DIFFER_MS: i64 = 300_000;

/// The count of changes of access.
pub async fn epoch<C: ConnectionTrait>(on: &C) -> Result<i64> {
    sql::one(on, "SELECT epoch FROM access_epoch WHERE id = 1", []).await?.get(0)
}

/// Raises the epoch: every replica takes a new snapshot within its poll.
pub async fn raise_epoch(tx: &Tx) -> Result<()> {
    sql::execute(&**tx, "UPDATE access_epoch SET epoch = epoch + 1 WHERE id = 1", []).await?;
    Ok(())
}

/// Who is who, now. The epoch is read first: a change in between makes the snapshot look older than it is.
pub async fn snapshot<C: ConnectionTrait>(on: &C, now: i64) -> Result<Snapshot> {
    let mut snapshot = Snapshot { epoch: epoch(on).await?, ..Snapshot::default() };
    for row in sql::all(on, "SELECT uid, name, kind, person_uid, active FROM users", []).await? {
        let kind: String = row.get(2)?;
        let user = User { uid: row.get(0)?, name: row.get(1)?, kind: UserKind::parse(&kind), person_uid: row.get(3)?, active: row.get(4)? };
        snapshot.users.insert(user.uid.clone(), user);
    }
    for row in sql::all(on, "SELECT uid, name FROM user_groups", []).await? {
        let group = Group { uid: row.get(0)?, name: row.get(1)?, members: std::collections::HashSet::new() };
        snapshot.groups.insert(group.uid.clone(), group);
    }
    for row in sql::all(on, "SELECT group_uid, user_uid FROM group_members", []).await? {
        if let Some(group) = snapshot.groups.get_mut(&row.get::<String>(0)?) {
            group.members.insert(row.get(1)?);
        }
    }
    snapshot.personas = personas(on).await?;
    snapshot.grants = grants(on).await?;
    // Clocks of replicas may differ: an expired token is kept for a while, lest another one still takes it.
    let since = now - CLOCKS_DIFFER_MS;
    for row in sql::all(on, "SELECT token_id FROM tokens WHERE revoked IS NOT NULL AND expires > $1", bind![since]).await? {
        snapshot.revoked.insert(row.get(0)?);
    }
    Ok(snapshot)
}

async fn personas<C: ConnectionTrait>(on: &C) -> Result<HashMap<String, Persona>> {
    let mut personas = HashMap::new();
    for row in sql::all(on, "SELECT name, permissions FROM personas", []).await? {
        let name: String = row.get(0)?;
        // A right that this version does not know gives nothing.
        let rights = list(&row.get::<String>(1)?).iter().filter_map(|text| Right::parse(text).ok()).collect();
        personas.insert(name.clone(), Persona { name, rights, built_in: false });
    }
    Ok(personas)
}

async fn grants<C: ConnectionTrait>(on: &C) -> Result<Vec<Grant>> {
    let query = "SELECT uid, principal_kind, principal_uid, persona, scope_kind, scope_value, targets, effect, created, created_by \
                 FROM grants ORDER BY created, uid";
    sql::all(on, query, []).await?.iter().map(read_grant).collect()
}

fn read_grant(row: &sql::Row) -> Result<Grant> {
    let (principal_kind, principal_uid): (String, String) = (row.get(1)?, row.get(2)?);
    let (scope_kind, value): (String, String) = (row.get(4)?, row.get(5)?);
    let effect: String = row.get(7)?;
    Ok(Grant {
        uid: row.get(0)?,
        principal: if principal_kind == "GROUP" { Principal::Group(principal_uid) } else { Principal::User(principal_uid) },
        persona: row.get(3)?,
        scope: match scope_kind.as_str() {
            "EXPERIMENT" => Scope::Experiment(value),
            "MODEL" => Scope::Model(value),
            "EXPERIMENTS" => Scope::Experiments(value),
            "MODELS" => Scope::Models(value),
            _ => Scope::Server,
        },
        targets: list(&row.get::<String>(6)?),
        effect: if effect == "ALLOW" { Effect::Allow } else { Effect::Deny },
        created: row.get(8)?,
        created_by: row.get(9)?,
    })
}

/// Inserts a grant.
pub async fn insert_grant(tx: &Tx, grant: &Grant) -> Result<()> {
    let (principal_kind, principal) = match &grant.principal {
        Principal::User(uid) => ("USER", uid),
        Principal::Group(uid) => ("GROUP", uid),
    };
    let (scope_kind, value) = match &grant.scope {
        Scope::Server => ("SERVER", ""),
        Scope::Experiment(id) => ("EXPERIMENT", id.as_str()),
        Scope::Model(uid) => ("MODEL", uid.as_str()),
        Scope::Experiments(pattern) => ("EXPERIMENTS", pattern.as_str()),
        Scope::Models(pattern) => ("MODELS", pattern.as_str()),
    };
    let effect = if grant.effect == Effect::Allow { "ALLOW" } else { "DENY" };
    sql::execute(
        &**tx,
        "INSERT INTO grants (uid, principal_kind, principal_uid, persona, scope_kind, scope_value, targets, effect, created, created_by) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        bind![
            grant.uid.as_str(),
            principal_kind,
            principal.as_str(),
            grant.persona.as_str(),
            scope_kind,
            value,
            json(&grant.targets),
            effect,
            grant.created,
            grant.created_by.as_str()
        ],
    )
    .await?;
    Ok(())
}

/// Deletes a grant; false when there is none.
pub async fn delete_grant(tx: &Tx, uid: &str) -> Result<bool> {
    Ok(sql::execute(&**tx, "DELETE FROM grants WHERE uid = $1", bind![uid]).await? > 0)
}

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
}

const USER_COLUMNS: &str = "uid, name, display_name, kind, person_uid, password_hash, active, created";

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
        "INSERT INTO users (uid, name, canonical_name, display_name, kind, person_uid, password_hash, active, created) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        bind![
            user.uid.as_str(),
            user.name.as_str(),
            canonical_principal(&user.name),
            user.display_name.as_str(),
            user.kind.as_str(),
            user.person_uid.as_str(),
            user.password_hash.clone(),
            user.active,
            user.created
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

/// Sets the hash of a password.
pub async fn set_password_hash(tx: &Tx, uid: &str, hash: &str) -> Result<()> {
    sql::execute(&**tx, "UPDATE users SET password_hash = $2 WHERE uid = $1", bind![uid, hash]).await?;
    Ok(())
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

/// A token without its text.
#[derive(Debug, Clone)]
pub struct TokenRow {
    /// The JWT's `jti`.
    pub token_id: String,
    /// Whose it is.
    pub user_uid: String,
    /// For people.
    pub description: String,
    /// `SIGN_IN`, `API` or `COMMAND_LINE`.
    pub origin: String,
    /// The user who made it; none for the command line.
    pub issued_by: Option<String>,
    /// Unix milliseconds.
    pub created: i64,
    /// Unix milliseconds.
    pub expires: i64,
    /// Unix milliseconds, to the minute.
    pub last_used: Option<i64>,
    /// Unix milliseconds.
    pub revoked: Option<i64>,
    /// Permissions that it is limited to.
    pub permissions: Vec<String>,
    /// A pattern of model names that it is limited to.
    pub model_pattern: Option<String>,
}

const TOKEN_COLUMNS: &str =
    "token_id, user_uid, description, origin, issued_by, created, expires, last_used, revoked, permissions, model_pattern";

fn read_token(row: &sql::Row) -> Result<TokenRow> {
    Ok(TokenRow {
        token_id: row.get(0)?,
        user_uid: row.get(1)?,
        description: row.get(2)?,
        origin: row.get(3)?,
        issued_by: row.get(4)?,
        created: row.get(5)?,
        expires: row.get(6)?,
        last_used: row.get(7)?,
        revoked: row.get(8)?,
        permissions: list(&row.get::<String>(9)?),
        model_pattern: row.get(10)?,
    })
}

/// Inserts a token.
pub async fn insert_token(tx: &Tx, token: &TokenRow) -> Result<()> {
    sql::execute(
        &**tx,
        "INSERT INTO tokens (token_id, user_uid, description, origin, issued_by, created, expires, permissions, model_pattern) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        bind![
            token.token_id.as_str(),
            token.user_uid.as_str(),
            token.description.as_str(),
            token.origin.as_str(),
            token.issued_by.clone(),
            token.created,
            token.expires,
            json(&token.permissions),
            token.model_pattern.clone()
        ],
    )
    .await?;
    Ok(())
}

/// A token by its id.
pub async fn token<C: ConnectionTrait>(on: &C, token_id: &str) -> Result<Option<TokenRow>> {
    let query = format!("SELECT {TOKEN_COLUMNS} FROM tokens WHERE token_id = $1");
    sql::first(on, &query, bind![token_id]).await?.as_ref().map(read_token).transpose()
}

/// A user's tokens that were made before `(created, token_id)`, the newest first.
pub async fn tokens_before<C: ConnectionTrait>(on: &C, user: &str, before: (i64, &str), limit: u64) -> Result<Vec<TokenRow>> {
    let query = format!(
        "SELECT {TOKEN_COLUMNS} FROM tokens WHERE user_uid = $1 AND (created < $2 OR created = $2 AND token_id < $3) \
         ORDER BY created DESC, token_id DESC LIMIT $4"
    );
    let values = bind![user, before.0, before.1, limit.cast_signed()];
    sql::all(on, &query, values).await?.iter().map(read_token).collect()
}

/// Revokes a token; false when it is revoked already or there is none.
pub async fn revoke_token(tx: &Tx, token_id: &str) -> Result<bool> {
    let update = "UPDATE tokens SET revoked = $2 WHERE token_id = $1 AND revoked IS NULL";
    Ok(sql::execute(&**tx, update, bind![token_id, tx.now()]).await? > 0)
}

/// Revokes the tokens that came from a user's sign-ins, but one.
pub async fn revoke_sessions(tx: &Tx, user: &str, but: &str) -> Result<u64> {
    let update = "UPDATE tokens SET revoked = $3 WHERE user_uid = $1 AND origin = 'SIGN_IN' AND token_id <> $2 AND revoked IS NULL";
    sql::execute(&**tx, update, bind![user, but, tx.now()]).await
}

/// Notes when tokens were last used.
pub async fn touch_tokens(tx: &Tx, used: &[(String, i64)]) -> Result<()> {
    for (token_id, at) in used {
        let update = "UPDATE tokens SET last_used = $2 WHERE token_id = $1 AND COALESCE(last_used, 0) < $2";
        sql::execute(&**tx, update, bind![token_id.as_str(), *at]).await?;
    }
    Ok(())
}

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

/// The answer to an earlier call with the same idempotency key, with the digest of its request. A call at
/// the same time is waited for, so that the two do not both make something.
pub async fn idempotent_answer(tx: &Tx, user: &str, action: &str, key: &str, since: i64) -> Result<Option<(String, Vec<u8>)>> {
    if !is_sqlite(&**tx) {
        let whole = format!("{user} {action} {key}");
        sql::execute(&**tx, "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", bind![whole]).await?;
    }
    sql::execute(&**tx, "DELETE FROM idempotent_answers WHERE created < $1", bind![since]).await?;
    let query = "SELECT request_digest, answer FROM idempotent_answers WHERE user_uid = $1 AND action = $2 AND idempotency_key = $3";
    let row = sql::first(&**tx, query, bind![user, action, key]).await?;
    row.map(|row| Ok((row.get(0)?, row.get(1)?))).transpose()
}

/// Keeps the answer to a call with an idempotency key.
pub async fn keep_answer(tx: &Tx, user: &str, action: &str, key: &str, digest: &str, answer: Vec<u8>) -> Result<()> {
    sql::execute(
        &**tx,
        "INSERT INTO idempotent_answers (user_uid, action, idempotency_key, request_digest, answer, created) VALUES ($1, $2, $3, $4, $5, $6)",
        bind![user, action, key, digest, Value::from(answer), tx.now()],
    )
    .await?;
    Ok(())
}

/// The permissions of stored names; names that this version does not know are dropped.
pub fn known_permissions(names: &[String]) -> Vec<Permission> {
    names.iter().filter_map(|name| Permission::from_name(name).ok()).collect()
}

fn list(json: &str) -> Vec<String> {
    serde_json::from_str(json).unwrap_or_default()
}

fn json(list: &[String]) -> String {
    serde_json::Value::from(list).to_string()
}
