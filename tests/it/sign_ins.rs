//! What is kept of who signed in, and from where.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use http::header::{self, HeaderName};
use sea_orm::{ConnectionTrait, Statement};
use stagegate::contract::v1;

use crate::house::{Http, Server};

on_both_engines!(
    rows_have_the_address_of_the_client,
    sign_ins_leave_rows_and_log_lines,
    a_proxy_that_is_trusted_says_who_is_slowed_and_nobody_else
);

/// A text of each row that a query finds, in its order.
async fn texts(server: &Server, query: &str) -> Vec<String> {
    let sql = server.sql().await;
    let rows = sql.query_all_raw(Statement::from_string(sql.get_database_backend(), query)).await.expect("the query is good");
    rows.iter().map(|row| row.try_get_by_index(0).expect("a text")).collect()
}

async fn rows_have_the_address_of_the_client(server: Server) {
    let admin = server.admin().await;
    let request = v1::CreateExperimentRequest { name: "over gRPC".to_owned(), ..Default::default() };
    let _: v1::CreateExperimentResponse = admin.call("CreateExperiment", request).await.expect("an experiment can be made");
    let made = admin.http().json(Method::POST, "/api/2.0/mlflow/experiments/create", r#"{"name":"over REST"}"#).await;
    assert_eq!(made.status, 200);
    let addresses = "SELECT source_address FROM ledger_entries WHERE object_name IN ('over gRPC', 'over REST')";
    assert_eq!(texts(&server, addresses).await, ["127.0.0.1", "127.0.0.1"]);
    assert!(server.command(&["user", "create", "ann", "--persona", "viewer"]).0);
    let local = "SELECT source_address FROM ledger_entries WHERE object_name = 'ann' AND credential = 'command_line'";
    let local = texts(&server, local).await;
    assert!(!local.is_empty() && local.iter().all(String::is_empty), "{local:?}");
    let shown: v1::ListLedgerEntriesResponse =
        admin.call("ListLedgerEntries", v1::ListLedgerEntriesRequest::default()).await.expect("rows");
    assert!(shown.entries.iter().any(|row| row.object_name == "over REST" && row.source_address == "127.0.0.1"));
}

/// Rows of signing in: outcome, name of the user, address and payload.
const SIGN_INS: &str = "SELECT outcome || ' ' || object_name || ' ' || source_address || ' ' || payload FROM ledger_entries \
                        WHERE action = 'stagegate.v1.AccessService/SignIn' ORDER BY id";

async fn sign_in(http: &Http, name: &str, password: &str, forwarded: &str) -> u16 {
    let body = serde_json::json!({"user_name": name, "password": password}).to_string();
    let json = (header::CONTENT_TYPE, "application/json");
    let forwarded = (HeaderName::from_static("x-forwarded-for"), forwarded);
    let headers = if forwarded.1.is_empty() { vec![json] } else { vec![json, forwarded] };
    http.send(Method::POST, "/api/stagegate/v1/sign-in", &headers, body.as_bytes()).await.status.as_u16()
}

async fn sign_ins_leave_rows_and_log_lines(mut server: Server) {
    let admin = server.admin().await;
    let http = server.nobody().http();
    for _ in 0..8 {
        assert_ne!(sign_in(&http, "admin", "wrong horse battery staple", "").await, 200);
    }
    for name in ["hunter2-in-the-wrong-field", "another-made-up-name"] {
        assert_eq!(sign_in(&http, name, "wrong horse battery staple", "").await, 401);
    }
    let mut basic = server.as_("viewer").await.http();
    let name = "max-with-a-password";
    let request = v1::CreateUserRequest {
        user_name: name.to_owned(),
        password: "a long enough password".to_owned(),
        persona: "viewer".to_owned(),
        ..Default::default()
    };
    let _: v1::CreateUserResponse = admin.call("CreateUser", request).await.expect("a user can be made");
    let change = v1::SetPasswordRequest {
        current_password: "a long enough password".to_owned(),
        new_password: "one of their own, and long".to_owned(),
        ..Default::default()
    };
    let session = server.sign_in(name, "a long enough password").await;
    let _: v1::SetPasswordResponse = session.call("SetPassword", change).await.expect("the first password is changed");
    basic.authorization = Some(format!("Basic {}", STANDARD.encode(format!("{name}:one of their own, and long"))));
    for _ in 0..3 {
        assert_eq!(basic.get("experiments/get?experiment_id=0").await.status, 200);
    }
    let log = server.log();
    let line = log.lines().find(|line| line.contains("a sign-in failed")).expect("a failure is logged");
    assert!(line.contains("\"admin\"") && line.contains("127.0.0.1"), "{line}");
    assert!(!log.contains("hunter2-in-the-wrong-field"), "what may be a password is not logged");
    let ended = log.lines().find(|line| line.contains("refused or failed")).expect("a call is logged");
    assert!(ended.contains("\"address\":\"127.0.0.1\""), "{ended}");

    server.stop();
    let rows = texts(&server, SIGN_INS).await;
    let of = |start: &str| rows.iter().filter(|row| row.starts_with(start)).cloned().collect::<Vec<_>>();
    assert!(of("OK admin 127.0.0.1").len() == 2 && of("OK admin 127.0.0.1")[0].contains("token_id"), "{rows:?}");
    assert_eq!(of(&format!("OK {name} 127.0.0.1")).len(), 2, "the sign-in, and the first use of Basic, not each: {rows:?}");
    let failed = of("DENIED admin 127.0.0.1");
    assert_eq!(failed.len(), 1, "{rows:?}");
    let times: serde_json::Value =
        serde_json::from_str(failed[0].split_once('{').map(|(_, rest)| format!("{{{rest}")).expect("JSON").as_str()).expect("JSON");
    assert_eq!(times["times"].as_u64().unwrap() + times["not_tried"].as_u64().unwrap(), 8, "{failed:?}");
    assert_eq!(of("DENIED  127.0.0.1").len(), 1, "made-up names are counted together: {rows:?}");
}

async fn a_proxy_that_is_trusted_says_who_is_slowed_and_nobody_else(mut server: Server) {
    server.stop();
    server.restart_with(&[("STAGEGATE_TRUSTED_PROXIES", "127.0.0.0/8,192.0.2.1")]);
    let proxied = server.nobody().http();
    let right = server.secrets()[0].clone();
    // Behind a trusted proxy the guesses of one client slow that client and no other.
    for _ in 0..8 {
        assert_ne!(sign_in(&proxied, "admin", "wrong horse battery staple", "203.0.113.5").await, 200);
    }
    assert_eq!(sign_in(&proxied, "admin", &right, "203.0.113.5").await, 429);
    assert_eq!(sign_in(&proxied, "admin", &right, "10.1.1.1, 203.0.113.5, 192.0.2.1").await, 429, "what the client wrote does not count");
    assert_eq!(sign_in(&proxied, "admin", &right, "198.51.100.7").await, 200);
    server.stop();
    // To a server that trusts no proxy the header says nothing.
    server.restart();
    let direct = server.nobody().http();
    for number in 0..8 {
        assert_ne!(sign_in(&direct, "admin", "wrong horse battery staple", &format!("203.0.113.{number}")).await, 200);
    }
    assert_eq!(sign_in(&direct, "admin", &right, "198.51.100.7").await, 429);
    let rows = texts(&server, SIGN_INS).await;
    assert!(rows.iter().any(|row| row.starts_with("OK admin 198.51.100.7 ")), "{rows:?}");
    assert!(rows.iter().any(|row| row.starts_with("DENIED admin 203.0.113.5 ")), "{rows:?}");
}
