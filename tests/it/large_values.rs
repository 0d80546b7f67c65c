//! The largest values and batches that are taken, in the longest spelling that a client gives them, and what is told beyond.

use std::fmt::Write;

use serde_json::{Value, json};
use stagegate::contract::v1;
use tonic::Code;

use crate::house::{Answer, Client, Server};
use http::Method;

on_both_engines! {
    the_largest_batch_of_mlflows_limits_is_taken,
    long_values_are_kept_whole,
    an_error_names_the_key,
    a_batch_has_1000_entries_in_all,
    many_tags_come_with_a_new_object,
    a_run_that_is_not_named_is_missing_for_everyone,
}

async fn new_run(client: &Client) -> String {
    let request = v1::CreateRunRequest { experiment_id: "0".to_owned(), ..Default::default() };
    let answer: v1::CreateRunResponse = client.call("CreateRun", request).await.expect("a run");
    answer.run.and_then(|run| run.info).expect("a run").run_id
}

async fn read(client: &Client, run_id: &str) -> v1::RunData {
    // Over REST, because such a run is longer than what a gRPC client takes unless it is told to.
    let answer = client.http().get(&format!("runs/get?run_id={run_id}")).await;
    let data = &answer.json()["run"]["data"];
    let texts = |list: &str| -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        data[list].as_array().into_iter().flatten().map(|pair| (text(&pair["key"]), text(&pair["value"]))).collect()
    };
    let params = texts("params").into_iter().map(|(key, value)| v1::Param { key, value }).collect();
    let tags = texts("tags").into_iter().map(|(key, value)| v1::Tag { key, value }).collect();
    v1::RunData { params, tags, ..Default::default() }
}

/// JSON as Python's `json.dumps` writes it: everything that is not ASCII as escapes of UTF-16.
fn as_python_writes(value: &Value) -> String {
    let mut text = String::new();
    for character in value.to_string().chars() {
        if character.is_ascii() {
            text.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(text, "\\u{unit:04x}").expect("a text takes everything");
            }
        }
    }
    text
}

/// 800 metrics, 100 params of 6,000 and 100 tags of 8,000 characters outside of the basic plane, with the longest keys.
fn largest(run_id: &str) -> Value {
    let key = |kind: &str, index: usize| format!("{kind}{index:03}{}", "é".repeat(246));
    let pairs = |kind: &str, characters: usize| -> Vec<Value> {
        (0..100).map(|index| json!({"key": key(kind, index), "value": "𝒳".repeat(characters)})).collect()
    };
    let metric = |index| json!({"key": key("m", index), "value": 0.1, "timestamp": 1_700_000_000_000_i64, "step": index});
    json!({"run_id": run_id, "metrics": (0..800).map(metric).collect::<Vec<_>>(), "params": pairs("p", 6_000), "tags": pairs("t", 8_000)})
}

async fn the_largest_batch_of_mlflows_limits_is_taken(server: Server) {
    let admin = server.admin().await;
    let (by_rest, by_grpc) = (new_run(&admin).await, new_run(&admin).await);
    let batch = largest(&by_rest);
    let body = as_python_writes(&batch);
    println!("the largest batch: {} bytes of JSON", body.len());
    assert!(body.len() > 16_000_000, "{}", body.len());
    let answer = admin.http().json(Method::POST, "/api/2.0/mlflow/runs/log-batch", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.message());
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let items = |list: &str| batch[list].as_array().expect("a list").clone();
    let request = v1::LogBatchRequest {
        run_id: by_grpc.clone(),
        params: items("params").iter().map(|pair| v1::Param { key: text(&pair["key"]), value: text(&pair["value"]) }).collect(),
        tags: items("tags").iter().map(|pair| v1::Tag { key: text(&pair["key"]), value: text(&pair["value"]) }).collect(),
        ..Default::default()
    };
    println!("the same params and tags: {} bytes of protobuf", prost::Message::encoded_len(&request));
    let _: v1::LogBatchResponse = admin.call("LogBatch", request).await.expect("logged");
    for run_id in [by_rest, by_grpc] {
        let kept = read(&admin, &run_id).await;
        assert!(kept.params.iter().all(|param| param.value == "𝒳".repeat(6_000)) && kept.params.len() == 100);
        assert_eq!(kept.tags.iter().filter(|tag| tag.value == "𝒳".repeat(8_000)).count(), 100);
    }
}

async fn long_values_are_kept_whole(server: Server) {
    let admin = server.admin().await;
    let http = admin.http();
    let run_id = new_run(&admin).await;
    for (index, character) in ["x", "汉", "𝒳"].into_iter().enumerate() {
        let long = character.repeat(65_535);
        let pair = |key: &str| json!([{"key": format!("{key}{index}"), "value": long}]);
        let batch = json!({"run_id": run_id, "params": pair("batch"), "tags": pair("batch")});
        for (path, body) in [
            ("runs/log-batch", batch),
            ("runs/log-parameter", json!({"run_id": run_id, "key": format!("one{index}"), "value": long})),
            ("runs/set-tag", json!({"run_id": run_id, "key": format!("one{index}"), "value": long})),
        ] {
            let answer = http.post(path, &body).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.message());
        }
        let kept = read(&admin, &run_id).await;
        for key in ["batch", "one"] {
            let key = format!("{key}{index}");
            assert_eq!(kept.params.iter().find(|param| param.key == key).expect("the param").value, long);
            assert_eq!(kept.tags.iter().find(|tag| tag.key == key).expect("the tag").value, long);
        }
        // Found by what they hold, too.
        let filter = format!("params.one{index} = '{character}' AND tags.one{index} LIKE '{character}%'");
        let found = http.post("runs/search", &json!({"experiment_ids": ["0"], "filter": filter})).await;
        assert_eq!((found.status.as_u16(), found.json()["runs"].as_array().map_or(0, Vec::len)), (200, 0), "{}", found.message());
        let filter = format!("tags.one{index} LIKE '{character}%'");
        let found = http.post("runs/search", &json!({"experiment_ids": ["0"], "filter": filter})).await;
        assert_eq!(found.json()["runs"].as_array().map(Vec::len), Some(1), "{}", found.message());
    }
    let params = json!([{"key": "long", "value": "汉".repeat(65_535)}]);
    let model = http.post("logged-models", &json!({"experiment_id": "0", "name": "m", "params": params})).await;
    assert_eq!(model.status, 200, "{}", model.message());
}

fn refused(answer: &Answer, start: &str) {
    assert_eq!((answer.status.as_u16(), answer.error_code().as_str()), (400, "INVALID_PARAMETER_VALUE"), "{}", answer.message());
    assert_eq!(answer.message().get(..start.len()), Some(start), "{}", answer.message());
}

async fn an_error_names_the_key(server: Server) {
    let http = server.admin().await.http();
    let run_id = new_run(&server.admin().await).await;
    let long = "x".repeat(65_536);
    let mut params: Vec<_> = (0..100).map(|index| json!({"key": format!("p{index}"), "value": "v"})).collect();
    params[50] = json!({"key": "layers/0/weight_regularizer", "value": long});
    let told = "has 65536 characters; at most 65535 are allowed (key \"layers/0/weight_regularizer\")";
    let answer = http.post("runs/log-batch", &json!({"run_id": run_id, "params": params})).await;
    refused(&answer, &format!("params[50].value: {told}"));
    for path in ["runs/log-parameter", "runs/set-tag"] {
        let answer = http.post(path, &json!({"run_id": run_id, "key": "layers/0/weight_regularizer", "value": long})).await;
        refused(&answer, &format!("value: {told}"));
    }
    let key = "k".repeat(251);
    let answer = http.post("runs/log-metric", &json!({"run_id": run_id, "key": key, "value": 1, "timestamp": 1})).await;
    refused(&answer, &format!("key: has 251 characters; at most 250 are allowed (key \"{}\"…)", "k".repeat(60)));
    let answer = http.post("runs/log-metric", &json!({"run_id": run_id, "key": "loss", "value": 1, "timestamp": -1})).await;
    refused(&answer, "timestamp: is -1; must be in Unix milliseconds and not negative (key \"loss\")");
    let answer = http.post("registered-models/create", &json!({"name": "m", "tags": [{"key": "a#b", "value": ""}]})).await;
    refused(&answer, "tags[0].key: may only contain letters, digits, `_`, `-`, `.`, `:`, `/` and blanks (key \"a#b\")");
    assert!(read(&server.admin().await, &run_id).await.params.is_empty(), "nothing of a refused batch is kept");
}

async fn a_batch_has_1000_entries_in_all(server: Server) {
    let admin = server.admin().await;
    let run_id = new_run(&admin).await;
    let metrics = |count: i64| -> Vec<_> {
        (0..count)
            .map(|step| v1::Metric { key: "loss".to_owned(), value: Some(1.0), timestamp: Some(1), step, ..Default::default() })
            .collect()
    };
    let params =
        |name: &str| -> Vec<_> { (0..50).map(|index| v1::Param { key: format!("{name}{index}"), value: String::new() }).collect() };
    let tags = || -> Vec<_> { (0..50).map(|index| v1::Tag { key: format!("t{index}"), value: String::new() }).collect() };
    let batch =
        |count, name: &str| v1::LogBatchRequest { run_id: run_id.clone(), metrics: metrics(count), params: params(name), tags: tags() };
    let _: v1::LogBatchResponse = admin.call("LogBatch", batch(900, "p")).await.expect("1,000 are allowed");
    let status = admin.call::<_, v1::LogBatchResponse>("LogBatch", batch(901, "q")).await.expect_err("1,001 are not");
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(status.message(), "metrics: have 1001 items together with params and tags; at most 1000 are allowed in one batch");
    assert_eq!(read(&admin, &run_id).await.params.len(), 50, "nothing of the refused one is kept");
}

async fn many_tags_come_with_a_new_object(server: Server) {
    let http = server.admin().await.http();
    let tags = |count: usize| -> Vec<_> { (0..count).map(|index| json!({"key": format!("t{index:04}"), "value": "v"})).collect() };
    let source = http.post("logged-models", &json!({"experiment_id": "0", "name": "m", "tags": tags(1_000)})).await;
    assert_eq!(source.status, 200, "{}", source.message());
    assert_eq!(source.json()["model"]["info"]["tags"].as_array().map(Vec::len), Some(1_000));
    for (path, body, made) in [
        ("experiments/create", json!({"name": "e"}), "/experiment_id"),
        ("runs/create", json!({"experiment_id": "0"}), "/run/data/tags/1000"),
        ("registered-models/create", json!({"name": "m"}), "/registered_model/tags/999"),
        ("model-versions/create", json!({"name": "m", "source": "s3://elsewhere/m"}), "/model_version/tags/999"),
    ] {
        let with = |count| {
            let mut body = body.clone();
            body["tags"] = tags(count).into();
            body
        };
        refused(&http.post(path, &with(1_001)).await, "tags: has 1001 items; at most 1000 are allowed");
        let answer = http.post(path, &with(1_000)).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.message());
        assert!(answer.json().pointer(made).is_some(), "{path}");
    }
}

/// A call that lacks what it is about is told so, whatever its sender may do.
async fn a_run_that_is_not_named_is_missing_for_everyone(server: Server) {
    for persona in ["admin", "data_scientist", "trainer", "viewer", ""] {
        let http = if persona == "admin" { server.admin().await.http() } else { server.as_(persona).await.http() };
        let unnamed = http.post("runs/log-batch", &json!({"run_uuid": "0123456789abcdef0123456789abcdef", "tags": []})).await;
        refused(&unnamed, "run_id: is required");
        for (path, field) in [("registered-models/rename", "name"), ("experiments/update", "experiment_id"), ("runs/delete", "run_id")] {
            refused(&http.post(path, &json!({})).await, &format!("{field}: is required"));
        }
    }
}
