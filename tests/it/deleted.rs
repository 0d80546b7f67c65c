//! What can be done about deleted things.

use std::time::Duration;

use http::{Method, header};
use serde_json::json;
use stagegate::contract::v1;

use crate::house::files::{Owners, STORE};
use crate::house::{Client, Http, Server};

on_both_engines! {
    files_of_a_deleted_run_can_be_deleted,
    the_name_of_a_deleted_experiment_is_told_to_be_that,
}

async fn put(http: &Http, place: &str) -> u16 {
    http.send(Method::PUT, &format!("{STORE}/{place}"), &[], b"bytes").await.status.as_u16()
}

async fn files_of_a_deleted_run_can_be_deleted(server: Server) {
    let admin = server.admin().await;
    let http = admin.http();
    let owners = Owners::of(&admin, "deleted").await;
    let (of_run, of_model) = (format!("{}/f.txt", owners.run()), format!("{}/f.txt", owners.model()));
    for place in [&of_run, &of_model] {
        assert_eq!(put(&http, place).await, 200, "{place}");
    }
    assert_eq!(http.post("runs/delete", &json!({"run_id": owners.run_id})).await.status, 200);
    let delete = v1::DeleteLoggedModelRequest { model_id: owners.model_id.clone() };
    let _: v1::DeleteLoggedModelResponse = admin.call("DeleteLoggedModel", delete).await.expect("deleted");
    for place in [&of_run, &of_model] {
        assert_eq!(put(&http, place).await, 400, "nothing is written any more");
        let others = server.as_("data_scientist").await.http();
        assert_eq!(others.send(Method::DELETE, &format!("{STORE}/{place}"), &[], b"").await.status, 403, "{place}");
        let gone = http.send(Method::DELETE, &format!("{STORE}/{place}"), &[], b"").await;
        assert_eq!(gone.status, 200, "{place}: {}", String::from_utf8_lossy(&gone.body));
        assert_eq!(http.send(Method::GET, &format!("{STORE}/{place}"), &[], b"").await.status, 404, "{place}");
    }
    // A row has its place a moment after it was written.
    for _ in 0..50 {
        if deletions(&admin).await == 2 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{} rows", deletions(&admin).await);
}

/// The rows of the ledger about files that were deleted.
async fn deletions(admin: &Client) -> usize {
    let action = "stagegate.mlflow.v1.MlflowArtifactsService/DeleteArtifactByPath".to_owned();
    let filter = Some(v1::LedgerFilter { action, outcome: v1::LedgerOutcome::Ok.into(), ..Default::default() });
    let request = v1::ListLedgerEntriesRequest { filter, ..Default::default() };
    let rows: v1::ListLedgerEntriesResponse = admin.call("ListLedgerEntries", request).await.expect("rows");
    rows.entries.len()
}

async fn the_name_of_a_deleted_experiment_is_told_to_be_that(server: Server) {
    let http = server.as_("data_scientist").await.http();
    let create = |name: &str| json!({"name": name});
    let made = http.post("experiments/create", &create("first")).await.json()["experiment_id"].clone();
    let other = http.post("experiments/create", &create("second")).await.json()["experiment_id"].clone();
    let there = http.post("experiments/create", &create("first")).await;
    assert_eq!((there.error_code().as_str(), there.message().as_str()), ("RESOURCE_ALREADY_EXISTS", "experiment \"first\" already exists"));
    assert_eq!(http.post("experiments/delete", &json!({"experiment_id": made})).await.status, 200);
    let told = "experiment \"first\" already exists, and is deleted: restore or purge it, or choose another name";
    for refused in [
        http.post("experiments/create", &create("first")).await,
        http.post("experiments/update", &json!({"experiment_id": other, "new_name": "first"})).await,
        http.send(
            Method::POST,
            "/api/2.0/mlflow/experiments/create",
            &[(header::CONTENT_TYPE, "application/json")],
            br#"{"name": "first"}"#,
        )
        .await,
    ] {
        assert_eq!((refused.error_code().as_str(), refused.message().as_str()), ("RESOURCE_ALREADY_EXISTS", told));
    }
    assert_eq!(http.post("experiments/restore", &json!({"experiment_id": made})).await.status, 200);
}
