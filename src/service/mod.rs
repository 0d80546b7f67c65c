//! What the operations mean. One function for each, named as its RPC, called by every face after the
//! check: validate, then one write or some reads, then the answer. They take and return the contract's
//! own messages.

mod artifact_download;
mod artifact_upload;
mod artifacts;
mod error;
mod experiments;
mod idempotency;
mod paging;
mod protection;
mod users;

use std::pin::Pin;

use futures::Stream;

pub use artifact_download::*;
pub use artifact_upload::*;
pub use artifacts::*;
pub use error::{Error, FOUR_EYES, PERMISSION_MISSING};
pub use experiments::*;
pub use users::*;

/// The outcome of a service function.
pub type Result<T> = std::result::Result<T, Error>;
/// The messages of a client's stream behind the first.
pub type RequestStream<T> = Pin<Box<dyn Stream<Item = Result<T>> + Send>>;
/// A stream of answers.
pub type ResponseStream<T> = Pin<Box<dyn Stream<Item = Result<T>> + Send>>;
