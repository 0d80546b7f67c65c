//! Whose search runs next, and whose runs no longer: a fixed number of places, which one principal may fill as long as
//! nobody else wants one. Whoever runs the least is next, and of those whoever had a turn the longest ago. Where somebody waits who runs less than another, the longest
//! search of that other one ends after a while, so that no number of slow searches keeps anybody from searching.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A search that has run this long ends when others wait who run fewer.
pub(super) const SLICE: Duration = Duration::from_secs(5);
/// Of all places this part is for principals that run nothing yet.
const KEPT_FREE: usize = 4;
/// Searches of one principal that wait at a time.
const WAITING: usize = 256;
/// Searches of all that wait at a time.
const WAITING_OF_ALL: usize = 4_096;
/// Turns that are remembered for the order of the next ones.
const REMEMBERED: usize = 4_096;
/// How often those who wait look whether somebody has run long enough.
const LOOK: Duration = Duration::from_millis(250);

/// The places.
pub(super) struct Turns {
    places: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: Vec<Running>,
    /// In the order in which they came.
    waiting: Vec<Waiting>,
    /// Of each principal, the number of its latest turn.
    turns: HashMap<String, u64>,
    last: u64,
}

struct Running {
    id: u64,
    principal: String,
    since: Instant,
    end: CancellationToken,
}

struct Waiting {
    id: u64,
    principal: String,
    place: oneshot::Sender<Turn>,
}

/// A place that is taken, until this is dropped.
pub(super) struct Turn {
    turns: Arc<Turns>,
    id: u64,
    end: CancellationToken,
}

/// One who waits; who leaves is forgotten.
struct Ticket<'a> {
    turns: &'a Arc<Turns>,
    id: u64,
}

/// Why there is no place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoTurn {
    /// Too many wait already.
    Crowded,
    /// None became free in time.
    Late,
}

impl Turns {
    pub(super) fn new(places: usize) -> Arc<Self> {
        Arc::new(Self { places, state: Mutex::default() })
    }

    /// A place for a search of a principal, as soon as it is its turn.
    pub(super) async fn take(self: &Arc<Self>, principal: &str, patience: Duration) -> Result<Turn, NoTurn> {
        let (mut place, ticket) = {
            let mut state = self.lock();
            if state.waiting.len() >= WAITING_OF_ALL || state.waiting_of(principal) >= WAITING {
                return Err(NoTurn::Crowded);
            }
            state.last += 1;
            let (sender, place) = oneshot::channel();
            let id = state.last;
            state.waiting.push(Waiting { id, principal: principal.to_owned(), place: sender });
            (place, Ticket { turns: self, id })
        };
        self.admit();
        let until = Instant::now() + patience;
        loop {
            tokio::select! {
                biased;
                turn = &mut place => return turn.map_err(|_| NoTurn::Late),
                () = tokio::time::sleep_until(until) => {
                    drop(ticket);
                    // It may have come just now.
                    return place.try_recv().map_err(|_| NoTurn::Late);
                }
                () = tokio::time::sleep(LOOK) => self.end_one_that_has_run_long(),
            }
        }
    }

    /// Gives free places to those whose turn it is.
    fn admit(self: &Arc<Self>) {
        let mut refused = Vec::new();
        let mut state = self.lock();
        while let Some(next) = state.next(self.places) {
            let Waiting { id, principal, place } = state.waiting.remove(next);
            let end = CancellationToken::new();
            state.remember(&principal);
            state.running.push(Running { id, principal, since: Instant::now(), end: end.clone() });
            if let Err(turn) = place.send(Turn { turns: self.clone(), id, end }) {
                // Nobody waits there any more. Its place is given back without this lock.
                state.running.retain(|running| running.id != id);
                refused.push(turn);
            }
        }
        drop(state);
    }

    /// Ends the search that most stands in the way of the next one who waits, if it has run long enough.
    fn end_one_that_has_run_long(&self) {
        let state = self.lock();
        let counts = state.counts();
        let of = |principal: &str| counts.get(principal).copied().unwrap_or_default();
        let ending = state.running.iter().filter(|running| running.end.is_cancelled()).count();
        if ending >= state.waiting.len() {
            return;
        }
        let Some(fewest) = state.waiting.iter().map(|waiting| of(&waiting.principal)).min() else { return };
        let long = state
            .running
            .iter()
            .filter(|running| !running.end.is_cancelled() && of(&running.principal) > fewest && running.since.elapsed() >= SLICE);
        if let Some(longest) = long.max_by_key(|running| (of(&running.principal), running.since.elapsed())) {
            longest.end.cancel();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn waiting_of(&self, principal: &str) -> usize {
        self.waiting.iter().filter(|waiting| waiting.principal == principal).count()
    }

    fn counts(&self) -> HashMap<&str, usize> {
        let mut counts = HashMap::new();
        for running in &self.running {
            *counts.entry(running.principal.as_str()).or_default() += 1;
        }
        counts
    }

    fn remember(&mut self, principal: &str) {
        self.last += 1;
        self.turns.insert(principal.to_owned(), self.last);
        if self.turns.len() > REMEMBERED {
            let old = self.last.saturating_sub(REMEMBERED as u64 / 2);
            self.turns.retain(|_, turn| *turn > old);
        }
    }

    /// Who is next, if there is a place for them.
    fn next(&self, places: usize) -> Option<usize> {
        let free = places.saturating_sub(self.running.len());
        let counts = self.counts();
        let of = |waiting: &Waiting| counts.get(waiting.principal.as_str()).copied().unwrap_or_default();
        let (index, next) = self
            .waiting
            .iter()
            .enumerate()
            .min_by_key(|(_, waiting)| (of(waiting), self.turns.get(&waiting.principal).copied().unwrap_or_default(), waiting.id))?;
        let kept = if of(next) == 0 { 0 } else { places / KEPT_FREE };
        (free > kept).then_some(index)
    }
}

impl Turn {
    /// Ends when the search must make room for others.
    pub(super) async fn over(&self) {
        self.end.cancelled().await;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.turns.lock();
        let before = state.running.len();
        state.running.retain(|running| running.id != self.id);
        let gave_back = state.running.len() < before;
        drop(state);
        if gave_back {
            self.turns.admit();
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.turns.lock().waiting.retain(|waiting| waiting.id != self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3_600);

    async fn taken(turns: &Arc<Turns>, principal: &str) -> Turn {
        turns.take(principal, LONG).await.map_err(|why| format!("{principal}: {why:?}")).unwrap()
    }

    /// Takes places in the background; each search runs until it is ended.
    fn slow(turns: &Arc<Turns>, principal: &str, count: usize) {
        for _ in 0..count {
            let (turns, principal) = (turns.clone(), principal.to_owned());
            tokio::spawn(async move {
                let turn = taken(&turns, &principal).await;
                turn.over().await;
            });
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_alone_may_fill_all_places_but_those_kept_free() {
        let turns = Turns::new(8);
        let mut held = Vec::new();
        for _ in 0..6 {
            held.push(taken(&turns, "ann").await);
        }
        assert_eq!(turns.take("ann", Duration::from_secs(1)).await.err(), Some(NoTurn::Late));
        // Others come in at once.
        let before = Instant::now();
        let bob = taken(&turns, "bob").await;
        let eve = taken(&turns, "eve").await;
        assert_eq!(before.elapsed(), Duration::ZERO);
        drop((bob, eve));
        drop(held.pop());
        taken(&turns, "ann").await;
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_long_however_many_search_slowly() {
        for (principals, each) in [(1, 100), (4, 2), (8, 1), (17, 5), (40, 1)] {
            let turns = Turns::new(8);
            for principal in 0..principals {
                slow(&turns, &format!("slow {principal}"), each);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            let before = Instant::now();
            taken(&turns, "bob").await;
            // Those who have not had their first turn either come before.
            let ahead = u32::try_from(principals / 8 + 1).unwrap();
            assert!(before.elapsed() <= SLICE * ahead + LOOK, "{principals} × {each}: {:?}", before.elapsed());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_ended_for_their_own_next_search_or_before_their_time() {
        let turns = Turns::new(4);
        let first = [taken(&turns, "ann").await, taken(&turns, "ann").await, taken(&turns, "ann").await];
        assert_eq!(turns.take("ann", LONG / 10).await.err(), Some(NoTurn::Late));
        assert!(first.iter().all(|turn| !turn.end.is_cancelled()));
        let _one = taken(&turns, "bob").await;
        assert_eq!(turns.take("eve", Duration::from_millis(200)).await.err(), Some(NoTurn::Late));
        assert!(first.iter().all(|turn| !turn.end.is_cancelled()), "nobody has looked yet");
        assert_eq!(turns.take("eve", Duration::from_millis(300)).await.err(), Some(NoTurn::Late));
        assert_eq!(first.iter().filter(|turn| turn.end.is_cancelled()).count(), 1, "one for one who waits");
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_takes_no_place_with_them() {
        let turns = Turns::new(1);
        let held = taken(&turns, "ann").await;
        for _ in 0..WAITING {
            let leaving = tokio::time::timeout(Duration::from_millis(1), turns.take("bob", LONG));
            assert!(leaving.await.is_err());
        }
        assert!(turns.lock().waiting.is_empty());
        drop(held);
        taken(&turns, "bob").await;
        assert!(turns.lock().running.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn too_many_who_wait_are_told_so_at_once() {
        let turns = Turns::new(1);
        let _held = taken(&turns, "ann").await;
        slow(&turns, "bob", WAITING);
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(turns.take("bob", LONG).await.err(), Some(NoTurn::Crowded));
        assert_eq!(turns.take("eve", Duration::from_millis(1)).await.err(), Some(NoTurn::Late), "others wait");
    }
}
