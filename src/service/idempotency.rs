//! Creating calls with an idempotency key: a retry gets the first answer.

use prost::Message;
use sha2::{Digest, Sha256};

use super::{Error, Result};
use crate::access::Call;
use crate::domain::limits::IDEMPOTENCY_TTL_MS;
use crate::store::{Recorded, Tx, access as rows};

/// The first answer to this call, when it is a retry. Errors when the key came with another request.
pub(super) async fn earlier<I: Message, O: Message + Default>(tx: &Tx, call: &Call, key: Option<&str>, request: &I) -> Result<Option<O>> {
    let Some(key) = key else { return Ok(None) };
    let (user, action) = (&call.caller().user_uid, call.operation().full_name);
    let Some((digest, answer)) = rows::idempotent_answer(tx, user, action, key, tx.now() - IDEMPOTENCY_TTL_MS).await? else {
        return Ok(None);
    };
    if digest != digest_of(request) {
        return Err(Error::invalid("idempotency_key", "was used for another request within the last 24 hours"));
    }
    O::decode(answer.as_slice()).map(Some).map_err(|error| Error::Internal(error.to_string()))
}

/// Keeps the answer for retries.
pub(super) async fn keep<I: Message, O: Message>(
    tx: &Tx,
    call: &Call,
    key: Option<&str>,
    request: &I,
    answer: Recorded<O>,
) -> Result<Recorded<O>> {
    if let Some(key) = key {
        let (user, action) = (&call.caller().user_uid, call.operation().full_name);
        rows::keep_answer(tx, user, action, key, &digest_of(request), answer.value().encode_to_vec()).await?;
    }
    Ok(answer)
}

fn digest_of<I: Message>(request: &I) -> String {
    hex::encode(Sha256::digest(request.encode_to_vec()))
}
