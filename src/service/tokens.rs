//! Sign-in, tokens, signing keys, and who one is.

use serde_json::json;

use super::{Error, Result, grants, paging, users, write};
use crate::access::{Call, Credential, Subject, token, token_key};
use crate::contract::{Permission, v1};
use crate::domain::access::{Snapshot, TokenLimits};
use crate::domain::field::Check;
use crate::domain::{ids, limits, text};
use crate::store::access::{self as rows, TokenRow, UserRow};
use crate::store::{Recorded, Tx};
use crate::clock;

const SIGN_IN: &str = "SIGN_IN";
const API: &str = "API";
const COMMAND_LINE: &str = "COMMAND_LINE";

/// See the proto.
pub async fn sign_in(call: &Call, request: v1::SignInRequest) -> Result<v1::SignInResponse> {
    let caller = call.access().by_password(&request.user_name, &request.password, call.source()).await?;
    let now = clock::now_ms();
    let row = TokenRow { origin: SIGN_IN.to_owned(), issued_by: Some(caller.user_uid.clone()), ..new_token(&caller.user_uid, now, now + limits::SESSION_TTL_MS) };
    let text = sign(call, &row, None, false)?;
    let expiry_time = row.expires;
    write(call.store(), row, |tx, row| {
        Box::pin(async move {
            rows::insert_token(tx, row).await?;
            Ok(Recorded::outside_ledger(()))
        })
    })
    .await?;
    Ok(v1::SignInResponse { token: text, expiry_time })
}

/// See the proto.
pub async fn sign_out(call: &Call, _request: v1::SignOutRequest) -> Result<v1::SignOutResponse> {
    let Some(token_id) = call.caller().token_id.clone() else {
        return Err(Error::precondition("NO_TOKEN", "the call carries no token to revoke"));
    };
    revoke(call, token_id).await?;
    Ok(v1::SignOutResponse {})
}

/// See the proto.
pub async fn who_am_i(call: &Call, _request: v1::WhoAmIRequest) -> Result<v1::WhoAmIResponse> {
    let caller = call.caller();
    let row = users::by_name(call, &caller.user_name).await?;
    let snapshot = call.access().snapshot().await?;
    let grants = grants::messages(call, &snapshot, snapshot.grants_of(&caller.user_uid).cloned().collect()).await?;
    let token = match &caller.token_id {
        Some(token_id) => rows::token(call.store().reader(), token_id).await?.map(|row| message(&snapshot, row)),
        None => None,
    };
    Ok(v1::WhoAmIResponse { user: Some(users::message(&row)), groups: users::group_names(&snapshot, &row.uid), grants, token })
}

/// See the proto.
pub async fn create_token(call: &Call, request: v1::CreateTokenRequest) -> Result<v1::CreateTokenResponse> {
    let mut check = Check::new();
    check.take(text::value("description", &request.description, limits::DISPLAY_NAME));
    check.take(text::value("model_pattern", &request.model_pattern, limits::PATTERN));
    check.take(text::count("permissions", request.permissions.len(), limits::GRANT_ITEMS));
    for (index, name) in request.permissions.iter().take(limits::GRANT_ITEMS).enumerate() {
        if let Err(unknown) = Permission::from_name(name) {
            check.require(false, &format!("permissions[{index}]"), &unknown.to_string());
        }
    }
    let ttl = request.ttl_ms.unwrap_or(limits::TOKEN_TTL_DEFAULT_MS);
    check.require((1_000..=limits::TOKEN_TTL_MAX_MS).contains(&ttl), "ttl_ms", "must be between 1,000 and 31,536,000,000 (365 days)");
    check.finish()?;
    let name = if request.user_name.is_empty() { &call.caller().user_name } else { &request.user_name };
    let user = users::by_name(call, name).await?;
    let asked = AskedToken { ttl, description: request.description, permissions: request.permissions, model_pattern: request.model_pattern };
    let (token_text, row) = make_token(call, user, asked).await?;
    let snapshot = call.access().snapshot().await?;
    Ok(v1::CreateTokenResponse { token_text, token: Some(message(&snapshot, row)) })
}

/// What is asked of a new token.
#[derive(Debug, Clone, Default)]
pub struct AskedToken {
    /// Milliseconds.
    pub ttl: i64,
    /// For people.
    pub description: String,
    /// None: all of the user's.
    pub permissions: Vec<String>,
    /// Empty: no limit.
    pub model_pattern: String,
}

/// Makes a token for a user and gives its text, which is kept nowhere.
pub async fn make_token(call: &Call, user: UserRow, asked: AskedToken) -> Result<(String, TokenRow)> {
    if !user.active {
        return Err(Error::precondition("USER_INACTIVE", format!("the user {:?} is deactivated", user.name)));
    }
    let caller = call.caller();
    no_wider(&caller.limits, &asked)?;
    let command_line = caller.credential == Credential::CommandLine;
    let now = clock::now_ms();
    let row = TokenRow {
        description: asked.description,
        origin: if command_line { COMMAND_LINE } else { API }.to_owned(),
        issued_by: (!command_line).then(|| caller.user_uid.clone()),
        permissions: asked.permissions,
        model_pattern: Some(asked.model_pattern).filter(|pattern| !pattern.is_empty()),
        ..new_token(&user.uid, now, now.saturating_add(asked.ttl))
    };
    // A token that was itself made by someone else passes that person on.
    let issuer = caller.issuer_person.clone().or_else(|| Some(caller.person_uid.clone()));
    let issuer = issuer.filter(|person| !person.is_empty() && *person != user.person_uid);
    let text = sign(call, &row, issuer, command_line || caller.credential == Credential::CommandLineToken)?;
    write(call.store(), (call.clone(), user, row.clone()), |tx, (call, user, row)| {
        Box::pin(async move {
            rows::insert_token(tx, row).await?;
            let payload = json!({
                "user_name": user.name, "description": row.description, "expires": row.expires, "permissions": row.permissions,
                "model_pattern": row.model_pattern,
            });
            record(tx, call, &row.token_id, &payload).await
        })
    })
    .await?;
    Ok((text, row))
}

/// A limited token cannot make one that can do more.
fn no_wider(own: &TokenLimits, asked: &AskedToken) -> Result<()> {
    let permitted = |name: &String| Permission::from_name(name).is_ok_and(|permission| own.permissions.contains(&permission));
    let wider = !own.permissions.is_empty() && (asked.permissions.is_empty() || !asked.permissions.iter().all(permitted));
    if wider {
        return Err(Error::invalid("permissions", "must be among those of the token that makes it"));
    }
    if own.model_pattern.as_ref().is_some_and(|pattern| *pattern != asked.model_pattern) {
        return Err(Error::invalid("model_pattern", "must be that of the token that makes it"));
    }
    Ok(())
}

fn new_token(user_uid: &str, now: i64, expires: i64) -> TokenRow {
    TokenRow {
        token_id: clock::new_uid(),
        user_uid: user_uid.to_owned(),
        description: String::new(),
        origin: String::new(),
        issued_by: None,
        created: now,
        expires,
        last_used: None,
        revoked: None,
        permissions: Vec::new(),
        model_pattern: None,
    }
}

fn sign(call: &Call, row: &TokenRow, issuer: Option<String>, command_line: bool) -> Result<String> {
    let mut claims = token::Claims::new(&row.user_uid, &row.token_id, row.created, row.expires);
    claims.perm.clone_from(&row.permissions);
    claims.models.clone_from(&row.model_pattern);
    claims.cli = command_line;
    claims.by = issuer;
    token::sign(&call.access().keys(), &claims).map_err(|error| Error::Internal(error.to_string()))
}

/// See the proto.
pub async fn list_tokens(call: &Call, request: v1::ListTokensRequest) -> Result<v1::ListTokensResponse> {
    let size = text::page_size("max_results", request.max_results.into(), limits::PAGE_DEFAULT, limits::PAGE)?;
    let name = if request.user_name.is_empty() { &call.caller().user_name } else { &request.user_name };
    let user = users::by_name(call, name).await?;
    let page = paging::query(call, &[user.uid.as_bytes()]);
    let before: (i64, String) = paging::cursor(call, &page, &request.page_token)?.unwrap_or((i64::MAX, String::new()));
    let mut found = rows::tokens_before(call.store().reader(), &user.uid, (before.0, &before.1), size + 1).await?;
    let next_page_token = paging::cut(call, &page, &mut found, size, |row| (row.created, row.token_id.clone()))?;
    let snapshot = call.access().snapshot().await?;
    Ok(v1::ListTokensResponse { tokens: found.into_iter().map(|row| message(&snapshot, row)).collect(), next_page_token })
}

/// See the proto.
pub async fn revoke_token(call: &Call, request: v1::RevokeTokenRequest) -> Result<v1::RevokeTokenResponse> {
    ids::uid("token_id", &request.token_id)?;
    if rows::token(call.store().reader(), &request.token_id).await?.is_none() {
        return Err(Error::not_found("token", request.token_id));
    }
    revoke(call, request.token_id).await?;
    Ok(v1::RevokeTokenResponse {})
}

/// Revokes a token by its id.
pub async fn revoke(call: &Call, token_id: String) -> Result<()> {
    write(call.store(), (call.clone(), token_id), |tx, (call, token_id)| {
        Box::pin(async move {
            if !rows::revoke_token(tx, token_id).await? {
                return Ok(Recorded::nothing(()));
            }
            rows::raise_epoch(tx).await?;
            record(tx, call, token_id, &json!({"revoked": true})).await
        })
    })
    .await?;
    call.access().refresh().await?;
    Ok(())
}

/// See the proto.
pub async fn rotate_signing_key(call: &Call, _request: v1::RotateSigningKeyRequest) -> Result<v1::RotateSigningKeyResponse> {
    let key = token_key(call.access().master()).map_err(|error| Error::Internal(error.to_string()))?;
    let key_id = key.key_id.clone();
    write(call.store(), (call.clone(), key), |tx, (call, key)| {
        Box::pin(async move {
            // Other replicas read the keys again when the epoch rises.
            rows::raise_epoch(tx).await?;
            rows::insert_key(tx, key).await?;
            rows::retire_keys(tx, &key.purpose, &key.key_id).await?;
            let subject = Subject { kind: "signing_key", id: &key.key_id, name: &key.key_id, scope: "" };
            Ok(tx.record(&call.entry(tx.now(), &subject, &json!({}))).await?)
        })
    })
    .await?;
    call.access().reload_keys().await.map_err(|error| Error::Internal(error.to_string()))?;
    call.access().refresh().await?;
    Ok(v1::RotateSigningKeyResponse { key_id })
}

async fn record(tx: &Tx, call: &Call, token_id: &str, payload: &serde_json::Value) -> Result<Recorded<()>> {
    let subject = Subject { kind: "token", id: token_id, name: "", scope: "" };
    Ok(tx.record(&call.entry(tx.now(), &subject, payload)).await?)
}

fn message(snapshot: &Snapshot, row: TokenRow) -> v1::Token {
    let origin = match row.origin.as_str() {
        SIGN_IN => v1::TokenOrigin::SignIn,
        COMMAND_LINE => v1::TokenOrigin::CommandLine,
        _ => v1::TokenOrigin::Api,
    };
    let name = |uid: &str| super::models::user_name(snapshot, uid);
    v1::Token {
        user_name: name(&row.user_uid),
        description: row.description,
        origin: origin.into(),
        issued_by: row.issued_by.as_deref().map(name).unwrap_or_default(),
        creation_timestamp: row.created,
        expiry_time: row.expires,
        last_used_time: row.last_used,
        revoked: row.revoked.is_some(),
        permissions: row.permissions,
        model_pattern: row.model_pattern.unwrap_or_default(),
        token_id: row.token_id,
    }
}
