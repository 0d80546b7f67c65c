//! The registry in MLflow's meaning.

use super::super::{self as service, Error, Result, models};
use crate::access::Call;
use crate::contract::{ObjectKind, Permission, mlflow, v1};
use crate::store::Kept;

/// See the proto.
pub async fn create_registered_model(
    call: &Call,
    request: mlflow::CreateRegisteredModelRequest,
) -> Result<Kept<mlflow::CreateRegisteredModelResponse>> {
    match models::by_name(call, &request.name).await {
        Ok(_) => return Err(Error::already_exists("registered model", request.name)),
        Err(Error::NotFound { .. }) => {}
        Err(other) => return Err(other),
    }
    call.access().require(call, Permission::ModelsCreate, ObjectKind::RegisteredModel, &request.name).await?;
    let request = v1::CreateRegisteredModelRequest {
        name: request.name,
        tags: request.tags,
        description: request.description,
        idempotency_key: None,
    };
    let answer = service::create_registered_model(call, request).await?;
    Ok(answer.map(|answer| mlflow::CreateRegisteredModelResponse { registered_model: answer.registered_model }))
}

/// See the proto.
pub async fn list_registered_models(
    call: &Call,
    request: mlflow::ListRegisteredModelsRequest,
) -> Result<mlflow::ListRegisteredModelsResponse> {
    let request = v1::SearchRegisteredModelsRequest {
        max_results: request.max_results,
        page_token: request.page_token,
        ..v1::SearchRegisteredModelsRequest::default()
    };
    let answer = service::search_registered_models(call, request).await?;
    Ok(mlflow::ListRegisteredModelsResponse { registered_models: answer.registered_models, next_page_token: answer.next_page_token })
}

/// See the proto.
pub async fn update_registered_model(
    call: &Call,
    request: mlflow::UpdateRegisteredModelRequest,
) -> Result<Kept<mlflow::UpdateRegisteredModelResponse>> {
    let request = v1::UpdateRegisteredModelRequest { name: request.name, description: Some(request.description) };
    let answer = service::update_registered_model(call, request).await?;
    Ok(answer.map(|answer| mlflow::UpdateRegisteredModelResponse { registered_model: answer.registered_model }))
}

/// See the proto.
pub async fn update_model_version(
    call: &Call,
    request: mlflow::UpdateModelVersionRequest,
) -> Result<Kept<mlflow::UpdateModelVersionResponse>> {
    let request = v1::UpdateModelVersionRequest { name: request.name, version: request.version, description: Some(request.description) };
    let answer = service::update_model_version(call, request).await?;
    Ok(answer.map(|answer| mlflow::UpdateModelVersionResponse { model_version: answer.model_version }))
}

/// See the proto.
pub async fn get_model_version_by_alias(
    call: &Call,
    request: mlflow::GetModelVersionByAliasRequest,
) -> Result<mlflow::GetModelVersionByAliasResponse> {
    let alias = request.alias.clone();
    let answer = service::get_model_version_by_alias(call, v1::GetModelVersionByAliasRequest { name: request.name, alias: request.alias });
    // MLflow calls an alias that is not there a wrong parameter.
    let answer = answer.await.map_err(|error| match error {
        Error::NotFound { kind: "alias", .. } => Error::invalid("alias", format!("{alias:?} is not set on this model")),
        other => other,
    })?;
    Ok(mlflow::GetModelVersionByAliasResponse { model_version: answer.model_version })
}

/// See the proto.
pub async fn transition_model_version_stage(
    call: &Call,
    request: mlflow::TransitionModelVersionStageRequest,
) -> Result<Kept<mlflow::TransitionModelVersionStageResponse>> {
    let request = v1::TransitionModelVersionStageRequest {
        name: request.name,
        version: request.version,
        stage: request.stage,
        archive_existing_versions: Some(request.archive_existing_versions),
        comment: String::new(),
    };
    let answer = service::transition_model_version_stage(call, request).await?;
    Ok(answer.map(|answer| mlflow::TransitionModelVersionStageResponse { model_version: answer.model_version }))
}
