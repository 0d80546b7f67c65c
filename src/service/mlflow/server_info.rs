//! What the server says of itself to MLflow's clients.

use crate::access::Call;
use crate::contract::mlflow;
use crate::service::Result;

/// See the proto.
pub async fn get_server_info(_: &Call, _: mlflow::GetServerInfoRequest) -> Result<mlflow::GetServerInfoResponse> {
    let features = mlflow::FeaturesEnabled { gateway: false };
    Ok(mlflow::GetServerInfoResponse { store_type: "SqlStore".to_owned(), features_enabled: Some(features), ..Default::default() })
}
