//! Passwords: argon2id, one hash per core at a time, and guessing slowed down.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use moka::sync::Cache;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use crate::clock;

/// A password that was verified is remembered this long, so that HTTP Basic costs no hash for each call.
const REMEMBERED: Duration = Duration::from_secs(60);
/// Failures in a row that are answered without delay.
const FREE_FAILURES: u32 = 5;
/// The longest delay after failures.
const LONGEST_DELAY: Duration = Duration::from_secs(30);
/// More failures in a row than these are not taken.
const MOST_FAILURES: u32 = 100;
/// Failures are forgotten after this long; so long it takes until anything is taken again after the most of them.
const FORGOTTEN: Duration = Duration::from_secs(3_600);

/// Too many failures: try again after this long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Throttled(pub Duration);

/// Hashes, verifies, remembers and slows.
pub struct Passwords {
    hashing: Semaphore,
    /// Verified passwords by a keyed digest of user, password and stored hash.
    verified: Cache<[u8; 32], ()>,
    /// Failures by user name and source, so that no stranger can lock out a user from elsewhere.
    failures: Cache<String, std::sync::Arc<Mutex<Failures>>>,
    secret: [u8; 32],
    /// What an unknown user's password is compared with, so that both take equally long.
    decoy: String,
}

struct Failures {
    count: u32,
    until: Instant,
}

/// OWASP's parameters: 19,456 KiB, two passes, one lane.
fn argon2() -> Argon2<'static> {
    // The parameters are constants within argon2's bounds.
    let params = Params::new(19_456, 2, 1, None).expect("the parameters are within argon2's bounds");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hash_now(password: &str) -> String {
    let salt = clock::random_bytes::<16>();
    // Sixteen bytes are a legal salt, and any password of bounded length can be hashed.
    let salt = SaltString::encode_b64(&salt).expect("16 bytes are a legal salt");
    argon2().hash_password(password.as_bytes(), &salt).expect("a bounded password can be hashed").to_string()
}

impl Default for Passwords {
    /// With nothing remembered.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            hashing: Semaphore::new(cores),
            verified: Cache::builder().max_capacity(10_000).time_to_live(REMEMBERED).build(),
            failures: Cache::builder().max_capacity(100_000).time_to_idle(FORGOTTEN).build(),
            secret: clock::random_bytes(),
            decoy: hash_now(&clock::new_uid()),
        }
    }
}

impl Passwords {
    /// The hash of a new password, in PHC form.
    pub async fn hash(&self, password: &str) -> Option<String> {
        let _permit = self.hashing.acquire().await.ok()?;
        let password = zeroize::Zeroizing::new(password.to_owned());
        tokio::task::spawn_blocking(move || hash_now(&password)).await.ok()
    }

    /// Whether a password is the one of a stored hash. Without a stored hash it takes as long and says no.
    /// `source` tells callers of one user apart for slowing.
    pub async fn verify(&self, user: &str, source: &str, password: &str, stored: Option<&str>) -> Result<bool, Throttled> {
        let memory = self.memory_key(user, password, stored.unwrap_or_default());
        if self.verified.contains_key(&memory) {
            return Ok(true);
        }
        let failures = self.failures_of(user, source);
        if let Some(wait) = waiting(&failures) {
            return Err(Throttled(wait));
        }
        let Ok(_permit) = self.hashing.acquire().await else { return Ok(false) };
        // Of guesses that came all at once, those before this one have failed or been good by now.
        if self.verified.contains_key(&memory) {
            return Ok(true);
        }
        if let Some(wait) = waiting(&failures) {
            return Err(Throttled(wait));
        }
        let good = self.compare(password, stored).await;
        if good {
            self.verified.insert(memory, ());
            self.failures.invalidate(&failure_key(user, source));
        } else {
            note_failure(&failures);
        }
        Ok(good)
    }

    /// Forgets verified passwords; called when access changes.
    pub fn forget(&self) {
        self.verified.invalidate_all();
    }

    /// Called by who holds a permit to hash.
    async fn compare(&self, password: &str, stored: Option<&str>) -> bool {
        let password = zeroize::Zeroizing::new(password.to_owned());
        let hash = stored.unwrap_or(&self.decoy).to_owned();
        let known = stored.is_some();
        let matches = tokio::task::spawn_blocking(move || {
            PasswordHash::new(&hash).is_ok_and(|parsed| argon2().verify_password(password.as_bytes(), &parsed).is_ok())
        });
        matches.await.unwrap_or(false) && known
    }

    fn failures_of(&self, user: &str, source: &str) -> std::sync::Arc<Mutex<Failures>> {
        let none = || std::sync::Arc::new(Mutex::new(Failures { count: 0, until: Instant::now() }));
        self.failures.get_with(failure_key(user, source), none)
    }

    fn memory_key(&self, user: &str, password: &str, stored: &str) -> [u8; 32] {
        let mut digest = Sha256::new().chain_update(self.secret);
        for part in [user, password, stored] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }
}

fn failure_key(user: &str, source: &str) -> String {
    format!("{}\n{source}", user.to_ascii_lowercase())
}

fn waiting(failures: &Mutex<Failures>) -> Option<Duration> {
    let failures = failures.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let wait = failures.until.saturating_duration_since(Instant::now());
    (!wait.is_zero()).then_some(wait)
}

fn note_failure(failures: &Mutex<Failures>) {
    let mut failures = failures.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    failures.count = failures.count.saturating_add(1);
    if failures.count >= MOST_FAILURES {
        failures.until = Instant::now() + FORGOTTEN;
        return;
    }
    let over = failures.count.saturating_sub(FREE_FAILURES);
    if over > 0 {
        let delay = Duration::from_secs(1 << over.min(5)).min(LONGEST_DELAY);
        failures.until = Instant::now() + delay;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn passwords_are_verified_and_guessing_is_slowed() {
        let passwords = Passwords::default();
        let hash = passwords.hash("correct horse battery").await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert_eq!(passwords.verify("ann", "a", "correct horse battery", Some(&hash)).await, Ok(true));
        assert_eq!(passwords.verify("ann", "a", "correct horse battery", None).await, Ok(false), "the memory is of that hash");
        for _ in 0..6 {
            let _ = passwords.verify("bob", "a", "wrong", Some(&hash)).await;
        }
        assert!(passwords.verify("BOB", "a", "correct horse battery", Some(&hash)).await.is_err());
        assert_eq!(passwords.verify("bob", "b", "correct horse battery", Some(&hash)).await, Ok(true), "from elsewhere");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn guesses_that_come_at_once_are_slowed_like_others() {
        let passwords = std::sync::Arc::new(Passwords::default());
        let hash = passwords.hash("correct horse battery").await.unwrap();
        let guess = |text: String| {
            let (passwords, hash) = (passwords.clone(), hash.clone());
            tokio::spawn(async move { passwords.verify("bob", "a", &text, Some(&hash)).await })
        };
        let guesses: Vec<_> = (0..40).map(|n| guess(format!("wrong {n}"))).collect();
        let outcomes: Vec<_> = futures::future::join_all(guesses).await.into_iter().map(Result::unwrap).collect();
        let taken = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        assert!(taken <= 6 + cores, "{taken} guesses were taken");
        // Those who know the password and come at once are all let in.
        let right: Vec<_> = (0..40).map(|_| passwords.verify("ann", "a", "correct horse battery", Some(&hash))).collect();
        assert!(futures::future::join_all(right).await.iter().all(|outcome| *outcome == Ok(true)));
    }

    #[test]
    fn after_a_hundred_failures_nothing_is_taken_for_an_hour() {
        let failures = Mutex::new(Failures { count: 0, until: Instant::now() });
        for _ in 0..99 {
            note_failure(&failures);
        }
        assert!(waiting(&failures).unwrap() <= LONGEST_DELAY);
        note_failure(&failures);
        assert!(waiting(&failures).unwrap() > FORGOTTEN - Duration::from_secs(60));
    }
}
