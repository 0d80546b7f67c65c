//! Promotion requests whose time is up end by themselves, as long as the server runs.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;

use super::requests::machine;
use super::{Error, Result, write};
use crate::access::{Access, Caller, ClientAddress, Credential, Subject, entry};
use crate::clock;
use crate::domain::ledger::{RequestNow, with_now};
use crate::domain::request::State;
use crate::store::requests as rows;
use crate::store::{self, Recorded, Tx};

/// Requests are looked for this often. That one has expired is refused at once wherever it is decided.
const EVERY: Duration = Duration::from_secs(1);
/// So many are looked for at a time.
const AT_ONCE: u64 = 100;
/// What the ledger names the action; nobody can call it.
const ACTION: &str = "stagegate.v1.RegistryService/ExpireTransitionRequest";

/// Ends requests whose time is up until `stopped` turns true. Any number of replicas may do so at once.
pub async fn expire_requests(access: Arc<Access>, mut stopped: watch::Receiver<bool>) {
    while !*stopped.borrow() {
        if let Err(error) = round(&access).await {
            tracing::warn!(%error, "requests whose time is up could not be ended");
        }
        // Either way the loop goes on; which of the two it was does not matter.
        let _ = tokio::time::timeout(EVERY, stopped.changed()).await;
    }
}

async fn round(access: &Access) -> Result<()> {
    for uid in rows::overdue(access.store.reader(), clock::now_ms(), AT_ONCE).await? {
        write(&access.store, uid, |tx, uid| Box::pin(expire(tx, uid))).await?;
    }
    Ok(())
}

/// Ends one request, unless someone else has done so.
async fn expire(tx: &Tx, uid: &str) -> Result<Recorded<()>> {
    let gone = || Error::Internal("a request is gone".to_owned());
    let found = rows::by_uid(&**tx, uid).await?.ok_or_else(gone)?;
    store::models::lock_by_uid(tx, &found.model_uid).await?;
    let row = rows::by_uid(&**tx, uid).await?.ok_or_else(gone)?;
    if !machine(tx, &row).await?.expire(tx.now()) {
        return Ok(Recorded::nothing(()));
    }
    rows::end(tx, uid, State::Expired).await?;
    let name = format!("{}/{} -> {}", row.model_name, row.version, row.target);
    let subject = Subject { kind: "transition_request", id: uid, name: &name, scope: &row.model_uid };
    let payload = json!({"before": State::Open.as_str(), "after": State::Expired.as_str(), "expiry_time": row.expires});
    let now = RequestNow { state: Some(State::Expired.as_str().to_owned()), ..RequestNow::default() };
    let caller = Caller::without_user(Credential::System, "");
    Ok(tx.record(&entry(&caller, ACTION, "", ClientAddress::NONE, tx.now(), &subject, &with_now(payload, &now))).await?)
}
