//! Users and service accounts.

use std::sync::Arc;

use serde_json::json;

use super::grants::{grant_persona, keep_an_admin};
use super::{Error, Result, idempotency, paging, write};
use crate::access::{Access, Call, Caller, Credential, Subject, entry};
use crate::contract::{Permission, v1};
use crate::domain::access::{ADMIN, Effect, Grant, Object, Principal, Scope, Snapshot, UserKind};
use crate::domain::field::Check;
use crate::domain::{limits, text};
use crate::store::access::{self as rows, UserRow};
use crate::store::{Recorded, Tx};
use crate::clock;

/// A user to be made, its password already hashed.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// Never given before.
    pub name: String,
    /// For people.
    pub display_name: String,
    /// Whether it is a login.
    pub kind: UserKind,
    /// The name of a user of the same person; empty for a new person.
    pub person_of: String,
    /// None for one that cannot sign in with a password.
    pub password_hash: Option<String>,
    /// A persona on the whole server; empty for none.
    pub persona: String,
}

/// See the proto.
pub async fn create_user(call: &Call, request: v1::CreateUserRequest) -> Result<v1::CreateUserResponse> {
    let mut check = Check::new();
    check.take(text::principal_name("user_name", &request.user_name));
    check.take(text::value("display_name", &request.display_name, limits::DISPLAY_NAME));
    if !request.password.is_empty() {
        check.take(text::password("password", &request.password));
    }
    check.take(text::idempotency_key(request.idempotency_key.as_deref()));
    check.finish()?;
    let mut asked = request.clone();
    // What is compared and kept of a retry must not hold the password.
    asked.password = String::new();
    let user = NewUser {
        name: request.user_name,
        display_name: request.display_name,
        kind: UserKind::Person,
        person_of: request.person_of,
        password_hash: hash(call.access(), &request.password).await?,
        persona: request.persona,
    };
    let answer = write(call.store(), (call.clone(), asked, user), |tx, (call, asked, user)| {
        Box::pin(async move {
            let key = asked.idempotency_key.as_deref();
            if let Some(answer) = idempotency::earlier(tx, call, key, asked).await? {
                return Ok(Recorded::nothing(answer));
            }
            let made = insert(tx, call, user).await?;
            let answer = made.map(|row| v1::CreateUserResponse { user: Some(message(&row)) });
            idempotency::keep(tx, call, key, asked, answer).await
        })
    })
    .await?;
    call.access().refresh().await?;
    Ok(answer)
}

/// See the proto.
pub async fn create_service_account(call: &Call, request: v1::CreateServiceAccountRequest) -> Result<v1::CreateServiceAccountResponse> {
    let mut check = Check::new();
    check.take(text::principal_name("user_name", &request.user_name));
    check.take(text::value("display_name", &request.display_name, limits::DISPLAY_NAME));
    check.take(text::idempotency_key(request.idempotency_key.as_deref()));
    check.finish()?;
    let owner = if request.owner.is_empty() { call.caller().user_name.clone() } else { request.owner.clone() };
    let user = NewUser {
        name: request.user_name.clone(),
        display_name: request.display_name.clone(),
        kind: UserKind::ServiceAccount,
        person_of: owner,
        password_hash: None,
        persona: request.persona.clone(),
    };
    let answer = write(call.store(), (call.clone(), request, user), |tx, (call, request, user)| {
        Box::pin(async move {
            let key = request.idempotency_key.as_deref();
            if let Some(answer) = idempotency::earlier(tx, call, key, request).await? {
                return Ok(Recorded::nothing(answer));
            }
            let made = insert(tx, call, user).await?;
            let answer = made.map(|row| v1::CreateServiceAccountResponse { user: Some(message(&row)) });
            idempotency::keep(tx, call, key, request, answer).await
        })
    })
    .await?;
    call.access().refresh().await?;
    Ok(answer)
}

async fn insert(tx: &Tx, call: &Call, user: &NewUser) -> Result<Recorded<UserRow>> {
    rows::raise_epoch(tx).await?;
    let snapshot = rows::snapshot(&**tx, tx.now()).await?;
    let person_uid = if user.person_of.is_empty() {
        let uid = clock::new_uid();
        rows::insert_person(tx, &uid).await?;
        uid
    } else {
        let other = snapshot.user_by_name(&user.person_of).filter(|other| other.active);
        other.ok_or_else(|| Error::not_found("user", &user.person_of))?.person_uid.clone()
    };
    let row = UserRow {
        uid: clock::new_uid(),
        name: user.name.clone(),
        display_name: user.display_name.clone(),
        kind: user.kind,
        person_uid,
        password_hash: user.password_hash.clone(),
        active: true,
        created: tx.now(),
    };
    rows::insert_user(tx, &row).await.map_err(Error::on_duplicate("user", &user.name))?;
    if !user.persona.is_empty() {
        grant_persona(tx, call, &snapshot, &row.uid, &user.persona).await?;
    }
    let payload = json!({"user_name": row.name, "kind": row.kind.as_str(), "person_id": row.person_uid, "persona": user.persona});
    Ok(record(tx, call, &row, &payload).await?.map(|()| row))
}

/// Makes a user on the command line.
pub async fn make_user(call: &Call, user: NewUser) -> Result<()> {
    text::principal_name("NAME", &user.name)?;
    write(call.store(), (call.clone(), user), |tx, (call, user)| Box::pin(async move { Ok(insert(tx, call, user).await?.map(|_| ())) })).await
}

/// See the proto.
pub async fn get_user(call: &Call, request: v1::GetUserRequest) -> Result<v1::GetUserResponse> {
    let row = by_name(call, &request.user_name).await?;
    let snapshot = call.access().snapshot().await?;
    Ok(v1::GetUserResponse { groups: group_names(&snapshot, &row.uid), user: Some(message(&row)) })
}

/// See the proto.
pub async fn list_users(call: &Call, request: v1::ListUsersRequest) -> Result<v1::ListUsersResponse> {
    let size = text::page_size("max_results", request.max_results.into(), limits::PAGE_DEFAULT, limits::PAGE)?;
    let page = paging::query(call, &[]);
    let after: String = paging::cursor(call, &page, &request.page_token)?.unwrap_or_default();
    let mut found = rows::users_after(call.store().reader(), &after, size + 1).await?;
    let next_page_token = paging::cut(call, &page, &mut found, size, |row| text::canonical_principal(&row.name))?;
    Ok(v1::ListUsersResponse { users: found.iter().map(message).collect(), next_page_token })
}

/// See the proto.
pub async fn update_user(call: &Call, request: v1::UpdateUserRequest) -> Result<v1::UpdateUserResponse> {
    text::required("user_name", &request.user_name, limits::PRINCIPAL_NAME)?;
    text::value("display_name", request.display_name.as_deref().unwrap_or_default(), limits::DISPLAY_NAME)?;
    let user = write(call.store(), (call.clone(), request), |tx, (call, request)| {
        Box::pin(async move {
            // First, so that two changes of access come one after the other.
            rows::raise_epoch(tx).await?;
            let mut row = rows::user_by_name(&**tx, &request.user_name).await?.ok_or_else(|| absent(&request.user_name))?;
            let before = json!({"display_name": row.display_name, "active": row.active});
            row.display_name = request.display_name.clone().unwrap_or(row.display_name);
            row.active = request.active.unwrap_or(row.active);
            rows::update_user(tx, &row.uid, &row.display_name, row.active).await?;
            keep_an_admin(tx).await?;
            let payload = json!({"before": before, "after": {"display_name": row.display_name, "active": row.active}});
            Ok(record(tx, call, &row, &payload).await?.map(|()| message(&row)))
        })
    })
    .await?;
    call.access().refresh().await?;
    Ok(v1::UpdateUserResponse { user: Some(user) })
}

/// See the proto.
pub async fn set_password(call: &Call, request: v1::SetPasswordRequest) -> Result<v1::SetPasswordResponse> {
    text::password("new_password", &request.new_password)?;
    let row = by_name(call, &request.user_name).await?;
    if row.kind == UserKind::ServiceAccount {
        return Err(Error::precondition("SERVICE_ACCOUNT", "service accounts sign in with tokens only"));
    }
    let snapshot = call.access().snapshot().await?;
    if row.uid == call.caller().user_uid {
        let stored = row.password_hash.as_deref();
        let good = call.access().passwords.verify(&row.name, call.source(), &request.current_password, stored).await;
        match good {
            Ok(true) => {}
            Ok(false) => return Err(Error::invalid("current_password", "is not the present password")),
            Err(wait) => return Err(Error::Exhausted(format!("too many failed sign-ins; try again in {} seconds", wait.0.as_secs().max(1)))),
        }
    } else if !call.decide(&snapshot, Permission::UsersManage, &Object::SERVER).allowed {
        return Err(Error::denied(Permission::UsersManage, "the server", ""));
    }
    let hash = hash(call.access(), &request.new_password).await?.unwrap_or_default();
    write(call.store(), (call.clone(), row, hash), |tx, (call, row, hash)| {
        Box::pin(async move {
            rows::raise_epoch(tx).await?;
            rows::set_password_hash(tx, &row.uid, hash).await?;
            let own = call.caller().token_id.as_deref().unwrap_or_default();
            let revoked = rows::revoke_sessions(tx, &row.uid, own).await?;
            record(tx, call, row, &json!({"password": "changed", "sessions_revoked": revoked})).await
        })
    })
    .await?;
    call.access().refresh().await?;
    Ok(v1::SetPasswordResponse {})
}

async fn hash(access: &Access, password: &str) -> Result<Option<String>> {
    if password.is_empty() {
        return Ok(None);
    }
    let hash = access.passwords.hash(password).await;
    hash.map(Some).ok_or_else(|| Error::Internal("a password could not be hashed".to_owned()))
}

/// A user for reading.
pub(super) async fn by_name(call: &Call, name: &str) -> Result<UserRow> {
    text::required("user_name", name, limits::PRINCIPAL_NAME)?;
    rows::user_by_name(call.store().reader(), name).await?.ok_or_else(|| absent(name))
}

/// Writes the row of a change of a user.
pub(super) async fn record(tx: &Tx, call: &Call, row: &UserRow, payload: &serde_json::Value) -> Result<Recorded<()>> {
    let subject = Subject { kind: "user", id: &row.uid, name: &row.name, scope: "" };
    Ok(tx.record(&call.entry(tx.now(), &subject, payload)).await?)
}

/// The names of a user's groups, in order.
pub(super) fn group_names(snapshot: &Snapshot, uid: &str) -> Vec<String> {
    let mut names: Vec<String> = snapshot.groups_of(uid).map(|group| group.name.clone()).collect();
    names.sort();
    names
}

/// A user as the contract has it.
pub(super) fn message(row: &UserRow) -> v1::User {
    let kind = match row.kind {
        UserKind::Person => v1::UserKind::Person,
        UserKind::ServiceAccount => v1::UserKind::ServiceAccount,
    };
    v1::User {
        id: row.uid.clone(),
        user_name: row.name.clone(),
        display_name: row.display_name.clone(),
        kind: kind.into(),
        person_id: row.person_uid.clone(),
        active: row.active,
        creation_timestamp: row.created,
    }
}

/// The error of a user that does not exist.
pub(super) fn absent(name: &str) -> Error {
    Error::not_found("user", name)
}

/// Makes the user `admin` when there is no user at all. Returns its password when that was generated here.
pub async fn ensure_admin(access: &Arc<Access>, given: Option<String>) -> Result<Option<String>> {
    if rows::count_users(access.store.reader()).await? > 0 {
        return Ok(None);
    }
    let generated = given.is_none();
    let password = given.unwrap_or_else(|| clock::new_uid()[..24].to_owned());
    text::password("STAGEGATE_ADMIN_PASSWORD", &password)?;
    let hash = hash(access, &password).await?.unwrap_or_default();
    let made = write(&access.store, hash, |tx, hash| Box::pin(insert_admin(tx, hash))).await?;
    access.refresh().await?;
    Ok((made && generated).then_some(password))
}

async fn insert_admin(tx: &Tx, hash: &str) -> Result<Recorded<bool>> {
    rows::raise_epoch(tx).await?;
    if rows::count_users(&**tx).await? > 0 {
        // Another replica was first.
        return Ok(Recorded::nothing(false));
    }
    let row = UserRow {
        uid: clock::new_uid(),
        name: ADMIN.to_owned(),
        display_name: "Administrator".to_owned(),
        kind: UserKind::Person,
        person_uid: clock::new_uid(),
        password_hash: Some(hash.to_owned()),
        active: true,
        created: tx.now(),
    };
    rows::insert_person(tx, &row.person_uid).await?;
    rows::insert_user(tx, &row).await?;
    let grant = Grant {
        uid: clock::new_uid(),
        principal: Principal::User(row.uid.clone()),
        persona: ADMIN.to_owned(),
        scope: Scope::Server,
        targets: Vec::new(),
        effect: Effect::Allow,
        created: tx.now(),
        created_by: String::new(),
    };
    rows::insert_grant(tx, &grant).await?;
    let caller = Caller::without_user(Credential::System, "");
    let subject = Subject { kind: "user", id: &row.uid, name: &row.name, scope: "" };
    let payload = json!({"user_name": row.name, "persona": ADMIN});
    let action = crate::contract::operation("CreateUser").map_or("", |operation| operation.full_name);
    Ok(tx.record(&entry(&caller, action, "", tx.now(), &subject, &payload)).await?.map(|()| true))
}
