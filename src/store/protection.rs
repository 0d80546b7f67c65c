//! Which versions hold targets that a gate protects.

use sea_orm::Value;

use super::{StoreError, Tx, gates, is_sqlite, sql};
use crate::bind;

/// A version that holds a gated target.
#[derive(Debug, Clone)]
pub struct Holder {
    /// The registered model's name.
    pub model: String,
    /// The number.
    pub version: i64,
    /// The target as written.
    pub target: String,
}

type Found = Result<Option<Holder>, StoreError>;

/// The first of some versions that is in a stage, or has an alias, that a gate in force protects. On
/// PostgreSQL their models are locked first: what moves at the same time is waited for.
async fn holder(tx: &Tx, condition: &str, value: impl Into<Value>) -> Found {
    let value: Value = value.into();
    if !is_sqlite(&**tx) {
        let lock = format!(
            "SELECT m.uid FROM registered_models m WHERE m.uid IN (SELECT v.model_uid FROM model_versions v WHERE {condition}) \
             ORDER BY m.uid FOR UPDATE"
        );
        sql::all(&**tx, &lock, bind![value.clone()]).await?;
    }
    // First what is held, which is little, then the gates: most that is touched holds nothing.
    let query = format!(
        "SELECT m.name, v.version, h.target, m.uid FROM model_versions v JOIN targets_held h ON h.version_uid = v.uid \
         JOIN registered_models m ON m.uid = v.model_uid WHERE v.deleted IS NULL AND m.deleted IS NULL AND {condition} \
         ORDER BY m.name, v.version, h.target"
    );
    for row in sql::all(&**tx, &query, bind![value]).await? {
        let found = Holder { model: row.get(0)?, version: row.get(1)?, target: row.get(2)? };
        if gates::in_force(&**tx, &row.get::<String>(3)?, &found.target).await?.is_some() {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Among the versions made by runs of an experiment, or of its logged models.
pub async fn of_experiment(tx: &Tx, experiment: i64) -> Found {
    let made_there = "(v.run IN (SELECT r.id FROM runs r WHERE r.experiment = $1) \
                      OR v.logged_model IN (SELECT g.id FROM logged_models g WHERE g.experiment = $1))";
    holder(tx, made_there, experiment).await
}

/// Among the versions made by a run, by its internal id.
pub async fn of_run(tx: &Tx, run: i64) -> Found {
    holder(tx, "v.run = $1", run).await
}

/// Among the versions made of a logged model, by its internal id.
pub async fn of_logged_model(tx: &Tx, model: i64) -> Found {
    holder(tx, "v.logged_model = $1", model).await
}

/// Among the versions of a model.
pub async fn of_model(tx: &Tx, model_uid: &str) -> Found {
    holder(tx, "v.model_uid = $1", model_uid).await
}

/// A version itself.
pub async fn of_version(tx: &Tx, version_uid: &str) -> Found {
    holder(tx, "v.uid = $1", version_uid).await
}
