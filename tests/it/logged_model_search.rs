//! How logged models are found: filters, data sets, orders and pages.

use stagegate::contract::v1;
use tonic::{Code, Status};

use crate::house::{Client, Server};
use crate::logged_models::{create, delete, experiment, finalize, log, param, point, refused, run, tag};

on_both_engines! {
    models_are_found_by_what_they_hold,
    pages_follow_the_order,
}

/// The names of the models that a search finds, in its order.
async fn names(client: &Client, request: v1::SearchLoggedModelsRequest) -> Result<Vec<String>, Status> {
    let found: v1::SearchLoggedModelsResponse = client.call("SearchLoggedModels", request).await?;
    Ok(found.models.into_iter().map(|model| model.info.expect("info").name).collect())
}

fn search(experiment_id: &str, filter: &str) -> v1::SearchLoggedModelsRequest {
    v1::SearchLoggedModelsRequest { experiment_ids: vec![experiment_id.to_owned()], filter: filter.to_owned(), ..Default::default() }
}

/// Three models of a run: `one` to `three`, with metrics on two data sets.
async fn three(admin: &Client) -> (String, String, Vec<String>) {
    let experiment_id = experiment(admin, "search").await;
    let run_id = run(admin, &experiment_id).await;
    let mut ids = Vec::new();
    for (name, alpha) in [("one", "1"), ("two", "2"), ("three", "3")] {
        let request = v1::CreateLoggedModelRequest {
            experiment_id: experiment_id.clone(),
            name: Some(name.to_owned()),
            model_type: if name == "three" { "agent".to_owned() } else { String::new() },
            source_run_id: if name == "one" { String::new() } else { run_id.clone() },
            params: vec![param("alpha", alpha)],
            tags: vec![tag("Team a", name)],
            ..Default::default()
        };
        ids.push(create(admin, request).await.expect("a model").info.expect("info").model_id);
        // So that no two are of the same millisecond.
        tokio::time::sleep(std::time::Duration::from_millis(3)).await;
    }
    let points = vec![
        point("acc", 0.9, 1, &ids[0], "train"),
        point("acc", 0.6, 1, &ids[0], "test"),
        point("acc", 0.8, 1, &ids[1], "train"),
        point("acc", 0.1, 2, &ids[1], "train"),
        point("acc", f64::NAN, 1, &ids[2], "test"),
    ];
    log(admin, &run_id, points).await.expect("logged");
    finalize(admin, &ids[1], v1::LoggedModelStatus::Ready).await.expect("ready");
    (experiment_id, run_id, ids)
}

async fn models_are_found_by_what_they_hold(server: Server) {
    let admin = server.admin().await;
    let (experiment_id, run_id, ids) = three(&admin).await;
    for (filter, found) in [
        ("", &["three", "two", "one"][..]),
        ("name = 'two'", &["two"]),
        ("name LIKE 't%' AND model_type != 'agent'", &["two"]),
        ("attributes.name IN ('one', 'three')", &["three", "one"]),
        (&format!("model_id = '{}'", ids[0]), &["one"]),
        (&format!("source_run_id = '{run_id}'"), &["three", "two"]),
        ("source_run_id != 'x'", &["three", "two"]),
        (&format!("artifact_location LIKE '%/models/{}/artifacts'", ids[2]), &["three"]),
        ("status = 'READY'", &["two"]),
        ("status NOT IN ('READY')", &["three", "one"]),
        ("status = 'NO SUCH'", &[]),
        ("creation_timestamp > 0 AND last_updated_timestamp_ms > 1.5", &["three", "two", "one"]),
        ("creation_time = 0", &[]),
        (&format!("experiment_id = '{experiment_id}'"), &["three", "two", "one"]),
        ("params.alpha = '2'", &["two"]),
        ("params.alpha IN ('1', '3')", &["three", "one"]),
        ("params.beta != '2'", &[]),
        ("tags.`Team a` ILIKE 'T%'", &["three", "two"]),
        // Any point counts, as in MLflow; NaN is no number.
        ("metrics.acc > 0.05", &["two", "one"]),
        ("metrics.acc > 0.5", &["two", "one"]),
        ("metrics.acc != 0.1", &["three", "two", "one"]),
        ("metrics.acc < 0.95 AND metrics.acc > 0.85", &["one"]),
        ("metrics.`no such` < 1", &[]),
    ] {
        assert_eq!(names(&admin, search(&experiment_id, filter)).await.expect(filter), found, "{filter}");
    }
    let on =
        |dataset: &str, digest: &str| v1::LoggedModelDatasetFilter { dataset_name: dataset.to_owned(), dataset_digest: digest.to_owned() };
    for (datasets, filter, found) in [
        (vec![on("test", "")], "", &["three", "one"][..]),
        (vec![on("test", "test-1")], "", &["three", "one"]),
        (vec![on("test", "other")], "", &[]),
        (vec![on("train", ""), on("test", "")], "", &["three", "two", "one"]),
        (vec![on("train", "train-1")], "metrics.acc > 0.8", &["one"]),
        (vec![on("test", "test-1")], "metrics.acc > 0.8", &[]),
        (vec![on("test", "test-1")], "metrics.acc < 0.8", &["one"]),
    ] {
        let request = v1::SearchLoggedModelsRequest { datasets: datasets.clone(), ..search(&experiment_id, filter) };
        assert_eq!(names(&admin, request).await.expect(filter), found, "{datasets:?} {filter}");
    }
    for (filter, says) in [
        ("flavor = 'x'", "there is no attribute \"flavor\""),
        ("metric.acc > 1", "no type of name \"metric\""),
        ("params.alpha IS NULL", "the operators of this name"),
        ("status = READY", "quotes"),
    ] {
        refused(names(&admin, search(&experiment_id, filter)).await, Code::InvalidArgument, says);
    }
    let request = v1::SearchLoggedModelsRequest { datasets: vec![on("", "d")], ..search(&experiment_id, "") };
    refused(names(&admin, request).await, Code::InvalidArgument, "datasets[0].dataset_name");
    let nowhere = v1::SearchLoggedModelsRequest::default();
    assert_eq!(names(&admin, nowhere).await.expect("an empty answer"), Vec::<String>::new());
    delete(&admin, &ids[1]).await.expect("deleted");
    assert_eq!(names(&admin, search(&experiment_id, "")).await.expect("found"), ["three", "one"]);
}

async fn pages_follow_the_order(server: Server) {
    let admin = server.admin().await;
    let (experiment_id, _, _) = three(&admin).await;
    let by = |field_name: &str, ascending, dataset: &str| v1::LoggedModelOrderBy {
        field_name: field_name.to_owned(),
        ascending,
        dataset_name: dataset.to_owned(),
        dataset_digest: String::new(),
    };
    for (order, expected) in [
        (by("creation_timestamp", None, ""), ["one", "two", "three"]),
        (by("name", Some(false), ""), ["two", "three", "one"]),
        (by("source_run_id", Some(true), ""), ["three", "two", "one"]),
        // NaN behind all numbers, whichever way.
        (by("metrics.acc", Some(true), ""), ["two", "one", "three"]),
        (by("metrics.acc", Some(false), ""), ["one", "two", "three"]),
        (by("metrics.acc", Some(false), "train"), ["one", "two", "three"]),
        (by("metrics.acc", Some(true), "test"), ["one", "three", "two"]),
    ] {
        let mut request = v1::SearchLoggedModelsRequest { order_by: vec![order.clone()], max_results: 1, ..search(&experiment_id, "") };
        let mut walked = Vec::new();
        loop {
            let found: v1::SearchLoggedModelsResponse = admin.call("SearchLoggedModels", request.clone()).await.expect("a page");
            walked.extend(found.models.into_iter().map(|model| model.info.expect("info").name));
            if found.next_page_token.is_empty() {
                break;
            }
            request.page_token = found.next_page_token;
        }
        assert_eq!(walked, expected, "{order:?}");
        let other = v1::SearchLoggedModelsRequest { filter: "name != ''".to_owned(), page_token: "x".to_owned(), ..request };
        refused(names(&admin, other).await, Code::InvalidArgument, "page_token");
    }
    for (order, says) in [
        (by("no_such", None, ""), "order_by[0].field_name"),
        (by("params.alpha", None, ""), "such as metrics.rmse"),
        (v1::LoggedModelOrderBy { dataset_digest: "d".to_owned(), ..by("metrics.acc", None, "") }, "needs a `dataset_name`"),
    ] {
        let request = v1::SearchLoggedModelsRequest { order_by: vec![order], ..search(&experiment_id, "") };
        refused(names(&admin, request).await, Code::InvalidArgument, says);
    }
}
