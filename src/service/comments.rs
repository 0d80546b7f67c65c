//! Comments on versions.

use serde_json::json;

use super::{Error, Result, idempotency, models, paging, versions, write};
use crate::access::{Call, Subject};
use crate::clock;
use crate::contract::v1;
use crate::domain::field::Check;
use crate::domain::{ids, limits, text};
use crate::store::comments::{self as rows, CommentRow};
use crate::store::{Kept, Recorded, Tx};

/// See the proto.
pub async fn create_comment(call: &Call, request: v1::CreateCommentRequest) -> Result<Kept<v1::CreateCommentResponse>> {
    let mut check = Check::new();
    let number = check.take(ids::version_number("version", &request.version));
    check.take(text::required("text", &request.text, limits::COMMENT));
    check.take(text::idempotency_key(request.idempotency_key.as_deref()));
    check.finish()?;
    let number = number.ok_or_else(|| Error::Internal("a version that was not refused is missing".to_owned()))?;
    write(call.store(), (call.clone(), request, number), |tx, (call, request, number)| {
        Box::pin(async move {
            let key = request.idempotency_key.as_deref();
            if let Some(answer) = idempotency::earlier(tx, call, key, request).await? {
                return Ok(Recorded::nothing(answer));
            }
            let (_, version) = versions::lock(tx, &request.name, *number).await?;
            let uid = clock::new_uid();
            rows::insert(tx, &uid, &version, &call.caller().user_uid, &request.text).await?;
            let row = lock(tx, &uid).await?;
            let recorded = record(tx, call, &row, &json!({"text": request.text})).await?;
            let answer = v1::CreateCommentResponse { comment: Some(message(row)) };
            idempotency::keep(tx, call, key, request, recorded.map(|()| answer)).await
        })
    })
    .await
}

/// See the proto.
pub async fn update_comment(call: &Call, request: v1::UpdateCommentRequest) -> Result<Kept<v1::UpdateCommentResponse>> {
    ids::uid("comment_id", &request.comment_id)?;
    text::required("text", &request.text, limits::COMMENT)?;
    write(call.store(), (call.clone(), request), |tx, (call, request)| {
        Box::pin(async move {
            let before = lock(tx, &request.comment_id).await?;
            rows::set_text(tx, &before.uid, &request.text).await?;
            let recorded = record(tx, call, &before, &json!({"before": before.text, "after": request.text})).await?;
            let after = lock(tx, &request.comment_id).await?;
            Ok(recorded.map(|()| v1::UpdateCommentResponse { comment: Some(message(after)) }))
        })
    })
    .await
}

/// See the proto.
pub async fn delete_comment(call: &Call, request: v1::DeleteCommentRequest) -> Result<Kept<v1::DeleteCommentResponse>> {
    ids::uid("comment_id", &request.comment_id)?;
    let kept = write(call.store(), (call.clone(), request), |tx, (call, request)| {
        Box::pin(async move {
            let before = lock(tx, &request.comment_id).await?;
            rows::delete(tx, &before.uid).await?;
            record(tx, call, &before, &json!({"before": before.text, "after": null})).await
        })
    })
    .await?;
    Ok(kept.map(|()| v1::DeleteCommentResponse {}))
}

/// See the proto.
pub async fn list_comments(call: &Call, request: v1::ListCommentsRequest) -> Result<v1::ListCommentsResponse> {
    let size = text::page_size("max_results", request.max_results.into(), limits::PAGE_DEFAULT, limits::PAGE)?;
    let number = ids::version_number("version", &request.version)?;
    let model = models::by_name(call, &request.name).await?;
    let on = call.store().reader();
    let version = crate::store::versions::by_number(on, &model.uid, number.into()).await?;
    let version = version.ok_or_else(|| versions::absent(&request.name, &request.version))?;
    let page = paging::query(call, &[version.uid.as_bytes()]);
    let after: (i64, String) = paging::cursor(call, &page, &request.page_token)?.unwrap_or((-1, String::new()));
    let mut found = rows::after(on, &version.uid, (after.0, &after.1), size + 1).await?;
    let next_page_token = paging::cut(call, &page, &mut found, size, |row| (row.created, row.uid.clone()))?;
    Ok(v1::ListCommentsResponse { comments: found.into_iter().map(message).collect(), next_page_token })
}

async fn lock(tx: &Tx, uid: &str) -> Result<CommentRow> {
    rows::by_uid(&**tx, uid).await?.ok_or_else(|| Error::not_found("comment", uid))
}

async fn record(tx: &Tx, call: &Call, row: &CommentRow, payload: &serde_json::Value) -> Result<Recorded<()>> {
    let name = format!("{}/{}", row.model_name, row.version);
    let subject = Subject { kind: "comment", id: &row.uid, name: &name, scope: &row.model_uid };
    Ok(tx.record(&call.entry(tx.now(), &subject, payload)).await?)
}

fn message(row: CommentRow) -> v1::Comment {
    v1::Comment {
        comment_id: row.uid,
        name: row.model_name,
        version: row.version.to_string(),
        user_name: row.user_name,
        text: row.text,
        creation_timestamp: row.created,
        last_updated_timestamp: row.updated,
    }
}
