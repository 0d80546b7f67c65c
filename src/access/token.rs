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
    /// The generation of its user's credentials.
    #[serde(default)]
    pub r#gen: i64,
    /// The tokens that it was made with, by id, the nearest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub up: Vec<String>,
    /// When a password was proven for it, in Unix seconds: the mark of a session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<u64>,
    /// The user who made it for someone else, by id, and the generation of that user's credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<(String, i64)>,
    /// Who stood behind its making, by the ids of their users.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub makers: Vec<String>,
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
            r#gen: 0,
            up: Vec::new(),
            auth_time: None,
            by: None,
            makers: Vec::new(),
        }
    }
}

/// The text of a token.
pub fn sign(keys: &KeyRing, claims: &Claims) -> Result<String, jsonwebtoken::errors::Error> {
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid = Some(keys.signing.0.clone());
    jsonwebtoken::encode(&header, claims, &keys.signing.1)
}

/// Why a token is not good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Something about it is wrong.
    NotOurs,
    /// Nothing but its time, which was over at this second of Unix time.
    Expired(u64),
}

/// The claims of a token's text. The same text is verified once and then known by its digest; its expiry is looked at
/// each time.
pub fn verify(keys: &KeyRing, text: &str) -> Result<Claims, Fault> {
    let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    let claims = match keys.verified.get(&digest) {
        Some(claims) => claims,
        None => {
            let claims = verify_signature(keys, text).ok_or(Fault::NotOurs)?;
            keys.verified.insert(digest, claims.clone());
            claims
        }
    };
    let now = clock::now_ms().unsigned_abs() / 1_000;
    if claims.exp >= now { Ok(claims) } else { Err(Fault::Expired(claims.exp)) }
}

/// Whether a text is made as a token is.
pub fn is_token(text: &str) -> bool {
    jsonwebtoken::decode_header(text).is_ok()
}

/// The claims of a token's text, whether or not its time is over; none when anything else about it is wrong. The key is
/// looked up by its exact name among the server's own, and it decides the algorithm.
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
    // The caller looks at the time, so that a token that is nothing but old can be told so.
    validation.validate_exp = false;
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
            assert_eq!(verify(&keys, &text), Ok(claims.clone()));
            assert_eq!(verify(&keys, &text[..text.len() - 2]), Err(Fault::NotOurs));
        }
        let expired = Claims::new("user", "token", now - 120_000, now - 60_000);
        let over = Err(Fault::Expired(expired.exp));
        assert_eq!(verify(&keys, &sign(&keys, &expired).unwrap()), over);
        // One that was good when it was first seen.
        keys.verified.insert(Sha256::digest(text.as_bytes()).into(), expired);
        assert_eq!(verify(&keys, &text), over);
        assert_eq!(verify(&KeyRing::open(store, &master).await.unwrap(), &text), Ok(claims));
    }
}
