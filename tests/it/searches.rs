//! Searches with much in them, and with letters beyond ASCII: alike on both engines.

use std::time::Instant;

use serde_json::{Value, json};

use crate::house::{Http, Server};

on_both_engines! {
    all_experiments_are_searched_at_once,
    a_filter_lists_as_many_runs_as_a_client_compares,
    ilike_disregards_case_of_every_letter,
    a_name_is_found_however_it_is_composed,
}

async fn run(http: &Http, experiment: &Value, tags: Value) -> String {
    let made = http.post("runs/create", &json!({"experiment_id": experiment, "tags": tags})).await;
    made.json()["run"]["info"]["run_id"].as_str().expect("a run").to_owned()
}

async fn found(http: &Http, path: &str, body: Value) -> Vec<Value> {
    let answer = http.post(path, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.message());
    let list = if path.starts_with("runs") {
        "runs"
    } else if path.starts_with("logged") {
        "models"
    } else {
        "experiments"
    };
    answer.json()[list].as_array().cloned().unwrap_or_default()
}

async fn all_experiments_are_searched_at_once(server: Server) {
    let http = server.as_("data_scientist").await.http();
    let mut runs = Vec::new();
    for name in ["one", "two"] {
        let experiment = http.post("experiments/create", &json!({"name": name})).await.json()["experiment_id"].clone();
        runs.push(run(&http, &experiment, json!([])).await);
        let model = http.post("logged-models", &json!({"experiment_id": experiment, "name": name})).await;
        assert_eq!(model.status, 200, "{}", model.message());
    }
    let few: Vec<String> = (0..10).map(|id| id.to_string()).collect();
    let all: Vec<String> = (0..50_000).map(|id| id.to_string()).collect();
    for (path, field) in [("runs/search", "experiment_ids"), ("logged-models/search", "experiment_ids")] {
        let mut times = Vec::new();
        for ids in [&few, &all] {
            let begun = Instant::now();
            assert_eq!(found(&http, path, json!({field: ids})).await.len(), 2, "{path}");
            times.push(begun.elapsed());
        }
        println!("{path}: 10 experiments {:?}, 50,000 {:?}", times[0], times[1]);
        // Pages go on with the same list.
        let first = http.post(path, &json!({field: all, "max_results": 1})).await.json();
        let token = first["next_page_token"].clone();
        assert!(token.as_str().is_some_and(|token| token.len() < 1_000), "{token}");
        assert_eq!(found(&http, path, json!({field: all, "max_results": 1, "page_token": token})).await.len(), 1);
        let more: Vec<String> = (0..50_001).map(|id| id.to_string()).collect();
        let refused = http.post(path, &json!({field: more})).await;
        assert_eq!(refused.status, 400);
        assert!(refused.message().starts_with("experiment_ids: has 50001 items; at most 50000"), "{}", refused.message());
    }
}

async fn a_filter_lists_as_many_runs_as_a_client_compares(server: Server) {
    let http = server.admin().await.http();
    let mut ids = vec![run(&http, &json!("0"), json!([])).await, run(&http, &json!("0"), json!([])).await];
    ids.extend((0..898).map(|number| format!("{number:032x}")));
    let list = ids.iter().map(|id| format!("'{id}'")).collect::<Vec<_>>().join(",");
    let search = |filter: String| json!({"experiment_ids": ["0"], "filter": filter});
    assert_eq!(found(&http, "runs/search", search(format!("attributes.run_id IN ({list})"))).await.len(), 2);
    assert_eq!(found(&http, "runs/search", search(format!("run_id IN ({list}) AND run_id NOT IN ('{}')", ids[0]))).await.len(), 1);
    let long = format!("tags.t = '{}'", "汉".repeat(40_000));
    assert_eq!(found(&http, "runs/search", search(long)).await.len(), 0, "a value may be as long as it is kept");
    let longer = http.post("runs/search", &search(format!("tags.t = '{}'", "汉".repeat(44_000)))).await;
    assert!(longer.status == 400 && longer.message().contains("at most 131072"), "{}", longer.message());
}

async fn ilike_disregards_case_of_every_letter(server: Server) {
    let http = server.admin().await.http();
    for (tag, texts) in [
        ("greek", &["ΜΟΝΤΈΛΟ ΣΑΣ", "μοντέλο"][..]),
        ("german", &["GRÖẞE", "größe"]),
        ("russian", &["МОДЕЛЬ bert"]),
        ("signs", &["50% [x] (a|b) ^$ \\ *?.{2}"]),
    ] {
        for text in texts {
            run(&http, &json!("0"), json!([{"key": tag, "value": text}])).await;
        }
    }
    for (filter, expected) in [
        ("tags.greek ILIKE 'μοντέλο%'", 2),
        ("tags.greek ILIKE '%σας'", 1),
        ("tags.greek LIKE 'μοντέλο%'", 1),
        ("tags.german ILIKE 'größe'", 2),
        ("tags.german ILIKE 'GR_ßE'", 2),
        ("tags.german ILIKE 'GRÖSSE'", 0),
        ("tags.russian ILIKE 'модель BERT'", 1),
        ("tags.russian ILIKE 'модель'", 0),
        ("tags.signs ILIKE '50% [X] (A|B) ^$ \\ *?.{2}'", 1),
        ("tags.signs ILIKE '50_ [_] (a|b%'", 1),
        ("tags.signs ILIKE '%.'", 0),
        ("tags.signs ILIKE '%*%'", 1),
        ("tags.signs ILIKE '[5]0%'", 0),
        ("tags.signs ILIKE ''", 0),
    ] {
        let runs = found(&http, "runs/search", json!({"experiment_ids": ["0"], "filter": filter})).await;
        assert_eq!(runs.len(), expected, "{filter}");
    }
}

async fn a_name_is_found_however_it_is_composed(server: Server) {
    let http = server.admin().await.http();
    let (composed, taken_apart) = ("Köln ﬁnal", "Ko\u{308}ln final");
    for (path, search, list) in [
        ("experiments/create", "experiments/search", "experiments"),
        ("registered-models/create", "registered-models/search", "registered_models"),
    ] {
        let made = http.post(path, &json!({"name": composed})).await;
        assert_eq!(made.status, 200, "{}", made.message());
        for filter in [
            format!("name = '{composed}'"),
            format!("name = '{taken_apart}'"),
            "name LIKE 'Ko\u{308}ln%'".to_owned(),
            "name ILIKE 'ko\u{308}LN fi%'".to_owned(),
            format!("name != 'x' AND name LIKE '{}'", taken_apart.replace(' ', "_")),
        ] {
            let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("filter", &filter).finish();
            let answer = http.get(&format!("{search}?{query}")).await.json();
            let names: Vec<_> = answer[list].as_array().into_iter().flatten().map(|found| found["name"].clone()).collect();
            assert_eq!(names, [json!(composed)], "{search} {filter}");
        }
        let query =
            url::form_urlencoded::Serializer::new(String::new()).append_pair("filter", &format!("name != '{taken_apart}'")).finish();
        let answer = http.get(&format!("{search}?{query}")).await.json();
        assert!(!answer[list].as_array().into_iter().flatten().any(|found| found["name"] == composed), "{search}");
    }
}
