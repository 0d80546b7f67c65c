//! Tracking in MLflow's meaning.

use super::super::{self as service, Result};
use crate::access::Call;
use crate::contract::{mlflow, v1};

/// See the proto.
pub async fn list_experiments(call: &Call, request: mlflow::ListExperimentsRequest) -> Result<mlflow::ListExperimentsResponse> {
    let request = v1::SearchExperimentsRequest {
        max_results: request.max_results,
        page_token: request.page_token,
        order_by: vec!["experiment_id ASC".to_owned()],
        view_type: request.view_type,
        ..v1::SearchExperimentsRequest::default()
    };
    let answer = service::search_experiments(call, request).await?;
    Ok(mlflow::ListExperimentsResponse { experiments: answer.experiments, next_page_token: answer.next_page_token })
}
