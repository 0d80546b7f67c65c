//! Tells a request body that the client ended from one that broke off.
//!
//! A client that cancels a call resets its stream. The layers above would take that for the end of the body,
//! and a service function for the end of what the client had to say: half a file would pass for a whole one.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// A body that fails unless its end was sent.
pub struct RequestBody<B> {
    body: B,
    /// Only HTTP/2 says of every body whether its end came; HTTP/1.1 fails by itself when it did not.
    says_end: bool,
}

/// The client went away in the middle. Keeps the cause as text only, because the layers above look for a
/// cancelled stream among causes and take it for a proper end.
#[derive(Debug, thiserror::Error)]
#[error("the request broke off: {0}")]
pub struct BrokeOff(String);

impl<B> RequestBody<B> {
    /// The body of a request of an HTTP version.
    pub fn new(body: B, version: http::Version) -> Self {
        Self { body, says_end: version == http::Version::HTTP_2 }
    }
}

impl<B: Body<Data = Bytes, Error: std::fmt::Display> + Unpin> Body for RequestBody<B> {
    type Data = Bytes;
    type Error = BrokeOff;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokeOff>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        polled.map(|frame| match frame {
            Some(Ok(frame)) => Some(Ok(frame)),
            Some(Err(error)) => Some(Err(BrokeOff(error.to_string()))),
            None if self.says_end && !self.body.is_end_stream() => Some(Err(BrokeOff("its stream was reset".to_owned()))),
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    /// Gives one frame, then stops; says whether that is the end.
    struct Half(Option<Bytes>, bool);

    impl Body for Half {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
        }

        fn is_end_stream(&self) -> bool {
            self.1 && self.0.is_none()
        }
    }

    #[tokio::test]
    async fn a_reset_stream_is_no_end() {
        let read = async |ends, version| {
            let half = Half(Some(Bytes::from_static(b"half")), ends);
            RequestBody::new(half, version).collect().await.map(|body| body.to_bytes())
        };
        assert!(read(false, http::Version::HTTP_2).await.is_err());
        assert_eq!(read(true, http::Version::HTTP_2).await.unwrap(), "half");
        assert_eq!(read(false, http::Version::HTTP_11).await.unwrap(), "half");
    }
}
