//! One connection: HTTP/1.1 or HTTP/2, every limit set explicitly, and its end once nobody uses it.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderValue, header};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::open_calls::{Answer, OpenCalls};
use super::proxies::Proxies;
use super::request_body::RequestBody;
use super::socket::{HEAD_TIME, STUCK_TIME, Socket};
use crate::memory::Held;

/// A connection on which no call is open for this long is closed.
pub(super) const IDLE_TIME: Duration = Duration::from_secs(60);
/// How long a client that was told that its connection ends may take to end it.
const FAREWELL_TIME: Duration = Duration::from_secs(5);
/// HTTP/2 streams of one connection.
const STREAMS: u32 = 200;
/// A request's head, in bytes.
const HEAD_BYTES: u32 = 16 * 1024;
/// Headers of one HTTP/1 request.
const HEADERS: usize = 100;
/// What is kept of an HTTP/1 connection's bytes: a target of 64 KiB, the longest that `http` takes, and headers.
const BUFFER: usize = 128 * 1024;
/// HTTP/2 pings after this silence, and how long their answer may take.
const PING: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(20));
/// Streams that the client has reset and that wait to be forgotten.
const PENDING_RESETS: usize = 20;
/// Streams that the server resets for the client's errors, in all of a connection's life. `Socket` counts by the minute.
const ERROR_RESETS: usize = 400;

/// What a client may send on an HTTP/2 stream, and on the whole connection, before the server has taken it. Nobody
/// counts these bytes, so they are few; enough for 10 MB/s at 100 ms.
const STREAM_WINDOW: u32 = 512 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// The far end of a connection, and whose word counts for who is behind it.
#[derive(Clone)]
pub(super) struct Peer {
    pub(super) address: IpAddr,
    pub(super) proxies: Arc<Proxies>,
}

/// What all connections share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) routes: Router,
    pub(super) scheme: &'static str,
    /// How long a connection may be without a call.
    pub(super) idle: Duration,
    /// The server stops.
    pub(super) stopping: CancellationToken,
}

/// Serves a connection until it ends, is idle for too long, or the server stops.
pub(super) async fn serve<S>(stream: S, peer: Peer, shared: &Shared)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_headers(HEADERS).max_buf_size(BUFFER);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD_BYTES)
        .keep_alive_interval(PING.0)
        .keep_alive_timeout(PING.1)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(ERROR_RESETS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    let (calls, routes, scheme) = (OpenCalls::none(), shared.routes.clone(), shared.scheme);
    let begun = calls.clone();
    let service = service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
        let open = begun.begin();
        let client = peer.proxies.client(peer.address, request.headers());
        request.extensions_mut().insert(client);
        note_origin(&mut request, scheme, peer.proxies.trust(peer.address));
        let (parts, body) = request.into_parts();
        let body = axum::body::Body::new(RequestBody::new(&parts, body));
        let answer = routes.clone().oneshot(http::Request::from_parts(parts, body));
        async move {
            let mut answer = answer.await?;
            let held = answer.extensions_mut().remove::<Arc<Held>>();
            Ok::<_, Infallible>(answer.map(|body| Answer::new(body, open, held)))
        }
    });
    let mut connection = pin!(builder.serve_connection(TokioIo::new(Socket::new(stream)), service));
    let over = async {
        tokio::select! {
            () = shared.stopping.cancelled() => true,
            () = calls.none_for(shared.idle) => false,
        }
    };
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = calls.stuck_for(STUCK_TIME) => {
            tracing::debug!("a connection was closed: its client does not take an answer");
            Ok(())
        }
        stopping = over => {
            connection.as_mut().graceful_shutdown();
            if stopping {
                connection.await
            } else {
                // Nobody waits for an answer here. Who asks for something just now gets it, or is told to ask again.
                tokio::select! {
                    ended = connection => ended,
                    () = calls.none_for(shared.idle.min(FAREWELL_TIME)) => Ok(()),
                }
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended with an error");
    }
}

/// The headers in which a proxy notes how its client called it.
const FORWARDED: [&str; 3] = ["x-forwarded-proto", "x-forwarded-host", "x-forwarded-prefix"];

/// Notes how the client reached the server, in the headers in which a trusted proxy in front would have noted it. What
/// anybody else wrote there is not kept.
fn note_origin(request: &mut http::Request<hyper::body::Incoming>, scheme: &'static str, trusted: bool) {
    if !trusted {
        FORWARDED.iter().for_each(|name| drop(request.headers_mut().remove(*name)));
    }
    let authority = request.uri().authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    let headers = request.headers_mut();
    if let Some(authority) = authority {
        headers.entry(header::HOST).or_insert(authority);
    }
    headers.entry("x-forwarded-proto").or_insert(HeaderValue::from_static(scheme));
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
