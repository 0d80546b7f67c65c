//! A new origin for a ledger that was restored from a backup. Rows that came after the backup are lost, and
//! checkpoints that cover them are in other hands: the same origin must not sign a second ledger of those sizes.

use std::sync::Arc;

use super::{Error, Result};
use crate::access::{
    Access, Caller, ClientAddress, Credential, MasterKey, Subject, authentic_keys, checkpoint_signer, entry, ledger_key_under, replace_key,
};
use crate::clock;
use crate::domain::ledger::{CheckpointSigner, LedgerKey, NEW_ORIGIN, NewOrigin, VerifiedCheckpoint, origin_behind, origin_number};
use crate::domain::{limits, text};
use crate::store::access::{self as keys, KeyRow};
use crate::store::ledger_seal::{self, Sealed};
use crate::store::{Recorded, Tx, ledger as rows, ledger_sequence};

/// Lets the ledger go on under a new origin, which names the one before, its newest checkpoint, and the lost
/// one when it was kept or sealed. Returns the first checkpoint of the new origin. Errors when the kept checkpoint is of another
/// ledger, or nothing of what it covers is lost.
pub async fn start_new_origin(access: &Arc<Access>, reason: &str, kept: Option<&str>) -> Result<String> {
    text::required("reason", reason, limits::COMMENT)?;
    let ring = access.keys();
    let key = LedgerKey::parse(&ring.ledger_verifier).map_err(|error| Error::Internal(error.to_string()))?;
    let sealed = lost_by_seal(access, &key).await?;
    let kept = match kept.or(sealed.as_deref()) {
        None => None,
        Some(note) => Some((note.to_owned(), key.verify(note).map_err(|error| Error::invalid("against", error.to_string()))?)),
    };
    if let Some((_, kept)) = &kept {
        must_be_lost(access, kept).await?;
    }
    // It counts up from the later of the origins that are known.
    let before = kept.as_ref().map(|(_, kept)| &kept.origin).filter(|origin| origin_number(origin) > origin_number(&ring.ledger_origin));
    let origin = origin_behind(before.unwrap_or(&ring.ledger_origin), &clock::new_uid()[..8]);
    let malformed = |error: crate::access::KeyError| Error::Internal(error.to_string());
    let stored = authentic_keys(&access.store, access.master()).await.map_err(malformed)?;
    let present = stored.iter().find(|key| key.key_id == ring.ledger_origin);
    let present = present.ok_or_else(|| Error::Internal("the ledger's key is not stored".to_owned()))?;
    let new = ledger_key_under(access.master(), origin, present).map_err(malformed)?;
    let signer = Arc::new(checkpoint_signer(access.master(), &new).map_err(malformed)?);
    let said = NewOrigin {
        previous_origin: ring.ledger_origin.clone(),
        previous_checkpoint: String::new(),
        lost_checkpoint: kept.map(|(note, _)| note).unwrap_or_default(),
        reason: reason.to_owned(),
    };
    let input = (access.clone(), new, signer, said);
    access.store.write(input, |tx, (access, new, signer, said)| Box::pin(begin(tx, access.master(), new, signer, said.clone()))).await?;
    let newest = rows::newest_checkpoint(access.store.reader()).await?;
    let (_, note) = newest.ok_or_else(|| Error::Internal("the new origin has signed nothing".to_owned()))?;
    access.store.seals().renew(&key, &note).map_err(|error| Error::precondition("NOT_SEALED", error.to_string()))?;
    Ok(note)
}

/// A sealed checkpoint of this ledger that covers what is no longer there; none when the seal agrees with the tables.
async fn lost_by_seal(access: &Access, key: &LedgerKey) -> Result<Option<String>> {
    let sealed = access.store.seals().read().map_err(|error| Error::precondition("SEAL_UNREADABLE", error.to_string()))?;
    for Sealed { note, .. } in sealed {
        if key.verify(&note).is_ok() && ledger_seal::contradiction(&access.store, key, &note).await?.is_some() {
            return Ok(Some(note));
        }
    }
    Ok(None)
}

/// Refuses a checkpoint of which the ledger still holds everything: a new origin would admit a loss that is none.
async fn must_be_lost(access: &Access, kept: &VerifiedCheckpoint) -> Result<()> {
    let held = rows::checkpoint_of(access.store.reader(), kept.size.cast_signed()).await?;
    let key = LedgerKey::parse(&access.keys().ledger_verifier).map_err(|error| Error::Internal(error.to_string()))?;
    if held.and_then(|note| key.verify(&note).ok()).is_some_and(|held| held == *kept) {
        let message = format!("nothing is lost: the ledger holds the {} rows of the kept checkpoint", kept.size);
        return Err(Error::precondition("NOTHING_LOST", message));
    }
    Ok(())
}

async fn begin(tx: &Tx, master: &MasterKey, new: &KeyRow, signer: &CheckpointSigner, mut said: NewOrigin) -> Result<Recorded<()>> {
    said.previous_checkpoint = rows::newest_checkpoint(&**tx).await?.map(|(_, note)| note).unwrap_or_default();
    let payload = serde_json::to_value(&said).map_err(|error| Error::Internal(error.to_string()))?;
    let caller = Caller::without_user(Credential::CommandLine, "");
    let subject = Subject { kind: "ledger", id: &new.key_id, name: &new.key_id, scope: "" };
    let recorded = tx.record_before_waiting(&entry(&caller, NEW_ORIGIN, "", ClientAddress::NONE, tx.now(), &subject, &payload)).await?;
    replace_key(tx, master, new).await?;
    // Running servers take up the key with the epoch; until then they sign nothing.
    keys::raise_epoch(tx).await?;
    ledger_sequence::grow_tree(tx, signer, i64::MAX.unsigned_abs()).await?;
    Ok(recorded)
}

#[cfg(test)]
#[path = "new_origin_tests.rs"]
mod tests;
