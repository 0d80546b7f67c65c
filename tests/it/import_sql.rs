//! Attacks on the authority `import` by raw SQL: it places what an import brought, once, and is no way round a gate.

use sea_orm::{ConnectionTrait, DatabaseConnection, TransactionTrait};

use crate::house::Server;

on_both_engines! {
    an_import_is_no_way_round_a_gate,
    what_was_imported_is_kept,
}

const WORLD: &str = "
INSERT INTO registered_models (uid, workspace_id, name, canonical_name, description, created, updated, created_by, last_version) VALUES
    ('m', 'default', 'plain', 'plain', '', 1, 1, '', 3);
INSERT INTO model_versions (uid, model_uid, version, description, source, source_digest, run_id, run_link, current_stage, created, updated, created_by) VALUES
    ('v1', 'm', 1, '', '', '', '', '', 'None', 1, 1, ''), ('v2', 'm', 2, '', '', '', '', '', 'None', 1, 1, ''),
    ('own', 'm', 3, '', '', '', '', '', 'None', 1, 1, '');
INSERT INTO import_objects (source, kind, source_key, here, here_id, fingerprint, points, created) VALUES
    ('old', 'model_version', 'plain/1', 'v1', 0, 'Production', 0, 1), ('old', 'model_version', 'plain/2', 'v2', 0, 'None', 0, 1);
";
const MOVE: &str =
    "INSERT INTO transitions (id, uid, model_uid, version_uid, target, from_target, authority, actor_uid, actor_name, created) VALUES ";

async fn world(server: &Server) -> DatabaseConnection {
    let sql = server.sql().await;
    sql.execute_unprepared(WORLD).await.expect("the world is lawful");
    sql
}

/// `lawful` must succeed, `attack` must be refused by the trigger of that name; nothing of it stays.
async fn refuses(sql: &DatabaseConnection, by: &str, lawful: &[&str], attack: &str) {
    let tx = sql.begin().await.expect("a transaction");
    for step in lawful {
        tx.execute_unprepared(&format!("{MOVE}{step}")).await.unwrap_or_else(|error| panic!("lawful, but {error}: {step}"));
    }
    match tx.execute_unprepared(attack).await {
        Ok(_) => panic!("got through: {attack}"),
        Err(error) => assert!(error.to_string().contains(by), "refused, but not by {by}: {error}: {attack}"),
    }
    tx.rollback().await.expect("a rollback");
}

async fn an_import_is_no_way_round_a_gate(server: Server) {
    let sql = world(&server).await;
    let first = "(1001, 't1', 'm', 'v1', 'Production', 'None', 'import', '', '', 1)";
    for (lawful, attack) in [
        // A version that was made here; a user; a version that stands in a stage; to nothing.
        (&[][..], "(1002, 't2', 'm', 'own', 'Production', 'None', 'import', '', '', 2)"),
        (&[], "(1002, 't2', 'm', 'v1', 'Production', 'None', 'import', 'alice', 'alice', 2)"),
        (&[], "(1002, 't2', 'm', 'v1', 'Production', 'Staging', 'import', '', '', 2)"),
        (&[], "(1002, 't2', 'm', NULL, 'Production', 'None', 'import', '', '', 2)"),
        // A second time, a target that was moved here, an alias that was set already.
        (&[first], "(1002, 't2', 'm', 'v1', 'Staging', 'None', 'import', '', '', 2)"),
        (
            &["(1001, 't1', 'm', 'own', 'Staging', 'None', 'direct', 'alice', 'alice', 1)"],
            "(1002, 't2', 'm', 'v2', 'Staging', 'None', 'import', '', '', 2)",
        ),
        (
            &["(1001, 't1', 'm', 'v1', '@champion', '', 'import', '', '', 1)"],
            "(1002, 't2', 'm', 'v2', '@champion', '', 'import', '', '', 2)",
        ),
    ] {
        refuses(&sql, "transitions_import", lawful, &format!("{MOVE}{attack}")).await;
    }
    // And what is lawful: two versions in one stage, as MLflow allows it, and each to a target of its own.
    let tx = sql.begin().await.expect("a transaction");
    for step in [
        first,
        "(1002, 't2', 'm', 'v2', 'Production', 'None', 'import', '', '', 2)",
        "(1003, 't3', 'm', 'v1', '@champion', '', 'import', '', '', 3)",
    ] {
        tx.execute_unprepared(&format!("{MOVE}{step}")).await.unwrap_or_else(|error| panic!("lawful, but {error}: {step}"));
    }
    tx.rollback().await.expect("a rollback");
}

async fn what_was_imported_is_kept(server: Server) {
    let sql = world(&server).await;
    refuses(&sql, "import_objects_fixed", &[], "UPDATE import_objects SET here = 'own' WHERE source_key = 'plain/1'").await;
    refuses(&sql, "import_objects_kept", &[], "DELETE FROM import_objects").await;
}
