//! Gates that are bent for one move.

use super::{CHECK, NOTHING, all_refused, attack, direct, promoted, stage};
use crate::house::{Db, Server};
use crate::promotion_sql::{APPROVE, BOB, CAROL, Fortress, decide, gate};

on_both_engines! {
    gates_bent_for_a_move,
}

async fn gates_bent_for_a_move(server: Server) {
    let fortress = Fortress::of(server).await;
    let closed = |version| gate(("closed", version), "Production", "closed[1]*", 1, true, true, "bob");
    let back = gate(("closed", 3), "Production", "closed[1]*", 2, false, true, "bob");
    let into = direct("c", "w1", "Production", "None", "bob");
    let set = stage("w1", "Production", 1);
    let exact = gate(("very", 1), "Production", "closed[1]", 1, true, true, "bob");
    let tie = gate(("closed-z", 1), "Production", "*closed[1]", 1, true, true, "bob");
    let fewer = gate(("very", 1), "Production", "closed[1]", 1, false, true, "bob");
    let no_request = "UPDATE transition_requests SET state = 'REJECTED' WHERE uid = 'r'";
    let mut attacks = vec![
        attack(
            "put out of force without a successor",
            &["gates_fixed"],
            NOTHING,
            ["UPDATE gates SET active = FALSE WHERE gate_id = 'closed'", &into, &set],
        ),
        attack("opened, used and closed again by one person", &["transitions_own_gate"], NOTHING, [&closed(2), &into, &set, &back]),
        attack(
            "opened and used through one's service account",
            &["transitions_own_gate"],
            [no_request],
            [
                &gate(("closed", 2), "Production", "closed[1]*", 1, true, true, "alice"),
                &direct("c", "w1", "Production", "None", "bot"),
                &set,
            ],
        ),
        attack("a more specific gate that is open, while someone asks", &["gates_displace"], NOTHING, [&exact, &into, &set]),
        attack("a more specific gate that is open, where a version is", &["gates_displace"], promoted(), [&exact]),
        attack("a more specific gate with fewer approvals", &["gates_displace"], NOTHING, [&fewer]),
        attack("a gate as specific, with a greater id", &["gates_displace"], NOTHING, [&tie]),
        attack(
            "a more specific gate for oneself, where nothing is asked for",
            &["transitions_own_gate"],
            [no_request],
            [&exact, &into, &set],
        ),
        attack(
            "given up while someone asks",
            &["gates_given_up"],
            NOTHING,
            [gate(("closed", 2), "Production", "closed[1]*", 2, false, false, "bob")],
        ),
        attack(
            "given up where a version is",
            &["gates_given_up"],
            promoted(),
            [gate(("closed", 2), "Production", "closed[1]*", 2, false, false, "bob")],
        ),
        attack("a version left out", &["gates_chain"], NOTHING, [gate(("closed", 3), "Production", "closed[1]*", 1, true, true, "bob")]),
        attack(
            "a successor for another target",
            &["gates_chain"],
            NOTHING,
            [gate(("closed", 2), "Staging", "closed[1]*", 1, true, true, "bob")],
        ),
        attack(
            "a successor for other models",
            &["gates_chain"],
            NOTHING,
            [gate(("closed", 2), "Production", "other*", 1, true, true, "bob")],
        ),
        attack("a successor in another workspace", &["gates_chain"], NOTHING, [closed(2).replace("'default'", "'other'")]),
        attack(
            "a successor of a gate that was given up",
            &["gates_chain"],
            [gate(("spare", 1), "@spare", "*", 1, true, true, "bob"), gate(("spare", 2), "@spare", "*", 1, true, false, "bob")],
            [gate(("spare", 3), "@spare", "*", 1, true, true, "bob")],
        ),
        attack(
            "a first version that protects nothing",
            &["gates_chain"],
            NOTHING,
            [gate(("spare", 1), "Production", "*", 1, true, false, "bob")],
        ),
        attack(
            "a first version with a higher number",
            &["gates_chain"],
            NOTHING,
            [gate(("spare", 7), "Production", "closed[1]", 1, true, true, "bob")],
        ),
        attack(
            "a successor of the gate that protects nothing",
            &["gates_chain", "CHECK constraint", "check constraint"],
            NOTHING,
            [gate(("no-gate", 2), "", "*", 1, true, true, "bob")],
        ),
        attack("by no author", &["gates_author"], NOTHING, [gate(("closed", 2), "Production", "closed[1]*", 1, true, true, "")]),
        attack(
            "by an author that is no user",
            &["gates_author"],
            NOTHING,
            [gate(("closed", 2), "Production", "closed[1]*", 1, true, true, "ghost")],
        ),
        attack("no approvals", CHECK, NOTHING, [gate(("closed", 2), "Production", "closed[1]*", 0, false, true, "bob")]),
        attack("a gate on a target that there is not", CHECK, NOTHING, [gate(("lower", 1), "production", "*", 1, false, true, "bob")]),
        attack("a gate on what nobody uses", CHECK, NOTHING, [gate(("none", 1), "None", "*", 1, false, true, "bob")]),
        attack("deleted", &["gates_kept"], NOTHING, ["DELETE FROM gates WHERE gate_id = 'easy'"]),
        attack(
            "asked for under an older version",
            &["transition_requests_gate"],
            [no_request.to_owned(), gate(("closed", 2), "Production", "closed[1]*", 3, false, true, "bob")],
            [
                "INSERT INTO transition_requests (uid, model_uid, version_uid, target, state, gate_id, gate_version, evidence_digest, created, updated, expires) VALUES ('s', 'c', 'w1', 'Production', 'OPEN', 'closed', 1, 'd1', 1, 1, 9000000000000)",
            ],
        ),
        attack(
            "approved under a version that was replaced",
            &["transition_requests_gate_changed"],
            [decide(BOB), decide(CAROL), gate(("closed", 2), "Production", "closed[1]*", 3, false, true, "bob")],
            [APPROVE],
        ),
        attack(
            "a request without the end that its gate gives",
            &["transition_requests_expiry"],
            [no_request],
            [
                "INSERT INTO transition_requests (uid, model_uid, version_uid, target, state, gate_id, gate_version, evidence_digest, created, updated) VALUES ('s', 'c', 'w1', 'Production', 'OPEN', 'closed', 1, 'd1', 1, 1)",
            ],
        ),
        attack("a decision under another version", &["request_decisions_gate"], NOTHING, [decide(&BOB.replace("'d1', 1", "'d1', 2"))]),
    ];
    for change in [
        "workspace_id = 'other'",
        "created_by = 'carol'",
        "created = 0",
        "target = 'Staging'",
        "model_pattern = 'x'",
        "version = 9",
        "active = NULL",
        "expires_after = 1",
        "approvals_required = 1",
    ] {
        attacks.push(attack(
            format!("SET {change}"),
            &["gates_fixed"],
            NOTHING,
            [format!("UPDATE gates SET {change} WHERE gate_id = 'closed'")],
        ));
    }
    let alias =
        "INSERT INTO model_aliases (model_uid, alias, target, version_uid, transition_id) VALUES ('c', 'champion', '@champion', 'w1', 1)";
    let ended = gate(("closed-alias", 2), "@champion", "closed[1]*", 2, false, false, "alice");
    for by in ["alice", "bot"] {
        attacks.push(attack(
            format!("given up where nothing is held, and used by {by}"),
            &["transitions_own_gate"],
            NOTHING,
            [&ended, &direct("c", "w1", "@champion", "", by), alias],
        ));
    }
    let open_staging = gate(("easy", 2), "Staging", "*", 1, true, false, "alice");
    attacks.push(attack(
        "over a stage that two versions hold",
        &["gates_single"],
        [
            &open_staging,
            &direct("m", "v1", "Staging", "None", "bob"),
            &stage("v1", "Staging", 1),
            &direct("m", "v2", "Staging", "None", "bob").replace("(1, 't1'", "(2, 't2'"),
            &stage("v2", "Staging", 2),
        ],
        [gate(("late", 1), "Staging", "plain", 1, true, true, "carol")],
    ));
    // Names that this session gives to something else: on SQLite triggers look only into their own database.
    let none = "CREATE TEMPORARY VIEW gates_in_force AS SELECT g.*, 'c' AS model_uid, 'x' AS author_person_uid FROM gates g WHERE 1 = 2";
    let of_no_gate = into.replace("f.gate_id, f.version FROM n", "NULL, NULL FROM n");
    attacks.push(attack("another view of this name", &["transitions_gate", "transitions_direct"], NOTHING, [none, &of_no_gate, &set]));
    if fortress.db == Db::Sqlite {
        attacks.push(attack("OR REPLACE", &["gates_not_replaced"], NOTHING, [closed(1).replace("INSERT INTO", "INSERT OR REPLACE INTO")]));
        attacks.push(attack(
            "UPDATE OR REPLACE",
            &["gates_update_not_replaced"],
            NOTHING,
            ["UPDATE OR REPLACE gates SET gate_id = 'closed' WHERE gate_id = 'easy'"],
        ));
    } else {
        attacks.push(attack(
            "ON CONFLICT DO UPDATE",
            &["gates_chain", "gates_fixed"],
            NOTHING,
            [format!("{} ON CONFLICT (gate_id, version) DO UPDATE SET direct_moves_allowed = TRUE", closed(1))],
        ));
        let elsewhere = ["CREATE SCHEMA other", &none.replace("TEMPORARY VIEW ", "VIEW other."), "SET LOCAL search_path = other, public"];
        attacks.push(attack(
            "another view of this name in a schema that comes first",
            &["transitions_gate", "transitions_direct"],
            elsewhere,
            [&of_no_gate, &set],
        ));
    }
    all_refused(&fortress, attacks).await;
}
