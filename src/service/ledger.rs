//! Reading the ledger: lists, checkpoints, proofs and verification.

use sea_orm::ConnectionTrait;

use super::{Error, Result, paging};
use crate::access::Call;
use crate::contract::v1;
use crate::domain::field::Check;
use crate::domain::ledger::{self, Hash, Hashes, Outcome};
use crate::domain::{limits, text};
use crate::store::ledger::{self as rows, Positioned};
use crate::store::ledger_cosignatures;
use crate::store::ledger_filter::{self, Filter};
use crate::store::{Engine, Store, StoreError};

/// Bytes of rows in one message, so that clients with gRPC's usual limit of 4 MiB can read it.
pub(super) const MESSAGE_BYTES: usize = 2 * 1024 * 1024;
/// Models that a name may have belonged to, one after another.
const MODELS_OF_A_NAME: u64 = 1_000;

/// See the proto.
pub async fn list_ledger_entries(call: &Call, request: v1::ListLedgerEntriesRequest) -> Result<v1::ListLedgerEntriesResponse> {
    let size = text::page_size("max_results", request.max_results.into(), limits::PAGE_DEFAULT, limits::PAGE)?;
    let mut check = Check::new();
    check.require(request.from_position >= 0, "from_position", "must not be negative");
    check.finish()?;
    let filter = filter(call.store(), request.filter.as_ref()).await?;
    let written = request.filter.as_ref().map(prost::Message::encode_to_vec).unwrap_or_default();
    let page = paging::query(call, &[&written, &request.from_position.to_be_bytes()]);
    let from = paging::cursor::<i64>(call, &page, &request.page_token)?.unwrap_or(request.from_position);
    let found = range(call.store(), &filter, from, i64::MAX, size + 1).await?;
    let fits = fitting(&found, size);
    let mut found = found;
    let next_page_token = paging::cut(call, &page, &mut found, fits as u64, |last| last.position + 1)?;
    Ok(v1::ListLedgerEntriesResponse { entries: found.into_iter().map(shown).collect(), next_page_token })
}

/// See the proto.
pub async fn get_checkpoint(call: &Call, request: v1::GetCheckpointRequest) -> Result<v1::GetCheckpointResponse> {
    let store = call.store().reader();
    let note = match request.tree_size {
        None => rows::newest_checkpoint(store).await?.map(|(_, note)| note),
        Some(size) => rows::checkpoint_of(store, positive("tree_size", size)?.cast_signed()).await?,
    };
    let wanted = request.tree_size.map_or_else(|| "newest".to_owned(), |size| size.to_string());
    let note = note.ok_or_else(|| Error::not_found("checkpoint", wanted))?;
    let key = ledger::LedgerKey::parse(&call.access().keys().ledger_verifier).map_err(fault)?;
    let checkpoint = key.verify(&note).map_err(fault)?;
    let note = ledger_cosignatures::with_cosignatures(store, checkpoint.size, note).await?;
    Ok(v1::GetCheckpointResponse {
        note,
        tree_size: checkpoint.size.cast_signed(),
        root_hash: hex::encode(checkpoint.root.0),
        verifier_key: key.of_origin(&checkpoint.origin),
    })
}

/// See the proto.
pub async fn get_inclusion_proof(call: &Call, request: v1::GetInclusionProofRequest) -> Result<v1::GetInclusionProofResponse> {
    let mut check = Check::new();
    check.require(request.position >= 0, "position", "must not be negative");
    check.finish()?;
    let size = tree_size(call, "tree_size", request.tree_size).await?;
    let position = request.position.cast_unsigned();
    if position >= size {
        return Err(Error::not_found("ledger row", format!("{position} in the tree of {size} rows")));
    }
    let store = call.store().reader();
    let (proof, root) = (ledger::inclusion(size, position), ledger::tree_root(size));
    let leaf = ledger::leaf_index(position);
    let needs: Vec<u64> = proof.needs.iter().chain(&root.needs).copied().chain([leaf]).collect();
    let stored = hashes(store, &needs).await?;
    let leaf_hash = stored.0.get(&leaf).copied().ok_or_else(|| Error::Internal(format!("the leaf of row {position} is missing")))?;
    Ok(v1::GetInclusionProofResponse {
        tree_size: size.cast_signed(),
        leaf_hash: hex::encode(leaf_hash.0),
        hashes: in_hex(&proof.run(&stored).map_err(fault)?),
        root_hash: hex::encode(root.run(&stored).map_err(fault)?.0),
    })
}

/// See the proto.
pub async fn get_consistency_proof(call: &Call, request: v1::GetConsistencyProofRequest) -> Result<v1::GetConsistencyProofResponse> {
    let from = positive("from_tree_size", request.from_tree_size)?;
    let to = tree_size(call, "to_tree_size", request.to_tree_size).await?;
    if from > to {
        return Err(Error::invalid("from_tree_size", format!("is {from}; must be at most {to}, the size of the later tree")));
    }
    let proof = ledger::consistency(from, to);
    let stored = hashes(call.store().reader(), &proof.needs).await?;
    Ok(v1::GetConsistencyProofResponse {
        from_tree_size: from.cast_signed(),
        to_tree_size: to.cast_signed(),
        hashes: in_hex(&proof.run(&stored).map_err(fault)?),
    })
}

/// The filter of a request. Errors name the field.
pub(super) async fn filter(store: &Store, given: Option<&v1::LedgerFilter>) -> Result<Filter> {
    let Some(given) = given else { return Ok(Filter::default()) };
    let mut check = Check::new();
    for (field, text, limit) in [
        ("filter.action", &given.action, limits::PATTERN),
        ("filter.actor_name", &given.actor_name, limits::PRINCIPAL_NAME),
        ("filter.object_kind", &given.object_kind, limits::PATTERN),
        ("filter.object_id", &given.object_id, limits::PATTERN),
        ("filter.registered_model", &given.registered_model, limits::MODEL_NAME),
    ] {
        check.take(text::value(field, text, limit));
    }
    let known = v1::LedgerOutcome::try_from(given.outcome);
    check.require(known.is_ok(), "filter.outcome", "is not one of LEDGER_OUTCOME_OK and LEDGER_OUTCOME_DENIED");
    check.finish()?;
    let wanted = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let name = given.registered_model.as_str();
    let model = if name.is_empty() {
        None
    } else {
        let uids = ledger_filter::models_ever_named(store.reader(), name, &text::canonical_name(name), MODELS_OF_A_NAME).await?;
        Some((name.to_owned(), uids))
    };
    Ok(Filter {
        action: wanted(&given.action),
        actor_name: wanted(&given.actor_name),
        object_kind: wanted(&given.object_kind),
        object_id: wanted(&given.object_id),
        model,
        outcome: match known {
            Ok(v1::LedgerOutcome::Ok) => Some(Outcome::Ok),
            Ok(v1::LedgerOutcome::Denied) => Some(Outcome::Denied),
            Ok(v1::LedgerOutcome::Unspecified) | Err(_) => None,
        },
        from_time: given.from_time,
        until_time: given.until_time,
    })
}

/// Rows of a filter from one position up to before another.
pub(super) async fn range(store: &Store, filter: &Filter, from: i64, until: i64, limit: u64) -> Result<Vec<Positioned>> {
    let engine: Engine = store.engine();
    let mut query = filter.query(engine);
    let (from, until) = (query.bind(from), query.bind(until));
    query.and(format!("p.position >= {from} AND p.position < {until}"));
    let condition = query.condition();
    let mut found = rows::page(store.reader(), &condition, query.values, limit).await?;
    if let Some(forged) = store.row_key().and_then(|key| found.iter().position(|row| !row.is_authentic(key))) {
        // What is signed and was changed later is for verification to name, and is told here. Where a row that the server did
        // not write waits for its refusal, the log ends for now.
        let signed = rows::newest_checkpoint(store.reader()).await?.map_or(0, |(size, _)| size.cast_signed());
        if found.get(forged).is_some_and(|row| row.position >= signed) {
            found.truncate(forged);
        } else if let Some(changed) = found.get(forged) {
            tracing::error!(position = changed.position, "ALARM: a row of the ledger was changed after it was signed; verify the ledger");
        }
    }
    Ok(found)
}

/// How many of the first rows fit into one message: at least one, at most `limit`.
pub(super) fn fitting(found: &[Positioned], limit: u64) -> usize {
    let mut bytes = 0_usize;
    let fit = found.iter().take_while(|row| {
        bytes += 1_024 + row.entry.payload.as_ref().map_or(0, String::len) + row.entry.object_name.len() + row.entry.reason.len();
        bytes <= MESSAGE_BYTES
    });
    fit.count().max(1).min(usize::try_from(limit).unwrap_or(usize::MAX))
}

/// See the proto.
pub async fn get_ledger_text(call: &Call, request: v1::GetLedgerTextRequest) -> Result<v1::GetLedgerTextResponse> {
    let sha256 = request.sha256.to_ascii_lowercase();
    if sha256.len() != 64 || !sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Error::invalid("sha256", "is no SHA-256: must be 64 hexadecimal digits"));
    }
    let text = rows::text(call.store().reader(), &sha256).await?;
    let text = text.ok_or_else(|| Error::not_found("text of the ledger", sha256))?;
    Ok(v1::GetLedgerTextResponse { text })
}

/// A row as clients see it.
pub(super) fn shown(row: Positioned) -> v1::LedgerEntry {
    let entry = row.entry;
    let outcome = match entry.outcome {
        Outcome::Ok => v1::LedgerOutcome::Ok,
        Outcome::Denied => v1::LedgerOutcome::Denied,
    };
    v1::LedgerEntry {
        position: row.position,
        entry_id: entry.entry_id,
        time: entry.time,
        actor_id: entry.actor_id,
        actor_name: entry.actor_name,
        person_id: entry.person_id,
        token_id: entry.token_id,
        credential: entry.credential,
        request_id: entry.request_id,
        source_address: entry.source_address,
        action: entry.action,
        object_kind: entry.object_kind,
        object_id: entry.object_id,
        object_name: entry.object_name,
        outcome: outcome.into(),
        reason: entry.reason,
        payload: entry.payload.unwrap_or_default(),
        leaf_hash: hex::encode(row.leaf_hash.0),
        scope_id: entry.scope_id,
        on_behalf_of: entry.on_behalf_of,
        workspace_id: entry.workspace_id,
        salt: entry.salt,
        payload_digest: entry.payload_digest,
    }
}

/// The size of a tree that a checkpoint reaches: the one asked for, or the newest.
async fn tree_size(call: &Call, field: &str, asked: Option<i64>) -> Result<u64> {
    let asked = asked.map(|size| positive(field, size)).transpose()?;
    let newest = rows::newest_checkpoint(call.store().reader()).await?.map_or(0, |(size, _)| size);
    let size = asked.unwrap_or(newest);
    if size == 0 || size > newest {
        return Err(Error::not_found("signed tree of", format!("{} rows", asked.unwrap_or(1))));
    }
    Ok(size)
}

fn positive(field: &str, size: i64) -> Result<u64> {
    if size < 1 {
        return Err(Error::invalid(field, format!("is {size}; must be at least 1")));
    }
    Ok(size.cast_unsigned())
}

async fn hashes<C: ConnectionTrait>(on: &C, needs: &[u64]) -> std::result::Result<Hashes, StoreError> {
    Ok(Hashes(rows::stored_hashes(on, needs).await?))
}

fn in_hex(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(|hash| hex::encode(hash.0)).collect()
}

fn fault(error: impl std::fmt::Display) -> Error {
    Error::Internal(format!("the ledger's tree: {error}"))
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
pub(super) mod tests;
