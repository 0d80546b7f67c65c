//! Uploads in parts, as MLflow's client makes them.

use http::header::HeaderName;
use http::{Method, StatusCode, header};
use serde_json::{Value, json};

use stagegate::contract::v1;

use crate::house::files::{Owners, STORE, listed};
use crate::house::{Answer, Http, Server};

on_both_engines! {
    addresses_of_parts_lead_through_the_proxy,
    parts_become_a_file,
    a_part_needs_its_own_token,
    an_upload_that_does_not_fit_is_refused,
    a_part_comes_only_while_its_creator_may_write,
}

const TOKEN: HeaderName = HeaderName::from_static("x-stagegate-upload-token");

async fn mpu(http: &Http, step: &str, folder: &str, body: &Value) -> Answer {
    http.json(Method::POST, &format!("/api/2.0/mlflow-artifacts/mpu/{step}/{folder}"), &body.to_string()).await
}

/// Path and token of each part.
fn credentials(created: &Answer) -> Vec<(String, String)> {
    let credential = |credential: &Value| {
        let url: http::Uri = credential["url"].as_str().expect("a URL").parse().expect("a URL");
        assert!(url.query().is_none(), "a token in a URL is in a log soon");
        (url.path().to_owned(), credential["headers"][TOKEN.as_str()].as_str().expect("a token").to_owned())
    };
    created.json()["credentials"].as_array().expect("credentials").iter().map(credential).collect()
}

async fn send(nobody: &Http, (path, token): &(String, String), bytes: &[u8]) -> Answer {
    nobody.send(Method::PUT, path, &[(TOKEN, token)], bytes).await
}

fn etag(answer: &Answer) -> String {
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.headers["etag"].to_str().expect("plain").to_owned()
}

async fn parts_become_a_file(server: Server) {
    let admin = server.admin().await;
    let (http, nobody, owners) = (admin.http(), server.nobody().http(), Owners::of(&admin, "parts").await);
    for root in [owners.run(), owners.model()] {
        let folder = format!("{root}/deep");
        let created = mpu(&http, "create", &folder, &json!({"path": "/home/user/big file.bin", "num_parts": 3})).await;
        assert_eq!(created.status, 200, "{created:?}");
        let upload_id = created.json()["upload_id"].as_str().expect("an id").to_owned();
        let urls = credentials(&created);
        assert_eq!(urls.len(), 3);
        let bytes: Vec<Vec<u8>> = [1_u8, 2, 3].map(|byte| vec![byte; 1_500_000]).into();
        let mut parts = Vec::new();
        // Not in their order, and one of them twice.
        send(&nobody, &urls[2], b"not the last word").await;
        for number in [2, 0, 1] {
            let etag = etag(&send(&nobody, &urls[number], &bytes[number]).await);
            parts.push(json!({"part_number": number + 1, "etag": etag, "url": urls[number].0}));
        }
        let complete = |parts: &[Value]| json!({"path": "/home/user/big file.bin", "upload_id": upload_id, "parts": parts});
        assert_eq!(mpu(&http, "complete", &folder, &complete(&parts[..2])).await.status, 400);
        let mut wrong = parts.clone();
        wrong[0]["etag"] = json!("\"0000\"");
        assert_eq!(mpu(&http, "complete", &folder, &complete(&wrong)).await.status, 400);
        let elsewhere = mpu(&http, "complete", &root, &complete(&parts)).await;
        assert_eq!(elsewhere.status, 404, "an upload is completed where it began");
        assert_eq!(listed(&http.json(Method::GET, &format!("{STORE}?path={root}"), "").await.json()).len(), 0);
        for _ in 0..2 {
            let done = mpu(&http, "complete", &folder, &complete(&parts)).await;
            assert_eq!((done.status.as_u16(), done.json()), (200, json!({})), "{done:?}");
        }
        let whole = http.send(Method::GET, &format!("{STORE}/{folder}/big%20file.bin"), &[], b"").await;
        assert!(whole.body[..] == bytes.concat()[..], "{} bytes", whole.body.len());
        assert_eq!(send(&nobody, &urls[0], b"late").await.status, 404);
        assert_eq!(mpu(&http, "abort", &folder, &json!({"path": "big file.bin", "upload_id": upload_id})).await.status, 200);
        assert_eq!(http.send(Method::GET, &format!("{STORE}/{folder}/big%20file.bin"), &[], b"").await.status, 200);
    }
    let sql = server.sql().await;
    let query = "SELECT (SELECT COUNT(*) FROM upload_parts) + (SELECT COUNT(*) FROM blobs)";
    let rows = stagegate::store::sql::first(&sql, query, []).await.expect("SQL").expect("a row");
    let left: i64 = rows.get(0).expect("a number");
    assert_eq!(left, 2, "one blob for each file, and no part");
    let mut in_the_store = walk(&server.folder().join("artifacts"));
    in_the_store.retain(|file| !file.ends_with("stagegate-store"));
    assert_eq!(in_the_store.len(), 2, "{in_the_store:?}");
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

async fn a_part_needs_its_own_token(server: Server) {
    let admin = server.admin().await;
    let (http, nobody, owners) = (admin.http(), server.nobody().http(), Owners::of(&admin, "tokens").await);
    let body = json!({"path": "f", "num_parts": 2});
    let (one, other) = (mpu(&http, "create", &owners.run(), &body).await, mpu(&http, "create", &owners.run(), &body).await);
    let (one, other) = (credentials(&one), credentials(&other));
    for (path, token) in [
        (&one[0].0, one[1].1.as_str()),
        (&one[0].0, other[0].1.as_str()),
        (&one[0].0, ""),
        (&one[0].0, "AAAA"),
        (&one[0].0.replace("/1", "/01"), &one[0].1),
    ] {
        let answer = send(&nobody, &(path.clone(), token.to_owned()), b"x").await;
        assert!(matches!(answer.status.as_u16(), 400 | 403), "{path} {answer:?}");
    }
    // Who may do everything needs the token as well, and it counts in the header only.
    assert_eq!(http.send(Method::PUT, &one[0].0, &[], b"x").await.status, 403);
    assert_eq!(http.send(Method::PUT, &format!("{}?token={}", one[0].0, one[0].1), &[], b"x").await.status, 403);
    assert_eq!(send(&nobody, &one[0], b"x").await.status, 200);
    let stranger = server.as_("viewer").await.http();
    assert_eq!(mpu(&stranger, "create", &owners.run(), &body).await.status, 403);
    let upload = one[0].0.split('/').rev().nth(1).expect("an id").to_owned();
    for step in ["complete", "abort"] {
        let body = json!({"path": "f", "upload_id": upload, "parts": [{"part_number": 1, "etag": "x"}]});
        assert_eq!(mpu(&stranger, step, &owners.run(), &body).await.status, 403, "{step}");
    }
    assert_eq!(send(&nobody, &one[1], b"still open").await.status, 200);
    assert_eq!(mpu(&http, "abort", &owners.run(), &json!({"path": "f", "upload_id": upload})).await.status, 200);
    assert_eq!(send(&nobody, &one[1], b"x").await.status, 404);
}

async fn an_upload_that_does_not_fit_is_refused(server: Server) {
    let admin = server.admin().await;
    let (http, owners) = (admin.http(), Owners::of(&admin, "misfits").await);
    http.send(Method::PUT, &format!("{STORE}/{}/file", owners.run()), &[], b"x").await;
    for (folder, path, parts, status) in [
        (owners.run(), "f", json!(0), 400),
        (owners.run(), "f", json!(-1), 400),
        (owners.run(), "f", json!(10_001), 400),
        (owners.run(), "", json!(1), 400),
        (owners.run(), "a/..", json!(1), 400),
        (owners.run(), "a\\..", json!(1), 400),
        (format!("{}/file", owners.run()), "below", json!(1), 400),
        (format!("{}/%2e%2e/x", owners.run()), "f", json!(1), 400),
        ("nobody/s".to_owned(), "f", json!(1), 400),
        (owners.run().replace(&owners.run_id, &"f".repeat(32)), "f", json!(1), 404),
    ] {
        let answer = mpu(&http, "create", &folder, &json!({"path": path, "num_parts": parts})).await;
        assert_eq!(answer.status.as_u16(), status, "{folder} {path:?} {parts}: {answer:?}");
    }
}

/// The address and token of a part are no more than what the creator may do at the time of each use.
async fn a_part_comes_only_while_its_creator_may_write(server: Server) {
    let admin = server.admin().await;
    let (nobody, owners) = (server.nobody().http(), Owners::of(&admin, "creators").await);
    let body = json!({"path": "f", "num_parts": 2});
    for way in ["deactivated", "signed out", "denied", "moved away"] {
        let creator = server.signed_in("ml_engineer").await;
        let parts = credentials(&mpu(&creator.http(), "create", &owners.run(), &body).await);
        assert_eq!(send(&nobody, &parts[0], b"x").await.status, 200, "{way}");
        let name = creator.user_name.clone();
        let to = Some(v1::Principal { principal: Some(v1::principal::Principal::UserName(name.clone())) });
        match way {
            "deactivated" => {
                let request = v1::UpdateUserRequest { user_name: name.clone(), active: Some(false), ..Default::default() };
                let _: v1::UpdateUserResponse = admin.call("UpdateUser", request).await.expect("deactivated");
            }
            "signed out" => {
                let _: v1::SignOutResponse = creator.call("SignOut", v1::SignOutRequest {}).await.expect("signed out");
            }
            "denied" => {
                let scope = Some(v1::Scope { scope: Some(v1::scope::Scope::ExperimentId(owners.experiment_id.clone())) });
                let effect = v1::GrantEffect::Deny.into();
                let request =
                    v1::CreateGrantRequest { principal: to, persona: "ml_engineer".to_owned(), scope, effect, ..Default::default() };
                let _: v1::CreateGrantResponse = admin.call("CreateGrant", request).await.expect("denied");
            }
            _ => {
                let request = v1::ListGrantsRequest { user_name: name.clone(), ..Default::default() };
                let grants: v1::ListGrantsResponse = admin.call("ListGrants", request).await.expect("grants");
                let request = v1::DeleteGrantRequest { grant_id: grants.grants[0].grant_id.clone() };
                let _: v1::DeleteGrantResponse = admin.call("DeleteGrant", request).await.expect("taken away");
            }
        }
        for part in &parts {
            let answer = send(&nobody, part, b"late").await;
            assert_eq!((answer.status.as_u16(), answer.error_code().as_str()), (403, "PERMISSION_DENIED"), "{way}: {answer:?}");
        }
    }
    let upload = server.signed_in("ml_engineer").await.http();
    let parts = credentials(&mpu(&upload, "create", &owners.run(), &body).await);
    assert_eq!(send(&nobody, &parts[1], b"others go on").await.status, 200);
}

/// The address of the first part of an upload that was begun with these headers.
async fn address(http: &Http, owners: &Owners, headers: &[(&'static str, &str)]) -> String {
    let mut all = vec![(header::CONTENT_TYPE, "application/json")];
    all.extend(headers.iter().map(|(name, value)| (header::HeaderName::from_static(name), *value)));
    let path = format!("/api/2.0/mlflow-artifacts/mpu/create/{}", owners.run());
    let answer = http.send(Method::POST, &path, &all, br#"{"path": "f", "num_parts": 1}"#).await;
    if answer.status != 200 {
        return answer.message();
    }
    let url = answer.json()["credentials"][0]["url"].as_str().expect("an address").to_owned();
    url.split("/api/2.0/").next().expect("the beginning").to_owned()
}

async fn addresses_of_parts_lead_through_the_proxy(mut server: Server) {
    let admin = server.admin().await;
    let owners = Owners::of(&admin, "proxied").await;
    let forwarded = [("x-forwarded-proto", "https"), ("x-forwarded-host", "ml.example.com"), ("x-forwarded-prefix", "/stagegate/")];
    let direct = format!("http://{}", admin.http().address());
    assert_eq!(address(&admin.http(), &owners, &[]).await, direct);
    assert_eq!(address(&admin.http(), &owners, &forwarded).await, direct, "nobody trusts whoever wrote this");
    assert!(server.stop().success());
    server.restart_with(&[("STAGEGATE_TRUSTED_PROXIES", "127.0.0.1")]);
    let http = server.moved(&admin).http();
    assert_eq!(address(&http, &owners, &forwarded).await, "https://ml.example.com/stagegate");
    assert_eq!(address(&http, &owners, &forwarded[2..]).await, format!("http://{}/stagegate", http.address()));
    for bad in ["//evil.example", "stagegate", "/a?b", "/a b"] {
        let told = address(&http, &owners, &[("x-forwarded-prefix", bad)]).await;
        assert!(told.starts_with("Host: "), "{bad}: {told}");
    }
    assert!(server.stop().success());
    server.restart_with(&[("STAGEGATE_BASE_URL", "https://ml.example.com/stagegate/"), ("STAGEGATE_TRUSTED_PROXIES", "127.0.0.1")]);
    let http = server.moved(&admin).http();
    assert_eq!(address(&http, &owners, &[("x-forwarded-host", "other.example")]).await, "https://ml.example.com/stagegate");
    assert_eq!(address(&http, &owners, &[("host", "ml.example.com")]).await, "https://ml.example.com/stagegate", "its host is listed");
    assert!(server.stop().success());
    let told = server.refuses_to_start(&[("STAGEGATE_BASE_URL", "https://u:secret@ml.example.com")]);
    assert!(told.contains("--base-url") && !told.contains("secret"), "{told}");
}
