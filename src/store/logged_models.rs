//! Logged models. Their params, tags and metrics are in `logged_model_values`, their files in `artifacts`.

use std::collections::HashMap;

use sea_orm::ConnectionTrait;

use super::search::{Cursor, Order, Query};
use super::{StoreError, Tx, is_sqlite, sql};
use crate::bind;

type Result<T> = std::result::Result<T, StoreError>;

/// A logged model as its table holds it, with the id of its source run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedModelRow {
    /// Counts up; what other tables refer to. Set by the database.
    pub id: i64,
    /// As clients name it: `m-` and 32 hexadecimal digits.
    pub model_id: String,
    /// The experiment's id.
    pub experiment: i64,
    /// As shown; not unique.
    pub name: String,
    /// Not interpreted; possibly empty.
    pub model_type: String,
    /// The internal id of the run that made it.
    pub source_run: Option<i64>,
    /// The id of that run as clients know it; empty without one.
    pub source_run_id: String,
    /// The number of the contract's `LoggedModelStatus`.
    pub status: i32,
    /// Not deleted.
    pub active: bool,
    /// Unix milliseconds.
    pub created: i64,
    /// Unix milliseconds.
    pub updated: i64,
    /// The user who created it, by id.
    pub created_by: String,
}

const COLUMNS: &str = "g.id, g.model_id, g.experiment, g.name, g.model_type, g.source_run, COALESCE(s.run_id, ''), g.status, \
                       g.active, g.created, g.updated, g.created_by";
const COLUMN_COUNT: usize = 12;
const FROM: &str = "FROM logged_models g LEFT JOIN runs s ON s.id = g.source_run";

fn read(row: &sql::Row) -> Result<LoggedModelRow> {
    Ok(LoggedModelRow {
        id: row.get(0)?,
        model_id: row.get(1)?,
        experiment: row.get(2)?,
        name: row.get(3)?,
        model_type: row.get(4)?,
        source_run: row.get(5)?,
        source_run_id: row.get(6)?,
        status: row.get(7)?,
        active: row.get(8)?,
        created: row.get(9)?,
        updated: row.get(10)?,
        created_by: row.get(11)?,
    })
}

/// A logged model, deleted or not, by the id that clients know.
pub async fn by_model_id<C: ConnectionTrait>(on: &C, model_id: &str) -> Result<Option<LoggedModelRow>> {
    let query = format!("SELECT {COLUMNS} {FROM} WHERE g.model_id = $1");
    sql::first(on, &query, bind![model_id]).await?.as_ref().map(read).transpose()
}

/// The same for a change of it: no other write changes it until this one has ended.
pub async fn lock(tx: &Tx, model_id: &str) -> Result<Option<LoggedModelRow>> {
    let locking = if is_sqlite(&**tx) { "" } else { " FOR UPDATE OF g" };
    let query = format!("SELECT {COLUMNS} {FROM} WHERE g.model_id = $1{locking}");
    sql::first(&**tx, &query, bind![model_id]).await?.as_ref().map(read).transpose()
}

/// Of some ids that clients sent, those of logged models that are not deleted, with their internal ids.
pub async fn live<C: ConnectionTrait>(on: &C, model_ids: &[&str]) -> Result<HashMap<String, i64>> {
    let mut found = HashMap::with_capacity(model_ids.len());
    for (width, run) in sql::in_widths(model_ids) {
        let query = format!("SELECT model_id, id FROM logged_models WHERE active = TRUE AND model_id IN {}", sql::rows_of(1, 1, width));
        for row in sql::all(on, &query, sql::padded(width, run).map(|id| (*id).into())).await? {
            found.insert(row.get(0)?, row.get(1)?);
        }
    }
    Ok(found)
}

/// The ids of the newest logged models that a run made under a name, without deleted ones, at most so many.
pub async fn of_run<C: ConnectionTrait>(on: &C, run: i64, name: &str, most: i64) -> Result<Vec<String>> {
    let query =
        "SELECT model_id FROM logged_models WHERE source_run = $1 AND name = $2 AND active = TRUE ORDER BY created DESC, model_id LIMIT $3";
    sql::all(on, query, bind![run, name, most]).await?.iter().map(|row| row.get(0)).collect()
}

/// Inserts a logged model and gives its internal id; the row's own is not looked at.
pub async fn insert(tx: &Tx, model: &LoggedModelRow) -> Result<i64> {
    let insert = "INSERT INTO logged_models (model_id, experiment, name, model_type, source_run, status, active, created, updated, created_by) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9) RETURNING id";
    let values = bind![
        model.model_id.as_str(),
        model.experiment,
        model.name.as_str(),
        model.model_type.as_str(),
        model.source_run,
        model.status,
        model.active,
        model.created,
        model.created_by.as_str(),
    ];
    sql::one(&**tx, insert, values).await?.get(0)
}

/// Sets what can change of a logged model.
pub async fn update(tx: &Tx, model: &LoggedModelRow) -> Result<()> {
    let update = "UPDATE logged_models SET status = $2, active = $3, updated = $4 WHERE id = $1";
    sql::execute(&**tx, update, bind![model.id, model.status, model.active, model.updated]).await?;
    Ok(())
}

/// The logged models of a query, in its order, each with the cursor of a page that ends at it.
pub async fn search<C: ConnectionTrait>(on: &C, mut query: Query, order: &Order, limit: u64) -> Result<Vec<(LoggedModelRow, Vec<Cursor>)>> {
    let limit = query.bind(limit.cast_signed());
    let text =
        format!("SELECT {COLUMNS}, {} {FROM} WHERE {} ORDER BY {} LIMIT {limit}", order.columns(), query.condition(), order.clause());
    sql::all(on, &text, query.values).await?.iter().map(|row| Ok((read(row)?, order.cursor(row, COLUMN_COUNT)?))).collect()
}
