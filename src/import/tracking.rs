//! Brings experiments and runs with everything that runs logged.

use std::collections::HashMap;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream;
use serde_json::json;
use tokio::sync::mpsc;

use super::artifacts::{Artifacts, Keeper};
use super::found::{Experiment, Link, Pairs, Point, Run, Totals};
use super::report::{Progress, Report};
use super::source::Source;
use super::{Error, Import, Result, actions, fit};
use crate::access::Subject;
use crate::contract::v1::RunStatus;
use crate::domain::{ids, limits, metric_value};
use crate::store::experiments::{self, ExperimentRow};
use crate::store::imports::{self, Imported, Kind};
use crate::store::inputs::{self, Input};
use crate::store::metrics::{self, LogError, Points};
use crate::store::runs::{self, RunRow};
use crate::store::{self, Kept, Recorded, StoreError, Tx};

/// Writes under way at a time. SQLite commits those together that wait together.
pub(super) const AT_ONCE: usize = 64;
/// Ids beyond this cannot be told apart by every client that reads JSON.
const LARGEST_KEPT_ID: i64 = 1 << 53;

/// Which experiment here is which of the source's.
pub type Experiments = HashMap<i64, i64>;

/// Brings all experiments, and tells what they are here.
pub async fn experiments(
    import: &Import,
    source: &Source,
    totals: &Totals,
    report: &mut Report,
    progress: &Progress,
) -> Result<Experiments> {
    progress.begin("experiments", totals.experiments);
    let mut here = Experiments::new();
    let mut after = None;
    loop {
        let page = source.experiments(after.as_deref()).await?;
        for found in page.items {
            report.experiments.there += 1;
            report.experiment_tags.there += found.tags.len() as i64;
            let (id, there) = (found.id, found.name.clone());
            let deleted_default = id == ids::DEFAULT_EXPERIMENT && !found.active;
            let (id_here, name_here) = import
                .store()
                .write((import.clone(), found), |tx, (import, found)| Box::pin(experiment(tx, import, found)))
                .await?
                .into_value();
            if name_here != there {
                report.renamed("experiment", &there, &name_here);
            }
            if id_here != id {
                report.remark(format!("experiment {there:?} has the id {id_here} here, and {id} there"));
            }
            if deleted_default {
                report.remark("experiment 0 is deleted there; here it stays, for it always exists");
            }
            here.insert(id, id_here);
            progress.step(1);
        }
        after = page.next;
        if after.is_none() {
            // Patterns of grants bind names, and the first experiment may have got another.
            import.access.refresh().await?;
            return Ok(here);
        }
    }
}

/// Makes an experiment, or finds the one that it is. Gives id and name here.
async fn experiment(tx: &Tx, import: &Import, found: &Experiment) -> Result<Recorded<(i64, String)>> {
    let key = found.id.to_string();
    if let Some(known) = imports::find(&**tx, &import.source, Kind::Experiment, &[&key]).await?.remove(&key) {
        let row = experiments::by_id(&**tx, known.here_id).await?;
        return Ok(Recorded::nothing((known.here_id, row.map(|row| row.name).unwrap_or_default())));
    }
    let name = fit::experiment_name(&found.name).into_owned();
    let mut there = experiments::by_name(&**tx, &name).await?;
    if found.id == ids::DEFAULT_EXPERIMENT {
        let default = experiments::by_id(&**tx, ids::DEFAULT_EXPERIMENT).await?;
        there = match (default, there) {
            (Some(ours), None) if ours.name == "Default" => {
                experiments::rename(tx, ours.id, &name).await?;
                store::access::raise_epoch(tx).await?;
                Some(ExperimentRow { name: name.clone(), ..ours })
            }
            (default, there) => default.or(there),
        };
    }
    let (id, name, made) = match there {
        Some(row) => (row.id, row.name, false),
        None => {
            let free = (0..LARGEST_KEPT_ID).contains(&found.id) && experiments::by_id(&**tx, found.id).await?.is_none();
            let or_now = |time: i64| if time > 0 { time } else { tx.now() };
            let (created, updated) = (or_now(found.created), or_now(found.updated));
            let row = ExperimentRow { id: found.id, name: name.clone(), active: found.active, created, updated };
            (imports::insert_experiment(tx, free.then_some(found.id), &row).await?, name, true)
        }
    };
    let present = experiments::tags(&**tx, &[id]).await?.remove(&id).unwrap_or_default();
    let tags = mended(&found.tags);
    for (key, value) in tags.iter().filter(|(key, _)| !present.iter().any(|(known, _)| known == key)) {
        experiments::set_tag(tx, id, key, value).await?;
    }
    let imported = Imported { here: id.to_string(), here_id: id, fingerprint: "complete".to_owned(), points: 0 };
    imports::remember(tx, &import.source, Kind::Experiment, &key, &imported).await?;
    let subject = Subject { kind: "experiment", id: &imported.here, name: &name, scope: &imported.here };
    let payload = json!({"there": {"experiment_id": key, "name": found.name}, "made": made, "active": found.active, "tags": object(&tags)});
    Ok(import.record(tx, actions::CREATE_EXPERIMENT, &subject, payload).await?.map(|()| (id, name)))
}

/// Keys and values that can be stored.
pub(super) fn mended(pairs: &Pairs) -> Pairs {
    pairs.iter().map(|(key, value)| (fit::key(key).into_owned(), fit::value(value).into_owned())).collect()
}

/// Keys and values for the ledger.
pub(super) fn object(pairs: &Pairs) -> serde_json::Value {
    pairs.iter().map(|(key, value)| (key.clone(), serde_json::Value::from(value.clone()))).collect::<serde_json::Map<_, _>>().into()
}

/// Whether an error is about one object, so that the others can go on.
pub(super) fn of_one(error: &Error) -> bool {
    matches!(error, Error::Store(StoreError::Internal(_) | StoreError::Refused(_) | StoreError::Duplicate(_)))
}

/// Brings runs.
pub struct Runs<'a> {
    pub import: &'a Import,
    pub source: &'a Source,
    /// What there is, as far as it is known.
    pub totals: Totals,
    pub experiments: &'a Experiments,
    pub artifacts: Option<&'a Artifacts>,
}

/// A run that is on its way here.
struct Coming<'a> {
    run: &'a Run,
    here: i64,
    /// Not all of it was here before.
    first: bool,
    /// Points that came.
    points: i64,
}

impl Runs<'_> {
    /// Brings all runs with what they logged. Gives what the source told of logged models with them.
    pub async fn bring(&self, report: &mut Report, progress: &Progress) -> Result<Vec<Link>> {
        let totals = self.totals;
        progress.begin("runs and metrics", totals.points.zip(totals.runs).map(|(points, runs)| points + runs));
        let mut experiments: Vec<i64> = self.experiments.keys().copied().collect();
        experiments.sort_unstable();
        let mut links = Vec::new();
        let mut after = None;
        loop {
            let mut page = self.source.runs(&experiments, after.as_deref()).await?;
            self.page(&page.items, report, progress).await?;
            links.extend(page.items.iter_mut().flat_map(|run| std::mem::take(&mut run.links)));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        if let Some(points) = totals.points {
            report.points.there = points;
        }
        Ok(links)
    }

    async fn page(&self, page: &[Run], report: &mut Report, progress: &Progress) -> Result<()> {
        let ids: Vec<&str> = page.iter().map(|run| run.run_id.as_str()).collect();
        let known = imports::find(self.import.store().reader(), &self.import.source, Kind::Run, &ids).await?;
        for run in page {
            report.runs.there += 1;
            report.params.there += run.params.len() as i64;
            report.tags.there += run.tags.len() as i64;
            report.inputs.there += run.inputs.len() as i64;
        }
        let mut unchanged: Vec<(&Run, i64)> = Vec::new();
        let mut wanted = Vec::new();
        for run in page {
            match known.get(&run.run_id) {
                Some(known) if known.fingerprint == run.fingerprint => {
                    report.points.there += known.points;
                    unchanged.push((run, known.here_id));
                    progress.step(1 + usize::try_from(known.points).unwrap_or_default());
                }
                known => wanted.push((run, known)),
            }
        }
        let written: Vec<_> = stream::iter(wanted.into_iter().map(|(run, known)| async move { (run, self.write(run, known).await) }))
            .buffered(AT_ONCE)
            .collect()
            .await;
        let mut coming = Vec::with_capacity(written.len());
        for (run, outcome) in written {
            match outcome {
                Ok(Ok(one)) => coming.push(one),
                Ok(Err(why)) => report.left_out(format!("run {}: {why}", run.run_id)),
                Err(error) if of_one(&error) => report.left_out(format!("run {}: {error}", run.run_id)),
                Err(error) => return Err(error),
            }
            progress.step(1);
        }
        self.points(&mut coming, report, progress).await?;
        if let Some(artifacts) = self.artifacts {
            let all = coming.iter().map(|one| (one.run, one.here)).chain(unchanged);
            for (run, here) in all {
                let keeper = Keeper::run(&run.run_id, here);
                artifacts.bring(self.import, &keeper, &run.artifact_uri, report).await?;
            }
        }
        report.points.there += coming.iter().map(|one| one.points).sum::<i64>();
        self.complete(&coming).await
    }

    /// Makes a run, or adds to it what it does not have yet. The inner error says why it is left out.
    async fn write<'r>(&self, run: &'r Run, known: Option<&Imported>) -> Result<std::result::Result<Coming<'r>, String>> {
        if ids::run_id("run_id", &run.run_id).is_err() || run.run_id.eq_ignore_ascii_case("null") {
            return Ok(Err("its id is none that a client could name".to_owned()));
        }
        let Some(experiment) = self.experiments.get(&run.experiment).copied() else {
            return Ok(Err(format!("there is no experiment {} there", run.experiment)));
        };
        let input = (self.import.clone(), run.clone(), experiment);
        let store = self.import.store();
        let here = match known {
            Some(_) => store.write(input, |tx, (import, run, _)| Box::pin(add_to_run(tx, import, run))).await?,
            None => store.write(input, |tx, (import, run, experiment)| Box::pin(make_run(tx, import, run, *experiment))).await?,
        };
        let taken = || "a run with this id is here already, and not from this source (--source names a source that has moved)".to_owned();
        let first = known.is_none_or(|known| known.fingerprint.is_empty());
        Ok(here.into_value().map(|here| Coming { run, here, first, points: 0 }).ok_or_else(taken))
    }

    async fn points(&self, coming: &mut [Coming<'_>], report: &mut Report, progress: &Progress) -> Result<()> {
        if coming.is_empty() {
            return Ok(());
        }
        let runs: Vec<&Run> = coming.iter().map(|one| one.run).collect();
        let mut parts: mpsc::Receiver<Result<Vec<Point>>> = self.source.points(&runs);
        let mut names: HashMap<Arc<str>, i64> = HashMap::new();
        while let Some(part) = parts.recv().await {
            let part = part?;
            progress.step(part.len());
            self.learn(&part, &mut names, report).await?;
            let mut by_run: HashMap<usize, Vec<metrics::Point>> = HashMap::new();
            for point in &part {
                let metric = names.get(&point.key).copied().unwrap_or_default();
                let point_here = metrics::Point { metric, time: point.time, step: point.step, value: metric_value::encode(point.value) };
                by_run.entry(point.run).or_default().push(point_here);
            }
            let store = self.import.store();
            let logged = stream::iter(by_run.into_iter().map(|(place, points)| {
                let (run_id, count) = (runs[place].run_id.clone(), points.len() as i64);
                async move { (place, count, store.log_metrics(Points { run_id, points }).await) }
            }));
            let mut logged = logged.buffer_unordered(AT_ONCE);
            while let Some((place, count, outcome)) = logged.next().await {
                coming[place].points += count;
                match outcome {
                    Ok(()) => {}
                    Err(LogError::RunDeleted) => report.left_out(format!("new points of run {}: it is deleted here", runs[place].run_id)),
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    /// Interns the names of metrics, mended.
    async fn learn(&self, part: &[Point], names: &mut HashMap<Arc<str>, i64>, report: &mut Report) -> Result<()> {
        let mut new: Vec<Arc<str>> = part.iter().filter(|point| !names.contains_key(&point.key)).map(|point| point.key.clone()).collect();
        new.sort_unstable();
        new.dedup();
        if new.is_empty() {
            return Ok(());
        }
        let mended: Vec<String> = new.iter().map(|key| fit::key(key).into_owned()).collect();
        for (there, here) in new.iter().zip(&mended).filter(|(there, here)| ***there != ***here) {
            report.renamed("metric", there, here);
        }
        let ids = self.import.store().metric_ids(&mended.iter().map(String::as_str).collect::<Vec<_>>()).await?;
        names.extend(new.into_iter().zip(ids));
        Ok(())
    }

    /// Notes that all of some runs is here, and deletes those that are deleted there.
    async fn complete(&self, coming: &[Coming<'_>]) -> Result<()> {
        let done: Vec<(String, String, i64, bool)> = coming
            .iter()
            .map(|one| (one.run.run_id.clone(), one.run.fingerprint.clone(), one.points, one.first && !one.run.active))
            .collect();
        self.import
            .store()
            .write((self.import.clone(), done), |tx, (import, done)| {
                Box::pin(async move {
                    let mut recorded = Recorded::nothing(());
                    for (run_id, fingerprint, points, deleted) in done {
                        imports::complete(tx, &import.source, Kind::Run, run_id, fingerprint, *points).await?;
                        if *deleted {
                            recorded = delete(tx, import, run_id).await?;
                        }
                    }
                    Ok::<_, Error>(recorded)
                })
            })
            .await
            .map(Kept::into_value)
    }
}

/// Deletes a run that is deleted there.
async fn delete(tx: &Tx, import: &Import, run_id: &str) -> Result<Recorded<()>> {
    let Some(row) = runs::lock(tx, run_id).await?.filter(|row| row.active) else { return Ok(Recorded::nothing(())) };
    runs::set_active(tx, row.id, false).await?;
    let scope = row.experiment.to_string();
    let subject = Subject { kind: "run", id: &row.run_id, name: &row.name, scope: &scope };
    import.record(tx, actions::DELETE_RUN, &subject, json!({"after": {"active": false}})).await
}

/// Makes a run; none when there is one with its id that did not come from this source. It is live until all
/// of it is here, for nothing can be logged to a deleted run.
async fn make_run(tx: &Tx, import: &Import, found: &Run, experiment: i64) -> Result<Recorded<Option<i64>>> {
    let known = imports::find(&**tx, &import.source, Kind::Run, &[&found.run_id]).await?.remove(&found.run_id);
    if let Some(known) = known {
        return Ok(Recorded::nothing(Some(known.here_id)));
    }
    if runs::by_run_id(&**tx, &found.run_id).await?.is_some() {
        return Ok(Recorded::nothing(None));
    }
    runs::hold_experiment(tx, experiment).await?;
    let named = found.tags.iter().find(|(key, _)| key == "mlflow.runName").map_or("", |(_, name)| name.as_str());
    let row = RunRow {
        id: 0,
        run_id: found.run_id.clone(),
        experiment,
        name: fit::label(if found.name.is_empty() { named } else { &found.name }, limits::RUN_NAME).into_owned(),
        user_id: fit::label(&found.user_id, limits::RUN_USER).into_owned(),
        status: status(&found.status).into(),
        start_time: found.start_time,
        end_time: found.end_time,
        active: true,
        created_by: String::new(),
    };
    let id = runs::insert(tx, &row).await?;
    log(tx, id, experiment, found).await?;
    let imported = Imported { here: found.run_id.clone(), here_id: id, fingerprint: String::new(), points: 0 };
    imports::remember(tx, &import.source, Kind::Run, &found.run_id, &imported).await?;
    let scope = experiment.to_string();
    let subject = Subject { kind: "run", id: &row.run_id, name: &row.name, scope: &scope };
    let payload = json!({
        "name": row.name, "user_id": row.user_id, "status": found.status, "start_time": row.start_time, "end_time": row.end_time,
        "active": found.active,
    });
    Ok(import.record(tx, actions::CREATE_RUN, &subject, payload).await?.map(|()| Some(id)))
}

/// Adds what a run did not have when it was imported; one that was still running there may have ended.
async fn add_to_run(tx: &Tx, import: &Import, found: &Run) -> Result<Recorded<Option<i64>>> {
    let Some(row) = runs::lock(tx, &found.run_id).await? else { return Ok(Recorded::nothing(None)) };
    log(tx, row.id, row.experiment, found).await?;
    let open = |status: i32| status == i32::from(RunStatus::Running) || status == i32::from(RunStatus::Scheduled);
    let now = RunRow { status: status(&found.status).into(), end_time: found.end_time, ..row.clone() };
    if !open(row.status) || now == row {
        return Ok(Recorded::nothing(Some(row.id)));
    }
    runs::update(tx, &now).await?;
    let scope = row.experiment.to_string();
    let subject = Subject { kind: "run", id: &row.run_id, name: &row.name, scope: &scope };
    let payload = json!({"after": {"status": found.status, "end_time": found.end_time}});
    Ok(import.record(tx, actions::UPDATE_RUN, &subject, payload).await?.map(|()| Some(row.id)))
}

/// Params, tags and inputs that the run does not have.
async fn log(tx: &Tx, run: i64, experiment: i64, found: &Run) -> Result<()> {
    imports::fill_run(tx, run, &mended(&found.params), &mended(&found.tags)).await?;
    let input = |input: &Input| {
        let mut input = input.clone();
        let texts = [&mut input.dataset.name, &mut input.dataset.digest, &mut input.dataset.source_type, &mut input.dataset.source];
        for text in texts.into_iter().chain(&mut input.dataset.schema).chain(&mut input.dataset.profile) {
            *text = fit::value(text).into_owned();
        }
        input.tags = mended(&input.tags);
        input
    };
    inputs::insert(tx, run, experiment, &found.inputs.iter().map(input).collect::<Vec<_>>()).await?;
    Ok(())
}

fn status(word: &str) -> RunStatus {
    match word {
        "RUNNING" => RunStatus::Running,
        "SCHEDULED" => RunStatus::Scheduled,
        "FAILED" => RunStatus::Failed,
        "KILLED" => RunStatus::Killed,
        _ => RunStatus::Finished,
    }
}
