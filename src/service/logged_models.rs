//! The life of logged models: create, read, finalize, delete.

use serde_json::json;

use super::experiments::{active, lifecycle, messages, tag_pairs, tags};
use super::logged_model_values::{check_params, param_pairs};
use super::models::user_name;
use super::{Error, Result, idempotency, protection, runs, write};
use crate::access::{Call, Subject};
use crate::clock;
use crate::contract::{ObjectKind, Permission, v1};
use crate::domain::access::{ObjectClass, Snapshot};
use crate::domain::field::Check;
use crate::domain::{ids, limits, metric_value, run_name, text};
use crate::store::logged_model_values::{self, LoggedModelValues, PointShown};
use crate::store::logged_models::{self as rows, LoggedModelRow};
use crate::store::search::Query;
use crate::store::{Kept, Recorded, Tx};

/// See the proto.
pub async fn create_logged_model(call: &Call, request: v1::CreateLoggedModelRequest) -> Result<Kept<v1::CreateLoggedModelResponse>> {
    let experiment = check_new(&request)?;
    let name = request.name.clone();
    let row = LoggedModelRow {
        id: 0,
        model_id: format!("m-{}", clock::new_uid()),
        experiment,
        name: name.unwrap_or_else(|| run_name::from_random(clock::random_bytes())),
        model_type: request.model_type.clone(),
        source_run: None,
        source_run_id: request.source_run_id.clone(),
        status: v1::LoggedModelStatus::Pending.into(),
        active: true,
        created: clock::now_ms(),
        updated: clock::now_ms(),
        created_by: call.caller().user_uid.clone(),
    };
    write(call.store(), (call.clone(), request, row), |tx, (call, request, row)| Box::pin(create(tx, call, request, row))).await
}

/// Checks the request of a new logged model and gives the experiment's id.
fn check_new(request: &v1::CreateLoggedModelRequest) -> Result<i64> {
    let mut check = Check::new();
    let experiment = check.take(ids::experiment_id("experiment_id", &request.experiment_id));
    if let Some(name) = &request.name {
        check.take(text::logged_model_name("name", name));
    }
    check.take(text::label("model_type", &request.model_type, limits::LOGGED_MODEL_NAME));
    if !request.source_run_id.is_empty() {
        check.take(ids::run_id("source_run_id", &request.source_run_id));
    }
    check_params(&mut check, &request.params);
    tags(&mut check, &request.tags, limits::REGISTRY_TAG_VALUE);
    check.take(text::idempotency_key(request.idempotency_key.as_deref()));
    check.finish()?;
    experiment.ok_or_else(|| Error::Internal("an experiment's id was lost".to_owned()))
}

async fn create(
    tx: &Tx,
    call: &Call,
    request: &v1::CreateLoggedModelRequest,
    row: &LoggedModelRow,
) -> Result<Recorded<v1::CreateLoggedModelResponse>> {
    let key = request.idempotency_key.as_deref();
    if let Some(answer) = idempotency::earlier(tx, call, key, request).await? {
        return Ok(Recorded::nothing(answer));
    }
    crate::store::runs::hold_experiment(tx, row.experiment).await?;
    active(tx, row.experiment).await?;
    let mut row = LoggedModelRow { created: tx.now(), updated: tx.now(), ..row.clone() };
    if !row.source_run_id.is_empty() {
        let run = crate::store::runs::by_run_id(&**tx, &row.source_run_id).await?;
        row.source_run = Some(run.ok_or_else(|| runs::absent(&row.source_run_id))?.id);
    }
    row.id = rows::insert(tx, &row).await?;
    let params = param_pairs(&request.params);
    logged_model_values::insert_params(tx, row.id, &params).await?;
    let tags = super::logged_model_values::tag_pairs(&request.tags);
    logged_model_values::set_tags(tx, row.id, &tags).await?;
    let payload = json!({
        "name": row.name, "model_type": row.model_type, "source_run_id": row.source_run_id, "tags": tag_pairs(&request.tags),
    });
    let recorded = record(tx, call, &row, &payload).await?;
    let snapshot = call.access().snapshot().await?;
    let values = LoggedModelValues { params, tags, metrics: Vec::new() };
    let answer = v1::CreateLoggedModelResponse { model: Some(shown(&snapshot, row, values)) };
    idempotency::keep(tx, call, key, request, recorded.map(|()| answer)).await
}

/// See the proto.
pub async fn get_logged_model(call: &Call, request: v1::GetLoggedModelRequest) -> Result<v1::GetLoggedModelResponse> {
    ids::logged_model_id("model_id", &request.model_id)?;
    let row = rows::by_model_id(call.store().reader(), &request.model_id).await?;
    let row = row.filter(|row| row.active || request.allow_deleted).ok_or_else(|| absent(&request.model_id))?;
    Ok(v1::GetLoggedModelResponse { model: shown_all(call, vec![row]).await?.pop() })
}

/// See the proto.
pub async fn finalize_logged_model(call: &Call, request: v1::FinalizeLoggedModelRequest) -> Result<Kept<v1::FinalizeLoggedModelResponse>> {
    let mut check = Check::new();
    check.take(ids::logged_model_id("model_id", &request.model_id));
    let known = v1::LoggedModelStatus::try_from(request.status).is_ok_and(|status| status != v1::LoggedModelStatus::Unspecified);
    check.require(known, "status", "must be LOGGED_MODEL_READY, LOGGED_MODEL_UPLOAD_FAILED or LOGGED_MODEL_PENDING");
    check.finish()?;
    let row = write(call.store(), (call.clone(), request), |tx, (call, request)| {
        Box::pin(async move {
            let before = lock(tx, &request.model_id).await?;
            let after = LoggedModelRow { status: request.status, updated: tx.now(), ..before.clone() };
            if before.status == after.status {
                return Ok(Recorded::nothing(before));
            }
            rows::update(tx, &after).await?;
            let payload = json!({"before": {"status": status(&before).as_str_name()}, "after": {"status": status(&after).as_str_name()}});
            Ok(record(tx, call, &after, &payload).await?.map(|()| after))
        })
    })
    .await?;
    let (kept, row) = row.split();
    let model = shown_all(call, vec![row]).await?.pop();
    Ok(kept.map(|()| v1::FinalizeLoggedModelResponse { model }))
}

/// See the proto.
pub async fn delete_logged_model(call: &Call, request: v1::DeleteLoggedModelRequest) -> Result<Kept<v1::DeleteLoggedModelResponse>> {
    ids::logged_model_id("model_id", &request.model_id)?;
    let kept = write(call.store(), (call.clone(), request), |tx, (call, request)| {
        Box::pin(async move {
            let row = rows::lock(tx, &request.model_id).await?.ok_or_else(|| absent(&request.model_id))?;
            if !row.active {
                return Ok(Recorded::nothing(()));
            }
            protection::logged_model(tx, row.id).await?;
            let row = LoggedModelRow { active: false, updated: tx.now(), ..row };
            rows::update(tx, &row).await?;
            record(tx, call, &row, &json!({"after": {"active": false}})).await
        })
    })
    .await?;
    Ok(kept.map(|()| v1::DeleteLoggedModelResponse {}))
}

/// A logged model that is not deleted, for writing.
pub(super) async fn lock(tx: &Tx, model_id: &str) -> Result<LoggedModelRow> {
    rows::lock(tx, model_id).await?.filter(|row| row.active).ok_or_else(|| absent(model_id))
}

/// Refuses a caller who lacks a permission on one of some logged models.
pub(super) async fn require(call: &Call, permission: Permission, mut model_ids: Vec<&str>) -> Result<()> {
    model_ids.sort_unstable();
    model_ids.dedup();
    for model_id in model_ids {
        call.access().require(call, permission, ObjectKind::LoggedModel, model_id).await?;
    }
    Ok(())
}

async fn record(tx: &Tx, call: &Call, row: &LoggedModelRow, payload: &serde_json::Value) -> Result<Recorded<()>> {
    let scope = row.experiment.to_string();
    let subject = Subject { kind: "logged_model", id: &row.model_id, name: &row.name, scope: &scope };
    Ok(tx.record(&call.entry(tx.now(), &subject, payload)).await?)
}

/// The error of a logged model that does not exist or is deleted.
pub(super) fn absent(model_id: &str) -> Error {
    Error::not_found("logged model", model_id)
}

fn status(row: &LoggedModelRow) -> v1::LoggedModelStatus {
    // Nothing but a status is ever stored.
    v1::LoggedModelStatus::try_from(row.status).unwrap_or(v1::LoggedModelStatus::Unspecified)
}

/// Logged models as the contract has them.
pub(super) async fn shown_all(call: &Call, found: Vec<LoggedModelRow>) -> Result<Vec<v1::LoggedModel>> {
    let snapshot = call.access().snapshot().await?;
    let ids: Vec<i64> = found.iter().map(|row| row.id).collect();
    let visible = call.visibility(&snapshot, Permission::ExperimentsRead, ObjectClass::Experiment);
    let mut readable = Query::new(call.store().engine());
    readable.visible_runs(&visible, &call.caller().user_uid);
    let mut values = logged_model_values::of_models(call.store().reader(), &ids, readable, limits::MODEL_POINTS).await?;
    let show = |row: LoggedModelRow| {
        let values = values.remove(&row.id).unwrap_or_default();
        shown(&snapshot, row, values)
    };
    Ok(found.into_iter().map(show).collect())
}

fn shown(snapshot: &Snapshot, row: LoggedModelRow, values: LoggedModelValues) -> v1::LoggedModel {
    let metric = |point: PointShown| v1::Metric {
        key: point.key,
        value: Some(metric_value::decode(point.value)),
        timestamp: Some(point.time),
        step: point.step,
        model_id: row.model_id.clone(),
        dataset_name: point.dataset_name,
        dataset_digest: point.dataset_digest,
        run_id: point.run_id,
        logged_by: user_name(snapshot, &point.logged_by),
    };
    let data = v1::LoggedModelData {
        params: values.params.into_iter().map(|(key, value)| v1::Param { key, value }).collect(),
        metrics: values.metrics.into_iter().map(metric).collect(),
    };
    let info = v1::LoggedModelInfo {
        artifact_uri: format!("mlflow-artifacts:/{}/models/{}/artifacts", row.experiment, row.model_id),
        status: status(&row).into(),
        lifecycle_stage: lifecycle(row.active).into(),
        created_by: user_name(snapshot, &row.created_by),
        experiment_id: row.experiment.to_string(),
        model_id: row.model_id,
        name: row.name,
        creation_timestamp_ms: row.created,
        last_updated_timestamp_ms: row.updated,
        model_type: row.model_type,
        source_run_id: row.source_run_id,
        tags: messages(values.tags),
    };
    v1::LoggedModel { info: Some(info), data: Some(data) }
}
