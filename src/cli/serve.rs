//! `stagegate serve`.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use super::{Failure, setup};
use crate::access::Access;
use crate::config::{DataOptions, ServeOptions};
use crate::service;
use crate::store::Store;
use crate::wire::server::{self, Server};

/// A PostgreSQL sequencer that finds nothing looks again after this.
const LEDGER_IDLE: Duration = Duration::from_millis(20);
/// Checkpoints are signed this often while rows come.
const CHECKPOINT: Duration = Duration::from_millis(500);

/// Runs the server until it is told to stop.
pub async fn serve(data: &DataOptions, options: &ServeOptions) -> Result<(), Failure> {
    log();
    options.check()?;
    let store = setup::store(data).await?.with_blobs(setup::blobs(data).await?);
    let access = setup::access(data, &store).await?;
    service::ensure_default_experiment(&store).await?;
    let admin = service::ensure_admin(&access, std::env::var("STAGEGATE_ADMIN_PASSWORD").ok()).await?;
    let tls = match (&options.tls_cert, &options.tls_key) {
        (Some(certificates), Some(key)) => Some(server::tls(certificates, key)?),
        _ => None,
    };
    let scheme = if tls.is_some() { "https" } else { "http" };
    let server = Server::bind(options.address(), tls, &access).await?;
    println!("Stagegate {} listens on {scheme}://{}", env!("CARGO_PKG_VERSION"), server.local_addr()?);
    if let Some(password) = admin {
        println!("The user `admin` was made. Its password is shown this once: {password}");
    }
    let (stop, stopped) = watch::channel(false);
    let tending = tokio::spawn(access.clone().tend());
    let ledger = tokio::spawn(tend_ledger(access.clone(), store.clone(), stopped.clone()));
    let running = tokio::spawn(server.run(stopped));
    wait_for_signal().await?;
    tracing::info!("stopping");
    stop.send_replace(true);
    running.await?;
    ledger.await?;
    tending.abort();
    access.flush().await;
    Ok(())
}

/// Gives positions and signs checkpoints until the server stops, and once more then.
async fn tend_ledger(access: Arc<Access>, store: Store, mut stopped: watch::Receiver<bool>) {
    let mut checkpointed = tokio::time::Instant::now();
    loop {
        let stop = *stopped.borrow();
        let due = stop || checkpointed.elapsed() >= CHECKPOINT;
        match store.tend_ledger(&access.keys().ledger, due).await {
            Ok(true) if !stop => {}
            Ok(_) if stop => return,
            Ok(_) => idle(&mut stopped).await,
            Err(error) => {
                tracing::warn!(%error, "the ledger could not be tended");
                if stop {
                    return;
                }
                idle(&mut stopped).await;
            }
        }
        if due {
            checkpointed = tokio::time::Instant::now();
        }
    }
}

async fn idle(stopped: &mut watch::Receiver<bool>) {
    // Either way the loop goes on; which of the two it was does not matter.
    let _ = tokio::time::timeout(LEDGER_IDLE, stopped.changed()).await;
}

async fn wait_for_signal() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Logs to standard error: text on a terminal, JSON elsewhere.
fn log() {
    let filter = EnvFilter::try_from_env("STAGEGATE_LOG").unwrap_or_else(|_| EnvFilter::new("info,sqlx=warn,sea_orm_migration=warn"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        builder.init();
    } else {
        builder.json().init();
    }
}
