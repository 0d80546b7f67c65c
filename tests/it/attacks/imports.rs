//! Imports that never were.

use sea_orm::ConnectionTrait;

use super::{NOTHING, all_refused, attack, direct, stage};
use crate::house::{Db, Server};
use crate::promotion_sql::{Fortress, moves};

on_both_engines! {
    imports_made_up,
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
            &["model_versions_single"],
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
