//! Runs. What they logged is in `run_values`, `metrics` and `inputs`.

use std::collections::HashMap;

use sea_orm::ConnectionTrait;

use super::search::Query;
use super::{StoreError, Tx, is_sqlite, sql};
use crate::bind;

type Result<T> = std::result::Result<T, StoreError>;

/// A run as its table holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRow {
    /// Counts up; what other tables refer to. Set by the database.
    pub id: i64,
    /// As clients name it: 32 hexadecimal digits.
    pub run_id: String,
    /// The experiment's id.
    pub experiment: i64,
    /// As shown.
    pub name: String,
    /// The user that the client named.
    pub user_id: String,
    /// The number of the contract's `RunStatus`.
    pub status: i32,
    /// Unix milliseconds.
    pub start_time: i64,
    /// Unix milliseconds.
    pub end_time: Option<i64>,
    /// Not deleted.
    pub active: bool,
    /// The user who created it, by id.
    pub created_by: String,
}

pub(super) const COLUMNS: &str =
    "r.id, r.run_id, r.experiment, r.name, r.user_id, r.status, r.start_time, r.end_time, r.active, r.created_by";
pub(super) const COLUMN_COUNT: usize = 10;

pub(super) fn read(row: &sql::Row) -> Result<RunRow> {
    Ok(RunRow {
        id: row.get(0)?,
        run_id: row.get(1)?,
        experiment: row.get(2)?,
        name: row.get(3)?,
        user_id: row.get(4)?,
        status: row.get(5)?,
        start_time: row.get(6)?,
        end_time: row.get(7)?,
        active: row.get(8)?,
        created_by: row.get(9)?,
    })
}

/// A run by the id that clients know.
pub async fn by_run_id<C: ConnectionTrait>(on: &C, run_id: &str) -> Result<Option<RunRow>> {
    let query = format!("SELECT {COLUMNS} FROM runs r WHERE r.run_id = $1");
    sql::first(on, &query, bind![run_id]).await?.as_ref().map(read).transpose()
}

/// The same for a change of the run itself: no other write changes it until this one has ended.
pub async fn lock(tx: &Tx, run_id: &str) -> Result<Option<RunRow>> {
    let query = format!("SELECT {COLUMNS} FROM runs r WHERE r.run_id = $1{}", locking(tx, "UPDATE"));
    sql::first(&**tx, &query, bind![run_id]).await?.as_ref().map(read).transpose()
}

/// Keeps an experiment from being deleted until this write has ended.
pub async fn hold_experiment(tx: &Tx, experiment: i64) -> Result<()> {
    let query = format!("SELECT id FROM experiments WHERE id = $1{}", locking(tx, "SHARE"));
    sql::first(&**tx, &query, bind![experiment]).await?;
    Ok(())
}

/// SQLite has one writer at a time, so there nothing needs a lock.
fn locking(tx: &Tx, strength: &str) -> String {
    if is_sqlite(&**tx) { String::new() } else { format!(" FOR {strength}") }
}

/// Inserts a run and gives its internal id; the row's own is not looked at.
pub async fn insert(tx: &Tx, run: &RunRow) -> Result<i64> {
    let insert = "INSERT INTO runs (run_id, experiment, name, user_id, status, start_time, end_time, active, created_by, deleted_time) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING id";
    let values = bind![
        run.run_id.as_str(),
        run.experiment,
        run.name.as_str(),
        run.user_id.as_str(),
        run.status,
        run.start_time,
        run.end_time,
        run.active,
        run.created_by.as_str(),
        (!run.active).then(|| tx.now()),
    ];
    sql::one(&**tx, insert, values).await?.get(0)
}

/// Sets what can change of a live run.
pub async fn update(tx: &Tx, run: &RunRow) -> Result<()> {
    let update = "UPDATE runs SET name = $2, status = $3, end_time = $4 WHERE id = $1";
    sql::execute(&**tx, update, bind![run.id, run.name.as_str(), run.status, run.end_time]).await?;
    Ok(())
}

/// Renames a run.
pub async fn rename(tx: &Tx, run: i64, name: &str) -> Result<()> {
    sql::execute(&**tx, "UPDATE runs SET name = $2 WHERE id = $1", bind![run, name]).await?;
    Ok(())
}

/// Deletes or restores a run.
pub async fn set_active(tx: &Tx, run: i64, active: bool) -> Result<()> {
    let deleted = (!active).then(|| tx.now());
    sql::execute(&**tx, "UPDATE runs SET active = $2, deleted_time = $3 WHERE id = $1", bind![run, active, deleted]).await?;
    Ok(())
}

/// The internal ids of the runs of a query, by the ids that clients know.
pub async fn ids<C: ConnectionTrait>(on: &C, query: Query) -> Result<HashMap<String, i64>> {
    let text = format!("SELECT r.run_id, r.id FROM runs r WHERE {}", query.condition());
    sql::all(on, &text, query.values).await?.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
}
