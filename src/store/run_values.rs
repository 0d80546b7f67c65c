//! What runs logged beside the history of their metrics: params, tags, latest values.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, Value};

use super::inputs::{self, Input};
use super::key_values::Table;
use super::model_links::{self, Output};
use super::{StoreError, Tx, sql};
use crate::bind;

type Result<T> = std::result::Result<T, StoreError>;

const PARAMS: Table = Table { name: "params", owner: "run", key: "param_key" };
const TAGS: Table = Table { name: "run_tags", owner: "run", key: "tag_key" };

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
    /// The ids of logged models that it used.
    pub model_inputs: Vec<String>,
    /// Logged models that it made.
    pub model_outputs: Vec<Output>,
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
    for (run, models) in model_links::inputs(on, runs).await? {
        found.entry(run).or_default().model_inputs = models;
    }
    for (run, models) in model_links::outputs(on, runs).await? {
        found.entry(run).or_default().model_outputs = models;
    }
    for values in found.values_mut() {
        values.metrics.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        values.params.sort_unstable();
        values.tags.sort_unstable();
    }
    Ok(found)
}

/// What each of some runs logged, in bytes, roughly as [`of_runs`] holds it. Texts are not read for that. Data sets count
/// for each run that used them, because each is shown with its own.
const BYTES: &str = "SELECT r.id, CAST(\
    (SELECT COALESCE(SUM(OCTET_LENGTH(p.param_key) + OCTET_LENGTH(p.value) + 96), 0) FROM params p WHERE p.run = r.id) \
    + (SELECT COALESCE(SUM(OCTET_LENGTH(t.tag_key) + OCTET_LENGTH(t.value) + 96), 0) FROM run_tags t WHERE t.run = r.id) \
    + (SELECT COUNT(*) * 256 FROM latest_metrics l WHERE l.run = r.id) \
    + (SELECT COALESCE(SUM(OCTET_LENGTH(d.source) + OCTET_LENGTH(COALESCE(d.dataset_schema, '')) \
        + OCTET_LENGTH(COALESCE(d.profile, '')) + 1024), 0) FROM run_inputs i JOIN datasets d ON d.id = i.dataset WHERE i.run = r.id) \
    + (SELECT COALESCE(SUM(OCTET_LENGTH(g.tag_key) + OCTET_LENGTH(g.value) + 128), 0) FROM run_input_tags g WHERE g.run = r.id) \
    AS BIGINT) FROM runs r WHERE r.id IN";

/// How many of some runs, from the first on, logged no more than `most` bytes together; at least one.
pub async fn within<C: ConnectionTrait>(on: &C, runs: &[i64], most: i64) -> Result<usize> {
    let (mut total, mut shown) = (0, 0);
    for some in runs.chunks(sql::WIDTHS[5]) {
        let rows = in_runs(on, BYTES, some).await?;
        let bytes: HashMap<i64, i64> = rows.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect::<Result<_>>()?;
        for run in some {
            total += bytes.get(run).copied().unwrap_or_default();
            if total > most {
                return Ok(shown.max(1));
            }
            shown += 1;
        }
    }
    Ok(shown.max(1))
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
    PARAMS.insert_once(tx, run, params).await
}

/// Sets tags with different keys.
pub async fn set_tags(tx: &Tx, run: i64, tags: &[(String, String)]) -> Result<()> {
    TAGS.set(tx, run, tags).await
}

/// A tag's value.
pub async fn tag<C: ConnectionTrait>(on: &C, run: i64, key: &str) -> Result<Option<String>> {
    let row = sql::first(on, "SELECT value FROM run_tags WHERE run = $1 AND tag_key = $2", bind![run, key]).await?;
    row.map(|row| row.get(0)).transpose()
}

/// Deletes a tag; false when there is none.
pub async fn delete_tag(tx: &Tx, run: i64, key: &str) -> Result<bool> {
    TAGS.delete(tx, run, key).await
}
