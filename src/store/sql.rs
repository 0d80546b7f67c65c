//! Statements with bound values. The texts are constants of the store or built from constants by the
//! compilers of filters; whatever comes from a caller is bound. `$1` is understood by both engines.

use sea_orm::{ConnectionTrait, ExecResult, QueryResult, Statement, TryGetable, Value};

use super::StoreError;

type Result<T> = std::result::Result<T, StoreError>;

/// Runs a statement and tells how many rows it changed.
pub async fn execute<C: ConnectionTrait>(on: &C, text: &str, values: impl IntoIterator<Item = Value>) -> Result<u64> {
    run(on, text, values).await.map(|done| done.rows_affected())
}

async fn run<C: ConnectionTrait>(on: &C, text: &str, values: impl IntoIterator<Item = Value>) -> Result<ExecResult> {
    Ok(on.execute_raw(statement(on, text, values)).await?)
}

/// All rows of a query.
pub async fn all<C: ConnectionTrait>(on: &C, text: &str, values: impl IntoIterator<Item = Value>) -> Result<Vec<Row>> {
    Ok(on.query_all_raw(statement(on, text, values)).await?.into_iter().map(Row).collect())
}

/// The first row of a query, if there is one.
pub async fn first<C: ConnectionTrait>(on: &C, text: &str, values: impl IntoIterator<Item = Value>) -> Result<Option<Row>> {
    Ok(on.query_one_raw(statement(on, text, values)).await?.map(Row))
}

/// The row of a query that always has one, such as a count or an INSERT with RETURNING.
pub async fn one<C: ConnectionTrait>(on: &C, text: &str, values: impl IntoIterator<Item = Value>) -> Result<Row> {
    first(on, text, values).await?.ok_or_else(|| StoreError::Internal("a row was expected".to_owned()))
}

fn statement<C: ConnectionTrait>(on: &C, text: &str, values: impl IntoIterator<Item = Value>) -> Statement {
    Statement::from_sql_and_values(on.get_database_backend(), text, values)
}

/// A row of an answer; columns are read in their order.
pub struct Row(QueryResult);

impl Row {
    /// The column at `index`, counted from 0.
    pub fn get<T: TryGetable>(&self, index: usize) -> Result<T> {
        Ok(self.0.try_get_by_index(index)?)
    }
}

/// `($1, $2), ($3, $4)`: placeholders for `rows` rows of `columns` values, starting at `$first`.
pub fn rows_of(first: usize, rows: usize, columns: usize) -> String {
    let mut text = String::with_capacity(rows * columns * 6);
    let mut number = first;
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ", (" });
        for column in 0..columns {
            if column > 0 {
                text.push_str(", ");
            }
            text.push('$');
            text.push_str(&number.to_string());
            number += 1;
        }
        text.push(')');
    }
    text
}

/// Binds values: `bind![name, 5_i64]`.
#[macro_export]
macro_rules! bind {
    ($($value:expr),* $(,)?) => { [$(sea_orm::Value::from($value)),*] };
}

#[cfg(test)]
mod tests {
    #[test]
    fn placeholders_count_on() {
        assert_eq!(super::rows_of(3, 2, 2), "($3, $4), ($5, $6)");
    }
}
