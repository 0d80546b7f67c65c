//! Files over HTTP. An operation that takes a stream of bytes takes them as the request's body, one that gives such
//! a stream gives it as the answer's; its first message is the head. Nothing is held whole.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::response::Response;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{Stream, StreamExt, stream};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;

use super::super::error::{self, REQUEST_ID};
use super::super::surface::{Passage, Surface};
use super::file_head::{self, Verdict};
use super::request::Incoming;
use super::response;
use crate::access::Call;
use crate::contract::v1::download_artifact_response::Part;
use crate::contract::{Operation, Subject, mlflow, v1};
use crate::domain::field::FieldError;
use crate::domain::limits;
use crate::service::mlflow::TOKEN_HEADER;
use crate::service::{Error, RequestStream, ResponseStream, Result};

/// What a refused client still sends is read for this long, so that it gets to see the answer.
const LINGER: Duration = Duration::from_secs(30);
/// A file that is replaced under a reader again and again is given up.
const TRIES: usize = 3;

/// The messages of an operation that takes a file.
pub trait Upload: DeserializeOwned + Subject + Send + 'static {
    /// Adds to the first message what only the head of a request says: the size, and the token of a part.
    fn with_head(self, size: Option<i64>, token: &str) -> Self;
    /// A later message.
    fn of_bytes(chunk: Bytes) -> Self;
}

/// The message of an operation that gives a file.
pub trait Download: DeserializeOwned + Subject + Clone + Send + 'static {
    /// The same from a byte on.
    fn at(self, offset: i64) -> Self;
    /// The path of the file.
    fn file(&self) -> &str;
}

macro_rules! uploads {
    ($($message:ident $({ $token:ident })?),*) => { $(
        impl Upload for mlflow::$message {
            fn with_head(self, size: Option<i64>, _token: &str) -> Self {
                Self { size, $($token: _token.to_owned(),)? ..self }
            }

            fn of_bytes(chunk: Bytes) -> Self {
                Self { chunk, ..Self::default() }
            }
        }
    )* };
}

macro_rules! downloads {
    ($($message:ident . $path:ident),*) => { $(
        impl Download for mlflow::$message {
            fn at(self, offset: i64) -> Self {
                Self { offset, ..self }
            }

            fn file(&self) -> &str {
                &self.$path
            }
        }
    )* };
}

uploads!(WriteArtifactRequest, UploadRunArtifactRequest, UploadPartRequest { token });
downloads!(
    ReadArtifactRequest.path,
    DownloadRunArtifactRequest.path,
    DownloadVersionArtifactRequest.path,
    DownloadLoggedModelArtifactRequest.artifact_file_path
);

impl Surface {
    /// Takes a request's body as a file.
    pub async fn upload<I, B, F>(self, operation: &'static Operation, incoming: Incoming, bind: B, call: F) -> Response
    where
        I: Upload,
        B: Fn(&mut I, &str, &str) -> std::result::Result<(), FieldError> + Send,
        F: FnOnce(Call, I, RequestStream<I>) -> BoxFuture<'static, Result<mlflow::WriteArtifactResponse>> + Send,
    {
        let (given, body) = incoming.divided();
        let passage = Passage::begin(operation, given.source);
        let request_id = passage.request_id.clone();
        let body = Arc::new(RawBody::new(body, given.headers.contains_key(header::EXPECT)));
        let outcome = async {
            let sender = self.known(operation, given.headers.clone(), given.source).await?;
            file_head::unconditional(&given.headers)?;
            let size = content_length(&given.headers);
            let token = given.headers.get(TOKEN_HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
            let first = given.query_message(bind)?.with_head(size, token);
            let admitted = self.admit(&passage, &sender, &first).await?;
            let rest = body.clone().chunks().map(|chunk| chunk.map(I::of_bytes)).boxed();
            let outcome = call(admitted.clone(), first, rest).await;
            self.keep_late_denial(&admitted, &outcome).await.and(outcome)
        };
        let outcome = outcome.await;
        match passage.end(outcome) {
            Ok(stored) => {
                let mut response = response::json(Vec::new(), &request_id);
                if let Ok(tag) = HeaderValue::from_str(&file_head::etag(&stored.sha256)) {
                    response.headers_mut().insert(header::ETAG, tag);
                }
                response
            }
            Err(error) => {
                body.linger().await;
                response::failed(&error, &request_id)
            }
        }
    }

    /// Gives a file, or a part of it, as the answer's body.
    pub async fn download<I, B, F>(self, operation: &'static Operation, incoming: Incoming, bind: B, call: F) -> Response
    where
        I: Download,
        B: Fn(&mut I, &str, &str) -> std::result::Result<(), FieldError> + Send,
        F: Fn(Call, I) -> BoxFuture<'static, Result<ResponseStream<v1::DownloadArtifactResponse>>> + Send + Sync,
    {
        let (given, _) = incoming.divided();
        let passage = Passage::begin(operation, given.source);
        let request_id = passage.request_id.clone();
        let outcome = async {
            let sender = self.known(operation, given.headers.clone(), given.source).await?;
            let message: I = given.query_message(bind)?;
            let admitted = self.admit(&passage, &sender, &message).await?;
            let open = |offset: u64| {
                let message = message.clone().at(i64::try_from(offset).unwrap_or(i64::MAX));
                let answers = call(admitted.clone(), message);
                async { opened(answers.await?).await }
            };
            answer(&given.headers, message.file(), open, &request_id).await
        };
        let outcome = outcome.await;
        match passage.end(outcome) {
            Ok(mut response) => {
                if let Ok(id) = HeaderValue::from_str(&request_id) {
                    response.headers_mut().insert(REQUEST_ID, id);
                }
                response
            }
            Err(error) => response::failed(&error, &request_id),
        }
    }
}

/// A download whose first message has come.
type Opened = (v1::DownloadArtifactHeader, ResponseStream<v1::DownloadArtifactResponse>);

async fn opened(mut answers: ResponseStream<v1::DownloadArtifactResponse>) -> Result<Opened> {
    match answers.next().await.transpose()?.and_then(|message| message.part) {
        Some(Part::Header(header)) => Ok((header, answers)),
        _ => Err(Error::Internal("a download begins without its header".to_owned())),
    }
}

/// The answer to a request for a file: all of it, a part, or why neither.
async fn answer<O>(asked: &HeaderMap, path: &str, open: impl Fn(u64) -> O, request_id: &str) -> Result<Response>
where
    O: Future<Output = Result<Opened>>,
{
    for _ in 0..TRIES {
        let (file, bytes) = open(0).await?;
        let size = file.size.unsigned_abs();
        let headers = file_head::head(path, &file.sha256);
        match file_head::verdict(asked, &file.sha256, size) {
            Verdict::Whole => return Ok(sent(StatusCode::OK, headers, size, bytes, request_id)),
            Verdict::Part { first, length } => {
                let (then, bytes) = if first == 0 { (file.clone(), bytes) } else { open(first).await? };
                // Replaced between the two looks.
                if then.sha256 != file.sha256 {
                    continue;
                }
                let mut response = sent(StatusCode::PARTIAL_CONTENT, headers, length, bytes, request_id);
                content_range(&mut response, &format!("bytes {first}-{}/{size}", first + length - 1));
                return Ok(response);
            }
            Verdict::NotModified => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::NOT_MODIFIED;
                *response.headers_mut() = headers;
                response.headers_mut().remove(header::CONTENT_TYPE);
                return Ok(response);
            }
            Verdict::NotTheOne => {
                return Ok(response::coded(
                    StatusCode::PRECONDITION_FAILED,
                    "INVALID_STATE",
                    "the file is not the one that If-Match names",
                    request_id,
                ));
            }
            Verdict::NoSuchPart => {
                let message = format!("the file has {size} bytes, and none of those that Range asks for");
                let mut response = response::coded(StatusCode::RANGE_NOT_SATISFIABLE, "INVALID_PARAMETER_VALUE", &message, request_id);
                content_range(&mut response, &format!("bytes */{size}"));
                return Ok(response);
            }
        }
    }
    Err(Error::Conflict)
}

fn content_range(response: &mut Response, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        response.headers_mut().insert(header::CONTENT_RANGE, value);
    }
}

fn sent(
    status: StatusCode,
    headers: HeaderMap,
    length: u64,
    answers: ResponseStream<v1::DownloadArtifactResponse>,
    request_id: &str,
) -> Response {
    let mut response = Response::new(Body::from_stream(limited(answers, length, request_id.to_owned())));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    response
}

/// The bytes of a download, so many of them. An error breaks the answer off, so that no client takes it for whole.
fn limited(
    answers: ResponseStream<v1::DownloadArtifactResponse>,
    length: u64,
    request_id: String,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    stream::try_unfold((answers, length, request_id), async |(mut answers, left, request_id)| {
        if left == 0 {
            return Ok(None);
        }
        let chunk = match answers.next().await {
            Some(Ok(v1::DownloadArtifactResponse { part: Some(Part::Chunk(chunk)) })) => chunk,
            Some(Err(failure)) => return Err(io::Error::other(error::mlflow(&failure, &request_id).2)),
            _ => return Err(io::Error::other("the download ended before its end")),
        };
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len());
        let chunk = chunk.slice(..taken);
        Ok(Some((chunk, (answers, left - taken as u64, request_id))))
    })
}

/// The size that a request announces; one that has none sends its body in chunks.
fn content_length(headers: &HeaderMap) -> Option<i64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A request's body, which both the operation and, after it failed, the wire reads.
struct RawBody {
    frames: Mutex<BodyDataStream>,
    /// The client waits for a word before it sends.
    waits: bool,
    begun: AtomicBool,
}

impl RawBody {
    fn new(body: Body, waits: bool) -> Self {
        Self { frames: Mutex::new(body.into_data_stream()), waits, begun: AtomicBool::new(false) }
    }

    async fn next(&self) -> Option<Result<Bytes>> {
        self.begun.store(true, Ordering::Relaxed);
        let frame = self.frames.lock().await.next().await?;
        Some(frame.map_err(|error| Error::Cancelled(format!("the body broke off: {error}"))))
    }

    /// The body in pieces that are no larger than a message may be.
    fn chunks(self: Arc<Self>) -> impl Stream<Item = Result<Bytes>> + Send {
        stream::try_unfold((self, Bytes::new()), async |(body, mut left)| {
            if left.is_empty() {
                match body.next().await.transpose()? {
                    Some(bytes) => left = bytes,
                    None => return Ok(None),
                }
            }
            let piece = left.split_to(left.len().min(limits::ARTIFACT_CHUNK_BYTES));
            Ok(Some((piece, (body, left))))
        })
    }

    /// Reads on for a while, and away: a client that is cut off while it sends never reads the answer.
    async fn linger(&self) {
        if self.waits && !self.begun.load(Ordering::Relaxed) {
            return;
        }
        // Whether the client was done or the time was up, the answer is sent.
        let _ = tokio::time::timeout(LINGER, async { while let Some(Ok(_)) = self.next().await {} }).await;
    }
}
