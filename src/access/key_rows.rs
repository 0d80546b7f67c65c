//! The rows of the key table, authenticated under the master key: whoever writes the database without it can neither
//! bring in a key of their own nor change one. A row that is not authentic is left out and told in the log at each
//! reading; the server goes on with the others, so that one bad row does not stop it. It does not start when a key that
//! it cannot do without is left out, and a running one goes on with the keys that it has.
//!
//! What this does not show: a row that was deleted, and one that was put back as it once was. Neither lets anybody
//! sign, for the private keys stay sealed.

use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::KeyError;
use super::keys::LEDGER;
use super::master_key::MasterKey;
use crate::clock;
use crate::store::access::{self as rows, KeyRow};
use crate::store::{Store, StoreError, Tx};

/// What keys are derived for to authenticate rows of the key table.
const PURPOSE: &str = "stagegate key row v1";

/// A new row. Its private part is sealed, and all of it is authenticated.
pub(super) fn new_row(master: &MasterKey, key_id: String, purpose: &str, public_key: String, secret: &[u8]) -> Result<KeyRow, KeyError> {
    let mut row = KeyRow {
        key_id,
        purpose: purpose.to_owned(),
        public_key,
        sealed: master.seal(secret)?,
        created: clock::now_ms(),
        retired: None,
        mac: Vec::new(),
    };
    row.mac = mac(master, &row).finalize().into_bytes().to_vec();
    Ok(row)
}

/// The authentic keys, the oldest first; none when nobody has made any. Errors when there are rows and not one is
/// authentic: the master key is another one.
pub async fn authentic_keys(store: &Store, master: &MasterKey) -> Result<Vec<KeyRow>, KeyError> {
    let stored = rows::keys(store.reader()).await?;
    let any = !stored.is_empty();
    let authentic: Vec<KeyRow> = stored.into_iter().filter(|row| is_authentic(master, row)).collect();
    if any && authentic.is_empty() {
        return Err(super::MasterKeyError::Wrong.into());
    }
    Ok(authentic)
}

/// Whether a public key of the ledger stands in a row that is authentic.
pub async fn ledger_key_is_authentic(store: &Store, master: &MasterKey, public_key: &str) -> Result<bool, StoreError> {
    let stored = rows::keys(store.reader()).await?;
    Ok(stored.iter().any(|row| row.purpose == LEDGER && row.public_key == public_key && is_authentic(master, row)))
}

/// Inserts a key, and lets all others of its purpose sign no more. Rows that are not authentic stay as they are.
pub async fn replace_key(tx: &Tx, master: &MasterKey, new: &KeyRow) -> Result<(), StoreError> {
    let others = rows::keys(&**tx).await?;
    for mut row in others.into_iter().filter(|row| row.purpose == new.purpose && row.retired.is_none() && is_authentic(master, row)) {
        row.retired = Some(tx.now());
        row.mac = mac(master, &row).finalize().into_bytes().to_vec();
        rows::retire_key(tx, &row).await?;
    }
    rows::insert_key(tx, new).await
}

fn is_authentic(master: &MasterKey, row: &KeyRow) -> bool {
    let authentic = mac(master, row).verify_slice(&row.mac).is_ok();
    if !authentic {
        tracing::error!(
            key_id = row.key_id,
            purpose = row.purpose,
            "a row of the table secret_keys is not authentic: somebody wrote it without the master key, or it is damaged; it is not used"
        );
    }
    authentic
}

/// Over all columns, each with its length, so that none can be divided otherwise.
fn mac(master: &MasterKey, row: &KeyRow) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(&*master.derive(PURPOSE)).expect("HMAC takes keys of every length");
    let retired = row.retired.map(i64::to_be_bytes);
    let parts: [&[u8]; 6] = [
        row.key_id.as_bytes(),
        row.purpose.as_bytes(),
        row.public_key.as_bytes(),
        &row.sealed,
        &row.created.to_be_bytes(),
        retired.as_ref().map_or(&[], |time| time.as_slice()),
    ];
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_authentic_only_as_it_was_made() {
        let folder = tempfile::tempdir().unwrap();
        let master = MasterKey::load(&folder.path().join("a"), false).unwrap();
        let row = new_row(&master, "kid".into(), "token", "public".into(), b"secret").unwrap();
        assert!(is_authentic(&master, &row));
        assert!(!is_authentic(&MasterKey::load(&folder.path().join("b"), false).unwrap(), &row));
        let changes: [fn(&mut KeyRow); 8] = [
            |row| row.key_id = "other".into(),
            |row| row.purpose = "ledger".into(),
            |row| row.public_key = "mine".into(),
            |row| row.sealed[0] ^= 1,
            |row| row.created += 1,
            |row| row.retired = Some(0),
            |row| row.mac[0] ^= 1,
            |row| row.mac.clear(),
        ];
        for change in changes {
            let mut changed = row.clone();
            change(&mut changed);
            assert!(!is_authentic(&master, &changed), "{changed:?}");
        }
        // Bytes that move from one column to the next.
        let moved = KeyRow { key_id: "kidt".into(), purpose: "oken".into(), ..row };
        assert!(!is_authentic(&master, &moved));
    }
}
