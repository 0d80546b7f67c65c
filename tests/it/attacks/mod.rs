//! Attacks by raw SQL as a table: each has a name, what is lawful before it, and the statements of which one must be
//! refused by a named rule. All are tried, and all that get through are told.

use sea_orm::{ConnectionTrait, TransactionTrait};

use crate::house::Server;
use crate::promotion_sql::{APPROVE, BOB, CAROL, Fortress, decide, gate, hold, moves};

mod gates;
mod imports;
mod models;
mod moves;
mod persons;
mod records;
mod replaced;

on_both_engines! {
    what_is_lawful_still_goes,
}

pub(super) struct Attack {
    name: String,
    /// Names of rules, or words of the engine's own checks.
    by: &'static [&'static str],
    lawful: Vec<String>,
    attack: Vec<String>,
}

pub(super) fn attack<A: Into<String>, B: Into<String>>(
    name: impl Into<String>,
    by: &'static [&'static str],
    lawful: impl IntoIterator<Item = A>,
    attack: impl IntoIterator<Item = B>,
) -> Attack {
    Attack {
        name: name.into(),
        by,
        lawful: lawful.into_iter().map(Into::into).collect(),
        attack: attack.into_iter().map(Into::into).collect(),
    }
}

pub(super) const NOTHING: [&str; 0] = [];
/// SQLite's and PostgreSQL's words for a CHECK.
pub(super) const CHECK: &[&str] = &["CHECK constraint", "check constraint"];

/// Tries one; says what went wrong.
async fn outcome(fortress: &Fortress, attack: &Attack) -> Result<(), String> {
    let tx = fortress.sql.begin().await.expect("a transaction");
    for step in &attack.lawful {
        tx.execute_unprepared(step).await.map_err(|error| format!("is lawful, but {error}: {step}"))?;
    }
    let mut outcome = Err("GOT THROUGH".to_owned());
    for step in &attack.attack {
        if let Err(error) = tx.execute_unprepared(step).await {
            let text = error.to_string();
            let named = attack.by.iter().any(|rule| text.contains(rule));
            outcome = if named { Ok(()) } else { Err(format!("refused, but not by {:?}: {text}", attack.by)) };
            break;
        }
    }
    tx.rollback().await.expect("a rollback");
    outcome
}

pub(super) async fn all_refused(fortress: &Fortress, attacks: Vec<Attack>) {
    let mut told = Vec::new();
    for attack in &attacks {
        if let Err(why) = outcome(fortress, attack).await {
            told.push(format!("{}: {why}", attack.name));
        }
    }
    println!("{:?}: {} attacks, {} refused", fortress.db, attacks.len(), attacks.len() - told.len());
    assert!(told.is_empty(), "{:?}: {} of {} attacks:\n{}", fortress.db, told.len(), attacks.len(), told.join("\n"));
}

/// The closed model's version reaches Production as it should: two approvals, the move, the holding.
pub(super) fn promoted() -> Vec<String> {
    let there = moves("(1, 't1', 'c', 'w1', 'Production', 'None', 'request', 'r', NULL, 'bob', 'bob', 2)");
    let set = "UPDATE model_versions SET current_stage = 'Production', transition_id = 1 WHERE uid = 'w1'";
    vec![decide(BOB), decide(CAROL), APPROVE.to_owned(), there, set.to_owned(), hold("('c', 'Production', 'w1', 10, NULL, 1)")]
}

pub(super) fn stage(version: &str, stage: &str, transition: u32) -> String {
    format!("UPDATE model_versions SET current_stage = '{stage}', transition_id = {transition} WHERE uid = '{version}'")
}

pub(super) fn direct(model: &str, version: &str, target: &str, from: &str, actor: &str) -> String {
    moves(&format!("(1, 't1', '{model}', '{version}', '{target}', '{from}', 'direct', NULL, NULL, '{actor}', '{actor}', 2)"))
}

async fn what_is_lawful_still_goes(server: Server) {
    let fortress = Fortress::of(server).await;
    let promoted = promoted();
    fortress.allows(&promoted.iter().map(String::as_str).collect::<Vec<_>>()).await;
    // A stricter gate may take the place of another, a gate may be loosened by its next version and used by others.
    fortress.allows(&[&gate(("very", 1), "Production", "closed[1]", 3, false, true, "bob")]).await;
    fortress
        .allows(&[
            &gate(("closed", 2), "Production", "closed[1]*", 1, true, true, "bob"),
            &direct("c", "w1", "Production", "None", "carol"),
        ])
        .await;
    // A gate is given up where nothing is held or asked for.
    fortress
        .allows(&[
            &gate(("closed-alias", 2), "@champion", "closed[1]*", 1, true, false, "bob"),
            &direct("c", "w1", "@champion", "", "carol"),
        ])
        .await;
    // The name of what was promoted goes to another model by the hand of a user.
    fortress.allows(&["UPDATE registered_models SET name = 'other', canonical_name = 'other' WHERE uid = 'm'"]).await;
}
