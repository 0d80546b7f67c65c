use super::*;

const MB: usize = 1_024 * 1_024;

/// A budget of 16 MiB: a share has one of them, a call at most eight.
fn memory() -> Memory {
    Memory(OnceLock::from(Budget::new(16 * MIB, Duration::from_millis(50))))
}

fn free(memory: &Memory) -> usize {
    memory.0.get().unwrap().room.available_permits() * UNIT
}

#[tokio::test]
async fn what_a_call_holds_is_given_back() {
    let memory = memory();
    let held = memory.of("ann");
    held.grow(FREE).await.unwrap();
    assert_eq!((free(&memory), held.is_held()), (16 * MB, false), "small calls are not counted");
    held.grow(MB / 2).await.unwrap();
    assert!(free(&memory) <= 16 * MB - MB / 2);
    held.shrink_to(MB / 4);
    assert_eq!(free(&memory), 16 * MB - MB / 4);
    held.shrink_to(MB);
    assert_eq!(free(&memory), 16 * MB - MB / 4, "it does not grow so");
    drop(held);
    assert_eq!(free(&memory), 16 * MB);
}

#[tokio::test]
async fn over_a_share_the_calls_of_a_principal_wait_and_are_refused_and_others_are_not() {
    let memory = memory();
    let first = [memory.of("ann"), memory.of("ann")];
    for held in &first {
        held.grow(MB / 3).await.unwrap();
    }
    let third = memory.of("ann");
    let over = third.grow(MB / 3).await.unwrap_err();
    assert!(matches!(&over, Over::ForNow { retry: RETRY, message } if message.contains("1.0 MiB for all others")), "{over}");
    assert_eq!(third.refused(), Some(over));
    memory.of("bob").grow(MB / 3).await.unwrap();
    let waits = memory.of("ann");
    let (grown, ()) = tokio::join!(waits.grow(MB / 3), async { drop(first) });
    grown.unwrap();
}

#[tokio::test]
async fn one_large_call_of_a_principal_at_a_time_and_none_without_bounds() {
    let memory = memory();
    let (large, small) = (memory.of("ann"), memory.of("ann"));
    large.grow(6 * MB).await.unwrap();
    assert!(free(&memory) <= 10 * MB);
    small.grow(MB / 4).await.unwrap();
    assert!(memory.of("ann").grow(MB).await.is_err(), "another large one");
    assert!(matches!(large.grow(3 * MB).await, Err(Over::Always(_))));
    let waits = memory.of("ann");
    let (grown, ()) = tokio::join!(waits.grow(4 * MB), async { drop(large) });
    grown.unwrap();
    drop((small, waits));
    assert_eq!(free(&memory), 16 * MB);
}

#[tokio::test]
async fn calls_that_hold_room_and_need_more_do_not_wait_for_ever() {
    let memory = memory();
    let calls: Vec<_> = (0..8).map(|_| memory.of("ann")).collect();
    // Each gets a part of the share, and all want more than is left.
    let grown = futures::future::join_all(calls.iter().map(|held| async {
        for _ in 0..16 {
            held.grow(MB / 16).await?;
        }
        Ok::<_, Over>(())
    }));
    let outcomes = tokio::time::timeout(Duration::from_secs(60), grown).await.expect("all end");
    assert!(outcomes.iter().any(Result::is_err));
    drop(calls);
    assert_eq!(free(&memory), 16 * MB);
}

#[tokio::test]
async fn large_calls_leave_room_to_others() {
    let memory = memory();
    let held: Vec<_> = (0..4).map(|number| memory.of(&format!("user{number}"))).collect();
    let mut granted = 0;
    for held in &held {
        granted += usize::from(held.grow(5 * MB).await.is_ok());
    }
    assert_eq!(granted, 2);
    let over = memory.of("another").grow(5 * MB).await.unwrap_err();
    assert!(over.to_string().contains("all large calls together hold the 12.0 MiB that they may of --memory-budget (16.0 MiB)"), "{over}");
    memory.of("another").grow(MB / 4).await.unwrap();
    drop(held);
    assert_eq!(free(&memory), 16 * MB);
    memory.of("another").grow(5 * MB).await.unwrap();
}

#[tokio::test]
async fn all_together_hold_no_more_than_the_budget() {
    let memory = memory();
    let held: Vec<_> = (0..64).map(|number| memory.of(&format!("user{number}"))).collect();
    let mut granted = 0;
    for held in &held {
        granted += usize::from(held.grow(MB / 3).await.is_ok());
    }
    assert!((32..=48).contains(&granted), "{granted}");
    let over = memory.of("another").grow(MB / 3).await.unwrap_err();
    assert!(over.to_string().contains("all calls together hold the 16.0 MiB of --memory-budget"), "{over}");
}

#[test]
fn the_default_is_within_its_bounds() {
    assert!((FLOOR..=CEILING).contains(&default_budget()));
}

#[tokio::test]
async fn hundreds_of_batches_of_one_principal_wait_for_each_other() {
    let memory = memory();
    let calls = (0..400).map(|_| async {
        let held = memory.of("ann");
        held.grow(MB / 4).await?;
        tokio::task::yield_now().await;
        Ok::<_, Over>(())
    });
    let outcomes = futures::future::join_all(calls).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_err()).count(), 0);
}
