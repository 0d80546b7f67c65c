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
        .set_up(upload, |tx, upload| {
            Box::pin(async move {
                uploads::insert(tx, upload).await?;
                Ok(())
            })
        })
        .await
}

/// As when the disk is full: SQLite ends the whole transaction by itself, with the savepoints in it, and what comes
/// next finds itself in another one that nobody commits.
async fn fill(store: &Store) -> StoreError {
    let filled = store.set_up((), |tx, ()| {
        Box::pin(async move {
            sql::execute(&**tx, "ROLLBACK", bind![]).await?;
            sql::execute(&**tx, "BEGIN", bind![]).await?;
            Err::<(), _>(StoreError::Unavailable("full".to_owned()))
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

async fn rows(store: &Store) -> i64 {
    sql::one(store.reader(), "SELECT COUNT(*) FROM persons", []).await.unwrap().get(0).unwrap()
}

#[tokio::test]
async fn a_change_without_a_row_is_undone_whatever_its_write_says() {
    for test in stores().await {
        let store = &test.store;
        let before = rows(store).await;
        let claimed = store.write((), |tx, ()| {
            Box::pin(async move {
                sql::execute(&**tx, "INSERT INTO persons (uid, created) VALUES ('p', 0)", bind![]).await?;
                Ok::<_, StoreError>(Recorded::nothing(()))
            })
        });
        let refused = claimed.await.unwrap_err().to_string();
        assert!(refused.contains("INSERT INTO persons") && refused.contains("no row"), "{refused}");
        assert_eq!(rows(store).await, before, "{:?}", store.engine());
        let disguised = store.write_unrecorded(Unrecorded::Tracking, (), |tx, ()| {
            Box::pin(async move {
                sql::one(&**tx, "INSERT INTO persons (uid, created) VALUES ('p', 0) RETURNING uid", bind![]).await?;
                Ok::<_, StoreError>(())
            })
        });
        assert!(disguised.await.is_err());
        assert_eq!(rows(store).await, before, "{:?}", store.engine());
        let without_effect = store.write((), |tx, ()| {
            Box::pin(async move {
                sql::execute(&**tx, "DELETE FROM persons WHERE uid = 'nobody'", bind![]).await?;
                sql::all(&**tx, "SELECT uid FROM persons", bind![]).await?;
                Ok::<_, StoreError>(Recorded::nothing(()))
            })
        });
        without_effect.await.expect("nothing was changed");
    }
}
