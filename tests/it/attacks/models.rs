//! What is served under a name becomes something else.

use super::{CHECK, NOTHING, all_refused, attack, direct, promoted, stage};
use crate::house::{Db, Server};
use crate::promotion_sql::{APPROVE, BOB, CAROL, Fortress, decide, moves};

on_both_engines! {
    models_and_versions_under_another_name,
}

async fn models_and_versions_under_another_name(server: Server) {
    let fortress = Fortress::of(server).await;
    let name =
        |name: &str, uid: &str| format!("UPDATE registered_models SET name = '{name}', canonical_name = '{name}' WHERE uid = '{uid}'");
    let no_request = "UPDATE transition_requests SET state = 'REJECTED' WHERE uid = 'r'".to_owned();
    let leaves = moves("(2, 't2', 'c', 'w1', 'Archived', 'Production', 'request', 'away', NULL, 'bob', 'bob', 3)");
    // The closed model held Production, left it by a request, and has another name since.
    let mut left = promoted();
    left.extend([
        "INSERT INTO transition_requests (uid, model_uid, version_uid, target, state, gate_id, gate_version, evidence_digest, created, updated) VALUES ('away', 'c', 'w1', 'Archived', 'OPEN', 'no-gate', 1, 'd1', 1, 1)".to_owned(),
        "INSERT INTO request_evidence (request_uid, digest, created) VALUES ('away', 'd1', 1)".to_owned(),
        decide(&BOB.replace("'r'", "'away'").replace("k1", "k3")),
        decide(&CAROL.replace("'r'", "'away'").replace("k2", "k4")),
        APPROVE.replace("'r'", "'away'"),
        leaves,
        stage("w1", "Archived", 2),
        "UPDATE holdings SET until_time = 20".to_owned(),
        name("renamed", "c"),
    ]);
    let insert = |uid: &str, name: &str| {
        format!(
            "INSERT INTO registered_models (uid, workspace_id, name, canonical_name, description, created, updated, created_by, last_version) VALUES ('{uid}', 'default', '{name}', '{name}', '', 1, 1, 'bob', 0)"
        )
    };
    let champion =
        "INSERT INTO model_aliases (model_uid, alias, target, version_uid, transition_id) VALUES ('m', 'champion', '@champion', 'v1', 1)";
    let starts = "INSERT INTO model_versions (uid, model_uid, version, description, source, source_digest, run_id, run_link, \
                  current_stage, created, updated, created_by) VALUES ('v9', 'm', 9, '', '', '', '', '', 'Production', 1, 1, 'bob')";
    let identity: &[&str] = &["registered_models_identity"];
    let mut attacks = vec![
        attack(
            "renamed for the move",
            &["registered_models_named"],
            NOTHING,
            [&name("free", "c"), &direct("c", "w1", "Production", "None", "bob"), &stage("w1", "Production", 1), &name("closed[1]", "c")],
        ),
        attack("renamed while it holds a gated target", &["registered_models_named"], promoted(), [name("free", "c")]),
        attack(
            "another name shown",
            &["registered_models_named"],
            promoted(),
            ["UPDATE registered_models SET name = 'free' WHERE uid = 'c'"],
        ),
        attack(
            "another name compared",
            &["registered_models_named"],
            NOTHING,
            ["UPDATE registered_models SET canonical_name = 'free' WHERE uid = 'c'"],
        ),
        attack("one that shows another's name", CHECK, NOTHING, ["UPDATE registered_models SET name = 'closed[1]' WHERE uid = 'm'"]),
        attack(
            "a new one that shows another's name",
            CHECK,
            NOTHING,
            [insert("n", "n").replace("'default', 'n'", "'default', 'closed[1]'")],
        ),
        attack(
            "renamed to where a gate protects what it holds",
            &["registered_models_renamed"],
            [direct("m", "v1", "@champion", "", "bob"), champion.to_owned()],
            [name("closed[1]-x", "m")],
        ),
        attack("a promoted name given to a new model", &["registered_models_name_given"], left.clone(), [insert("n", "closed[1]")]),
        attack(
            "a promoted name given by nobody",
            &["registered_models_name_given"],
            left.clone(),
            [insert("n", "closed[1]").replace("last_version)", "last_version, name_taken_by)").replace("'bob', 0)", "'bob', 0, 'ghost')")],
        ),
        attack("a promoted name taken by another model", &["registered_models_name_taken"], left.clone(), [name("closed[1]", "m")]),
        attack("its memory lost", &["promoted_names_kept"], left.clone(), ["DELETE FROM promoted_names"]),
        attack("its memory changed", &["promoted_names_fixed"], left, ["UPDATE promoted_names SET canonical_name = 'x'"]),
        attack(
            "given away afterwards",
            &["registered_models_name_taken"],
            NOTHING,
            ["UPDATE registered_models SET name_taken_by = 'bob' WHERE uid = 'm'"],
        ),
        attack("in another workspace", identity, NOTHING, ["UPDATE registered_models SET workspace_id = 'other' WHERE uid = 'c'"]),
        attack("another creator", identity, NOTHING, ["UPDATE registered_models SET created_by = 'bob' WHERE uid = 'c'"]),
        attack(
            "another id",
            &["registered_models_identity", "FOREIGN KEY", "foreign key"],
            NOTHING,
            ["UPDATE registered_models SET uid = 'x' WHERE uid = 'c'"],
        ),
        attack(
            "no id",
            &["registered_models_identity", "NOT NULL", "null value"],
            NOTHING,
            ["UPDATE registered_models SET uid = NULL WHERE uid = 'c'"],
        ),
        attack("numbers given again", identity, NOTHING, ["UPDATE registered_models SET last_version = 0 WHERE uid = 'm'"]),
        attack("other bytes under its name", &["blobs_fixed"], NOTHING, ["UPDATE blobs SET sha256 = 'y' WHERE uid = 'b1'"]),
        attack("deleted", &["registered_models_kept"], NOTHING, ["DELETE FROM registered_models WHERE uid = 'c'"]),
        attack(
            "the name of a live one",
            &["registered_models_update_not_replaced", "registered_models_name"],
            [no_request],
            [name("plain", "c")],
        ),
        attack(
            "a version deleted while someone asks for it",
            &["model_versions_tombstone"],
            NOTHING,
            ["UPDATE model_versions SET deleted = 5 WHERE uid = 'w1'"],
        ),
        attack("a version that starts in a stage", &["model_versions_start"], NOTHING, [starts]),
        attack(
            "a version moved to a stage that there is not",
            &["CHECK constraint", "check constraint", "model_versions_moved"],
            NOTHING,
            ["UPDATE model_versions SET current_stage = 'production' WHERE uid = 'w1'"],
        ),
        attack(
            "a version that trades places with another",
            &["model_versions_identity"],
            NOTHING,
            ["UPDATE model_versions SET version = CASE uid WHEN 'v1' THEN 20 ELSE 10 END WHERE model_uid = 'm'"],
        ),
    ];
    for change in ["created_by = 'bob'", "created = 0", "run_id = 'other'", "logged_model = 7", "uid = 'x'"] {
        attacks.push(attack(
            format!("a version with {change}"),
            &["model_versions_identity", "FOREIGN KEY", "foreign key"],
            NOTHING,
            [format!("UPDATE model_versions SET {change} WHERE uid = 'v2'")],
        ));
    }
    if fortress.db == Db::Sqlite {
        let off = "PRAGMA recursive_triggers = OFF";
        attacks.push(attack(
            "OR REPLACE by the name",
            &["registered_models_not_replaced"],
            [off],
            [insert("n", "closed[1]").replace("INSERT INTO", "INSERT OR REPLACE INTO")],
        ));
        attacks.push(attack(
            "OR REPLACE by the id",
            &["registered_models_not_replaced"],
            [off],
            [insert("c", "free").replace("INSERT INTO", "INSERT OR REPLACE INTO")],
        ));
        attacks.push(attack(
            "UPDATE OR REPLACE by the name",
            &["registered_models_update_not_replaced"],
            [off, "UPDATE transition_requests SET state = 'REJECTED' WHERE uid = 'r'"],
            ["UPDATE OR REPLACE registered_models SET name = 'closed[1]', canonical_name = 'closed[1]' WHERE uid = 'm'"],
        ));
        attacks.push(attack(
            "its bytes deleted",
            &["blobs_of_versions_kept"],
            NOTHING,
            ["DELETE FROM blobs WHERE uid = 'b1'", "INSERT INTO blobs (uid, size, sha256, chunks, created) VALUES ('b1', 1, 'y', '', 1)"],
        ));
        attacks.push(attack(
            "OR REPLACE of its bytes",
            &["blobs_not_replaced"],
            NOTHING,
            ["INSERT OR REPLACE INTO blobs (uid, size, sha256, chunks, created) VALUES ('b1', 1, 'y', '', 1)"],
        ));
        attacks.push(attack(
            "UPDATE OR REPLACE of a model that nothing refers to",
            &["registered_models_update_not_replaced"],
            [off, &insert("n", "bare")],
            ["UPDATE OR REPLACE registered_models SET name = 'bare', canonical_name = 'bare' WHERE uid = 'm'"],
        ));
        attacks.push(attack(
            "a version's id lost",
            &["model_versions_identity", "NOT NULL"],
            NOTHING,
            ["UPDATE model_versions SET uid = NULL WHERE uid = 'v2'"],
        ));
    } else {
        attacks.push(attack(
            "ON CONFLICT DO UPDATE",
            &["registered_models_named"],
            NOTHING,
            [format!("{} ON CONFLICT (uid) DO UPDATE SET canonical_name = 'free'", insert("c", "free"))],
        ));
    }
    all_refused(&fortress, attacks).await;
}
