//! Registered models and their tags.

use serde_json::json;

use super::experiments::{behind, messages, tag_pairs, tags};
use super::{Error, Result, idempotency, look_alikes, moves, paging, protection, versions, write};
use crate::access::{Call, Subject};
use crate::clock;
use crate::contract::{Permission, v1};
use crate::domain::access::{Object, ObjectClass, Snapshot};
use crate::domain::field::Check;
use crate::domain::ledger::{ModelNow, with_now};
use crate::domain::search::{Entity, PROMPT_TAG, PromptScope, parse_filter, parse_order_by, prompt_rule};
use crate::domain::{key_value, limits, text};
use crate::store::models::{self as rows, ModelRow};
use crate::store::search::{Cursor, Order, Query};
use crate::store::{self, Kept, Recorded, Tx};

/// See the proto.
pub async fn create_registered_model(
    call: &Call,
    request: v1::CreateRegisteredModelRequest,
) -> Result<Kept<v1::CreateRegisteredModelResponse>> {
    let mut check = Check::new();
    check.take(text::model_name("name", &request.name));
    check.take(text::value("description", &request.description, limits::DESCRIPTION));
    check.take(text::idempotency_key(request.idempotency_key.as_deref()));
    tags(&mut check, &request.tags, limits::REGISTRY_TAG_VALUE);
    check.finish()?;
    write(call.store(), (call.clone(), request), |tx, (call, request)| {
        Box::pin(async move {
            let key = request.idempotency_key.as_deref();
            if let Some(answer) = idempotency::earlier(tx, call, key, request).await? {
                return Ok(Recorded::nothing(answer));
            }
            let model = ModelRow {
                uid: clock::new_uid(),
                name: request.name.clone(),
                description: request.description.clone(),
                created: tx.now(),
                updated: tx.now(),
                created_by: call.caller().user_uid.clone(),
            };
            look_alikes::refuse_model_name(tx, call, &model.uid, ("name", &model.name)).await?;
            let taken_by = name_taken_by(tx, call, &model.uid, &model.name).await?;
            rows::insert(tx, &model, taken_by.as_deref()).await.map_err(Error::on_duplicate("registered model", &model.name))?;
            for tag in &request.tags {
                rows::set_tag(tx, &model.uid, &tag.key, &tag.value).await?;
            }
            let payload = json!({
                "description": model.description, "tags": tag_pairs(&request.tags), "takes_promoted_name": taken_by.is_some(),
            });
            let recorded = record(tx, call, &model, &with_now(payload, &named(&model.name))).await?;
            let answer = v1::CreateRegisteredModelResponse { registered_model: Some(shown_in(tx, call, model).await?) };
            idempotency::keep(tx, call, key, request, recorded.map(|()| answer)).await
        })
    })
    .await
}

/// See the proto.
pub async fn get_registered_model(call: &Call, request: v1::GetRegisteredModelRequest) -> Result<v1::GetRegisteredModelResponse> {
    let model = by_name(call, &request.name).await?;
    let snapshot = call.access().snapshot().await?;
    let mut shown = shown_all(call.store().reader(), &snapshot, vec![model]).await?;
    Ok(v1::GetRegisteredModelResponse { registered_model: shown.pop() })
}

/// See the proto.
pub async fn search_registered_models(
    call: &Call,
    request: v1::SearchRegisteredModelsRequest,
) -> Result<v1::SearchRegisteredModelsResponse> {
    let size = text::page_size_if_set("max_results", request.max_results, limits::PAGE_MODELS_DEFAULT, limits::PAGE_MODELS)?;
    let mut filter = parse_filter(Entity::RegisteredModels, &request.filter)?;
    let orders = parse_order_by(Entity::RegisteredModels, &request.order_by)?;
    let snapshot = call.access().snapshot().await?;
    let visible = call.visibility(&snapshot, Permission::ModelsRead, ObjectClass::Model);
    let mut query = Query::new(call.store().engine());
    query.visible(&visible, "m.uid", "m.name", ("m.created_by", &call.caller().user_uid));
    if prompt_rule(&mut filter) == PromptScope::Exclude {
        let key = query.bind(PROMPT_TAG);
        query.and(format!(
            "NOT EXISTS (SELECT 1 FROM registered_model_tags s WHERE s.model_uid = m.uid AND s.tag_key = {key} AND s.value = 'true')"
        ));
    }
    query.filter(Entity::RegisteredModels, &filter);
    let order = Order::new(&mut query, Entity::RegisteredModels, &orders, &[("m.name", true, false), ("m.uid", true, false)]);
    let order_text = request.order_by.join("\n");
    let page = paging::query(call, &[request.filter.as_bytes(), order_text.as_bytes()]);
    if let Some(cursor) = paging::cursor::<Vec<Cursor>>(call, &page, &request.page_token)? {
        behind(&order, &mut query, &cursor)?;
    }
    let search = call.store().search(&call.caller().user_uid).await?;
    let mut found = search.run(rows::search(&*search, query, &order, size + 1)).await?;
    search.done().await?;
    let next_page_token = paging::cut(call, &page, &mut found, size, |(_, cursor)| cursor.clone())?;
    let found = found.into_iter().map(|(model, _)| model).collect();
    let registered_models = shown_all(call.store().reader(), &snapshot, found).await?;
    Ok(v1::SearchRegisteredModelsResponse { registered_models, next_page_token })
}

/// See the proto.
pub async fn update_registered_model(
    call: &Call,
    request: v1::UpdateRegisteredModelRequest,
) -> Result<Kept<v1::UpdateRegisteredModelResponse>> {
    text::required("name", &request.name, limits::MODEL_NAME)?;
    text::value("description", request.description.as_deref().unwrap_or_default(), limits::DESCRIPTION)?;
    let registered_model = write(call.store(), (call.clone(), request), |tx, (call, request)| {
        Box::pin(async move {
            let model = lock(tx, &request.name).await?;
            let Some(description) = &request.description else {
                return Ok(Recorded::nothing(shown_in(tx, call, model).await?));
            };
            rows::set_description(tx, &model.uid, description).await?;
            let payload = json!({"before": {"description": model.description}, "after": {"description": description}});
            let recorded = record(tx, call, &model, &payload).await?;
            let shown = reread(tx, call, &model.uid).await?;
            Ok(recorded.map(|()| shown))
        })
    })
    .await?;
    Ok(registered_model.map(|registered_model| v1::UpdateRegisteredModelResponse { registered_model: Some(registered_model) }))
}

/// See the proto.
pub async fn rename_registered_model(
    call: &Call,
    request: v1::RenameRegisteredModelRequest,
) -> Result<Kept<v1::RenameRegisteredModelResponse>> {
    text::required("name", &request.name, limits::MODEL_NAME)?;
    text::model_name("new_name", &request.new_name)?;
    let registered_model = write(call.store(), (call.clone(), request), |tx, (call, request)| {
        Box::pin(async move {
            let model = lock(tx, &request.name).await?;
            may_be_renamed(tx, &model).await?;
            look_alikes::refuse_model_name(tx, call, &model.uid, ("new_name", &request.new_name)).await?;
            let taken_by = name_taken_by(tx, call, &model.uid, &request.new_name).await?;
            rows::rename(tx, &model.uid, &request.new_name, taken_by.as_deref())
                .await
                .map_err(Error::on_duplicate("registered model", &request.new_name))?;
            // Patterns of grants bind names, and checks remember names.
            store::access::raise_epoch(tx).await?;
            let payload = json!({
                "before": {"name": model.name}, "after": {"name": request.new_name}, "takes_promoted_name": taken_by.is_some(),
            });
            let recorded = record(tx, call, &model, &with_now(payload, &named(&request.new_name))).await?;
            let shown = reread(tx, call, &model.uid).await?;
            Ok(recorded.map(|()| shown))
        })
    })
    .await?;
    call.access().refresh().await?;
    Ok(registered_model.map(|registered_model| v1::RenameRegisteredModelResponse { registered_model: Some(registered_model) }))
}

/// People approve, and serve, a version by the name that they read: a model keeps its name while it holds a
/// gated target or somebody asks for one, and takes none under which a gate would protect what it holds.
async fn may_be_renamed(tx: &Tx, model: &ModelRow) -> Result<()> {
    protection::model(tx, &model.uid).await?;
    if let Some(open) = store::requests::open_in(&**tx, &model.uid, "").await?.first() {
        return Err(Error::precondition(
            "HAS_OPEN_REQUEST",
            format!("a request for version {} to take {} is open under this name; let it end first", open.version, open.target),
        ));
    }
    Ok(())
}

/// Whether another model held a gated target under a name. Then it takes the right to manage gates to give the
/// name to this one, and the answer says who did.
pub(super) async fn name_taken_by(tx: &Tx, call: &Call, uid: &str, name: &str) -> Result<Option<String>> {
    if !rows::was_promoted(&**tx, uid, name).await? {
        return Ok(None);
    }
    let object = Object::named(ObjectClass::Model, uid, name);
    let on = format!("the name {name:?}, under which another model held a target that a gate protects");
    moves::require(tx, call, Permission::GatesManage, &object, &on).await?;
    Ok(Some(call.caller().user_uid.clone()))
}

/// See the proto.
pub async fn delete_registered_model(
    call: &Call,
    request: v1::DeleteRegisteredModelRequest,
) -> Result<Kept<v1::DeleteRegisteredModelResponse>> {
    text::required("name", &request.name, limits::MODEL_NAME)?;
    let kept = write(call.store(), (call.clone(), request), |tx, (call, request)| {
        Box::pin(async move {
            let model = lock(tx, &request.name).await?;
            protection::model(tx, &model.uid).await?;
            let holders = moves::delete_versions(tx, call, &model.uid, None).await?;
            rows::delete(tx, &model.uid).await?;
            store::access::raise_epoch(tx).await?;
            let now = ModelNow { deleted: true, holders, ..ModelNow::default() };
            record(tx, call, &model, &with_now(json!({"name": model.name}), &now)).await
        })
    })
    .await?;
    call.access().refresh().await?;
    Ok(kept.map(|()| v1::DeleteRegisteredModelResponse {}))
}

/// See the proto.
pub async fn set_registered_model_tag(
    call: &Call,
    request: v1::SetRegisteredModelTagRequest,
) -> Result<Kept<v1::SetRegisteredModelTagResponse>> {
    let mut check = Check::new();
    check.take(text::required("name", &request.name, limits::MODEL_NAME));
    check.take(key_value::check(&request.key, &request.value, limits::REGISTRY_TAG_VALUE));
    check.finish()?;
    let kept = write(call.store(), (call.clone(), request), |tx, (call, request)| {
        Box::pin(async move {
            let model = lock(tx, &request.name).await?;
            rows::set_tag(tx, &model.uid, &request.key, &request.value).await?;
            record(tx, call, &model, &json!({"tag": request.key, "after": request.value})).await
        })
    })
    .await?;
    Ok(kept.map(|()| v1::SetRegisteredModelTagResponse {}))
}

/// See the proto.
pub async fn delete_registered_model_tag(
    call: &Call,
    request: v1::DeleteRegisteredModelTagRequest,
) -> Result<Kept<v1::DeleteRegisteredModelTagResponse>> {
    text::required("name", &request.name, limits::MODEL_NAME)?;
    text::key("key", &request.key)?;
    let kept = write(call.store(), (call.clone(), request), |tx, (call, request)| {
        Box::pin(async move {
            let model = lock(tx, &request.name).await?;
            if !rows::delete_tag(tx, &model.uid, &request.key).await? {
                return Ok(Recorded::nothing(()));
            }
            record(tx, call, &model, &json!({"tag": request.key, "after": null})).await
        })
    })
    .await?;
    Ok(kept.map(|()| v1::DeleteRegisteredModelTagResponse {}))
}

fn named(name: &str) -> ModelNow {
    ModelNow { name: Some(name.to_owned()), ..ModelNow::default() }
}

/// A live model for reading.
pub(super) async fn by_name(call: &Call, name: &str) -> Result<ModelRow> {
    text::required("name", name, limits::MODEL_NAME)?;
    rows::by_name(call.store().reader(), name).await?.ok_or_else(|| absent(name))
}

/// A live model for writing.
pub(super) async fn lock(tx: &Tx, name: &str) -> Result<ModelRow> {
    rows::lock_by_name(tx, name).await?.ok_or_else(|| absent(name))
}

/// Writes the row of a change of a model.
pub(super) async fn record(tx: &Tx, call: &Call, model: &ModelRow, payload: &serde_json::Value) -> Result<Recorded<()>> {
    let subject = Subject { kind: "registered_model", id: &model.uid, name: &model.name, scope: &model.uid };
    Ok(tx.record(&call.entry(tx.now(), &subject, payload)).await?)
}

async fn reread(tx: &Tx, call: &Call, uid: &str) -> Result<v1::RegisteredModel> {
    let model = rows::by_uid(&**tx, uid).await?.ok_or_else(|| Error::Internal("a locked model is gone".to_owned()))?;
    shown_in(tx, call, model).await
}

async fn shown_in(tx: &Tx, call: &Call, model: ModelRow) -> Result<v1::RegisteredModel> {
    let snapshot = call.access().snapshot().await?;
    let mut shown = shown_all(&**tx, &snapshot, vec![model]).await?;
    shown.pop().ok_or_else(|| Error::Internal("a model was lost".to_owned()))
}

async fn shown_all<C: sea_orm::ConnectionTrait>(on: &C, snapshot: &Snapshot, found: Vec<ModelRow>) -> Result<Vec<v1::RegisteredModel>> {
    let uids: Vec<String> = found.iter().map(|model| model.uid.clone()).collect();
    let mut tags = rows::tags(on, &uids).await?;
    let mut aliases = rows::aliases(on, &uids).await?;
    let mut latest = store::versions::latest(on, &uids).await?;
    let mut shown = Vec::with_capacity(found.len());
    for model in found {
        let alias = |(alias, version)| v1::RegisteredModelAlias { alias, version };
        shown.push(v1::RegisteredModel {
            creation_timestamp: model.created,
            last_updated_timestamp: model.updated,
            user_id: user_name(snapshot, &model.created_by),
            description: model.description,
            latest_versions: versions::shown_all(on, snapshot, latest.remove(&model.uid).unwrap_or_default()).await?,
            tags: messages(tags.remove(&model.uid).unwrap_or_default()),
            aliases: aliases.remove(&model.uid).unwrap_or_default().into_iter().map(alias).collect(),
            name: model.name,
            id: model.uid,
        });
    }
    Ok(shown)
}

/// The name of a user; empty for one that is not known.
pub(super) fn user_name(snapshot: &Snapshot, uid: &str) -> String {
    snapshot.users.get(uid).map(|user| user.name.clone()).unwrap_or_default()
}

fn absent(name: &str) -> Error {
    Error::not_found("registered model", name)
}
