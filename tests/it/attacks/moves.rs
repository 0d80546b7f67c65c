//! Moves of a stage or an alias without the right to it.

use super::{CHECK, NOTHING, all_refused, attack, direct, promoted, stage};
use crate::house::{Db, Server};
use crate::promotion_sql::{APPROVE, BOB, CAROL, Fortress, decide, gate, moves};

on_both_engines! {
    moves_without_authority,
}

/// A direct move of the closed model's version to a target as it is spelled.
fn spelled(target: &str) -> Vec<String> {
    vec![moves(&format!("(1, 't1', 'c', 'w1', '{target}', 'None', 'direct', NULL, NULL, 'bob', 'bob', 2)")), stage("w1", target, 1)]
}

async fn moves_without_authority(server: Server) {
    let fortress = Fortress::of(server).await;
    let other_model = direct("m", "w1", "Production", "None", "bob");
    let with = "INSERT INTO transitions (id, uid, model_uid, version_uid, target, from_target, authority, actor_uid, actor_name, created, gate_id, gate_version) \
                WITH w AS (SELECT uid FROM model_versions WHERE model_uid = 'c') \
                SELECT 1, 't1', 'm', w.uid, 'Production', 'None', 'direct', 'bob', 'bob', 2, 'default-production', 1 FROM w";
    let alias = |model: &str, version: &str, transition: u32| {
        format!(
            "INSERT INTO model_aliases (model_uid, alias, target, version_uid, transition_id) VALUES ('{model}', 'champion', '@champion', '{version}', {transition})"
        )
    };
    let closing = gate(("default-production", 2), "Production", "*", 1, false, true, "carol");
    let stash = direct("m", "v1", "Production", "None", "bob");
    let stash_alias = direct("m", "v1", "@champion", "", "bob");
    let closing_alias = gate(("late", 1), "@champion", "plain", 2, false, true, "carol");
    let stricter = gate(("closed", 2), "Production", "closed[1]*", 3, false, true, "carol");
    let by_request = moves("(1, 't1', 'c', 'w1', 'Production', 'None', 'request', 'r', NULL, 'bob', 'bob', 2)");
    let approved = [decide(BOB), decide(CAROL), APPROVE.to_owned()];
    let second = moves("(2, 't2', 'm', 'v2', 'Production', 'None', 'direct', NULL, NULL, 'bob', 'bob', 3)");
    let mut attacks = vec![
        attack(
            "a transition that names another model with this version",
            &["transitions_version"],
            NOTHING,
            [&other_model, &stage("w1", "Production", 1)],
        ),
        attack("the same by WITH and SELECT", &["transitions_version"], NOTHING, [with, &stage("w1", "Production", 1)]),
        attack(
            "the same for an alias",
            &["transitions_version"],
            NOTHING,
            [direct("m", "w1", "@champion", "", "bob"), alias("c", "w1", 1)],
        ),
        attack(
            "another model's alias at this version",
            &["transitions_version", "model_aliases_set"],
            NOTHING,
            [direct("m", "w1", "@champion", "", "bob"), alias("m", "w1", 1)],
        ),
        attack(
            "no model at all",
            &["transitions_version", "NOT NULL", "not-null", "null value"],
            NOTHING,
            [moves("(1, 't1', NULL, 'w1', 'Production', 'None', 'direct', NULL, NULL, 'bob', 'bob', 2)"), stage("w1", "Production", 1)],
        ),
        attack(
            "from where it does not stand",
            &["transitions_version"],
            promoted(),
            [moves("(2, 't2', 'c', 'w1', 'Archived', 'None', 'direct', NULL, NULL, 'bob', 'bob', 3)"), stage("w1", "Archived", 2)],
        ),
        attack(
            "under a gate that protects something else",
            &["transitions_gate"],
            NOTHING,
            [
                "INSERT INTO transitions (id, uid, model_uid, version_uid, target, from_target, authority, actor_uid, actor_name, created, gate_id, gate_version) VALUES (1, 't1', 'm', 'v1', 'Production', 'None', 'direct', 'bob', 'bob', 2, 'easy', 1)",
            ],
        ),
        attack(
            "under no gate where one is in force",
            &["transitions_gate"],
            NOTHING,
            [
                "INSERT INTO transitions (id, uid, model_uid, version_uid, target, from_target, authority, actor_uid, actor_name, created) VALUES (1, 't1', 'm', 'v1', 'Production', 'None', 'direct', 'bob', 'bob', 2)",
            ],
        ),
        attack("by nobody", &["transitions_actor"], NOTHING, [direct("m", "v1", "Production", "None", "ghost")]),
        attack(
            "by someone who was deactivated",
            &["transitions_actor"],
            ["UPDATE users SET active = FALSE WHERE uid = 'bob'"],
            [direct("m", "v1", "Production", "None", "bob")],
        ),
        attack(
            "of a deleted version",
            &["transitions_version"],
            ["UPDATE model_versions SET deleted = 5 WHERE uid = 'v1'"],
            [direct("m", "v1", "Production", "None", "bob"), stage("v1", "Production", 1)],
        ),
        attack(
            "made while the gate was open, carried out when it is closed",
            &["model_versions_moved"],
            [&stash, &closing],
            [stage("v1", "Production", 1)],
        ),
        attack("the same for an alias", &["model_aliases_set"], [&stash_alias, &closing_alias], [alias("m", "v1", 1)]),
        attack(
            "made by a request, carried out under another gate",
            &["model_versions_moved"],
            approved.iter().chain([&by_request, &stricter]),
            [stage("w1", "Production", 1)],
        ),
        attack(
            "an older move carried out after a newer one",
            &["model_versions_moved"],
            [&stash, &moves("(2, 't2', 'm', 'v1', 'Staging', 'None', 'direct', NULL, NULL, 'bob', 'bob', 3)")],
            [stage("v1", "Production", 1)],
        ),
        attack(
            "a second version beside the one that holds a gated stage",
            &["model_versions_single"],
            [&stash, &stage("v1", "Production", 1), &second],
            [stage("v2", "Production", 2)],
        ),
        attack(
            "both in one statement",
            &["model_versions_single"],
            [&stash, &second],
            [
                "UPDATE model_versions SET current_stage = 'Production', transition_id = CASE uid WHEN 'v1' THEN 1 ELSE 2 END WHERE model_uid = 'm'",
            ],
        ),
        attack(
            "a stage released by nothing",
            &["transitions_version", "transitions_direct"],
            promoted(),
            [moves("(2, 't2', 'c', NULL, 'Production', 'Production', 'direct', NULL, NULL, 'bob', 'bob', 3)")],
        ),
        attack(
            "a consequence of nothing",
            &["transitions_consequence", "transitions_actor"],
            promoted(),
            [moves("(2, 't2', 'c', 'w1', 'Archived', 'Production', 'consequence', NULL, 1, 'bob', 'bob', 3)"), stage("w1", "Archived", 2)],
        ),
        attack(
            "a consequence in another's name",
            &["transitions_actor"],
            [&stash, &stage("v1", "Production", 1), &second],
            [moves("(3, 't3', 'm', 'v1', 'Archived', 'Production', 'consequence', NULL, 2, 'alice', 'alice', 3)")],
        ),
        attack(
            "an authority that there is not",
            CHECK,
            NOTHING,
            [moves("(1, 't1', 'm', 'v1', 'Archived', 'None', 'Direct', NULL, NULL, 'bob', 'bob', 2)")],
        ),
    ];
    for target in [
        "production",
        "PRODUCTION",
        "Production ",
        " Production",
        "Production\t",
        "Production\n",
        "Prod",
        "",
        "@",
        "@champion ",
        "@champion\n",
        "\u{200b}Production",
        "Ｐroduction",
    ] {
        attacks.push(attack(
            format!("to {target:?}"),
            &["CHECK constraint", "check constraint", "transitions_version"],
            NOTHING,
            spelled(target),
        ));
    }
    if fortress.db == Db::Sqlite {
        let bytes = direct("c", "w1", "Production", "None", "bob").replacen("'Production'", "CAST('Production' AS BLOB)", 1);
        attacks.push(attack("to a target of bytes", CHECK, NOTHING, [bytes]));
        let replace = "UPDATE OR REPLACE transitions SET id = 2";
        attacks.push(attack("UPDATE OR REPLACE", &["transitions_fixed"], [&stash], [replace]));
        let again = moves("(7, 't7', 'm', 'v2', 'Staging', 'None', 'request', 'r', NULL, 'bob', 'bob', 3)")
            .replace("INSERT INTO", "INSERT OR REPLACE INTO");
        attacks.push(attack(
            "OR REPLACE through the request",
            &["transitions_not_replaced", "transitions_by_request"],
            approved.iter().chain([&by_request]),
            [again],
        ));
    } else {
        let upsert = format!("{stash} ON CONFLICT (uid) DO UPDATE SET target = 'Staging'");
        attacks.push(attack("ON CONFLICT DO UPDATE", &["transitions_fixed"], [&stash], [upsert]));
    }
    all_refused(&fortress, attacks).await;
}
