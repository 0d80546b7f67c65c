//! `stagegate serve`.

use std::io::IsTerminal;

use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::{Failure, Instance};
use crate::config::{DataOptions, ServeOptions};

/// Runs the server until it is told to stop.
pub async fn serve(data: &DataOptions, options: &ServeOptions) -> Result<(), Failure> {
    log();
    let instance = Instance::start(data, options, std::env::var("STAGEGATE_ADMIN_PASSWORD").ok()).await?;
    println!("Stagegate {} listens on {}", env!("CARGO_PKG_VERSION"), instance.url());
    if let Some(password) = instance.generated_password() {
        println!("The user `admin` was made. Its password is shown this once: {password}");
    }
    wait_for_signal().await?;
    tracing::info!("stopping");
    instance.stop().await
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
