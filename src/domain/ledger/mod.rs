//! The ledger without its database: the bytes that are hashed, the tree over them (RFC 9162), signed
//! checkpoints (C2SP signed notes), the export format and its verification. `FORMAT.md` beside this
//! file says it exactly enough to write another verifier.

mod checkpoint;
mod cosignature;
mod entry;
mod export;
mod now;
mod proof;
pub mod replay;
mod report;
mod row_key;
#[cfg(test)]
mod tests;
mod texts;
mod verify;

pub use checkpoint::{CheckpointError, CheckpointSigner, LedgerKey, VerifiedCheckpoint, origin_behind, origin_number, verify_note};
pub use cosignature::Cosigner;
pub use entry::{Entry, FORMAT_VERSION, NEW_ORIGIN, NewOrigin, Outcome, REFUSED_ENTRY, payload_digest};
pub use export::{ExportError, Line, read_export};
pub use now::{
    CredentialsNow, DecisionNow, Filed, GrantNow, Grants, GrantsNow, GroupNow, Holders, MakerNow, ModelNow, NOW, PersonaNow, RequestNow,
    RequesterNow, Revoked, TokenNow, UserNow, VersionNow, given, read_now, with_now,
};
pub use proof::{Hashes, appended, consistency, inclusion, tile_hashes, tree_root};
pub use report::{Finding, Report, Restart, Witnessed};
pub use row_key::{ROW_KEY_PURPOSE, RowKey};
pub use texts::{LongText, TEXT_BYTES, referred_to, take_out, text_sha256};
pub use tlog_tiles::Hash;
pub use verify::Verifier;

/// The hash of a leaf's bytes (RFC 9162).
pub fn leaf_hash(leaf_bytes: &[u8]) -> Hash {
    tlog_tiles::record_hash(leaf_bytes)
}

/// Where in the stored hashes a leaf stands.
pub fn leaf_index(position: u64) -> u64 {
    tlog_tiles::stored_hash_index(0, position)
}

/// How many stored hashes a tree of `size` leaves has; the next leaf's come behind them.
pub fn stored_count(size: u64) -> u64 {
    tlog_tiles::stored_hash_count(size)
}
