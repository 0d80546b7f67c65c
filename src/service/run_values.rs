//! Params, tags and whole batches of a run.

use super::batch::{self, Batch};
use super::runs::{live, run_id};
use super::{Error, Result};
use crate::access::Call;
use crate::contract::v1;
use crate::domain::field::Check;
use crate::domain::{ids, text};
use crate::store::{Unrecorded, run_values};

/// See the proto.
pub async fn set_run_tag(call: &Call, request: v1::SetRunTagRequest) -> Result<v1::SetRunTagResponse> {
    let run_id = run_id(&request.run_id, &request.run_uuid)?.to_owned();
    let tag = v1::Tag { key: request.key, value: request.value };
    batch::tag(&tag)?;
    batch::store(call, &run_id, Batch { tags: vec![tag], ..Batch::default() }).await?;
    Ok(v1::SetRunTagResponse {})
}

/// See the proto.
pub async fn delete_run_tag(call: &Call, request: v1::DeleteRunTagRequest) -> Result<v1::DeleteRunTagResponse> {
    ids::run_id("run_id", &request.run_id)?;
    text::key("key", &request.key)?;
    call.store()
        .write_unrecorded(Unrecorded::Tracking, request, |tx, request| {
            Box::pin(async move {
                let run = live(tx, &request.run_id).await?;
                if !run_values::delete_tag(tx, run.id, &request.key).await? {
                    return Err(Error::not_found("tag", &request.key));
                }
                Ok(())
            })
        })
        .await?;
    Ok(v1::DeleteRunTagResponse {})
}

/// See the proto.
pub async fn log_param(call: &Call, request: v1::LogParamRequest) -> Result<v1::LogParamResponse> {
    let run_id = run_id(&request.run_id, &request.run_uuid)?.to_owned();
    let param = v1::Param { key: request.key, value: request.value };
    batch::param(&param)?;
    batch::store(call, &run_id, Batch { params: vec![param], ..Batch::default() })
        .await
        .map_err(|error| batch::of_one(error, "params[0]."))?;
    Ok(v1::LogParamResponse {})
}

/// See the proto.
pub async fn log_batch(call: &Call, request: v1::LogBatchRequest) -> Result<v1::LogBatchResponse> {
    let mut check = Check::new();
    check.take(ids::run_id("run_id", &request.run_id));
    let batch = Batch { metrics: request.metrics, params: request.params, tags: request.tags };
    batch.check(&mut check, "");
    check.finish()?;
    batch::store(call, &request.run_id, batch).await?;
    Ok(v1::LogBatchResponse {})
}
