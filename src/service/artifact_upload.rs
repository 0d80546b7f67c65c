//! Bytes of artifacts on their way up. They go to the store as they come; the row that makes them an artifact
//! is written when they are whole and synced.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::artifacts::{discard, subject, to_the_end};
use super::runs::still_live;
use super::{Error, RequestStream, Result};
use crate::access::Call;
use crate::contract::v1;
use crate::domain::field::{Check, FieldError};
use crate::domain::{artifact_path, ids, limits, text};
use crate::store::artifacts::{self as rows, Owner};
use crate::store::blobs::{Blob, Upload};
use crate::store::{Recorded, Tx, runs};

/// A client that sends no bytes for this long has gone.
const IDLE: Duration = Duration::from_secs(30);

/// What the first message said, checked.
#[derive(Debug)]
struct Announced {
    run_id: String,
    path: String,
    size: Option<u64>,
    sha256: Option<String>,
}

/// See the proto.
pub async fn upload_artifact(
    call: &Call,
    first: v1::UploadArtifactRequest,
    rest: RequestStream<v1::UploadArtifactRequest>,
) -> Result<v1::UploadArtifactResponse> {
    let announced = announced(first.header.unwrap_or_default())?;
    let on = call.store().reader();
    // Asked again in the write; here it spares the client sending bytes in vain.
    let run = still_live(runs::by_run_id(on, &announced.run_id).await?, &announced.run_id)?;
    free(rows::obstacle(on, run.id, &announced.path).await?, &announced.path)?;
    let mut upload = call.store().blobs()?.begin();
    if let Err(error) = receive(&mut upload, &announced, first.chunk, rest).await {
        upload.abort().await;
        return Err(error);
    }
    let call = call.clone();
    to_the_end(async move { keep(&call, announced, upload).await }).await
}

fn announced(header: v1::UploadArtifactHeader) -> Result<Announced> {
    if header == v1::UploadArtifactHeader::default() {
        return Err(text::missing("header").into());
    }
    let mut check = Check::new();
    check.take(ids::run_id("header.run_id", &header.run_id));
    check.take(artifact_path::file("header.path", &header.path));
    let size = header.size.map(u64::try_from).transpose().map_err(|_| FieldError::new("header.size", "must not be negative"));
    let size = check.take(size).flatten();
    let sha256 = (!header.sha256.is_empty()).then(|| header.sha256.to_ascii_lowercase());
    let plain = sha256.as_ref().is_none_or(|text| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()));
    check.require(plain, "header.sha256", "is no SHA-256: must be 64 hexadecimal digits");
    check.finish()?;
    Ok(Announced { run_id: header.run_id, path: header.path, size, sha256 })
}

/// Hands the bytes to the store until the client has sent all, and compares them with what was announced.
async fn receive(
    upload: &mut Upload,
    announced: &Announced,
    first: Bytes,
    mut rest: RequestStream<v1::UploadArtifactRequest>,
) -> Result<()> {
    write(upload, announced, first).await?;
    let mut idle_at = Instant::now() + IDLE;
    loop {
        let idle = |_| Error::Cancelled(format!("no bytes came for {} seconds; nothing was kept", IDLE.as_secs()));
        let Some(message) = timeout_at(idle_at, rest.next()).await.map_err(idle)? else { break };
        let message = message?;
        if message.header.is_some() {
            return Err(Error::invalid("header", "must be in the first message only"));
        }
        let empty = message.chunk.is_empty();
        write(upload, announced, message.chunk).await?;
        if !empty {
            idle_at = Instant::now() + IDLE;
        }
    }
    if let Some(size) = announced.size.filter(|size| *size != upload.size()) {
        return Err(Error::invalid("header.size", format!("is {size}, but {} bytes came", upload.size())));
    }
    let sha256 = upload.sha256();
    if let Some(other) = announced.sha256.as_ref().filter(|other| **other != sha256) {
        return Err(Error::invalid("header.sha256", format!("is {other}, but the bytes that came have {sha256}")));
    }
    Ok(())
}

async fn write(upload: &mut Upload, announced: &Announced, chunk: Bytes) -> Result<()> {
    if chunk.len() > limits::ARTIFACT_CHUNK_BYTES {
        let most = limits::ARTIFACT_CHUNK_BYTES;
        return Err(Error::invalid("chunk", format!("has {} bytes; at most {most} are allowed in one message", chunk.len())));
    }
    let size = upload.size() + chunk.len() as u64;
    if let Some(told) = announced.size.filter(|told| size > *told) {
        return Err(Error::invalid("header.size", format!("is {told}, but more bytes came")));
    }
    if !chunk.is_empty() {
        upload.write(chunk).await?;
    }
    Ok(())
}

/// Ends the blob and writes its rows. Bytes that did not become an artifact are deleted again.
async fn keep(call: &Call, announced: Announced, upload: Upload) -> Result<v1::UploadArtifactResponse> {
    let blob = upload.finish().await?;
    let answer = v1::UploadArtifactResponse { size: blob.size, sha256: blob.sha256.clone() };
    let uid = blob.uid.clone();
    let written = call
        .store()
        .write((call.clone(), announced, blob), |tx, (call, announced, blob)| Box::pin(attach(tx, call, announced, blob)))
        .await;
    match written {
        Ok(unused) => {
            discard(call, &unused).await;
            Ok(answer)
        }
        Err(error) => {
            // After these the commit may have happened all the same: a row without bytes would be worse than
            // bytes without a row.
            if !matches!(error, Error::Unavailable(_) | Error::Internal(_)) {
                discard(call, &[uid]).await;
            }
            Err(error)
        }
    }
}

/// Makes the blob the run's file. Gives the blob that it replaced, when nothing else refers to it.
async fn attach(tx: &Tx, call: &Call, announced: &Announced, blob: &Blob) -> Result<Recorded<Vec<String>>> {
    let run = still_live(runs::lock(tx, &announced.run_id).await?, &announced.run_id)?;
    free(rows::obstacle(&**tx, run.id, &announced.path).await?, &announced.path)?;
    let before = rows::file(&**tx, &Owner::Run(run.id), &announced.path).await?;
    rows::put(tx, run.id, &announced.path, blob).await?;
    let replaced: Vec<String> = before.iter().map(|blob| blob.uid.clone()).collect();
    let unused = rows::forget_unused(tx, &replaced).await?;
    let told = |blob: &Blob| json!({"size": blob.size, "sha256": blob.sha256});
    let payload = json!({"path": announced.path, "before": before.as_ref().map(told), "after": told(blob)});
    let entry = call.entry(tx.now(), &subject(&run, &run.experiment.to_string()), &payload);
    Ok(tx.record(&entry).await?.map(|()| unused))
}

/// Errors when a file or folder stands in the way of a path.
fn free(obstacle: Option<String>, path: &str) -> Result<()> {
    match obstacle {
        None => Ok(()),
        Some(other) => Err(Error::precondition("PATH_TAKEN", format!("{path:?} cannot be a file, because the run has the file {other:?}"))),
    }
}
