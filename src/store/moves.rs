//! Moves: transitions with what gave the right to them, the stages and aliases that they set, and who
//! held a target when.

use sea_orm::ConnectionTrait;

use super::{StoreError, Tx, sql};
use crate::bind;
use crate::clock;
use crate::domain::gate::Gate;

type Result<T> = std::result::Result<T, StoreError>;

/// What gave the right to a move.
#[derive(Debug, Clone)]
pub enum Authority<'a> {
    /// An approved request.
    Request(&'a str),
    /// The mover's own permission.
    Direct,
    /// Another move, to which this one gave way.
    Consequence(i64),
    /// It stood so on the server that it was imported from. No approval stands behind it.
    Import,
}

/// A move of a version to a target, or of a target to nothing.
#[derive(Debug, Clone)]
pub struct Move<'a> {
    /// The registered model.
    pub model_uid: &'a str,
    /// None releases the target.
    pub version_uid: Option<&'a str>,
    /// As written.
    pub target: &'a str,
    /// The stage that it leaves; empty for aliases.
    pub from: &'a str,
    /// What gave the right to it.
    pub authority: Authority<'a>,
    /// The gate that was in force, if one was.
    pub gate: Option<&'a Gate>,
    /// The mover's id.
    pub actor_uid: &'a str,
    /// The mover's name.
    pub actor_name: &'a str,
}

/// Writes a transition and gives its id. Errors with `Refused` when its authority does not hold.
pub async fn insert_transition(tx: &Tx, a_move: &Move<'_>) -> Result<i64> {
    let (authority, request, cause) = match a_move.authority {
        Authority::Request(uid) => ("request", Some(uid.to_owned()), None),
        Authority::Direct => ("direct", None, None),
        Authority::Consequence(id) => ("consequence", None, Some(id)),
        Authority::Import => ("import", None, None),
    };
    let insert = "INSERT INTO transitions (uid, model_uid, version_uid, target, from_target, authority, request_uid, cause, gate_id, \
                  gate_version, actor_uid, actor_name, created) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) RETURNING id";
    let values = bind![
        clock::new_uid(),
        a_move.model_uid,
        a_move.version_uid.map(str::to_owned),
        a_move.target,
        a_move.from,
        authority,
        request,
        cause,
        a_move.gate.map(|gate| gate.gate_id.clone()),
        a_move.gate.map(|gate| i64::from(gate.version)),
        a_move.actor_uid,
        a_move.actor_name,
        tx.now()
    ];
    sql::one(&**tx, insert, values).await?.get(0)
}

/// Puts a version into the stage of a transition.
pub async fn set_stage(tx: &Tx, version_uid: &str, stage: &str, transition: i64) -> Result<()> {
    let update = "UPDATE model_versions SET current_stage = $2, transition_id = $3, updated = $4 WHERE uid = $1";
    sql::execute(&**tx, update, bind![version_uid, stage, transition, tx.now()]).await?;
    Ok(())
}

/// Points an alias at the version of a transition.
pub async fn set_alias(tx: &Tx, model_uid: &str, alias: &str, version_uid: &str, transition: i64) -> Result<()> {
    let update = "UPDATE model_aliases SET version_uid = $3, transition_id = $4 WHERE model_uid = $1 AND alias = $2";
    if sql::execute(&**tx, update, bind![model_uid, alias, version_uid, transition]).await? == 0 {
        let insert = "INSERT INTO model_aliases (model_uid, alias, target, version_uid, transition_id) VALUES ($1, $2, $3, $4, $5)";
        sql::execute(&**tx, insert, bind![model_uid, alias, format!("@{alias}"), version_uid, transition]).await?;
    }
    Ok(())
}

/// Deletes an alias that a transition released.
pub async fn delete_alias(tx: &Tx, model_uid: &str, alias: &str) -> Result<()> {
    sql::execute(&**tx, "DELETE FROM model_aliases WHERE model_uid = $1 AND alias = $2", bind![model_uid, alias]).await?;
    Ok(())
}

/// The version that holds a target now, by id.
pub async fn holder<C: ConnectionTrait>(on: &C, model_uid: &str, target: &str) -> Result<Option<String>> {
    let query = "SELECT version_uid FROM holdings WHERE model_uid = $1 AND target = $2 AND until_time IS NULL";
    let row = sql::first(on, query, bind![model_uid, target]).await?;
    row.map(|row| row.get(0)).transpose()
}

/// Ends the present holding of a target. Times of one target never run backwards, even if the clock does.
pub async fn end_holding(tx: &Tx, model_uid: &str, target: &str) -> Result<()> {
    let update = "UPDATE holdings SET until_time = CASE WHEN from_time > $3 THEN from_time ELSE $3 END \
                  WHERE model_uid = $1 AND target = $2 AND until_time IS NULL";
    sql::execute(&**tx, update, bind![model_uid, target, tx.now()]).await?;
    Ok(())
}

/// Begins a holding.
pub async fn begin_holding(tx: &Tx, model_uid: &str, target: &str, version_uid: &str, transition: i64) -> Result<()> {
    let insert = "INSERT INTO holdings (model_uid, target, version_uid, from_time, transition_id) SELECT $1, $2, $3, \
                  CASE WHEN COALESCE(MAX(until_time), 0) > $4 THEN MAX(until_time) ELSE $4 END, $5 \
                  FROM holdings WHERE model_uid = $1 AND target = $2";
    sql::execute(&**tx, insert, bind![model_uid, target, version_uid, tx.now(), transition]).await?;
    Ok(())
}

/// Targets of a model that are held now.
pub async fn held_in<C: ConnectionTrait>(on: &C, model_uid: &str) -> Result<Vec<String>> {
    let query = "SELECT target FROM holdings WHERE model_uid = $1 AND until_time IS NULL ORDER BY target";
    sql::all(on, query, bind![model_uid]).await?.iter().map(|row| row.get(0)).collect()
}

/// A span of time in which a version held a target.
#[derive(Debug, Clone)]
pub struct HoldingRow {
    /// Counts up.
    pub id: i64,
    /// As written.
    pub target: String,
    /// The version's number.
    pub version: i64,
    /// Unix milliseconds.
    pub from_time: i64,
    /// Unix milliseconds.
    pub until_time: Option<i64>,
    /// `request`, `direct`, `consequence` or `import`.
    pub authority: String,
    /// The request that moved it there.
    pub request_uid: Option<String>,
    /// Who moved it there.
    pub moved_by: String,
}

/// Which holdings to list.
#[derive(Debug, Clone, Copy)]
pub struct HoldingFilter<'a> {
    /// The registered model.
    pub model_uid: &'a str,
    /// Empty for all.
    pub target: &'a str,
    /// Only the holdings of that moment, in Unix milliseconds.
    pub at: Option<i64>,
    /// Only those that began before (time, id).
    pub before: (i64, i64),
}

/// Holdings of a model, the newest first.
pub async fn holdings<C: ConnectionTrait>(on: &C, filter: &HoldingFilter<'_>, limit: u64) -> Result<Vec<HoldingRow>> {
    let query = "SELECT h.id, h.target, v.version, h.from_time, h.until_time, t.authority, t.request_uid, t.actor_name \
                 FROM holdings h JOIN model_versions v ON v.uid = h.version_uid JOIN transitions t ON t.id = h.transition_id \
                 WHERE h.model_uid = $1 AND ($2 = '' OR h.target = $2) \
                 AND ($3 < 0 OR h.from_time <= $3 AND (h.until_time IS NULL OR h.until_time > $3)) \
                 AND (h.from_time < $4 OR h.from_time = $4 AND h.id < $5) ORDER BY h.from_time DESC, h.id DESC LIMIT $6";
    let values = bind![filter.model_uid, filter.target, filter.at.unwrap_or(-1), filter.before.0, filter.before.1, limit.cast_signed()];
    let read = |row: &sql::Row| {
        Ok(HoldingRow {
            id: row.get(0)?,
            target: row.get(1)?,
            version: row.get(2)?,
            from_time: row.get(3)?,
            until_time: row.get(4)?,
            authority: row.get(5)?,
            request_uid: row.get(6)?,
            moved_by: row.get(7)?,
        })
    };
    sql::all(on, query, values).await?.iter().map(read).collect()
}
