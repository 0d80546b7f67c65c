//! One budget of bytes for what calls hold: their bodies, the rows that are read for them, their answers until they
//! have been sent. Each principal has a share of it. Who finds no room waits for a moment and is refused then, so nobody
//! who holds some waits for more without end.
//!
//! A call that needs more than half of a share is a large one, of which each principal has one at a time. It takes
//! nothing of the share, so that large calls do not wait for each other's halves. All large calls together leave a part of
//! the budget to the others, which so never wait for large ones.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytesize::ByteSize;
use moka::sync::Cache;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// One permit stands for so many bytes.
const UNIT: usize = 1_024;
/// What every call may hold without being counted, so that small calls never wait.
const FREE: usize = 16 * 1_024;
/// A growing call takes a quarter more than it needs, up to so much, so that it asks seldom.
const STEP: usize = 256 * 1_024;
/// The default is a part of the machine's or container's memory, and no more than the ceiling: with what the server
/// needs besides, it stays below 400 MiB.
const PART: u64 = 4;
const CEILING: u64 = 256 * MIB;
/// The smallest budget: a few calls of usual size.
pub const FLOOR: u64 = 16 * MIB;
const MIB: u64 = 1_024 * 1_024;
/// Shares of the budget, and what part of it a single call may hold.
const SHARES: usize = 16;
const ONE_CALL: usize = 2;
/// What part of the budget large calls leave to others.
const LEFT: usize = 4;
/// For so long a call that holds some waits for more room.
const WAIT: Duration = Duration::from_secs(3);
/// A call that holds nothing yet is in nobody's way, and waits so many times as long for its principal's other calls.
const FIRST_WAIT: u32 = 3;
/// So many calls of a principal wait at a time: the workers of a large training, each of which holds what is free to all.
const WAITING: usize = 512;
/// What another try should wait.
const RETRY: Duration = Duration::from_secs(1);
/// A principal that holds nothing is forgotten after this long.
const FORGOTTEN: Duration = Duration::from_secs(600);

tokio::task_local! {
    /// What the call that runs in this task holds.
    static HELD: Arc<Held>;
}

/// There is no room.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Over {
    /// It passes by itself.
    #[error("{message}")]
    ForNow {
        /// Whose room is used up, and the setting.
        message: String,
        /// After how long another try may succeed.
        retry: Duration,
    },
    /// There never will be.
    #[error("{0}")]
    Always(String),
}

/// The budget.
#[derive(Default)]
pub struct Memory(OnceLock<Arc<Budget>>);

struct Budget {
    bytes: usize,
    wait: Duration,
    room: Arc<Semaphore>,
    /// What large calls may hold of it together.
    large_room: Arc<Semaphore>,
    shares: Cache<String, Arc<Share>>,
}

struct Share {
    room: Arc<Semaphore>,
    /// The place of the large call.
    large: Arc<Semaphore>,
    queue: Semaphore,
}

impl Share {
    fn new(units: usize) -> Arc<Self> {
        Arc::new(Self { room: Arc::new(Semaphore::new(units)), large: Arc::new(Semaphore::new(1)), queue: Semaphore::new(WAITING) })
    }
}

/// What one call holds, until it is dropped.
pub struct Held {
    budget: Arc<Budget>,
    share: Arc<Share>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// Bytes that are in use.
    used: usize,
    /// What was taken for them: of the budget, and of the share or as the large call.
    room: Option<OwnedSemaphorePermit>,
    share: Option<OwnedSemaphorePermit>,
    large: Option<OwnedSemaphorePermit>,
    /// Of what large calls may hold together.
    large_room: Option<OwnedSemaphorePermit>,
    refused: Option<Over>,
}

impl Memory {
    /// Sets the budget; only the first call counts. Without one the default holds.
    pub fn limit(&self, bytes: u64) {
        self.0.get_or_init(|| Budget::new(bytes, WAIT));
    }

    /// What a call of a principal holds: nothing yet.
    pub fn of(&self, principal: &str) -> Arc<Held> {
        let budget = self.0.get_or_init(|| Budget::new(default_budget(), WAIT)).clone();
        let share = budget.shares.get_with_by_ref(principal, || Share::new(budget.share_units()));
        Arc::new(Held { budget, share, kept: Mutex::default() })
    }
}

/// A quarter of the memory that this process may use, within bounds.
pub fn default_budget() -> u64 {
    use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System};
    let known = || {
        let mut system = System::new().ok()?;
        system.refresh_memory();
        let machine = system.total_memory();
        let own = sysinfo::get_current_pid().ok()?;
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[own]), false, ProcessRefreshKind::nothing());
        let group = system.process(own).and_then(sysinfo::Process::cgroup_limits);
        Some(group.map_or(machine, |group| group.total_memory.min(machine)))
    };
    // A system that does not tell has some memory all the same.
    let memory = known().unwrap_or(CEILING * PART);
    (memory / PART).clamp(FLOOR, CEILING)
}

/// Runs a call, so that what it reads is counted.
pub async fn counted<F: Future>(held: Arc<Held>, call: F) -> F::Output {
    HELD.scope(held, call).await
}

/// What the call of this task holds; none outside of calls.
pub fn current() -> Option<Arc<Held>> {
    HELD.try_with(Arc::clone).ok()
}

/// Takes room for the call of this task, if there is one.
pub async fn take(bytes: usize) -> Result<(), Over> {
    match current() {
        Some(held) => held.grow(bytes).await,
        None => Ok(()),
    }
}

impl Budget {
    fn new(bytes: u64, wait: Duration) -> Arc<Self> {
        let bytes = usize::try_from(bytes.max(FLOOR)).unwrap_or(usize::MAX).min(u32::MAX as usize * UNIT);
        let shares = Cache::builder().max_capacity(100_000).time_to_idle(FORGOTTEN).build();
        let room = |bytes: usize| Arc::new(Semaphore::new(bytes / UNIT));
        Arc::new(Self { bytes, wait, room: room(bytes), large_room: room(bytes - bytes / LEFT), shares })
    }

    fn share_units(&self) -> usize {
        self.bytes / SHARES / UNIT
    }
}

impl Held {
    /// Takes room for further bytes.
    ///
    /// # Errors
    /// When there is none for a while, or never will be.
    pub async fn grow(&self, bytes: usize) -> Result<(), Over> {
        let Some(wanted) = self.use_more(bytes) else { return Ok(()) };
        let taken = if wanted > self.most() { Err(self.too_much()) } else { self.take(wanted).await };
        taken.inspect_err(|over| self.lock().refused = Some(over.clone()))
    }

    /// From now on so many bytes are in use, if it were more before.
    pub fn shrink_to(&self, bytes: usize) {
        let mut kept = self.lock();
        kept.used = kept.used.min(bytes);
        let units = units(kept.used);
        let Kept { room, share, large, large_room, .. } = &mut *kept;
        for held in [room, share, large_room] {
            let surplus = held_by(held).saturating_sub(units);
            // What is split off is given back.
            drop(held.as_mut().and_then(|held| held.split(surplus)));
        }
        if units == 0 {
            *large = None;
        }
    }

    /// The most that one call may hold.
    pub fn most(&self) -> usize {
        self.budget.bytes / ONE_CALL
    }

    /// Why there was no room, if that has happened.
    pub fn refused(&self) -> Option<Over> {
        self.lock().refused.clone()
    }

    /// Whether anything of the budget is held.
    pub fn is_held(&self) -> bool {
        held_by(&self.lock().room) > 0
    }

    /// Counts bytes; gives how many there are when room must be taken for them.
    fn use_more(&self, bytes: usize) -> Option<usize> {
        let mut kept = self.lock();
        kept.used = kept.used.saturating_add(bytes);
        (kept.used > FREE && units(kept.used) > held_by(&kept.room)).then_some(kept.used)
    }

    /// Takes what is missing of the share first, so that a principal's calls wait for each other and not before others.
    async fn take(&self, wanted: usize) -> Result<(), Over> {
        let _place = self.share.queue.try_acquire().map_err(|_| self.for_now("yours"))?;
        let holds_nothing = {
            let kept = self.lock();
            kept.share.is_none() && kept.large.is_none()
        };
        let own_wait = self.budget.wait * if holds_nothing { FIRST_WAIT } else { 1 };
        let wanted = units(wanted.saturating_add((wanted / 4).min(STEP)).min(self.most()));
        if wanted <= self.budget.share_units() / 2 {
            let missing = wanted.saturating_sub(held_by(&self.lock().share));
            let more = self.waited(&self.share.room, missing, own_wait).await.ok_or_else(|| self.for_now("yours"))?;
            merge(&mut self.lock().share, more);
        } else if self.lock().large.is_none() {
            let large = self.waited(&self.share.large, 1, own_wait).await.ok_or_else(|| self.for_now("yours"))?;
            let mut kept = self.lock();
            kept.large = Some(large);
            kept.share = None;
        }
        if self.lock().large.is_some() {
            let missing = wanted.saturating_sub(held_by(&self.lock().large_room));
            let more =
                self.waited(&self.budget.large_room, missing, self.budget.wait).await.ok_or_else(|| self.for_now("all large calls"))?;
            merge(&mut self.lock().large_room, more);
        }
        let missing = wanted.saturating_sub(held_by(&self.lock().room));
        let more = self.waited(&self.budget.room, missing, self.budget.wait).await.ok_or_else(|| self.for_now("all calls"))?;
        merge(&mut self.lock().room, more);
        Ok(())
    }

    /// So many units, if they are there in time. The semaphores are never closed.
    async fn waited(&self, from: &Arc<Semaphore>, units: usize, wait: Duration) -> Option<OwnedSemaphorePermit> {
        let acquiring = from.clone().acquire_many_owned(u32::try_from(units).unwrap_or(u32::MAX));
        tokio::time::timeout(wait, acquiring).await.ok()?.ok()
    }

    fn for_now(&self, whose: &str) -> Over {
        let (budget, share) = (shown(self.budget.bytes), shown(self.budget.bytes / SHARES));
        let message = match whose {
            "yours" => format!(
                "your calls hold as much memory as one principal's may: one large call at a time, and {share} for all others, a \
                 sixteenth of --memory-budget ({budget}); try again"
            ),
            "all large calls" => {
                let most = shown(self.budget.bytes - self.budget.bytes / LEFT);
                format!("all large calls together hold the {most} that they may of --memory-budget ({budget}); try again")
            }
            _ => format!("all calls together hold the {budget} of --memory-budget; try again"),
        };
        Over::ForNow { message, retry: RETRY }
    }

    fn too_much(&self) -> Over {
        let most = shown(self.most());
        Over::Always(format!(
            "this call needs more than {most} of memory, the most that --memory-budget leaves to one call; send or ask for less at a time"
        ))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn merge(held: &mut Option<OwnedSemaphorePermit>, more: OwnedSemaphorePermit) {
    match held {
        Some(held) => held.merge(more),
        None => *held = Some(more),
    }
}

fn held_by(permit: &Option<OwnedSemaphorePermit>) -> usize {
    permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
}

fn units(bytes: usize) -> usize {
    if bytes <= FREE { 0 } else { bytes.div_ceil(UNIT) }
}

fn shown(bytes: usize) -> ByteSize {
    ByteSize::b(bytes as u64)
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
