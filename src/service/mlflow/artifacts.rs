//! Files by the paths of MLflow's one artifact store, and by its other addresses.

use futures::StreamExt;

use crate::access::Call;
use crate::contract::{mlflow, v1};
use crate::domain::{artifact_path, ids, limits};
use crate::service::artifact_download::download;
use crate::service::artifact_target::{self as target, Place};
use crate::service::artifact_upload::{Expected, Landing, upload};
use crate::service::artifacts::{delete, whole_folder};
use crate::service::{Error, RequestStream, ResponseStream, Result};
use crate::store::Kept;
use crate::store::artifacts::Child;
use crate::store::blobs::Blob;

type Download = ResponseStream<v1::DownloadArtifactResponse>;

/// See the proto.
pub async fn write_artifact(
    call: &Call,
    first: mlflow::WriteArtifactRequest,
    rest: RequestStream<mlflow::WriteArtifactRequest>,
) -> Result<Kept<mlflow::WriteArtifactResponse>> {
    if first.path.ends_with('/') {
        return Err(Error::invalid("path", "ends with `/`, and so names no file"));
    }
    let (target, path) = target::target_of("path", &first.path)?;
    artifact_path::file("path", &path)?;
    let expected = Expected::size(first.size)?;
    let rest = rest.map(|message| match message? {
        mlflow::WriteArtifactRequest { path, size: None, chunk } if path.is_empty() => Ok(chunk),
        _ => Err(only_bytes()),
    });
    upload(call, Landing { target, path }, &expected, first.chunk, rest.boxed()).await.map(|kept| kept.map(stored))
}

/// See the proto.
pub async fn upload_run_artifact(
    call: &Call,
    first: mlflow::UploadRunArtifactRequest,
    rest: RequestStream<mlflow::UploadRunArtifactRequest>,
) -> Result<Kept<mlflow::WriteArtifactResponse>> {
    ids::run_id("run_uuid", &first.run_uuid)?;
    artifact_path::file("path", &first.path)?;
    let expected = Expected::some_up_to(limits::BROWSER_UPLOAD_BYTES, first.size)?;
    let landing = Landing { target: target::Target::run(&first.run_uuid), path: first.path };
    let rest = rest.map(|message| match message? {
        mlflow::UploadRunArtifactRequest { run_uuid, path, size: None, chunk } if run_uuid.is_empty() && path.is_empty() => Ok(chunk),
        _ => Err(only_bytes()),
    });
    upload(call, landing, &expected, first.chunk, rest.boxed()).await.map(|kept| kept.map(stored))
}

/// What a later message of an upload must be.
pub(super) fn only_bytes() -> Error {
    Error::invalid("stream", "messages behind the first bring bytes and nothing else")
}

/// What an upload answers.
pub(super) fn stored(blob: Blob) -> mlflow::WriteArtifactResponse {
    mlflow::WriteArtifactResponse { size: blob.size, sha256: blob.sha256 }
}

/// See the proto.
pub async fn read_artifact(call: &Call, request: mlflow::ReadArtifactRequest) -> Result<Download> {
    let Some((place, path)) = target::place_of(call, &request.path).await? else {
        return Err(Error::not_found("artifact", request.path));
    };
    file_of(call, place, ("path", path), request.offset).await
}

/// See the proto.
pub async fn download_run_artifact(call: &Call, request: mlflow::DownloadRunArtifactRequest) -> Result<Download> {
    let place = target::run(call, either(&request.run_id, &request.run_uuid), None).await?;
    file_of(call, place, ("path", &request.path), request.offset).await
}

/// See the proto.
pub async fn download_version_artifact(call: &Call, request: mlflow::DownloadVersionArtifactRequest) -> Result<Download> {
    let place = target::version(call, ("name", "version"), &request.name, &request.version).await?;
    file_of(call, place, ("path", &request.path), request.offset).await
}

/// See the proto.
pub async fn download_logged_model_artifact(call: &Call, request: mlflow::DownloadLoggedModelArtifactRequest) -> Result<Download> {
    let place = target::logged_model(call, &request.model_id, None).await?;
    file_of(call, place, ("artifact_file_path", &request.artifact_file_path), request.offset).await
}

async fn file_of(call: &Call, place: Place, (field, path): (&str, &str), offset: i64) -> Result<Download> {
    artifact_path::file(field, path)?;
    download(call, place, path, offset).await
}

/// The run's id by its newer or older name; the check has refused two that differ.
fn either<'a>(run_id: &'a str, run_uuid: &'a str) -> &'a str {
    if run_id.is_empty() { run_uuid } else { run_id }
}

/// See the proto.
pub async fn list_artifacts_by_path(
    call: &Call,
    request: mlflow::ListArtifactsByPathRequest,
) -> Result<mlflow::ListArtifactsByPathResponse> {
    let Some((place, folder)) = target::place_of(call, &request.path).await? else {
        return Ok(mlflow::ListArtifactsByPathResponse::default());
    };
    let found = whole_folder(call, &place, folder).await?;
    Ok(mlflow::ListArtifactsByPathResponse { files: found.into_iter().map(|child| shown("", child)).collect() })
}

/// See the proto.
pub async fn list_run_artifacts(call: &Call, request: mlflow::ListRunArtifactsRequest) -> Result<mlflow::ListRunArtifactsResponse> {
    let place = target::run(call, either(&request.run_id, &request.run_uuid), None).await?;
    let files = below(call, &place, ("path", &request.path)).await?;
    Ok(mlflow::ListRunArtifactsResponse { root_uri: place.root_uri, files })
}

/// See the proto.
pub async fn list_logged_model_artifacts(
    call: &Call,
    request: mlflow::ListLoggedModelArtifactsRequest,
) -> Result<mlflow::ListLoggedModelArtifactsResponse> {
    let place = target::logged_model(call, &request.model_id, None).await?;
    let files = below(call, &place, ("artifact_directory_path", &request.artifact_directory_path)).await?;
    Ok(mlflow::ListLoggedModelArtifactsResponse { root_uri: place.root_uri, files })
}

/// What lies directly below a folder, by paths relative to the root.
async fn below(call: &Call, place: &Place, (field, folder): (&str, &str)) -> Result<Vec<mlflow::FileInfo>> {
    let folder = folder.strip_suffix('/').unwrap_or(folder);
    artifact_path::folder(field, folder)?;
    Ok(whole_folder(call, place, folder).await?.into_iter().map(|child| shown(folder, child)).collect())
}

fn shown(above: &str, child: Child) -> mlflow::FileInfo {
    mlflow::FileInfo { path: target::below(above, &child.name), is_dir: child.is_dir, file_size: (!child.is_dir).then_some(child.size) }
}

/// See the proto.
pub async fn delete_artifact_by_path(
    call: &Call,
    request: mlflow::DeleteArtifactByPathRequest,
) -> Result<Kept<mlflow::DeleteArtifactByPathResponse>> {
    let (target, path) = target::target_of("path", &request.path)?;
    let kept = delete(call, Landing { target, path }).await?;
    Ok(kept.map(|()| mlflow::DeleteArtifactByPathResponse {}))
}
