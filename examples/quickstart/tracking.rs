//! The training platform's part: runs, metrics, artifacts, versions.

use futures::{StreamExt, stream};
use stagegate::clock;
use stagegate::contract::v1::{self, RunStatus, download_artifact_response::Part};

use crate::clients::Clients;
use crate::training::{self, Data, Model, Trained};
use crate::{MODEL, Result, say};

/// The penalty of all runs.
const ALPHA: f64 = 0.01;
/// What the runs differ in.
const L1_RATIOS: [f64; 4] = [0.01, 0.75, 0.5, 1.0];

/// A run that was logged.
pub struct Logged {
    run_id: String,
    rmse: f64,
}

/// The runs, the best first, and the data that they were trained on.
pub struct Outcome {
    runs: Vec<Logged>,
    data: Data,
}

/// Trains the nets and logs each as a run.
pub async fn train_and_log(platform: &mut Clients, experiment_id: &str) -> Result<Outcome> {
    say("Training", "The training platform trains four elastic nets and logs them over gRPC:");
    let data = training::data();
    let mut runs = Vec::new();
    for l1_ratio in L1_RATIOS {
        let trained = training::train(&data, ALPHA, l1_ratio)?;
        let run_id = log(platform, experiment_id, l1_ratio, &trained, &data).await?;
        println!(
            "  run {}  alpha {ALPHA}  l1_ratio {l1_ratio:<4}  rmse {:.3}  mae {:.3}  r2 {:.3}",
            &run_id[..8],
            trained.rmse,
            trained.mae,
            trained.r2
        );
        runs.push(Logged { run_id, rmse: trained.rmse });
    }
    runs.sort_by(|a, b| a.rmse.total_cmp(&b.rmse));
    Ok(Outcome { runs, data })
}

async fn log(platform: &mut Clients, experiment_id: &str, l1_ratio: f64, trained: &Trained, data: &Data) -> Result<String> {
    let request = v1::CreateRunRequest {
        experiment_id: experiment_id.into(),
        run_name: format!("enet-{l1_ratio}"),
        start_time: Some(clock::now_ms()),
        tags: vec![tag("framework", "linfa")],
        ..v1::CreateRunRequest::default()
    };
    let run = platform.tracking.create_run(request).await?.into_inner().run.and_then(|run| run.info).ok_or("a run has its info")?;
    let now = clock::now_ms();
    let metric = |key: &str, value: f64, step: i64| v1::Metric {
        key: key.into(),
        value: Some(value),
        timestamp: Some(now),
        step,
        ..v1::Metric::default()
    };
    let mut metrics = vec![metric("rmse", trained.rmse, 0), metric("mae", trained.mae, 0), metric("r2", trained.r2, 0)];
    metrics.extend((0..).zip(&trained.path_rmse).map(|(step, rmse)| metric("path_rmse", *rmse, step)));
    let param = |key: &str, value: f64| v1::Param { key: key.into(), value: value.to_string() };
    let batch = v1::LogBatchRequest {
        run_id: run.run_id.clone(),
        metrics,
        params: vec![param("alpha", ALPHA), param("l1_ratio", l1_ratio)],
        tags: vec![tag("task", "regression")],
    };
    platform.tracking.log_batch(batch).await?;
    let dataset = v1::Dataset {
        name: "diabetes".into(),
        digest: data.digest.clone(),
        source_type: "code".into(),
        source: "linfa-datasets".into(),
        ..v1::Dataset::default()
    };
    let input = v1::DatasetInput { tags: vec![tag("mlflow.data.context", "training")], dataset: Some(dataset) };
    platform.tracking.log_inputs(v1::LogInputsRequest { run_id: run.run_id.clone(), datasets: vec![input], models: Vec::new() }).await?;
    upload(platform, &run.run_id, "model/model.json", &trained.model).await?;
    upload(platform, &run.run_id, "path.png", &trained.picture).await?;
    let finished = v1::UpdateRunRequest {
        run_id: run.run_id.clone(),
        status: Some(RunStatus::Finished.into()),
        end_time: Some(clock::now_ms()),
        ..v1::UpdateRunRequest::default()
    };
    platform.tracking.update_run(finished).await?;
    Ok(run.run_id)
}

async fn upload(platform: &mut Clients, run_id: &str, path: &str, bytes: &[u8]) -> Result<()> {
    let header =
        v1::UploadArtifactHeader { run_id: run_id.into(), path: path.into(), size: Some(bytes.len().try_into()?), sha256: String::new() };
    let first = v1::UploadArtifactRequest { header: Some(header), ..v1::UploadArtifactRequest::default() };
    let chunks: Vec<_> = bytes
        .chunks(256 * 1024)
        .map(|chunk| v1::UploadArtifactRequest { chunk: chunk.to_vec().into(), ..v1::UploadArtifactRequest::default() })
        .collect();
    platform.artifacts.upload_artifact(stream::iter(std::iter::once(first).chain(chunks))).await?;
    Ok(())
}

/// Downloads a file of the version that a number, stage or alias names; gives the number and the bytes.
pub async fn download(client: &mut Clients, version: &str, path: &str) -> Result<(String, Vec<u8>)> {
    let request = v1::DownloadArtifactRequest {
        model_name: MODEL.into(),
        model_version: version.into(),
        path: path.into(),
        ..v1::DownloadArtifactRequest::default()
    };
    let mut parts = client.artifacts.download_artifact(request).await?.into_inner();
    let (mut number, mut bytes) = (String::new(), Vec::new());
    while let Some(message) = parts.next().await {
        match message?.part {
            Some(Part::Header(header)) => number = header.version,
            Some(Part::Chunk(chunk)) => bytes.extend_from_slice(&chunk),
            None => {}
        }
    }
    Ok((number, bytes))
}

/// Registers the best run as version 1, checks it as it comes back from the server, and registers the
/// worst run as version 2, which stands for the model in use so far.
pub async fn register(platform: &mut Clients, outcome: &Outcome) -> Result<()> {
    let (Some(best), Some(worst)) = (outcome.runs.first(), outcome.runs.last()) else { return Err("four runs were logged".into()) };
    for run in [best, worst] {
        let request = v1::CreateModelVersionRequest {
            name: MODEL.into(),
            source: format!("runs:/{}/model", run.run_id),
            run_id: run.run_id.clone(),
            ..v1::CreateModelVersionRequest::default()
        };
        platform.registry.create_model_version(request).await?;
    }
    let (_, file) = download(platform, "1", "model.json").await?;
    let rmse = Model::load(&file)?.rmse(&outcome.data);
    if (rmse - best.rmse).abs() > 1e-9 {
        return Err(format!("the loaded model has rmse {rmse}, the logged one {}", best.rmse).into());
    }
    let request =
        v1::SetModelVersionTagRequest { name: MODEL.into(), version: "1".into(), key: "prediction_works".into(), value: "true".into() };
    platform.registry.set_model_version_tag(request).await?;
    say(
        "Registration",
        &format!(
            "The run with the lowest rmse ({:.3}) is version 1 of {MODEL:?}. Loaded again from the server it predicts\n\
             the same, so it gets the tag prediction_works=true. Another run is version 2.",
            best.rmse
        ),
    );
    Ok(())
}

fn tag(key: &str, value: &str) -> v1::Tag {
    v1::Tag { key: key.into(), value: value.into() }
}
