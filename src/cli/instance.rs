//! A running server: what `serve` runs until a signal, and examples run in their own process.

use std::net::SocketAddr;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Failure, open_files, setup};
use crate::access::Access;
use crate::config::{ConfigError, DataOptions, ServeOptions};
use crate::memory;
use crate::service::{self, Recipient, Sink, Witness};
use crate::store::{StartLock, Store};
use crate::wire::hosts::Hosts;
use crate::wire::proxies::Proxies;
use crate::wire::server::{self, Connections, Server};

/// A server that accepts calls until it is stopped.
pub struct Instance {
    address: SocketAddr,
    scheme: &'static str,
    generated_password: Option<String>,
    access: std::sync::Arc<Access>,
    stop: watch::Sender<bool>,
    no_more_rows: watch::Sender<bool>,
    running: JoinHandle<()>,
    ledger: JoinHandle<()>,
    /// What passes checkpoints on, and the word that it is to end.
    sinks: Vec<JoinHandle<()>>,
    no_more_checkpoints: CancellationToken,
    requests: JoinHandle<()>,
    uploads: JoinHandle<()>,
    sweeping: JoinHandle<()>,
    tending: JoinHandle<()>,
    /// On SQLite, that this is the one server of the file.
    _lock: StartLock,
}

impl Instance {
    /// Opens the data, makes what a first start needs, and listens. `admin_password` is for the user
    /// `admin` of a first start; none has one generated. Errors say in one line what to do.
    pub async fn start(data: &DataOptions, options: &ServeOptions, admin_password: Option<String>) -> Result<Self, Failure> {
        let lock = Self::lock(data).await?;
        Self::start_locked(lock, data, options, admin_password).await
    }

    /// Waits for its turn among those who start on the same database.
    pub async fn lock(data: &DataOptions) -> Result<StartLock, Failure> {
        setup::lock(data).await
    }

    /// The rest of a start.
    pub async fn start_locked(
        lock: StartLock,
        data: &DataOptions,
        options: &ServeOptions,
        admin_password: Option<String>,
    ) -> Result<Self, Failure> {
        let store = setup::current(data, &lock).await?;
        let started = Self::on(store.clone(), lock, data, options, admin_password).await;
        if started.is_err() {
            store.close(true).await;
        }
        started
    }

    async fn on(
        store: Store,
        lock: StartLock,
        data: &DataOptions,
        options: &ServeOptions,
        admin_password: Option<String>,
    ) -> Result<Self, Failure> {
        options.check()?;
        let own = options.base_url.iter().map(|url| url.host().to_owned());
        let listed: Vec<String> = options.allowed_hosts.iter().cloned().chain(own).collect();
        let hosts = Hosts::new(options.address().ip(), &listed).map_err(ConfigError::NoHost)?;
        let proxies = Proxies::new(&options.trusted_proxies).map_err(ConfigError::NoNetwork)?;
        let store = store.with_blobs(setup::blobs(data).await?);
        service::check_not_emptied(&store).await?;
        let access = setup::access(data, &store).await?;
        service::check_artifact_store(&store).await?;
        if let Some(url) = &options.base_url {
            // Nobody else sets it.
            let _ = access.base_url.set(url.as_str().to_owned());
        }
        access.usage.limit(options.quotas());
        access.memory.limit(options.memory_budget.map_or_else(memory::default_budget, |size| size.as_u64()));
        service::check_tail(&store, &access.keys().ledger_verifier).await?;
        service::check_seals(&store, &access.keys().ledger_verifier).await?;
        service::ensure_default_experiment(&store).await?;
        let tls = match (&options.tls_cert, &options.tls_key) {
            (Some(certificates), Some(key)) => Some(server::tls(certificates, key)?),
            _ => None,
        };
        let scheme = if tls.is_some() { "https" } else { "http" };
        let connections = Connections::within(open_files::raise(), options.max_connections_per_source);
        let server = Server::bind(options.address(), tls, hosts, proxies, connections, &access).await?;
        let address = server.local_addr()?;
        // After everything that may stop the start: the password is shown this once.
        let generated_password = service::ensure_admin(&access, admin_password).await?;
        let lock = lock.started().await?;
        let no_more_checkpoints = CancellationToken::new();
        let sinks = recipients(data, &access.store)?.into_iter().map(|recipient| {
            let signed = access.store.ledger_feed().signed();
            tokio::spawn(service::send_checkpoints(signed, recipient, no_more_checkpoints.clone()))
        });
        let sinks = sinks.collect();
        let (stop, stopped) = watch::channel(false);
        let (no_more_rows, last_row) = watch::channel(false);
        Ok(Self {
            address,
            scheme,
            generated_password,
            stop,
            no_more_rows,
            sinks,
            no_more_checkpoints,
            tending: tokio::spawn(access.clone().tend()),
            ledger: tokio::spawn(service::tend_ledger(access.clone(), last_row)),
            requests: tokio::spawn(service::expire_requests(access.clone(), stopped.clone())),
            uploads: tokio::spawn(service::mlflow::tend_uploads(access.clone())),
            sweeping: tokio::spawn(service::sweep_purged(access.clone())),
            running: tokio::spawn(server.run(stopped)),
            access,
            _lock: lock,
        })
    }

    /// The URL of the server.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// The password of the user `admin`, when it was generated by this start.
    pub fn generated_password(&self) -> Option<&str> {
        self.generated_password.as_deref()
    }

    /// Answers what was accepted, ends streams with a cursor, writes what was only counted, and closes the database: on
    /// SQLite its file holds everything then.
    pub async fn stop(self) -> Result<(), Failure> {
        // Those who watch end now, with their cursor; running calls may still write rows.
        self.access.store.ledger_feed().end();
        self.stop.send_replace(true);
        self.running.await?;
        self.requests.await?;
        for task in [self.tending, self.uploads, self.sweeping] {
            task.abort();
            // It ends by this, and holds no connection any more.
            let _ = task.await;
        }
        self.access.flush().await;
        self.no_more_rows.send_replace(true);
        self.ledger.await?;
        self.no_more_checkpoints.cancel();
        for sink in self.sinks {
            sink.await?;
        }
        self.access.store.close(true).await;
        Ok(())
    }
}

/// Who gets each new checkpoint.
fn recipients(data: &DataOptions, store: &Store) -> Result<Vec<Box<dyn Recipient>>, ConfigError> {
    let mut all: Vec<Box<dyn Recipient>> = Vec::new();
    for url in data.sink_urls()? {
        all.push(Box::new(Sink(url)));
    }
    for (cosigner, url) in data.witnesses()? {
        if let Some(url) = url {
            all.push(Box::new(Witness::new(store.clone(), cosigner, url)));
        }
    }
    Ok(all)
}
