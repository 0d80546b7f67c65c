//! After a clean stop the database file holds everything: whoever copies it has all of it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use prost::Message;
use sea_orm::{ConnectionTrait, Database, Statement};
use stagegate::contract::v1;

use crate::house::{Client, Db, Server, bare_command, declared};

/// A count in a copy of the file alone.
async fn counted(file: &Path, query: &str) -> i64 {
    let sql = Database::connect(format!("sqlite://{}", file.display())).await.expect("the copy opens");
    let row = sql.query_one_raw(Statement::from_string(sql.get_database_backend(), query)).await.expect("the copy is whole");
    let count = row.expect("a row").try_get_by_index(0).expect("a number");
    sql.close().await.expect("the copy closes");
    count
}

/// Copies only the database file, and verifies the ledger in it.
fn copied(server: &Server) -> tempfile::TempDir {
    let elsewhere = tempfile::tempdir().expect("a folder");
    let beside: Vec<_> = std::fs::read_dir(server.folder()).expect("the folder is there").map(|entry| entry.expect("an entry")).collect();
    for entry in &beside {
        let name = entry.file_name().into_string().expect("a name");
        if name.ends_with("-wal") {
            assert_eq!(entry.metadata().expect("a file").len(), 0, "something is left in {name}");
        }
    }
    std::fs::copy(server.folder().join("stagegate.db"), elsewhere.path().join("stagegate.db")).expect("the file can be copied");
    elsewhere
}

fn verified(folder: &Path) -> (bool, String) {
    let mut command = bare_command();
    let output = command.args(["ledger", "verify", "--data-dir"]).arg(folder).output().expect("the binary runs");
    (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).expect("text"))
}

/// What every writer has been told is stored.
#[derive(Default)]
struct Acknowledged {
    experiments: AtomicU32,
    points: AtomicU32,
}

async fn write(client: Client, number: u32, run_id: String, acknowledged: Arc<Acknowledged>, stop: Arc<AtomicBool>) {
    let mut step = 0;
    while !stop.load(Ordering::Relaxed) {
        step += 1;
        let request = v1::CreateExperimentRequest { name: format!("load-{number}-{step}"), ..Default::default() };
        match client.call::<_, v1::CreateExperimentResponse>("CreateExperiment", request).await {
            Ok(_) => acknowledged.experiments.fetch_add(1, Ordering::Relaxed),
            Err(_) => return,
        };
        let point = v1::Metric { key: format!("m{number}"), value: Some(1.0), timestamp: Some(step), step, ..Default::default() };
        let request = v1::LogBatchRequest { run_id: run_id.clone(), metrics: vec![point; 1], ..Default::default() };
        match client.call::<_, v1::LogBatchResponse>("LogBatch", request).await {
            Ok(_) => acknowledged.points.fetch_add(1, Ordering::Relaxed),
            Err(_) => return,
        };
    }
}

async fn a_stop_under_load(signal: &str) {
    let mut server = Server::on(Db::Sqlite).await.expect("SQLite is always there");
    let admin = server.admin().await;
    let request = v1::CreateRunRequest { experiment_id: "0".to_owned(), ..Default::default() };
    let run: v1::CreateRunResponse = admin.call("CreateRun", request).await.expect("a run");
    let run_id = run.run.and_then(|run| run.info).expect("a run has an id").run_id;
    // Those who watch read the database all the time, and one export stands still in the middle.
    let watch = v1::WatchLedgerRequest { from_position: Some(0), ..Default::default() };
    let mut watched = Vec::new();
    for _ in 0..20 {
        let stream = admin.open(declared("WatchLedger").path, watch.encode_to_vec()).await.expect("an admin watches");
        watched.push(stream.into_inner());
    }
    let export = admin.open(declared("ExportLedger").path, Vec::new()).await.expect("an admin exports").into_inner();
    let (acknowledged, stop) = (Arc::new(Acknowledged::default()), Arc::new(AtomicBool::new(false)));
    let writers: Vec<_> = (0..8)
        .map(|number| tokio::spawn(write(server.moved(&admin), number, run_id.clone(), acknowledged.clone(), stop.clone())))
        .collect();
    let since = Instant::now();
    while acknowledged.points.load(Ordering::Relaxed) < 200 {
        assert!(since.elapsed() < Duration::from_secs(60), "too few writes: {}", server.log());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(server.stop_by(signal).success(), "{}", server.log());
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.expect("no writer panics");
    }
    drop((watched, export));
    let copy = copied(&server);
    let file = copy.path().join("stagegate.db");
    let experiments = counted(&file, "SELECT COUNT(*) FROM experiments WHERE name LIKE 'load-%'").await;
    assert!(
        experiments >= acknowledged.experiments.load(Ordering::Relaxed).into(),
        "experiments: {experiments} of {acknowledged}",
        acknowledged = acknowledged.experiments.load(Ordering::Relaxed)
    );
    let points = counted(&file, "SELECT COUNT(*) FROM metrics").await;
    assert!(points >= acknowledged.points.load(Ordering::Relaxed).into(), "points: {points}");
    let (sound, said) = verified(copy.path());
    assert!(sound && said.contains("sound") && !said.contains("NOT"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_sigterm_under_load_the_file_holds_everything() {
    a_stop_under_load("-TERM").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_sigint_under_load_the_file_holds_everything() {
    a_stop_under_load("-INT").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_commands_write_is_in_the_file() {
    let mut server = Server::on(Db::Sqlite).await.expect("SQLite is always there");
    assert!(server.stop().success());
    server.command_line(&["user", "create", "jo", "--persona", "viewer"]);
    server.command_line(&["token", "create", "--user", "jo"]);
    server.command_line(&["ledger", "new-origin", "--reason", "a test"]);
    let copy = copied(&server);
    let file = copy.path().join("stagegate.db");
    assert_eq!(counted(&file, "SELECT COUNT(*) FROM users").await, 2);
    assert_eq!(counted(&file, "SELECT COUNT(*) FROM tokens WHERE user_uid <> ''").await, 1);
    assert_eq!(
        counted(&file, "SELECT COUNT(*) FROM ledger_entries WHERE object_name LIKE 'stagegate.%' OR action LIKE '%rigin%'").await.min(1),
        1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrate_leaves_the_schema_in_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = bare_command();
    assert!(command.args(["migrate", "--data-dir"]).arg(folder.path()).status().expect("the binary runs").success());
    let elsewhere = tempfile::tempdir().expect("a folder");
    let file = elsewhere.path().join("stagegate.db");
    std::fs::copy(folder.path().join("stagegate.db"), &file).expect("a file");
    assert_eq!(counted(&file, "SELECT COUNT(*) FROM users").await, 0);
}

/// A stop right after the start, and one during it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_during_the_start_leaves_a_whole_file() {
    for pause in [0, 50, 150, 300, 600] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = bare_command();
        command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(folder.path());
        let mut child = command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().expect("the binary starts");
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let pid = child.id().to_string();
        assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs").success());
        child.wait().expect("it ends");
        let wal = folder.path().join("stagegate.db-wal");
        assert!(std::fs::metadata(&wal).map_or(0, |wal| wal.len()) == 0, "after {pause} ms something is left in -wal");
    }
}
