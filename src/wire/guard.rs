//! What every request passes before it is routed, and every plain answer on its way out: hosts, origins,
//! sizes of heads, codings, workspaces, and the headers that keep browsers from doing more than was meant. No answer
//! allows another origin anything, so there are no CORS headers.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use super::hosts::Hosts;
use super::plain;
use crate::access::ClientAddress;
use crate::store::WORKSPACE;

/// Names and values of a request's headers, in bytes; the target is counted apart.
const HEAD_BYTES: usize = 16 * 1024;
/// Headers of one request.
const HEADERS: usize = 100;

/// In which MLflow's clients name a workspace, if they name one.
const WORKSPACE_HEADER: &str = "x-mlflow-workspace";

/// The headers of plain answers, unless the answer has its own.
const PROTECTION: [(HeaderName, &str); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::REFERRER_POLICY, "no-referrer"),
];

/// The guard as middleware around all routes.
pub async fn guard(State(hosts): State<Arc<Hosts>>, request: Request, next: Next) -> Response {
    let source = request.extensions().get::<ClientAddress>().copied().unwrap_or_default();
    let mut response = match judge(&hosts, &request) {
        Ok(()) => next.run(request).await,
        Err(refusal) => {
            tracing::info!(address = %source, host = ?request.headers().get(header::HOST), reason = refusal.message, "a request was refused");
            refusal.answer(request.headers())
        }
    };
    if !plain::is_grpc(response.headers()) {
        for (name, value) in PROTECTION {
            response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
        }
    }
    response
}

/// Why a request goes no further.
struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: &'static str,
}

impl Refusal {
    const fn new(status: StatusCode, code: &'static str, message: &'static str) -> Self {
        Self { status, code, message }
    }

    fn answer(&self, request: &HeaderMap) -> Response {
        plain::refuse(request, self.status, self.code, self.message)
    }
}

const HEAD_TOO_LARGE: Refusal = Refusal::new(
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    "REQUEST_LIMIT_EXCEEDED",
    "a request has at most 100 headers, of 16 KiB in all",
);
const NO_HOST: Refusal = Refusal::new(StatusCode::BAD_REQUEST, "BAD_REQUEST", "a request names one host");
const FOREIGN_HOST: Refusal = Refusal::new(
    StatusCode::FORBIDDEN,
    "PERMISSION_DENIED",
    "this server is not known by the host that the request names; --allowed-hosts lists its names",
);
const FOREIGN_ORIGIN: Refusal = Refusal::new(
    StatusCode::FORBIDDEN,
    "PERMISSION_DENIED",
    "a page of another origin may not change anything here; --allowed-hosts lists this server's names",
);
const CODED: Refusal =
    Refusal::new(StatusCode::BAD_REQUEST, "INVALID_PARAMETER_VALUE", "request bodies are taken as they are, without Content-Encoding");
const NO_WORKSPACE: Refusal = Refusal::new(
    StatusCode::NOT_FOUND,
    "RESOURCE_DOES_NOT_EXIST",
    "there is no such workspace; this server has the workspace `default` and no other",
);

fn judge(hosts: &Hosts, request: &Request) -> Result<(), Refusal> {
    let headers = request.headers();
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers.len() > HEADERS || bytes > HEAD_BYTES {
        return Err(HEAD_TOO_LARGE);
    }
    let host = host(hosts, request)?;
    if changes(request.method()) && !headers.get_all(header::ORIGIN).iter().all(|origin| is_own(hosts, origin, host)) {
        return Err(FOREIGN_ORIGIN);
    }
    let plain = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if !headers.get_all(header::CONTENT_ENCODING).iter().all(plain) {
        return Err(CODED);
    }
    // What was meant for another workspace must not end in this one.
    if headers.get_all(WORKSPACE_HEADER).iter().any(|name| name != WORKSPACE) {
        return Err(NO_WORKSPACE);
    }
    Ok(())
}

/// The host that the request names, by its target or by its header. Where there are both, both must be ours.
fn host<'a>(hosts: &Hosts, request: &'a Request) -> Result<&'a str, Refusal> {
    let mut given = request.headers().get_all(header::HOST).iter();
    let header = given.next().map(|host| host.to_str().map_err(|_| NO_HOST)).transpose()?;
    let target = request.uri().authority().map(http::uri::Authority::as_str);
    if given.next().is_some() {
        return Err(NO_HOST);
    }
    let named = target.or(header).ok_or(NO_HOST)?;
    if [target, header].into_iter().flatten().all(|host| hosts.allow(host)) { Ok(named) } else { Err(FOREIGN_HOST) }
}

fn changes(method: &Method) -> bool {
    ![Method::GET, Method::HEAD, Method::OPTIONS].contains(method)
}

/// Whether a page of this origin is one of this server's own.
fn is_own(hosts: &Hosts, origin: &HeaderValue, host: &str) -> bool {
    let origin = origin.to_str().ok().and_then(|origin| origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://")));
    origin.is_some_and(|origin| origin.eq_ignore_ascii_case(host) || hosts.lists(origin))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(method: &str, headers: &[(&str, &str)]) -> Option<StatusCode> {
        let hosts = Hosts::new("127.0.0.1".parse().unwrap(), &["track.example".to_owned()]).unwrap();
        let mut request = Request::builder().method(method).uri("/api");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        judge(&hosts, &request.body(axum::body::Body::empty()).unwrap()).err().map(|refusal| refusal.status)
    }

    #[test]
    fn pages_of_other_origins_change_nothing() {
        let with = |method, origin| judged(method, &[("host", "localhost:5000"), ("origin", origin)]);
        for own in ["http://localhost:5000", "https://LOCALHOST:5000", "https://track.example"] {
            assert_eq!(with("POST", own), None, "{own}");
        }
        for foreign in [
            "null",
            "",
            "http://localhost",
            "http://localhost:50000",
            "http://localhost:5000.evil.example",
            "https://track.example.evil",
            "http://evil.example/localhost:5000",
            "ftp://localhost:5000",
            "http://localhost:5000@evil.example",
        ] {
            for method in ["POST", "PUT", "PATCH", "DELETE", "TRACE", "get"] {
                assert_eq!(with(method, foreign), Some(StatusCode::FORBIDDEN), "{method} {foreign}");
            }
            assert_eq!(with("GET", foreign), None, "nothing changes, and without CORS headers nothing is read");
        }
    }

    #[test]
    fn a_request_names_one_host_and_it_is_ours() {
        assert_eq!(judged("GET", &[]), Some(StatusCode::BAD_REQUEST));
        assert_eq!(judged("GET", &[("host", "localhost"), ("host", "localhost")]), Some(StatusCode::BAD_REQUEST));
        assert_eq!(judged("GET", &[("host", "evil.example")]), Some(StatusCode::FORBIDDEN));
        assert_eq!(judged("GET", &[("host", "track.example"), ("x-forwarded-host", "evil.example")]), None);
    }

    #[test]
    fn the_only_workspace_is_the_default_one() {
        let named = |name: &str| judged("GET", &[("host", "localhost"), ("x-mlflow-workspace", name)]);
        assert_eq!(named("default"), None);
        for other in ["team-a", "Default", "", "default,team-a"] {
            assert_eq!(named(other), Some(StatusCode::NOT_FOUND), "{other}");
        }
        let two = [("host", "localhost"), ("x-mlflow-workspace", "default"), ("x-mlflow-workspace", "team-a")];
        assert_eq!(judged("GET", &two), Some(StatusCode::NOT_FOUND));
    }

    #[test]
    fn heads_and_codings_are_bounded() {
        let many: Vec<(&str, &str)> = std::iter::once(("host", "localhost")).chain((0..100).map(|_| ("x", ""))).collect();
        assert_eq!(judged("GET", &many[1..]), Some(StatusCode::BAD_REQUEST));
        assert_eq!(judged("GET", &many), Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
        let long = "x".repeat(HEAD_BYTES);
        assert_eq!(judged("GET", &[("host", "localhost"), ("x", &long)]), Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
        assert_eq!(judged("POST", &[("host", "localhost"), ("content-encoding", "gzip")]), Some(StatusCode::BAD_REQUEST));
    }
}
