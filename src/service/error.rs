//! Why an operation failed, in the service's terms. The wire gives each its status in one place.

use std::time::Duration;

use crate::access::{Refused, Throttled};
use crate::contract::Permission;
use crate::domain::field::{FieldError, Invalid};
use crate::domain::request::Refusal;
use crate::domain::search::SearchError;
use crate::memory::Over;
use crate::store::blobs::BlobError;
use crate::store::{StoreError, WriteError};

/// The error of every service function.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request itself is wrong.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// More bytes than are read.
    #[error("{0}")]
    TooLarge(String),
    /// There is no such object.
    #[error("{kind} {name:?} does not exist")]
    NotFound {
        /// `run`, `registered model`, …
        kind: &'static str,
        /// As asked for.
        name: String,
    },
    /// The object exists, or existed, already.
    #[error("{kind} {name:?} already exists{hint}")]
    AlreadyExists {
        /// `run`, `registered model`, …
        kind: &'static str,
        /// As asked for.
        name: String,
        /// What can be done, or empty.
        hint: &'static str,
    },
    /// The caller has done this already, and it can be done once.
    #[error("{0}")]
    DoneAlready(String),
    /// The object's state does not allow it.
    #[error("{message}")]
    Precondition {
        /// What a program can tell it by: `REQUEST_NOT_OPEN`.
        reason: &'static str,
        /// What a person can tell it by.
        message: String,
    },
    /// The caller may not.
    #[error("{message}")]
    Denied {
        /// The permission that is missing, if one would help.
        permission: Option<Permission>,
        /// What a program can tell it by: `PERMISSION_MISSING`, `FOUR_EYES`.
        reason: &'static str,
        /// What a person can tell it by.
        message: String,
    },
    /// No good credentials.
    #[error("sign in: a bearer token, or user name and password, is missing or not valid")]
    Unauthenticated,
    /// The token's time is over; says since when.
    #[error("{0}")]
    TokenExpired(String),
    /// Too much, too often.
    #[error("{0}")]
    Exhausted(String),
    /// A quota is used up until the day ends.
    #[error("{0}")]
    QuotaUsedUp(String),
    /// More than the server, or this caller, may do at once. It passes by itself.
    #[error("{message}")]
    Busy {
        /// What is used up, and its limit.
        message: String,
        /// After how long another try may succeed.
        retry: Duration,
    },
    /// Concurrent changes were in the way, again and again.
    #[error("concurrent changes were in the way; try again")]
    Conflict,
    /// The database or the object store is not available; nothing was changed, or it is said.
    #[error("{0}")]
    Unavailable(String),
    /// The client ended the stream, or the server stops.
    #[error("{0}")]
    Cancelled(String),
    /// It took too long. A change may have been made all the same.
    #[error("{0}")]
    Deadline(String),
    /// A fault of ours. The text goes to the log only.
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// A word for the kind of error, for logs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid",
            Self::TooLarge(_) => "too large",
            Self::NotFound { .. } => "not found",
            Self::AlreadyExists { .. } | Self::DoneAlready(_) => "already exists",
            Self::Precondition { reason, .. } | Self::Denied { reason, .. } => reason,
            Self::Unauthenticated => "unauthenticated",
            Self::TokenExpired(_) => "token expired",
            Self::Exhausted(_) => "exhausted",
            Self::QuotaUsedUp(_) => "quota used up",
            Self::Busy { .. } => "busy",
            Self::Conflict => "conflict",
            Self::Unavailable(_) => "unavailable",
            Self::Cancelled(_) => "cancelled",
            Self::Deadline(_) => "deadline",
            Self::Internal(_) => "internal",
        }
    }

    /// An object that does not exist.
    pub fn not_found(kind: &'static str, name: impl Into<String>) -> Self {
        Self::NotFound { kind, name: name.into() }
    }

    /// An object that exists already.
    pub fn already_exists(kind: &'static str, name: impl Into<String>) -> Self {
        Self::AlreadyExists { kind, name: name.into(), hint: "" }
    }

    /// A state that does not allow it.
    pub fn precondition(reason: &'static str, message: impl Into<String>) -> Self {
        Self::Precondition { reason, message: message.into() }
    }

    /// One wrong field.
    pub fn invalid(field: &str, message: impl Into<String>) -> Self {
        Invalid::field(field, message).into()
    }

    /// A missing permission, with what can be done instead.
    pub fn denied(permission: Permission, on: &str, hint: &str) -> Self {
        let name = permission.name();
        Self::Denied {
            permission: Some(permission),
            reason: PERMISSION_MISSING,
            message: format!("you need the permission `{name}` on {on}{hint}"),
        }
    }

    /// The error of a duplicate: another object has the name.
    pub fn on_duplicate(kind: &'static str, name: &str) -> impl FnOnce(StoreError) -> Self {
        move |error| match error {
            StoreError::Duplicate(_) => Self::already_exists(kind, name),
            other => other.into(),
        }
    }
}

/// The reason of refusals that a permission would lift.
pub const PERMISSION_MISSING: &str = "PERMISSION_MISSING";

impl From<FieldError> for Error {
    fn from(error: FieldError) -> Self {
        Self::Invalid(error.into())
    }
}

impl From<SearchError> for Error {
    fn from(error: SearchError) -> Self {
        FieldError::from(error).into()
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict => Self::Conflict,
            StoreError::Unavailable(what) => {
                tracing::error!(%what, "the database is not available");
                Self::Unavailable("the database is not available".to_owned())
            }
            StoreError::Busy(message) => Self::Busy { message, retry: Duration::from_secs(1) },
            StoreError::Refused(what) => refused_by_database(&what),
            other => Self::Internal(other.to_string()),
        }
    }
}

impl From<Over> for Error {
    fn from(over: Over) -> Self {
        match over {
            Over::ForNow { message, retry } => Self::Busy { message, retry },
            Over::Always(message) => Self::TooLarge(message),
        }
    }
}

impl From<BlobError> for Error {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::Full => Self::Unavailable("the artifact store is full; nothing was kept".to_owned()),
            BlobError::Unavailable(what) => {
                tracing::error!(%what, "the artifact store is not available");
                Self::Unavailable("the artifact store is not available".to_owned())
            }
            BlobError::NotFound(_) | BlobError::Unusable(_) => Self::Internal(error.to_string()),
        }
    }
}

/// The code asks the same questions before; two callers at once can still meet at the database.
fn refused_by_database(what: &str) -> Error {
    let words = what.rsplit_once(": ").map_or(what, |(_, words)| words);
    if what.contains("four eyes: ") {
        return Error::Denied { permission: None, reason: FOUR_EYES, message: words.to_owned() };
    }
    Error::precondition("REFUSED_BY_DATABASE", words)
}

/// The reason of refusals of direct moves where the gate asks for a request.
pub const GATE_DEMANDS_REQUEST: &str = "GATE_DEMANDS_REQUEST";

/// The reason of refusals of direct moves by those who have asked for the move.
pub const OWN_REQUEST_OPEN: &str = "OWN_REQUEST_OPEN";

/// The reason of refusals of a password that can only be changed.
pub const PASSWORD_CHANGE_DUE: &str = "PASSWORD_CHANGE_DUE";

/// The reason of refusals of direct moves by those who wrote the gate in force.
pub const OWN_GATE: &str = "OWN_GATE";

/// The reason of refusals that no permission lifts.
pub const FOUR_EYES: &str = "FOUR_EYES";

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        match refusal {
            Refusal::OwnRequest(_) | Refusal::BoundToApprover(_) => Self::Denied { permission: None, reason: FOUR_EYES, message },
            Refusal::ApprovedTwice | Refusal::AlreadyRequester => Self::DoneAlready(message),
            Refusal::NotOpen(_) => Self::precondition("REQUEST_NOT_OPEN", message),
            Refusal::Expired => Self::precondition("REQUEST_EXPIRED", message),
            Refusal::StaleEvidence { .. } => Self::precondition("EVIDENCE_CHANGED", message),
            Refusal::AskedOtherwise => Self::precondition("ASKED_OTHERWISE", message),
            Refusal::HasApproved => Self::precondition("HAS_APPROVED", message),
            Refusal::NotRequester => Self::precondition("NOT_A_REQUESTER", message),
        }
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        let message = refused.to_string();
        match refused {
            Refused::Unauthenticated => Self::Unauthenticated,
            Refused::Expired(_) => Self::TokenExpired(message),
            Refused::Throttled(Throttled { wait, .. }) => Self::Busy { message, retry: wait },
            Refused::OverQuota { .. } => Self::QuotaUsedUp(message),
            Refused::Denied { permission, .. } => Self::Denied { permission: Some(permission), reason: PERMISSION_MISSING, message },
            Refused::PasswordDue => Self::Denied { permission: None, reason: PASSWORD_CHANGE_DUE, message },
            Refused::Absent { kind, name } => Self::NotFound { kind, name },
            Refused::Invalid(invalid) => Self::Invalid(invalid),
            Refused::Store(error) => error.into(),
        }
    }
}

impl WriteError for Error {
    fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict)
    }

    fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}
