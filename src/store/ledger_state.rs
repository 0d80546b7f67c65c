//! The state as the tables hold it, for the comparison with what the rows of the ledger say. All is read in one
//! transaction that sees one state of the database; it begins when the rows before it were read already.

use std::collections::BTreeMap;

use futures::TryStreamExt;
use sea_orm::DatabaseTransaction;

use super::artifacts::ManifestFile;
use super::ledger::{self as rows, Positioned};
use super::{Reading, Store, StoreError, access, gates, sql, version_files};
use crate::bind;
use crate::domain::ledger::replay::{self, Comparison, Decided, Fields, Held, Replay, StateReport, Thing};
use crate::domain::ledger::{DecisionNow, Filed, GrantNow, RowKey};

type Result<T> = std::result::Result<T, StoreError>;

/// Rows that are read at a time.
const PAGE: u64 = 500;

/// Compares the tables with the rows. `replay` was fed all rows before the position `from`; what came since is read here.
pub async fn compare(store: &Store, mut replay: Replay, from: u64) -> Result<StateReport> {
    let view = store.view().await?;
    newest(&view, store.row_key(), &mut replay, from).await?;
    let mut comparison = replay.compare();
    tables(&view, &mut comparison).await?;
    view.done().await?;
    Ok(comparison.finish())
}

/// The rows that were written since the others were read. Those that the server did not write count for nothing: they
/// get no place in the log.
async fn newest(view: &Reading<DatabaseTransaction>, key: Option<&RowKey>, replay: &mut Replay, from: u64) -> Result<()> {
    let mut next = from.cast_signed();
    let wrote = |row: &Positioned| key.is_none_or(|key| row.is_authentic(key));
    loop {
        let page = rows::page(view, "p.position >= $1", bind![next].into(), PAGE).await?;
        let Some(last) = page.last() else { break };
        next = last.position + 1;
        for row in page.iter().filter(|row| wrote(row)) {
            replay.row(Some(row.position.cast_unsigned()), &row.entry);
        }
    }
    for row in rows::waiting(view).await?.iter().filter(|row| wrote(row)) {
        replay.row(None, &row.entry);
    }
    Ok(())
}

async fn tables(on: &Reading<DatabaseTransaction>, to: &mut Comparison) -> Result<()> {
    for (gate, active) in gates::all(on).await? {
        to.seen(&Thing::Gate { id: gate.gate_id.clone(), version: gate.version.into() }, &replay::gate_fields(&gate, active));
    }
    each(on, to, "SELECT uid, name, canonical_name, deleted FROM registered_models", model).await?;
    versions(on, to).await?;
    each(on, to, "SELECT model_uid, alias, version_uid FROM model_aliases", alias).await?;
    holdings(on, to).await?;
    let requests =
        "SELECT uid, model_uid, version_uid, target, gate_id, gate_version, expires, state, evidence_digest FROM transition_requests";
    each(on, to, requests, request).await?;
    each(on, to, "SELECT request_uid, person_uid, withdrawn FROM request_requesters", requester).await?;
    decisions(on, to).await?;
    users(on, to).await?;
    each(on, to, "SELECT uid, name, canonical_name FROM user_groups", group).await?;
    each(on, to, "SELECT group_uid, user_uid FROM group_members", member).await?;
    each(on, to, "SELECT name, permissions FROM personas", persona).await?;
    let grants = "SELECT uid, principal_kind, principal_uid, persona, scope_kind, scope_value, targets, effect FROM grants";
    each(on, to, grants, grant).await?;
    let mut revoked = std::pin::pin!(
        sql::stream(on, "SELECT token_id FROM tokens WHERE revoked IS NOT NULL AND expires > $1", bind![to.tokens_until]).await?
    );
    while let Some(row) = revoked.try_next().await? {
        to.seen(&Thing::Revocation { token: row.get(0)? }, &Fields::new());
    }
    Ok(())
}

/// Users, with what they sign in with and who stands behind that.
async fn users(on: &Reading<DatabaseTransaction>, to: &mut Comparison) -> Result<()> {
    let mut makers = access::makers_now(on).await?;
    let query = format!("SELECT {}, uid, name, canonical_name, kind, person_uid, active FROM users", access::CREDENTIAL_COLUMNS);
    let mut found = std::pin::pin!(sql::stream(on, &query, []).await?);
    while let Some(row) = found.try_next().await? {
        let uid: String = row.get(3)?;
        let credentials = access::read_credentials(&row, makers.remove(&uid).unwrap_or_default())?;
        let mut fields = user_fields(&row)?;
        fields.extend(replay::credential_fields(&credentials));
        to.seen(&Thing::User { id: uid }, &fields);
    }
    Ok(())
}

/// Shows each row of a query to the comparison.
async fn each(
    on: &Reading<DatabaseTransaction>,
    to: &mut Comparison,
    query: &str,
    read: fn(&sql::Row) -> Result<(Thing, Fields)>,
) -> Result<()> {
    let mut found = std::pin::pin!(sql::stream(on, query, []).await?);
    while let Some(row) = found.try_next().await? {
        let (thing, fields) = read(&row)?;
        to.seen(&thing, &fields);
    }
    Ok(())
}

fn model(row: &sql::Row) -> Result<(Thing, Fields)> {
    let deleted: Option<i64> = row.get(3)?;
    Ok((Thing::Model { id: row.get(0)? }, replay::model_fields(&row.get::<String>(1)?, &row.get::<String>(2)?, deleted.is_some())))
}

/// The versions, each with the digest of the files that the tables have for it.
async fn versions(on: &Reading<DatabaseTransaction>, to: &mut Comparison) -> Result<()> {
    let query = "SELECT v.uid, v.model_uid, v.version, v.source_digest, v.current_stage, v.deleted, f.path, f.blob_uid, b.size, b.sha256, v.purged \
                 FROM model_versions v LEFT JOIN version_artifacts f ON f.version_uid = v.uid LEFT JOIN blobs b ON b.uid = f.blob_uid \
                 ORDER BY v.uid";
    let mut found = std::pin::pin!(sql::stream(on, query, []).await?);
    let mut version: Option<(Thing, sql::Row)> = None;
    let mut files = Vec::new();
    let mut tell = |version: Option<(Thing, sql::Row)>, files: &mut Vec<ManifestFile>| {
        let Some((thing, row)) = version else { return Ok::<_, StoreError>(()) };
        let (digest, stage, deleted): (String, String, Option<i64>) = (row.get(3)?, row.get(4)?, row.get(5)?);
        let there = version_files::digest_of(&std::mem::take(files));
        let purged: Option<i64> = row.get(10)?;
        let ends = (deleted.is_some(), purged.is_some());
        to.seen(&thing, &replay::version_fields(row.get(2)?, (&digest, &there), &stage, ends));
        Ok(())
    };
    while let Some(row) = found.try_next().await? {
        let thing = Thing::Version { model: row.get(1)?, id: row.get(0)? };
        if let Some(path) = row.get::<Option<String>>(6)? {
            if version.as_ref().is_none_or(|(before, _)| *before != thing) {
                tell(version.take(), &mut files)?;
            }
            let (size, sha256): (Option<i64>, Option<String>) = (row.get(8)?, row.get(9)?);
            // Of a blob that is gone nothing is known; so much suffices for another digest.
            files.push(ManifestFile { path, blob: row.get(7)?, size: size.unwrap_or(-1), sha256: sha256.unwrap_or_default() });
        } else {
            tell(version.take(), &mut files)?;
        }
        version = Some((thing, row));
    }
    tell(version, &mut files)
}

fn alias(row: &sql::Row) -> Result<(Thing, Fields)> {
    Ok((Thing::Alias { model: row.get(0)?, alias: row.get(1)? }, replay::alias_fields(row.get(2)?)))
}

/// The holdings of all targets, each in the order in which they began.
async fn holdings(on: &Reading<DatabaseTransaction>, to: &mut Comparison) -> Result<()> {
    let query = "SELECT model_uid, target, version_uid, from_time, until_time FROM holdings ORDER BY id";
    let mut targets: BTreeMap<(String, String), Held> = BTreeMap::new();
    let mut found = std::pin::pin!(sql::stream(on, query, []).await?);
    while let Some(row) = found.try_next().await? {
        targets.entry((row.get(0)?, row.get(1)?)).or_default().stored(row.get(2)?, row.get(3)?, row.get(4)?);
    }
    for ((model, target), held) in targets {
        to.seen(&Thing::Target { model, target }, &held.fields());
    }
    Ok(())
}

fn request(row: &sql::Row) -> Result<(Thing, Fields)> {
    let filed =
        Filed { version_id: row.get(2)?, target: row.get(3)?, gate_id: row.get(4)?, gate_version: row.get(5)?, expires: row.get(6)? };
    let model: String = row.get(1)?;
    Ok((Thing::Request { id: row.get(0)? }, replay::request_fields(&filed, &model, row.get(7)?, row.get(8)?)))
}

fn requester(row: &sql::Row) -> Result<(Thing, Fields)> {
    let withdrawn: Option<i64> = row.get(2)?;
    Ok((Thing::Requester { request: row.get(0)?, person: row.get(1)? }, replay::requester_fields(withdrawn.is_some())))
}

/// The decisions of each person on each request.
async fn decisions(on: &Reading<DatabaseTransaction>, to: &mut Comparison) -> Result<()> {
    let query = "SELECT request_uid, person_uid, user_uid, kind, evidence_digest, voided FROM request_decisions";
    let mut all: BTreeMap<(String, String), Vec<Decided>> = BTreeMap::new();
    let mut found = std::pin::pin!(sql::stream(on, query, []).await?);
    while let Some(row) = found.try_next().await? {
        let (person_id, voided): (String, Option<i64>) = (row.get(1)?, row.get(5)?);
        let decision = DecisionNow { person_id: person_id.clone(), user_id: row.get(2)?, kind: row.get(3)?, evidence_digest: row.get(4)? };
        all.entry((row.get(0)?, person_id)).or_default().push((decision, voided.is_some()));
    }
    for ((request, person), decisions) in all {
        to.seen(&Thing::Decisions { request, person }, &replay::decision_fields(&decisions));
    }
    Ok(())
}

/// Reads a user from the columns after the credentials.
fn user_fields(row: &sql::Row) -> Result<Fields> {
    let (name, canonical, kind): (String, String, String) = (row.get(4)?, row.get(5)?, row.get(6)?);
    Ok(replay::user_fields(&name, &canonical, &kind, &row.get::<String>(7)?, row.get(8)?))
}

fn group(row: &sql::Row) -> Result<(Thing, Fields)> {
    Ok((Thing::Group { id: row.get(0)? }, replay::group_fields(&row.get::<String>(1)?, &row.get::<String>(2)?)))
}

fn member(row: &sql::Row) -> Result<(Thing, Fields)> {
    Ok((Thing::Member { group: row.get(0)?, user: row.get(1)? }, Fields::new()))
}

fn persona(row: &sql::Row) -> Result<(Thing, Fields)> {
    Ok((Thing::Persona { name: row.get(0)? }, replay::persona_fields(&list(&row.get::<String>(1)?))))
}

fn grant(row: &sql::Row) -> Result<(Thing, Fields)> {
    let grant = GrantNow {
        principal_kind: row.get(1)?,
        principal_id: row.get(2)?,
        persona: row.get(3)?,
        scope_kind: row.get(4)?,
        scope: row.get(5)?,
        targets: list(&row.get::<String>(6)?),
        effect: row.get(7)?,
    };
    Ok((Thing::Grant { id: row.get(0)? }, replay::grant_fields(&grant)))
}

/// A list as it is stored. One that is none differs from every list.
fn list(text: &str) -> Vec<String> {
    serde_json::from_str(text).unwrap_or_else(|_| vec![text.to_owned()])
}
