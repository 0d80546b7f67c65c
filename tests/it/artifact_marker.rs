//! The artifact store belongs to one database: a server with another store does not start.

use std::fs;

use stagegate::contract::v1;

use crate::house::{Client, Db, Server};

on_both_engines! {
    an_empty_store_stops_the_start_until_it_is_declared,
    a_copied_store_needs_no_declaration,
    another_database_s_store_stops_the_start,
}

async fn uploads(client: &Client) -> (String, Vec<u8>) {
    let request = v1::CreateRunRequest { experiment_id: "0".to_owned(), ..Default::default() };
    let run: v1::CreateRunResponse = client.call("CreateRun", request).await.expect("a run");
    let run_id = run.run.and_then(|run| run.info).expect("a run has an id").run_id;
    let path = format!("/api/2.0/mlflow-artifacts/artifacts/0/{run_id}/artifacts/file.txt");
    let answer = client.http().send(http::Method::PUT, &path, &[], b"content").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    (path, b"content".to_vec())
}

async fn an_empty_store_stops_the_start_until_it_is_declared(mut server: Server) {
    let admin = server.admin().await;
    uploads(&admin).await;
    assert!(server.stop().success());
    let other = tempfile::tempdir().expect("a folder");
    let url = format!("file://{}", other.path().display());
    let settings = [("STAGEGATE_ARTIFACTS_URL", url.as_str())];
    let said = server.refuses_to_start(&settings);
    assert!(said.contains("artifact") && said.contains("marker") && said.contains("stagegate artifacts adopt"), "{said}");
    let said = server.refuses_to_start(&settings);
    assert!(said.contains("marker"), "a start that fails marks nothing: {said}");
    server.command_line(&["artifacts", "adopt", "--artifacts-url", &url]);
    server.restart_with(&settings);
    assert!(server.stop().success());
    // The old one still is marked as this database's, and serves again.
    server.restart();
}

async fn a_copied_store_needs_no_declaration(mut server: Server) {
    let admin = server.admin().await;
    let (path, content) = uploads(&admin).await;
    assert!(server.stop().success());
    let moved = tempfile::tempdir().expect("a folder");
    let to = moved.path().join("store");
    fs::rename(server.folder().join("artifacts"), &to).expect("a folder can be moved");
    let url = format!("file://{}", to.display());
    server.restart_with(&[("STAGEGATE_ARTIFACTS_URL", &url)]);
    let answer = server.moved(&admin).http().send(http::Method::GET, &path, &[], b"").await;
    assert_eq!((answer.status.as_u16(), answer.body.to_vec()), (200, content));
}

async fn another_database_s_store_stops_the_start(mut server: Server) {
    let other = Server::on(server.db).await.expect("the engine is there");
    assert!(server.stop().success());
    let url = format!("file://{}", other.folder().join("artifacts").display());
    let said = server.refuses_to_start(&[("STAGEGATE_ARTIFACTS_URL", &url)]);
    assert!(said.contains("artifact") && said.contains("another database"), "{said}");
    server.restart();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_with_a_store_of_its_own_does_not_start() {
    let Some(server) = Server::on(Db::Postgres).await else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("file://{}", folder.path().display());
    let said = server.refuses_to_start(&[("STAGEGATE_ARTIFACTS_URL", &url)]);
    assert!(said.contains("marker"), "{said}");
}
