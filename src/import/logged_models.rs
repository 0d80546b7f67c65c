//! Brings the logged models of MLflow 3, and which runs made and used them.

use std::collections::{HashMap, HashSet};

use serde_json::json;

use super::artifacts::{Artifacts, Keeper};
use super::found::{Link, LoggedModel, ModelMetric};
use super::report::{Progress, Report};
use super::source::Source;
use super::tracking::{Experiments, mended, object, of_one};
use super::{Import, Result, actions, fit};
use crate::access::Subject;
use crate::contract::v1::LoggedModelStatus;
use crate::domain::{ids, limits, metric_value};
use crate::store::imports::{self, Imported, Kind};
use crate::store::logged_model_values::{self, ModelPoint};
use crate::store::logged_models::{self, LoggedModelRow};
use crate::store::{Kept, Recorded, Tx, Unrecorded, model_links, runs, versions};

/// Brings logged models.
pub struct LoggedModels<'a> {
    pub import: &'a Import,
    pub source: &'a Source,
    pub experiments: &'a Experiments,
    pub artifacts: Option<&'a Artifacts>,
}

/// What the body of a write gets.
type Coming = (Import, LoggedModel, i64, Vec<i64>);

impl LoggedModels<'_> {
    /// Brings all logged models; `links` are those that the source told with the runs.
    pub async fn bring(&self, mut links: Vec<Link>, report: &mut Report, progress: &Progress) -> Result<()> {
        progress.begin("logged models", None);
        let mut experiments: Vec<i64> = self.experiments.keys().copied().collect();
        experiments.sort_unstable();
        let mut after = None;
        loop {
            let page = self.source.logged_models(&experiments, after.as_deref()).await?;
            for mut model in page.items {
                links.append(&mut model.links);
                self.one(model, report).await?;
                progress.step(1);
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        for links in links.chunks(super::tracking::AT_ONCE) {
            let linked =
                self.import.store().write_unrecorded(Unrecorded::Tracking, (self.import.clone(), links.to_vec()), |tx, (import, links)| {
                    Box::pin(link(tx, import, links))
                });
            // A model that is deleted there may still be named by runs; a server does not tell it.
            report.logged_model_links.there += linked.await?;
        }
        Ok(())
    }

    async fn one(&self, model: LoggedModel, report: &mut Report) -> Result<()> {
        report.logged_models.there += 1;
        report.logged_model_values.there += (model.params.len() + model.tags.len()) as i64;
        report.logged_model_metrics.there += different(&model.metrics);
        let id = model.model_id.clone();
        let Some(experiment) = self.experiments.get(&model.experiment).copied().filter(|_| ids::logged_model_id("model_id", &id).is_ok())
        else {
            report.left_out(format!("logged model {id}: its id or its experiment is none that is known here"));
            return Ok(());
        };
        let keys: Vec<String> = model.metrics.iter().map(|metric| fit::key(&metric.key).into_owned()).collect();
        let metrics = self.import.store().metric_ids(&keys.iter().map(String::as_str).collect::<Vec<_>>()).await?;
        let uri = model.artifact_uri.clone();
        let coming: Coming = (self.import.clone(), model, experiment, metrics);
        match self.import.store().write(coming, |tx, coming| Box::pin(make(tx, coming))).await.map(Kept::into_value) {
            Ok(Some(here)) => {
                if let Some(artifacts) = self.artifacts {
                    artifacts.bring(self.import, &Keeper::logged_model(&id, here), &uri, report).await?;
                }
            }
            Ok(None) => report.left_out(format!("logged model {id}: one with this id is here already, and not from this source")),
            Err(error) if of_one(&error) => report.left_out(format!("logged model {id}: {error}")),
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// How many different points there are: the source may name one twice.
fn different(points: &[ModelMetric]) -> i64 {
    let key = |point: &ModelMetric| {
        let (data, digest) = (point.dataset_name.clone(), point.dataset_digest.clone());
        (point.key.clone(), point.time, point.step, point.run_id.clone(), data, digest, metric_value::encode(point.value))
    };
    points.iter().map(key).collect::<HashSet<_>>().len() as i64
}

/// Makes a logged model with its params, tags and metrics; none when there is one that did not come from here.
async fn make(tx: &Tx, (import, found, experiment, metrics): &Coming) -> Result<Recorded<Option<i64>>> {
    let key = found.model_id.as_str();
    if let Some(known) = imports::find(&**tx, &import.source, Kind::LoggedModel, &[key]).await?.remove(key) {
        return finish(tx, import, found, known.here_id).await;
    }
    if logged_models::by_model_id(&**tx, key).await?.is_some() {
        return Ok(Recorded::nothing(None));
    }
    runs::hold_experiment(tx, *experiment).await?;
    let source_run = if found.source_run_id.is_empty() { None } else { versions::run_of(&**tx, &found.source_run_id).await? };
    let mut row = LoggedModelRow {
        id: 0,
        model_id: key.to_owned(),
        experiment: *experiment,
        name: fit::logged_model_name(&found.name).into_owned(),
        model_type: fit::label(&found.model_type, limits::LOGGED_MODEL_NAME).into_owned(),
        source_run,
        source_run_id: found.source_run_id.clone(),
        status: found.status,
        active: found.active,
        created: found.created,
        updated: found.updated,
        created_by: String::new(),
    };
    row.id = logged_models::insert(tx, &row).await?;
    // The time of the last change, which an insert takes to be that of the creation.
    logged_models::update(tx, &row).await?;
    let (params, tags) = (mended(&found.params), mended(&found.tags));
    logged_model_values::insert_params(tx, row.id, &params).await?;
    logged_model_values::set_tags(tx, row.id, &tags).await?;
    log_metrics(tx, row.id, found, metrics).await?;
    let imported = Imported { here: key.to_owned(), here_id: row.id, fingerprint: "complete".to_owned(), points: 0 };
    imports::remember(tx, &import.source, Kind::LoggedModel, key, &imported).await?;
    let scope = experiment.to_string();
    let subject = Subject { kind: "logged_model", id: key, name: &row.name, scope: &scope };
    let payload = json!({"there": {"name": found.name}, "model_type": row.model_type, "source_run_id": row.source_run_id,
                         "active": row.active, "params": object(&params), "tags": object(&tags)});
    Ok(import.record(tx, actions::CREATE_LOGGED_MODEL, &subject, payload).await?.map(|()| Some(row.id)))
}

/// One that was still pending at an earlier import may be ready now.
async fn finish(tx: &Tx, import: &Import, found: &LoggedModel, here: i64) -> Result<Recorded<Option<i64>>> {
    let pending = i32::from(LoggedModelStatus::Pending);
    let row = logged_models::lock(tx, &found.model_id).await?.filter(|row| row.status == pending && found.status != pending);
    let Some(row) = row else { return Ok(Recorded::nothing(Some(here))) };
    logged_models::update(tx, &LoggedModelRow { status: found.status, updated: found.updated, ..row.clone() }).await?;
    let scope = row.experiment.to_string();
    let subject = Subject { kind: "logged_model", id: &row.model_id, name: &row.name, scope: &scope };
    let word = |status: i32| LoggedModelStatus::try_from(status).map_or("", |status| status.as_str_name());
    let payload = json!({"before": {"status": word(row.status)}, "after": {"status": word(found.status)}});
    Ok(import.record(tx, actions::FINALIZE_LOGGED_MODEL, &subject, payload).await?.map(|()| Some(here)))
}

async fn log_metrics(tx: &Tx, model: i64, found: &LoggedModel, metrics: &[i64]) -> Result<()> {
    let mut by_run: HashMap<&str, Vec<ModelPoint>> = HashMap::new();
    for (metric, id) in found.metrics.iter().zip(metrics) {
        by_run.entry(&metric.run_id).or_default().push(ModelPoint {
            model,
            metric: *id,
            dataset_name: fit::value(&metric.dataset_name).into_owned(),
            dataset_digest: fit::value(&metric.dataset_digest).into_owned(),
            step: metric.step,
            time: metric.time,
            value: metric_value::encode(metric.value),
        });
    }
    for (run_id, points) in by_run {
        if let Some(run) = versions::run_of(&**tx, run_id).await? {
            logged_model_values::log_metrics(tx, run, "", &points).await?;
        }
    }
    Ok(())
}

/// Notes which runs used and made which logged models, as far as both are imported; gives how many that are.
async fn link(tx: &Tx, import: &Import, links: &[Link]) -> Result<i64> {
    let models: Vec<&str> = links.iter().map(|link| link.model_id.as_str()).collect();
    let runs: Vec<&str> = links.iter().map(|link| link.run_id.as_str()).collect();
    let models = imports::find(&**tx, &import.source, Kind::LoggedModel, &models).await?;
    let runs = imports::find(&**tx, &import.source, Kind::Run, &runs).await?;
    let mut linked = 0;
    for link in links {
        let (Some(model), Some(run)) = (models.get(&link.model_id), runs.get(&link.run_id)) else { continue };
        match link.made_at {
            None => model_links::insert_inputs(tx, run.here_id, &[model.here_id]).await?,
            // One that is there already is from an earlier import.
            Some(step) => drop(model_links::insert_outputs(tx, run.here_id, &[(model.here_id, step)]).await?),
        }
        linked += 1;
    }
    Ok(linked)
}
