//! The one place that reads the wall clock and the operating system's random numbers.
//! Everything else takes time and randomness from here, or is handed them.

use std::time::{SystemTime, UNIX_EPOCH};

/// Unix milliseconds now.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
pub fn now_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}

/// `N` bytes from a generator that the operating system seeds.
#[expect(clippy::disallowed_methods, reason = "this is the one place that draws random numbers")]
pub fn random_bytes<const N: usize>() -> [u8; N] {
    rand::random()
}

/// A new immutable object id: 32 hexadecimal digits.
pub fn new_uid() -> String {
    hex::encode(random_bytes::<16>())
}
