//! Params and tags of logged models.

use std::collections::{BTreeMap, BTreeSet};

use super::experiments::tags;
use super::logged_models::{lock, require};
use super::{Error, Result, write_bulk};
use crate::access::Call;
use crate::contract::{Permission, v1};
use crate::domain::field::Check;
use crate::domain::{ids, key_value, limits, text};
use crate::store::Tx;
use crate::store::{logged_model_values as rows, logged_models};

/// The tag that tells which versions were made of a logged model, as MLflow's server writes it.
const VERSIONS_TAG: &str = "mlflow.modelVersions";

/// See the proto.
pub async fn set_logged_model_tags(call: &Call, request: v1::SetLoggedModelTagsRequest) -> Result<v1::SetLoggedModelTagsResponse> {
    let mut check = Check::new();
    check.take(ids::logged_model_id("model_id", &request.model_id));
    tags(&mut check, &request.tags, limits::REGISTRY_TAG_VALUE);
    check.finish()?;
    if says_what_is_so(call, &request).await? {
        return Ok(v1::SetLoggedModelTagsResponse {});
    }
    require(call, Permission::RunsEdit, vec![&request.model_id]).await?;
    call.within_quotas().await?;
    write_bulk(call.store(), (request.model_id, tag_pairs(&request.tags)), |tx, (model_id, tags)| {
        Box::pin(async move {
            let model = lock(tx, model_id).await?;
            rows::set_tags(tx, model.id, tags).await?;
            Ok(())
        })
    })
    .await?;
    Ok(v1::SetLoggedModelTagsResponse {})
}

/// Whether a request wants nothing but to note versions that the server has noted already. MLflow's client sends such a
/// request after it has registered a model, also for somebody who may read the model only.
async fn says_what_is_so(call: &Call, request: &v1::SetLoggedModelTagsRequest) -> Result<bool> {
    let [tag] = request.tags.as_slice() else { return Ok(false) };
    if tag.key != VERSIONS_TAG {
        return Ok(false);
    }
    let reader = call.store().reader();
    let Some(model) = logged_models::by_model_id(reader, &request.model_id).await?.filter(|model| model.active) else { return Ok(false) };
    let stored = rows::tag(reader, model.id, VERSIONS_TAG).await?;
    Ok(match (noted(&tag.value), noted(&stored.unwrap_or_default())) {
        (Some(said), Some(stored)) => !said.is_empty() && said.is_subset(&stored),
        _ => false,
    })
}

/// The versions that the tag notes, as names and numbers; none when it holds something else.
fn noted(value: &str) -> Option<BTreeSet<(String, String)>> {
    let list: Vec<serde_json::Map<String, serde_json::Value>> = serde_json::from_str(value).ok()?;
    let version = |entry: serde_json::Map<String, serde_json::Value>| {
        let name = entry.get("name")?.as_str()?.to_owned();
        // Clients write a number or its text.
        let number = entry.get("version")?;
        let number = number.as_str().map_or_else(|| number.to_string(), str::to_owned);
        (entry.len() == 2).then_some((name, number))
    };
    list.into_iter().map(version).collect()
}

/// See the proto.
pub async fn delete_logged_model_tag(call: &Call, request: v1::DeleteLoggedModelTagRequest) -> Result<v1::DeleteLoggedModelTagResponse> {
    ids::logged_model_id("model_id", &request.model_id)?;
    text::key("tag_key", &request.tag_key)?;
    write_bulk(call.store(), request, |tx, request| {
        Box::pin(async move {
            let model = lock(tx, &request.model_id).await?;
            if !rows::delete_tag(tx, model.id, &request.tag_key).await? {
                return Err(Error::not_found("tag", &request.tag_key));
            }
            Ok(())
        })
    })
    .await?;
    Ok(v1::DeleteLoggedModelTagResponse {})
}

/// See the proto.
pub async fn log_logged_model_params(call: &Call, request: v1::LogLoggedModelParamsRequest) -> Result<v1::LogLoggedModelParamsResponse> {
    let mut check = Check::new();
    check.take(ids::logged_model_id("model_id", &request.model_id));
    check_params(&mut check, &request.params);
    check.finish()?;
    write_bulk(call.store(), (request.model_id, param_pairs(&request.params)), |tx, (model_id, params)| {
        Box::pin(async move {
            let model = lock(tx, model_id).await?;
            if let Some((index, stored)) = rows::insert_params(tx, model.id, params).await? {
                let message = format!(
                    "the param {:?} of the logged model {model_id} has the value {stored:?} already, and params never change",
                    params[index].0
                );
                return Err(Error::invalid(&format!("params[{index}].value"), message));
            }
            Ok(())
        })
    })
    .await?;
    Ok(v1::LogLoggedModelParamsResponse {})
}

/// Checks the params of a logged model.
pub(super) fn check_params(check: &mut Check, params: &[v1::Param]) {
    let pairs = params.iter().map(|param| (param.key.as_str(), param.value.as_str()));
    key_value::check_list(check, "params", pairs, limits::BATCH_PARAMS, limits::PARAM_VALUE);
    key_value::check_once(check, "params", params.iter().map(|param| param.key.as_str()), limits::BATCH_PARAMS);
}

/// Params as they are stored.
pub(super) fn param_pairs(params: &[v1::Param]) -> Vec<(String, String)> {
    params.iter().map(|param| (param.key.clone(), param.value.clone())).collect()
}

/// Tags as they are stored: of equal keys the last one counts.
pub(super) fn tag_pairs(tags: &[v1::Tag]) -> Vec<(String, String)> {
    let last: BTreeMap<_, _> = tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect();
    last.into_iter().collect()
}

/// Notes in a tag of a locked logged model that a version was made of it, as MLflow's server does. A tag that
/// holds something else, or is full, stays as it is.
pub(super) async fn note_version(tx: &Tx, model: i64, name: &str, version: i64) -> Result<()> {
    let stored = rows::tag(&**tx, model, VERSIONS_TAG).await?;
    if let Some(value) = with_version(stored.as_deref(), name, version) {
        rows::set_tags(tx, model, &[(VERSIONS_TAG.to_owned(), value)]).await?;
    }
    Ok(())
}

fn with_version(stored: Option<&str>, name: &str, version: i64) -> Option<String> {
    let mut list: Vec<serde_json::Value> = stored.map_or(Ok(Vec::new()), serde_json::from_str).ok()?;
    list.push(serde_json::json!({"name": name, "version": version}));
    let value = serde_json::Value::from(list).to_string();
    (value.chars().count() <= limits::REGISTRY_TAG_VALUE).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_noted_unless_the_tag_holds_something_else() {
        let first = with_version(None, "m", 1).unwrap();
        assert_eq!(first, r#"[{"name":"m","version":1}]"#);
        assert_eq!(with_version(Some(&first), "é", 2).unwrap(), r#"[{"name":"m","version":1},{"name":"é","version":2}]"#);
        assert_eq!(with_version(Some("{}"), "m", 1), None);
        assert_eq!(with_version(Some("mine"), "m", 1), None);
        let full = format!("[{:?}]", "x".repeat(limits::REGISTRY_TAG_VALUE - 5));
        assert_eq!(with_version(Some(&full), "m", 1), None);
    }

    #[test]
    fn the_spelling_of_noted_versions_does_not_count() {
        let stored = noted(&with_version(with_version(None, "m", 1).as_deref(), "é", 2).unwrap()).unwrap();
        let said = noted(r#"[{"name": "m", "version": "1"}, {"version": 1, "name": "m"}, {"name": "\u00e9", "version": 2}]"#).unwrap();
        assert_eq!(said, stored);
        for other in ["", "{}", "[1]", "[{}]", r#"[{"name":"m"}]"#, r#"[{"name":"m","version":1,"by":"x"}]"#, r#"[{"name":1,"version":1}]"#]
        {
            assert_eq!(noted(other), None, "{other}");
        }
    }

    #[test]
    fn params_are_checked_as_a_whole() {
        let param = |key: &str, length: usize| v1::Param { key: key.to_owned(), value: "v".repeat(length) };
        let mut check = Check::new();
        check_params(&mut check, &[param("a", 65_535), param("", 0), param("a", 65_536)]);
        let invalid = check.finish().unwrap_err();
        let fields: Vec<&str> = invalid.violations().iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, ["params[1].key", "params[2].value", "params[2].key"]);
    }
}
