//! Watching: order and wholeness with many writers, who sees what, and how a stream ends.

use futures::StreamExt;

use super::*;
use crate::access::Caller;
use crate::clock;
use crate::domain::access::{Effect, Grant, Principal, Scope, TokenLimits, UserKind};
use crate::service::ledger::tests::{House, on_both_engines, row};
use crate::store::{StoreError, Tx, access as accounts};

type Stream = ResponseStream<v1::WatchLedgerResponse>;

/// Long enough for a loaded machine; what is waited for comes much sooner.
const SOON: Duration = Duration::from_secs(20);

async fn watch(house: &House, caller: &Caller, from: Option<i64>) -> Result<Stream> {
    let request = v1::WatchLedgerRequest { from_position: from, filter: None };
    watch_ledger(&house.call("WatchLedger", caller.clone()), request).await
}

/// A signed-in user with a persona on a scope.
async fn user(house: &House, persona: &str, scope: Scope) -> Caller {
    let uid = clock::new_uid();
    let grant = Grant {
        uid: clock::new_uid(),
        principal: Principal::User(uid.clone()),
        persona: persona.to_owned(),
        scope,
        targets: Vec::new(),
        effect: Effect::Allow,
        created: 0,
        created_by: String::new(),
    };
    house.store().set_up(grant, |tx, grant| Box::pin(insert(tx, grant))).await.unwrap();
    house.access.refresh().await.unwrap();
    let mut caller = Caller::without_user(crate::access::Credential::Token, &uid);
    (caller.user_uid, caller.person_uid, caller.kind, caller.limits) = (uid.clone(), uid, UserKind::ServiceAccount, TokenLimits::default());
    caller.token_id = Some(clock::new_uid());
    caller
}

async fn insert(tx: &Tx, grant: &Grant) -> std::result::Result<(), StoreError> {
    let Principal::User(uid) = &grant.principal else { return Ok(()) };
    accounts::insert_person(tx, uid).await?;
    let user = accounts::UserRow {
        uid: uid.clone(),
        name: uid.clone(),
        display_name: String::new(),
        kind: UserKind::ServiceAccount,
        person_uid: uid.clone(),
        password_hash: None,
        active: true,
        created: tx.now(),
        password_temporary: false,
        generation: 0,
    };
    accounts::insert_user(tx, &user).await?;
    accounts::insert_grant(tx, grant).await?;
    accounts::raise_epoch(tx).await?;
    Ok(())
}

async fn model(house: &House, uid: &str, name: &str) {
    let model = crate::store::models::ModelRow {
        uid: uid.to_owned(),
        name: name.to_owned(),
        description: String::new(),
        created: 0,
        updated: 0,
        created_by: String::new(),
    };
    let insert = |model| {
        house.store().set_up(model, |tx, model| {
            Box::pin(async move {
                crate::store::models::insert(tx, model, None).await?;
                Ok::<_, StoreError>(())
            })
        })
    };
    insert(model).await.unwrap();
}

/// Starts the upkeep; it ends with the test's runtime.
fn tend(house: &House) -> watch::Sender<bool> {
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(crate::service::tend_ledger(house.access.clone(), stopped));
    stop
}

/// The names of the rows of the next messages, until `count` have come.
async fn names(stream: &mut Stream, count: usize) -> Vec<(i64, String)> {
    let mut seen = Vec::new();
    while seen.len() < count {
        let message = timeout(SOON, stream.next()).await.expect("a message comes").expect("the stream goes on").unwrap();
        seen.extend(message.entries.into_iter().map(|entry| (entry.position, entry.object_name)));
    }
    seen
}

/// How a stream ends.
async fn end(stream: &mut Stream) -> Error {
    loop {
        match timeout(SOON, stream.next()).await.expect("the stream ends") {
            Some(Ok(_)) => {}
            Some(Err(error)) => return error,
            None => panic!("the stream ends with its reason"),
        }
    }
}

on_both_engines!(a_watcher_misses_nothing_of_sixteen_writers);
async fn a_watcher_misses_nothing_of_sixteen_writers(house: House) {
    const WRITERS: usize = 16;
    const ROWS: usize = 40;
    let house = std::sync::Arc::new(house);
    let auditor = user(&house, "auditor", Scope::Server).await;
    let _upkeep = tend(&house);
    let mut stream = watch(&house, &auditor, None).await.unwrap();
    let first = timeout(SOON, stream.next()).await.unwrap().unwrap().unwrap();
    assert_eq!((first.entries.len(), first.next_position), (0, 0), "the first message comes at once");
    for writer in 0..WRITERS {
        let house = house.clone();
        tokio::spawn(async move {
            for number in 0..ROWS {
                house.record(row("CreateUser", "user", &format!("{writer}-{number}"), "")).await;
            }
        });
    }
    let seen = names(&mut stream, WRITERS * ROWS).await;
    let positions: Vec<i64> = seen.iter().map(|(position, _)| *position).collect();
    assert_eq!(positions, (0..positions.len() as i64).collect::<Vec<_>>());
    let distinct: BTreeSet<&String> = seen.iter().map(|(_, name)| name).collect();
    assert_eq!(distinct.len(), WRITERS * ROWS);
    // Who comes back with the cursor gets the rest, and nothing else.
    let mut again = watch(&house, &auditor, Some(600)).await.unwrap();
    assert_eq!(names(&mut again, WRITERS * ROWS - 600).await, seen[600..]);
}

on_both_engines!(a_watcher_sees_only_what_it_may_read);
async fn a_watcher_sees_only_what_it_may_read(house: House) {
    let (a, b) = ("a".repeat(32), "b".repeat(32));
    model(&house, &a, "fraud-a").await;
    model(&house, &b, "other-b").await;
    let mut refused = row("CreateRun", "registered_model", "refusal", &a);
    refused.outcome = Outcome::Denied;
    let mut granted = row("CreateGrant", "grant", "grant", &a);
    granted.action = "stagegate.v1.AccessService/CreateGrant".into();
    for entry in [
        row("CreateExperiment", "experiment", "experiment", "0"),
        row("CreateRegisteredModel", "registered_model", "of-a", &a),
        row("CreateModelVersion", "model_version", "of-b", &b),
        refused,
        granted,
        row("CreateUser", "user", "user", ""),
        row("SetModelTag", "registered_model", "last-of-a", &a),
    ] {
        house.record(entry).await;
    }
    let _upkeep = tend(&house);
    let auditor = user(&house, "auditor", Scope::Server).await;
    let mut all = wait_for(&house, &auditor, 7).await;
    assert_eq!(names(&mut all, 7).await.len(), 7);
    for scope in [Scope::Model(a.clone()), Scope::Models("fraud-*".into())] {
        let deployer = user(&house, "deployer", scope).await;
        let mut stream = watch(&house, &deployer, Some(0)).await.unwrap();
        let seen: Vec<String> = names(&mut stream, 2).await.into_iter().map(|(_, name)| name).collect();
        assert_eq!(seen, ["of-a", "last-of-a"]);
    }
    let viewer = user(&house, "viewer", Scope::Server).await;
    match watch(&house, &viewer, None).await {
        Err(Error::Denied { permission, .. }) => assert_eq!(permission, Some(Permission::LedgerWatch)),
        _ => panic!("a viewer may not watch"),
    }
}

/// A stream from the beginning, once all rows have positions.
async fn wait_for(house: &House, caller: &Caller, rows: i64) -> Stream {
    timeout(SOON, async {
        while crate::store::ledger::next_position(house.store().reader()).await.unwrap() < rows {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("the rows get their positions");
    watch(house, caller, Some(0)).await.unwrap()
}

on_both_engines!(a_stream_ends_with_the_right_to_it);
async fn a_stream_ends_with_the_right_to_it(house: House) {
    let _upkeep = tend(&house);
    let expired = Caller { token_expires: Some(clock::now_ms() + 300), ..user(&house, "auditor", Scope::Server).await };
    let mut stream = watch(&house, &expired, None).await.unwrap();
    assert!(matches!(end(&mut stream).await, Error::TokenExpired(_)));

    let losing = user(&house, "deployer", Scope::Server).await;
    let mut stream = watch(&house, &losing, None).await.unwrap();
    let uid = losing.user_uid.clone();
    let take = |uid| {
        house.store().set_up(uid, |tx, uid: &String| {
            Box::pin(async move {
                crate::store::sql::execute(&**tx, "DELETE FROM grants WHERE principal_uid = $1", crate::bind![uid.as_str()]).await?;
                accounts::raise_epoch(tx).await?;
                Ok::<_, StoreError>(())
            })
        })
    };
    take(uid).await.unwrap();
    assert!(matches!(end(&mut stream).await, Error::Denied { .. }));

    let gone = user(&house, "deployer", Scope::Server).await;
    let mut stream = watch(&house, &gone, None).await.unwrap();
    let uid = gone.user_uid.clone();
    let deactivate = |uid| {
        house.store().set_up(uid, |tx, uid: &String| {
            Box::pin(async move {
                accounts::update_user(tx, uid, "", false).await?;
                accounts::raise_epoch(tx).await?;
                Ok::<_, StoreError>(())
            })
        })
    };
    deactivate(uid).await.unwrap();
    assert!(matches!(end(&mut stream).await, Error::Unauthenticated));

    let staying = user(&house, "auditor", Scope::Server).await;
    house.record(row("CreateUser", "user", "u", "")).await;
    let mut stream = wait_for(&house, &staying, 1).await;
    names(&mut stream, 1).await;
    house.store().ledger_feed().end();
    let error = end(&mut stream).await;
    assert!(matches!(&error, Error::Unavailable(text) if text.ends_with("resume from position 1")), "{error}");
}

#[tokio::test]
async fn a_start_beyond_the_end_is_refused() {
    let house = House::sqlite().await;
    let auditor = user(&house, "auditor", Scope::Server).await;
    for from in [1, -1, i64::MAX] {
        assert!(matches!(watch(&house, &auditor, Some(from)).await, Err(Error::Invalid(_))), "{from}");
    }
}
