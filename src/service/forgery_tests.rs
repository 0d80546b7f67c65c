//! Rows that were written past the server: none is signed, each is told, and the log goes on.

use sea_orm::ConnectionTrait;

use crate::contract::v1;
use crate::domain::ledger::{LedgerKey, REFUSED_ENTRY, RowKey};
use crate::service::ledger::tests::{House, on_both_engines, row};
use crate::service::list_ledger_entries;
use crate::store::{Engine, ledger as rows, sql};

/// An approval that never happened, made of a row that did, with its code.
const FORGED: &str = "INSERT INTO ledger_entries SELECT 900, 'f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0', workspace_id, time, actor_id, 'mallory', {rest} \
                      FROM ledger_entries WHERE id = 1";
/// Gives it the next position.
const PLACED: &str = "INSERT INTO ledger_positions SELECT MAX(position) + 1, 900 FROM ledger_positions";

/// Plain statements with all triggers in place.
async fn plain(house: &House, statements: &[&str]) {
    let on = house.store().migration_connection();
    for statement in statements {
        let columns = "SELECT * FROM ledger_entries LIMIT 1";
        let names = on.query_one_raw(sea_orm::Statement::from_string(on.get_database_backend(), columns)).await.unwrap().unwrap();
        let rest = names.column_names().split_off(6).join(", ");
        on.execute_unprepared(&statement.replace("{rest}", &rest)).await.unwrap();
    }
}

async fn actors(house: &House) -> Vec<(i64, String, String)> {
    let call = house.own_call("ListLedgerEntries");
    let listed = list_ledger_entries(&call, v1::ListLedgerEntriesRequest { max_results: 1_000, ..Default::default() }).await.unwrap();
    listed.entries.into_iter().map(|entry| (entry.position, entry.actor_name, entry.action)).collect()
}

async fn is_kept_out(house: House, forge: &[&str]) {
    house.grow(3).await;
    plain(&house, forge).await;
    assert!(actors(&house).await.iter().all(|(_, actor, _)| actor != "mallory"), "what is not the server's own is never shown");
    let early = house.report(None).await;
    assert!(!early.sound() && early.to_string().contains("f0f0f0"), "{early}");
    assert_eq!(house.store().authentic_end().await.unwrap(), 3, "nor streamed");
    house.record(row("CreateRun", "run", "genuine", "0")).await;
    house.checkpoint().await;
    house.grow(2).await;

    let listed = actors(&house).await;
    assert_eq!(listed.iter().map(|(position, ..)| *position).collect::<Vec<_>>(), (0..7).collect::<Vec<_>>(), "no gap");
    assert!(listed.iter().all(|(_, actor, _)| actor != "mallory"), "{listed:?}");
    assert_eq!(listed.iter().filter(|(.., action)| action == REFUSED_ENTRY).count(), 1, "{listed:?}");
    assert_eq!(house.store().authentic_end().await.unwrap(), 7);
    let report = house.report(None).await;
    assert!(report.sound() && report.vouched() && report.refused == 1, "{report}");
    let at = report.first_refused.unwrap();
    assert!(report.to_string().contains(&format!("as row {at} tells")), "{report}");
    let told = rows::at_position(house.store().reader(), at.cast_signed()).await.unwrap().unwrap().entry;
    assert_eq!((told.object_id.as_str(), told.object_name.as_str()), ("900", "f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0"));
    assert!(told.payload.unwrap().contains("mallory"), "it says what the refused row claimed");
}

on_both_engines!(a_forged_row_with_a_position_is_kept_out);
async fn a_forged_row_with_a_position_is_kept_out(house: House) {
    is_kept_out(house, &[FORGED, PLACED]).await;
}

on_both_engines!(a_forged_row_that_waits_is_kept_out);
async fn a_forged_row_that_waits_is_kept_out(house: House) {
    house.grow(0).await;
    let on = house.store().migration_connection();
    assert!(on.execute_unprepared("INSERT INTO ledger_positions VALUES (1000000, 1)").await.is_err(), "there are no gaps to make");
    is_kept_out(house, &[FORGED]).await;
}

on_both_engines!(a_row_changed_before_it_was_signed_is_kept_out);
async fn a_row_changed_before_it_was_signed_is_kept_out(house: House) {
    house.grow(2).await;
    house.record(row("CreateRun", "run", "changed", "0")).await;
    house.record(row("CreateRun", "run", "genuine", "0")).await;
    house.store().tend_ledger(&house.access.keys().ledger, false).await.unwrap();
    house.tamper("UPDATE ledger_entries SET actor_name = 'mallory' WHERE object_name = 'changed'").await;
    house.checkpoint().await;
    let report = house.report(None).await;
    assert!(report.sound() && report.first_refused == Some(2) && report.entries == 4, "{report}");
    assert!(actors(&house).await.iter().all(|(_, actor, _)| actor != "mallory"));
}

on_both_engines!(what_waits_twice_or_does_not_exist_stops_nothing);
async fn what_waits_twice_or_does_not_exist_stops_nothing(house: House) {
    house.grow(2).await;
    plain(&house, &["INSERT INTO ledger_pending VALUES (1)"]).await;
    if house.store().engine() == Engine::Sqlite {
        house.tamper("INSERT INTO ledger_pending VALUES (4711)").await;
    }
    house.grow(2).await;
    let report = house.report(None).await;
    assert!(report.sound() && report.vouched(), "{report}");
    let waiting: i64 = sql::one(house.store().reader(), "SELECT COUNT(*) FROM ledger_pending", []).await.unwrap().get(0).unwrap();
    assert_eq!(waiting, 0);
}

on_both_engines!(the_place_of_a_row_goes_to_nothing_but_its_refusal);
async fn the_place_of_a_row_goes_to_nothing_but_its_refusal(house: House) {
    house.grow(3).await;
    house.record(row("CreateRun", "run", "not signed yet", "0")).await;
    house.store().tend_ledger(&house.access.keys().ledger, false).await.unwrap();
    plain(&house, &[FORGED]).await;
    let on = house.store().migration_connection();
    for change in ["DELETE FROM ledger_pending", "UPDATE ledger_pending SET entry = 1 WHERE entry = 900"] {
        let refused = on.execute_unprepared(change).await.unwrap_err().to_string();
        assert!(refused.contains("a row waits until it has its position"), "{change}: {refused}");
    }
    for change in [
        "UPDATE ledger_positions SET entry = 900 WHERE position = 3",
        "UPDATE ledger_positions SET entry = 900 WHERE position = 1",
        "UPDATE ledger_positions SET position = 9 WHERE position = 3",
        "DELETE FROM ledger_positions WHERE position = 3",
    ] {
        let refused = on.execute_unprepared(change).await.unwrap_err().to_string();
        assert!(refused.contains("ledger_positions only grows"), "{change}: {refused}");
    }
}

// Another server's key, as of one who restored an old master key, writes nothing that this one signs.
on_both_engines!(a_row_under_another_key_is_kept_out);
async fn a_row_under_another_key_is_kept_out(house: House) {
    house.grow(2).await;
    let forged = row("CreateRun", "run", "forged", "0");
    let code = RowKey::new(&[1; 32]).code(&forged.leaf_bytes());
    house.record(forged).await;
    let (code, id) = (hex::encode(code), 3);
    let hex = if house.store().engine() == Engine::Sqlite { format!("x'{code}'") } else { format!("'\\x{code}'") };
    house.tamper(&format!("UPDATE ledger_entries SET code = {hex} WHERE id = {id}")).await;
    house.checkpoint().await;
    let report = house.report(None).await;
    assert!(report.sound() && report.refused == 1, "{report}");
}

on_both_engines!(a_running_server_signs_nothing_on_a_log_that_was_cut);
async fn a_running_server_signs_nothing_on_a_log_that_was_cut(house: House) {
    let key = || LedgerKey::parse(&house.access.keys().ledger_verifier).unwrap();
    let mut signing = super::Signing::default();
    house.grow(5).await;
    signing.keep_newest(house.store(), key()).await.unwrap();
    house.grow(4).await;
    assert!(signing.may_go_on(house.store(), &key()).await.unwrap(), "a longer log goes on");
    signing.keep_newest(house.store(), key()).await.unwrap();
    let hashes = crate::domain::ledger::stored_count(5);
    house
        .tamper(&format!(
            "DELETE FROM ledger_positions WHERE position >= 5; DELETE FROM ledger_entries WHERE id NOT IN (SELECT entry FROM ledger_positions); \
             DELETE FROM ledger_checkpoints WHERE size > 5; DELETE FROM ledger_hashes WHERE idx >= {hashes};"
        ))
        .await;
    assert!(!signing.may_go_on(house.store(), &key()).await.unwrap(), "a shorter one does not");
    signing.keep_newest(house.store(), key()).await.unwrap();
    assert!(!signing.may_go_on(house.store(), &key()).await.unwrap(), "and the shorter one is not taken up");
}
