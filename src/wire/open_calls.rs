//! The calls that are open on a connection, so that one without any is let go after a while.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use tokio::sync::watch;

/// How many calls of one connection are open.
#[derive(Clone)]
pub struct OpenCalls(Arc<watch::Sender<usize>>);

/// One open call, until it is dropped.
pub struct OpenCall(OpenCalls);

impl OpenCalls {
    /// Of a connection that was just made.
    pub fn none() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }

    /// One more.
    pub fn begin(&self) -> OpenCall {
        self.0.send_modify(|count| *count += 1);
        OpenCall(self.clone())
    }

    /// Waits until none has been open for this long.
    pub async fn none_for(&self, time: Duration) {
        let mut count = self.0.subscribe();
        loop {
            // The sender is held here, so waiting for it cannot fail.
            let _ = count.wait_for(|count| *count == 0).await;
            if tokio::time::timeout(time, count.changed()).await.is_err() {
                return;
            }
        }
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count -= 1);
    }
}

/// The body of an answer, which keeps its call open until it was sent or given up.
pub struct Answer<B> {
    body: B,
    _open: OpenCall,
}

impl<B> Answer<B> {
    /// The body of a call's answer.
    pub fn new(body: B, open: OpenCall) -> Self {
        Self { body, _open: open }
    }
}

impl<B: Body + Unpin> Body for Answer<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
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

    #[tokio::test]
    async fn a_connection_is_idle_once_no_call_is_open() {
        let calls = OpenCalls::none();
        let idle = calls.clone();
        let call = calls.begin();
        let waiting = tokio::spawn(async move { idle.none_for(Duration::from_millis(50)).await });
        let answer = Answer::new(http_body_util::Empty::<bytes::Bytes>::new(), call);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!waiting.is_finished(), "the answer was not sent yet");
        drop(answer);
        waiting.await.unwrap();
    }
}
