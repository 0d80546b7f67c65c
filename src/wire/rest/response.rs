//! Answers in MLflow's manner.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use super::super::error::{self, REQUEST_ID, RETRY_AFTER};
use crate::service::Error;

/// An answer of JSON.
pub(super) fn json(body: Vec<u8>, request_id: &str) -> Response {
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, id);
    }
    response
}

/// The answer to a call that failed.
pub(in crate::wire) fn failed(error: &Error, request_id: &str) -> Response {
    let (status, code, message) = error::mlflow(error, request_id);
    let mut response = coded(status, code, &message, request_id);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
    }
    if status == StatusCode::UNAUTHORIZED {
        // Browsers and clients ask for a name and a password on the first one.
        let challenge = match error {
            Error::TokenExpired(_) => "Bearer realm=\"stagegate\", error=\"invalid_token\", error_description=\"the token expired\"",
            _ => "Basic realm=\"stagegate\"",
        };
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    if let Error::Busy { retry, .. } = error {
        // Whole seconds, rounded up, so that the next try is not too early.
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry.as_millis().div_ceil(1_000).max(1) as u64));
    }
    response
}

/// The answer to a path that names nothing, whoever asks.
pub(super) fn unreadable_path() -> Response {
    coded(StatusCode::BAD_REQUEST, "INVALID_PARAMETER_VALUE", "the path is no valid UTF-8 once its percent signs are decoded", "")
}

/// A status with MLflow's code and a message.
pub(in crate::wire) fn coded(status: StatusCode, code: &str, message: &str, request_id: &str) -> Response {
    let body = json!({"error_code": code, "message": message}).to_string();
    let mut response = json(body.into_bytes(), request_id);
    *response.status_mut() = status;
    response
}
