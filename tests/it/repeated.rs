//! Calls that a client makes twice, because the answer to the first was lost: `mlflow` repeats POST, PATCH and DELETE by itself
//! when a connection breaks. Each is answered alike, but for those that make or end a thing, which answer as MLflow does.

use http::{Method, header};
use serde_json::{Value, json};

use crate::house::{Answer, Http, Server};

on_both_engines! {
    what_a_client_repeats_is_answered_alike,
}

async fn call(http: &Http, method: &str, path: &str, body: &Value) -> Answer {
    let path = format!("/api/2.0/mlflow/{path}");
    let json = [(header::CONTENT_TYPE, "application/json")];
    http.send(Method::from_bytes(method.as_bytes()).expect("a method"), &path, &json, body.to_string().as_bytes()).await
}

async fn made(http: &Http, path: &str, body: Value, id: &str) -> Value {
    let answer = call(http, "POST", path, &body).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.message());
    answer.json().pointer(id).cloned().unwrap_or_else(|| panic!("{path}: {:?}", answer.json()))
}

async fn what_a_client_repeats_is_answered_alike(server: Server) {
    let http = server.admin().await.http();
    let experiment = made(&http, "experiments/create", json!({"name": "e"}), "/experiment_id").await;
    let run = made(&http, "runs/create", json!({"experiment_id": experiment}), "/run/info/run_id").await;
    let model = made(&http, "logged-models", json!({"experiment_id": experiment, "name": "l"}), "/model/info/model_id").await;
    let model = model.as_str().expect("an id").to_owned();
    made(&http, "registered-models/create", json!({"name": "m"}), "/registered_model/name").await;
    for _ in 0..2 {
        made(&http, "model-versions/create", json!({"name": "m", "source": "s3://b/m"}), "/model_version/version").await;
    }
    let dataset = json!({"dataset": {"name": "d", "digest": "1", "source_type": "s", "source": "x"}, "tags": [{"key": "k", "value": "v"}]});
    let history = json!({"run_id": run, "artifact_path": "m", "utc_time_created": "now", "flavors": {}}).to_string();
    let logged = json!([{"key": "a", "value": "1"}]);
    let metrics = json!([{"key": "m", "value": 1.5, "timestamp": 1, "step": 1}]);
    let of_run = |more: Value| {
        let mut body = json!({"run_id": run});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        body
    };
    let of_version = |more: Value| {
        let mut body = json!({"name": "m", "version": "1"});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        body
    };
    // The method, the path, the body, and the status of the second answer where it differs from the first.
    let calls: Vec<(&str, String, Value, Option<u16>)> = vec![
        ("POST", "experiments/set-experiment-tag".into(), json!({"experiment_id": experiment, "key": "k", "value": "v"}), None),
        ("POST", "experiments/update".into(), json!({"experiment_id": experiment, "new_name": "renamed"}), None),
        ("POST", "experiments/create".into(), json!({"name": "other"}), Some(400)),
        ("POST", "runs/log-metric".into(), of_run(json!({"key": "m", "value": 1, "timestamp": 1})), None),
        ("POST", "runs/log-parameter".into(), of_run(json!({"key": "p", "value": "1"})), None),
        ("POST", "runs/set-tag".into(), of_run(json!({"key": "t", "value": "1"})), None),
        ("POST", "runs/log-batch".into(), of_run(json!({"metrics": metrics, "params": logged, "tags": logged})), None),
        ("POST", "runs/log-inputs".into(), of_run(json!({"datasets": [dataset], "models": [{"model_id": model}]})), None),
        ("POST", "runs/outputs".into(), of_run(json!({"models": [{"model_id": model, "step": 1}]})), None),
        ("POST", "runs/log-model".into(), of_run(json!({"model_json": history})), None),
        ("POST", "runs/update".into(), of_run(json!({"status": "FINISHED", "end_time": 5})), None),
        ("POST", "runs/delete-tag".into(), of_run(json!({"key": "t"})), Some(404)),
        ("POST", "runs/delete".into(), of_run(json!({})), None),
        ("POST", "runs/restore".into(), of_run(json!({})), None),
        ("PATCH", format!("logged-models/{model}/tags"), json!({"tags": logged}), None),
        ("POST", format!("logged-models/{model}/params"), json!({"params": logged}), None),
        ("PATCH", format!("logged-models/{model}"), json!({"status": "LOGGED_MODEL_READY"}), None),
        ("DELETE", format!("logged-models/{model}/tags/a"), json!({}), Some(404)),
        ("DELETE", format!("logged-models/{model}"), json!({}), None),
        ("POST", "registered-models/create".into(), json!({"name": "n"}), Some(400)),
        ("POST", "registered-models/set-tag".into(), json!({"name": "m", "key": "k", "value": "v"}), None),
        ("PATCH", "registered-models/update".into(), json!({"name": "m", "description": "d"}), None),
        ("POST", "registered-models/alias".into(), of_version(json!({"alias": "champion"})), None),
        ("DELETE", "registered-models/alias".into(), json!({"name": "m", "alias": "champion"}), None),
        ("DELETE", "registered-models/delete-tag".into(), json!({"name": "m", "key": "k"}), None),
        ("POST", "model-versions/set-tag".into(), of_version(json!({"key": "k", "value": "v"})), None),
        ("PATCH", "model-versions/update".into(), of_version(json!({"description": "d"})), None),
        (
            "POST",
            "model-versions/transition-stage".into(),
            of_version(json!({"stage": "Staging", "archive_existing_versions": true})),
            None,
        ),
        ("DELETE", "model-versions/delete-tag".into(), of_version(json!({"key": "k"})), None),
        ("DELETE", "model-versions/delete".into(), json!({"name": "m", "version": "2"}), Some(404)),
        ("POST", "registered-models/rename".into(), json!({"name": "n", "new_name": "o"}), Some(404)),
        ("DELETE", "registered-models/delete".into(), json!({"name": "o"}), Some(404)),
        ("POST", "experiments/delete".into(), json!({"experiment_id": experiment}), Some(404)),
        ("POST", "experiments/restore".into(), json!({"experiment_id": experiment}), Some(404)),
    ];
    let mut wrong = Vec::new();
    for (method, path, body, second) in calls {
        let (one, two) = (call(&http, method, &path, &body).await, call(&http, method, &path, &body).await);
        let body_of = |answer: &Answer| String::from_utf8_lossy(&answer.body).into_owned();
        let good = one.status == 200 && two.status.as_u16() == second.unwrap_or(200);
        // What was changed when is told anew.
        let alike = second.is_some() || without_times(&one.json()) == without_times(&two.json());
        if !good || !alike {
            wrong.push(format!("{method} {path}: {} {} / {} {}", one.status, body_of(&one), two.status, body_of(&two)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn without_times(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            fields.iter().filter(|(name, _)| !name.contains("time")).map(|(name, value)| (name.clone(), without_times(value))).collect()
        }
        Value::Array(items) => items.iter().map(without_times).collect(),
        other => other.clone(),
    }
}
