//! Searches among 50,000 runs: by which way they go, and that every way finds the same.

use std::time::Instant;

use sea_orm::ConnectionTrait;

use super::*;
use crate::domain::search::{Entity, Number, OrderBy, parse_filter, parse_order_by};
use crate::store::metrics::HISTORY;
use crate::store::testing::stores;
use crate::store::{Store, experiments, models, versions};

const TIES: &[(&str, bool, bool)] = &[("r.start_time", false, true), ("r.run_id", true, false)];

/// 50,000 runs, 40,000 of them in experiment 1. Values of metrics are the numbers that the stored forms 0 to 999,999
/// stand for. Every tenth run has no `m1`, every tenth but one has NaN there, and some share values.
async fn fill(store: &Store) {
    let on = store.migration_connection();
    let all = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000)";
    let few = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)";
    let experiment = "CASE WHEN i % 5 = 0 THEN 2 ELSE 1 END";
    let uid = "'000000000000000000000000' || CAST(10000000 + i AS TEXT)";
    let statements = [
        format!(
            "INSERT INTO experiments (id, workspace_id, name, canonical_name, active, created, updated, created_by) {few} SELECT i, 'default', 'e' || CAST(i AS TEXT), 'e' || CAST(i AS TEXT), TRUE, i, i, '' FROM n"
        ),
        format!(
            "INSERT INTO runs (id, run_id, experiment, name, user_id, status, start_time, active, created_by) {all} SELECT i, {uid}, {experiment}, 'r', 'u', 3, i / 3, i % 100 <> 7, 'u' FROM n"
        ),
        "INSERT INTO metric_keys (id, name) VALUES (1, 'm0'), (2, 'm1')".to_owned(),
        format!(
            "INSERT INTO latest_metrics (run, metric, experiment, step, time, value) {all} SELECT i, 1, {experiment}, 0, 0, (i * 7919) % 1000000 FROM n"
        ),
        format!(
            "INSERT INTO latest_metrics (run, metric, experiment, step, time, value) {all} SELECT i, 2, {experiment}, 0, 0, CASE WHEN i % 10 = 1 THEN {nan} ELSE (i * 10007) % 20000 END FROM n WHERE i % 10 <> 2",
            nan = metric_value::NAN
        ),
        format!("INSERT INTO metrics (run, metric, time, step, value) {all} SELECT i % 20 + 1, 1, i, i, i FROM n"),
        format!("INSERT INTO params (run, param_key, value) {all} SELECT i, 'p1', CASE WHEN i % 4 = 0 THEN 'x' ELSE 'y' END FROM n"),
        format!("INSERT INTO run_tags (run, tag_key, value) {all} SELECT i, 't1', 'v' FROM n"),
        format!(
            "INSERT INTO registered_models (uid, workspace_id, name, canonical_name, description, created, updated, created_by, last_version) {few} SELECT {uid}, 'default', 'm' || CAST(i AS TEXT), 'm' || CAST(i AS TEXT), '', i, i, 'u', 0 FROM n"
        ),
        format!("INSERT INTO registered_model_tags (model_uid, tag_key, value) {few} SELECT {uid}, 't', 'v' FROM n"),
        "ANALYZE".to_owned(),
    ];
    for statement in statements {
        // As a newcomer's SQLite has it: nobody runs ANALYZE there.
        if statement != "ANALYZE" || store.engine() == Engine::Postgres {
            on.execute_unprepared(&statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
    }
}

/// The plan of a statement, a line for each step.
async fn plan(store: &Store, (text, values): &(String, Vec<Value>)) -> Vec<String> {
    let (explain, column) = if store.engine() == Engine::Sqlite { ("EXPLAIN QUERY PLAN", 3) } else { ("EXPLAIN", 0) };
    let rows = sql::all(store.reader(), &format!("{explain} {text}"), values.clone()).await.unwrap();
    rows.iter().map(|row| row.get(column).unwrap()).collect()
}

/// Fails when a table is read as a whole, other than the few names of metrics.
async fn never_whole(store: &Store, what: &str, statement: &(String, Vec<Value>)) -> Vec<String> {
    let plan = plan(store, statement).await;
    let whole = |line: &&String| {
        line.trim_start().starts_with("SCAN ") && !line.contains("INDEX") || line.contains("Seq Scan") && !line.contains("metric_keys")
    };
    assert!(!plan.iter().any(|line| whole(&line)), "{what} on {:?}: {plan:#?}\n{}", store.engine(), statement.0);
    plan
}

struct Search {
    query: Query,
    filter: Filter,
    order: Order,
}

fn search_of(engine: Engine, filter: Filter, order_by: &[&str]) -> Search {
    let mut query = Query::new(engine);
    query.and("r.active = TRUE");
    let experiment = query.bind(1_i64);
    query.and(format!("r.experiment IN ({experiment})"));
    query.filter(Entity::Runs, &filter);
    let texts: Vec<String> = order_by.iter().map(|text| (*text).to_owned()).collect();
    let keys: Vec<OrderBy> = parse_order_by(Entity::Runs, &texts).unwrap();
    let order = Order::new(&mut query, Entity::Runs, &keys, TIES);
    Search { query, filter, order }
}

/// `metrics.m0` compared with the number of a stored form, then what is written.
fn filter(op: NumberOp, stored: i64, more: &str) -> Filter {
    let mut filter = parse_filter(Entity::Runs, more).unwrap();
    let test = Test::Number { op, value: Number::Float(metric_value::decode(stored)) };
    filter.clauses.push(Comparison { key: Key::Metric("m0".to_owned()), test });
    filter
}

impl Search {
    /// All pages of a search, which may go any way; and how long the first one took.
    async fn pages(&self, store: &Store, limit: u64, experiment: Option<i64>, most: usize) -> (Vec<i64>, std::time::Duration) {
        let (mut ids, mut cursor, mut first) = (Vec::new(), None::<Vec<Cursor>>, None);
        while ids.len() < most {
            let mut query = self.query.clone();
            if let Some(cursor) = &cursor {
                assert!(self.order.behind(&mut query, cursor));
            }
            let about = About { experiment, filter: &self.filter, cursor: cursor.as_deref() };
            let begun = Instant::now();
            let mut page = search(store.reader(), query, &self.order, about, limit + 1).await.unwrap();
            first.get_or_insert(begun.elapsed());
            let more = page.len() as u64 > limit;
            page.truncate(usize::try_from(limit).unwrap());
            ids.extend(page.iter().map(|(run, _)| run.id));
            match page.pop().filter(|_| more) {
                Some((_, last)) => cursor = Some(last),
                None => break,
            }
        }
        (ids, first.unwrap_or_default())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_among_many_runs_read_no_table_as_a_whole_and_every_way_finds_the_same() {
    for test in stores().await {
        let store = &test.store;
        fill(store).await;
        plans_of_runs(store).await;
        plans_of_named_things(store).await;
        every_way_finds_the_same(store).await;
    }
}

async fn plans_of_runs(store: &Store) {
    let engine = store.engine();
    for order_by in [&[][..], &["attributes.start_time DESC"][..]] {
        for text in ["", "params.p1 = 'x'", "tags.t1 = 'v' AND params.p1 = 'x'"] {
            let Search { query, order, .. } = search_of(engine, parse_filter(Entity::Runs, text).unwrap(), order_by);
            let first = statement(COLUMNS, "runs r", query.clone(), &order, 101);
            let steps = never_whole(store, "a page by start time", &first).await.join("\n");
            assert!(steps.contains("runs_by_start") && !steps.contains("TEMP B-TREE FOR ORDER BY"), "{steps}");
            let mut next = query;
            let cursor = [Cursor::Int(9_000), Cursor::Text("0".repeat(32))];
            assert!(order.behind(&mut next, &cursor));
            let steps = never_whole(store, "a later page", &statement(COLUMNS, "runs r", next, &order, 101)).await.join("\n");
            let entered = if engine == Engine::Sqlite { "start_time<?" } else { "start_time <= " };
            assert!(steps.contains(entered), "it begins where the page before ended: {steps}");
        }
    }
    let of = search_of(engine, filter(NumberOp::Gt, 500_000, "params.p1 = 'x'"), &["metrics.m1 DESC"]);
    let (leading, walked) = (of.order.leading().unwrap(), of.order.walking().unwrap());
    let walk = walking(&of.query, &walked, leading, 1, (None, Some(15_000)), 101);
    let steps = never_whole(store, "a walk along a metric", &walk).await.join("\n");
    assert!(steps.contains("latest_metrics_by_value"), "{steps}");
    never_whole(store, "the end of a walk", &end_of_walk(engine, 1, &of.query, leading, None)).await;
    let rare = filter(NumberOp::Gt, 999_900, "params.p1 = 'x'");
    let of = search_of(engine, rare.clone(), &["metrics.m1 DESC"]);
    let clause = rare.clauses.last().unwrap();
    assert!(passes_few(store.reader(), engine, 1, clause).await.unwrap());
    let steps = never_whole(store, "a rare filter", &starting(&of.query, &of.order, 1, clause, 101).unwrap()).await.join("\n");
    assert!(steps.contains("latest_metrics_by_value"), "{steps}");
    // A page of a history.
    let values = [1_i64, 1, 5, 5, 5, 100].map(Value::from).to_vec();
    never_whole(store, "a history", &(HISTORY.to_owned(), values)).await;
}

async fn plans_of_named_things(store: &Store) {
    let engine = store.engine();
    let made = |entity, filter: &str, ties: &[(&str, bool, bool)]| {
        let mut query = Query::new(engine);
        query.filter(entity, &parse_filter(entity, filter).unwrap());
        let order = Order::new(&mut query, entity, &[], ties);
        (query, order)
    };
    for filter in ["", "name = 'e77'"] {
        let (query, order) = made(Entity::Experiments, filter, &[("x.created", false, true), ("x.id", false, false)]);
        never_whole(store, "experiments", &experiments::searching(query, &order, 101)).await;
    }
    for filter in ["", "name = 'm77'", "tags.t = 'v'"] {
        let (query, order) = made(Entity::RegisteredModels, filter, &[("m.name", true, false), ("m.uid", true, false)]);
        never_whole(store, "models", &models::searching(query, &order, 101)).await;
    }
    let (query, order) = made(Entity::ModelVersions, "name = 'm77'", &[("m.name", true, false), ("v.version", false, true)]);
    let steps = plan(store, &versions::searching(query, &order, 101)).await.join("\n");
    assert!(steps.contains("registered_models_name"), "{steps}");
}

async fn every_way_finds_the_same(store: &Store) {
    let engine = store.engine();
    let cases = [
        ("walk", filter(NumberOp::Gt, 500_000, "params.p1 = 'x'"), &["metrics.m1 DESC"][..]),
        ("walk upwards", filter(NumberOp::Lt, 900_000, ""), &["metrics.m1 ASC", "params.p1 DESC"][..]),
        ("start at a filter", filter(NumberOp::Ge, 999_000, "params.p1 = 'x'"), &["metrics.m1 DESC"][..]),
        ("few in the walk", filter(NumberOp::Ne, 7_919, "params.p1 = 'z'"), &["metrics.m1 DESC"][..]),
        ("by start", filter(NumberOp::Gt, 500_000, "params.p1 = 'x'"), &[][..]),
    ];
    for (what, filter, order_by) in cases {
        let of = search_of(engine, filter, order_by);
        // Without its experiment told, a search looks at every run.
        let (expected, slow) = of.pages(store, 20_000, None, usize::MAX).await;
        let (found, fast) = of.pages(store, 100, Some(1), 1_500).await;
        println!("{engine:?}, {what}: {} runs; the first 100 in {fast:?}, all at once in {slow:?}", expected.len());
        assert_eq!(found, expected[..found.len()], "{what} on {engine:?}");
        assert!(found.len() == expected.len() || found.len() >= 1_500, "{what} on {engine:?}");
    }
    // The end of an order: numbers, NaN, missing, page by page to the last.
    let of = search_of(engine, filter(NumberOp::Gt, 900_000, ""), &["metrics.m1 DESC"]);
    let (expected, _) = of.pages(store, 20_000, None, usize::MAX).await;
    let (found, _) = of.pages(store, 390, Some(1), usize::MAX).await;
    assert_eq!(found, expected, "to the end on {engine:?}");
}
