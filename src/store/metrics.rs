//! Points of metrics: the bulk. They come in few wide statements, for several runs at once; the latest
//! value of each metric is kept beside them. Names of metrics are interned.

use std::collections::{BTreeSet, HashMap};
use std::sync::{LazyLock, PoisonError, RwLock};

use sea_orm::{ConnectionTrait, Value};

use super::{Store, StoreError, Unrecorded, is_sqlite, sql};
use crate::bind;
use crate::domain::metric_value::{self, latest_key};

type Result<T> = std::result::Result<T, StoreError>;

/// Names that are remembered. Beyond that all are forgotten; those in use come back.
const REMEMBERED: usize = 100_000;

/// One point of one metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// The metric's interned name.
    pub metric: i64,
    /// Unix milliseconds.
    pub time: i64,
    /// As the client counts.
    pub step: i64,
    /// In the stored form of `domain::metric_value`.
    pub value: i64,
}

/// Points of one run, stored together or not at all.
#[derive(Debug, Clone)]
pub struct Points {
    /// The run, as clients name it. Holds only what a run's id may.
    pub run_id: String,
    /// May be empty: then only the run is looked at.
    pub points: Vec<Point>,
}

/// Why points were not stored.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// There is no such run.
    #[error("there is no such run")]
    NoRun,
    /// It is deleted.
    #[error("the run is deleted")]
    RunDeleted,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The outcome of one request's points.
pub type Logged = std::result::Result<(), LogError>;

/// The interned names that are known. Their ids never change.
#[derive(Default)]
pub struct Names {
    ids: RwLock<HashMap<String, i64>>,
}

impl Names {
    fn known(&self, names: &[&str]) -> Vec<Option<i64>> {
        let ids = self.ids.read().unwrap_or_else(PoisonError::into_inner);
        names.iter().map(|name| ids.get(*name).copied()).collect()
    }

    /// Takes what the database has committed.
    fn learn(&self, learned: &HashMap<String, i64>) {
        let mut ids = self.ids.write().unwrap_or_else(PoisonError::into_inner);
        if ids.len() + learned.len() > REMEMBERED {
            ids.clear();
        }
        ids.extend(learned.iter().map(|(name, id)| (name.clone(), *id)));
    }
}

impl Store {
    /// The interned ids of metrics' names, in their order. New names are stored, in a commit of their own,
    /// so that what is remembered is never rolled back.
    pub async fn metric_ids(&self, names: &[&str]) -> Result<Vec<i64>> {
        let known = self.metric_names().known(names);
        let missing: BTreeSet<&str> = names.iter().zip(&known).filter(|(_, id)| id.is_none()).map(|(name, _)| *name).collect();
        let learned = if missing.is_empty() { HashMap::new() } else { self.learn_names(missing).await? };
        let resolve = |(name, id): (&&str, Option<i64>)| id.or_else(|| learned.get(*name).copied());
        let lost = || StoreError::Internal("a metric's name was not stored".to_owned());
        names.iter().zip(known).map(resolve).map(|id| id.ok_or_else(lost)).collect()
    }

    async fn learn_names(&self, missing: BTreeSet<&str>) -> Result<HashMap<String, i64>> {
        let missing: Vec<String> = missing.into_iter().map(str::to_owned).collect();
        let mut learned = stored_names(self.reader(), &missing).await?;
        let new: Vec<String> = missing.into_iter().filter(|name| !learned.contains_key(name)).collect();
        if !new.is_empty() {
            let stored = self.write_unrecorded(Unrecorded::Tracking, new, |tx, new| {
                Box::pin(async move {
                    for (width, run) in sql::in_widths(new) {
                        let insert = format!("INSERT INTO metric_keys (name) VALUES {} ON CONFLICT DO NOTHING", sql::rows_of(1, width, 1));
                        let values: Vec<Value> = sql::padded(width, run).map(|name| name.as_str().into()).collect();
                        sql::execute(&**tx, &insert, values).await?;
                    }
                    stored_names(&**tx, new).await
                })
            });
            learned.extend(stored.await?);
        }
        self.metric_names().learn(&learned);
        Ok(learned)
    }
}

async fn stored_names<C: ConnectionTrait>(on: &C, names: &[String]) -> Result<HashMap<String, i64>> {
    let mut found = HashMap::with_capacity(names.len());
    for (width, run) in sql::in_widths(names) {
        let query = format!("SELECT name, id FROM metric_keys WHERE name IN {}", sql::rows_of(1, 1, width));
        let values: Vec<Value> = sql::padded(width, run).map(|name| name.as_str().into()).collect();
        for row in sql::all(on, &query, values).await? {
            found.insert(row.get(0)?, row.get(1)?);
        }
    }
    Ok(found)
}

/// The interned id of one name; none when no run ever had such a metric.
pub async fn name_id<C: ConnectionTrait>(on: &C, name: &str) -> Result<Option<i64>> {
    let row = sql::first(on, "SELECT id FROM metric_keys WHERE name = $1", bind![name]).await?;
    row.map(|row| row.get(0)).transpose()
}

/// A page of a history.
pub(super) const HISTORY: &str = "SELECT time, step, value FROM metrics WHERE run = $1 AND metric = $2 AND (time, step, value) > ($3, $4, $5) \
    ORDER BY time, step, value LIMIT $6";

/// Points of one metric of a run by time, step and value, behind `after` (time, step, stored value).
pub async fn history<C: ConnectionTrait>(on: &C, run: i64, metric: i64, after: (i64, i64, i64), limit: u64) -> Result<Vec<Point>> {
    let rows = sql::all(on, HISTORY, bind![run, metric, after.0, after.1, after.2, limit.cast_signed()]).await?;
    rows.iter().map(|row| Ok(Point { metric, time: row.get(0)?, step: row.get(1)?, value: row.get(2)? })).collect()
}

/// At most `size` points of one metric of a run within steps, evenly spread over all of them by step, time and value, and
/// chosen as MLflow 3 does: the first point of each of `size` equal parts, but of the last part its last point.
pub async fn sample<C: ConnectionTrait>(on: &C, run: i64, metric: i64, steps: (i64, i64), size: u64) -> Result<Vec<Point>> {
    let query = "SELECT time, step, value FROM (\
                   SELECT time, step, value, part, LAG(part) OVER points AS part_before, LEAD(part) OVER points AS part_after FROM (\
                     SELECT time, step, value, NTILE(CAST($5 AS INTEGER)) OVER (ORDER BY step, time, value) AS part \
                     FROM metrics WHERE run = $1 AND metric = $2 AND step BETWEEN $3 AND $4\
                   ) divided WINDOW points AS (ORDER BY step, time, value)\
                 ) neighbours WHERE part_after IS NULL OR (part < $5 AND (part_before IS NULL OR part_before < part)) \
                 ORDER BY step, time, value";
    let rows = sql::all(on, query, bind![run, metric, steps.0, steps.1, size.cast_signed()]).await?;
    rows.iter().map(|row| Ok(Point { metric, time: row.get(0)?, step: row.get(1)?, value: row.get(2)? })).collect()
}

/// A point on its way into the tables. Sorts as the table's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    /// The run, or its place among those asked for.
    run: i64,
    metric: i64,
    time: i64,
    step: i64,
    value: i64,
}

fn row(run: i64, point: &Point) -> Row {
    Row { run, metric: point.metric, time: point.time, step: point.step, value: point.value }
}

/// The latest point of each metric of each run, of sorted rows.
fn latest_of(rows: &[Row]) -> Vec<Row> {
    let series = rows.chunk_by(|one, next| (one.run, one.metric) == (next.run, next.metric));
    series.filter_map(|series| series.iter().max_by_key(|row| latest_key(row.step, row.time, row.value)).copied()).collect()
}

/// Stores the points of several requests. A request whose run is not there or deleted fails alone; any
/// other error fails them all, and leaves it to the caller to roll back.
pub async fn log<C: ConnectionTrait>(on: &C, items: &[&Points]) -> Result<Vec<Logged>> {
    if is_sqlite(on) { log_sqlite(on, items).await } else { log_postgres(on, items).await }
}

/// SQLite: multi-row statements of few widths, the rows in the order of the table.
async fn log_sqlite<C: ConnectionTrait>(on: &C, items: &[&Points]) -> Result<Vec<Logged>> {
    let mut ids: Vec<&str> = items.iter().map(|item| item.run_id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    let runs = live_runs(on, &ids).await?;
    let mut rows = Vec::with_capacity(items.iter().map(|item| item.points.len()).sum());
    let mut experiments = HashMap::with_capacity(runs.len());
    let mut outcomes = Vec::with_capacity(items.len());
    for item in items {
        outcomes.push(match runs.get(&item.run_id) {
            None => Err(LogError::NoRun),
            Some((_, _, false)) => Err(LogError::RunDeleted),
            Some((run, experiment, true)) => {
                experiments.insert(*run, *experiment);
                rows.extend(item.points.iter().map(|point| row(*run, point)));
                Ok(())
            }
        });
    }
    rows.sort_unstable();
    rows.dedup();
    let latest = latest_of(&rows);
    let of_points = |row: &Row| bind![row.run, row.metric, row.time, row.step, row.value];
    let of_latest = |row: &Row| {
        let experiment = experiments.get(&row.run).copied().unwrap_or_default();
        bind![row.run, row.metric, experiment, row.step, row.time, row.value]
    };
    let points: Vec<(usize, Vec<Value>)> = sql::in_widths(&rows).map(|(width, run)| (width, values(width, run, of_points))).collect();
    let latest: Vec<(usize, Vec<Value>)> = sql::in_widths(&latest).map(|(width, run)| (width, values(width, run, of_latest))).collect();
    if let ([(width, points)], [(latest_width, latest)]) = (points.as_slice(), latest.as_slice()) {
        let text = BOTH.get(&(*width, *latest_width)).map_or("", String::as_str);
        sql::execute(on, text, [points.as_slice(), latest.as_slice()].concat()).await?;
        return Ok(outcomes);
    }
    for (statements, chunks) in [(&INSERT_POINTS, points), (&UPSERT_LATEST, latest)] {
        for (width, values) in chunks {
            sql::execute(on, statement(statements, width), values).await?;
        }
    }
    Ok(outcomes)
}

/// The bound values of a run of rows, filled up to the width.
fn values<const N: usize>(width: usize, run: &[Row], bind: impl Fn(&Row) -> [Value; N]) -> Vec<Value> {
    sql::padded(width, run).flat_map(bind).collect()
}

/// Runs by their public ids: internal id, experiment, and whether they are live.
async fn live_runs<C: ConnectionTrait>(on: &C, ids: &[&str]) -> Result<HashMap<String, (i64, i64, bool)>> {
    let mut found = HashMap::with_capacity(ids.len());
    for (width, run) in sql::in_widths(ids) {
        let values: Vec<Value> = sql::padded(width, run).map(|id| (*id).into()).collect();
        for row in sql::all(on, statement(&SELECT_RUNS, width), values).await? {
            found.insert(row.get(0)?, (row.get(1)?, row.get(2)?, row.get(3)?));
        }
    }
    Ok(found)
}

/// One statement in all its widths.
type Wide = LazyLock<Vec<(usize, String)>>;

static SELECT_RUNS: Wide = LazyLock::new(|| {
    wide(|width| format!("SELECT run_id, id, experiment, active FROM runs WHERE run_id IN {}", sql::rows_of(1, 1, width)))
});
static INSERT_POINTS: Wide = LazyLock::new(|| {
    wide(|width| {
        format!("INSERT INTO metrics (run, metric, time, step, value) VALUES {} ON CONFLICT DO NOTHING", sql::unnumbered_rows(width, 5))
    })
});
static UPSERT_LATEST: Wide = LazyLock::new(|| wide(upsert_latest));
/// Both in one text, by their widths: one errand to the connection's thread instead of two. SQLite takes
/// several statements with one list of values.
static BOTH: LazyLock<HashMap<(usize, usize), String>> = LazyLock::new(|| {
    let mut texts = HashMap::new();
    for (width, insert) in INSERT_POINTS.iter() {
        // There are no more latest points than points.
        for latest in sql::WIDTHS.iter().filter(|latest| *latest <= width) {
            texts.insert((*width, *latest), format!("{insert}; {}", upsert_latest(*latest)));
        }
    }
    texts
});

fn upsert_latest(width: usize) -> String {
    let rows = sql::unnumbered_rows(width, 6);
    format!("INSERT INTO latest_metrics (run, metric, experiment, step, time, value) VALUES {rows} {}", &*WHEN_LATER)
}

/// Replaces the latest value by a later one: by step, time and value, NaN counting as 0.
static WHEN_LATER: LazyLock<String> = LazyLock::new(|| {
    format!(
        "ON CONFLICT (run, metric) DO UPDATE SET step = excluded.step, time = excluded.time, value = excluded.value WHERE {}",
        later_than("latest_metrics")
    )
});

/// Whether a point that an upsert brings is later than the table's.
fn later_than(table: &str) -> String {
    let nan = metric_value::NAN;
    let key = |table: &str| format!("({table}.step, {table}.time, CASE WHEN {table}.value = {nan} THEN 0 ELSE {table}.value END)");
    format!("{} > {}", key("excluded"), key(table))
}

fn wide(text: impl Fn(usize) -> String) -> Vec<(usize, String)> {
    sql::WIDTHS.iter().map(|width| (*width, text(*width))).collect()
}

fn statement(wide: &'static Wide, width: usize) -> &'static str {
    wide.iter().find(|(of, _)| *of == width).map_or("", |(_, text)| text.as_str())
}

/// PostgreSQL: one statement for everything, so that it is one round trip and needs no transaction
/// around it. Columns travel as array literals, which one prepared statement takes in any length. Rows
/// are stored in one order by all, so that two of these wait for each other and never deadlock.
async fn log_postgres<C: ConnectionTrait>(on: &C, items: &[&Points]) -> Result<Vec<Logged>> {
    let mut places: HashMap<&str, i64> = HashMap::with_capacity(items.len());
    let mut ids: Vec<&str> = Vec::with_capacity(items.len());
    let mut rows = Vec::with_capacity(items.iter().map(|item| item.points.len()).sum());
    for item in items {
        let place = *places.entry(&item.run_id).or_insert_with(|| {
            ids.push(&item.run_id);
            // Counted from 1, as WITH ORDINALITY does; a group never has that many runs.
            i64::try_from(ids.len()).unwrap_or(i64::MAX)
        });
        rows.extend(item.points.iter().map(|point| row(place, point)));
    }
    rows.sort_unstable();
    rows.dedup();
    let latest = latest_of(&rows);
    let mut values: Vec<Value> = vec![array(&ids).into()];
    for rows in [&rows, &latest] {
        let columns: [fn(&Row) -> i64; 5] = [|row| row.run, |row| row.metric, |row| row.time, |row| row.step, |row| row.value];
        values.extend(columns.map(|column| Value::from(array(rows.iter().map(column)))));
    }
    let mut live: HashMap<String, bool> = HashMap::with_capacity(ids.len());
    for row in sql::all(on, &LOG_POSTGRES, values).await? {
        live.insert(row.get(0)?, row.get(1)?);
    }
    let outcome = |item: &&Points| match live.get(&item.run_id) {
        None => Err(LogError::NoRun),
        Some(false) => Err(LogError::RunDeleted),
        Some(true) => Ok(()),
    };
    Ok(items.iter().map(outcome).collect())
}

/// `{1,2,3}`. The texts among the items are ids of runs, which need no quotes.
fn array<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let mut text = String::from("{");
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(&item.to_string());
    }
    text.push('}');
    text
}

static LOG_POSTGRES: LazyLock<String> = LazyLock::new(|| {
    let rows = |first: usize| {
        let arrays: Vec<String> = (first..first + 5).map(|number| format!("CAST(${number} AS BIGINT[])")).collect();
        format!("UNNEST({}) AS p (place, metric, time, step, value) JOIN asked r ON r.place = p.place AND r.active", arrays.join(", "))
    };
    format!(
        "WITH asked AS (SELECT a.place, r.run_id, r.id, r.experiment, r.active \
         FROM UNNEST(CAST($1 AS TEXT[])) WITH ORDINALITY AS a (run_id, place) JOIN runs r ON r.run_id = a.run_id), \
         stored AS (INSERT INTO metrics (run, metric, time, step, value) \
         SELECT r.id, p.metric, p.time, p.step, p.value FROM {} ORDER BY 1, 2, 3, 4, 5 ON CONFLICT DO NOTHING), \
         latest AS (INSERT INTO latest_metrics (run, metric, experiment, step, time, value) \
         SELECT r.id, p.metric, r.experiment, p.step, p.time, p.value FROM {} ORDER BY 1, 2 {}) \
         SELECT run_id, active FROM asked",
        rows(2),
        rows(7),
        &*WHEN_LATER
    )
});

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
