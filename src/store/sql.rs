//! Statements with bound values. The texts are constants of the store or built from constants by the
//! compilers of filters; whatever comes from a caller is bound. `$1` is understood by both engines.

use futures::{Stream, StreamExt};
use sea_orm::{ConnectionTrait, ExecResult, QueryResult, Statement, StreamTrait, TryGetable, Value};

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

/// The rows of a query, one after the other, for answers that are too long to be held.
pub async fn stream<'a, C: StreamTrait + ConnectionTrait>(
    on: &'a C,
    text: &str,
    values: impl IntoIterator<Item = Value>,
) -> Result<impl Stream<Item = Result<Row>> + 'a> {
    let rows = on.stream_raw(statement(on, text, values)).await?;
    Ok(rows.map(|row| Ok(Row(row?))))
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

/// `(?, ?), (?, ?)`: the same without numbers, for SQLite. It looks each numbered placeholder up by name, one
/// after the other, which in a statement of thousands takes longer than all the rest.
pub fn unnumbered_rows(rows: usize, columns: usize) -> String {
    let row = format!("({})", vec!["?"; columns].join(", "));
    vec![row; rows].join(", ")
}

/// The numbers of rows that wide statements come in. Few widths keep the cache of prepared statements warm.
pub const WIDTHS: [usize; 6] = [1, 4, 16, 64, 256, 1_000];

/// Cuts rows into runs for wide statements, each with the width of its statement. The last run may be
/// shorter than its width, never less than half of it; [`padded`] fills it up.
pub fn in_widths<T>(mut rows: &[T]) -> impl Iterator<Item = (usize, &[T])> {
    std::iter::from_fn(move || {
        let width = width_for(rows.len())?;
        let (run, rest) = rows.split_at(width.min(rows.len()));
        rows = rest;
        Some((width, run))
    })
}

fn width_for(rows: usize) -> Option<usize> {
    let fits = |width: &&usize| **width <= rows.saturating_mul(2);
    if rows == 0 {
        return None;
    }
    // The narrowest that holds all, if that is half full; else the widest that is full.
    let holds_all = WIDTHS.iter().find(|width| **width >= rows).filter(fits);
    holds_all.or_else(|| WIDTHS.iter().rev().find(|width| **width <= rows)).copied()
}

/// The items of a run and, up to the width, its last one again. For statements to which a row that comes
/// twice is as good as once.
pub fn padded<T>(width: usize, run: &[T]) -> impl Iterator<Item = &T> {
    run.iter().chain(std::iter::repeat(run.last()).flatten()).take(width)
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
        assert_eq!(super::unnumbered_rows(2, 3), "(?, ?, ?), (?, ?, ?)");
    }

    #[test]
    fn wide_statements_take_every_row_and_are_at_least_half_full() {
        for count in (0..70).chain([255, 256, 257, 500, 999, 1_000, 1_001, 2_500]) {
            let rows: Vec<usize> = (0..count).collect();
            let mut seen = Vec::new();
            for (width, run) in super::in_widths(&rows) {
                assert!(run.len() <= width && width <= 2 * run.len(), "{count}: {width} for {}", run.len());
                let filled: Vec<usize> = super::padded(width, run).copied().collect();
                assert_eq!(filled.len(), width);
                assert!(filled.starts_with(run) && filled[run.len()..].iter().all(|row| Some(row) == run.last()));
                seen.extend_from_slice(run);
            }
            assert_eq!(seen, rows);
        }
    }
}
