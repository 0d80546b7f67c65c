//! Pages of lists: a cursor of the last object shown, sealed in a token that is good for its query only.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Error, Result};
use crate::access::Call;
use crate::domain::page_token::Query;

/// The query of a call, made of everything in the request that decides what comes, and who asks.
pub(super) fn query(call: &Call, parts: &[&[u8]]) -> Query {
    let query = Query::new(call.operation().full_name).part(call.caller().user_uid.as_bytes());
    parts.iter().fold(query, |query, part| query.part(part))
}

/// The cursor of a request's token; none for the first page.
pub(super) fn cursor<C: DeserializeOwned>(call: &Call, query: &Query, token: &str) -> Result<Option<C>> {
    if token.is_empty() {
        return Ok(None);
    }
    let bytes = query.cursor(&call.access().keys().page_token, token)?;
    serde_json::from_slice(&bytes).map(Some).map_err(|error| Error::Internal(error.to_string()))
}

/// Cuts what was read beyond the page, and makes the token of the next one from the last object shown.
pub(super) fn cut<T, C: Serialize>(
    call: &Call,
    query: &Query,
    found: &mut Vec<T>,
    size: u64,
    cursor: impl FnOnce(&T) -> C,
) -> Result<String> {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if found.len() <= size {
        return Ok(String::new());
    }
    found.truncate(size);
    let Some(last) = found.last() else { return Ok(String::new()) };
    let bytes = serde_json::to_vec(&cursor(last)).map_err(|error| Error::Internal(error.to_string()))?;
    Ok(query.token(&call.access().keys().page_token, &bytes))
}
