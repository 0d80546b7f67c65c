//! The one mapping from the service's errors to gRPC: code, message and `google.rpc` details.

use std::collections::HashMap;

use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::service::Error;

/// The domain of every `google.rpc.ErrorInfo` of ours.
const DOMAIN: &str = "stagegate";
/// The metadata key of the request id.
pub const REQUEST_ID: &str = "x-request-id";

/// The status of an error. Faults of ours are logged here and answered without their text.
pub fn status(error: &Error, request_id: &str) -> Status {
    let (code, reason) = classify(error);
    let message = match error {
        Error::Internal(text) => {
            tracing::error!(request_id, error = %text, "internal error");
            format!("internal error; the server's log has it under request id {request_id}")
        }
        other => other.to_string(),
    };
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
        _ => {}
    }
    details.set_error_info(reason, DOMAIN, about);
    Status::with_error_details_and_metadata(code, message, details, metadata(request_id))
}

fn classify(error: &Error) -> (Code, &'static str) {
    match error {
        Error::Invalid(_) => (Code::InvalidArgument, "INVALID_ARGUMENT"),
        Error::NotFound { .. } => (Code::NotFound, "NOT_FOUND"),
        Error::AlreadyExists { .. } => (Code::AlreadyExists, "ALREADY_EXISTS"),
        Error::Precondition { reason, .. } => (Code::FailedPrecondition, reason),
        Error::Denied { reason, .. } => (Code::PermissionDenied, reason),
        Error::Unauthenticated => (Code::Unauthenticated, "UNAUTHENTICATED"),
        Error::Exhausted(_) => (Code::ResourceExhausted, "LIMIT_REACHED"),
        Error::Conflict => (Code::Aborted, "CONFLICT"),
        Error::Unavailable(_) => (Code::Unavailable, "UNAVAILABLE"),
        Error::Cancelled(_) => (Code::Cancelled, "CANCELLED"),
        Error::Deadline(_) => (Code::DeadlineExceeded, "DEADLINE"),
        Error::Internal(_) => (Code::Internal, "INTERNAL"),
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
