//! Rows of tokens; never their text.

use sea_orm::ConnectionTrait;

use super::{Result, json, list};
use crate::bind;
use crate::domain::ledger::Revoked;
use crate::store::{Tx, sql};

/// A token without its text.
#[derive(Debug, Clone)]
pub struct TokenRow {
    /// The JWT's `jti`.
    pub token_id: String,
    /// Whose it is.
    pub user_uid: String,
    /// For people.
    pub description: String,
    /// `SIGN_IN`, `API` or `COMMAND_LINE`.
    pub origin: String,
    /// The user who made it; none for the command line.
    pub issued_by: Option<String>,
    /// Unix milliseconds.
    pub created: i64,
    /// Unix milliseconds.
    pub expires: i64,
    /// Unix milliseconds, to the minute.
    pub last_used: Option<i64>,
    /// Unix milliseconds.
    pub revoked: Option<i64>,
    /// Permissions that it is limited to.
    pub permissions: Vec<String>,
    /// A pattern of model names that it is limited to.
    pub model_pattern: Option<String>,
    /// The token that it was made with, by id; it does not outlive that one.
    pub parent_id: Option<String>,
    /// A pattern of experiment names that it is limited to.
    pub experiment_pattern: Option<String>,
}

const TOKEN_COLUMNS: &str = "token_id, user_uid, description, origin, issued_by, created, expires, last_used, revoked, permissions, model_pattern, experiment_pattern, parent_id";

fn read_token(row: &sql::Row) -> Result<TokenRow> {
    Ok(TokenRow {
        token_id: row.get(0)?,
        user_uid: row.get(1)?,
        description: row.get(2)?,
        origin: row.get(3)?,
        issued_by: row.get(4)?,
        created: row.get(5)?,
        expires: row.get(6)?,
        last_used: row.get(7)?,
        revoked: row.get(8)?,
        permissions: list(&row.get::<String>(9)?),
        model_pattern: row.get(10)?,
        experiment_pattern: row.get(11)?,
        parent_id: row.get(12)?,
    })
}

/// Inserts a token.
pub async fn insert_token(tx: &Tx, token: &TokenRow) -> Result<()> {
    sql::execute(
        &**tx,
        "INSERT INTO tokens (token_id, user_uid, description, origin, issued_by, created, expires, permissions, model_pattern, \
         experiment_pattern, parent_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        bind![
            token.token_id.as_str(),
            token.user_uid.as_str(),
            token.description.as_str(),
            token.origin.as_str(),
            token.issued_by.clone(),
            token.created,
            token.expires,
            json(&token.permissions),
            token.model_pattern.clone(),
            token.experiment_pattern.clone(),
            token.parent_id.clone()
        ],
    )
    .await?;
    Ok(())
}

/// A token by its id.
pub async fn token<C: ConnectionTrait>(on: &C, token_id: &str) -> Result<Option<TokenRow>> {
    let query = format!("SELECT {TOKEN_COLUMNS} FROM tokens WHERE token_id = $1");
    sql::first(on, &query, bind![token_id]).await?.as_ref().map(read_token).transpose()
}

/// A user's tokens that were made before `(created, token_id)`, the newest first.
pub async fn tokens_before<C: ConnectionTrait>(on: &C, user: &str, before: (i64, &str), limit: u64) -> Result<Vec<TokenRow>> {
    let query = format!(
        "SELECT {TOKEN_COLUMNS} FROM tokens WHERE user_uid = $1 AND (created < $2 OR created = $2 AND token_id < $3) \
         ORDER BY created DESC, token_id DESC LIMIT $4"
    );
    let values = bind![user, before.0, before.1, limit.cast_signed()];
    sql::all(on, &query, values).await?.iter().map(read_token).collect()
}

/// Revokes a token and all that were made with it. Gives those that were revoked now.
pub async fn revoke_token(tx: &Tx, token_id: &str) -> Result<Revoked> {
    revoke_with_children(tx, "token_id = $1", token_id).await
}

/// Revokes the tokens of a condition on `$1`, and all that were made with them. Gives those that were revoked now and would
/// still be good.
pub(super) async fn revoke_with_children(tx: &Tx, condition: &str, value: &str) -> Result<Revoked> {
    let update = format!(
        "WITH RECURSIVE fallen (id) AS (SELECT token_id FROM tokens WHERE {condition} \
         UNION SELECT t.token_id FROM tokens t JOIN fallen f ON t.parent_id = f.id) \
         UPDATE tokens SET revoked = $2 WHERE revoked IS NULL AND expires > $2 AND token_id IN (SELECT id FROM fallen) \
         RETURNING token_id, expires"
    );
    sql::all(&**tx, &update, bind![value, tx.now()]).await?.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
}

/// Notes when tokens were last used.
pub async fn touch_tokens(tx: &Tx, used: &[(String, i64)]) -> Result<()> {
    for (token_id, at) in used {
        let update = "UPDATE tokens SET last_used = $2 WHERE token_id = $1 AND COALESCE(last_used, 0) < $2";
        sql::execute(&**tx, update, bind![token_id.as_str(), *at]).await?;
    }
    Ok(())
}
