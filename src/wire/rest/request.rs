//! What a REST request holds, and how it becomes a message.

use axum::body::Body;
use axum::extract::{RawPathParams, Request};
use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderMap, Method, header};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;

use crate::access::ClientAddress;
use crate::contract::json::{self, Unknown};
use crate::domain::field::{FieldError, Invalid};
use crate::service::{Error, Result};

/// So much of what is too large is read and dropped, for the sake of an answer that arrives.
const DROPPED_BYTES: usize = 64 * MIB;
const MIB: usize = 1024 * 1024;

/// A request as it came.
pub struct Incoming {
    variables: Vec<(String, String)>,
    head: Parts,
    body: Body,
}

/// A request whose body is there.
pub struct Given {
    /// What the path says, decoded once.
    pub variables: Vec<(String, String)>,
    query: String,
    body: Bytes,
    /// Whether a body, if there is one, is where the message stands.
    from_body: bool,
    unknown: Unknown,
}

impl Incoming {
    pub(super) fn new(variables: &RawPathParams, request: Request) -> Self {
        let variables = variables.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let (head, body) = request.into_parts();
        Self { variables, head, body }
    }

    /// The headers, and the network address that they came from.
    pub(super) fn sender(&self) -> (HeaderMap, ClientAddress) {
        (self.head.headers.clone(), self.source())
    }

    /// Where the request comes from.
    pub(super) fn source(&self) -> ClientAddress {
        self.head.extensions.get::<ClientAddress>().copied().unwrap_or_default()
    }

    /// The head, and the body that is not read yet.
    pub(super) fn divided(self) -> (Divided, Body) {
        let (headers, source) = self.sender();
        let Self { variables, head, body } = self;
        let query = head.uri.query().unwrap_or_default().to_owned();
        let unknown = unknown(&head);
        (Divided { variables, query, headers, source, unknown }, body)
    }

    /// Reads the body of a request that is refused, as far as it is worth it, and keeps nothing of it.
    pub(super) async fn dismiss(self) {
        // A client that waits for a word before it sends need not send at all.
        if !self.head.headers.contains_key(header::EXPECT) {
            // How the body ends does not matter: the answer is given in any case.
            let _ = whole(self.body, 0).await;
        }
    }

    /// Waits for the body.
    pub(super) async fn receive(self, most: usize) -> Result<Given> {
        let Self { variables, head, body } = self;
        let query = head.uri.query().unwrap_or_default().to_owned();
        let unknown = unknown(&head);
        let from_body = head.method != Method::GET && head.method != Method::HEAD;
        let body = if from_body || unknown == Unknown::Refused { whole(body, most).await? } else { Bytes::new() };
        if !from_body && !body.is_empty() {
            return Err(Invalid::field("body", "is not read here; the fields of a GET are parameters of its query").into());
        }
        if !body.is_empty() {
            declared_json(&head.headers)?;
        }
        // A DELETE says in its body or in its query what it is about.
        let from_body = from_body && (head.method != Method::DELETE || !body.is_empty());
        if from_body && unknown == Unknown::Refused && !query.is_empty() {
            return Err(Invalid::field("query", "is not read here; the fields of this request stand in its body").into());
        }
        Ok(Given { variables, query, body, from_body, unknown })
    }
}

/// A request whose body is a file.
pub struct Divided {
    /// What the path says, decoded once.
    variables: Vec<(String, String)>,
    query: String,
    /// As they came.
    pub headers: HeaderMap,
    /// The network address of the caller.
    pub source: ClientAddress,
    unknown: Unknown,
}

impl Divided {
    /// The message that path and query hold.
    pub(super) fn query_message<I: DeserializeOwned>(
        &self,
        bind: impl Fn(&mut I, &str, &str) -> std::result::Result<(), FieldError>,
    ) -> std::result::Result<I, Invalid> {
        let mut message = json::with(self.unknown, || json::read_query(&self.query))?;
        for (variable, value) in &self.variables {
            bind(&mut message, variable, value)?;
        }
        Ok(message)
    }
}

impl Given {
    /// The message of body or query. No body at all stands for an empty object.
    pub(super) fn message<I: DeserializeOwned>(&self) -> std::result::Result<I, Invalid> {
        json::with(self.unknown, || match (self.from_body, self.body.is_empty()) {
            (true, false) => json::read(&self.body),
            (true, true) => json::read_query(""),
            (false, _) => json::read_query(&self.query),
        })
    }
}

/// Our own paths refuse what nobody declared; MLflow's clients send more than this server knows.
fn unknown(head: &Parts) -> Unknown {
    let path = head.uri.path();
    let own = ["/api/", "/ajax-api/"].iter().any(|face| path.strip_prefix(face).is_some_and(|rest| rest.starts_with("stagegate/")));
    if own { Unknown::Refused } else { Unknown::Ignored }
}

/// The body, when it has no more bytes than `most`. Of a larger one the rest is read and dropped, up to a
/// limit, because a client that still sends does not see the answer.
async fn whole(mut body: Body, most: usize) -> Result<Bytes> {
    let mut kept = BytesMut::new();
    let mut size = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Error::Cancelled(format!("the body broke off: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        size += data.len();
        if size <= most {
            kept.extend_from_slice(&data);
        } else if size > most + DROPPED_BYTES {
            break;
        }
    }
    if size > most {
        let (most, unit) = if most < MIB { (most / 1024, "KiB") } else { (most / MIB, "MiB") };
        return Err(Error::TooLarge(format!("the body has more than {most} {unit}, which is the most that is read")));
    }
    Ok(kept.freeze())
}

/// JSON that is declared as such: a page of another site cannot send it without asking.
fn declared_json(headers: &HeaderMap) -> std::result::Result<(), Invalid> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = given.split(';').next().unwrap_or_default().trim();
    if media.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Invalid::field("Content-Type", "must be `application/json`"))
}

/// Sets the field that a path variable names.
///
/// # Errors
/// When the body gives the field another value.
pub fn bind(field: &mut String, name: &str, value: &str) -> std::result::Result<(), FieldError> {
    if !field.is_empty() && field != value {
        return Err(FieldError::new(name, "differs from the one in the path"));
    }
    value.clone_into(field);
    Ok(())
}
