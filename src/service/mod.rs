//! What the operations mean. One function for each, named as its RPC, called by every face after the
//! check: validate, then one write or some reads, then the answer. They take and return the contract's
//! own messages.

mod access_change;
mod access_shown;
mod approvers;
mod artifact_download;
mod artifact_store;
mod artifact_target;
mod artifact_upload;
mod artifacts;
mod batch;
mod checkpoint_sinks;
mod comments;
mod decisions;
mod error;
mod evidence;
mod experiments;
mod expiry;
mod explain;
mod export;
mod first_admin;
mod grants;
mod groups;
mod idempotency;
mod inputs;
mod ledger;
mod log_stream;
mod logged_model_search;
mod logged_model_values;
mod logged_models;
pub(crate) mod look_alikes;
mod metric_samples;
mod metrics;
pub mod mlflow;
mod model_links;
mod models;
mod moves;
mod new_origin;
mod outgoing;
mod paging;
mod personas;
mod protection;
mod purge;
mod purge_deleted;
mod request_list;
mod requests;
mod run_search;
mod run_values;
mod runs;
mod sign_in;
mod tiles;
mod tokens;
mod upkeep;
mod users;
mod verify;
mod version_origin;
mod versions;
mod vouching;
mod watch;
mod witnesses;

use std::pin::Pin;

use futures::Stream;

use crate::store::{Body, Kept, Store, Unrecorded, UnrecordedBody};

pub use artifact_download::*;
pub use artifact_store::*;
pub use artifact_upload::*;
pub use artifacts::*;
pub use checkpoint_sinks::Sink;
pub use comments::*;
pub use decisions::*;
pub use error::{Error, FOUR_EYES, GATE_DEMANDS_REQUEST, OWN_GATE, OWN_REQUEST_OPEN, PASSWORD_CHANGE_DUE, PERMISSION_MISSING};
pub use experiments::*;
pub use expiry::expire_requests;
pub use explain::*;
pub use export::{Export, export_ledger};
pub use first_admin::*;
pub use grants::*;
pub use groups::*;
pub use inputs::*;
pub use ledger::*;
pub use log_stream::*;
pub use logged_model_search::*;
pub use logged_model_values::*;
pub use logged_models::*;
pub use metric_samples::*;
pub use metrics::*;
pub use model_links::*;
pub use models::*;
pub use moves::*;
pub use new_origin::start_new_origin;
pub use outgoing::{Recipient, send_checkpoints};
pub use personas::*;
pub use purge::*;
pub use purge_deleted::*;
pub use request_list::*;
pub use requests::*;
pub use run_search::*;
pub use run_values::*;
pub use runs::*;
pub use sign_in::*;
pub use tiles::{entry_bundle, hash_tile, served_checkpoint};
pub use tokens::*;
pub use upkeep::tend_ledger;
pub use users::*;
pub use verify::*;
pub use versions::*;
pub use vouching::*;
pub use watch::watch_ledger;
pub use witnesses::Witness;

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

/// `Store::write` with the service's error.
async fn write<I, T>(store: &Store, input: I, body: Body<I, T, Error>) -> Result<Kept<T>>
where
    I: Send + Sync + 'static,
    T: Send + 'static,
{
    store.write(input, body).await
}

/// `Store::write_unrecorded` for the bulk of tracking, with the service's error.
async fn write_bulk<I, T>(store: &Store, input: I, body: UnrecordedBody<I, T, Error>) -> Result<T>
where
    I: Send + Sync + 'static,
    T: Send + 'static,
{
    store.write_unrecorded(Unrecorded::Tracking, input, body).await
}
