//! Where a new version comes from: the files of a run, of a logged model or of another version, or nothing that
//! this server holds. What the caller names must be readable for the caller.

use super::access_change::fresh;
use super::versions::of_model;
use super::{Error, Result, logged_models, models};
use crate::access::Call;
use crate::contract::{Permission, v1};
use crate::domain::access::{Object, ObjectClass, Verdict};
use crate::domain::manifest::UNVERIFIED;
use crate::domain::source::Source;
use crate::domain::text;
use crate::store::artifacts::{self, ManifestFile};
use crate::store::logged_models::LoggedModelRow;
use crate::store::versions::{self as rows, VersionRow};
use crate::store::{self, Tx, version_files};

/// Of several logged models of one run and name, so many are told.
const TOLD_AT_MOST: i64 = 5;

/// Where a version comes from.
pub(super) struct Origin {
    pub(super) run_id: String,
    pub(super) run: Option<i64>,
    pub(super) model: Option<LoggedModelRow>,
    /// None when the source lies elsewhere.
    pub(super) files: Option<Vec<ManifestFile>>,
}

impl Origin {
    /// The digest of the version's manifest.
    pub(super) fn digest(&self) -> String {
        version_files::digest_of(self.files.as_deref().unwrap_or_default())
    }
}

/// What a request's source, run and logged model lead to; together they must say one thing.
pub(super) async fn origin(tx: &Tx, call: &Call, request: &v1::CreateModelVersionRequest, source: &Source) -> Result<Origin> {
    let origin = of_source(tx, call, request, source).await?;
    if request.model_id.is_empty() {
        return Ok(origin);
    }
    let model = logged_models::lock(tx, &request.model_id).await?;
    if origin.model.as_ref().is_some_and(|other| other.id != model.id) {
        return Err(Error::invalid("model_id", "is not the logged model that `source` leads to"));
    }
    if origin.run.is_some() && origin.run != model.source_run {
        return Err(Error::invalid("model_id", format!("was not made by the run {}, which the version comes from", origin.run_id)));
    }
    Ok(Origin { run_id: model.source_run_id.clone(), run: model.source_run, model: Some(model), files: origin.files })
}

/// A version of all files of a logged model that the caller may read; the rule has only looked at `model_id`.
async fn of_logged_model(tx: &Tx, call: &Call, request: &v1::CreateModelVersionRequest, model_id: &str) -> Result<Origin> {
    let found = store::objects::logged_model(&**tx, model_id).await?;
    let named = Named { kind: "logged model", name: model_id, found, absent: Object::SERVER };
    named.require(tx, call, Permission::ExperimentsRead).await?;
    let model = logged_models::lock(tx, model_id).await?;
    if !request.run_id.is_empty() && request.run_id != model.source_run_id {
        return Err(Error::invalid("run_id", "is not the run that made the logged model"));
    }
    let files = artifacts::manifest_of_logged_model(&**tx, model.id).await?;
    if files.is_empty() {
        return Err(Error::precondition("SOURCE_EMPTY", format!("the logged model {model_id} has no file; upload it first")));
    }
    Ok(Origin { run_id: model.source_run_id.clone(), run: model.source_run, model: Some(model), files: Some(files) })
}

/// What a source names, where no rule can read it.
struct Named<'a> {
    kind: &'static str,
    name: &'a str,
    found: Option<Object>,
    /// What it stands for if there is none.
    absent: Object,
}

impl Named<'_> {
    /// Asks as a rule would: what is hidden from the caller looks as if it were missing.
    async fn require(&self, tx: &Tx, call: &Call, permission: Permission) -> Result<()> {
        let (snapshot, caller) = (fresh(tx, call).await?, call.caller());
        match snapshot.judge(&caller.user_uid, &caller.limits, permission, self.found.as_ref(), &self.absent) {
            Verdict::Admitted => Ok(()),
            Verdict::Absent => Err(Error::not_found(self.kind, self.name)),
            Verdict::Denied => Err(Error::denied(permission, &format!("{} {:?}", self.kind, self.name), "")),
        }
    }
}

async fn of_source(tx: &Tx, call: &Call, request: &v1::CreateModelVersionRequest, source: &Source) -> Result<Origin> {
    match source {
        Source::LoggedModel { model_id } => of_logged_model(tx, call, request, model_id).await,
        Source::Run { run_id, path } => {
            if !request.run_id.is_empty() && request.run_id != *run_id {
                return Err(Error::invalid("run_id", "is not the run that `source` names"));
            }
            let run = readable_run(tx, call, run_id).await?;
            let files = artifacts::manifest_of_run(&**tx, run, path).await?;
            if files.is_empty() {
                return of_model_of_run(tx, call, request, (run, run_id), path).await;
            }
            Ok(Origin { run_id: run_id.clone(), run: Some(run), model: None, files: Some(files) })
        }
        Source::Version { name, version } => {
            let from = readable_version(tx, call, name, *version).await?;
            if !request.run_id.is_empty() && request.run_id != from.run_id {
                return Err(Error::invalid("run_id", "is not the run of the version that `source` names"));
            }
            let verified = from.source_digest != UNVERIFIED;
            let files = if verified { Some(artifacts::manifest_of_version(&**tx, &from.uid).await?) } else { None };
            let model = store::logged_models::by_model_id(&**tx, &from.model_id).await?;
            Ok(Origin { run_id: from.run_id, run: from.run, model, files })
        }
        Source::Label if request.run_id.is_empty() => Ok(Origin { run_id: String::new(), run: None, model: None, files: None }),
        Source::Label => {
            let run = rows::run_of(&**tx, &request.run_id).await?;
            let run = run.ok_or_else(|| Error::not_found("run", &request.run_id))?;
            Ok(Origin { run_id: request.run_id.clone(), run: Some(run), model: None, files: None })
        }
    }
}

/// A version of the logged model that a run made under a name: MLflow 3 keeps the files there, while scripts and other
/// registries still say that they are the run's.
async fn of_model_of_run(
    tx: &Tx,
    call: &Call,
    request: &v1::CreateModelVersionRequest,
    (run, run_id): (i64, &str),
    name: &str,
) -> Result<Origin> {
    let models = store::logged_models::of_run(&**tx, run, name, TOLD_AT_MOST).await?;
    let why = match models.as_slice() {
        [model_id] => return of_logged_model(tx, call, request, model_id).await,
        [] => "upload the model first".to_owned(),
        several => {
            format!("it made several logged models of this name; name the one that is meant: models:/{}", several.join(", models:/"))
        }
    };
    Err(Error::precondition("SOURCE_EMPTY", format!("the run {run_id} has no file at {name:?}: {why}")))
}

/// A run that the caller may read; the rule has only looked at `run_id`.
async fn readable_run(tx: &Tx, call: &Call, run_id: &str) -> Result<i64> {
    let found = store::objects::run(&**tx, run_id).await?;
    let named = Named { kind: "run", name: run_id, found, absent: Object::SERVER };
    named.require(tx, call, Permission::ExperimentsRead).await?;
    rows::run_of(&**tx, run_id).await?.ok_or_else(|| Error::not_found("run", run_id))
}

async fn readable_version(tx: &Tx, call: &Call, name: &str, number: i32) -> Result<VersionRow> {
    let found = store::objects::model(&**tx, &text::canonical_name(name)).await?;
    let absent = Object { class: ObjectClass::Model, name: Some(name.to_owned()), ..Object::SERVER };
    Named { kind: "registered model", name, found, absent }.require(tx, call, Permission::VersionsDownload).await?;
    let model = models::lock(tx, name).await?;
    of_model(tx, &model, number).await
}
