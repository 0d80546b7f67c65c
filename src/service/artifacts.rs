//! Files of runs and versions: what there is, and deleting it. Bytes go up and down in files of their own.

use serde_json::json;

use super::runs::{absent, still_live};
use super::{Error, Result, paging, versions};
use crate::access::{Call, Subject};
use crate::contract::v1;
use crate::domain::{artifact_path, ids, limits, manifest, text};
use crate::store::artifacts::{self as rows, ManifestFile, Owner};
use crate::store::runs::{self, RunRow};
use crate::store::{Recorded, Tx};

/// Files of a deleted folder that the ledger names one by one; the digest covers all of them.
const NAMED_FILES: usize = 100;

/// Where a request's files lie.
pub(super) struct Place {
    /// Whose they are.
    pub(super) owner: Owner,
    /// The address of the root, as clients of MLflow write it.
    pub(super) root_uri: String,
    /// The number of the version; empty for a run.
    pub(super) version: String,
}

/// See the proto.
pub async fn list_artifacts(call: &Call, request: v1::ListArtifactsRequest) -> Result<v1::ListArtifactsResponse> {
    artifact_path::folder("path", &request.path)?;
    let size = text::page_size("max_results", request.max_results.into(), limits::PAGE, limits::PAGE)?;
    let place = place(call, &request.run_id, &request.model_name, &request.model_version).await?;
    // A stage or alias may lead elsewhere by the next page; the version does not.
    let page = paging::query(call, &[place.root_uri.as_bytes(), request.path.as_bytes()]);
    let after: String = paging::cursor(call, &page, &request.page_token)?.unwrap_or_default();
    let mut found = rows::children(call.store().reader(), &place.owner, &request.path, &after, size + 1).await?;
    let next_page_token = paging::cut(call, &page, &mut found, size, |child| child.name.clone())?;
    let above = if request.path.is_empty() { String::new() } else { format!("{}/", request.path) };
    let show = |child: rows::Child| v1::FileInfo {
        path: format!("{above}{}", child.name),
        is_dir: child.is_dir,
        file_size: child.size,
        sha256: child.sha256,
    };
    Ok(v1::ListArtifactsResponse { root_uri: place.root_uri, files: found.into_iter().map(show).collect(), next_page_token })
}

/// See the proto.
pub async fn delete_artifact(call: &Call, request: v1::DeleteArtifactRequest) -> Result<v1::DeleteArtifactResponse> {
    ids::run_id("run_id", &request.run_id)?;
    artifact_path::file("path", &request.path)?;
    let call = call.clone();
    // A client that goes away must not leave bytes behind whose rows are gone.
    to_the_end(async move {
        let unused = call.store().write((call.clone(), request), |tx, (call, request)| Box::pin(remove(tx, call, request))).await?;
        discard(&call, &unused).await;
        Ok(v1::DeleteArtifactResponse {})
    })
    .await
}

/// Takes the files out of the run. Gives the blobs that nothing refers to any more.
async fn remove(tx: &Tx, call: &Call, request: &v1::DeleteArtifactRequest) -> Result<Recorded<Vec<String>>> {
    let run = still_live(runs::lock(tx, &request.run_id).await?, &request.run_id)?;
    let taken = rows::take(tx, run.id, &request.path).await?;
    if taken.is_empty() {
        return Ok(Recorded::nothing(Vec::new()));
    }
    let blobs: Vec<String> = taken.iter().map(|file| file.blob.clone()).collect();
    let unused = rows::forget_unused(tx, &blobs).await?;
    let entry = call.entry(tx.now(), &subject(&run, &run.experiment.to_string()), &payload(&request.path, &taken));
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

/// The run or version that a request names: exactly one of them.
pub(super) async fn place(call: &Call, run_id: &str, model: &str, version: &str) -> Result<Place> {
    let on = call.store().reader();
    match (run_id.is_empty(), model.is_empty(), version.is_empty()) {
        (false, true, true) => {
            ids::run_id("run_id", run_id)?;
            let run = runs::by_run_id(on, run_id).await?.ok_or_else(|| absent(run_id))?;
            let root_uri = format!("mlflow-artifacts:/{}/{run_id}/artifacts", run.experiment);
            Ok(Place { owner: Owner::Run(run.id), root_uri, version: String::new() })
        }
        (true, false, false) => {
            let found = versions::referred(call, ("model_name", model), ("model_version", version)).await?;
            Ok(Place { root_uri: versions::download_uri(&found), version: found.version.to_string(), owner: Owner::Version(found.uid) })
        }
        (true, false, true) => Err(text::missing("model_version").into()),
        (true, true, false) => Err(text::missing("model_name").into()),
        _ => Err(Error::invalid("run_id", "or else `model_name` and `model_version` must be given, and not both")),
    }
}

/// The run as the ledger names it.
pub(super) fn subject<'a>(run: &'a RunRow, experiment: &'a str) -> Subject<'a> {
    Subject { kind: "run", id: &run.run_id, name: &run.name, scope: experiment }
}

/// Deletes the bytes of blobs that have no rows any more. What cannot be deleted now stays as an orphan.
pub(super) async fn discard(call: &Call, blobs: &[String]) {
    for uid in blobs {
        let deleted = match call.store().blobs() {
            Ok(store) => store.delete(uid).await.map_err(Error::from),
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
