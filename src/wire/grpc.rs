//! The gRPC face. The generated services call the four functions here, one for each shape of operation:
//! they make the request id, have the call checked, hand it to the service function and give its
//! outcome a status.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use futures::{Stream, StreamExt};
use tokio::time::timeout;
use tonic::metadata::MetadataMap;
use tonic::{Extensions, Request, Response, Status, Streaming};

use super::error;
use super::server::Peer;
use crate::access::{Access, Arrival, Call};
use crate::clock;
use crate::contract::{Operation, Subject};
use crate::service::{Error, RequestStream, Result};

/// A client's stream must start within this time.
const FIRST_MESSAGE: Duration = Duration::from_secs(30);

/// A stream of answers as tonic wants it.
pub type ResponseStream<T> = Pin<Box<dyn Stream<Item = std::result::Result<T, Status>> + Send>>;
/// A stream of answers as the service gives it.
type Answers<T> = crate::service::ResponseStream<T>;

/// What all generated services share.
#[derive(Clone)]
pub struct Surface {
    access: Arc<Access>,
}

/// How long an operation without streams may take.
const UNARY: Duration = Duration::from_secs(60);

/// One call on its way.
struct Passage {
    operation: &'static Operation,
    request_id: String,
    started: Instant,
}

impl Surface {
    /// A face over the access check.
    pub fn new(access: Arc<Access>) -> Self {
        Self { access }
    }

    /// One request, one answer.
    pub async fn unary<I, O, F>(
        &self,
        operation: &'static Operation,
        request: Request<I>,
        call: F,
    ) -> std::result::Result<Response<O>, Status>
    where
        I: Subject + Send + 'static,
        F: FnOnce(Call, I) -> BoxFuture<'static, Result<O>>,
    {
        let passage = Passage::begin(operation);
        let (metadata, extensions, message) = request.into_parts();
        let outcome = match self.admit(&passage, metadata, &extensions, &message).await {
            Ok(admitted) => {
                let outcome = tokio::time::timeout(UNARY, call(admitted.clone(), message)).await.unwrap_or_else(|_| Err(too_long()));
                self.keep_late_denial(&admitted, &outcome).await.and(outcome)
            }
            Err(error) => Err(error),
        };
        passage.end(outcome)
    }

    /// One request, a stream of answers.
    pub async fn server_stream<I, O, F>(
        &self,
        operation: &'static Operation,
        request: Request<I>,
        call: F,
    ) -> std::result::Result<Response<ResponseStream<O>>, Status>
    where
        I: Subject + Send + 'static,
        O: Send + 'static,
        F: FnOnce(Call, I) -> BoxFuture<'static, Result<Answers<O>>>,
    {
        let passage = Passage::begin(operation);
        let (metadata, extensions, message) = request.into_parts();
        let outcome = match self.admit(&passage, metadata, &extensions, &message).await {
            Ok(admitted) => call(admitted, message).await,
            Err(error) => Err(error),
        };
        let id = passage.request_id.clone();
        passage.end(outcome.map(|answers| with_status(answers, id)))
    }

    /// A stream of requests, one answer. The first message decides access.
    pub async fn client_stream<I, O, F>(
        &self,
        operation: &'static Operation,
        request: Request<Streaming<I>>,
        call: F,
    ) -> std::result::Result<Response<O>, Status>
    where
        I: Subject + Send + 'static,
        F: FnOnce(Call, I, RequestStream<I>) -> BoxFuture<'static, Result<O>>,
    {
        let passage = Passage::begin(operation);
        let outcome = match self.admit_stream(&passage, request).await {
            Ok((admitted, first, rest)) => call(admitted, first, rest).await,
            Err(error) => Err(error),
        };
        passage.end(outcome)
    }

    /// A stream each way. The first message decides access.
    pub async fn both_streams<I, O, F>(
        &self,
        operation: &'static Operation,
        request: Request<Streaming<I>>,
        call: F,
    ) -> std::result::Result<Response<ResponseStream<O>>, Status>
    where
        I: Subject + Send + 'static,
        O: Send + 'static,
        F: FnOnce(Call, I, RequestStream<I>) -> BoxFuture<'static, Result<Answers<O>>>,
    {
        let passage = Passage::begin(operation);
        let outcome = match self.admit_stream(&passage, request).await {
            Ok((admitted, first, rest)) => call(admitted, first, rest).await,
            Err(error) => Err(error),
        };
        let id = passage.request_id.clone();
        passage.end(outcome.map(|answers| with_status(answers, id)))
    }

    async fn admit(&self, passage: &Passage, metadata: MetadataMap, extensions: &Extensions, fields: &dyn Subject) -> Result<Call> {
        let headers = metadata.into_headers();
        let source = extensions.get::<Peer>().map(Peer::host).unwrap_or_default();
        let arrival = Arrival { operation: passage.operation, headers: &headers, request_id: &passage.request_id, source: &source };
        Ok(self.access.admit(&arrival, fields).await?)
    }

    async fn admit_stream<I: Subject + Send + 'static>(
        &self,
        passage: &Passage,
        request: Request<Streaming<I>>,
    ) -> Result<(Call, I, RequestStream<I>)> {
        let (metadata, extensions, mut messages) = request.into_parts();
        let silent = |_| Error::Cancelled("no first message came".to_owned());
        let first = timeout(FIRST_MESSAGE, messages.message()).await.map_err(silent)?.map_err(|status| broken(&status))?;
        let first = first.ok_or_else(|| Error::invalid("stream", "ends without a first message"))?;
        let call = self.admit(passage, metadata, &extensions, &first).await?;
        let rest = messages.map(|message| message.map_err(|status| broken(&status))).boxed();
        Ok((call, first, rest))
    }

    /// A refusal by the service itself is kept like one by the check.
    async fn keep_late_denial<O>(&self, call: &Call, outcome: &Result<O>) -> Result<()> {
        if let Err(Error::Denied { message, .. }) = outcome {
            self.access.keep_denial(call, call.subject(), message).await?;
        }
        Ok(())
    }
}

impl Passage {
    fn begin(operation: &'static Operation) -> Self {
        Self { operation, request_id: clock::new_uid(), started: Instant::now() }
    }

    fn end<O>(self, outcome: Result<O>) -> std::result::Result<Response<O>, Status> {
        let micros = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let (operation, request_id) = (self.operation.full_name, self.request_id.as_str());
        match outcome {
            Ok(answer) => {
                tracing::debug!(operation, request_id, micros, "ok");
                let mut response = Response::new(answer);
                *response.metadata_mut() = error::metadata(request_id);
                Ok(response)
            }
            Err(failure) => {
                let status = error::status(&failure, request_id);
                tracing::info!(operation, request_id, micros, code = ?status.code(), "refused or failed");
                Err(status)
            }
        }
    }
}

fn with_status<O: Send + 'static>(answers: Answers<O>, request_id: String) -> ResponseStream<O> {
    Box::pin(answers.map(move |answer| answer.map_err(|failure| error::status(&failure, &request_id))))
}

/// What is written may be committed after the answer was given up, so the outcome is called unclear.
fn too_long() -> Error {
    let seconds = UNARY.as_secs();
    Error::Deadline(format!("took longer than {seconds} seconds; whether a change was made is not known: read before trying again"))
}

/// The client's end of a stream broke, or a message could not be read.
fn broken(status: &Status) -> Error {
    match status.code() {
        tonic::Code::OutOfRange | tonic::Code::ResourceExhausted => Error::Exhausted(status.message().to_owned()),
        tonic::Code::Internal | tonic::Code::InvalidArgument => Error::invalid("stream", "a message cannot be read"),
        _ => Error::Cancelled("the client ended the stream".to_owned()),
    }
}
