//! Attacks on promotion by raw SQL: what four eyes, quorum and authority promise holds in the database,
//! whatever the code above it does. Each attack is tried in a transaction of its own, after lawful steps
//! that must succeed, and must be refused by the constraint that is named.

use sea_orm::{ConnectionTrait, DatabaseConnection, TransactionTrait};

use crate::house::{Db, Server};

on_both_engines! {
    decisions_keep_four_eyes,
    requests_keep_their_course,
    moves_need_authority,
    aliases_and_holdings_follow_transitions,
    records_are_kept,
    replacing_is_no_way_round,
}

/// Three persons (bot is a service account of alice), a model with two versions, a model whose gate
/// allows no direct moves and wants two approvals, and an open request of alice's.
pub(super) const WORLD: &str = "
INSERT INTO persons (uid, created) VALUES ('p-alice', 1), ('p-bob', 1), ('p-carol', 1), ('p-dave', 1);
INSERT INTO users (uid, name, canonical_name, display_name, kind, person_uid, active, created) VALUES
    ('alice', 'alice', 'alice', '', 'PERSON', 'p-alice', TRUE, 1), ('bob', 'bob', 'bob', '', 'PERSON', 'p-bob', TRUE, 1),
    ('carol', 'carol', 'carol', '', 'PERSON', 'p-carol', TRUE, 1), ('dave', 'dave', 'dave', '', 'PERSON', 'p-dave', TRUE, 1),
    ('bot', 'bot', 'bot', '', 'SERVICE_ACCOUNT', 'p-alice', TRUE, 1);
INSERT INTO registered_models (uid, workspace_id, name, canonical_name, description, created, updated, created_by, last_version) VALUES
    ('m', 'default', 'plain', 'plain', '', 1, 1, 'alice', 2), ('c', 'default', 'closed[1]', 'closed[1]', '', 1, 1, 'alice', 1);
INSERT INTO gates (gate_id, version, workspace_id, target, model_pattern, approvals_required, direct_moves_allowed, expires_after,
    active, created, created_by) VALUES
    ('closed', 1, 'default', 'Production', 'closed[1]*', 2, FALSE, 8999999999999, TRUE, 1, 'alice'),
    ('closed-alias', 1, 'default', '@champion', 'closed[1]*', 2, FALSE, NULL, TRUE, 1, 'alice'),
    ('easy', 1, 'default', 'Staging', '*', 1, TRUE, NULL, TRUE, 1, 'alice');
INSERT INTO model_versions (uid, model_uid, version, description, source, source_digest, run_id, run_link, current_stage, created, updated, created_by) VALUES
    ('v1', 'm', 1, '', '', '', '', '', 'None', 1, 1, 'alice'), ('v2', 'm', 2, '', '', '', '', '', 'None', 1, 1, 'alice'),
    ('w1', 'c', 1, '', '', '', '', '', 'None', 1, 1, 'alice');
INSERT INTO transition_requests (uid, model_uid, version_uid, target, state, gate_id, gate_version, evidence_digest, created, updated, expires) VALUES
    ('r', 'c', 'w1', 'Production', 'OPEN', 'closed', 1, 'd1', 1, 1, 9000000000000);
INSERT INTO evidence (digest, record, created) VALUES ('d1', '{}', 1), ('d2', '{\"a\":1}', 1);
INSERT INTO request_evidence (request_uid, digest, created) VALUES ('r', 'd1', 1), ('r', 'd2', 1);
INSERT INTO request_requesters (request_uid, person_uid, user_uid, comment, created) VALUES ('r', 'p-alice', 'alice', '', 1);
INSERT INTO blobs (uid, size, sha256, chunks, created) VALUES ('b1', 1, 'x', '', 1), ('b2', 1, 'y', '', 1);
INSERT INTO version_artifacts (version_uid, path, blob_uid) VALUES ('v1', 'model', 'b1');
";

const DECIDE: &str = "INSERT INTO request_decisions (uid, request_uid, person_uid, issuer_person_uid, user_uid, kind, comment, evidence_digest, \
                      gate_version, command_line, created) VALUES ";
const HOLD: &str = "INSERT INTO holdings (model_uid, target, version_uid, from_time, until_time, transition_id) VALUES ";

pub(super) struct Fortress {
    pub(super) db: Db,
    pub(super) sql: DatabaseConnection,
    // The server stays up while its database is attacked.
    _server: Server,
}

impl Fortress {
    pub(super) async fn of(server: Server) -> Self {
        let sql = server.sql().await;
        sql.execute_unprepared(WORLD).await.expect("the world is lawful");
        Self { db: server.db, sql, _server: server }
    }

    /// `lawful` must succeed, `attack` must be refused by one of `by`; nothing of it stays.
    pub(super) async fn refuses(&self, by: &[&str], lawful: &[&str], attack: &str) {
        let tx = self.sql.begin().await.expect("a transaction");
        for step in lawful {
            tx.execute_unprepared(step).await.unwrap_or_else(|error| panic!("{:?}: lawful, but {error}: {step}", self.db));
        }
        match tx.execute_unprepared(attack).await {
            Ok(_) => panic!("{:?}: got through: {attack}", self.db),
            Err(error) => {
                let text = error.to_string();
                assert!(by.iter().any(|name| text.contains(name)), "{:?}: refused, but not by {by:?}: {text}: {attack}", self.db);
            }
        }
        tx.rollback().await.expect("a rollback");
    }

    /// All steps must succeed; nothing of them stays.
    pub(super) async fn allows(&self, lawful: &[&str]) {
        let tx = self.sql.begin().await.expect("a transaction");
        for step in lawful {
            tx.execute_unprepared(step).await.unwrap_or_else(|error| panic!("{:?}: lawful, but {error}: {step}", self.db));
        }
        tx.rollback().await.expect("a rollback");
    }
}

pub(super) fn decide(values: &str) -> String {
    format!("{DECIDE}{values}")
}

/// A transition, which names the gate in force as the server would.
pub(super) fn moves(values: &str) -> String {
    format!(
        "WITH n (id, uid, model_uid, version_uid, target, from_target, authority, request_uid, cause, actor_uid, actor_name, created) AS (VALUES {values}) \
         INSERT INTO transitions (id, uid, model_uid, version_uid, target, from_target, authority, request_uid, cause, actor_uid, actor_name, created, gate_id, gate_version) \
         SELECT n.id, n.uid, n.model_uid, n.version_uid, n.target, n.from_target, n.authority, n.request_uid, CAST(n.cause AS BIGINT), n.actor_uid, n.actor_name, n.created, \
         f.gate_id, f.version FROM n LEFT JOIN gates_in_force f ON f.model_uid = n.model_uid AND f.target = n.target"
    )
}

/// A version of a gate.
pub(super) fn gate(
    (id, version): (&str, u32),
    target: &str,
    pattern: &str,
    approvals: u32,
    direct: bool,
    active: bool,
    by: &str,
) -> String {
    let direct = if direct { "TRUE" } else { "FALSE" };
    let active = if active { "TRUE" } else { "FALSE" };
    format!(
        "INSERT INTO gates (gate_id, version, workspace_id, target, model_pattern, approvals_required, direct_moves_allowed, expires_after, active, \
         created, created_by) VALUES ('{id}', {version}, 'default', '{target}', '{pattern}', {approvals}, {direct}, NULL, {active}, 1, '{by}')"
    )
}

pub(super) fn hold(values: &str) -> String {
    format!("{HOLD}{values}")
}

pub(super) const BOB: &str = "('k1', 'r', 'p-bob', NULL, 'bob', 'APPROVED', '', 'd1', 1, FALSE, 2)";
pub(super) const CAROL: &str = "('k2', 'r', 'p-carol', NULL, 'carol', 'APPROVED', '', 'd1', 1, FALSE, 2)";
pub(super) const APPROVE: &str = "UPDATE transition_requests SET state = 'APPROVED', updated = 3 WHERE uid = 'r'";

async fn decisions_keep_four_eyes(server: Server) {
    let fortress = Fortress::of(server).await;
    let (bob, carol) = (decide(BOB), decide(CAROL));
    fortress.allows(&[&bob, &carol, APPROVE]).await;
    let four_eyes = ["request_decisions_four_eyes"];
    for own in [
        "('k', 'r', 'p-alice', NULL, 'alice', 'APPROVED', '', 'd1', 1, FALSE, 2)",
        // Through her service account, and through tokens that she made for others.
        "('k', 'r', 'p-alice', NULL, 'bot', 'APPROVED', '', 'd1', 1, FALSE, 2)",
        "('k', 'r', 'p-bob', 'p-alice', 'bob', 'APPROVED', '', 'd1', 1, FALSE, 2)",
    ] {
        fortress.refuses(&four_eyes, &[], &decide(own)).await;
    }
    let withdraw = "UPDATE request_requesters SET withdrawn = 2 WHERE request_uid = 'r'";
    fortress.refuses(&four_eyes, &[withdraw], &decide("('k', 'r', 'p-alice', NULL, 'alice', 'APPROVED', '', 'd1', 1, FALSE, 2)")).await;
    // A request filed through bob's token is bob's as well.
    let joined = "INSERT INTO request_requesters (request_uid, person_uid, issuer_person_uid, user_uid, comment, created) VALUES ('r', 'p-dave', 'p-bob', 'dave', '', 2)";
    fortress.refuses(&four_eyes, &[joined], &bob).await;
    fortress.refuses(&["request_requesters_four_eyes"], &[&bob], joined).await;
    let join_as_bob =
        "INSERT INTO request_requesters (request_uid, person_uid, user_uid, comment, created) VALUES ('r', 'p-bob', 'bob', '', 2)";
    fortress.refuses(&["request_requesters_four_eyes"], &[&bob], join_as_bob).await;
    // In another's name.
    fortress
        .refuses(&["request_decisions_person"], &[], &decide("('k', 'r', 'p-bob', NULL, 'alice', 'APPROVED', '', 'd1', 1, FALSE, 2)"))
        .await;
    fortress.refuses(&["request_requesters_person"], &[], &join_as_bob.replace("'bob'", "'carol'")).await;
    fortress.refuses(&["users_person"], &[], "UPDATE users SET person_uid = 'p-bob' WHERE uid = 'bot'").await;
    // One person once: plainly, and through a token for someone else, either way round.
    fortress.refuses(&["request_decisions_once", "request_decisions_not_replaced"], &[&bob], &decide(&BOB.replace("k1", "k9"))).await;
    let carol_by_bob = decide(&CAROL.replace("NULL", "'p-bob'"));
    fortress.refuses(&["request_decisions_two_persons"], &[&bob], &carol_by_bob).await;
    fortress.refuses(&["request_decisions_two_persons"], &[&carol_by_bob], &bob).await;
    let dave_by_bob = decide("('k3', 'r', 'p-dave', 'p-bob', 'dave', 'APPROVED', '', 'd1', 1, FALSE, 2)");
    fortress.refuses(&["request_decisions_two_persons"], &[&carol_by_bob], &dave_by_bob).await;
    // On evidence that is not there.
    fortress.refuses(&["request_decisions_evidence"], &[], &decide(&BOB.replace("'d1'", "'d9'"))).await;
}

async fn requests_keep_their_course(server: Server) {
    let fortress = Fortress::of(server).await;
    let (bob, carol) = (decide(BOB), decide(CAROL));
    let quorum = ["transition_requests_quorum"];
    fortress.refuses(&quorum, &[], APPROVE).await;
    fortress.refuses(&quorum, &[&bob], APPROVE).await;
    fortress.refuses(&quorum, &[&bob, &decide(&CAROL.replace("APPROVED", "REJECTED"))], APPROVE).await;
    fortress.refuses(&quorum, &[&bob, &decide(&CAROL.replace("'d1'", "'d2'"))], APPROVE).await;
    let void = "UPDATE request_decisions SET voided = 2 WHERE uid = 'k1'";
    fortress.refuses(&quorum, &[&bob, &carol, void], APPROVE).await;
    let renew = "UPDATE transition_requests SET evidence_digest = 'd2' WHERE uid = 'r'";
    fortress.refuses(&quorum, &[&bob, &carol, renew], APPROVE).await;
    fortress.refuses(&["transition_requests_expired"], &[&bob, &carol], &APPROVE.replace("updated = 3", "updated = 9000000000000")).await;
    let ended = "UPDATE transition_requests SET state = 'REJECTED' WHERE uid = 'r'";
    let last = ["transition_requests_final"];
    fortress.refuses(&last, &[ended], "UPDATE transition_requests SET state = 'OPEN' WHERE uid = 'r'").await;
    fortress.refuses(&last, &[&bob, &carol, ended], APPROVE).await;
    fortress.refuses(&["request_decisions_open"], &[ended], &bob).await;
    let join = "INSERT INTO request_requesters (request_uid, person_uid, user_uid, comment, created) VALUES ('r', 'p-bob', 'bob', '', 2)";
    fortress.refuses(&["request_requesters_open"], &[ended], join).await;
    let file = |uid: &str, target: &str, state: &str, gate: &str| {
        format!(
            "INSERT INTO transition_requests (uid, model_uid, version_uid, target, state, gate_id, gate_version, evidence_digest, created, updated, expires) \
             VALUES ('{uid}', 'c', 'w1', '{target}', '{state}', '{gate}', 1, 'd1', 1, 1, {})",
            if gate == "closed" { "9000000000000" } else { "NULL" }
        )
    };
    fortress.allows(&[ended, &file("s", "Production", "OPEN", "closed")]).await;
    let one = ["transition_requests_one_open", "transition_requests_not_replaced"];
    fortress.refuses(&one, &[], &file("s", "Production", "OPEN", "closed")).await;
    fortress.refuses(&["transition_requests_start_open"], &[ended], &file("s", "Production", "APPROVED", "closed")).await;
    // Under an easier gate: one of another target, none where one protects, one that is no longer in force.
    let gate = ["transition_requests_gate"];
    fortress.refuses(&gate, &[ended], &file("s", "Production", "OPEN", "easy")).await;
    fortress.refuses(&gate, &[ended], &file("s", "Production", "OPEN", "no-gate")).await;
    fortress
        .refuses(
            &gate,
            &[ended, &self::gate(("closed", 2), "Production", "closed[1]*", 2, false, true, "bob")],
            &file("s", "Production", "OPEN", "closed"),
        )
        .await;
    let foreign = file("s", "Staging", "OPEN", "easy").replace("'w1'", "'v1'");
    fortress.refuses(&["transition_requests_version"], &[], &foreign).await;
    let identity = ["transition_requests_identity"];
    for change in [
        "version_uid = 'v1'",
        "model_uid = 'm'",
        "target = 'Staging'",
        "gate_id = 'easy'",
        "created = 9",
        "expires = NULL",
        "expires = 9000",
        "uid = 'q'",
    ] {
        fortress.refuses(&identity, &[], &format!("UPDATE transition_requests SET {change} WHERE uid = 'r'")).await;
    }
    let easier = self::gate(("closed", 2), "Production", "closed[1]*", 1, true, true, "bob");
    fortress.refuses(&identity, &[&easier], "UPDATE transition_requests SET gate_version = 2 WHERE uid = 'r'").await;
}

async fn moves_need_authority(server: Server) {
    let fortress = Fortress::of(server).await;
    let staging = moves("(1, 't1', 'm', 'v1', 'Staging', 'None', 'direct', NULL, NULL, 'bob', 'bob', 2)");
    let into_staging = "UPDATE model_versions SET current_stage = 'Staging', transition_id = 1 WHERE uid = 'v1'";
    fortress.allows(&[&staging, into_staging]).await;
    let moved = ["model_versions_moved"];
    fortress.refuses(&moved, &[], "UPDATE model_versions SET current_stage = 'Production' WHERE uid = 'v1'").await;
    fortress
        .refuses(&moved, &[&staging], "UPDATE model_versions SET current_stage = 'Production', transition_id = 1 WHERE uid = 'v1'")
        .await;
    fortress.refuses(&moved, &[&staging], "UPDATE model_versions SET current_stage = 'Staging', transition_id = 1 WHERE uid = 'v2'").await;
    fortress
        .refuses(
            &moved,
            &[&staging, into_staging],
            "UPDATE model_versions SET current_stage = 'None', transition_id = NULL WHERE uid = 'v1'",
        )
        .await;
    // An old transition again: as it is, and after the trace of the newer one was wiped.
    let back = moves("(2, 't2', 'm', 'v1', 'None', 'Staging', 'direct', NULL, NULL, 'bob', 'bob', 2)");
    let into_none = "UPDATE model_versions SET current_stage = 'None', transition_id = 2 WHERE uid = 'v1'";
    fortress.refuses(&moved, &[&staging, into_staging, &back, into_none], into_staging).await;
    fortress
        .refuses(&moved, &[&staging, into_staging, &back, into_none], "UPDATE model_versions SET transition_id = NULL WHERE uid = 'v1'")
        .await;
    fortress
        .refuses(
            &["model_versions_start"],
            &[],
            "INSERT INTO model_versions (uid, model_uid, version, description, source, source_digest, run_id, run_link, \
        current_stage, created, updated, created_by) VALUES ('v9', 'm', 9, '', '', '', '', '', 'Production', 1, 1, 'bob')",
        )
        .await;
    // The gate allows no direct moves: not in, not by an alias, and, when it is there, not out.
    let direct = ["transitions_direct"];
    fortress.refuses(&direct, &[], &moves("(1, 't1', 'c', 'w1', 'Production', 'None', 'direct', NULL, NULL, 'bob', 'bob', 2)")).await;
    fortress.refuses(&direct, &[], &moves("(1, 't1', 'c', 'w1', '@champion', '', 'direct', NULL, NULL, 'bob', 'bob', 2)")).await;
    fortress.refuses(&direct, &[], &moves("(1, 't1', 'c', 'w1', 'Archived', 'Production', 'direct', NULL, NULL, 'bob', 'bob', 2)")).await;
    // By a request that is open, that is another's, or that was used.
    let by_request = moves("(1, 't1', 'c', 'w1', 'Production', 'None', 'request', 'r', NULL, 'bob', 'bob', 2)");
    let approved = [&decide(BOB), &decide(CAROL), APPROVE].map(str::to_owned);
    let approved: Vec<&str> = approved.iter().map(String::as_str).collect();
    let right = ["transitions_by_request", "transitions_version", "transitions_not_replaced"];
    fortress.allows(&[&approved[..], &[&by_request]].concat()).await;
    fortress.refuses(&right, &[], &by_request).await;
    fortress.refuses(&right, &approved, &by_request.replace("'w1'", "'v1'")).await;
    fortress.refuses(&right, &approved, &by_request.replace("'Production'", "'Staging'")).await;
    fortress.refuses(&right, &[&approved[..], &[&by_request]].concat(), &by_request.replace("(1, 't1'", "(2, 't2'")).await;
    fortress.refuses(&right, &[], &by_request.replace("'r'", "NULL")).await;
    // Directly past one's own open request.
    let own = "INSERT INTO transition_requests (uid, model_uid, version_uid, target, state, gate_id, gate_version, evidence_digest, created, updated) \
               VALUES ('own', 'm', 'v1', 'Production', 'OPEN', 'default-production', 1, 'd', 1, 1)";
    let asked =
        "INSERT INTO request_requesters (request_uid, person_uid, user_uid, comment, created) VALUES ('own', 'p-bob', 'bob', '', 1)";
    let past = moves("(1, 't1', 'm', 'v1', 'Production', 'None', 'direct', NULL, NULL, 'bob', 'bob', 2)");
    fortress.allows(&[own, &past]).await;
    fortress.refuses(&["transitions_own_request"], &[own, asked], &past).await;
    // As a consequence of something that did not make it give way.
    let consequence = ["transitions_consequence", "transitions_version"];
    // The second version was there first.
    let other = moves("(4, 't4', 'm', 'v2', 'Staging', 'None', 'direct', NULL, NULL, 'bob', 'bob', 2)");
    let other_there = "UPDATE model_versions SET current_stage = 'Staging', transition_id = 4 WHERE uid = 'v2'";
    let staging = staging.replace("(1, 't1'", "(5, 't5'");
    let there = [&other, other_there, &staging];
    for claim in [
        "(6, 't6', 'm', 'v2', '@champion', '', 'consequence', NULL, 5, 'bob', 'bob', 2)",
        "(6, 't6', 'm', 'v2', 'Production', 'Staging', 'consequence', NULL, 5, 'bob', 'bob', 2)",
        "(6, 't6', 'm', 'v2', 'Archived', 'Production', 'consequence', NULL, 5, 'bob', 'bob', 2)",
        "(6, 't6', 'm', 'v2', 'Archived', 'Staging', 'consequence', NULL, 4, 'bob', 'bob', 2)",
        "(6, 't6', 'm', 'v1', 'Archived', 'None', 'consequence', NULL, 5, 'bob', 'bob', 2)",
        "(6, 't6', 'c', 'w1', 'Archived', 'None', 'consequence', NULL, 5, 'bob', 'bob', 2)",
    ] {
        fortress.refuses(&consequence, &there, &moves(claim)).await;
    }
    let gives_way = moves("(6, 't6', 'm', 'v2', 'Archived', 'Staging', 'consequence', NULL, 5, 'bob', 'bob', 2)");
    let archived = "UPDATE model_versions SET current_stage = 'Archived', transition_id = 6 WHERE uid = 'v2'";
    let into_staging = into_staging.replace("transition_id = 1", "transition_id = 5");
    fortress.refuses(&["model_versions_single"], &there, &into_staging).await;
    fortress.allows(&[&there[..], &[&gives_way, archived, &into_staging]].concat()).await;
}

async fn aliases_and_holdings_follow_transitions(server: Server) {
    let fortress = Fortress::of(server).await;
    let first = moves("(1, 't1', 'm', 'v1', '@best', '', 'direct', NULL, NULL, 'bob', 'bob', 2)");
    let second = moves("(2, 't2', 'm', 'v2', '@best', '', 'direct', NULL, NULL, 'bob', 'bob', 2)");
    let set = "INSERT INTO model_aliases (model_uid, alias, target, version_uid, transition_id) VALUES ('m', 'best', '@best', 'v1', 1)";
    fortress.allows(&[&first, set]).await;
    fortress.refuses(&["model_aliases_set"], &[], set).await;
    fortress.refuses(&["model_aliases_set"], &[&first, &second], set).await;
    fortress.refuses(&["model_aliases_set"], &[&first], &set.replace("'v1'", "'v2'")).await;
    fortress.refuses(&["CHECK constraint", "check constraint", "model_aliases_set"], &[&first], &set.replace("'best'", "'champion'")).await;
    let moved = ["model_aliases_moved"];
    fortress.refuses(&moved, &[&first, set], "UPDATE model_aliases SET version_uid = 'v2'").await;
    fortress.refuses(&moved, &[&first, set, &second], "UPDATE model_aliases SET version_uid = 'v1', transition_id = 2").await;
    fortress.refuses(&moved, &[&first, set], "UPDATE model_aliases SET alias = 'champion', target = '@champion'").await;
    let point = "UPDATE model_aliases SET version_uid = 'v2', transition_id = 2";
    fortress.allows(&[&first, set, &second, point]).await;
    fortress.refuses(&moved, &[&first, set, &second, point], "UPDATE model_aliases SET version_uid = 'v1', transition_id = 1").await;
    fortress.refuses(&["model_aliases_released"], &[&first, set], "DELETE FROM model_aliases").await;
    let release = moves("(3, 't3', 'm', NULL, '@best', '', 'direct', NULL, NULL, 'bob', 'bob', 2)");
    fortress.allows(&[&first, set, &release, "DELETE FROM model_aliases"]).await;
    // Holdings: only of who is there, one at a time, ended once.
    let held = hold("('m', '@best', 'v1', 10, NULL, 1)");
    fortress.allows(&[&first, set, &held]).await;
    fortress.refuses(&["holdings_held"], &[&first], &held).await;
    fortress.refuses(&["holdings_held", "holdings_by"], &[&first, set], &hold("('m', 'Production', 'v1', 10, NULL, 1)")).await;
    let follow = ["holdings_follow", "holdings_not_replaced"];
    fortress.refuses(&follow, &[&first, set, &held], &hold("('m', '@best', 'v1', 20, NULL, 1)")).await;
    let end = "UPDATE holdings SET until_time = 20";
    let ended = [&first, set, &held, &second, point, end];
    fortress.refuses(&follow, &ended, &hold("('m', '@best', 'v2', 15, NULL, 2)")).await;
    fortress.refuses(&follow, &[&first, set], &hold("('m', '@best', 'v1', 5, 8, 1)")).await;
    fortress.allows(&[&ended[..], &[&hold("('m', '@best', 'v2', 20, NULL, 2)")]].concat()).await;
    let once = ["holdings_end_once"];
    for change in ["until_time = 30", "until_time = NULL", "from_time = 1"] {
        fortress.refuses(&once, &ended, &format!("UPDATE holdings SET {change}")).await;
    }
    fortress.refuses(&once, &[&first, set, &held, &second, point], "UPDATE holdings SET version_uid = 'v2', until_time = 20").await;
    fortress
        .refuses(&["CHECK constraint", "check constraint"], &[&first, set, &held, &second, point], "UPDATE holdings SET until_time = 9")
        .await;
    fortress.refuses(&["holdings_kept"], &[&first, set, &held], "DELETE FROM holdings").await;
}

async fn records_are_kept(server: Server) {
    let fortress = Fortress::of(server).await;
    let bob = decide(BOB);
    let transition = moves("(1, 't1', 'm', 'v1', 'Staging', 'None', 'direct', NULL, NULL, 'bob', 'bob', 2)");
    for (by, attack) in [
        ("evidence_fixed", "UPDATE evidence SET record = '{}' WHERE digest = 'd2'"),
        ("evidence_kept", "DELETE FROM evidence"),
        ("request_evidence_fixed", "UPDATE request_evidence SET digest = 'd3' WHERE digest = 'd2'"),
        ("request_evidence_kept", "DELETE FROM request_evidence"),
        ("request_requesters_identity", "UPDATE request_requesters SET person_uid = 'p-dave', user_uid = 'dave'"),
        ("request_requesters_identity", "UPDATE request_requesters SET issuer_person_uid = 'p-dave'"),
        ("request_requesters_kept", "DELETE FROM request_requesters"),
        ("request_decisions_identity", "UPDATE request_decisions SET kind = 'REJECTED', voided = 5"),
        ("request_decisions_identity", "UPDATE request_decisions SET person_uid = 'p-dave', voided = 5"),
        ("request_decisions_identity", "UPDATE request_decisions SET evidence_digest = 'd2'"),
        ("request_decisions_kept", "DELETE FROM request_decisions"),
        ("transition_requests_kept", "DELETE FROM transition_requests"),
        ("transitions_fixed", "UPDATE transitions SET target = 'Production'"),
        ("transitions_kept", "DELETE FROM transitions"),
        ("gates_fixed", "UPDATE gates SET approvals_required = 1 WHERE gate_id = 'closed'"),
        ("gates_fixed", "UPDATE gates SET direct_moves_allowed = TRUE"),
        ("gates_fixed", "UPDATE gates SET target = 'Staging' WHERE gate_id = 'closed'"),
        ("gates_fixed", "UPDATE gates SET expires_after = 1"),
        ("gates_kept", "DELETE FROM gates"),
        ("version_artifacts_fixed", "UPDATE version_artifacts SET blob_uid = 'b2'"),
        ("version_artifacts_kept", "DELETE FROM version_artifacts"),
        ("model_versions_identity", "UPDATE model_versions SET source_digest = 'other' WHERE uid = 'v1'"),
        ("model_versions_identity", "UPDATE model_versions SET source = 's3://other' WHERE uid = 'v1'"),
        ("model_versions_identity", "UPDATE model_versions SET model_uid = 'c', version = 7 WHERE uid = 'v1'"),
        ("model_versions_kept", "DELETE FROM model_versions"),
        ("ledger_entries only grows", "UPDATE ledger_entries SET actor_name = 'someone else'"),
        ("ledger_entries only grows", "DELETE FROM ledger_entries"),
        ("ledger_positions only grows", "UPDATE ledger_positions SET position = position + 1000"),
        ("ledger_positions only grows", "DELETE FROM ledger_positions"),
    ] {
        fortress.refuses(&[by], &[&bob, &transition], attack).await;
    }
    fortress
        .refuses(
            &["request_decisions_identity"],
            &[&bob, "UPDATE request_decisions SET voided = 5"],
            "UPDATE request_decisions SET voided = NULL",
        )
        .await;
    if fortress.db == Db::Postgres {
        for table in ["ledger_entries", "ledger_positions", "ledger_hashes", "ledger_checkpoints"] {
            fortress.refuses(&["only grows", "cannot truncate"], &[], &format!("TRUNCATE {table} CASCADE")).await;
        }
        for table in [
            "request_evidence",
            "evidence",
            "request_decisions",
            "request_requesters",
            "transitions",
            "holdings",
            "model_versions",
            "gates",
            "transition_requests",
        ] {
            fortress.refuses(&["is not emptied"], &[], &format!("TRUNCATE {table} CASCADE")).await;
        }
    }
}

/// On SQLite, REPLACE deletes the row in the way without asking the triggers that refuse a DELETE.
async fn replacing_is_no_way_round(server: Server) {
    let fortress = Fortress::of(server).await;
    if fortress.db == Db::Postgres {
        // What PostgreSQL has instead is an UPDATE, with the triggers of one.
        let upsert = "INSERT INTO evidence (digest, record, created) VALUES ('d1', 'forged', 1) ON CONFLICT (digest) DO UPDATE SET record = excluded.record";
        fortress.refuses(&["evidence_fixed"], &[], upsert).await;
        return;
    }
    let bob = decide(BOB);
    let transition = moves("(1, 't1', 'm', 'v1', 'Staging', 'None', 'direct', NULL, NULL, 'bob', 'bob', 2)");
    for attack in [
        "INSERT OR REPLACE INTO evidence (digest, record, created) VALUES ('d1', 'forged', 1)",
        "INSERT OR REPLACE INTO gates SELECT gate_id, version, workspace_id, target, model_pattern, 1, TRUE, expires_after, active, created, created_by, common_maker_allowed FROM gates WHERE gate_id = 'closed'",
        "INSERT OR REPLACE INTO version_artifacts (version_uid, path, blob_uid) VALUES ('v1', 'model', 'b2')",
        "INSERT OR REPLACE INTO request_requesters (request_uid, person_uid, user_uid, comment, created) VALUES ('r', 'p-alice', 'alice', 'other', 1)",
        "INSERT OR REPLACE INTO request_decisions SELECT uid, request_uid, person_uid, NULL, user_uid, 'REJECTED', comment, evidence_digest, gate_version, command_line, created, NULL FROM request_decisions",
        "INSERT OR REPLACE INTO transitions SELECT id, uid, model_uid, version_uid, 'Archived', from_target, authority, NULL, NULL, NULL, NULL, actor_uid, actor_name, created FROM transitions",
        "INSERT OR REPLACE INTO model_versions (uid, model_uid, version, description, source, source_digest, run_id, run_link, current_stage, created, updated, created_by) VALUES ('v1', 'm', 1, '', 'other', '', '', '', 'None', 1, 1, 'bob')",
        "INSERT OR REPLACE INTO ledger_entries SELECT * FROM ledger_entries",
        "INSERT OR REPLACE INTO ledger_positions SELECT * FROM ledger_positions",
    ] {
        fortress.refuses(&["_not_replaced", "REPLACE is refused"], &["PRAGMA recursive_triggers = OFF", &bob, &transition], attack).await;
    }
}
