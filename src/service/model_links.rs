//! Which logged models runs used and made.

use std::collections::HashSet;

use super::logged_models::{absent, require};
use super::runs::{live, run_id};
use super::{Error, Result, write_bulk};
use crate::access::Call;
use crate::contract::{Permission, v1};
use crate::domain::field::Check;
use crate::domain::{ids, limits, text};
use crate::store::{Tx, logged_models, model_links as rows, run_values};

/// The tag in which clients of MLflow 2 keep what they logged.
const HISTORY_TAG: &str = "mlflow.log-model.history";
/// What a model in it must have.
const MANDATORY: [&str; 4] = ["artifact_path", "flavors", "run_id", "utc_time_created"];

/// See the proto.
pub async fn log_outputs(call: &Call, request: v1::LogOutputsRequest) -> Result<v1::LogOutputsResponse> {
    let mut check = Check::new();
    check.take(ids::run_id("run_id", &request.run_id));
    check.require(!request.models.is_empty(), "models", "is required");
    let ids: Vec<&str> = request.models.iter().map(|model| model.model_id.as_str()).collect();
    check_models(&mut check, &ids);
    let mut seen = HashSet::new();
    for (index, id) in ids.iter().enumerate() {
        check.require(seen.insert(id), &format!("models[{index}].model_id"), "stands in the list already; give each model once");
    }
    check.finish()?;
    require(call, Permission::ExperimentsRead, ids).await?;
    write_bulk(call.store(), request, |tx, request| {
        Box::pin(async move {
            let run = live(tx, &request.run_id).await?;
            let ids: Vec<&str> = request.models.iter().map(|model| model.model_id.as_str()).collect();
            let found = internal_ids(tx, &ids).await?;
            let outputs: Vec<(i64, i64)> = found.iter().zip(&request.models).map(|(id, model)| (*id, model.step)).collect();
            if let Some(taken) = rows::insert_outputs(tx, run.id, &outputs).await? {
                let name = found.iter().position(|id| *id == taken).map_or("", |index| ids[index]);
                return Err(Error::already_exists("output of the run", name));
            }
            Ok(())
        })
    })
    .await?;
    Ok(v1::LogOutputsResponse {})
}

/// Checks ids of logged models in a list `models`.
pub(super) fn check_models(check: &mut Check, model_ids: &[&str]) {
    check.take(text::count("models", model_ids.len(), limits::MODEL_LINKS));
    for (index, id) in model_ids.iter().take(limits::MODEL_LINKS).enumerate() {
        check.take(ids::logged_model_id(&format!("models[{index}].model_id"), id));
    }
}

/// The internal ids of logged models that are not deleted, in the order of `model_ids`.
pub(super) async fn internal_ids(tx: &Tx, model_ids: &[&str]) -> Result<Vec<i64>> {
    let found = logged_models::live(&**tx, model_ids).await?;
    model_ids.iter().map(|id| found.get(*id).copied().ok_or_else(|| absent(id))).collect()
}

/// See the proto.
pub async fn record_logged_model(call: &Call, request: v1::RecordLoggedModelRequest) -> Result<v1::RecordLoggedModelResponse> {
    let run_id = run_id(&request.run_id, "")?.to_owned();
    let model = kept(&request.model_json)?;
    write_bulk(call.store(), (run_id, model), |tx, (run_id, model)| {
        Box::pin(async move {
            let run = crate::store::runs::lock(tx, run_id).await?;
            let run = super::runs::still_live(run, run_id)?;
            let stored = run_values::tag(&**tx, run.id, HISTORY_TAG).await?;
            let value = appended(stored.as_deref(), model)?;
            run_values::set_tags(tx, run.id, &[(HISTORY_TAG.to_owned(), value)]).await?;
            Ok(())
        })
    })
    .await?;
    Ok(v1::RecordLoggedModelResponse {})
}

/// What MLflow keeps of a model: some of its properties, and its flavors without their `config`.
fn kept(model_json: &str) -> Result<serde_json::Value> {
    let refuse = |why: String| Error::invalid("model_json", why);
    let parsed = serde_json::from_str(model_json).map_err(|error| refuse(format!("is no JSON: {error}")))?;
    let serde_json::Value::Object(mut model) = parsed else { return Err(refuse("is no JSON object".to_owned())) };
    if let Some(missing) = MANDATORY.into_iter().find(|name| !model.contains_key(*name)) {
        return Err(refuse(format!("lacks the mandatory field `{missing}`")));
    }
    model.retain(|name, _| MANDATORY.contains(&name.as_str()) || name == "model_uuid");
    let flavors = model.get_mut("flavors").and_then(serde_json::Value::as_object_mut);
    let flavors = flavors.ok_or_else(|| refuse("has `flavors` that are no JSON object".to_owned()))?;
    for flavor in flavors.values_mut().filter_map(serde_json::Value::as_object_mut) {
        flavor.remove("config");
    }
    Ok(model.into())
}

fn appended(stored: Option<&str>, model: &serde_json::Value) -> Result<String> {
    let list: std::result::Result<Vec<serde_json::Value>, _> = stored.map_or(Ok(Vec::new()), serde_json::from_str);
    let Ok(mut list) = list else {
        return Err(Error::precondition("TAG_IN_THE_WAY", format!("the tag {HISTORY_TAG} of the run holds no JSON list; delete it")));
    };
    list.push(model.clone());
    let value = serde_json::Value::from(list).to_string();
    text::value("model_json", &value, limits::RUN_TAG_VALUE)?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: &str = r#"{"run_id": "r", "artifact_path": "m", "utc_time_created": "now", "signature": {},
                           "flavors": {"sklearn": {"config": 1, "code": "c"}, "odd": 5}}"#;

    #[test]
    fn what_mlflow_keeps_of_a_model_is_kept() {
        let model = kept(MODEL).unwrap();
        let words = r#"{"artifact_path":"m","flavors":{"odd":5,"sklearn":{"code":"c"}},"run_id":"r","utc_time_created":"now"}"#;
        assert_eq!(model.to_string(), words);
        let one = appended(None, &model).unwrap();
        assert_eq!(one, format!("[{words}]"));
        assert_eq!(appended(Some(&one), &model).unwrap(), format!("[{words},{words}]"));
        assert!(appended(Some("x"), &model).is_err() && appended(Some("{}"), &model).is_err());
        let full = format!("[{:?}]", "x".repeat(65_500));
        assert!(appended(Some(&full), &model).is_err());
        // The signature is not kept, and its length does not matter.
        let wide = MODEL.replace("{},", &format!("{:?},", "x".repeat(100_000)));
        assert_eq!(kept(&wide).unwrap(), model);
    }

    #[test]
    fn what_is_no_model_is_refused() {
        let listed = MODEL.replace(r#"{"sklearn": {"config": 1, "code": "c"}, "odd": 5}"#, "[]");
        for bad in ["", "[]", "5", "{", "{}", &MODEL.replace("artifact_path", "path"), &listed, &"[".repeat(100_000)] {
            assert!(kept(bad).is_err(), "{bad}");
        }
    }
}
