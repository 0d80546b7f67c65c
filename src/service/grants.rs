//! Grants: who may do what, and where.

use serde_json::json;

use super::access_change::{self, begin, keep_an_admin, must_hold, must_hold_grants};
use super::{Error, Result, access_shown, idempotency, paging};
use crate::access::{Call, Subject};
use crate::clock;
use crate::contract::v1;
use crate::domain::access::{Effect, Grant, Object, Principal, Scope, Snapshot};
use crate::domain::field::{Check, FieldError};
use crate::domain::ledger::{Grants, GrantsNow, given, with_now};
use crate::domain::stage::Target;
use crate::domain::text::{self, canonical_name};
use crate::domain::{ids, limits};
use crate::store::{Kept, Recorded, Tx, access as rows, objects};

/// A grant as it was asked for: names instead of ids.
struct Wanted {
    principal: v1::principal::Principal,
    scope: Option<v1::scope::Scope>,
    targets: Vec<String>,
    effect: Effect,
}

/// See the proto.
pub async fn create_grant(call: &Call, request: v1::CreateGrantRequest) -> Result<Kept<v1::CreateGrantResponse>> {
    let wanted = wanted(&request)?;
    let made = call
        .store()
        .write((call.clone(), request, wanted), |tx, (call, request, wanted)| Box::pin(insert(tx, call, request, wanted)))
        .await?;
    let snapshot = call.access().refresh().await?;
    let (kept, (grant, answer)) = made.split();
    let Some(grant) = grant else { return Ok(kept.map(|()| answer)) };
    let grant = access_shown::grants(call, &snapshot, &[&grant]).await?.pop();
    Ok(kept.map(|()| v1::CreateGrantResponse { grant }))
}

fn wanted(request: &v1::CreateGrantRequest) -> Result<Wanted> {
    let mut check = Check::new();
    let principal = request.principal.as_ref().and_then(|principal| principal.principal.clone());
    match &principal {
        Some(v1::principal::Principal::UserName(name)) => check.take(text::principal_name("principal.user_name", name)),
        Some(v1::principal::Principal::GroupName(name)) => check.take(text::principal_name("principal.group_name", name)),
        None => check.take(Err(text::missing("principal"))),
    };
    check.take(text::principal_name("persona", &request.persona));
    check.take(text::idempotency_key(request.idempotency_key.as_deref()));
    // An absent scope would be the widest of all, and an absent effect the one that gives.
    check.require(request.scope.as_ref().is_some_and(|scope| scope.scope.is_some()), "scope", "is missing; `server` stands for all of it");
    let scope = check.take(scope("scope", request.scope.as_ref())).flatten();
    check.take(text::count("targets", request.targets.len(), limits::GRANT_ITEMS));
    let mut targets: Vec<String> = Vec::new();
    for (index, written) in request.targets.iter().enumerate().take(limits::GRANT_ITEMS) {
        let target = check.take(Target::parse(&format!("targets[{index}]"), written)).map(|target| target.to_string());
        targets.extend(target.filter(|target| !targets.contains(target)));
    }
    let effect = match v1::GrantEffect::try_from(request.effect) {
        Ok(v1::GrantEffect::Allow) => Effect::Allow,
        Ok(v1::GrantEffect::Deny) => Effect::Deny,
        Ok(v1::GrantEffect::Unspecified) => {
            check.fail(FieldError::new("effect", "is missing; must be ALLOW or DENY"));
            Effect::Deny
        }
        Err(_) => {
            check.fail(FieldError::new("effect", format!("has no value {}", request.effect)));
            Effect::Deny
        }
    };
    check.finish()?;
    let principal = principal.ok_or_else(|| text::missing("principal"))?;
    Ok(Wanted { principal, scope, targets, effect })
}

/// The scope of a message, its texts checked; none for the server.
pub(super) fn scope(field: &str, scope: Option<&v1::Scope>) -> std::result::Result<Option<v1::scope::Scope>, FieldError> {
    use v1::name_pattern::Pattern;
    use v1::scope::Scope as On;
    let Some(scope) = scope.and_then(|scope| scope.scope.clone()) else { return Ok(None) };
    match &scope {
        On::Server(_) => {}
        On::ExperimentId(id) => ids::experiment_id(&format!("{field}.experiment_id"), id).map(|_| ())?,
        On::RegisteredModel(name) => text::model_name(&format!("{field}.registered_model"), name)?,
        On::Pattern(v1::NamePattern { pattern: Some(Pattern::Experiments(text)) }) => {
            pattern(&format!("{field}.pattern.experiments"), text)?
        }
        On::Pattern(v1::NamePattern { pattern: Some(Pattern::RegisteredModels(text)) }) => {
            pattern(&format!("{field}.pattern.registered_models"), text)?
        }
        On::Pattern(v1::NamePattern { pattern: None }) => return Err(text::missing(&format!("{field}.pattern"))),
    }
    Ok(Some(scope))
}

/// A pattern of names: 1 to 256 characters, none of them a control.
pub(super) fn pattern(field: &str, text: &str) -> std::result::Result<(), FieldError> {
    text::required(field, text, limits::PATTERN)?;
    text::label(field, text, limits::PATTERN)
}

async fn insert(
    tx: &Tx,
    call: &Call,
    request: &v1::CreateGrantRequest,
    wanted: &Wanted,
) -> Result<Recorded<(Option<Grant>, v1::CreateGrantResponse)>> {
    let snapshot = begin(tx, call, &Object::SERVER).await?;
    let key = request.idempotency_key.as_deref();
    if let Some(grant_id) = idempotency::earlier::<_, v1::CreateGrantResponse>(tx, call, key, request).await? {
        let kept = grant_id.grant.as_ref().and_then(|kept| snapshot.grants.iter().find(|grant| grant.uid == kept.grant_id));
        return Ok(Recorded::nothing((kept.cloned(), grant_id)));
    }
    let grant = bound(tx, call, &snapshot, request, wanted).await?;
    let rights = access_change::persona(&snapshot, &request.persona)?.rights;
    if grant.effect == Effect::Allow {
        must_hold(tx, call, &snapshot, &rights, &grant.scope, &grant.targets).await?;
    }
    rows::insert_grant(tx, &grant).await?;
    if grant.effect == Effect::Deny {
        keep_an_admin(tx, &snapshot).await?;
    }
    let recorded = record(tx, call, &snapshot, &grant, given(&grant)).await?;
    // A retry finds the grant by its id; should it be gone by then, the request says what it was.
    let answer = v1::CreateGrantResponse {
        grant: Some(v1::Grant {
            grant_id: grant.uid.clone(),
            principal: request.principal.clone(),
            persona: grant.persona.clone(),
            scope: request.scope.clone(),
            targets: grant.targets.clone(),
            effect: if grant.effect == Effect::Allow { v1::GrantEffect::Allow } else { v1::GrantEffect::Deny }.into(),
            creation_timestamp: grant.created,
            created_by: call.caller().user_name.clone(),
        }),
    };
    let kept = idempotency::keep(tx, call, key, request, recorded.map(|()| answer)).await?;
    Ok(kept.map(|answer| (Some(grant), answer)))
}

/// The grant with the ids that the names have now.
async fn bound(tx: &Tx, call: &Call, snapshot: &Snapshot, request: &v1::CreateGrantRequest, wanted: &Wanted) -> Result<Grant> {
    let principal = match &wanted.principal {
        v1::principal::Principal::UserName(name) => Principal::User(access_change::user(snapshot, name)?.uid.clone()),
        v1::principal::Principal::GroupName(name) => {
            let group = snapshot.group_by_name(name).ok_or_else(|| Error::not_found("group", name))?;
            Principal::Group(group.uid.clone())
        }
    };
    Ok(Grant {
        uid: clock::new_uid(),
        principal,
        persona: request.persona.clone(),
        scope: bound_scope(tx, wanted.scope.as_ref()).await?,
        targets: wanted.targets.clone(),
        effect: wanted.effect,
        created: tx.now(),
        created_by: call.caller().user_uid.clone(),
    })
}

async fn bound_scope(tx: &Tx, scope: Option<&v1::scope::Scope>) -> Result<Scope> {
    use v1::name_pattern::Pattern;
    use v1::scope::Scope as On;
    Ok(match scope {
        None | Some(On::Server(_)) => Scope::Server,
        Some(On::ExperimentId(text)) => {
            let id = ids::experiment_id("scope.experiment_id", text)?;
            let found = objects::experiment(&**tx, id).await?;
            Scope::Experiment(found.and_then(|found| found.uid).ok_or_else(|| Error::not_found("experiment", text))?)
        }
        Some(On::RegisteredModel(name)) => {
            let found = objects::model(&**tx, &canonical_name(name)).await?;
            Scope::Model(found.and_then(|found| found.uid).ok_or_else(|| Error::not_found("registered model", name))?)
        }
        Some(On::Pattern(v1::NamePattern { pattern: Some(Pattern::Experiments(text)) })) => Scope::Experiments(text.clone()),
        Some(On::Pattern(v1::NamePattern { pattern: Some(Pattern::RegisteredModels(text)) })) => Scope::Models(text.clone()),
        Some(On::Pattern(v1::NamePattern { pattern: None })) => return Err(text::missing("scope.pattern").into()),
    })
}

/// See the proto.
pub async fn delete_grant(call: &Call, request: v1::DeleteGrantRequest) -> Result<Kept<v1::DeleteGrantResponse>> {
    text::required("grant_id", &request.grant_id, limits::PRINCIPAL_NAME)?;
    let kept = call
        .store()
        .write((call.clone(), request.grant_id), |tx, (call, grant_id)| {
            Box::pin(async move {
                let snapshot = begin(tx, call, &Object::SERVER).await?;
                let grant = snapshot.grants.iter().find(|grant| grant.uid == *grant_id);
                let grant = grant.ok_or_else(|| Error::not_found("grant", grant_id))?;
                // Taking a denial away gives what it held back.
                must_hold_grants(tx, call, &snapshot, std::iter::once(grant), Effect::Deny).await?;
                rows::delete_grant(tx, grant_id).await?;
                keep_an_admin(tx, &snapshot).await?;
                record(tx, call, &snapshot, grant, Grants::from([(grant.uid.clone(), None)])).await
            })
        })
        .await?;
    call.access().refresh().await?;
    Ok(kept.map(|()| v1::DeleteGrantResponse {}))
}

/// See the proto.
pub async fn list_grants(call: &Call, request: v1::ListGrantsRequest) -> Result<v1::ListGrantsResponse> {
    let size = text::page_size("max_results", request.max_results.into(), limits::PAGE_DEFAULT, limits::PAGE)?;
    let snapshot = call.access().snapshot().await?;
    let mut found: Vec<&Grant> = if request.user_name.is_empty() {
        snapshot.grants.iter().collect()
    } else {
        text::principal_name("user_name", &request.user_name)?;
        snapshot.grants_of(&access_change::user(&snapshot, &request.user_name)?.uid).collect()
    };
    let page = paging::query(call, &[request.user_name.as_bytes()]);
    if let Some((created, uid)) = paging::cursor::<(i64, String)>(call, &page, &request.page_token)? {
        found.retain(|grant| (grant.created, &grant.uid) > (created, &uid));
    }
    found.sort_by(|one, other| (one.created, &one.uid).cmp(&(other.created, &other.uid)));
    let next_page_token = paging::cut(call, &page, &mut found, size, |grant| (grant.created, grant.uid.clone()))?;
    let grants = access_shown::grants(call, &snapshot, &found).await?;
    Ok(v1::ListGrantsResponse { grants, next_page_token })
}

async fn record(tx: &Tx, call: &Call, snapshot: &Snapshot, grant: &Grant, grants: Grants) -> Result<Recorded<()>> {
    let (kind, uid) = match &grant.principal {
        Principal::User(uid) => ("user", uid),
        Principal::Group(uid) => ("group", uid),
    };
    let user = || snapshot.users.get(uid).map(|user| user.name.as_str());
    let group = || snapshot.groups.get(uid).map(|group| group.name.as_str());
    let name = if kind == "user" { user() } else { group() }.unwrap_or_default();
    let (scope, bound) = match &grant.scope {
        Scope::Server => (json!("server"), ""),
        Scope::Experiment(id) => (json!({"experiment_id": id}), id.as_str()),
        Scope::Model(uid) => (json!({"registered_model_id": uid}), uid.as_str()),
        Scope::Experiments(pattern) => (json!({"experiments": pattern}), ""),
        Scope::Models(pattern) => (json!({"registered_models": pattern}), ""),
    };
    let payload = json!({
        "principal_kind": kind, "principal_id": uid, "principal": name, "persona": grant.persona, "scope": scope,
        "targets": grant.targets, "effect": if grant.effect == Effect::Allow { "ALLOW" } else { "DENY" },
    });
    let subject = Subject { kind: "grant", id: &grant.uid, name, scope: bound };
    Ok(tx.record(&call.entry(tx.now(), &subject, &with_now(payload, &GrantsNow { grants }))).await?)
}
