//! `stagegate serve`.

use std::io::IsTerminal;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use super::{Failure, setup};
use crate::config::{DataOptions, ServeOptions};
use crate::service;
use crate::wire::server::{self, Server};

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
    let (last_row, no_more_rows) = watch::channel(false);
    let ledger = tokio::spawn(service::tend_ledger(access.clone(), no_more_rows));
    let running = tokio::spawn(server.run(stopped));
    wait_for_signal().await?;
    tracing::info!("stopping");
    // Those who watch end now, with their cursor; running calls may still write rows.
    store.ledger_feed().end();
    stop.send_replace(true);
    running.await?;
    tending.abort();
    access.flush().await;
    last_row.send_replace(true);
    ledger.await?;
    Ok(())
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
