//! Who stood behind those who asked and decided, as it was then.

use std::collections::HashMap;

use sea_orm::ConnectionTrait;

use super::access::read_maker;
use super::{StoreError, Tx, sql};
use crate::bind;
use crate::domain::person::{Actor, Maker};

type Result<T> = std::result::Result<T, StoreError>;

/// The makers of a request's people, by decision (empty for those who asked) and person.
pub type Makers = HashMap<(String, String), Vec<Maker>>;

/// All makers of a request's people.
pub async fn of<C: ConnectionTrait>(on: &C, request: &str) -> Result<Makers> {
    let query = "SELECT k.deed, k.maker_person_uid, k.maker_user_uid, COALESCE(u.name, ''), k.through_user_uid, COALESCE(t.name, ''), \
                 k.decision_uid, k.person_uid FROM request_makers k LEFT JOIN users u ON u.uid = k.maker_user_uid \
                 LEFT JOIN users t ON t.uid = k.through_user_uid WHERE k.request_uid = $1 ORDER BY k.through_user_uid, k.deed, u.name";
    let mut makers = Makers::new();
    for row in sql::all(on, query, bind![request]).await? {
        makers.entry((row.get(6)?, row.get(7)?)).or_default().push(read_maker(&row)?);
    }
    Ok(makers)
}

/// Keeps who stands behind one who asks (with an empty `decision`) or decides. Those of the login are there already: a
/// trigger copies them. Errors with `Refused` where four eyes would be one pair.
pub async fn insert(tx: &Tx, request: &str, decision: &str, actor: &Actor) -> Result<()> {
    let insert = "INSERT INTO request_makers (request_uid, decision_uid, person_uid, deed, maker_user_uid, maker_person_uid, through_user_uid) \
                  SELECT $1, $2, $3, $4, $5, $6, $7 WHERE NOT EXISTS (SELECT 1 FROM request_makers o WHERE o.request_uid = $1 \
                  AND o.decision_uid = $2 AND o.person_uid = $3 AND o.deed = $4 AND o.maker_user_uid = $5 AND o.maker_person_uid = $6 \
                  AND o.through_user_uid = $7)";
    for maker in &actor.makers {
        let through = maker.through.as_ref().map_or("", |login| login.uid.as_str());
        let (login, person) = (maker.login.uid.as_str(), maker.person.as_str());
        sql::execute(&**tx, insert, bind![request, decision, actor.person.as_str(), maker.deed.as_str(), login, person, through]).await?;
    }
    Ok(())
}
