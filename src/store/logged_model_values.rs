//! What was logged to logged models: params and tags; and about them: points of runs.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, Value};

use super::key_values::Table;
use super::run_values::in_runs;
use super::search::Query;
use super::{StoreError, Tx, sql};
use crate::bind;

type Result<T> = std::result::Result<T, StoreError>;

const PARAMS: Table = Table { name: "logged_model_params", owner: "model", key: "param_key" };
const TAGS: Table = Table { name: "logged_model_tags", owner: "model", key: "tag_key" };

/// A point that a run logged about a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PointShown {
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
    /// The uid of the user who logged it; empty when it came with an import.
    pub logged_by: String,
}

/// What was logged to one logged model, each list by key.
#[derive(Debug, Clone, Default)]
pub struct LoggedModelValues {
    /// Keys and values.
    pub params: Vec<(String, String)>,
    /// Keys and values.
    pub tags: Vec<(String, String)>,
    /// By key, and of one key from the earliest to the latest.
    pub metrics: Vec<PointShown>,
}

/// A point about a logged model, on its way into the table. Sorts as the table's key, but for the run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ModelPoint {
    /// The logged model's internal id.
    pub model: i64,
    /// The metric's interned name.
    pub metric: i64,
    /// Unix milliseconds.
    pub time: i64,
    /// As the client counts.
    pub step: i64,
    /// Empty for none.
    pub dataset_name: String,
    /// Empty for none.
    pub dataset_digest: String,
    /// In the stored form of `domain::metric_value`.
    pub value: i64,
}

/// The values of some logged models by their internal ids. Of each metric of a model at most the latest `points` are read,
/// of the runs that `readable` leaves, a condition on the alias `r`.
pub async fn of_models<C: ConnectionTrait>(
    on: &C,
    models: &[i64],
    readable: Query,
    points: i64,
) -> Result<HashMap<i64, LoggedModelValues>> {
    let mut found: HashMap<i64, LoggedModelValues> = HashMap::with_capacity(models.len());
    for row in in_runs(on, "SELECT model, param_key, value FROM logged_model_params WHERE model IN", models).await? {
        found.entry(row.get(0)?).or_default().params.push((row.get(1)?, row.get(2)?));
    }
    for row in in_runs(on, "SELECT model, tag_key, value FROM logged_model_tags WHERE model IN", models).await? {
        found.entry(row.get(0)?).or_default().tags.push((row.get(1)?, row.get(2)?));
    }
    for (width, chunk) in sql::in_widths(models) {
        let mut query = readable.clone();
        let places: Vec<String> = sql::padded(width, chunk).map(|model| query.bind(*model)).collect();
        query.and(format!("l.model IN ({})", places.join(", ")));
        let most = query.bind(points);
        let text = format!(
            "SELECT model, name, dataset_name, dataset_digest, run_id, step, time, value, logged_by FROM (\
               SELECT l.model, k.name, l.dataset_name, l.dataset_digest, r.run_id, l.step, l.time, l.value, l.logged_by, ROW_NUMBER() OVER (\
                 PARTITION BY l.model, l.metric ORDER BY l.time DESC, l.step DESC, l.run DESC, l.dataset_name, l.dataset_digest, l.value\
               ) AS place FROM logged_model_metrics l JOIN metric_keys k ON k.id = l.metric JOIN runs r ON r.id = l.run WHERE {}\
             ) points WHERE place <= {most} ORDER BY model, name, place DESC",
            query.condition()
        );
        for row in sql::all(on, &text, query.values).await? {
            let point = PointShown {
                key: row.get(1)?,
                dataset_name: row.get(2)?,
                dataset_digest: row.get(3)?,
                run_id: row.get(4)?,
                step: row.get(5)?,
                time: row.get(6)?,
                value: row.get(7)?,
                logged_by: row.get(8)?,
            };
            found.entry(row.get(0)?).or_default().metrics.push(point);
        }
    }
    for values in found.values_mut() {
        values.params.sort_unstable();
        values.tags.sort_unstable();
        // By bytes, however the database compares texts; of one key the order stays.
        values.metrics.sort_by(|one, next| one.key.cmp(&next.key));
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

/// Keeps points that a user logged to a run; those that are there already stay as they are.
pub async fn log_metrics(tx: &Tx, run: i64, logged_by: &str, points: &[ModelPoint]) -> Result<()> {
    // In one order for all writers.
    let mut sorted: Vec<&ModelPoint> = points.iter().collect();
    sorted.sort_unstable();
    sorted.dedup();
    for chunk in sorted.chunks(sql::WIDTHS[4]) {
        let insert = format!("{INSERT} VALUES {} ON CONFLICT DO NOTHING", sql::rows_of(1, chunk.len(), 9));
        let row = |point: &&ModelPoint| {
            bind![
                point.model,
                point.metric,
                point.time,
                point.step,
                run,
                point.dataset_name.as_str(),
                point.dataset_digest.as_str(),
                point.value,
                logged_by
            ]
        };
        sql::execute(&**tx, &insert, chunk.iter().flat_map(row).collect::<Vec<Value>>()).await?;
    }
    Ok(())
}

const INSERT: &str = "INSERT INTO logged_model_metrics (model, metric, time, step, run, dataset_name, dataset_digest, value, logged_by)";
