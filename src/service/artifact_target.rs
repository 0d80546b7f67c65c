//! Whose files a request speaks of: runs and logged models for writing, versions too for reading.

use std::sync::Arc;

use sea_orm::ConnectionTrait;

use super::runs::{absent, still_live};
use super::{Error, Result, versions};
use crate::access::{Call, Subject};
use crate::domain::artifact_owner::{self, Owned, PathOwner};
use crate::domain::{ids, text};
use crate::store::artifacts::{self, Child, Owner};
use crate::store::logged_models::{self, LoggedModelRow};
use crate::store::runs::{self, RunRow};
use crate::store::version_files::VersionFiles;
use crate::store::{self, Tx};

/// Where files can be written, as the request names it.
#[derive(Debug, Clone)]
pub(super) enum Target {
    Run {
        run_id: String,
        /// The experiment that it must be of.
        experiment: Option<i64>,
    },
    LoggedModel {
        model_id: String,
        /// The experiment that it must be of.
        experiment: i64,
    },
}

/// A target that was found and is live.
pub(super) struct Live {
    /// Whose files.
    pub(super) owner: Owner,
    kind: &'static str,
    id: String,
    name: String,
    experiment: String,
}

impl Live {
    /// As the ledger names it.
    pub(super) fn subject(&self) -> Subject<'_> {
        Subject { kind: self.kind, id: &self.id, name: &self.name, scope: &self.experiment }
    }
}

impl Target {
    /// A run of any experiment.
    pub(super) fn run(run_id: &str) -> Self {
        Self::Run { run_id: run_id.to_owned(), experiment: None }
    }

    /// The target itself, if it is live.
    pub(super) async fn find<C: ConnectionTrait>(&self, on: &C) -> Result<Live> {
        match self {
            Self::Run { run_id, experiment } => live_run(runs::by_run_id(on, run_id).await?, run_id, *experiment),
            Self::LoggedModel { model_id, experiment } => {
                live_model(logged_models::by_model_id(on, model_id).await?, model_id, *experiment)
            }
        }
    }

    /// The same for a change of its files: it stays as it is until the write ends.
    pub(super) async fn lock(&self, tx: &Tx) -> Result<Live> {
        match self {
            Self::Run { run_id, experiment } => live_run(runs::lock(tx, run_id).await?, run_id, *experiment),
            Self::LoggedModel { model_id, experiment } => live_model(logged_models::lock(tx, model_id).await?, model_id, *experiment),
        }
    }

    /// The same for the deletion of files, which those of a deleted run or logged model need as much as others.
    pub(super) async fn lock_even_deleted(&self, tx: &Tx) -> Result<Live> {
        match self {
            Self::Run { run_id, experiment } => {
                let row = runs::lock(tx, run_id).await?.map(|row| RunRow { active: true, ..row });
                live_run(row, run_id, *experiment)
            }
            Self::LoggedModel { model_id, experiment } => {
                let row = logged_models::lock(tx, model_id).await?.map(|row| LoggedModelRow { active: true, ..row });
                live_model(row, model_id, *experiment)
            }
        }
    }
}

fn live_run(row: Option<RunRow>, run_id: &str, experiment: Option<i64>) -> Result<Live> {
    let row = row.filter(|row| experiment.is_none_or(|experiment| row.experiment == experiment));
    let run = still_live(row, run_id)?;
    Ok(Live { owner: Owner::Run(run.id), kind: "run", id: run.run_id, name: run.name, experiment: run.experiment.to_string() })
}

fn live_model(row: Option<LoggedModelRow>, model_id: &str, experiment: i64) -> Result<Live> {
    let model = row.filter(|row| row.experiment == experiment).ok_or_else(|| no_model(model_id))?;
    if !model.active {
        return Err(Error::precondition("LOGGED_MODEL_DELETED", format!("the logged model {model_id} is deleted")));
    }
    let experiment = model.experiment.to_string();
    Ok(Live { owner: Owner::LoggedModel(model.id), kind: "logged_model", id: model.model_id, name: model.name, experiment })
}

fn no_model(model_id: &str) -> Error {
    Error::not_found("logged model", model_id)
}

/// The target of a path of MLflow's store, and the path below it.
pub(super) fn target_of(field: &'static str, path: &str) -> Result<(Target, String)> {
    let owned = artifact_owner::owned(field, path)?;
    let Owned { owner, below } = owned.ok_or_else(|| {
        let places = "`EXPERIMENT_ID/RUN_ID/artifacts` or `EXPERIMENT_ID/models/MODEL_ID/artifacts`";
        Error::invalid(field, format!("belongs to nobody; files lie below {places}"))
    })?;
    let target = match owner {
        PathOwner::Run { experiment, run_id } => Target::Run { run_id: run_id.to_owned(), experiment: Some(experiment) },
        PathOwner::LoggedModel { experiment, model_id } => Target::LoggedModel { model_id: model_id.to_owned(), experiment },
        PathOwner::Version { uid } => {
            return Err(Error::precondition("VERSION_FROZEN", format!("the files of the registered version {uid} never change")));
        }
    };
    Ok((target, below.to_owned()))
}

/// Where a request's files lie.
pub(super) struct Place {
    /// Whose they are.
    pub(super) owner: Owner,
    /// The address of the root, as clients of MLflow write it.
    pub(super) root_uri: String,
    /// The number of the version; empty for others.
    pub(super) version: String,
    /// The files of the version as its digest says; none for others, whose files may change.
    files: Option<Arc<VersionFiles>>,
}

impl Place {
    /// Errors when a file that the database tells is none of the version's.
    pub(super) fn compare(&self, path: &str, size: i64, sha256: &str) -> Result<()> {
        if self.files.as_ref().is_none_or(|files| files.has(path, size, sha256)) {
            return Ok(());
        }
        Err(Error::Internal(format!("the database has another file {path:?} of {} than its digest says", self.root_uri)))
    }

    /// Files and folders directly below a folder, in the order of their names' bytes, after the name `after`.
    pub(super) async fn children(&self, call: &Call, folder: &str, after: &str, limit: u64) -> Result<Vec<Child>> {
        let found = artifacts::children(call.store().reader(), &self.owner, folder, after, limit).await?;
        for file in found.iter().filter(|child| !child.is_dir) {
            self.compare(&below(folder, &file.name), file.size, &file.sha256)?;
        }
        Ok(found)
    }
}

/// The path of what lies directly below a folder.
pub(super) fn below(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// The place of a path of MLflow's store, and the path below it; none for a path without an owner.
pub(super) async fn place_of<'a>(call: &Call, path: &'a str) -> Result<Option<(Place, &'a str)>> {
    let Some(Owned { owner, below }) = artifact_owner::owned("path", path)? else { return Ok(None) };
    let place = match owner {
        PathOwner::Run { experiment, run_id } => run(call, run_id, Some(experiment)).await?,
        PathOwner::LoggedModel { experiment, model_id } => logged_model(call, model_id, Some(experiment)).await?,
        PathOwner::Version { uid } => {
            let found = store::versions::by_uid(call.store().reader(), uid).await?;
            versions_place(call, found.ok_or_else(|| Error::not_found("model version", uid))?).await?
        }
    };
    Ok(Some((place, below)))
}

/// The place of a run's files. Those of a deleted run can still be read.
pub(super) async fn run(call: &Call, run_id: &str, experiment: Option<i64>) -> Result<Place> {
    ids::run_id("run_id", run_id)?;
    let run = runs::by_run_id(call.store().reader(), run_id).await?;
    let run = run.filter(|run| experiment.is_none_or(|experiment| run.experiment == experiment)).ok_or_else(|| absent(run_id))?;
    let root_uri = format!("mlflow-artifacts:/{}/{run_id}/artifacts", run.experiment);
    Ok(Place { owner: Owner::Run(run.id), root_uri, version: String::new(), files: None })
}

/// The place of a logged model's files. A deleted one is hidden, as in MLflow.
pub(super) async fn logged_model(call: &Call, model_id: &str, experiment: Option<i64>) -> Result<Place> {
    ids::logged_model_id("model_id", model_id)?;
    let model = logged_models::by_model_id(call.store().reader(), model_id).await?;
    let model = model.filter(|model| model.active && experiment.is_none_or(|experiment| model.experiment == experiment));
    let model = model.ok_or_else(|| no_model(model_id))?;
    let root_uri = format!("mlflow-artifacts:/{}/models/{model_id}/artifacts", model.experiment);
    Ok(Place { owner: Owner::LoggedModel(model.id), root_uri, version: String::new(), files: None })
}

/// The place of a version's files; `fields` are the names of the two request fields.
pub(super) async fn version(call: &Call, fields: (&str, &str), model: &str, version: &str) -> Result<Place> {
    versions_place(call, versions::referred(call, (fields.0, model), (fields.1, version)).await?).await
}

async fn versions_place(call: &Call, found: store::versions::VersionRow) -> Result<Place> {
    let files = call.store().version_files(&found.uid, &found.source_digest).await?;
    let root_uri = versions::download_uri(&found);
    Ok(Place { root_uri, version: found.version.to_string(), owner: Owner::Version(found.uid), files: Some(files) })
}

/// The run or version that a request names: exactly one of them.
pub(super) async fn place(call: &Call, run_id: &str, model: &str, number: &str) -> Result<Place> {
    match (run_id.is_empty(), model.is_empty(), number.is_empty()) {
        (false, true, true) => run(call, run_id, None).await,
        (true, false, false) => version(call, ("model_name", "model_version"), model, number).await,
        (true, false, true) => Err(text::missing("model_version").into()),
        (true, true, false) => Err(text::missing("model_name").into()),
        _ => Err(Error::invalid("run_id", "or else `model_name` and `model_version` must be given, and not both")),
    }
}
