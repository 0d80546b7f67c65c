//! Purging: what was deleted goes for good with its bytes, and what others rest on stays.

use sea_orm::ConnectionTrait;
use serde_json::json;
use stagegate::contract::v1;
use tonic::{Code, Status};

use crate::house::files::{Owners, STORE};
use crate::house::{Client, Http, Server};
use crate::promotion::refused;

on_both_engines! {
    a_deleted_run_goes_with_all_that_it_logged,
    what_a_version_rests_on_stays,
    a_deleted_version_loses_its_bytes_and_keeps_its_place,
    an_experiment_goes_with_its_runs_grants_and_name,
    one_call_removes_what_was_deleted_a_while_ago,
    rows_that_stay_stay_whatever_is_written,
    nobody_but_admins_purges,
}

async fn put(http: &Http, path: &str, bytes: &[u8]) {
    let answer = http.send(http::Method::PUT, &format!("{STORE}/{path}"), &[], bytes).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// Bytes in the artifact store.
fn stored(server: &Server) -> u64 {
    fn walk(folder: &std::path::Path) -> u64 {
        let entries = std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.expect("an entry"));
        entries
            .map(|entry| match entry.metadata().expect("metadata") {
                about if about.is_dir() => walk(&entry.path()),
                // The marker of the store is none of its files.
                _ if entry.file_name().to_string_lossy().starts_with("stagegate") => 0,
                about => about.len(),
            })
            .sum()
    }
    walk(&server.folder().join("artifacts"))
}

async fn count(server: &Server, query: &str) -> i64 {
    let sql = server.sql().await;
    let row = sql.query_one_raw(sea_orm::Statement::from_string(sql.get_database_backend(), query)).await.expect("an answer");
    row.expect("a row").try_get_by_index(0).expect("a number")
}

async fn purge_run(who: &Client, run_id: &str) -> Result<v1::Purged, Status> {
    let answer: v1::PurgeRunResponse = who.call("PurgeRun", v1::PurgeRunRequest { run_id: run_id.to_owned() }).await?;
    Ok(answer.purged.expect("is answered"))
}

async fn delete_run(who: &Client, run_id: &str) {
    let _: v1::DeleteRunResponse = who.call("DeleteRun", v1::DeleteRunRequest { run_id: run_id.to_owned() }).await.expect("is deleted");
}

async fn delete_model(who: &Client, model_id: &str) {
    let request = v1::DeleteLoggedModelRequest { model_id: model_id.to_owned() };
    let _: v1::DeleteLoggedModelResponse = who.call("DeleteLoggedModel", request).await.expect("is deleted");
}

/// Metrics in many steps, params, tags and a data set of a run.
async fn logged(http: &Http, run_id: &str, points: usize) {
    for first in (0..points).step_by(1_000) {
        let metrics: Vec<_> = (first..points.min(first + 1_000))
            .map(|step| json!({"key": format!("m{}", step % 3), "value": 1.5, "step": step, "timestamp": 1}))
            .collect();
        let answer = http.post("runs/log-batch", &json!({"run_id": run_id, "metrics": metrics})).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let batch = json!({"run_id": run_id, "params": [{"key": "p", "value": "1"}], "tags": [{"key": "t", "value": "1"}]});
    assert_eq!(http.post("runs/log-batch", &batch).await.status, 200);
    let inputs = json!({"run_id": run_id, "datasets": [{"dataset": {"name": "d", "digest": "x", "source_type": "local", "source": "s"}, "tags": [{"key": "mlflow.data.context", "value": "training"}]}]});
    assert_eq!(http.post("runs/log-inputs", &inputs).await.status, 200);
}

async fn sound(server: &Server) {
    let (sound, said) = server.command(&["ledger", "verify", "--state"]);
    assert!(sound, "{said}");
}

async fn a_deleted_run_goes_with_all_that_it_logged(server: Server) {
    let admin = server.admin().await;
    let (http, owners) = (admin.http(), Owners::of(&admin, "runs").await);
    logged(&http, &owners.run_id, 2_500).await;
    put(&http, &format!("{}/a/b", owners.run()), &[7; 5_000]).await;
    put(&http, &format!("{}/c", owners.run()), &[8; 300]).await;
    refused(purge_run(&admin, &owners.run_id).await, Code::FailedPrecondition, "is not deleted; delete it first");
    delete_run(&admin, &owners.run_id).await;
    let before = stored(&server);
    let purged = purge_run(&admin, &owners.run_id).await.expect("is deleted");
    assert_eq!((purged.runs, purged.files, purged.freed_bytes), (1, 2, 5_300), "{purged:?}");
    assert_eq!(before - stored(&server), 5_300);
    assert_eq!(http.get(&format!("runs/get?run_id={}", owners.run_id)).await.status, 404);
    refused(purge_run(&admin, &owners.run_id).await, Code::NotFound, "does not exist");
    for table in
        ["metrics", "latest_metrics", "params", "run_tags", "run_inputs", "run_input_tags", "run_artifacts", "runs", "purged_runs", "blobs"]
    {
        assert_eq!(count(&server, &format!("SELECT COUNT(*) FROM {table}")).await, 0, "{table}");
    }
    let rows = "SELECT COUNT(*) FROM ledger_entries WHERE action LIKE '%/PurgeRun' AND outcome = 'OK'";
    assert_eq!(count(&server, rows).await, 1);
    // Another run may take the name, and all else goes on.
    assert_eq!(http.post("runs/create", &json!({"experiment_id": owners.experiment_id})).await.status, 200);
    sound(&server).await;
}

async fn what_a_version_rests_on_stays(server: Server) {
    let admin = server.admin().await;
    let (http, owners) = (admin.http(), Owners::of(&admin, "sources").await);
    put(&http, &format!("{}/model/MLmodel", owners.run()), b"approved").await;
    crate::house::files::version(&http, "fraud", &owners.run_id, "model").await;
    delete_run(&admin, &owners.run_id).await;
    refused(purge_run(&admin, &owners.run_id).await, Code::FailedPrecondition, "version 1 of \"fraud\" was made of the run");
    let gone = http.json(http::Method::DELETE, "/api/2.0/mlflow/model-versions/delete", r#"{"name": "fraud", "version": "1"}"#).await;
    assert_eq!(gone.status, 200, "{gone:?}");
    // It was never promoted: nothing rests on the run any more. Its bytes are those of the version as well.
    let purged = purge_run(&admin, &owners.run_id).await.expect("nobody needs it");
    assert_eq!((purged.runs, purged.files, purged.freed_bytes), (1, 1, 0));
    // One that was promoted under a gate keeps its run, even when it is deleted.
    let second = Owners::of(&admin, "promoted").await;
    put(&http, &format!("{}/model/MLmodel", second.run()), b"promoted").await;
    crate::house::files::version(&http, "kept", &second.run_id, "model").await;
    for stage in ["Production", "Archived"] {
        let body = json!({"name": "kept", "version": "1", "stage": stage});
        assert_eq!(http.post("model-versions/transition-stage", &body).await.status, 200);
    }
    let gone = http.json(http::Method::DELETE, "/api/2.0/mlflow/model-versions/delete", r#"{"name": "kept", "version": "1"}"#).await;
    assert_eq!(gone.status, 200, "{gone:?}");
    delete_run(&admin, &second.run_id).await;
    refused(purge_run(&admin, &second.run_id).await, Code::FailedPrecondition, "was asked for or moved under a gate");
    let request = v1::PurgeModelVersionRequest { name: "kept".to_owned(), version: "1".to_owned() };
    refused(admin.call::<_, v1::PurgeModelVersionResponse>("PurgeModelVersion", request).await, Code::FailedPrecondition, "under a gate");
    let request = v1::DeleteExperimentRequest { experiment_id: second.experiment_id.clone() };
    let _: v1::DeleteExperimentResponse = admin.call("DeleteExperiment", request).await.expect("is deleted");
    let request = v1::PurgeExperimentRequest { experiment_id: second.experiment_id.clone() };
    refused(
        admin.call::<_, v1::PurgeExperimentResponse>("PurgeExperiment", request).await,
        Code::FailedPrecondition,
        "asked for or moved under a gate",
    );
    // A logged model that is there keeps the run that made it.
    let third = Owners::of(&admin, "models").await;
    let body = json!({"experiment_id": third.experiment_id, "source_run_id": third.run_id});
    let model_id = http.post("logged-models", &body).await.json()["model"]["info"]["model_id"].as_str().expect("an id").to_owned();
    delete_run(&admin, &third.run_id).await;
    refused(purge_run(&admin, &third.run_id).await, Code::FailedPrecondition, "made the logged model");
    delete_model(&admin, &model_id).await;
    let purged = purge_run(&admin, &third.run_id).await.expect("both are deleted");
    assert_eq!((purged.runs, purged.logged_models), (1, 1));
    sound(&server).await;
}

async fn a_deleted_version_loses_its_bytes_and_keeps_its_place(server: Server) {
    let admin = server.admin().await;
    let (http, owners) = (admin.http(), Owners::of(&admin, "versions").await);
    put(&http, &format!("{}/model/MLmodel", owners.run()), &[1; 4_000]).await;
    let root = crate::house::files::version(&http, "toy", &owners.run_id, "model").await;
    http.send(http::Method::DELETE, &format!("{STORE}/{}/model/MLmodel", owners.run()), &[], b"").await;
    let purge = async || {
        let request = v1::PurgeModelVersionRequest { name: "toy".to_owned(), version: "1".to_owned() };
        admin.call::<_, v1::PurgeModelVersionResponse>("PurgeModelVersion", request).await.map(|answer| answer.purged.expect("is answered"))
    };
    refused(purge().await, Code::FailedPrecondition, "is not deleted");
    let gone = http.json(http::Method::DELETE, "/api/2.0/mlflow/model-versions/delete", r#"{"name": "toy", "version": "1"}"#).await;
    assert_eq!(gone.status, 200, "{gone:?}");
    let before = stored(&server);
    let purged = purge().await.expect("is deleted");
    assert_eq!((purged.model_versions, purged.files, purged.freed_bytes), (1, 1, 4_000), "{purged:?}");
    assert_eq!(before - stored(&server), 4_000);
    assert_eq!(purge().await.expect("once more").files, 0);
    assert_eq!(http.send(http::Method::GET, &format!("{STORE}{root}/MLmodel"), &[], b"").await.status, 404);
    // The number is not given again.
    let body = json!({"name": "toy", "source": "s3://bucket/x"});
    assert_eq!(http.post("model-versions/create", &body).await.json()["model_version"]["version"], "2");
    let gone = http.json(http::Method::DELETE, "/api/2.0/mlflow/registered-models/delete", r#"{"name": "toy"}"#).await;
    assert_eq!(gone.status, 200, "{gone:?}");
    let models = async |name: &str| {
        let request = v1::PurgeRegisteredModelRequest { name: name.to_owned() };
        admin.call::<_, v1::PurgeRegisteredModelResponse>("PurgeRegisteredModel", request).await
    };
    assert_eq!(models("toy").await.expect("is deleted").purged.expect("is answered").model_versions, 1);
    let rows = "SELECT COUNT(*) FROM ledger_entries WHERE action LIKE '%/PurgeRegisteredModel' AND outcome = 'OK'";
    let before = count(&server, rows).await;
    assert_eq!(models("toy").await.expect("once more").purged, Some(v1::Purged::default()));
    assert_eq!(count(&server, rows).await, before, "what went has its row already");
    // One version that was promoted keeps no other one's bytes.
    for folder in ["model", "second"] {
        put(&http, &format!("{}/{folder}/MLmodel", owners.run()), &[2; 600]).await;
        crate::house::files::version(&http, "mixed", &owners.run_id, folder).await;
    }
    for stage in ["Production", "Archived"] {
        let body = json!({"name": "mixed", "version": "1", "stage": stage});
        assert_eq!(http.post("model-versions/transition-stage", &body).await.status, 200);
    }
    let gone = http.json(http::Method::DELETE, "/api/2.0/mlflow/registered-models/delete", r#"{"name": "mixed"}"#).await;
    assert_eq!(gone.status, 200, "{gone:?}");
    let mixed = models("mixed").await.expect("what may go goes");
    assert_eq!((mixed.purged.expect("is answered").model_versions, mixed.kept), (1, 1));
    refused(models("nobody").await, Code::NotFound, "does not exist");
    sound(&server).await;
}

async fn an_experiment_goes_with_its_runs_grants_and_name(server: Server) {
    let admin = server.admin().await;
    let (http, owners) = (admin.http(), Owners::of(&admin, "whole").await);
    let user = server.as_("").await;
    let request = v1::CreateGrantRequest {
        principal: Some(v1::Principal { principal: Some(v1::principal::Principal::UserName(user.user_name.clone())) }),
        persona: "viewer".to_owned(),
        scope: Some(v1::Scope { scope: Some(v1::scope::Scope::ExperimentId(owners.experiment_id.clone())) }),
        effect: v1::GrantEffect::Allow.into(),
        ..Default::default()
    };
    let _: v1::CreateGrantResponse = admin.call("CreateGrant", request).await.expect("a grant");
    for run in 0..250 {
        let answer = http.post("runs/create", &json!({"experiment_id": owners.experiment_id, "run_name": format!("r{run}")})).await;
        assert_eq!(answer.status, 200);
    }
    put(&http, &format!("{}/file", owners.model()), &[3; 700]).await;
    let purge = async || {
        let request = v1::PurgeExperimentRequest { experiment_id: owners.experiment_id.clone() };
        admin.call::<_, v1::PurgeExperimentResponse>("PurgeExperiment", request).await.map(|answer| answer.purged.expect("is answered"))
    };
    refused(purge().await, Code::FailedPrecondition, "is not deleted");
    assert_eq!(http.post("experiments/delete", &json!({"experiment_id": owners.experiment_id})).await.status, 200);
    let taken = http.post("experiments/create", &json!({"name": "whole"})).await;
    assert!(taken.message().contains("restore or purge it"), "{}", taken.message());
    let purged = purge().await.expect("is deleted");
    assert_eq!((purged.experiments, purged.runs, purged.logged_models, purged.freed_bytes), (1, 251, 1, 700), "{purged:?}");
    refused(purge().await, Code::NotFound, "does not exist");
    assert_eq!(http.post("experiments/create", &json!({"name": "whole"})).await.status, 200);
    assert_eq!(count(&server, "SELECT COUNT(*) FROM grants WHERE scope_kind = 'EXPERIMENT'").await, 0);
    assert_eq!(http.post("experiments/delete", &json!({"experiment_id": "0"})).await.status, 200);
    let request = v1::PurgeExperimentRequest { experiment_id: "0".to_owned() };
    refused(
        admin.call::<_, v1::PurgeExperimentResponse>("PurgeExperiment", request).await,
        Code::FailedPrecondition,
        "the experiment 0 stays",
    );
    sound(&server).await;
}

async fn purge_deleted(who: &Client, older_than_ms: i64, dry_run: bool) -> v1::PurgeDeletedResponse {
    let request = v1::PurgeDeletedRequest { older_than_ms: Some(older_than_ms), dry_run, ..Default::default() };
    who.call("PurgeDeleted", request).await.expect("is done")
}

async fn one_call_removes_what_was_deleted_a_while_ago(server: Server) {
    let admin = server.admin().await;
    let (http, owners) = (admin.http(), Owners::of(&admin, "collected").await);
    put(&http, &format!("{}/file", owners.run()), &[3; 700]).await;
    put(&http, &format!("{}/model/MLmodel", owners.run()), b"approved").await;
    crate::house::files::version(&http, "fraud", &owners.run_id, "model").await;
    let others = Owners::of(&admin, "others").await;
    put(&http, &format!("{}/file", others.run()), &[4; 900]).await;
    logged(&http, &others.run_id, 10).await;
    for run_id in [&owners.run_id, &others.run_id] {
        delete_run(&admin, run_id).await;
    }
    delete_model(&admin, &others.model_id).await;
    let request = v1::PurgeDeletedRequest { dry_run: true, ..Default::default() };
    refused(admin.call::<_, v1::PurgeDeletedResponse>("PurgeDeleted", request).await, Code::InvalidArgument, "older_than_ms: is required");
    let young = purge_deleted(&admin, 3_600_000, false).await;
    assert_eq!((young.purged, young.kept, young.more), (Some(v1::Purged::default()), 0, false));
    // What a dry run tells is what the call does: a run that made a live logged model, experiments with what is in them.
    let third = Owners::of(&admin, "third").await;
    let body = json!({"experiment_id": third.experiment_id, "source_run_id": third.run_id});
    assert_eq!(http.post("logged-models", &body).await.status, 200);
    delete_run(&admin, &third.run_id).await;
    let whole = Owners::of(&admin, "whole").await;
    for id in [whole.experiment_id.as_str(), "0"] {
        assert_eq!(http.post("experiments/delete", &json!({"experiment_id": id})).await.status, 200);
    }
    let dry = purge_deleted(&admin, 0, true).await;
    let would = dry.purged.expect("is answered");
    assert_eq!((would.experiments, would.runs, would.logged_models, dry.kept), (1, 2, 2, 3), "{would:?}");
    assert_eq!(http.get(&format!("runs/get?run_id={}", others.run_id)).await.status, 200, "a dry run removes nothing");
    let done = purge_deleted(&admin, 0, false).await;
    let purged = done.purged.expect("is answered");
    let counts = (purged.experiments, purged.runs, purged.logged_models, purged.files, purged.freed_bytes, done.kept);
    assert_eq!(counts, (1, 2, 2, 1, 900, 3), "{purged:?}");
    assert!(done.kept_reason.contains("the experiment 0 stays"), "{}", done.kept_reason);
    assert_eq!(http.post("experiments/delete", &json!({"experiment_id": others.experiment_id})).await.status, 200);
    let request =
        v1::PurgeDeletedRequest { older_than_ms: Some(0), experiment_ids: vec![owners.experiment_id.clone()], ..Default::default() };
    let within: v1::PurgeDeletedResponse = admin.call("PurgeDeleted", request).await.expect("is done");
    assert_eq!((within.purged.expect("is answered").experiments, within.kept), (0, 1), "the other experiment is not asked for");
    assert_eq!(purge_deleted(&admin, 0, false).await.purged.expect("is answered").experiments, 1);
    sound(&server).await;
}

/// What triggers keep of versions, bytes and imports, against plain SQL.
async fn rows_that_stay_stay_whatever_is_written(server: Server) {
    let admin = server.admin().await;
    let (http, owners) = (admin.http(), Owners::of(&admin, "sql").await);
    put(&http, &format!("{}/model/MLmodel", owners.run()), b"approved").await;
    for name in ["live", "gated"] {
        crate::house::files::version(&http, name, &owners.run_id, "model").await;
    }
    for stage in ["Production", "None"] {
        let body = json!({"name": "gated", "version": "1", "stage": stage});
        assert_eq!(http.post("model-versions/transition-stage", &body).await.status, 200);
    }
    let gone = http.json(http::Method::DELETE, "/api/2.0/mlflow/model-versions/delete", r#"{"name": "gated", "version": "1"}"#).await;
    assert_eq!(gone.status, 200, "{gone:?}");
    let sql = server.sql().await;
    for (statement, by) in [
        ("UPDATE model_versions SET purged = 1 WHERE deleted IS NULL", "model_versions_purged"),
        ("UPDATE model_versions SET purged = 1 WHERE deleted IS NOT NULL", "model_versions_purged"),
        ("UPDATE model_versions SET deleted = 1, purged = 1 WHERE deleted IS NULL", "model_versions_purged"),
        ("DELETE FROM version_artifacts", "version_artifacts_kept"),
        ("DELETE FROM model_versions", "model_versions_kept"),
        ("DELETE FROM blobs", "kept"),
    ] {
        let refused = sql.execute_unprepared(statement).await.expect_err(statement).to_string();
        assert!(refused.contains(by), "{statement}: {refused}");
    }
}

async fn nobody_but_admins_purges(server: Server) {
    let admin = server.admin().await;
    let owners = Owners::of(&admin, "rights").await;
    delete_run(&admin, &owners.run_id).await;
    for persona in ["ml_engineer", "manager", "data_scientist"] {
        let who = server.as_(persona).await;
        refused(purge_run(&who, &owners.run_id).await, Code::PermissionDenied, "experiments.purge");
        let request = v1::PurgeDeletedRequest { older_than_ms: Some(0), ..Default::default() };
        let purged = who.call::<_, v1::PurgeDeletedResponse>("PurgeDeleted", request).await;
        refused(purged, Code::PermissionDenied, "experiments.purge");
    }
    let request = v1::CreateRegisteredModelRequest { name: "gone".to_owned(), ..Default::default() };
    let _: v1::CreateRegisteredModelResponse = admin.call("CreateRegisteredModel", request).await.expect("a model");
    let request = v1::DeleteRegisteredModelRequest { name: "gone".to_owned() };
    let _: v1::DeleteRegisteredModelResponse = admin.call("DeleteRegisteredModel", request).await.expect("is deleted");
    let request = || v1::PurgeRegisteredModelRequest { name: "gone".to_owned() };
    let engineer = server.as_("ml_engineer").await;
    let purge = async |who: &Client| who.call::<_, v1::PurgeRegisteredModelResponse>("PurgeRegisteredModel", request()).await;
    refused(purge(&engineer).await, Code::PermissionDenied, "models.purge");
    refused(purge(&server.as_("").await).await, Code::NotFound, "does not exist");
    let _: v1::PurgeRegisteredModelResponse = admin.call("PurgeRegisteredModel", request()).await.expect("an admin may");
    purge_run(&admin, &owners.run_id).await.expect("an admin may");
}
