//! What a version that holds a gated target protects: itself, its run, its model.

use super::{Error, Result};
use crate::store::{Tx, protection as rows};

/// Refuses to touch an experiment while a run in it made a version that holds a gated target.
pub(super) async fn experiment(tx: &Tx, id: i64) -> Result<()> {
    refuse(rows::of_experiment(&**tx, id).await?)
}

/// Refuses to touch a run that made a version that holds a gated target.
pub(super) async fn run(tx: &Tx, id: i64) -> Result<()> {
    refuse(rows::of_run(&**tx, id).await?)
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
