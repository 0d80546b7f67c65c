//! The master key: signing keys and secrets lie in the database only sealed under it.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use chacha20poly1305::aead::Aead;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::clock;

const NONCE_BYTES: usize = 12;

/// Why a master key is of no use.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// The file cannot be read or written.
    #[error("master key file {path}: {error}")]
    File {
        /// The file.
        path: String,
        /// What the system says.
        error: io::Error,
    },
    /// The file does not hold 64 hexadecimal digits.
    #[error("master key file {0}: must hold 64 hexadecimal digits")]
    Malformed(String),
    /// Others can read it.
    #[error("master key file {0}: must be readable by its owner only (chmod 600)")]
    Exposed(String),
    /// The database was sealed under another key.
    #[error("the master key is not the one that this database was made with; give the right one with --master-key-file")]
    Wrong,
    /// The database has sealed keys, but the file is not there.
    #[error("master key file {0} is missing, and this database was made with one; give it with --master-key-file")]
    Missing(String),
}

/// A key that seals and opens, and from which further keys are derived.
pub struct MasterKey(Zeroizing<[u8; 32]>);

impl MasterKey {
    /// Reads the file. When it is not there, makes a new one, mode 0600, unless the database is in use already.
    pub fn load(path: &Path, in_use: bool) -> Result<Self, MasterKeyError> {
        let shown = path.display().to_string();
        let failed = |error| MasterKeyError::File { path: shown.clone(), error };
        match fs::metadata(path) {
            Ok(metadata) if metadata.permissions().mode() & 0o077 != 0 => return Err(MasterKeyError::Exposed(shown)),
            Ok(_) => {}
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            Err(_) if in_use => return Err(MasterKeyError::Missing(shown)),
            Err(_) => create(path).map_err(failed)?,
        }
        let text = Zeroizing::new(fs::read_to_string(path).map_err(failed)?);
        let mut key = Zeroizing::new([0_u8; 32]);
        hex::decode_to_slice(text.trim(), &mut *key).map_err(|_| MasterKeyError::Malformed(shown))?;
        Ok(Self(key))
    }

    /// The key for one purpose (HKDF-SHA256), the same on every replica. Who knows it knows neither the master key nor
    /// the key for another purpose. A purpose is a constant text such as `stagegate ledger row v1`.
    pub fn derive(&self, purpose: &'static str) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0; 32]);
        // HKDF refuses only more than 255 blocks of 32 bytes; this is one.
        Hkdf::<Sha256>::new(None, &*self.0).expand(purpose.as_bytes(), &mut *key).expect("one block is never too long");
        key
    }

    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new((&*self.0).into())
    }

    /// Encrypts a secret; the nonce stands in front.
    pub fn seal(&self, secret: &[u8]) -> Result<Vec<u8>, MasterKeyError> {
        let nonce = clock::random_bytes::<NONCE_BYTES>();
        let sealed = self.cipher().encrypt(&nonce.into(), secret).map_err(|_| MasterKeyError::Wrong)?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Decrypts what `seal` made. Errors when it was made under another key, or changed.
    pub fn open(&self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, MasterKeyError> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(MasterKeyError::Wrong)?;
        self.cipher().decrypt(&(*nonce).into(), sealed).map(Zeroizing::new).map_err(|_| MasterKeyError::Wrong)
    }
}

fn create(path: &Path) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let key = Zeroizing::new(hex::encode(clock::random_bytes::<32>()));
    writeln!(file, "{}", *key)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_only_under_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let key = MasterKey::load(&folder.path().join("a"), false).unwrap();
        let other = MasterKey::load(&folder.path().join("b"), false).unwrap();
        let sealed = key.seal(b"secret").unwrap();
        assert_eq!(&**key.open(&sealed).unwrap(), b"secret");
        assert!(other.open(&sealed).is_err());
        assert!(key.open(&sealed[1..]).is_err() && key.open(b"").is_err());
        let again = MasterKey::load(&folder.path().join("a"), true).unwrap();
        assert_eq!(&**again.open(&sealed).unwrap(), b"secret");
    }

    #[test]
    fn each_purpose_has_a_key_of_its_own_which_is_the_same_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let key = MasterKey::load(&folder.path().join("a"), false).unwrap();
        let again = MasterKey::load(&folder.path().join("a"), true).unwrap();
        let other = MasterKey::load(&folder.path().join("b"), false).unwrap();
        assert_eq!(key.derive("one"), again.derive("one"));
        assert_ne!(key.derive("one"), key.derive("two"));
        assert_ne!(key.derive("one"), other.derive("one"));
        assert_ne!(key.derive("one"), key.0);
    }

    #[test]
    fn a_missing_or_exposed_key_stops_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        assert!(matches!(MasterKey::load(&path, true), Err(MasterKeyError::Missing(_))));
        MasterKey::load(&path, false).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(MasterKey::load(&path, true), Err(MasterKeyError::Exposed(_))));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "short").unwrap();
        assert!(matches!(MasterKey::load(&path, true), Err(MasterKeyError::Malformed(_))));
    }
}
