//! Names of the objects that grants bind by id.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, Value};

use super::{StoreError, sql};
use crate::domain::access::Scope;

type Result<T> = std::result::Result<T, StoreError>;

/// Ids in one statement.
const STEP: usize = 500;

/// The name of the object that a scope binds; none when it binds none, or when the object is gone for good.
pub async fn bound<C: ConnectionTrait>(on: &C, scope: &Scope) -> Result<Option<String>> {
    let query = match scope {
        Scope::Experiment(_) => "SELECT name FROM experiments WHERE CAST(id AS TEXT) = $1",
        Scope::Model(_) => "SELECT name FROM registered_models WHERE uid = $1",
        Scope::Server | Scope::Experiments(_) | Scope::Models(_) => return Ok(None),
    };
    let (Scope::Experiment(uid) | Scope::Model(uid)) = scope else { return Ok(None) };
    sql::first(on, query, crate::bind![uid.as_str()]).await?.map(|row| row.get(0)).transpose()
}

/// The names of registered models by id, those of deleted ones included.
pub async fn models<C: ConnectionTrait>(on: &C, uids: &[&str]) -> Result<HashMap<String, String>> {
    let mut names = HashMap::with_capacity(uids.len());
    for chunk in uids.chunks(STEP) {
        let query = format!("SELECT uid, name FROM registered_models WHERE uid IN {}", sql::rows_of(1, 1, chunk.len()));
        for row in sql::all(on, &query, chunk.iter().map(|uid| Value::from(*uid))).await? {
            names.insert(row.get(0)?, row.get(1)?);
        }
    }
    Ok(names)
}
