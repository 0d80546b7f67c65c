//! What every face does with a call, however it came: it gets an id, is checked, is done within its time,
//! and its end is logged.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use http::HeaderMap;

use crate::access::{Access, Arrival, Call, Caller, ClientAddress};
use crate::clock;
use crate::contract::{Operation, Subject};
use crate::memory::{self, Held};
use crate::service::{Error, Result};

/// How long an operation without streams may take.
const UNARY: Duration = Duration::from_secs(60);
/// What an answer takes for each of its bytes while it is written: itself, and a text that grows by doubling.
const WRITTEN: usize = 3;

/// What all faces share.
#[derive(Clone)]
pub struct Surface {
    access: Arc<Access>,
}

/// The head of a request whose caller is known.
#[derive(Clone)]
pub struct Sender {
    pub(super) headers: HeaderMap,
    /// The network address.
    source: ClientAddress,
    caller: Caller,
    /// The memory that the call holds.
    pub(super) held: Arc<Held>,
}

/// One call on its way.
pub struct Passage {
    pub(super) operation: &'static Operation,
    pub(super) request_id: String,
    source: ClientAddress,
    /// The user's name, once it is known.
    user: OnceLock<String>,
    started: Instant,
}

impl Surface {
    /// A surface over the access check.
    pub fn new(access: Arc<Access>) -> Self {
        Self { access }
    }

    /// Finds out who sent the head of a request.
    pub(super) async fn known(&self, operation: &Operation, headers: HeaderMap, source: ClientAddress) -> Result<Sender> {
        let caller = self.access.caller(operation, &headers, source).await?;
        let nobody = || format!("from {}", source.network());
        let principal = if caller.user_uid.is_empty() { nobody() } else { caller.user_uid.clone() };
        Ok(Sender { headers, source, caller, held: self.access.memory.of(&principal) })
    }

    /// Has a call checked, and done.
    pub(super) async fn perform<I, O, F>(&self, passage: &Passage, sender: &Sender, message: I, call: F) -> Result<O>
    where
        I: Subject + prost::Message + 'static,
        O: prost::Message,
        F: FnOnce(Call, I) -> BoxFuture<'static, Result<O>>,
    {
        let admitted = self.admit(passage, sender, &message).await?;
        let bytes = message.encoded_len();
        let counted = memory::counted(sender.held.clone(), call(admitted.clone(), message));
        let outcome = tokio::time::timeout(UNARY, counted).await.unwrap_or_else(|_| Err(too_long()));
        match &outcome {
            Ok(answer) => {
                admitted.charge(bytes);
                sender.held.shrink_to(WRITTEN * answer.encoded_len());
            }
            Err(_) => sender.held.shrink_to(0),
        }
        let outcome = outcome.map_err(|error| sender.held.refused().map_or(error, Error::from));
        self.keep_late_denial(&admitted, &outcome).await.and(outcome)
    }

    /// Has a call checked.
    pub(super) async fn admit(&self, passage: &Passage, sender: &Sender, fields: &dyn Subject) -> Result<Call> {
        let Sender { headers, source, caller, .. } = sender;
        passage.user.get_or_init(|| caller.user_name.clone());
        let arrival = Arrival { operation: passage.operation, headers, request_id: &passage.request_id, source: *source };
        Ok(self.access.admit(&arrival, caller.clone(), fields).await?)
    }

    /// A refusal by the service itself is kept like one by the check.
    pub(super) async fn keep_late_denial<O>(&self, call: &Call, outcome: &Result<O>) -> Result<()> {
        if let Err(Error::Denied { message, .. }) = outcome {
            self.access.keep_denial(call, call.subject(), message).await?;
        }
        Ok(())
    }
}

impl Passage {
    pub(super) fn begin(operation: &'static Operation, source: ClientAddress) -> Self {
        Self { operation, request_id: clock::new_uid(), source, user: OnceLock::new(), started: Instant::now() }
    }

    /// Logs how the call ended.
    pub(super) fn end<O>(self, outcome: Result<O>) -> Result<O> {
        let micros = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let (operation, request_id) = (self.operation.full_name, self.request_id.as_str());
        let (address, user) = (self.source, self.user.get().map(String::as_str).unwrap_or_default());
        match &outcome {
            Ok(_) => tracing::debug!(operation, request_id, %address, user, micros, "ok"),
            Err(failure) => tracing::info!(operation, request_id, %address, user, micros, kind = failure.kind(), "refused or failed"),
        }
        outcome
    }
}

/// What is written may be committed after the answer was given up, so the outcome is called unclear.
fn too_long() -> Error {
    let seconds = UNARY.as_secs();
    Error::Deadline(format!("took longer than {seconds} seconds; whether a change was made is not known: read before trying again"))
}
