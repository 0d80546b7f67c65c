//! Experiments.

use serde_json::json;

use super::{Error, Result, idempotency, paging, write};
use crate::access::{Call, Subject};
use crate::contract::{Permission, v1};
use crate::domain::access::ObjectClass;
use crate::domain::field::{Check, FieldError};
use crate::domain::search::{Entity, parse_filter, parse_order_by};
use crate::domain::{ids, key_value, limits, text};
use crate::store::search::{Cursor, Order, Query};
use crate::store::{self, Kept, Recorded, Tx, Unrecorded, experiments as rows};

/// See the proto.
pub async fn create_experiment(call: &Call, request: v1::CreateExperimentRequest) -> Result<Kept<v1::CreateExperimentResponse>> {
    let mut check = Check::new();
    check.take(text::experiment_name("name", &request.name));
    check.require(request.artifact_location.is_empty(), "artifact_location", "must be empty: artifacts lie in the server's own store");
    check.take(text::idempotency_key(request.idempotency_key.as_deref()));
    tags(&mut check, &request.tags, limits::EXPERIMENT_TAG_VALUE);
    check.finish()?;
    write(call.store(), (call.clone(), request), |tx, (call, request)| {
        Box::pin(async move {
            let key = request.idempotency_key.as_deref();
            if let Some(answer) = idempotency::earlier(tx, call, key, request).await? {
                return Ok(Recorded::nothing(answer));
            }
            not_of_a_deleted_one(tx, &request.name).await?;
            let id =
                rows::insert(tx, &request.name, &call.caller().user_uid).await.map_err(Error::on_duplicate("experiment", &request.name))?;
            for tag in &request.tags {
                rows::set_tag(tx, id, &tag.key, &tag.value).await?;
            }
            let answer = v1::CreateExperimentResponse { experiment_id: id.to_string() };
            let payload = json!({"name": request.name, "tags": tag_pairs(&request.tags)});
            let answer = record(tx, call, id, &request.name, &payload).await?.map(|()| answer);
            idempotency::keep(tx, call, key, request, answer).await
        })
    })
    .await
}

/// See the proto.
pub async fn get_experiment(call: &Call, request: v1::GetExperimentRequest) -> Result<v1::GetExperimentResponse> {
    let id = ids::experiment_id("experiment_id", &request.experiment_id)?;
    let row = rows::by_id(call.store().reader(), id).await?.ok_or_else(|| absent(&request.experiment_id))?;
    Ok(v1::GetExperimentResponse { experiment: Some(shown(call, row).await?) })
}

/// See the proto.
pub async fn get_experiment_by_name(call: &Call, request: v1::GetExperimentByNameRequest) -> Result<v1::GetExperimentByNameResponse> {
    text::required("experiment_name", &request.experiment_name, limits::EXPERIMENT_NAME)?;
    let row = rows::by_name(call.store().reader(), &request.experiment_name).await?;
    let row = row.ok_or_else(|| absent(&request.experiment_name))?;
    Ok(v1::GetExperimentByNameResponse { experiment: Some(shown(call, row).await?) })
}

/// See the proto.
pub async fn search_experiments(call: &Call, request: v1::SearchExperimentsRequest) -> Result<v1::SearchExperimentsResponse> {
    let size = text::page_size_if_set("max_results", request.max_results, limits::PAGE_RUNS_DEFAULT, limits::PAGE_RUNS)?;
    let filter = parse_filter(Entity::Experiments, &request.filter)?;
    let orders = parse_order_by(Entity::Experiments, &request.order_by)?;
    let snapshot = call.access().snapshot().await?;
    let visible = call.visibility(&snapshot, Permission::ExperimentsRead, ObjectClass::Experiment);
    let mut query = Query::new(call.store().engine());
    query.visible(&visible, "CAST(x.id AS TEXT)", "x.name", ("x.created_by", &call.caller().user_uid));
    query.filter(Entity::Experiments, &filter);
    view(&mut query, "view_type", request.view_type, "x.active")?;
    let ties: &[_] = if orders.is_empty() { &[("x.created", false, true), ("x.id", false, false)] } else { &[("x.id", false, true)] };
    let order = Order::new(&mut query, Entity::Experiments, &orders, ties);
    let order_text = request.order_by.join("\n");
    let page = paging::query(call, &[request.filter.as_bytes(), order_text.as_bytes(), &request.view_type.to_be_bytes()]);
    if let Some(cursor) = paging::cursor::<Vec<Cursor>>(call, &page, &request.page_token)? {
        behind(&order, &mut query, &cursor)?;
    }
    let search = call.store().search(&call.caller().user_uid).await?;
    let mut found = search.run(rows::search(&*search, query, &order, size + 1)).await?;
    search.done().await?;
    let next_page_token = paging::cut(call, &page, &mut found, size, |(_, cursor)| cursor.clone())?;
    let experiments = shown_all(call, found.into_iter().map(|(row, _)| row).collect()).await?;
    Ok(v1::SearchExperimentsResponse { experiments, next_page_token })
}

/// See the proto.
pub async fn update_experiment(call: &Call, request: v1::UpdateExperimentRequest) -> Result<Kept<v1::UpdateExperimentResponse>> {
    let id = ids::experiment_id("experiment_id", &request.experiment_id)?;
    let name = request.new_name;
    text::experiment_name("new_name", &name)?;
    let kept = write(call.store(), (call.clone(), id, name), |tx, (call, id, name)| {
        Box::pin(async move {
            let before = active(tx, *id).await?;
            not_of_a_deleted_one(tx, name).await?;
            rows::rename(tx, *id, name).await.map_err(Error::on_duplicate("experiment", name))?;
            // Patterns of grants bind names.
            store::access::raise_epoch(tx).await?;
            record(tx, call, *id, name, &json!({"before": {"name": before.name}, "after": {"name": name}})).await
        })
    })
    .await?;
    call.access().refresh().await?;
    Ok(kept.map(|()| v1::UpdateExperimentResponse {}))
}

/// A deleted experiment keeps its name, which nobody sees in a list.
async fn not_of_a_deleted_one(tx: &Tx, name: &str) -> Result<()> {
    match rows::by_name(&**tx, name).await? {
        Some(row) if !row.active => Err(Error::AlreadyExists {
            kind: "experiment",
            name: row.name,
            hint: ", and is deleted: restore or purge it, or choose another name",
        }),
        _ => Ok(()),
    }
}

/// See the proto.
pub async fn delete_experiment(call: &Call, request: v1::DeleteExperimentRequest) -> Result<Kept<v1::DeleteExperimentResponse>> {
    let id = ids::experiment_id("experiment_id", &request.experiment_id)?;
    let kept = set_active(call, id, false).await?;
    Ok(kept.map(|()| v1::DeleteExperimentResponse {}))
}

/// See the proto.
pub async fn restore_experiment(call: &Call, request: v1::RestoreExperimentRequest) -> Result<Kept<v1::RestoreExperimentResponse>> {
    let id = ids::experiment_id("experiment_id", &request.experiment_id)?;
    let kept = set_active(call, id, true).await?;
    Ok(kept.map(|()| v1::RestoreExperimentResponse {}))
}

async fn set_active(call: &Call, id: i64, wanted: bool) -> Result<Kept<()>> {
    write(call.store(), (call.clone(), id, wanted), |tx, (call, id, wanted)| {
        Box::pin(async move {
            let row = rows::by_id(&**tx, *id).await?.filter(|row| row.active != *wanted);
            let row = row.ok_or_else(|| absent(&id.to_string()))?;
            if !*wanted {
                super::protection::experiment(tx, *id).await?;
            }
            rows::set_active(tx, *id, *wanted).await?;
            record(tx, call, *id, &row.name, &json!({"after": {"active": wanted}})).await
        })
    })
    .await
}

/// See the proto.
pub async fn set_experiment_tag(call: &Call, request: v1::SetExperimentTagRequest) -> Result<Kept<v1::SetExperimentTagResponse>> {
    let id = ids::experiment_id("experiment_id", &request.experiment_id)?;
    key_value::check(&request.key, &request.value, limits::EXPERIMENT_TAG_VALUE)?;
    let kept = write(call.store(), (call.clone(), id, request), |tx, (call, id, request)| {
        Box::pin(async move {
            let row = active(tx, *id).await?;
            rows::set_tag(tx, *id, &request.key, &request.value).await?;
            record(tx, call, *id, &row.name, &json!({"tag": request.key, "after": request.value})).await
        })
    })
    .await?;
    Ok(kept.map(|()| v1::SetExperimentTagResponse {}))
}

/// See the proto.
pub async fn delete_experiment_tag(call: &Call, request: v1::DeleteExperimentTagRequest) -> Result<Kept<v1::DeleteExperimentTagResponse>> {
    let id = ids::experiment_id("experiment_id", &request.experiment_id)?;
    text::key("key", &request.key)?;
    let kept = write(call.store(), (call.clone(), id, request.key), |tx, (call, id, key)| {
        Box::pin(async move {
            let row = active(tx, *id).await?;
            if !rows::delete_tag(tx, *id, key).await? {
                return Err(Error::not_found("tag", key));
            }
            record(tx, call, *id, &row.name, &json!({"tag": key, "after": null})).await
        })
    })
    .await?;
    Ok(kept.map(|()| v1::DeleteExperimentTagResponse {}))
}

/// A live experiment, or the error that says what is in the way.
pub(super) async fn active(tx: &Tx, id: i64) -> Result<rows::ExperimentRow> {
    let row = rows::by_id(&**tx, id).await?.ok_or_else(|| absent(&id.to_string()))?;
    if !row.active {
        return Err(Error::precondition("EXPERIMENT_DELETED", format!("the experiment {id} is deleted; it must be in the 'active' state")));
    }
    Ok(row)
}

async fn record(tx: &Tx, call: &Call, id: i64, name: &str, payload: &serde_json::Value) -> Result<Recorded<()>> {
    let id = id.to_string();
    let subject = Subject { kind: "experiment", id: &id, name, scope: &id };
    Ok(tx.record(&call.entry(tx.now(), &subject, payload)).await?)
}

async fn shown(call: &Call, row: rows::ExperimentRow) -> Result<v1::Experiment> {
    let mut all = shown_all(call, vec![row]).await?;
    all.pop().ok_or_else(|| Error::Internal("an experiment was lost".to_owned()))
}

async fn shown_all(call: &Call, found: Vec<rows::ExperimentRow>) -> Result<Vec<v1::Experiment>> {
    let ids: Vec<i64> = found.iter().map(|row| row.id).collect();
    let mut tags = rows::tags(call.store().reader(), &ids).await?;
    let show = |row: rows::ExperimentRow| v1::Experiment {
        experiment_id: row.id.to_string(),
        artifact_location: format!("mlflow-artifacts:/{}", row.id),
        lifecycle_stage: lifecycle(row.active).into(),
        last_update_time: row.updated,
        creation_time: row.created,
        tags: messages(tags.remove(&row.id).unwrap_or_default()),
        name: row.name,
    };
    Ok(found.into_iter().map(show).collect())
}

/// Tags as the contract has them.
pub(super) fn messages(tags: Vec<(String, String)>) -> Vec<v1::Tag> {
    tags.into_iter().map(|(key, value)| v1::Tag { key, value }).collect()
}

/// Whether an object is live, as the contract has it.
pub(super) fn lifecycle(active: bool) -> v1::LifecycleStage {
    if active { v1::LifecycleStage::Active } else { v1::LifecycleStage::Deleted }
}

/// Checks the tags of an object that is created.
pub(super) fn tags(check: &mut Check, tags: &[v1::Tag], value_limit: usize) {
    let pairs = tags.iter().map(|tag| (tag.key.as_str(), tag.value.as_str()));
    key_value::check_list(check, "tags", pairs, limits::CREATION_TAGS, value_limit);
}

/// Tags for a ledger payload.
pub(super) fn tag_pairs(tags: &[v1::Tag]) -> serde_json::Value {
    tags.iter().map(|tag| (tag.key.clone(), serde_json::Value::from(tag.value.clone()))).collect::<serde_json::Map<_, _>>().into()
}

/// Leaves only live or only deleted objects, as a view type asks.
pub(super) fn view(query: &mut Query, field: &str, view_type: i32, active: &str) -> Result<()> {
    match v1::ViewType::try_from(view_type) {
        Ok(v1::ViewType::Unspecified | v1::ViewType::ActiveOnly) => query.and(active),
        Ok(v1::ViewType::DeletedOnly) => query.and(format!("NOT {active}")),
        Ok(v1::ViewType::All) => {}
        Err(_) => return Err(unknown_enum(field, view_type)),
    }
    Ok(())
}

/// The error of an enum number that the contract does not have.
pub(super) fn unknown_enum(field: &str, number: i32) -> Error {
    FieldError::new(field, format!("has no value {number}")).into()
}

/// Starts a page behind a cursor.
pub(super) fn behind(order: &Order, query: &mut Query, cursor: &[Cursor]) -> Result<()> {
    if order.behind(query, cursor) {
        return Ok(());
    }
    Err(Error::invalid("page_token", "is not from an earlier answer to the same query"))
}

fn absent(id: &str) -> Error {
    Error::not_found("experiment", id)
}

/// Makes the experiment 0, `Default`, at the first start.
pub async fn ensure_default_experiment(store: &store::Store) -> Result<()> {
    store
        .write_unrecorded(Unrecorded::FirstStart, (), |tx, ()| Box::pin(async move { Ok(rows::insert_default(tx).await.map(|_| ())?) }))
        .await
}
