//! The plain paths, and answers that no operation gives: health, version, keys, and refusals of what is
//! nowhere. Answers of gRPC requests are gRPC's.

use std::sync::Arc;

use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tonic::{Code, Status};

use super::server::Peer;
use crate::access::{Access, Refused};

/// What MLflow calls a path or method that is not there.
const NO_ENDPOINT: &str = "ENDPOINT_NOT_FOUND";

/// Whether a message's headers are of gRPC.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// Refuses a request in its own language: a gRPC status, or a status with MLflow's JSON.
pub fn refuse(request: &HeaderMap, status: StatusCode, error_code: &str, message: &str) -> Response {
    if is_grpc(request) {
        let code = match status {
            StatusCode::UNAUTHORIZED => Code::Unauthenticated,
            StatusCode::FORBIDDEN => Code::PermissionDenied,
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => Code::Unimplemented,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Code::ResourceExhausted,
            StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
            _ => Code::InvalidArgument,
        };
        return Status::new(code, message).into_http();
    }
    let mut response = (status, axum::Json(json!({"error_code": error_code, "message": message}))).into_response();
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"stagegate\""));
    }
    response
}

/// A path that is nowhere. Only those who are signed in learn that.
pub async fn unknown_path(State(access): State<Arc<Access>>, request: Parts) -> Response {
    nowhere(&access, &request, StatusCode::NOT_FOUND, "there is no such path").await
}

/// A path that has no such method. Only those who are signed in learn that.
pub async fn unknown_method(State(access): State<Arc<Access>>, request: Parts) -> Response {
    nowhere(&access, &request, StatusCode::METHOD_NOT_ALLOWED, "this path has no such method").await
}

async fn nowhere(access: &Access, request: &Parts, status: StatusCode, message: &str) -> Response {
    let source = request.extensions.get::<Peer>().map(Peer::host).unwrap_or_default();
    let headers = &request.headers;
    match access.known(headers, &source).await {
        Ok(()) => refuse(headers, status, NO_ENDPOINT, message),
        Err(refused @ Refused::Throttled(_)) => {
            refuse(headers, StatusCode::TOO_MANY_REQUESTS, "REQUEST_LIMIT_EXCEEDED", &refused.to_string())
        }
        Err(Refused::Store(_)) => {
            refuse(headers, StatusCode::SERVICE_UNAVAILABLE, "TEMPORARILY_UNAVAILABLE", "the database does not answer")
        }
        Err(_) => refuse(headers, StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", &Refused::Unauthenticated.to_string()),
    }
}

/// `OK` while calls can be decided; 503 when the database has not answered for so long that they cannot.
pub async fn health(State(access): State<Arc<Access>>) -> (StatusCode, &'static str) {
    match access.snapshot().await {
        Ok(_) => (StatusCode::OK, "OK"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer"),
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
