//! A refusal takes the same look-ups and says the same whether there is an object or not.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use super::*;
use crate::access::MasterKey;
use crate::contract::OPERATIONS;
use crate::domain::access::{ADMIN, Effect, Grant, Principal, Scope, UserKind};
use crate::store::testing::stores;
use crate::store::{Tx, access as rows, sql};

/// The fields of a request, by their paths.
struct Named(HashMap<&'static str, String>);

impl Fields for Named {
    fn subject(&self, path: &str) -> Option<&str> {
        self.0.get(path).map(String::as_str).filter(|text| !text.is_empty())
    }
}

const HEX: &str = "0123456789abcdef0123456789abcdef";

/// The fields by which an operation finds its object: those of one that is there, or of none.
fn named(operation: &Operation, there: bool) -> Option<Named> {
    let pick = |there_is: &str, missing: &str| if there { there_is.to_owned() } else { missing.to_owned() };
    let (hex, none) = (HEX.to_owned(), "f".repeat(32));
    let uid = pick(&hex, &none);
    let experiment = pick("7", "9");
    let mut fields = HashMap::new();
    for clause in operation.rule.clauses.iter().filter(|clause| !clause.filtered) {
        let text = match clause.kind {
            ObjectKind::Experiment => experiment.clone(),
            ObjectKind::ExperimentName | ObjectKind::RegisteredModel | ObjectKind::ModelVersion => pick("hidden", "absent"),
            ObjectKind::Run => uid.clone(),
            ObjectKind::LoggedModel => format!("m-{uid}"),
            ObjectKind::RunOfPath => format!("{experiment}/{uid}/artifacts/file"),
            _ => continue,
        };
        let Some(field) = clause.fields.first().filter(|field| **field != "new_name") else { continue };
        fields.insert(*field, text);
        if let (ObjectKind::ModelVersion, Some(version)) = (clause.kind, clause.fields.get(1)) {
            fields.insert(*version, "1".to_owned());
        }
    }
    let makes = |clause: &Clause| matches!(clause.permission, Permission::ModelsCreate | Permission::ExperimentsCreate);
    (!fields.is_empty() && !operation.rule.clauses.first().is_some_and(makes)).then_some(Named(fields))
}

fn grant(uid: &str, scope: Scope, effect: Effect) -> Grant {
    let principal = Principal::User("ann".to_owned());
    let (uid, persona, created_by) = (uid.to_owned(), ADMIN.to_owned(), String::new());
    Grant { uid, principal, persona, scope, targets: Vec::new(), effect, created: 0, created_by }
}

async fn world(tx: &Tx, _: &()) -> Result<(), StoreError> {
    rows::insert_person(tx, "p").await?;
    let (uid, name) = ("ann".to_owned(), "ann".to_owned());
    let ann = format!(
        "INSERT INTO users (uid, name, canonical_name, display_name, kind, person_uid, active, created) \
         VALUES ('{uid}', '{name}', '{name}', '', '{}', 'p', TRUE, 0)",
        UserKind::Person.as_str()
    );
    let statements = [
        ann.as_str(),
        "INSERT INTO experiments (id, workspace_id, name, canonical_name, active, created, updated, created_by) \
         VALUES (7, 'default', 'hidden', 'hidden', TRUE, 0, 0, '')",
        "INSERT INTO runs (id, run_id, experiment, name, user_id, status, start_time, active, created_by) \
         VALUES (1, '0123456789abcdef0123456789abcdef', 7, 'run', '', 1, 0, TRUE, '')",
        "INSERT INTO logged_models (id, model_id, experiment, name, model_type, status, active, created, updated, created_by) \
         VALUES (1, 'm-0123456789abcdef0123456789abcdef', 7, 'm', '', 1, TRUE, 0, 0, '')",
        "INSERT INTO registered_models (uid, workspace_id, name, canonical_name, description, created, updated, created_by, last_version) \
         VALUES ('m', 'default', 'hidden', 'hidden', '', 0, 0, '', 1)",
    ];
    for statement in statements {
        sql::execute(&**tx, statement, []).await?;
    }
    for (number, (scope, effect)) in
        [(Scope::Server, Effect::Allow), (Scope::Experiment("7".to_owned()), Effect::Deny), (Scope::Model("m".to_owned()), Effect::Deny)]
            .into_iter()
            .enumerate()
    {
        rows::insert_grant(tx, &grant(&format!("grant-{number}"), scope, effect)).await?;
    }
    rows::raise_epoch(tx).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn hidden_and_missing_take_the_same_look_ups() {
    for test in stores().await {
        test.store.set_up((), |tx, input| Box::pin(world(tx, input))).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let master = MasterKey::load(&folder.path().join("master.key"), false).unwrap();
        let access = Access::open(test.store.clone(), master).await.unwrap();
        let caller = access.caller_again("ann", Some("0")).await.unwrap();
        let mut asked = 0;
        for operation in OPERATIONS {
            let (Some(hidden), Some(missing)) = (named(operation, true), named(operation, false)) else { continue };
            let mut outcomes = Vec::new();
            // The hidden one twice: it is remembered by then.
            for fields in [&hidden, &hidden, &missing, &missing] {
                let before = access.resolver.look_ups.load(Ordering::Relaxed);
                let headers = HeaderMap::new();
                let arrival = Arrival { operation, headers: &headers, request_id: "", source: ClientAddress::NONE };
                let begun = std::time::Instant::now();
                let refused = access.admit(&arrival, caller.clone(), fields).await.err();
                assert!(begun.elapsed() >= STEP, "{}: answered within a step", operation.full_name);
                let refused = refused.unwrap_or_else(|| panic!("{} is admitted", operation.full_name));
                assert!(matches!(refused, Refused::Absent { .. }), "{}: {refused}", operation.full_name);
                let mut said = refused.to_string();
                for text in hidden.0.values().chain(missing.0.values()).flat_map(|text| text.split('/')).filter(|text| *text != "m") {
                    said = said.replace(&format!("{text:?}"), "…");
                }
                outcomes.push((said, access.resolver.look_ups.load(Ordering::Relaxed) - before));
            }
            assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]), "{}: {outcomes:?}", operation.full_name);
            asked += 1;
        }
        assert!(asked > 60, "{asked} operations");
    }
}

/// What a refusal takes, a measurement for people:
/// `STAGEGATE_TEST_MEASURE=1 cargo test --release hidden_and_missing_take_as_long -- --nocapture`.
#[tokio::test(flavor = "multi_thread")]
async fn hidden_and_missing_take_as_long() {
    const CALLS: usize = 4_000;
    if std::env::var_os("STAGEGATE_TEST_MEASURE").is_none() {
        return;
    }
    for test in stores().await {
        test.store.set_up((), |tx, input| Box::pin(world(tx, input))).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let access = Access::open(test.store.clone(), MasterKey::load(&folder.path().join("key"), false).unwrap()).await.unwrap();
        let caller = access.caller_again("ann", Some("0")).await.unwrap();
        for name in ["GetRun", "GetRegisteredModel", "GetExperiment"] {
            let operation = OPERATIONS.iter().find(|operation| operation.name == name).unwrap();
            let fields = [named(operation, true).unwrap(), named(operation, false).unwrap()];
            let mut times = [Vec::new(), Vec::new()];
            for call in 0..2 * CALLS {
                let headers = HeaderMap::new();
                let arrival = Arrival { operation, headers: &headers, request_id: "", source: ClientAddress::NONE };
                let started = std::time::Instant::now();
                assert!(access.admit(&arrival, caller.clone(), &fields[call % 2]).await.is_err());
                times[call % 2].push(started.elapsed().as_nanos());
            }
            let median = |times: &mut [u128]| {
                times.sort_unstable();
                times[times.len() / 2]
            };
            // Blocks of 400 calls each: how often the hidden one is the slower.
            let mut slower = 0;
            for (hidden, missing) in times[0].chunks(400).zip(times[1].chunks(400)) {
                slower += usize::from(median(&mut hidden.to_vec()) > median(&mut missing.to_vec()));
            }
            let [hidden, missing] = &mut times;
            println!("{name}: hidden {} ns, missing {} ns, hidden slower in {slower} of {}", median(hidden), median(missing), CALLS / 400);
        }
    }
}
