//! Data sets, and which runs used them for what.

use std::collections::{BTreeMap, HashMap, HashSet};

use sea_orm::{ConnectionTrait, Value};

use super::run_values::in_runs;
use super::search::Query;
use super::{StoreError, Tx, sql};
use crate::bind;

type Result<T> = std::result::Result<T, StoreError>;

/// Rows of one statement: data sets have large columns.
const ROWS: usize = 64;

/// A data set as it was first logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset {
    /// With the digest, what it is known by within an experiment.
    pub name: String,
    /// As the client computed it.
    pub digest: String,
    /// What kind of place the source is.
    pub source_type: String,
    /// Where it came from.
    pub source: String,
    /// Its columns.
    pub schema: Option<String>,
    /// Counts and the like.
    pub profile: Option<String>,
}

/// A data set and what a run used it for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// The data set.
    pub dataset: Dataset,
    /// Keys and values, by key.
    pub tags: Vec<(String, String)>,
}

/// Records inputs of a run. Of a data set that the experiment knows, and of an input that the run has,
/// what was stored first stays; so does the first of two alike in `inputs`.
pub async fn insert(tx: &Tx, run: i64, experiment: i64, inputs: &[Input]) -> Result<()> {
    // Ordered, so that writes of PostgreSQL wait for each other and do not deadlock.
    let mut wanted: BTreeMap<(&str, &str), (i64, &Input)> = BTreeMap::new();
    for (place, input) in (0..).zip(inputs) {
        wanted.entry((&input.dataset.name, &input.dataset.digest)).or_insert((place, input));
    }
    let (places, wanted): (Vec<i64>, Vec<&Input>) = wanted.into_values().unzip();
    let mut ids = Vec::with_capacity(wanted.len());
    for chunk in wanted.chunks(ROWS) {
        insert_datasets(tx, experiment, chunk).await?;
        ids.extend(ids_of(tx, experiment, chunk).await?);
    }
    let rows = sql::all(&**tx, "SELECT dataset FROM run_inputs WHERE run = $1", bind![run]).await?;
    let present: HashSet<i64> = rows.iter().map(|row| row.get(0)).collect::<Result<_>>()?;
    let new: Vec<(i64, i64, &Input)> = std::iter::zip(ids, std::iter::zip(places, wanted))
        .filter(|(id, _)| !present.contains(id))
        .map(|(id, (place, input))| (id, present.len() as i64 + place, input))
        .collect();
    for chunk in new.chunks(sql::WIDTHS[4]) {
        let rows = sql::rows_of(1, chunk.len(), 3);
        let insert = format!("INSERT INTO run_inputs (run, dataset, place) VALUES {rows} ON CONFLICT DO NOTHING");
        let values: Vec<Value> = chunk.iter().flat_map(|(dataset, place, _)| bind![run, *dataset, *place]).collect();
        sql::execute(&**tx, &insert, values).await?;
    }
    let tags: Vec<(i64, &(String, String))> = new.iter().flat_map(|(id, _, input)| input.tags.iter().map(|tag| (*id, tag))).collect();
    for chunk in tags.chunks(sql::WIDTHS[4]) {
        let rows = sql::rows_of(1, chunk.len(), 4);
        let insert = format!("INSERT INTO run_input_tags (run, dataset, tag_key, value) VALUES {rows} ON CONFLICT DO NOTHING");
        let values: Vec<Value> =
            chunk.iter().flat_map(|(dataset, (key, value))| bind![run, *dataset, key.as_str(), value.as_str()]).collect();
        sql::execute(&**tx, &insert, values).await?;
    }
    Ok(())
}

async fn insert_datasets(tx: &Tx, experiment: i64, inputs: &[&Input]) -> Result<()> {
    let insert = format!(
        "INSERT INTO datasets (experiment, name, digest, source_type, source, dataset_schema, profile) VALUES {} ON CONFLICT DO NOTHING",
        sql::rows_of(1, inputs.len(), 7)
    );
    let values = inputs.iter().map(|input| &input.dataset).flat_map(|dataset| {
        bind![
            experiment,
            dataset.name.as_str(),
            dataset.digest.as_str(),
            dataset.source_type.as_str(),
            dataset.source.as_str(),
            dataset.schema.clone(),
            dataset.profile.clone(),
        ]
    });
    let values: Vec<Value> = values.collect();
    sql::execute(&**tx, &insert, values).await?;
    Ok(())
}

/// The ids of data sets that are there, in the order of `inputs`.
async fn ids_of(tx: &Tx, experiment: i64, inputs: &[&Input]) -> Result<Vec<i64>> {
    let query = format!(
        "SELECT name, digest, id FROM datasets WHERE experiment = $1 AND (name, digest) IN (VALUES {})",
        sql::rows_of(2, inputs.len(), 2)
    );
    let mut values: Vec<Value> = vec![experiment.into()];
    values.extend(inputs.iter().flat_map(|input| bind![input.dataset.name.as_str(), input.dataset.digest.as_str()]));
    let mut found: HashMap<(String, String), i64> = HashMap::with_capacity(inputs.len());
    for row in sql::all(&**tx, &query, values).await? {
        found.insert((row.get(0)?, row.get(1)?), row.get(2)?);
    }
    let id = |input: &&Input| {
        let id = found.get(&(input.dataset.name.clone(), input.dataset.digest.clone())).copied();
        id.ok_or_else(|| StoreError::Internal("a data set was not stored".to_owned()))
    };
    inputs.iter().map(id).collect()
}

/// The inputs of some runs, in the order in which each logged them.
pub async fn of_runs<C: ConnectionTrait>(on: &C, runs: &[i64]) -> Result<HashMap<i64, Vec<Input>>> {
    let query = "SELECT i.run, i.dataset, d.name, d.digest, d.source_type, d.source, d.dataset_schema, d.profile, i.place \
                 FROM run_inputs i JOIN datasets d ON d.id = i.dataset WHERE i.run IN";
    let rows = in_runs(on, query, runs).await?;
    if rows.is_empty() {
        return Ok(HashMap::new());
    }
    let mut tags: HashMap<(i64, i64), Vec<(String, String)>> = HashMap::new();
    for row in in_runs(on, "SELECT run, dataset, tag_key, value FROM run_input_tags WHERE run IN", runs).await? {
        tags.entry((row.get(0)?, row.get(1)?)).or_default().push((row.get(2)?, row.get(3)?));
    }
    let mut found: HashMap<i64, Vec<(i64, Input)>> = HashMap::new();
    for row in &rows {
        let (run, dataset) = (row.get(0)?, row.get(1)?);
        let mut tags = tags.remove(&(run, dataset)).unwrap_or_default();
        tags.sort_unstable();
        found.entry(run).or_default().push((row.get(8)?, Input { dataset: read(row)?, tags }));
    }
    let in_order = |(run, mut inputs): (i64, Vec<(i64, Input)>)| {
        inputs.sort_by_key(|(place, _)| *place);
        (run, inputs.into_iter().map(|(_, input)| input).collect())
    };
    Ok(found.into_iter().map(in_order).collect())
}

/// A data set that runs of an experiment used, and what for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The experiment's id.
    pub experiment: i64,
    /// The data set's name.
    pub name: String,
    /// The data set's digest.
    pub digest: String,
    /// The input's tag `mlflow.data.context`; empty without one.
    pub context: String,
}

/// The data sets of experiments `x` that a query finds, each with every use once.
pub async fn summaries<C: ConnectionTrait>(on: &C, mut query: Query, limit: i64) -> Result<Vec<Summary>> {
    let limit = query.bind(limit);
    let text = format!(
        "SELECT DISTINCT d.experiment, d.name, d.digest, COALESCE(t.value, '') FROM experiments x \
         JOIN datasets d ON d.experiment = x.id JOIN run_inputs i ON i.dataset = d.id \
         LEFT JOIN run_input_tags t ON t.run = i.run AND t.dataset = i.dataset AND t.tag_key = 'mlflow.data.context' \
         WHERE {} ORDER BY 1, 2, 3, 4 LIMIT {limit}",
        query.condition()
    );
    let read = |row: &sql::Row| Ok(Summary { experiment: row.get(0)?, name: row.get(1)?, digest: row.get(2)?, context: row.get(3)? });
    sql::all(on, &text, query.values).await?.iter().map(read).collect()
}

fn read(row: &sql::Row) -> Result<Dataset> {
    Ok(Dataset {
        name: row.get(2)?,
        digest: row.get(3)?,
        source_type: row.get(4)?,
        source: row.get(5)?,
        schema: row.get(6)?,
        profile: row.get(7)?,
    })
}
