//! SQLite's REPLACE deletes rows without asking the triggers of DELETE, through any key of theirs: a unique index, and the
//! hidden number that a table has unless it is made without one. On PostgreSQL there is nothing of the kind.

use sea_orm::{ConnectionTrait, DatabaseConnection, Statement};

use super::{all_refused, attack, promoted};
use crate::house::{Db, Server};
use crate::promotion_sql::{BOB, Fortress, decide};

on_both_engines! {
    rows_replaced_through_any_key,
    every_guarded_table_has_keys_that_are_guarded,
}

/// The ways to say that a table has no hidden number.
const NO_NUMBER: &[&str] = &["no such column: rowid", "no such column: o.rowid", "has no column named rowid", "_not_replaced"];

async fn rows_replaced_through_any_key(server: Server) {
    let fortress = Fortress::of(server).await;
    if fortress.db == Db::Postgres {
        return;
    }
    let ready = || {
        let mut steps = promoted();
        steps.extend(
            [
                "INSERT INTO user_makers (user_uid, deed, maker_user_uid, maker_person_uid, through_user_uid, created) VALUES ('dave', 'LOGIN', 'bob', 'p-bob', 'bob', 1)",
                "INSERT INTO ledger_texts (sha256, text) VALUES ('t', 'as it was')",
                "INSERT INTO ledger_positions (position, entry) SELECT COALESCE(MAX(position), -1) + 1, 900 FROM ledger_positions",
                "INSERT INTO ledger_hashes (idx, hash) VALUES (900, x'00')",
                "INSERT INTO ledger_checkpoints (size, note, created) VALUES (900, '', 1)",
            ]
            .map(str::to_owned),
        );
        steps
    };
    let mut attacks = Vec::new();
    // Another row takes the number of the one that is to go.
    for (what, insert) in [
        (
            "requesters",
            "request_requesters (rowid, request_uid, person_uid, user_uid, comment, created) SELECT rowid, 'r', 'p-dave', 'dave', '', 1 FROM request_requesters",
        ),
        (
            "gates",
            "gates (rowid, gate_id, version, workspace_id, target, model_pattern, approvals_required, direct_moves_allowed, active, created, created_by) \
            SELECT rowid, 'other', 1, 'default', 'Staging', 'x', 1, TRUE, TRUE, 1, 'bob' FROM gates WHERE gate_id = 'closed'",
        ),
        (
            "makers",
            "user_makers (rowid, user_uid, deed, maker_user_uid, maker_person_uid, through_user_uid, created) \
            SELECT rowid, 'carol', 'LOGIN', '', '', '', 5 FROM user_makers",
        ),
        (
            "users",
            "users (rowid, uid, name, canonical_name, display_name, kind, person_uid, active, created) \
            SELECT rowid, 'eve', 'eve', 'eve', '', 'PERSON', 'p-dave', TRUE, 1 FROM users WHERE uid = 'dave'",
        ),
        (
            "models",
            "registered_models (rowid, uid, workspace_id, name, canonical_name, description, created, updated, created_by, last_version) \
            SELECT rowid, 'n', 'default', 'n', 'n', '', 1, 1, 'bob', 0 FROM registered_models WHERE uid = 'm'",
        ),
        (
            "versions",
            "model_versions (rowid, uid, model_uid, version, description, source, source_digest, run_id, run_link, current_stage, created, updated, created_by) \
            SELECT rowid, 'v3', 'm', 3, '', '', '', '', '', 'None', 1, 1, 'bob' FROM model_versions WHERE uid = 'v1'",
        ),
        ("blobs", "blobs (rowid, uid, size, sha256, chunks, created) SELECT rowid, 'b3', 1, 'z', '', 1 FROM blobs WHERE uid = 'b1'"),
        ("evidence", "evidence (rowid, digest, record, created) SELECT rowid, 'd3', '{}', 1 FROM evidence WHERE digest = 'd1'"),
        (
            "evidence of requests",
            "request_evidence (rowid, request_uid, digest, created) SELECT rowid, 's', 'd1', 1 FROM request_evidence WHERE digest = 'd1'",
        ),
        (
            "requests",
            "transition_requests (rowid, uid, model_uid, version_uid, target, state, gate_id, gate_version, evidence_digest, created, updated) \
            SELECT rowid, 's', 'm', 'v1', 'Archived', 'OPEN', 'no-gate', 1, 'd1', 1, 1 FROM transition_requests",
        ),
        ("texts", "ledger_texts (rowid, sha256, text) SELECT rowid, 'u', 'other' FROM ledger_texts WHERE sha256 = 't'"),
        ("positions", "ledger_positions (rowid, entry) SELECT position, 901 FROM ledger_positions WHERE entry = 900"),
        ("positions of the same entry", "ledger_positions (position, entry) SELECT MAX(position) + 1, 900 FROM ledger_positions"),
        ("hashes", "ledger_hashes (rowid, hash) VALUES (900, x'01')"),
        ("checkpoints", "ledger_checkpoints (rowid, note, created) VALUES (900, 'other', 1)"),
    ] {
        attacks.push(attack(format!("{what} by a new row"), NO_NUMBER, ready(), [format!("INSERT OR REPLACE INTO {insert}")]));
    }
    // A row that may be changed takes the number of another.
    for (table, row, other) in [
        ("model_versions", "uid = 'v2'", "uid = 'v1'"),
        ("registered_models", "uid = 'm'", "uid = 'c'"),
        ("users", "uid = 'dave'", "uid = 'alice'"),
        ("request_requesters", "person_uid = 'p-dave'", "person_uid = 'p-alice'"),
    ] {
        let mut steps = ready();
        if table == "request_requesters" {
            steps = vec!["INSERT INTO request_requesters (request_uid, person_uid, user_uid, comment, created) VALUES ('r', 'p-dave', 'dave', '', 1)".to_owned()];
        }
        let taken = format!("UPDATE OR REPLACE {table} SET rowid = (SELECT o.rowid FROM {table} o WHERE o.{other}) WHERE {row}");
        attacks.push(attack(format!("{table} by another row of it"), NO_NUMBER, steps, [taken]));
    }
    // Self approval, as far as it goes.
    attacks.push(attack(
        "whoever asked is made to have never asked, and approves",
        NO_NUMBER,
        [decide(BOB)],
        [
            "INSERT OR REPLACE INTO request_requesters (rowid, request_uid, person_uid, user_uid, comment, created) \
             SELECT rowid, 'r', 'p-dave', 'dave', '', 1 FROM request_requesters"
                .to_owned(),
            decide(&BOB.replace("k1", "k9").replace("'p-bob'", "'p-alice'").replace("'bob'", "'alice'")),
        ],
    ));
    all_refused(&fortress, attacks).await;
}

async fn lines(sql: &DatabaseConnection, query: &str) -> Vec<String> {
    let rows = sql.query_all_raw(Statement::from_string(sql.get_database_backend(), query)).await.expect("the catalog can be read");
    rows.iter().map(|row| row.try_get_by_index(0).expect("a line")).collect()
}

/// Each table of which a trigger keeps rows has no key besides its unique indexes, and each row of it, put in once more with
/// REPLACE, is refused: no one key was forgotten, and a table that is made later is found here by itself.
async fn every_guarded_table_has_keys_that_are_guarded(server: Server) {
    let fortress = Fortress::of(server).await;
    if fortress.db == Db::Postgres {
        return;
    }
    let sql = &fortress.sql;
    let tables = lines(sql, "SELECT DISTINCT tbl_name FROM sqlite_schema WHERE type = 'trigger' ORDER BY 1").await;
    assert!(tables.len() > 15, "{tables:?}");
    for table in &tables {
        let hidden = format!(
            "SELECT t.name FROM pragma_table_list('{table}') t WHERE t.wr = 0 AND NOT EXISTS (SELECT 1 FROM pragma_table_info('{table}') c \
             WHERE c.pk = 1 AND UPPER(c.type) = 'INTEGER' AND NOT EXISTS (SELECT 1 FROM pragma_table_info('{table}') d WHERE d.pk = 2))"
        );
        assert!(lines(sql, &hidden).await.is_empty(), "{table}: its rows have a hidden number");
        let guards = format!(
            "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = '{table}' AND name LIKE '%_not_replaced' ORDER BY 1"
        );
        assert_eq!(lines(sql, &guards).await, [format!("{table}_not_replaced"), format!("{table}_update_not_replaced")]);
        let keys = format!("SELECT CAST(COUNT(*) AS TEXT) FROM {table}");
        if lines(sql, &keys).await[0] != "0" {
            let again = format!("INSERT OR REPLACE INTO {table} SELECT * FROM {table} LIMIT 1");
            fortress.refuses(&["_not_replaced", "only grows", "registered_models_name_given"], &[], &again).await;
        }
    }
}
