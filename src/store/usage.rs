//! How much each user and service account stored on each day.

use sea_orm::ConnectionTrait;

use super::{StoreError, Tx, sql};
use crate::bind;

type Result<T> = std::result::Result<T, StoreError>;

/// Days that are kept, for those who want to know who fills the database.
const KEPT_DAYS: i64 = 400;

/// What somebody stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Rows of the ledger.
    pub ledger_rows: u64,
    /// Bytes of requests that the database keeps.
    pub database_bytes: u64,
    /// Bytes of artifacts.
    pub artifact_bytes: u64,
}

impl Amounts {
    /// Both together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            ledger_rows: self.ledger_rows.saturating_add(other.ledger_rows),
            database_bytes: self.database_bytes.saturating_add(other.database_bytes),
            artifact_bytes: self.artifact_bytes.saturating_add(other.artifact_bytes),
        }
    }
}

/// What a user stored on a day, counted from 1970-01-01.
pub async fn of_day<C: ConnectionTrait>(on: &C, user_uid: &str, day: i64) -> Result<Amounts> {
    let query = "SELECT ledger_rows, database_bytes, artifact_bytes FROM usage_by_day WHERE user_uid = $1 AND day = $2";
    sql::first(on, query, bind![user_uid, day]).await?.as_ref().map_or(Ok(Amounts::default()), amounts)
}

/// Adds to what users stored on days, and gives what they have stored with it, in the same order.
pub async fn add(tx: &Tx, counted: &[(String, i64, Amounts)]) -> Result<Vec<Amounts>> {
    let insert = "INSERT INTO usage_by_day (user_uid, day, ledger_rows, database_bytes, artifact_bytes) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (user_uid, day) DO UPDATE SET ledger_rows = usage_by_day.ledger_rows + excluded.ledger_rows, \
         database_bytes = usage_by_day.database_bytes + excluded.database_bytes, \
         artifact_bytes = usage_by_day.artifact_bytes + excluded.artifact_bytes \
         RETURNING ledger_rows, database_bytes, artifact_bytes";
    // One order for all replicas, so that none waits for another one that waits for it.
    let mut order: Vec<usize> = (0..counted.len()).collect();
    order.sort_by_key(|at| &counted[*at].0);
    let mut totals = vec![Amounts::default(); counted.len()];
    for at in order {
        let (user, day, more) = &counted[at];
        let values = bind![
            user.as_str(),
            *day,
            more.ledger_rows.cast_signed(),
            more.database_bytes.cast_signed(),
            more.artifact_bytes.cast_signed()
        ];
        totals[at] = amounts(&sql::one(&**tx, insert, values).await?)?;
    }
    if let Some(newest) = counted.iter().map(|(_, day, _)| *day).max() {
        sql::execute(&**tx, "DELETE FROM usage_by_day WHERE day < $1", bind![newest - KEPT_DAYS]).await?;
    }
    Ok(totals)
}

fn amounts(row: &sql::Row) -> Result<Amounts> {
    let count = |value: i64| u64::try_from(value).unwrap_or_default();
    Ok(Amounts { ledger_rows: count(row.get(0)?), database_bytes: count(row.get(1)?), artifact_bytes: count(row.get(2)?) })
}
