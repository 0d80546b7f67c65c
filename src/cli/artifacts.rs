//! `stagegate artifacts`: the artifact store as a whole.

use clap::Subcommand;

use super::{Failure, setup};
use crate::config::DataOptions;
use crate::service;

/// What can be done with the artifact store.
#[derive(Debug, Subcommand)]
pub enum ArtifactsCommand {
    /// Declare that the artifact store of --artifacts-url is this database's, after the files were moved there without the
    /// marker that names their database, or were lost. Servers with another store do not start.
    #[command(after_help = "Example:\n  stagegate artifacts adopt --artifacts-url file:///mnt/artifacts")]
    Adopt,
}

/// Runs a command about the artifact store.
pub async fn run(data: &DataOptions, command: ArtifactsCommand) -> Result<(), Failure> {
    let ArtifactsCommand::Adopt = command;
    let store = setup::existing(data).await?.with_blobs(setup::blobs(data).await?);
    let adopted = service::adopt_artifact_store(&store).await;
    store.close(false).await;
    match adopted? {
        None => println!("The artifact store is this database's."),
        Some(before) => println!("The artifact store is this database's. Before, its marker named the database {before}."),
    }
    Ok(())
}
