//! What the operations mean. One function for each, named as its RPC, called by every face after the
//! check: validate, then one write or some reads, then the answer. They take and return the contract's
//! own messages.

mod comments;
mod artifact_download;
mod artifact_upload;
mod artifacts;
mod batch;
mod error;
mod evidence;
mod experiments;
mod export;
mod grants;
mod groups;
mod idempotency;
mod ledger;
mod models;
mod moves;
mod paging;
mod protection;
mod requests;
mod tokens;
mod inputs;
mod log_stream;
mod metrics;
mod run_search;
mod run_values;
mod runs;
mod upkeep;
mod users;
mod versions;
mod watch;

use std::pin::Pin;

use futures::Stream;

use crate::store::{Body, Store};

pub use artifact_download::*;
pub use artifact_upload::*;
pub use artifacts::*;
pub use error::{Error, FOUR_EYES, PERMISSION_MISSING};
pub use comments::*;
pub use experiments::*;
pub use export::{Export, export_ledger};
pub use ledger::*;
pub use grants::*;
pub use groups::*;
pub use models::*;
pub use moves::*;
pub use requests::*;
pub use tokens::*;
pub use inputs::*;
pub use log_stream::*;
pub use metrics::*;
pub use run_search::*;
pub use run_values::*;
pub use runs::*;
pub use upkeep::tend_ledger;
pub use users::*;
pub use versions::*;
pub use watch::watch_ledger;

/// The outcome of a service function.
pub type Result<T> = std::result::Result<T, Error>;
/// The messages of a client's stream behind the first.
pub type RequestStream<T> = Pin<Box<dyn Stream<Item = Result<T>> + Send>>;
/// A stream of answers.
pub type ResponseStream<T> = Pin<Box<dyn Stream<Item = Result<T>> + Send>>;

/// `Store::write` with the service's error.
async fn write<I, T>(store: &Store, input: I, body: Body<I, T, Error>) -> Result<T>
where
    I: Send + Sync + 'static,
    T: Send + 'static,
{
    store.write(input, body).await
}
