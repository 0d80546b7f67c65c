//! `stagegate serve`.

use std::io::IsTerminal;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Failure, Instance};
use crate::config::{ConfigError, DataOptions, ServeOptions};

/// Runs the server until it is told to stop.
pub async fn serve(data: &DataOptions, options: &ServeOptions) -> Result<(), Failure> {
    log(options)?;
    let admin_password = options.admin_password()?.map(|password| password.to_string());
    // Before anything is answered: who was answered may stop the server at once.
    let mut stop = StopSignals::listen()?;
    let lock = tokio::select! {
        lock = Instance::lock(data) => lock?,
        () = stop.wait() => return Ok(()),
    };
    // A start that is stopped half-way would leave the database open, and it is short.
    let instance = Instance::start_locked(lock, data, options, admin_password).await?;
    println!("Stagegate {} listens on {}", env!("CARGO_PKG_VERSION"), instance.url());
    if let Some(password) = instance.generated_password() {
        println!("The user `admin` was made. Its password is shown this once: {password}");
    }
    stop.wait().await;
    tracing::info!("stopping");
    instance.stop().await
}

/// The signals that ask for a clean stop.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// From now on they no longer end the process by themselves.
    fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for one of them; one that came before counts.
    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Logs to standard error: text on a terminal, JSON elsewhere.
fn log(options: &ServeOptions) -> Result<(), ConfigError> {
    // A log that cannot be written, on a full disk, is lost; told on standard error as well, that would end the call.
    let builder = tracing_subscriber::fmt().with_env_filter(options.log_filter()?).log_internal_errors(false).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        builder.init();
    } else {
        builder.json().init();
    }
    Ok(())
}
