//! What was logged to logged models: params, tags, latest values of metrics on data sets.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use sea_orm::{ConnectionTrait, Value};

use super::key_values::Table;
use super::metrics::later_than;
use super::run_values::in_runs;
use super::{StoreError, Tx, sql};
use crate::bind;
use crate::domain::metric_value::latest_key;

type Result<T> = std::result::Result<T, StoreError>;

const PARAMS: Table = Table { name: "logged_model_params", owner: "model", key: "param_key" };
const TAGS: Table = Table { name: "logged_model_tags", owner: "model", key: "tag_key" };

/// The latest point of a metric on a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latest {
    /// The metric's name.
    pub key: String,
    /// Empty for none.
    pub dataset_name: String,
    /// Empty for none.
    pub dataset_digest: String,
    /// The run that logged it, as clients name it.
    pub run_id: String,
    /// As the client counts.
    pub step: i64,
    /// Unix milliseconds.
    pub time: i64,
    /// In the stored form of `domain::metric_value`.
    pub value: i64,
}

/// What was logged to one logged model, each list by key.
#[derive(Debug, Clone, Default)]
pub struct LoggedModelValues {
    /// Keys and values.
    pub params: Vec<(String, String)>,
    /// Keys and values.
    pub tags: Vec<(String, String)>,
    /// By key and data set.
    pub metrics: Vec<Latest>,
}

/// A point about a logged model, on its way into the table.
#[derive(Debug, Clone)]
pub struct ModelPoint {
    /// The logged model's internal id.
    pub model: i64,
    /// The metric's interned name.
    pub metric: i64,
    /// Empty for none.
    pub dataset_name: String,
    /// Empty for none.
    pub dataset_digest: String,
    /// As the client counts.
    pub step: i64,
    /// Unix milliseconds.
    pub time: i64,
    /// In the stored form of `domain::metric_value`.
    pub value: i64,
}

/// The values of some logged models by their internal ids.
pub async fn of_models<C: ConnectionTrait>(on: &C, models: &[i64]) -> Result<HashMap<i64, LoggedModelValues>> {
    let mut found: HashMap<i64, LoggedModelValues> = HashMap::with_capacity(models.len());
    for row in in_runs(on, "SELECT model, param_key, value FROM logged_model_params WHERE model IN", models).await? {
        found.entry(row.get(0)?).or_default().params.push((row.get(1)?, row.get(2)?));
    }
    for row in in_runs(on, "SELECT model, tag_key, value FROM logged_model_tags WHERE model IN", models).await? {
        found.entry(row.get(0)?).or_default().tags.push((row.get(1)?, row.get(2)?));
    }
    let metrics = "SELECT l.model, k.name, l.dataset_name, l.dataset_digest, r.run_id, l.step, l.time, l.value FROM logged_model_metrics l \
                   JOIN metric_keys k ON k.id = l.metric JOIN runs r ON r.id = l.run WHERE l.model IN";
    for row in in_runs(on, metrics, models).await? {
        let latest = Latest {
            key: row.get(1)?,
            dataset_name: row.get(2)?,
            dataset_digest: row.get(3)?,
            run_id: row.get(4)?,
            step: row.get(5)?,
            time: row.get(6)?,
            value: row.get(7)?,
        };
        found.entry(row.get(0)?).or_default().metrics.push(latest);
    }
    for values in found.values_mut() {
        values.params.sort_unstable();
        values.tags.sort_unstable();
        let by = |latest: &Latest| (latest.key.clone(), latest.dataset_name.clone(), latest.dataset_digest.clone());
        values.metrics.sort_unstable_by_key(by);
    }
    Ok(found)
}

/// Inserts params with different keys. What the model has under a key stays; returns the first of `params`,
/// by its index, that has another value there, with that value.
pub async fn insert_params(tx: &Tx, model: i64, params: &[(String, String)]) -> Result<Option<(usize, String)>> {
    PARAMS.insert_once(tx, model, params).await
}

/// Sets tags with different keys.
pub async fn set_tags(tx: &Tx, model: i64, tags: &[(String, String)]) -> Result<()> {
    TAGS.set(tx, model, tags).await
}

/// A tag's value.
pub async fn tag<C: ConnectionTrait>(on: &C, model: i64, key: &str) -> Result<Option<String>> {
    let row = sql::first(on, "SELECT value FROM logged_model_tags WHERE model = $1 AND tag_key = $2", bind![model, key]).await?;
    row.map(|row| row.get(0)).transpose()
}

/// Deletes a tag; false when there is none.
pub async fn delete_tag(tx: &Tx, model: i64, key: &str) -> Result<bool> {
    TAGS.delete(tx, model, key).await
}

/// Keeps those points of a run that are later than what is stored.
pub async fn log_metrics(tx: &Tx, run: i64, points: &[ModelPoint]) -> Result<()> {
    // By the table's key: each row once in a statement, and in one order for all writers.
    let mut latest: BTreeMap<(i64, i64, &str, &str), &ModelPoint> = BTreeMap::new();
    let order = |point: &ModelPoint| latest_key(point.step, point.time, point.value);
    for point in points {
        let place = latest.entry((point.model, point.metric, &point.dataset_name, &point.dataset_digest)).or_insert(point);
        if order(point) > order(place) {
            *place = point;
        }
    }
    let latest: Vec<&ModelPoint> = latest.into_values().collect();
    for chunk in latest.chunks(sql::WIDTHS[3]) {
        let upsert = format!("{INSERT} VALUES {} {}", sql::rows_of(1, chunk.len(), 8), &*WHEN_LATER);
        let row = |point: &&ModelPoint| {
            bind![
                point.model,
                point.metric,
                point.dataset_name.as_str(),
                point.dataset_digest.as_str(),
                run,
                point.step,
                point.time,
                point.value
            ]
        };
        sql::execute(&**tx, &upsert, chunk.iter().flat_map(row).collect::<Vec<Value>>()).await?;
    }
    Ok(())
}

const INSERT: &str = "INSERT INTO logged_model_metrics (model, metric, dataset_name, dataset_digest, run, step, time, value)";
static WHEN_LATER: LazyLock<String> = LazyLock::new(|| {
    format!(
        "ON CONFLICT (model, metric, dataset_name, dataset_digest) DO UPDATE SET run = excluded.run, step = excluded.step, \
         time = excluded.time, value = excluded.value WHERE {}",
        later_than("logged_model_metrics")
    )
});
