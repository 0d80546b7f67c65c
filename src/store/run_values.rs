//! What runs logged beside the history of their metrics: params, tags, latest values.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, Value};

use super::inputs::{self, Input};
use super::{StoreError, Tx, sql};
use crate::bind;

type Result<T> = std::result::Result<T, StoreError>;

/// The latest point of a metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latest {
    /// The metric's name.
    pub key: String,
    /// Unix milliseconds.
    pub time: i64,
    /// As the client counts.
    pub step: i64,
    /// In the stored form of `domain::metric_value`.
    pub value: i64,
}

/// What one run logged, each list by key.
#[derive(Debug, Clone, Default)]
pub struct RunValues {
    /// Latest values.
    pub metrics: Vec<Latest>,
    /// Keys and values.
    pub params: Vec<(String, String)>,
    /// Keys and values.
    pub tags: Vec<(String, String)>,
    /// By name and digest of the data set.
    pub inputs: Vec<Input>,
}

/// The values of some runs by the runs' internal ids, with one range of each table for up to 1,000 runs.
pub async fn of_runs<C: ConnectionTrait>(on: &C, runs: &[i64]) -> Result<HashMap<i64, RunValues>> {
    let mut found: HashMap<i64, RunValues> = HashMap::with_capacity(runs.len());
    let latest = "SELECT l.run, k.name, l.time, l.step, l.value FROM latest_metrics l JOIN metric_keys k ON k.id = l.metric WHERE l.run IN";
    for row in in_runs(on, latest, runs).await? {
        let latest = Latest { key: row.get(1)?, time: row.get(2)?, step: row.get(3)?, value: row.get(4)? };
        found.entry(row.get(0)?).or_default().metrics.push(latest);
    }
    for row in in_runs(on, "SELECT run, param_key, value FROM params WHERE run IN", runs).await? {
        found.entry(row.get(0)?).or_default().params.push((row.get(1)?, row.get(2)?));
    }
    for row in in_runs(on, "SELECT run, tag_key, value FROM run_tags WHERE run IN", runs).await? {
        found.entry(row.get(0)?).or_default().tags.push((row.get(1)?, row.get(2)?));
    }
    for (run, inputs) in inputs::of_runs(on, runs).await? {
        found.entry(run).or_default().inputs = inputs;
    }
    for values in found.values_mut() {
        values.metrics.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        values.params.sort_unstable();
        values.tags.sort_unstable();
    }
    Ok(found)
}

/// All rows of a query whose condition is a list of runs.
pub(super) async fn in_runs<C: ConnectionTrait>(on: &C, query: &str, runs: &[i64]) -> Result<Vec<sql::Row>> {
    let mut rows = Vec::new();
    for (width, chunk) in sql::in_widths(runs) {
        let text = format!("{query} {}", sql::rows_of(1, 1, width));
        let values: Vec<Value> = sql::padded(width, chunk).map(|run| (*run).into()).collect();
        rows.extend(sql::all(on, &text, values).await?);
    }
    Ok(rows)
}

/// Inserts params with different keys. What the run has under a key stays; returns the first of `params`,
/// by its index, that has another value there, with that value.
pub async fn insert_params(tx: &Tx, run: i64, params: &[(String, String)]) -> Result<Option<(usize, String)>> {
    let insert = "INSERT INTO params (run, param_key, value) VALUES {rows} ON CONFLICT (run, param_key) DO NOTHING";
    if insert_pairs(tx, insert, run, params).await? == params.len() as u64 {
        return Ok(None);
    }
    let mut stored: HashMap<String, String> = HashMap::with_capacity(params.len());
    for (width, chunk) in sql::in_widths(params) {
        let query = format!("SELECT param_key, value FROM params WHERE run = $1 AND param_key IN {}", sql::rows_of(2, 1, width));
        let mut values: Vec<Value> = vec![run.into()];
        values.extend(sql::padded(width, chunk).map(|(key, _)| Value::from(key.as_str())));
        for row in sql::all(&**tx, &query, values).await? {
            stored.insert(row.get(0)?, row.get(1)?);
        }
    }
    let other = |(index, (key, value)): (usize, &(String, String))| {
        stored.get(key).filter(|stored| *stored != value).map(|stored| (index, stored.clone()))
    };
    Ok(params.iter().enumerate().find_map(other))
}

/// Sets tags with different keys.
pub async fn set_tags(tx: &Tx, run: i64, tags: &[(String, String)]) -> Result<()> {
    let upsert = "INSERT INTO run_tags (run, tag_key, value) VALUES {rows} ON CONFLICT (run, tag_key) DO UPDATE SET value = excluded.value";
    insert_pairs(tx, upsert, run, tags).await?;
    Ok(())
}

/// Inserts pairs with different keys, always in the order of the keys, so that writes of PostgreSQL wait
/// for each other and do not deadlock. Not padded: an upsert must not meet a row twice.
async fn insert_pairs(tx: &Tx, insert: &str, run: i64, pairs: &[(String, String)]) -> Result<u64> {
    let mut sorted: Vec<&(String, String)> = pairs.iter().collect();
    sorted.sort_unstable();
    let mut changed = 0;
    for chunk in sorted.chunks(sql::WIDTHS[4]) {
        let text = insert.replace("{rows}", &sql::rows_of(1, chunk.len(), 3));
        let values: Vec<Value> = chunk.iter().flat_map(|(key, value)| bind![run, key.as_str(), value.as_str()]).collect();
        changed += sql::execute(&**tx, &text, values).await?;
    }
    Ok(changed)
}

/// Deletes a tag; false when there is none.
pub async fn delete_tag(tx: &Tx, run: i64, key: &str) -> Result<bool> {
    Ok(sql::execute(&**tx, "DELETE FROM run_tags WHERE run = $1 AND tag_key = $2", bind![run, key]).await? > 0)
}
