//! What users sign in with and who stands behind that, as rows of the ledger tell it.

use std::collections::HashMap;

use sea_orm::ConnectionTrait;
use sha2::{Digest, Sha256};

use super::Result;
use crate::bind;
use crate::domain::ledger::{CredentialsNow, MakerNow};
use crate::store::sql;

/// The columns of a user that [`read_credentials`] reads first.
pub const CREDENTIAL_COLUMNS: &str = "password_hash, password_temporary, generation";

const MAKERS: &str = "SELECT user_uid, deed, maker_user_uid, maker_person_uid, through_user_uid FROM user_makers WHERE vouched IS NULL";

/// The credentials of a user, as they are within a write.
pub async fn credentials<C: ConnectionTrait>(on: &C, uid: &str) -> Result<CredentialsNow> {
    let makers = sql::all(on, &format!("{MAKERS} AND user_uid = $1"), bind![uid]).await?;
    let makers = makers.iter().map(read_maker_now).collect::<Result<_>>()?;
    let row = sql::one(on, &format!("SELECT {CREDENTIAL_COLUMNS} FROM users WHERE uid = $1"), bind![uid]).await?;
    read_credentials(&row, makers)
}

/// Reads credentials from the first columns of a row, with the makers of the same user.
pub fn read_credentials(row: &sql::Row, mut makers: Vec<MakerNow>) -> Result<CredentialsNow> {
    let hash: Option<String> = row.get(0)?;
    makers.sort();
    Ok(CredentialsNow {
        // The hash is salted and slow: its digest tells nothing of the password.
        password: hash.map(|hash| hex::encode(Sha256::digest(hash))),
        temporary: row.get(1)?,
        generation: row.get(2)?,
        makers,
    })
}

/// Those who stand behind logins and for whom nobody has vouched, by the ids of the logins.
pub async fn makers_now<C: ConnectionTrait>(on: &C) -> Result<HashMap<String, Vec<MakerNow>>> {
    let mut makers: HashMap<String, Vec<MakerNow>> = HashMap::new();
    for row in sql::all(on, MAKERS, []).await? {
        makers.entry(row.get(0)?).or_default().push(read_maker_now(&row)?);
    }
    Ok(makers)
}

fn read_maker_now(row: &sql::Row) -> Result<MakerNow> {
    Ok(MakerNow { deed: row.get(1)?, user_id: row.get(2)?, person_id: row.get(3)?, through_id: row.get(4)? })
}
