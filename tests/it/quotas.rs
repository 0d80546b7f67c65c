//! Quotas: what one user may store in a day, whatever the operation, and what everybody else may do meanwhile.

use sea_orm::{ConnectionTrait, Statement};
use stagegate::contract::v1;
use stagegate::domain::ledger::text_sha256;
use tonic::{Code, Status};

use crate::house::{Client, Db, Server};

on_both_engines! {
    rows_of_the_ledger_are_limited,
    bytes_of_the_database_are_limited,
    bytes_of_artifacts_are_limited,
    a_tag_that_is_changed_400_times_costs_little,
}

async fn tag(client: &Client, value: String) -> Result<(), Status> {
    let request = v1::SetRegisteredModelTagRequest { name: "m".to_owned(), key: "k".to_owned(), value };
    client.call::<_, v1::SetRegisteredModelTagResponse>("SetRegisteredModelTag", request).await.map(|_| ())
}

async fn model(client: &Client) {
    let request = v1::CreateRegisteredModelRequest { name: "m".to_owned(), ..Default::default() };
    let _: v1::CreateRegisteredModelResponse = client.call("CreateRegisteredModel", request).await.expect("a model can be made");
}

/// Refused, with the setting in words; over REST the status that says so.
fn over(outcome: Result<(), Status>, setting: &str) {
    let status = outcome.expect_err("the quota is used up");
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert!(status.message().contains(setting) && status.message().contains("UTC"), "{}", status.message());
}

async fn rows_of_the_ledger_are_limited(mut server: Server) {
    let (ann, max) = (server.as_("ml_engineer").await, server.as_("ml_engineer").await);
    model(&ann).await;
    assert!(server.stop().success());
    // The row of the model counts, written at the stop of the server before.
    server.restart_with(&[("STAGEGATE_QUOTA_LEDGER_ROWS", "5")]);
    let (ann, max) = (server.moved(&ann), server.moved(&max));
    for number in 0..4 {
        tag(&ann, format!("{number}")).await.expect("within the quota");
    }
    over(tag(&ann, "5".to_owned()).await, "--quota-ledger-rows allows 5");
    let body = serde_json::json!({"name": "m", "key": "k", "value": "v"});
    let answer = ann.http().post("registered-models/set-tag", &body).await;
    // MLflow's clients would try again for minutes on a 429, and a day does not end by that.
    assert_eq!((answer.status.as_u16(), answer.error_code().as_str()), (403, "RESOURCE_LIMIT_EXCEEDED"), "{}", answer.message());
    // She still reads, and ends her tokens; others are not concerned.
    let read = v1::GetRegisteredModelRequest { name: "m".to_owned() };
    let read: v1::GetRegisteredModelResponse = ann.call("GetRegisteredModel", read).await.expect("reading is free");
    assert_eq!(read.registered_model.expect("a model").tags[0].value, "3", "what was refused changed nothing");
    tag(&max, "of max".to_owned()).await.expect("another principal");
    assert!(server.stop().success());
    server.restart();
    tag(&server.moved(&ann), "again".to_owned()).await.expect("within the default");
}

async fn bytes_of_the_database_are_limited(mut server: Server) {
    let ann = server.as_("ml_engineer").await;
    model(&ann).await;
    assert!(server.stop().success());
    server.restart_with(&[("STAGEGATE_QUOTA_DATABASE_BYTES", "300KB")]);
    let ann = server.moved(&ann);
    for number in 0..4 {
        tag(&ann, number.to_string().repeat(90_000)).await.expect("the quota is not yet used up");
    }
    over(tag(&ann, "5".to_owned()).await, "--quota-database-bytes allows 300000");
    // Tracking counts as well.
    let request = v1::CreateRunRequest { experiment_id: "0".to_owned(), ..Default::default() };
    over(ann.call::<_, v1::CreateRunResponse>("CreateRun", request).await.map(|_| ()), "--quota-database-bytes");
}

async fn bytes_of_artifacts_are_limited(mut server: Server) {
    let ann = server.as_("data_scientist").await;
    let request = v1::CreateRunRequest { experiment_id: "0".to_owned(), ..Default::default() };
    let run: v1::CreateRunResponse = ann.call("CreateRun", request).await.expect("a run");
    let run_id = run.run.and_then(|run| run.info).expect("a run has an id").run_id;
    assert!(server.stop().success());
    server.restart_with(&[("STAGEGATE_QUOTA_ARTIFACT_BYTES", "1000")]);
    let ann = server.moved(&ann);
    let upload = async |path: &str, bytes: usize| {
        let header = Some(v1::UploadArtifactHeader { run_id: run_id.clone(), path: path.to_owned(), ..Default::default() });
        let request = v1::UploadArtifactRequest { header, chunk: vec![b'x'; bytes].into() };
        ann.call::<_, v1::UploadArtifactResponse>("UploadArtifact", request).await.map(|_| ())
    };
    upload("a", 600).await.expect("within the quota");
    upload("b", 600).await.expect("what has begun within the quota is taken");
    over(upload("c", 1).await, "--quota-artifact-bytes allows 1000");
}

/// It was 41 MB of ledger for good.
async fn a_tag_that_is_changed_400_times_costs_little(mut server: Server) {
    let ann = server.as_("ml_engineer").await;
    model(&ann).await;
    let texts = ["a".repeat(100_000), "b".repeat(100_000)];
    for number in 0..400 {
        tag(&ann, texts[number % 2].clone()).await.expect("within the quota");
    }
    let sql = server.sql().await;
    let count =
        "SELECT CAST(SUM(LENGTH(payload)) AS BIGINT), (SELECT CAST(SUM(LENGTH(text)) AS BIGINT) FROM ledger_texts) FROM ledger_entries";
    let row = sql.query_one_raw(Statement::from_string(sql.get_database_backend(), count)).await.expect("SQL").expect("a row");
    let (payloads, beside): (i64, i64) = (row.try_get_by_index(0).expect("a sum"), row.try_get_by_index(1).expect("a sum"));
    println!("400 changes of a tag of 100,000 characters: {payloads} bytes of payloads, {beside} beside them");
    assert!(payloads < 200_000 && beside == 200_000, "{payloads} {beside}");
    // An auditor finds the text; the ledger is sound with it, and not without.
    let auditor = server.as_("auditor").await;
    let sha256 = text_sha256(&texts[0]);
    let found: v1::GetLedgerTextResponse =
        auditor.call("GetLedgerText", v1::GetLedgerTextRequest { sha256: sha256.clone() }).await.expect("the text is there");
    assert_eq!(found.text, texts[0]);
    let missing = v1::GetLedgerTextRequest { sha256: "0".repeat(64) };
    let missing = auditor.call::<_, v1::GetLedgerTextResponse>("GetLedgerText", missing).await.expect_err("no such text");
    assert_eq!(missing.code(), Code::NotFound);
    assert!(server.stop().success());
    let (sound, said) = server.command(&["ledger", "verify"]);
    assert!(sound, "{said}");
    if server.db == Db::Sqlite {
        sql.execute_unprepared("DROP TRIGGER ledger_texts_no_update").await.expect("an attacker may");
    } else {
        sql.execute_unprepared("ALTER TABLE ledger_texts DISABLE TRIGGER ALL").await.expect("an attacker may");
    }
    sql.execute_unprepared(&format!("UPDATE ledger_texts SET text = 'other' WHERE sha256 = '{sha256}'")).await.expect("SQL");
    let (sound, said) = server.command(&["ledger", "verify"]);
    assert!(!sound && said.contains("was changed"), "{said}");
}
