//! Sinks of checkpoints that are URLs.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use http::Method;
use url::Url;

use super::outgoing::{Recipient, request};
use crate::store::ledger_feed::Signed;

/// A URL that gets each newest checkpoint by PUT.
pub struct Sink(pub Url);

impl Recipient for Sink {
    fn name(&self) -> String {
        self.0.host_str().unwrap_or_default().to_owned()
    }

    fn pause(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn send(&mut self, signed: Arc<Signed>) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            match request(Method::PUT, self.0.clone(), signed.note.clone()).await?.status {
                200..300 => Ok(()),
                status => Err(format!("it answered {status}")),
            }
        })
    }
}
