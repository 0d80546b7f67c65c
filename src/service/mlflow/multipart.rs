//! Uploads in parts. Each part is a blob of its own until the upload is completed; then one blob is made of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use http::HeaderMap;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::artifacts::{only_bytes, stored};
use crate::access::{Access, Arrival, Call, Refused};
use crate::clock;
use crate::contract::{mlflow, operation_by_path};
use crate::domain::page_token::Query;
use crate::domain::{artifact_path, ids, limits, text};
use crate::service::artifact_target::target_of;
use crate::service::artifact_upload::{Expected, Landing, attach, may_land, receive, settle};
use crate::service::artifacts::{discard, to_the_end};
use crate::service::{Error, RequestStream, Result};
use crate::store::blobs::{Blob, Upload};
use crate::store::uploads::{self as rows, UploadRow};
use crate::store::{Kept, Recorded, Store, StoreError, Unrecorded};

/// The header in which a part's token comes over HTTP.
pub const TOKEN_HEADER: &str = "x-stagegate-upload-token";
/// What the creator of an upload was asked, and is asked again for each part.
const BEGIN: &str = "/stagegate.mlflow.v1.MlflowArtifactsService/CreateMultipartUpload";
/// How often uploads that nobody completed are looked for.
const LOOK: Duration = Duration::from_secs(600);
/// Parts are made one file for one upload at a time. Who calls again, because it takes long, waits here and finds
/// the work done.
static COMPOSING: Semaphore = Semaphore::const_new(1);

/// Where a request's file is to lie, and its name.
fn landing(folder: &str, path: &str) -> Result<(Landing, String)> {
    let (target, below) = target_of("folder", folder)?;
    // The client sends its own path; on Windows that has other separators.
    let name = path.rsplit(['/', '\\']).next().unwrap_or_default();
    let path = if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
    artifact_path::file("path", name)?;
    artifact_path::file("path", &path)?;
    Ok((Landing { target, path }, name.to_owned()))
}

/// See the proto.
pub async fn create_multipart_upload(
    call: &Call,
    request: mlflow::CreateMultipartUploadRequest,
) -> Result<mlflow::CreateMultipartUploadResponse> {
    let (landing, file_name) = landing(&request.folder, &request.path)?;
    if !(1..=limits::UPLOAD_PARTS).contains(&request.num_parts) {
        return Err(Error::invalid("num_parts", format!("must be between 1 and {}", limits::UPLOAD_PARTS)));
    }
    let origin = call.origin().ok_or_else(|| {
        Error::invalid(
            "Host",
            "is missing or, with what a proxy noted of it, no address that parts can be sent to; `--base-url` says which one is meant",
        )
    })?;
    may_land(call, &landing).await?;
    let upload = UploadRow {
        uid: clock::new_uid(),
        created_by: call.caller().user_uid.clone(),
        claims: call.caller().claims_text(),
        folder: request.folder,
        file_name,
        parts: request.num_parts,
        blob_uid: None,
        created: clock::now_ms(),
    };
    let uid = upload.uid.clone();
    call.store().write_unrecorded(Unrecorded::Uploads, upload, |tx, upload| Box::pin(rows::insert(tx, upload))).await?;
    let credential = |part_number: i64| mlflow::MultipartCredential {
        url: format!("{origin}/api/2.0/mlflow-artifacts/mpu/parts/{uid}/{part_number}"),
        part_number,
        headers: HashMap::from([(TOKEN_HEADER.to_owned(), part_query(&uid, part_number).token(&call.access().keys().page_token, b""))]),
    };
    let credentials = (1..=request.num_parts).map(credential).collect();
    Ok(mlflow::CreateMultipartUploadResponse { upload_id: uid, credentials })
}

/// What the token of a part is bound to.
fn part_query(upload: &str, part: i64) -> Query {
    Query::new("UploadPart").part(upload.as_bytes()).part(&part.to_be_bytes())
}

/// See the proto.
pub async fn upload_part(
    call: &Call,
    first: mlflow::UploadPartRequest,
    rest: RequestStream<mlflow::UploadPartRequest>,
) -> Result<mlflow::WriteArtifactResponse> {
    let part = i64::from(ids::version_number("part_number", &first.part_number)?);
    ids::uid("upload_id", &first.upload_id)?;
    if part_query(&first.upload_id, part).cursor(&call.access().keys().page_token, &first.token).is_err() {
        let message = format!("the header {TOKEN_HEADER} must bear the token of this part of this upload");
        return Err(Error::Denied { permission: None, reason: "UPLOAD_TOKEN", message });
    }
    let begun = going_on(rows::by_uid(call.store().reader(), &first.upload_id).await?, &first.upload_id, clock::now_ms())?;
    creator_may(call, &begun).await?;
    let expected = Expected::size(first.size)?;
    let rest = rest.map(|message| match message? {
        mlflow::UploadPartRequest { upload_id, part_number, token, size: None, chunk }
            if upload_id.is_empty() && part_number.is_empty() && token.is_empty() =>
        {
            Ok(chunk)
        }
        _ => Err(only_bytes()),
    });
    let upload = receive(call, &expected, first.chunk, rest.boxed()).await?;
    let call = call.clone();
    // The bytes may have been long on their way.
    creator_may(&call, &begun).await?;
    to_the_end(async move { keep_part(&call, first.upload_id, part, upload).await }).await.map(stored)
}

/// Errors unless whoever began the upload could begin it now. The address of a part is good for no longer than that.
async fn creator_may(call: &Call, upload: &UploadRow) -> Result<()> {
    let operation = operation_by_path(BEGIN).ok_or_else(|| Error::Internal(format!("there is no operation {BEGIN}")))?;
    let (folder, path) = (upload.folder.clone(), upload.file_name.clone());
    let begin = mlflow::CreateMultipartUploadRequest { folder, path, num_parts: upload.parts };
    let arrival = Arrival { operation, headers: &HeaderMap::new(), request_id: call.request_id(), source: call.source() };
    let asked = async {
        let creator = call.access().caller_again(&upload.created_by, upload.claims.as_deref()).await?;
        call.access().admit(&arrival, creator, &begin).await.map(drop)
    };
    match asked.await {
        Ok(()) => Ok(()),
        Err(Refused::Store(error)) => Err(error.into()),
        Err(_) => {
            let message = "whoever began this upload may no longer write there".to_owned();
            Err(Error::Denied { permission: None, reason: "UPLOAD_TOKEN", message })
        }
    }
}

async fn keep_part(call: &Call, upload_id: String, part: i64, upload: Upload) -> Result<Blob> {
    let blob = upload.finish().await?;
    let written = call
        .store()
        .write_unrecorded(Unrecorded::Uploads, (upload_id, part, blob.clone()), |tx, (upload_id, part, blob)| {
            Box::pin(async move {
                going_on(rows::lock(tx, upload_id).await?, upload_id, tx.now())?;
                let replaced = rows::put_part(tx, upload_id, *part, blob).await?;
                Ok::<_, Error>(replaced.into_iter().collect())
            })
        })
        .await;
    settle(call, written.map(|unused| ((), unused)), &blob).await?;
    Ok(blob.blob)
}

/// An upload that still takes parts.
fn going_on(upload: Option<UploadRow>, uid: &str, now: i64) -> Result<UploadRow> {
    let going_on = |upload: &UploadRow| upload.blob_uid.is_none() && now < upload.created + limits::UPLOAD_TTL_MS;
    upload.filter(going_on).ok_or_else(|| Error::not_found("upload", uid))
}

/// See the proto.
pub async fn complete_multipart_upload(
    call: &Call,
    request: mlflow::CompleteMultipartUploadRequest,
) -> Result<Kept<mlflow::CompleteMultipartUploadResponse>> {
    let (landing, file_name) = landing(&request.folder, &request.path)?;
    ids::uid("upload_id", &request.upload_id)?;
    let call = call.clone();
    to_the_end(async move {
        let _one = COMPOSING.acquire().await.map_err(|error| Error::Internal(error.to_string()))?;
        let on = call.store().reader();
        let upload = rows::by_uid(on, &request.upload_id).await?;
        let upload = upload.filter(|upload| upload.folder == request.folder && upload.file_name == file_name);
        if upload.as_ref().is_some_and(|upload| upload.blob_uid.is_some()) {
            return again(call.store()).await;
        }
        let upload = going_on(upload, &request.upload_id, clock::now_ms())?;
        let parts = complete(&upload, &request.parts, rows::parts(on, &upload.uid).await?)?;
        may_land(&call, &landing).await?;
        let composed = compose(&call, &parts).await?;
        let kept = keep(&call, landing, &upload.uid, composed).await?;
        Ok(kept.map(|()| mlflow::CompleteMultipartUploadResponse {}))
    })
    .await
}

/// The answer to who completes an upload that has become a file already.
async fn again(store: &Store) -> Result<Kept<mlflow::CompleteMultipartUploadResponse>> {
    let answer = mlflow::CompleteMultipartUploadResponse {};
    store.write(answer, |_, answer| Box::pin(async move { Ok::<_, Error>(Recorded::nothing(*answer)) })).await
}

/// All parts in their order, when those that the client names are those that came.
fn complete(upload: &UploadRow, named: &[mlflow::MultipartPart], came: Vec<(i64, Blob)>) -> Result<Vec<Blob>> {
    let etags: HashMap<i64, &str> = named.iter().map(|part| (part.part_number, part.etag.trim_matches('"'))).collect();
    if i64::try_from(named.len()) != Ok(upload.parts) || etags.len() != named.len() {
        return Err(Error::invalid("parts", format!("must name each of the {} parts once", upload.parts)));
    }
    let came: HashMap<i64, Blob> = came.into_iter().collect();
    let part = |number: i64| match (came.get(&number), etags.get(&number)) {
        (Some(blob), Some(etag)) if blob.sha256 == *etag => Ok(blob.clone()),
        (None, _) => Err(Error::invalid("parts", format!("part {number} has not come"))),
        _ => Err(Error::invalid("parts", format!("part {number} has another ETag than the bytes that came"))),
    };
    (1..=upload.parts).map(part).collect()
}

/// Copies the parts into one upload, in a stream.
async fn compose(call: &Call, parts: &[Blob]) -> Result<Upload> {
    let blobs = call.store().blobs()?;
    let mut upload = blobs.begin();
    for part in parts {
        let mut bytes = blobs.read(&part.uid, 0).await?.bytes;
        let mut hash = Sha256::new();
        while let Some(chunk) = bytes.next().await.transpose()? {
            hash.update(&chunk);
            upload.write(chunk).await?;
        }
        if hex::encode(hash.finalize()) != part.sha256 {
            upload.abort().await;
            return Err(Error::Internal(format!("the part {} no longer has the {} bytes that came", part.uid, part.size)));
        }
    }
    Ok(upload)
}

async fn keep(call: &Call, landing: Landing, upload_id: &str, composed: Upload) -> Result<Kept<()>> {
    let blob = composed.finish().await?;
    let input = (call.clone(), landing, upload_id.to_owned(), blob.clone());
    let written = call
        .store()
        .write(input, |tx, (call, landing, upload_id, blob)| {
            Box::pin(async move {
                going_on(rows::lock(tx, upload_id).await?, upload_id, tx.now())?;
                let mut parts = rows::finish(tx, upload_id, &blob.uid).await?;
                Ok::<_, Error>(attach(tx, call, landing, blob).await?.map(|replaced| {
                    parts.extend(replaced);
                    parts
                }))
            })
        })
        .await;
    settle(call, written.map(Kept::split), &blob).await
}

/// See the proto.
pub async fn abort_multipart_upload(
    call: &Call,
    request: mlflow::AbortMultipartUploadRequest,
) -> Result<mlflow::AbortMultipartUploadResponse> {
    let (_, file_name) = landing(&request.folder, &request.path)?;
    if request.upload_id.is_empty() {
        return Err(text::missing("upload_id").into());
    }
    let upload = rows::by_uid(call.store().reader(), &request.upload_id).await?;
    let open = |upload: &UploadRow| upload.folder == request.folder && upload.file_name == file_name && upload.blob_uid.is_none();
    if upload.is_some_and(|upload| open(&upload)) {
        forget(call.store(), request.upload_id, false).await?;
    }
    Ok(mlflow::AbortMultipartUploadResponse {})
}

/// Forgets an upload and its parts; one that has become a file only when it is told so.
async fn forget(store: &Store, uid: String, done_too: bool) -> Result<()> {
    let unused = store
        .write_unrecorded(Unrecorded::Uploads, (uid, done_too), |tx, (uid, done_too)| {
            Box::pin(async move {
                let upload = rows::lock(tx, uid).await?.filter(|upload| *done_too || upload.blob_uid.is_none());
                let blobs = if upload.is_some() { rows::delete(tx, uid).await? } else { Vec::new() };
                Ok::<_, StoreError>(blobs)
            })
        })
        .await?;
    discard(store, &unused).await;
    Ok(())
}

/// Forgets uploads that are older than they may be, now and then, as long as the runtime runs.
pub async fn tend_uploads(access: Arc<Access>) {
    let mut look = tokio::time::interval(LOOK);
    loop {
        look.tick().await;
        if let Err(error) = forget_expired(&access.store).await {
            tracing::warn!(%error, "old uploads could not be forgotten");
        }
    }
}

async fn forget_expired(store: &Store) -> Result<()> {
    for uid in rows::begun_before(store.reader(), clock::now_ms() - limits::UPLOAD_TTL_MS).await? {
        forget(store, uid, true).await?;
    }
    Ok(())
}
