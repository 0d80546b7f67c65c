//! Owners of files, and the addresses of their files.

use serde_json::{Value, json};
use stagegate::contract::v1;

use super::{Client, Http};

/// Where MLflow's clients find the files of all owners.
pub const STORE: &str = "/api/2.0/mlflow-artifacts/artifacts";

/// A new experiment with a run and a logged model.
pub struct Owners {
    pub experiment_id: String,
    pub run_id: String,
    pub model_id: String,
}

impl Owners {
    pub async fn of(client: &Client, name: &str) -> Self {
        let request = v1::CreateExperimentRequest { name: name.to_owned(), ..Default::default() };
        let answer: v1::CreateExperimentResponse = client.call("CreateExperiment", request).await.expect("an experiment");
        let experiment_id = answer.experiment_id;
        let request = v1::CreateRunRequest { experiment_id: experiment_id.clone(), ..Default::default() };
        let answer: v1::CreateRunResponse = client.call("CreateRun", request).await.expect("a run");
        let run_id = answer.run.and_then(|run| run.info).expect("a run").run_id;
        let request = v1::CreateLoggedModelRequest { experiment_id: experiment_id.clone(), ..Default::default() };
        let answer: v1::CreateLoggedModelResponse = client.call("CreateLoggedModel", request).await.expect("a logged model");
        let model_id = answer.model.and_then(|model| model.info).expect("a logged model").model_id;
        Self { experiment_id, run_id, model_id }
    }

    /// The root of the run's files.
    pub fn run(&self) -> String {
        format!("{}/{}/artifacts", self.experiment_id, self.run_id)
    }

    /// The root of the logged model's files.
    pub fn model(&self) -> String {
        format!("{}/models/{}/artifacts", self.experiment_id, self.model_id)
    }
}

/// Registers a version of a folder of the run; gives the root of its files.
pub async fn version(http: &Http, model: &str, run_id: &str, folder: &str) -> String {
    http.post("registered-models/create", &json!({"name": model})).await;
    let body = json!({"name": model, "source": format!("runs:/{run_id}/{folder}"), "run_id": run_id});
    let answer = http.post("model-versions/create", &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = http.get(&format!("model-versions/get-download-uri?name={model}&version=1")).await.json();
    answer["artifact_uri"].as_str().and_then(|uri| uri.strip_prefix("mlflow-artifacts:/")).expect("a place of ours").to_owned()
}

/// The paths of a listing, with their sizes.
pub fn listed(answer: &Value) -> Vec<(String, i64)> {
    let files = answer["files"].as_array().cloned().unwrap_or_default();
    let shown = |file: &Value| (file["path"].as_str().unwrap_or_default().to_owned(), file["file_size"].as_i64().unwrap_or(-1));
    files.iter().map(shown).collect()
}
