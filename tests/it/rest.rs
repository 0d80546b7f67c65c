//! The REST face from outside: every route of the descriptor is there and guarded, and whatever JSON comes,
//! the answer is one that a client does not try again for minutes.

use http::{Method, header};
use prost_reflect::{Cardinality, DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Value, json};
use stagegate::contract::{DESCRIPTOR_SET, OPERATIONS, Operation};

use crate::house::Server;

on_both_engines! {
    every_route_is_guarded,
    a_value_of_another_type_is_refused_by_name,
    json_that_could_be_read_in_two_ways_is_refused,
    what_was_logged_comes_back,
    a_refused_promotion_says_what_to_do,
    a_large_data_set_ends_a_page_early,
}

/// Unary operations with routes, and one path of each route with something in the place of its variables.
fn routes() -> impl Iterator<Item = (&'static Operation, Method, String)> {
    OPERATIONS.iter().filter(|operation| !operation.client_streaming && !operation.server_streaming).flat_map(|operation| {
        operation.http.iter().map(|(verb, path)| {
            let parts: Vec<&str> = path.split('{').map(|part| part.split_once('}').map_or(part, |(_, rest)| rest)).collect();
            (*operation, verb.parse().expect("a method"), parts.join("x"))
        })
    })
}

fn with_body(method: &Method) -> bool {
    *method != Method::GET
}

async fn every_route_is_guarded(server: Server) {
    let nobody = server.nobody().http();
    let mut tried = 0;
    for (operation, method, path) in routes() {
        let browsers = path.replacen("/api/", "/ajax-api/", 1);
        let preview = path.replacen("/api/2.0/mlflow/", "/api/2.0/preview/mlflow/", 1);
        for path in [&path, &browsers, &preview] {
            let body = if with_body(&method) { "{}" } else { "" };
            let answer = nobody.json(method.clone(), path, body).await;
            tried += 1;
            if operation.rule.public {
                assert_ne!(answer.status, 404, "{method} {path}");
                continue;
            }
            assert_eq!(answer.status, 401, "{method} {path}");
            assert_eq!(answer.error_code(), "UNAUTHENTICATED", "{method} {path}");
            assert!(answer.headers.contains_key(header::WWW_AUTHENTICATE), "{method} {path}");
            assert!(answer.headers.contains_key("x-request-id"), "{method} {path}");
        }
    }
    assert!(tried > 250, "only {tried} routes");
    let mut stranger = nobody.clone();
    stranger.authorization = Some("Bearer eyJhbGciOiJub25lIn0.e30.".to_owned());
    assert_eq!(stranger.get("experiments/get?experiment_id=0").await.status, 401);
}

/// Values that a field of this kind cannot have.
fn wrong(field: &FieldDescriptor) -> Vec<Value> {
    let other = match field.kind() {
        Kind::String => vec![json!(5), json!(true), json!({}), json!([]), json!(1.5)],
        Kind::Bool => vec![json!("yes"), json!(1), json!({}), json!([]), json!("true")],
        Kind::Double => vec![json!("abc"), json!(true), json!({}), json!([]), json!("inf")],
        Kind::Message(_) => vec![json!(5), json!("x"), json!(true), json!([]), json!(1.5)],
        Kind::Enum(_) => vec![json!("NO_SUCH"), json!(4_242), json!({}), json!([]), json!(1.5)],
        _ => vec![json!("abc"), json!(1.5), json!({}), json!(true), serde_json::from_str("9223372036854775808").expect("a number")],
    };
    if field.cardinality() == Cardinality::Repeated {
        let mut lists: Vec<Value> = other.into_iter().filter(|value| *value != json!([])).map(|value| json!([value])).collect();
        lists.extend([json!("x"), json!({}), json!(7)]);
        return lists;
    }
    other
}

async fn a_value_of_another_type_is_refused_by_name(server: Server) {
    let admin = server.admin().await.http();
    let pool = DescriptorPool::decode(DESCRIPTOR_SET).expect("the descriptor set is one");
    let mut tried = 0;
    for (operation, method, path) in routes().filter(|(_, method, _)| with_body(method)) {
        let message: MessageDescriptor = pool.get_message_by_name(operation.input).expect("the request is declared");
        for field in message.fields() {
            for value in wrong(&field) {
                let body = json!({ field.name(): value }).to_string();
                let answer = admin.json(method.clone(), &path, &body).await;
                tried += 1;
                assert_eq!(answer.status, 400, "{method} {path} {body}");
                assert_eq!(answer.error_code(), "INVALID_PARAMETER_VALUE", "{method} {path} {body}");
                assert!(answer.message().starts_with(field.name()), "{method} {path} {body}: {}", answer.message());
            }
        }
    }
    assert!(tried > 500, "only {tried} bodies");
    assert!(!server.log().contains("panicked"), "something panicked");
}

async fn json_that_could_be_read_in_two_ways_is_refused(server: Server) {
    let admin = server.admin().await.http();
    let deep = format!("{{\"name\":\"deep\",\"x\":{}", "[".repeat(100_000));
    let long = json!({"name": "long", "x": "x".repeat(33 * 1024 * 1024)}).to_string();
    let path = "/api/2.0/mlflow/experiments/create";
    for (body, status) in [
        (r#"{"name":"a","name":"b"}"#, 400),
        (r#"{"name":"a","na\u006de":"a"}"#, 400),
        (r#"{"name":"a"}{"name":"b"}"#, 400),
        (r#"{"name":"a"} trailing"#, 400),
        (r#"{"name":"a",}"#, 400),
        (r#"{"name":"a" /* c */}"#, 400),
        (r#"{"name":"\ud800"}"#, 400),
        (r#"{"name":"a\u0000b"}"#, 400),
        (r#"{"name":NaN}"#, 400),
        (r#"["name"]"#, 400),
        (r#""{\"name\":\"a\"}""#, 400),
        ("", 400),
        (deep.as_str(), 400),
        (long.as_str(), 413),
    ] {
        let answer = admin.json(Method::POST, path, body).await;
        assert_eq!(answer.status, status, "{body:.60}: {answer:?}");
        assert_eq!(answer.error_code(), "INVALID_PARAMETER_VALUE", "{body:.60}");
    }
    let bytes = admin.send(Method::POST, path, &[(header::CONTENT_TYPE, "application/json")], b"{\"name\":\"\xff\"}").await;
    assert_eq!(bytes.status, 400);
    for media in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""] {
        let answer = admin.send(Method::POST, path, &[(header::CONTENT_TYPE, media)], br#"{"name":"other media"}"#).await;
        assert_eq!(answer.status, 400, "{media}");
    }
    let packed = [(header::CONTENT_TYPE, "application/json"), (header::CONTENT_ENCODING, "gzip")];
    assert_eq!(admin.send(Method::POST, path, &packed, br#"{"name":"packed"}"#).await.status, 400);
    for query in ["run_id=a&run_id=b", "run_id=a&run_uuid=b", "run_id=%ff", "run_id=%00"] {
        assert_eq!(admin.get(&format!("runs/get?{query}")).await.status, 400, "{query}");
    }
    let both = json!({"run_id": "a".repeat(32), "run_uuid": "b".repeat(32), "key": "k", "value": "v"});
    assert_eq!(admin.post("runs/set-tag", &both).await.status, 400);
    // A stranger's large body is read away and not kept; the answer arrives all the same.
    let unknown = server.nobody().http().json(Method::POST, path, &long).await;
    assert_eq!((unknown.status.as_u16(), unknown.error_code().as_str()), (401, "UNAUTHENTICATED"));
    let left = admin.get("experiments/search?max_results=100").await.json();
    assert_eq!(left["experiments"].as_array().map(Vec::len), Some(1), "nothing of it was stored: {left}");
}

async fn what_was_logged_comes_back(server: Server) {
    let admin = server.admin().await.http();
    let run = admin.post("runs/create", &json!({"experiment_id": "0", "start_time": 5, "tags": [{"key": "t", "value": ""}]})).await.json();
    let run_id = run["run"]["info"]["run_id"].as_str().expect("a run").to_owned();
    let metrics: Value = serde_json::from_str(
        r#"[{"key":"m","value":1,"timestamp":1,"step":1},{"key":"n","value":"NaN","timestamp":"2"},{"key":"i","value":"-Infinity","timestamp":3.0,"step":-1}]"#,
    )
    .expect("JSON");
    let batch = json!({"run_id": run_id, "metrics": metrics, "params": [{"key": "p", "value": ""}]});
    assert_eq!(admin.post("runs/log-batch", &batch).await.json(), json!({}));
    // A batch with one wrong value stores nothing of it.
    let half =
        json!({"run_id": run_id, "params": [{"key": "half", "value": "x"}], "metrics": [{"key": "half", "value": "abc", "timestamp": 1}]});
    assert_eq!(admin.post("runs/log-batch", &half).await.status, 400);
    let update = json!({"run_id": run_id, "run_uuid": run_id, "status": "FINISHED", "end_time": 9});
    assert_eq!(admin.post("runs/update", &update).await.json()["run_info"]["status"], "FINISHED");
    let run = admin.get(&format!("runs/get?run_id={run_id}&run_uuid={run_id}")).await.json();
    assert_eq!(
        run["run"]["data"]["metrics"],
        json!([
            {"key": "i", "value": "-Infinity", "timestamp": 3, "step": -1},
            {"key": "m", "value": 1.0, "timestamp": 1, "step": 1},
            {"key": "n", "value": "NaN", "timestamp": 2, "step": 0},
        ])
    );
    assert_eq!(run["run"]["data"]["params"], json!([{"key": "p", "value": ""}]));
    assert_eq!((&run["run"]["info"]["end_time"], &run["run"]["info"]["start_time"]), (&json!(9), &json!(5)));
    let found = admin.post("runs/search", &json!({"experiment_ids": ["0"], "filter": "metrics.m > 0", "max_results": 5})).await.json();
    assert_eq!(found["runs"][0]["info"]["run_id"], json!(run_id));
    // A DELETE says in its body or in its query what it is about.
    for (name, query) in [("by body", false), ("by query", true)] {
        assert_eq!(admin.post("registered-models/create", &json!({"name": name})).await.status, 200);
        let path = "/api/2.0/mlflow/registered-models/delete";
        let answer = if query {
            admin.json(Method::DELETE, &format!("{path}?name={}", name.replace(' ', "+")), "").await
        } else {
            admin.json(Method::DELETE, path, &json!({"name": name}).to_string()).await
        };
        assert_eq!(answer.status, 200, "{name}: {answer:?}");
    }
    assert_eq!(admin.get("registered-models/search").await.json(), json!({}));
}

async fn a_refused_promotion_says_what_to_do(server: Server) {
    let admin = server.admin().await.http();
    admin.post("registered-models/create", &json!({"name": "m"})).await;
    let version = admin.post("model-versions/create", &json!({"name": "m", "source": "s3://bucket/m"})).await.json();
    assert_eq!(version["model_version"]["version"], "1");
    let engineer = server.as_("ml_engineer").await.http();
    let ask = json!({"name": "m", "version": "1", "stage": "production", "archive_existing_versions": true});
    let answer = engineer.post("model-versions/transition-stage", &ask).await;
    assert_eq!((answer.status.as_u16(), answer.error_code().as_str()), (403, "PERMISSION_DENIED"), "{answer:?}");
    assert!(answer.message().contains("stages.promote") && answer.message().contains("CreateTransitionRequest"), "{}", answer.message());
    assert!(answer.message().contains("/api/stagegate/v1/transition-requests/create"), "{}", answer.message());
    // Whoever has asked for a move waits for the decision, also where no gate asks for one.
    let file = json!({"name": "m", "version": "1", "stage": "Staging"}).to_string();
    let filed = engineer.json(Method::POST, "/api/stagegate/v1/transition-requests/create", &file).await;
    assert_eq!(filed.status, 200, "{filed:?}");
    let own = engineer.post("model-versions/transition-stage", &json!({"name": "m", "version": "1", "stage": "Staging"})).await;
    assert_eq!((own.status.as_u16(), own.error_code().as_str()), (403, "PERMISSION_DENIED"), "{own:?}");
    assert!(own.message().contains("open request"), "{}", own.message());
    let missing = admin.get("registered-models/alias?name=m&alias=champion").await;
    assert_eq!((missing.status.as_u16(), missing.error_code().as_str()), (400, "INVALID_PARAMETER_VALUE"));
}

/// One data set may be the input of every run of an experiment, and each run is shown with its own.
async fn a_large_data_set_ends_a_page_early(server: Server) {
    let http = server.as_("data_scientist").await.http();
    let experiment = http.post("experiments/create", &json!({"name": "large"})).await.json()["experiment_id"].clone();
    let mut logged = Vec::new();
    for index in 0..6 {
        let run = http.post("runs/create", &json!({"experiment_id": experiment, "start_time": 10 - index})).await.json();
        let run_id = run["run"]["info"]["run_id"].clone();
        let profile = if index == 0 { "x".repeat(5 * 1024 * 1024) } else { String::new() };
        let dataset = json!({"name": "n", "digest": "d", "source_type": "s", "source": "x", "profile": profile});
        let answer = http.post("runs/log-inputs", &json!({"run_id": run_id, "datasets": [{"dataset": dataset}]})).await;
        assert_eq!(answer.status, 200, "{}", answer.message());
        logged.push(run_id);
    }
    let (mut found, mut sizes, mut token) = (Vec::new(), Vec::new(), json!(""));
    while found.len() < logged.len() {
        let page = http.post("runs/search", &json!({"experiment_ids": [experiment], "page_token": token})).await.json();
        let runs = page["runs"].as_array().expect("runs").clone();
        sizes.push(runs.len());
        found.extend(runs.iter().map(|run| run["info"]["run_id"].clone()));
        token = page["next_page_token"].clone();
    }
    assert_eq!(sizes, [3, 3], "16 MiB hold three of them");
    assert_eq!(found, logged);
    assert!(token.is_null(), "{token}");
}
