//! Personas: named sets of permissions.

use serde_json::json;

use super::access_change::{begin, must_hold};
use super::{Error, Result, access_shown, idempotency};
use crate::access::{Call, Subject};
use crate::contract::v1;
use crate::domain::access::{BUILT_IN, Object, Persona, Right, Scope, built_in};
use crate::domain::field::{Check, FieldError};
use crate::domain::ledger::{PersonaNow, with_now};
use crate::domain::{limits, text};
use crate::store::{Kept, Recorded, Tx, access as rows};

/// See the proto.
pub async fn create_persona(call: &Call, request: v1::CreatePersonaRequest) -> Result<Kept<v1::CreatePersonaResponse>> {
    let mut check = Check::new();
    check.take(persona_name("name", &request.name));
    check.take(text::idempotency_key(request.idempotency_key.as_deref()));
    check.require(!request.permissions.is_empty(), "permissions", "must have at least one item");
    check.take(text::count("permissions", request.permissions.len(), limits::GRANT_ITEMS));
    let mut rights: Vec<Right> = Vec::new();
    for (index, name) in request.permissions.iter().enumerate().take(limits::GRANT_ITEMS) {
        match Right::parse(name) {
            Ok(right) if !rights.contains(&right) => rights.push(right),
            Ok(_) => {}
            Err(error) => check.require(false, &format!("permissions[{index}]"), &error.to_string()),
        }
    }
    check.finish()?;
    let answer = call
        .store()
        .write((call.clone(), request, rights), |tx, (call, request, rights)| Box::pin(insert(tx, call, request, rights)))
        .await?;
    call.access().refresh().await?;
    Ok(answer)
}

async fn insert(tx: &Tx, call: &Call, request: &v1::CreatePersonaRequest, rights: &[Right]) -> Result<Recorded<v1::CreatePersonaResponse>> {
    let snapshot = begin(tx, call, &Object::SERVER).await?;
    let key = request.idempotency_key.as_deref();
    if let Some(answer) = idempotency::earlier(tx, call, key, request).await? {
        return Ok(Recorded::nothing(answer));
    }
    if snapshot.persona(&request.name).is_some() {
        return Err(Error::already_exists("persona", &request.name));
    }
    must_hold(tx, call, &snapshot, rights, &Scope::Server, &[]).await?;
    let persona = Persona { name: request.name.clone(), rights: rights.to_vec(), built_in: false };
    let names: Vec<String> = rights.iter().map(|right| right.name()).collect();
    rows::insert_persona(tx, &persona.name, &names).await.map_err(Error::on_duplicate("persona", &persona.name))?;
    let payload = json!({"name": persona.name, "permissions": names});
    let now = PersonaNow { permissions: Some(names), deleted: false };
    let recorded = record(tx, call, &persona.name, &with_now(payload, &now)).await?;
    let answer = recorded.map(|()| v1::CreatePersonaResponse { persona: Some(access_shown::persona(&persona)) });
    idempotency::keep(tx, call, key, request, answer).await
}

/// See the proto.
pub async fn delete_persona(call: &Call, request: v1::DeletePersonaRequest) -> Result<Kept<v1::DeletePersonaResponse>> {
    persona_name("name", &request.name)?;
    if built_in(&request.name).is_some() {
        return Err(Error::precondition("PERSONA_BUILT_IN", format!("the persona {:?} is built in", request.name)));
    }
    let kept = call
        .store()
        .write((call.clone(), request.name), |tx, (call, name)| {
            Box::pin(async move {
                let snapshot = begin(tx, call, &Object::SERVER).await?;
                if let Some(grant) = snapshot.grants.iter().find(|grant| grant.persona == *name) {
                    return Err(Error::precondition(
                        "PERSONA_IN_USE",
                        format!("the grant {} names the persona {name:?}; delete it first", grant.uid),
                    ));
                }
                if !rows::delete_persona(tx, name).await? {
                    return Err(Error::not_found("persona", name));
                }
                let now = PersonaNow { permissions: None, deleted: true };
                record(tx, call, name, &with_now(json!({"name": name}), &now)).await
            })
        })
        .await?;
    call.access().refresh().await?;
    Ok(kept.map(|()| v1::DeletePersonaResponse {}))
}

/// See the proto.
pub async fn list_personas(call: &Call, _: v1::ListPersonasRequest) -> Result<v1::ListPersonasResponse> {
    let snapshot = call.access().snapshot().await?;
    let mut personas: Vec<Persona> = BUILT_IN.iter().filter_map(|name| built_in(name)).chain(snapshot.personas.values().cloned()).collect();
    personas.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(v1::ListPersonasResponse { personas: personas.iter().map(access_shown::persona).collect() })
}

/// The name of a persona: a principal's, in lower case and without its further signs.
fn persona_name(field: &str, name: &str) -> std::result::Result<(), FieldError> {
    text::required(field, name, limits::PRINCIPAL_NAME)?;
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    if name.chars().all(legal) {
        return Ok(());
    }
    Err(FieldError::new(field, "may only contain lower-case ASCII letters, digits, `_` and `-`"))
}

async fn record(tx: &Tx, call: &Call, name: &str, payload: &serde_json::Value) -> Result<Recorded<()>> {
    let subject = Subject { kind: "persona", id: name, name, scope: "" };
    Ok(tx.record(&call.entry(tx.now(), &subject, payload)).await?)
}
