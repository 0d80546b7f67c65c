//! Connections: one port, HTTP/1.1 and HTTP/2, with or without TLS, every limit set explicitly.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tower::ServiceExt;

use super::grpc::know_sender;
use super::guard::guard;
use super::health::Health;
use super::hosts::Hosts;
use super::plain;
use super::proxies::Proxies;
use super::request_body::RequestBody;
use super::rest;
use super::socket::{HEAD_TIME, Socket};
use super::surface::Surface;
use super::tiles;
use crate::access::Access;
use crate::contract::{DESCRIPTOR_SET, add_services};

/// Connections at a time; more of them wait to be accepted.
const CONNECTIONS: usize = 10_000;
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
/// How long running calls may take to end when the server stops.
const STOP_TIME: Duration = Duration::from_secs(10);

/// The far end of a connection, and whose word counts for who is behind it.
#[derive(Clone)]
struct Peer {
    address: IpAddr,
    proxies: Arc<Proxies>,
}

/// A bound port that waits to serve.
pub struct Server {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    proxies: Arc<Proxies>,
    routes: Router,
    health: Health,
}

impl Server {
    /// Binds the address. Errors name it.
    pub async fn bind(
        listen: SocketAddr,
        tls: Option<TlsAcceptor>,
        hosts: Hosts,
        proxies: Proxies,
        access: &Arc<Access>,
    ) -> io::Result<Self> {
        let listener =
            TcpListener::bind(listen).await.map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {listen}: {error}")))?;
        let (routes, health) = routes(access).await.map_err(io::Error::other)?;
        let routes = routes.layer(from_fn_with_state(Arc::new(hosts), guard));
        Ok(Self { listener, tls, proxies: Arc::new(proxies), routes, health })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` changes, then lets running calls end; those that take too long are cut off.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let permits = Arc::new(Semaphore::new(CONNECTIONS));
        let graceful = GracefulShutdown::new();
        let cut = CancellationToken::new();
        let health = tokio::spawn(self.health.tend(stop.clone()));
        loop {
            let accepted = tokio::select! {
                _ = stop.changed() => break,
                accepted = accept(&self.listener, &permits) => accepted,
            };
            let (stream, peer, permit) = accepted;
            let routes = self.routes.clone();
            let tls = self.tls.clone();
            let peer = Peer { address: peer, proxies: self.proxies.clone() };
            let watcher = graceful.watcher();
            let served = async move {
                let _permit = permit;
                match tls {
                    None => serve(stream, peer, "http", routes, watcher).await,
                    Some(tls) => {
                        if let Ok(Ok(stream)) = tokio::time::timeout(HEAD_TIME, tls.accept(stream)).await {
                            serve(stream, peer, "https", routes, watcher).await;
                        }
                    }
                }
            };
            tokio::spawn(cut.clone().run_until_cancelled_owned(served));
        }
        drop(self.listener);
        // It ends by itself, once it has told those who watch.
        let _ = health.await;
        if tokio::time::timeout(STOP_TIME, graceful.shutdown()).await.is_err() {
            tracing::warn!("calls that had not ended after {} seconds were cut off", STOP_TIME.as_secs());
        }
        cut.cancel();
    }
}

/// The next connection. A failure to accept, such as too many open files, is waited out.
async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> (tokio::net::TcpStream, IpAddr, Option<tokio::sync::OwnedSemaphorePermit>) {
    let permit = permits.clone().acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                // Small answers must not wait for more to send.
                let _ = stream.set_nodelay(true);
                return (stream, address.ip(), permit);
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn serve<S>(stream: S, peer: Peer, scheme: &'static str, routes: Router, watcher: hyper_util::server::graceful::Watcher)
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
        .initial_stream_window_size(1024 * 1024)
        .initial_connection_window_size(4 * 1024 * 1024);
    let service = routes.map_request(move |mut request: http::Request<hyper::body::Incoming>| {
        let client = peer.proxies.client(peer.address, request.headers());
        request.extensions_mut().insert(client);
        note_origin(&mut request, scheme);
        let (parts, body) = request.into_parts();
        let body = axum::body::Body::new(RequestBody::new(&parts, body));
        http::Request::from_parts(parts, body)
    });
    let connection = builder.serve_connection(TokioIo::new(Socket::new(stream)), TowerToHyperService::new(service));
    if let Err(error) = watcher.watch(connection.into_owned()).await {
        tracing::debug!(%error, "a connection ended with an error");
    }
}

/// Notes how the client reached the server, in the headers in which a proxy in front would have noted it.
fn note_origin(request: &mut http::Request<hyper::body::Incoming>, scheme: &'static str) {
    let authority = request.uri().authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    let headers = request.headers_mut();
    if let Some(authority) = authority {
        headers.entry(header::HOST).or_insert(authority);
    }
    headers.entry("x-forwarded-proto").or_insert(HeaderValue::from_static(scheme));
}

async fn routes(access: &Arc<Access>) -> Result<(Router, Health), tonic_reflection::server::Error> {
    let reflection = tonic_reflection::server::Builder::configure().register_encoded_file_descriptor_set(DESCRIPTOR_SET).build_v1()?;
    let (health, health_service) = Health::serving(access.clone()).await;
    let surface = Surface::new(access.clone());
    let grpc = add_services(Routes::default(), surface.clone()).add_service(reflection).add_service(health_service);
    let plain = Router::new()
        .route("/health", get(plain::health))
        .route("/version", get(plain::version))
        .route("/ledger/checkpoint", get(tiles::checkpoint))
        .route("/ledger/tile/{*path}", get(tiles::tile))
        .route("/.well-known/jwks.json", get(plain::jwks));
    let grpc = grpc.into_axum_router().reset_fallback().route_layer(from_fn_with_state(surface.clone(), know_sender));
    let routes: Router<Arc<Access>> = grpc.with_state(());
    let routes = routes.merge(plain).merge(rest::router(&surface).with_state(()));
    let routes = routes.fallback(plain::unknown_path).method_not_allowed_fallback(plain::unknown_method);
    Ok((routes.with_state(access.clone()), health))
}

/// TLS from a certificate chain and a key, both PEM files. Errors name the file.
pub fn tls(certificates: &Path, key: &Path) -> io::Result<TlsAcceptor> {
    use tokio_rustls::rustls::pki_types::pem::PemObject;
    use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let bad = |path: &Path, error: String| io::Error::other(format!("{}: {error}", path.display()));
    let chain = CertificateDer::pem_file_iter(certificates)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| bad(certificates, error.to_string()))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| bad(key, error.to_string()))?;
    let mut config = tokio_rustls::rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| bad(certificates, error.to_string()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
