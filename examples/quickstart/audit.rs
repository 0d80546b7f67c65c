//! The auditor's part: what happened to the model, and whether the record is sound.

use std::path::Path;
use std::time::Duration;

use sea_orm::{ConnectionTrait, Database};
use stagegate::cli::Instance;
use stagegate::config::{DataOptions, ServeOptions};
use stagegate::contract::v1;
use tonic::transport::Endpoint;

use crate::clients::Clients;
use crate::promotion::REASON;
use crate::{MODEL, Result, say};

/// Lists, verifies, and shows what verification says once a byte was changed.
pub async fn tell(ada: &mut Clients, folder: &Path, scratch: &Path) -> Result<()> {
    say("Audit", &format!("ada, an auditor, lists everything that happened to {MODEL:?}:"));
    let filter = v1::LedgerFilter { registered_model: MODEL.into(), ..v1::LedgerFilter::default() };
    let request = v1::ListLedgerEntriesRequest { filter: Some(filter), max_results: 1_000, ..v1::ListLedgerEntriesRequest::default() };
    let entries = ada.ledger.list_ledger_entries(request).await?.into_inner().entries;
    let rows = entries.last().map_or(0, |entry| entry.position + 1);
    for entry in entries {
        let action = entry.action.rsplit('/').next().unwrap_or_default();
        let outcome = if entry.outcome() == v1::LedgerOutcome::Denied { "DENIED" } else { "ok" };
        println!("  {:>3}  {outcome:<6}  {:<8}  {action:<28}  {}", entry.position, entry.actor_name, entry.object_name);
    }
    // The story is over in less time than passes between two checkpoints.
    while ada.ledger.get_checkpoint(v1::GetCheckpointRequest::default()).await.map_or(0, |newest| newest.into_inner().tree_size) < rows {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let report = verify(ada).await?;
    println!("  She verifies the ledger: {}.", report.report);
    if !report.sound {
        return Err("the ledger must be sound".into());
    }
    tamper(folder, scratch).await
}

async fn verify(ada: &mut Clients) -> Result<v1::VerifyLedgerResponse> {
    let mut told = ada.ledger.verify_ledger(v1::VerifyLedgerRequest::default()).await?.into_inner();
    let mut last = None;
    while let Some(message) = told.message().await? {
        last = Some(message);
    }
    last.filter(|last| last.done).ok_or_else(|| "the verification must end with a verdict".into())
}

/// Changes one byte in a copy of the database file, past its triggers, and has a server verify that.
async fn tamper(folder: &Path, scratch: &Path) -> Result<()> {
    let copy = scratch.join("tampered");
    std::fs::create_dir_all(&copy)?;
    let database = Database::connect(stagegate::store::sqlite_url(&folder.join("stagegate.db"))).await?;
    database.execute_unprepared(&format!("VACUUM INTO '{}'", copy.join("stagegate.db").display())).await?;
    std::fs::copy(folder.join("master.key"), copy.join("master.key"))?;
    let mut bytes = std::fs::read(copy.join("stagegate.db"))?;
    // In the ledger's row the reason stands as JSON.
    let text = format!("\"comment\":\"{REASON}\"");
    let at = bytes.windows(text.len()).position(|window| window == text.as_bytes()).ok_or("the rejection is in the ledger")?;
    bytes[at + text.len() - 2] = b'!';
    std::fs::write(copy.join("stagegate.db"), bytes)?;

    // The files stay where they are: without its artifact store no server starts.
    let artifacts = format!("file://{}", std::fs::canonicalize(folder.join("artifacts"))?.display());
    let data = DataOptions { data_dir: Some(copy), artifacts_url: Some(artifacts.into()), ..DataOptions::default() };
    let anywhere = ServeOptions { listen: Some(([127, 0, 0, 1], 0).into()), ..ServeOptions::default() };
    let instance = Instance::start(&data, &anywhere, None).await?;
    let channel = Endpoint::from_shared(instance.url())?.connect().await?;
    let mut ada = Clients::sign_in(&channel, "ada", "the password of ada").await?;
    let report = verify(&mut ada).await?;
    say("Tampering", &format!("In a copy of the database file one byte of max's reason is changed. Verified again:\n  {}.", report.report));
    instance.stop().await?;
    if report.sound { Err("the change must be found".into()) } else { Ok(()) }
}
