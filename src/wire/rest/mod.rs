//! The REST face: MLflow's HTTP and JSON, and our own operations in the same manner. Routes come from the
//! contract; each reads its one message from path, query and body, and then goes the way of every call. Only
//! the habits of the wire stand here.

mod file_head;
pub mod files;
mod request;
pub(super) mod response;

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request};
use axum::response::Response;
use axum::routing::{MethodFilter, on};
use futures::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use request::{Incoming, bind};

use super::surface::{Passage, Surface};
use crate::access::Call;
use crate::contract::{Operation, Subject, json, rest_routes};
use crate::domain::field::{FieldError, Invalid};
use crate::memory::Held;
use crate::service::{Error, Result};

/// Answers of so many bytes are written at once.
const SMALL: usize = 64 * 1024;

/// An operation with REST routes.
pub struct Route {
    /// The operation, which has the routes.
    pub operation: &'static Operation,
    /// Serves one request.
    pub handle: fn(Surface, Incoming) -> BoxFuture<'static, Response>,
}

/// All REST routes.
pub fn router(surface: &Surface) -> Router {
    let mut router = Router::new();
    for route in rest_routes() {
        for (verb, template) in route.operation.http {
            for path in spellings(&axum_path(template)) {
                let (surface, handle) = (surface.clone(), route.handle);
                let serve = async move |variables: std::result::Result<RawPathParams, RawPathParamsRejection>, request: Request| {
                    let Ok(variables) = variables else { return response::unreadable_path() };
                    handle(surface, Incoming::new(&variables, request)).await
                };
                router = router.route(&path, on(method(verb), serve));
            }
        }
    }
    router
}

/// A template of `google.api.http` as axum writes it.
fn axum_path(template: &str) -> String {
    let mut path = String::new();
    for (index, part) in template.split('{').enumerate() {
        if index == 0 {
            path.push_str(part);
            continue;
        }
        let (variable, rest) = part.split_once('}').unwrap_or((part, ""));
        match variable.strip_suffix("=**") {
            Some(name) => path.push_str(&format!("{{*{name}}}{rest}")),
            None => path.push_str(&format!("{{{variable}}}{rest}")),
        }
    }
    path
}

/// The paths under which MLflow's clients look for a route: as declared, under `/ajax-api` for browsers, and,
/// for clients before 2.0, under `preview`.
fn spellings(path: &str) -> Vec<String> {
    let mut all = vec![path.to_owned()];
    if let Some(rest) = path.strip_prefix("/api/2.0/mlflow/") {
        all.push(format!("/api/2.0/preview/mlflow/{rest}"));
    }
    let browsers: Vec<String> = all.iter().filter_map(|path| path.strip_prefix("/api/").map(|rest| format!("/ajax-api/{rest}"))).collect();
    all.extend(browsers);
    all
}

fn method(verb: &str) -> MethodFilter {
    match verb {
        "POST" => MethodFilter::POST,
        "PUT" => MethodFilter::PUT,
        "DELETE" => MethodFilter::DELETE,
        "PATCH" => MethodFilter::PATCH,
        _ => MethodFilter::GET,
    }
}

impl Surface {
    /// One request, one answer, in JSON.
    pub async fn rest<I, O, B, F>(self, operation: &'static Operation, incoming: Incoming, bind: B, call: F) -> Response
    where
        I: DeserializeOwned + Subject + prost::Message + 'static,
        O: Serialize + prost::Message,
        B: Fn(&mut I, &str, &str) -> std::result::Result<(), FieldError> + Send,
        F: FnOnce(Call, I) -> BoxFuture<'static, Result<O>> + Send,
    {
        let passage = Passage::begin(operation, incoming.source());
        let request_id = passage.request_id.clone();
        let outcome = self.serve(&passage, incoming, bind, call).await;
        match passage.end(outcome) {
            Ok((body, held)) => {
                let mut response = response::json(body, &request_id);
                response.extensions_mut().insert(held);
                response
            }
            Err(error) => response::failed(&error, &request_id),
        }
    }

    async fn serve<I, O, B, F>(self, passage: &Passage, incoming: Incoming, bind: B, call: F) -> Result<(Vec<u8>, Arc<Held>)>
    where
        I: DeserializeOwned + Subject + prost::Message + 'static,
        O: Serialize + prost::Message,
        B: Fn(&mut I, &str, &str) -> std::result::Result<(), FieldError> + Send,
        F: FnOnce(Call, I) -> BoxFuture<'static, Result<O>> + Send,
    {
        let (headers, source) = incoming.sender();
        let sender = match self.known(passage.operation, headers, source).await {
            Ok(sender) => sender,
            Err(error) => {
                incoming.dismiss().await;
                return Err(error);
            }
        };
        let rule = &passage.operation.rule;
        let given = incoming.receive(rule.message_bytes(), &sender.held).await?;
        let mut message: I = given.message(&sender.held).await?;
        for (variable, value) in &given.variables {
            bind(&mut message, variable, value).map_err(Invalid::from)?;
        }
        let answer = self.perform(passage, &sender, message, call).await?;
        let text = written(&answer, &sender.held).await?;
        Ok((text, sender.held))
    }
}

/// The text of an answer. Of a large one it is known how long it will be before there is room for it: a text of control
/// characters takes six times its bytes.
async fn written<O: Serialize + prost::Message>(answer: &O, held: &Held) -> Result<Vec<u8>> {
    let broken = |error: serde_json::Error| Error::Internal(error.to_string());
    let bytes = answer.encoded_len();
    if bytes <= SMALL {
        return json::write(answer).map_err(broken);
    }
    let length = aside(bytes, || json::length(answer)).map_err(broken)?;
    held.shrink_to(bytes);
    held.grow(length).await?;
    aside(bytes, || json::write_within(answer, length)).map_err(broken)
}

/// From so many bytes on reading or writing JSON takes milliseconds, for which other calls of the same thread would wait.
const LONG: usize = 256 * 1_024;

/// Works on so many bytes. Other calls do not wait for it when they are many.
fn aside<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    let others = Handle::try_current().is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread);
    if bytes >= LONG && others { tokio::task::block_in_place(work) } else { work() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_has_one_place() {
        // axum panics where two operations claim one path and verb.
        let mut seen = std::collections::HashSet::new();
        for route in rest_routes() {
            for (verb, template) in route.operation.http {
                for path in spellings(&axum_path(template)) {
                    assert!(seen.insert((*verb, path.clone())), "{verb} {path}");
                }
            }
        }
        assert!(seen.contains(&("POST", "/ajax-api/2.0/preview/mlflow/runs/create".to_owned())));
    }

    #[test]
    fn templates_become_paths() {
        assert_eq!(axum_path("/a/{model_id}/tags/{key}"), "/a/{model_id}/tags/{key}");
        assert_eq!(axum_path("/a/{path=**}"), "/a/{*path}");
    }
}
