//! What a token is limited to: a scope of one kind leaves out every other kind that it does not name.

use http::Method;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::json;
use stagegate::contract::{DESCRIPTOR_SET, OPERATIONS, v1};
use tonic::{Code, Status};

use crate::house::files::Owners;
use crate::house::{Client, Server};

on_both_engines! {
    a_token_for_models_does_nothing_elsewhere,
}

async fn limited(server: &Server, admin: &Client, limits: v1::CreateTokenRequest) -> Client {
    let answer: v1::CreateTokenResponse = admin.call("CreateToken", limits).await.expect("a token");
    server.with_token("admin", answer.token_text)
}

fn code<T>(outcome: Result<T, Status>) -> Code {
    outcome.map_or_else(|status| status.code(), |_| Code::Ok)
}

/// An operation with an empty request.
async fn bare(client: &Client, path: &str, input: &str) -> Code {
    let pool = DescriptorPool::decode(DESCRIPTOR_SET).expect("the descriptor set is one");
    let message = DynamicMessage::new(pool.get_message_by_name(input).expect("declared"));
    code(client.bytes(path, message.encode_to_vec()).await)
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
        if bare(&token, operation.path, operation.input).await != Code::PermissionDenied {
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
