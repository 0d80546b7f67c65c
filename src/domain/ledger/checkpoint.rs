//! Signed checkpoints: origin, size and root of the tree as a C2SP signed note.

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

    /// The signed note of a tree. `extension` is empty or whole lines.
    pub fn sign(&self, size: u64, root: Hash, extension: &str) -> Result<String, CheckpointError> {
        let checkpoint = Checkpoint::new(&self.origin, size, root, extension).map_err(|_| CheckpointError::Malformed)?;
        let mut note = Note::new(&checkpoint.to_bytes(), &[]).map_err(|_| CheckpointError::Malformed)?;
        note.add_sigs(&[&self.signer]).map_err(|_| CheckpointError::Key)?;
        String::from_utf8(note.to_bytes()).map_err(|_| CheckpointError::Malformed)
    }
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
