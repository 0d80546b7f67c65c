//! The registry attacked through the API: what protects versions and runs, who held what when, and retries.

use std::time::Duration;

use sea_orm::ConnectionTrait;
use stagegate::contract::v1;
use tonic::Code;

use crate::house::Server;
use crate::promotion::{NAME, refused, run_of, shift, version, world};

on_both_engines! {
    a_gate_with_brackets_in_its_pattern_protects,
    a_run_is_not_deleted_while_its_version_is_promoted,
    holdings_can_be_asked_for_at_any_time,
    one_key_at_once_makes_one_version,
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
        "INSERT INTO transitions (uid, model_uid, version_uid, target, from_target, authority, actor_uid, actor_name, created) \
         SELECT 'moved', model_uid, uid, 'Production', 'None', 'direct', 'x', 'x', 1 FROM model_versions WHERE uid = '{}'; \
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
