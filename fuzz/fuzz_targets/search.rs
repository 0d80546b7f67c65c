//! MLflow's filter and order language: no panic, no hang. What holds of the trees is in the property tests.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stagegate::domain::search::{Entity, parse_filter, parse_order_by};

fuzz_target!(|text: &str| {
    for entity in [Entity::Runs, Entity::Experiments, Entity::RegisteredModels, Entity::ModelVersions, Entity::LoggedModels] {
        let _ = parse_filter(entity, text);
        let _ = parse_order_by(entity, &[text.to_owned()]);
    }
});
