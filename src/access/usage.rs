//! Quotas: how much one user or service account may store in a day. What is counted here in memory is added to
//! the database every few seconds, where replicas find what the others counted; so a quota holds to within what
//! is stored in that time, and a check costs no SQL.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use super::refusal::Refused;
use crate::clock;
use crate::store::usage::{self as rows, Amounts};
use crate::store::{Store, StoreError, Unrecorded};

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;
/// What was counted is written this often.
pub const WRITE: Duration = Duration::from_secs(5);
/// Principals that are remembered at a time. Whoever is forgotten is read from the database again.
const REMEMBERED: usize = 100_000;
const GIB: u64 = 1 << 30;

/// How much one principal may store in one day, by UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quotas {
    /// Rows of the ledger.
    pub ledger_rows: u64,
    /// Bytes of requests whose content the database keeps: metric points, params, tags, descriptions, comments.
    pub database_bytes: u64,
    /// Bytes of artifacts.
    pub artifact_bytes: u64,
}

impl Default for Quotas {
    /// Far above what training platforms were seen to need, and far below what fills a database in a day.
    fn default() -> Self {
        Self { ledger_rows: 1_000_000, database_bytes: 16 * GIB, artifact_bytes: 1_024 * GIB }
    }
}

impl Quotas {
    /// The first quota that is used up: its setting, and how much it allows.
    fn used_up(&self, used: &Amounts) -> Option<(&'static str, u64)> {
        [
            ("quota-ledger-rows", used.ledger_rows, self.ledger_rows),
            ("quota-database-bytes", used.database_bytes, self.database_bytes),
            ("quota-artifact-bytes", used.artifact_bytes, self.artifact_bytes),
        ]
        .into_iter()
        .find(|(_, used, allowed)| used >= allowed)
        .map(|(setting, _, allowed)| (setting, allowed))
    }
}

/// What principals have stored today.
#[derive(Default)]
pub struct Usage {
    quotas: OnceLock<Quotas>,
    days: Mutex<HashMap<String, Day>>,
}

/// One principal's day.
#[derive(Debug, Clone, Copy)]
struct Day {
    day: i64,
    /// As the database had it when it was last asked.
    written: Amounts,
    /// Counted here, and not written yet.
    unwritten: Amounts,
}

impl Usage {
    /// Sets the quotas; only the first call counts. Without one the defaults hold.
    pub fn limit(&self, quotas: Quotas) {
        self.quotas.get_or_init(|| quotas);
    }

    fn quotas(&self) -> Quotas {
        self.quotas.get().copied().unwrap_or_default()
    }

    /// Errors when a principal has used up a quota of today. The server's own calls have none.
    pub(super) async fn check(&self, store: &Store, user_uid: &str) -> Result<(), Refused> {
        if user_uid.is_empty() {
            return Ok(());
        }
        let now = clock::now_ms();
        let today = now.div_euclid(DAY_MS);
        let used = match self.known(user_uid, today) {
            Some(used) => used,
            None => self.remember(user_uid, today, rows::of_day(store.reader(), user_uid, today).await?),
        };
        match self.quotas().used_up(&used) {
            None => Ok(()),
            Some((setting, allowed)) => {
                let left = u64::try_from((today + 1) * DAY_MS - now).unwrap_or_default();
                Err(Refused::OverQuota { setting, allowed, until: Duration::from_millis(left) })
            }
        }
    }

    /// Counts what a principal has stored.
    pub fn add(&self, user_uid: &str, amounts: Amounts) {
        if user_uid.is_empty() {
            return;
        }
        let today = clock::now_ms().div_euclid(DAY_MS);
        let mut days = self.lock();
        let fresh = Day { day: today, written: Amounts::default(), unwritten: Amounts::default() };
        let day = days.entry(user_uid.to_owned()).or_insert(fresh);
        if day.day != today {
            *day = fresh;
        }
        day.unwritten = day.unwritten.plus(&amounts);
    }

    /// Adds to the database what was counted, and takes over what other replicas counted.
    pub(super) async fn write(&self, store: &Store) -> Result<(), StoreError> {
        let counted: Vec<(String, i64, Amounts)> = {
            let mut days = self.lock();
            let counted = days.iter_mut().filter(|(_, day)| day.unwritten != Amounts::default());
            counted.map(|(user, day)| (user.clone(), day.day, std::mem::take(&mut day.unwritten))).collect()
        };
        if !counted.is_empty() {
            let written = store.write_unrecorded(Unrecorded::Usage, counted.clone(), |tx, counted| Box::pin(rows::add(tx, counted)));
            match written.await {
                Ok(totals) => {
                    let mut days = self.lock();
                    for ((user, of_day, _), total) in counted.iter().zip(totals) {
                        if let Some(day) = days.get_mut(user).filter(|day| day.day == *of_day) {
                            day.written = total;
                        }
                    }
                }
                Err(error) => {
                    let mut days = self.lock();
                    for (user, of_day, amounts) in counted {
                        if let Some(day) = days.get_mut(&user).filter(|day| day.day == of_day) {
                            day.unwritten = day.unwritten.plus(&amounts);
                        }
                    }
                    return Err(error);
                }
            }
        }
        self.forget_idle();
        Ok(())
    }

    fn known(&self, user_uid: &str, today: i64) -> Option<Amounts> {
        self.lock().get(user_uid).filter(|day| day.day == today).map(|day| day.written.plus(&day.unwritten))
    }

    fn remember(&self, user_uid: &str, today: i64, written: Amounts) -> Amounts {
        let mut days = self.lock();
        let fresh = Day { day: today, written, unwritten: Amounts::default() };
        let day = days.entry(user_uid.to_owned()).or_insert(fresh);
        if day.day != today {
            *day = fresh;
        }
        day.written = written;
        day.written.plus(&day.unwritten)
    }

    /// Everything that is written can be read again.
    fn forget_idle(&self) {
        let mut days = self.lock();
        if days.len() > REMEMBERED {
            days.retain(|_, day| day.unwritten != Amounts::default());
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Day>> {
        self.days.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::stores;

    fn rows(count: u64) -> Amounts {
        Amounts { ledger_rows: count, ..Amounts::default() }
    }

    fn setting(outcome: Result<(), Refused>) -> Option<&'static str> {
        match outcome {
            Err(Refused::OverQuota { setting, until, .. }) => {
                assert!(until <= Duration::from_secs(86_400), "{until:?}");
                Some(setting)
            }
            other => {
                other.unwrap();
                None
            }
        }
    }

    #[tokio::test]
    async fn a_quota_ends_with_what_all_replicas_counted() {
        for on in stores().await {
            let quotas = Quotas { ledger_rows: 10, database_bytes: 1_000, artifact_bytes: 5 };
            let (one, other) = (Usage::default(), Usage::default());
            one.limit(quotas);
            other.limit(quotas);
            assert_eq!(setting(one.check(&on.store, "ann").await), None);
            assert_eq!(setting(other.check(&on.store, "ann").await), None);
            one.add("ann", rows(6));
            other.add("ann", rows(4));
            assert_eq!(setting(one.check(&on.store, "ann").await), None, "six of ten");
            one.write(&on.store).await.unwrap();
            other.write(&on.store).await.unwrap();
            assert_eq!(setting(other.check(&on.store, "ann").await), Some("quota-ledger-rows"), "six and four");
            // The first replica hears of the four with its next write.
            one.add("ann", rows(0));
            one.add("ann", Amounts { artifact_bytes: 1, ..Amounts::default() });
            one.write(&on.store).await.unwrap();
            assert_eq!(setting(one.check(&on.store, "ann").await), Some("quota-ledger-rows"));
            // After a restart, and for others.
            let restarted = Usage::default();
            restarted.limit(quotas);
            assert_eq!(setting(restarted.check(&on.store, "ann").await), Some("quota-ledger-rows"));
            assert_eq!(setting(restarted.check(&on.store, "max").await), None);
            restarted.add("max", Amounts { artifact_bytes: 5, ..Amounts::default() });
            assert_eq!(setting(restarted.check(&on.store, "max").await), Some("quota-artifact-bytes"));
            restarted.add("zoe", Amounts { database_bytes: 1_000, ..Amounts::default() });
            assert_eq!(setting(restarted.check(&on.store, "zoe").await), Some("quota-database-bytes"));
        }
    }
}
