//! Refusals: what the caller is told, and what the ledger keeps of it. The text depends on the request
//! alone, so that it is the same whether the object exists or not.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::ClientAddress;
use super::call::{Call, Caller, Credential, Subject, entry};
use super::password::Throttled;
use crate::clock;
use crate::contract::Permission;
use crate::domain::ledger::{Entry, Outcome};
use crate::store::{Kept, Recorded, Store, StoreError};

/// Why a call is not admitted.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// No credentials, or none that are good; the same for every fault in them.
    #[error("sign in: a bearer token, or user name and password, is missing or not valid")]
    Unauthenticated,
    /// The token is one of this server's, and its time is over.
    #[error("the token expired at {}; sign in again, or make a new one", humantime::format_rfc3339_seconds(*.0))]
    Expired(SystemTime),
    /// Too many failures, or too many passwords to be checked.
    #[error("{0}")]
    Throttled(Throttled),
    /// The password that was proven was set by somebody else.
    #[error(
        "somebody else set this password: change the password first, and then sign in with the new one (SetPassword, or POST /api/stagegate/v1/users/set-password)"
    )]
    PasswordDue,
    /// The caller has stored all that a quota allows in a day.
    #[error(
        "the quota of today is used up: --{setting} allows {allowed} for each user or service account and day (UTC); \
         it begins anew in {}, or ask the operator to raise it",
        humantime::format_duration(Duration::from_secs(.until.as_secs().max(1)))
    )]
    OverQuota {
        /// The setting that holds it.
        setting: &'static str,
        /// Its value.
        allowed: u64,
        /// How long it lasts.
        until: Duration,
    },
    /// The caller lacks a permission.
    #[error("you need the permission `{}` on {on}{hint}", .permission.name())]
    Denied {
        /// What is missing.
        permission: Permission,
        /// On what, in the words of the request.
        on: String,
        /// What the caller can do instead, or empty.
        hint: String,
    },
    /// There is no such object, or the caller may not know that there is one.
    #[error("{kind} {name:?} does not exist")]
    Absent {
        /// `run`, `registered model`, …
        kind: &'static str,
        /// As asked for.
        name: String,
    },
    /// The alternatives of a field differ.
    #[error("{0}")]
    Invalid(#[from] crate::domain::field::Invalid),
    /// The grants cannot be read: refused, to be safe.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Refused {
    /// The refusal of a token whose time was over at this second of Unix time.
    pub fn expired(at: u64) -> Self {
        Self::Expired(SystemTime::UNIX_EPOCH + Duration::from_secs(at))
    }
}

/// How someone asks for a promotion that they may not make themselves.
pub const HOW_TO_ASK: &str =
    "to ask for it, file a promotion request: CreateTransitionRequest, or POST /api/stagegate/v1/transition-requests/create";

/// What can be done instead of what a permission would allow, by the permission alone.
pub(super) fn hint(permission: Permission) -> String {
    match permission {
        Permission::StagesTransition | Permission::StagesPromote | Permission::AliasesSet => format!("; {HOW_TO_ASK}"),
        _ => String::new(),
    }
}

/// Refusals that a caller may write as rows within one minute; the others are counted.
const ROWS_A_MINUTE: u32 = 20;
/// Callers, actions and objects that are counted apart; beyond, they are counted together.
const COUNTED_APART: usize = 10_000;

/// What was refused and not written yet.
pub struct Refusals {
    inner: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    rows: HashMap<String, (Instant, u32)>,
    counted: HashMap<Counted, u64>,
}

#[derive(PartialEq, Eq, Hash, Clone)]
struct Counted {
    user: String,
    user_name: String,
    token: String,
    source: ClientAddress,
    action: &'static str,
    on: String,
}

impl Refusals {
    pub(super) fn new() -> Self {
        Self { inner: Mutex::new(Counts::default()) }
    }

    /// Whether the caller may still write a refusal as a row.
    pub(super) fn may_write(&self, caller: &Caller) -> bool {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, written) = inner.rows.entry(caller.user_uid.clone()).or_insert_with(|| (Instant::now(), 0));
        if since.elapsed() > Duration::from_secs(60) {
            (*since, *written) = (Instant::now(), 0);
        }
        *written += 1;
        *written <= ROWS_A_MINUTE
    }

    /// Counts a refusal.
    pub(super) fn count(&self, call: &Call, on: &str) {
        let caller = call.caller();
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let crowded = inner.counted.len() >= COUNTED_APART;
        let key = Counted {
            user: caller.user_uid.clone(),
            user_name: caller.user_name.clone(),
            token: caller.token_id.clone().unwrap_or_default(),
            source: if crowded { ClientAddress::NONE } else { call.source() },
            action: if crowded { "" } else { call.operation().full_name },
            on: if crowded { String::new() } else { on.chars().take(300).collect() },
        };
        *inner.counted.entry(key).or_default() += 1;
    }

    /// Writes a row for each kind of refusal that was counted.
    pub(super) async fn flush(&self, store: &Store) -> Result<(), StoreError> {
        let counted = {
            let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            inner.rows.retain(|_, (since, _)| since.elapsed() < Duration::from_secs(60));
            std::mem::take(&mut inner.counted)
        };
        let rows: Vec<Entry> = counted.iter().map(|(what, times)| counted_entry(what, *times)).collect();
        write_counted(store, rows).await
    }
}

/// Writes rows about what was only counted until now.
pub(super) async fn write_counted(store: &Store, rows: Vec<Entry>) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    store.write(rows, |tx, rows| Box::pin(write_all(tx, rows))).await.map(Kept::into_value)
}

async fn write_all(tx: &crate::store::Tx, rows: &[Entry]) -> Result<Recorded<()>, StoreError> {
    let mut recorded = Recorded::nothing(());
    for row in rows {
        recorded = tx.record(row).await?;
    }
    Ok(recorded)
}

fn counted_entry(what: &Counted, times: u64) -> Entry {
    let mut caller = Caller::without_user(if what.token.is_empty() { Credential::Password } else { Credential::Token }, &what.user_name);
    caller.user_uid.clone_from(&what.user);
    caller.token_id = (!what.token.is_empty()).then(|| what.token.clone());
    let subject = Subject { kind: "refusals", id: "", name: &what.on, scope: "" };
    let payload = serde_json::json!({ "times": times });
    let mut row = entry(&caller, what.action, "", what.source, clock::now_ms(), &subject, &payload);
    row.outcome = Outcome::Denied;
    "counted over a minute".clone_into(&mut row.reason);
    row
}
