//! The connections of each source, so that no source takes all there are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::access::ClientAddress;

/// The connections that are open, by the network that they come from.
pub struct Sources {
    most: usize,
    open: Mutex<HashMap<String, usize>>,
}

/// One open connection of a source, until it is dropped.
pub struct Place {
    sources: Arc<Sources>,
    network: String,
}

impl Sources {
    /// With this many connections for each source.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, open: Mutex::default() })
    }

    /// A place for a connection; none when its source has as many as it may.
    pub fn admit(self: &Arc<Self>, source: ClientAddress) -> Option<Place> {
        let network = source.network();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(network.clone()).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Place { sources: self.clone(), network })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.sources.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_so_many_connections_and_gets_their_places_back() {
        let sources = Sources::new(2);
        let of = |text: &str| sources.admit(ClientAddress::of(text.parse().unwrap()));
        let held = [of("192.0.2.1").unwrap(), of("192.0.2.1").unwrap()];
        assert!(of("192.0.2.1").is_none() && of("::ffff:192.0.2.1").is_none());
        assert!(of("192.0.2.2").is_some(), "another source");
        drop(held);
        assert!(of("192.0.2.1").is_some());
        assert!(sources.open.lock().unwrap().is_empty(), "nothing is kept of sources without connections");
    }
}
