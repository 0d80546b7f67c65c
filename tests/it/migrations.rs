//! Starts: what a start does to the schema, and what it refuses, each in one line that says what to do.

use std::collections::BTreeSet;
use std::time::Duration;

use sea_orm::{ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement};
use sea_orm_migration::MigratorTrait;
use stagegate::store::migration::Migrator;

use crate::house::{Db, Server, bare_command, fresh_url, run_to_its_end};
use crate::promotion_sql::WORLD;

on_both_engines! {
    a_second_start_migrates_nothing,
    step_by_step_is_the_same_schema,
    the_comparison_sees_every_kind_of_change,
    an_older_database_keeps_its_rows,
    another_master_key_stops_the_start,
}

/// Everything that the database knows of its schema, as lines.
async fn catalog(sql: &DatabaseConnection) -> BTreeSet<String> {
    let query = if sql.get_database_backend() == DbBackend::Sqlite {
        "SELECT type || ' ' || name || ' ' || COALESCE(sql, '') AS line FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'"
    } else {
        "SELECT 'column ' || table_name || ' ' || column_name || ' ' || ordinal_position || ' ' || data_type || ' ' || is_nullable || ' ' || COALESCE(column_default, '') || ' ' || COALESCE(collation_name, '') || ' ' || is_identity AS line \
           FROM information_schema.columns WHERE table_schema = 'public' \
         UNION ALL SELECT 'index ' || indexname || ' ' || indexdef FROM pg_indexes WHERE schemaname = 'public' \
         UNION ALL SELECT 'constraint ' || conrelid::regclass::text || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace \
         UNION ALL SELECT 'trigger ' || tgrelid::regclass::text || ' ' || tgenabled::text || ' ' || pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal \
         UNION ALL SELECT 'function ' || proname || ' ' || prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
    };
    lines(sql, query).await.into_iter().collect()
}

async fn lines(sql: &DatabaseConnection, query: &str) -> Vec<String> {
    let rows = sql.query_all_raw(Statement::from_string(sql.get_database_backend(), query)).await.expect("the catalog can be read");
    rows.iter().map(|row| row.try_get_by_index(0).expect("a line")).collect()
}

async fn steps(sql: &DatabaseConnection) -> Vec<String> {
    lines(sql, "SELECT version || ' ' || applied_at FROM seaql_migrations ORDER BY version").await
}

async fn a_second_start_migrates_nothing(mut server: Server) {
    let sql = server.sql().await;
    let (before, schema) = (steps(&sql).await, catalog(&sql).await);
    assert_eq!(before.len(), Migrator::migrations().len());
    assert!(schema.len() > 50, "only {} lines of schema", schema.len());
    assert!(server.stop().success());
    server.restart();
    assert_eq!(steps(&sql).await, before);
    assert_eq!(catalog(&sql).await, schema);
}

async fn step_by_step_is_the_same_schema(server: Server) {
    let folder = tempfile::tempdir().expect("a folder");
    let url = fresh_url(server.db, &folder).await.expect("the engine is there");
    let url = if server.db == Db::Sqlite { format!("{url}?mode=rwc") } else { url };
    let stepwise = Database::connect(&url).await.expect("the database answers");
    for step in 1..=Migrator::migrations().len() {
        Migrator::up(&stepwise, Some(1)).await.expect("one step");
        assert_eq!(steps(&stepwise).await.len(), step);
    }
    let (stepwise, fresh) = (catalog(&stepwise).await, catalog(&server.sql().await).await);
    let differences: Vec<_> = stepwise.symmetric_difference(&fresh).collect();
    assert!(differences.is_empty(), "{differences:#?}");
}

/// Were it blind to one kind, the comparison above would be one that cannot fail.
async fn the_comparison_sees_every_kind_of_change(server: Server) {
    let sql = server.sql().await;
    let mut changes = vec![
        "DROP INDEX transitions_once",
        "CREATE UNIQUE INDEX transitions_once ON transitions (request_uid)",
        "ALTER TABLE comments ADD COLUMN mood TEXT",
        "ALTER TABLE comments RENAME COLUMN mood TO temper",
        "CREATE TABLE extra (id BIGINT PRIMARY KEY)",
        "ALTER TABLE extra RENAME TO more",
    ];
    if server.db == Db::Sqlite {
        changes.extend([
            "DROP TRIGGER holdings_kept",
            "CREATE TRIGGER holdings_kept BEFORE DELETE ON holdings BEGIN SELECT 1; END",
            "DROP TABLE more",
            "CREATE TABLE more (id BIGINT PRIMARY KEY CHECK (id > 0))",
        ]);
    } else {
        changes.extend([
            "DROP TRIGGER holdings_kept ON holdings",
            "CREATE TRIGGER holdings_kept BEFORE UPDATE ON holdings FOR EACH ROW EXECUTE FUNCTION holdings_kept()",
            "ALTER TABLE holdings DISABLE TRIGGER holdings_kept",
            "CREATE OR REPLACE FUNCTION holdings_kept() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN OLD; END $$",
            "ALTER TABLE comments ALTER COLUMN text DROP NOT NULL",
            "ALTER TABLE comments ALTER COLUMN text SET DEFAULT 'none'",
            "ALTER TABLE comments ALTER COLUMN created TYPE NUMERIC",
            "ALTER TABLE holdings DROP CONSTRAINT holdings_check",
            "ALTER TABLE version_artifacts ALTER COLUMN path TYPE TEXT COLLATE \"default\"",
        ]);
    }
    let mut before = catalog(&sql).await;
    for change in changes {
        sql.execute_unprepared(change).await.unwrap_or_else(|error| panic!("{error}: {change}"));
        let after = catalog(&sql).await;
        assert!(before != after, "not seen: {change}");
        before = after;
    }
}

/// A database of the last release but one step: its rows are there after the start of this one, and under
/// the new rules.
async fn an_older_database_keeps_its_rows(server: Server) {
    let folder = tempfile::tempdir().expect("a folder");
    let url = fresh_url(server.db, &folder).await.expect("the engine is there");
    let url = if server.db == Db::Sqlite { format!("{url}?mode=rwc") } else { url };
    let older = Database::connect(&url).await.expect("the database answers");
    let all = u32::try_from(Migrator::migrations().len()).expect("few steps");
    Migrator::up(&older, Some(all - 1)).await.expect("all steps but the last");
    older.execute_unprepared(WORLD).await.expect("the rows are lawful there");
    let counts = "SELECT 'versions ' || COUNT(*) FROM model_versions UNION ALL SELECT 'requests ' || COUNT(*) FROM transition_requests \
                  UNION ALL SELECT 'requesters ' || COUNT(*) FROM request_requesters UNION ALL SELECT 'gates ' || COUNT(*) FROM gates";
    let before = lines(&older, counts).await;
    Migrator::up(&older, None).await.expect("the last step");
    assert_eq!(lines(&older, counts).await, before);
    let forged = "INSERT INTO transitions (uid, model_uid, version_uid, target, from_target, authority, actor_uid, actor_name, created) \
                  SELECT 'forged', model_uid, uid, 'Production', 'None', 'import', '', '', 1 FROM model_versions LIMIT 1";
    let error = older.execute_unprepared(forged).await.expect_err("a rule of the last step").to_string();
    assert!(error.contains("transitions_import"), "{error}");
}

async fn another_master_key_stops_the_start(mut server: Server) {
    server.kill9();
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = bare_command();
    command.args(["serve", "--listen", "127.0.0.1:0", "--database-url", &server.url, "--data-dir"]).arg(folder.path());
    // There is no key in the other folder, and a new one would be a wrong one.
    let (status, said, _) = run_to_its_end(command, Duration::from_secs(60));
    assert!(!status.success());
    assert!(last_words(&said).contains("master.key"), "{said}");
    let key = folder.path().join("wrong.key");
    // A key as a server makes it, of another server.
    let other = Server::on(Db::Sqlite).await.expect("SQLite is always there");
    std::fs::copy(other.folder().join("master.key"), &key).expect("a key can be copied");
    let mut command = bare_command();
    command.args(["serve", "--listen", "127.0.0.1:0", "--database-url", &server.url, "--data-dir"]).arg(folder.path());
    command.arg("--master-key-file").arg(&key);
    let (status, said, _) = run_to_its_end(command, Duration::from_secs(60));
    assert!(!status.success());
    assert!(last_words(&said).contains("key"), "{said}");
    server.restart();
}

/// What is said beside the log: one line.
fn last_words(said: &str) -> String {
    let plain: Vec<&str> = said.lines().filter(|line| !line.starts_with('{')).collect();
    assert_eq!(plain.len(), 1, "one line says why: {said}");
    assert!(plain[0].starts_with("stagegate: "), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    plain[0].to_owned()
}

fn refused(arguments: &[&str], within: Duration) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = bare_command();
    command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(folder.path()).args(arguments);
    let (status, said, took) = run_to_its_end(command, within + Duration::from_secs(5));
    assert!(!status.success() && took < within, "{took:?}: {said}");
    last_words(&said)
}

#[test]
fn an_unreachable_database_stops_the_start() {
    let within = Duration::from_secs(15);
    let said = refused(&["--database-url", "postgres://someone:hidden-word@127.0.0.1:1/none"], within);
    assert!(said.contains("cannot open the database") && !said.contains("hidden-word"), "{said}");
    let said = refused(&["--database-url", "sqlite:///nowhere/at/all.db"], within);
    assert!(said.contains("/nowhere/at/all.db"), "{said}");
}

#[test]
fn a_bad_configuration_stops_the_start() {
    let within = Duration::from_secs(15);
    assert!(refused(&["--database-url", "mysql://x/y"], within).contains("sqlite:"));
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("stagegate.toml");
    std::fs::write(&file, "[serve]\nlissten = '127.0.0.1:1'\n").expect("a file");
    let mut command = bare_command();
    command.args(["serve", "--config"]).arg(&file);
    let (status, said, _) = run_to_its_end(command, within);
    assert!(!status.success() && said.contains("lissten"), "{said}");
    let mut command = bare_command();
    command.args(["serve", "--listen", "0.0.0.0:0", "--data-dir"]).arg(folder.path());
    let (status, said, _) = run_to_its_end(command, within);
    assert!(!status.success() && last_words(&said).contains("--insecure-http"), "{said}");
}

/// A URL cannot make SQLite less durable than the server promises to be.
#[test]
fn weaker_sqlite_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let memory = refused(&["--database-url", "sqlite::memory:"], Duration::from_secs(15));
    assert!(memory.contains("journal_mode=wal"), "{memory}");
    let locked = format!("sqlite://{}?mode=ro", folder.path().join("x.db").display());
    assert!(refused(&["--database-url", &locked], Duration::from_secs(15)).contains("cannot open the database"));
}
