//! Attacks by two transactions at once, each lawful as long as it is alone. SQLite has one writer, so there
//! one of them waits by itself; on PostgreSQL the database must make it wait.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, TransactionTrait};

use crate::house::{Db, Server};
use crate::promotion_sql::{APPROVE, BOB, CAROL, Fortress, decide, moves};

on_both_engines! {
    approving_and_joining_at_once_is_one_or_the_other,
    one_person_does_not_approve_twice_at_once,
    an_approval_voided_at_once_does_not_count,
    one_approved_request_moves_once,
}

/// Runs `first` in an open transaction, `second` beside it, then commits the first. Gives the outcome of
/// the second. What the first does must be lawful.
async fn at_once(fortress: &Fortress, first: &[&str], second: &[&str]) -> Result<(), DbErr> {
    let tx = fortress.sql.begin().await.expect("a transaction");
    for step in first {
        tx.execute_unprepared(step).await.unwrap_or_else(|error| panic!("lawful, but {error}: {step}"));
    }
    let (sql, steps): (DatabaseConnection, Vec<String>) = (fortress.sql.clone(), second.iter().map(|&step| step.to_owned()).collect());
    let other = tokio::spawn(async move {
        let tx = sql.begin().await?;
        for step in steps {
            tx.execute_unprepared(&step).await?;
        }
        tx.commit().await
    });
    tokio::time::sleep(Duration::from_millis(400)).await;
    tx.commit().await.expect("a commit");
    other.await.expect("no panic")
}

fn refused(fortress: &Fortress, outcome: Result<(), DbErr>, by: &[&str]) {
    let error = outcome.expect_err("must be refused").to_string();
    // On SQLite a transaction that began to read before the other wrote may be refused as a whole.
    let locked = fortress.db == Db::Sqlite && error.contains("locked");
    assert!(locked || by.iter().any(|name| error.contains(name)), "{:?}: not by {by:?}: {error}", fortress.db);
}

const JOIN: &str =
    "INSERT INTO request_requesters (request_uid, person_uid, user_uid, comment, created) VALUES ('r', 'p-bob', 'bob', '', 2)";

async fn approving_and_joining_at_once_is_one_or_the_other(server: Server) {
    let fortress = Fortress::of(server).await;
    refused(&fortress, at_once(&fortress, &[JOIN], &[&decide(BOB)]).await, &["request_decisions_four_eyes"]);
    let join = JOIN.replace("bob", "carol");
    refused(&fortress, at_once(&fortress, &[&decide(CAROL)], &[&join]).await, &["request_requesters_four_eyes"]);
}

async fn one_person_does_not_approve_twice_at_once(server: Server) {
    let fortress = Fortress::of(server).await;
    let through_carol = decide(&CAROL.replace("NULL", "'p-bob'"));
    refused(&fortress, at_once(&fortress, &[&decide(BOB)], &[&through_carol]).await, &["request_decisions_two_persons"]);
}

async fn an_approval_voided_at_once_does_not_count(server: Server) {
    let fortress = Fortress::of(server).await;
    for decision in [BOB, CAROL] {
        fortress.sql.execute_unprepared(&decide(decision)).await.expect("two approvals");
    }
    let void = "UPDATE request_decisions SET voided = 2 WHERE uid = 'k1'";
    refused(&fortress, at_once(&fortress, &[void], &[APPROVE]).await, &["transition_requests_quorum"]);
}

async fn one_approved_request_moves_once(server: Server) {
    let fortress = Fortress::of(server).await;
    for step in [&decide(BOB), &decide(CAROL), APPROVE] {
        fortress.sql.execute_unprepared(step).await.expect("an approved request");
    }
    let first = moves("(71, 't1', 'c', 'w1', 'Production', 'None', 'request', 'r', NULL, 'bob', 'bob', 2)");
    let second = first.replace("(71, 't1'", "(72, 't2'");
    let by = ["transitions_by_request", "transitions_once", "transitions_not_replaced"];
    refused(&fortress, at_once(&fortress, &[&first], &[&second]).await, &by);
}
