//! The search for runs: which way it goes is chosen by counts, so that no way looks at much more than it must.
//! A filter that few runs pass is where it starts; an order by a metric is walked along its index until the page
//! is full, as far as a bound; otherwise every run of the experiments is looked at.

use sea_orm::{ConnectionTrait, Value};

use super::runs::{COLUMN_COUNT, COLUMNS, RunRow, read};
use super::search::{Cursor, Order, Query, statement};
use super::search_order::LeadingMetric;
use super::{Engine, StoreError, sql};
use crate::domain::metric_value;
use crate::domain::search::{Comparison, Filter, Key, NumberOp, Test};

type Result<T> = std::result::Result<T, StoreError>;

/// A filter that at most so many runs pass is where a search starts.
const FEW: i64 = 1_000;
/// Runs that a walk along an order looks at; pages that are larger than a tenth of it are not walked for.
const WALK: u64 = 4_000;

/// What a search is about, as far as its way depends on it.
#[derive(Clone, Copy)]
pub struct About<'a> {
    /// The experiment, when there is but one: the index of metrics is by experiment.
    pub experiment: Option<i64>,
    /// The filter, which the query holds already.
    pub filter: &'a Filter,
    /// Where the page before ended.
    pub cursor: Option<&'a [Cursor]>,
}

/// The runs of a query, in its order, each with the cursor of a page that ends at it.
pub async fn search<C: ConnectionTrait>(
    on: &C,
    query: Query,
    order: &Order,
    about: About<'_>,
    limit: u64,
) -> Result<Vec<(RunRow, Vec<Cursor>)>> {
    let Some(experiment) = about.experiment else {
        return run(on, statement(COLUMNS, "runs r", query, order, limit), order).await;
    };
    for clause in &about.filter.clauses {
        if passes_few(on, query.engine(), experiment, clause).await?
            && let Some(starting) = starting(&query, order, experiment, clause, limit)
        {
            return run(on, starting, order).await;
        }
    }
    let from = about.cursor.map_or(Some(None), started_at);
    if let (Some(leading), Some(walked), Some(from), true) = (order.leading(), order.walking(), from, limit <= WALK / 10) {
        let (text, values) = end_of_walk(query.engine(), experiment, &query, leading, from);
        let end = sql::first(on, &text, values).await?.map(|row| row.get::<i64>(0)).transpose()?;
        let found = run(on, walking(&query, &walked, leading, experiment, (from, end), limit), &walked).await?;
        if found.len() as u64 == limit {
            return Ok(found);
        }
    }
    run(on, statement(COLUMNS, "runs r", query, order, limit), order).await
}

async fn run<C: ConnectionTrait>(on: &C, (text, values): (String, Vec<Value>), order: &Order) -> Result<Vec<(RunRow, Vec<Cursor>)>> {
    sql::all(on, &text, values).await?.iter().map(|row| Ok((read(row)?, order.cursor(row, COLUMN_COUNT)?))).collect()
}

/// The value of the leading metric at which a page goes on; none when it goes on behind all numbers.
fn started_at(cursor: &[Cursor]) -> Option<Option<i64>> {
    match cursor {
        [Cursor::Int(0), Cursor::Int(value), ..] => Some(Some(*value)),
        _ => None,
    }
}

/// Whether a comparison of a metric holds for few runs of the experiment. Costs a look at a few index entries.
async fn passes_few<C: ConnectionTrait>(on: &C, engine: Engine, experiment: i64, clause: &Comparison) -> Result<bool> {
    let mut query = Query::new(engine);
    let Some(condition) = passing(&mut query, experiment, clause) else { return Ok(false) };
    let bound = query.bind(FEW + 1);
    let text = format!("SELECT COUNT(*) FROM (SELECT 1 AS one FROM latest_metrics l WHERE {condition} LIMIT {bound}) few");
    Ok(sql::one(on, &text, query.values).await?.get::<i64>(0)? <= FEW)
}

/// The latest metrics `l` of the experiment that pass a comparison that the index can be searched by.
fn passing(query: &mut Query, experiment: i64, clause: &Comparison) -> Option<String> {
    let Key::Metric(key) = &clause.key else { return None };
    if matches!(clause.test, Test::Number { op: NumberOp::Ne, .. }) {
        return None;
    }
    let test = query.metric_test(key, &clause.test)?;
    let experiment = query.bind(experiment);
    Some(format!("l.experiment = {experiment} AND {test}"))
}

/// SQLite takes tables that are crossed in the order of their writing; PostgreSQL knows its counts.
fn crossed(engine: Engine) -> &'static str {
    if engine == Engine::Sqlite { "CROSS JOIN" } else { "JOIN" }
}

/// The search that starts at a comparison of a metric.
fn starting(query: &Query, order: &Order, experiment: i64, clause: &Comparison, limit: u64) -> Option<(String, Vec<Value>)> {
    let mut query = query.clone();
    let condition = passing(&mut query, experiment, clause)?;
    query.and(condition);
    let from = format!("latest_metrics l {} runs r ON r.id = l.run", crossed(query.engine()));
    Some(statement(COLUMNS, &from, query, order, limit))
}

/// The metrics that a walk looks at: those that are numbers, from where the page before ended.
fn walked(query: &mut Query, leading: &LeadingMetric, key: &str, experiment: i64, from: Option<i64>) -> String {
    let (alias, nan, experiment) = (&leading.alias, metric_value::NAN, query.bind(experiment));
    let mut condition = format!(
        "{alias}.experiment = {experiment} AND {alias}.metric = (SELECT k.id FROM metric_keys k WHERE k.name = {key}) AND {alias}.value < {nan}"
    );
    if let Some(from) = from {
        let from = query.bind(from);
        condition += &format!(" AND {alias}.value {} {from}", if leading.descending { "<=" } else { ">=" });
    }
    condition
}

/// The value that a walk of the bounded length ends before; no row when it reaches the end.
fn end_of_walk(engine: Engine, experiment: i64, whole: &Query, leading: &LeadingMetric, from: Option<i64>) -> (String, Vec<Value>) {
    let mut query = Query::new(engine);
    // The name was bound for the whole query.
    let name = leading.key[1..].parse::<usize>().ok().and_then(|number| whole.values.get(number.checked_sub(1)?).cloned());
    let key = query.bind(name.unwrap_or(Value::String(None)));
    let condition = walked(&mut query, leading, &key, experiment, from);
    let (alias, bound) = (&leading.alias, query.bind(WALK.cast_signed()));
    let direction = if leading.descending { "DESC" } else { "ASC" };
    let text = format!(
        "SELECT {alias}.value FROM latest_metrics {alias} WHERE {condition} ORDER BY {alias}.value {direction} LIMIT 1 OFFSET {bound}"
    );
    (text, query.values)
}

/// The search that walks along the leading metric. Runs that share the value at which it ends are left out, for
/// not all of them were looked at.
fn walking(
    query: &Query,
    order: &Order,
    leading: &LeadingMetric,
    experiment: i64,
    (from, end): (Option<i64>, Option<i64>),
    limit: u64,
) -> (String, Vec<Value>) {
    let mut query = query.clone();
    let condition = walked(&mut query, leading, &leading.key, experiment, from);
    query.and(condition);
    if let Some(end) = end {
        let end = query.bind(end);
        query.and(format!("{}.value {} {end}", leading.alias, if leading.descending { ">" } else { "<" }));
    }
    let from = format!("latest_metrics {alias} {} runs r ON r.id = {alias}.run", crossed(query.engine()), alias = leading.alias);
    statement(COLUMNS, &from, query, order, limit)
}

#[cfg(test)]
#[path = "run_search_tests.rs"]
mod tests;
