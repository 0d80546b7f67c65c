//! Points of one metric of several runs at once, for charts.

use super::{Error, Result};
use crate::access::Call;
use crate::contract::{Permission, v1};
use crate::domain::access::ObjectClass;
use crate::domain::field::Check;
use crate::domain::{ids, limits, metric_value, text};
use crate::store::metrics::{self as rows, Point};
use crate::store::runs;
use crate::store::search::Query;

/// See the proto.
pub async fn get_metric_history_bulk_interval(
    call: &Call,
    request: v1::GetMetricHistoryBulkIntervalRequest,
) -> Result<v1::GetMetricHistoryBulkIntervalResponse> {
    let size = text::page_size_if_set("max_results", request.max_results, limits::HISTORY_SAMPLE, limits::HISTORY_SAMPLE)?;
    let steps = match (request.start_step, request.end_step) {
        (None, None) => (i64::MIN, i64::MAX),
        (Some(start), Some(end)) if start <= end => (start, end),
        (Some(start), Some(end)) => return Err(Error::invalid("end_step", format!("is {end}, before `start_step`, {start}"))),
        (None, Some(_)) => return Err(Error::invalid("start_step", "must be given together with `end_step`")),
        (Some(_), None) => return Err(Error::invalid("end_step", "must be given together with `start_step`")),
    };
    let mut metrics = Vec::new();
    for (run_id, run, metric) in readable(call, "run_ids", &request.run_ids, &request.metric_key).await? {
        let points = rows::sample(call.store().reader(), run, metric, steps, size).await?;
        metrics.extend(points.into_iter().map(|point| shown(&request.metric_key, &run_id, point)));
    }
    Ok(v1::GetMetricHistoryBulkIntervalResponse { metrics })
}

/// See the proto.
pub async fn get_metric_history_bulk(call: &Call, request: v1::GetMetricHistoryBulkRequest) -> Result<v1::GetMetricHistoryBulkResponse> {
    let size = text::page_size_if_set("max_results", request.max_results, limits::PAGE_HISTORY, limits::PAGE_HISTORY)?;
    let mut found = readable(call, "run_id", &request.run_id, &request.metric_key).await?;
    found.sort_unstable();
    let mut metrics = Vec::new();
    for (run_id, run, metric) in found {
        let left = size - metrics.len() as u64;
        if left == 0 {
            break;
        }
        let points = rows::history(call.store().reader(), run, metric, super::metrics::BEFORE_ALL, left).await?;
        metrics.extend(points.into_iter().map(|point| shown(&request.metric_key, &run_id, point)));
    }
    Ok(v1::GetMetricHistoryBulkResponse { metrics })
}

/// Those of the runs that the caller may read, in the order of the request and each once: as clients name them,
/// their internal ids, and the metric's. None when no run ever had such a metric.
async fn readable(call: &Call, field: &str, run_ids: &[String], metric_key: &str) -> Result<Vec<(String, i64, i64)>> {
    let mut check = Check::new();
    check.require(!run_ids.is_empty(), field, "is required");
    check.take(text::count(field, run_ids.len(), limits::HISTORY_RUNS));
    for (index, run_id) in run_ids.iter().take(limits::HISTORY_RUNS).enumerate() {
        check.take(ids::run_id(&format!("{field}[{index}]"), run_id));
    }
    check.take(text::key("metric_key", metric_key));
    check.finish()?;
    let reader = call.store().reader();
    let Some(metric) = rows::name_id(reader, metric_key).await? else { return Ok(Vec::new()) };
    let snapshot = call.access().snapshot().await?;
    let visible = call.visibility(&snapshot, Permission::ExperimentsRead, ObjectClass::Experiment);
    let mut query = Query::new(call.store().engine());
    let places: Vec<String> = run_ids.iter().map(|run_id| query.bind(run_id.as_str())).collect();
    query.and(format!("r.run_id IN ({})", places.join(", ")));
    query.visible_runs(&visible, &call.caller().user_uid);
    let mut found = runs::ids(reader, query).await?;
    let known = |run_id: &String| found.remove(run_id).map(|run| (run_id.clone(), run, metric));
    Ok(run_ids.iter().filter_map(known).collect())
}

fn shown(key: &str, run_id: &str, point: Point) -> v1::Metric {
    v1::Metric {
        key: key.to_owned(),
        value: Some(metric_value::decode(point.value)),
        timestamp: Some(point.time),
        step: point.step,
        run_id: run_id.to_owned(),
        ..v1::Metric::default()
    }
}
