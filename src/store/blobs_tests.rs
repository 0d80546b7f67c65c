use std::collections::BTreeSet;

use super::*;

fn files(folder: &Folder) -> BTreeSet<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { [path].into() }).collect()
}

async fn opened() -> (tempfile::TempDir, Blobs) {
    let folder = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(None, &folder.path().join("artifacts")).await.unwrap();
    (folder, blobs)
}

async fn all(reading: Reading) -> Vec<u8> {
    let chunks: Vec<Bytes> = reading.bytes.try_collect().await.unwrap();
    assert!(chunks.iter().all(|chunk| chunk.len() <= READ_BYTES));
    chunks.concat()
}

#[tokio::test]
async fn what_was_written_is_read_from_any_byte_on() {
    let (folder, blobs) = opened().await;
    // Below one part, above it, and nothing at all.
    for size in [0, 5, FOLDER_PART - 1, FOLDER_PART, 3 * FOLDER_PART + 17] {
        let bytes: Vec<u8> = (0..size).map(|index| (index % 251) as u8).collect();
        let mut upload = blobs.begin();
        for chunk in bytes.chunks(1_000_003) {
            upload.write(Bytes::copy_from_slice(chunk)).await.unwrap();
        }
        let blob = upload.finish().await.unwrap();
        assert_eq!(blob.size, i64::try_from(size).unwrap());
        assert_eq!(blob.sha256, hex::encode(Sha256::digest(&bytes)));
        let reading = blobs.read(&blob.uid, 0).await.unwrap();
        assert_eq!(reading.size, size as u64);
        assert!(all(reading).await == bytes, "{size}");
        if size > 3 {
            assert!(all(blobs.read(&blob.uid, 3).await.unwrap()).await == bytes[3..], "{size}");
        }
        let place = folder.path().join("artifacts").join(&blob.uid[..2]).join(&blob.uid);
        assert_eq!(files(folder.path()), [place].into());
        blobs.delete(&blob.uid).await.unwrap();
        blobs.delete(&blob.uid).await.unwrap();
        assert!(matches!(blobs.read(&blob.uid, 0).await, Err(BlobError::NotFound(_))));
        assert!(files(folder.path()).is_empty());
    }
}

#[tokio::test]
async fn an_upload_that_is_aborted_or_dropped_leaves_nothing() {
    let (folder, blobs) = opened().await;
    for dropped in [false, true] {
        let mut upload = blobs.begin();
        for _ in 0..5 {
            upload.write(Bytes::from(vec![7; 1_500_000])).await.unwrap();
        }
        assert_eq!(files(folder.path()).len(), 1, "parts are on the disk already");
        if dropped {
            drop(upload);
            while !files(folder.path()).is_empty() {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        } else {
            upload.abort().await;
            assert!(files(folder.path()).is_empty());
        }
    }
}

#[tokio::test]
async fn an_unusable_url_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain");
    std::fs::write(&plain, "").unwrap();
    let below_a_file = format!("file://{}/x", plain.display());
    for (url, told) in [
        ("artifacts", "file:///"),
        ("ftp://host/x", "must start with"),
        ("memory:///", "must start with"),
        ("file://host/x", "must name a folder"),
        ("file:///x?y=1", "must name a folder"),
        (&below_a_file, "--artifacts-url"),
    ] {
        let error = Blobs::open(Some(url), folder.path()).await.err().unwrap().to_string();
        assert!(error.contains(told) && !error.contains('\n'), "{url}: {error}");
    }
    let url = format!("file://{}/new/deep", folder.path().display());
    let blobs = Blobs::open(Some(&url), &plain).await.unwrap();
    drop(blobs);
    assert!(folder.path().join("new/deep").is_dir());
}

#[test]
fn a_full_disk_is_told_from_other_faults_through_every_wrapping() {
    let full = || io::Error::from(io::ErrorKind::StorageFull);
    let in_store = |source: io::Error| object_store::Error::Generic { store: "test", source: Box::new(source) };
    assert!(matches!(fault(&full()), BlobError::Full));
    assert!(matches!(fault(&in_store(full())), BlobError::Full));
    assert!(matches!(fault(&io::Error::from(in_store(full()))), BlobError::Full));
    assert!(matches!(fault(&io::Error::other(in_store(io::Error::other("x")))), BlobError::Unavailable(_)));
}
