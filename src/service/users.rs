//! Users and service accounts.

use serde_json::json;

use super::access_change::{self, begin, keep_an_admin, must_hold, must_hold_all_of};
use super::{Error, Result, access_shown, idempotency, paging};
use crate::access::{Call, Subject};
use crate::clock;
use crate::contract::v1;
use crate::domain::access::{Effect, Grant, Object, Principal, Scope, Snapshot, UserKind};
use crate::domain::field::Check;
use crate::domain::ledger::{UserNow, given, with_now};
use crate::domain::limits;
use crate::domain::person::{Deed, Maker};
use crate::domain::text::{self, canonical_principal};
use crate::store::access::UserRow;
use crate::store::{Kept, Recorded, Tx, access as rows};

/// See the proto.
pub async fn create_user(call: &Call, mut request: v1::CreateUserRequest) -> Result<Kept<v1::CreateUserResponse>> {
    let mut check = Check::new();
    new_principal(&mut check, &request.user_name, &request.display_name, &request.persona, request.idempotency_key.as_deref());
    // What is kept for retries and what is recorded comes from the request, so the password leaves it here.
    let password = zeroize::Zeroizing::new(std::mem::take(&mut request.password));
    if !password.is_empty() {
        check.take(text::password("password", &password));
    }
    optional_name(&mut check, "person_of", &request.person_of);
    check.finish()?;
    let hash = if password.is_empty() { None } else { Some(super::hash(call, &password).await?) };
    let answer = call
        .store()
        .write((call.clone(), request, hash), |tx, (call, request, hash)| Box::pin(insert_person(tx, call, request, hash.as_deref())))
        .await?;
    call.access().refresh().await?;
    Ok(answer)
}

async fn insert_person(
    tx: &Tx,
    call: &Call,
    request: &v1::CreateUserRequest,
    hash: Option<&str>,
) -> Result<Recorded<v1::CreateUserResponse>> {
    let snapshot = begin(tx, call, &Object::SERVER).await?;
    let key = request.idempotency_key.as_deref();
    if let Some(answer) = idempotency::earlier(tx, call, key, request).await? {
        return Ok(Recorded::nothing(answer));
    }
    let person_uid = match request.person_of.as_str() {
        "" => {
            let person = clock::new_uid();
            rows::insert_person(tx, &person).await?;
            person
        }
        name => {
            let other = access_change::user(&snapshot, name)?;
            if other.kind != UserKind::Person {
                return Err(Error::invalid("person_of", "names a service account, not a login"));
            }
            other.person_uid.clone()
        }
    };
    let user = new_user(tx, &request.user_name, &request.display_name, UserKind::Person, person_uid, hash);
    let makers = call.caller().makers_of(Deed::Login, &user.person_uid);
    let payload = json!({
        "user_name": user.name, "display_name": user.display_name, "persona": request.persona,
        "person_of": request.person_of, "person_id": user.person_uid, "with_password": hash.is_some(), "makers": access_shown::names(&makers),
    });
    let recorded = insert(tx, call, &snapshot, &user, &makers, &request.persona, payload).await?;
    let answer = recorded.map(|()| v1::CreateUserResponse { user: Some(access_shown::user(user, &makers)) });
    idempotency::keep(tx, call, key, request, answer).await
}

/// See the proto.
pub async fn create_service_account(
    call: &Call,
    request: v1::CreateServiceAccountRequest,
) -> Result<Kept<v1::CreateServiceAccountResponse>> {
    let mut check = Check::new();
    new_principal(&mut check, &request.user_name, &request.display_name, &request.persona, request.idempotency_key.as_deref());
    optional_name(&mut check, "owner", &request.owner);
    check.finish()?;
    let answer =
        call.store().write((call.clone(), request), |tx, (call, request)| Box::pin(insert_service_account(tx, call, request))).await?;
    call.access().refresh().await?;
    Ok(answer)
}

async fn insert_service_account(
    tx: &Tx,
    call: &Call,
    request: &v1::CreateServiceAccountRequest,
) -> Result<Recorded<v1::CreateServiceAccountResponse>> {
    let snapshot = begin(tx, call, &Object::SERVER).await?;
    let key = request.idempotency_key.as_deref();
    if let Some(answer) = idempotency::earlier(tx, call, key, request).await? {
        return Ok(Recorded::nothing(answer));
    }
    let person_uid = match request.owner.as_str() {
        "" => call.caller().person_uid.clone(),
        owner => access_change::user(&snapshot, owner)?.person_uid.clone(),
    };
    let user = new_user(tx, &request.user_name, &request.display_name, UserKind::ServiceAccount, person_uid, None);
    let makers = call.caller().makers_of(Deed::Login, &user.person_uid);
    let payload = json!({
        "user_name": user.name, "display_name": user.display_name, "persona": request.persona,
        "owner": request.owner, "person_id": user.person_uid, "makers": access_shown::names(&makers),
    });
    let recorded = insert(tx, call, &snapshot, &user, &makers, &request.persona, payload).await?;
    let answer = recorded.map(|()| v1::CreateServiceAccountResponse { user: Some(access_shown::user(user, &makers)) });
    idempotency::keep(tx, call, key, request, answer).await
}

fn new_principal(check: &mut Check, name: &str, display_name: &str, persona: &str, key: Option<&str>) {
    check.take(text::principal_name("user_name", name));
    check.take(text::label("display_name", display_name, limits::DISPLAY_NAME));
    optional_name(check, "persona", persona);
    check.take(text::idempotency_key(key));
}

fn optional_name(check: &mut Check, field: &str, name: &str) {
    if !name.is_empty() {
        check.take(text::principal_name(field, name));
    }
}

fn new_user(tx: &Tx, name: &str, display_name: &str, kind: UserKind, person_uid: String, hash: Option<&str>) -> UserRow {
    UserRow {
        uid: clock::new_uid(),
        name: name.to_owned(),
        display_name: display_name.to_owned(),
        kind,
        person_uid,
        password_hash: hash.map(str::to_owned),
        active: true,
        created: tx.now(),
        // Whoever makes the login sets this password: it is not the user's own.
        password_temporary: hash.is_some(),
        generation: 0,
    }
}

/// Inserts a user with those who made it and, with a persona, the grant of it on the server.
async fn insert(
    tx: &Tx,
    call: &Call,
    snapshot: &Snapshot,
    user: &UserRow,
    makers: &[Maker],
    persona: &str,
    payload: serde_json::Value,
) -> Result<Recorded<()>> {
    rows::insert_user(tx, user).await.map_err(Error::on_duplicate("user", &user.name))?;
    rows::insert_makers(tx, &user.uid, makers).await?;
    let mut now = UserNow { credentials: Some(rows::credentials(&**tx, &user.uid).await?), ..UserNow::from(user) };
    if !persona.is_empty() {
        let rights = access_change::persona(snapshot, persona)?.rights;
        must_hold(tx, call, snapshot, &rights, &Scope::Server, &[]).await?;
        let grant = Grant {
            uid: clock::new_uid(),
            principal: Principal::User(user.uid.clone()),
            persona: persona.to_owned(),
            scope: Scope::Server,
            targets: Vec::new(),
            effect: Effect::Allow,
            created: tx.now(),
            created_by: call.caller().user_uid.clone(),
        };
        rows::insert_grant(tx, &grant).await?;
        now.grants = given(&grant);
    }
    record(tx, call, user, &with_now(payload, &now)).await
}

async fn record(tx: &Tx, call: &Call, user: &UserRow, payload: &serde_json::Value) -> Result<Recorded<()>> {
    let subject = Subject { kind: "user", id: &user.uid, name: &user.name, scope: "" };
    Ok(tx.record(&call.entry(tx.now(), &subject, payload)).await?)
}

/// See the proto.
pub async fn get_user(call: &Call, request: v1::GetUserRequest) -> Result<v1::GetUserResponse> {
    // The rule reads an empty name as the caller's own.
    let name = if request.user_name.is_empty() { &call.caller().user_name } else { &request.user_name };
    let row = by_name(call, name).await?;
    let snapshot = call.access().snapshot().await?;
    let groups = access_shown::groups_of(&snapshot, &row.uid);
    Ok(v1::GetUserResponse { user: Some(access_shown::user_of(&snapshot, row)), groups })
}

/// See the proto.
pub async fn list_users(call: &Call, request: v1::ListUsersRequest) -> Result<v1::ListUsersResponse> {
    let size = text::page_size("max_results", request.max_results.into(), limits::PAGE_DEFAULT, limits::PAGE)?;
    let page = paging::query(call, &[]);
    let after = paging::cursor::<String>(call, &page, &request.page_token)?.unwrap_or_default();
    let mut found = rows::users_after(call.store().reader(), &after, size + 1).await?;
    let next_page_token = paging::cut(call, &page, &mut found, size, |row| canonical_principal(&row.name))?;
    let snapshot = call.access().snapshot().await?;
    let users = found.into_iter().map(|row| access_shown::user_of(&snapshot, row)).collect();
    Ok(v1::ListUsersResponse { users, next_page_token })
}

/// See the proto.
pub async fn update_user(call: &Call, request: v1::UpdateUserRequest) -> Result<Kept<v1::UpdateUserResponse>> {
    let mut check = Check::new();
    check.take(text::principal_name("user_name", &request.user_name));
    check.take(text::label("display_name", request.display_name.as_deref().unwrap_or_default(), limits::DISPLAY_NAME));
    check.finish()?;
    let row = call.store().write((call.clone(), request), |tx, (call, request)| Box::pin(update(tx, call, request))).await?;
    let snapshot = call.access().refresh().await?;
    Ok(row.map(|row| v1::UpdateUserResponse { user: Some(access_shown::user_of(&snapshot, row)) }))
}

async fn update(tx: &Tx, call: &Call, request: &v1::UpdateUserRequest) -> Result<Recorded<UserRow>> {
    let snapshot = begin(tx, call, &Object::SERVER).await?;
    let before = rows::user_by_name(&**tx, &request.user_name).await?.ok_or_else(|| Error::not_found("user", &request.user_name))?;
    let mut after = before.clone();
    after.display_name = request.display_name.clone().unwrap_or(after.display_name);
    after.active = request.active.unwrap_or(after.active);
    if (&after.display_name, after.active) == (&before.display_name, before.active) {
        return Ok(Recorded::nothing(before));
    }
    if after.active && !before.active {
        must_hold_all_of(tx, call, &snapshot, &before.uid, &[]).await?;
    }
    rows::update_user(tx, &before.uid, &after.display_name, after.active).await?;
    let state = |row: &UserRow| json!({"display_name": row.display_name, "active": row.active});
    let mut payload = json!({"before": state(&before), "after": state(&after)});
    let mut now = UserNow { active: Some(after.active), ..UserNow::default() };
    if !after.active {
        keep_an_admin(tx, &snapshot).await?;
        now.revoked = rows::end_credentials(tx, &before.uid).await?;
        payload["tokens_revoked"] = now.revoked.len().into();
        now.credentials = Some(rows::credentials(&**tx, &before.uid).await?);
    }
    Ok(record(tx, call, &before, &with_now(payload, &now)).await?.map(|()| after))
}

/// The row of a user by name.
pub(super) async fn by_name(call: &Call, name: &str) -> Result<UserRow> {
    text::principal_name("user_name", name)?;
    rows::user_by_name(call.store().reader(), name).await?.ok_or_else(|| Error::not_found("user", name))
}
