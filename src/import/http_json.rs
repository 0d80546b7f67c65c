//! MLflow's JSON, of any of its versions: integers may be texts, and what is empty may be absent.

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::found::{self, Experiment, Link, LoggedModel, Model, ModelMetric, Pairs, Run, Version};
use crate::contract::v1::LoggedModelStatus;
use crate::store::inputs::{Dataset, Input};

/// A text; empty when it is absent.
pub fn text(of: &Value, field: &str) -> String {
    of.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// An integer that may be written as a text; 0 when it is absent.
pub fn integer(of: &Value, field: &str) -> i64 {
    let value = of.get(field).unwrap_or(&Value::Null);
    value.as_i64().or_else(|| value.as_str().and_then(|text| text.parse().ok())).unwrap_or_default()
}

/// A list; empty when it is absent.
pub fn list<'a>(of: &'a Value, field: &str) -> &'a [Value] {
    of.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A metric's value: a number, or a text for what JSON has no number for.
pub fn value(of: &Value) -> f64 {
    let value = of.get("value").unwrap_or(&Value::Null);
    let named = || match value.as_str()? {
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        plain => plain.parse().ok(),
    };
    let number = value.as_f64().or_else(named).unwrap_or_default();
    found::value(number, number.is_nan())
}

/// The token of the next page.
pub fn next_page(of: &Value) -> Option<String> {
    Some(text(of, "next_page_token")).filter(|token| !token.is_empty())
}

fn pairs(of: &Value, field: &str) -> Pairs {
    list(of, field).iter().map(|pair| (text(pair, "key"), text(pair, "value"))).collect()
}

pub fn experiment(of: &Value) -> Experiment {
    Experiment {
        id: integer(of, "experiment_id"),
        name: text(of, "name"),
        active: text(of, "lifecycle_stage") != "deleted",
        created: integer(of, "creation_time"),
        updated: integer(of, "last_update_time"),
        tags: pairs(of, "tags"),
    }
}

pub fn run(of: &Value) -> Run {
    let none = Value::Null;
    let (info, data) = (of.get("info").unwrap_or(&none), of.get("data").unwrap_or(&none));
    let inputs = of.get("inputs").map_or(&[][..], |inputs| list(inputs, "dataset_inputs"));
    let id = text(info, "run_id");
    let run_id = if id.is_empty() { text(info, "run_uuid") } else { id };
    let used = of.get("inputs").map_or(&[][..], |inputs| list(inputs, "model_inputs"));
    let made = of.get("outputs").map_or(&[][..], |outputs| list(outputs, "model_outputs"));
    let link = |of: &Value, made_at| Link { run_id: run_id.clone(), model_id: text(of, "model_id"), made_at };
    let used = used.iter().map(|of| link(of, None));
    let links = used.chain(made.iter().map(|of| link(of, Some(integer(of, "step"))))).collect();
    Run {
        run_id,
        links,
        experiment: integer(info, "experiment_id"),
        name: text(info, "run_name"),
        user_id: text(info, "user_id"),
        status: text(info, "status"),
        start_time: integer(info, "start_time"),
        end_time: Some(integer(info, "end_time")).filter(|time| *time > 0),
        active: text(info, "lifecycle_stage") != "deleted",
        artifact_uri: text(info, "artifact_uri"),
        params: pairs(data, "params"),
        tags: pairs(data, "tags"),
        inputs: inputs.iter().map(input).collect(),
        metric_keys: list(data, "metrics").iter().map(|metric| text(metric, "key")).collect(),
        fingerprint: hex::encode(Sha256::digest(of.to_string())),
    }
}

fn input(of: &Value) -> Input {
    let none = Value::Null;
    let dataset = of.get("dataset").unwrap_or(&none);
    let optional = |field| Some(text(dataset, field)).filter(|text| !text.is_empty());
    let mut tags = pairs(of, "tags");
    tags.sort_unstable();
    Input {
        dataset: Dataset {
            name: text(dataset, "name"),
            digest: text(dataset, "digest"),
            source_type: text(dataset, "source_type"),
            source: text(dataset, "source"),
            schema: optional("schema"),
            profile: optional("profile"),
        },
        tags,
    }
}

pub fn logged_model(of: &Value) -> LoggedModel {
    let none = Value::Null;
    let (info, data) = (of.get("info").unwrap_or(&none), of.get("data").unwrap_or(&none));
    let metric = |of: &Value| ModelMetric {
        key: text(of, "key"),
        value: value(of),
        time: integer(of, "timestamp"),
        step: integer(of, "step"),
        run_id: text(of, "run_id"),
        dataset_name: text(of, "dataset_name"),
        dataset_digest: text(of, "dataset_digest"),
    };
    let status = match text(info, "status").as_str() {
        "LOGGED_MODEL_READY" => LoggedModelStatus::Ready,
        "LOGGED_MODEL_UPLOAD_FAILED" => LoggedModelStatus::UploadFailed,
        _ => LoggedModelStatus::Pending,
    };
    LoggedModel {
        model_id: text(info, "model_id"),
        experiment: integer(info, "experiment_id"),
        name: text(info, "name"),
        model_type: text(info, "model_type"),
        source_run_id: text(info, "source_run_id"),
        status: status.into(),
        active: true,
        artifact_uri: text(info, "artifact_uri"),
        created: integer(info, "creation_timestamp_ms"),
        updated: integer(info, "last_updated_timestamp_ms"),
        params: pairs(data, "params"),
        tags: pairs(info, "tags"),
        metrics: list(data, "metrics").iter().map(metric).collect(),
        links: Vec::new(),
    }
}

pub fn model(of: &Value) -> Model {
    let aliases = list(of, "aliases").iter().map(|alias| (text(alias, "alias"), integer(alias, "version"))).collect();
    Model {
        name: text(of, "name"),
        description: text(of, "description"),
        created: integer(of, "creation_timestamp"),
        updated: integer(of, "last_updated_timestamp"),
        tags: pairs(of, "tags"),
        // A server tells nothing of deleted versions; the highest live one follows with the versions.
        last_version: 0,
        aliases,
    }
}

pub fn version(of: &Value) -> Version {
    let stage = text(of, "current_stage");
    Version {
        model: text(of, "name"),
        version: integer(of, "version"),
        description: text(of, "description"),
        user_id: text(of, "user_id"),
        stage: if stage.is_empty() { "None".to_owned() } else { stage },
        source: text(of, "source"),
        run_id: text(of, "run_id"),
        run_link: text(of, "run_link"),
        created: integer(of, "creation_timestamp"),
        updated: integer(of, "last_updated_timestamp"),
        tags: pairs(of, "tags"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn spellings_of_old_and_new_servers_are_read() {
        assert_eq!(integer(&json!({"a": "17"}), "a"), 17);
        assert_eq!(integer(&json!({"a": 17}), "a"), 17);
        assert_eq!(integer(&json!({}), "a"), 0);
        assert!(value(&json!({"value": "NaN"})).is_nan());
        assert_eq!(value(&json!({"value": f64::MAX})), f64::INFINITY);
        assert_eq!(value(&json!({"value": -2})), -2.0);
        let read = run(&json!({
            "info": {"run_uuid": "ab", "experiment_id": "3", "status": "FINISHED", "start_time": 5, "end_time": 6, "lifecycle_stage": "deleted"},
            "data": {"metrics": [{"key": "m", "value": 1.0}], "params": [{"key": "p", "value": "1"}]},
            "inputs": {"dataset_inputs": [{"dataset": {"name": "d", "digest": "x", "source_type": "local", "source": "s"}, "tags": []}]},
        }));
        assert_eq!((read.run_id.as_str(), read.experiment, read.active, read.end_time), ("ab", 3, false, Some(6)));
        assert_eq!((read.metric_keys.len(), read.params.len(), read.inputs.len()), (1, 1, 1));
        assert_eq!(read.inputs[0].dataset.schema, None);
        assert_eq!(version(&json!({"name": "m", "version": "2"})).stage, "None");
    }
}
