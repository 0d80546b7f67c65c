//! What people do with each other's logged models: evaluate them, register them, look at them.

use http::Method;
use stagegate::contract::v1;
use tonic::{Code, Status};

use crate::house::{Client, Server};
use crate::logged_models::{delete, deny_reading, experiment, get, log, model, point, refused, run, tag, version};

on_both_engines! {
    what_others_logged_about_a_model_is_no_evidence,
    a_run_that_may_not_be_read_does_not_show_through_a_model,
    a_version_that_is_noted_already_may_be_noted_by_its_registrar,
    a_name_of_a_run_leads_to_what_it_logged,
}

/// A version's evidence has what its own run logged, whatever others say about the logged model.
async fn what_others_logged_about_a_model_is_no_evidence(server: Server) {
    let (ann, ben) = (server.as_("data_scientist").await, server.as_("data_scientist").await);
    let run_of_ann = run(&ann, "0").await;
    let model_id = model(&ann, "0", "m", &run_of_ann).await;
    log(&ann, &run_of_ann, vec![point("acc", 0.5, 1, &model_id, "")]).await.expect("her own");
    log(&ben, &run(&ben, "0").await, vec![point("acc", 0.9, 9, &model_id, ""), point("recall", 1.0, 9, &model_id, "")]).await.expect("his");
    upload(&ann, &model_id).await;
    let _: v1::CreateRegisteredModelResponse = ann
        .call("CreateRegisteredModel", v1::CreateRegisteredModelRequest { name: "m".to_owned(), ..Default::default() })
        .await
        .expect("a model");
    let request = v1::CreateModelVersionRequest { name: "m".to_owned(), source: format!("models:/{model_id}"), ..Default::default() };
    version(&ann, request).await.expect("a version");
    let file = v1::CreateTransitionRequestRequest {
        name: "m".to_owned(),
        version: "1".to_owned(),
        stage: "Production".to_owned(),
        comment: "please".to_owned(),
        ..Default::default()
    };
    let filed: v1::CreateTransitionRequestResponse = ann.call("CreateTransitionRequest", file).await.expect("filed");
    let request = v1::GetTransitionRequestRequest { request_id: filed.request.expect("a request").request_id };
    let read: v1::GetTransitionRequestResponse = ann.call("GetTransitionRequest", request).await.expect("readable");
    let candidate = read.evidence.expect("evidence").candidate.expect("the candidate");
    let metrics: Vec<_> = candidate.metrics.iter().map(|metric| (metric.key.as_str(), metric.value())).collect();
    assert_eq!(metrics, [("acc", 0.5)]);
}

/// Neither shown, nor found by a filter, nor seen in an order.
async fn a_run_that_may_not_be_read_does_not_show_through_a_model(server: Server) {
    let (ann, ben) = (server.as_("data_scientist").await, server.as_("data_scientist").await);
    let secret = experiment(&ann, "secret").await;
    let (open_run, secret_run) = (run(&ann, "0").await, run(&ann, &secret).await);
    let models = [model(&ann, "0", "one", &open_run).await, model(&ann, "0", "two", &open_run).await];
    for (index, model_id) in models.iter().enumerate() {
        let step = i64::try_from(index).expect("small");
        log(&ann, &open_run, vec![point("acc", 0.5, step, model_id, "open")]).await.expect("logged");
    }
    log(&ann, &secret_run, vec![point("acc", 0.9, 5, &models[1], "hidden")]).await.expect("logged");
    deny_reading(&server.admin().await, &ben, &secret).await;
    let search = |filter: &str, datasets: &[&str], ascending| v1::SearchLoggedModelsRequest {
        experiment_ids: vec!["0".to_owned()],
        filter: filter.to_owned(),
        datasets: datasets
            .iter()
            .map(|name| v1::LoggedModelDatasetFilter { dataset_name: (*name).to_owned(), ..Default::default() })
            .collect(),
        order_by: vec![
            v1::LoggedModelOrderBy { field_name: "metrics.acc".to_owned(), ascending: Some(ascending), ..Default::default() },
            v1::LoggedModelOrderBy { field_name: "name".to_owned(), ascending: Some(true), ..Default::default() },
        ],
        ..Default::default()
    };
    let found = async |client: &Client, request: v1::SearchLoggedModelsRequest| -> Vec<(String, Vec<f64>)> {
        let answer: v1::SearchLoggedModelsResponse = client.call("SearchLoggedModels", request).await.expect("an answer");
        let shown = |model: v1::LoggedModel| {
            let values = model.data.expect("data").metrics.iter().map(v1::Metric::value).collect();
            (model.info.expect("info").name, values)
        };
        answer.models.into_iter().map(shown).collect()
    };
    let one = || ("one".to_owned(), vec![0.5]);
    let (seen, unseen) = (("two".to_owned(), vec![0.5, 0.9]), ("two".to_owned(), vec![0.5]));
    for (client, two) in [(&ann, &seen), (&ben, &unseen)] {
        assert_eq!(get(client, &models[1]).await.expect("readable").data.expect("data").metrics.len(), two.1.len());
        let by_filter = found(client, search("metrics.acc > 0.8", &[], true)).await;
        assert_eq!(by_filter.len(), two.1.len() - 1);
        assert_eq!(found(client, search("", &["hidden"], true)).await.len(), two.1.len() - 1);
    }
    // Descending, the higher one comes first for who sees it; equal ones come by name.
    assert_eq!(found(&ann, search("", &[], false)).await, [seen, one()]);
    assert_eq!(found(&ben, search("", &[], false)).await, [one(), unseen]);
}

async fn upload(client: &Client, model_id: &str) {
    let path = format!("/api/2.0/mlflow-artifacts/artifacts/0/models/{model_id}/artifacts/MLmodel");
    let answer = client.http().send(Method::PUT, &path, &[], b"flavors: {}").await;
    assert_eq!(answer.status, 200, "{}", answer.message());
}

async fn a_version_that_is_noted_already_may_be_noted_by_its_registrar(server: Server) {
    let (ann, ben) = (server.as_("data_scientist").await, server.as_("data_scientist").await);
    let model_id = model(&ann, "0", "m", &run(&ann, "0").await).await;
    upload(&ann, &model_id).await;
    let create = v1::CreateRegisteredModelRequest { name: "of-ben".to_owned(), ..Default::default() };
    let _: v1::CreateRegisteredModelResponse = ben.call("CreateRegisteredModel", create).await.expect("a model");
    let request = v1::CreateModelVersionRequest { name: "of-ben".to_owned(), source: format!("models:/{model_id}"), ..Default::default() };
    version(&ben, request).await.expect("a version of what he may read");
    let set = async |client: &Client, tags: Vec<v1::Tag>| -> Result<v1::SetLoggedModelTagsResponse, Status> {
        client.call("SetLoggedModelTags", v1::SetLoggedModelTagsRequest { model_id: model_id.clone(), tags }).await
    };
    let key = "mlflow.modelVersions";
    // What mlflow 3.17 sends: what was there, and the new one once more.
    let sent = r#"[{"name": "of-ben", "version": 1}, {"name": "of-ben", "version": "1"}]"#;
    set(&ben, vec![tag(key, sent)]).await.expect("it says what is so");
    for other in [
        vec![tag(key, r#"[{"name": "of-ben", "version": 2}]"#)],
        vec![tag(key, r#"[{"name": "of-ben", "version": 1, "by": "x"}]"#)],
        vec![tag(key, "[]")],
        vec![tag(key, "")],
        vec![tag(key, sent), tag("other", "x")],
        vec![tag("other", "x")],
        vec![],
    ] {
        refused(set(&ben, other).await, Code::PermissionDenied, "runs.edit");
    }
    refused(set(&server.as_("").await, vec![tag(key, sent)]).await, Code::PermissionDenied, "experiments.read");
    let tags = get(&ann, &model_id).await.expect("there").info.expect("info").tags;
    assert_eq!(tags, [tag(key, r#"[{"name":"of-ben","version":1}]"#)], "nothing was changed");
    set(&ann, vec![tag("other", "x")]).await.expect("her own");
}

async fn a_name_of_a_run_leads_to_what_it_logged(server: Server) {
    let (ann, ben) = (server.as_("data_scientist").await, server.as_("data_scientist").await);
    let run_id = run(&ann, "0").await;
    let model_id = model(&ann, "0", "model", &run_id).await;
    upload(&ann, &model_id).await;
    let create = v1::CreateRegisteredModelRequest { name: "m".to_owned(), ..Default::default() };
    let _: v1::CreateRegisteredModelResponse = ben.call("CreateRegisteredModel", create).await.expect("a model");
    let of = |source: String| v1::CreateModelVersionRequest { name: "m".to_owned(), source, run_id: run_id.clone(), ..Default::default() };
    for source in [format!("runs:/{run_id}/model"), format!("mlflow-artifacts:/0/{run_id}/artifacts/model")] {
        let made = version(&ben, of(source)).await.expect("a version of what he may read");
        assert_eq!((made.model_id.as_str(), made.run_id.as_str()), (model_id.as_str(), run_id.as_str()));
        assert_ne!(made.source_digest, "unverified");
    }
    refused(version(&ben, of(format!("runs:/{run_id}/other"))).await, Code::FailedPrecondition, "has no file at \"other\"");
    let second = model(&ann, "0", "model", &run_id).await;
    upload(&ann, &second).await;
    let status = version(&ben, of(format!("runs:/{run_id}/model"))).await.expect_err("which one?");
    assert!(status.message().contains(&model_id) && status.message().contains(&second), "{status:?}");
    delete(&ann, &second).await.expect("deleted");
    version(&ben, of(format!("runs:/{run_id}/model"))).await.expect("one is left");
}
