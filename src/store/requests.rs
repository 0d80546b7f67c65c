//! Promotion requests: who asks, what it rests on, who decided.

use sea_orm::{ConnectionTrait, Value};

use super::search::Query;
use super::{StoreError, Tx, evidence, request_makers, sql};
use crate::bind;
use crate::domain::evidence::KeptEvidence;
use crate::domain::request::{Actor, State};

type Result<T> = std::result::Result<T, StoreError>;

/// A request as its table holds it, with its model's name and its version's number.
#[derive(Debug, Clone)]
pub struct RequestRow {
    /// Immutable.
    pub uid: String,
    /// The registered model's id.
    pub model_uid: String,
    /// The registered model's name.
    pub model_name: String,
    /// The version's id.
    pub version_uid: String,
    /// The version's number.
    pub version: i64,
    /// The stage that the version is in.
    pub current_stage: String,
    /// As written.
    pub target: String,
    /// Where it stands.
    pub state: State,
    /// The gate that it was filed under.
    pub gate_id: String,
    /// The gate's version.
    pub gate_version: i64,
    /// How many persons must approve.
    pub approvals_required: i64,
    /// What an approval must refer to.
    pub evidence_digest: String,
    /// Unix milliseconds.
    pub created: i64,
    /// Unix milliseconds.
    pub updated: i64,
    /// Unix milliseconds.
    pub expires: Option<i64>,
}

const SELECT: &str = "SELECT q.uid, q.model_uid, m.name, q.version_uid, v.version, q.target, q.state, q.gate_id, q.gate_version, \
    g.approvals_required, q.evidence_digest, q.created, q.updated, q.expires, v.current_stage FROM transition_requests q \
    JOIN registered_models m ON m.uid = q.model_uid JOIN model_versions v ON v.uid = q.version_uid \
    JOIN gates g ON g.gate_id = q.gate_id AND g.version = q.gate_version";

fn read(row: &sql::Row) -> Result<RequestRow> {
    let state: String = row.get(6)?;
    Ok(RequestRow {
        uid: row.get(0)?,
        model_uid: row.get(1)?,
        model_name: row.get(2)?,
        version_uid: row.get(3)?,
        version: row.get(4)?,
        current_stage: row.get(14)?,
        target: row.get(5)?,
        state: State::parse(&state).ok_or_else(|| StoreError::Internal(format!("a request's state is {state:?}")))?,
        gate_id: row.get(7)?,
        gate_version: row.get(8)?,
        approvals_required: row.get(9)?,
        evidence_digest: row.get(10)?,
        created: row.get(11)?,
        updated: row.get(12)?,
        expires: row.get(13)?,
    })
}

async fn select<C: ConnectionTrait>(on: &C, condition: &str, values: impl IntoIterator<Item = Value>) -> Result<Vec<RequestRow>> {
    sql::all(on, &format!("{SELECT} WHERE {condition}"), values).await?.iter().map(read).collect()
}

/// A request by its id.
pub async fn by_uid<C: ConnectionTrait>(on: &C, uid: &str) -> Result<Option<RequestRow>> {
    Ok(select(on, "q.uid = $1", bind![uid]).await?.pop())
}

/// The open request of a version for a target.
pub async fn open_of<C: ConnectionTrait>(on: &C, version_uid: &str, target: &str) -> Result<Option<RequestRow>> {
    Ok(select(on, "q.version_uid = $1 AND q.target = $2 AND q.state = 'OPEN'", bind![version_uid, target]).await?.pop())
}

/// The open requests of a model, for one target or, when it is empty, for all.
pub async fn open_in<C: ConnectionTrait>(on: &C, model_uid: &str, target: &str) -> Result<Vec<RequestRow>> {
    select(on, "q.model_uid = $1 AND ($2 = '' OR q.target = $2) AND q.state = 'OPEN' ORDER BY q.created, q.uid", bind![model_uid, target])
        .await
}

/// The requests of a query on `q` and `m`, the newest first.
pub async fn search<C: ConnectionTrait>(on: &C, mut query: Query, limit: u64) -> Result<Vec<RequestRow>> {
    let limit = query.bind(limit.cast_signed());
    let condition = format!("{} ORDER BY q.created DESC, q.uid DESC LIMIT {limit}", query.condition());
    select(on, &condition, query.values).await
}

/// Inserts an open request with its evidence.
pub async fn insert(tx: &Tx, request: &RequestRow, rests_on: &KeptEvidence) -> Result<()> {
    let insert = "INSERT INTO transition_requests (uid, model_uid, version_uid, target, state, gate_id, gate_version, evidence_digest, \
                  created, updated, expires) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $10)";
    let values = bind![
        request.uid.as_str(),
        request.model_uid.as_str(),
        request.version_uid.as_str(),
        request.target.as_str(),
        request.state.as_str(),
        request.gate_id.as_str(),
        request.gate_version,
        request.evidence_digest.as_str(),
        request.created,
        request.expires
    ];
    sql::execute(&**tx, insert, values).await?;
    evidence::insert(tx, &request.uid, rests_on).await
}

/// Lets a request rest on another evidence record; approvals of the earlier one no longer count.
pub async fn renew_evidence(tx: &Tx, uid: &str, digest: &str) -> Result<()> {
    sql::execute(&**tx, "UPDATE transition_requests SET evidence_digest = $2, updated = $3 WHERE uid = $1", bind![uid, digest, tx.now()])
        .await?;
    let void = "UPDATE request_decisions SET voided = $3 WHERE request_uid = $1 AND evidence_digest <> $2 AND voided IS NULL";
    sql::execute(&**tx, void, bind![uid, digest, tx.now()]).await?;
    Ok(())
}

/// Ends a request. Errors with `Refused` when it has ended, or the quorum is not met.
pub async fn end(tx: &Tx, uid: &str, state: State) -> Result<()> {
    let update = "UPDATE transition_requests SET state = $2, updated = $3 WHERE uid = $1";
    sql::execute(&**tx, update, bind![uid, state.as_str(), tx.now()]).await?;
    Ok(())
}

/// Someone who asks, or asked.
#[derive(Debug, Clone)]
pub struct RequesterRow {
    /// Whom four eyes count.
    pub actor: Actor,
    /// The user's name.
    pub user_name: String,
    /// Why.
    pub comment: String,
    /// Unix milliseconds.
    pub created: i64,
    /// Unix milliseconds.
    pub withdrawn: Option<i64>,
}

/// Those who asked for a request, the first first.
pub async fn requesters<C: ConnectionTrait>(on: &C, uid: &str) -> Result<Vec<RequesterRow>> {
    let query = "SELECT r.person_uid, r.issuer_person_uid, u.name, r.comment, r.created, r.withdrawn FROM request_requesters r \
                 JOIN users u ON u.uid = r.user_uid WHERE r.request_uid = $1 ORDER BY r.created, u.name";
    let mut makers = request_makers::of(on, uid).await?;
    let mut read = |row: &sql::Row| {
        let (person, name): (String, String) = (row.get(0)?, row.get(2)?);
        let makers = makers.remove(&(String::new(), person.clone())).unwrap_or_default();
        Ok(RequesterRow {
            actor: Actor { person, name: name.clone(), issuer: row.get(1)?, makers },
            user_name: name,
            comment: row.get(3)?,
            created: row.get(4)?,
            withdrawn: row.get(5)?,
        })
    };
    sql::all(on, query, bind![uid]).await?.iter().map(&mut read).collect()
}

/// Adds a requester with who stands behind it; one who withdrew asks again.
pub async fn insert_requester(tx: &Tx, uid: &str, actor: &Actor, user_uid: &str, comment: &str) -> Result<()> {
    let again =
        "UPDATE request_requesters SET withdrawn = NULL, comment = $3 WHERE request_uid = $1 AND person_uid = $2 AND withdrawn IS NOT NULL";
    if sql::execute(&**tx, again, bind![uid, actor.person.as_str(), comment]).await? > 0 {
        return request_makers::insert(tx, uid, "", actor).await;
    }
    let insert = "INSERT INTO request_requesters (request_uid, person_uid, issuer_person_uid, user_uid, comment, created) VALUES ($1, $2, $3, $4, $5, $6)";
    let values = bind![uid, actor.person.as_str(), actor.issuer.clone(), user_uid, comment, tx.now()];
    sql::execute(&**tx, insert, values).await?;
    request_makers::insert(tx, uid, "", actor).await
}

/// Notes that a requester withdrew.
pub async fn withdraw(tx: &Tx, uid: &str, person: &str) -> Result<()> {
    let update = "UPDATE request_requesters SET withdrawn = $3 WHERE request_uid = $1 AND person_uid = $2";
    sql::execute(&**tx, update, bind![uid, person, tx.now()]).await?;
    Ok(())
}

/// Takes back the approval of a person.
pub async fn void_approval(tx: &Tx, uid: &str, person: &str) -> Result<()> {
    let void = "UPDATE request_decisions SET voided = $3 WHERE request_uid = $1 AND person_uid = $2 AND voided IS NULL";
    sql::execute(&**tx, void, bind![uid, person, tx.now()]).await?;
    Ok(())
}

/// Open requests whose time is up, the longest overdue first.
pub async fn overdue<C: ConnectionTrait>(on: &C, now: i64, limit: u64) -> Result<Vec<String>> {
    let query = "SELECT uid FROM transition_requests WHERE state = 'OPEN' AND expires <= $1 ORDER BY expires, uid LIMIT $2";
    sql::all(on, query, bind![now, limit.cast_signed()]).await?.iter().map(|row| row.get(0)).collect()
}

/// A decision.
#[derive(Debug, Clone)]
pub struct DecisionRow {
    /// Whom four eyes count.
    pub actor: Actor,
    /// The user's id; read back as the user's name.
    pub user: String,
    /// Approval or rejection.
    pub approved: bool,
    /// Why.
    pub comment: String,
    /// What was seen.
    pub evidence_digest: String,
    /// The gate's version.
    pub gate_version: i64,
    /// Made with a token of the command line.
    pub command_line: bool,
    /// Unix milliseconds.
    pub created: i64,
    /// Unix milliseconds.
    pub voided: Option<i64>,
}

/// One whose approval of a request was not voided.
#[derive(Debug)]
pub struct Approver {
    /// The user's id.
    pub user: String,
    /// The person's id.
    pub person: String,
    /// The user, by id, who made the token that the approval came through; none when it was the approver's own.
    pub token_maker: Option<String>,
}

/// Those whose approvals of a request were not voided.
pub async fn approvers<C: ConnectionTrait>(on: &C, uid: &str) -> Result<Vec<Approver>> {
    let query = "SELECT d.user_uid, d.person_uid, (SELECT MIN(k.maker_user_uid) FROM request_makers k WHERE k.request_uid = d.request_uid \
                 AND k.decision_uid = d.uid AND k.deed = 'TOKEN' AND k.through_user_uid = '' AND k.maker_user_uid <> '') \
                 FROM request_decisions d WHERE d.request_uid = $1 AND d.kind = 'APPROVED' AND d.voided IS NULL";
    let read = |row: &sql::Row| Ok(Approver { user: row.get(0)?, person: row.get(1)?, token_maker: row.get(2)? });
    sql::all(on, query, bind![uid]).await?.iter().map(read).collect()
}

/// The decisions on a request, the first first; `user` is the user's name.
pub async fn decisions<C: ConnectionTrait>(on: &C, uid: &str) -> Result<Vec<DecisionRow>> {
    let query = "SELECT d.person_uid, d.issuer_person_uid, u.name, d.kind, d.comment, d.evidence_digest, d.gate_version, d.command_line, \
                 d.created, d.voided, d.uid FROM request_decisions d JOIN users u ON u.uid = d.user_uid WHERE d.request_uid = $1 ORDER BY d.created, d.uid";
    let mut makers = request_makers::of(on, uid).await?;
    let mut read = |row: &sql::Row| {
        let (person, name, kind): (String, String, String) = (row.get(0)?, row.get(2)?, row.get(3)?);
        let makers = makers.remove(&(row.get(10)?, person.clone())).unwrap_or_default();
        Ok(DecisionRow {
            actor: Actor { person, name: name.clone(), issuer: row.get(1)?, makers },
            user: name,
            approved: kind == "APPROVED",
            comment: row.get(4)?,
            evidence_digest: row.get(5)?,
            gate_version: row.get(6)?,
            command_line: row.get(7)?,
            created: row.get(8)?,
            voided: row.get(9)?,
        })
    };
    sql::all(on, query, bind![uid]).await?.iter().map(&mut read).collect()
}

/// As it is stored.
pub fn decision_kind(approved: bool) -> &'static str {
    if approved { "APPROVED" } else { "REJECTED" }
}

/// Inserts a decision with who stands behind it; `user` is the user's id. Errors with `Refused` for a requester, with `Duplicate`
/// for a person who has decided.
pub async fn insert_decision(tx: &Tx, uid: &str, decision: &DecisionRow) -> Result<()> {
    let insert = "INSERT INTO request_decisions (uid, request_uid, person_uid, issuer_person_uid, user_uid, kind, comment, evidence_digest, \
                  gate_version, command_line, created) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    let kind = decision_kind(decision.approved);
    let decision_uid = crate::clock::new_uid();
    let values = bind![
        decision_uid.as_str(),
        uid,
        decision.actor.person.as_str(),
        decision.actor.issuer.clone(),
        decision.user.as_str(),
        kind,
        decision.comment.as_str(),
        decision.evidence_digest.as_str(),
        decision.gate_version,
        decision.command_line,
        tx.now()
    ];
    sql::execute(&**tx, insert, values).await?;
    request_makers::insert(tx, uid, &decision_uid, &decision.actor).await
}
