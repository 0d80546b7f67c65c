//! A row of the ledger and the bytes that stand for it in the tree.

use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};
use tlog_tiles::Hash;

/// The layout of the hashed bytes; a new layout gets a new number and old rows keep theirs.
pub const FORMAT_VERSION: u8 = 1;

const ENTRY_TAG: &str = "stagegate.ledger.entry";
const PAYLOAD_TAG: &str = "stagegate.ledger.payload";

/// The action of the row that starts a new origin, after the ledger was restored from a backup. Its object's id is
/// the new origin.
pub const NEW_ORIGIN: &str = "stagegate.ledger.NewOrigin";

/// The action of the row that stands in the log where a row was refused that the server had not written. Its object's
/// id is the internal id of the refused row.
pub const REFUSED_ENTRY: &str = "stagegate.ledger.RefusedEntry";

/// What the payload of a row says that starts a new origin.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewOrigin {
    /// The origin until here.
    pub previous_origin: String,
    /// The newest checkpoint that the restored ledger holds; empty when it holds none.
    pub previous_checkpoint: String,
    /// A checkpoint of the lost part that was kept elsewhere; empty when there is none.
    pub lost_checkpoint: String,
    /// Why, by the one who did it.
    pub reason: String,
}

/// How a recorded call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Outcome {
    /// The change was made.
    Ok,
    /// The caller was refused.
    Denied,
}

impl Outcome {
    /// As it is stored and hashed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Denied => "DENIED",
        }
    }

    /// The outcome of a stored text.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Ok, Self::Denied].into_iter().find(|outcome| outcome.as_str() == text)
    }
}

/// A row: the header, and the salted payload, of which the leaf holds only the digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// 32 hexadecimal digits, drawn at random.
    pub entry_id: String,
    /// The workspace that the object belongs to.
    pub workspace_id: String,
    /// Unix milliseconds.
    pub time: i64,
    /// The user's immutable id; empty for the server itself.
    pub actor_id: String,
    /// The user's name at that time.
    pub actor_name: String,
    /// The person behind the user.
    pub person_id: String,
    /// The person who issued the token, when it is another one.
    pub on_behalf_of: String,
    /// The token's id; empty when there was none.
    pub token_id: String,
    /// `password`, `token`, `command_line_token`, `command_line` or `system`; `none` for failed sign-ins.
    pub credential: String,
    /// What the client saw in the response metadata.
    pub request_id: String,
    /// The network address of the client, or whom a trusted proxy named; empty for the command line and the server itself.
    pub source_address: String,
    /// The operation's full name.
    pub action: String,
    /// What kind of object it was done to.
    pub object_kind: String,
    /// The object's immutable id.
    pub object_id: String,
    /// The object's name at that time.
    pub object_name: String,
    /// The registered model or experiment that the object belongs to, by id.
    pub scope_id: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, when it was refused.
    pub reason: String,
    /// 16 random bytes in hexadecimal, so that a payload cannot be guessed from its digest.
    pub salt: String,
    /// JSON. None is a finding: the leaf would allow a payload to be erased, but nothing orders that yet.
    #[serde(deserialize_with = "said")]
    pub payload: Option<String>,
    /// SHA-256 over tag, salt and payload, in hexadecimal.
    pub payload_digest: String,
}

/// Reads a field that may be null but not missing: what is left out makes a line malformed.
fn said<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Option::deserialize(deserializer)
}

/// The digest that stands for a payload in the row's leaf, in hexadecimal.
pub fn payload_digest(salt: &str, payload: &str) -> String {
    let mut bytes = Vec::with_capacity(payload.len() + 80);
    for part in [PAYLOAD_TAG, salt, payload] {
        push_text(&mut bytes, part);
    }
    hex::encode(Sha256::digest(&bytes))
}

impl Entry {
    /// The bytes that the tree's leaf is the hash of.
    pub fn leaf_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(512);
        push_text(&mut bytes, ENTRY_TAG);
        bytes.push(FORMAT_VERSION);
        bytes.extend_from_slice(&self.time.to_be_bytes());
        for text in [
            &self.entry_id,
            &self.workspace_id,
            &self.actor_id,
            &self.actor_name,
            &self.person_id,
            &self.on_behalf_of,
            &self.token_id,
            &self.credential,
            &self.request_id,
            &self.source_address,
            &self.action,
            &self.object_kind,
            &self.object_id,
            &self.object_name,
            &self.scope_id,
        ] {
            push_text(&mut bytes, text);
        }
        push_text(&mut bytes, self.outcome.as_str());
        push_text(&mut bytes, &self.reason);
        push_text(&mut bytes, &self.payload_digest);
        bytes
    }

    /// The leaf in the tree (RFC 9162).
    pub fn leaf_hash(&self) -> Hash {
        super::leaf_hash(&self.leaf_bytes())
    }
}

fn push_text(bytes: &mut Vec<u8>, text: &str) {
    // Texts of a row are bounded far below 4 GiB; a longer one could not have been received.
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
}
