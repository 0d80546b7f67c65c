//! First starts: several at once on one new database, and what commands do on a schema of another version.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait, Database, DatabaseConnection, Statement};
use sea_orm_migration::MigratorTrait;
use stagegate::store::migration::Migrator;

use crate::house::{Db, Server, bare_command, fresh_url, run_to_its_end, serve_command};

on_both_engines! {
    only_serve_and_migrate_change_the_schema,
    commands_work_beside_the_server,
}

const START: Duration = Duration::from_secs(60);

async fn texts(sql: &DatabaseConnection, query: &str) -> Vec<String> {
    let rows = sql.query_all_raw(Statement::from_string(sql.get_database_backend(), query)).await.expect("SQL beside the server");
    rows.iter().map(|row| row.try_get_by_index(0).expect("a text")).collect()
}

/// A server that was started with others, and what it has said.
struct Started {
    child: Child,
    out: std::sync::mpsc::Receiver<String>,
    err: std::thread::JoinHandle<String>,
}

fn started(folder: &tempfile::TempDir, url: &str, shared: &Path) -> Started {
    let artifacts = format!("file://{}", shared.join("artifacts").display());
    let settings = [("STAGEGATE_ARTIFACTS_URL", artifacts.as_str()), ("STAGEGATE_LOG", "info")];
    let mut command = serve_command(folder, url, &shared.join("master.key"), &settings);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
    let (said, out) = std::sync::mpsc::channel();
    let pipe = child.stdout.take().expect("a pipe");
    std::thread::spawn(move || BufReader::new(pipe).lines().map_while(Result::ok).for_each(|line| said.send(line).unwrap_or(())));
    let pipe = child.stderr.take().expect("a pipe");
    let err = std::thread::spawn(move || std::io::read_to_string(pipe).unwrap_or_default());
    Started { child, out, err }
}

impl Started {
    /// Whether it serves. Ends it, and gives what it wrote to standard error.
    fn serves(mut self) -> (bool, String) {
        let serves = self.out.recv_timeout(START).is_ok_and(|line| line.contains("listens on"));
        // It may have ended already.
        let _ = self.child.kill();
        self.child.wait().expect("the child ends");
        (serves, self.err.join().expect("the reader ends"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seven_replicas_start_together_on_an_empty_database() {
    let shared = tempfile::tempdir().expect("a folder");
    let Some(url) = fresh_url(Db::Postgres, &shared).await else { return };
    let folders: Vec<_> = (0..7).map(|_| tempfile::tempdir().expect("a folder")).collect();
    let all: Vec<_> = folders.iter().map(|folder| started(folder, &url, shared.path())).collect();
    let outcomes: Vec<_> = all.into_iter().map(Started::serves).collect();
    let failed: Vec<_> = outcomes.iter().filter(|(serves, _)| !serves).map(|(_, said)| said).collect();
    assert!(failed.is_empty(), "{} of 7 died: {failed:#?}", failed.len());
    let waited = outcomes.iter().filter(|(_, said)| said.contains("waiting")).count();
    assert!(waited > 0, "who waits says so");
    let sql = Database::connect(&url).await.expect("the database answers");
    assert_eq!(texts(&sql, "SELECT name FROM users").await, ["admin"]);
    assert_eq!(texts(&sql, "SELECT version FROM seaql_migrations").await.len(), Migrator::migrations().len());
    assert_eq!(texts(&sql, "SELECT purpose FROM secret_keys ORDER BY purpose").await, ["ledger", "page_token", "token"]);
    assert_eq!(texts(&sql, "SELECT name FROM experiments").await, ["Default"]);
}

#[test]
fn of_two_servers_on_one_new_sqlite_file_one_serves_and_the_other_says_why_not() {
    let shared = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}", shared.path().join("stagegate.db").display());
    let folders: Vec<_> = (0..2).map(|_| tempfile::tempdir().expect("a folder")).collect();
    let mut all: Vec<_> = folders.iter().map(|folder| started(folder, &url, shared.path())).collect();
    let since = Instant::now();
    let loser = loop {
        let ended = all.iter_mut().position(|one| one.child.try_wait().expect("a child").is_some());
        if let Some(ended) = ended {
            break ended;
        }
        assert!(since.elapsed() < START, "both go on");
        std::thread::sleep(Duration::from_millis(50));
    };
    let (serves, said) = all.remove(loser).serves();
    assert!(!serves && said.contains("in use") && said.contains("stagegate.db"), "{said}");
    let (serves, said) = all.remove(0).serves();
    assert!(serves, "{said}");
}

async fn commands_work_beside_the_server(mut server: Server) {
    assert!(server.command_line(&["user", "list"]).contains("admin"));
    assert!(server.command_line(&["migrate"]).contains("up to date"));
    server.command_line(&["user", "create", "jo", "--persona", "viewer"]);
    assert!(server.command_line(&["user", "list"]).contains("jo"));
    assert!(server.stop().success());
    assert!(server.command_line(&["user", "list"]).contains("jo"));
    server.restart();
}

async fn only_serve_and_migrate_change_the_schema(server: Server) {
    let folder = tempfile::tempdir().expect("a folder");
    let url = fresh_url(server.db, &folder).await.expect("the engine is there");
    let created = if server.db == Db::Sqlite { format!("{url}?mode=rwc") } else { url.clone() };
    let run = |arguments: &[&str]| {
        let mut command = bare_command();
        command.args(arguments).args(["--database-url", &url, "--data-dir"]).arg(folder.path());
        let (status, said, _) = run_to_its_end(command, START);
        (status.success(), said)
    };
    let commands: [&[&str]; 6] = [
        &["user", "list"],
        &["token", "list", "--user", "admin"],
        &["ledger", "verify"],
        &["ledger", "export"],
        &["ledger", "new-origin", "--reason", "x"],
        &["import", "mlflow", "--from", "http://127.0.0.1:1"],
    ];
    // Of a newer program's server, which no older program may touch.
    let sql = Database::connect(&created).await.expect("the database answers");
    let all = u32::try_from(Migrator::migrations().len()).expect("few steps");
    Migrator::up(&sql, Some(all - 1)).await.expect("all steps but the last");
    let steps = "SELECT version FROM seaql_migrations ORDER BY version";
    let older = texts(&sql, steps).await;
    for arguments in commands {
        let (went_well, said) = run(arguments);
        assert!(!went_well && said.contains("older") && said.contains("stagegate migrate"), "{arguments:?}: {said}");
        assert_eq!(texts(&sql, steps).await, older, "{arguments:?}");
    }
    let (went_well, said) = run(&["migrate"]);
    assert!(went_well, "{said}");
    assert_eq!(texts(&sql, steps).await.len(), Migrator::migrations().len());
    sql.execute_unprepared("INSERT INTO seaql_migrations (version, applied_at) VALUES ('m29991231_000001_later', 1)").await.expect("a row");
    for arguments in commands.into_iter().chain([&["migrate"][..], &["serve", "--listen", "127.0.0.1:0"]]) {
        let (went_well, said) = run(arguments);
        assert!(!went_well && said.contains("newer"), "{arguments:?}: {said}");
    }
}
