//! Tokens, and the keys that sign them.

use serde_json::json;

use super::access_change::{begin, current, must_hold_all_of, user_object};
use super::{Error, FOUR_EYES, Result, access_shown, paging, users};
use crate::access::token::{Claims, sign};
use crate::access::{Call, Caller, Credential, Subject, replace_key, token_key};
use crate::clock;
use crate::contract::{Permission, v1};
use crate::domain::access::{Object, TokenLimits};
use crate::domain::field::Check;
use crate::domain::ledger::{TokenNow, with_now};
use crate::domain::{limits, text};
use crate::store::access::{KeyRow, TokenRow, UserRow};
use crate::store::{Kept, Recorded, Tx, access as rows};

/// A token that is signed and not stored yet.
pub(super) struct Issued {
    /// For its user, nowhere kept.
    pub(super) text: String,
    /// What is kept.
    pub(super) row: TokenRow,
}

/// A token for a caller who has just proved a password.
pub(super) fn session(call: &Call, caller: &Caller) -> Result<Issued> {
    let row = TokenRow {
        origin: "SIGN_IN".to_owned(),
        issued_by: Some(caller.user_uid.clone()),
        ..blank(&caller.user_uid, limits::SESSION_TTL_MS)
    };
    let mut claims = Claims { r#gen: caller.standing.generation, makers: behind(caller, ""), ..claims(&row) };
    claims.auth_time = Some(claims.iat);
    issue(call, row, &claims)
}

fn blank(user_uid: &str, ttl_ms: i64) -> TokenRow {
    let now = clock::now_ms();
    TokenRow {
        token_id: clock::new_uid(),
        user_uid: user_uid.to_owned(),
        description: String::new(),
        origin: "API".to_owned(),
        issued_by: None,
        created: now,
        expires: now + ttl_ms,
        last_used: None,
        revoked: None,
        permissions: Vec::new(),
        model_pattern: None,
        parent_id: None,
        experiment_pattern: None,
    }
}

fn claims(row: &TokenRow) -> Claims {
    let mut claims = Claims::new(&row.user_uid, &row.token_id, row.created, row.expires);
    claims.perm.clone_from(&row.permissions);
    claims.models.clone_from(&row.model_pattern);
    claims.experiments.clone_from(&row.experiment_pattern);
    claims
}

fn issue(call: &Call, row: TokenRow, claims: &Claims) -> Result<Issued> {
    let text = sign(&call.access().keys(), claims).map_err(|error| Error::Internal(error.to_string()))?;
    Ok(Issued { text, row })
}

/// The users who stand behind a caller, by id, but one.
fn behind(caller: &Caller, but: &str) -> Vec<String> {
    let mut users: Vec<String> = caller.makers.iter().map(|maker| maker.login.uid.clone()).collect();
    users.retain(|uid| !uid.is_empty() && uid != but);
    users.sort();
    users.dedup();
    users
}

/// See the proto.
pub async fn create_token(call: &Call, mut request: v1::CreateTokenRequest) -> Result<Kept<v1::CreateTokenResponse>> {
    request.permissions.sort();
    request.permissions.dedup();
    let limits = check_new(&request)?;
    if !call.caller().limits.cover(&limits) {
        let message = "the token of this call is limited, and the new one would not be limited as much".to_owned();
        return Err(Error::Denied { permission: None, reason: "TOKEN_LIMITED", message });
    }
    let permissions = limits.permissions;
    let name = if request.user_name.is_empty() { &call.caller().user_name } else { &request.user_name };
    let user = users::by_name(call, name).await?;
    let issued = issue_for(call, &user, request)?;
    let (text, row) = (issued.text, issued.row);
    let shown = row.clone();
    let kept = call
        .store()
        .write((call.clone(), user, row, permissions), |tx, (call, user, row, permissions)| {
            Box::pin(insert(tx, call, user, row, permissions))
        })
        .await?;
    let snapshot = call.access().snapshot().await?;
    Ok(kept.map(|()| v1::CreateTokenResponse { token_text: text, token: Some(access_shown::token(&snapshot, shown)) }))
}

fn check_new(request: &v1::CreateTokenRequest) -> Result<TokenLimits> {
    let mut check = Check::new();
    check.take(text::label("description", &request.description, limits::DISPLAY_NAME));
    let most = limits::TOKEN_TTL_MAX_MS;
    let ttl = request.ttl_ms.unwrap_or(limits::TOKEN_TTL_DEFAULT_MS);
    check.require(
        (1_000..=most).contains(&ttl),
        "ttl_ms",
        &format!("is {ttl}, in milliseconds; must be between 1000 (1 second) and {most} (365 days)"),
    );
    check.take(text::count("permissions", request.permissions.len(), limits::GRANT_ITEMS));
    let mut permissions = Vec::new();
    for (index, name) in request.permissions.iter().enumerate().take(limits::GRANT_ITEMS) {
        match Permission::from_name(name) {
            Ok(permission) => permissions.push(permission),
            Err(error) => check.require(false, &format!("permissions[{index}]"), &error.to_string()),
        }
    }
    for (field, pattern) in [("model_pattern", &request.model_pattern), ("experiment_pattern", &request.experiment_pattern)] {
        if !pattern.is_empty() {
            check.take(super::grants::pattern(field, pattern));
        }
    }
    let given = |pattern: &str| Some(pattern.to_owned()).filter(|pattern| !pattern.is_empty());
    let (model_pattern, experiment_pattern) = (given(&request.model_pattern), given(&request.experiment_pattern));
    let limits = TokenLimits { permissions, model_pattern, experiment_pattern, maker: None };
    if let Some(permission) = limits.useless() {
        let other = if limits.model_pattern.is_none() { "model_pattern" } else { "experiment_pattern" };
        let message = format!("names `{}`, which the pattern leaves nothing of; give `{other}` as well", permission.name());
        check.require(false, "permissions", &message);
    }
    check.finish()?;
    Ok(limits)
}

/// A token that is stored, and signed. Who made the token of the call, who stood behind that, and the mark of the
/// command line go on to the tokens made with it.
fn issue_for(call: &Call, user: &UserRow, request: v1::CreateTokenRequest) -> Result<Issued> {
    let caller = call.caller();
    let own = user.uid == caller.user_uid;
    let by = match (&caller.standing.maker, own) {
        (maker, true) => maker.clone(),
        (None, false) => Some((caller.user_uid.clone(), caller.standing.generation)).filter(|(uid, _)| !uid.is_empty()),
        (Some(_), false) => {
            let message = "a token that another person made cannot make tokens for others".to_owned();
            return Err(Error::Denied { permission: None, reason: FOUR_EYES, message });
        }
    };
    let command_line = caller.credential == Credential::CommandLine;
    let mut row = TokenRow {
        description: request.description,
        origin: if command_line { "COMMAND_LINE" } else { "API" }.to_owned(),
        issued_by: (!command_line).then(|| caller.user_uid.clone()),
        permissions: request.permissions,
        model_pattern: Some(request.model_pattern).filter(|pattern| !pattern.is_empty()),
        experiment_pattern: Some(request.experiment_pattern).filter(|pattern| !pattern.is_empty()),
        ..blank(&user.uid, request.ttl_ms.unwrap_or(limits::TOKEN_TTL_DEFAULT_MS))
    };
    row.parent_id = parent(caller, row.created, row.expires)?;
    let maker = by.as_ref().map_or("", |(uid, _)| uid.as_str());
    let claims = Claims {
        cli: command_line || caller.credential == Credential::CommandLineToken,
        r#gen: user.generation,
        up: row.parent_id.iter().chain(&caller.standing.ancestors).filter(|_| row.parent_id.is_some()).cloned().collect(),
        makers: behind(caller, maker),
        by,
        ..claims(&row)
    };
    issue(call, row, &claims)
}

/// The token that a new one is made with, falls with and does not outlive; none when it stands by itself. Only who has
/// just proved a password makes what outlives the credential of the call.
fn parent(caller: &Caller, now: i64, expires: i64) -> Result<Option<String>> {
    let (Some(token), Some(until)) = (&caller.token_id, caller.token_expires) else { return Ok(None) };
    if expires > until {
        if caller.signed_in.is_some_and(|at| now - at < limits::FRESH_SIGN_IN_MS) {
            return Ok(None);
        }
        let left = (until - now).max(0);
        let minutes = limits::FRESH_SIGN_IN_MS / 60_000;
        let message = format!(
            "the new token would outlive the token of this call, which is good for {left} ms more: give a shorter ttl_ms, \
             or sign in with the password (SignIn, or HTTP Basic) and make it within {minutes} minutes"
        );
        return Err(Error::precondition("FRESH_SIGN_IN_NEEDED", message));
    }
    if caller.standing.ancestors.len() >= limits::TOKEN_ANCESTORS {
        let message = format!("a token stands on at most {} others; make it with an earlier one", limits::TOKEN_ANCESTORS);
        return Err(Error::precondition("TOO_MANY_ANCESTORS", message));
    }
    Ok(Some(token.clone()))
}

async fn insert(tx: &Tx, call: &Call, user: &UserRow, row: &TokenRow, permissions: &[Permission]) -> Result<Recorded<()>> {
    // A token gives nothing that its user has not got already, so the epoch stays. One that is made while its user or
    // maker gets a new password, or is deactivated, bears the generation of before.
    let snapshot = current(tx, call, &user_object(&user.uid)).await?;
    if !snapshot.users.get(&user.uid).is_some_and(|user| user.active) {
        return Err(Error::precondition("USER_DEACTIVATED", format!("user {:?} is deactivated", user.name)));
    }
    must_hold_all_of(tx, call, &snapshot, &user.uid, permissions).await?;
    rows::insert_token(tx, row).await?;
    let payload = json!({
        "user_name": user.name, "description": row.description, "expires": row.expires,
        "permissions": row.permissions, "model_pattern": row.model_pattern, "experiment_pattern": row.experiment_pattern,
        "parent_token_id": row.parent_id,
    });
    record(tx, call, &row.token_id, &user.name, &payload).await
}

async fn record(tx: &Tx, call: &Call, token_id: &str, user_name: &str, payload: &serde_json::Value) -> Result<Recorded<()>> {
    let subject = Subject { kind: "token", id: token_id, name: user_name, scope: "" };
    Ok(tx.record(&call.entry(tx.now(), &subject, payload)).await?)
}

/// See the proto.
pub async fn list_tokens(call: &Call, request: v1::ListTokensRequest) -> Result<v1::ListTokensResponse> {
    let size = text::page_size("max_results", request.max_results.into(), limits::PAGE_DEFAULT, limits::PAGE)?;
    let name = if request.user_name.is_empty() { &call.caller().user_name } else { &request.user_name };
    let user = users::by_name(call, name).await?;
    let page = paging::query(call, &[user.uid.as_bytes()]);
    let before = paging::cursor::<(i64, String)>(call, &page, &request.page_token)?.unwrap_or((i64::MAX, String::new()));
    let mut found = rows::tokens_before(call.store().reader(), &user.uid, (before.0, &before.1), size + 1).await?;
    let next_page_token = paging::cut(call, &page, &mut found, size, |row| (row.created, row.token_id.clone()))?;
    let snapshot = call.access().snapshot().await?;
    let tokens = found.into_iter().map(|row| access_shown::token(&snapshot, row)).collect();
    Ok(v1::ListTokensResponse { tokens, next_page_token })
}

/// See the proto.
pub async fn revoke_token(call: &Call, request: v1::RevokeTokenRequest) -> Result<Kept<v1::RevokeTokenResponse>> {
    text::required("token_id", &request.token_id, limits::PRINCIPAL_NAME)?;
    let kept = call
        .store()
        .write((call.clone(), request.token_id), |tx, (call, token_id)| {
            Box::pin(async move {
                let row = rows::token(&**tx, token_id).await?.ok_or_else(|| Error::not_found("token", token_id))?;
                let snapshot = begin(tx, call, &user_object(&row.user_uid)).await?;
                let revoked = rows::revoke_token(tx, token_id).await?;
                if revoked.is_empty() {
                    return Ok(Recorded::nothing(()));
                }
                let owner = snapshot.users.get(&row.user_uid).map(|user| user.name.as_str()).unwrap_or_default();
                let payload = json!({"user_name": owner, "description": row.description});
                record(tx, call, token_id, owner, &with_now(payload, &TokenNow { revoked })).await
            })
        })
        .await?;
    call.access().refresh().await?;
    Ok(kept.map(|()| v1::RevokeTokenResponse {}))
}

/// See the proto.
pub async fn rotate_signing_key(call: &Call, _: v1::RotateSigningKeyRequest) -> Result<Kept<v1::RotateSigningKeyResponse>> {
    let key = token_key(call.access().master()).map_err(|error| Error::Internal(error.to_string()))?;
    let key_id = key.key_id.clone();
    let kept = call.store().write((call.clone(), key), |tx, (call, key)| Box::pin(rotate(tx, call, key))).await?;
    let epoch = call.access().refresh().await?.epoch;
    call.access().follow_keys(epoch).await.map_err(|error| Error::Internal(error.to_string()))?;
    Ok(kept.map(|()| v1::RotateSigningKeyResponse { key_id }))
}

async fn rotate(tx: &Tx, call: &Call, key: &KeyRow) -> Result<Recorded<()>> {
    begin(tx, call, &Object::SERVER).await?;
    replace_key(tx, call.access().master(), key).await?;
    let subject = Subject { kind: "signing_key", id: &key.key_id, name: &key.key_id, scope: "" };
    Ok(tx.record(&call.entry(tx.now(), &subject, &json!({"public_key": key.public_key}))).await?)
}
