//! Removing for good what was deleted. Rows that others are bound to by what they promise stay, as the rules say.

use sea_orm::{ConnectionTrait, Value};

use super::{Store, StoreError, Tx, Unrecorded, sql};
use crate::bind;

type Result<T> = std::result::Result<T, StoreError>;

/// Metric points that go in one write: few enough that others do not wait for it.
const POINTS: i64 = 20_000;

/// A version that something must stay for.
#[derive(Debug, Clone)]
pub struct Bound {
    /// The registered model's name.
    pub model: String,
    /// The number.
    pub version: i64,
    /// It was asked for or moved under a gate, whether it is there or not.
    pub gated: bool,
}

/// What a version was made of.
#[derive(Debug, Clone, Copy)]
pub enum Source {
    /// A run, by its internal id.
    Run(i64),
    /// A logged model, by its internal id.
    LoggedModel(i64),
    /// Anything in an experiment.
    Experiment(i64),
}

/// Something that was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deleted {
    /// The internal id.
    pub id: i64,
    /// As clients know it.
    pub public_id: String,
    /// The experiment that it is in, or is.
    pub experiment: i64,
}

/// A file of something that goes: the blob's uid and its bytes.
pub type GoneFile = (String, i64);

/// The first version made of a source that is there, or was ever promoted under a gate.
pub async fn bound<C: ConnectionTrait>(on: &C, source: Source) -> Result<Option<Bound>> {
    let (made_of_it, id) = match source {
        Source::Run(id) => ("v.run = $1", id),
        Source::LoggedModel(id) => ("v.logged_model = $1", id),
        Source::Experiment(id) => (
            "(v.run IN (SELECT r.id FROM runs r WHERE r.experiment = $1) \
             OR v.logged_model IN (SELECT g.id FROM logged_models g WHERE g.experiment = $1))",
            id,
        ),
    };
    let query = format!(
        "SELECT name, version, gated FROM (SELECT m.name, v.version, v.deleted, CAST(CASE WHEN EXISTS (\
           SELECT 1 FROM versions_gated g WHERE g.version_uid = v.uid) THEN 1 ELSE 0 END AS BIGINT) AS gated \
           FROM model_versions v JOIN registered_models m ON m.uid = v.model_uid WHERE {made_of_it}) made \
         WHERE deleted IS NULL OR gated = 1 ORDER BY gated DESC, name, version LIMIT 1"
    );
    let read = |row: sql::Row| Ok(Bound { model: row.get(0)?, version: row.get(1)?, gated: row.get::<i64>(2)? == 1 });
    sql::first(on, &query, bind![id]).await?.map(read).transpose()
}

/// The logged models that a run made, and whether each is live.
pub async fn models_of_run<C: ConnectionTrait>(on: &C, run: i64) -> Result<Vec<(Deleted, bool)>> {
    let query = "SELECT id, model_id, experiment, active FROM logged_models WHERE source_run = $1 ORDER BY id";
    sql::all(on, query, bind![run]).await?.iter().map(|row| Ok((deleted(row)?, row.get(3)?))).collect()
}

/// Runs and logged models of an experiment, at most so many of each.
pub async fn of_experiment<C: ConnectionTrait>(on: &C, experiment: i64, limit: u64) -> Result<(Vec<Deleted>, Vec<Deleted>)> {
    let list = async |query: &str| {
        let found = sql::all(on, query, bind![experiment, limit.cast_signed()]).await?;
        found.iter().map(deleted).collect::<Result<Vec<_>>>()
    };
    let models = list("SELECT id, model_id, experiment FROM logged_models WHERE experiment = $1 ORDER BY id LIMIT $2").await?;
    Ok((list("SELECT id, run_id, experiment FROM runs WHERE experiment = $1 ORDER BY id LIMIT $2").await?, models))
}

/// How many runs and logged models are in an experiment.
pub async fn counts_of_experiment<C: ConnectionTrait>(on: &C, experiment: i64) -> Result<(i64, i64)> {
    let query =
        "SELECT (SELECT COUNT(*) FROM runs r WHERE r.experiment = $1), (SELECT COUNT(*) FROM logged_models g WHERE g.experiment = $1)";
    let row = sql::one(on, query, bind![experiment]).await?;
    Ok((row.get(0)?, row.get(1)?))
}

/// Which kind of deleted things is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Logged models.
    LoggedModels,
    /// Runs.
    Runs,
    /// Experiments.
    Experiments,
}

/// What was deleted until a time, after an internal id, in some experiments or, with none given, in all.
pub async fn deleted_until<C: ConnectionTrait>(
    on: &C,
    kind: Kind,
    (until, after): (i64, i64),
    experiments: &[i64],
    limit: u64,
) -> Result<Vec<Deleted>> {
    let (columns, table, condition, experiment) = match kind {
        Kind::LoggedModels => ("id, model_id, experiment", "logged_models", "active = FALSE AND updated <= $1", "experiment"),
        Kind::Runs => ("id, run_id, experiment", "runs", "deleted_time <= $1", "experiment"),
        Kind::Experiments => {
            ("id, CAST(id AS TEXT) AS public_id, id AS experiment", "experiments", "active = FALSE AND updated <= $1", "id")
        }
    };
    let mut query = format!("SELECT {columns} FROM {table} WHERE {condition} AND id > $2");
    let mut values: Vec<Value> = bind![until, after, limit.cast_signed()].into();
    if !experiments.is_empty() {
        query = format!("{query} AND {experiment} IN {}", sql::rows_of(4, 1, experiments.len()));
        values.extend(experiments.iter().map(|id| Value::from(*id)));
    }
    sql::all(on, &format!("{query} ORDER BY id LIMIT $3"), values).await?.iter().map(deleted).collect()
}

fn deleted(row: &sql::Row) -> Result<Deleted> {
    Ok(Deleted { id: row.get(0)?, public_id: row.get(1)?, experiment: row.get(2)? })
}

/// Removes a run, all but its metric points; gives its files. See [`Store::sweep`] for the points.
pub async fn run(tx: &Tx, id: i64) -> Result<Vec<GoneFile>> {
    let files = files(tx, "run_artifacts", "run", id.into()).await?;
    for table in [
        "params",
        "run_tags",
        "latest_metrics",
        "run_inputs",
        "run_input_tags",
        "run_model_inputs",
        "run_model_outputs",
        "logged_model_metrics",
    ] {
        sql::execute(&**tx, &format!("DELETE FROM {table} WHERE run = $1"), bind![id]).await?;
    }
    sql::execute(&**tx, "INSERT INTO purged_runs (run) VALUES ($1)", bind![id]).await?;
    sql::execute(&**tx, "DELETE FROM runs WHERE id = $1", bind![id]).await?;
    forget_import(tx, "run", id).await?;
    Ok(files)
}

/// Removes a logged model; gives its files.
pub async fn logged_model(tx: &Tx, id: i64) -> Result<Vec<GoneFile>> {
    let files = files(tx, "logged_model_artifacts", "model", id.into()).await?;
    for table in ["logged_model_params", "logged_model_tags", "logged_model_metrics", "run_model_inputs", "run_model_outputs"] {
        sql::execute(&**tx, &format!("DELETE FROM {table} WHERE model = $1"), bind![id]).await?;
    }
    sql::execute(&**tx, "DELETE FROM logged_models WHERE id = $1", bind![id]).await?;
    forget_import(tx, "logged_model", id).await?;
    Ok(files)
}

/// Removes an experiment that has neither runs nor logged models any more; gives the grants on it, which go with it.
pub async fn experiment(tx: &Tx, id: i64) -> Result<Vec<String>> {
    for table in ["datasets", "experiment_tags"] {
        sql::execute(&**tx, &format!("DELETE FROM {table} WHERE experiment = $1"), bind![id]).await?;
    }
    let grants = "DELETE FROM grants WHERE scope_kind = 'EXPERIMENT' AND scope_value = $1 RETURNING uid";
    let grants = sql::all(&**tx, grants, bind![id.to_string()]).await?.iter().map(|row| row.get(0)).collect::<Result<_>>()?;
    sql::execute(&**tx, "DELETE FROM experiments WHERE id = $1", bind![id]).await?;
    forget_import(tx, "experiment", id).await?;
    Ok(grants)
}

/// Removes files, tags, description and comments of a deleted version; gives the files. Errors with `Refused` when it was
/// ever promoted under a gate.
pub async fn version(tx: &Tx, uid: &str) -> Result<Vec<GoneFile>> {
    let update = "UPDATE model_versions SET purged = $2, description = '' WHERE uid = $1";
    sql::execute(&**tx, update, bind![uid, tx.now()]).await?;
    for table in ["model_version_tags", "comments"] {
        sql::execute(&**tx, &format!("DELETE FROM {table} WHERE version_uid = $1"), bind![uid]).await?;
    }
    files(tx, "version_artifacts", "version_uid", uid.into()).await
}

/// A deleted version that is still to be purged, or was.
#[derive(Debug, Clone)]
pub struct Tombstone {
    /// The version's id.
    pub uid: String,
    /// Its number.
    pub version: i64,
    /// It was purged already.
    pub purged: bool,
    /// It was promoted under a gate.
    pub gated: bool,
}

/// The deleted versions of a model; with a number only that one.
pub async fn tombstones(tx: &Tx, model_uid: &str, number: Option<i64>) -> Result<Vec<Tombstone>> {
    let query = "SELECT v.uid, v.version, v.purged, (SELECT MIN(g.version_uid) FROM versions_gated g WHERE g.version_uid = v.uid) \
                 FROM model_versions v WHERE v.model_uid = $1 AND v.deleted IS NOT NULL AND ($2 < 0 OR v.version = $2) ORDER BY v.version";
    let read = |row: &sql::Row| {
        let (purged, gated): (Option<i64>, Option<String>) = (row.get(2)?, row.get(3)?);
        Ok(Tombstone { uid: row.get(0)?, version: row.get(1)?, purged: purged.is_some(), gated: gated.is_some() })
    };
    sql::all(&**tx, query, bind![model_uid, number.unwrap_or(-1)]).await?.iter().map(read).collect()
}

/// The ids of the deleted models that bore a name last. On PostgreSQL they stay as they are until the write ends.
pub async fn deleted_models(tx: &Tx, canonical_name: &str) -> Result<Vec<String>> {
    let query = "SELECT uid FROM registered_models WHERE workspace_id = $1 AND canonical_name = $2 AND deleted IS NOT NULL ORDER BY uid";
    sql::all(&**tx, query, bind![super::WORKSPACE, canonical_name]).await?.iter().map(|row| row.get(0)).collect()
}

/// Removes tags and description of a deleted model; whether it had any.
pub async fn model(tx: &Tx, uid: &str) -> Result<bool> {
    let tags = sql::execute(&**tx, "DELETE FROM registered_model_tags WHERE model_uid = $1", bind![uid]).await?;
    let update = "UPDATE registered_models SET description = '' WHERE uid = $1 AND description <> ''";
    Ok(tags + sql::execute(&**tx, update, bind![uid]).await? > 0)
}

/// Takes the files of something, with the bytes of each.
async fn files(tx: &Tx, table: &str, key: &str, id: Value) -> Result<Vec<GoneFile>> {
    let query = format!("SELECT f.blob_uid, b.size FROM {table} f JOIN blobs b ON b.uid = f.blob_uid WHERE f.{key} = $1");
    let found = sql::all(&**tx, &query, bind![id.clone()]).await?;
    sql::execute(&**tx, &format!("DELETE FROM {table} WHERE {key} = $1"), bind![id]).await?;
    found.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
}

/// An import that is run again brings it again, as long as its source has it.
async fn forget_import(tx: &Tx, kind: &str, id: i64) -> Result<()> {
    sql::execute(&**tx, "DELETE FROM import_objects WHERE kind = $1 AND here_id = $2", bind![kind, id]).await?;
    Ok(())
}

impl Store {
    /// Removes metric points of runs that were removed, piece by piece; those of a call that was killed, too.
    pub async fn sweep(&self) -> Result<()> {
        while let Some(row) = sql::first(self.reader(), "SELECT run FROM purged_runs ORDER BY run LIMIT 1", []).await? {
            let run: i64 = row.get(0)?;
            while self.write_unrecorded(Unrecorded::Sweep, run, |tx, run| Box::pin(sweep(tx, *run))).await? {}
        }
        Ok(())
    }
}

/// Removes some points of a run; whether there may be more.
async fn sweep(tx: &Tx, run: i64) -> Result<bool> {
    let bound = "SELECT metric, time, step, value FROM metrics WHERE run = $1 ORDER BY metric, time, step, value LIMIT 1 OFFSET $2";
    let Some(bound) = sql::first(&**tx, bound, bind![run, POINTS]).await? else {
        sql::execute(&**tx, "DELETE FROM metrics WHERE run = $1", bind![run]).await?;
        sql::execute(&**tx, "DELETE FROM purged_runs WHERE run = $1", bind![run]).await?;
        return Ok(false);
    };
    let delete = "DELETE FROM metrics WHERE run = $1 AND (metric, time, step, value) < ($2, $3, $4, $5)";
    let (metric, time, step, value): (i64, i64, i64, i64) = (bound.get(0)?, bound.get(1)?, bound.get(2)?, bound.get(3)?);
    sql::execute(&**tx, delete, bind![run, metric, time, step, value]).await?;
    Ok(true)
}
