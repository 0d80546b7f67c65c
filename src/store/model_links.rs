//! Which logged models runs used, and which they made.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, Value};

use super::run_values::in_runs;
use super::{StoreError, Tx, sql};
use crate::bind;

type Result<T> = std::result::Result<T, StoreError>;

/// A logged model that a run made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Output {
    /// The run's step at which it was made.
    pub step: i64,
    /// As clients name the logged model.
    pub model_id: String,
}

/// Records logged models, by their internal ids, that a run used. What the run has already stays.
pub async fn insert_inputs(tx: &Tx, run: i64, models: &[i64]) -> Result<()> {
    // Ordered, so that writes of PostgreSQL wait for each other and do not deadlock.
    let mut sorted = models.to_vec();
    sorted.sort_unstable();
    for chunk in sorted.chunks(sql::WIDTHS[4]) {
        let insert = format!("INSERT INTO run_model_inputs (run, model) VALUES {} ON CONFLICT DO NOTHING", sql::rows_of(1, chunk.len(), 2));
        let values: Vec<Value> = chunk.iter().flat_map(|model| bind![run, *model]).collect();
        sql::execute(&**tx, &insert, values).await?;
    }
    Ok(())
}

/// Records logged models that a run made, each an internal id and a step. Returns the first, by its internal
/// id, that the run has already with another step.
pub async fn insert_outputs(tx: &Tx, run: i64, models: &[(i64, i64)]) -> Result<Option<i64>> {
    let mut sorted = models.to_vec();
    sorted.sort_unstable();
    for (model, step) in sorted {
        let insert = "INSERT INTO run_model_outputs (run, model, step) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
        if sql::execute(&**tx, insert, bind![run, model, step]).await? == 0 {
            let stored = "SELECT 1 FROM run_model_outputs WHERE run = $1 AND model = $2 AND step = $3";
            if sql::first(&**tx, stored, bind![run, model, step]).await?.is_none() {
                return Ok(Some(model));
            }
        }
    }
    Ok(None)
}

/// The ids of logged models that some runs used, in their order.
pub(super) async fn inputs<C: ConnectionTrait>(on: &C, runs: &[i64]) -> Result<HashMap<i64, Vec<String>>> {
    let query = "SELECT i.run, g.model_id FROM run_model_inputs i JOIN logged_models g ON g.id = i.model WHERE i.run IN";
    let mut found: HashMap<i64, Vec<String>> = HashMap::new();
    for row in in_runs(on, query, runs).await? {
        found.entry(row.get(0)?).or_default().push(row.get(1)?);
    }
    found.values_mut().for_each(|models| models.sort_unstable());
    Ok(found)
}

/// The logged models that some runs made, by step.
pub(super) async fn outputs<C: ConnectionTrait>(on: &C, runs: &[i64]) -> Result<HashMap<i64, Vec<Output>>> {
    let query = "SELECT o.run, o.step, g.model_id FROM run_model_outputs o JOIN logged_models g ON g.id = o.model WHERE o.run IN";
    let mut found: HashMap<i64, Vec<Output>> = HashMap::new();
    for row in in_runs(on, query, runs).await? {
        found.entry(row.get(0)?).or_default().push(Output { step: row.get(1)?, model_id: row.get(2)? });
    }
    found.values_mut().for_each(|models| models.sort_unstable());
    Ok(found)
}
