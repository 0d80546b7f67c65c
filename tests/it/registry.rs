//! The registry attacked through the API: what protects versions and runs, who held what when, and retries.

use std::time::Duration;

use prost::Message;
use sea_orm::ConnectionTrait;
use stagegate::contract::v1;
use tonic::Code;
use tonic_types::StatusExt;

use crate::house::Server;
use crate::promotion::{NAME, refused, run_of, shift, version, world};

on_both_engines! {
    a_gate_with_brackets_in_its_pattern_protects,
    a_run_is_not_deleted_while_its_version_is_promoted,
    holdings_can_be_asked_for_at_any_time,
    one_key_at_once_makes_one_version,
    every_text_that_is_too_long_is_named_with_its_limit,
}

async fn a_gate_with_brackets_in_its_pattern_protects(server: Server) {
    let world = world(server).await;
    for name in ["fraud[1]", "ｆｒａｕｄ-2"] {
        let request = v1::CreateRegisteredModelRequest { name: name.to_owned(), ..Default::default() };
        let _: v1::CreateRegisteredModelResponse = world.eve.call("CreateRegisteredModel", request).await.expect("a model");
        version(&world.eve, name, "s3://bucket/model", "").await;
        let request = v1::TransitionModelVersionStageRequest {
            name: name.to_owned(),
            version: "1".to_owned(),
            stage: "Staging".to_owned(),
            ..Default::default()
        };
        let _: v1::TransitionModelVersionStageResponse = world.eve.call("TransitionModelVersionStage", request).await.expect("no gate yet");
    }
    world.gate(("one", 1), "Staging", "fraud[1]", 1, true, "NULL").await;
    world.gate(("two", 1), "Staging", "fraud-*", 1, true, "NULL").await;
    for name in ["fraud[1]", "ｆｒａｕｄ-2"] {
        let request = v1::DeleteModelVersionRequest { name: name.to_owned(), version: "1".to_owned() };
        refused(
            world.eve.call::<_, v1::DeleteModelVersionResponse>("DeleteModelVersion", request).await,
            Code::FailedPrecondition,
            "holds Staging",
        );
        let request = v1::DeleteRegisteredModelRequest { name: name.to_owned() };
        refused(
            world.eve.call::<_, v1::DeleteRegisteredModelResponse>("DeleteRegisteredModel", request).await,
            Code::FailedPrecondition,
            "holds Staging",
        );
    }
}

async fn a_run_is_not_deleted_while_its_version_is_promoted(server: Server) {
    let world = world(server).await;
    let run_id = run_of(&world.ann).await;
    let made = version(&world.ann, NAME, "s3://bucket/model", &run_id).await;
    // A promotion beside the server that has not committed yet: what its row locks are to PostgreSQL, the
    // write lock is to SQLite.
    let sqlite = world.sql.get_database_backend() == sea_orm::DbBackend::Sqlite;
    let begin = if sqlite {
        "BEGIN IMMEDIATE".to_owned()
    } else {
        format!("BEGIN; SELECT 1 FROM registered_models WHERE name = '{NAME}' FOR UPDATE")
    };
    let mut options = sea_orm::ConnectOptions::new(&world.server.url);
    options.max_connections(1);
    let one = sea_orm::Database::connect(options).await.expect("the database answers");
    one.execute_unprepared(&begin).await.expect("a transaction");
    let moved = format!(
        "INSERT INTO transitions (uid, model_uid, version_uid, target, from_target, authority, actor_uid, actor_name, created, gate_id, \
         gate_version) SELECT 'moved', v.model_uid, v.uid, 'Production', 'None', 'direct', u.uid, 'x', 1, 'default-production', 1 \
         FROM model_versions v, users u WHERE v.uid = '{}' AND u.name = 'admin'; \
         UPDATE model_versions SET current_stage = 'Production', transition_id = (SELECT id FROM transitions WHERE uid = 'moved') WHERE uid = '{}'",
        made.id, made.id
    );
    one.execute_unprepared(&moved).await.expect("a lawful move");
    let (ann, request) = (world.ann.clone(), v1::DeleteRunRequest { run_id });
    let deletion = tokio::spawn(async move { ann.call::<_, v1::DeleteRunResponse>("DeleteRun", request).await });
    tokio::time::sleep(Duration::from_millis(700)).await;
    one.execute_unprepared("COMMIT").await.expect("a commit");
    refused(deletion.await.expect("no panic"), Code::FailedPrecondition, "holds Production");
}

async fn holdings_can_be_asked_for_at_any_time(server: Server) {
    let world = world(server).await;
    shift(&world.eve, 1, "Staging").await.expect("no gate");
    shift(&world.eve, 2, "Staging").await.expect("no gate");
    for (at, holder) in [(0, None), (i64::MAX, Some("2")), (i64::MAX - 1, Some("2"))] {
        let request = v1::ListHoldingsRequest { name: NAME.to_owned(), at_time: Some(at), ..Default::default() };
        let answer: v1::ListHoldingsResponse =
            world.ann.call("ListHoldings", request).await.unwrap_or_else(|error| panic!("at {at}: {error}"));
        assert_eq!(answer.holdings.first().map(|holding| holding.version.as_str()), holder, "at {at}");
    }
    assert_eq!(world.count("SELECT COUNT(*) FROM holdings").await, 2);
}

async fn one_key_at_once_makes_one_version(server: Server) {
    let world = world(server).await;
    let make = |_| {
        let ann = world.ann.clone();
        tokio::spawn(async move {
            let key = Some("retry".to_owned());
            let source = "s3://bucket/model".to_owned();
            let request =
                v1::CreateModelVersionRequest { name: NAME.to_owned(), source, idempotency_key: key.clone(), ..Default::default() };
            let version: Result<v1::CreateModelVersionResponse, _> = ann.call("CreateModelVersion", request).await;
            let request = v1::CreateRegisteredModelRequest { name: "once".to_owned(), idempotency_key: key, ..Default::default() };
            let model: Result<v1::CreateRegisteredModelResponse, _> = ann.call("CreateRegisteredModel", request).await;
            (version, model)
        })
    };
    let all: Vec<_> = (0..12).map(make).collect();
    for one in all {
        let (version, model) = one.await.expect("no panic");
        assert_eq!(version.expect("the first answer").model_version.expect("is answered").version, "4");
        assert_eq!(model.expect("the first answer").registered_model.expect("is answered").name, "once");
    }
    // Another person's key is another key, and another request is none.
    let request = v1::CreateModelVersionRequest {
        name: NAME.to_owned(),
        source: "s3://other".to_owned(),
        idempotency_key: Some("retry".to_owned()),
        ..Default::default()
    };
    let theirs: v1::CreateModelVersionResponse = world.eve.call("CreateModelVersion", request.clone()).await.expect("eve's key");
    assert_eq!(theirs.model_version.expect("is answered").version, "5");
    let mine = world.ann.call::<_, v1::CreateModelVersionResponse>("CreateModelVersion", request).await;
    refused(mine, Code::InvalidArgument, "idempotency_key");
}

async fn every_text_that_is_too_long_is_named_with_its_limit(server: Server) {
    let world = world(server).await;
    let over = |limit: usize| "x".repeat(limit + 1);
    let (name, number) = (NAME.to_owned(), "1".to_owned());
    let model = || v1::CreateRegisteredModelRequest { name: "other".to_owned(), ..Default::default() };
    let made = || v1::CreateModelVersionRequest { name: name.clone(), source: "s3://b/m".to_owned(), ..Default::default() };
    let ask = || v1::CreateTransitionRequestRequest {
        name: name.clone(),
        version: number.clone(),
        stage: "Staging".to_owned(),
        ..Default::default()
    };
    let uid = "0123456789abcdef".repeat(2);
    let approval =
        || v1::ApproveTransitionRequestRequest { request_id: uid.clone(), evidence_digest: "d".to_owned(), ..Default::default() };
    let tag = |key: String, value: String| vec![v1::Tag { key, value }];
    let tagged = |key: String, value: String| v1::SetModelVersionTagRequest { name: name.clone(), version: number.clone(), key, value };
    let cases: Vec<(&str, Vec<u8>, &str, &str)> = vec![
        ("CreateRegisteredModel", v1::CreateRegisteredModelRequest { name: over(256), ..model() }.encode_to_vec(), "name", "256"),
        (
            "CreateRegisteredModel",
            v1::CreateRegisteredModelRequest { description: over(5_000), ..model() }.encode_to_vec(),
            "description",
            "5000",
        ),
        (
            "CreateRegisteredModel",
            v1::CreateRegisteredModelRequest { tags: tag(over(250), String::new()), ..model() }.encode_to_vec(),
            "tags[0].key",
            "250",
        ),
        (
            "CreateRegisteredModel",
            v1::CreateRegisteredModelRequest { tags: tag("k".to_owned(), over(100_000)), ..model() }.encode_to_vec(),
            "tags[0].value",
            "100000",
        ),
        (
            "CreateRegisteredModel",
            v1::CreateRegisteredModelRequest { tags: vec![v1::Tag::default(); 1_001], ..model() }.encode_to_vec(),
            "tags",
            "1000",
        ),
        (
            "CreateRegisteredModel",
            v1::CreateRegisteredModelRequest { idempotency_key: Some(over(128)), ..model() }.encode_to_vec(),
            "idempotency_key",
            "128",
        ),
        (
            "CreateModelVersion",
            v1::CreateModelVersionRequest { source: format!("s3://{}", over(2_048)), ..made() }.encode_to_vec(),
            "source",
            "2048",
        ),
        ("CreateModelVersion", v1::CreateModelVersionRequest { run_link: over(2_048), ..made() }.encode_to_vec(), "run_link", "2048"),
        ("CreateModelVersion", v1::CreateModelVersionRequest { description: over(5_000), ..made() }.encode_to_vec(), "description", "5000"),
        ("SetModelVersionTag", tagged(over(250), String::new()).encode_to_vec(), "key", "250"),
        ("SetModelVersionTag", tagged("k".to_owned(), over(100_000)).encode_to_vec(), "value", "100000"),
        (
            "CreateTransitionRequest",
            v1::CreateTransitionRequestRequest { comment: over(65_535), ..ask() }.encode_to_vec(),
            "comment",
            "65535",
        ),
        (
            "CreateTransitionRequest",
            v1::CreateTransitionRequestRequest { stage: String::new(), alias: over(255), ..ask() }.encode_to_vec(),
            "alias",
            "255",
        ),
        (
            "ApproveTransitionRequest",
            v1::ApproveTransitionRequestRequest { comment: over(65_535), ..approval() }.encode_to_vec(),
            "comment",
            "65535",
        ),
        (
            "ApproveTransitionRequest",
            v1::ApproveTransitionRequestRequest { evidence_digest: over(64), ..approval() }.encode_to_vec(),
            "evidence_digest",
            "64",
        ),
        (
            "RejectTransitionRequest",
            v1::RejectTransitionRequestRequest { request_id: uid.clone(), comment: over(65_535) }.encode_to_vec(),
            "comment",
            "65535",
        ),
        (
            "ListTransitionRequests",
            v1::ListTransitionRequestsRequest { states: vec![1; 101], ..Default::default() }.encode_to_vec(),
            "states",
            "100",
        ),
        (
            "ListTransitionRequests",
            v1::ListTransitionRequestsRequest { version: "1".to_owned(), ..Default::default() }.encode_to_vec(),
            "version",
            "`name`",
        ),
        (
            "ListHoldings",
            v1::ListHoldingsRequest { name: name.clone(), target: format!("@{}", over(255)), ..Default::default() }.encode_to_vec(),
            "target",
            "255",
        ),
    ];
    let admin = world.server.admin().await;
    for (operation, message, field, limit) in cases {
        let path = format!("/stagegate.v1.RegistryService/{operation}");
        let status = admin.bytes(&path, message).await.expect_err("must be refused");
        let violations = status.get_details_bad_request().map(|details| details.field_violations).unwrap_or_default();
        let named = violations.iter().any(|violation| violation.field == field && violation.description.contains(limit));
        assert!(status.code() == Code::InvalidArgument && named, "{operation}: {field} and {limit} expected: {status:?}");
    }
}
