//! The room that the message of a gRPC call takes. The bytes of a body are counted as they come; what few bytes say of many
//! objects is counted before they are made.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use bytes::{Buf, BytesMut};
use futures::{StreamExt, stream};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use prost::encoding::{WireType, decode_key, decode_varint};

use super::error;
use crate::clock;
use crate::memory::Held;
use crate::service::Error;

/// What a message takes for each byte that came: the bytes, and what is made of them. Of a stream, only what has come of
/// the next message counts; the one that is worked on is one.
const COPIES: usize = 2;
const COPIES_IN_STREAMS: usize = 1;
/// gRPC writes a flag and the length before each message.
const PREFIX: usize = 5;
/// A message or text that is shorter takes more room than its bytes say: that of its fields, in a list that grows by
/// doubling.
const SHORT: u64 = 16;
const OBJECT: usize = 250;
/// Messages within messages that are looked at.
const DEPTH: usize = 4;

/// The body of a stream of messages.
pub fn stream_of(body: Body, held: Arc<Held>) -> Body {
    let frames = stream::unfold((body, held), |(mut body, held)| async move {
        let frame = counted(body.frame().await?, &held, COPIES_IN_STREAMS).await;
        Some((frame, (body, held)))
    });
    Body::new(StreamBody::new(frames))
}

/// The body of a call with one message of at most so many bytes, once it is there. What is wrong with it is told to
/// whoever reads it.
pub async fn whole(mut body: Body, most: usize, held: &Held) -> Body {
    let mut bytes = BytesMut::new();
    while bytes.len() <= most + PREFIX && !is_compressed(&bytes) {
        if says_more_than(most, &bytes) {
            return followed(Bytes::new(), Err(refusal(&error::too_long("message", most))), body);
        }
        let Some(frame) = body.frame().await else {
            let room = held.grow(OBJECT * objects(bytes.get(PREFIX..).unwrap_or_default(), DEPTH)).await;
            return room
                .map_or_else(|over| followed(Bytes::new(), Err(refusal(&over.into())), Body::empty()), |()| Body::from(bytes.freeze()));
        };
        match counted(frame, held, COPIES).await.map(Frame::into_data) {
            Ok(Ok(data)) => bytes.extend_from_slice(&data),
            // Trailers say nothing here.
            Ok(Err(_)) => {}
            Err(error) => return followed(bytes.freeze(), Err(error), body),
        }
    }
    // Compressed, or with something after the message: tonic refuses both.
    followed(bytes.freeze(), Ok(Frame::data(Bytes::new())), body)
}

/// Whether a message is compressed, which its first byte says.
fn is_compressed(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|flag| *flag != 0)
}

/// Whether the first bytes of a message say that it is longer than `most`.
fn says_more_than(most: usize, bytes: &[u8]) -> bool {
    let length = bytes.get(1..PREFIX).unwrap_or_default();
    length.iter().fold(0, |length, byte| (length << 8) | usize::from(*byte)) > most
}

/// Bytes that were read already, what came then, and the rest.
fn followed(first: Bytes, then: Result<Frame<Bytes>, axum::Error>, rest: Body) -> Body {
    let rest = stream::unfold(rest, |mut body| async move { Some((body.frame().await?, body)) });
    Body::new(StreamBody::new(stream::iter([Ok(Frame::data(first)), then]).chain(rest)))
}

async fn counted(frame: Result<Frame<Bytes>, axum::Error>, held: &Held, copies: usize) -> Result<Frame<Bytes>, axum::Error> {
    let frame = frame?;
    let bytes = frame.data_ref().map_or(0, Bytes::len);
    held.grow(copies * bytes).await.map_err(|over| refusal(&over.into()))?;
    Ok(frame)
}

/// The error of a body, with the status that gRPC answers.
fn refusal(why: &Error) -> axum::Error {
    axum::Error::new(error::status(why, &clock::new_uid()))
}

/// The short texts and messages in a message, as far as it can be read. A text that looks like a message does no harm.
fn objects(mut message: &[u8], depth: usize) -> usize {
    let mut count = 0;
    while let Ok((_, kind)) = decode_key(&mut message) {
        let skipped = match kind {
            WireType::Varint => decode_varint(&mut message).is_ok().then_some(0),
            WireType::SixtyFourBit => Some(8),
            WireType::ThirtyTwoBit => Some(4),
            WireType::LengthDelimited => decode_varint(&mut message).ok(),
            WireType::StartGroup | WireType::EndGroup => None,
        };
        let Some(part) = skipped.and_then(|length| message.get(..usize::try_from(length).ok()?)) else { break };
        if kind == WireType::LengthDelimited {
            count += usize::from((part.len() as u64) < SHORT);
            if depth > 0 && part.len() as u64 >= SHORT {
                count += objects(part, depth - 1);
            }
        }
        message.advance(part.len());
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::v1;
    use prost::Message;

    #[test]
    fn the_first_bytes_refuse_what_is_compressed_or_too_long() {
        let prefix = |flag: u8, length: u32| [&[flag][..], &length.to_be_bytes()].concat();
        let too_long = |bytes: &[u8]| says_more_than(1_000, bytes);
        assert!(!too_long(&prefix(0, 1_000)) && !too_long(&prefix(0, u32::MAX)[..4]) && !too_long(&[]));
        assert!(too_long(&prefix(0, 1_001)) && too_long(&prefix(0, u32::MAX)));
        assert!(is_compressed(&prefix(1, 1)) && !is_compressed(&prefix(0, 1)) && !is_compressed(&[]));
    }

    #[test]
    fn short_messages_are_counted_however_deep() {
        let metrics = vec![v1::Metric::default(); 1_000];
        let many = v1::LogBatchRequest { metrics, run_id: "r".repeat(32), ..Default::default() };
        assert_eq!(objects(&many.encode_to_vec(), DEPTH), 1_000);
        let tag = v1::Tag { key: "k".repeat(20), value: "a long text ".repeat(1_000) };
        let long = v1::LogBatchRequest { tags: vec![tag; 10], ..Default::default() };
        assert_eq!(objects(&long.encode_to_vec(), DEPTH), 0);
        assert_eq!(objects(&[0xff; 40], DEPTH), 0);
    }
}
