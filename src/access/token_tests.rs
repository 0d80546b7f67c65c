//! What is wrong with a token in any way is refused.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ed25519_dalek::{Signer, SigningKey};
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::*;
use crate::access::MasterKey;
use crate::clock;
use crate::store::{Store, sqlite_url};

/// A key of the tests' own under a name, and a ring that knows it.
struct Keys {
    ring: KeyRing,
    key: SigningKey,
    kid: String,
    _folder: tempfile::TempDir,
}

async fn keys() -> Keys {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&sqlite_url(&folder.path().join("t.db"))).await.unwrap();
    let master = Arc::new(MasterKey::load(&folder.path().join("master.key"), false).unwrap());
    let mut ring = KeyRing::open(&store, &master).await.unwrap();
    let key = SigningKey::from_bytes(&clock::random_bytes());
    let kid = clock::new_uid();
    let public = URL_SAFE_NO_PAD.encode(key.verifying_key().as_bytes());
    ring.verifying.insert(kid.clone(), jsonwebtoken::DecodingKey::from_ed_components(&public).unwrap());
    Keys { ring, key, kid, _folder: folder }
}

fn claims() -> Value {
    let now = clock::now_ms() / 1_000;
    json!({"iss": "stagegate", "aud": "stagegate", "sub": "u", "jti": "t", "iat": now, "exp": now + 600, "cli": false})
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

impl Keys {
    fn header(&self) -> Value {
        json!({"typ": "JWT", "alg": "EdDSA", "kid": self.kid})
    }

    /// Rightly signed, whatever it says.
    fn text(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = self.key.sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }

    fn takes(&self, text: &str) -> bool {
        verify(&self.ring, text).is_ok()
    }
}

#[tokio::test]
async fn a_good_token_is_taken() {
    let keys = keys().await;
    assert!(keys.takes(&keys.text(&keys.header(), &claims())));
    let now = clock::now_ms();
    let mut made = Claims::new("user", "token", now, now + 60_000);
    made.perm = vec!["runs.edit".to_owned()];
    let text = sign(&keys.ring, &made).unwrap();
    assert_eq!(verify(&keys.ring, &text), Ok(made));
}

#[tokio::test]
async fn other_algorithms_are_refused() {
    let keys = keys().await;
    for alg in ["none", "nOnE", "NONE", "", "HS256", "RS256", "ES256", "eddsa"] {
        let mut header = keys.header();
        header["alg"] = json!(alg);
        assert!(!keys.takes(&keys.text(&header, &claims())), "{alg}");
        let unsigned = format!("{}.{}.", part(&header), part(&claims()));
        assert!(!keys.takes(&unsigned) && !keys.takes(unsigned.trim_end_matches('.')), "{alg} without a signature");
    }
}

#[tokio::test]
async fn the_public_key_is_no_shared_secret() {
    let keys = keys().await;
    let raw = keys.key.verifying_key().to_bytes().to_vec();
    let spki = [&[0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0], raw.as_slice()].concat();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(&spki));
    let x = URL_SAFE_NO_PAD.encode(&raw);
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": keys.kid, "x": x}).to_string();
    for secret in [raw, spki, pem.clone().into_bytes(), pem.trim_end().as_bytes().to_vec(), jwk.into_bytes(), x.into_bytes()] {
        let mut header = keys.header();
        header["alg"] = json!("HS256");
        let signed = format!("{}.{}", part(&header), part(&claims()));
        let mut mac = Hmac::<Sha256>::new_from_slice(&secret).unwrap();
        mac.update(signed.as_bytes());
        let text = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()));
        assert!(!keys.takes(&text));
    }
}

#[tokio::test]
async fn bad_signatures_are_refused() {
    let keys = keys().await;
    let text = keys.text(&keys.header(), &claims());
    let (signed, signature) = text.rsplit_once('.').unwrap();
    for zero in [vec![0; 64], vec![0; 32], vec![0; 0], vec![0xff; 64]] {
        assert!(!keys.takes(&format!("{signed}.{}", URL_SAFE_NO_PAD.encode(zero))));
    }
    for length in 0..text.len() {
        assert!(!keys.takes(&text[..length]), "truncated to {length}");
    }
    assert!(!keys.takes(&format!("{text}.")) && !keys.takes(&format!("{text}A")) && !keys.takes(&format!("{signed}.{signature}=")));
    let mut other = claims();
    other["sub"] = json!("admin");
    assert!(!keys.takes(&format!("{}.{}.{signature}", part(&keys.header()), part(&other))), "other claims");
}

#[tokio::test]
async fn claims_are_required_and_typed() {
    let keys = keys().await;
    for name in ["iss", "aud", "sub", "jti", "iat", "exp"] {
        let mut missing = claims();
        missing.as_object_mut().unwrap().remove(name);
        assert!(!keys.takes(&keys.text(&keys.header(), &missing)), "{name} is missing");
        for wrong in [json!(null), json!({}), json!([]), json!(true), json!(-1), json!(""), json!("stagegate2"), json!(1.5)] {
            // A user's or a token's id is any text; whether there is such a one is asked elsewhere.
            if wrong.is_string() && (name == "sub" || name == "jti") {
                continue;
            }
            let mut changed = claims();
            changed[name] = wrong.clone();
            assert!(!keys.takes(&keys.text(&keys.header(), &changed)), "{name} is {wrong}");
        }
    }
    let mut as_text = claims();
    as_text["exp"] = json!(as_text["exp"].to_string());
    assert!(!keys.takes(&keys.text(&keys.header(), &as_text)), "exp as text");
    let mut expired = claims();
    expired["exp"] = json!(clock::now_ms() / 1_000 - 2);
    assert!(!keys.takes(&keys.text(&keys.header(), &expired)), "expired");
    let mut more = claims();
    more["admin"] = json!(true);
    assert!(!keys.takes(&keys.text(&keys.header(), &more)), "an unknown claim");
    for audience in [json!(["stagegate", "other"]), json!("other"), json!(["stagegate"])] {
        let mut several = claims();
        several["aud"] = audience.clone();
        assert!(!keys.takes(&keys.text(&keys.header(), &several)), "{audience}");
    }
}

#[tokio::test]
async fn the_key_is_found_by_its_exact_name_and_nothing_else() {
    let keys = keys().await;
    for kid in [
        json!(clock::new_uid()),
        json!("../keys/a"),
        json!("/dev/null"),
        json!("' OR 1=1 --"),
        json!("http://x/jwks.json"),
        json!(""),
        json!(null),
        json!(keys.kid.to_uppercase() + " "),
        json!([keys.kid]),
        json!(1),
    ] {
        let mut header = keys.header();
        header["kid"] = kid.clone();
        assert!(!keys.takes(&keys.text(&header, &claims())), "{kid}");
    }
    let mut header = keys.header();
    header.as_object_mut().unwrap().remove("kid");
    assert!(!keys.takes(&keys.text(&header, &claims())), "no kid");
    let stranger = Keys { key: SigningKey::from_bytes(&clock::random_bytes()), ..keys };
    assert!(!stranger.takes(&stranger.text(&stranger.header(), &claims())), "another key under a known name");
}

#[tokio::test]
async fn headers_that_bring_keys_or_demands_are_refused() {
    let keys = keys().await;
    let x = URL_SAFE_NO_PAD.encode(keys.key.verifying_key().as_bytes());
    for (name, value) in [
        ("jwk", json!({"kty": "OKP", "crv": "Ed25519", "x": x})),
        ("jku", json!("https://example.org/jwks.json")),
        ("x5u", json!("https://example.org/a.pem")),
        ("x5c", json!(["MIIB"])),
        ("crit", json!(["b64"])),
        ("crit", json!([])),
    ] {
        let mut header = keys.header();
        header[name] = value;
        assert!(!keys.takes(&keys.text(&header, &claims())), "{name}");
    }
}

#[tokio::test]
async fn only_plausible_names_of_keys_are_worth_a_look() {
    let keys = keys().await;
    let text = |kid: &str| {
        let mut header = keys.header();
        header["kid"] = json!(kid);
        keys.text(&header, &claims())
    };
    assert!(names_unknown_key(&keys.ring, &text(&clock::new_uid())));
    assert!(!names_unknown_key(&keys.ring, &text(&keys.kid)) && !names_unknown_key(&keys.ring, &text("../x")));
}
