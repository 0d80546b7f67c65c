//! Faults: what was answered is there after the server was killed in the middle of it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait, DatabaseConnection, Statement};
use stagegate::contract::v1;

use crate::house::{Client, Server};

on_both_engines! {
    an_answered_write_survives_kill_9,
}

const WRITERS: u32 = 16;
/// Answers that must have come before the server is killed.
const ENOUGH: usize = 150;

async fn an_answered_write_survives_kill_9(mut server: Server) {
    let admin = server.admin().await;
    let acknowledged = Arc::new(Mutex::new(BTreeSet::new()));
    let stop = Arc::new(AtomicBool::new(false));
    let number = Arc::new(AtomicU32::new(0));
    let writers: Vec<_> =
        (0..WRITERS).map(|_| tokio::spawn(write(admin.clone(), acknowledged.clone(), stop.clone(), number.clone()))).collect();
    let since = Instant::now();
    while acknowledged.lock().expect("no writer panics").len() < ENOUGH {
        assert!(since.elapsed() < Duration::from_secs(60), "too few writes: {}", server.log());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.kill9();
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.expect("no writer panics");
    }
    server.restart();
    let sql = server.sql().await;
    let found: BTreeSet<String> = column(&sql, "SELECT name FROM experiments WHERE name LIKE 'load-%'").await;
    let acknowledged = acknowledged.lock().expect("no writer panics").clone();
    let lost: Vec<_> = acknowledged.difference(&found).collect();
    assert!(lost.is_empty(), "answered and lost: {lost:?}");
    // Each experiment has its row of the ledger, and the other way round.
    let recorded: BTreeSet<String> = column(&sql, "SELECT object_name FROM ledger_entries WHERE object_name LIKE 'load-%'").await;
    assert_eq!(found, recorded);
    wait_for_order(&sql).await;
    let admin = server.admin().await;
    let verdict: v1::VerifyLedgerResponse =
        admin.last("VerifyLedger", v1::VerifyLedgerRequest::default()).await.expect("the ledger can be verified");
    assert!(verdict.sound, "{}", verdict.report);
    let request = v1::CreateExperimentRequest { name: "afterwards".to_owned(), ..Default::default() };
    let _: v1::CreateExperimentResponse = admin.call("CreateExperiment", request).await.expect("the server goes on");
}

async fn write(admin: Client, acknowledged: Arc<Mutex<BTreeSet<String>>>, stop: Arc<AtomicBool>, number: Arc<AtomicU32>) {
    while !stop.load(Ordering::Relaxed) {
        let name = format!("load-{}", number.fetch_add(1, Ordering::Relaxed));
        let request = v1::CreateExperimentRequest { name: name.clone(), ..Default::default() };
        let answer: Result<v1::CreateExperimentResponse, _> = admin.call("CreateExperiment", request).await;
        if answer.is_err() {
            return;
        }
        acknowledged.lock().expect("no writer panics").insert(name);
    }
}

/// Every row gets its position, and the positions count up from 0 without gaps.
async fn wait_for_order(sql: &DatabaseConnection) {
    let since = Instant::now();
    loop {
        let pending: BTreeSet<String> =
            column(sql, "SELECT CAST(id AS TEXT) FROM ledger_entries WHERE id NOT IN (SELECT entry FROM ledger_positions)").await;
        if pending.is_empty() {
            break;
        }
        assert!(since.elapsed() < Duration::from_secs(30), "rows without a position: {pending:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let counted: BTreeSet<String> = column(sql, "SELECT CAST(COUNT(*) AS TEXT) || ' ' || CAST(MIN(position) AS TEXT) || ' ' || CAST(MAX(position) + 1 AS TEXT) FROM ledger_positions").await;
    let counted = counted.first().expect("one row");
    let numbers: Vec<&str> = counted.split(' ').collect();
    assert_eq!((numbers[0], numbers[1]), (numbers[2], "0"), "count, first, behind the last: {counted}");
}

async fn column(sql: &DatabaseConnection, query: &str) -> BTreeSet<String> {
    let rows = sql.query_all_raw(Statement::from_string(sql.get_database_backend(), query)).await.expect("SQL beside the server");
    rows.iter().map(|row| row.try_get_by_index(0).expect("a text")).collect()
}
