//! What a caller may not know of looks as if it were not there: every operation that names an experiment, a model or what
//! is in them, over gRPC and REST, by somebody who may do everything but is denied these two.

use http::{Method, header};
use prost_reflect::Value;
use serde_json::{Map, Value as Json, json};
use stagegate::contract::{Clause, OPERATIONS, ObjectKind, Operation, Permission, v1};
use tonic::Code;

use crate::access_matrix::{World, answers, call, fields, text_without_names, without_names, world};
use crate::house::{Client, Http, Server};

on_both_engines! {
    hidden_and_missing_get_one_answer,
    what_may_be_read_is_refused_in_words,
    what_a_source_names_is_hidden_too,
    no_operation_tells_what_a_denied_run_logged,
}

async fn deny(admin: &Client, user: &str, persona: &str, scope: v1::scope::Scope) {
    let request = v1::CreateGrantRequest {
        principal: Some(v1::Principal { principal: Some(v1::principal::Principal::UserName(user.to_owned())) }),
        persona: persona.to_owned(),
        scope: Some(v1::Scope { scope: Some(scope) }),
        effect: v1::GrantEffect::Deny.into(),
        ..Default::default()
    };
    let _: v1::CreateGrantResponse = admin.call("CreateGrant", request).await.expect("a denial");
}

/// Whether an operation asks for something on one object in an experiment or model. Making one is another thing: its
/// name is free, or it is not.
fn looks_for_one(operation: &Operation) -> bool {
    let one = |clause: &Clause| {
        let elsewhere = matches!(clause.kind, ObjectKind::Server | ObjectKind::User | ObjectKind::Token);
        let makes = matches!(clause.permission, Permission::ModelsCreate | Permission::ExperimentsCreate);
        !clause.filtered && !elsewhere && !makes
    };
    operation.rule.clauses.iter().any(one)
}

/// A request over REST with nothing but the fields of the rule; what comes back, without names.
async fn rest(http: &Http, operation: &Operation, route: (&str, &str), world: &World) -> String {
    let (verb, mut path) = (Method::from_bytes(route.0.as_bytes()).expect("a verb"), route.1.to_owned());
    let (mut query, mut body) = (Vec::new(), Map::new());
    for (field, text) in fields(operation, world) {
        let placed = [format!("{{{field}}}"), format!("{{{field}=**}}")].into_iter().find(|place| path.contains(place.as_str()));
        match (placed, field.split_once('.')) {
            (Some(place), _) => path = path.replace(&place, &text),
            (None, Some((outer, inner))) => {
                body.insert(outer.to_owned(), json!({inner: text}));
            }
            (None, None) => {
                query.push(format!("{field}={text}"));
                body.insert(field.to_owned(), Json::String(text));
            }
        }
    }
    path = path.replace("{part_number}", "1").replace("{version}", "1").replace("{upload_id}", &"f".repeat(32));
    let in_query = matches!(verb, Method::GET | Method::PUT) || operation.client_streaming;
    let (path, sent) = match (in_query, query.is_empty()) {
        (true, false) => (format!("{path}?{}", query.join("&")), String::new()),
        (true, true) => (path, String::new()),
        (false, _) => (path, Json::Object(body).to_string()),
    };
    let answer = http.json(verb, &path, &sent).await;
    let mut headers = answer.headers.clone();
    let id = headers.remove("x-request-id").and_then(|id| id.to_str().ok().map(str::to_owned)).unwrap_or_default();
    headers.remove(header::DATE);
    let text = format!("{} {headers:?} {}", answer.status, String::from_utf8_lossy(&answer.body));
    text_without_names(text, world, &id)
}

async fn hidden_and_missing_get_one_answer(server: Server) {
    let admin = server.admin().await;
    let partly = server.as_("admin").await;
    let hidden = world(&admin, "hidden", &partly.user_name).await;
    let missing = hidden.absent("absent");
    deny(&admin, &partly.user_name, "admin", v1::scope::Scope::ExperimentId(hidden.experiment_id.clone())).await;
    deny(&admin, &partly.user_name, "admin", v1::scope::Scope::RegisteredModel(hidden.model.clone())).await;
    let (mut told, mut calls, mut routes, http) = (Vec::new(), 0, 0, partly.http());
    for operation in OPERATIONS.iter().filter(|operation| looks_for_one(operation)) {
        calls += 1;
        let mut answers = Vec::new();
        for world in [&hidden, &missing] {
            let status = call(&partly, operation, world).await.expect_err(operation.full_name);
            answers.push((status.code(), without_names(&status, world)));
        }
        if answers[0] != answers[1] || answers[0].0 != Code::NotFound {
            told.push(format!("{}: {:?}", operation.full_name, answers));
        }
        for route in operation.http {
            routes += 1;
            let answers = [rest(&http, operation, *route, &hidden).await, rest(&http, operation, *route, &missing).await];
            if answers[0] != answers[1] {
                told.push(format!("{route:?}: {answers:?}"));
            }
        }
    }
    assert!(calls > 70 && routes > 70, "{calls} operations, {routes} routes");
    assert!(told.is_empty(), "{} of {calls} operations and {routes} routes tell:\n{}", told.len(), told.join("\n"));
    // Nobody else is told less than before: there, missing, and not allowed are three things.
    let clean = server.as_("viewer").await.http();
    assert_eq!(clean.get(&format!("registered-models/get?name={}", hidden.model)).await.status, 200);
    assert_eq!(clean.get("registered-models/get?name=absent").await.error_code(), "RESOURCE_DOES_NOT_EXIST");
    assert_eq!(http.get("experiments/get-by-name?experiment_name=absent").await.error_code(), "RESOURCE_DOES_NOT_EXIST");
}

/// A version comes from what its source names, which no rule of the operation reads.
async fn what_a_source_names_is_hidden_too(server: Server) {
    let admin = server.admin().await;
    let partly = server.as_("admin").await;
    let hidden = world(&admin, "hidden", &partly.user_name).await;
    let missing = hidden.absent("absent");
    deny(&admin, &partly.user_name, "admin", v1::scope::Scope::ExperimentId(hidden.experiment_id.clone())).await;
    deny(&admin, &partly.user_name, "admin", v1::scope::Scope::RegisteredModel(hidden.model.clone())).await;
    let model = v1::CreateRegisteredModelRequest { name: "mine".into(), ..Default::default() };
    let _: v1::CreateRegisteredModelResponse = partly.call("CreateRegisteredModel", model).await.expect("a model");
    let sources: [fn(&World) -> String; 3] = [
        |world| format!("runs:/{}/model", world.run_id()),
        |world| format!("models:/{}", world.model_id()),
        |world| format!("models:/{}/1", world.model),
    ];
    for source in sources {
        let mut answers = Vec::new();
        for world in [&hidden, &missing] {
            let request = v1::CreateModelVersionRequest { name: "mine".into(), source: source(world), ..Default::default() };
            let made: Result<v1::CreateModelVersionResponse, _> = partly.call("CreateModelVersion", request).await;
            let status = made.expect_err("what is closed to her is no source");
            answers.push((status.code(), without_names(&status, world)));
        }
        assert_eq!(answers[0], answers[1]);
        assert_eq!(answers[0].0, Code::NotFound, "{answers:?}");
    }
}

/// Whoever is denied an experiment is told of it by no operation, although they may read the model that came from it.
async fn no_operation_tells_what_a_denied_run_logged(server: Server) {
    const SECRET: &str = "s3cr3t";
    let (admin, partly) = (server.admin().await, server.as_("admin").await);
    let there = world(&admin, "shared", &partly.user_name).await;
    let (params, tags) = (
        vec![v1::Param { key: format!("{SECRET}-param"), value: SECRET.into() }],
        vec![v1::Tag { key: format!("{SECRET}-tag"), value: SECRET.into() }],
    );
    let metrics = vec![v1::Metric { key: format!("{SECRET}-metric"), value: Some(0.5), timestamp: Some(1), ..Default::default() }];
    let request = v1::LogBatchRequest { run_id: there.run_id().to_owned(), params, tags, metrics };
    let _: v1::LogBatchResponse = admin.call("LogBatch", request).await.expect("a batch");
    let request = v1::CreateModelVersionRequest {
        name: there.model.clone(),
        source: "s3://bucket/model".into(),
        run_id: there.run_id().to_owned(),
        ..Default::default()
    };
    let _: v1::CreateModelVersionResponse = admin.call("CreateModelVersion", request).await.expect("a version");
    let request = v1::CreateTransitionRequestRequest {
        name: there.model.clone(),
        version: "2".into(),
        stage: "Production".into(),
        ..Default::default()
    };
    let made: v1::CreateTransitionRequestResponse = admin.call("CreateTransitionRequest", request).await.expect("a request");
    let mut asked = there.clone();
    asked.request_id = made.request.expect("is answered").request_id;
    let frank = server.as_("admin").await;
    deny(&admin, &partly.user_name, "viewer", v1::scope::Scope::ExperimentId(there.experiment_id.clone())).await;
    let one = |text: &str| Value::List(vec![Value::String(text.to_owned())]);
    let also = [
        ("experiment_ids", one(&there.experiment_id)),
        ("run_ids", one(there.run_id())),
        ("metric_key", Value::String(format!("{SECRET}-metric"))),
    ];
    let (mut told, mut seen) = (Vec::new(), 0);
    // What takes objects away is left out: what follows would find nothing.
    let reads = |operation: &&&Operation| {
        ["Get", "List", "Search", "Export", "Watch", "Explain", "Download", "Verify"].iter().any(|verb| operation.name.starts_with(verb))
    };
    for operation in OPERATIONS.iter().filter(reads) {
        let holds = |answers: Vec<Vec<u8>>| answers.iter().any(|answer| String::from_utf8_lossy(answer).contains(SECRET));
        seen += usize::from(holds(answers(&frank, operation, &asked, &also).await.unwrap_or_default()));
        if holds(answers(&partly, operation, &asked, &also).await.unwrap_or_default()) {
            told.push(operation.full_name);
        }
    }
    assert!(seen >= 5, "only {seen} operations tell an admin what the run logged: the walk looks at too little");
    assert!(told.is_empty(), "{told:?}");
}

/// Who may read an object knows of it, and is told what is missing.
async fn what_may_be_read_is_refused_in_words(server: Server) {
    let (admin, user) = (server.admin().await, server.as_("ml_engineer").await);
    let persona =
        v1::CreatePersonaRequest { name: "taggers".to_owned(), permissions: vec!["models.edit".to_owned()], ..Default::default() };
    let _: v1::CreatePersonaResponse = admin.call("CreatePersona", persona).await.expect("a persona");
    let there = world(&admin, "readable", &user.user_name).await;
    deny(&admin, &user.user_name, "taggers", v1::scope::Scope::RegisteredModel(there.model.clone())).await;
    let tag = |name: &str| json!({"name": name, "key": "k", "value": "v"});
    let refused = user.http().post("registered-models/set-tag", &tag(&there.model)).await;
    assert!(refused.status == 403 && refused.message().contains("models.edit"), "{refused:?}");
    assert_eq!(user.http().post("registered-models/set-tag", &tag("absent")).await.status, 404);
}
