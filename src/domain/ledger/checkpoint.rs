//! Signed checkpoints: origin, size and root of the tree as a C2SP signed note.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::VerifyingKey;
use signed_note::{Note, StandardSigner, StandardVerifier, VerifierList};
use tlog_tiles::{Checkpoint, Hash};

/// A checkpoint, or the key for it, that is not what it should be.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CheckpointError {
    /// Not a signed note, or its text no checkpoint.
    #[error("the checkpoint is malformed")]
    Malformed,
    /// Not signed by the key.
    #[error("the checkpoint is not signed by the ledger's key")]
    Signature,
    /// Not a key of signed notes.
    #[error("the key is malformed")]
    Key,
}

/// Signs checkpoints of one ledger.
pub struct CheckpointSigner {
    origin: String,
    signer: StandardSigner,
}

impl CheckpointSigner {
    /// A signer from the text of a private key in the form of signed notes.
    pub fn new(origin: &str, private_key: &str) -> Result<Self, CheckpointError> {
        let signer = StandardSigner::new(private_key).map_err(|_| CheckpointError::Key)?;
        Ok(Self { origin: origin.to_owned(), signer })
    }

    /// The name that it signs under.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The signed note of a tree. `extension` is empty or whole lines.
    pub fn sign(&self, size: u64, root: Hash, extension: &str) -> Result<String, CheckpointError> {
        let checkpoint = Checkpoint::new(&self.origin, size, root, extension).map_err(|_| CheckpointError::Malformed)?;
        let mut note = Note::new(&checkpoint.to_bytes(), &[]).map_err(|_| CheckpointError::Malformed)?;
        note.add_sigs(&[&self.signer]).map_err(|_| CheckpointError::Key)?;
        String::from_utf8(note.to_bytes()).map_err(|_| CheckpointError::Malformed)
    }
}

/// The public key of a ledger. A ledger that was restored from a backup goes on under a new origin, signed by
/// the same key, so a key that was kept under one origin verifies the checkpoints of all.
#[derive(Debug, Clone)]
pub struct LedgerKey {
    name: String,
    public: VerifyingKey,
}

impl LedgerKey {
    /// Reads a verifier key (`name+hash+base64`) under any of the ledger's origins.
    pub fn parse(verifier_key: &str) -> Result<Self, CheckpointError> {
        StandardVerifier::new(verifier_key).map_err(|_| CheckpointError::Key)?;
        let mut parts = verifier_key.splitn(3, '+');
        let (Some(origin), Some(encoded)) = (parts.next(), parts.nth(1)) else { return Err(CheckpointError::Key) };
        let bytes = STANDARD.decode(encoded).map_err(|_| CheckpointError::Key)?;
        let public: &[u8; 32] = bytes.get(1..).and_then(|raw| raw.try_into().ok()).ok_or(CheckpointError::Key)?;
        let public = VerifyingKey::from_bytes(public).map_err(|_| CheckpointError::Key)?;
        Ok(Self { name: name_of(origin).to_owned(), public })
    }

    /// The ledger's first origin.
    pub fn first_origin(&self) -> &str {
        &self.name
    }

    /// The key in the form that verifies the notes of one origin.
    pub fn of_origin(&self, origin: &str) -> String {
        signed_note::new_ed25519_verifier_key(origin, &self.public)
    }

    /// Whether an origin is one of this ledger's.
    pub fn has_origin(&self, origin: &str) -> bool {
        name_of(origin) == self.name
    }

    /// Checks a note of any of the ledger's origins.
    pub fn verify(&self, note: &str) -> Result<VerifiedCheckpoint, CheckpointError> {
        let origin = note.lines().next().unwrap_or_default();
        // A note of another ledger is checked with our own name, to tell it from one that is malformed.
        let origin = if self.has_origin(origin) { origin } else { &self.name };
        verify_note(note, &self.of_origin(origin))
    }
}

/// The part of an origin that stays when the ledger is restored.
fn name_of(origin: &str) -> &str {
    origin.split_once('/').map_or(origin, |(name, _)| name)
}

/// The origin behind `origin`: it counts up, and the mark keeps it from being given again when the ledger is
/// restored once more from before it.
pub fn origin_behind(origin: &str, mark: &str) -> String {
    format!("{}/{}-{mark}", name_of(origin), origin_number(origin).saturating_add(1))
}

/// The how many-eth of its ledger an origin is.
pub fn origin_number(origin: &str) -> u32 {
    origin.split_once('/').and_then(|(_, rest)| rest.split('-').next()?.parse().ok()).unwrap_or(1)
}

/// A checkpoint whose signature is good.
#[derive(Debug, Clone, PartialEq)]
pub struct VerifiedCheckpoint {
    /// The ledger's name.
    pub origin: String,
    /// How many leaves it covers.
    pub size: u64,
    /// The root of the tree of that size.
    pub root: Hash,
}

/// Checks a note against a verifier key (`name+hash+base64`).
pub fn verify_note(note: &str, verifier_key: &str) -> Result<VerifiedCheckpoint, CheckpointError> {
    let verifier = StandardVerifier::new(verifier_key).map_err(|_| CheckpointError::Key)?;
    let parsed = Note::from_bytes(note.as_bytes()).map_err(|_| CheckpointError::Malformed)?;
    parsed.verify(&VerifierList::new(vec![Box::new(verifier)])).map_err(|_| CheckpointError::Signature)?;
    let checkpoint = Checkpoint::from_bytes(parsed.text()).map_err(|_| CheckpointError::Malformed)?;
    Ok(VerifiedCheckpoint { origin: checkpoint.origin().to_owned(), size: checkpoint.size(), root: *checkpoint.hash() })
}
