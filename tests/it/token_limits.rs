//! What a token is limited to: a scope of one kind leaves out every other kind that it does not name.

use http::Method;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, Value};
use serde_json::json;
use stagegate::contract::{DESCRIPTOR_SET, OPERATIONS, Operation, v1};
use tonic::{Code, Status};

use crate::house::files::{Owners, STORE};
use crate::house::{Client, Server};

on_both_engines! {
    a_token_for_models_does_nothing_elsewhere,
    a_token_for_both_registers_from_a_run,
    what_a_token_names_it_may_do_and_hand_on,
}

async fn limited(server: &Server, admin: &Client, limits: v1::CreateTokenRequest) -> Client {
    let answer: v1::CreateTokenResponse = admin.call("CreateToken", limits).await.expect("a token");
    server.with_token("admin", answer.token_text)
}

fn code<T>(outcome: Result<T, Status>) -> Code {
    outcome.map_or_else(|status| status.code(), |_| Code::Ok)
}

/// An operation with a request that says nothing but what it is about, which is nowhere.
async fn bare(client: &Client, operation: &Operation) -> Code {
    let pool = DescriptorPool::decode(DESCRIPTOR_SET).expect("the descriptor set is one");
    let mut message = DynamicMessage::new(pool.get_message_by_name(operation.input).expect("declared"));
    for field in operation.rule.clauses.iter().flat_map(|clause| clause.fields) {
        message.set_field_by_name(field, Value::String("nowhere".to_owned()));
    }
    code(client.bytes(operation.path, message.encode_to_vec()).await)
}

async fn a_token_for_models_does_nothing_elsewhere(server: Server) {
    let admin = server.admin().await;
    let owners = Owners::of(&admin, "elsewhere").await;
    for name in ["credit-1", "fraud-1"] {
        admin.http().post("registered-models/create", &json!({"name": name})).await;
    }
    let token = limited(&server, &admin, v1::CreateTokenRequest { model_pattern: "credit-*".to_owned(), ..Default::default() }).await;
    let mut open = Vec::new();
    for operation in OPERATIONS.iter().filter(|operation| {
        use stagegate::contract::ObjectKind::{Server, Token, User};
        let rule = &operation.rule;
        rule.clauses.iter().any(|clause| !clause.filtered && !clause.optional && matches!(clause.kind, Server | Token | User))
    }) {
        if bare(&token, operation).await != Code::PermissionDenied {
            open.push(operation.name);
        }
    }
    assert_eq!(open, [""; 0], "operations on the server and on users that a token for models is good for");
    let http = token.http();
    for (path, body) in [
        ("experiments/create", json!({"name": "new"})),
        ("runs/create", json!({"experiment_id": owners.experiment_id})),
        ("runs/set-tag", json!({"run_id": owners.run_id, "key": "k", "value": "v"})),
        ("registered-models/create", json!({"name": "fraud-2"})),
    ] {
        assert_eq!(http.post(path, &body).await.status, 403, "{path}");
    }
    let got = http.get(&format!("runs/get?run_id={}", owners.run_id)).await;
    assert_eq!(got.status, 403);
    let found = http.post("runs/search", &json!({"experiment_ids": [owners.experiment_id]})).await;
    assert!(found.status != 200 || found.json()["runs"].as_array().is_none_or(Vec::is_empty), "{found:?}");
    let found = http.get("experiments/search?max_results=10").await;
    assert!(found.json()["experiments"].as_array().is_none_or(Vec::is_empty), "{found:?}");
    // What it is for, and what everybody signed in may ask.
    assert_eq!(http.post("registered-models/create", &json!({"name": "credit-2"})).await.status, 200);
    assert_eq!(http.get("registered-models/get?name=credit-1").await.status, 200);
    assert_eq!(http.get("registered-models/get?name=fraud-1").await.status, 403);
    let mine = http.json(Method::GET, "/api/stagegate/v1/who-am-i", "").await;
    assert_eq!(mine.json()["user"]["user_name"], "admin");
}

async fn a_token_for_both_registers_from_a_run(server: Server) {
    let admin = server.admin().await;
    let credit = Owners::of(&admin, "credit-runs").await;
    let fraud = Owners::of(&admin, "fraud-runs").await;
    let of = |experiment_pattern: &str| v1::CreateTokenRequest {
        model_pattern: "credit-*".to_owned(),
        experiment_pattern: experiment_pattern.to_owned(),
        ..Default::default()
    };
    let (both, models) = (limited(&server, &admin, of("credit-*")).await.http(), limited(&server, &admin, of("")).await.http());
    assert_eq!(both.post("registered-models/create", &json!({"name": "credit-1"})).await.status, 200);
    for (run, status) in [(credit.run(), 200), (fraud.run(), 403)] {
        let file = both.send(Method::PUT, &format!("{STORE}/{run}/model/MLmodel"), &[], b"x").await;
        assert_eq!(file.status, status, "{file:?}");
    }
    let from = |run: &str| json!({"name": "credit-1", "source": format!("runs:/{run}/model"), "run_id": run});
    assert_eq!(models.post("model-versions/create", &from(&credit.run_id)).await.status, 403, "it may not read the run");
    assert_eq!(both.post("model-versions/create", &from(&fraud.run_id)).await.status, 403);
    assert_eq!(both.post("model-versions/create", &from(&credit.run_id)).await.status, 200);
    assert_eq!(both.post("runs/set-tag", &json!({"run_id": credit.run_id, "key": "k", "value": "v"})).await.status, 200);
    assert_eq!(both.post("runs/set-tag", &json!({"run_id": fraud.run_id, "key": "k", "value": "v"})).await.status, 403);
    let found = both.get("experiments/search?max_results=10").await.json();
    let names: Vec<&str> = found["experiments"].as_array().expect("some").iter().filter_map(|one| one["name"].as_str()).collect();
    assert_eq!(names, ["credit-runs"]);
}

async fn what_a_token_names_it_may_do_and_hand_on(server: Server) {
    let admin = server.admin().await;
    let of = |permissions: &[&str], models: &str, experiments: &str| v1::CreateTokenRequest {
        permissions: permissions.iter().map(|name| (*name).to_owned()).collect(),
        model_pattern: models.to_owned(),
        experiment_pattern: experiments.to_owned(),
        ttl_ms: Some(60_000),
        ..Default::default()
    };
    let make = async |by: &Client, request| -> Result<v1::CreateTokenResponse, Status> { by.call("CreateToken", request).await };
    let refused = make(&admin, of(&["runs.edit"], "credit-*", "")).await.expect_err("nothing is left of it");
    assert!(refused.code() == Code::InvalidArgument && refused.message().contains("experiment_pattern"), "{refused:?}");
    let token = limited(&server, &admin, of(&["models.read", "tokens.create", "users.read"], "credit-*", "")).await;
    assert_eq!(code(token.call::<_, v1::ListUsersResponse>("ListUsers", v1::ListUsersRequest::default()).await), Code::Ok);
    let rotate = v1::RotateSigningKeyRequest {};
    assert_eq!(code(token.call::<_, v1::RotateSigningKeyResponse>("RotateSigningKey", rotate).await), Code::PermissionDenied);
    for (child, fine) in [
        (of(&["models.read"], "credit-eu-*", ""), true),
        (of(&["models.read"], "*", ""), false),
        (of(&["models.read"], "", ""), false),
        (of(&[], "credit-*", ""), false),
        (of(&["models.read", "keys.rotate"], "credit-*", ""), false),
        (of(&["users.read"], "credit-*", "*"), false),
        (of(&["users.read"], "", "*"), false),
    ] {
        // It does not outlive the token that makes it.
        let child = v1::CreateTokenRequest { ttl_ms: Some(20_000), ..child };
        assert_eq!(make(&token, child.clone()).await.is_ok(), fine, "{child:?}");
    }
}
