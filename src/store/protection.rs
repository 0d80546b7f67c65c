//! Which versions hold targets that a gate protects.

use sea_orm::{ConnectionTrait, Value};

use super::{StoreError, is_sqlite, sql};
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

/// Stages that a version is in and aliases that point at it, where a gate in force protects them.
async fn holder<C: ConnectionTrait>(on: &C, condition: &str, value: impl Into<Value>) -> Found {
    let covers = if is_sqlite(on) { "m.name GLOB g.model_pattern" } else { "m.name LIKE g.model_like ESCAPE '\\'" };
    let query = format!(
        "SELECT m.name, v.version, g.target FROM model_versions v JOIN registered_models m ON m.uid = v.model_uid \
         JOIN gates g ON g.active AND {covers} \
         WHERE v.deleted IS NULL AND m.deleted IS NULL AND {condition} AND (v.current_stage = g.target OR EXISTS \
         (SELECT 1 FROM model_aliases a WHERE a.version_uid = v.uid AND a.target = g.target)) LIMIT 1"
    );
    let row = sql::first(on, &query, bind![value.into()]).await?;
    row.map(|row| Ok(Holder { model: row.get(0)?, version: row.get(1)?, target: row.get(2)? })).transpose()
}

/// Among the versions made by runs of an experiment, or of its logged models.
pub async fn of_experiment<C: ConnectionTrait>(on: &C, experiment: i64) -> Found {
    let made_there = "(v.run IN (SELECT r.id FROM runs r WHERE r.experiment = $1) \
                      OR v.logged_model IN (SELECT g.id FROM logged_models g WHERE g.experiment = $1))";
    holder(on, made_there, experiment).await
}

/// Among the versions made by a run, by its internal id.
pub async fn of_run<C: ConnectionTrait>(on: &C, run: i64) -> Found {
    holder(on, "v.run = $1", run).await
}

/// Among the versions made of a logged model, by its internal id.
pub async fn of_logged_model<C: ConnectionTrait>(on: &C, model: i64) -> Found {
    holder(on, "v.logged_model = $1", model).await
}

/// Among the versions of a model.
pub async fn of_model<C: ConnectionTrait>(on: &C, model_uid: &str) -> Found {
    holder(on, "v.model_uid = $1", model_uid).await
}

/// A version itself.
pub async fn of_version<C: ConnectionTrait>(on: &C, version_uid: &str) -> Found {
    holder(on, "v.uid = $1", version_uid).await
}
