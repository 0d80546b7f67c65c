//! What the ledger's tiles hold.

use tlog_tiles::Tile;

use super::{Error, Result};
use crate::bind;
use crate::domain::ledger::{Hashes, tile_hashes};
use crate::store::ledger_feed::Signed;
use crate::store::{Store, ledger as rows, ledger_cosignatures};

/// A checkpoint with the lines of the witnesses that cosigned it.
pub async fn served_checkpoint(store: &Store, signed: &Signed) -> Result<String> {
    Ok(ledger_cosignatures::with_cosignatures(store.reader(), signed.size, signed.note.clone()).await?)
}

/// The hashes of a tile that the signed tree has.
pub async fn hash_tile(store: &Store, tile: Tile) -> Result<Vec<u8>> {
    let plan = tile_hashes(tile);
    let stored = Hashes(rows::stored_hashes(store.reader(), &plan.needs).await?);
    plan.run(&stored).map_err(|error| Error::Internal(format!("the ledger's tree: {error}")))
}

/// The leaves' bytes of so many rows from a position on, each after its length in two bytes.
pub async fn entry_bundle(store: &Store, from: u64, count: u64) -> Result<Vec<u8>> {
    let range = bind![from.cast_signed(), (from + count).cast_signed()];
    let found = rows::page(store.reader(), "p.position >= $1 AND p.position < $2", range.into(), count).await?;
    if found.len() as u64 != count {
        return Err(Error::Internal(format!("of the {count} rows from {from} on, only {} are there", found.len())));
    }
    let mut bundle = Vec::with_capacity(found.len() * 512);
    for row in found {
        let leaf = row.entry.leaf_bytes();
        let length = u16::try_from(leaf.len())
            .map_err(|_| Error::Internal(format!("row {} is too long for a bundle: {} bytes", row.position, leaf.len())))?;
        bundle.extend_from_slice(&length.to_be_bytes());
        bundle.extend_from_slice(&leaf);
    }
    Ok(bundle)
}
