//! A connection's bytes under watch: what the HTTP library leaves open is decided here. A head must be
//! there in time from the first byte on, a client that takes nothing is let go, and one that makes streams
//! only to have them reset (CVE-2023-44487, CVE-2025-8671) is told to calm down and let go.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::frames::Frames;

/// A TLS handshake, the first bytes, and each head of a request must be there within this time.
pub const HEAD_TIME: Duration = Duration::from_secs(10);
/// A client that takes no byte of what is sent to it for this long is let go.
pub const STUCK_TIME: Duration = Duration::from_secs(60);
/// Streams of one connection that may be reset within `RESET_WINDOW`.
const RESETS: u32 = 400;
const RESET_WINDOW: Duration = Duration::from_secs(60);
/// What an HTTP/2 client sends first.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// A GOAWAY frame: any stream may have been processed; `ENHANCE_YOUR_CALM`, with the reason for a human.
const GOAWAY: &[u8; 32] = b"\0\0\x17\x07\0\0\0\0\0\x7f\xff\xff\xff\0\0\0\x0btoo_many_resets";

/// A stream of bytes under watch.
pub struct Socket<S> {
    stream: S,
    protocol: Protocol,
    received: Frames,
    sent: Frames,
    resets: Budget,
    head_time: Duration,
    stuck_time: Duration,
    /// When a head that has begun must be complete.
    head: Option<Pin<Box<Sleep>>>,
    /// When a byte must have been taken.
    stuck: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    /// So many bytes are those of the preface.
    Open(usize),
    Http1,
    Http2,
}

/// What may be spent within a window of time.
#[derive(Debug)]
struct Budget {
    spent: u32,
    since: Instant,
}

impl Budget {
    fn spend(&mut self, now: Instant) {
        if now - self.since >= RESET_WINDOW {
            *self = Self { spent: 0, since: now };
        }
        self.spent += 1;
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// A connection that was just made.
    pub fn new(stream: S) -> Self {
        Self::with_times(stream, HEAD_TIME, STUCK_TIME)
    }

    fn with_times(stream: S, head_time: Duration, stuck_time: Duration) -> Self {
        Self {
            stream,
            protocol: Protocol::Open(0),
            received: Frames::default(),
            sent: Frames::default(),
            resets: Budget { spent: 0, since: Instant::now() },
            head_time,
            stuck_time,
            head: Some(Box::pin(sleep(head_time))),
            stuck: None,
        }
    }

    /// Looks at what was received.
    fn received(&mut self, mut bytes: &[u8]) {
        if let Protocol::Open(known) = self.protocol {
            let new = bytes.len().min(PREFACE.len() - known);
            self.protocol = match known + new {
                _ if bytes[..new] != PREFACE[known..known + new] => Protocol::Http1,
                all if all == PREFACE.len() => Protocol::Http2,
                some => Protocol::Open(some),
            };
            bytes = &bytes[new..];
        }
        if self.protocol == Protocol::Http2 {
            let resets = &mut self.resets;
            self.received.pass(bytes, |_| resets.spend(Instant::now()));
        }
        // The library times the heads of HTTP/1.
        let under_way = match self.protocol {
            Protocol::Open(_) => true,
            Protocol::Http1 => false,
            Protocol::Http2 => self.received.in_head(),
        };
        if !under_way {
            self.head = None;
        } else if self.head.is_none() {
            self.head = Some(Box::pin(sleep(self.head_time)));
        }
    }

    /// Looks at what was sent. A stream that the server resets counts when the client's fault made it do so.
    fn sent(&mut self, bytes: &[u8]) {
        if self.protocol == Protocol::Http2 {
            let resets = &mut self.resets;
            self.sent.pass(bytes, |code| {
                if is_client_fault(code) {
                    resets.spend(Instant::now());
                }
            });
        }
    }

    /// Ends the connection when its client has used up its resets.
    fn judge(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.resets.spent <= RESETS {
            return Ok(());
        }
        if self.sent.at_boundary() {
            // A client that does not take it learns it by the end of the connection.
            let _ = Pin::new(&mut self.stream).poll_write(context, GOAWAY);
            let _ = Pin::new(&mut self.stream).poll_flush(context);
        }
        Err(io::Error::new(io::ErrorKind::ConnectionAborted, format!("more than {RESETS} streams were reset within a minute")))
    }

    /// Watches over a write: `Pending` for too long is an error.
    fn patient<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stuck = None;
            return written;
        }
        let stuck_time = self.stuck_time;
        ready!(self.stuck.get_or_insert_with(|| Box::pin(sleep(stuck_time))).as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")))
    }
}

/// Error codes of HTTP/2 with which a server answers a stream that breaks the protocol.
fn is_client_fault(code: u32) -> bool {
    const PROTOCOL_ERROR: u32 = 1;
    const FLOW_CONTROL_ERROR: u32 = 3;
    const STREAM_CLOSED: u32 = 5;
    const FRAME_SIZE_ERROR: u32 = 6;
    matches!(code, PROTOCOL_ERROR | FLOW_CONTROL_ERROR | STREAM_CLOSED | FRAME_SIZE_ERROR)
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Socket<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Ready(Ok(())) => {
                self.received(&buffer.filled()[before..]);
                Poll::Ready(self.judge(context))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => match &mut self.head {
                None => Poll::Pending,
                Some(head) => {
                    ready!(head.as_mut().poll(context));
                    Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "a head is not there in time")))
                }
            },
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        let count = ready!(self.patient(context, written))?;
        let mut left = count;
        for slice in slices {
            let part = left.min(slice.len());
            self.sent(&slice[..part]);
            left -= part;
        }
        self.judge(context)?;
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.patient(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.patient(context, shut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    const RESET: &[u8] = b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08";
    const SHORT: Duration = Duration::from_millis(50);

    fn pair(room: usize) -> (DuplexStream, Socket<DuplexStream>) {
        let (client, server) = duplex(room);
        (client, Socket::with_times(server, SHORT, SHORT))
    }

    async fn read(socket: &mut Socket<DuplexStream>) -> Result<usize, io::ErrorKind> {
        socket.read(&mut vec![0; 64 * 1024]).await.map_err(|error| error.kind())
    }

    #[tokio::test]
    async fn resets_over_the_budget_end_the_connection_with_goaway() {
        let (mut client, mut socket) = pair(64 * 1024);
        client.write_all(PREFACE).await.unwrap();
        client.write_all(&RESET.repeat(RESETS as usize)).await.unwrap();
        assert!(read(&mut socket).await.is_ok());
        client.write_all(RESET).await.unwrap();
        assert_eq!(read(&mut socket).await, Err(io::ErrorKind::ConnectionAborted));
        let mut farewell = [0; GOAWAY.len()];
        client.read_exact(&mut farewell).await.unwrap();
        assert_eq!(&farewell, GOAWAY);
    }

    #[test]
    fn a_budget_is_full_again_after_its_window() {
        let begun = Instant::now();
        let mut budget = Budget { spent: 0, since: begun };
        budget.spend(begun);
        budget.spend(begun + RESET_WINDOW / 2);
        assert_eq!(budget.spent, 2);
        budget.spend(begun + RESET_WINDOW);
        assert_eq!(budget.spent, 1);
    }

    #[tokio::test]
    async fn the_servers_resets_count_when_the_client_is_at_fault() {
        let (mut client, mut socket) = pair(64 * 1024);
        client.write_all(PREFACE).await.unwrap();
        read(&mut socket).await.unwrap();
        let with = |code: u8| [&RESET[..RESET.len() - 1], &[code]].concat();
        // Cancelled by us, or over before the body was read: no fault of the client.
        for code in [0, 8] {
            socket.write_all(&with(code).repeat(RESETS as usize + 1)).await.unwrap();
        }
        assert!(socket.write_all(&with(5).repeat(RESETS as usize + 1)).await.is_err());
    }

    #[tokio::test]
    async fn a_head_must_be_there_in_time() {
        for (bytes, limited) in [
            (&PREFACE[..10], true),
            (&[PREFACE, &b"\0\0\x05\x01\0\0\0\0\x01ab"[..]].concat()[..], true),
            (&[PREFACE, &b"\0\0\x05\0\0\0\0\0\x01ab"[..]].concat()[..], false),
            // The HTTP library's business.
            (&b"GET / HTTP/1.1\r\n"[..], false),
        ] {
            let (mut client, mut socket) = pair(1024);
            client.write_all(bytes).await.unwrap();
            read(&mut socket).await.unwrap();
            let end = tokio::time::timeout(SHORT * 4, read(&mut socket)).await.ok();
            assert_eq!(end, limited.then_some(Err(io::ErrorKind::TimedOut)), "{bytes:?}");
        }
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_let_go() {
        let (_client, mut socket) = pair(16);
        assert_eq!(socket.write_all(&[0; 17]).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
