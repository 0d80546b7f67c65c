//! Removing for good one thing that was deleted, with a row in the ledger for each that goes. What a version that is there
//! was made of stays, and so does all that was ever promoted under a gate.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::json;

use super::access_change::fresh;
use super::artifacts::{discard, to_the_end};
use super::{Error, Result, models, versions};
use crate::access::{Access, Call, Subject};
use crate::contract::{Permission, v1};
use crate::domain::access::{Object, ObjectClass};
use crate::domain::field::Check;
use crate::domain::ledger::{GrantsNow, VersionNow, with_now};
use crate::domain::text::canonical_name;
use crate::domain::{ids, limits, text};
use crate::store::logged_models::{self, LoggedModelRow};
use crate::store::purge::{self as rows, GoneFile, Source, Tombstone};
use crate::store::runs::{self, RunRow};
use crate::store::{Kept, Recorded, Store, Tx, access, artifacts, experiments};

/// Runs or logged models of an experiment that go in one write.
const BATCH: u64 = 200;

/// What went, and the blobs whose bytes go with it.
#[derive(Debug, Clone, Default)]
pub(super) struct Gone {
    pub(super) purged: v1::Purged,
    unused: Vec<String>,
}

impl Gone {
    pub(super) fn add(&mut self, other: &v1::Purged) {
        let all = &mut self.purged;
        all.experiments += other.experiments;
        all.runs += other.runs;
        all.logged_models += other.logged_models;
        all.model_versions += other.model_versions;
        all.files += other.files;
        all.freed_bytes += other.freed_bytes;
    }

    /// Counts files that have lost an owner, and forgets the blobs that nothing else refers to. Gives how many files and
    /// freed bytes there were, for the row of the ledger.
    async fn take(&mut self, tx: &Tx, files: Vec<GoneFile>) -> Result<serde_json::Value> {
        let count = files.len() as i64;
        let sizes: HashMap<String, i64> = files.into_iter().collect();
        let blobs: Vec<String> = sizes.keys().cloned().collect();
        let unused = artifacts::forget_unused(tx, &blobs).await?;
        let freed: i64 = unused.iter().filter_map(|uid| sizes.get(uid)).sum();
        self.purged.files += count;
        self.purged.freed_bytes += freed;
        self.unused.extend(unused);
        Ok(json!({"files": count, "freed_bytes": freed}))
    }
}

/// See the proto.
pub async fn purge_run(call: &Call, request: v1::PurgeRunRequest) -> Result<Kept<v1::PurgeRunResponse>> {
    ids::run_id("run_id", &request.run_id)?;
    let gone = one(call, Thing::Run(request.run_id)).await?;
    Ok(gone.map(|purged| v1::PurgeRunResponse { purged: Some(purged) }))
}

/// See the proto.
pub async fn purge_logged_model(call: &Call, request: v1::PurgeLoggedModelRequest) -> Result<Kept<v1::PurgeLoggedModelResponse>> {
    ids::logged_model_id("model_id", &request.model_id)?;
    let gone = one(call, Thing::LoggedModel(request.model_id)).await?;
    Ok(gone.map(|purged| v1::PurgeLoggedModelResponse { purged: Some(purged) }))
}

/// See the proto.
pub async fn purge_experiment(call: &Call, request: v1::PurgeExperimentRequest) -> Result<Kept<v1::PurgeExperimentResponse>> {
    let id = ids::experiment_id("experiment_id", &request.experiment_id)?;
    let call = call.clone();
    to_the_end(async move {
        let gone = whole_experiment(&call, id).await?;
        swept(&call).await;
        call.access().refresh().await?;
        Ok(gone.map(|purged| v1::PurgeExperimentResponse { purged: Some(purged) }))
    })
    .await
}

/// See the proto.
pub async fn purge_model_version(call: &Call, request: v1::PurgeModelVersionRequest) -> Result<Kept<v1::PurgeModelVersionResponse>> {
    let mut check = Check::new();
    check.take(text::required("name", &request.name, limits::MODEL_NAME));
    let number = check.take(ids::version_number("version", &request.version));
    check.finish()?;
    let gone = one(call, Thing::Version(request.name, number.unwrap_or_default())).await?;
    Ok(gone.map(|purged| v1::PurgeModelVersionResponse { purged: Some(purged) }))
}

/// See the proto.
pub async fn purge_registered_model(
    call: &Call,
    request: v1::PurgeRegisteredModelRequest,
) -> Result<Kept<v1::PurgeRegisteredModelResponse>> {
    text::required("name", &request.name, limits::MODEL_NAME)?;
    let call = call.clone();
    to_the_end(async move {
        let gone = call.store().write((call.clone(), request.name), |tx, (call, name)| Box::pin(deleted_models(tx, call, name))).await?;
        let (kept, (gone, gated)) = gone.split();
        discard(call.store(), &gone.unused).await;
        Ok(kept.map(|()| v1::PurgeRegisteredModelResponse { purged: Some(gone.purged), kept: gated }))
    })
    .await
}

/// Something that goes in one write.
#[derive(Debug, Clone)]
pub(super) enum Thing {
    Run(String),
    LoggedModel(String),
    Version(String, i32),
}

/// Removes one thing, its bytes and its points.
async fn one(call: &Call, thing: Thing) -> Result<Kept<v1::Purged>> {
    let call = call.clone();
    // A client that goes away must not leave bytes behind whose rows are gone.
    to_the_end(async move {
        let gone = write(&call, thing).await?;
        swept(&call).await;
        Ok(gone)
    })
    .await
}

pub(super) async fn write(call: &Call, thing: Thing) -> Result<Kept<v1::Purged>> {
    let gone = call
        .store()
        .write((call.clone(), thing), |tx, (call, thing)| {
            Box::pin(async move {
                let mut gone = Gone::default();
                let recorded = match thing {
                    Thing::Run(run_id) => {
                        let row = runs::lock(tx, run_id).await?.ok_or_else(|| Error::not_found("run", run_id))?;
                        run(tx, call, &row, &mut gone).await?
                    }
                    Thing::LoggedModel(model_id) => {
                        let row = logged_models::lock(tx, model_id).await?.ok_or_else(|| Error::not_found("logged model", model_id))?;
                        logged_model(tx, call, &row, &mut gone).await?
                    }
                    Thing::Version(name, number) => version(tx, call, name, *number, &mut gone).await?,
                };
                Ok::<_, Error>(recorded.map(|()| gone))
            })
        })
        .await?;
    let (kept, gone) = gone.split();
    discard(call.store(), &gone.unused).await;
    Ok(kept.map(|()| gone.purged))
}

/// Removes what a purge before this start left.
pub async fn sweep_purged(access: Arc<Access>) {
    sweep(&access.store).await;
}

pub(super) async fn swept(call: &Call) {
    sweep(call.store()).await;
}

/// Removes the metric points of runs that went. What cannot be removed now is removed at the next start.
async fn sweep(store: &Store) {
    if let Err(error) = store.sweep().await {
        tracing::warn!(%error, "metric points of purged runs are left; they go at the next start");
    }
}

fn not_deleted(what: &str) -> Error {
    Error::precondition("NOT_DELETED", format!("{what} is not deleted; delete it first"))
}

/// Refuses to remove what a version was made of that is there, or was promoted under a gate.
async fn unbound(tx: &Tx, source: Source, what: &str) -> Result<()> {
    let Some(bound) = rows::bound(&**tx, source).await? else { return Ok(()) };
    Err(bound_by(what, &bound))
}

pub(super) fn bound_by(what: &str, bound: &rows::Bound) -> Error {
    let why = if bound.gated {
        "was asked for or moved under a gate, and what it was made of is kept"
    } else {
        "is there; where it is not needed, delete it first"
    };
    Error::precondition("BOUND_TO_VERSION", format!("version {} of {:?} was made of {what} and {why}", bound.version, bound.model))
}

pub(super) fn bound_to_model(what: &str, model_id: &str) -> Error {
    let message = format!("{what} made the logged model {model_id}, which is not deleted; where it is not needed, delete it first");
    Error::precondition("BOUND_TO_LOGGED_MODEL", message)
}

pub(super) fn default_stays() -> Error {
    Error::precondition("DEFAULT_EXPERIMENT", "the experiment 0 stays; every client counts on it")
}

async fn run(tx: &Tx, call: &Call, row: &RunRow, gone: &mut Gone) -> Result<Recorded<()>> {
    let what = format!("the run {}", row.run_id);
    if row.active {
        return Err(not_deleted(&what));
    }
    take_run(tx, call, row, gone).await
}

/// Removes a run, and the deleted logged models that it made.
async fn take_run(tx: &Tx, call: &Call, row: &RunRow, gone: &mut Gone) -> Result<Recorded<()>> {
    let what = format!("the run {}", row.run_id);
    unbound(tx, Source::Run(row.id), &what).await?;
    for (made, active) in rows::models_of_run(&**tx, row.id).await? {
        if active {
            return Err(bound_to_model(&what, &made.public_id));
        }
        if let Some(model) = logged_models::lock(tx, &made.public_id).await? {
            let _ = take_logged_model(tx, call, &model, gone).await?;
        }
    }
    let files = rows::run(tx, row.id).await?;
    let purged = gone.take(tx, files).await?;
    gone.purged.runs += 1;
    let scope = row.experiment.to_string();
    let subject = Subject { kind: "run", id: &row.run_id, name: &row.name, scope: &scope };
    Ok(tx.record(&call.entry(tx.now(), &subject, &json!({"purged": purged}))).await?)
}

async fn logged_model(tx: &Tx, call: &Call, row: &LoggedModelRow, gone: &mut Gone) -> Result<Recorded<()>> {
    if row.active {
        return Err(not_deleted(&format!("the logged model {}", row.model_id)));
    }
    take_logged_model(tx, call, row, gone).await
}

async fn take_logged_model(tx: &Tx, call: &Call, row: &LoggedModelRow, gone: &mut Gone) -> Result<Recorded<()>> {
    unbound(tx, Source::LoggedModel(row.id), &format!("the logged model {}", row.model_id)).await?;
    let files = rows::logged_model(tx, row.id).await?;
    let purged = gone.take(tx, files).await?;
    gone.purged.logged_models += 1;
    let scope = row.experiment.to_string();
    let subject = Subject { kind: "logged_model", id: &row.model_id, name: &row.name, scope: &scope };
    Ok(tx.record(&call.entry(tx.now(), &subject, &json!({"purged": purged}))).await?)
}

/// Removes an experiment with all that is in it, batch by batch.
pub(super) async fn whole_experiment(call: &Call, id: i64) -> Result<Kept<v1::Purged>> {
    let mut total = Gone::default();
    loop {
        let batch = call.store().write((call.clone(), id), |tx, (call, id)| Box::pin(some_of_experiment(tx, call, *id))).await?;
        let (kept, (gone, done)) = batch.split();
        discard(call.store(), &gone.unused).await;
        total.add(&gone.purged);
        if done {
            return Ok(kept.map(|()| total.purged));
        }
    }
}

/// Removes some of what is in an experiment, or the experiment when nothing is left; whether it went.
async fn some_of_experiment(tx: &Tx, call: &Call, id: i64) -> Result<Recorded<(Gone, bool)>> {
    // Nobody restores it meanwhile.
    runs::hold_experiment(tx, id).await?;
    let row = experiments::by_id(&**tx, id).await?.ok_or_else(|| Error::not_found("experiment", id.to_string()))?;
    let what = format!("the experiment {id}");
    if row.active {
        return Err(not_deleted(&what));
    }
    if id == ids::DEFAULT_EXPERIMENT {
        return Err(default_stays());
    }
    unbound(tx, Source::Experiment(id), &format!("what is in {what}")).await?;
    let mut gone = Gone::default();
    let (runs_here, models_here) = rows::of_experiment(&**tx, id, BATCH).await?;
    let mut recorded = Recorded::nothing(());
    for model in &models_here {
        if let Some(model) = logged_models::lock(tx, &model.public_id).await? {
            recorded = take_logged_model(tx, call, &model, &mut gone).await?;
        }
    }
    // What they made here is gone by then.
    if models_here.is_empty() {
        for run in &runs_here {
            if let Some(run) = runs::lock(tx, &run.public_id).await? {
                recorded = take_run(tx, call, &run, &mut gone).await?;
            }
        }
    }
    if !models_here.is_empty() || !runs_here.is_empty() {
        return Ok(recorded.map(|()| (gone, false)));
    }
    access::raise_epoch(tx).await?;
    let grants = rows::experiment(tx, id).await?;
    gone.purged.experiments += 1;
    let id = id.to_string();
    let subject = Subject { kind: "experiment", id: &id, name: &row.name, scope: &id };
    let payload = json!({"purged": {"grants": grants.len()}});
    let now = GrantsNow { grants: grants.into_iter().map(|grant| (grant, None)).collect() };
    Ok(tx.record(&call.entry(tx.now(), &subject, &with_now(payload, &now))).await?.map(|()| (gone, true)))
}

async fn version(tx: &Tx, call: &Call, name: &str, number: i32, gone: &mut Gone) -> Result<Recorded<()>> {
    let model = models::lock(tx, name).await?;
    let Some(tombstone) = rows::tombstones(tx, &model.uid, Some(number.into())).await?.pop() else {
        // There is none, or it is live.
        versions::of_model(tx, &model, number).await?;
        return Err(not_deleted(&format!("version {number} of {name:?}")));
    };
    if tombstone.purged {
        return Ok(Recorded::nothing(()));
    }
    take_version(tx, call, (&model.uid, &model.name), &tombstone, gone).await
}

async fn take_version(
    tx: &Tx,
    call: &Call,
    (model_uid, model): (&str, &str),
    tombstone: &Tombstone,
    gone: &mut Gone,
) -> Result<Recorded<()>> {
    let Tombstone { uid, version, gated, .. } = tombstone;
    if *gated {
        let message = format!("version {version} of {model:?} was asked for or moved under a gate, and what it was is kept");
        return Err(Error::precondition("WAS_GATED", message));
    }
    let files = rows::version(tx, uid).await?;
    let purged = gone.take(tx, files).await?;
    gone.purged.model_versions += 1;
    let name = format!("{model}/{version}");
    let subject = Subject { kind: "model_version", id: uid, name: &name, scope: model_uid };
    let payload = with_now(json!({"purged": purged}), &VersionNow { purged: true, ..VersionNow::default() });
    Ok(tx.record(&call.entry(tx.now(), &subject, &payload)).await?)
}

/// Removes what is left of deleted models, all but versions that were asked for or moved under a gate; gives how many those
/// are. Tags and description of a model with one of these stay as well.
async fn deleted_models(tx: &Tx, call: &Call, name: &str) -> Result<Recorded<(Gone, i64)>> {
    let snapshot = fresh(tx, call).await?;
    let may = |permission, uid: &str| call.decide(&snapshot, permission, &Object::named(ObjectClass::Model, uid, name)).allowed;
    let mut found = rows::deleted_models(tx, &canonical_name(name)).await?;
    let seen = found.iter().any(|uid| may(Permission::ModelsRead, uid));
    found.retain(|uid| may(Permission::ModelsPurge, uid));
    if found.is_empty() && seen {
        return Err(Error::denied(Permission::ModelsPurge, &format!("the deleted registered model {name:?}"), ""));
    }
    if found.is_empty() {
        return Err(Error::not_found("deleted registered model", name));
    }
    let (mut gone, mut kept, mut recorded) = (Gone::default(), 0, Recorded::nothing(()));
    for uid in found {
        let mut of_model = 0;
        for tombstone in rows::tombstones(tx, &uid, None).await? {
            if tombstone.gated {
                of_model += 1;
            } else if !tombstone.purged {
                recorded = take_version(tx, call, (&uid, name), &tombstone, &mut gone).await?;
            }
        }
        kept += of_model;
        if of_model == 0 && rows::model(tx, &uid).await? {
            let subject = Subject { kind: "registered_model", id: &uid, name, scope: &uid };
            recorded = tx.record(&call.entry(tx.now(), &subject, &json!({"purged": {"tags_and_description": true}}))).await?;
        }
    }
    Ok(recorded.map(|()| (gone, kept)))
}
