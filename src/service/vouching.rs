//! Vouching: a second person says that a login is in the hands of its own person alone.

use serde_json::json;

use super::access_change::begin;
use super::{Error, FOUR_EYES, Result, access_shown};
use crate::access::{Call, Subject};
use crate::contract::v1;
use crate::domain::access::Object;
use crate::domain::field::Check;
use crate::domain::ledger::{UserNow, with_now};
use crate::domain::person::{Actor, tie};
use crate::domain::{limits, text};
use crate::store::access::UserRow;
use crate::store::{Kept, Recorded, Tx, access as rows};

/// See the proto.
pub async fn vouch_for_user(call: &Call, request: v1::VouchForUserRequest) -> Result<Kept<v1::VouchForUserResponse>> {
    let mut check = Check::new();
    check.take(text::principal_name("user_name", &request.user_name));
    check.take(text::value("comment", &request.comment, limits::COMMENT));
    check.finish()?;
    let row = call.store().write((call.clone(), request), |tx, (call, request)| Box::pin(vouch(tx, call, request))).await?;
    let snapshot = call.access().refresh().await?;
    Ok(row.map(|row| v1::VouchForUserResponse { user: Some(access_shown::user_of(&snapshot, row)) }))
}

async fn vouch(tx: &Tx, call: &Call, request: &v1::VouchForUserRequest) -> Result<Recorded<UserRow>> {
    let snapshot = begin(tx, call, &Object::SERVER).await?;
    let row = rows::user_by_name(&**tx, &request.user_name).await?.ok_or_else(|| Error::not_found("user", &request.user_name))?;
    let makers = snapshot.users.get(&row.uid).map(|user| user.makers.clone()).unwrap_or_default();
    if makers.is_empty() {
        return Ok(Recorded::nothing(row));
    }
    if row.password_temporary {
        let message = format!("{} has not changed the password yet that somebody else set", row.name);
        return Err(Error::precondition("PASSWORD_CHANGE_DUE", message));
    }
    let user = Actor { person: row.person_uid.clone(), name: row.name.clone(), issuer: None, makers: makers.clone() };
    apart(&call.caller().actor(), &user)?;
    rows::vouch(tx, &row.uid, &call.caller().user_uid).await?;
    let subject = Subject { kind: "user", id: &row.uid, name: &row.name, scope: "" };
    let now = UserNow { credentials: Some(rows::credentials(&**tx, &row.uid).await?), ..UserNow::default() };
    let payload = with_now(json!({"makers": access_shown::names(&makers), "comment": request.comment}), &now);
    Ok(tx.record(&call.entry(tx.now(), &subject, &payload)).await?.map(|()| row))
}

/// Refuses the user, a maker, and anybody behind whom a maker stands: one person in several clothes is no second one.
/// Makers on the command line have no names; two logins that were made there are not tied by that.
fn apart(voucher: &Actor, user: &Actor) -> Result<()> {
    if voucher.person == user.person {
        let message = "nobody vouches for a login of their own (four eyes)".to_owned();
        return Err(Error::Denied { permission: None, reason: FOUR_EYES, message });
    }
    let mut named = user.clone();
    named.makers.retain(|maker| !maker.person.is_empty());
    let Some(tied) = tie(voucher, &named, "is to be vouched for", false) else { return Ok(()) };
    let message = format!("{tied}: somebody else must vouch, whom none of the makers stands behind (four eyes)");
    Err(Error::Denied { permission: None, reason: FOUR_EYES, message })
}
