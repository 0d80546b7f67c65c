//! The code that each row carries: whoever can write to the database, but does not hold the master key, cannot make
//! one, so a row that was written past the server is never signed.

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// What the key is derived for.
pub const ROW_KEY_PURPOSE: &str = "stagegate.ledger.rows";

/// Authenticates rows of the ledger (HMAC-SHA256 over the leaf's bytes). The row's id is among these and never given
/// twice, so the code of one row is of no use for another.
#[derive(Clone)]
pub struct RowKey(Hmac<Sha256>);

impl RowKey {
    /// A key of 32 random bytes.
    pub fn new(key: &[u8; 32]) -> Self {
        let mut block = [0; 64];
        block[..32].copy_from_slice(key);
        Self(Hmac::new(&block.into()))
    }

    /// The code of a leaf's bytes.
    pub fn code(&self, leaf_bytes: &[u8]) -> [u8; 32] {
        self.0.clone().chain_update(leaf_bytes).finalize().into_bytes().into()
    }

    /// Whether the server wrote the row of a leaf. Takes as long for a wrong code as for a right one.
    pub fn wrote(&self, leaf_bytes: &[u8], code: &[u8]) -> bool {
        self.0.clone().chain_update(leaf_bytes).verify_slice(code).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::entry;
    use super::*;

    #[test]
    fn a_code_is_good_for_its_row_and_key_only() {
        let key = RowKey::new(&[7; 32]);
        let code = key.code(&entry(1).leaf_bytes());
        let leaf = entry(1).leaf_bytes();
        assert!(key.wrote(&leaf, &code));
        assert!(!key.wrote(&entry(2).leaf_bytes(), &code) && !RowKey::new(&[8; 32]).wrote(&leaf, &code));
        assert!(!key.wrote(&leaf, &code[1..]) && !key.wrote(&leaf, &[]));
        let mut changed = entry(1);
        changed.actor_name.push('x');
        assert!(!key.wrote(&changed.leaf_bytes(), &code));
    }

    /// RFC 4231, test case 2, whose key is shorter than a block as ours is.
    #[test]
    fn the_code_is_hmac_sha256() {
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        let code = hex::encode(RowKey::new(&key).code(b"what do ya want for nothing?"));
        assert_eq!(code, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }
}
