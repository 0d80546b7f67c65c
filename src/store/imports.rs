//! What was imported from other servers, and as what it is here; and how imported objects enter their
//! tables with the ids, numbers and times that they had.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, Value};

use super::experiments::ExperimentRow;
use super::models::ModelRow;
use super::{StoreError, Tx, WORKSPACE, is_sqlite, sql};
use crate::bind;
use crate::domain::text::canonical_name;

type Result<T> = std::result::Result<T, StoreError>;

/// What kinds of objects are remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// By its id there.
    Experiment,
    /// By its id, which is the same here.
    Run,
    /// By its name there.
    Model,
    /// By name and number.
    Version,
    /// By model and alias.
    Alias,
    /// By its id, which is the same here.
    LoggedModel,
}

impl Kind {
    /// As the table names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Experiment => "experiment",
            Self::Run => "run",
            Self::Model => "registered_model",
            Self::Version => "model_version",
            Self::Alias => "alias",
            Self::LoggedModel => "logged_model",
        }
    }
}

/// An object that was imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Its id, uid or, for an alias, the version's uid here.
    pub here: String,
    /// The internal id here, for experiments, runs and logged models; the transition's for aliases.
    pub here_id: i64,
    /// Of what was there; empty until all of it is here.
    pub fingerprint: String,
    /// Metric points that were there.
    pub points: i64,
}

/// Of some keys of a source those that were imported.
pub async fn find<C: ConnectionTrait>(on: &C, source: &str, kind: Kind, keys: &[&str]) -> Result<HashMap<String, Imported>> {
    let mut found = HashMap::with_capacity(keys.len());
    for (width, run) in sql::in_widths(keys) {
        let query = format!(
            "SELECT source_key, here, here_id, fingerprint, points FROM import_objects WHERE source = $1 AND kind = $2 AND source_key IN {}",
            sql::rows_of(3, 1, width)
        );
        let mut values: Vec<Value> = bind![source, kind.as_str()].into();
        values.extend(sql::padded(width, run).map(|key| Value::from(*key)));
        for row in sql::all(on, &query, values).await? {
            let imported = Imported { here: row.get(1)?, here_id: row.get(2)?, fingerprint: row.get(3)?, points: row.get(4)? };
            found.insert(row.get(0)?, imported);
        }
    }
    Ok(found)
}

/// Remembers an object in the write that made it. Errors with `Duplicate` or `Refused` when another import was first.
pub async fn remember(tx: &Tx, source: &str, kind: Kind, key: &str, imported: &Imported) -> Result<()> {
    let insert = "INSERT INTO import_objects (source, kind, source_key, here, here_id, fingerprint, points, created) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let values = bind![
        source,
        kind.as_str(),
        key,
        imported.here.as_str(),
        imported.here_id,
        imported.fingerprint.as_str(),
        imported.points,
        tx.now()
    ];
    sql::execute(&**tx, insert, values).await?;
    Ok(())
}

/// Notes that all of an object is here.
pub async fn complete(tx: &Tx, source: &str, kind: Kind, key: &str, fingerprint: &str, points: i64) -> Result<()> {
    let update = "UPDATE import_objects SET fingerprint = $4, points = $5 WHERE source = $1 AND kind = $2 AND source_key = $3";
    sql::execute(&**tx, update, bind![source, kind.as_str(), key, fingerprint, points]).await?;
    Ok(())
}

/// Inserts an experiment under its own id, or under a new one for none, and gives the id. Errors with
/// `Duplicate` when id or name is taken.
pub async fn insert_experiment(tx: &Tx, id: Option<i64>, experiment: &ExperimentRow) -> Result<i64> {
    if let Some(id) = id.filter(|_| !is_sqlite(&**tx)) {
        // Ahead of the insert, so that nobody is given the id in between. SQLite looks at the rows by itself.
        let raise = "SELECT setval(pg_get_serial_sequence('experiments', 'id'), GREATEST($1, MAX(id), 1)) FROM experiments";
        sql::first(&**tx, raise, bind![id]).await?;
    }
    let columns = "workspace_id, name, canonical_name, active, created, updated, created_by";
    let insert = match id {
        Some(_) => format!("INSERT INTO experiments (id, {columns}) VALUES ($7, $1, $2, $3, $4, $5, $6, '') RETURNING id"),
        None => format!("INSERT INTO experiments ({columns}) VALUES ($1, $2, $3, $4, $5, $6, '') RETURNING id"),
    };
    let name = experiment.name.as_str();
    let mut values: Vec<Value> =
        bind![WORKSPACE, name, canonical_name(name), experiment.active, experiment.created, experiment.updated].into();
    values.extend(id.map(Value::from));
    sql::one(&**tx, &insert, values).await?.get(0)
}

/// Gives a model the times that it had, and the number of the last version that it ever had. Tells whether that
/// changed anything.
pub async fn keep_model(tx: &Tx, model: &ModelRow, last_version: i64) -> Result<bool> {
    let update = "UPDATE registered_models SET updated = $2, last_version = CASE WHEN last_version > $3 THEN last_version ELSE $3 END \
                  WHERE uid = $1 AND (updated <> $2 OR last_version < $3)";
    Ok(sql::execute(&**tx, update, bind![model.uid.as_str(), model.updated, last_version]).await? > 0)
}

/// Gives a version the time of its last change.
pub async fn keep_version_time(tx: &Tx, uid: &str, updated: i64) -> Result<()> {
    sql::execute(&**tx, "UPDATE model_versions SET updated = $2 WHERE uid = $1", bind![uid, updated]).await?;
    Ok(())
}

/// Why an import no longer sets stages and aliases of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// Its first import has ended.
    Imported,
    /// A version of it was moved here.
    MovedHere,
}

/// Whether the stages and aliases of a model can no longer be set by an import; none while its first one goes on.
pub async fn closed<C: ConnectionTrait>(on: &C, model_uid: &str) -> Result<Option<Closed>> {
    let query = "SELECT (SELECT COUNT(*) FROM import_objects WHERE kind = 'registered_model' AND here = $1 AND fingerprint = ''), \
                 (SELECT COUNT(*) FROM transitions WHERE model_uid = $1 AND authority IN ('request', 'direct'))";
    let row = sql::one(on, query, bind![model_uid]).await?;
    let (open, moved): (i64, i64) = (row.get(0)?, row.get(1)?);
    Ok(if moved > 0 { Some(Closed::MovedHere) } else { (open == 0).then_some(Closed::Imported) })
}

/// Sets params and tags that a run does not have; what it has stays.
pub async fn fill_run(tx: &Tx, run: i64, params: &[(String, String)], tags: &[(String, String)]) -> Result<()> {
    for (table, column, pairs) in [("params", "param_key", params), ("run_tags", "tag_key", tags)] {
        for (width, chunk) in sql::in_widths(pairs) {
            let insert = format!("INSERT INTO {table} (run, {column}, value) VALUES {} ON CONFLICT DO NOTHING", sql::rows_of(1, width, 3));
            let values: Vec<Value> = sql::padded(width, chunk).flat_map(|(key, value)| bind![run, key.as_str(), value.as_str()]).collect();
            sql::execute(&**tx, &insert, values).await?;
        }
    }
    Ok(())
}

/// What is here of a source, counted in the tables themselves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Also deleted ones.
    pub experiments: i64,
    /// Tags of them.
    pub experiment_tags: i64,
    /// Also deleted ones.
    pub runs: i64,
    /// Points of all metrics of these runs.
    pub points: i64,
    /// Params of these runs.
    pub params: i64,
    /// Tags of these runs.
    pub tags: i64,
    /// Inputs of these runs.
    pub inputs: i64,
    /// Also deleted ones.
    pub logged_models: i64,
    /// Params and tags of them.
    pub logged_model_values: i64,
    /// Metrics of them: the latest on each data set.
    pub logged_model_metrics: i64,
    /// That runs used or made them.
    pub logged_model_links: i64,
    /// Registered models.
    pub models: i64,
    /// Tags of them.
    pub model_tags: i64,
    /// Versions.
    pub versions: i64,
    /// Tags of them.
    pub version_tags: i64,
    /// Versions that an import gave a stage.
    pub stages: i64,
    /// Aliases that an import set.
    pub aliases: i64,
}

/// Counts what is here of a source.
pub async fn counts<C: ConnectionTrait>(on: &C, source: &str) -> Result<Counts> {
    let of = |kind: Kind, join: &'static str| {
        let query = format!("SELECT COUNT(*) FROM import_objects i JOIN {join} WHERE i.source = $1 AND i.kind = '{}'", kind.as_str());
        async move { sql::one(on, &query, bind![source]).await?.get::<i64>(0) }
    };
    Ok(Counts {
        experiments: of(Kind::Experiment, "experiments x ON x.id = i.here_id").await?,
        experiment_tags: of(Kind::Experiment, "experiment_tags t ON t.experiment = i.here_id").await?,
        runs: of(Kind::Run, "runs r ON r.id = i.here_id").await?,
        points: of(Kind::Run, "metrics m ON m.run = i.here_id").await?,
        params: of(Kind::Run, "params p ON p.run = i.here_id").await?,
        tags: of(Kind::Run, "run_tags t ON t.run = i.here_id").await?,
        inputs: of(Kind::Run, "run_inputs u ON u.run = i.here_id").await?,
        logged_models: of(Kind::LoggedModel, "logged_models g ON g.id = i.here_id").await?,
        logged_model_values: of(Kind::LoggedModel, "logged_model_params p ON p.model = i.here_id").await?
            + of(Kind::LoggedModel, "logged_model_tags t ON t.model = i.here_id").await?,
        logged_model_metrics: of(Kind::LoggedModel, "logged_model_metrics m ON m.model = i.here_id").await?,
        logged_model_links: of(Kind::LoggedModel, "run_model_inputs u ON u.model = i.here_id").await?
            + of(Kind::LoggedModel, "run_model_outputs o ON o.model = i.here_id").await?,
        models: of(Kind::Model, "registered_models m ON m.uid = i.here").await?,
        model_tags: of(Kind::Model, "registered_model_tags t ON t.model_uid = i.here").await?,
        versions: of(Kind::Version, "model_versions v ON v.uid = i.here").await?,
        version_tags: of(Kind::Version, "model_version_tags t ON t.version_uid = i.here").await?,
        stages: of(Kind::Version, "transitions t ON t.version_uid = i.here AND t.authority = 'import' AND t.target NOT LIKE '@%'").await?,
        aliases: of(Kind::Alias, "transitions t ON t.id = i.here_id").await?,
    })
}
