//! The readers of JSON bodies and query strings: no panic, no hang, and nothing is read that is no UTF-8.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stagegate::contract::{json, v1};

fuzz_target!(|bytes: &[u8]| {
    if json::read::<v1::LogBatchRequest>(bytes).is_ok() {
        assert!(std::str::from_utf8(bytes).is_ok());
    }
    let _ = json::read::<v1::LogInputsRequest>(bytes);
    let _ = json::read::<v1::CreateGrantRequest>(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = json::read_query::<v1::SearchExperimentsRequest>(text);
    }
});
