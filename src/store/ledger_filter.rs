//! Which rows of the ledger a list or a watch wants, compiled to SQL.

use sea_orm::ConnectionTrait;

use super::search::Query;
use super::{Engine, StoreError, WORKSPACE, sql};
use crate::bind;
use crate::domain::ledger::Outcome;

/// What is none does not filter.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// An operation's full name, or its last part.
    pub action: Option<String>,
    /// A user's name at the time of the row.
    pub actor_name: Option<String>,
    /// `registered_model`, `run`, …
    pub object_kind: Option<String>,
    /// An immutable id.
    pub object_id: Option<String>,
    /// A name of registered models, and the ids of all that ever bore it.
    pub model: Option<(String, Vec<String>)>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Unix milliseconds, inclusive.
    pub from_time: Option<i64>,
    /// Unix milliseconds, exclusive.
    pub until_time: Option<i64>,
}

impl Filter {
    /// The filter as a condition on entries `e`, to which more can be added.
    pub fn query(&self, engine: Engine) -> Query {
        let mut query = Query::new(engine);
        if let Some(action) = &self.action {
            let full = query.bind(action.as_str());
            let last = query.bind(format!("/{action}"));
            // Compared as it is written: a pattern would give `_` a meaning.
            let before = action.chars().count();
            query.and(format!("(e.action = {full} OR substr(e.action, length(e.action) - {before}) = {last})"));
        }
        let outcome = self.outcome.map(|outcome| outcome.as_str().to_owned());
        for (column, wanted) in [
            ("e.actor_name", &self.actor_name),
            ("e.object_kind", &self.object_kind),
            ("e.object_id", &self.object_id),
            ("e.outcome", &outcome),
        ] {
            if let Some(wanted) = wanted {
                let wanted = query.bind(wanted.as_str());
                query.and(format!("{column} = {wanted}"));
            }
        }
        if let Some((name, uids)) = &self.model {
            // A refusal about a model that did not exist has no id to be found by.
            let name = query.bind(name.as_str());
            let mut ways = format!("(e.scope_id = '' AND e.object_kind = 'registered_model' AND e.object_name = {name})");
            if !uids.is_empty() {
                let uids: Vec<String> = uids.iter().map(|uid| query.bind(uid.as_str())).collect();
                ways = format!("e.scope_id IN ({}) OR {ways}", uids.join(", "));
            }
            query.and(format!("({ways})"));
        }
        if let Some(time) = self.from_time {
            let time = query.bind(time);
            query.and(format!("e.time >= {time}"));
        }
        if let Some(time) = self.until_time {
            let time = query.bind(time);
            query.and(format!("e.time < {time}"));
        }
        query
    }
}

/// The ids of all registered models that bear a name or once bore it, the deleted ones included, at most `limit`.
/// Creation and renaming write the name that the model had into their rows.
pub async fn models_ever_named<C: ConnectionTrait>(on: &C, name: &str, canonical: &str, limit: u64) -> Result<Vec<String>, StoreError> {
    let query = "SELECT uid FROM registered_models WHERE workspace_id = $1 AND canonical_name = $2 \
                 UNION SELECT scope_id FROM ledger_entries WHERE object_kind = 'registered_model' AND object_name = $3 AND scope_id <> '' \
                 LIMIT $4";
    let rows = sql::all(on, query, bind![WORKSPACE, canonical, name, limit.cast_signed()]).await?;
    rows.iter().map(|row| row.get(0)).collect()
}

/// The present names of registered models and experiments that rows have as their scopes; of what was
/// purged there is none.
pub async fn names_of_models<C: ConnectionTrait>(on: &C, uids: &[&str]) -> Result<Vec<(String, String)>, StoreError> {
    let query = format!("SELECT uid, name FROM registered_models WHERE uid IN {}", sql::rows_of(1, 1, uids.len()));
    pairs(sql::all(on, &query, uids.iter().map(|uid| (*uid).into())).await?)
}

/// See `names_of_models`.
pub async fn names_of_experiments<C: ConnectionTrait>(on: &C, ids: &[i64]) -> Result<Vec<(String, String)>, StoreError> {
    let query = format!("SELECT CAST(id AS TEXT), name FROM experiments WHERE id IN {}", sql::rows_of(1, 1, ids.len()));
    pairs(sql::all(on, &query, ids.iter().map(|id| (*id).into())).await?)
}

fn pairs(rows: Vec<sql::Row>) -> Result<Vec<(String, String)>, StoreError> {
    rows.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
}
