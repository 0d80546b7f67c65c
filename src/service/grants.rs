//! Grants and personas: who may do what, and who may say so.

use serde_json::json;

use super::models::user_name;
use super::{Error, Result, idempotency, paging, write};
use crate::access::{Call, Credential, Subject};
use crate::contract::{Permission, v1};
use crate::domain::access::{BUILT_IN, Effect, Grant, Object, ObjectClass, Persona, Principal, Right, Scope, Snapshot, built_in};
use crate::domain::field::Check;
use crate::domain::stage::Target;
use crate::domain::{ids, limits, text};
use crate::store::{self, Recorded, Tx, access as rows};
use crate::clock;

/// See the proto.
pub async fn create_grant(call: &Call, request: v1::CreateGrantRequest) -> Result<v1::CreateGrantResponse> {
    let mut check = Check::new();
    check.take(text::required("persona", &request.persona, limits::PRINCIPAL_NAME));
    check.require(request.principal.as_ref().is_some_and(|principal| principal.principal.is_some()), "principal", "is required");
    check.take(text::count("targets", request.targets.len(), limits::GRANT_ITEMS));
    for (index, target) in request.targets.iter().take(limits::GRANT_ITEMS).enumerate() {
        check.take(Target::parse(&format!("targets[{index}]"), target));
    }
    check.take(text::idempotency_key(request.idempotency_key.as_deref()));
    check.finish()?;
    effect(request.effect)?;
    let answer = write(call.store(), (call.clone(), request), |tx, (call, request)| {
        Box::pin(async move {
            let key = request.idempotency_key.as_deref();
            if let Some(answer) = idempotency::earlier(tx, call, key, request).await? {
                return Ok(Recorded::nothing(answer));
            }
            rows::raise_epoch(tx).await?;
            let snapshot = rows::snapshot(&**tx, tx.now()).await?;
            let (scope, object) = scope(&**tx, request.scope.as_ref()).await?;
            let grant = Grant {
                uid: clock::new_uid(),
                principal: principal(&snapshot, request.principal.as_ref())?,
                persona: request.persona.clone(),
                scope,
                targets: targets(&request.targets)?,
                effect: effect(request.effect)?,
                created: tx.now(),
                created_by: call.caller().user_uid.clone(),
            };
            hold_all(call, &snapshot, &grant, &object)?;
            rows::insert_grant(tx, &grant).await?;
            keep_an_admin(tx).await?;
            let shown = message(&snapshot, &grant, &scope_message(&**tx, &grant.scope).await?);
            let recorded = record(tx, call, &grant, &snapshot).await?;
            let answer = recorded.map(|()| v1::CreateGrantResponse { grant: Some(shown) });
            idempotency::keep(tx, call, key, request, answer).await
        })
    })
    .await?;
    call.access().refresh().await?;
    Ok(answer)
}

/// See the proto.
pub async fn delete_grant(call: &Call, request: v1::DeleteGrantRequest) -> Result<v1::DeleteGrantResponse> {
    ids::uid("grant_id", &request.grant_id)?;
    write(call.store(), (call.clone(), request.grant_id), |tx, (call, uid)| {
        Box::pin(async move {
            rows::raise_epoch(tx).await?;
            let snapshot = rows::snapshot(&**tx, tx.now()).await?;
            let grant = snapshot.grants.iter().find(|grant| grant.uid == *uid).ok_or_else(|| Error::not_found("grant", uid))?;
            rows::delete_grant(tx, uid).await?;
            keep_an_admin(tx).await?;
            record(tx, call, grant, &snapshot).await
        })
    })
    .await?;
    call.access().refresh().await?;
    Ok(v1::DeleteGrantResponse {})
}

/// See the proto.
pub async fn list_grants(call: &Call, request: v1::ListGrantsRequest) -> Result<v1::ListGrantsResponse> {
    let size = text::page_size("max_results", request.max_results.into(), limits::PAGE_DEFAULT, limits::PAGE)?;
    text::value("user_name", &request.user_name, limits::PRINCIPAL_NAME)?;
    let snapshot = call.access().refresh().await?;
    let page = paging::query(call, &[request.user_name.as_bytes()]);
    let after: (i64, String) = paging::cursor(call, &page, &request.page_token)?.unwrap_or((-1, String::new()));
    let behind = |grant: &&Grant| (grant.created, grant.uid.as_str()) > (after.0, after.1.as_str());
    let mut found: Vec<Grant> = if request.user_name.is_empty() {
        snapshot.grants.iter().filter(behind).cloned().collect()
    } else {
        let user = snapshot.user_by_name(&request.user_name).ok_or_else(|| super::users::absent(&request.user_name))?;
        snapshot.grants_of(&user.uid).filter(behind).cloned().collect()
    };
    found.sort_by(|a, b| (a.created, &a.uid).cmp(&(b.created, &b.uid)));
    let next_page_token = paging::cut(call, &page, &mut found, size, |grant| (grant.created, grant.uid.clone()))?;
    Ok(v1::ListGrantsResponse { grants: messages(call, &snapshot, found).await?, next_page_token })
}

/// See the proto.
pub async fn create_persona(call: &Call, request: v1::CreatePersonaRequest) -> Result<v1::CreatePersonaResponse> {
    let mut check = Check::new();
    check.take(text::principal_name("name", &request.name));
    check.require(request.name == request.name.to_ascii_lowercase(), "name", "must be in lower case");
    check.require(!request.permissions.is_empty(), "permissions", "must name at least one");
    check.take(text::count("permissions", request.permissions.len(), limits::GRANT_ITEMS));
    check.take(text::idempotency_key(request.idempotency_key.as_deref()));
    let mut rights = Vec::new();
    for (index, text) in request.permissions.iter().take(limits::GRANT_ITEMS).enumerate() {
        match Right::parse(text) {
            Ok(right) => rights.push(right),
            Err(unknown) => check.require(false, &format!("permissions[{index}]"), &unknown.to_string()),
        }
    }
    check.finish()?;
    if BUILT_IN.contains(&request.name.as_str()) {
        return Err(Error::already_exists("persona", request.name));
    }
    let answer = write(call.store(), (call.clone(), request, rights), |tx, (call, request, rights)| {
        Box::pin(async move {
            let key = request.idempotency_key.as_deref();
            if let Some(answer) = idempotency::earlier(tx, call, key, request).await? {
                return Ok(Recorded::nothing(answer));
            }
            rows::raise_epoch(tx).await?;
            let snapshot = rows::snapshot(&**tx, tx.now()).await?;
            for right in rights {
                hold(call, &snapshot, right.permission, &Object::SERVER)?;
            }
            let names: Vec<String> = rights.iter().map(|right| right.name()).collect();
            rows::insert_persona(tx, &request.name, &names).await.map_err(Error::on_duplicate("persona", &request.name))?;
            let subject = Subject { kind: "persona", id: &request.name, name: &request.name, scope: "" };
            let recorded = tx.record(&call.entry(tx.now(), &subject, &json!({"permissions": names}))).await?;
            let persona = v1::Persona { name: request.name.clone(), permissions: names, built_in: false };
            let answer = recorded.map(|()| v1::CreatePersonaResponse { persona: Some(persona) });
            idempotency::keep(tx, call, key, request, answer).await
        })
    })
    .await?;
    call.access().refresh().await?;
    Ok(answer)
}

/// See the proto.
pub async fn delete_persona(call: &Call, request: v1::DeletePersonaRequest) -> Result<v1::DeletePersonaResponse> {
    text::required("name", &request.name, limits::PRINCIPAL_NAME)?;
    if BUILT_IN.contains(&request.name.as_str()) {
        return Err(Error::precondition("BUILT_IN_PERSONA", "built-in personas cannot be deleted"));
    }
    write(call.store(), (call.clone(), request.name), |tx, (call, name)| {
        Box::pin(async move {
            rows::raise_epoch(tx).await?;
            let snapshot = rows::snapshot(&**tx, tx.now()).await?;
            if snapshot.grants.iter().any(|grant| grant.persona == *name) {
                return Err(Error::precondition("PERSONA_IN_USE", format!("grants name the persona {name:?}; delete them first")));
            }
            if !rows::delete_persona(tx, name).await? {
                return Err(Error::not_found("persona", name));
            }
            let subject = Subject { kind: "persona", id: name, name, scope: "" };
            Ok(tx.record(&call.entry(tx.now(), &subject, &json!({}))).await?)
        })
    })
    .await?;
    call.access().refresh().await?;
    Ok(v1::DeletePersonaResponse {})
}

/// See the proto.
pub async fn list_personas(call: &Call, _request: v1::ListPersonasRequest) -> Result<v1::ListPersonasResponse> {
    let snapshot = call.access().snapshot().await?;
    let mut personas: Vec<Persona> = BUILT_IN.into_iter().filter_map(built_in).collect();
    personas.extend(snapshot.personas.values().cloned());
    personas.sort_by(|a, b| a.name.cmp(&b.name));
    let show = |persona: Persona| v1::Persona {
        permissions: persona.rights.iter().map(|right| right.name()).collect(),
        name: persona.name,
        built_in: persona.built_in,
    };
    Ok(v1::ListPersonasResponse { personas: personas.into_iter().map(show).collect() })
}

/// See the proto.
pub async fn explain_access(call: &Call, request: v1::ExplainAccessRequest) -> Result<v1::ExplainAccessResponse> {
    let permission = Permission::from_name(&request.permission).map_err(|unknown| Error::invalid("permission", unknown.to_string()))?;
    let target = if request.target.is_empty() { None } else { Some(Target::parse("target", &request.target)?.to_string()) };
    let snapshot = call.access().snapshot().await?;
    let own = request.user_name.is_empty();
    let uid = if own {
        call.caller().user_uid.clone()
    } else {
        snapshot.user_by_name(&request.user_name).ok_or_else(|| super::users::absent(&request.user_name))?.uid.clone()
    };
    let (_, object) = scope(call.store().reader(), request.scope.as_ref()).await?;
    let object = Object { target, ..object };
    let decision = if own {
        call.decide(&snapshot, permission, &object)
    } else {
        snapshot.decide(&uid, &Default::default(), permission, &object)
    };
    let named = |uid: &String| snapshot.grants.iter().find(|grant| grant.uid == *uid).cloned();
    let grants = messages(call, &snapshot, decision.grants.iter().filter_map(named).collect()).await?;
    Ok(v1::ExplainAccessResponse { allowed: decision.allowed, reason: decision.reason, grants })
}

/// Grants a persona on the whole server to a user that was just made.
pub(super) async fn grant_persona(tx: &Tx, call: &Call, snapshot: &Snapshot, user_uid: &str, persona: &str) -> Result<()> {
    let grant = Grant {
        uid: clock::new_uid(),
        principal: Principal::User(user_uid.to_owned()),
        persona: persona.to_owned(),
        scope: Scope::Server,
        targets: Vec::new(),
        effect: Effect::Allow,
        created: tx.now(),
        created_by: call.caller().user_uid.clone(),
    };
    if snapshot.persona(persona).is_none() {
        return Err(Error::not_found("persona", persona));
    }
    hold_all(call, snapshot, &grant, &Object::SERVER)?;
    Ok(rows::insert_grant(tx, &grant).await?)
}

/// Refuses a change after which nobody could administer the server.
pub(super) async fn keep_an_admin(tx: &Tx) -> Result<()> {
    if rows::snapshot(&**tx, tx.now()).await?.admins().is_empty() {
        return Err(Error::precondition("LAST_ADMIN", "no active admin would remain; make another one first"));
    }
    Ok(())
}

/// Nobody grants, and nobody takes, what they do not hold there.
pub(super) fn hold_all(call: &Call, snapshot: &Snapshot, grant: &Grant, object: &Object) -> Result<()> {
    let persona = snapshot.persona(&grant.persona).ok_or_else(|| Error::not_found("persona", &grant.persona))?;
    let targets: Vec<Option<String>> =
        if grant.targets.is_empty() { vec![None] } else { grant.targets.iter().cloned().map(Some).collect() };
    for right in persona.rights {
        for target in &targets {
            hold(call, snapshot, right.permission, &Object { target: target.clone(), ..object.clone() })?;
        }
    }
    Ok(())
}

fn hold(call: &Call, snapshot: &Snapshot, permission: Permission, object: &Object) -> Result<()> {
    // The command line beside the database is the operator's.
    if call.caller().credential == Credential::CommandLine || call.decide(snapshot, permission, object).allowed {
        return Ok(());
    }
    let name = permission.name();
    Err(Error::Denied {
        permission: Some(permission),
        reason: super::PERMISSION_MISSING,
        message: format!("you cannot grant `{name}` here: you do not hold it yourself"),
    })
}

fn principal(snapshot: &Snapshot, given: Option<&v1::Principal>) -> Result<Principal> {
    use v1::principal::Principal as Given;
    match given.and_then(|principal| principal.principal.as_ref()) {
        Some(Given::UserName(name)) => {
            snapshot.user_by_name(name).map(|user| Principal::User(user.uid.clone())).ok_or_else(|| super::users::absent(name))
        }
        Some(Given::GroupName(name)) => snapshot
            .group_by_name(name)
            .map(|group| Principal::Group(group.uid.clone()))
            .ok_or_else(|| Error::not_found("group", name)),
        None => Err(Error::invalid("principal", "is required")),
    }
}

/// The scope that a request names, and the object that stands for it in decisions.
async fn scope<C: sea_orm::ConnectionTrait>(on: &C, given: Option<&v1::Scope>) -> Result<(Scope, Object)> {
    use v1::name_pattern::Pattern;
    use v1::scope::Scope as Given;
    let pattern = |class, pattern: &str| -> Result<Object> {
        text::required("scope.pattern", pattern, limits::PATTERN)?;
        if pattern.chars().any(char::is_control) {
            return Err(Error::invalid("scope.pattern", "contains a control character"));
        }
        // Who may grant on a pattern must hold it on the server or on just this pattern.
        Ok(Object { class, name: Some(pattern.to_owned()), ..Object::SERVER })
    };
    match given.and_then(|scope| scope.scope.as_ref()) {
        None => Ok((Scope::Server, Object::SERVER)),
        Some(Given::ExperimentId(id)) => {
            let number = ids::experiment_id("scope.experiment_id", id)?;
            let object = store::objects::experiment(on, number).await?.ok_or_else(|| Error::not_found("experiment", id))?;
            Ok((Scope::Experiment(number.to_string()), Object { owner: None, ..object }))
        }
        Some(Given::RegisteredModel(name)) => {
            let object = store::objects::model(on, &text::canonical_name(name)).await?;
            let object = object.ok_or_else(|| Error::not_found("registered model", name))?;
            Ok((Scope::Model(object.uid.clone().unwrap_or_default()), Object { owner: None, ..object }))
        }
        Some(Given::Pattern(given)) => match &given.pattern {
            Some(Pattern::Experiments(text)) => Ok((Scope::Experiments(text.clone()), pattern(ObjectClass::Experiment, text)?)),
            Some(Pattern::RegisteredModels(text)) => Ok((Scope::Models(text.clone()), pattern(ObjectClass::Model, text)?)),
            None => Err(Error::invalid("scope.pattern", "is required")),
        },
    }
}

fn targets(written: &[String]) -> Result<Vec<String>> {
    written.iter().map(|target| Ok(Target::parse("targets", target)?.to_string())).collect()
}

fn effect(number: i32) -> Result<Effect> {
    match v1::GrantEffect::try_from(number) {
        Ok(v1::GrantEffect::Deny) => Ok(Effect::Deny),
        Ok(_) => Ok(Effect::Allow),
        Err(_) => Err(super::experiments::unknown_enum("effect", number)),
    }
}

async fn record(tx: &Tx, call: &Call, grant: &Grant, snapshot: &Snapshot) -> Result<Recorded<()>> {
    let shown = message(snapshot, grant, &scope_message(&**tx, &grant.scope).await?);
    let payload = json!({
        "principal": format!("{:?}", grant.principal), "persona": grant.persona, "scope": format!("{:?}", grant.scope),
        "targets": grant.targets, "effect": format!("{:?}", grant.effect),
    });
    let name = format!("{} to {:?}", shown.persona, shown.principal.and_then(|principal| principal.principal));
    let scope = match &grant.scope {
        Scope::Experiment(uid) | Scope::Model(uid) => uid.as_str(),
        _ => "",
    };
    let subject = Subject { kind: "grant", id: &grant.uid, name: &name, scope };
    Ok(tx.record(&call.entry(tx.now(), &subject, &payload)).await?)
}

/// Grants as the contract has them.
pub(super) async fn messages(call: &Call, snapshot: &Snapshot, grants: Vec<Grant>) -> Result<Vec<v1::Grant>> {
    let mut shown = Vec::with_capacity(grants.len());
    for grant in grants {
        let scope = scope_message(call.store().reader(), &grant.scope).await?;
        shown.push(message(snapshot, &grant, &scope));
    }
    Ok(shown)
}

async fn scope_message<C: sea_orm::ConnectionTrait>(on: &C, scope: &Scope) -> Result<Option<v1::Scope>> {
    use v1::name_pattern::Pattern;
    use v1::scope::Scope as Shown;
    let pattern = |pattern| Shown::Pattern(v1::NamePattern { pattern: Some(pattern) });
    let shown = match scope {
        Scope::Server => return Ok(None),
        Scope::Experiment(id) => Shown::ExperimentId(id.clone()),
        Scope::Model(uid) => {
            let model = store::models::by_uid(on, uid).await?;
            Shown::RegisteredModel(model.map(|model| model.name).unwrap_or_default())
        }
        Scope::Experiments(text) => pattern(Pattern::Experiments(text.clone())),
        Scope::Models(text) => pattern(Pattern::RegisteredModels(text.clone())),
    };
    Ok(Some(v1::Scope { scope: Some(shown) }))
}

fn message(snapshot: &Snapshot, grant: &Grant, scope: &Option<v1::Scope>) -> v1::Grant {
    use v1::principal::Principal as Shown;
    let principal = match &grant.principal {
        Principal::User(uid) => Shown::UserName(user_name(snapshot, uid)),
        Principal::Group(uid) => Shown::GroupName(snapshot.groups.get(uid).map(|group| group.name.clone()).unwrap_or_default()),
    };
    let effect = match grant.effect {
        Effect::Allow => v1::GrantEffect::Allow,
        Effect::Deny => v1::GrantEffect::Deny,
    };
    v1::Grant {
        grant_id: grant.uid.clone(),
        principal: Some(v1::Principal { principal: Some(principal) }),
        persona: grant.persona.clone(),
        scope: scope.clone(),
        targets: grant.targets.clone(),
        effect: effect.into(),
        creation_timestamp: grant.created,
        created_by: user_name(snapshot, &grant.created_by),
    }
}
