use super::super::testing::stores;
use super::*;
use crate::bind;
use crate::store::{Engine, Store, sql, uploads};

async fn begin_upload(store: &Store) -> Result<(), StoreError> {
    let upload = uploads::UploadRow {
        uid: clock::new_uid(),
        claims: None,
        created_by: String::new(),
        folder: "x".repeat(20_000),
        file_name: String::new(),
        parts: 1,
        blob_uid: None,
        created: 0,
    };
    store
        .write(upload, |tx, upload| {
            Box::pin(async move {
                uploads::insert(tx, upload).await?;
                Ok(Recorded::outside_ledger(()))
            })
        })
        .await
}

/// As when the disk is full: SQLite ends the whole transaction by itself, with the savepoints in it, and what comes
/// next finds itself in another one that nobody commits.
async fn fill(store: &Store) -> StoreError {
    let filled = store.write((), |tx, ()| {
        Box::pin(async move {
            sql::execute(&**tx, "ROLLBACK", bind![]).await?;
            sql::execute(&**tx, "BEGIN", bind![]).await?;
            Err::<Recorded<()>, _>(StoreError::Unavailable("full".to_owned()))
        })
    });
    filled.await.unwrap_err()
}

#[tokio::test]
async fn what_was_answered_is_there_after_the_disk_was_full() {
    for store in stores().await.into_iter().filter(|test| test.store.engine() == Engine::Sqlite) {
        let store = &store.store;
        let mut kept = 0;
        for _ in 0..3 {
            assert!(matches!(fill(store).await, StoreError::Unavailable(_)));
            for _ in 0..5 {
                begin_upload(store).await.expect("the next write finds a new connection");
                kept += 1;
                let stored: i64 = sql::one(store.reader(), "SELECT COUNT(*) FROM uploads", []).await.unwrap().get(0).unwrap();
                assert_eq!(stored, kept);
            }
        }
    }
}
