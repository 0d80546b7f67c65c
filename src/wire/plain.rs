//! The plain paths, and answers that no operation gives: health, version, keys, and refusals of what is
//! nowhere. Answers of gRPC requests are gRPC's.

use std::sync::Arc;

use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tonic::{Code, Status};

use super::error::{self, RETRY_AFTER};
use super::not_kept;
use super::rest::response;
use crate::access::{Access, ClientAddress};
use crate::clock;
use crate::service::Error;
use crate::store::condition::Trouble;

/// Whether a message's headers are of gRPC.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// Refuses a request in its own language: a gRPC status, or an HTTP status with MLflow's JSON.
pub fn refuse(request: &HeaderMap, status: StatusCode, error_code: &str, message: &str) -> Response {
    if !is_grpc(request) {
        return response::coded(status, error_code, message, &clock::new_uid());
    }
    let code = match status {
        StatusCode::FORBIDDEN => Code::PermissionDenied,
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => Code::Unimplemented,
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Code::ResourceExhausted,
        _ => Code::InvalidArgument,
    };
    Status::new(code, message).into_http()
}

/// A path that is nowhere. Only those who are signed in learn that.
pub async fn unknown_path(State(access): State<Arc<Access>>, request: Parts) -> Response {
    nowhere(&access, &request, StatusCode::NOT_FOUND, "ENDPOINT_NOT_FOUND", &not_kept::told(request.uri.path())).await
}

/// A path that has no such method. Only those who are signed in learn that.
pub async fn unknown_method(State(access): State<Arc<Access>>, request: Parts) -> Response {
    nowhere(&access, &request, StatusCode::METHOD_NOT_ALLOWED, "BAD_REQUEST", "this path does not have this method").await
}

async fn nowhere(access: &Access, request: &Parts, status: StatusCode, error_code: &str, message: &str) -> Response {
    let source = request.extensions.get::<ClientAddress>().copied().unwrap_or_default();
    let headers = &request.headers;
    let request_id = clock::new_uid();
    match access.known(headers, source).await.map_err(Error::from) {
        Ok(()) => refuse(headers, status, error_code, message),
        Err(refused) if is_grpc(headers) => error::status(&refused, &request_id).into_http(),
        Err(refused) => response::failed(&refused, &request_id),
    }
}

/// `OK` while calls can be decided and the database takes writes; otherwise 503 with the reason.
pub async fn health(State(access): State<Arc<Access>>) -> Response {
    let trouble = match access.snapshot().await {
        Ok(_) => access.store.condition().trouble(),
        Err(_) => Some(Trouble::Away),
    };
    match trouble {
        None => (StatusCode::OK, "OK").into_response(),
        Some(trouble) => (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, RETRY_AFTER)], trouble.to_string()).into_response(),
    }
}

/// The version of this server.
pub async fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// The public keys of tokens.
pub async fn jwks(State(access): State<Arc<Access>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], access.keys().jwks())
}
