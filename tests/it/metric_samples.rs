//! Histories of several runs at once.

use stagegate::contract::v1;
use tonic::Code;

use crate::house::{Client, Server};

on_both_engines! {
    samples_are_even_and_keep_the_ends,
    histories_of_several_runs_are_cut_at_the_end,
}

/// A run with points at the steps 0 to `count` - 1, whose value is the step.
async fn run(client: &Client, count: i64) -> String {
    let request = v1::CreateRunRequest { experiment_id: "0".to_owned(), ..Default::default() };
    let answer: v1::CreateRunResponse = client.call("CreateRun", request).await.expect("a run");
    let run_id = answer.run.and_then(|run| run.info).expect("a run").run_id;
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let point = |step: i64| v1::Metric {
        key: "loss".to_owned(),
        value: Some(step as f64),
        timestamp: Some(1_000 - step),
        step,
        ..Default::default()
    };
    let request = v1::LogBatchRequest { run_id: run_id.clone(), metrics: (0..count).map(point).collect(), ..Default::default() };
    let _: v1::LogBatchResponse = client.call("LogBatch", request).await.expect("logged");
    run_id
}

async fn sample(client: &Client, request: v1::GetMetricHistoryBulkIntervalRequest) -> Vec<(String, i64)> {
    let answer: v1::GetMetricHistoryBulkIntervalResponse = client.call("GetMetricHistoryBulkInterval", request).await.expect("points");
    answer.metrics.into_iter().map(|metric| (metric.run_id, metric.step)).collect()
}

async fn samples_are_even_and_keep_the_ends(server: Server) {
    let admin = server.admin().await;
    let (long, short) = (run(&admin, 10).await, run(&admin, 2).await);
    let request = |run_ids: &[&String], max_results| v1::GetMetricHistoryBulkIntervalRequest {
        run_ids: run_ids.iter().map(|id| (*id).clone()).collect(),
        metric_key: "loss".to_owned(),
        max_results,
        ..Default::default()
    };
    let steps = |run_id: &String, steps: &[i64]| steps.iter().map(|step| (run_id.clone(), *step)).collect::<Vec<_>>();
    let all: Vec<i64> = (0..10).collect();
    for (size, expected) in [
        (None, &all[..]),
        (Some(10), &all[..]),
        (Some(9), &[0, 2, 3, 4, 5, 6, 7, 8, 9]),
        (Some(4), &[0, 3, 6, 9]),
        (Some(3), &[0, 4, 9]),
        (Some(2), &[0, 9]),
        (Some(1), &[9]),
    ] {
        assert_eq!(sample(&admin, request(&[&long], size)).await, steps(&long, expected), "{size:?}");
    }
    let both = [steps(&short, &[0, 1]), steps(&long, &[0, 4, 9])].concat();
    let unknown = "f".repeat(32);
    assert_eq!(sample(&admin, request(&[&short, &unknown, &long, &short], Some(3))).await, both, "in the order asked for, each once");
    let within = v1::GetMetricHistoryBulkIntervalRequest { start_step: Some(2), end_step: Some(6), ..request(&[&long], Some(3)) };
    assert_eq!(sample(&admin, within.clone()).await, steps(&long, &[2, 4, 6]));
    assert_eq!(sample(&server.as_("").await, within.clone()).await, [], "who may not read a run sees none of it");
    let no_metric = v1::GetMetricHistoryBulkIntervalRequest { metric_key: "none".to_owned(), ..within.clone() };
    assert_eq!(sample(&admin, no_metric).await, []);
    for (bad, field) in [
        (v1::GetMetricHistoryBulkIntervalRequest { start_step: None, ..within.clone() }, "start_step"),
        (v1::GetMetricHistoryBulkIntervalRequest { end_step: None, ..within.clone() }, "end_step"),
        (v1::GetMetricHistoryBulkIntervalRequest { end_step: Some(1), ..within.clone() }, "end_step"),
        (v1::GetMetricHistoryBulkIntervalRequest { max_results: Some(0), ..within.clone() }, "max_results"),
        (v1::GetMetricHistoryBulkIntervalRequest { max_results: Some(2_501), ..within.clone() }, "max_results"),
        (v1::GetMetricHistoryBulkIntervalRequest { run_ids: vec![], ..within.clone() }, "run_ids"),
        (v1::GetMetricHistoryBulkIntervalRequest { run_ids: vec![long.clone(); 101], ..within.clone() }, "run_ids"),
        (v1::GetMetricHistoryBulkIntervalRequest { metric_key: String::new(), ..within }, "metric_key"),
    ] {
        let outcome: Result<v1::GetMetricHistoryBulkIntervalResponse, _> = admin.call("GetMetricHistoryBulkInterval", bad).await;
        let status = outcome.expect_err(field);
        assert!(status.code() == Code::InvalidArgument && status.message().contains(field), "{status:?}");
    }
}

async fn histories_of_several_runs_are_cut_at_the_end(server: Server) {
    let admin = server.admin().await;
    let mut runs = [run(&admin, 3).await, run(&admin, 3).await];
    runs.sort_unstable();
    let request = |max_results| v1::GetMetricHistoryBulkRequest {
        run_id: runs.iter().rev().cloned().collect(),
        metric_key: "loss".to_owned(),
        max_results,
    };
    let bulk = |client: &Client, max_results| {
        let (client, request) = (client.clone(), request(max_results));
        async move {
            let answer: v1::GetMetricHistoryBulkResponse = client.call("GetMetricHistoryBulk", request).await.expect("points");
            answer.metrics.into_iter().map(|metric| (metric.run_id, metric.step)).collect::<Vec<_>>()
        }
    };
    // By run, then by time, which goes against the steps here.
    let all: Vec<_> = runs.iter().flat_map(|run| [2, 1, 0].map(|step| (run.clone(), step))).collect();
    assert_eq!(bulk(&admin, None).await, all);
    assert_eq!(bulk(&admin, Some(4)).await, all[..4]);
    assert_eq!(bulk(&server.as_("").await, None).await, []);
}
