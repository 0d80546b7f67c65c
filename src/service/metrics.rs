//! Points of metrics: one at a time, and their history.

use super::batch::{self, Batch};
use super::runs::{absent, run_id};
use super::{Error, Result, paging};
use crate::access::Call;
use crate::contract::v1;
use crate::domain::{limits, metric_value, text};
use crate::store::{metrics as rows, runs};

/// Comes before every point: times are not negative.
pub(super) const BEFORE_ALL: (i64, i64, i64) = (-1, 0, 0);

/// See the proto.
pub async fn log_metric(call: &Call, request: v1::LogMetricRequest) -> Result<v1::LogMetricResponse> {
    let run_id = run_id(&request.run_id, &request.run_uuid)?.to_owned();
    let metric = v1::Metric {
        key: request.key,
        value: request.value,
        timestamp: request.timestamp,
        step: request.step,
        model_id: request.model_id,
        dataset_name: request.dataset_name,
        dataset_digest: request.dataset_digest,
        run_id: String::new(),
        logged_by: String::new(),
    };
    batch::metric(&metric)?;
    let batch = Batch { metrics: vec![metric], ..Batch::default() };
    batch::store(call, &run_id, batch).await.map_err(|error| batch::of_one(error, "metrics[0]."))?;
    Ok(v1::LogMetricResponse {})
}

/// See the proto.
pub async fn get_metric_history(call: &Call, request: v1::GetMetricHistoryRequest) -> Result<v1::GetMetricHistoryResponse> {
    let run_id = run_id(&request.run_id, &request.run_uuid)?;
    text::key("metric_key", &request.metric_key)?;
    if request.max_results == Some(0) {
        return Err(Error::invalid("max_results", format!("is 0; must be between 1 and {}", limits::PAGE_HISTORY)));
    }
    let size = text::page_size("max_results", request.max_results().into(), limits::PAGE_HISTORY, limits::PAGE_HISTORY)?;
    let page = paging::query(call, &[run_id.as_bytes(), request.metric_key.as_bytes()]);
    let after = paging::cursor(call, &page, &request.page_token)?.unwrap_or(BEFORE_ALL);
    let reader = call.store().reader();
    let run = runs::by_run_id(reader, run_id).await?.ok_or_else(|| absent(run_id))?;
    let Some(metric) = rows::name_id(reader, &request.metric_key).await? else {
        return Ok(v1::GetMetricHistoryResponse::default());
    };
    let mut found = rows::history(reader, run.id, metric, after, size + 1).await?;
    let next_page_token = paging::cut(call, &page, &mut found, size, |last| (last.time, last.step, last.value))?;
    let shown = |point: rows::Point| v1::Metric {
        key: request.metric_key.clone(),
        value: Some(metric_value::decode(point.value)),
        timestamp: Some(point.time),
        step: point.step,
        ..v1::Metric::default()
    };
    Ok(v1::GetMetricHistoryResponse { metrics: found.into_iter().map(shown).collect(), next_page_token })
}
