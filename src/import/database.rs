//! MLflow's own database, read only: in parts by key, and metric points as a stream. Of workspaces only the
//! default one is read.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use sea_orm::{ConnectOptions, DatabaseConnection, Value};
use tokio::sync::mpsc;

use super::found::{self, Experiment, Page, Pairs, Point, Run, Totals};
use super::schema::Schema;
use super::{Address, Error, Result};
use crate::bind;
use crate::store::inputs::{Dataset, Input};
use crate::store::{self, StoreError, sql};

/// Objects in one part.
pub(super) const PART: i64 = 200;
/// Metric points that are handed on at once.
const POINTS: usize = 20_000;

/// An opened database of MLflow.
#[derive(Clone)]
pub struct Database {
    on: DatabaseConnection,
    pub(super) schema: Schema,
}

/// An error of the source is not one of ours.
pub(super) fn fault(error: StoreError) -> Error {
    Error::Source(format!("MLflow's database cannot be read: {error}"))
}

impl Database {
    /// Opens a database so that it cannot be changed, and looks at its schema.
    pub async fn open(address: &Address) -> Result<Self> {
        if let Address::Postgres(url) = address {
            store::try_postgres(url.exposed()).await.map_err(fault)?;
        }
        let mut options = match address {
            Address::Sqlite(file) => ConnectOptions::new(format!("sqlite://{}", file.display())),
            Address::Postgres(url) => ConnectOptions::new(url.exposed()),
            Address::Http(_) => return Err(Error::Source("a server is no database".to_owned())),
        };
        options.max_connections(3).sqlx_logging(false).acquire_timeout(Duration::from_secs(10));
        options.map_sqlx_sqlite_opts(|options| options.read_only(true).busy_timeout(Duration::from_secs(30)));
        options.map_sqlx_postgres_opts(|options| options.options([("default_transaction_read_only", "on")]));
        let on = sea_orm::Database::connect(options).await.map_err(|error| fault(error.into()))?;
        let row = sql::first(&on, "SELECT version_num FROM alembic_version", []).await;
        let revision: Option<String> = row.ok().flatten().map(|row| row.get(0)).transpose().map_err(fault)?;
        let schema = Schema::of(revision.as_deref()).map_err(|why| Error::Source(format!("{}: {why}", address.shown())))?;
        Ok(Self { on, schema })
    }

    pub(super) async fn all(&self, query: &str, values: impl IntoIterator<Item = Value>) -> Result<Vec<sql::Row>> {
        sql::all(&self.on, query, values).await.map_err(fault)
    }

    async fn count(&self, query: &str) -> Result<i64> {
        sql::one(&self.on, query, []).await.and_then(|row| row.get(0)).map_err(fault)
    }

    /// ` AND …workspace = 'default'` where there are workspaces.
    pub(super) fn ours(&self, table: &str) -> String {
        if self.schema.workspaces() { format!(" AND {table}.workspace = 'default'") } else { String::new() }
    }

    /// Of a run's experiment.
    pub(super) fn ours_by_experiment(&self, column: &str) -> String {
        if !self.schema.workspaces() {
            return String::new();
        }
        format!(" AND {column} IN (SELECT experiment_id FROM experiments WHERE workspace = 'default')")
    }

    /// What there is of everything that takes long.
    pub async fn totals(&self) -> Result<Totals> {
        let runs = self.ours_by_experiment("r.experiment_id");
        let points = if runs.is_empty() {
            "SELECT COUNT(*) FROM metrics".to_owned()
        } else {
            format!("SELECT COUNT(*) FROM metrics m JOIN runs r ON r.run_uuid = m.run_uuid WHERE 1 = 1{runs}")
        };
        let live = "COALESCE(v.current_stage, '') <> 'Deleted_Internal'";
        Ok(Totals {
            experiments: Some(self.count(&format!("SELECT COUNT(*) FROM experiments e WHERE 1 = 1{}", self.ours("e"))).await?),
            runs: Some(self.count(&format!("SELECT COUNT(*) FROM runs r WHERE 1 = 1{runs}")).await?),
            points: Some(self.count(&points).await?),
            versions: Some(self.count(&format!("SELECT COUNT(*) FROM model_versions v WHERE {live}{}", self.ours("v"))).await?),
        })
    }

    /// What there is that an import does not bring.
    pub async fn left_out(&self) -> Result<Vec<(&'static str, i64)>> {
        let mut kinds = Vec::new();
        if self.schema.logged_models() {
            kinds.push(("traces", self.count("SELECT COUNT(*) FROM trace_info").await?));
        }
        if self.schema.workspaces() {
            let elsewhere = "SELECT COUNT(*) FROM experiments WHERE workspace <> 'default'";
            kinds.push(("experiments of other workspaces", self.count(elsewhere).await?));
            let elsewhere = "SELECT COUNT(*) FROM registered_models WHERE workspace <> 'default'";
            kinds.push(("registered models of other workspaces", self.count(elsewhere).await?));
        }
        Ok(kinds)
    }

    /// Experiments behind an id.
    pub async fn experiments(&self, after: Option<&str>) -> Result<Page<Experiment>> {
        let after: i64 = after.and_then(|after| after.parse().ok()).unwrap_or(i64::MIN);
        let times = if self.schema.experiment_times() { "COALESCE(e.creation_time, 0), COALESCE(e.last_update_time, 0)" } else { "0, 0" };
        let query = format!(
            "SELECT CAST(e.experiment_id AS BIGINT), e.name, COALESCE(e.lifecycle_stage, 'active'), {} FROM experiments e \
             WHERE e.experiment_id > $1{} ORDER BY e.experiment_id LIMIT $2",
            times.replace("0, 0", "CAST(0 AS BIGINT), CAST(0 AS BIGINT)"),
            self.ours("e")
        );
        let rows = self.all(&query, bind![after, PART]).await?;
        let ids: Vec<Value> =
            rows.iter().map(|row| row.get::<i64>(0).map(Value::from)).collect::<std::result::Result<_, _>>().map_err(fault)?;
        let mut tags =
            self.pairs("SELECT CAST(experiment_id AS TEXT), \"key\", value FROM experiment_tags WHERE experiment_id IN", ids).await?;
        let read = |row: &sql::Row| {
            let id: i64 = row.get(0)?;
            let tags = tags.remove(&id.to_string()).unwrap_or_default();
            let active = row.get::<String>(2)? != "deleted";
            Ok(Experiment { id, name: row.get(1)?, active, created: row.get(3)?, updated: row.get(4)?, tags })
        };
        let items: Vec<Experiment> = rows.iter().map(read).collect::<std::result::Result<_, _>>().map_err(fault)?;
        Ok(page(items, |last| last.id.to_string()))
    }

    /// Triples of an owner, a key and a value, by owner.
    pub(super) async fn pairs(&self, query: &str, owners: Vec<Value>) -> Result<HashMap<String, Pairs>> {
        let mut found: HashMap<String, Pairs> = HashMap::new();
        if owners.is_empty() {
            return Ok(found);
        }
        let text = format!("{query} {}", sql::rows_of(1, 1, owners.len()));
        for row in self.all(&text, owners).await? {
            let read = || Ok((row.get(0)?, row.get(1)?, row.get::<Option<String>>(2)?.unwrap_or_default()));
            let (owner, key, value): (String, String, String) = read().map_err(fault)?;
            found.entry(owner).or_default().push((key, value));
        }
        Ok(found)
    }

    /// Runs behind an id, deleted ones as well.
    pub async fn runs(&self, after: Option<&str>) -> Result<Page<Run>> {
        let query = format!(
            "SELECT r.run_uuid, CAST(r.experiment_id AS BIGINT), COALESCE(r.name, ''), COALESCE(r.user_id, ''), COALESCE(r.status, ''), \
             COALESCE(r.start_time, 0), r.end_time, COALESCE(r.lifecycle_stage, 'active'), COALESCE(r.artifact_uri, '') FROM runs r \
             WHERE r.run_uuid > $1{} ORDER BY r.run_uuid LIMIT $2",
            self.ours_by_experiment("r.experiment_id")
        );
        let rows = self.all(&query, bind![after.unwrap_or_default(), PART]).await?;
        let read = |row: &sql::Row| {
            Ok(Run {
                run_id: row.get(0)?,
                experiment: row.get(1)?,
                name: row.get(2)?,
                user_id: row.get(3)?,
                status: row.get(4)?,
                start_time: row.get(5)?,
                end_time: row.get(6)?,
                active: row.get::<String>(7)? != "deleted",
                artifact_uri: row.get(8)?,
                ..Run::default()
            })
        };
        let mut items: Vec<Run> = rows.iter().map(read).collect::<std::result::Result<_, _>>().map_err(fault)?;
        self.fill(&mut items).await?;
        Ok(page(items, |last| last.run_id.clone()))
    }

    async fn fill(&self, runs: &mut [Run]) -> Result<()> {
        if runs.is_empty() {
            return Ok(());
        }
        let ids = || runs.iter().map(|run| Value::from(run.run_id.as_str())).collect::<Vec<_>>();
        let mut params = self.pairs("SELECT run_uuid, \"key\", value FROM params WHERE run_uuid IN", ids()).await?;
        let mut tags = self.pairs("SELECT run_uuid, \"key\", value FROM tags WHERE run_uuid IN", ids()).await?;
        let mut inputs = if self.schema.inputs() { self.inputs(ids()).await? } else { HashMap::new() };
        let count =
            format!("SELECT run_uuid, COUNT(*) FROM metrics WHERE run_uuid IN {} GROUP BY run_uuid", sql::rows_of(1, 1, runs.len()));
        let mut points: HashMap<String, i64> = HashMap::new();
        for row in self.all(&count, ids()).await? {
            points.insert(row.get(0).map_err(fault)?, row.get(1).map_err(fault)?);
        }
        for run in runs {
            run.params = params.remove(&run.run_id).unwrap_or_default();
            run.tags = tags.remove(&run.run_id).unwrap_or_default();
            run.inputs = inputs.remove(&run.run_id).unwrap_or_default();
            let points = points.get(&run.run_id).copied().unwrap_or_default();
            let (status, end, active) = (&run.status, run.end_time.unwrap_or_default(), run.active);
            run.fingerprint = format!("{status} {end} {active} {points} {} {} {}", run.params.len(), run.tags.len(), run.inputs.len());
        }
        Ok(())
    }

    async fn inputs(&self, runs: Vec<Value>) -> Result<HashMap<String, Vec<Input>>> {
        let query = format!(
            "SELECT i.destination_id, i.input_uuid, d.name, d.digest, d.dataset_source_type, d.dataset_source, d.dataset_schema, d.dataset_profile \
             FROM inputs i JOIN datasets d ON d.dataset_uuid = i.source_id \
             WHERE i.source_type = 'DATASET' AND i.destination_type = 'RUN' AND i.destination_id IN {}",
            sql::rows_of(1, 1, runs.len())
        );
        let rows = self.all(&query, runs).await?;
        let uuids: Vec<Value> =
            rows.iter().map(|row| row.get::<String>(1).map(Value::from)).collect::<std::result::Result<_, _>>().map_err(fault)?;
        let mut tags = HashMap::new();
        for chunk in uuids.chunks(500) {
            tags.extend(self.pairs("SELECT input_uuid, name, value FROM input_tags WHERE input_uuid IN", chunk.to_vec()).await?);
        }
        let mut found: HashMap<String, Vec<Input>> = HashMap::new();
        for row in &rows {
            let read = || -> std::result::Result<_, StoreError> {
                let dataset = Dataset {
                    name: row.get(2)?,
                    digest: row.get(3)?,
                    source_type: row.get(4)?,
                    source: row.get(5)?,
                    schema: row.get(6)?,
                    profile: row.get(7)?,
                };
                Ok((row.get::<String>(0)?, row.get::<String>(1)?, dataset))
            };
            let (run, uuid, dataset) = read().map_err(fault)?;
            let mut tags: Pairs = tags.remove(&uuid).unwrap_or_default();
            tags.sort_unstable();
            found.entry(run).or_default().push(Input { dataset, tags });
        }
        Ok(found)
    }

    /// All metric points of some runs, in parts, read while the parts before are written.
    pub fn points(&self, runs: &[&Run]) -> mpsc::Receiver<Result<Vec<Point>>> {
        let (sender, receiver) = mpsc::channel(2);
        let ids: Vec<String> = runs.iter().map(|run| run.run_id.clone()).collect();
        let database = self.clone();
        tokio::spawn(async move {
            if let Err(error) = database.send_points(&ids, &sender).await {
                // Whoever does not listen any more has an error already.
                let _ = sender.send(Err(error)).await;
            }
        });
        receiver
    }

    async fn send_points(&self, ids: &[String], sender: &mpsc::Sender<Result<Vec<Point>>>) -> Result<()> {
        let places: HashMap<&str, usize> = ids.iter().enumerate().map(|(place, id)| (id.as_str(), place)).collect();
        let query = format!(
            "SELECT run_uuid, \"key\", CAST(value AS DOUBLE PRECISION), CAST(CASE WHEN is_nan THEN 1 ELSE 0 END AS BIGINT), \
             CAST(timestamp AS BIGINT), CAST(step AS BIGINT) FROM metrics WHERE run_uuid IN {}",
            sql::rows_of(1, 1, ids.len())
        );
        let mut rows = Box::pin(sql::stream(&self.on, &query, ids.iter().map(|id| Value::from(id.as_str()))).await.map_err(fault)?);
        let mut keys: HashMap<String, Arc<str>> = HashMap::new();
        let mut part = Vec::with_capacity(POINTS);
        while let Some(row) = rows.try_next().await.map_err(fault)? {
            let read = || -> std::result::Result<_, StoreError> {
                Ok((
                    row.get::<String>(0)?,
                    row.get::<String>(1)?,
                    found::value(row.get(2)?, row.get::<i64>(3)? != 0),
                    row.get(4)?,
                    row.get(5)?,
                ))
            };
            let (run, key, value, time, step) = read().map_err(fault)?;
            let Some(run) = places.get(run.as_str()).copied() else { continue };
            let key = match keys.get(&key) {
                Some(known) => known.clone(),
                None => keys.entry(key.clone()).or_insert_with(|| key.into()).clone(),
            };
            part.push(Point { run, key, value, time, step });
            if part.len() == POINTS && sender.send(Ok(std::mem::replace(&mut part, Vec::with_capacity(POINTS)))).await.is_err() {
                return Ok(());
            }
        }
        // A receiver that has gone away has an error of its own.
        let _ = sender.send(Ok(part)).await;
        Ok(())
    }
}

/// A part, and where the next one begins when this one is full.
pub(super) fn page<T>(items: Vec<T>, cursor: impl Fn(&T) -> String) -> Page<T> {
    let full = items.len() as i64 == PART;
    let next = items.last().filter(|_| full).map(cursor);
    Page { items, next }
}
