//! That both engines match and rank as the rules of `domain::glob` say.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use sea_orm::ConnectionTrait;

use super::all_in_force;
use crate::bind;
use crate::domain::glob;
use crate::domain::text::canonical_name;
use crate::store::testing::{TestStore, stores};
use crate::store::{Store, StoreError, sql};

const PATTERNS: usize = 120;
const NAMES: usize = 90;

/// Texts of the characters that mean something to one of the engines, and some that do not, in NFKC form.
fn texts(runner: &mut TestRunner, count: usize, regex: &str) -> Vec<String> {
    let strategy = proptest::string::string_regex(regex).unwrap();
    let mut found: Vec<String> = Vec::new();
    while found.len() < count {
        let text = canonical_name(&strategy.new_tree(runner).unwrap().current());
        if !text.is_empty() && !found.contains(&text) {
            found.push(text);
        }
    }
    found
}

/// How a pattern ranks: first whether it fixes the whole name, then how many characters it fixes.
fn specificity(pattern: &str) -> (bool, usize) {
    (!pattern.contains('*'), pattern.chars().filter(|c| *c != '*').count())
}

async fn execute(store: &Store, text: &str, values: impl IntoIterator<Item = sea_orm::Value>) -> Result<(), StoreError> {
    // Beside the store's own way to write: this is no change of a server's.
    sql::execute(store.reader(), text, values).await.map(|_| ())
}

async fn world(store: &Store, names: &[String], gates: &[(String, String, String)]) {
    let on = store.reader();
    on.execute_unprepared(
        "INSERT INTO persons (uid, created) VALUES ('p', 1); INSERT INTO users (uid, name, canonical_name, display_name, kind, person_uid, \
         active, created) VALUES ('u', 'u', 'u', '', 'PERSON', 'p', TRUE, 1)",
    )
    .await
    .unwrap();
    for (index, name) in names.iter().enumerate() {
        let insert = "INSERT INTO registered_models (uid, workspace_id, name, canonical_name, description, created, updated, created_by, last_version) \
                      VALUES ($1, 'default', $2, $2, '', 1, 1, 'u', 0)";
        execute(store, insert, bind![format!("m{index}"), name.as_str()]).await.unwrap();
    }
    for (id, target, pattern) in gates {
        let insert = "INSERT INTO gates (gate_id, version, workspace_id, target, model_pattern, approvals_required, direct_moves_allowed, active, \
                      created, created_by) VALUES ($1, 1, 'default', $2, $3, 1, TRUE, TRUE, 1, 'u')";
        execute(store, insert, bind![id.as_str(), target.as_str(), pattern.as_str()]).await.unwrap();
    }
}

#[tokio::test]
async fn both_engines_match_and_rank_as_the_rules_say() {
    let mut runner = TestRunner::deterministic();
    let mut patterns = texts(&mut runner, PATTERNS - 8, r"[aAbß\*\*%_\[\]\?\^\\\-é日]{1,7}");
    patterns.extend(["*", "**", "a*b", "*a", "[a]*", "\\%*", "_", "A*"].map(str::to_owned));
    patterns.dedup();
    let mut names = texts(&mut runner, NAMES, r"[aAbß%_\[\]\?\^\\\-é日\*]{1,6}");
    // Names that match are rare among such texts: fill the stars of patterns.
    names.extend(patterns.iter().map(|pattern| pattern.replace('*', "ab")).filter(|name| !names.contains(name)).collect::<Vec<_>>());
    names.sort();
    names.dedup();
    // One target for each pattern shows whether it matches, one for all which of them is first.
    let alone = patterns.iter().enumerate().map(|(index, pattern)| (format!("alone-{index}"), format!("@t{index}"), pattern.clone()));
    let together = patterns.iter().enumerate().map(|(index, pattern)| (format!("z{index}"), "@all".to_owned(), pattern.clone()));
    let gates: Vec<_> = alone.chain(together).collect();
    for TestStore { store, .. } in &stores().await {
        world(store, &names, &gates).await;
        let mut matched = 0;
        for (index, name) in names.iter().enumerate() {
            let found = all_in_force(store.reader(), &format!("m{index}")).await.unwrap();
            for (id, target, pattern) in gates.iter().filter(|(_, target, _)| target != "@all") {
                let here = found.iter().any(|gate| gate.target == *target);
                assert_eq!(here, glob::matches(pattern, name), "{:?}: {pattern:?} on {name:?} ({id})", store.engine());
                matched += usize::from(here);
            }
            let covering = gates.iter().filter(|(_, target, pattern)| target == "@all" && glob::matches(pattern, name));
            let first = covering.max_by_key(|(id, _, pattern)| (specificity(pattern), id.clone())).map(|(id, _, _)| id.as_str());
            let here = found.iter().find(|gate| gate.target == "@all").map(|gate| gate.gate_id.as_str());
            assert_eq!(here, first, "{:?}: {name:?}", store.engine());
        }
        assert!(matched > 500, "only {matched} matches show little");
    }
}
