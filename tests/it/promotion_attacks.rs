//! Attacks by raw SQL as a table: each has a name, what is lawful before it, and the statements of which one must be
//! refused by a named rule. All are tried, and all that get through are told.

use sea_orm::{ConnectionTrait, TransactionTrait};

use crate::house::{Db, Server};
use crate::promotion_sql::{APPROVE, BOB, CAROL, Fortress, decide, gate, hold, moves};

on_both_engines! {
    moves_without_authority,
    gates_bent_for_a_move,
    models_and_versions_under_another_name,
    persons_who_become_others,
    records_told_otherwise,
    imports_made_up,
    what_is_lawful_still_goes,
}

struct Attack {
    name: String,
    /// Names of rules, or words of the engine's own checks.
    by: &'static [&'static str],
    lawful: Vec<String>,
    attack: Vec<String>,
}

fn attack<A: Into<String>, B: Into<String>>(
    name: impl Into<String>,
    by: &'static [&'static str],
    lawful: impl IntoIterator<Item = A>,
    attack: impl IntoIterator<Item = B>,
) -> Attack {
    Attack {
        name: name.into(),
        by,
        lawful: lawful.into_iter().map(Into::into).collect(),
        attack: attack.into_iter().map(Into::into).collect(),
    }
}

const NOTHING: [&str; 0] = [];
/// SQLite's and PostgreSQL's words for a CHECK.
const CHECK: &[&str] = &["CHECK constraint", "check constraint"];

/// Tries one; says what went wrong.
async fn outcome(fortress: &Fortress, attack: &Attack) -> Result<(), String> {
    let tx = fortress.sql.begin().await.expect("a transaction");
    for step in &attack.lawful {
        tx.execute_unprepared(step).await.map_err(|error| format!("is lawful, but {error}: {step}"))?;
    }
    let mut outcome = Err("GOT THROUGH".to_owned());
    for step in &attack.attack {
        if let Err(error) = tx.execute_unprepared(step).await {
            let text = error.to_string();
            let named = attack.by.iter().any(|rule| text.contains(rule));
            outcome = if named { Ok(()) } else { Err(format!("refused, but not by {:?}: {text}", attack.by)) };
            break;
        }
    }
    tx.rollback().await.expect("a rollback");
    outcome
}

async fn all_refused(fortress: &Fortress, attacks: Vec<Attack>) {
    let mut told = Vec::new();
    for attack in &attacks {
        if let Err(why) = outcome(fortress, attack).await {
            told.push(format!("{}: {why}", attack.name));
        }
    }
    assert!(told.is_empty(), "{:?}: {} of {} attacks:\n{}", fortress.db, told.len(), attacks.len(), told.join("\n"));
}

/// The closed model's version reaches Production as it should: two approvals, the move, the holding.
fn promoted() -> Vec<String> {
    let there = moves("(1, 't1', 'c', 'w1', 'Production', 'None', 'request', 'r', NULL, 'bob', 'bob', 2)");
    let set = "UPDATE model_versions SET current_stage = 'Production', transition_id = 1 WHERE uid = 'w1'";
    vec![decide(BOB), decide(CAROL), APPROVE.to_owned(), there, set.to_owned(), hold("('c', 'Production', 'w1', 10, NULL, 1)")]
}

fn stage(version: &str, stage: &str, transition: u32) -> String {
    format!("UPDATE model_versions SET current_stage = '{stage}', transition_id = {transition} WHERE uid = '{version}'")
}

/// A direct move of the closed model's version to a target as it is spelled.
fn spelled(target: &str) -> Vec<String> {
    vec![moves(&format!("(1, 't1', 'c', 'w1', '{target}', 'None', 'direct', NULL, NULL, 'bob', 'bob', 2)")), stage("w1", target, 1)]
}

fn direct(model: &str, version: &str, target: &str, from: &str, actor: &str) -> String {
    moves(&format!("(1, 't1', '{model}', '{version}', '{target}', '{from}', 'direct', NULL, NULL, '{actor}', '{actor}', 2)"))
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
            &["model_versions_alone"],
            [&stash, &stage("v1", "Production", 1), &second],
            [stage("v2", "Production", 2)],
        ),
        attack(
            "both in one statement",
            &["model_versions_alone"],
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
            NOTHING,
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
    if fortress.db == Db::Sqlite {
        attacks.push(attack("OR REPLACE", &["gates_not_replaced"], NOTHING, [closed(1).replace("INSERT INTO", "INSERT OR REPLACE INTO")]));
        attacks.push(attack(
            "UPDATE OR REPLACE",
            &["gates_fixed"],
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
    }
    all_refused(&fortress, attacks).await;
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
        "INSERT INTO evidence (request_uid, digest, record, created) VALUES ('away', 'd1', '{}', 1)".to_owned(),
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
    let identity: &[&str] = &["registered_models_identity"];
    let mut attacks = vec![
        attack("renamed for the move", &["registered_models_named"], NOTHING, [&name("free", "c"), &direct("c", "w1", "Production", "None", "bob"), &stage("w1", "Production", 1), &name("closed[1]", "c")]),
        attack("renamed while it holds a gated target", &["registered_models_named"], promoted(), [name("free", "c")]),
        attack("another name shown", &["registered_models_named"], promoted(), ["UPDATE registered_models SET name = 'free' WHERE uid = 'c'"]),
        attack("another name compared", &["registered_models_named"], NOTHING, ["UPDATE registered_models SET canonical_name = 'free' WHERE uid = 'c'"]),
        attack("renamed to where a gate protects what it holds", &["registered_models_renamed"], [direct("m", "v1", "@champion", "", "bob"), "INSERT INTO model_aliases (model_uid, alias, target, version_uid, transition_id) VALUES ('m', 'champion', '@champion', 'v1', 1)".to_owned()], [name("closed[1]-x", "m")]),
        attack("a promoted name given to a new model", &["registered_models_name_given"], left.clone(), [insert("n", "closed[1]")]),
        attack("a promoted name given by nobody", &["registered_models_name_given"], left.clone(), [insert("n", "closed[1]").replace("last_version)", "last_version, name_taken_by)").replace("'bob', 0)", "'bob', 0, 'ghost')")]),
        attack("a promoted name taken by another model", &["registered_models_name_taken"], left.clone(), [name("closed[1]", "m")]),
        attack("its memory lost", &["promoted_names_kept"], left.clone(), ["DELETE FROM promoted_names"]),
        attack("its memory changed", &["promoted_names_fixed"], left, ["UPDATE promoted_names SET canonical_name = 'x'"]),
        attack("given away afterwards", &["registered_models_name_taken"], NOTHING, ["UPDATE registered_models SET name_taken_by = 'bob' WHERE uid = 'm'"]),
        attack("in another workspace", identity, NOTHING, ["UPDATE registered_models SET workspace_id = 'other' WHERE uid = 'c'"]),
        attack("another creator", identity, NOTHING, ["UPDATE registered_models SET created_by = 'bob' WHERE uid = 'c'"]),
        attack("another id", &["registered_models_identity", "FOREIGN KEY", "foreign key"], NOTHING, ["UPDATE registered_models SET uid = 'x' WHERE uid = 'c'"]),
        attack("no id", &["registered_models_identity", "NOT NULL", "null value"], NOTHING, ["UPDATE registered_models SET uid = NULL WHERE uid = 'c'"]),
        attack("numbers given again", identity, NOTHING, ["UPDATE registered_models SET last_version = 0 WHERE uid = 'm'"]),
        attack("deleted", &["registered_models_kept"], NOTHING, ["DELETE FROM registered_models WHERE uid = 'c'"]),
        attack("the name of a live one", &["registered_models_name_not_replaced", "registered_models_name"], [no_request], [name("plain", "c")]),
        attack("a version deleted while someone asks for it", &["model_versions_tombstone"], NOTHING, ["UPDATE model_versions SET deleted = 5 WHERE uid = 'w1'"]),
        attack("a version that starts in a stage", &["model_versions_start"], NOTHING, ["INSERT INTO model_versions (uid, model_uid, version, description, source, source_digest, run_id, run_link, current_stage, created, updated, created_by) VALUES ('v9', 'm', 9, '', '', '', '', '', 'Production', 1, 1, 'bob')"]),
        attack("a version moved to a stage that there is not", &["CHECK constraint", "check constraint", "model_versions_moved"], NOTHING, ["UPDATE model_versions SET current_stage = 'production' WHERE uid = 'w1'"]),
        attack("a version that trades places with another", &["model_versions_identity"], NOTHING, ["UPDATE model_versions SET version = CASE uid WHEN 'v1' THEN 20 ELSE 10 END WHERE model_uid = 'm'"]),
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
            &["registered_models_name_not_replaced"],
            [off],
            ["UPDATE OR REPLACE registered_models SET name = 'closed[1]', canonical_name = 'closed[1]' WHERE uid = 'm'"],
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

async fn persons_who_become_others(server: Server) {
    let fortress = Fortress::of(server).await;
    let user = "INSERT INTO users (uid, name, canonical_name, display_name, kind, person_uid, active, created) VALUES ('alice', 'alice', 'alice', '', 'PERSON', 'p-bob', TRUE, 1)";
    let identity: &[&str] = &["request_requesters_identity"];
    let decision: &[&str] = &["request_decisions_identity"];
    let mut attacks = vec![
        attack(
            "a user of another person",
            &["users_person"],
            NOTHING,
            [
                "UPDATE users SET person_uid = 'p-bob' WHERE uid = 'alice'",
                &decide("('k1', 'r', 'p-bob', NULL, 'alice', 'APPROVED', '', 'd1', 1, FALSE, 2)"),
            ],
        ),
        attack(
            "a user without a person",
            &["users_person", "NOT NULL", "null value"],
            NOTHING,
            ["UPDATE users SET person_uid = NULL WHERE uid = 'alice'"],
        ),
        attack("a user deleted", &["users_kept"], NOTHING, ["DELETE FROM users WHERE uid = 'dave'"]),
        attack("a user with another's name", &["users_name"], NOTHING, ["UPDATE users SET canonical_name = 'eve' WHERE uid = 'alice'"]),
        attack("a requester of another time", identity, NOTHING, ["UPDATE request_requesters SET created = 0"]),
        attack("a requester of another user", identity, NOTHING, ["UPDATE request_requesters SET user_uid = 'bot'"]),
        attack(
            "a requester without a person",
            &["request_requesters_identity", "NOT NULL", "null value"],
            NOTHING,
            ["UPDATE request_requesters SET person_uid = NULL"],
        ),
        attack(
            "a requester of another request",
            &["request_requesters_identity", "FOREIGN KEY", "foreign key"],
            NOTHING,
            ["UPDATE request_requesters SET request_uid = 'x'"],
        ),
        attack(
            "a decision by no token of the command line",
            decision,
            [decide(&BOB.replace("FALSE", "TRUE"))],
            ["UPDATE request_decisions SET voided = 5, command_line = FALSE"],
        ),
        attack("a decision of another time", decision, [decide(BOB)], ["UPDATE request_decisions SET voided = 5, created = 0"]),
        attack(
            "a decision through no other",
            decision,
            [decide(&BOB.replace("NULL", "'p-dave'"))],
            ["UPDATE request_decisions SET voided = 5, issuer_person_uid = NULL"],
        ),
        attack(
            "a decision that was not voided",
            decision,
            [decide(BOB), "UPDATE request_decisions SET voided = 5".to_owned()],
            ["UPDATE request_decisions SET voided = NULL"],
        ),
        attack(
            "approved without a word",
            &["CHECK constraint", "check constraint", "transition_requests_quorum"],
            NOTHING,
            ["UPDATE transition_requests SET state = 'approved' WHERE uid = 'r'"],
        ),
        attack("approved by NULL", &["NOT NULL", "null value"], NOTHING, ["UPDATE transition_requests SET state = NULL WHERE uid = 'r'"]),
        attack(
            "approved with the id lost",
            &["transition_requests_identity", "NOT NULL", "null value"],
            NOTHING,
            ["UPDATE transition_requests SET state = 'APPROVED', uid = NULL WHERE uid = 'r'"],
        ),
        attack(
            "approved and reopened",
            &["transition_requests_final"],
            [decide(BOB), decide(CAROL), APPROVE.to_owned()],
            ["UPDATE transition_requests SET state = 'OPEN' WHERE uid = 'r'"],
        ),
    ];
    if fortress.db == Db::Sqlite {
        attacks.push(attack(
            "a user replaced by one of another person",
            &["users_not_replaced"],
            ["PRAGMA defer_foreign_keys = ON"],
            [user.replace("INSERT INTO", "INSERT OR REPLACE INTO")],
        ));
        attacks.push(attack(
            "a user replaced through the name",
            &["users_not_replaced"],
            ["PRAGMA defer_foreign_keys = ON"],
            [user.replace("INSERT INTO", "INSERT OR REPLACE INTO").replace("('alice', ", "('x', ")],
        ));
        attacks.push(attack(
            "UPDATE OR REPLACE of a user",
            &["users_name"],
            ["PRAGMA defer_foreign_keys = ON"],
            ["UPDATE OR REPLACE users SET canonical_name = 'bob' WHERE uid = 'alice'"],
        ));
    } else {
        attacks.push(attack(
            "ON CONFLICT DO UPDATE of a user",
            &["users_person"],
            NOTHING,
            [format!("{user} ON CONFLICT (uid) DO UPDATE SET person_uid = 'p-bob'")],
        ));
        attacks.push(attack("TRUNCATE of users", &["is not emptied"], NOTHING, ["TRUNCATE users CASCADE"]));
    }
    all_refused(&fortress, attacks).await;
}

async fn records_told_otherwise(server: Server) {
    let fortress = Fortress::of(server).await;
    let first = direct("m", "v1", "@best", "", "bob");
    let set = "INSERT INTO model_aliases (model_uid, alias, target, version_uid, transition_id) VALUES ('m', 'best', '@best', 'v1', 1)";
    let lawful = [first.as_str(), set];
    let held = hold("('m', '@best', 'v1', 10, NULL, 1)");
    let with_holding = || [&first, set, &held].map(str::to_owned);
    let mut attacks = vec![
        attack("a holding that ends while it is held", &["holdings_ended"], with_holding(), ["UPDATE holdings SET until_time = 20"]),
        attack("a gated holding that ends while it is held", &["holdings_ended"], promoted(), ["UPDATE holdings SET until_time = 20"]),
        attack(
            "a holding by another's move",
            &["holdings_by"],
            [&first, set, &direct("m", "v2", "Staging", "None", "bob").replace("(1, 't1'", "(2, 't2'")],
            [hold("('m', '@best', 'v1', 10, NULL, 2)")],
        ),
        attack("a holding of another model", &["holdings_held", "holdings_by"], lawful, [hold("('c', '@best', 'v1', 10, NULL, 1)")]),
        attack(
            "a holding without its row",
            &["holdings_end_once", "NOT NULL", "null value"],
            with_holding(),
            ["UPDATE holdings SET target = NULL"],
        ),
        attack("a holding deleted", &["holdings_kept"], with_holding(), ["DELETE FROM holdings"]),
        attack("a holding with another id", &["holdings_end_once"], with_holding(), ["UPDATE holdings SET id = 99"]),
        attack("an alias released without a move", &["model_aliases_released"], lawful, ["DELETE FROM model_aliases"]),
        attack(
            "an alias with another spelling",
            &["CHECK constraint", "check constraint", "model_aliases_set"],
            [&first],
            [set.replace("'best'", "'Best'")],
        ),
        attack("an alias of another spelling in both", &["model_aliases_set", "FOREIGN KEY"], [&first], [set.replace("best'", "Best'")]),
        attack("an alias moved to another model", &["model_aliases_moved"], lawful, ["UPDATE model_aliases SET model_uid = 'c'"]),
        attack("transitions forgotten", &["transitions_kept"], [&first], ["DELETE FROM transitions"]),
        attack("transitions told otherwise", &["transitions_fixed"], [&first], ["UPDATE transitions SET actor_uid = 'alice'"]),
        attack(
            "a request deleted and made again",
            &["transition_requests_kept"],
            NOTHING,
            ["DELETE FROM transition_requests WHERE uid = 'r'"],
        ),
        attack("a requester deleted", &["request_requesters_kept"], NOTHING, ["DELETE FROM request_requesters"]),
        attack("a decision deleted", &["request_decisions_kept"], [decide(BOB)], ["DELETE FROM request_decisions"]),
    ];
    if fortress.db == Db::Sqlite {
        let off = "PRAGMA recursive_triggers = OFF".to_owned();
        let mut lawful = vec![off];
        lawful.extend(with_holding());
        attacks.push(attack(
            "a holding replaced",
            &["holdings_not_replaced", "holdings_follow"],
            lawful,
            ["INSERT OR REPLACE INTO holdings SELECT id, model_uid, target, 'v2', from_time, 20, transition_id FROM holdings"],
        ));
    }
    all_refused(&fortress, attacks).await;
}

const IMPORTED: [&str; 4] = [
    "INSERT INTO registered_models (uid, workspace_id, name, canonical_name, description, created, updated, created_by, last_version) VALUES ('i', 'default', 'moved', 'moved', '', 1, 1, '', 2), ('j', 'default', 'moved-2', 'moved-2', '', 1, 1, '', 2)",
    "INSERT INTO import_objects (source, kind, source_key, here, here_id, fingerprint, points, created) VALUES ('old', 'registered_model', 'moved', 'i', 0, '', 0, 1)",
    "INSERT INTO model_versions (uid, model_uid, version, description, source, source_digest, run_id, run_link, current_stage, created, updated, created_by) VALUES ('i1', 'i', 1, '', '', '', '', '', 'None', 1, 1, ''), ('i2', 'i', 2, '', '', '', '', '', 'None', 1, 1, ''), ('own', 'i', 3, '', '', '', '', '', 'None', 1, 1, 'bob'), ('j1', 'j', 1, '', '', '', '', '', 'None', 1, 1, '')",
    "INSERT INTO import_objects (source, kind, source_key, here, here_id, fingerprint, points, created) VALUES ('old', 'model_version', 'moved/1', 'i1', 0, 'Production', 0, 1), ('old', 'model_version', 'moved/2', 'i2', 0, 'Production', 0, 1)",
];
const ENDED: &str = "UPDATE import_objects SET fingerprint = 'complete' WHERE kind = 'registered_model'";

fn import(id: u32, version: &str, target: &str, from: &str) -> String {
    let model = if version.starts_with('w') { "c" } else { &version[..1].replace('o', "i") };
    format!(
        "INSERT INTO transitions (id, uid, model_uid, version_uid, target, from_target, authority, actor_uid, actor_name, created) VALUES ({id}, 't{id}', '{model}', '{version}', '{target}', '{from}', 'import', '', '', 2)"
    )
}

fn row(kind: &str, key: &str, here: &str) -> String {
    format!(
        "INSERT INTO import_objects (source, kind, source_key, here, here_id, fingerprint, points, created) VALUES ('new', '{kind}', '{key}', '{here}', 0, '', 0, 1)"
    )
}

async fn imports_made_up(server: Server) {
    let fortress = Fortress::of(server).await;
    for step in IMPORTED {
        fortress.sql.execute_unprepared(step).await.unwrap_or_else(|error| panic!("lawful, but {error}: {step}"));
    }
    let by: &[&str] = &["transitions_import"];
    let new: &[&str] = &["import_objects_new"];
    let once: &[&str] = &["import_objects_not_replaced", "import_objects_once", "import_objects_new"];
    let first = import(1, "i1", "Production", "None");
    let own_move = direct("i", "own", "Staging", "None", "bob");
    let mut attacks = vec![
        attack(
            "a made-up row for a version made here",
            new,
            NOTHING,
            [row("model_version", "x/1", "w1"), import(1, "w1", "Production", "None"), stage("w1", "Production", 1)],
        ),
        attack(
            "made-up rows for a model made here",
            new,
            NOTHING,
            [row("registered_model", "x", "c"), row("model_version", "x/1", "w1"), import(1, "w1", "Production", "None")],
        ),
        attack(
            "a made-up row for an imported model",
            once,
            [ENDED],
            [row("registered_model", "x", "i"), import(1, "i1", "Production", "None")],
        ),
        attack("a made-up row for an imported version", once, NOTHING, [row("model_version", "x/1", "i1")]),
        attack("a row for a model that has versions", new, NOTHING, [row("registered_model", "x", "j")]),
        attack(
            "a row for a version made here in an imported model",
            new,
            NOTHING,
            [row("model_version", "moved/3", "own").replace("'new'", "'old'"), import(1, "own", "Production", "None")],
        ),
        attack(
            "a row for a version under another number",
            new,
            [
                "INSERT INTO model_versions (uid, model_uid, version, description, source, source_digest, run_id, run_link, current_stage, created, updated, created_by) VALUES ('i4', 'i', 4, '', '', '', '', '', 'None', 1, 1, '')",
            ],
            [row("model_version", "moved/9", "i4").replace("'new'", "'old'")],
        ),
        attack("no row at all", by, NOTHING, [import(1, "own", "Production", "None")]),
        attack("after the first import has ended", by, [ENDED], [first.as_str(), &stage("i1", "Production", 1)]),
        attack("an alias after the first import has ended", by, [ENDED], [import(1, "i1", "@champion", "")]),
        attack(
            "the first import begun again",
            &["import_objects_fixed"],
            [ENDED],
            ["UPDATE import_objects SET fingerprint = '' WHERE kind = 'registered_model'", &first],
        ),
        attack("after a version was moved here", by, [&own_move], [import(2, "i1", "Production", "None")]),
        attack("a second time", by, [&first], [import(2, "i1", "Staging", "None")]),
        attack("an alias a second time", by, [import(1, "i1", "@champion", "")], [import(2, "i2", "@champion", "")]),
        attack(
            "by a user",
            &["transitions_actor", "transitions_import"],
            NOTHING,
            [first.replace("'import', '', ''", "'import', 'bob', 'bob'")],
        ),
        attack(
            "a second version into a gated stage",
            &["model_versions_alone"],
            [&first, &stage("i1", "Production", 1), &import(2, "i2", "Production", "None")],
            [stage("i2", "Production", 2)],
        ),
        attack(
            "a version made here becomes an imported one",
            &["model_versions_identity"],
            NOTHING,
            ["UPDATE model_versions SET created_by = '' WHERE uid = 'own'"],
        ),
        attack(
            "a model made here becomes an imported one",
            &["registered_models_identity"],
            NOTHING,
            ["UPDATE registered_models SET created_by = '' WHERE uid = 'c'"],
        ),
        attack(
            "the row of an alias that no import set",
            new,
            [&own_move],
            [row("alias", "moved/x", "own").replace("'own', 0", "'own', 1")],
        ),
        attack(
            "a row for another object",
            &["import_objects_fixed"],
            NOTHING,
            ["UPDATE import_objects SET here = 'own' WHERE source_key = 'moved/1'"],
        ),
        attack("rows forgotten", &["import_objects_kept"], NOTHING, ["DELETE FROM import_objects"]),
    ];
    if fortress.db == Db::Sqlite {
        attacks.push(attack(
            "rows replaced",
            once,
            [ENDED],
            [row("registered_model", "moved", "i").replace("INSERT INTO", "INSERT OR REPLACE INTO").replace("'new'", "'old'")],
        ));
    }
    all_refused(&fortress, attacks).await;
    let archived = moves("(3, 't3', 'i', 'i1', 'Archived', 'Production', 'consequence', NULL, 2, '', '', 2)");
    fortress
        .allows(&[
            &first,
            &stage("i1", "Production", 1),
            &import(2, "i2", "Production", "None"),
            &archived,
            &stage("i1", "Archived", 3),
            &stage("i2", "Production", 2),
            ENDED,
        ])
        .await;
}

async fn what_is_lawful_still_goes(server: Server) {
    let fortress = Fortress::of(server).await;
    let promoted = promoted();
    fortress.allows(&promoted.iter().map(String::as_str).collect::<Vec<_>>()).await;
    // A stricter gate may take the place of another, a gate may be loosened by its next version and used by others.
    fortress.allows(&[&gate(("very", 1), "Production", "closed[1]", 3, false, true, "bob")]).await;
    fortress
        .allows(&[
            &gate(("closed", 2), "Production", "closed[1]*", 1, true, true, "bob"),
            &direct("c", "w1", "Production", "None", "carol"),
        ])
        .await;
    // A gate is given up where nothing is held or asked for.
    fortress
        .allows(&[
            &gate(("closed-alias", 2), "@champion", "closed[1]*", 1, true, false, "bob"),
            &direct("c", "w1", "@champion", "", "carol"),
        ])
        .await;
    // The name of what was promoted goes to another model by the hand of a user.
    fortress.allows(&["UPDATE registered_models SET name = 'other', canonical_name = 'other' WHERE uid = 'm'"]).await;
}
