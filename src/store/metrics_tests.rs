use proptest::prelude::*;

use super::*;
use crate::clock;
use crate::store::testing::stores;
use crate::store::{experiments, inputs, run_values, runs};

/// A new run in the experiment 0, and its internal id.
async fn new_run(store: &Store) -> (String, i64) {
    let run_id = clock::new_uid();
    let id = store.set_up(run_id.clone(), |tx, run_id| {
        Box::pin(async move {
            experiments::insert_default(tx).await?;
            let row = runs::RunRow {
                id: 0,
                run_id: run_id.clone(),
                experiment: 0,
                name: "run".to_owned(),
                user_id: String::new(),
                status: 1,
                start_time: 0,
                end_time: None,
                active: true,
                created_by: String::new(),
            };
            runs::insert(tx, &row).await
        })
    });
    (run_id, id.await.unwrap())
}

async fn delete(store: &Store, run: i64) {
    let done = store.set_up(run, |tx, run| Box::pin(async move { runs::set_active(tx, *run, false).await }));
    done.await.unwrap();
}

fn point(metric: i64, time: i64, step: i64, value: f64) -> Point {
    Point { metric, time, step, value: metric_value::encode(value) }
}

async fn latest(store: &Store, run: i64) -> Vec<(i64, i64, i64)> {
    let values = run_values::of_runs(store.reader(), &[run]).await.unwrap().remove(&run).unwrap_or_default();
    values.metrics.iter().map(|latest| (latest.step, latest.time, latest.value)).collect()
}

async fn whole_history(store: &Store, run: i64, metric: i64) -> Vec<Point> {
    history(store.reader(), run, metric, (-1, 0, 0), 1_000_000).await.unwrap()
}

#[tokio::test]
async fn names_are_interned_once() {
    for test in stores().await {
        let first = test.store.metric_ids(&["a", "b", "a"]).await.unwrap();
        assert!(first[0] == first[2] && first[0] != first[1]);
        assert_eq!(test.store.metric_ids(&["b", "c"]).await.unwrap()[0], first[1]);
        // Another replica has another memory, and the same ids.
        test.store.metric_names().ids.write().unwrap().clear();
        assert_eq!(test.store.metric_ids(&["a", "b", "a"]).await.unwrap(), first);
        assert_eq!(name_id(test.store.reader(), "nobody logged this").await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_history_keeps_every_value_in_order_and_each_point_once() {
    for test in stores().await {
        let (run_id, run) = new_run(&test.store).await;
        let metric = test.store.metric_ids(&["loss"]).await.unwrap()[0];
        let points = vec![
            point(metric, 2, i64::MIN, 1.0),
            point(metric, 1, i64::MAX, f64::NAN),
            point(metric, 1, i64::MAX, f64::INFINITY),
            point(metric, 1, i64::MAX, f64::NEG_INFINITY),
            point(metric, 1, 0, 0.1),
            point(metric, i64::MAX, 0, 0.2),
        ];
        for _ in 0..2 {
            test.store.log_metrics(Points { run_id: run_id.clone(), points: points.clone() }).await.unwrap();
        }
        let order: Vec<usize> = vec![4, 3, 2, 1, 0, 5];
        let expected: Vec<Point> = order.into_iter().map(|index| points[index]).collect();
        assert_eq!(whole_history(&test.store, run, metric).await, expected);
        let behind = history(test.store.reader(), run, metric, (1, i64::MAX, expected[1].value), 2).await.unwrap();
        assert_eq!(behind, expected[2..4]);
    }
}

#[tokio::test]
async fn the_latest_is_by_step_then_time_then_value_whatever_comes_first() {
    for test in stores().await {
        let metric = test.store.metric_ids(&["loss"]).await.unwrap()[0];
        // Step, time, value; each later than those before it. NaN counts as 0.
        let rising = [(0, 9, 9.0), (1, 2, 0.5), (1, 3, -1.0), (1, 3, f64::NAN), (1, 3, 0.5), (2, 1, f64::NEG_INFINITY)];
        for length in 1..=rising.len() {
            let points: Vec<Point> = rising[..length].iter().map(|(step, time, value)| point(metric, *time, *step, *value)).collect();
            let last = points[length - 1];
            let backwards: Vec<Point> = points.iter().rev().copied().collect();
            for order in [&points, &backwards] {
                let (one_by_one, run) = new_run(&test.store).await;
                for point in order {
                    test.store.log_metrics(Points { run_id: one_by_one.clone(), points: vec![*point] }).await.unwrap();
                }
                assert_eq!(latest(&test.store, run).await, [(last.step, last.time, last.value)]);
                let (run_id, run) = new_run(&test.store).await;
                test.store.log_metrics(Points { run_id, points: order.clone() }).await.unwrap();
                assert_eq!(latest(&test.store, run).await, [(last.step, last.time, last.value)]);
            }
        }
    }
}

#[tokio::test]
async fn a_missing_or_deleted_run_fails_alone() {
    for test in stores().await {
        let metric = test.store.metric_ids(&["loss"]).await.unwrap()[0];
        let (live, run) = new_run(&test.store).await;
        let (gone, gone_run) = new_run(&test.store).await;
        delete(&test.store, gone_run).await;
        let item = |run_id: &str, step| Points { run_id: run_id.to_owned(), points: vec![point(metric, 1, step, 1.0)] };
        let items = [item(&live, 1), item(&gone, 2), item("unknown", 3), item(&live, 4)];
        let outcomes = log(test.store.reader(), &items.iter().collect::<Vec<_>>()).await.unwrap();
        assert!(matches!(outcomes.as_slice(), [Ok(()), Err(LogError::RunDeleted), Err(LogError::NoRun), Ok(())]), "{outcomes:?}");
        assert_eq!(whole_history(&test.store, run, metric).await.len(), 2);
        assert_eq!(whole_history(&test.store, gone_run, metric).await.len(), 0);
        assert!(matches!(test.store.log_metrics(Points { run_id: gone, points: Vec::new() }).await, Err(LogError::RunDeleted)));
    }
}

#[tokio::test]
async fn concurrent_requests_store_every_point() {
    for test in stores().await {
        let metrics = test.store.metric_ids(&["a", "b", "c"]).await.unwrap();
        let (one, run) = new_run(&test.store).await;
        let (other, other_run) = new_run(&test.store).await;
        let requests = (0..64_i64).map(|number| {
            let run_id = if number % 2 == 0 { &one } else { &other };
            let points = (0..300).map(|step| point(metrics[usize::try_from(step % 3).unwrap()], number, step, 0.5)).collect();
            test.store.log_metrics(Points { run_id: run_id.clone(), points })
        });
        for outcome in futures::future::join_all(requests).await {
            outcome.unwrap();
        }
        for run in [run, other_run] {
            for metric in &metrics {
                assert_eq!(whole_history(&test.store, run, *metric).await.len(), 32 * 100);
            }
            let steps: Vec<i64> = latest(&test.store, run).await.iter().map(|(step, _, _)| *step).collect();
            assert_eq!(steps, [297, 298, 299]);
        }
    }
}

/// Makes the database refuse one value of a step, whoever sends it.
async fn poison(store: &Store, step: i64) {
    let connection = store.migration_connection();
    let trigger = if is_sqlite(connection) {
        format!("CREATE TRIGGER poison BEFORE INSERT ON metrics WHEN NEW.step = {step} BEGIN SELECT RAISE(ABORT, 'poison'); END")
    } else {
        format!(
            "CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.step = {step} THEN RAISE EXCEPTION 'poison'; END IF; RETURN NEW; END $$;
             CREATE TRIGGER poison BEFORE INSERT ON metrics FOR EACH ROW EXECUTE FUNCTION poison()"
        )
    };
    connection.execute_unprepared(&trigger).await.unwrap();
}

#[tokio::test]
async fn an_error_of_one_request_is_not_the_others() {
    for test in stores().await {
        let metric = test.store.metric_ids(&["loss"]).await.unwrap()[0];
        let (run_id, run) = new_run(&test.store).await;
        poison(&test.store, 13).await;
        let log = |step| {
            test.store
                .log_metrics(Points { run_id: run_id.clone(), points: vec![point(metric, 1, step, 0.0), point(metric, 2, step, 0.0)] })
        };
        // Beside other writes, too: there the points share a transaction.
        let name = |step| {
            test.store.set_up((run, step), |tx, (run, step)| Box::pin(async move { runs::rename(tx, *run, &format!("run {step}")).await }))
        };
        let (logged, named) = tokio::join!(futures::future::join_all((0..40).map(log)), futures::future::join_all((0..4).map(name)));
        for (step, outcome) in logged.iter().enumerate() {
            assert_eq!(outcome.is_err(), step == 13, "{step}: {outcome:?}");
        }
        assert!(named.iter().all(std::result::Result::is_ok));
        let steps: BTreeSet<i64> = whole_history(&test.store, run, metric).await.iter().map(|point| point.step).collect();
        assert_eq!(steps, (0..40).filter(|step| *step != 13).collect());
    }
}

#[tokio::test]
async fn a_param_keeps_its_value_and_a_conflict_is_named() {
    for test in stores().await {
        let (_, run) = new_run(&test.store).await;
        let pairs = |pairs: &[(&str, &str)]| pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<Vec<_>>();
        let insert = |params: Vec<(String, String)>| {
            test.store.set_up((run, params), |tx, (run, params)| Box::pin(async move { run_values::insert_params(tx, *run, params).await }))
        };
        assert_eq!(insert(pairs(&[("b", "1"), ("a", "")])).await.unwrap(), None);
        assert_eq!(insert(pairs(&[("c", "3"), ("b", "1")])).await.unwrap(), None);
        assert_eq!(insert(pairs(&[("d", "4"), ("b", "2")])).await.unwrap(), Some((1, "1".to_owned())));
    }
}

#[tokio::test]
async fn of_an_input_what_came_first_stays() {
    for test in stores().await {
        let input = |name: &str, source: &str, context: &str| inputs::Input {
            dataset: inputs::Dataset {
                name: name.to_owned(),
                digest: "d".to_owned(),
                source_type: "local".to_owned(),
                source: source.to_owned(),
                schema: None,
                profile: Some("{}".to_owned()),
            },
            tags: vec![("context".to_owned(), context.to_owned())],
        };
        let (_, run) = new_run(&test.store).await;
        let (_, other) = new_run(&test.store).await;
        let insert = |run: i64, list: Vec<inputs::Input>| {
            test.store.set_up((run, list), |tx, (run, list)| Box::pin(async move { inputs::insert(tx, *run, 0, list).await }))
        };
        insert(run, vec![input("b", "first", "train"), input("a", "a", "test"), input("b", "second", "eval")]).await.unwrap();
        insert(run, vec![input("b", "third", "eval")]).await.unwrap();
        insert(other, vec![input("b", "fourth", "eval")]).await.unwrap();
        let found = inputs::of_runs(test.store.reader(), &[run, other]).await.unwrap();
        assert_eq!(found[&run], [input("b", "first", "train"), input("a", "a", "test")], "in the order logged");
        assert_eq!(found[&other], [input("b", "first", "eval")]);
    }
}

proptest! {
    #[test]
    fn the_latest_of_rows_is_the_greatest_of_each_series(points in proptest::collection::vec((0..3_i64, 0..3_i64, 0..4_i64, 0..4_i64, -2..3_i64), 0..60)) {
        let mut rows: Vec<Row> = points.into_iter().map(|(run, metric, time, step, value)| Row { run, metric, time, step, value }).collect();
        rows.sort_unstable();
        let latest = latest_of(&rows);
        for row in &rows {
            let of_series: Vec<&Row> = latest.iter().filter(|latest| (latest.run, latest.metric) == (row.run, row.metric)).collect();
            prop_assert_eq!(of_series.len(), 1);
            prop_assert!(latest_key(row.step, row.time, row.value) <= latest_key(of_series[0].step, of_series[0].time, of_series[0].value));
        }
    }
}
