//! Versions of registered models.

use sea_orm::ConnectionTrait;
use serde_json::json;

use super::experiments::{behind, messages, tag_pairs, tags};
use super::logged_model_values::note_version;
use super::models::{self, user_name};
use super::version_origin::origin;
use super::{Error, Result, idempotency, moves, paging, protection, write};
use crate::access::{Call, Subject};
use crate::clock;
use crate::contract::{Permission, v1};
use crate::domain::access::{ObjectClass, Snapshot};
use crate::domain::field::Check;
use crate::domain::ledger::{VersionNow, with_now};
use crate::domain::manifest::UNVERIFIED;
use crate::domain::search::{Entity, PROMPT_TAG, PromptScope, parse_filter, parse_order_by, prompt_rule};
use crate::domain::source::{self, Source};
use crate::domain::version_ref::VersionRef;
use crate::domain::{ids, key_value, limits, stage, text};
use crate::store::artifacts;
use crate::store::models::ModelRow;
use crate::store::search::{Cursor, Order, Query};
use crate::store::versions::{self as rows, VersionRow};
use crate::store::{self, Kept, Recorded, Tx};

/// See the proto.
pub async fn create_model_version(call: &Call, request: v1::CreateModelVersionRequest) -> Result<Kept<v1::CreateModelVersionResponse>> {
    let mut check = Check::new();
    check.take(text::required("name", &request.name, limits::MODEL_NAME));
    let source = check.take(source::parse("source", &request.source));
    if !request.run_id.is_empty() {
        check.take(ids::run_id("run_id", &request.run_id));
    }
    if !request.model_id.is_empty() {
        check.take(ids::logged_model_id("model_id", &request.model_id));
    }
    check.take(text::value("run_link", &request.run_link, limits::URI));
    check.take(text::value("description", &request.description, limits::DESCRIPTION));
    check.take(text::idempotency_key(request.idempotency_key.as_deref()));
    tags(&mut check, &request.tags, limits::REGISTRY_TAG_VALUE);
    check.finish()?;
    let source = source.ok_or_else(|| Error::Internal("a source that was not refused is missing".to_owned()))?;
    let version =
        write(call.store(), (call.clone(), request, source), |tx, (call, request, source)| Box::pin(create(tx, call, request, source)))
            .await?;
    Ok(version.map(|version| v1::CreateModelVersionResponse { model_version: Some(version) }))
}

async fn create(tx: &Tx, call: &Call, request: &v1::CreateModelVersionRequest, source: &Source) -> Result<Recorded<v1::ModelVersion>> {
    let key = request.idempotency_key.as_deref();
    if let Some(answer) = idempotency::earlier(tx, call, key, request).await? {
        return Ok(Recorded::nothing(answer));
    }
    let model = models::lock(tx, &request.name).await?;
    let origin = origin(tx, call, request, source).await?;
    let version = VersionRow {
        uid: clock::new_uid(),
        model_uid: model.uid.clone(),
        model_name: model.name.clone(),
        version: rows::next_number(tx, &model.uid).await?,
        description: request.description.clone(),
        source: request.source.clone(),
        source_digest: origin.digest(),
        run_id: origin.run_id,
        run: origin.run,
        logged_model: origin.model.as_ref().map(|model| model.id),
        model_id: origin.model.as_ref().map_or_else(String::new, |model| model.model_id.clone()),
        run_link: request.run_link.clone(),
        current_stage: stage::NONE.to_owned(),
        created: tx.now(),
        updated: tx.now(),
        created_by: call.caller().user_uid.clone(),
    };
    rows::insert(tx, &version).await?;
    artifacts::insert_manifest(tx, &version.uid, origin.files.as_deref().unwrap_or_default()).await?;
    for tag in &request.tags {
        rows::set_tag(tx, &version.uid, &tag.key, &tag.value).await?;
    }
    if let Some(logged_model) = version.logged_model {
        note_version(tx, logged_model, &version.model_name, version.version).await?;
    }
    let payload = json!({
        "source": version.source, "source_digest": version.source_digest, "run_id": version.run_id, "model_id": version.model_id,
        "description": version.description, "tags": tag_pairs(&request.tags),
    });
    let recorded = record(tx, call, &version, &with_now(payload, &VersionNow::from(&version))).await?;
    let answer = shown_in(tx, call, version).await?;
    idempotency::keep(tx, call, key, request, recorded.map(|()| answer)).await
}

/// See the proto.
pub async fn get_model_version(call: &Call, request: v1::GetModelVersionRequest) -> Result<v1::GetModelVersionResponse> {
    let number = ids::version_number("version", &request.version)?;
    let model = models::by_name(call, &request.name).await?;
    let found = rows::by_number(call.store().reader(), &model.uid, number.into()).await?;
    let found = found.ok_or_else(|| absent(&request.name, &request.version))?;
    Ok(v1::GetModelVersionResponse { model_version: Some(shown(call, found).await?) })
}

/// See the proto.
pub async fn search_model_versions(call: &Call, request: v1::SearchModelVersionsRequest) -> Result<v1::SearchModelVersionsResponse> {
    let size = text::page_size_if_set("max_results", request.max_results, limits::PAGE_VERSIONS_DEFAULT, limits::PAGE_VERSIONS)?;
    let mut filter = parse_filter(Entity::ModelVersions, &request.filter)?;
    let orders = parse_order_by(Entity::ModelVersions, &request.order_by)?;
    let snapshot = call.access().snapshot().await?;
    let visible = call.visibility(&snapshot, Permission::ModelsRead, ObjectClass::Model);
    let mut query = Query::new(call.store().engine());
    query.visible(&visible, "m.uid", "m.name", ("v.created_by", &call.caller().user_uid));
    if prompt_rule(&mut filter) == PromptScope::Exclude {
        let key = query.bind(PROMPT_TAG);
        query.and(format!(
            "NOT EXISTS (SELECT 1 FROM model_version_tags s WHERE s.version_uid = v.uid AND s.tag_key = {key} AND s.value = 'true')"
        ));
    }
    query.filter(Entity::ModelVersions, &filter);
    let ties: &[_] = if orders.is_empty() {
        &[("v.updated", false, true), ("m.name", true, false), ("v.version", false, true), ("v.uid", true, false)]
    } else {
        &[("m.name", true, false), ("v.version", false, true), ("v.uid", true, false)]
    };
    let order = Order::new(&mut query, Entity::ModelVersions, &orders, ties);
    let order_text = request.order_by.join("\n");
    let page = paging::query(call, &[request.filter.as_bytes(), order_text.as_bytes()]);
    if let Some(cursor) = paging::cursor::<Vec<Cursor>>(call, &page, &request.page_token)? {
        behind(&order, &mut query, &cursor)?;
    }
    let search = call.store().search(&call.caller().user_uid).await?;
    let mut found = search.run(rows::search(&*search, query, &order, size + 1)).await?;
    search.done().await?;
    let next_page_token = paging::cut(call, &page, &mut found, size, |(_, cursor)| cursor.clone())?;
    let found = found.into_iter().map(|(version, _)| version).collect();
    Ok(v1::SearchModelVersionsResponse { model_versions: shown_all(call.store().reader(), &snapshot, found).await?, next_page_token })
}

/// See the proto.
pub async fn update_model_version(call: &Call, request: v1::UpdateModelVersionRequest) -> Result<Kept<v1::UpdateModelVersionResponse>> {
    text::value("description", request.description.as_deref().unwrap_or_default(), limits::DESCRIPTION)?;
    let number = ids::version_number("version", &request.version)?;
    let version = write(call.store(), (call.clone(), request, number), |tx, (call, request, number)| {
        Box::pin(async move {
            let (_, version) = lock(tx, &request.name, *number).await?;
            let Some(description) = &request.description else {
                return Ok(Recorded::nothing(shown_in(tx, call, version).await?));
            };
            rows::set_description(tx, &version.uid, description).await?;
            let payload = json!({"before": {"description": version.description}, "after": {"description": description}});
            let recorded = record(tx, call, &version, &payload).await?;
            let answer = reread(tx, call, &version.uid).await?;
            Ok(recorded.map(|()| answer))
        })
    })
    .await?;
    Ok(version.map(|version| v1::UpdateModelVersionResponse { model_version: Some(version) }))
}

/// See the proto.
pub async fn delete_model_version(call: &Call, request: v1::DeleteModelVersionRequest) -> Result<Kept<v1::DeleteModelVersionResponse>> {
    let number = ids::version_number("version", &request.version)?;
    let kept = write(call.store(), (call.clone(), request, number), |tx, (call, request, number)| {
        Box::pin(async move {
            let (model, version) = lock(tx, &request.name, *number).await?;
            protection::version(tx, &version.uid).await?;
            let holders = moves::delete_versions(tx, call, &model.uid, Some(&version.uid)).await?;
            store::models::touch(tx, &model.uid).await?;
            let now = VersionNow { deleted: true, holders, ..VersionNow::default() };
            record(tx, call, &version, &with_now(json!({"source_digest": version.source_digest}), &now)).await
        })
    })
    .await?;
    Ok(kept.map(|()| v1::DeleteModelVersionResponse {}))
}

/// See the proto.
pub async fn set_model_version_tag(call: &Call, request: v1::SetModelVersionTagRequest) -> Result<Kept<v1::SetModelVersionTagResponse>> {
    let number = ids::version_number("version", &request.version)?;
    key_value::check(&request.key, &request.value, limits::REGISTRY_TAG_VALUE)?;
    let kept = write(call.store(), (call.clone(), request, number), |tx, (call, request, number)| {
        Box::pin(async move {
            let (_, version) = lock(tx, &request.name, *number).await?;
            rows::set_tag(tx, &version.uid, &request.key, &request.value).await?;
            record(tx, call, &version, &json!({"tag": request.key, "after": request.value})).await
        })
    })
    .await?;
    Ok(kept.map(|()| v1::SetModelVersionTagResponse {}))
}

/// See the proto.
pub async fn delete_model_version_tag(
    call: &Call,
    request: v1::DeleteModelVersionTagRequest,
) -> Result<Kept<v1::DeleteModelVersionTagResponse>> {
    let number = ids::version_number("version", &request.version)?;
    text::key("key", &request.key)?;
    let kept = write(call.store(), (call.clone(), request, number), |tx, (call, request, number)| {
        Box::pin(async move {
            let (_, version) = lock(tx, &request.name, *number).await?;
            if !rows::delete_tag(tx, &version.uid, &request.key).await? {
                return Ok(Recorded::nothing(()));
            }
            record(tx, call, &version, &json!({"tag": request.key, "after": null})).await
        })
    })
    .await?;
    Ok(kept.map(|()| v1::DeleteModelVersionTagResponse {}))
}

/// See the proto.
pub async fn get_model_version_download_uri(
    call: &Call,
    request: v1::GetModelVersionDownloadUriRequest,
) -> Result<v1::GetModelVersionDownloadUriResponse> {
    let version = referred(call, ("name", &request.name), ("version", &request.version)).await?;
    Ok(v1::GetModelVersionDownloadUriResponse { artifact_uri: download_uri(&version) })
}

/// The version that two fields of a request name: a model, and a number, a stage or an alias with `@`.
pub(super) async fn referred(call: &Call, (name_field, name): (&str, &str), (field, written): (&str, &str)) -> Result<rows::VersionRow> {
    text::required(name_field, name, limits::MODEL_NAME)?;
    let reference = VersionRef::parse(field, written)?;
    let model = models::by_name(call, name).await?;
    let on = call.store().reader();
    let found = match reference {
        VersionRef::Alias(alias) => rows::by_alias(on, &model.uid, &alias).await?,
        VersionRef::Stage(stage) => rows::in_stage(on, &model.uid, stage).await?.into_iter().next(),
        VersionRef::Number(number) => rows::by_number(on, &model.uid, number.into()).await?,
    };
    found.ok_or_else(|| absent(name, written))
}

/// Where a version's files are: an address that names the version, or the source when that lies elsewhere.
pub(super) fn download_uri(version: &rows::VersionRow) -> String {
    if version.source_digest == UNVERIFIED { version.source.clone() } else { format!("mlflow-artifacts:/versions/{}", version.uid) }
}

/// See the proto.
pub async fn get_latest_versions(call: &Call, request: v1::GetLatestVersionsRequest) -> Result<v1::GetLatestVersionsResponse> {
    text::count("stages", request.stages.len(), limits::GRANT_ITEMS)?;
    let stages = request.stages.iter().enumerate();
    let stages: Vec<&str> =
        stages.map(|(index, given)| stage::stage(&format!("stages[{index}]"), given)).collect::<std::result::Result<_, _>>()?;
    let model = models::by_name(call, &request.name).await?;
    let mut found = rows::latest(call.store().reader(), std::slice::from_ref(&model.uid)).await?.remove(&model.uid).unwrap_or_default();
    found.retain(|version| stages.is_empty() || stages.contains(&version.current_stage.as_str()));
    let snapshot = call.access().snapshot().await?;
    Ok(v1::GetLatestVersionsResponse { model_versions: shown_all(call.store().reader(), &snapshot, found).await? })
}

/// A live version of a live model, for writing; the model is locked.
pub(super) async fn lock(tx: &Tx, name: &str, number: i32) -> Result<(ModelRow, VersionRow)> {
    text::required("name", name, limits::MODEL_NAME)?;
    let model = models::lock(tx, name).await?;
    let version = of_model(tx, &model, number).await?;
    Ok((model, version))
}

pub(super) async fn of_model(tx: &Tx, model: &ModelRow, number: i32) -> Result<VersionRow> {
    rows::by_number(&**tx, &model.uid, number.into()).await?.ok_or_else(|| absent(&model.name, &number.to_string()))
}

/// Writes the row of a change of a version.
pub(super) async fn record(tx: &Tx, call: &Call, version: &VersionRow, payload: &serde_json::Value) -> Result<Recorded<()>> {
    let name = format!("{}/{}", version.model_name, version.version);
    let subject = Subject { kind: "model_version", id: &version.uid, name: &name, scope: &version.model_uid };
    Ok(tx.record(&call.entry(tx.now(), &subject, payload)).await?)
}

/// A version as it is now, within the write.
pub(super) async fn reread(tx: &Tx, call: &Call, uid: &str) -> Result<v1::ModelVersion> {
    let version = rows::by_uid(&**tx, uid).await?.ok_or_else(|| Error::Internal("a locked version is gone".to_owned()))?;
    shown_in(tx, call, version).await
}

async fn shown_in(tx: &Tx, call: &Call, version: VersionRow) -> Result<v1::ModelVersion> {
    let snapshot = call.access().snapshot().await?;
    one(shown_all(&**tx, &snapshot, vec![version]).await?)
}

/// A version as the contract has it.
pub(super) async fn shown(call: &Call, version: VersionRow) -> Result<v1::ModelVersion> {
    let snapshot = call.access().snapshot().await?;
    one(shown_all(call.store().reader(), &snapshot, vec![version]).await?)
}

fn one(mut shown: Vec<v1::ModelVersion>) -> Result<v1::ModelVersion> {
    shown.pop().ok_or_else(|| Error::Internal("a version was lost".to_owned()))
}

/// Versions as the contract has them.
pub(super) async fn shown_all<C: ConnectionTrait>(on: &C, snapshot: &Snapshot, found: Vec<VersionRow>) -> Result<Vec<v1::ModelVersion>> {
    let uids: Vec<String> = found.iter().map(|version| version.uid.clone()).collect();
    let mut tags = rows::tags(on, &uids).await?;
    let mut aliases = rows::aliases(on, &uids).await?;
    let show = |version: VersionRow| v1::ModelVersion {
        name: version.model_name,
        version: version.version.to_string(),
        creation_timestamp: version.created,
        last_updated_timestamp: version.updated,
        user_id: user_name(snapshot, &version.created_by),
        current_stage: version.current_stage,
        description: version.description,
        source: version.source,
        run_id: version.run_id,
        model_id: version.model_id,
        status: v1::ModelVersionStatus::Ready.into(),
        status_message: String::new(),
        tags: messages(tags.remove(&version.uid).unwrap_or_default()),
        run_link: version.run_link,
        aliases: aliases.remove(&version.uid).unwrap_or_default().into_iter().map(|(alias, _)| alias).collect(),
        source_digest: version.source_digest,
        id: version.uid,
    };
    Ok(found.into_iter().map(show).collect())
}

pub(super) fn absent(name: &str, version: &str) -> Error {
    Error::not_found("model version", format!("{name}/{version}"))
}
