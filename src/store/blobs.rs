//! The bytes of artifacts: a folder of this machine, or with the feature `cloud` a bucket. A blob is written
//! once, under a random key, and never changes; what it is called stands in the database.
//!
//! A blob's key is `ab/abcdef…`, its uid below the uid's first two digits. A folder holds it whole and synced
//! before [`Upload::finish`] returns. What a crash leaves behind is harmless and can be found: in a folder a
//! file with `#` in its name is an upload that was never finished; a blob without a row in the table `blobs`
//! was finished but never became an artifact, or is no longer one.

use std::io::{self, SeekFrom};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path as Folder, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::buffered::BufWriter;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{GetOptions, GetRange, GetResultPayload, ObjectStore, ObjectStoreExt};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio_util::io::{ReaderStream, StreamReader};
use url::Url;

use super::chunks::Chunks;
use crate::clock;
use crate::domain::url::{unambiguous, without_urls};

/// Bytes that a read gives at once, at most.
const READ_BYTES: usize = 512 * 1024;
/// A part of an upload to a folder.
const FOLDER_PART: usize = 2 * 1024 * 1024;
/// A part of an upload to a bucket. S3 takes 10,000 of them: 78 GiB in one file.
const BUCKET_PART: usize = 8 * 1024 * 1024;
/// Parts that are on their way at a time, so that an upload holds at most three in memory.
const PARTS: usize = 2;
/// Schemes of buckets.
const BUCKETS: [&str; 7] = ["s3", "s3a", "gs", "az", "adl", "abfs", "abfss"];

/// Why the artifact store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The store cannot be opened. Says what to do.
    #[error("{0}")]
    Unusable(String),
    /// No such blob.
    #[error("there is no blob {0}")]
    NotFound(String),
    /// No room left.
    #[error("the artifact store is full")]
    Full,
    /// Anything else.
    #[error("the artifact store: {0}")]
    Unavailable(String),
}

type Result<T> = std::result::Result<T, BlobError>;

/// A finished blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// The random key.
    pub uid: String,
    /// Bytes.
    pub size: i64,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
}

/// A blob that has just been written.
#[derive(Debug, Clone)]
pub struct NewBlob {
    /// What it is.
    pub blob: Blob,
    /// The SHA-256 of each of its MiBs, one after the other.
    pub chunks: Vec<u8>,
}

impl std::ops::Deref for NewBlob {
    type Target = Blob;

    fn deref(&self) -> &Blob {
        &self.blob
    }
}

/// A blob that is being read.
pub struct Reading {
    /// The size of the whole blob as the store has it, in bytes.
    pub size: u64,
    /// The bytes from the offset on, at most 512 KiB at once.
    pub bytes: BoxStream<'static, Result<Bytes>>,
}

/// An opened artifact store. Cheap to clone.
#[derive(Clone)]
pub struct Blobs {
    backend: Arc<dyn ObjectStore>,
    part: usize,
}

impl Blobs {
    /// Opens the store of a URL, or `folder` when none is given, and tries whether it can be written.
    pub async fn open(url: Option<&str>, folder: &Folder) -> Result<Self> {
        let Some(text) = url else { return Self::open_folder(folder).await };
        // A folder may have an `@` in its name.
        let read = if text.starts_with("file:") { Url::parse(text).map_err(|_| ()) } else { unambiguous(text).map_err(|_| ()) };
        let url = read.map_err(|()| unusable("is no URL; give file:///PATH, or leave it out"))?;
        if url.scheme() == "file" {
            return Self::open_folder(&folder_of(&url)?).await;
        }
        if !BUCKETS.contains(&url.scheme()) {
            return Err(unusable("must start with file:///, s3://, gs:// or az://"));
        }
        Self::open_bucket(&url).await
    }

    async fn open_folder(folder: &Folder) -> Result<Self> {
        let fault = |what: &dyn std::fmt::Display| {
            BlobError::Unusable(format!(
                "artifact folder {}: {what}; make it a folder that this user can write, or give --artifacts-url",
                folder.display()
            ))
        };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| fault(&error))?;
        let files = LocalFileSystem::new_with_prefix(folder).map_err(|error| fault(&error))?.with_fsync(true);
        let blobs = Self { backend: Arc::new(files), part: FOLDER_PART };
        blobs.probe().await.map_err(|error| fault(&error))?;
        Ok(blobs)
    }

    async fn open_bucket(url: &Url) -> Result<Self> {
        if !cfg!(feature = "cloud") {
            return Err(unusable("needs a server that was built with `--features cloud`"));
        }
        let fault = |error: &dyn std::fmt::Display| {
            let said = without_urls(&error.to_string());
            unusable(&format!("cannot be used: {said}; check the bucket and the credentials in the environment"))
        };
        // Names and values that are no text are none of the drivers' settings.
        let settings = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let (bucket, prefix) = object_store::parse_url_opts(url, settings).map_err(|error| fault(&error))?;
        let blobs = Self { backend: Arc::new(PrefixStore::new(bucket, prefix)), part: BUCKET_PART };
        blobs.probe().await.map_err(|error| fault(&error))?;
        Ok(blobs)
    }

    pub(super) fn backend(&self) -> &dyn ObjectStore {
        &*self.backend
    }

    /// Writes a blob and deletes it.
    async fn probe(&self) -> Result<()> {
        let mut upload = self.begin();
        upload.write(Bytes::from_static(b"probe")).await?;
        let blob = upload.finish().await?;
        self.delete(&blob.uid).await
    }

    /// Begins a blob. Until it is finished there is none; dropped or aborted, nothing is left.
    pub fn begin(&self) -> Upload {
        let uid = clock::new_uid();
        let writer = BufWriter::with_capacity(self.backend.clone(), key(&uid), self.part).with_max_concurrency(PARTS);
        Upload { writer: Some(writer), uid, size: 0, hash: Sha256::new(), chunks: Chunks::default() }
    }

    /// Reads a blob from a byte on. An offset at or behind its end gives no bytes.
    pub async fn read(&self, uid: &str, offset: u64) -> Result<Reading> {
        let range = (offset > 0).then_some(GetRange::Offset(offset));
        let found = match self.backend.get_opts(&key(uid), GetOptions { range, ..GetOptions::default() }).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Err(BlobError::NotFound(uid.to_owned())),
            Err(error) => return Err(fault(&error)),
        };
        let size = found.meta.size;
        let length = found.range.end.saturating_sub(found.range.start);
        let reader: Pin<Box<dyn AsyncRead + Send>> = match found.payload {
            GetResultPayload::File(file, _) => {
                let mut file = tokio::fs::File::from_std(file);
                file.seek(SeekFrom::Start(found.range.start)).await.map_err(|error| fault(&error))?;
                Box::pin(file.take(length))
            }
            GetResultPayload::Stream(bytes) => Box::pin(StreamReader::new(bytes.map_err(io::Error::other))),
        };
        let bytes = ReaderStream::with_capacity(reader, READ_BYTES).map_err(|error| fault(&error)).boxed();
        Ok(Reading { size, bytes })
    }

    /// Deletes a blob; an absent one is no error.
    pub async fn delete(&self, uid: &str) -> Result<()> {
        match self.backend.delete(&key(uid)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(fault(&error)),
        }
    }
}

/// A blob that is being written.
pub struct Upload {
    writer: Option<BufWriter>,
    uid: String,
    size: u64,
    hash: Sha256,
    chunks: Chunks,
}

impl Upload {
    /// Bytes until now.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// SHA-256 of the bytes until now, in hexadecimal.
    pub fn sha256(&self) -> String {
        hex::encode(self.hash.clone().finalize())
    }

    /// Appends bytes; waits while too many are on their way.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.size += bytes.len() as u64;
        self.hash.update(&bytes);
        self.chunks.update(&bytes);
        let writer = self.writer.as_mut().ok_or_else(ended)?;
        writer.put(bytes).await.map_err(|error| fault(&error))
    }

    /// Ends the blob. It is whole and synced when this returns; after an error nothing is left.
    pub async fn finish(mut self) -> Result<NewBlob> {
        // Taken, so that dropping has nothing more to abort; a failed shutdown cleans up by itself.
        let mut writer = self.writer.take().ok_or_else(ended)?;
        writer.shutdown().await.map_err(|error| fault(&error))?;
        let size = i64::try_from(self.size).map_err(|error| fault(&error))?;
        let blob = Blob { uid: std::mem::take(&mut self.uid), size, sha256: self.sha256() };
        Ok(NewBlob { blob, chunks: std::mem::take(&mut self.chunks).finish() })
    }

    /// Gives the blob up; nothing of it is left when this returns.
    pub async fn abort(mut self) {
        if let Some(writer) = self.writer.take() {
            abort(writer).await;
        }
    }
}

impl Drop for Upload {
    /// The caller has gone away in the middle.
    fn drop(&mut self) {
        if let (Some(writer), Ok(runtime)) = (self.writer.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(abort(writer));
        }
    }
}

async fn abort(mut writer: BufWriter) {
    if let Err(error) = writer.abort().await {
        tracing::warn!(%error, "an unfinished upload could not be removed from the artifact store");
    }
}

fn key(uid: &str) -> Path {
    Path::from_iter([uid.get(..2).unwrap_or_default(), uid])
}

fn ended() -> BlobError {
    BlobError::Unavailable("the upload has ended".to_owned())
}

/// The URL is not shown: it may hold credentials.
fn unusable(why: &str) -> BlobError {
    BlobError::Unusable(format!("--artifacts-url (STAGEGATE_ARTIFACTS_URL) {why}"))
}

fn folder_of(url: &Url) -> Result<PathBuf> {
    let plain = url.query().is_none() && url.fragment().is_none();
    url.to_file_path().ok().filter(|_| plain).ok_or_else(|| unusable("must name a folder of this machine: file:///PATH"))
}

/// What a driver's error comes down to. Its text goes to the log, never to a client.
pub(super) fn fault(error: &(dyn std::error::Error + 'static)) -> BlobError {
    let mut text = error.to_string();
    let mut cause = Some(error);
    while let Some(error) = cause {
        // An I/O error that wraps another leaves that one out of its chain.
        let wrapped = error.downcast_ref::<io::Error>();
        if wrapped.is_some_and(|error| matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)) {
            return BlobError::Full;
        }
        cause = match wrapped.and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
        if let Some(cause) = cause {
            let cause = cause.to_string();
            if !text.contains(&cause) {
                text = format!("{text}: {cause}");
            }
        }
    }
    BlobError::Unavailable(without_urls(&text))
}

#[cfg(test)]
#[path = "blobs_tests.rs"]
mod tests;
