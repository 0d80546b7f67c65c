//! What is kept of signing in: who proved a password, and how often somebody failed to. Failures cost a stranger
//! nothing, so they are counted and written once a minute.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use moka::sync::Cache;
use serde_json::json;

use super::ClientAddress;
use super::call::{Caller, Credential, Subject, entry};
use crate::clock;
use crate::domain::ledger::{Entry, Outcome};
use crate::store::{Store, StoreError, access::UserRow};

/// The action of all rows about signing in, also by HTTP Basic.
const ACTION: &str = "stagegate.v1.AccessService/SignIn";
/// Whoever uses HTTP Basic again within this time has not signed in anew.
const GOES_ON: Duration = Duration::from_secs(3_600);
/// Users and addresses whose uses of HTTP Basic are remembered; who is forgotten gets another row.
const REMEMBERED: u64 = 10_000;
/// Names and addresses whose failures are counted apart within a minute; beyond, they are counted together.
const COUNTED_APART: usize = 1_000;

/// Failed sign-ins that are not written yet, and who signed in by HTTP Basic not long ago.
pub struct SignIns {
    failed: Mutex<HashMap<Failed, Times>>,
    by_basic: Cache<(String, ClientAddress), ()>,
}

/// Who was tried, and from where. A name that no user has may be a password in the wrong field, so it is not kept:
/// such failures of one address are counted together.
#[derive(Default, PartialEq, Eq, Hash, Clone)]
struct Failed {
    user_uid: String,
    user_name: String,
    source: ClientAddress,
}

#[derive(Default, Clone, Copy)]
struct Times {
    wrong: u64,
    not_tried: u64,
}

impl SignIns {
    pub(super) fn new() -> Self {
        Self { failed: Mutex::default(), by_basic: Cache::builder().max_capacity(REMEMBERED).time_to_idle(GOES_ON).build() }
    }

    /// Logs and counts a failure. `tried` says whether the password was looked at: after many failures none is.
    pub(super) fn failed(&self, user: Option<&UserRow>, source: ClientAddress, tried: bool) {
        let name = user.map_or("(no such user)", |user| user.name.as_str());
        tracing::warn!(user = name, address = %source, tried, "a sign-in failed");
        let key = user.map_or_else(
            || Failed { source, ..Failed::default() },
            |user| Failed { user_uid: user.uid.clone(), user_name: user.name.clone(), source },
        );
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let key = if failed.len() < COUNTED_APART || failed.contains_key(&key) { key } else { Failed::default() };
        let times = failed.entry(key).or_default();
        let count = if tried { &mut times.wrong } else { &mut times.not_tried };
        *count += 1;
    }

    /// Writes the row of a use of HTTP Basic, if it is the first in a while from this address.
    pub(super) async fn by_basic(&self, store: &Store, caller: &Caller, source: ClientAddress) -> Result<(), StoreError> {
        let key = (caller.user_uid.clone(), source);
        // Of several requests at once, one writes the row.
        if !self.by_basic.entry_by_ref(&key).or_insert(()).is_fresh() {
            return Ok(());
        }
        let row = row(caller, "", source, &json!({"by": "basic"}));
        let written = store.write(row, |tx, row| Box::pin(async move { tx.record(row).await })).await;
        written.inspect_err(|_| self.by_basic.invalidate(&key))?;
        tracing::info!(user = caller.user_name, address = %source, "signed in by HTTP Basic");
        Ok(())
    }

    /// Writes a row for each user and address that failures were counted for.
    pub(super) async fn flush(&self, store: &Store) -> Result<(), StoreError> {
        let failed = std::mem::take(&mut *self.failed.lock().unwrap_or_else(PoisonError::into_inner));
        let rows: Vec<Entry> = failed.iter().map(|(what, times)| failed_row(what, *times)).collect();
        super::refusal::write_counted(store, rows).await
    }
}

/// The row of a sign-in, whose `caller` has just proved a password.
pub fn row(caller: &Caller, request_id: &str, source: ClientAddress, payload: &serde_json::Value) -> Entry {
    let subject = Subject { kind: "user", id: &caller.user_uid, name: &caller.user_name, scope: "" };
    entry(caller, ACTION, request_id, source, clock::now_ms(), &subject, payload)
}

/// Nobody has proved to be the user who was tried, so the user is the row's object and there is no actor.
fn failed_row(what: &Failed, times: Times) -> Entry {
    let subject = Subject { kind: "user", id: &what.user_uid, name: &what.user_name, scope: "" };
    let payload = json!({"times": times.wrong, "not_tried": times.not_tried});
    let caller = Caller::without_user(Credential::None, "");
    let mut row = entry(&caller, ACTION, "", what.source, clock::now_ms(), &subject, &payload);
    row.outcome = Outcome::Denied;
    "a wrong user name or password; counted over a minute".clone_into(&mut row.reason);
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(sign_ins: &SignIns) -> Vec<(Failed, Times)> {
        sign_ins.failed.lock().unwrap().iter().map(|(key, times)| (key.clone(), *times)).collect()
    }

    #[test]
    fn made_up_names_of_one_address_share_a_count_and_are_not_kept() {
        let sign_ins = SignIns::new();
        for _ in 0..5_000 {
            sign_ins.failed(None, ClientAddress::of([192, 0, 2, 7].into()), true);
        }
        let counted = counted(&sign_ins);
        assert_eq!((counted.len(), counted[0].1.wrong), (1, 5_000));
        assert_eq!(counted[0].0.user_name, "");
    }

    #[test]
    fn addresses_without_end_take_no_memory_without_end() {
        let sign_ins = SignIns::new();
        for number in 0..3_000_u16 {
            let [high, low] = number.to_be_bytes();
            sign_ins.failed(None, ClientAddress::of([10, 0, high, low].into()), false);
        }
        let counted = counted(&sign_ins);
        assert!(counted.len() <= COUNTED_APART + 1, "{}", counted.len());
        assert_eq!(counted.iter().map(|(_, times)| times.not_tried).sum::<u64>(), 3_000, "none is lost");
    }
}
