//! The gRPC face. The generated services call the four functions here, one for each shape of operation:
//! they have the call checked, hand it to the service function and give its outcome a status.

use std::pin::Pin;
use std::time::Duration;

use axum::extract::State;
use axum::middleware::Next;
use futures::future::BoxFuture;
use futures::{Stream, StreamExt};
use tokio::time::timeout;
use tonic::{Extensions, Request, Response, Status, Streaming};

use super::surface::{Passage, Sender, Surface};
use super::{error, message_room};
use crate::access::{Call, ClientAddress};
use crate::contract::{Operation, Subject, operation_by_path};
use crate::service::{Error, RequestStream, Result};

/// A client's stream must start within this time.
const FIRST_MESSAGE: Duration = Duration::from_secs(30);

/// A stream of answers as tonic wants it.
pub type ResponseStream<T> = Pin<Box<dyn Stream<Item = std::result::Result<T, Status>> + Send>>;
/// A stream of answers as the service gives it.
type Answers<T> = crate::service::ResponseStream<T>;

impl Surface {
    /// One request, one answer.
    pub async fn unary<I, O, F>(
        &self,
        operation: &'static Operation,
        request: Request<I>,
        call: F,
    ) -> std::result::Result<Response<O>, Status>
    where
        I: Subject + prost::Message + 'static,
        O: prost::Message,
        F: FnOnce(Call, I) -> BoxFuture<'static, Result<O>>,
    {
        let (_, extensions, message) = request.into_parts();
        let passage = Passage::begin(operation, source(&extensions));
        let outcome = match sender(&extensions) {
            Ok(sender) => self.perform(&passage, &sender, message, call).await,
            Err(error) => Err(error),
        };
        answer(passage, outcome)
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
        let (_, extensions, message) = request.into_parts();
        let passage = Passage::begin(operation, source(&extensions));
        let admitted = async { self.admit(&passage, &sender(&extensions)?, &message).await };
        let outcome = match admitted.await {
            Ok(admitted) => call(admitted, message).await,
            Err(error) => Err(error),
        };
        let id = passage.request_id.clone();
        answer(passage, outcome.map(|answers| with_status(answers, id)))
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
        let passage = Passage::begin(operation, source(request.extensions()));
        let outcome = match self.admit_stream(&passage, request).await {
            Ok((admitted, first, rest)) => call(admitted.clone(), first, rest).await.inspect(|_| admitted.charge(0)),
            Err(error) => Err(error),
        };
        answer(passage, outcome)
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
        let passage = Passage::begin(operation, source(request.extensions()));
        let outcome = match self.admit_stream(&passage, request).await {
            Ok((admitted, first, rest)) => call(admitted, first, rest).await,
            Err(error) => Err(error),
        };
        let id = passage.request_id.clone();
        answer(passage, outcome.map(|answers| with_status(answers, id)))
    }

    async fn admit_stream<I: Subject + Send + 'static>(
        &self,
        passage: &Passage,
        request: Request<Streaming<I>>,
    ) -> Result<(Call, I, RequestStream<I>)> {
        let (_, extensions, mut messages) = request.into_parts();
        let sender = sender(&extensions)?;
        let silent = |_| Error::Cancelled("no first message came".to_owned());
        let first = timeout(FIRST_MESSAGE, messages.message()).await.map_err(silent)?.map_err(|status| broken(&status))?;
        let first = first.ok_or_else(|| Error::invalid("stream", "ends without a first message"))?;
        let call = self.admit(passage, &sender, &first).await?;
        let held = sender.held;
        held.shrink_to(0);
        let rest = messages.map(move |message| {
            held.shrink_to(0);
            message.map_err(|status| broken(&status))
        });
        let rest = rest.boxed();
        Ok((call, first, rest))
    }
}

/// Finds out who calls before tonic reads the message; a layer around all gRPC routes.
pub async fn know_sender(State(surface): State<Surface>, mut request: axum::extract::Request, next: Next) -> axum::response::Response {
    if let Some(operation) = operation_by_path(request.uri().path()) {
        let source = request.extensions().get::<ClientAddress>().copied().unwrap_or_default();
        match surface.known(operation, request.headers().clone(), source).await {
            Ok(sender) => {
                let held = sender.held.clone();
                request.extensions_mut().insert(sender);
                let (head, body) = request.into_parts();
                let streams = operation.client_streaming;
                let body = if streams {
                    message_room::stream_of(body, held.clone())
                } else {
                    message_room::whole(body, operation.rule.message_bytes(), &held).await
                };
                let mut answer = next.run(axum::extract::Request::from_parts(head, body)).await;
                answer.extensions_mut().insert(held);
                return answer;
            }
            Err(error) => {
                let passage = Passage::begin(operation, source);
                let status = error::status(&error, &passage.request_id);
                // Only for the log.
                let _ = passage.end(Err::<(), _>(error));
                return status.into_http();
            }
        }
    }
    next.run(request).await
}

/// Where a call comes from.
fn source(extensions: &Extensions) -> ClientAddress {
    extensions.get::<ClientAddress>().copied().unwrap_or_default()
}

/// Whom `know_sender` found.
fn sender(extensions: &Extensions) -> Result<Sender> {
    extensions.get::<Sender>().cloned().ok_or(Error::Unauthenticated)
}

fn answer<O>(passage: Passage, outcome: Result<O>) -> std::result::Result<Response<O>, Status> {
    let request_id = passage.request_id.clone();
    match passage.end(outcome) {
        Ok(answer) => {
            let mut response = Response::new(answer);
            *response.metadata_mut() = error::metadata(&request_id);
            Ok(response)
        }
        Err(failure) => Err(error::status(&failure, &request_id)),
    }
}

fn with_status<O: Send + 'static>(answers: Answers<O>, request_id: String) -> ResponseStream<O> {
    Box::pin(answers.map(move |answer| answer.map_err(|failure| error::status(&failure, &request_id))))
}

/// The client's end of a stream broke, or a message could not be read.
fn broken(status: &Status) -> Error {
    match status.code() {
        tonic::Code::OutOfRange | tonic::Code::ResourceExhausted => Error::Exhausted(status.message().to_owned()),
        tonic::Code::DeadlineExceeded => Error::Deadline(status.message().to_owned()),
        tonic::Code::Internal | tonic::Code::InvalidArgument => Error::invalid("stream", "a message cannot be read"),
        _ => Error::Cancelled("the client ended the stream".to_owned()),
    }
}
