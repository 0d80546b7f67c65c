//! A running MLflow server, asked through its REST API. Credentials come from the variables that MLflow's own
//! client knows. The client is blocking and runs beside the writer on threads of its own.

use std::collections::HashSet;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use url::Url;

use super::found::{Experiment, LoggedModel, Model, Page, Point, Run, Version};
use super::{Error, Result, http_json as read};

/// Objects in one page.
const PAGE: i64 = 200;
/// Points in one page of a history, as MLflow's own client asks for.
const HISTORY: i64 = 25_000;
/// Experiments in one search of runs.
const EXPERIMENTS: usize = 100;
/// An answer is no longer than this.
const ANSWER_BYTES: u64 = 512 * 1024 * 1024;
/// How often a request is tried that found the server busy or gone.
const ATTEMPTS: u32 = 5;

/// A server.
#[derive(Clone)]
pub struct Http {
    agent: ureq::Agent,
    base: String,
    authorization: Option<String>,
}

impl Http {
    /// Reaches a server and looks whether it is MLflow's.
    pub async fn open(url: &Url) -> Result<Self> {
        let mut base = url.clone();
        // A URL that has a host can always lose these.
        let _ = (base.set_username(""), base.set_password(None));
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(10)))
            .timeout_recv_response(Some(Duration::from_secs(120)))
            .max_redirects(0)
            .tls_config(tls()?)
            .user_agent(concat!("stagegate/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        let http = Self { agent, base: base.as_str().trim_end_matches('/').to_owned(), authorization: authorization(url) };
        http.experiments(None).await?;
        Ok(http)
    }

    /// Runs something that blocks.
    async fn blocking<T: Send + 'static>(&self, ask: impl FnOnce(Self) -> Result<T> + Send + 'static) -> Result<T> {
        let http = self.clone();
        let done = tokio::task::spawn_blocking(move || ask(http)).await;
        done.map_err(|error| Error::Source(format!("asking {} failed: {error}", self.base)))?
    }

    /// One answer. Busy or unreachable servers are asked again.
    fn ask(&self, path: &str, query: &[(&str, String)], body: Option<&Value>) -> Result<ureq::http::Response<ureq::Body>> {
        let url = format!("{}{path}", self.base);
        let mut attempt = 0;
        loop {
            attempt += 1;
            let pairs = query.iter().map(|(name, value)| (*name, value.as_str()));
            let answer = match body {
                None => self.authorized(self.agent.get(&url).query_pairs(pairs)).call(),
                Some(body) => self.authorized(self.agent.post(&url).content_type("application/json")).send(body.to_string()),
            };
            let again = match &answer {
                Ok(answer) => matches!(answer.status().as_u16(), 429 | 502 | 503 | 504),
                Err(error) => matches!(error, ureq::Error::Io(_) | ureq::Error::Timeout(_) | ureq::Error::ConnectionFailed),
            };
            if again && attempt < ATTEMPTS {
                std::thread::sleep(Duration::from_millis(250 << attempt));
                continue;
            }
            return answer.map_err(|error| Error::Source(format!("{url} cannot be reached: {error}")));
        }
    }

    fn authorized<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        match &self.authorization {
            Some(authorization) => request.header("authorization", authorization),
            None => request,
        }
    }

    /// One answer in JSON.
    fn json(&self, path: &str, query: &[(&str, String)], body: Option<&Value>) -> Result<Value> {
        let mut answer = self.ask(path, query, body)?;
        self.read(path, &mut answer)
    }

    fn read(&self, path: &str, answer: &mut ureq::http::Response<ureq::Body>) -> Result<Value> {
        let status = answer.status().as_u16();
        let said = |what: &str| Error::Source(format!("{}{path} answered {status}: {what}", self.base));
        let text = answer.body_mut().with_config().limit(ANSWER_BYTES).read_to_string().map_err(|error| said(&error.to_string()))?;
        match status {
            200 => serde_json::from_str(&text).map_err(|_| said("no JSON; is it an MLflow server, and is the path before /api right?")),
            401 => Err(said("set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD")),
            403 => Err(said("the user may not read everything; an import needs an administrator of the old server")),
            404 => Err(said("it is older than MLflow 2, or not MLflow; an old one's database can be imported directly")),
            _ => Err(said(&text.chars().take(300).collect::<String>())),
        }
    }

    pub async fn experiments(&self, after: Option<&str>) -> Result<Page<Experiment>> {
        let body = json!({"max_results": PAGE, "view_type": "ALL", "page_token": after});
        let answer = self.blocking(move |http| http.json("/api/2.0/mlflow/experiments/search", &[], Some(&body))).await?;
        let items = read::list(&answer, "experiments").iter().map(read::experiment).collect();
        Ok(Page { items, next: read::next_page(&answer) })
    }

    /// Runs of a part of the experiments after the other, deleted ones as well.
    pub async fn runs(&self, experiments: &[i64], after: Option<&str>) -> Result<Page<Run>> {
        let order = ["attributes.start_time ASC", "attributes.run_id ASC"];
        let asked = json!({"max_results": PAGE, "run_view_type": "ALL", "order_by": order});
        let (part, body, chunks) = by_experiments(experiments, after, asked);
        let Some(body) = body else { return Ok(Page { items: Vec::new(), next: None }) };
        let answer = self.blocking(move |http| http.json("/api/2.0/mlflow/runs/search", &[], Some(&body))).await?;
        let items = read::list(&answer, "runs").iter().map(read::run).collect();
        Ok(Page { items, next: next_part(part, chunks, &answer) })
    }

    /// All metric points of some runs, one page of one metric after the other.
    pub fn points(&self, runs: &[&Run]) -> mpsc::Receiver<Result<Vec<Point>>> {
        let (sender, receiver) = mpsc::channel(2);
        let wanted: Vec<(String, Vec<String>)> = runs.iter().map(|run| (run.run_id.clone(), run.metric_keys.clone())).collect();
        let http = self.clone();
        tokio::task::spawn_blocking(move || {
            for (place, (run_id, keys)) in wanted.iter().enumerate() {
                for key in keys {
                    if let Err(error) = http.history(place, run_id, key, &sender) {
                        // Whoever does not listen any more has an error already.
                        let _ = sender.blocking_send(Err(error));
                        return;
                    }
                }
            }
        });
        receiver
    }

    fn history(&self, run: usize, run_id: &str, key: &str, sender: &mpsc::Sender<Result<Vec<Point>>>) -> Result<()> {
        let key: Arc<str> = key.into();
        let mut token = None;
        loop {
            let mut query = vec![("run_id", run_id.to_owned()), ("metric_key", key.to_string()), ("max_results", HISTORY.to_string())];
            query.extend(token.map(|token| ("page_token", token)));
            let answer = self.json("/api/2.0/mlflow/metrics/get-history", &query, None)?;
            let point = |of: &Value| Point {
                run,
                key: key.clone(),
                value: read::value(of),
                time: read::integer(of, "timestamp"),
                step: read::integer(of, "step"),
            };
            let points: Vec<Point> = read::list(&answer, "metrics").iter().map(point).collect();
            token = read::next_page(&answer);
            // A receiver that has gone away has an error of its own.
            if sender.blocking_send(Ok(points)).is_err() || token.is_none() {
                return Ok(());
            }
        }
    }

    /// A page of a search of the registry. Prompts, which MLflow keeps there as well, are found by a filter of
    /// their own: a cursor begins with the number of the search.
    async fn registry(&self, of: &'static str, after: Option<&str>, order: &'static [&'static str]) -> Result<(Value, Option<String>)> {
        let (search, token) = after.and_then(|after| after.split_once(' ')).unwrap_or(("0", ""));
        let mut query = vec![("max_results", PAGE.to_string())];
        query.extend(order.iter().map(|by| ("order_by", (*by).to_owned())));
        if search == "1" {
            query.push(("filter", "tags.`mlflow.prompt.is_prompt` = 'true'".to_owned()));
        }
        if !token.is_empty() {
            query.push(("page_token", token.to_owned()));
        }
        let answer = self.blocking(move |http| http.json(&format!("/api/2.0/mlflow/{of}/search"), &query, None)).await?;
        let more = (search == "0").then(|| "1 ".to_owned());
        let next = read::next_page(&answer).map(|token| format!("{search} {token}")).or(more);
        Ok((answer, next))
    }

    pub async fn models(&self, after: Option<&str>) -> Result<Page<Model>> {
        let (answer, next) = self.registry("registered-models", after, &["name ASC"]).await?;
        Ok(Page { items: read::list(&answer, "registered_models").iter().map(read::model).collect(), next })
    }

    pub async fn versions(&self, after: Option<&str>) -> Result<Page<Version>> {
        let (answer, next) = self.registry("model-versions", after, &["name ASC", "version_number ASC"]).await?;
        Ok(Page { items: read::list(&answer, "model_versions").iter().map(read::version).collect(), next })
    }

    /// Logged models of a part of the experiments after the other; deleted ones are not told. Servers before
    /// MLflow 3 have none.
    pub async fn logged_models(&self, experiments: &[i64], after: Option<&str>) -> Result<Page<LoggedModel>> {
        let (part, body, chunks) = by_experiments(experiments, after, json!({"max_results": PAGE}));
        let Some(body) = body else { return Ok(Page { items: Vec::new(), next: None }) };
        let answer = self
            .blocking(move |http| {
                let path = "/api/2.0/mlflow/logged-models/search";
                let mut answer = http.ask(path, &[], Some(&body))?;
                match answer.status().as_u16() {
                    404 => Ok(Value::Null),
                    _ => http.read(path, &mut answer),
                }
            })
            .await?;
        let items = read::list(&answer, "models").iter().map(read::logged_model).collect();
        Ok(Page { items, next: next_part(part, chunks, &answer) })
    }

    /// All files below a folder of the server's artifact proxy, with their sizes.
    pub async fn files(&self, root: String) -> Result<Vec<(String, u64)>> {
        self.blocking(move |http| {
            let mut files = Vec::new();
            let mut folders = vec![String::new()];
            let mut seen = HashSet::new();
            while let Some(folder) = folders.pop() {
                let path = if folder.is_empty() { root.clone() } else { format!("{root}/{folder}") };
                let answer = http.json("/api/2.0/mlflow-artifacts/artifacts", &[("path", path)], None)?;
                for entry in read::list(&answer, "files") {
                    let name = read::text(entry, "path");
                    let name = name.rsplit('/').next().unwrap_or_default();
                    let below = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
                    // A server that answers in circles must not keep us.
                    if name.is_empty() || !seen.insert(below.clone()) || below.len() > crate::domain::limits::ARTIFACT_PATH_BYTES {
                        continue;
                    }
                    if entry.get("is_dir").and_then(Value::as_bool).unwrap_or_default() {
                        folders.push(below);
                    } else {
                        files.push((below, read::integer(entry, "file_size").unsigned_abs()));
                    }
                }
            }
            Ok(files)
        })
        .await
    }

    /// The bytes of a file of the server's artifact proxy.
    pub fn download(&self, path: &str) -> Result<Box<dyn Read + Send>> {
        let segment = |segment: &str| percent_encoding::utf8_percent_encode(segment, percent_encoding::NON_ALPHANUMERIC).to_string();
        let path: Vec<String> = path.split('/').map(segment).collect();
        let path = format!("/api/2.0/mlflow-artifacts/artifacts/{}", path.join("/"));
        let answer = self.ask(&path, &[], None)?;
        match answer.status().as_u16() {
            200 => Ok(Box::new(answer.into_body().into_with_config().limit(u64::MAX).reader())),
            status => Err(Error::Source(format!("{}{path} answered {status}", self.base))),
        }
    }
}

/// A search of the experiments in parts: the number of the part, what to ask for it, and how many parts there are.
/// A cursor is the number of a part and the server's token in it.
fn by_experiments(experiments: &[i64], after: Option<&str>, mut asked: Value) -> (usize, Option<Value>, usize) {
    let (part, token) = after.and_then(|after| after.split_once(' ')).unwrap_or(("0", ""));
    let part: usize = part.parse().unwrap_or_default();
    let mut chunks = experiments.chunks(EXPERIMENTS);
    let count = chunks.len();
    let body = chunks.nth(part).map(|ids| {
        asked["experiment_ids"] = ids.iter().map(ToString::to_string).collect();
        if !token.is_empty() {
            asked["page_token"] = token.into();
        }
        asked
    });
    (part, body, count)
}

fn next_part(part: usize, parts: usize, answer: &Value) -> Option<String> {
    let more = (part + 1 < parts).then(|| format!("{} ", part + 1));
    read::next_page(answer).map(|token| format!("{part} {token}")).or(more)
}

/// As MLflow's client sends it: a token, or a name and a password, from its variables or the URL.
fn authorization(url: &Url) -> Option<String> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let basic = |user: &str, password: &str| format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
    if let (Some(user), Some(password)) = (variable("MLFLOW_TRACKING_USERNAME"), variable("MLFLOW_TRACKING_PASSWORD")) {
        return Some(basic(&user, &password));
    }
    if let Some(token) = variable("MLFLOW_TRACKING_TOKEN") {
        return Some(format!("Bearer {token}"));
    }
    let plain = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    url.password().map(|password| basic(&plain(url.username()), &plain(password)))
}

/// The usual authorities, or those of the file that MLflow's client would take.
fn tls() -> Result<ureq::tls::TlsConfig> {
    let Ok(file) = std::env::var("MLFLOW_TRACKING_SERVER_CERT_PATH") else { return Ok(ureq::tls::TlsConfig::default()) };
    let unusable = |why: String| Error::Source(format!("MLFLOW_TRACKING_SERVER_CERT_PATH {file}: {why}"));
    let pem = std::fs::read(&file).map_err(|error| unusable(error.to_string()))?;
    let mut certificates = Vec::new();
    for item in ureq::tls::parse_pem(&pem) {
        if let ureq::tls::PemItem::Certificate(certificate) = item.map_err(|error| unusable(error.to_string()))? {
            certificates.push(certificate);
        }
    }
    if certificates.is_empty() {
        return Err(unusable("holds no certificate".to_owned()));
    }
    Ok(ureq::tls::TlsConfig::builder().root_certs(ureq::tls::RootCerts::new_with_certs(&certificates)).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn experiments_are_asked_for_in_parts() {
        let experiments: Vec<i64> = (0..101).collect();
        let (part, body, parts) = by_experiments(&experiments, None, json!({"max_results": 5}));
        assert_eq!((part, parts, body.as_ref().map(|body| read::list(body, "experiment_ids").len())), (0, 2, Some(100)));
        assert_eq!(next_part(part, parts, &json!({"next_page_token": "t"})).as_deref(), Some("0 t"));
        assert_eq!(next_part(part, parts, &json!({})).as_deref(), Some("1 "));
        let (part, body, _) = by_experiments(&experiments, Some("1 t"), json!({}));
        assert_eq!((part, body), (1, Some(json!({"experiment_ids": ["100"], "page_token": "t"}))));
        assert_eq!(next_part(1, 2, &json!({})), None);
        assert_eq!(by_experiments(&[], None, json!({})).1, None);
    }
}
