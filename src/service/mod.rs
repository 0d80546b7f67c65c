//! What the operations mean. One function for each, named as its RPC, called by every face after the
//! check: validate, then one write or some reads, then the answer. They take and return the contract's
//! own messages.

mod access_change;
mod access_shown;
mod error;
mod experiments;
mod explain;
mod first_admin;
mod grants;
mod groups;
mod idempotency;
mod paging;
mod personas;
mod protection;
mod sign_in;
mod tokens;
mod users;

use std::pin::Pin;

use futures::Stream;

pub use error::{Error, FOUR_EYES, PERMISSION_MISSING};
pub use experiments::*;
pub use explain::*;
pub use first_admin::*;
pub use grants::*;
pub use groups::*;
pub use personas::*;
pub use sign_in::*;
pub use tokens::*;
pub use users::*;

/// The outcome of a service function.
pub type Result<T> = std::result::Result<T, Error>;
/// The messages of a client's stream behind the first.
pub type RequestStream<T> = Pin<Box<dyn Stream<Item = Result<T>> + Send>>;
/// A stream of answers.
pub type ResponseStream<T> = Pin<Box<dyn Stream<Item = Result<T>> + Send>>;

/// The hash of a new password.
async fn hash(call: &crate::access::Call, password: &str) -> Result<String> {
    call.access().passwords.hash(password).await.ok_or_else(|| Error::Internal("hashing failed".to_owned()))
}
