//! Groups of users.

use serde_json::json;

use super::access_change::{self, begin, keep_an_admin, must_hold_grants};
use super::{Error, Result, idempotency, paging};
use crate::access::{Call, Subject};
use crate::clock;
use crate::contract::v1;
use crate::domain::access::{Effect, Grant, Group, Object, Principal, Snapshot};
use crate::domain::field::Check;
use crate::domain::ledger::{GroupNow, with_now};
use crate::domain::limits;
use crate::domain::text::{self, canonical_principal};
use crate::store::{Kept, Recorded, Tx, access as rows};

/// See the proto.
pub async fn create_group(call: &Call, request: v1::CreateGroupRequest) -> Result<Kept<v1::CreateGroupResponse>> {
    let mut check = Check::new();
    check.take(text::principal_name("group_name", &request.group_name));
    check.take(text::idempotency_key(request.idempotency_key.as_deref()));
    check.finish()?;
    let answer = call
        .store()
        .write((call.clone(), request), |tx, (call, request)| {
            Box::pin(async move {
                begin(tx, call, &Object::SERVER).await?;
                let key = request.idempotency_key.as_deref();
                if let Some(answer) = idempotency::earlier(tx, call, key, request).await? {
                    return Ok(Recorded::nothing(answer));
                }
                let (uid, name) = (clock::new_uid(), &request.group_name);
                rows::insert_group(tx, &uid, name).await.map_err(Error::on_duplicate("group", name))?;
                let now = GroupNow { name: Some(name.clone()), ..GroupNow::default() };
                let recorded = record(tx, call, &uid, name, &with_now(json!({"group_name": name}), &now)).await?;
                let group = v1::Group { id: uid, group_name: name.clone(), members: Vec::new() };
                let answer = recorded.map(|()| v1::CreateGroupResponse { group: Some(group) });
                idempotency::keep(tx, call, key, request, answer).await
            })
        })
        .await?;
    call.access().refresh().await?;
    Ok(answer)
}

/// See the proto.
pub async fn delete_group(call: &Call, request: v1::DeleteGroupRequest) -> Result<Kept<v1::DeleteGroupResponse>> {
    text::principal_name("group_name", &request.group_name)?;
    let kept = call
        .store()
        .write((call.clone(), request.group_name), |tx, (call, name)| {
            Box::pin(async move {
                let snapshot = begin(tx, call, &Object::SERVER).await?;
                let group = group(&snapshot, name)?;
                // What the group's grants denied would be given back.
                must_hold_grants(tx, call, &snapshot, grants_to(&snapshot, group), Effect::Deny).await?;
                rows::delete_group(tx, &group.uid).await?;
                keep_an_admin(tx, &snapshot).await?;
                let grants: Vec<_> =
                    grants_to(&snapshot, group).map(|grant| json!({"grant_id": grant.uid, "persona": grant.persona})).collect();
                let payload = json!({"group_name": group.name, "members": members(&snapshot, group), "grants": grants});
                let gone = grants_to(&snapshot, group).map(|grant| (grant.uid.clone(), None)).collect();
                let now = GroupNow { deleted: true, grants: gone, ..GroupNow::default() };
                record(tx, call, &group.uid, &group.name, &with_now(payload, &now)).await
            })
        })
        .await?;
    call.access().refresh().await?;
    Ok(kept.map(|()| v1::DeleteGroupResponse {}))
}

/// See the proto.
pub async fn list_groups(call: &Call, request: v1::ListGroupsRequest) -> Result<v1::ListGroupsResponse> {
    let size = text::page_size("max_results", request.max_results.into(), limits::PAGE_DEFAULT, limits::PAGE)?;
    let page = paging::query(call, &[]);
    let after = paging::cursor::<String>(call, &page, &request.page_token)?.unwrap_or_default();
    let snapshot = call.access().snapshot().await?;
    let mut found: Vec<(String, &Group)> = snapshot.groups.values().map(|group| (canonical_principal(&group.name), group)).collect();
    found.retain(|(name, _)| *name > after);
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    let next_page_token = paging::cut(call, &page, &mut found, size, |(name, _)| name.clone())?;
    let shown = |(_, group): (String, &Group)| v1::Group {
        id: group.uid.clone(),
        group_name: group.name.clone(),
        members: members(&snapshot, group),
    };
    Ok(v1::ListGroupsResponse { groups: found.into_iter().map(shown).collect(), next_page_token })
}

/// See the proto.
pub async fn add_group_member(call: &Call, request: v1::AddGroupMemberRequest) -> Result<Kept<v1::AddGroupMemberResponse>> {
    let kept = change_member(call, request.group_name, request.user_name, true).await?;
    Ok(kept.map(|()| v1::AddGroupMemberResponse {}))
}

/// See the proto.
pub async fn remove_group_member(call: &Call, request: v1::RemoveGroupMemberRequest) -> Result<Kept<v1::RemoveGroupMemberResponse>> {
    let kept = change_member(call, request.group_name, request.user_name, false).await?;
    Ok(kept.map(|()| v1::RemoveGroupMemberResponse {}))
}

async fn change_member(call: &Call, group_name: String, user_name: String, add: bool) -> Result<Kept<()>> {
    let mut check = Check::new();
    check.take(text::principal_name("group_name", &group_name));
    check.take(text::principal_name("user_name", &user_name));
    check.finish()?;
    let kept = call
        .store()
        .write((call.clone(), group_name, user_name, add), |tx, (call, group_name, user_name, add)| {
            Box::pin(member(tx, call, group_name, user_name, *add))
        })
        .await?;
    call.access().refresh().await?;
    Ok(kept)
}

async fn member(tx: &Tx, call: &Call, group_name: &str, user_name: &str, add: bool) -> Result<Recorded<()>> {
    let snapshot = begin(tx, call, &Object::SERVER).await?;
    let group = group(&snapshot, group_name)?;
    let user = access_change::user(&snapshot, user_name)?;
    if group.members.contains(&user.uid) == add {
        return Ok(Recorded::nothing(()));
    }
    // Joining gives what the group's grants allow; leaving gives back what they deny.
    let given = if add { Effect::Allow } else { Effect::Deny };
    must_hold_grants(tx, call, &snapshot, grants_to(&snapshot, group), given).await?;
    if add {
        rows::add_member(tx, &group.uid, &user.uid).await?;
    } else {
        rows::remove_member(tx, &group.uid, &user.uid).await?;
    }
    // The group may deny what an admin needs, or be what makes one.
    keep_an_admin(tx, &snapshot).await?;
    let payload = json!({"group_name": group.name, "user_name": user.name, "user_id": user.uid, "member": add});
    let now = GroupNow { members: [(user.uid.clone(), add)].into(), ..GroupNow::default() };
    record(tx, call, &group.uid, &group.name, &with_now(payload, &now)).await
}

fn group<'a>(snapshot: &'a Snapshot, name: &str) -> Result<&'a Group> {
    snapshot.group_by_name(name).ok_or_else(|| Error::not_found("group", name))
}

fn grants_to<'a>(snapshot: &'a Snapshot, group: &'a Group) -> impl Iterator<Item = &'a Grant> {
    snapshot.grants.iter().filter(|grant| grant.principal == Principal::Group(group.uid.clone()))
}

fn members(snapshot: &Snapshot, group: &Group) -> Vec<String> {
    let mut names: Vec<String> = group.members.iter().filter_map(|uid| snapshot.users.get(uid)).map(|user| user.name.clone()).collect();
    names.sort();
    names
}

async fn record(tx: &Tx, call: &Call, uid: &str, name: &str, payload: &serde_json::Value) -> Result<Recorded<()>> {
    let subject = Subject { kind: "group", id: uid, name, scope: "" };
    Ok(tx.record(&call.entry(tx.now(), &subject, payload)).await?)
}
