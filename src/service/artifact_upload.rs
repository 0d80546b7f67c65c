//! Bytes of artifacts on their way up. They go to the store as they come; the row that makes them an artifact
//! is written when they are whole and synced.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::artifact_target::Target;
use super::artifacts::{discard, to_the_end};
use super::{Error, RequestStream, Result};
use crate::access::Call;
use crate::contract::v1;
use crate::domain::field::{Check, FieldError};
use crate::domain::{artifact_path, limits, text};
use crate::store::artifacts as rows;
use crate::store::blobs::{Blob, NewBlob, Upload};
use crate::store::{Kept, Recorded, Tx};

/// A client that sends no bytes for this long has gone.
const IDLE: Duration = Duration::from_secs(30);

/// Where a file is to lie.
#[derive(Debug, Clone)]
pub(super) struct Landing {
    pub(super) target: Target,
    /// Below the target; checked.
    pub(super) path: String,
}

/// What is known of the bytes before they come.
#[derive(Debug, Default)]
pub(super) struct Expected {
    size: Option<u64>,
    sha256: Option<String>,
    /// More bytes are refused.
    most: Option<u64>,
    /// No bytes at all are refused.
    some: bool,
    /// What stands in front of the names of fields.
    within: &'static str,
}

impl Expected {
    /// Bytes of a size, if it is given.
    pub(super) fn size(size: Option<i64>) -> Result<Self> {
        let size = size.map(u64::try_from).transpose().map_err(|_| Error::invalid("size", "must not be negative"))?;
        Ok(Self { size, ..Self::default() })
    }

    /// The same, and some bytes, but not more than so many.
    pub(super) fn some_up_to(most: u64, size: Option<i64>) -> Result<Self> {
        let expected = Self { most: Some(most), some: true, ..Self::size(size)? };
        expected.bound(expected.size.unwrap_or_default())?;
        Ok(expected)
    }

    /// Errors when so many bytes are more than were told or allowed.
    fn bound(&self, size: u64) -> Result<()> {
        if let Some(most) = self.most.filter(|most| size > *most) {
            return Err(self.refused("chunk", format!("the file is larger than {most} bytes")));
        }
        match self.size.filter(|told| size > *told) {
            Some(told) => Err(self.refused("size", format!("is {told}, but more bytes came"))),
            None => Ok(()),
        }
    }

    fn refused(&self, field: &str, why: String) -> Error {
        Error::invalid(&format!("{}{field}", self.within), why)
    }
}

/// See the proto.
pub async fn upload_artifact(
    call: &Call,
    first: v1::UploadArtifactRequest,
    rest: RequestStream<v1::UploadArtifactRequest>,
) -> Result<Kept<v1::UploadArtifactResponse>> {
    let (landing, expected) = announced(first.header.unwrap_or_default())?;
    let rest = rest.map(|message| match message? {
        v1::UploadArtifactRequest { header: None, chunk } => Ok(chunk),
        _ => Err(Error::invalid("header", "must be in the first message only")),
    });
    let blob = upload(call, landing, &expected, first.chunk, rest.boxed()).await?;
    Ok(blob.map(|blob| v1::UploadArtifactResponse { size: blob.size, sha256: blob.sha256 }))
}

/// Takes a file to its place. The blob that it gives is stored and synced, and its row written.
pub(super) async fn upload(
    call: &Call,
    landing: Landing,
    expected: &Expected,
    first: Bytes,
    rest: RequestStream<Bytes>,
) -> Result<Kept<Blob>> {
    // Asked again in the write; here it spares the client sending bytes in vain.
    may_land(call, &landing).await?;
    let upload = receive(call, expected, first, rest).await?;
    let call = call.clone();
    to_the_end(async move { keep(&call, landing, upload).await }).await
}

/// Errors unless the target is live and nothing stands in the way.
pub(super) async fn may_land(call: &Call, landing: &Landing) -> Result<()> {
    let on = call.store().reader();
    let live = landing.target.find(on).await?;
    free(rows::obstacle(on, &live.owner, &landing.path).await?, &landing.path)
}

fn announced(header: v1::UploadArtifactHeader) -> Result<(Landing, Expected)> {
    if header == v1::UploadArtifactHeader::default() {
        return Err(text::missing("header").into());
    }
    let mut check = Check::new();
    check.take(crate::domain::ids::run_id("header.run_id", &header.run_id));
    check.take(artifact_path::file("header.path", &header.path));
    let size = header.size.map(u64::try_from).transpose().map_err(|_| FieldError::new("header.size", "must not be negative"));
    let size = check.take(size).flatten();
    let sha256 = (!header.sha256.is_empty()).then(|| header.sha256.to_ascii_lowercase());
    let plain = sha256.as_ref().is_none_or(|text| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()));
    check.require(plain, "header.sha256", "is no SHA-256: must be 64 hexadecimal digits");
    check.finish()?;
    let landing = Landing { target: Target::run(&header.run_id), path: header.path };
    Ok((landing, Expected { size, sha256, within: "header.", ..Expected::default() }))
}

/// Hands the bytes to the store until the client has sent all, and compares them with what was announced. When it
/// fails, nothing is left.
pub(super) async fn receive(call: &Call, expected: &Expected, first: Bytes, rest: RequestStream<Bytes>) -> Result<Upload> {
    let mut upload = call.store().blobs()?.begin();
    match fill(&mut upload, expected, first, rest).await {
        Ok(()) => {
            call.charge_artifact(upload.size());
            Ok(upload)
        }
        Err(error) => {
            upload.abort().await;
            Err(error)
        }
    }
}

async fn fill(upload: &mut Upload, expected: &Expected, first: Bytes, mut rest: RequestStream<Bytes>) -> Result<()> {
    write(upload, expected, first).await?;
    let mut idle_at = Instant::now() + IDLE;
    loop {
        let idle = |_| Error::Cancelled(format!("no bytes came for {} seconds; nothing was kept", IDLE.as_secs()));
        let Some(chunk) = timeout_at(idle_at, rest.next()).await.map_err(idle)? else { break };
        let chunk = chunk?;
        let empty = chunk.is_empty();
        write(upload, expected, chunk).await?;
        if !empty {
            idle_at = Instant::now() + IDLE;
        }
    }
    if expected.some && upload.size() == 0 {
        return Err(expected.refused("chunk", "no bytes came".to_owned()));
    }
    if let Some(size) = expected.size.filter(|size| *size != upload.size()) {
        return Err(expected.refused("size", format!("is {size}, but {} bytes came", upload.size())));
    }
    let sha256 = upload.sha256();
    if let Some(other) = expected.sha256.as_ref().filter(|other| **other != sha256) {
        return Err(expected.refused("sha256", format!("is {other}, but the bytes that came have {sha256}")));
    }
    Ok(())
}

async fn write(upload: &mut Upload, expected: &Expected, chunk: Bytes) -> Result<()> {
    if chunk.len() > limits::ARTIFACT_CHUNK_BYTES {
        let most = limits::ARTIFACT_CHUNK_BYTES;
        return Err(Error::invalid("chunk", format!("has {} bytes; at most {most} are allowed in one message", chunk.len())));
    }
    expected.bound(upload.size() + chunk.len() as u64)?;
    if !chunk.is_empty() {
        upload.write(chunk).await?;
    }
    Ok(())
}

/// Ends the blob and writes its rows. Bytes that did not become an artifact are deleted again.
async fn keep(call: &Call, landing: Landing, upload: Upload) -> Result<Kept<Blob>> {
    let blob = upload.finish().await?;
    let written = call
        .store()
        .write((call.clone(), landing, blob.clone()), |tx, (call, landing, blob)| Box::pin(attach(tx, call, landing, blob)))
        .await;
    let kept = settle(call, written.map(Kept::split), &blob).await?;
    Ok(kept.map(|()| blob.blob))
}

/// Deletes the bytes that nothing refers to after a write: those that it replaced, or the new ones when it failed.
/// What else the write gave comes back.
pub(super) async fn settle<P>(call: &Call, written: Result<(P, Vec<String>)>, blob: &Blob) -> Result<P> {
    match written {
        Ok((proof, unused)) => {
            discard(call.store(), &unused).await;
            Ok(proof)
        }
        Err(error) => {
            // After these the commit may have happened all the same: a row without bytes would be worse than
            // bytes without a row.
            if !matches!(error, Error::Unavailable(_) | Error::Internal(_)) {
                discard(call.store(), std::slice::from_ref(&blob.uid)).await;
            }
            Err(error)
        }
    }
}

/// Makes the blob the target's file. Gives the blob that it replaced, when nothing else refers to it.
pub(super) async fn attach(tx: &Tx, call: &Call, landing: &Landing, blob: &NewBlob) -> Result<Recorded<Vec<String>>> {
    let live = landing.target.lock(tx).await?;
    free(rows::obstacle(&**tx, &live.owner, &landing.path).await?, &landing.path)?;
    let before = rows::file(&**tx, &live.owner, &landing.path).await?;
    rows::put(tx, &live.owner, &landing.path, blob).await?;
    let replaced: Vec<String> = before.iter().map(|blob| blob.uid.clone()).collect();
    let unused = rows::forget_unused(tx, &replaced).await?;
    let told = |blob: &Blob| json!({"size": blob.size, "sha256": blob.sha256});
    let payload = json!({"path": landing.path, "before": before.as_ref().map(told), "after": told(blob)});
    let entry = call.entry(tx.now(), &live.subject(), &payload);
    Ok(tx.record(&entry).await?.map(|()| unused))
}

/// Errors when a file or folder stands in the way of a path.
fn free(obstacle: Option<String>, path: &str) -> Result<()> {
    match obstacle {
        None => Ok(()),
        Some(other) => Err(Error::precondition("PATH_TAKEN", format!("{path:?} cannot be a file, because there is the file {other:?}"))),
    }
}
