//! Tells a request body that the client ended from one that broke off, and does not wait for one forever.
//!
//! A client that cancels a call resets its stream. The layers above would take that for the end of the body,
//! and a service function for the end of what the client had to say: half a file would pass for a whole one.

use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};
use tonic::Status;

use crate::contract::OPERATIONS;

/// A body may keep the server waiting this long in all for each `PACE` bytes, and for its end.
const IDLE: Duration = Duration::from_secs(30);
/// Slower than this in 30 seconds is no network that a training job runs on.
const PACE: usize = 64 * 1024;
/// A stream that is answered message by message, as `LogStream` is, may fall silent this long: a training
/// job logs when an epoch ends. Pings find dead peers before.
const SILENCE: Duration = Duration::from_secs(60 * 60);

/// The gRPC paths of streams both ways.
static BOTH_WAYS: LazyLock<Vec<&str>> = LazyLock::new(|| {
    OPERATIONS.iter().filter(|operation| operation.client_streaming && operation.server_streaming).map(|operation| operation.path).collect()
});

/// A body that fails unless its end was sent, and sent in time.
pub struct RequestBody<B> {
    body: B,
    /// Only HTTP/2 says of every body whether its end came; HTTP/1.1 fails by itself when it did not.
    says_end: bool,
    patience: Patience,
}

/// Why a body has no end.
#[derive(Debug, thiserror::Error)]
pub enum BrokeOff {
    /// The client went away in the middle. Keeps the cause as text only, because the layers above look for a
    /// cancelled stream among causes and take it for a proper end.
    #[error("the request broke off: {0}")]
    Gone(String),
    /// The client kept the server waiting. The cause is what gRPC answers.
    #[error("the request's body did not come in time")]
    Late(#[source] Box<Status>),
}

/// How long a body may keep the server waiting.
#[derive(Debug)]
struct Patience {
    limit: Duration,
    pace: usize,
    /// Waited since `pace` bytes were there the last time.
    waited: Duration,
    bytes: usize,
    /// Since when it waits, and until when it will.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Patience {
    fn new(limit: Duration, pace: usize) -> Self {
        Self { limit, pace, waited: Duration::ZERO, bytes: 0, waiting: None }
    }

    /// With a request at a path.
    fn at(path: &str) -> Self {
        if BOTH_WAYS.contains(&path) { Self::new(SILENCE, 1) } else { Self::new(IDLE, PACE) }
    }

    /// Nothing is there; whether that is so for too long.
    fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        let left = self.limit.saturating_sub(self.waited);
        let (_, until) = self.waiting.get_or_insert_with(|| (Instant::now(), Box::pin(sleep(left))));
        until.as_mut().poll(context).is_ready()
    }

    /// Something came.
    fn came(&mut self, bytes: usize) {
        if let Some((since, _)) = self.waiting.take() {
            self.waited += since.elapsed();
        }
        self.bytes += bytes;
        if self.bytes >= self.pace {
            self.bytes = 0;
            self.waited = Duration::ZERO;
        }
    }
}

impl<B> RequestBody<B> {
    /// The body of a request.
    pub fn new(request: &http::request::Parts, body: B) -> Self {
        let says_end = request.version == http::Version::HTTP_2;
        Self { body, says_end, patience: Patience::at(request.uri.path()) }
    }

    fn late(&self) -> BrokeOff {
        let seconds = self.patience.limit.as_secs();
        BrokeOff::Late(Box::new(Status::deadline_exceeded(format!("the request's body kept the server waiting for {seconds} seconds"))))
    }
}

impl<B: Body<Data = Bytes, Error: std::fmt::Display> + Unpin> Body for RequestBody<B> {
    type Data = Bytes;
    type Error = BrokeOff;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokeOff>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else {
            return if self.patience.is_over(context) { Poll::Ready(Some(Err(self.late()))) } else { Poll::Pending };
        };
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                self.patience.came(frame.data_ref().map_or(0, Bytes::len));
                Some(Ok(frame))
            }
            Some(Err(error)) => Some(Err(BrokeOff::Gone(error.to_string()))),
            None if self.says_end && !self.body.is_end_stream() => Some(Err(BrokeOff::Gone("its stream was reset".to_owned()))),
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
    use http_body_util::{BodyExt, StreamBody};
    use tokio_stream::wrappers::ReceiverStream;

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

    fn parts(path: &str, version: http::Version) -> http::request::Parts {
        http::Request::builder().uri(path).version(version).body(()).unwrap().into_parts().0
    }

    #[tokio::test]
    async fn a_reset_stream_is_no_end() {
        let read = async |ends, version| {
            let half = Half(Some(Bytes::from_static(b"half")), ends);
            RequestBody::new(&parts("/", version), half).collect().await.map(|body| body.to_bytes())
        };
        assert!(read(false, http::Version::HTTP_2).await.is_err());
        assert_eq!(read(true, http::Version::HTTP_2).await.unwrap(), "half");
        assert_eq!(read(false, http::Version::HTTP_11).await.unwrap(), "half");
    }

    /// Reads a body of which so many bytes come every 20 milliseconds, ten times.
    async fn trickle(limit: Duration, pace: usize, bytes: usize) -> Result<usize, BrokeOff> {
        let (sender, receiver) = tokio::sync::mpsc::channel::<Result<_, std::convert::Infallible>>(1);
        tokio::spawn(async move {
            for _ in 0..10 {
                sleep(Duration::from_millis(20)).await;
                if sender.send(Ok(Frame::data(Bytes::from(vec![0; bytes])))).await.is_err() {
                    break;
                }
            }
        });
        let mut body = RequestBody::new(&parts("/", http::Version::HTTP_11), StreamBody::new(ReceiverStream::new(receiver)));
        body.patience = Patience::new(limit, pace);
        body.collect().await.map(|body| body.to_bytes().len())
    }

    #[tokio::test]
    async fn a_body_may_be_slow_but_not_idle() {
        let limit = Duration::from_millis(110);
        assert_eq!(trickle(limit, 10, 10).await.unwrap(), 100, "each frame is enough for its time");
        for (pace, bytes) in [(100, 1), (1, 0)] {
            let late = trickle(limit, pace, bytes).await.unwrap_err();
            assert!(matches!(&late, BrokeOff::Late(status) if status.code() == tonic::Code::DeadlineExceeded), "{late}");
        }
        assert_eq!(trickle(Duration::from_secs(30), 100, 1).await.unwrap(), 10);
    }

    #[test]
    fn only_streams_both_ways_may_fall_silent() {
        assert_eq!(Patience::at("/stagegate.v1.TrackingService/LogStream").limit, SILENCE);
        for bounded in ["/stagegate.v1.ArtifactService/UploadArtifact", "/stagegate.v1.TrackingService/CreateRun", "/api", "/"] {
            assert_eq!(Patience::at(bounded).limit, IDLE, "{bounded}");
        }
    }
}
