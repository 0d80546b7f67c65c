//! The one mapping from the service's errors to what clients see: gRPC's code with `google.rpc` details, and
//! MLflow's error code with an HTTP status.

use std::collections::HashMap;

use bytesize::ByteSize;
use http::StatusCode;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::service::{Error, GATE_DEMANDS_REQUEST, OWN_GATE, OWN_REQUEST_OPEN};

/// The domain of every `google.rpc.ErrorInfo` of ours.
const DOMAIN: &str = "stagegate";
/// The seconds after which a call may be tried again that found the database away or read-only.
pub const RETRY_AFTER: &str = "5";
/// The metadata key of the request id.
pub const REQUEST_ID: &str = "x-request-id";

/// The error of a body or message that is longer than may be read.
pub fn too_long(what: &str, most: usize) -> Error {
    Error::TooLarge(format!("the {what} has more than {:.0}, which is the most that is read", ByteSize::b(most as u64)))
}

/// The status of an error. Faults of ours are logged here and answered without their text.
pub fn status(error: &Error, request_id: &str) -> Status {
    let Faces { code, reason, .. } = classify(error);
    let message = message(error, request_id);
    let mut details = ErrorDetails::new();
    let mut about = HashMap::new();
    match error {
        Error::Invalid(invalid) => {
            for violation in invalid.violations() {
                details.add_bad_request_violation(&violation.field, &violation.message);
            }
        }
        Error::Denied { permission: Some(permission), .. } => {
            about.insert("permission".to_owned(), permission.name());
        }
        Error::Busy { retry, .. } => {
            details.set_retry_info(Some(*retry));
        }
        _ => {}
    }
    details.set_error_info(reason, DOMAIN, about);
    Status::with_error_details_and_metadata(code, message, details, metadata(request_id))
}

/// The HTTP status of an error, MLflow's code, and the message. Clients of MLflow try again, for minutes, on
/// 429 and most of 5xx, so only what may pass by itself has such a status.
pub fn mlflow(error: &Error, request_id: &str) -> (StatusCode, &'static str, String) {
    let faces = classify(error);
    (faces.http, faces.mlflow, message(error, request_id))
}

fn message(error: &Error, request_id: &str) -> String {
    match error {
        Error::Internal(text) => {
            tracing::error!(request_id, error = %text, "internal error");
            format!("internal error; the server's log has it under request id {request_id}")
        }
        other => other.to_string(),
    }
}

/// How one error looks on each face.
struct Faces {
    code: Code,
    reason: &'static str,
    http: StatusCode,
    mlflow: &'static str,
}

fn classify(error: &Error) -> Faces {
    let faces = |code, reason, http, mlflow| Faces { code, reason, http, mlflow };
    match error {
        Error::Invalid(_) => faces(Code::InvalidArgument, "INVALID_ARGUMENT", StatusCode::BAD_REQUEST, "INVALID_PARAMETER_VALUE"),
        Error::TooLarge(_) => faces(Code::ResourceExhausted, "TOO_LARGE", StatusCode::PAYLOAD_TOO_LARGE, "INVALID_PARAMETER_VALUE"),
        Error::NotFound { .. } => faces(Code::NotFound, "NOT_FOUND", StatusCode::NOT_FOUND, "RESOURCE_DOES_NOT_EXIST"),
        Error::AlreadyExists { .. } | Error::DoneAlready(_) => {
            faces(Code::AlreadyExists, "ALREADY_EXISTS", StatusCode::BAD_REQUEST, "RESOURCE_ALREADY_EXISTS")
        }
        // What a gate refuses is a matter of rights to clients that know nothing of gates.
        Error::Precondition { reason: reason @ (GATE_DEMANDS_REQUEST | OWN_GATE | OWN_REQUEST_OPEN), .. } => {
            faces(Code::FailedPrecondition, reason, StatusCode::FORBIDDEN, "PERMISSION_DENIED")
        }
        Error::Precondition { reason, .. } => faces(Code::FailedPrecondition, reason, StatusCode::BAD_REQUEST, "INVALID_PARAMETER_VALUE"),
        Error::Denied { reason, .. } => faces(Code::PermissionDenied, reason, StatusCode::FORBIDDEN, "PERMISSION_DENIED"),
        Error::Unauthenticated => faces(Code::Unauthenticated, "UNAUTHENTICATED", StatusCode::UNAUTHORIZED, "UNAUTHENTICATED"),
        Error::TokenExpired(_) => faces(Code::Unauthenticated, "TOKEN_EXPIRED", StatusCode::UNAUTHORIZED, "UNAUTHENTICATED"),
        Error::Exhausted(_) | Error::Busy { .. } => {
            faces(Code::ResourceExhausted, "LIMIT_REACHED", StatusCode::TOO_MANY_REQUESTS, "RESOURCE_EXHAUSTED")
        }
        // Whoever tries again for minutes, as MLflow's clients do on 429, tries in vain.
        Error::QuotaUsedUp(_) => faces(Code::ResourceExhausted, "QUOTA_USED_UP", StatusCode::FORBIDDEN, "RESOURCE_LIMIT_EXCEEDED"),
        Error::Conflict => faces(Code::Aborted, "CONFLICT", StatusCode::CONFLICT, "ABORTED"),
        Error::Unavailable(_) => faces(Code::Unavailable, "UNAVAILABLE", StatusCode::SERVICE_UNAVAILABLE, "TEMPORARILY_UNAVAILABLE"),
        Error::Cancelled(_) => faces(Code::Cancelled, "CANCELLED", StatusCode::REQUEST_TIMEOUT, "CANCELLED"),
        Error::Deadline(_) => faces(Code::DeadlineExceeded, "DEADLINE", StatusCode::GATEWAY_TIMEOUT, "DEADLINE_EXCEEDED"),
        Error::Internal(_) => faces(Code::Internal, "INTERNAL", StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR"),
    }
}

/// The response metadata of a call.
pub fn metadata(request_id: &str) -> MetadataMap {
    let mut metadata = MetadataMap::new();
    if let Ok(value) = MetadataValue::try_from(request_id) {
        metadata.insert(REQUEST_ID, value);
    }
    metadata
}
