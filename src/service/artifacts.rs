//! Files of runs, logged models and versions: what there is, and deleting it. Bytes go up and down in files of their own.

use serde_json::json;

use super::artifact_target::{Place, Target, below, place};
use super::artifact_upload::Landing;
use super::{Error, Result, paging};
use crate::access::Call;
use crate::contract::v1;
use crate::domain::{artifact_path, ids, limits, manifest, text};
use crate::store::artifacts::{self as rows, ManifestFile};
use crate::store::{Kept, Recorded, Store, Tx};

/// Files of a deleted folder that the ledger names one by one; the digest covers all of them.
const NAMED_FILES: usize = 100;

/// See the proto.
pub async fn list_artifacts(call: &Call, request: v1::ListArtifactsRequest) -> Result<v1::ListArtifactsResponse> {
    artifact_path::folder("path", &request.path)?;
    let size = text::page_size("max_results", request.max_results.into(), limits::PAGE, limits::PAGE)?;
    let place = place(call, &request.run_id, &request.model_name, &request.model_version).await?;
    // A stage or alias may lead elsewhere by the next page; the version does not.
    let page = paging::query(call, &[place.root_uri.as_bytes(), request.path.as_bytes()]);
    let after: String = paging::cursor(call, &page, &request.page_token)?.unwrap_or_default();
    let mut found = place.children(call, &request.path, &after, size + 1).await?;
    let next_page_token = paging::cut(call, &page, &mut found, size, |child| child.name.clone())?;
    let show = |child: rows::Child| v1::FileInfo {
        path: below(&request.path, &child.name),
        is_dir: child.is_dir,
        file_size: child.size,
        sha256: child.sha256,
    };
    Ok(v1::ListArtifactsResponse { root_uri: place.root_uri, files: found.into_iter().map(show).collect(), next_page_token })
}

/// The files and folders directly below a folder, all of them, for clients that know no pages.
pub(super) async fn whole_folder(call: &Call, place: &Place, folder: &str) -> Result<Vec<rows::Child>> {
    let found = place.children(call, folder, "", limits::ARTIFACT_LISTING + 1).await?;
    if found.len() as u64 > limits::ARTIFACT_LISTING {
        let most = limits::ARTIFACT_LISTING;
        return Err(Error::precondition(
            "FOLDER_TOO_LARGE",
            format!("the folder has more than {most} entries; ListArtifacts gives them in pages"),
        ));
    }
    Ok(found)
}

/// See the proto.
pub async fn delete_artifact(call: &Call, request: v1::DeleteArtifactRequest) -> Result<Kept<v1::DeleteArtifactResponse>> {
    ids::run_id("run_id", &request.run_id)?;
    artifact_path::file("path", &request.path)?;
    let kept = delete(call, Landing { target: Target::run(&request.run_id), path: request.path }).await?;
    Ok(kept.map(|()| v1::DeleteArtifactResponse {}))
}

/// Deletes a file or all below a folder; an empty path stands for all files of the target.
pub(super) async fn delete(call: &Call, landing: Landing) -> Result<Kept<()>> {
    let call = call.clone();
    // A client that goes away must not leave bytes behind whose rows are gone.
    to_the_end(async move {
        let removed = call.store().write((call.clone(), landing), |tx, (call, landing)| Box::pin(remove(tx, call, landing))).await?;
        let (kept, unused) = removed.split();
        discard(call.store(), &unused).await;
        Ok(kept)
    })
    .await
}

/// Takes the files out of the target. Gives the blobs that nothing refers to any more.
async fn remove(tx: &Tx, call: &Call, landing: &Landing) -> Result<Recorded<Vec<String>>> {
    let live = landing.target.lock_even_deleted(tx).await?;
    let taken = rows::take(tx, &live.owner, &landing.path).await?;
    if taken.is_empty() {
        return Ok(Recorded::nothing(Vec::new()));
    }
    let blobs: Vec<String> = taken.iter().map(|file| file.blob.clone()).collect();
    let unused = rows::forget_unused(tx, &blobs).await?;
    let entry = call.entry(tx.now(), &live.subject(), &payload(&landing.path, &taken));
    Ok(tx.record(&entry).await?.map(|()| unused))
}

fn payload(path: &str, taken: &[ManifestFile]) -> serde_json::Value {
    let named = |file: &ManifestFile| json!({"path": file.path, "size": file.size, "sha256": file.sha256});
    let all: Vec<(&str, i64, &str)> = taken.iter().map(|file| (file.path.as_str(), file.size, file.sha256.as_str())).collect();
    json!({
        "path": path,
        "before": {
            "files": taken.len(),
            "size": taken.iter().map(|file| file.size).sum::<i64>(),
            "digest": manifest::digest(&all),
            "named": taken.iter().take(NAMED_FILES).map(named).collect::<Vec<_>>(),
        },
        "after": null,
    })
}

/// Deletes the bytes of blobs that have no rows any more. What cannot be deleted now stays as an orphan.
pub(super) async fn discard(store: &Store, blobs: &[String]) {
    for uid in blobs {
        let deleted = match store.blobs() {
            Ok(blobs) => blobs.delete(uid).await.map_err(Error::from),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = deleted {
            tracing::warn!(blob = %uid, %error, "an unused blob could not be deleted and stays in the artifact store");
        }
    }
}

/// Runs work that must not stop half-way when the client goes away.
pub(super) async fn to_the_end<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    tokio::spawn(work).await.map_err(|error| Error::Internal(error.to_string()))?
}
