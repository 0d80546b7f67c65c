//! Requests without good credentials: refused before their message is read, so that nobody outside can make the
//! server keep what they send.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use http::{Method, header};
use serde_json::json;
use stagegate::contract::OPERATIONS;
use tonic::Code;

use crate::house::Server;

on_both_engines! {
    what_strangers_send_is_not_kept,
    a_call_without_credentials_is_refused_before_its_message,
    public_operations_take_small_bodies,
}

const MIB: usize = 1024 * 1024;

/// The head of a request for an operation that takes 32 MiB, which announces so many bytes.
fn announced(bytes: usize, credentials: &str) -> String {
    format!(
        "POST /api/2.0/mlflow/runs/log-inputs HTTP/1.1\r\nHost: localhost\r\n{credentials}Content-Type: application/json\r\n\
         Content-Length: {bytes}\r\n\r\n"
    )
}

async fn what_strangers_send_is_not_kept(server: Server) {
    let address = server.nobody().http().address().to_owned();
    let before = server.peak_memory();
    let blanks = vec![b' '; MIB];
    for credentials in ["", "Authorization: Bearer x.y.z\r\n"] {
        let mut waiting = Vec::new();
        for _ in 0..6 {
            let mut stream = TcpStream::connect(&address).expect("the server listens");
            stream.write_all(announced(31 * MIB + 1, credentials).as_bytes()).expect("the head is taken");
            for _ in 0..31 {
                stream.write_all(&blanks).expect("the body is read");
            }
            waiting.push(stream);
        }
        for stream in &mut waiting {
            stream.write_all(b" ").expect("the last byte is read");
            stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit");
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).expect("an answer");
            assert_eq!(&answer, b"HTTP/1.1 401");
        }
    }
    let grown = (server.peak_memory() - before) / 1024;
    assert!(grown < 64, "{grown} MiB more for 12 bodies of 31 MiB");
}

async fn a_call_without_credentials_is_refused_before_its_message(server: Server) {
    let nobody = server.nobody();
    let mut refused = 0;
    for operation in OPERATIONS.iter().filter(|operation| !operation.rule.public) {
        let answer = tokio::time::timeout(Duration::from_secs(10), nobody.silent(operation.path)).await;
        let status = answer.expect("no message is waited for").expect_err("nobody may call it");
        assert_eq!(status.code(), Code::Unauthenticated, "{}", operation.full_name);
        assert!(status.metadata().contains_key("x-request-id"), "{}", operation.full_name);
        refused += 1;
    }
    assert!(refused > 100, "only {refused}");
}

async fn public_operations_take_small_bodies(server: Server) {
    let body = json!({"user_name": "admin", "password": "x".repeat(70_000)}).to_string();
    let content = [(header::CONTENT_TYPE, "application/json")];
    let answer = server.nobody().http().send(Method::POST, "/api/stagegate/v1/sign-in", &content, body.as_bytes()).await;
    assert_eq!((answer.status.as_u16(), answer.message().as_str()), (413, "the body has more than 64 KiB, which is the most that is read"));
}
