//! Bearer tokens: JWTs that this server signs and verifies.

use jsonwebtoken::{Algorithm, Header, Validation};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::keys::KeyRing;
use crate::clock;

/// Who issues the tokens, and for whom.
const ISSUER: &str = "stagegate";

/// What a token says. All of it is signed, so a check needs no look-up.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// The issuer.
    pub iss: String,
    /// The audience.
    pub aud: String,
    /// The user's immutable id.
    pub sub: String,
    /// The token's id.
    pub jti: String,
    /// Unix seconds.
    pub iat: u64,
    /// Unix seconds.
    pub exp: u64,
    /// Permissions that it is limited to; none: all of its user's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub perm: Vec<String>,
    /// A pattern of model names that it is limited to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<String>,
    /// A pattern of experiment names that it is limited to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experiments: Option<String>,
    /// Made on the command line.
    #[serde(default)]
    pub cli: bool,
    /// The person who made it for someone else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

impl Claims {
    /// Claims of a token for `user` from `now` until `expires`, both in Unix milliseconds.
    pub fn new(user: &str, token_id: &str, now: i64, expires: i64) -> Self {
        let seconds = |ms: i64| (ms / 1_000).max(0).unsigned_abs();
        Self {
            iss: ISSUER.to_owned(),
            aud: ISSUER.to_owned(),
            sub: user.to_owned(),
            jti: token_id.to_owned(),
            iat: seconds(now),
            exp: seconds(expires),
            perm: Vec::new(),
            models: None,
            experiments: None,
            cli: false,
            by: None,
        }
    }
}

/// The text of a token.
pub fn sign(keys: &KeyRing, claims: &Claims) -> Result<String, jsonwebtoken::errors::Error> {
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid = Some(keys.signing.0.clone());
    jsonwebtoken::encode(&header, claims, &keys.signing.1)
}

/// The claims of a token's text; none when anything about it is wrong or its time is over. The same text is
/// verified once and then known by its digest; its expiry is looked at each time.
pub fn verify(keys: &KeyRing, text: &str) -> Option<Claims> {
    let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    if let Some(claims) = keys.verified.get(&digest) {
        let now = clock::now_ms().unsigned_abs() / 1_000;
        return (claims.exp >= now).then_some(claims);
    }
    let claims = verify_signature(keys, text)?;
    keys.verified.insert(digest, claims.clone());
    Some(claims)
}

/// The claims of a token's text; none when anything about it is wrong. The key is looked up by its exact
/// name among the server's own, and it decides the algorithm.
fn verify_signature(keys: &KeyRing, text: &str) -> Option<Claims> {
    let header = jsonwebtoken::decode_header(text).ok()?;
    let names_keys = header.jwk.is_some() || header.jku.is_some() || header.x5u.is_some() || header.x5c.is_some();
    if header.alg != Algorithm::EdDSA || names_keys || header.crit.is_some() {
        return None;
    }
    let key = keys.verifying.get(header.kid.as_deref()?)?;
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[ISSUER]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    // Only the server's own tokens come here, and nothing in them begins in the future: there is no skew
    // to allow for, and a token of one second shall not live for thirty.
    validation.leeway = 0;
    Some(jsonwebtoken::decode::<Claims>(text, key, &validation).ok()?.claims)
}

/// Whether a token's text names a key that is not among `keys`: it may be newer than they are.
pub fn names_unknown_key(keys: &KeyRing, text: &str) -> bool {
    let kid = jsonwebtoken::decode_header(text).ok().and_then(|header| header.kid);
    kid.is_some_and(|kid| kid.len() == 32 && !keys.verifying.contains_key(&kid))
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;

#[cfg(test)]
mod memory_tests {
    use std::sync::Arc;

    use super::*;
    use crate::access::MasterKey;
    use crate::store::testing::stores;

    #[tokio::test]
    async fn a_remembered_token_is_good_until_it_expires_and_no_other_text_is() {
        let folder = tempfile::tempdir().unwrap();
        let master = Arc::new(MasterKey::load(&folder.path().join("master.key"), false).unwrap());
        let store = &stores().await[0].store;
        let keys = KeyRing::open(store, &master).await.unwrap();
        let now = clock::now_ms();
        let claims = Claims::new("user", "token", now, now + 60_000);
        let text = sign(&keys, &claims).unwrap();
        for _ in 0..2 {
            assert_eq!(verify(&keys, &text), Some(claims.clone()));
            assert_eq!(verify(&keys, &text[..text.len() - 2]), None);
        }
        let expired = Claims::new("user", "token", now - 120_000, now - 60_000);
        assert_eq!(verify(&keys, &sign(&keys, &expired).unwrap()), None);
        // One that was good when it was first seen.
        keys.verified.insert(Sha256::digest(text.as_bytes()).into(), expired);
        assert_eq!(verify(&keys, &text), None);
        assert_eq!(verify(&KeyRing::open(store, &master).await.unwrap(), &text), Some(claims));
    }
}
