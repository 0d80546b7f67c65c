//! The ledger as C2SP tlog-tiles, for monitors that follow any transparency log. The checkpoint and the tree's hashes
//! are public: monitors send no tokens, and hashes of rows tell nothing of them, because each row has an id and a salt
//! of 128 random bits; they do tell how many rows there are. The rows' bytes need `ledger.read`.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tlog_tiles::Tile;
use tokio::sync::Semaphore;

use super::plain::refuse;
use super::rest::response;
use super::surface::{Passage, Surface};
use crate::access::{Access, ClientAddress};
use crate::contract::{operation_by_path, v1};
use crate::service::{self, Error};

/// Hashes in a full tile, and its height.
const WIDTH: u64 = 256;
const HEIGHT: u8 = 8;
/// Levels that a tree of 64 bits can have.
const LEVELS: u8 = 8;
/// Tiles that are read at a time: strangers may ask for them, and must not keep the database from others.
static READING: Semaphore = Semaphore::const_new(4);
/// Who may read the rows.
const READS: &str = "/stagegate.v1.LedgerService/ListLedgerEntries";

/// The newest checkpoint with the lines of its witnesses.
pub async fn checkpoint(State(access): State<Arc<Access>>, request: Parts) -> Response {
    let Some(signed) = access.store.ledger_feed().signed().borrow().clone() else {
        return refuse(&request.headers, StatusCode::NOT_FOUND, "RESOURCE_DOES_NOT_EXIST", "there is no checkpoint yet");
    };
    match service::served_checkpoint(&access.store, &signed).await {
        Ok(note) => answer(note.into(), "text/plain; charset=utf-8", "public, max-age=1"),
        Err(error) => response::failed(&error, &crate::clock::new_uid()),
    }
}

/// A tile of hashes, or a bundle of rows.
pub async fn tile(State(access): State<Arc<Access>>, Path(path): Path<String>, request: Parts) -> Response {
    let none = |said| refuse(&request.headers, StatusCode::NOT_FOUND, "RESOURCE_DOES_NOT_EXIST", said);
    let Some(tile) = parse(&path) else { return none("there is no such tile: give `LEVEL/N`, `LEVEL/N.p/WIDTH`, or `entries/…`") };
    if tile.is_data()
        && let Err(refused) = reader(&access, &request).await
    {
        return response::failed(&refused, &crate::clock::new_uid());
    }
    let size = access.store.ledger_feed().signed().borrow().as_ref().map_or(0, |signed| signed.size);
    if end_of(&tile) > u128::from(size) {
        return none("the tree does not reach that tile yet");
    }
    let Ok(_turn) = READING.acquire().await else { return none("the server stops") };
    let read = if tile.is_data() {
        service::entry_bundle(&access.store, tile.level_index() * WIDTH, u64::from(tile.width())).await
    } else {
        service::hash_tile(&access.store, tile).await
    };
    let caching = if tile.is_data() { "private, max-age=31536000, immutable" } else { "public, max-age=31536000, immutable" };
    match read {
        Ok(bytes) => answer(bytes.into(), "application/octet-stream", caching),
        Err(error) => response::failed(&error, &crate::clock::new_uid()),
    }
}

fn answer(body: Bytes, kind: &'static str, caching: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static(caching)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (headers, body).into_response()
}

/// Has the caller checked as one who lists rows.
async fn reader(access: &Arc<Access>, request: &Parts) -> Result<(), Error> {
    let operation = operation_by_path(READS).ok_or_else(|| Error::Internal(format!("there is no operation {READS}")))?;
    let surface = Surface::new(access.clone());
    let source = request.extensions.get::<ClientAddress>().copied().unwrap_or_default();
    let passage = Passage::begin(operation, source);
    let checked = async {
        let sender = surface.known(operation, request.headers.clone(), source).await?;
        surface.admit(&passage, &sender, &v1::ListLedgerEntriesRequest::default()).await
    };
    let checked = checked.await;
    passage.end(checked).map(|_| ())
}

/// The position after the last row that a tile covers.
fn end_of(tile: &Tile) -> u128 {
    let end = u128::from(tile.level_index()) * u128::from(WIDTH) + u128::from(tile.width());
    end << (u32::from(tile.level()) * u32::from(HEIGHT))
}

/// Reads `LEVEL/N[.p/WIDTH]` or `entries/N[.p/WIDTH]`, with N in groups of three digits. Only the one right spelling.
fn parse(path: &str) -> Option<Tile> {
    let (level, rest) = path.split_once('/')?;
    let is_data = level == "entries";
    let level: u8 = if is_data { 0 } else { level.parse().ok().filter(|level| *level < LEVELS)? };
    let (number, width) = match rest.split_once(".p/") {
        None => (rest, 256),
        Some((number, width)) => (number, width.parse().ok().filter(|width| (1..256).contains(width))?),
    };
    let mut n = 0_u64;
    for group in number.split('/') {
        let digits = group.strip_prefix('x').unwrap_or(group);
        if digits.len() != 3 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        n = n.checked_mul(1_000)?.checked_add(digits.parse().ok()?)?;
    }
    let tile = Tile::new(HEIGHT, level, n, width, is_data);
    let spelled = tile.path();
    let spelled = spelled.strip_prefix("tile/8/")?;
    let given = if is_data { format!("data/{rest}") } else { path.to_owned() };
    (spelled == given).then_some(tile)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_spelling_of_a_tile_is_one() {
        for (path, level, n, width) in
            [("0/000", 0, 0, 256), ("1/x001/x234/067.p/8", 1, 1_234_067, 8), ("entries/x001/000.p/255", 0, 1_000, 255)]
        {
            let tile = parse(path).unwrap_or_else(|| panic!("{path}"));
            assert_eq!((tile.level(), tile.level_index(), tile.width()), (level, n, width));
        }
        for path in [
            "",
            "0",
            "0/0",
            "00/000",
            "8/000",
            "64/000",
            "255/000",
            "0/x000",
            "0/001/000",
            "0/x000/001",
            "0/000.p/0",
            "0/000.p/256",
            "0/000.p/08",
            "0/000/",
            "0/00a",
            "0/+01",
            "data/000",
            "-1/000",
            "0/x999/x999/x999/x999/x999/x999/x999/999",
            "entries",
            "entries/0",
        ] {
            assert!(parse(path).is_none(), "{path}");
        }
        assert_eq!(end_of(&parse("7/000").unwrap()), 1 << 64);
    }
}
