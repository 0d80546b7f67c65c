//! Groups.

use serde_json::json;

use super::grants::{hold_all, keep_an_admin};
use super::models::user_name;
use super::{Error, Result, idempotency, paging, users, write};
use crate::access::{Call, Subject};
use crate::contract::v1;
use crate::domain::access::{Group, Object, ObjectClass, Principal, Scope, Snapshot};
use crate::domain::field::Check;
use crate::domain::{limits, text};
use crate::store::{self, Recorded, Tx, access as rows};
use crate::clock;

/// See the proto.
pub async fn create_group(call: &Call, request: v1::CreateGroupRequest) -> Result<v1::CreateGroupResponse> {
    let mut check = Check::new();
    check.take(text::principal_name("group_name", &request.group_name));
    check.take(text::idempotency_key(request.idempotency_key.as_deref()));
    check.finish()?;
    let answer = write(call.store(), (call.clone(), request), |tx, (call, request)| {
        Box::pin(async move {
            let key = request.idempotency_key.as_deref();
            if let Some(answer) = idempotency::earlier(tx, call, key, request).await? {
                return Ok(Recorded::nothing(answer));
            }
            rows::raise_epoch(tx).await?;
            let uid = clock::new_uid();
            rows::insert_group(tx, &uid, &request.group_name).await.map_err(Error::on_duplicate("group", &request.group_name))?;
            let recorded = record(tx, call, &uid, &request.group_name, &json!({})).await?;
            let group = v1::Group { id: uid, group_name: request.group_name.clone(), members: Vec::new() };
            let answer = recorded.map(|()| v1::CreateGroupResponse { group: Some(group) });
            idempotency::keep(tx, call, key, request, answer).await
        })
    })
    .await?;
    call.access().refresh().await?;
    Ok(answer)
}

/// See the proto.
pub async fn delete_group(call: &Call, request: v1::DeleteGroupRequest) -> Result<v1::DeleteGroupResponse> {
    write(call.store(), (call.clone(), request.group_name), |tx, (call, name)| {
        Box::pin(async move {
            rows::raise_epoch(tx).await?;
            let snapshot = rows::snapshot(&**tx, tx.now()).await?;
            let group = group(&snapshot, name)?;
            rows::delete_group(tx, &group.uid).await?;
            keep_an_admin(tx).await?;
            record(tx, call, &group.uid, &group.name, &json!({"members": members(&snapshot, group)})).await
        })
    })
    .await?;
    call.access().refresh().await?;
    Ok(v1::DeleteGroupResponse {})
}

/// See the proto.
pub async fn list_groups(call: &Call, request: v1::ListGroupsRequest) -> Result<v1::ListGroupsResponse> {
    let size = text::page_size("max_results", request.max_results.into(), limits::PAGE_DEFAULT, limits::PAGE)?;
    let snapshot = call.access().refresh().await?;
    let page = paging::query(call, &[]);
    let after: String = paging::cursor(call, &page, &request.page_token)?.unwrap_or_default();
    let mut found: Vec<&Group> = snapshot.groups.values().filter(|group| group.name > after).collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    let next_page_token = paging::cut(call, &page, &mut found, size, |group| group.name.clone())?;
    let show = |group: &Group| v1::Group { id: group.uid.clone(), group_name: group.name.clone(), members: members(&snapshot, group) };
    Ok(v1::ListGroupsResponse { groups: found.into_iter().map(show).collect(), next_page_token })
}

/// See the proto.
pub async fn add_group_member(call: &Call, request: v1::AddGroupMemberRequest) -> Result<v1::AddGroupMemberResponse> {
    write(call.store(), (call.clone(), request), |tx, (call, request)| {
        Box::pin(async move {
            rows::raise_epoch(tx).await?;
            let snapshot = rows::snapshot(&**tx, tx.now()).await?;
            let group = group(&snapshot, &request.group_name)?;
            let user = snapshot.user_by_name(&request.user_name).ok_or_else(|| users::absent(&request.user_name))?;
            for grant in snapshot.grants.iter().filter(|grant| grant.principal == Principal::Group(group.uid.clone())) {
                hold_all(call, &snapshot, grant, &object_of(tx, &grant.scope).await?)?;
            }
            if !rows::add_member(tx, &group.uid, &user.uid).await? {
                return Ok(Recorded::nothing(()));
            }
            // A denying grant of the group could take the last admin's rights.
            keep_an_admin(tx).await?;
            record(tx, call, &group.uid, &group.name, &json!({"added": user.name})).await
        })
    })
    .await?;
    call.access().refresh().await?;
    Ok(v1::AddGroupMemberResponse {})
}

/// See the proto.
pub async fn remove_group_member(call: &Call, request: v1::RemoveGroupMemberRequest) -> Result<v1::RemoveGroupMemberResponse> {
    write(call.store(), (call.clone(), request), |tx, (call, request)| {
        Box::pin(async move {
            rows::raise_epoch(tx).await?;
            let snapshot = rows::snapshot(&**tx, tx.now()).await?;
            let group = group(&snapshot, &request.group_name)?;
            let user = snapshot.user_by_name(&request.user_name).ok_or_else(|| users::absent(&request.user_name))?;
            if !rows::remove_member(tx, &group.uid, &user.uid).await? {
                return Ok(Recorded::nothing(()));
            }
            keep_an_admin(tx).await?;
            record(tx, call, &group.uid, &group.name, &json!({"removed": user.name})).await
        })
    })
    .await?;
    call.access().refresh().await?;
    Ok(v1::RemoveGroupMemberResponse {})
}

fn group<'a>(snapshot: &'a Snapshot, name: &str) -> Result<&'a Group> {
    text::required("group_name", name, limits::PRINCIPAL_NAME)?;
    snapshot.group_by_name(name).ok_or_else(|| Error::not_found("group", name))
}

/// The object that stands for a stored scope.
async fn object_of(tx: &Tx, scope: &Scope) -> Result<Object> {
    let pattern = |class, text: &String| Object { class, name: Some(text.clone()), ..Object::SERVER };
    Ok(match scope {
        Scope::Server => Object::SERVER,
        Scope::Experiment(id) => store::objects::experiment(&**tx, id.parse().unwrap_or(-1)).await?.unwrap_or(Object::SERVER),
        Scope::Model(uid) => {
            let name = store::models::by_uid(&**tx, uid).await?.map(|model| model.name).unwrap_or_default();
            Object::named(ObjectClass::Model, uid, &name)
        }
        Scope::Experiments(text) => pattern(ObjectClass::Experiment, text),
        Scope::Models(text) => pattern(ObjectClass::Model, text),
    })
}

fn members(snapshot: &Snapshot, group: &Group) -> Vec<String> {
    let mut names: Vec<String> = group.members.iter().map(|uid| user_name(snapshot, uid)).collect();
    names.sort();
    names
}

async fn record(tx: &Tx, call: &Call, uid: &str, name: &str, payload: &serde_json::Value) -> Result<Recorded<()>> {
    let subject = Subject { kind: "group", id: uid, name, scope: "" };
    Ok(tx.record(&call.entry(tx.now(), &subject, payload)).await?)
}
