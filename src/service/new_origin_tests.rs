//! A ledger that was restored from a backup goes on under a new origin and says so.

use futures::TryStreamExt;

use super::*;
use crate::contract::v1;
use crate::domain::ledger::{self, Line, Report, Verifier, read_export};
use crate::service::ledger::tests::{House, on_both_engines, row};
use crate::service::{check_tail, export_ledger, get_checkpoint};

/// Takes the database back to what it was with so many rows.
async fn restore(house: &House, rows: u64) {
    let hashes = ledger::stored_count(rows);
    house
        .tamper(&format!(
            "DELETE FROM ledger_positions WHERE position >= {rows}; \
             DELETE FROM ledger_entries WHERE id NOT IN (SELECT entry FROM ledger_positions); \
             DELETE FROM ledger_checkpoints WHERE size > {rows}; DELETE FROM ledger_hashes WHERE idx >= {hashes};"
        ))
        .await;
}

async fn take_up_keys(house: &House) {
    let epoch = house.access.refresh().await.unwrap().epoch;
    house.access.follow_keys(epoch).await.unwrap();
}

fn words(report: &Report) -> String {
    report.to_string()
}

on_both_engines!(a_restored_ledger_goes_on_and_admits_it);
async fn a_restored_ledger_goes_on_and_admits_it(house: House) {
    house.grow(5).await;
    house.grow(7).await;
    let (key, origin) = (house.access.keys().ledger_verifier.clone(), house.access.keys().ledger_origin.clone());
    let held = house.newest_note().await;
    house.grow(4).await;
    let lost = house.newest_note().await;
    restore(&house, 12).await;
    assert!(house.report(None).await.sound(), "the database alone does not tell");
    let nothing = start_new_origin(&house.access, "a mistake", Some(&held)).await;
    assert!(matches!(&nothing, Err(Error::Precondition { reason: "NOTHING_LOST", .. })), "{nothing:?}");

    let first = start_new_origin(&house.access, "disk lost", Some(&lost)).await.unwrap();
    let begun = LedgerKey::parse(&key).unwrap().verify(&first).unwrap();
    assert!(begun.size == 13 && begun.origin.starts_with(&format!("{origin}/2-")), "{begun:?}");
    // A server that still has the old key signs nothing; once it has the new one, it goes on.
    house.record(row("CreateRun", "run", "afterwards", "0")).await;
    house.checkpoint().await;
    assert_eq!(house.newest_note().await, first);
    take_up_keys(&house).await;
    house.checkpoint().await;
    house.grow(3).await;

    let report = house.report(None).await;
    assert!(report.sound() && report.entries == 17 && report.checkpointed == 17, "{report}");
    let restart = &report.restarts[0];
    assert_eq!((restart.position, restart.lost.clone()), (12, Some((origin.clone(), 16))), "{report}");
    assert!(words(&report).contains("disk lost"), "{report}");
    for (note, sound) in [(&held, true), (&first, true), (&lost, false)] {
        let report = house.report(Some(note)).await;
        assert_eq!(report.sound(), sound, "{report}");
    }
    let found = house.report(Some(&lost)).await.first_bad.unwrap();
    assert!(found.position == Some(12) && found.what.contains("the ledger admits it"), "{found}");
    // Each checkpoint is shown with the key of its own origin.
    for (size, origin) in [(12, &origin), (13, &begun.origin)] {
        let shown = get_checkpoint(&house.own_call("GetCheckpoint"), v1::GetCheckpointRequest { tree_size: Some(size) }).await.unwrap();
        assert!(ledger::verify_note(&shown.note, &shown.verifier_key).is_ok_and(|note| note.origin == *origin));
    }
    an_export_says_so_too(&house, &key).await;
}

/// With a key that was kept before the restart, and with the present one.
async fn an_export_says_so_too(house: &House, kept_key: &str) {
    let stream = export_ledger(&house.own_call("ExportLedger"), v1::ExportLedgerRequest {}).await.unwrap();
    let parts: Vec<_> = stream.try_collect().await.unwrap();
    let text: Vec<u8> = parts.iter().flat_map(|part| part.chunk.to_vec()).collect();
    for key in [kept_key, &house.access.keys().ledger_verifier] {
        let mut verifier = Verifier::new(key).unwrap();
        read_export(text.as_slice(), |line| match line {
            Line::Entry { position, entry } => verifier.row(position, &entry, &[]),
            Line::Checkpoint { note } => verifier.checkpoint(&note),
            Line::Text { sha256, text } => verifier.text(&sha256, &text),
            Line::Begin { .. } | Line::End { .. } => {}
        })
        .unwrap();
        let report = verifier.finish();
        assert!(report.sound() && report.checkpointed == 17 && report.restarts.len() == 1, "{report}");
    }
}

on_both_engines!(origins_are_never_given_twice);
async fn origins_are_never_given_twice(house: House) {
    house.grow(5).await;
    let second = start_new_origin(&house.access, "once", None).await.unwrap();
    take_up_keys(&house).await;
    house.grow(4).await;
    let lost = house.newest_note().await;
    // Restored from before the second origin: the third names it, though no row of it is left.
    restore(&house, 5).await;
    let key = LedgerKey::parse(&house.access.keys().ledger_verifier).unwrap();
    let again = start_new_origin(&house.access, "twice", Some(&lost)).await.unwrap();
    let (second, third) = (key.verify(&second).unwrap().origin, key.verify(&again).unwrap().origin);
    assert!(second != third && third.contains("/3-"), "{second} {third}");
    let report = house.report(None).await;
    assert!(report.sound() && report.restarts.len() == 1, "{report}");
    let found = house.report(Some(&lost)).await.first_bad.unwrap();
    assert!(found.position == Some(5) && found.what.contains("admits it"), "{found}");
}

on_both_engines!(a_row_alone_starts_no_origin);
async fn a_row_alone_starts_no_origin(house: House) {
    house.grow(3).await;
    let mut forged = row("x", "ledger", "x", "");
    forged.action = NEW_ORIGIN.to_owned();
    forged.object_id = format!("{}/2-00000000", house.access.keys().ledger_origin);
    house.record(forged).await;
    house.grow(1).await;
    let report = house.report(None).await;
    assert!(!report.sound() && words(&report).contains("signs"), "the old origin cannot sign behind it: {report}");
}

on_both_engines!(a_cut_tail_is_seen_at_the_start);
async fn a_cut_tail_is_seen_at_the_start(house: House) {
    house.grow(5).await;
    house.grow(7).await;
    let key = house.access.keys().ledger_verifier.clone();
    assert!(check_tail(house.store(), &key).await.is_ok());
    house.record(row("CreateRun", "run", "not signed yet", "0")).await;
    assert!(check_tail(house.store(), &key).await.is_ok());
    let cut = "DELETE FROM ledger_positions WHERE position >= 9; DELETE FROM ledger_entries WHERE id NOT IN (SELECT entry FROM ledger_positions);";
    house.tamper(cut).await;
    let refused = check_tail(house.store(), &key).await.unwrap_err().to_string();
    assert!(refused.contains("covers 12 rows, only 9 are there"), "{refused}");
}

on_both_engines!(a_forged_tail_is_seen_at_the_start);
async fn a_forged_tail_is_seen_at_the_start(house: House) {
    house.grow(8).await;
    let key = house.access.keys().ledger_verifier.clone();
    house.tamper("UPDATE ledger_entries SET actor_name = 'bob' WHERE id = (SELECT entry FROM ledger_positions WHERE position = 7)").await;
    let refused = check_tail(house.store(), &key).await.unwrap_err().to_string();
    assert!(refused.contains("row 7"), "{refused}");
}
