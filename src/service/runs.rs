//! The life of runs: create, read, change, delete, restore.

use serde_json::json;

use super::experiments::{active, lifecycle, messages, tag_pairs};
use super::{Error, Result, batch, idempotency, protection};
use crate::access::{Call, Subject};
use crate::clock;
use crate::contract::v1;
use crate::domain::field::{Check, FieldError};
use crate::domain::{ids, key_value, limits, metric_value, run_name, text};
use crate::store::metrics::LogError;
use crate::store::model_links::Output;
use crate::store::run_values::{self, RunValues};
use crate::store::runs::{self as rows, RunRow};
use crate::store::{Kept, Recorded, StoreError, Tx};

/// The tag that mirrors a run's name, both ways, as in MLflow.
pub(super) const NAME_TAG: &str = "mlflow.runName";

/// See the proto.
pub async fn create_run(call: &Call, request: v1::CreateRunRequest) -> Result<Kept<v1::CreateRunResponse>> {
    let experiment = check_new(&request)?;
    let row = RunRow {
        id: 0,
        run_id: clock::new_uid(),
        experiment,
        name: name_of(&request).unwrap_or_else(|| run_name::from_random(clock::random_bytes())),
        user_id: request.user_id.clone(),
        status: v1::RunStatus::Running.into(),
        start_time: request.start_time.unwrap_or_else(clock::now_ms),
        end_time: None,
        active: true,
        created_by: call.caller().user_uid.clone(),
    };
    call.store()
        .write((call.clone(), request, row), |tx, (call, request, row)| {
            Box::pin(async move {
                let key = request.idempotency_key.as_deref();
                if let Some(answer) = idempotency::earlier(tx, call, key, request).await? {
                    return Ok(Recorded::nothing(answer));
                }
                rows::hold_experiment(tx, row.experiment).await?;
                active(tx, row.experiment).await?;
                let id = rows::insert(tx, row).await?;
                let mut tags: Vec<_> =
                    request.tags.iter().filter(|tag| tag.key != NAME_TAG).map(|tag| (tag.key.clone(), tag.value.clone())).collect();
                tags.push((NAME_TAG.to_owned(), row.name.clone()));
                tags.sort_unstable();
                run_values::set_tags(tx, id, &tags).await?;
                let payload = json!({"name": row.name, "user_id": row.user_id, "tags": tag_pairs(&request.tags)});
                let values = RunValues { tags, ..RunValues::default() };
                let answer = v1::CreateRunResponse { run: Some(shown(row.clone(), values)) };
                let answer = record(tx, call, row, &payload).await?.map(|()| answer);
                idempotency::keep(tx, call, key, request, answer).await
            })
        })
        .await
}

/// Checks the request of a new run and gives the experiment's id.
fn check_new(request: &v1::CreateRunRequest) -> Result<i64> {
    let mut check = Check::new();
    let experiment = check.take(ids::experiment_id("experiment_id", &request.experiment_id));
    check.take(text::label("user_id", &request.user_id, limits::RUN_USER));
    check.take(text::label("run_name", &request.run_name, limits::RUN_NAME));
    check.take(batch::time("start_time", request.start_time.unwrap_or_default()));
    check.take(text::idempotency_key(request.idempotency_key.as_deref()));
    super::experiments::tags(&mut check, &request.tags, limits::RUN_TAG_VALUE);
    key_value::check_once(&mut check, "tags", request.tags.iter().map(|tag| tag.key.as_str()), limits::CREATION_TAGS);
    for (index, tag) in request.tags.iter().take(limits::CREATION_TAGS).enumerate() {
        let field = format!("tags[{index}]");
        if tag.key == NAME_TAG {
            check.take(text::label(&format!("{field}.value"), &tag.value, limits::RUN_NAME));
            let same = request.run_name.is_empty() || tag.value.is_empty() || tag.value == request.run_name;
            check.require(same, &format!("{field}.value"), "differs from `run_name`; give one of them, or both alike");
        }
    }
    check.finish()?;
    experiment.ok_or_else(|| Error::Internal("an experiment's id was lost".to_owned()))
}

/// The name that the request gives: its own field, else the tag; an empty one is none.
fn name_of(request: &v1::CreateRunRequest) -> Option<String> {
    let tag = request.tags.iter().find(|tag| tag.key == NAME_TAG).map(|tag| tag.value.as_str());
    [request.run_name.as_str(), tag.unwrap_or_default()].into_iter().find(|name| !name.trim().is_empty()).map(str::to_owned)
}

/// See the proto.
pub async fn get_run(call: &Call, request: v1::GetRunRequest) -> Result<v1::GetRunResponse> {
    let run_id = run_id(&request.run_id, &request.run_uuid)?;
    let reader = call.store().reader();
    let row = rows::by_run_id(reader, run_id).await?.ok_or_else(|| absent(run_id))?;
    let values = run_values::of_runs(reader, &[row.id]).await?.remove(&row.id).unwrap_or_default();
    Ok(v1::GetRunResponse { run: Some(shown(row, values)) })
}

/// See the proto.
pub async fn update_run(call: &Call, request: v1::UpdateRunRequest) -> Result<Kept<v1::UpdateRunResponse>> {
    let run_id = run_id(&request.run_id, &request.run_uuid)?.to_owned();
    let mut check = Check::new();
    if let Some(number) = request.status {
        let known = v1::RunStatus::try_from(number).is_ok_and(|status| status != v1::RunStatus::Unspecified);
        check.require(known, "status", &format!("is no status of a run: {number}"));
    }
    check.take(batch::time("end_time", request.end_time.unwrap_or_default()));
    check.take(text::label("run_name", request.run_name(), limits::RUN_NAME));
    if request.run_name.as_ref().is_some_and(|name| !name.is_empty() && name.trim().is_empty()) {
        check.fail(FieldError::new("run_name", "is blank"));
    }
    check.finish()?;
    let row = call
        .store()
        .write((call.clone(), run_id, request), |tx, (call, run_id, request)| {
            Box::pin(async move {
                let before = still_live(rows::lock(tx, run_id).await?, run_id)?;
                let mut after = before.clone();
                after.status = request.status.unwrap_or(before.status);
                after.end_time = request.end_time.or(before.end_time);
                if !request.run_name().is_empty() {
                    request.run_name().clone_into(&mut after.name);
                    run_values::set_tags(tx, after.id, &[(NAME_TAG.to_owned(), after.name.clone())]).await?;
                }
                if after == before {
                    return Ok::<_, Error>(Recorded::nothing(after));
                }
                rows::update(tx, &after).await?;
                let payload = json!({"before": facts(&before), "after": facts(&after)});
                Ok(record(tx, call, &after, &payload).await?.map(|()| after))
            })
        })
        .await?;
    Ok(row.map(|row| v1::UpdateRunResponse { run_info: Some(info(row)) }))
}

/// See the proto.
pub async fn delete_run(call: &Call, request: v1::DeleteRunRequest) -> Result<Kept<v1::DeleteRunResponse>> {
    let kept = set_active(call, &request.run_id, false).await?;
    Ok(kept.map(|()| v1::DeleteRunResponse {}))
}

/// See the proto.
pub async fn restore_run(call: &Call, request: v1::RestoreRunRequest) -> Result<Kept<v1::RestoreRunResponse>> {
    let kept = set_active(call, &request.run_id, true).await?;
    Ok(kept.map(|()| v1::RestoreRunResponse {}))
}

async fn set_active(call: &Call, run_id: &str, wanted: bool) -> Result<Kept<()>> {
    ids::run_id("run_id", run_id)?;
    call.store()
        .write((call.clone(), run_id.to_owned(), wanted), |tx, (call, run_id, wanted)| {
            Box::pin(async move {
                let row = rows::lock(tx, run_id).await?.ok_or_else(|| absent(run_id))?;
                if row.active == *wanted {
                    return Ok(Recorded::nothing(()));
                }
                if !*wanted {
                    protection::run(tx, row.id).await?;
                }
                rows::set_active(tx, row.id, *wanted).await?;
                record(tx, call, &row, &json!({"after": {"active": wanted}})).await
            })
        })
        .await
}

/// What of a run its ledger rows tell.
fn facts(row: &RunRow) -> serde_json::Value {
    json!({"name": row.name, "status": status(row).as_str_name(), "end_time": row.end_time})
}

async fn record(tx: &Tx, call: &Call, row: &RunRow, payload: &serde_json::Value) -> Result<Recorded<()>> {
    let scope = row.experiment.to_string();
    let subject = Subject { kind: "run", id: &row.run_id, name: &row.name, scope: &scope };
    Ok(tx.record(&call.entry(tx.now(), &subject, payload)).await?)
}

/// The run that a request names. The check has refused two different names already.
pub(super) fn run_id<'a>(run_id: &'a str, run_uuid: &'a str) -> Result<&'a str> {
    let id = if run_id.is_empty() { run_uuid } else { run_id };
    ids::run_id("run_id", id)?;
    Ok(id)
}

/// A live run for something it logs, or the error that says what is in the way. That a run is deleted at
/// the same time does no harm: the log entry then came first.
pub(super) async fn live(tx: &Tx, run_id: &str) -> Result<RunRow> {
    still_live(rows::by_run_id(&**tx, run_id).await?, run_id)
}

/// A run that was found and is live, or the error that says what is in the way.
pub(super) fn still_live(row: Option<RunRow>, run_id: &str) -> Result<RunRow> {
    let row = row.ok_or_else(|| absent(run_id))?;
    if row.active { Ok(row) } else { Err(deleted(run_id)) }
}

/// Why points were not stored, in the service's terms.
pub(super) fn refused(run_id: &str, error: LogError) -> Error {
    match error {
        LogError::NoRun => absent(run_id),
        LogError::RunDeleted => deleted(run_id),
        LogError::Store(error) => StoreError::into(error),
    }
}

fn deleted(run_id: &str) -> Error {
    Error::precondition("RUN_DELETED", format!("the run {run_id} is deleted; it must be in the 'active' state"))
}

/// The error of a run that does not exist.
pub(super) fn absent(run_id: &str) -> Error {
    Error::not_found("run", run_id)
}

fn status(row: &RunRow) -> v1::RunStatus {
    // Nothing but a status is ever stored.
    v1::RunStatus::try_from(row.status).unwrap_or(v1::RunStatus::Unspecified)
}

fn info(row: RunRow) -> v1::RunInfo {
    v1::RunInfo {
        status: status(&row).into(),
        artifact_uri: format!("mlflow-artifacts:/{}/{}/artifacts", row.experiment, row.run_id),
        lifecycle_stage: lifecycle(row.active).into(),
        run_uuid: row.run_id.clone(),
        run_id: row.run_id,
        run_name: row.name,
        experiment_id: row.experiment.to_string(),
        user_id: row.user_id,
        start_time: row.start_time,
        end_time: row.end_time,
        created_by: row.created_by,
    }
}

/// A run as the contract has it.
pub(super) fn shown(row: RunRow, values: RunValues) -> v1::Run {
    let metric = |latest: run_values::Latest| v1::Metric {
        key: latest.key,
        value: Some(metric_value::decode(latest.value)),
        timestamp: Some(latest.time),
        step: latest.step,
        ..v1::Metric::default()
    };
    let data = v1::RunData {
        metrics: values.metrics.into_iter().map(metric).collect(),
        params: values.params.into_iter().map(|(key, value)| v1::Param { key, value }).collect(),
        tags: messages(values.tags),
    };
    let inputs = v1::RunInputs {
        dataset_inputs: values.inputs.into_iter().map(super::inputs::shown).collect(),
        model_inputs: values.model_inputs.into_iter().map(|model_id| v1::ModelInput { model_id }).collect(),
    };
    let output = |output: Output| v1::ModelOutput { model_id: output.model_id, step: output.step };
    let outputs = v1::RunOutputs { model_outputs: values.model_outputs.into_iter().map(output).collect() };
    v1::Run { info: Some(info(row)), data: Some(data), inputs: Some(inputs), outputs: Some(outputs) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(run_name: &str, tags: &[(&str, &str)]) -> v1::CreateRunRequest {
        v1::CreateRunRequest {
            experiment_id: "0".to_owned(),
            run_name: run_name.to_owned(),
            tags: tags.iter().map(|(key, value)| v1::Tag { key: (*key).to_owned(), value: (*value).to_owned() }).collect(),
            ..v1::CreateRunRequest::default()
        }
    }

    #[test]
    fn a_name_comes_from_the_field_then_from_the_tag() {
        assert_eq!(name_of(&request("a", &[])), Some("a".to_owned()));
        assert_eq!(name_of(&request("", &[(NAME_TAG, "b")])), Some("b".to_owned()));
        assert_eq!(name_of(&request("", &[(NAME_TAG, "")])), None);
        assert!(check_new(&request("a", &[(NAME_TAG, "a")])).is_ok());
        assert!(check_new(&request("a", &[(NAME_TAG, "b")])).is_err());
    }

    #[test]
    fn a_new_run_is_checked_as_a_whole() {
        let mut bad = request(&"n".repeat(251), &[("k", "1"), ("k", "1"), ("../k", "1")]);
        bad.experiment_id = "-1".to_owned();
        bad.start_time = Some(-1);
        bad.user_id = "u".repeat(257);
        let Err(Error::Invalid(invalid)) = check_new(&bad) else { panic!("must be invalid") };
        let fields: Vec<&str> = invalid.violations().iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, ["experiment_id", "user_id", "run_name", "start_time", "tags[2].key", "tags[1].key"]);
    }
}
