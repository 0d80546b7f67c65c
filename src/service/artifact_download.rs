//! Bytes of artifacts on their way down. Each MiB is compared with its digest before any of it is given, so that no part
//! of a file is served that is not what was uploaded; a whole file is compared with its own digest as well.

use std::collections::VecDeque;

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
use crate::store::chunks::{CHUNK_BYTES, DIGEST_BYTES};

/// Bytes that are compared and then handed out.
struct Watched {
    bytes: BoxStream<'static, std::result::Result<Bytes, BlobError>>,
    blob: Blob,
    /// The digests of the MiBs that are still to come.
    digests: VecDeque<u8>,
    /// The byte of the file that comes next out of the store.
    next: u64,
    /// The first byte that was asked for; it may lie within a MiB.
    from: u64,
    /// Bytes that came out of the store together with those of the MiB before.
    rest: Bytes,
    /// Bytes that were compared and wait to be given.
    good: VecDeque<Bytes>,
    /// Over all bytes until now; none when the file is not read from its start.
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
    let chunks = stream::try_unfold(watched, Watched::give).map(move |chunk| chunk.map(|bytes| answer(Part::Chunk(bytes))));
    Ok(stream::iter([Ok(answer(Part::Header(header)))]).chain(chunks).boxed())
}

/// Finds the file and opens its bytes, from the beginning of the MiB that holds the offset.
async fn open(call: &Call, place: &Place, path: &str, offset: u64) -> Result<Watched> {
    let mut missing = None;
    loop {
        let found = rows::file_from(call.store().reader(), &place.owner, path, offset).await?;
        let (blob, digests) = found.ok_or_else(|| Error::not_found("artifact", path))?;
        place.compare(path, blob.size, &blob.sha256)?;
        let size = blob.size.unsigned_abs();
        if offset > size {
            return Err(Error::invalid("offset", format!("is {offset}; the file has {size} bytes")));
        }
        let next = if offset == size { size } else { offset / CHUNK_BYTES * CHUNK_BYTES };
        let watched = |bytes| Watched {
            bytes,
            blob: blob.clone(),
            digests: digests.into(),
            next,
            from: offset,
            rest: Bytes::new(),
            good: VecDeque::new(),
            hash: (next == 0).then(Sha256::new),
        };
        if offset > 0 && offset == size {
            return Ok(watched(stream::empty().boxed()));
        }
        match call.store().blobs()?.read(&blob.uid, next).await {
            Ok(found) if found.size == size => return Ok(watched(found.bytes)),
            Ok(found) => return Err(damaged(&blob, &format!("has {} bytes", found.size))),
            // Replaced between the two looks: the path has another blob by now.
            Err(BlobError::NotFound(uid)) if missing.as_ref() != Some(&uid) => missing = Some(uid),
            Err(BlobError::NotFound(_)) => return Err(damaged(&blob, "is missing")),
            Err(error) => return Err(error.into()),
        }
    }
}

impl Watched {
    /// The next bytes, if there are more.
    async fn give(mut self) -> Result<Option<(Bytes, Self)>> {
        loop {
            if let Some(bytes) = self.good.pop_front() {
                return Ok(Some((bytes, self)));
            }
            if self.next >= self.blob.size.unsigned_abs() {
                return Ok(None);
            }
            self.compare().await?;
        }
    }

    /// Reads a MiB, or what is left, and lets it be given when its digest is right, and at the end of a whole file
    /// the digest of all of it.
    async fn compare(&mut self) -> Result<()> {
        let (first, size) = (self.next, self.blob.size.unsigned_abs());
        let end = size.min(first + CHUNK_BYTES);
        let mut hash = Sha256::new();
        let mut pieces = VecDeque::new();
        while self.next < end {
            let mut piece = std::mem::take(&mut self.rest);
            if piece.is_empty() {
                let more = self.bytes.next().await.transpose()?;
                piece = more.ok_or_else(|| damaged(&self.blob, &format!("gave {} bytes", self.next)))?;
            }
            let wanted = usize::try_from(end - self.next).unwrap_or(usize::MAX).min(piece.len());
            self.rest = piece.split_off(wanted);
            hash.update(&piece);
            if let Some(whole) = &mut self.hash {
                whole.update(&piece);
            }
            let skipped = usize::try_from(self.from.saturating_sub(self.next)).unwrap_or(usize::MAX).min(piece.len());
            self.next += piece.len() as u64;
            pieces.push_back(piece.slice(skipped..));
        }
        let digest: Vec<u8> = self.digests.drain(..DIGEST_BYTES.min(self.digests.len())).collect();
        if hash.finalize()[..] != digest[..] {
            return Err(damaged(&self.blob, &format!("has other bytes from {first} to {end}")));
        }
        if self.next == size
            && let Some(whole) = self.hash.take()
        {
            let found = hex::encode(whole.finalize());
            if found != self.blob.sha256 {
                return Err(damaged(&self.blob, &format!("has the SHA-256 {found}")));
            }
        }
        pieces.retain(|piece| !piece.is_empty());
        self.good = pieces;
        Ok(())
    }
}

/// The store no longer has what was uploaded.
fn damaged(blob: &Blob, what: &str) -> Error {
    Error::Internal(format!("blob {} {what}; it was uploaded with {} bytes and the SHA-256 {}", blob.uid, blob.size, blob.sha256))
}
