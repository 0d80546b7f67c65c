//! The server's keys: those that sign tokens, the one that signs the ledger's checkpoints, and the one
//! that authenticates page tokens.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ed25519_dalek::SigningKey;
use jsonwebtoken::{DecodingKey, EncodingKey};
use moka::sync::Cache;

use super::key_rows::{authentic_keys, new_row};
use super::master_key::{MasterKey, MasterKeyError};
use super::token::Claims;
use crate::clock;
use crate::domain::ledger::CheckpointSigner;
use crate::store::{Store, StoreError, access as rows, sql};
use crate::{bind, store};

/// What is written in front of an Ed25519 seed to make it PKCS#8 (RFC 8410).
const PKCS8_ED25519: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// Tokens that are remembered.
const VERIFIED: u64 = 10_000;

const TOKEN: &str = "token";
pub(super) const LEDGER: &str = "ledger";
const PAGE_TOKEN: &str = "page_token";

/// Why the keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The master key.
    #[error(transparent)]
    Master(#[from] MasterKeyError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored key that cannot be read.
    #[error("the stored key {0} is malformed")]
    Malformed(String),
    /// A key that the server cannot do without is not there, or its row is not authentic.
    #[error(
        "the table secret_keys has no usable key for `{0}`: it is missing or not authentic, and the log names it; restore the table from a backup"
    )]
    Missing(&'static str),
}

/// The keys, open.
pub struct KeyRing {
    /// The name and key that sign new tokens.
    pub signing: (String, EncodingKey),
    /// All keys whose tokens are good, by name.
    pub verifying: HashMap<String, DecodingKey>,
    /// Names and public keys, for publication.
    pub published: Vec<(String, String)>,
    /// Signs checkpoints.
    pub ledger: Arc<CheckpointSigner>,
    /// With which checkpoints are verified.
    pub ledger_verifier: String,
    /// The ledger's name.
    pub ledger_origin: String,
    /// Authenticates page tokens.
    pub page_token: [u8; 32],
    /// Tokens whose signature was found good, by their digest: a signature costs more than all the rest of
    /// a check. New keys come as a new ring, which remembers nothing.
    pub(super) verified: Cache<[u8; 32], Claims>,
}

impl KeyRing {
    /// Opens the keys of a database; makes them when it has none.
    pub async fn open(store: &Store, master: &Arc<MasterKey>) -> Result<Self, KeyError> {
        let mut stored = authentic_keys(store, master).await?;
        if stored.is_empty() {
            let new = [token_key(master)?, ledger_key(master)?, secret_key(master)?];
            match store.write_unrecorded(store::Unrecorded::FirstStart, new, |tx, new| Box::pin(insert_first(tx, new))).await {
                // Another replica was first.
                Ok(()) | Err(StoreError::Duplicate(_)) => {}
                Err(error) => return Err(error.into()),
            }
            stored = authentic_keys(store, master).await?;
        }
        Self::from_rows(&stored, master)
    }

    fn from_rows(stored: &[rows::KeyRow], master: &MasterKey) -> Result<Self, KeyError> {
        let missing = |purpose| move || KeyError::Missing(purpose);
        let mut verifying = HashMap::new();
        let mut published = Vec::new();
        let mut signing = None;
        for key in stored.iter().filter(|key| key.purpose == TOKEN) {
            let malformed = |_| KeyError::Malformed(key.key_id.clone());
            verifying.insert(key.key_id.clone(), DecodingKey::from_ed_components(&key.public_key).map_err(malformed)?);
            published.push((key.key_id.clone(), key.public_key.clone()));
            if key.retired.is_none() {
                let seed = master.open(&key.sealed)?;
                let der = zeroize::Zeroizing::new([PKCS8_ED25519.as_slice(), &seed].concat());
                signing = Some((key.key_id.clone(), EncodingKey::from_ed_der(&der)));
            }
        }
        // The newest, so that putting back the row of one that is retired changes nothing.
        let ledger = stored.iter().rfind(|key| key.purpose == LEDGER && key.retired.is_none()).ok_or_else(missing(LEDGER))?;
        let signer = checkpoint_signer(master, ledger)?;
        let page = stored.iter().find(|key| key.purpose == PAGE_TOKEN).ok_or_else(missing(PAGE_TOKEN))?;
        let page_token = master.open(&page.sealed)?.as_slice().try_into().map_err(|_| KeyError::Malformed(page.key_id.clone()))?;
        Ok(Self {
            signing: signing.ok_or_else(missing(TOKEN))?,
            verifying,
            published,
            ledger: Arc::new(signer),
            ledger_verifier: ledger.public_key.clone(),
            ledger_origin: ledger.key_id.clone(),
            page_token,
            verified: Cache::new(VERIFIED),
        })
    }

    /// The published keys as a JSON Web Key Set (RFC 7517, RFC 8037).
    pub fn jwks(&self) -> String {
        let key = |(kid, x): &(String, String)| serde_json::json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": kid, "x": x});
        serde_json::json!({"keys": self.published.iter().map(key).collect::<Vec<_>>()}).to_string()
    }
}

async fn insert_first(tx: &store::Tx, new: &[rows::KeyRow; 3]) -> Result<(), StoreError> {
    // The row decides which of several replicas makes the keys.
    sql::execute(&**tx, "INSERT INTO settings (name, value) VALUES ('keys', 'made')", bind![]).await?;
    for key in new {
        rows::insert_key(tx, key).await?;
    }
    Ok(())
}

/// A new key that signs tokens.
pub fn token_key(master: &MasterKey) -> Result<rows::KeyRow, KeyError> {
    let key = SigningKey::from_bytes(&clock::random_bytes::<32>());
    new_row(master, clock::new_uid(), TOKEN, URL_SAFE_NO_PAD.encode(key.verifying_key().as_bytes()), key.as_bytes())
}

fn ledger_key(master: &MasterKey) -> Result<rows::KeyRow, KeyError> {
    let key = SigningKey::from_bytes(&clock::random_bytes::<32>());
    ledger_key_of(master, format!("stagegate.{}", clock::new_uid()), &key)
}

/// The key that signs checkpoints, under another origin.
pub fn ledger_key_under(master: &MasterKey, origin: String, present: &rows::KeyRow) -> Result<rows::KeyRow, KeyError> {
    let malformed = || KeyError::Malformed(present.key_id.clone());
    let text = master.open(&present.sealed)?;
    let encoded = std::str::from_utf8(&text).ok().and_then(|text| text.splitn(5, '+').nth(4)).ok_or_else(malformed)?;
    let bytes = zeroize::Zeroizing::new(STANDARD.decode(encoded).map_err(|_| malformed())?);
    let seed: &[u8; 32] = bytes.get(1..).and_then(|seed| seed.try_into().ok()).ok_or_else(malformed)?;
    ledger_key_of(master, origin, &SigningKey::from_bytes(seed))
}

fn ledger_key_of(master: &MasterKey, origin: String, key: &SigningKey) -> Result<rows::KeyRow, KeyError> {
    let public = signed_note::new_ed25519_verifier_key(&origin, &key.verifying_key());
    let id = public.split('+').nth(1).unwrap_or_default();
    // Algorithm 1 is Ed25519 in the private key form of signed notes.
    let bytes = zeroize::Zeroizing::new([&[1], key.as_bytes().as_slice()].concat());
    let private = zeroize::Zeroizing::new(STANDARD.encode(&*bytes));
    let private = zeroize::Zeroizing::new(format!("PRIVATE+KEY+{origin}+{id}+{}", *private));
    new_row(master, origin, LEDGER, public, private.as_bytes())
}

/// What signs the checkpoints of a stored key.
pub fn checkpoint_signer(master: &MasterKey, ledger: &rows::KeyRow) -> Result<CheckpointSigner, KeyError> {
    let malformed = || KeyError::Malformed(ledger.key_id.clone());
    let private = master.open(&ledger.sealed)?;
    let private = std::str::from_utf8(&private).map_err(|_| malformed())?;
    CheckpointSigner::new(&ledger.key_id, private).map_err(|_| malformed())
}

fn secret_key(master: &MasterKey) -> Result<rows::KeyRow, KeyError> {
    new_row(master, clock::new_uid(), PAGE_TOKEN, String::new(), &clock::random_bytes::<32>())
}
