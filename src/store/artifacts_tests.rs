use super::*;
use crate::clock;
use crate::store::testing::{self, TestStore};
use crate::store::{Recorded, Store, experiments, runs};

/// A store of each engine with a run `r`, whose internal id is 1.
async fn stores() -> Vec<TestStore> {
    let all = testing::stores().await;
    for TestStore { store, .. } in &all {
        store
            .write((), |tx, ()| {
                Box::pin(async move {
                    experiments::insert_default(tx).await?;
                    let insert = "INSERT INTO runs (id, run_id, experiment, name, user_id, status, start_time, active, created_by) \
                                  VALUES (1, 'r', 0, 'run', '', 1, 0, TRUE, '')";
                    sql::execute(&**tx, insert, []).await?;
                    Ok::<_, StoreError>(Recorded::outside_ledger(()))
                })
            })
            .await
            .unwrap();
    }
    all
}

fn blob(uid: &str) -> Blob {
    Blob { uid: uid.to_owned(), size: 3, sha256: format!("sha-{uid}") }
}

fn new_blob(uid: &str) -> NewBlob {
    NewBlob { blob: blob(uid), chunks: Vec::new() }
}

/// Puts a file whose blob is named as its path.
async fn put_all(store: &Store, paths: &[&str]) {
    let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
    store
        .write(paths, |tx, paths| {
            Box::pin(async move {
                for path in paths {
                    put(tx, &Owner::Run(1), path, &new_blob(path)).await?;
                }
                Ok::<_, StoreError>(Recorded::outside_ledger(()))
            })
        })
        .await
        .unwrap();
}

/// A model with the versions `v1` and `v2`.
async fn register(store: &Store) {
    let statements = [
        "INSERT INTO registered_models (uid, workspace_id, name, canonical_name, description, created, updated, created_by, last_version) VALUES ('m', 'default', 'm', 'm', '', 0, 0, '', 2)",
        "INSERT INTO model_versions (uid, model_uid, version, description, source, source_digest, run_id, run_link, current_stage, created, updated, created_by) \
         VALUES ('v1', 'm', 1, '', '', '', '', '', 'None', 0, 0, ''), ('v2', 'm', 2, '', '', '', '', '', 'None', 0, 0, '')",
    ];
    store
        .write(statements, |tx, statements| {
            Box::pin(async move {
                for statement in statements {
                    sql::execute(&**tx, statement, []).await?;
                }
                Ok::<_, StoreError>(Recorded::outside_ledger(()))
            })
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn folders_come_from_prefixes_sorted_and_in_pages() {
    for TestStore { store, .. } in &stores().await {
        put_all(store, &["b/x", "a.txt", "a/deep/y", "a/z", "ü/1", "Z", "a0", "b/c/d", "日本/語"]).await;
        let list = async |folder: &str, after: &str, limit| {
            let found = children(store.reader(), &Owner::Run(1), folder, after, limit).await.unwrap();
            found.into_iter().map(|child| if child.is_dir { format!("{}/", child.name) } else { child.name }).collect::<Vec<_>>()
        };
        assert_eq!(list("", "", 100).await, ["Z", "a/", "a.txt", "a0", "b/", "ü/", "日本/"]);
        assert_eq!(list("", "a", 3).await, ["a.txt", "a0", "b/"]);
        assert_eq!(list("a", "", 9).await, ["deep/", "z"]);
        assert_eq!(list("日本", "", 9).await, ["語"]);
        for nothing in ["Z", "a.txt", "nope", "b/x", "A", "%", "_"] {
            assert!(list(nothing, "", 9).await.is_empty(), "{nothing}");
        }
        let found = children(store.reader(), &Owner::Run(1), "a", "", 9).await.unwrap();
        assert_eq!(found[0], Child { name: "deep".into(), is_dir: true, size: 0, sha256: String::new() });
        assert_eq!(found[1], Child { name: "z".into(), is_dir: false, size: 3, sha256: "sha-a/z".into() });
        assert!(children(store.reader(), &Owner::Run(2), "", "", 9).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_path_is_a_file_or_a_folder() {
    for TestStore { store, .. } in &stores().await {
        put_all(store, &["a/b/c", "d", "é/f"]).await;
        let blocked = async |run, path: &str| obstacle(store.reader(), &Owner::Run(run), path).await.unwrap();
        assert_eq!(blocked(1, "a").await, Some("a/b/c".into()));
        assert_eq!(blocked(1, "a/b").await, Some("a/b/c".into()));
        assert_eq!(blocked(1, "d/x/y").await, Some("d".into()));
        assert_eq!(blocked(1, "é").await, Some("é/f".into()));
        for free in ["a/b/c", "a/b/d", "a/x", "d", "a.", "a0", "A", "a/b/c2"] {
            assert_eq!(blocked(1, free).await, None, "{free}");
        }
        assert_eq!(blocked(2, "a").await, None);
    }
}

#[tokio::test]
async fn a_blob_is_kept_as_long_as_a_run_or_version_refers_to_it() {
    for TestStore { store, .. } in &stores().await {
        put_all(store, &["m/a", "m/b", "m0", "n"]).await;
        register(store).await;
        store
            .write((), |tx, ()| {
                Box::pin(async move {
                    let manifest = manifest_of_run(&**tx, 1, "m/a").await?;
                    insert_manifest(tx, "v1", &manifest).await.map(Recorded::outside_ledger)
                })
            })
            .await
            .unwrap();
        let (taken, forgotten) = store
            .write((), |tx, ()| {
                Box::pin(async move {
                    let taken = take(tx, &Owner::Run(1), "m").await?;
                    let blobs: Vec<String> = taken.iter().map(|file| file.blob.clone()).chain(["n".to_owned()]).collect();
                    let forgotten = forget_unused(tx, &blobs).await?;
                    Ok::<_, StoreError>(Recorded::outside_ledger((taken, forgotten)))
                })
            })
            .await
            .unwrap();
        assert_eq!(taken.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["m/a", "m/b"]);
        assert_eq!(forgotten, ["m/b"], "m/a is the version's, n is the run's");
        let kept = file(store.reader(), &Owner::Version("v1".into()), "a").await.unwrap();
        assert_eq!(kept, Some(blob("m/a")));
        assert_eq!(file(store.reader(), &Owner::Run(1), "m/a").await.unwrap(), None);
        assert!(file(store.reader(), &Owner::Run(1), "m0").await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_manifest_is_relative_to_what_was_registered_and_never_changes() {
    for TestStore { store, .. } in &stores().await {
        put_all(store, &["model/MLmodel", "model/data/w.bin", "model.txt", "model0", "modelx/y"]).await;
        register(store).await;
        let paths = async |prefix: &str| {
            let found = manifest_of_run(store.reader(), 1, prefix).await.unwrap();
            found.into_iter().map(|file| format!("{} < {}", file.path, file.blob)).collect::<Vec<_>>()
        };
        assert_eq!(paths("model").await, ["MLmodel < model/MLmodel", "data/w.bin < model/data/w.bin"]);
        assert_eq!(paths("model/data/w.bin").await, ["w.bin < model/data/w.bin"]);
        assert_eq!(paths("model.txt").await, ["model.txt < model.txt"]);
        assert_eq!(paths("").await.len(), 5);
        assert!(paths("mod").await.is_empty());
        let manifest = manifest_of_run(store.reader(), 1, "model").await.unwrap();
        let written = store
            .write(manifest.clone(), |tx, manifest| {
                Box::pin(async move { insert_manifest(tx, "v2", manifest).await.map(Recorded::outside_ledger) })
            })
            .await;
        assert!(written.is_ok());
        assert_eq!(manifest_of_version(store.reader(), "v2").await.unwrap(), manifest);
        for change in ["UPDATE version_artifacts SET blob_uid = 'model0'", "DELETE FROM version_artifacts", "DELETE FROM blobs"] {
            let refused = store
                .write(change, |tx, change| {
                    Box::pin(async move { sql::execute(&**tx, change, []).await.map(|_| Recorded::outside_ledger(())) })
                })
                .await;
            assert!(refused.is_err(), "{change}");
        }
    }
}

#[tokio::test]
async fn concurrent_uploads_do_not_make_a_path_both_file_and_folder() {
    for TestStore { store, .. } in &stores().await {
        let upload = |path: String| {
            let store = store.clone();
            tokio::spawn(async move {
                store
                    .write(path, |tx, path| {
                        Box::pin(async move {
                            let run = runs::lock(tx, "r").await?.ok_or(StoreError::Conflict)?;
                            if obstacle(&**tx, &Owner::Run(run.id), path).await?.is_some() {
                                return Ok(Recorded::nothing(false));
                            }
                            put(tx, &Owner::Run(run.id), path, &new_blob(&clock::new_uid())).await?;
                            Ok::<_, StoreError>(Recorded::outside_ledger(true))
                        })
                    })
                    .await
                    .unwrap()
            })
        };
        for round in 0..20 {
            let (file, below) = (upload(format!("p{round}")), upload(format!("p{round}/q")));
            assert_ne!(file.await.unwrap(), below.await.unwrap(), "exactly one of them is there");
        }
    }
}
