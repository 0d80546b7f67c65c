//! Bytes of artifacts on their way down, compared with their digest as they pass.

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use sha2::{Digest, Sha256};

use super::artifact_target::{Place, place};
use super::{Error, ResponseStream, Result};
use crate::access::Call;
use crate::contract::v1::{self, download_artifact_response::Part};
use crate::domain::artifact_path;
use crate::store::artifacts as rows;
use crate::store::blobs::{Blob, BlobError};

/// Bytes that are handed out and watched.
struct Watched {
    bytes: BoxStream<'static, std::result::Result<Bytes, BlobError>>,
    blob: Blob,
    /// The byte of the file that comes next.
    next: u64,
    /// Over all bytes until now; none when the file is not read from its start, or is compared already.
    hash: Option<Sha256>,
}

/// See the proto.
pub async fn download_artifact(call: &Call, request: v1::DownloadArtifactRequest) -> Result<ResponseStream<v1::DownloadArtifactResponse>> {
    artifact_path::file("path", &request.path)?;
    let place = place(call, &request.run_id, &request.model_name, &request.model_version).await?;
    download(call, place, &request.path, request.offset).await
}

/// A file of a place, whose path was checked, from a byte on.
pub(super) async fn download(call: &Call, place: Place, path: &str, offset: i64) -> Result<ResponseStream<v1::DownloadArtifactResponse>> {
    let offset = u64::try_from(offset).map_err(|_| Error::invalid("offset", "must not be negative"))?;
    let watched = open(call, &place, path, offset).await?;
    let header = v1::DownloadArtifactHeader { size: watched.blob.size, sha256: watched.blob.sha256.clone(), version: place.version };
    let answer = |part| v1::DownloadArtifactResponse { part: Some(part) };
    let chunks = stream::try_unfold(watched, Watched::chunk).map(move |chunk| chunk.map(|bytes| answer(Part::Chunk(bytes))));
    Ok(stream::iter([Ok(answer(Part::Header(header)))]).chain(chunks).boxed())
}

/// Finds the file and opens its bytes.
async fn open(call: &Call, place: &Place, path: &str, offset: u64) -> Result<Watched> {
    let mut missing = None;
    loop {
        let blob = rows::file(call.store().reader(), &place.owner, path).await?;
        let blob = blob.ok_or_else(|| Error::not_found("artifact", path))?;
        let size = blob.size.unsigned_abs();
        if offset > size {
            return Err(Error::invalid("offset", format!("is {offset}; the file has {size} bytes")));
        }
        if offset > 0 && offset == size {
            return Ok(Watched { bytes: stream::empty().boxed(), blob, next: offset, hash: None });
        }
        match call.store().blobs()?.read(&blob.uid, offset).await {
            Ok(found) if found.size == size => {
                let hash = (offset == 0).then(Sha256::new);
                return Ok(Watched { bytes: found.bytes, blob, next: offset, hash });
            }
            Ok(found) => return Err(damaged(&blob, &format!("has {} bytes", found.size))),
            // Replaced between the two looks: the path has another blob by now.
            Err(BlobError::NotFound(uid)) if missing.as_ref() != Some(&uid) => missing = Some(uid),
            Err(BlobError::NotFound(_)) => return Err(damaged(&blob, "is missing")),
            Err(error) => return Err(error.into()),
        }
    }
}

impl Watched {
    /// The next bytes. The last ones of a whole file are given only when its digest is right.
    async fn chunk(mut self) -> Result<Option<(Bytes, Self)>> {
        let size = self.blob.size.unsigned_abs();
        let chunk = self.bytes.next().await.transpose()?;
        if let Some(bytes) = &chunk {
            self.next += bytes.len() as u64;
            if let Some(hash) = &mut self.hash {
                hash.update(bytes);
            }
        }
        if self.next > size || chunk.is_none() && self.next < size {
            return Err(damaged(&self.blob, &format!("gave {} bytes", self.next)));
        }
        if self.next == size
            && let Some(hash) = self.hash.take()
        {
            let found = hex::encode(hash.finalize());
            if found != self.blob.sha256 {
                return Err(damaged(&self.blob, &format!("has the SHA-256 {found}")));
            }
        }
        Ok(chunk.map(|bytes| (bytes, self)))
    }
}

/// The store no longer has what was uploaded.
fn damaged(blob: &Blob, what: &str) -> Error {
    Error::Internal(format!("blob {} {what}; it was uploaded with {} bytes and the SHA-256 {}", blob.uid, blob.size, blob.sha256))
}
