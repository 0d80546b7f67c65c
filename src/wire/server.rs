//! The port: who may connect, and what is served there. HTTP/1.1 and HTTP/2, with or without TLS.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;

use super::connection::{IDLE_TIME, Peer, Shared, serve};
use super::grpc::know_sender;
use super::guard::guard;
use super::health::Health;
use super::hosts::Hosts;
use super::plain;
use super::proxies::Proxies;
use super::rest;
use super::socket::HEAD_TIME;
use super::sources::Sources;
use super::surface::Surface;
use super::tiles;
use crate::access::{Access, ClientAddress};
use crate::contract::{DESCRIPTOR_SET, add_services};

/// Connections at a time, if there are file descriptors for so many.
const CONNECTIONS: usize = 10_000;
/// Connections of one source, where nothing else is set.
const CONNECTIONS_PER_SOURCE: usize = 1_000;
/// File descriptors that are kept for the database, the log and the files that calls read and write. Calls need more of
/// them the more connections there are, so a quarter of the rest is theirs as well.
const OTHER_DESCRIPTORS: u64 = 128;
/// How long running calls may take to end when the server stops.
const STOP_TIME: Duration = Duration::from_secs(10);

/// How many connections there may be.
#[derive(Debug, Clone, Copy)]
pub struct Connections {
    /// In all; more of them wait to be accepted.
    pub all: usize,
    /// From one source; more of them are closed.
    pub per_source: usize,
}

impl Connections {
    /// With so many file descriptors, and what is set for a source, if anything is.
    pub fn within(descriptors: u64, per_source: Option<u32>) -> Self {
        let room = descriptors.saturating_sub(OTHER_DESCRIPTORS) / 4 * 3;
        let all = usize::try_from(room).unwrap_or(CONNECTIONS).clamp(16, CONNECTIONS);
        Self { all, per_source: per_source.map_or(CONNECTIONS_PER_SOURCE, |most| most as usize) }
    }
}

/// A bound port that waits to serve.
pub struct Server {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    proxies: Arc<Proxies>,
    permits: Arc<Semaphore>,
    sources: Arc<Sources>,
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
        connections: Connections,
        access: &Arc<Access>,
    ) -> io::Result<Self> {
        let listener =
            TcpListener::bind(listen).await.map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {listen}: {error}")))?;
        let (routes, health) = routes(access).await.map_err(io::Error::other)?;
        let routes = routes.layer(from_fn_with_state(Arc::new(hosts), guard));
        let permits = Arc::new(Semaphore::new(connections.all));
        Ok(Self { listener, tls, permits, sources: Sources::new(connections.per_source), proxies: Arc::new(proxies), routes, health })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` changes, then lets running calls end; those that take too long are cut off.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let shared = Shared { routes: self.routes, scheme, idle: IDLE_TIME, stopping: CancellationToken::new() };
        let connections = TaskTracker::new();
        let cut = CancellationToken::new();
        let health = tokio::spawn(self.health.tend(stop.clone()));
        loop {
            let accepted = tokio::select! {
                _ = stop.changed() => break,
                accepted = accept(&self.listener, &self.permits) => accepted,
            };
            let (stream, peer, permit) = accepted;
            let peer = Peer { address: peer, proxies: self.proxies.clone() };
            // A trusted proxy brings everybody.
            let place = (!peer.proxies.trust(peer.address)).then(|| self.sources.admit(ClientAddress::of(peer.address)));
            if matches!(place, Some(None)) {
                tracing::debug!(peer = %peer.address, "a connection was closed: its source has as many as it may");
                continue;
            }
            let (shared, tls) = (shared.clone(), self.tls.clone());
            let served = async move {
                let _held = (permit, place);
                match tls {
                    None => serve(stream, peer, &shared).await,
                    Some(tls) => {
                        let accepted = tokio::time::timeout(HEAD_TIME, tls.accept(stream));
                        if let Some(Ok(Ok(stream))) = shared.stopping.run_until_cancelled(accepted).await {
                            serve(stream, peer, &shared).await;
                        }
                    }
                }
            };
            connections.spawn(cut.clone().run_until_cancelled_owned(served));
        }
        drop(self.listener);
        // It ends by itself, once it has told those who watch.
        let _ = health.await;
        shared.stopping.cancel();
        connections.close();
        if tokio::time::timeout(STOP_TIME, connections.wait()).await.is_err() {
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

#[cfg(test)]
mod tests {
    use super::Connections;

    #[test]
    fn connections_leave_file_descriptors_for_the_rest() {
        let all = |descriptors| Connections::within(descriptors, None).all;
        assert_eq!([all(0), all(1_024), all(1 << 20)], [16, 672, 10_000]);
        assert_eq!(Connections::within(1_024, Some(7)).per_source, 7);
    }
}
