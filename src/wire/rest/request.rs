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
use crate::memory::Held;
use crate::service::{Error, Result};
use crate::wire::error;
use crate::wire::rest::aside;

/// So much of what is too large is read and dropped, for the sake of an answer that arrives.
const DROPPED_BYTES: usize = 64 * MIB;
const MIB: usize = 1024 * 1024;
/// What a body takes for each byte that came: the bytes, which lie in a buffer that grows by doubling.
const COPIES: usize = 2;
/// What an object in a body takes besides its bytes: the message's fields, in a list that grows by doubling.
const OBJECT: usize = 300;

const NOT_THE_QUERY: &str = "is not read here; the fields of this request stand in its body";

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
    place: Place,
    unknown: Unknown,
}

/// Where the message of a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Body,
    Query,
    /// A DELETE says in its body or in its query what it is about, and on MLflow's paths a GET does: MLflow reads the body
    /// of one without a query, and tools for it send that.
    Either,
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
            let _ = whole(self.body, 0, None).await;
        }
    }

    /// Waits for the body, which takes room as it comes.
    pub(super) async fn receive(self, most: usize, held: &Held) -> Result<Given> {
        let Self { variables, head, body } = self;
        let query = head.uri.query().unwrap_or_default().to_owned();
        let unknown = unknown(&head);
        let asks = head.method == Method::GET || head.method == Method::HEAD;
        let body = whole(body, most, Some(held)).await?;
        // No browser sends a body with a GET, and those who do seldom say what it is.
        if !body.is_empty() && !asks {
            declared_json(&head.headers)?;
        }
        let place = match head.method {
            _ if asks && unknown == Unknown::Refused => Place::Query,
            Method::GET | Method::HEAD | Method::DELETE => Place::Either,
            _ => Place::Body,
        };
        Ok(Given { variables, query, body, place, unknown })
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
    /// The message of body or query. No body at all stands for an empty object. What is said in the other place is never
    /// passed over: it has to say nothing, or the same.
    pub(super) async fn message<I: DeserializeOwned + prost::Message>(&self, held: &Held) -> Result<I> {
        let refuse = |field: &str, why: &str| Err(Invalid::field(field, why).into());
        let own = self.unknown == Unknown::Refused;
        if own && self.place == Place::Query && !self.body.is_empty() {
            return refuse("body", "is not read here; the fields of a GET are parameters of its query");
        }
        if own && self.place == Place::Body && !self.query.is_empty() {
            return refuse("query", NOT_THE_QUERY);
        }
        held.grow(OBJECT * objects(&self.body)).await?;
        let read = || {
            let in_body = if self.body.is_empty() { Ok(None) } else { json::read::<I>(&self.body).map(Some) };
            let in_query = if self.query.is_empty() { Ok(None) } else { json::read_query::<I>(&self.query).map(Some) };
            Ok::<_, Invalid>((in_body?, in_query?))
        };
        let (in_body, in_query) = aside(self.body.len(), || json::with(self.unknown, read))?;
        let says = |message: &Option<I>| message.as_ref().is_some_and(|message| message.encoded_len() > 0);
        let bytes = |message: &Option<I>| message.as_ref().map(prost::Message::encode_to_vec).unwrap_or_default();
        if says(&in_query) && bytes(&in_body) != bytes(&in_query) {
            match self.place {
                Place::Body => return refuse("query", NOT_THE_QUERY),
                Place::Either if says(&in_body) => {
                    return refuse("body", "says something else than the query; give the fields in one of them");
                }
                _ => {}
            }
        }
        let (first, second) = if self.place == Place::Body { (in_body, in_query) } else { (in_query, in_body) };
        let message = if says(&first) { first } else { second.or(first) };
        Ok(message.map_or_else(|| json::with(self.unknown, || json::read_query("")), Ok)?)
    }
}

/// Our own paths refuse what nobody declared; MLflow's clients send more than this server knows.
fn unknown(head: &Parts) -> Unknown {
    let path = head.uri.path();
    let own = ["/api/", "/ajax-api/"].iter().any(|face| path.strip_prefix(face).is_some_and(|rest| rest.starts_with("stagegate/")));
    if own { Unknown::Refused } else { Unknown::Ignored }
}

/// The body, when it has no more bytes than `most`, and there is room for it. Of another one the rest is read and
/// dropped, up to a limit, because a client that still sends does not see the answer.
async fn whole(mut body: Body, most: usize, held: Option<&Held>) -> Result<Bytes> {
    let mut kept = BytesMut::new();
    let mut size = 0;
    let mut over = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Error::Cancelled(format!("the body broke off: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        size += data.len();
        if size > most + DROPPED_BYTES {
            break;
        }
        if size > most || over.is_some() {
            continue;
        }
        if let Some(held) = held
            && let Err(full) = held.grow(COPIES * data.len()).await
        {
            kept = BytesMut::new();
            held.shrink_to(0);
            over = Some(full);
            continue;
        }
        kept.extend_from_slice(&data);
    }
    if size > most {
        return Err(error::too_long("body", most));
    }
    over.map_or(Ok(kept.freeze()), |over| Err(over.into()))
}

/// The objects in a JSON text, at least: each takes more room than its few bytes say. What is inside of strings does not
/// count.
fn objects(text: &[u8]) -> usize {
    let (mut count, mut quoted, mut escaped) = (0, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            b'{' if !quoted => count += 1,
            _ => {}
        }
    }
    count
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

#[cfg(test)]
mod tests {
    use super::objects;

    #[test]
    fn objects_are_counted_outside_of_strings() {
        assert_eq!(objects(br#"{"a":[{},{"b":"{{\"{"}],"c":"\\"}{"#), 4);
    }
}
