//! `VerifyLedger`, and verification for the command line.

use std::time::Duration;

use futures::{StreamExt, stream};
use tokio::sync::SemaphorePermit;
use tokio::time::Instant;

use super::{Error, ResponseStream, Result};
use crate::access::Call;
use crate::contract::v1;
use crate::domain::ledger::{CheckpointError, Cosigner, LedgerKey, Report, Verifier};
use crate::domain::text;
use crate::store::Store;
use crate::store::ledger as rows;
use crate::store::ledger_check::{self, Check};
use crate::store::ledger_seal::{self, Sealed};

/// No signed note is longer.
const NOTE_BYTES: usize = 64 * 1024;
/// How far a verification has come is told this often.
const TOLD: Duration = Duration::from_secs(2);
/// Verifications at a time; more of them wait.
static VERIFYING: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(1);

/// See the proto.
pub async fn verify_ledger(call: &Call, request: v1::VerifyLedgerRequest) -> Result<ResponseStream<v1::VerifyLedgerResponse>> {
    text::value("against_note", &request.against_note, NOTE_BYTES)?;
    let key = call.access().keys().ledger_verifier.clone();
    let note = Some(request.against_note.as_str()).filter(|note| !note.is_empty());
    let mut verifier = verifier(&key, note)?;
    compare_sealed(&mut verifier, call.store())?;
    let verification = Some(Verification { call: call.clone(), state: request.state, waiting: Some(verifier), check: None });
    let told = stream::try_unfold(verification, async |verification| match verification {
        Some(verification) => verification.tell().await.map(Some),
        None => Ok(None),
    });
    Ok(told.boxed())
}

/// A verification whose progress is told. It ends when nobody listens any more.
struct Verification {
    call: Call,
    /// Whether the tables are compared with the rows.
    state: bool,
    /// Until its turn comes.
    waiting: Option<Verifier>,
    check: Option<(Check, SemaphorePermit<'static>)>,
}

impl Verification {
    /// The next message, and what is left to do behind it.
    async fn tell(mut self) -> Result<(v1::VerifyLedgerResponse, Option<Self>)> {
        let (mut check, turn) = match (self.check.take(), self.waiting.take()) {
            (Some(begun), _) => begun,
            (None, Some(verifier)) => {
                let Ok(turn) = tokio::time::timeout(TOLD, VERIFYING.acquire()).await else {
                    self.waiting = Some(verifier);
                    self.call.still_admitted().await?;
                    return Ok((v1::VerifyLedgerResponse::default(), Some(self)));
                };
                let turn = turn.map_err(|error| Error::Internal(error.to_string()))?;
                (Check::begin(self.call.store().clone(), verifier, self.state).await?, turn)
            }
            (None, None) => return Err(Error::Internal("a verification went on behind its end".to_owned())),
        };
        let begun = Instant::now();
        while check.next().await? {
            self.call.still_admitted().await?;
            if begun.elapsed() >= TOLD {
                let (entries, total) = check.progress();
                self.check = Some((check, turn));
                let progress = v1::VerifyLedgerResponse {
                    entries: entries.cast_signed(),
                    total_entries: total.cast_signed(),
                    ..v1::VerifyLedgerResponse::default()
                };
                return Ok((progress, Some(self)));
            }
        }
        let total = check.progress().1;
        Ok((verdict(&check.finish(), total), None))
    }
}

fn verdict(report: &Report, total: u64) -> v1::VerifyLedgerResponse {
    let bad = report.first_bad.as_ref();
    v1::VerifyLedgerResponse {
        done: true,
        sound: report.sound(),
        refused_entries: report.refused.cast_signed(),
        vouched: report.sound() && report.vouched(),
        report: report.to_string(),
        first_bad_position: bad.and_then(|bad| bad.position).map(u64::cast_signed),
        first_bad_entry_id: bad.map(|bad| bad.entry_id.clone()).unwrap_or_default(),
        entries: report.entries.cast_signed(),
        total_entries: total.cast_signed(),
        checkpointed_entries: report.checkpointed.cast_signed(),
        compared_things: report.state.as_ref().map_or(0, |state| state.compared.cast_signed()),
        state_differences: report.state.as_ref().map_or(0, |state| state.differences.cast_signed()),
    }
}

/// Verifies the ledger of a database with the key of its checkpoints, against the sealed checkpoint and one that was
/// kept elsewhere; counts the witnesses' cosignatures; with `state`, compares the tables with the rows. Errors when
/// that is no checkpoint, or the database cannot be read.
pub async fn verify(store: &Store, verifier_key: &str, against: Option<&str>, witnesses: Vec<Cosigner>, state: bool) -> Result<Report> {
    let mut verifier = verifier(verifier_key, against)?;
    verifier.count_cosignatures(witnesses);
    compare_sealed(&mut verifier, store)?;
    Ok(ledger_check::verify(store, verifier, state).await?)
}

/// A verifier that knows the kept checkpoint. One that another key signed is a finding: the ledger, or
/// its key, is not the one that the checkpoint was kept of.
pub fn verifier(verifier_key: &str, against: Option<&str>) -> Result<Verifier> {
    let malformed = |_| Error::precondition("VERIFIER_KEY_MALFORMED", "the verifier key is malformed");
    let mut verifier = Verifier::new(verifier_key).map_err(malformed)?;
    match against.map(|note| verifier.keep_against("kept", note)) {
        None | Some(Ok(())) => {}
        Some(Err(CheckpointError::Malformed)) => return Err(Error::invalid("against_note", "is not a signed checkpoint")),
        Some(Err(CheckpointError::Signature | CheckpointError::Key)) => {
            verifier.bad(
                None,
                "",
                "the kept checkpoint is not signed by this ledger's key: it is another ledger, or its key was replaced".to_owned(),
            );
        }
    }
    Ok(verifier)
}

/// Has the verifier compare with what is sealed outside of the tables.
fn compare_sealed(verifier: &mut Verifier, store: &Store) -> Result<()> {
    for Sealed { file, note } in sealed(store)? {
        if verifier.keep_against("sealed", &note).is_err() {
            let what = format!(
                "the sealed checkpoint {} is not signed by this ledger's key: it is another ledger, or its key was replaced",
                file.display()
            );
            verifier.bad(None, "", what);
        }
    }
    Ok(())
}

fn sealed(store: &Store) -> Result<Vec<Sealed>> {
    store.seals().read().map_err(|error| Error::precondition("SEAL_UNREADABLE", error.to_string()))
}

/// Looks, before keys are made for an empty database, whether another one was served from here before.
pub async fn check_not_emptied(store: &Store) -> Result<()> {
    match sealed(store)?.first() {
        Some(Sealed { file, .. }) if rows::verifier_key(store.reader()).await?.is_none() => Err(Error::precondition(
            "LEDGER_CUT",
            format!(
                "the database is empty, but {} seals the ledger of one that was served before: restore the whole database (for SQLite \
                 with its -wal file), or remove that file and the artifacts to begin a new one",
                file.display()
            ),
        )),
        _ => Ok(()),
    }
}

/// Compares the ledger with what is sealed outside of the tables, before a server goes on with it. Errors when it is
/// shorter or another one.
pub async fn check_seals(store: &Store, verifier_key: &str) -> Result<()> {
    let key = LedgerKey::parse(verifier_key).map_err(|error| Error::Internal(error.to_string()))?;
    for Sealed { file, note } in sealed(store)? {
        if let Some(fault) = ledger_seal::contradiction(store, &key, &note).await? {
            return Err(Error::precondition(
                "LEDGER_CUT",
                format!(
                    "the database's ledger is not the one whose checkpoint is sealed in {}: {fault}; restore the newest backup of the \
                     whole database, and if rows are lost for good, run `stagegate ledger new-origin --reason TEXT`, which records \
                     the loss and seals anew",
                    file.display()
                ),
            ));
        }
    }
    Ok(())
}

/// Looks at the end of the ledger before a server goes on with it. Errors when rows are missing that were signed.
pub async fn check_tail(store: &Store, verifier_key: &str) -> Result<()> {
    let key = LedgerKey::parse(verifier_key).map_err(|error| Error::Internal(error.to_string()))?;
    match ledger_check::tail_fault(store, &key).await? {
        None => Ok(()),
        Some(fault) => Err(Error::precondition(
            "LEDGER_CUT",
            format!("the ledger is damaged: {fault}; see `stagegate ledger verify`, and restore a whole backup of the database"),
        )),
    }
}
