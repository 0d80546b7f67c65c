use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

const SHORT: Duration = Duration::from_millis(100);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// The head of a GOAWAY frame after its length: type, flags, stream.
const GOAWAY: &[u8] = b"\x07\0\0\0\0\0";

/// A connection whose calls take so long, and that may be idle for a short time.
fn connected(call: Duration) -> DuplexStream {
    let (client, server) = duplex(64 * 1024);
    let answer = move || async move {
        tokio::time::sleep(call).await;
        "done"
    };
    let routes = Router::new().route("/", axum::routing::get(answer));
    let peer = Peer { address: IpAddr::from([127, 0, 0, 1]), proxies: Arc::default() };
    let shared = Shared { routes, scheme: "http", idle: SHORT, stopping: CancellationToken::new() };
    tokio::spawn(async move { serve(server, peer, &shared).await });
    client
}

/// What the server sends until it ends the connection.
async fn all_of(mut client: DuplexStream) -> Vec<u8> {
    let mut received = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(5), client.read_to_end(&mut received)).await;
    read.expect("the connection ends").expect("it can be read");
    received
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[tokio::test]
async fn an_http2_connection_without_a_call_ends_with_goaway() {
    let mut client = connected(Duration::ZERO);
    client.write_all(PREFACE).await.unwrap();
    assert!(holds(&all_of(client).await, GOAWAY));
}

#[tokio::test]
async fn a_kept_alive_connection_ends_after_its_last_answer() {
    let mut client = connected(Duration::ZERO);
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert!(all_of(client).await.ends_with(b"done"));
}

#[tokio::test]
async fn a_call_that_takes_long_is_answered() {
    let mut client = connected(SHORT * 5);
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert!(all_of(client).await.ends_with(b"done"));
}
