//! What is kept of who signed in, and from where.

use http::Method;
use sea_orm::{ConnectionTrait, Statement};
use stagegate::contract::v1;

use crate::house::Server;

on_both_engines!(rows_have_the_address_of_the_client);

/// A text of each row that a query finds, in its order.
async fn texts(server: &Server, query: &str) -> Vec<String> {
    let sql = server.sql().await;
    let rows = sql.query_all_raw(Statement::from_string(sql.get_database_backend(), query)).await.expect("the query is good");
    rows.iter().map(|row| row.try_get_by_index(0).expect("a text")).collect()
}

async fn rows_have_the_address_of_the_client(server: Server) {
    let admin = server.admin().await;
    let request = v1::CreateExperimentRequest { name: "over gRPC".to_owned(), ..Default::default() };
    let _: v1::CreateExperimentResponse = admin.call("CreateExperiment", request).await.expect("an experiment can be made");
    let made = admin.http().json(Method::POST, "/api/2.0/mlflow/experiments/create", r#"{"name":"over REST"}"#).await;
    assert_eq!(made.status, 200);
    let addresses = "SELECT source_address FROM ledger_entries WHERE object_name IN ('over gRPC', 'over REST')";
    assert_eq!(texts(&server, addresses).await, ["127.0.0.1", "127.0.0.1"]);
    assert!(server.command(&["user", "create", "ann", "--persona", "viewer"]).0);
    let local = "SELECT source_address FROM ledger_entries WHERE object_name = 'ann' AND credential = 'command_line'";
    let local = texts(&server, local).await;
    assert!(!local.is_empty() && local.iter().all(String::is_empty), "{local:?}");
    let shown: v1::ListLedgerEntriesResponse =
        admin.call("ListLedgerEntries", v1::ListLedgerEntriesRequest::default()).await.expect("rows");
    assert!(shown.entries.iter().any(|row| row.object_name == "over REST" && row.source_address == "127.0.0.1"));
}
