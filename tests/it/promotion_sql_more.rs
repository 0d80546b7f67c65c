//! Further attacks by raw SQL: the easier gate, the way out, the record of what has ended, and on SQLite
//! REPLACE through unique indexes that are no primary key.

use crate::house::{Db, Server};
use crate::promotion_sql::{APPROVE, BOB, CAROL, Fortress, decide, moves};

on_both_engines! {
    the_gate_in_force_decides,
    leaving_takes_what_the_gate_demands,
    what_has_ended_stays_as_it_is,
    versions_stay_what_they_are,
    no_unique_index_is_a_way_to_replace,
}

fn file(uid: &str, version: &str, model: &str, target: &str, gate: &str) -> String {
    format!(
        "INSERT INTO transition_requests (uid, model_uid, version_uid, target, state, gate_id, gate_version, evidence_digest, created, updated, expires) \
         VALUES ('{uid}', '{model}', '{version}', '{target}', 'OPEN', '{gate}', 1, 'd1', 1, 1, {})",
        if gate == "closed" { "9000000000000" } else { "NULL" }
    )
}

fn evidence(uid: &str) -> String {
    format!("INSERT INTO request_evidence (request_uid, digest, created) VALUES ('{uid}', 'd1', 1)")
}

fn approved(uid: &str) -> String {
    APPROVE.replace("'r'", &format!("'{uid}'"))
}

fn by(decision: &str, uid: &str, id: &str) -> String {
    decide(&decision.replace("'r'", &format!("'{uid}'")).replace("'k1'", &format!("'{id}1'")).replace("'k2'", &format!("'{id}2'")))
}

const ENDED: &str = "UPDATE transition_requests SET state = 'REJECTED' WHERE uid = 'r'";

async fn the_gate_in_force_decides(server: Server) {
    let fortress = Fortress::of(server).await;
    let gate = ["transition_requests_gate"];
    // The general gate on the same target, where a more specific one protects the model.
    fortress.refuses(&gate, &[ENDED], &file("s", "w1", "c", "Production", "default-production")).await;
    fortress.allows(&[ENDED, &file("s", "w1", "c", "Production", "closed")]).await;
    // Approved under a gate that has been replaced since.
    let (bob, carol) = (decide(BOB), decide(CAROL));
    let by_request = moves("(1, 't1', 'c', 'w1', 'Production', 'None', 'request', 'r', NULL, 'bob', 'bob', 2)");
    let newer = crate::promotion_sql::gate(("closed", 2), "Production", "closed[1]*", 3, false, true, "bob");
    fortress.allows(&[&bob, &carol, APPROVE, &by_request]).await;
    fortress.refuses(&["transitions_gate", "transitions_by_request"], &[&bob, &carol, APPROVE, &newer], &by_request).await;
    let specific = crate::promotion_sql::gate(("very", 1), "Production", "closed[1]", 3, false, true, "bob");
    fortress.refuses(&["transitions_gate", "transitions_by_request"], &[&bob, &carol, APPROVE, &specific], &by_request).await;
    // The person behind the token of a requester has asked as well.
    let own = file("own", "v1", "m", "Production", "default-production");
    let asked = "INSERT INTO request_requesters (request_uid, person_uid, issuer_person_uid, user_uid, comment, created) VALUES ('own', 'p-dave', 'p-bob', 'dave', '', 1)";
    let past = moves("(1, 't1', 'm', 'v1', 'Production', 'None', 'direct', NULL, NULL, 'bob', 'bob', 2)");
    fortress.refuses(&["transitions_own_request"], &[&own, asked], &past).await;
}

async fn leaving_takes_what_the_gate_demands(server: Server) {
    let fortress = Fortress::of(server).await;
    let (bob, carol) = (decide(BOB), decide(CAROL));
    let there = moves("(1, 't1', 'c', 'w1', 'Production', 'None', 'request', 'r', NULL, 'bob', 'bob', 2)");
    let set = "UPDATE model_versions SET current_stage = 'Production', transition_id = 1 WHERE uid = 'w1'";
    let away = file("away", "w1", "c", "Archived", "no-gate");
    let (kept, first, second, end) = (evidence("away"), by(BOB, "away", "a"), by(CAROL, "away", "a"), approved("away"));
    let leave = moves("(2, 't2', 'c', 'w1', 'Archived', 'Production', 'request', 'away', NULL, 'bob', 'bob', 3)");
    let holds = [bob.as_str(), &carol, APPROVE, &there, set, &away, &kept, &first];
    fortress.allows(&[&holds[..], &[&second, &end, &leave]].concat()).await;
    fortress.refuses(&["transitions_by_request"], &[&holds[..], &[&end]].concat(), &leave).await;
}

async fn what_has_ended_stays_as_it_is(server: Server) {
    let fortress = Fortress::of(server).await;
    let (bob, carol) = (decide(BOB), decide(CAROL));
    let ended = ["request_requesters_ended"];
    fortress.refuses(&ended, &[ENDED], "UPDATE request_requesters SET withdrawn = 5 WHERE request_uid = 'r'").await;
    fortress.refuses(&ended, &[ENDED], "UPDATE request_requesters SET comment = 'other' WHERE request_uid = 'r'").await;
    fortress
        .refuses(&["request_decisions_ended"], &[&bob, &carol, APPROVE], "UPDATE request_decisions SET voided = 5 WHERE uid = 'k1'")
        .await;
    let in_time = ["transition_requests_in_time"];
    let expire = "UPDATE transition_requests SET state = 'EXPIRED', updated = 9000000000000 WHERE uid = 'r'";
    fortress.allows(&[expire]).await;
    fortress.refuses(&in_time, &[], &expire.replace("9000000000000", "8999999999999")).await;
    let endless = file("s", "w1", "c", "Staging", "easy");
    fortress.refuses(&in_time, &[&endless], &expire.replace("'r'", "'s'")).await;
    // One request, one move; on SQLite the trigger that refuses REPLACE speaks first.
    let by_request = moves("(1, 't1', 'c', 'w1', 'Production', 'None', 'request', 'r', NULL, 'bob', 'bob', 2)");
    let again = by_request.replace("(1, 't1'", "(2, 't2'");
    let once = ["transitions_by_request", "transitions_once", "transitions_not_replaced"];
    fortress.refuses(&once, &[&bob, &carol, APPROVE, &by_request], &again).await;
}

async fn versions_stay_what_they_are(server: Server) {
    let fortress = Fortress::of(server).await;
    let run = "INSERT INTO runs (id, run_id, experiment, name, user_id, status, start_time, active, created_by) VALUES (900, 'better', 0, 'better', '', 1, 1, TRUE, 'bob')";
    fortress.refuses(&["model_versions_identity"], &[run], "UPDATE model_versions SET run = 900 WHERE uid = 'w1'").await;
    let staging = moves("(1, 't1', 'm', 'v1', 'Staging', 'None', 'direct', NULL, NULL, 'bob', 'bob', 2)");
    let into_staging = "UPDATE model_versions SET current_stage = 'Staging', transition_id = 1 WHERE uid = 'v1'";
    let tombstone = ["model_versions_tombstone"];
    let delete = "UPDATE model_versions SET deleted = 5 WHERE uid = 'v1'";
    fortress.allows(&[delete]).await;
    fortress.refuses(&tombstone, &[&staging, into_staging], delete).await;
    fortress.refuses(&tombstone, &[delete], "UPDATE model_versions SET deleted = NULL WHERE uid = 'v1'").await;
    let aliased = moves("(1, 't1', 'm', 'v1', '@best', '', 'direct', NULL, NULL, 'bob', 'bob', 2)");
    let set = "INSERT INTO model_aliases (model_uid, alias, target, version_uid, transition_id) VALUES ('m', 'best', '@best', 'v1', 1)";
    fortress.refuses(&tombstone, &[&aliased, set], delete).await;
    let model = "UPDATE registered_models SET deleted = 5 WHERE uid = 'm'";
    let all = "UPDATE model_versions SET deleted = 5 WHERE model_uid = 'm'";
    fortress.allows(&[all, model]).await;
    fortress.refuses(&["registered_models_tombstone"], &[], model).await;
    fortress.refuses(&["registered_models_tombstone"], &[all, model], "UPDATE registered_models SET deleted = NULL WHERE uid = 'm'").await;
    let grow = "INSERT INTO version_artifacts (version_uid, path, blob_uid) VALUES ('w1', 'extra', 'b2')";
    fortress.refuses(&["version_artifacts_complete"], &[], grow).await;
    fortress.refuses(&["version_artifacts_complete"], &[&staging, into_staging], &grow.replace("'w1'", "'v1'")).await;
    fortress.refuses(&["version_artifacts_complete"], &[&aliased, set], &grow.replace("'w1'", "'v1'")).await;
    fortress.allows(&[&grow.replace("'w1'", "'v2'")]).await;
    if fortress.db == Db::Postgres {
        fortress.refuses(&["is not emptied"], &[], "TRUNCATE registered_models CASCADE").await;
    }
}

async fn no_unique_index_is_a_way_to_replace(server: Server) {
    let fortress = Fortress::of(server).await;
    if fortress.db == Db::Postgres {
        // PostgreSQL has no REPLACE; its upsert is an UPDATE, with the triggers of one.
        let upsert = format!(
            "{} ON CONFLICT (request_uid, person_uid) WHERE voided IS NULL DO UPDATE SET comment = 'forged'",
            decide(&BOB.replace("k1", "k9"))
        );
        fortress.refuses(&["request_decisions_identity"], &[&decide(BOB)], &upsert).await;
        return;
    }
    // Foreign keys would hold some of these back; whoever opens the file leaves them off.
    let open = ["PRAGMA recursive_triggers = OFF", "PRAGMA defer_foreign_keys = ON"];
    for attack in [
        file("s", "w1", "c", "Production", "closed"),
        decide(&BOB.replace("k1", "k9").replace("''", "'forged'")),
        "INSERT INTO gates SELECT gate_id, version, workspace_id, target, model_pattern, 1, TRUE, expires_after, active, created, created_by, common_maker_allowed FROM gates WHERE gate_id = 'closed'".to_owned(),
        "INSERT INTO model_versions (uid, model_uid, version, description, source, source_digest, run_id, run_link, current_stage, created, updated, created_by) VALUES ('v9', 'm', 1, '', 'other', '', '', '', 'None', 1, 1, 'bob')".to_owned(),
        "INSERT INTO registered_models SELECT uid, workspace_id, 'other', 'other', 'other', description, created, updated, created_by, 0, NULL, NULL FROM registered_models WHERE uid = 'c'".to_owned(),
    ] {
        let bob = decide(BOB);
        let lawful = [&open[..], &[bob.as_str()]].concat();
        fortress.refuses(&["_not_replaced"], &lawful, &attack.replacen("INSERT INTO", "INSERT OR REPLACE INTO", 1)).await;
    }
}
