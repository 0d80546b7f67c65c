//! Random walks of promotion requests through the state machine and the database at once: what the machine
//! allows, the database must allow; what four eyes, quorum and finality refuse, it must refuse as well.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use sea_orm::{ConnectionTrait, Database, DatabaseTransaction, DbErr, TransactionTrait};
use sea_orm_migration::MigratorTrait;
use stagegate::domain::person::{Deed, Login, Maker};
use stagegate::domain::request::{Actor, Outcome, Refusal, Request, State};
use stagegate::store::migration::Migrator;

use crate::house::{Db, Server, fresh_url};

on_both_engines! {
    machine_and_database_agree,
}

const WALKS: usize = 600;

#[derive(Debug, Clone)]
enum Step {
    Join(Actor),
    Withdraw(Actor),
    Approve(Actor),
    Reject(Actor),
    NewEvidence,
    Wait(i64),
    Expire,
    Supersede,
}

fn actor() -> impl Strategy<Value = Actor> {
    ("[a-e]", proptest::option::weighted(0.25, "[a-e]")).prop_map(|(person, issuer)| {
        let issuer = issuer.filter(|issuer| *issuer != person);
        Actor { makers: makers(&person), name: person.clone(), person, issuer }
    })
}

/// `a` made the login of `d`, and `b` that of `e`, behind whom `a` stood then.
fn makers(person: &str) -> Vec<Maker> {
    let login = |name: &str| Login { uid: name.to_owned(), name: name.to_owned() };
    let maker = |name: &str, through: Option<&str>| Maker {
        person: name.to_owned(),
        login: login(name),
        deed: Deed::Login,
        through: through.map(login),
    };
    match person {
        "d" => vec![maker("a", None)],
        "e" => vec![maker("b", None), maker("a", Some("b"))],
        _ => Vec::new(),
    }
}

const MAKERS: &str = "INSERT INTO user_makers (user_uid, deed, maker_user_uid, maker_person_uid, through_user_uid, created) VALUES \
    ('d', 'LOGIN', 'a', 'p-a', '', 1), ('e', 'LOGIN', 'b', 'p-b', '', 1), ('e', 'LOGIN', 'a', 'p-a', 'b', 1)";

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        24 => actor().prop_map(Step::Join),
        20 => actor().prop_map(Step::Withdraw),
        36 => actor().prop_map(Step::Approve),
        3 => actor().prop_map(Step::Reject),
        8 => Just(Step::NewEvidence),
        14 => (0i64..40).prop_map(Step::Wait),
        16 => Just(Step::Expire),
        2 => Just(Step::Supersede),
    ]
}

/// One request in the machine and, in an open transaction, in the database.
struct Walk<'a> {
    tx: &'a DatabaseTransaction,
    machine: Request,
    now: i64,
    decisions: u32,
    evidence: u32,
}

fn text(issuer: &Option<String>) -> String {
    issuer.as_ref().map_or("NULL".to_owned(), |issuer| format!("'p-{issuer}'"))
}

fn end(state: State, now: i64) -> String {
    format!("UPDATE transition_requests SET state = '{}', updated = {now} WHERE uid = 'r'", state.as_str())
}

impl<'a> Walk<'a> {
    async fn begin(tx: &'a DatabaseTransaction, first: Actor, (quorum, common): (usize, bool), expires_at: Option<i64>) -> Self {
        let expires = expires_at.map_or("NULL".to_owned(), |at| at.to_string());
        let join = join(&first, 0);
        let filed = format!(
            "INSERT INTO gates (gate_id, version, workspace_id, target, model_pattern, approvals_required, direct_moves_allowed, expires_after, active, \
             created, created_by, common_maker_allowed) VALUES ('walk', 1, 'default', 'Staging', '*', {quorum}, TRUE, {expires}, TRUE, 1, 'a', {common}); \
             INSERT INTO transition_requests (uid, model_uid, version_uid, target, state, gate_id, gate_version, evidence_digest, created, updated, expires) \
             VALUES ('r', 'm', 'v', 'Staging', 'OPEN', 'walk', 1, 'e0', 0, 0, {expires}); \
             INSERT INTO evidence (digest, record, created) VALUES ('e0', '0', 0);
             INSERT INTO request_evidence (request_uid, digest, created) VALUES ('r', 'e0', 0); {join}"
        );
        tx.execute_unprepared(&filed).await.expect("a lawful request");
        let machine = Request {
            state: State::Open,
            requesters: vec![first.clone()],
            ever_requested: vec![first],
            approvals: Vec::new(),
            evidence_digest: "e0".to_owned(),
            approvals_required: quorum,
            common_maker_allowed: common,
            expires_at,
        };
        Self { tx, machine, now: 0, decisions: 0, evidence: 0 }
    }

    /// What the service does for a step, without the machine's leave; and whether the machine gives it.
    fn plan(&mut self, step: Step) -> (Result<(), Refusal>, Vec<String>) {
        let now = self.now;
        match step {
            Step::Join(by) => {
                let asked = self.machine.ever_requested.iter().any(|other| other.person == by.person);
                let statement = if asked {
                    format!("UPDATE request_requesters SET withdrawn = NULL WHERE request_uid = 'r' AND person_uid = 'p-{}'", by.person)
                } else {
                    join(&by, now)
                };
                (self.machine.join(by, now), vec![statement])
            }
            // There is no row that a stranger's withdrawal would change.
            Step::Withdraw(by) if !self.machine.ever_requested.iter().any(|asked| asked.person == by.person) => {
                (self.machine.withdraw(&by, now), Vec::new())
            }
            Step::Withdraw(by) => {
                let outcome = self.machine.withdraw(&by, now);
                let person = &by.person;
                let mut statements =
                    vec![format!("UPDATE request_requesters SET withdrawn = {now} WHERE request_uid = 'r' AND person_uid = 'p-{person}'")];
                if outcome.is_ok() && self.machine.state == State::Cancelled {
                    statements.push(end(State::Cancelled, now));
                }
                (outcome, statements)
            }
            Step::Approve(by) => {
                let decision = self.decide(&by, "APPROVED");
                let digest = self.machine.evidence_digest.clone();
                match self.machine.approve(by, &digest, now) {
                    Ok(Outcome::StillOpen) => (Ok(()), vec![decision]),
                    Ok(Outcome::Promote) => {
                        let moved = "INSERT INTO transitions (uid, model_uid, version_uid, target, from_target, authority, request_uid, gate_id, gate_version, actor_uid, actor_name, created) \
                                     VALUES ('t', 'm', 'v', 'Staging', 'None', 'request', 'r', 'walk', 1, 'a', 'a', 0)";
                        (Ok(()), vec![decision, end(State::Approved, now), moved.to_owned()])
                    }
                    Err(refusal) => (Err(refusal), vec![decision]),
                }
            }
            Step::Reject(by) => {
                let void = format!(
                    "UPDATE request_decisions SET voided = {now} WHERE request_uid = 'r' AND person_uid = 'p-{}' AND voided IS NULL",
                    by.person
                );
                let decision = self.decide(&by, "REJECTED");
                (self.machine.reject(&by, now), vec![void, decision, end(State::Rejected, now)])
            }
            Step::NewEvidence => {
                if self.machine.state != State::Open {
                    return (Ok(()), Vec::new());
                }
                self.evidence += 1;
                let digest = format!("e{}", self.evidence);
                self.machine.renew_evidence(digest.clone());
                let kept = format!(
                    "INSERT INTO evidence (digest, record, created) VALUES ('{digest}', '{digest}', {now}); INSERT INTO request_evidence (request_uid, digest, created) VALUES ('r', '{digest}', {now})"
                );
                let renewed = format!("UPDATE transition_requests SET evidence_digest = '{digest}' WHERE uid = 'r'");
                let void = format!("UPDATE request_decisions SET voided = {now} WHERE request_uid = 'r' AND voided IS NULL");
                (Ok(()), vec![kept, renewed, void])
            }
            Step::Wait(ms) => {
                self.now += ms;
                (Ok(()), Vec::new())
            }
            Step::Expire if self.machine.expire(now) => (Ok(()), vec![end(State::Expired, now)]),
            Step::Expire if self.machine.state == State::Open => (Err(Refusal::NotRequester), vec![end(State::Expired, now)]),
            Step::Expire => (Err(Refusal::NotOpen(self.machine.state)), vec![end(State::Expired, now)]),
            Step::Supersede if self.machine.supersede() => (Ok(()), vec![end(State::Superseded, now)]),
            Step::Supersede => (Err(Refusal::NotOpen(self.machine.state)), vec![end(State::Superseded, now)]),
        }
    }

    fn decide(&mut self, by: &Actor, kind: &str) -> String {
        self.decisions += 1;
        let (person, issuer, digest) = (&by.person, text(&by.issuer), &self.machine.evidence_digest);
        format!(
            "INSERT INTO request_decisions (uid, request_uid, person_uid, issuer_person_uid, user_uid, kind, comment, evidence_digest, gate_version, \
             command_line, created) VALUES ('k{}', 'r', 'p-{person}', {issuer}, '{person}', '{kind}', '', '{digest}', 1, FALSE, {})",
            self.decisions, self.now
        )
    }

    /// Runs statements in a savepoint that stays only when all of them went through.
    async fn run(&self, statements: &[String]) -> Result<(), DbErr> {
        let savepoint = self.tx.begin().await?;
        for statement in statements {
            savepoint.execute_unprepared(statement).await?;
        }
        savepoint.commit().await
    }
}

fn join(by: &Actor, now: i64) -> String {
    format!(
        "INSERT INTO request_requesters (request_uid, person_uid, issuer_person_uid, user_uid, comment, created) \
         VALUES ('r', 'p-{0}', {1}, '{0}', '', {now})",
        by.person,
        text(&by.issuer)
    )
}

/// Refusals that the database makes as well. The others are the machine's alone: they are about what an
/// actor meant, not about what may be in the tables.
fn promised(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::NotOpen(_) | Refusal::OwnRequest(_) | Refusal::BoundToApprover(_) | Refusal::ApprovedTwice | Refusal::HasApproved
    )
}

async fn machine_and_database_agree(server: Server) {
    let folder = tempfile::tempdir().expect("a folder");
    let url = fresh_url(server.db, &folder).await.expect("the engine is there");
    let url = if server.db == Db::Sqlite { format!("{url}?mode=rwc") } else { url };
    let sql = Database::connect(&url).await.expect("the database answers");
    Migrator::up(&sql, None).await.expect("a schema");
    for person in ["a", "b", "c", "d", "e"] {
        let user = format!(
            "INSERT INTO persons (uid, created) VALUES ('p-{person}', 1); INSERT INTO users (uid, name, canonical_name, display_name, kind, \
             person_uid, active, created) VALUES ('{person}', '{person}', '{person}', '', 'PERSON', 'p-{person}', TRUE, 1)"
        );
        sql.execute_unprepared(&user).await.expect("a user");
    }
    sql.execute_unprepared(MAKERS).await.expect("makers");
    sql.execute_unprepared(
        "INSERT INTO registered_models (uid, workspace_id, name, canonical_name, description, created, updated, created_by, last_version) \
         VALUES ('m', 'default', 'm', 'm', '', 1, 1, 'a', 1); \
         INSERT INTO model_versions (uid, model_uid, version, description, source, source_digest, run_id, run_link, current_stage, created, updated, created_by) \
         VALUES ('v', 'm', 1, '', '', '', '', '', 'None', 1, 1, 'a')",
    )
    .await
    .expect("a version");
    // The same walks each time.
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let walks =
        (actor(), (1usize..4, proptest::bool::weighted(0.7)), proptest::option::of(1i64..100), proptest::collection::vec(step(), 1..25));
    let mut reached: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..WALKS {
        let (first, quorum, expires_at, steps) = walks.new_tree(&mut runner).expect("a walk").current();
        let told = format!("{:?}: {first:?} quorum {quorum:?} expires {expires_at:?} {steps:#?}", server.db);
        let tx = sql.begin().await.expect("a transaction");
        let mut walk = Walk::begin(&tx, first, quorum, expires_at).await;
        for step in steps {
            let shown = format!("{step:?}");
            let expiring = matches!(step, Step::Expire);
            let before = walk.machine.clone();
            let (verdict, statements) = walk.plan(step);
            match &verdict {
                Ok(()) => {
                    let done = walk.run(&statements).await;
                    assert!(done.is_ok(), "the machine allows {shown}, the database: {done:?}: {before:?} of {told}");
                }
                Err(refusal) => {
                    let word = format!("{refusal:?}");
                    *reached.entry(word.split('(').next().unwrap_or_default().to_owned()).or_default() += 1;
                    assert_eq!(walk.machine, before, "what is refused changes nothing");
                    if !statements.is_empty() && (promised(refusal) || expiring) {
                        assert!(
                            walk.run(&statements).await.is_err(),
                            "{refusal:?}, but the database lets {shown} through: {before:?} of {told}"
                        );
                    }
                }
            }
        }
        *reached.entry(walk.machine.state.as_str().to_owned()).or_default() += 1;
        tx.rollback().await.expect("a rollback");
    }
    // Walks that never come anywhere would agree on nothing.
    for word in [
        "OPEN",
        "APPROVED",
        "REJECTED",
        "CANCELLED",
        "EXPIRED",
        "SUPERSEDED",
        "NotOpen",
        "Expired",
        "OwnRequest",
        "BoundToApprover",
        "ApprovedTwice",
        "AlreadyRequester",
        "HasApproved",
        "NotRequester",
        "AskedOtherwise",
    ] {
        assert!(reached.get(word).is_some_and(|times| *times >= 3), "{word} is hardly reached: {reached:?}");
    }
    println!("{:?}: {reached:?}", server.db);
}
