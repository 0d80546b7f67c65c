//! The ledger from outside, when the database was restored or cut.

use std::time::{Duration, Instant};

use sea_orm::ConnectionTrait;
use stagegate::contract::v1;

use crate::house::{Client, Db, Server, bare_command, run_to_its_end};

on_both_engines!(a_new_origin_beside_the_server_is_taken_up, a_server_does_not_go_on_with_a_cut_ledger);

async fn newest(admin: &Client) -> v1::GetCheckpointResponse {
    admin.call("GetCheckpoint", v1::GetCheckpointRequest::default()).await.expect("a checkpoint is shown")
}

/// The newest checkpoint, once it covers more than `size` rows.
async fn grown(admin: &Client, size: i64) -> v1::GetCheckpointResponse {
    let since = Instant::now();
    loop {
        let shown: Result<v1::GetCheckpointResponse, _> = admin.call("GetCheckpoint", v1::GetCheckpointRequest::default()).await;
        match shown {
            Ok(shown) if shown.tree_size > size => return shown,
            _ => assert!(since.elapsed() < Duration::from_secs(20), "no checkpoint beyond {size}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn a_new_origin_beside_the_server_is_taken_up(server: Server) {
    let admin = server.admin().await;
    let kept = grown(&admin, 0).await;
    let file = server.folder().join("kept");
    std::fs::write(&file, &kept.note).expect("a file can be written");
    let file = file.to_str().expect("a path in UTF-8");
    let (done, said) = server.command(&["ledger", "new-origin", "--reason", "for nothing", "--against", file]);
    assert!(!done && said.contains("nothing is lost"), "{said}");
    let (done, first) = server.command(&["ledger", "new-origin", "--reason", "the disk of db-1 was lost"]);
    assert!(done && first.contains("/2-"), "{first}");
    let begun = newest(&admin).await;
    assert_eq!(begun.note, first);
    let request = v1::CreateExperimentRequest { name: "afterwards".to_owned(), ..Default::default() };
    let _: v1::CreateExperimentResponse = admin.call("CreateExperiment", request).await.expect("the server goes on");
    let on = grown(&admin, begun.tree_size).await;
    assert_eq!(on.note.lines().next(), first.lines().next(), "the server signs under the new origin");
    for note in [kept.note, first] {
        let request = v1::VerifyLedgerRequest { against_note: note, state: true };
        let verdict: v1::VerifyLedgerResponse = admin.last("VerifyLedger", request).await.expect("the ledger can be verified");
        assert!(verdict.sound && verdict.report.contains("the disk of db-1 was lost"), "{}", verdict.report);
    }
    let (sound, said) = server.command(&["ledger", "verify", "--against", file]);
    assert!(sound && said.contains("starts the origin"), "{said}");
}

async fn a_server_does_not_go_on_with_a_cut_ledger(mut server: Server) {
    let admin = server.admin().await;
    let _ = server.as_("viewer").await;
    let signed = grown(&admin, 2).await;
    server.stop();
    let sql = server.sql().await;
    let cut = if server.db == Db::Sqlite {
        "DROP TRIGGER ledger_positions_no_delete; DELETE FROM ledger_positions WHERE position >= 1"
    } else {
        "ALTER TABLE ledger_positions DISABLE TRIGGER ALL; DELETE FROM ledger_positions WHERE position >= 1"
    };
    sql.execute_unprepared(cut).await.expect("who holds the database can cut it");
    sql.close().await.expect("the connection closes");
    let mut command = bare_command();
    command.args(["serve", "--listen", "127.0.0.1:0", "--database-url", &server.url, "--data-dir"]).arg(server.folder());
    let (status, said, _) = run_to_its_end(command, Duration::from_secs(30));
    assert!(!status.success(), "it must not start");
    let last = said.lines().last().expect("it says why");
    assert!(last.contains("only 1 are there") && last.contains("restore a whole backup"), "{said}");
    assert!(signed.tree_size > 2);
}
