//! Keys in the database are good only with the mark of the master key: who writes tables without it forges nothing.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::SigningKey;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use sea_orm::ConnectionTrait;
use serde_json::json;
use stagegate::contract::v1;
use stagegate::store::sql;
use tonic::Code;

use crate::house::{Client, Db, Server};

on_both_engines! {
    a_key_written_past_the_server_signs_nothing,
    no_column_of_a_key_can_be_changed,
}

/// The PKCS#8 form of an Ed25519 seed begins with this (RFC 8410).
const PKCS8: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

struct Forger {
    seed: [u8; 32],
    admin: String,
}

impl Forger {
    async fn at(server: &Server) -> Self {
        let row = sql::one(&server.sql().await, "SELECT uid FROM users WHERE name = 'admin'", []).await.expect("a row");
        Self { seed: [7; 32], admin: row.get(0).expect("a text") }
    }

    fn public(&self) -> String {
        URL_SAFE_NO_PAD.encode(SigningKey::from_bytes(&self.seed).verifying_key().as_bytes())
    }

    /// A client with a token of the admin's that this key signs.
    fn token(&self, server: &Server, kid: &str) -> Client {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(kid.to_owned());
        let now = stagegate::clock::now_ms() / 1_000;
        let claims = json!({
            "iss": "stagegate", "aud": "stagegate", "sub": self.admin, "jti": "f".repeat(32), "iat": now, "exp": now + 600,
        });
        let key = EncodingKey::from_ed_der(&[PKCS8.as_slice(), &self.seed].concat());
        server.with_token("admin", jsonwebtoken::encode(&header, &claims, &key).expect("a token"))
    }
}

fn bytes(server: &Server, text: &[u8]) -> String {
    let text = hex::encode(text);
    if server.db == Db::Sqlite { format!("X'{text}'") } else { format!("decode('{text}', 'hex')") }
}

async fn run(server: &Server, change: &str) {
    let sql = server.sql().await;
    let changed = sql.execute_unprepared(change).await.expect("SQL beside the server");
    assert!(changed.rows_affected() > 0, "{change}");
    sql.execute_unprepared("UPDATE access_epoch SET epoch = epoch + 1").await.expect("SQL beside the server");
    tokio::time::sleep(Duration::from_millis(1_500)).await;
}

async fn who(client: &Client) -> Result<String, Code> {
    let answer: Result<v1::WhoAmIResponse, _> = client.call("WhoAmI", v1::WhoAmIRequest {}).await;
    answer.map(|answer| answer.user.expect("a user").user_name).map_err(|status| status.code())
}

async fn a_key_written_past_the_server_signs_nothing(mut server: Server) {
    let (admin, forger, kid) = (server.admin().await, Forger::at(&server).await, "a".repeat(32));
    let insert = format!(
        "INSERT INTO secret_keys (key_id, purpose, public_key, sealed, created, retired, mac) \
         VALUES ('{kid}', 'token', '{}', {}, 1, 1, {})",
        forger.public(),
        bytes(&server, b"x"),
        bytes(&server, &[1; 32])
    );
    run(&server, &insert).await;
    let forged = forger.token(&server, &kid);
    assert_eq!(who(&forged).await, Err(Code::Unauthenticated), "a forged key is taken for one of ours");
    assert_eq!(who(&admin).await, Ok("admin".to_owned()), "one bad row does not take the server down");
    let published = server.nobody().http().json(http::Method::GET, "/.well-known/jwks.json", "").await;
    assert!(!String::from_utf8_lossy(&published.body).contains(&kid), "a forged key is published");
    // A mark of another row is none for this one.
    let copied = "UPDATE secret_keys SET mac = (SELECT mac FROM secret_keys WHERE purpose = 'token' AND retired IS NULL) WHERE key_id = ";
    run(&server, &format!("{copied}'{kid}'")).await;
    assert_eq!(who(&forged).await, Err(Code::Unauthenticated));
    let told = server.log().lines().any(|line| line.contains(&kid) && line.contains("not authentic"));
    assert!(told, "nobody is told of the forged key");
    server.stop();
    server.restart();
    assert_eq!(who(&forger.token(&server, &kid)).await, Err(Code::Unauthenticated));
    assert_eq!(who(&server.admin().await).await, Ok("admin".to_owned()));
}

async fn no_column_of_a_key_can_be_changed(mut server: Server) {
    let (admin, forger) = (server.admin().await, Forger::at(&server).await);
    let sql = server.sql().await;
    let row = sql::one(&sql, "SELECT key_id FROM secret_keys WHERE purpose = 'token'", []).await.expect("a row");
    let first: String = row.get(0).expect("a text");
    let old = admin.clone();
    let answer: v1::RotateSigningKeyResponse = admin.call("RotateSigningKey", v1::RotateSigningKeyRequest {}).await.expect("a new key");
    assert_eq!(who(&old).await, Ok("admin".to_owned()), "tokens of the earlier key stay good");
    // The retired key's row: another public key, signing again, another age, another purpose.
    run(&server, &format!("UPDATE secret_keys SET public_key = '{}' WHERE key_id = '{first}'", forger.public())).await;
    assert_eq!(who(&forger.token(&server, &first)).await, Err(Code::Unauthenticated), "the public key was replaced");
    assert_eq!(who(&old).await, Err(Code::Unauthenticated), "a changed row is good for nothing");
    for change in [
        format!("UPDATE secret_keys SET retired = NULL WHERE key_id = '{first}'"),
        format!("UPDATE secret_keys SET created = created + 1 WHERE key_id = '{}'", answer.key_id),
    ] {
        run(&server, &change).await;
    }
    // The key that signs is gone by now: the running server goes on with the keys that it knows, and says so.
    assert_eq!(who(&server.admin().await).await, Ok("admin".to_owned()));
    assert!(server.log().contains("cannot be read again"), "nobody is told");
    server.stop();
    let (well, said) = server.command(&["serve", "--listen", "127.0.0.1:0"]);
    assert!(!well && said.contains("not authentic"), "a server without a key to sign with must not start: {said}");
    let back = format!("UPDATE secret_keys SET created = created - 1 WHERE key_id = '{}'", answer.key_id);
    sql.execute_unprepared(&back).await.expect("SQL beside the server");
    server.restart();
    assert_eq!(who(&server.admin().await).await, Ok("admin".to_owned()));
}
