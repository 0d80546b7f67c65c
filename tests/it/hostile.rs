//! Hostile inputs: whatever bytes come, the answer is one that the client can do something with, and the
//! server goes on.

use prost::encoding::{WireType, encode_key, encode_varint};
use prost_reflect::{DescriptorPool, Kind, MessageDescriptor};
use stagegate::contract::{DESCRIPTOR_SET, OPERATIONS, Operation, v1};
use tonic::{Code, Status};

use crate::house::{Client, Server, grpc_message};

on_both_engines! {
    no_input_is_an_internal_error,
    a_message_over_the_limit_is_refused_by_name,
}

const TEXTS: [&[u8]; 8] = [
    b"a\0b",
    b"\xff\xfe",
    "\u{202e}right-to-left".as_bytes(),
    "e\u{301}".as_bytes(),
    b"'; DROP TABLE users; --",
    b"%_\\",
    b"-9223372036854775808",
    b"../../../../etc/passwd",
];

/// The messages that one operation is tried with: each field in turn holds each hostile value.
fn hostile(message: &MessageDescriptor) -> Vec<Vec<u8>> {
    let mut found = vec![vec![0x0a], vec![0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f], vec![0xff; 64], nested(200)];
    for field in message.fields() {
        let number = field.number();
        match field.kind() {
            Kind::String | Kind::Bytes => {
                found.extend(TEXTS.iter().map(|text| grpc_message(number, text)));
                found.push(grpc_message(number, &vec![b'x'; 70_000]));
                // Of a field that is given twice the last one counts.
                found.push([grpc_message(number, b"first"), grpc_message(number, b"\0")].concat());
            }
            Kind::Message(inner) => {
                found.push(grpc_message(number, b"\xff\xff"));
                found.push(grpc_message(number, b"").repeat(2_000));
                for inner in inner.fields().filter(|inner| inner.kind() == Kind::String) {
                    found.push(grpc_message(number, &grpc_message(inner.number(), b"a\0b")));
                    found.push(grpc_message(number, &grpc_message(inner.number(), b"\xff")));
                }
            }
            Kind::Double | Kind::Float => {}
            _ => {
                // The extremes of all integers, and an enum's value that does not exist.
                for value in [u64::MAX, i64::MAX as u64, i64::MIN as u64, 4_242] {
                    let mut bytes = Vec::new();
                    encode_key(number, WireType::Varint, &mut bytes);
                    encode_varint(value, &mut bytes);
                    found.push(bytes);
                }
            }
        }
    }
    found
}

fn nested(depth: usize) -> Vec<u8> {
    (0..depth).fold(Vec::new(), |inner, _| grpc_message(3, &inner))
}

/// Sends one message; a stream of answers is not read to its end.
async fn send(client: &Client, operation: &Operation, message: Vec<u8>) -> Result<(), Status> {
    if operation.server_streaming {
        let mut answers = client.open(operation.path, message).await?.into_inner();
        let first = tokio::time::timeout(std::time::Duration::from_millis(300), answers.message()).await;
        return first.unwrap_or(Ok(None)).map(drop);
    }
    client.bytes(operation.path, message).await.map(drop)
}

async fn no_input_is_an_internal_error(server: Server) {
    let admin = server.admin().await;
    let pool = DescriptorPool::decode(DESCRIPTOR_SET).expect("the descriptor set is one");
    let mut sent = 0;
    // Without its token the caller could do nothing more.
    for operation in OPERATIONS.iter().filter(|operation| operation.name != "SignOut") {
        let message = pool.get_message_by_name(operation.input).expect("the request is declared");
        for bytes in hostile(&message) {
            sent += 1;
            let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
            if let Err(status) = send(&admin, operation, bytes).await {
                // A message that cannot be decoded is tonic's own INTERNAL; it says so.
                let decoding = status.code() == Code::Internal && status.message().contains("failed to decode");
                let fault = matches!(status.code(), Code::Internal | Code::Unknown | Code::Unavailable | Code::DataLoss);
                assert!(!fault || decoding, "{} with {shown:?}: {status:?}", operation.full_name);
            }
        }
    }
    assert!(sent > 1_000, "only {sent} messages");
    let answer: v1::GetExperimentResponse =
        admin.call("GetExperiment", v1::GetExperimentRequest { experiment_id: "0".to_owned() }).await.expect("the server goes on");
    assert!(answer.experiment.is_some());
    let log = server.log();
    assert!(!log.contains("panicked"), "something panicked");
}

async fn a_message_over_the_limit_is_refused_by_name(server: Server) {
    let admin = server.admin().await;
    let operation = stagegate::contract::operation_by_path("/stagegate.v1.TrackingService/CreateExperiment").expect("declared");
    let status = admin.bytes(operation.path, grpc_message(1, &vec![b'x'; 33 * 1024 * 1024])).await.expect_err("33 MiB are too much");
    assert_eq!(
        (status.code(), status.message()),
        (Code::ResourceExhausted, "the message has more than 32 MiB, which is the most that is read")
    );
    let answer: v1::WhoAmIResponse = admin.call("WhoAmI", v1::WhoAmIRequest {}).await.expect("the server goes on");
    assert_eq!(answer.user.expect("a user").user_name, "admin");
}
