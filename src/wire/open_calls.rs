//! The calls that are open on a connection, so that one without any is let go after a while, and so is one whose client
//! does not take an answer that takes room in the budget of memory.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::memory::Held;

/// An answer is sent in pieces, so that it is over, and its room free again, when its bytes are on their way.
const PIECE: usize = 64 * 1024;

/// The calls of one connection.
#[derive(Clone)]
pub struct OpenCalls(Arc<Inner>);

struct Inner {
    open: watch::Sender<usize>,
    /// Since when each answer that is not taken waits.
    waiting: Mutex<Vec<(usize, Instant)>>,
    begun: std::sync::atomic::AtomicUsize,
}

/// One open call, until it is dropped.
pub struct OpenCall {
    calls: OpenCalls,
    number: usize,
}

impl OpenCalls {
    /// Of a connection that was just made.
    pub fn none() -> Self {
        Self(Arc::new(Inner { open: watch::Sender::new(0), waiting: Mutex::default(), begun: Default::default() }))
    }

    /// One more.
    pub fn begin(&self) -> OpenCall {
        self.0.open.send_modify(|count| *count += 1);
        let number = self.0.begun.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        OpenCall { calls: self.clone(), number }
    }

    /// Waits until none has been open for this long.
    pub async fn none_for(&self, time: Duration) {
        let mut count = self.0.open.subscribe();
        loop {
            // The sender is held here, so waiting for it cannot fail.
            let _ = count.wait_for(|count| *count == 0).await;
            if tokio::time::timeout(time, count.changed()).await.is_err() {
                return;
            }
        }
    }

    /// Waits until the client of an answer has taken nothing of it for this long.
    pub async fn stuck_for(&self, time: Duration) {
        loop {
            tokio::time::sleep(time / 4).await;
            let waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.iter().any(|(_, since)| since.elapsed() >= time) {
                return;
            }
        }
    }
}

impl OpenCall {
    /// Notes that there is more of its answer, which waits from now on, or that there is nothing.
    fn waits(&self, more: bool) {
        let mut waiting = self.calls.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|(number, _)| *number != self.number);
        if more {
            waiting.push((self.number, Instant::now()));
        }
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.waits(false);
        self.calls.0.open.send_modify(|count| *count -= 1);
    }
}

/// The body of an answer, which keeps its call open, and its room, until it was sent or given up.
pub struct Answer<B> {
    body: B,
    /// What is left of the frame that is being sent.
    rest: Bytes,
    open: OpenCall,
    held: Option<Arc<Held>>,
}

impl<B> Answer<B> {
    /// The body of a call's answer, and the memory that it holds.
    pub fn new(body: B, open: OpenCall, held: Option<Arc<Held>>) -> Self {
        Self { body, rest: Bytes::new(), open, held }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Answer<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                other => return Poll::Ready(other),
            }
        }
        let most = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(most);
        if self.held.as_ref().is_some_and(|held| held.is_held()) {
            self.open.waits(!self.rest.is_empty());
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let body = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower() + rest);
        if let Some(upper) = body.upper() {
            hint.set_upper(upper + rest);
        }
        hint
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
        let answer = Answer::new(http_body_util::Empty::<Bytes>::new(), call, None);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!waiting.is_finished(), "the answer was not sent yet");
        drop(answer);
        waiting.await.unwrap();
    }
    #[tokio::test]
    async fn an_answer_is_sent_in_pieces_and_its_client_must_take_them() {
        use http_body_util::BodyExt;
        let calls = OpenCalls::none();
        let memory = crate::memory::Memory::default();
        let held = memory.of("ann");
        held.grow(300_000).await.unwrap();
        let long = http_body_util::Full::new(Bytes::from(vec![7; 200_000]));
        let mut answer = Answer::new(long, calls.begin(), Some(held));
        let stuck = calls.clone();
        let stuck = async move { stuck.stuck_for(Duration::from_millis(80)).await };
        assert_eq!(answer.size_hint().exact(), Some(200_000));
        assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap().len(), PIECE);
        assert_eq!(answer.size_hint().exact(), Some(200_000 - PIECE as u64));
        tokio::time::timeout(Duration::from_secs(5), stuck).await.expect("nobody takes the rest");
        assert_eq!(answer.collect().await.unwrap().to_bytes().len(), 200_000 - PIECE);
        assert!(calls.0.waiting.lock().unwrap().is_empty());
        assert_eq!(*calls.0.open.borrow(), 0);
    }
}
