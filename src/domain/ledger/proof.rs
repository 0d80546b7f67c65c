//! Proofs over stored hashes. The hashes lie in a database, which is asked once: an operation first
//! tells which hashes it needs, then runs on them.

use std::cell::RefCell;
use std::collections::HashMap;

use tlog_tiles::{Error, Hash, HashReader, Tile};

/// Stored hashes by their index.
#[derive(Debug, Default, Clone)]
pub struct Hashes(pub HashMap<u64, Hash>);

impl HashReader for Hashes {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, Error> {
        indexes
            .iter()
            .map(|index| self.0.get(index).copied().ok_or_else(|| Error::InvalidInput(format!("hash {index} is missing"))))
            .collect()
    }
}

/// Notes what is asked for, and answers nothing.
#[derive(Default)]
struct Needs(RefCell<Vec<u64>>);

impl HashReader for Needs {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, Error> {
        self.0.borrow_mut().extend_from_slice(indexes);
        if indexes.is_empty() { Ok(Vec::new()) } else { Err(Error::InvalidInput("only planning".into())) }
    }
}

/// What answers once the hashes are there.
type Run<T> = Box<dyn Fn(&dyn HashReader) -> Result<T, Error> + Send + Sync>;

/// An operation over stored hashes: what it needs, then what it answers.
pub struct Plan<T> {
    run: Run<T>,
    /// The indexes of the hashes that it needs.
    pub needs: Vec<u64>,
}

/// `dyn HashReader` for functions that want a sized reader.
struct By<'a>(&'a dyn HashReader);

impl HashReader for By<'_> {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, Error> {
        self.0.read_hashes(indexes)
    }
}

impl<T> Plan<T> {
    fn new(run: impl Fn(&dyn HashReader) -> Result<T, Error> + Send + Sync + 'static) -> Self {
        let needs = Needs::default();
        // Fails on purpose once it has told what it needs.
        let _ = run(&needs);
        Self { run: Box::new(run), needs: needs.0.into_inner() }
    }

    /// The answer. Errors when a needed hash is missing or the sizes are impossible.
    pub fn run(&self, hashes: &Hashes) -> Result<T, Error> {
        (self.run)(hashes)
    }
}

/// The hashes to store when `leaf` becomes the leaf at `position`, beginning at `stored_count(position)`.
pub fn appended(position: u64, leaf: Hash) -> Plan<Vec<Hash>> {
    Plan::new(move |reader| tlog_tiles::stored_hashes_for_record_hash(position, leaf, &By(reader)))
}

/// The hashes of a tile, one after the other.
pub fn tile_hashes(tile: Tile) -> Plan<Vec<u8>> {
    Plan::new(move |reader| tile.read_data(&By(reader)))
}

/// The root of the tree of `size` leaves.
pub fn tree_root(size: u64) -> Plan<Hash> {
    Plan::new(move |reader| tlog_tiles::tree_hash(size, &By(reader)))
}

/// The proof that the tree of `size` leaves holds the leaf at `position`.
pub fn inclusion(size: u64, position: u64) -> Plan<Vec<Hash>> {
    Plan::new(move |reader| tlog_tiles::prove_record(size, position, &By(reader)))
}

/// The proof that the tree of `old` leaves is a prefix of the tree of `new` leaves.
pub fn consistency(old: u64, new: u64) -> Plan<Vec<Hash>> {
    Plan::new(move |reader| tlog_tiles::prove_tree(new, old, &By(reader)))
}
