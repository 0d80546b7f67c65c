//! Signing in and out, who one is, and passwords.

use serde_json::json;

use super::access_change::{begin, must_hold_all_of, user_object};
use super::{Error, Result, access_shown, tokens, users};
use crate::access::{Call, Refused, Subject, sign_in_row};
use crate::contract::v1;
use crate::domain::access::UserKind;
use crate::domain::ledger::{TokenNow, UserNow, with_now};
use crate::domain::limits;
use crate::domain::person::Deed;
use crate::domain::text;
use crate::store::access::UserRow;
use crate::store::{Kept, Recorded, Tx, access as rows};

/// The reason of a refusal that only the present password lifts.
const WRONG_PASSWORD: &str = "WRONG_PASSWORD";

/// See the proto.
pub async fn sign_in(call: &Call, request: v1::SignInRequest) -> Result<Kept<v1::SignInResponse>> {
    let password = zeroize::Zeroizing::new(request.password);
    let caller = call.access().by_password(&request.user_name, &password, call.source()).await?;
    let issued = tokens::session(call, &caller)?;
    let row = issued.row;
    let expiry_time = row.expires;
    let payload = json!({"token_id": row.token_id, "expires": expiry_time});
    let recorded = sign_in_row(&caller, call.request_id(), call.source(), &payload);
    let kept = call
        .store()
        .write((row, recorded), |tx, (row, recorded)| {
            Box::pin(async move {
                rows::insert_token(tx, row).await?;
                Ok::<_, Error>(tx.record(recorded).await?)
            })
        })
        .await?;
    tracing::info!(user = caller.user_name, address = %call.source(), request_id = call.request_id(), "signed in");
    Ok(kept.map(|()| v1::SignInResponse { token: issued.text, expiry_time }))
}

/// See the proto.
pub async fn sign_out(call: &Call, _: v1::SignOutRequest) -> Result<Kept<v1::SignOutResponse>> {
    let kept = call
        .store()
        .write(call.clone(), |tx, call| {
            Box::pin(async move {
                let Some(token) = &call.caller().token_id else { return Ok(Recorded::nothing(())) };
                rows::raise_epoch(tx).await?;
                let revoked = rows::revoke_token(tx, token).await?;
                if revoked.is_empty() {
                    return Ok(Recorded::nothing(()));
                }
                let subject = Subject { kind: "token", id: token, name: &call.caller().user_name, scope: "" };
                let payload = with_now(json!({}), &TokenNow { revoked });
                Ok::<_, Error>(tx.record(&call.entry(tx.now(), &subject, &payload)).await?)
            })
        })
        .await?;
    call.access().refresh().await?;
    Ok(kept.map(|()| v1::SignOutResponse {}))
}

/// See the proto.
pub async fn who_am_i(call: &Call, _: v1::WhoAmIRequest) -> Result<v1::WhoAmIResponse> {
    let caller = call.caller();
    let row = users::by_name(call, &caller.user_name).await?;
    let snapshot = call.access().snapshot().await?;
    let reaching: Vec<_> = snapshot.grants_of(&caller.user_uid).collect();
    let grants = access_shown::grants(call, &snapshot, &reaching).await?;
    let token = match &caller.token_id {
        Some(id) => rows::token(call.store().reader(), id).await?.map(|row| access_shown::token(&snapshot, row)),
        None => None,
    };
    let groups = access_shown::groups_of(&snapshot, &caller.user_uid);
    Ok(v1::WhoAmIResponse { user: Some(access_shown::user_of(&snapshot, row)), groups, grants, token })
}

/// See the proto.
pub async fn set_password(call: &Call, request: v1::SetPasswordRequest) -> Result<Kept<v1::SetPasswordResponse>> {
    let new = zeroize::Zeroizing::new(request.new_password);
    let present = zeroize::Zeroizing::new(request.current_password);
    // The rule reads an empty name as the caller's own.
    let name = if request.user_name.is_empty() { &call.caller().user_name } else { &request.user_name };
    text::password("new_password", &new)?;
    let user = users::by_name(call, name).await?;
    if call.caller().password_due && user.uid != call.caller().user_uid {
        return Err(Refused::PasswordDue.into());
    }
    if user.kind == UserKind::ServiceAccount {
        return Err(Error::precondition("NOT_A_LOGIN", "a service account signs in with tokens only"));
    }
    if user.uid == call.caller().user_uid {
        prove(call, &user, &present).await?;
    }
    let hash = super::hash(call, &new).await?;
    let kept =
        call.store().write((call.clone(), user, hash), |tx, (call, user, hash)| Box::pin(replace_password(tx, call, user, hash))).await?;
    call.access().refresh().await?;
    Ok(kept.map(|()| v1::SetPasswordResponse {}))
}

/// Demands the present password, so that a stolen token cannot become a lasting key. Failures are slowed
/// like those of signing in.
async fn prove(call: &Call, user: &UserRow, present: &str) -> Result<()> {
    let Some(stored) = &user.password_hash else {
        return Err(Error::precondition("NO_PASSWORD", "there is no present password; someone with `passwords.set` can set the first one"));
    };
    if present.chars().count() > limits::PASSWORD_MAX {
        return Err(Error::invalid("current_password", format!("has more than {} characters", limits::PASSWORD_MAX)));
    }
    match call.access().passwords.verify(&user.name, &call.source().network(), present, Some(stored)).await {
        Ok(true) => Ok(()),
        Ok(false) => {
            let message = "the present password is missing or wrong".to_owned();
            Err(Error::Denied { permission: None, reason: WRONG_PASSWORD, message })
        }
        Err(throttled) => Err(Refused::Throttled(throttled).into()),
    }
}

async fn replace_password(tx: &Tx, call: &Call, user: &UserRow, hash: &str) -> Result<Recorded<()>> {
    let snapshot = begin(tx, call, &user_object(&user.uid)).await?;
    must_hold_all_of(tx, call, &snapshot, &user.uid, &[]).await?;
    // What somebody else knows is not the user's own until the user has changed it.
    let temporary = user.person_uid != call.caller().person_uid;
    rows::set_password_hash(tx, &user.uid, hash, temporary).await?;
    let mut makers = call.caller().makers_of(Deed::Password, &user.person_uid);
    // Those who stand behind the one who sets their own password are on record already.
    let on_record = snapshot.users.get(&user.uid).map(|user| user.makers.as_slice()).unwrap_or_default();
    makers.retain(|maker| maker.through.is_none() || on_record.iter().all(|known| known.person != maker.person));
    rows::insert_makers(tx, &user.uid, &makers).await?;
    let revoked = rows::end_credentials(tx, &user.uid).await?;
    let credentials = Some(rows::credentials(&**tx, &user.uid).await?);
    let payload = json!({"tokens_revoked": revoked.len(), "temporary": temporary, "makers": access_shown::names(&makers)});
    let payload = with_now(payload, &UserNow { credentials, revoked, ..UserNow::default() });
    let subject = Subject { kind: "user", id: &user.uid, name: &user.name, scope: "" };
    Ok(tx.record(&call.entry(tx.now(), &subject, &payload)).await?)
}
