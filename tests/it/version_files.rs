//! A version serves the files that its digest stands for, or none: whoever owns the database cannot put others there.

use http::Method;
use stagegate::contract::v1;
use tonic::Status;

use crate::house::files::{Owners, STORE};
use crate::house::{Client, Db, Server};
use crate::ledger_state::{as_owner, drop_triggers};

on_both_engines! {
    files_put_in_place_of_others_are_not_served,
}

async fn register(client: &Client, run_id: &str, name: &str) {
    let request = v1::CreateRegisteredModelRequest { name: name.to_owned(), ..Default::default() };
    let _: v1::CreateRegisteredModelResponse = client.call("CreateRegisteredModel", request).await.expect("a model");
    let source = format!("runs:/{run_id}/model");
    let request = v1::CreateModelVersionRequest { name: name.to_owned(), source, run_id: run_id.to_owned(), ..Default::default() };
    let _: v1::CreateModelVersionResponse = client.call("CreateModelVersion", request).await.expect("a version");
}

async fn served(client: &Client, path: &str) -> Result<v1::DownloadArtifactResponse, Status> {
    let (model_name, model_version) = ("fraud".to_owned(), "1".to_owned());
    let request = v1::DownloadArtifactRequest { model_name, model_version, path: path.to_owned(), ..Default::default() };
    client.last("DownloadArtifact", request).await
}

async fn listed(client: &Client) -> Result<v1::ListArtifactsResponse, Status> {
    let (model_name, model_version) = ("fraud".to_owned(), "1".to_owned());
    client.call("ListArtifacts", v1::ListArtifactsRequest { model_name, model_version, ..Default::default() }).await
}

async fn files_put_in_place_of_others_are_not_served(mut server: Server) {
    let admin = server.admin().await;
    let (http, owners) = (admin.http(), Owners::of(&admin, "versions").await);
    for (name, bytes) in [("MLmodel", "approved"), ("model.bin", "approved, too"), ("other", "put there")] {
        let folder = if name == "other" { "" } else { "model/" };
        assert_eq!(http.send(Method::PUT, &format!("{STORE}/{}/{folder}{name}", owners.run()), &[], bytes.as_bytes()).await.status, 200);
    }
    register(&admin, &owners.run_id, "fraud").await;
    assert_eq!(listed(&admin).await.expect("its files").files.len(), 2);
    served(&admin, "MLmodel").await.expect("a file");
    let (sql, db) = (server.sql().await, server.db);
    if db == Db::Sqlite {
        drop_triggers(&sql).await;
    }
    let other = "(SELECT blob_uid FROM run_artifacts WHERE path = 'other')";
    let file = "(SELECT blob_uid FROM version_artifacts WHERE path = 'MLmodel')";
    for (what, attack, undo) in [
        (
            "another blob",
            format!(
                "CREATE TABLE kept AS SELECT * FROM version_artifacts; UPDATE version_artifacts SET blob_uid = {other} WHERE path = 'MLmodel'"
            ),
            "DELETE FROM version_artifacts; INSERT INTO version_artifacts SELECT * FROM kept; DROP TABLE kept",
        ),
        (
            "another row of the same blob",
            format!(
                "CREATE TABLE kept AS SELECT * FROM blobs; UPDATE blobs SET (size, sha256, chunks) = \
                 (SELECT k.size, k.sha256, k.chunks FROM kept k WHERE k.uid = {other}) WHERE uid = {file}"
            ),
            "DELETE FROM blobs; INSERT INTO blobs SELECT * FROM kept; DROP TABLE kept",
        ),
        (
            "one file more",
            format!("INSERT INTO version_artifacts SELECT version_uid, 'setup.py', {other} FROM version_artifacts WHERE path = 'MLmodel'"),
            "DELETE FROM version_artifacts WHERE path = 'setup.py'",
        ),
        (
            "one file less",
            "CREATE TABLE kept AS SELECT * FROM version_artifacts; DELETE FROM version_artifacts WHERE path = 'model.bin'".to_owned(),
            "DELETE FROM version_artifacts; INSERT INTO version_artifacts SELECT * FROM kept; DROP TABLE kept",
        ),
    ] {
        as_owner(&sql, db, &attack).await;
        // Once with what the server still knows of the version, and once without.
        for fresh in [false, true] {
            if fresh {
                assert!(server.stop().success());
                server.restart();
            }
            let admin = server.admin().await;
            let changed = if what == "one file more" { "setup.py" } else { "MLmodel" };
            let answer = served(&admin, changed).await;
            assert!(answer.is_err() || !fresh && what == "one file less", "{what}: {answer:?}");
            if fresh {
                listed(&admin).await.expect_err(what);
                served(&admin, "model.bin").await.expect_err(what);
            }
        }
        let (sound, said) = server.command(&["ledger", "verify", "--state"]);
        assert!(!sound && said.contains("model \"fraud\" version 1: the digest of the files that are stored for it is"), "{what}: {said}");
        as_owner(&sql, db, undo).await;
    }
    let admin = server.admin().await;
    served(&admin, "MLmodel").await.expect("it is as it was");
    let (sound, said) = server.command(&["ledger", "verify", "--state"]);
    assert!(sound, "{said}");
}
