//! Objects as scopes see them: class, id, name and who created them.

use sea_orm::{ConnectionTrait, Value};

use super::{StoreError, WORKSPACE, sql};
use crate::bind;
use crate::domain::access::{Object, ObjectClass};

type Found = Result<Option<Object>, StoreError>;

/// Reads an object from a query that answers with id, name, owner and target.
async fn object<C: ConnectionTrait>(on: &C, class: ObjectClass, query: &str, values: impl IntoIterator<Item = Value>) -> Found {
    let row = sql::first(on, query, values).await?;
    row.map(|row| Ok(Object { class, uid: row.get(0)?, name: row.get(1)?, owner: row.get(2)?, target: row.get(3)? })).transpose()
}

/// An experiment by id.
pub async fn experiment<C: ConnectionTrait>(on: &C, id: i64) -> Found {
    let query = "SELECT CAST(id AS TEXT), name, created_by, CAST(NULL AS TEXT) FROM experiments WHERE id = $1";
    object(on, ObjectClass::Experiment, query, bind![id]).await
}

/// An experiment by its canonical name.
pub async fn experiment_by_name<C: ConnectionTrait>(on: &C, canonical_name: &str) -> Found {
    let query =
        "SELECT CAST(id AS TEXT), name, created_by, CAST(NULL AS TEXT) FROM experiments WHERE workspace_id = $1 AND canonical_name = $2";
    object(on, ObjectClass::Experiment, query, bind![WORKSPACE, canonical_name]).await
}

/// The experiment of a run; the owner is the run's.
pub async fn run<C: ConnectionTrait>(on: &C, run_id: &str) -> Found {
    let query = "SELECT CAST(e.id AS TEXT), e.name, r.created_by, CAST(NULL AS TEXT) FROM runs r JOIN experiments e ON e.id = r.experiment WHERE r.run_id = $1";
    object(on, ObjectClass::Experiment, query, bind![run_id]).await
}

/// The experiment of a logged model; the owner is the logged model's.
pub async fn logged_model<C: ConnectionTrait>(on: &C, model_id: &str) -> Found {
    let query = "SELECT CAST(e.id AS TEXT), e.name, g.created_by, CAST(NULL AS TEXT) FROM logged_models g JOIN experiments e ON e.id = g.experiment WHERE g.model_id = $1";
    object(on, ObjectClass::Experiment, query, bind![model_id]).await
}

/// A live registered model by its canonical name.
pub async fn model<C: ConnectionTrait>(on: &C, canonical_name: &str) -> Found {
    let query = "SELECT uid, name, created_by, CAST(NULL AS TEXT) FROM registered_models WHERE workspace_id = $1 AND canonical_name = $2 AND deleted IS NULL";
    object(on, ObjectClass::Model, query, bind![WORKSPACE, canonical_name]).await
}

/// The model of a version, whose owner is the version's. A version that does not exist has no owner.
pub async fn version<C: ConnectionTrait>(on: &C, canonical_name: &str, number: &str) -> Found {
    let number = crate::domain::ids::version_number("", number).unwrap_or_default();
    let query = "SELECT m.uid, m.name, v.created_by, CAST(NULL AS TEXT) FROM registered_models m \
                 LEFT JOIN model_versions v ON v.model_uid = m.uid AND v.version = $3 \
                 WHERE m.workspace_id = $1 AND m.canonical_name = $2 AND m.deleted IS NULL";
    object(on, ObjectClass::Model, query, bind![WORKSPACE, canonical_name, i64::from(number)]).await
}

/// The model of a version, whose owner is the version's.
pub async fn version_by_uid<C: ConnectionTrait>(on: &C, uid: &str) -> Found {
    let query = "SELECT m.uid, m.name, v.created_by, CAST(NULL AS TEXT) FROM model_versions v \
                 JOIN registered_models m ON m.uid = v.model_uid WHERE v.uid = $1 AND v.deleted IS NULL";
    object(on, ObjectClass::Model, query, bind![uid]).await
}

/// The model and target of a promotion request.
pub async fn request<C: ConnectionTrait>(on: &C, uid: &str) -> Found {
    let query = "SELECT m.uid, m.name, CAST(NULL AS TEXT), r.target FROM transition_requests r JOIN registered_models m ON m.uid = r.model_uid WHERE r.uid = $1";
    object(on, ObjectClass::Model, query, bind![uid]).await
}

/// The model of a comment; the owner is the comment's.
pub async fn comment<C: ConnectionTrait>(on: &C, uid: &str) -> Found {
    let query = "SELECT m.uid, m.name, c.user_uid, CAST(NULL AS TEXT) FROM comments c JOIN registered_models m ON m.uid = c.model_uid WHERE c.uid = $1 AND c.deleted IS NULL";
    object(on, ObjectClass::Model, query, bind![uid]).await
}

/// The user of a token.
pub async fn token<C: ConnectionTrait>(on: &C, token_id: &str) -> Found {
    let query = "SELECT token_id, CAST(NULL AS TEXT), user_uid, CAST(NULL AS TEXT) FROM tokens WHERE token_id = $1";
    object(on, ObjectClass::User, query, bind![token_id]).await
}
