//! Users, groups, personas, grants and tokens, and the snapshot of them all.

mod credentials;
mod keys;
mod makers;
mod tokens;
mod users;

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, Value};

pub use credentials::*;
pub use keys::*;
pub use makers::*;
pub use tokens::*;
pub use users::*;

use super::{StoreError, Tx, is_sqlite, sql};
use crate::bind;
use crate::contract::Permission;
use crate::domain::access::{Effect, Grant, Group, Persona, Principal, Right, Scope, Snapshot, User, UserKind};
use crate::domain::ledger::GrantNow;

type Result<T> = std::result::Result<T, StoreError>;

/// By how much the clocks of replicas may differ: five minutes.
const CLOCKS_DIFFER_MS: i64 = 300_000;

/// The count of changes of access.
pub async fn epoch<C: ConnectionTrait>(on: &C) -> Result<i64> {
    sql::one(on, "SELECT epoch FROM access_epoch WHERE id = 1", []).await?.get(0)
}

/// Holds the epoch until the transaction ends: a change of access that began earlier is waited for, and a later one waits.
/// On SQLite one transaction writes at a time anyway.
pub async fn hold_epoch(tx: &Tx) -> Result<()> {
    if !is_sqlite(&**tx) {
        sql::one(&**tx, "SELECT epoch FROM access_epoch WHERE id = 1 FOR SHARE", []).await?;
    }
    Ok(())
}

/// Raises the epoch: every replica takes a new snapshot within its poll.
pub async fn raise_epoch(tx: &Tx) -> Result<()> {
    sql::execute(&**tx, "UPDATE access_epoch SET epoch = epoch + 1 WHERE id = 1", []).await?;
    Ok(())
}

/// Who is who, now. The epoch is read first: a change in between makes the snapshot look older than it is.
pub async fn snapshot<C: ConnectionTrait>(on: &C, now: i64) -> Result<Snapshot> {
    let mut snapshot = Snapshot { epoch: epoch(on).await?, ..Snapshot::default() };
    let users = "SELECT uid, name, kind, person_uid, active, CAST(CASE WHEN password_hash IS NULL THEN 0 ELSE 1 END AS BIGINT), generation, \
                 password_temporary FROM users";
    for row in sql::all(on, users, []).await? {
        let kind: String = row.get(2)?;
        let user = User {
            uid: row.get(0)?,
            name: row.get(1)?,
            kind: UserKind::parse(&kind),
            person_uid: row.get(3)?,
            active: row.get(4)?,
            signs_in: row.get::<i64>(5)? == 1,
            generation: row.get(6)?,
            password_temporary: row.get(7)?,
            makers: Vec::new(),
        };
        snapshot.users.insert(user.uid.clone(), user);
    }
    for (user, maker) in makers(on).await? {
        if let Some(user) = snapshot.users.get_mut(&user) {
            user.makers.push(maker);
        }
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
    let columns = GrantNow::from(grant);
    sql::execute(
        &**tx,
        "INSERT INTO grants (uid, principal_kind, principal_uid, persona, scope_kind, scope_value, targets, effect, created, created_by) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        bind![
            grant.uid.as_str(),
            columns.principal_kind,
            columns.principal_id,
            columns.persona,
            columns.scope_kind,
            columns.scope,
            json(&columns.targets),
            columns.effect,
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
