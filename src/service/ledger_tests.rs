//! The ledger over a database: proofs, lists, export, and every way to tamper that we know.

use std::sync::Arc;

use futures::TryStreamExt;
use sea_orm::ConnectionTrait;
use tlog_tiles::{check_record, check_tree};

use super::super::verify::{verifier, verify};
use super::*;
use crate::access::{Access, Caller, ClientAddress, Credential, MasterKey, Subject, entry};
use crate::clock;
use crate::contract::operation_by_path;
use crate::domain::ledger::{Entry, Line, Report, read_export};
use crate::store::sqlite_url;

/// A database with its keys, and nobody in it.
pub(in crate::service) struct House {
    pub access: Arc<Access>,
    folder: tempfile::TempDir,
    url: String,
}

impl House {
    /// On SQLite in a folder of its own.
    pub async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = sqlite_url(&folder.path().join("stagegate.db"));
        Self::open(folder, url).await
    }

    /// On a new database of the PostgreSQL server of `STAGEGATE_TEST_POSTGRES_URL`.
    pub async fn postgres() -> Self {
        let server = std::env::var("STAGEGATE_TEST_POSTGRES_URL").expect("STAGEGATE_TEST_POSTGRES_URL names a server");
        let name = format!("ledger_{}", clock::new_uid());
        let admin = sea_orm::Database::connect(&server).await.unwrap();
        admin.execute_unprepared(&format!("CREATE DATABASE {name}")).await.unwrap();
        let mut url = url::Url::parse(&server).unwrap();
        url.set_path(&name);
        Self::open(tempfile::tempdir().unwrap(), url.into()).await
    }

    async fn open(folder: tempfile::TempDir, url: String) -> Self {
        let store = Store::open(&url).await.unwrap();
        let access = Access::open(store, MasterKey::load(&folder.path().join("master.key"), false).unwrap()).await.unwrap();
        Self { access, folder, url }
    }

    pub fn store(&self) -> &Store {
        &self.access.store
    }

    pub fn call(&self, method: &str, caller: Caller) -> Call {
        let operation = operation_by_path(&format!("/stagegate.v1.LedgerService/{method}")).unwrap();
        self.access.own_call(operation, caller)
    }

    pub fn own_call(&self, method: &str) -> Call {
        self.call(method, Caller::without_user(Credential::System, ""))
    }

    /// Writes a row about an object, as an operation would.
    pub async fn record(&self, row: Entry) {
        self.store().write(row, |tx, row| Box::pin(async move { tx.record(row).await })).await.unwrap();
    }

    pub async fn grow(&self, rows: u64) {
        for number in 0..rows {
            self.record(row("CreateRun", "run", &number.to_string(), "0")).await;
        }
        self.checkpoint().await;
    }

    pub async fn checkpoint(&self) {
        while self.store().tend_ledger(&self.access.keys().ledger, true).await.unwrap() {}
    }

    pub async fn report(&self, against: Option<&str>) -> Report {
        verify(self.store(), &self.access.keys().ledger_verifier, against, Vec::new(), false).await.unwrap()
    }

    pub async fn newest_note(&self) -> String {
        rows::newest_checkpoint(self.store().reader()).await.unwrap().unwrap().1
    }

    /// Changes the database past its triggers and constraints, as one does who holds the file.
    pub async fn tamper(&self, change: &str) {
        let sqlite = self.store().engine() == Engine::Sqlite;
        let mut text = if sqlite { "PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON;".to_owned() } else { String::new() };
        for table in ["entries", "positions", "hashes", "checkpoints"] {
            text += &if sqlite {
                ["no_update", "no_delete", "wait"].map(|name| format!("DROP TRIGGER IF EXISTS ledger_{table}_{name};")).concat()
            } else {
                format!("ALTER TABLE ledger_{table} DISABLE TRIGGER ALL;")
            };
        }
        let connection = sea_orm::Database::connect(&self.url).await.unwrap();
        connection.execute_unprepared(&(text + change)).await.unwrap();
        if !sqlite {
            // The server's own rows need them.
            connection.execute_unprepared("ALTER TABLE ledger_entries ENABLE TRIGGER ALL").await.unwrap();
        }
        connection.close().await.unwrap();
    }
}

pub(in crate::service) fn row(method: &str, kind: &str, name: &str, scope: &str) -> Entry {
    let caller = Caller::without_user(Credential::System, "ann");
    let subject = Subject { kind, id: scope, name, scope };
    entry(
        &caller,
        &format!("stagegate.v1.TrackingService/{method}"),
        "r",
        ClientAddress::NONE,
        clock::now_ms(),
        &subject,
        &serde_json::json!({"n": name}),
    )
}

/// Runs a test on SQLite, and, when asked for ignored tests, on PostgreSQL.
macro_rules! on_both_engines {
    ($test:ident) => {
        mod $test {
            #[tokio::test(flavor = "multi_thread")]
            async fn sqlite() {
                super::$test(super::House::sqlite().await).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            #[ignore = "needs STAGEGATE_TEST_POSTGRES_URL"]
            async fn postgres() {
                super::$test(super::House::postgres().await).await;
            }
        }
    };
}
pub(in crate::service) use on_both_engines;

on_both_engines!(proofs_hold_against_the_signed_roots);
async fn proofs_hold_against_the_signed_roots(house: House) {
    for rows in [1, 2, 4, 6] {
        house.grow(rows).await;
    }
    let digest = |hex: &String| Hash(hex::decode(hex).unwrap().try_into().unwrap());
    let mut signed = Vec::new();
    for size in [1_u64, 3, 7, 13] {
        let request = v1::GetCheckpointRequest { tree_size: Some(size.cast_signed()) };
        let checkpoint = get_checkpoint(&house.own_call("GetCheckpoint"), request).await.unwrap();
        assert!(ledger::verify_note(&checkpoint.note, &checkpoint.verifier_key).is_ok());
        let root = digest(&checkpoint.root_hash);
        for position in 0..size {
            let request = v1::GetInclusionProofRequest { position: position.cast_signed(), tree_size: Some(size.cast_signed()) };
            let proof = get_inclusion_proof(&house.own_call("GetInclusionProof"), request).await.unwrap();
            let row = rows::at_position(house.store().reader(), position.cast_signed()).await.unwrap().unwrap();
            let path: Vec<Hash> = proof.hashes.iter().map(digest).collect();
            check_record(&path, size, root, position, row.entry.leaf_hash()).unwrap();
            assert_eq!((proof.root_hash, digest(&proof.leaf_hash)), (checkpoint.root_hash.clone(), row.entry.leaf_hash()));
        }
        for (from, old) in &signed {
            let request =
                v1::GetConsistencyProofRequest { from_tree_size: u64::cast_signed(*from), to_tree_size: Some(size.cast_signed()) };
            let proof = get_consistency_proof(&house.own_call("GetConsistencyProof"), request).await.unwrap();
            let path: Vec<Hash> = proof.hashes.iter().map(digest).collect();
            check_tree(&path, size, root, *from, *old).unwrap();
        }
        signed.push((size, root));
    }
    let beyond = v1::GetInclusionProofRequest { position: 13, tree_size: None };
    assert!(matches!(get_inclusion_proof(&house.own_call("GetInclusionProof"), beyond).await, Err(Error::NotFound { .. })));
    let beyond = v1::GetConsistencyProofRequest { from_tree_size: 1, to_tree_size: Some(14) };
    assert!(matches!(get_consistency_proof(&house.own_call("GetConsistencyProof"), beyond).await, Err(Error::NotFound { .. })));
    let report = house.report(None).await;
    assert!(report.sound() && report.entries == 13 && report.checkpoints == 4, "{report}");
}

on_both_engines!(lists_page_by_position_and_filter);
async fn lists_page_by_position_and_filter(house: House) {
    for (method, name, scope) in
        [("CreateRegisteredModel", "old", "m1"), ("RenameRegisteredModel", "new", "m1"), ("CreateRegisteredModel", "old", "m2")]
    {
        house.record(row(method, "registered_model", name, scope)).await;
    }
    house.record(row("CreateModelVersion", "model_version", "new/1", "m1")).await;
    let mut refused = row("CreateRun", "registered_model", "old", "");
    refused.outcome = Outcome::Denied;
    house.record(refused).await;
    house.grow(7).await;
    let call = house.own_call("ListLedgerEntries");
    let listed = async |filter: v1::LedgerFilter| {
        let mut request = v1::ListLedgerEntriesRequest { filter: Some(filter), max_results: 2, ..Default::default() };
        let mut positions = Vec::new();
        loop {
            let page = list_ledger_entries(&call, request.clone()).await.unwrap();
            positions.extend(page.entries.iter().map(|entry| entry.position));
            if page.next_page_token.is_empty() {
                return positions;
            }
            request.page_token = page.next_page_token;
        }
    };
    let filter = v1::LedgerFilter::default;
    assert_eq!(listed(filter()).await, (0..12).collect::<Vec<_>>());
    assert_eq!(listed(v1::LedgerFilter { registered_model: "old".into(), ..filter() }).await, [0, 1, 2, 3, 4]);
    assert_eq!(listed(v1::LedgerFilter { registered_model: "new".into(), ..filter() }).await, [0, 1, 3]);
    assert_eq!(listed(v1::LedgerFilter { action: "CreateModelVersion".into(), ..filter() }).await, [3]);
    assert_eq!(listed(v1::LedgerFilter { action: "Create_odelVersion".into(), ..filter() }).await, [0_i64; 0]);
    assert_eq!(listed(v1::LedgerFilter { outcome: v1::LedgerOutcome::Denied.into(), ..filter() }).await, [4]);
    assert_eq!(listed(v1::LedgerFilter { object_id: "m2".into(), ..filter() }).await, [2]);
    assert_eq!(listed(v1::LedgerFilter { until_time: Some(0), ..filter() }).await, [0_i64; 0]);
    let tail = v1::ListLedgerEntriesRequest { from_position: 9, ..Default::default() };
    assert_eq!(list_ledger_entries(&call, tail).await.unwrap().entries.len(), 3);
    let foreign = v1::ListLedgerEntriesRequest { page_token: "AAAA".into(), ..Default::default() };
    assert!(matches!(list_ledger_entries(&call, foreign).await, Err(Error::Invalid(_))));
}

on_both_engines!(an_export_verifies_without_the_server);
async fn an_export_verifies_without_the_server(house: House) {
    house.grow(5).await;
    house.grow(1_203).await;
    house.record(row("CreateRun", "run", "not covered yet", "0")).await;
    house.store().tend_ledger(&house.access.keys().ledger, false).await.unwrap();
    let stream = crate::service::export_ledger(&house.own_call("ExportLedger"), v1::ExportLedgerRequest {}).await.unwrap();
    let chunks: Vec<_> = stream.try_collect().await.unwrap();
    assert!(chunks.iter().all(|part| part.chunk.len() <= 1024 * 1024));
    let text: Vec<u8> = chunks.iter().flat_map(|part| part.chunk.to_vec()).collect();
    let kept = house.newest_note().await;
    let mut checked = verifier(&house.access.keys().ledger_verifier, Some(&kept)).unwrap();
    let mut end = None;
    read_export(text.as_slice(), |line| match line {
        Line::Begin { .. } => {}
        Line::Entry { position, entry } => checked.row(position, &entry, &[]),
        Line::Text { sha256, text } => checked.text(&sha256, &text),
        Line::Checkpoint { note } => checked.checkpoint(&note),
        Line::End { entries } => end = Some(entries),
    })
    .unwrap();
    let report = checked.finish();
    assert!(report.sound(), "{report}");
    assert_eq!((end, report.entries, report.checkpointed, report.checkpoints), (Some(1_209), 1_209, 1_208, 2));
}

on_both_engines!(a_verification_holds_nothing_back);
async fn a_verification_holds_nothing_back(house: House) {
    house.grow(1_200).await;
    let kept = house.newest_note().await;
    let verifier = verifier(&house.access.keys().ledger_verifier, Some(&kept)).unwrap();
    let mut check = crate::store::ledger_check::Check::begin(house.store().clone(), verifier, false).await.unwrap();
    assert!(check.next().await.unwrap());
    assert_eq!(check.progress(), (500, 1_200));
    house.grow(30).await;
    if house.store().engine() == Engine::Sqlite {
        // A reader that held a transaction would keep the log from being emptied.
        let on = house.store().migration_connection();
        let busy: i64 = crate::store::sql::one(on, "PRAGMA wal_checkpoint(TRUNCATE)", []).await.unwrap().get(0).unwrap();
        assert_eq!(busy, 0);
    } else {
        let on = house.store().reader();
        let open = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
        let open: i64 = crate::store::sql::one(on, open, []).await.unwrap().get(0).unwrap();
        assert_eq!(open, 0);
    }
    while check.next().await.unwrap() {}
    let report = check.finish();
    assert!(report.sound() && report.entries == 1_200, "{report}");
}

on_both_engines!(a_verification_tells_its_verdict_last);
async fn a_verification_tells_its_verdict_last(house: House) {
    house.grow(20).await;
    let request = v1::VerifyLedgerRequest { against_note: house.newest_note().await, state: false };
    let told = crate::service::verify_ledger(&house.own_call("VerifyLedger"), request).await.unwrap();
    let told: Vec<_> = told.try_collect().await.unwrap();
    let (last, progress) = told.split_last().unwrap();
    assert!(last.done && last.sound && last.entries == 20 && last.total_entries == 20, "{last:?}");
    assert!(progress.iter().all(|told| !told.done && !told.sound));
}

/// A change of the database, the row that it must be named by, and words of the finding.
type Case = (&'static str, Option<u64>, &'static str);

/// What either engine lets one do who holds it.
const CHANGES: [Case; 11] = [
    (
        "UPDATE ledger_entries SET actor_name = 'bob' WHERE id = (SELECT entry FROM ledger_positions WHERE position = 6)",
        Some(6),
        "does not match its hash",
    ),
    (
        "UPDATE ledger_entries SET time = time + 1 WHERE id = (SELECT entry FROM ledger_positions WHERE position = 6)",
        Some(6),
        "does not match its hash",
    ),
    (
        "UPDATE ledger_entries SET leaf_hash = substr(leaf_hash, 2) WHERE id = (SELECT entry FROM ledger_positions WHERE position = 6)",
        Some(6),
        "cannot be read",
    ),
    (
        "UPDATE ledger_entries SET payload = '{}' WHERE id = (SELECT entry FROM ledger_positions WHERE position = 6)",
        Some(6),
        "the payload was changed",
    ),
    (
        "UPDATE ledger_entries SET payload = NULL WHERE id = (SELECT entry FROM ledger_positions WHERE position = 6)",
        Some(6),
        "the payload was removed",
    ),
    ("DELETE FROM ledger_entries WHERE id = (SELECT entry FROM ledger_positions WHERE position = 6)", Some(6), "missing"),
    ("DELETE FROM ledger_entries WHERE id = (SELECT entry FROM ledger_positions WHERE position = 11)", Some(11), "missing"),
    ("DELETE FROM ledger_positions WHERE position = 6", Some(6), "missing"),
    ("DELETE FROM ledger_positions WHERE position = 11", Some(11), "missing"),
    ("DELETE FROM ledger_checkpoints WHERE size = 12", Some(5), "hashes"),
    (
        "INSERT INTO ledger_entries SELECT 99, 'forged', workspace_id, time, actor_id, actor_name, person_id, on_behalf_of, token_id, credential, \
         request_id, source_address, action, object_kind, object_id, object_name, scope_id, outcome, reason, salt, payload, payload_digest, leaf_hash, code \
         FROM ledger_entries WHERE id = 1",
        None,
        "forged has no position",
    ),
];

/// What only SQLite, whose checks can be switched off and whose columns take any type, lets one do.
const SQLITE_CHANGES: [Case; 5] = [
    (
        "UPDATE ledger_entries SET outcome = 'OQ' WHERE id = (SELECT entry FROM ledger_positions WHERE position = 6)",
        Some(6),
        "cannot be read",
    ),
    ("UPDATE ledger_entries SET actor_name = x'ff' WHERE id = (SELECT entry FROM ledger_positions WHERE position = 6)", Some(6), ""),
    (
        "UPDATE ledger_positions SET position = -7 WHERE position = 7; UPDATE ledger_positions SET position = 7 WHERE position = 8; \
         UPDATE ledger_positions SET position = 8 WHERE position = -7",
        Some(7),
        "does not match its hash",
    ),
    ("UPDATE ledger_hashes SET hash = randomblob(32) WHERE idx = 2", Some(0), "over rows 0 to 1"),
    (
        // In the middle of the signature. One letter for another would change nothing where the note has no such letter.
        "UPDATE ledger_checkpoints SET note = substr(note, 1, length(note) - 24) || 'tamperedtampered' || substr(note, length(note) - 7) \
         WHERE size = 5",
        None,
        "checkpoint",
    ),
];

async fn must_be_named(house: House, (change, position, words): Case) {
    house.grow(5).await;
    house.grow(7).await;
    let before = house.report(None).await;
    assert!(before.sound() && before.checkpointed == 12, "{before}");
    house.tamper(change).await;
    let report = house.report(None).await;
    let found = report.first_bad.as_ref().unwrap_or_else(|| panic!("not found: {change}"));
    assert_eq!(found.position, position, "{change}: {report}");
    assert!(report.to_string().contains(words), "{change}: {report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_of_sqlite_past_the_triggers_is_named() {
    for case in CHANGES.into_iter().chain(SQLITE_CHANGES) {
        must_be_named(House::sqlite().await, case).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs STAGEGATE_TEST_POSTGRES_URL"]
async fn every_change_of_postgres_past_the_triggers_is_named() {
    for case in CHANGES {
        must_be_named(House::postgres().await, case).await;
    }
}

/// One who holds the database recomputes all hashes: of the row, its leaf in the tree, and the tree. What needs the
/// master key, the row's code, they cannot.
#[tokio::test(flavor = "multi_thread")]
async fn recomputed_hashes_are_found_as_far_as_they_go() {
    let hex_of = |hash: Hash| hex::encode(hash.0);
    for whole_tree in [false, true] {
        let house = House::sqlite().await;
        house.grow(5).await;
        house.grow(7).await;
        let kept = house.newest_note().await;
        let mut leaves = Vec::new();
        for position in 0..12 {
            let mut row = rows::at_position(house.store().reader(), position).await.unwrap().unwrap();
            if position == 6 {
                row.entry.actor_name = "bob".into();
            }
            leaves.push(row.entry.leaf_hash());
        }
        let mut change = format!(
            "UPDATE ledger_entries SET actor_name = 'bob', leaf_hash = x'{}' WHERE id = (SELECT entry FROM ledger_positions WHERE position = 6);",
            hex_of(leaves[6])
        );
        let mut known = Hashes::default();
        for (position, leaf) in (0..).zip(&leaves) {
            let hashes = ledger::appended(position, *leaf).run(&known).unwrap();
            for (index, hash) in (ledger::stored_count(position)..).zip(hashes) {
                known.0.insert(index, hash);
                if whole_tree || index == ledger::leaf_index(6) {
                    change += &format!("UPDATE ledger_hashes SET hash = x'{}' WHERE idx = {index};", hex_of(hash));
                }
            }
        }
        house.tamper(&change).await;
        let found = house.report(None).await.first_bad.unwrap();
        assert_eq!(found.position, Some(6), "its code names the row, whatever hashes were recomputed: {found}");
        assert!(!house.report(Some(&kept)).await.sound());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_checkpoint_shows_a_cut_tail_and_another_ledger() {
    let house = House::sqlite().await;
    house.grow(5).await;
    house.grow(7).await;
    let kept = house.newest_note().await;
    assert!(house.report(Some(&kept)).await.sound());
    let cut = format!(
        "DELETE FROM ledger_positions WHERE position >= 5; DELETE FROM ledger_entries WHERE id NOT IN (SELECT entry FROM ledger_positions); \
         DELETE FROM ledger_checkpoints WHERE size > 5; DELETE FROM ledger_hashes WHERE idx >= {};",
        ledger::stored_count(5)
    );
    house.tamper(&cut).await;
    assert!(house.report(None).await.sound(), "nothing in the database tells of a tail that was cut whole");
    let found = house.report(Some(&kept)).await.first_bad.unwrap();
    assert_eq!(found.position, Some(5), "{found}");
    let other = House::sqlite().await;
    other.grow(12).await;
    let found = other.report(Some(&kept)).await.first_bad.unwrap();
    assert!(found.what.contains("not signed by this ledger's key"), "{found}");
    assert!(matches!(
        verify(other.store(), &other.access.keys().ledger_verifier, Some("x"), Vec::new(), false).await,
        Err(Error::Invalid(_))
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_byte_of_the_file_is_named_by_its_row() {
    let house = House::sqlite().await;
    house.record(row("CreateRun", "run", "first", "0")).await;
    house.record(row("CreateRun", "run", "the-needle", "0")).await;
    house.grow(3).await;
    let entry_id = rows::at_position(house.store().reader(), 1).await.unwrap().unwrap().entry.entry_id;
    house.store().migration_connection().execute_unprepared("PRAGMA wal_checkpoint(TRUNCATE)").await.unwrap();
    let House { access, folder, url } = house;
    let key = access.keys().ledger_verifier.clone();
    access.store.migration_connection().clone().close().await.unwrap();
    drop(access);
    // The log is empty: what the file says is what counts.
    let file = folder.path().join("stagegate.db");
    let mut bytes = std::fs::read(&file).unwrap();
    let needle = b"{\"n\":\"the-needle\"}";
    let at: Vec<usize> = bytes.windows(needle.len()).enumerate().filter(|(_, window)| window == needle).map(|(at, _)| at).collect();
    assert!(!at.is_empty(), "the row's text is in the file");
    for at in at {
        bytes[at + 7] ^= 1;
    }
    std::fs::write(&file, bytes).unwrap();
    let store = Store::open_existing(&url).await.unwrap();
    let found = verify(&store, &key, None, Vec::new(), false).await.unwrap().first_bad.unwrap();
    assert_eq!((found.position, found.entry_id), (Some(1), entry_id));
}

#[tokio::test]
async fn a_database_that_is_not_there_cannot_be_checked() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("none.db");
    assert!(Store::open_existing(&sqlite_url(&file)).await.is_err());
    assert!(!file.exists(), "and is not made by asking");
}
