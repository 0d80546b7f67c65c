//! `stagegate import`: moving in from another server.

use std::io::Write;
use std::process::ExitCode;

use clap::Subcommand;

use super::{Failure, setup};
use crate::config::{DataOptions, Secret};
use crate::import::{self, Address, ArtifactPlace, Options, Progress};

/// Where from.
#[derive(Debug, Subcommand)]
pub enum ImportCommand {
    /// Bring experiments, runs with whole metric histories, registered models, versions, stages, aliases and tags
    /// from an MLflow server or its database, also while this server runs. Run again, it brings what is new.
    ///
    /// Exit status: 0 everything is here, 1 something was left out or is missing, 2 it could not go on,
    /// 3 everything is here, some of it under another name.
    #[command(after_help = "Examples:\n  stagegate import mlflow --from sqlite:///mlflow.db --artifacts ./mlruns\n  \
        stagegate import mlflow --from postgresql://reader@db/mlflow --data-dir /var/lib/stagegate\n  \
        MLFLOW_TRACKING_TOKEN=… stagegate import mlflow --from http://old:5000 --artifacts http://old:5000")]
    Mlflow {
        /// `sqlite:///FILE`, `postgresql://USER:PASSWORD@HOST/DATABASE` or `http://HOST:PORT`. A server is asked with
        /// MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.
        #[arg(long)]
        from: Secret,
        /// Bring artifacts as well: from a folder (an `mlruns` or `mlartifacts` root), or from the server at this URL.
        #[arg(long)]
        artifacts: Option<Secret>,
        /// The name under which the source is remembered; give the same when it has moved.
        /// [default: its address without credentials]
        #[arg(long)]
        source: Option<String>,
    },
}

/// Runs an import and prints its report.
pub async fn run(data: &DataOptions, command: ImportCommand) -> Result<ExitCode, Failure> {
    let ImportCommand::Mlflow { from, artifacts, source } = command;
    let artifacts = artifacts.as_ref().map(|place| ArtifactPlace::parse(place.exposed())).transpose()?;
    let options = Options { from: Address::parse(from.exposed())?, artifacts, source };
    let (mut store, lock) = setup::existing_or_new(data).await?;
    if options.artifacts.is_some() {
        store = store.with_blobs(setup::blobs(data).await?);
    }
    let access = setup::access(data, &store).await?;
    if options.artifacts.is_some() {
        crate::service::check_artifact_store(&store).await?;
    }
    drop(lock);
    let report = import::run(&access, options, &Progress::on_terminal()).await;
    access.store.close(false).await;
    let report = report?;
    // Whoever stops reading the report, as `head` does, takes nothing from the import.
    let _ = writeln!(std::io::stdout(), "{report}");
    Ok(match (report.complete(), report.has_renamed()) {
        (false, _) => ExitCode::from(1),
        (true, true) => ExitCode::from(3),
        (true, false) => ExitCode::SUCCESS,
    })
}
