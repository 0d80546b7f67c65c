//! Every door to the bytes: no spelling of a path leads elsewhere, and each asks the grant on the owner.

use http::Method;
use serde_json::json;

use crate::house::files::{Owners, STORE, version};
use crate::house::{Answer, Http, Server};

on_both_engines! {
    no_spelling_leads_elsewhere,
    each_door_asks_the_owner,
    absent_owners_look_like_foreign_ones,
    a_refusal_arrives_though_the_client_still_sends,
}

/// Spellings that some reader takes for a way out, as they stand in a URL.
const SPELLINGS: [&str; 40] = [
    "..",
    ".",
    "../canary",
    "a/../../canary",
    "a/..",
    "./canary",
    "a/./b",
    "a//b",
    "/etc/passwd",
    "//canary",
    "%2e%2e/canary",
    "%2E%2E%2Fcanary",
    "..%2fcanary",
    ".%2e/canary",
    "%2e/canary",
    "%252e%252e/canary",
    "%252e%252e%252fcanary",
    "%25252e%25252e/canary",
    "..%5ccanary",
    "%5c..%5ccanary",
    "a%5c..%5cb",
    "%2fetc%2fpasswd",
    "C:/canary",
    "c%3a/canary",
    "C%3A%5Ccanary",
    "a%00b",
    "%00",
    "canary%00.txt",
    "a%0ab",
    "a%0d%0aSet-Cookie:x",
    "%7f",
    "a%c2%85b",
    "%c0%ae%c0%ae/canary",
    "%c0%afcanary",
    "a/%20/b",
    "%20",
    "a/..%20/b",
    "..%20/canary",
    "%252fcanary",
    "%25%32%65%25%32%65/canary",
];
const CANARY: &str = "the canary sings";

type Door = (Method, String, &'static str);

/// The doors that take a path of the whole store.
fn doors_of_the_store(path: &str) -> Vec<Door> {
    vec![
        (Method::PUT, format!("{STORE}/{path}"), "overwritten"),
        (Method::GET, format!("{STORE}/{path}"), ""),
        (Method::HEAD, format!("{STORE}/{path}"), ""),
        (Method::DELETE, format!("{STORE}/{path}"), ""),
        (Method::GET, format!("{STORE}?path={path}"), ""),
        (Method::POST, format!("/api/2.0/mlflow-artifacts/mpu/create/{path}"), r#"{"path": "canary", "num_parts": 1}"#),
        (Method::POST, format!("/api/2.0/mlflow-artifacts/mpu/complete/{path}"), r#"{"path": "canary", "upload_id": "x", "parts": []}"#),
        (Method::POST, format!("/api/2.0/mlflow-artifacts/mpu/abort/{path}"), r#"{"path": "canary", "upload_id": "x"}"#),
    ]
}

/// The doors that take a path below a run or a logged model.
fn doors_of_owners(path: &str, owners: &Owners) -> Vec<Door> {
    let Owners { run_id, model_id, .. } = owners;
    vec![
        (Method::GET, format!("/api/2.0/mlflow/artifacts/list?run_id={run_id}&path={path}"), ""),
        (Method::GET, format!("/get-artifact?run_id={run_id}&path={path}"), ""),
        (Method::POST, format!("/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run_id}&path={path}"), "overwritten"),
        (Method::GET, format!("/api/2.0/mlflow/logged-models/{model_id}/artifacts/directories?artifact_directory_path={path}"), ""),
        (Method::GET, format!("/ajax-api/2.0/mlflow/logged-models/{model_id}/artifacts/files?artifact_file_path={path}"), ""),
    ]
}

async fn knock(http: &Http, (method, url, body): &Door) -> Answer {
    if body.starts_with('{') {
        http.json(method.clone(), url, body).await
    } else {
        http.send(method.clone(), url, &[], body.as_bytes()).await
    }
}

async fn no_spelling_leads_elsewhere(server: Server) {
    let admin = server.admin().await;
    let (http, owners) = (admin.http(), Owners::of(&admin, "spellings").await);
    let canaries = [server.folder().join("canary"), server.folder().join("artifacts").join("canary")];
    for canary in &canaries {
        std::fs::write(canary, CANARY).expect("a canary");
    }
    http.send(Method::PUT, &format!("{STORE}/{}/m/MLmodel", owners.run()), &[], b"x").await;
    let root = version(&http, "spelled", &owners.run_id, "m").await;
    let mut tried = 0;
    for spelling in SPELLINGS {
        let mut doors = doors_of_owners(spelling, &owners);
        for root in ["", &format!("{}/", owners.run()), &format!("{}/", owners.model()), &format!("{root}/")] {
            doors.extend(doors_of_the_store(&format!("{root}{spelling}")));
        }
        for door in doors {
            let answer = knock(&http, &door).await;
            let status = answer.status.as_u16();
            tried += 1;
            assert!((400..500).contains(&status), "{} {}: {status} {:?}", door.0, door.1, answer.body);
            assert!(!String::from_utf8_lossy(&answer.body).contains(CANARY), "{}", door.1);
            assert!(!answer.headers.contains_key("set-cookie"), "{}", door.1);
        }
    }
    assert!(tried > 1_400, "only {tried}");
    for canary in &canaries {
        assert_eq!(std::fs::read_to_string(canary).expect("the canary lives"), CANARY);
    }
    assert!(!server.log().contains("panicked"));
}

/// Who may write, who may read, who may do nothing; and every door of an owner's.
async fn each_door_asks_the_owner(server: Server) {
    let owner = server.as_("data_scientist").await;
    let owners = Owners::of(&owner, "doors").await;
    let (own, colleague, viewer, stranger, nobody) = (
        owner.http(),
        server.as_("data_scientist").await.http(),
        server.as_("viewer").await.http(),
        server.as_("").await.http(),
        server.nobody().http(),
    );
    let reads = [Method::GET, Method::HEAD];
    for root in [owners.run(), owners.model()] {
        assert_eq!(own.send(Method::PUT, &format!("{STORE}/{root}/kept"), &[], b"kept").await.status, 200);
        for door in doors_of_the_store(&format!("{root}/kept")).into_iter().chain(doors_of_owners("kept", &owners)) {
            assert_eq!(knock(&nobody, &door).await.status, 401, "{door:?}");
            assert_eq!(knock(&stranger, &door).await.status, 403, "{door:?}");
            if !reads.contains(&door.0) {
                for other in [&colleague, &viewer] {
                    assert_eq!(knock(other, &door).await.status, 403, "{door:?}");
                }
            }
        }
        let url = format!("{STORE}/{root}/kept");
        for reader in [&own, &colleague, &viewer] {
            assert_eq!(&reader.send(Method::GET, &url, &[], b"").await.body[..], b"kept", "{url}");
        }
    }
    // A version is its model's, whoever may see the run.
    let root = version(&own, "doors", &owners.run_id, "kept").await;
    for url in [format!("{STORE}/{root}/kept"), "/model-versions/get-artifact?name=doors&version=1&path=kept".to_owned()] {
        assert_eq!(own.send(Method::GET, &url, &[], b"").await.status, 200, "{url}");
        assert_eq!(stranger.send(Method::GET, &url, &[], b"").await.status, 403, "{url}");
        assert_eq!(nobody.send(Method::GET, &url, &[], b"").await.status, 401, "{url}");
    }
}

async fn absent_owners_look_like_foreign_ones(server: Server) {
    let admin = server.admin().await;
    let owners = Owners::of(&admin, "absent").await;
    admin.http().send(Method::PUT, &format!("{STORE}/{}/m/f", owners.run()), &[], b"x").await;
    let root = version(&admin.http(), "absent", &owners.run_id, "m").await;
    let stranger = server.as_("").await.http();
    let absent = "f".repeat(32);
    for (there, gone) in [
        (owners.run(), owners.run().replace(&owners.run_id, &absent)),
        (owners.model(), owners.model().replace(&owners.model_id, &format!("m-{absent}"))),
        (root.clone(), format!("versions/{absent}")),
    ] {
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            let mut answers = Vec::new();
            for path in [&there, &gone] {
                let answer = stranger.send(method.clone(), &format!("{STORE}/{path}/f"), &[], b"").await;
                let text = String::from_utf8_lossy(&answer.body).into_owned();
                let ids = [owners.run_id.as_str(), owners.model_id.trim_start_matches("m-"), root.trim_start_matches("versions/"), &absent];
                answers.push((answer.status, ids.iter().fold(text, |text, id| text.replace(id, "…"))));
            }
            assert_eq!(answers[0], answers[1], "{method} {there}");
        }
    }
    let body = json!({"path": "f", "num_parts": 1}).to_string();
    let answer = stranger.json(Method::POST, &format!("/api/2.0/mlflow-artifacts/mpu/create/{}", owners.run()), &body).await;
    assert_eq!(answer.status, 403);
}

async fn a_refusal_arrives_though_the_client_still_sends(server: Server) {
    let admin = server.admin().await;
    let owners = Owners::of(&admin, "refusals").await;
    let viewer = server.as_("viewer").await.http();
    let answer = viewer.send(Method::PUT, &format!("{STORE}/{}/large", owners.run()), &[], &vec![7; 40 * 1024 * 1024]).await;
    assert_eq!((answer.status.as_u16(), answer.error_code().as_str()), (403, "PERMISSION_DENIED"));
}
