//! The first user.

use serde_json::json;

use super::Error;
use crate::access::{Access, Caller, ClientAddress, Credential, Subject, entry};
use crate::clock;
use crate::domain::access::{ADMIN, Effect, Grant, Principal, Scope, UserKind};
use crate::domain::ledger::{UserNow, given, with_now};
use crate::domain::person::{Deed, Maker};
use crate::domain::text;
use crate::store::{Recorded, Tx, access as rows};
use std::sync::Arc;

/// Makes the user `admin` when there is no user at all. Returns its password when that was generated here.
pub async fn ensure_admin(access: &Arc<Access>, given: Option<String>) -> Result<Option<String>, Error> {
    if rows::count_users(access.store.reader()).await? > 0 {
        return Ok(None);
    }
    let generated = given.is_none();
    let password = given.unwrap_or_else(|| clock::new_uid()[..24].to_owned());
    text::password("--admin-password-file or STAGEGATE_ADMIN_PASSWORD", &password)?;
    let hash = access.passwords.hash(&password).await.ok_or_else(|| Error::Internal("hashing failed".to_owned()))?;
    let made = access.store.write(hash, |tx, hash| Box::pin(insert_admin(tx, hash))).await?;
    access.refresh().await?;
    Ok((*made && generated).then_some(password))
}

async fn insert_admin(tx: &Tx, hash: &str) -> Result<Recorded<bool>, Error> {
    if rows::count_users(&**tx).await? > 0 {
        // Another replica was first.
        return Ok(Recorded::nothing(false));
    }
    let user = rows::UserRow {
        uid: clock::new_uid(),
        name: ADMIN.to_owned(),
        display_name: "Administrator".to_owned(),
        kind: UserKind::Person,
        person_uid: clock::new_uid(),
        password_hash: Some(hash.to_owned()),
        active: true,
        created: tx.now(),
        // Whoever starts the server is this admin, and chose the password or was told it alone.
        password_temporary: false,
        generation: 0,
    };
    rows::insert_person(tx, &user.person_uid).await?;
    rows::insert_user(tx, &user).await?;
    rows::insert_makers(tx, &user.uid, &[Maker::command_line(Deed::Login)]).await?;
    let grant = Grant {
        uid: clock::new_uid(),
        principal: Principal::User(user.uid.clone()),
        persona: ADMIN.to_owned(),
        scope: Scope::Server,
        targets: Vec::new(),
        effect: Effect::Allow,
        created: tx.now(),
        created_by: String::new(),
    };
    rows::insert_grant(tx, &grant).await?;
    rows::raise_epoch(tx).await?;
    let caller = Caller::without_user(Credential::System, "");
    let subject = Subject { kind: "user", id: &user.uid, name: &user.name, scope: "" };
    let credentials = Some(rows::credentials(&**tx, &user.uid).await?);
    let now = UserNow { grants: given(&grant), credentials, ..UserNow::from(&user) };
    let payload = with_now(json!({"user_name": user.name, "persona": ADMIN}), &now);
    let row = entry(&caller, "stagegate.v1.AccessService/CreateUser", "", ClientAddress::NONE, tx.now(), &subject, &payload);
    Ok(tx.record(&row).await?.map(|()| true))
}
