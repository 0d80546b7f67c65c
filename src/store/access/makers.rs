//! Rows of those who stand behind logins.

use sea_orm::ConnectionTrait;

use super::Result;
use crate::bind;
use crate::domain::person::{Deed, Login, Maker};
use crate::store::{StoreError, Tx, sql};

/// Those who stand behind logins for which nobody has vouched, with the id of the login; the first first.
pub async fn makers<C: ConnectionTrait>(on: &C) -> Result<Vec<(String, Maker)>> {
    let query = "SELECT k.deed, k.maker_person_uid, k.maker_user_uid, COALESCE(u.name, ''), k.through_user_uid, COALESCE(t.name, ''), \
                 k.user_uid FROM user_makers k LEFT JOIN users u ON u.uid = k.maker_user_uid LEFT JOIN users t ON t.uid = k.through_user_uid \
                 WHERE k.vouched IS NULL ORDER BY k.created, k.through_user_uid, k.maker_user_uid";
    sql::all(on, query, []).await?.iter().map(|row| Ok((row.get(6)?, read_maker(row)?))).collect()
}

/// Reads deed, person, login (id, name) and the login that it was done through (id, name) from the first columns.
pub fn read_maker(row: &sql::Row) -> Result<Maker> {
    let (deed, through): (String, String) = (row.get(0)?, row.get(4)?);
    Ok(Maker {
        deed: Deed::parse(&deed).ok_or_else(|| StoreError::Internal(format!("a maker's deed is {deed:?}")))?,
        person: row.get(1)?,
        login: Login { uid: row.get(2)?, name: row.get(3)? },
        through: if through.is_empty() { None } else { Some(Login { uid: through, name: row.get(5)? }) },
    })
}

/// Puts those who stand behind a login on record.
pub async fn insert_makers(tx: &Tx, user: &str, makers: &[Maker]) -> Result<()> {
    let insert = "INSERT INTO user_makers (user_uid, deed, maker_user_uid, maker_person_uid, through_user_uid, created) \
                  SELECT $1, $2, $3, $4, $5, $6 WHERE NOT EXISTS (SELECT 1 FROM user_makers o WHERE o.user_uid = $1 AND o.deed = $2 \
                  AND o.maker_user_uid = $3 AND o.through_user_uid = $5 AND o.created = $6)";
    for maker in makers {
        let through = maker.through.as_ref().map_or("", |login| login.uid.as_str());
        let values = bind![user, maker.deed.as_str(), maker.login.uid.as_str(), maker.person.as_str(), through, tx.now()];
        sql::execute(&**tx, insert, values).await?;
    }
    Ok(())
}

/// Somebody vouches for a user: those who stood behind the login until now no longer count. Gives how many they were.
/// Errors with `Refused` when the one who vouches is one of them, or one of them stands behind that one.
pub async fn vouch(tx: &Tx, user: &str, by: &str) -> Result<u64> {
    let update = "UPDATE user_makers SET vouched = $3, vouched_by = $2 WHERE user_uid = $1 AND vouched IS NULL";
    sql::execute(&**tx, update, bind![user, by, tx.now()]).await
}
