//! A client that calls by an operation's name, with messages or with bytes as they are.

use std::time::Duration;

use super::Http;
use prost::Message;
use prost::bytes::{Buf, BufMut, Bytes};
use stagegate::contract;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status, Streaming};

/// Someone who calls the server.
#[derive(Clone)]
pub struct Client {
    channel: Channel,
    address: String,
    /// The values of the header `authorization`, in their order.
    pub authorization: Vec<String>,
    /// Empty for nobody.
    pub user_name: String,
}

impl Client {
    /// Connects at the first call.
    pub fn new(address: &str, authorization: Option<String>) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address makes a URL");
        let channel = endpoint.timeout(Duration::from_secs(60)).connect_lazy();
        Self { channel, address: address.to_owned(), authorization: authorization.into_iter().collect(), user_name: String::new() }
    }

    /// The same caller on the REST face.
    pub fn http(&self) -> Http {
        Http::new(&self.address, self.authorization.first().cloned())
    }

    /// Calls an operation of `stagegate.v1` by its method's name.
    pub async fn call<Q: Message, A: Message + Default>(&self, operation: &str, request: Q) -> Result<A, Status> {
        let operation = declared(operation);
        let answer = self.bytes(operation.path, request.encode_to_vec()).await?;
        Ok(A::decode(answer.into_inner()).expect("the answer is of its type"))
    }

    /// Calls an operation that streams its answers; gives the last of them.
    pub async fn last<Q: Message, A: Message + Default>(&self, operation: &str, request: Q) -> Result<A, Status> {
        let operation = declared(operation);
        let mut answers = self.open(operation.path, request.encode_to_vec()).await?.into_inner();
        let mut last = None;
        while let Some(answer) = answers.message().await? {
            last = Some(answer);
        }
        let last = last.ok_or_else(|| Status::unknown("there is no answer"))?;
        Ok(A::decode(last).expect("the answer is of its type"))
    }

    /// Calls a path with the bytes of one message; gives the bytes of the answer.
    pub async fn bytes(&self, path: &str, message: Vec<u8>) -> Result<Response<Bytes>, Status> {
        let answer = self.open(path, message).await?;
        let (metadata, mut messages, extensions) = answer.into_parts();
        let message = messages.message().await?.ok_or_else(|| Status::unknown("there is no answer"))?;
        // The status comes after the message.
        if messages.message().await?.is_some() {
            return Err(Status::unknown("there is more than one answer"));
        }
        Ok(Response::from_parts(metadata, message, extensions))
    }

    /// Calls a path with one message and gives the answers as they come.
    pub async fn open(&self, path: &str, message: Vec<u8>) -> Result<Response<Streaming<Bytes>>, Status> {
        let mut grpc = Grpc::new(self.channel.clone());
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let mut request = Request::new(tokio_stream::once(Bytes::from(message)));
        self.sign(request.metadata_mut());
        grpc.streaming(request, path.parse().expect("a path"), BytesCodec).await
    }

    /// Calls a path and never sends a message.
    pub async fn silent(&self, path: &str) -> Result<Response<Streaming<Bytes>>, Status> {
        let mut grpc = Grpc::new(self.channel.clone());
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let mut request = Request::new(tokio_stream::pending());
        self.sign(request.metadata_mut());
        grpc.streaming(request, path.parse().expect("a path"), BytesCodec).await
    }

    fn sign(&self, metadata: &mut MetadataMap) {
        for value in &self.authorization {
            metadata.append("authorization", AsciiMetadataValue::try_from(value.as_str()).expect("tokens are ASCII"));
        }
    }
}

/// An operation of `stagegate.v1` by its method's name.
pub fn declared(name: &str) -> &'static contract::Operation {
    let known = contract::OPERATIONS.iter().find(|known| known.name == name && known.service.starts_with("stagegate.v1."));
    known.expect("the operation is declared")
}

/// The bytes of a message with one string field, which need not be UTF-8.
pub fn grpc_message(field: u32, text: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    prost::encoding::encode_key(field, prost::encoding::WireType::LengthDelimited, &mut message);
    prost::encoding::encode_varint(text.len() as u64, &mut message);
    message.extend_from_slice(text);
    message
}

/// Messages as they are, so that one client can call every operation, and send what no message is.
#[derive(Clone, Copy)]
struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
