//! What a version that holds a gated target protects: itself, its run, its experiment, its model.

use super::{Error, Result};
use crate::store::{Tx, protection as rows};

/// Refuses to touch an experiment while a run in it made a version that holds a gated target.
pub(super) async fn experiment(tx: &Tx, id: i64) -> Result<()> {
    refuse(rows::of_experiment(tx, id).await?)
}

/// Refuses to touch a run while it made a version that holds a gated target.
pub(super) async fn run(tx: &Tx, run: i64) -> Result<()> {
    refuse(rows::of_run(tx, run).await?)
}

/// Refuses to touch a logged model while a version made of it holds a gated target.
pub(super) async fn logged_model(tx: &Tx, model: i64) -> Result<()> {
    refuse(rows::of_logged_model(tx, model).await?)
}

/// Refuses to touch a model while a version of it holds a gated target.
pub(super) async fn model(tx: &Tx, uid: &str) -> Result<()> {
    refuse(rows::of_model(tx, uid).await?)
}

/// Refuses to touch a version while it holds a gated target.
pub(super) async fn version(tx: &Tx, uid: &str) -> Result<()> {
    refuse(rows::of_version(tx, uid).await?)
}

fn refuse(holder: Option<rows::Holder>) -> Result<()> {
    match holder {
        None => Ok(()),
        Some(holder) => Err(Error::precondition(
            "HOLDS_GATED_TARGET",
            format!("version {} of {:?} holds {}, which a gate protects; move it out first", holder.version, holder.model, holder.target),
        )),
    }
}
