//! What the server sends on its own: checkpoints, to sinks and witnesses. Off every other path: a recipient that is
//! away delays nothing.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::future::BoxFuture;
use http::Method;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::store::ledger_feed::Signed;

/// After a failure the next try comes after twice as long as before, and at most after this.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// No answer is read beyond this.
const ANSWER_BYTES: u64 = 64 * 1024;

/// Who gets each newest checkpoint.
pub trait Recipient: Send {
    /// How the log calls it: no part of a URL that may be secret.
    fn name(&self) -> String;
    /// A checkpoint is sent this long after the one before, at the earliest; of those in between only the newest is.
    fn pause(&self) -> Duration;
    /// Sends a checkpoint. Errors say why it was not taken.
    fn send(&mut self, signed: Arc<Signed>) -> BoxFuture<'_, Result<(), String>>;
}

/// Sends each newest checkpoint until `finish` is cancelled, and tries once more then.
pub async fn send_checkpoints(
    mut signed: watch::Receiver<Option<Arc<Signed>>>,
    mut recipient: Box<dyn Recipient>,
    finish: CancellationToken,
) {
    let mut sent = None;
    let mut failed_pause = None;
    loop {
        let last = finish.is_cancelled();
        let newest = signed.borrow_and_update().clone();
        if let Some(newest) = newest.filter(|newest| sent.as_ref() != Some(newest)) {
            match recipient.send(newest.clone()).await {
                Ok(()) => (sent, failed_pause) = (Some(newest), None),
                Err(error) => {
                    let to = recipient.name();
                    tracing::warn!(to, size = newest.size, error, "a checkpoint of the ledger was not taken; trying again");
                    failed_pause = Some(failed_pause.map_or(recipient.pause(), |pause: Duration| (pause * 2).min(LONGEST_PAUSE)));
                }
            }
        }
        if last {
            return;
        }
        tokio::select! {
            () = finish.cancelled() => continue,
            () = sleep(failed_pause.unwrap_or_else(|| recipient.pause())) => {}
        }
        if failed_pause.is_none() {
            tokio::select! {
                () = finish.cancelled() => {}
                // Its sender lives as long as the store; should it be gone, the pause keeps this from spinning.
                _ = signed.changed() => {}
            }
        }
    }
}

/// The status and text of an answer.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body, if it is text of a decent length.
    pub text: String,
}

/// Sends a text. Redirects are not followed. Errors never show the URL.
pub async fn request(method: Method, url: Url, text: String) -> Result<Answer, String> {
    let send = move || {
        let agent = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).max_redirects(0).http_status_as_error(false);
        let agent = agent.user_agent(concat!("stagegate/", env!("CARGO_PKG_VERSION"))).build().new_agent();
        let mut bare = url.clone();
        // A URL that has a host can always lose these.
        let _ = (bare.set_username(""), bare.set_password(None));
        let mut request = http::Request::builder().method(method).uri(bare.as_str()).header("content-type", "text/plain; charset=utf-8");
        if let Some(password) = url.password() {
            let plain = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
            let basic = STANDARD.encode(format!("{}:{}", plain(url.username()), plain(password)));
            request = request.header("authorization", format!("Basic {basic}"));
        }
        let request = request.body(text).map_err(|_| "its URL cannot be used".to_owned())?;
        let mut answer = agent.run(request).map_err(|error| match error {
            ureq::Error::BadUri(_) => "its URL cannot be used".to_owned(),
            other => other.to_string(),
        })?;
        let status = answer.status().as_u16();
        let text = answer.body_mut().with_config().limit(ANSWER_BYTES).read_to_string().unwrap_or_default();
        Ok(Answer { status, text })
    };
    tokio::task::spawn_blocking(send).await.map_err(|error| error.to_string())?
}
