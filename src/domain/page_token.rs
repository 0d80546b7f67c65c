//! Page tokens: opaque to clients, and bound to the query whose pages they continue. A token is one that
//! a server with this key gave for this query, or it is refused; no field of it is believed before that.
//!
//! The text is base64url without padding of: version (1 byte), cursor, tag (16 bytes of HMAC-SHA256 over
//! a label, the version, the query's digest and the cursor). The cursor is not encrypted.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use super::field::FieldError;

/// The longest token that is looked at, in bytes of its text.
pub const MAX_TOKEN_BYTES: usize = 256 * 1024;
/// The longest cursor whose token is not too long. Key values have longer ones (tags): put the row's id
/// in the cursor then, or a digest, and look the value up.
pub const MAX_CURSOR_BYTES: usize = MAX_TOKEN_BYTES / 4 * 3 - 1 - TAG_BYTES;

const VERSION: u8 = 1;
const TAG_BYTES: usize = 16;
/// Keeps these tags apart from whatever else is made with the same key.
const LABEL: &[u8] = b"stagegate page token";

/// Why a page token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PageTokenError {
    /// Longer than `MAX_TOKEN_BYTES`.
    #[error("has {0} bytes; at most {MAX_TOKEN_BYTES} are allowed")]
    TooLong(usize),
    /// Not from this server, damaged, or from another query: which of them is not told.
    #[error("does not belong to this query; send the token of an earlier answer, and everything else unchanged")]
    Invalid,
}

impl From<PageTokenError> for FieldError {
    fn from(error: PageTokenError) -> Self {
        Self::new("page_token", error.to_string())
    }
}

/// A token for the page behind `cursor`, which has at most `MAX_CURSOR_BYTES`: the token of a longer one
/// is refused when it comes back.
pub fn seal(key: &[u8; 32], query_digest: &[u8; 32], cursor: &[u8]) -> String {
    let tag = mac(key, query_digest, cursor).finalize().into_bytes();
    let mut bytes = Vec::with_capacity(1 + cursor.len() + TAG_BYTES);
    bytes.push(VERSION);
    bytes.extend_from_slice(cursor);
    bytes.extend_from_slice(&tag[..TAG_BYTES]);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The cursor of a token that was sealed with the same key for the same query.
pub fn open(key: &[u8; 32], query_digest: &[u8; 32], token: &str) -> Result<Vec<u8>, PageTokenError> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(PageTokenError::TooLong(token.len()));
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| PageTokenError::Invalid)?;
    let (body, tag) = bytes.split_last_chunk::<TAG_BYTES>().ok_or(PageTokenError::Invalid)?;
    let Some((&VERSION, cursor)) = body.split_first() else {
        return Err(PageTokenError::Invalid);
    };
    mac(key, query_digest, cursor).verify_truncated_left(tag).map_err(|_| PageTokenError::Invalid)?;
    Ok(cursor.to_vec())
}

/// What makes two queries the same: the operation, and every part that decides who asked and which rows
/// come in which order. Its digest is what tokens are bound to.
#[derive(Debug, Clone)]
pub struct Query(Sha256);

impl Query {
    /// A query of an operation.
    pub fn new(operation: &str) -> Self {
        Self(Sha256::new()).part(operation.as_bytes())
    }

    /// With a further part. Parts that are divided differently make another query.
    #[must_use]
    pub fn part(mut self, part: &[u8]) -> Self {
        self.0.update((part.len() as u64).to_be_bytes());
        self.0.update(part);
        self
    }

    /// SHA-256 of the parts, each after its length.
    pub fn digest(&self) -> [u8; 32] {
        self.0.clone().finalize().into()
    }

    /// A token for the page of this query behind `cursor`; see [`seal`].
    pub fn token(&self, key: &[u8; 32], cursor: &[u8]) -> String {
        seal(key, &self.digest(), cursor)
    }

    /// The cursor of a token of this query; see [`open`]. The error is the field `page_token`'s.
    pub fn cursor(&self, key: &[u8; 32], token: &str) -> Result<Vec<u8>, FieldError> {
        Ok(open(key, &self.digest(), token)?)
    }
}

fn mac(key: &[u8; 32], query_digest: &[u8; 32], cursor: &[u8]) -> Hmac<Sha256> {
    // Cannot fail: HMAC takes keys of every length.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
    mac.update(LABEL);
    mac.update(&[VERSION]);
    mac.update(query_digest);
    mac.update(cursor);
    mac
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: [u8; 32] = [7; 32];

    #[test]
    fn a_token_belongs_to_its_query_and_key() {
        let query = Query::new("SearchRuns").part(b"a").part(b"bc");
        let token = query.token(&KEY, b"cursor");
        assert_eq!(query.cursor(&KEY, &token), Ok(b"cursor".to_vec()));
        for other in [
            Query::new("SearchRuns").part(b"ab").part(b"c"),
            Query::new("SearchRuns").part(b"a").part(b"bc").part(b""),
            Query::new("SearchRuns").part(b"a"),
            Query::new("SearchRunsabc"),
        ] {
            let error = other.cursor(&KEY, &token).unwrap_err();
            assert!(error.field == "page_token" && error.message.contains("does not belong to this query"));
        }
        assert!(query.cursor(&[8; 32], &token).is_err());
    }

    #[test]
    fn what_was_never_a_token_is_refused() {
        let own = seal(&KEY, &[0; 32], b"x");
        for text in ["", "AQ", "eyJvZmZzZXQiOiAxMDB9", "not base64!", &format!("{own}=")] {
            assert_eq!(open(&KEY, &[0; 32], text), Err(PageTokenError::Invalid), "{text}");
        }
        assert_eq!(open(&KEY, &[0; 32], &"A".repeat(300_000)), Err(PageTokenError::TooLong(300_000)));
    }

    #[test]
    fn the_longest_cursor_comes_back() {
        let cursor = vec![0xff; MAX_CURSOR_BYTES];
        let token = seal(&KEY, &[0; 32], &cursor);
        assert!(token.len() <= MAX_TOKEN_BYTES);
        assert_eq!(open(&KEY, &[0; 32], &token), Ok(cursor));
    }

    proptest! {
        #[test]
        fn a_changed_token_is_refused(
            cursor in proptest::collection::vec(any::<u8>(), 0..60),
            at in any::<prop::sample::Index>(),
            with in "[A-Za-z0-9_=+/ -]",
        ) {
            let token = seal(&KEY, &[0; 32], &cursor);
            let at = at.index(token.len());
            let changed = format!("{}{with}{}", &token[..at], &token[at + 1..]);
            let longer = format!("{}{with}{}", &token[..at], &token[at..]);
            let shorter = format!("{}{}", &token[..at], &token[at + 1..]);
            prop_assert_eq!(open(&KEY, &[0; 32], &token), Ok(cursor));
            for forged in [changed, longer, shorter] {
                prop_assert!(forged == token || open(&KEY, &[0; 32], &forged).is_err(), "{}", forged);
            }
        }
    }
}
