//! What the operations mean. One function for each, named as its RPC, called by every face after the
//! check: validate, then one write or some reads, then the answer. They take and return the contract's
//! own messages.

mod batch;
mod error;
mod experiments;
mod idempotency;
mod inputs;
mod log_stream;
mod metrics;
mod paging;
mod protection;
mod run_search;
mod run_values;
mod runs;
mod users;

use std::pin::Pin;

use futures::Stream;

pub use error::{Error, FOUR_EYES, PERMISSION_MISSING};
pub use experiments::*;
pub use inputs::*;
pub use log_stream::*;
pub use metrics::*;
pub use run_search::*;
pub use run_values::*;
pub use runs::*;
pub use users::*;

/// The outcome of a service function.
pub type Result<T> = std::result::Result<T, Error>;
/// The messages of a client's stream behind the first.
pub type RequestStream<T> = Pin<Box<dyn Stream<Item = Result<T>> + Send>>;
/// A stream of answers.
pub type ResponseStream<T> = Pin<Box<dyn Stream<Item = Result<T>> + Send>>;
