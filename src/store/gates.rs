//! Gates: which one protects a target of a model is told by the database's view `gates_in_force`, to this code and
//! to the triggers alike.

use sea_orm::ConnectionTrait;

use super::{StoreError, sql};
use crate::bind;
use crate::domain::gate::Gate;

type Result<T> = std::result::Result<T, StoreError>;

const COLUMNS: &str =
    "gate_id, version, target, model_pattern, approvals_required, direct_moves_allowed, expires_after, common_maker_allowed";

/// The gate in force on a target of a model.
pub async fn in_force<C: ConnectionTrait>(on: &C, model_uid: &str, target: &str) -> Result<Option<Gate>> {
    let query = format!("SELECT {COLUMNS}, author_person_uid FROM gates_in_force WHERE model_uid = $1 AND target = $2");
    sql::first(on, &query, bind![model_uid, target]).await?.as_ref().map(read).transpose()
}

/// All gates in force on a model, by their targets.
pub async fn all_in_force<C: ConnectionTrait>(on: &C, model_uid: &str) -> Result<Vec<Gate>> {
    let query = format!("SELECT {COLUMNS}, author_person_uid FROM gates_in_force WHERE model_uid = $1 ORDER BY target");
    sql::all(on, &query, bind![model_uid]).await?.iter().map(read).collect()
}

/// The persons who gave up a gate that protected a target of a model.
pub async fn ended_by<C: ConnectionTrait>(on: &C, model_uid: &str, target: &str) -> Result<Vec<String>> {
    let query = "SELECT DISTINCT author_person_uid FROM gates_ended WHERE model_uid = $1 AND target = $2 ORDER BY author_person_uid";
    sql::all(on, query, bind![model_uid, target]).await?.iter().map(|row| row.get(0)).collect()
}

/// A gate in one of its versions, in force or not.
pub async fn in_version<C: ConnectionTrait>(on: &C, gate_id: &str, version: i32) -> Result<Option<Gate>> {
    let query = format!(
        "SELECT {COLUMNS}, (SELECT u.person_uid FROM users u WHERE u.uid = g.created_by) FROM gates g WHERE g.gate_id = $1 AND g.version = $2"
    );
    sql::first(on, &query, bind![gate_id, i64::from(version)]).await?.as_ref().map(read).transpose()
}

/// All versions of all gates, and whether each protects something as long as no newer one is there.
pub async fn all<C: ConnectionTrait>(on: &C) -> Result<Vec<(Gate, bool)>> {
    let query = format!("SELECT {COLUMNS}, NULL, active FROM gates");
    sql::all(on, &query, []).await?.iter().map(|row| Ok((read(row)?, row.get(9)?))).collect()
}

fn read(row: &sql::Row) -> Result<Gate> {
    let narrow = |number: i64| i32::try_from(number).map_err(|_| StoreError::Internal("a gate's number is out of range".to_owned()));
    Ok(Gate {
        gate_id: row.get(0)?,
        version: narrow(row.get(1)?)?,
        target: row.get(2)?,
        model_pattern: row.get(3)?,
        approvals_required: narrow(row.get(4)?)?,
        direct_moves_allowed: row.get(5)?,
        expires_after_ms: row.get(6)?,
        common_maker_allowed: row.get(7)?,
        author_person: row.get(8)?,
    })
}

#[cfg(test)]
#[path = "gates_tests.rs"]
mod tests;
