//! Logged models from outside: their life, what is logged to them, the search, and versions made of them.

use sea_orm::ConnectionTrait;
use stagegate::contract::v1;
use tonic::{Code, Status};

use crate::house::{Client, Server};

on_both_engines! {
    a_model_lives_from_pending_to_deleted,
    params_stay_and_tags_change,
    points_about_a_model_show_there,
    whoever_reads_a_model_logs_about_it_to_their_own_run,
    runs_tell_what_they_used_and_made,
    versions_are_made_of_models,
    older_clients_keep_a_history,
}

pub(crate) async fn experiment(client: &Client, name: &str) -> String {
    let request = v1::CreateExperimentRequest { name: name.to_owned(), ..Default::default() };
    let answer: v1::CreateExperimentResponse = client.call("CreateExperiment", request).await.expect("an experiment");
    answer.experiment_id
}

pub(crate) async fn run(client: &Client, experiment_id: &str) -> String {
    let request = v1::CreateRunRequest { experiment_id: experiment_id.to_owned(), ..Default::default() };
    let answer: v1::CreateRunResponse = client.call("CreateRun", request).await.expect("a run");
    answer.run.and_then(|run| run.info).expect("a run").run_id
}

pub(crate) async fn create(client: &Client, request: v1::CreateLoggedModelRequest) -> Result<v1::LoggedModel, Status> {
    let answer: v1::CreateLoggedModelResponse = client.call("CreateLoggedModel", request).await?;
    Ok(answer.model.expect("a model"))
}

/// A new model's id.
pub(crate) async fn model(client: &Client, experiment_id: &str, name: &str, source_run_id: &str) -> String {
    let request = v1::CreateLoggedModelRequest {
        experiment_id: experiment_id.to_owned(),
        name: Some(name.to_owned()),
        source_run_id: source_run_id.to_owned(),
        ..Default::default()
    };
    create(client, request).await.expect("a model").info.expect("info").model_id
}

pub(crate) async fn get(client: &Client, model_id: &str) -> Result<v1::LoggedModel, Status> {
    let request = v1::GetLoggedModelRequest { model_id: model_id.to_owned(), allow_deleted: false };
    let answer: v1::GetLoggedModelResponse = client.call("GetLoggedModel", request).await?;
    Ok(answer.model.expect("a model"))
}

pub(crate) async fn finalize(client: &Client, model_id: &str, status: v1::LoggedModelStatus) -> Result<v1::LoggedModel, Status> {
    let request = v1::FinalizeLoggedModelRequest { model_id: model_id.to_owned(), status: status.into() };
    let answer: v1::FinalizeLoggedModelResponse = client.call("FinalizeLoggedModel", request).await?;
    Ok(answer.model.expect("a model"))
}

pub(crate) async fn delete(client: &Client, model_id: &str) -> Result<(), Status> {
    let request = v1::DeleteLoggedModelRequest { model_id: model_id.to_owned() };
    client.call("DeleteLoggedModel", request).await.map(|_: v1::DeleteLoggedModelResponse| ())
}

pub(crate) async fn log(client: &Client, run_id: &str, metrics: Vec<v1::Metric>) -> Result<(), Status> {
    let request = v1::LogBatchRequest { run_id: run_id.to_owned(), metrics, ..Default::default() };
    client.call("LogBatch", request).await.map(|_: v1::LogBatchResponse| ())
}

/// A point about a model on a data set.
pub(crate) fn point(key: &str, value: f64, step: i64, model_id: &str, dataset: &str) -> v1::Metric {
    v1::Metric {
        key: key.to_owned(),
        value: Some(value),
        timestamp: Some(1_000 + step),
        step,
        model_id: model_id.to_owned(),
        dataset_name: dataset.to_owned(),
        dataset_digest: if dataset.is_empty() { String::new() } else { format!("{dataset}-1") },
        run_id: String::new(),
        logged_by: String::new(),
    }
}

pub(crate) fn tag(key: &str, value: &str) -> v1::Tag {
    v1::Tag { key: key.to_owned(), value: value.to_owned() }
}

pub(crate) fn param(key: &str, value: &str) -> v1::Param {
    v1::Param { key: key.to_owned(), value: value.to_owned() }
}

#[track_caller]
pub(crate) fn refused<T>(outcome: Result<T, Status>, code: Code, says: &str) {
    let status = outcome.err().expect("refused");
    assert!(status.code() == code && status.message().contains(says), "{status:?}");
}

async fn a_model_lives_from_pending_to_deleted(server: Server) {
    let admin = server.admin().await;
    let experiment_id = experiment(&admin, "e").await;
    let run_id = run(&admin, &experiment_id).await;
    let request = v1::CreateLoggedModelRequest {
        experiment_id: experiment_id.clone(),
        name: Some("enet".to_owned()),
        model_type: "regressor".to_owned(),
        source_run_id: run_id.clone(),
        params: vec![param("alpha", "0.5")],
        tags: vec![tag("team", "a"), tag("team", "b")],
        idempotency_key: Some("once".to_owned()),
    };
    let made = create(&admin, request.clone()).await.expect("a model");
    assert_eq!(create(&admin, request.clone()).await.expect("the same"), made, "a retry gets the first answer");
    let info = made.info.clone().expect("info");
    assert!(info.model_id.len() == 34 && info.model_id.starts_with("m-"), "{}", info.model_id);
    assert_eq!(info.artifact_uri, format!("mlflow-artifacts:/{experiment_id}/models/{}/artifacts", info.model_id));
    assert_eq!((info.name.as_str(), info.model_type.as_str(), info.source_run_id.as_str()), ("enet", "regressor", run_id.as_str()));
    assert_eq!((info.status(), info.created_by.as_str()), (v1::LoggedModelStatus::Pending, "admin"));
    assert_eq!(info.tags, [tag("team", "b")], "of equal keys the last one counts");
    assert_eq!(get(&admin, &info.model_id).await.expect("it is there"), made);

    refused(finalize(&admin, &info.model_id, v1::LoggedModelStatus::Unspecified).await, Code::InvalidArgument, "LOGGED_MODEL_READY");
    let ready = finalize(&admin, &info.model_id, v1::LoggedModelStatus::Ready).await.expect("finalized").info.expect("info");
    assert!(ready.status() == v1::LoggedModelStatus::Ready && ready.last_updated_timestamp_ms >= info.creation_timestamp_ms);

    let unnamed = create(&admin, v1::CreateLoggedModelRequest { experiment_id: experiment_id.clone(), ..Default::default() }).await;
    assert!(!unnamed.expect("a model").info.expect("info").name.is_empty(), "a name is generated");
    for bad in ["", " ", "a/b", "a:b", "a.b", "50%", "it's", "\"q\"", &"n".repeat(501)] {
        let request = v1::CreateLoggedModelRequest { name: Some(bad.to_owned()), ..request.clone() };
        refused(create(&admin, request).await, Code::InvalidArgument, "name");
    }
    let lost = v1::CreateLoggedModelRequest { source_run_id: "f".repeat(32), idempotency_key: None, ..request.clone() };
    refused(create(&admin, lost).await, Code::NotFound, "run");

    delete(&admin, &info.model_id).await.expect("deleted");
    delete(&admin, &info.model_id).await.expect("twice is no error");
    refused(get(&admin, &info.model_id).await, Code::NotFound, "logged model");
    refused(finalize(&admin, &info.model_id, v1::LoggedModelStatus::Ready).await, Code::NotFound, "logged model");
    refused(delete(&admin, &format!("m-{}", "0".repeat(32))).await, Code::NotFound, "logged model");
    let request = v1::GetLoggedModelRequest { model_id: info.model_id.clone(), allow_deleted: true };
    let answer: v1::GetLoggedModelResponse = admin.call("GetLoggedModel", request).await.expect("deleted ones on demand");
    assert_eq!(answer.model.and_then(|model| model.info).expect("info").lifecycle_stage(), v1::LifecycleStage::Deleted);
    let sql = server.sql().await;
    let text = format!("SELECT action FROM ledger_entries WHERE object_kind = 'logged_model' AND object_id = '{}'", info.model_id);
    let rows = sql.query_all_raw(sea_orm::Statement::from_string(sql.get_database_backend(), text)).await.expect("the ledger");
    let mut actions: Vec<String> = rows.iter().map(|row| row.try_get_by_index(0).expect("a text")).collect();
    actions.iter_mut().for_each(|action| *action = action.rsplit('/').next().unwrap_or_default().to_owned());
    actions.sort_unstable();
    assert_eq!(actions, ["CreateLoggedModel", "DeleteLoggedModel", "FinalizeLoggedModel"], "each change of its life is one row");

    let request = v1::DeleteExperimentRequest { experiment_id: experiment_id.clone() };
    let _: v1::DeleteExperimentResponse = admin.call("DeleteExperiment", request).await.expect("deleted");
    let request = v1::CreateLoggedModelRequest { experiment_id, ..Default::default() };
    refused(create(&admin, request).await, Code::FailedPrecondition, "deleted");
}

async fn params_stay_and_tags_change(server: Server) {
    let admin = server.admin().await;
    let model_id = model(&admin, "0", "m", "").await;
    let params = |params: Vec<v1::Param>| async {
        let request = v1::LogLoggedModelParamsRequest { model_id: model_id.clone(), params };
        admin.call("LogLoggedModelParams", request).await.map(|_: v1::LogLoggedModelParamsResponse| ())
    };
    let many = |value: &str| (0..100).map(|n| param(&format!("p{n:02}"), value)).collect::<Vec<_>>();
    params(many("v")).await.expect("as many as one call takes");
    params(many("v")).await.expect("the same again is no error");
    params(vec![param("long", &"x".repeat(65_535))]).await.expect("a long one");
    refused(params(vec![param("new", "1"), param("p07", "other")]).await, Code::InvalidArgument, "params[1].value");
    refused(params(vec![param("a", "1"), param("a", "1")]).await, Code::InvalidArgument, "params[1].key");
    let set = |tags: Vec<v1::Tag>| async {
        let request = v1::SetLoggedModelTagsRequest { model_id: model_id.clone(), tags };
        admin.call("SetLoggedModelTags", request).await.map(|_: v1::SetLoggedModelTagsResponse| ())
    };
    set(vec![tag("a", "1"), tag("b", "1"), tag("a", "2")]).await.expect("set");
    set(vec![tag("b", "3")]).await.expect("set");
    let unset = |key: &str| {
        let request = v1::DeleteLoggedModelTagRequest { model_id: model_id.clone(), tag_key: key.to_owned() };
        async { admin.call("DeleteLoggedModelTag", request).await.map(|_: v1::DeleteLoggedModelTagResponse| ()) }
    };
    let shown = get(&admin, &model_id).await.expect("there");
    assert_eq!(shown.info.expect("info").tags, [tag("a", "2"), tag("b", "3")]);
    assert_eq!(shown.data.expect("data").params.len(), 101, "nothing of what was refused is stored");
    unset("a").await.expect("deleted");
    refused(unset("a").await, Code::NotFound, "tag");
    assert_eq!(get(&admin, &model_id).await.expect("there").info.expect("info").tags, [tag("b", "3")]);
}

async fn points_about_a_model_show_there(server: Server) {
    let admin = server.admin().await;
    let run_id = run(&admin, "0").await;
    let model_id = model(&admin, "0", "m", &run_id).await;
    let points = vec![
        point("acc", 0.5, 1, &model_id, "train"),
        point("acc", 0.9, 3, &model_id, "train"),
        point("acc", 0.7, 2, &model_id, "train"),
        point("acc", 0.4, 1, &model_id, "test"),
        point("acc", 0.3, 9, &model_id, ""),
        point("nan", f64::NAN, 0, &model_id, ""),
        point("own", 1.0, 0, "", "ignored"),
    ];
    log(&admin, &run_id, points.clone()).await.expect("logged");
    log(&admin, &run_id, points).await.expect("again is no error");
    log(&admin, &run_id, vec![point("acc", 0.1, 2, &model_id, "train")]).await.expect("an earlier one");
    let request = v1::LogMetricRequest {
        run_id: run_id.clone(),
        key: "acc".to_owned(),
        value: Some(0.6),
        timestamp: Some(5),
        step: 4,
        model_id: model_id.clone(),
        dataset_name: "test".to_owned(),
        dataset_digest: "test-1".to_owned(),
        ..Default::default()
    };
    let _: v1::LogMetricResponse = admin.call("LogMetric", request.clone()).await.expect("one alone");

    let metrics = get(&admin, &model_id).await.expect("there").data.expect("data").metrics;
    let mut shown: Vec<_> = metrics.iter().map(|m| (m.key.as_str(), m.dataset_name.as_str(), m.value().to_string(), m.step)).collect();
    shown.sort();
    let expected = [
        ("acc", "", "0.3", 9),
        ("acc", "test", "0.4", 1),
        ("acc", "test", "0.6", 4),
        ("acc", "train", "0.1", 2),
        ("acc", "train", "0.5", 1),
        ("acc", "train", "0.7", 2),
        ("acc", "train", "0.9", 3),
        ("nan", "", "NaN", 0),
    ];
    assert_eq!(shown, expected.map(|(k, d, v, s)| (k, d, v.to_owned(), s)), "every point, each once");
    assert!(metrics.iter().all(|metric| metric.model_id == model_id && metric.run_id == run_id && metric.logged_by == "admin"));
    assert!(metrics.iter().filter(|metric| metric.dataset_name == "test").all(|metric| metric.dataset_digest == "test-1"));

    let unknown = format!("m-{}", "0".repeat(32));
    let mixed = vec![point("fresh", 1.0, 0, "", ""), point("fresh", 2.0, 1, &unknown, "")];
    refused(log(&admin, &run_id, mixed).await, Code::InvalidArgument, "metrics[1].model_id: there is no logged model");
    let one = v1::LogMetricRequest { model_id: unknown, key: "fresh".to_owned(), ..request.clone() };
    let outcome: Result<v1::LogMetricResponse, _> = admin.call("LogMetric", one).await;
    refused(outcome, Code::InvalidArgument, "model_id: there is no logged model");
    let history = |key: &str| {
        let request = v1::GetMetricHistoryRequest { run_id: run_id.clone(), metric_key: key.to_owned(), ..Default::default() };
        async { admin.call("GetMetricHistory", request).await.map(|found: v1::GetMetricHistoryResponse| found.metrics) }
    };
    assert_eq!(history("fresh").await.expect("an answer"), [], "all or nothing");
    let all = history("acc").await.expect("an answer");
    assert!(all.len() == 7 && all.iter().all(|point| point.model_id.is_empty() && point.dataset_name.is_empty()), "{all:?}");
    assert_eq!(history("own").await.expect("an answer").len(), 1);

    delete(&admin, &model_id).await.expect("deleted");
    let outcome: Result<v1::LogMetricResponse, _> = admin.call("LogMetric", request).await;
    refused(outcome, Code::InvalidArgument, "model_id");
}

async fn whoever_reads_a_model_logs_about_it_to_their_own_run(server: Server) {
    let (ann, ben) = (server.as_("data_scientist").await, server.as_("data_scientist").await);
    let stranger = server.as_("").await;
    let (run_of_ann, run_of_ben) = (run(&ann, "0").await, run(&ben, "0").await);
    let model_of_ann = model(&ann, "0", "m", &run_of_ann).await;
    log(&ann, &run_of_ann, vec![point("acc", 0.5, 0, &model_of_ann, "")]).await.expect("her own");
    refused(log(&ben, &run_of_ann, vec![point("acc", 1.0, 0, &model_of_ann, "")]).await, Code::PermissionDenied, "runs.edit");
    log(&ben, &run_of_ben, vec![point("acc", 0.9, 7, &model_of_ann, "")]).await.expect("an evaluation of what he may read");
    refused(log(&stranger, &run_of_ben, vec![point("acc", 1.0, 0, &model_of_ann, "")]).await, Code::PermissionDenied, "runs.edit");
    refused(finalize(&ben, &model_of_ann, v1::LoggedModelStatus::Ready).await, Code::PermissionDenied, "runs.edit");
    let metrics = get(&ben, &model_of_ann).await.expect("he may read it").data.expect("data").metrics;
    let shown: Vec<_> = metrics.iter().map(|m| (m.value(), m.run_id.as_str(), m.logged_by.as_str())).collect();
    let (of_ann, of_ben) = ((0.5, run_of_ann.as_str(), ann.user_name.as_str()), (0.9, run_of_ben.as_str(), ben.user_name.as_str()));
    assert_eq!(shown.len(), 2);
    assert!(shown.contains(&of_ann) && shown.contains(&of_ben), "each with its run and who logged it: {shown:?}");

    let unknown = format!("m-{}", "0".repeat(32));
    let without_ids = |outcome: Result<v1::LoggedModel, Status>, id: &str| outcome.expect_err("refused").message().replace(id, "…");
    let present = without_ids(get(&stranger, &model_of_ann).await, &model_of_ann);
    assert_eq!(present, without_ids(get(&stranger, &unknown).await, &unknown), "a refusal does not tell whether it is there");
    let request = v1::SearchLoggedModelsRequest { experiment_ids: vec!["0".to_owned()], ..Default::default() };
    let found: v1::SearchLoggedModelsResponse = stranger.call("SearchLoggedModels", request).await.expect("an answer");
    assert_eq!(found.models, []);
    // To use a model, or to claim to have made it, one must be able to read it.
    let secret = experiment(&ann, "secret").await;
    let hidden = model(&ann, &secret, "m", "").await;
    deny_reading(&server.admin().await, &ben, &secret).await;
    let outputs = vec![v1::ModelOutput { model_id: hidden.clone(), step: 0 }];
    let outcome: Result<v1::LogOutputsResponse, _> =
        ben.call("LogOutputs", v1::LogOutputsRequest { run_id: run_of_ben.clone(), models: outputs }).await;
    refused(outcome, Code::NotFound, "does not exist");
    let inputs = |model_id: String| v1::LogInputsRequest {
        run_id: run_of_ben.clone(),
        models: vec![v1::ModelInput { model_id }],
        ..Default::default()
    };
    let outcome: Result<v1::LogInputsResponse, _> = ben.call("LogInputs", inputs(hidden)).await;
    refused(outcome, Code::NotFound, "does not exist");
    let _: v1::LogInputsResponse = ben.call("LogInputs", inputs(model_of_ann)).await.expect("what he may read he may use");
    let source_run_id = run(&ann, &secret).await;
    let request = v1::CreateLoggedModelRequest { experiment_id: "0".to_owned(), source_run_id, ..Default::default() };
    refused(create(&ben, request).await, Code::NotFound, "does not exist");
}

pub(crate) async fn deny_reading(admin: &Client, user: &Client, experiment_id: &str) {
    let deny = v1::CreateGrantRequest {
        principal: Some(v1::Principal { principal: Some(v1::principal::Principal::UserName(user.user_name.clone())) }),
        persona: "viewer".to_owned(),
        scope: Some(v1::Scope { scope: Some(v1::scope::Scope::ExperimentId(experiment_id.to_owned())) }),
        effect: v1::GrantEffect::Deny.into(),
        ..Default::default()
    };
    let _: v1::CreateGrantResponse = admin.call("CreateGrant", deny).await.expect("a grant");
}

async fn runs_tell_what_they_used_and_made(server: Server) {
    let admin = server.admin().await;
    let run_id = run(&admin, "0").await;
    let ids = [model(&admin, "0", "a", &run_id).await, model(&admin, "0", "b", "").await];
    let outputs = |models: Vec<(&str, i64)>| {
        let models = models.into_iter().map(|(id, step)| v1::ModelOutput { model_id: id.to_owned(), step }).collect();
        let request = v1::LogOutputsRequest { run_id: run_id.clone(), models };
        async { admin.call("LogOutputs", request).await.map(|_: v1::LogOutputsResponse| ()) }
    };
    outputs(vec![(&ids[0], 3)]).await.expect("recorded");
    outputs(vec![(&ids[0], 3)]).await.expect("the same again is no error: clients repeat calls whose answer was lost");
    refused(outputs(vec![(&ids[1], 0), (&ids[0], 4)]).await, Code::AlreadyExists, &ids[0]);
    refused(outputs(vec![]).await, Code::InvalidArgument, "models");
    refused(outputs(vec![(&ids[1], 1), (&ids[1], 2)]).await, Code::InvalidArgument, "models[1].model_id");
    refused(outputs(vec![("m-unknown", 1)]).await, Code::NotFound, "m-unknown");
    let inputs = |models: &[&str]| {
        let models = models.iter().map(|id| v1::ModelInput { model_id: (*id).to_owned() }).collect();
        let dataset = v1::Dataset {
            name: "d".to_owned(),
            digest: "1".to_owned(),
            source_type: "local".to_owned(),
            source: "s".to_owned(),
            ..Default::default()
        };
        let datasets = vec![v1::DatasetInput { tags: vec![tag("mlflow.data.context", "train")], dataset: Some(dataset) }];
        let request = v1::LogInputsRequest { run_id: run_id.clone(), datasets, models };
        async { admin.call("LogInputs", request).await.map(|_: v1::LogInputsResponse| ()) }
    };
    inputs(&[&ids[1], &ids[1]]).await.expect("recorded");
    inputs(&[&ids[1]]).await.expect("the same again is no error");
    refused(inputs(&["m-unknown"]).await, Code::NotFound, "m-unknown");
    let request = v1::GetRunRequest { run_id: run_id.clone(), ..Default::default() };
    let got: v1::GetRunResponse = admin.call("GetRun", request).await.expect("the run");
    let request = v1::SearchRunsRequest { experiment_ids: vec!["0".to_owned()], ..Default::default() };
    let found: v1::SearchRunsResponse = admin.call("SearchRuns", request).await.expect("the run");
    for run in [got.run.expect("the run"), found.runs.into_iter().next().expect("the run")] {
        let (inputs, outputs) = (run.inputs.expect("inputs"), run.outputs.expect("outputs"));
        assert_eq!(inputs.model_inputs, [v1::ModelInput { model_id: ids[1].clone() }]);
        assert_eq!(outputs.model_outputs, [v1::ModelOutput { model_id: ids[0].clone(), step: 3 }], "what was refused is not there");
        assert_eq!(inputs.dataset_inputs.len(), 1);
    }
    let request = v1::SearchDatasetsRequest { experiment_ids: vec!["0".to_owned()] };
    let answer: v1::SearchDatasetsResponse = admin.call("SearchDatasets", request.clone()).await.expect("data sets");
    let summary =
        v1::DatasetSummary { experiment_id: "0".to_owned(), name: "d".to_owned(), digest: "1".to_owned(), context: "train".to_owned() };
    assert_eq!(answer.dataset_summaries, [summary]);
    let hidden: v1::SearchDatasetsResponse = server.as_("").await.call("SearchDatasets", request).await.expect("an answer");
    assert_eq!(hidden.dataset_summaries, []);
    let outcome: Result<v1::SearchDatasetsResponse, _> = admin.call("SearchDatasets", v1::SearchDatasetsRequest::default()).await;
    refused(outcome, Code::InvalidArgument, "experiment_ids");
}

pub(crate) async fn version(client: &Client, request: v1::CreateModelVersionRequest) -> Result<v1::ModelVersion, Status> {
    let answer: v1::CreateModelVersionResponse = client.call("CreateModelVersion", request).await?;
    Ok(answer.model_version.expect("a version"))
}

async fn versions_are_made_of_models(server: Server) {
    let admin = server.admin().await;
    let (run_id, other_run) = (run(&admin, "0").await, run(&admin, "0").await);
    let model_id = model(&admin, "0", "m", &run_id).await;
    let registered = v1::CreateRegisteredModelRequest { name: "enet".to_owned(), ..Default::default() };
    let _: v1::CreateRegisteredModelResponse = admin.call("CreateRegisteredModel", registered).await.expect("a model");
    let request = v1::CreateModelVersionRequest {
        name: "enet".to_owned(),
        source: format!("models:/{model_id}"),
        model_id: model_id.clone(),
        ..Default::default()
    };
    refused(version(&admin, request.clone()).await, Code::FailedPrecondition, "has no file");
    let sql = server.sql().await;
    let file = format!(
        "INSERT INTO blobs (uid, size, sha256, chunks, created) VALUES ('b', 5, '{}', '', 1); \
         INSERT INTO logged_model_artifacts (model, path, blob_uid) SELECT id, 'MLmodel', 'b' FROM logged_models WHERE model_id = '{model_id}'",
        "a".repeat(64)
    );
    sql.execute_unprepared(&file).await.expect("a file");
    let made = version(&admin, request.clone()).await.expect("a version");
    assert_eq!((made.run_id.as_str(), made.model_id.as_str(), made.source_digest.len()), (run_id.as_str(), model_id.as_str(), 64));
    let artifacts = v1::CreateModelVersionRequest {
        source: format!("mlflow-artifacts:/0/models/{model_id}/artifacts"),
        model_id: String::new(),
        run_id: run_id.clone(),
        ..request.clone()
    };
    let again = version(&admin, artifacts).await.expect("the other address");
    assert_eq!((again.source_digest, again.model_id.as_str()), (made.source_digest, model_id.as_str()));
    let copy = v1::CreateModelVersionRequest { source: "models:/enet/1".to_owned(), model_id: String::new(), ..request.clone() };
    assert_eq!(version(&admin, copy).await.expect("a copy").model_id, model_id, "a copy comes from the same model");
    let note = get(&admin, &model_id).await.expect("there").info.expect("info").tags;
    let versions = r#"[{"name":"enet","version":1},{"name":"enet","version":2},{"name":"enet","version":3}]"#;
    assert_eq!(note, [tag("mlflow.modelVersions", versions)]);

    let unrelated = model(&admin, "0", "m", &other_run).await;
    for (changed, says) in [
        (v1::CreateModelVersionRequest { run_id: other_run.clone(), ..request.clone() }, "is not the run that made the logged model"),
        (v1::CreateModelVersionRequest { model_id: unrelated.clone(), ..request.clone() }, "is not the logged model"),
        (
            v1::CreateModelVersionRequest { model_id: unrelated, source: "models:/enet/1".to_owned(), ..request.clone() },
            "is not the logged model",
        ),
    ] {
        refused(version(&admin, changed).await, Code::InvalidArgument, says);
    }
    let scientist = server.as_("data_scientist").await;
    deny_reading(&admin, &scientist, "0").await;
    refused(version(&scientist, request.clone()).await, Code::NotFound, "does not exist");
    let by_source = v1::CreateModelVersionRequest { model_id: String::new(), ..request };
    refused(version(&scientist, by_source).await, Code::NotFound, "does not exist");

    let to = v1::TransitionModelVersionStageRequest {
        name: "enet".to_owned(),
        version: "1".to_owned(),
        stage: "Production".to_owned(),
        ..Default::default()
    };
    let _: v1::TransitionModelVersionStageResponse = admin.call("TransitionModelVersionStage", to).await.expect("promoted");
    refused(delete(&admin, &model_id).await, Code::FailedPrecondition, "holds Production");
}

async fn older_clients_keep_a_history(server: Server) {
    let admin = server.admin().await;
    let run_id = run(&admin, "0").await;
    let record = |json: &str| {
        let request = v1::RecordLoggedModelRequest { run_id: run_id.clone(), model_json: json.to_owned() };
        async { admin.call("RecordLoggedModel", request).await.map(|_: v1::RecordLoggedModelResponse| ()) }
    };
    let json = r#"{"run_id":"r","artifact_path":"m","utc_time_created":"now","flavors":{"spark":{}}}"#;
    record(json).await.expect("recorded");
    record(json).await.expect("recorded");
    refused(record("{}").await, Code::InvalidArgument, "artifact_path");
    let request = v1::GetRunRequest { run_id: run_id.clone(), ..Default::default() };
    let got: v1::GetRunResponse = admin.call("GetRun", request).await.expect("the run");
    let tags = got.run.and_then(|run| run.data).expect("data").tags;
    let one = r#"{"artifact_path":"m","flavors":{"spark":{}},"run_id":"r","utc_time_created":"now"}"#;
    assert!(tags.contains(&tag("mlflow.log-model.history", &format!("[{one},{one}]"))), "{tags:?}");
}
