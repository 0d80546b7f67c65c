//! A client of the REST face.

use axum::body::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// A caller over HTTP/1.1.
#[derive(Clone)]
pub struct Http {
    pool: Pool<HttpConnector, Full<Bytes>>,
    address: String,
    /// The header `authorization`, if any.
    pub authorization: Option<String>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", String::from_utf8_lossy(&self.body)))
    }

    /// MLflow's error code, empty when there is none.
    pub fn error_code(&self) -> String {
        self.json()["error_code"].as_str().unwrap_or_default().to_owned()
    }

    /// The error's message, empty when there is none.
    pub fn message(&self) -> String {
        self.json()["message"].as_str().unwrap_or_default().to_owned()
    }
}

impl Http {
    pub fn new(address: &str, authorization: Option<String>) -> Self {
        Self { pool: Pool::builder(TokioExecutor::new()).build_http(), address: address.to_owned(), authorization }
    }

    /// Where the server listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Sends JSON, or nothing when the text is empty.
    pub async fn json(&self, method: Method, path: &str, body: &str) -> Answer {
        let content: &[(header::HeaderName, &str)] = if body.is_empty() { &[] } else { &[(header::CONTENT_TYPE, "application/json")] };
        self.send(method, path, content, body.as_bytes()).await
    }

    /// Posts JSON to a path below `/api/2.0/mlflow/`.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.json(Method::POST, &format!("/api/2.0/mlflow/{path}"), &body.to_string()).await
    }

    /// Gets a path below `/api/2.0/mlflow/`.
    pub async fn get(&self, path: &str) -> Answer {
        self.json(Method::GET, &format!("/api/2.0/mlflow/{path}"), "").await
    }

    pub async fn send(&self, method: Method, path: &str, headers: &[(header::HeaderName, &str)], body: &[u8]) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body))).expect("a request");
        let (head, body) = self.pool.request(request).await.expect("the server answers").into_parts();
        let body = body.collect().await.expect("the answer is whole").to_bytes();
        Answer { status: head.status, headers: head.headers, body }
    }
}
