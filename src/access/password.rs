//! Passwords: argon2id in a bounded queue, guessing slowed down, and no source that takes all the time there is.
//!
//! A hash costs a core 20 ms and 19 MiB. Where a user has signed in from before, the next check there has a
//! queue of its own, so that made-up names, from there or from anywhere, keep nobody out.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use argon2::password_hash::{Output, PasswordHash, Salt, SaltString};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use moka::sync::Cache;
use sha2::{Digest, Sha256};
use tokio::sync::{Semaphore, SemaphorePermit};

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
/// Where a user has signed in within this time they are no stranger.
const AT_HOME: Duration = Duration::from_secs(24 * 3_600);
/// Passwords of strangers that one source may have checked in a second, and all at once.
const STRANGERS_A_SECOND: u32 = 5;
const STRANGERS_AT_ONCE: u32 = 60;
/// Checks that wait or run: those of strangers, and those of users where they have signed in before.
const WAITING: usize = 64;
/// Hashes at a time take memory that is never given back; more than these are not worth it.
const MOST_HASHES: usize = 4;
/// When the queue is full: try again after this long.
const QUEUE_FULL: Duration = Duration::from_secs(1);

/// The password was not looked at: try again after `wait`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what}; try again in {} seconds", .wait.as_secs().max(1))]
pub struct Throttled {
    /// What there was too much of.
    what: &'static str,
    /// How long it takes until there is room.
    pub wait: Duration,
}

/// Hashes, verifies, remembers and slows.
pub struct Passwords {
    hashing: Semaphore,
    /// What strangers hold of `hashing`, so that something is left for others.
    strangers: Semaphore,
    /// Places in the queues.
    queues: [Semaphore; 2],
    /// The memory of hashes that are done, for the next ones: the allocator would keep it for every thread.
    memory: Arc<Mutex<Vec<Vec<Block>>>>,
    /// Verified passwords by a keyed digest of user, password and stored hash.
    verified: Cache<[u8; 32], ()>,
    /// Failures by user name and source, so that no stranger can lock out a user from elsewhere.
    failures: Cache<String, Arc<Mutex<Failures>>>,
    /// Checks that run or wait, by the same digest.
    same: Cache<[u8; 32], Arc<tokio::sync::Mutex<()>>>,
    /// Users by name and source from which they have signed in, with the digest of the password that was right.
    at_home: Cache<String, [u8; 32]>,
    /// What each source's strangers may still ask for.
    brakes: Cache<String, Arc<Brake>>,
    secret: [u8; 32],
    /// What an unknown user's password is compared with, so that both take equally long.
    decoy: String,
}

/// What a source's strangers may still ask for, and until when that is nothing.
struct Brake {
    rate: DefaultDirectRateLimiter,
    until: Mutex<Instant>,
}

struct Failures {
    count: u32,
    until: Instant,
}

/// OWASP's parameters: 19,456 KiB, two passes, one lane.
fn params() -> Params {
    // The parameters are constants within argon2's bounds.
    Params::new(19_456, 2, 1, None).expect("the parameters are within argon2's bounds")
}

/// The hash of a password, in memory that is handed in.
fn hashed(password: &str, salt: Salt<'_>, params: Params, length: usize, memory: &mut Vec<Block>) -> Option<Output> {
    memory.resize(params.block_count(), Block::default());
    let mut bytes = [0; Salt::MAX_LENGTH];
    let salt = salt.decode_b64(&mut bytes).ok()?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    Output::init_with(length, |out| Ok(argon2.hash_password_into_with_memory(password.as_bytes(), salt, out, memory)?)).ok()
}

fn hash_now(password: &str, memory: &mut Vec<Block>) -> Option<String> {
    let salt = SaltString::encode_b64(&clock::random_bytes::<16>()).ok()?;
    let output = hashed(password, salt.as_salt(), params(), Params::DEFAULT_OUTPUT_LEN, memory)?;
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: params().try_into().ok()?,
        salt: Some(salt.as_salt()),
        hash: Some(output),
    };
    Some(hash.to_string())
}

/// Whether a stored hash is one of the password. Outputs are compared in constant time.
fn matches(password: &str, stored: &str, memory: &mut Vec<Block>) -> bool {
    let mut matches = || {
        let stored = PasswordHash::new(stored).ok()?;
        if stored.algorithm != Algorithm::Argon2id.ident() || stored.version != Some(Version::V0x13.into()) {
            return None;
        }
        let known = stored.hash?;
        let output = hashed(password, stored.salt?, Params::try_from(&stored).ok()?, known.len(), memory)?;
        Some(output == known)
    };
    matches().unwrap_or_default()
}

impl Default for Passwords {
    /// With nothing remembered.
    fn default() -> Self {
        let hashes = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_HASHES);
        Self {
            hashing: Semaphore::new(hashes),
            strangers: Semaphore::new((hashes / 2).max(1)),
            queues: [Semaphore::new(WAITING), Semaphore::new(WAITING)],
            memory: Arc::default(),
            verified: Cache::builder().max_capacity(10_000).time_to_live(REMEMBERED).build(),
            failures: Cache::builder().max_capacity(20_000).time_to_idle(FORGOTTEN).build(),
            same: Cache::builder().max_capacity(20_000).time_to_idle(REMEMBERED).build(),
            at_home: Cache::builder().max_capacity(20_000).time_to_idle(AT_HOME).build(),
            brakes: Cache::builder().max_capacity(20_000).time_to_idle(FORGOTTEN).build(),
            secret: clock::random_bytes(),
            // Sixteen random bytes are a legal salt, and a uid can be hashed.
            decoy: hash_now(&clock::new_uid(), &mut Vec::new()).expect("a uid can be hashed"),
        }
    }
}

impl Passwords {
    /// The hash of a new password, in PHC form.
    pub async fn hash(&self, password: &str) -> Option<String> {
        let _permit = self.hashing.acquire().await.ok()?;
        let password = zeroize::Zeroizing::new(password.to_owned());
        self.with_memory(move |memory| hash_now(&password, memory)).await?
    }

    /// Whether a password is the one of a stored hash. Without a stored hash it takes as long and says no.
    /// `source` tells callers of one user apart for slowing. Errors when it was not looked at.
    pub async fn verify(&self, user: &str, source: &str, password: &str, stored: Option<&str>) -> Result<bool, Throttled> {
        let digest = self.digest(user, password, stored.unwrap_or_default());
        if self.verified.contains_key(&digest) {
            return Ok(true);
        }
        let pair = pair(user, source);
        // Whoever came with the right password here lately is not held up by wrong ones of others at the same address. It
        // is checked all the same, and who guesses learns nothing by it: another password is no such one.
        let welcome = self.at_home.get(&pair) == Some(digest);
        let failures = self.failures.get_with(pair.clone(), || Arc::new(Mutex::new(Failures { count: 0, until: Instant::now() })));
        if !welcome {
            waiting(&failures)?;
        }
        // One check for all who come with the same password at once.
        let same = self.same.get_with(digest, Arc::default);
        let _turn = same.lock().await;
        if self.verified.contains_key(&digest) {
            return Ok(true);
        }
        let stranger = !self.at_home.contains_key(&pair);
        if stranger {
            self.brake(source)?;
        }
        let Some(_place) = self.turn(stranger).await? else { return Ok(false) };
        // Of guesses that came all at once, those before this one have failed by now.
        if !welcome {
            waiting(&failures)?;
        }
        let good = self.compare(password, stored).await;
        if good {
            self.verified.insert(digest, ());
            self.at_home.insert(pair.clone(), digest);
            self.failures.invalidate(&pair);
        } else {
            note_failure(&failures);
        }
        Ok(good)
    }

    /// Forgets verified passwords; called when access changes.
    pub fn forget(&self) {
        self.verified.invalidate_all();
    }

    /// Errors when a source's strangers have just been told to wait, and the user is one. Asked before the user is looked
    /// up, so that made-up names do not keep the database busy.
    pub fn braked(&self, user: &str, source: &str) -> Result<(), Throttled> {
        let Some(brake) = self.brakes.get(source) else { return Ok(()) };
        let until = *brake.until.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = until.saturating_duration_since(Instant::now());
        if wait.is_zero() || self.at_home.contains_key(&pair(user, source)) { Ok(()) } else { Err(new_users(wait)) }
    }

    /// Takes one of the checks that a source's strangers have.
    fn brake(&self, source: &str) -> Result<(), Throttled> {
        let full = || {
            let [rate, burst] = [STRANGERS_A_SECOND, STRANGERS_AT_ONCE].map(|count| NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN));
            let rate = RateLimiter::direct(Quota::per_second(rate).allow_burst(burst));
            Arc::new(Brake { rate, until: Mutex::new(Instant::now()) })
        };
        let brake = self.brakes.get_with(source.to_owned(), full);
        let Err(until) = brake.rate.check() else { return Ok(()) };
        let wait = until.wait_time_from(DefaultClock::default().now());
        *brake.until.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + wait;
        Err(new_users(wait))
    }

    /// Waits for a turn to hash. Errors at once when too many wait already.
    async fn turn(&self, stranger: bool) -> Result<Option<[Option<SemaphorePermit<'_>>; 3]>, Throttled> {
        let full = Throttled { what: "too many passwords wait to be checked", wait: QUEUE_FULL };
        let place = self.queues[usize::from(stranger)].try_acquire().map_err(|_| full)?;
        let share = if stranger { self.strangers.acquire().await.ok() } else { None };
        let Ok(turn) = self.hashing.acquire().await else { return Ok(None) };
        Ok(Some([Some(place), share, Some(turn)]))
    }

    /// Called by who holds a permit to hash.
    async fn compare(&self, password: &str, stored: Option<&str>) -> bool {
        let password = zeroize::Zeroizing::new(password.to_owned());
        let hash = stored.unwrap_or(&self.decoy).to_owned();
        let known = stored.is_some();
        self.with_memory(move |memory| matches(&password, &hash, memory)).await.unwrap_or(false) && known
    }

    async fn with_memory<T: Send + 'static>(&self, work: impl FnOnce(&mut Vec<Block>) -> T + Send + 'static) -> Option<T> {
        let kept = self.memory.clone();
        let work = move || {
            let mut memory = kept.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
            let done = work(&mut memory);
            kept.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
            done
        };
        tokio::task::spawn_blocking(work).await.ok()
    }

    fn digest(&self, user: &str, password: &str, stored: &str) -> [u8; 32] {
        let mut digest = Sha256::new().chain_update(self.secret);
        for part in [user, password, stored] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }
}

fn new_users(wait: Duration) -> Throttled {
    Throttled { what: "too many sign-ins of new users from this address", wait }
}

fn pair(user: &str, source: &str) -> String {
    format!("{}\n{source}", user.to_ascii_lowercase())
}

fn waiting(failures: &Mutex<Failures>) -> Result<(), Throttled> {
    let failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
    let wait = failures.until.saturating_duration_since(Instant::now());
    if wait.is_zero() { Ok(()) } else { Err(Throttled { what: "too many failed sign-ins", wait }) }
}

fn note_failure(failures: &Mutex<Failures>) {
    let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
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
        for _ in 0..6 {
            let _ = passwords.verify("bob", "b", "wrong", Some(&hash)).await;
        }
        assert!(passwords.verify("bob", "b", "wrong", Some(&hash)).await.is_err(), "guesses are held up");
        passwords.forget();
        assert_eq!(passwords.verify("bob", "b", "correct horse battery", Some(&hash)).await, Ok(true), "by those at home as well");
        for _ in 0..6 {
            let _ = passwords.verify("bob", "b", "wrong", Some(&hash)).await;
        }
        let other = passwords.hash("another battery staple").await.unwrap();
        assert!(
            passwords.verify("bob", "b", "correct horse battery", Some(&other)).await.is_err(),
            "that is no password of theirs any more"
        );
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
        assert!(waiting(&failures).unwrap_err().wait <= LONGEST_DELAY);
        note_failure(&failures);
        assert!(waiting(&failures).unwrap_err().wait > FORGOTTEN - Duration::from_secs(60));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn made_up_names_are_braked_and_keep_nobody_out_who_has_been_here() {
        let passwords = Arc::new(Passwords::default());
        let hash = passwords.hash("correct horse battery").await.unwrap();
        assert_eq!(passwords.verify("ann", "a", "correct horse battery", Some(&hash)).await, Ok(true));
        passwords.forget();
        let guesses = (0..300).map(|n| {
            let passwords = passwords.clone();
            tokio::spawn(async move { passwords.verify(&format!("nobody{n}"), "a", "wrong", None).await })
        });
        let guesses: Vec<_> = guesses.collect();
        assert_eq!(passwords.verify("ann", "a", "correct horse battery", Some(&hash)).await, Ok(true), "at home, in the middle of it");
        assert_eq!(passwords.verify("ann", "b", "correct horse battery", Some(&hash)).await, Ok(true), "from elsewhere");
        let outcomes: Vec<_> = futures::future::join_all(guesses).await.into_iter().map(Result::unwrap).collect();
        let looked_at = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert!((50..150).contains(&looked_at), "{looked_at} of 300 guesses were looked at");
        assert!(outcomes.iter().flat_map(|outcome| outcome.as_ref().err()).all(|throttled| throttled.wait <= Duration::from_secs(1)));
        assert!(passwords.memory.lock().unwrap().len() <= MOST_HASHES);
        *passwords.brakes.get("a").unwrap().until.lock().unwrap() = Instant::now() + Duration::from_secs(60);
        assert!(passwords.braked("nobody", "a").is_err(), "strangers were told to wait");
        assert!(passwords.braked("ann", "a").is_ok() && passwords.braked("nobody", "c").is_ok());
        assert_eq!(passwords.queues.each_ref().map(Semaphore::available_permits), [WAITING; 2]);
    }
}
