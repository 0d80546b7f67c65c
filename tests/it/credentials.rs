//! How credentials are given, and what is told about those that are no longer good.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Method, header};
use serde_json::json;
use stagegate::contract::v1;
use tonic::Code;

use crate::house::{Client, Server};

on_both_engines! {
    a_token_is_taken_as_the_password_of_basic,
    an_expired_token_is_told_so,
    a_time_to_live_is_said_in_its_own_units,
    data_sets_come_in_the_order_logged,
}

const WHO: &str = "/api/stagegate/v1/who-am-i";

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

async fn status(server: &Server, authorization: &str) -> (u16, String, String) {
    let answer = server.nobody().http().send(Method::GET, WHO, &[(header::AUTHORIZATION, authorization)], b"").await;
    let user = answer.json()["user"]["user_name"].as_str().unwrap_or_default().to_owned();
    (answer.status.as_u16(), user, answer.message())
}

async fn token(client: &Client, ttl_ms: i64) -> String {
    let request = v1::CreateTokenRequest { ttl_ms: Some(ttl_ms), ..Default::default() };
    client.call::<_, v1::CreateTokenResponse>("CreateToken", request).await.expect("a token").token_text
}

async fn a_token_is_taken_as_the_password_of_basic(server: Server) {
    let ann = server.signed_in("data_scientist").await;
    let good = token(&ann, 60_000).await;
    for name in [ann.user_name.as_str(), "token", "", "whoever"] {
        let (code, user, message) = status(&server, &basic(name, &good)).await;
        assert_eq!((code, user.as_str()), (200, ann.user_name.as_str()), "{name}: {message}");
    }
    // What is no good token is refused as one, and costs no brake: a hundred of them, and the good one works at once.
    let forged = forged(&good);
    for _ in 0..100 {
        assert_eq!(status(&server, &basic(&ann.user_name, &forged)).await.0, 401);
    }
    assert_eq!(status(&server, &basic(&ann.user_name, &good)).await.0, 200);
    let revoke = v1::RevokeTokenRequest { token_id: id_of(&good) };
    let _: v1::RevokeTokenResponse = ann.call("RevokeToken", revoke).await.expect("revoked");
    assert_eq!(status(&server, &basic(&ann.user_name, &good)).await.0, 401);
}

/// The token with another last character: never the one that it has, which a fixed one is in some tokens.
fn forged(token: &str) -> String {
    let (head, last) = token.split_at(token.len() - 1);
    format!("{head}{}", if last == "A" { "E" } else { "A" })
}

fn id_of(token: &str) -> String {
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(token.split('.').nth(1).expect("claims")).expect("base64");
    let claims: serde_json::Value = serde_json::from_slice(&claims).expect("JSON");
    claims["jti"].as_str().expect("an id").to_owned()
}

async fn an_expired_token_is_told_so(server: Server) {
    let ann = server.signed_in("data_scientist").await;
    let short = token(&ann, 1_000).await;
    let unseen = token(&ann, 1_000).await;
    assert_eq!(status(&server, &format!("Bearer {short}")).await.0, 200);
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    // One that the server has seen while it was good, and one that it sees for the first time.
    for text in [&short, &unseen] {
        for authorization in [format!("Bearer {text}"), basic("token", text)] {
            let answer = server.nobody().http().send(Method::GET, WHO, &[(header::AUTHORIZATION, &authorization)], b"").await;
            assert_eq!((answer.status.as_u16(), answer.error_code().as_str()), (401, "UNAUTHENTICATED"));
            let message = answer.message();
            assert!(
                message.starts_with("the token expired at 20") && message.ends_with("Z; sign in again, or make a new one"),
                "{message}"
            );
            let challenge = answer.headers[header::WWW_AUTHENTICATE].to_str().expect("a text").to_owned();
            assert!(challenge.starts_with("Bearer ") && challenge.contains("invalid_token"), "{challenge}");
        }
    }
    let refused = server.with_token("ann", short.clone()).call::<_, v1::WhoAmIResponse>("WhoAmI", v1::WhoAmIRequest {}).await;
    let refused = refused.expect_err("its time is over");
    assert!(refused.code() == Code::Unauthenticated && refused.message().starts_with("the token expired at"), "{refused:?}");
    // Who made it up learns nothing.
    let forged = forged(&short);
    let message = status(&server, &format!("Bearer {forged}")).await.2;
    assert!(message.starts_with("sign in:"), "{message}");
}

async fn a_time_to_live_is_said_in_its_own_units(server: Server) {
    for (asked, told) in [("0m", "between 1s and 365d"), ("366d", "between 1s and 365d"), ("soon", "90d, 8h or 30m")] {
        let (good, output) = server.command(&["token", "create", "--user", "admin", "--ttl", asked]);
        assert!(!good && output.contains(told) && output.contains("--ttl"), "{asked}: {output}");
    }
    let request = v1::CreateTokenRequest { ttl_ms: Some(0), ..Default::default() };
    let refused = server.admin().await.call::<_, v1::CreateTokenResponse>("CreateToken", request).await.expect_err("too short");
    assert!(refused.message().starts_with("ttl_ms: is 0, in milliseconds; must be between 1000"), "{refused:?}");
}

async fn data_sets_come_in_the_order_logged(server: Server) {
    let http = server.admin().await.http();
    let run = http.post("runs/create", &json!({"experiment_id": "0"})).await.json()["run"]["info"]["run_id"].clone();
    let dataset = |name: &str| json!({"dataset": {"name": name, "digest": "d", "source_type": "s", "source": "x"}});
    for names in [&["train", "validation", "ahead"][..], &["train"], &["test", "also"], &["last"]] {
        let datasets: Vec<_> = names.iter().map(|name| dataset(name)).collect();
        let answer = http.post("runs/log-inputs", &json!({"run_id": run, "datasets": datasets})).await;
        assert_eq!(answer.status, 200, "{}", answer.message());
    }
    let read = http.get(&format!("runs/get?run_id={}", run.as_str().expect("an id"))).await.json();
    let inputs = read["run"]["inputs"]["dataset_inputs"].as_array().cloned().unwrap_or_default();
    let names: Vec<_> = inputs.iter().map(|input| input["dataset"]["name"].as_str().unwrap_or_default()).collect();
    assert_eq!(names, ["train", "validation", "ahead", "test", "also", "last"]);
}
