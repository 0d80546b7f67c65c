//! How fast metrics are written: over gRPC and over REST, durably, access and ledger on, beside the same rows
//! sent raw to the same engine in the same run.
//!
//! ```text
//! cargo run --release --example bench_write [-- --postgres postgres://USER@HOST/DATABASE] [--seconds 3]
//! ```
//!
//! SQLite always; PostgreSQL when a URL of a server is given where databases may be created (two are, and
//! they are dropped at the end). Server and clients share the machine and the process. "Raw" is one INSERT
//! and one commit for each request into the same table with the same durability and as many clients,
//! through the same driver. Each figure is the median of three rounds, gRPC, REST and raw in turn.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Parser;
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, Statement, Value};
use stagegate::access::{Access, MasterKey, token};
use stagegate::contract::v1::{self, tracking_service_client::TrackingServiceClient};
use stagegate::store::Store;
use stagegate::wire::hosts::Hosts;
use stagegate::wire::proxies::Proxies;
use stagegate::wire::server::{Connections, Server};
use stagegate::{clock, domain::metric_value, service, store};
use tokio::sync::watch;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Each figure is the median of so many rounds.
const ROUNDS: usize = 3;
/// Metrics of a batch; each gets as many new steps as make up the batch.
const KEYS: usize = 10;
/// Rows of a request, and clients at a time.
const CELLS: [(usize, usize); 4] = [(1, 1), (1, 32), (1_000, 1), (1_000, 8)];

#[derive(Parser)]
struct Options {
    /// A PostgreSQL server on which databases may be created.
    #[arg(long)]
    postgres: Option<String>,
    /// Seconds of each round.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    let round = Duration::from_secs_f64(options.seconds);
    println!("| engine | rows a request | clients | gRPC, rows/s | REST, rows/s | raw, rows/s | gRPC/raw | time of REST/gRPC |");
    println!("|---|---|---|---|---|---|---|---|");
    let folder = std::env::temp_dir().join(format!("stagegate-bench-{}", clock::new_uid()));
    std::fs::create_dir_all(&folder)?;
    let urls = ["ours.db", "raw.db"].map(|name| store::sqlite_url(&folder.join(name)));
    let outcome = engine("SQLite", &folder, &urls, round).await;
    std::fs::remove_dir_all(&folder)?;
    outcome?;
    if let Some(server) = options.postgres {
        postgres(&server, round).await?;
    }
    Ok(())
}

async fn postgres(server: &str, round: Duration) -> Result<()> {
    let folder = std::env::temp_dir().join(format!("stagegate-bench-{}", clock::new_uid()));
    std::fs::create_dir_all(&folder)?;
    let names = ["ours", "raw"].map(|kind| format!("stagegate_bench_{kind}_{}", clock::new_uid()));
    let admin = Database::connect(server).await?;
    for name in &names {
        admin.execute_unprepared(&format!("CREATE DATABASE {name}")).await?;
    }
    let url = |name: &String| {
        let mut url = url::Url::parse(server)?;
        url.set_path(name);
        Ok::<_, url::ParseError>(url.to_string())
    };
    let outcome = engine("PostgreSQL", &folder, &[url(&names[0])?, url(&names[1])?], round).await;
    for name in &names {
        admin.execute_unprepared(&format!("DROP DATABASE {name} WITH (FORCE)")).await?;
    }
    std::fs::remove_dir_all(&folder)?;
    outcome
}

/// All cells of one engine.
async fn engine(name: &str, folder: &std::path::Path, urls: &[String; 2], round: Duration) -> Result<()> {
    let ours = Ours::start(&urls[0], folder).await?;
    for (rows, clients) in CELLS {
        let raw = Raw::connect(&urls[1], clients).await?;
        let mut measured = [Vec::new(), Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            measured[0].push(measure(&ours, rows, clients, round).await?);
            measured[1].push(measure(&Rest(&ours), rows, clients, round).await?);
            measured[2].push(measure(&raw, rows, clients, round).await?);
        }
        let [grpc, rest, raw] = measured.map(median);
        #[expect(clippy::cast_precision_loss, reason = "at most 1,000 rows")]
        let rows_each = rows as f64;
        println!(
            "| {name} | {rows} | {clients} | {:.0} | {:.0} | {:.0} | {:.2} | {:.2} |",
            grpc * rows_each,
            rest * rows_each,
            raw * rows_each,
            grpc / raw,
            grpc / rest
        );
    }
    ours.check().await
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Something that stores metric points.
trait Target: Sync {
    /// A client with a series of its own; each call of what it returns is one request of `rows` rows.
    fn client(&self, rows: usize) -> BoxFuture<'_, Result<Box<dyn Client>>>;
}

trait Client: Send {
    fn request(&mut self) -> BoxFuture<'_, Result<()>>;
}

/// Requests a second.
async fn measure(target: &dyn Target, rows: usize, clients: usize, round: Duration) -> Result<f64> {
    let mut ready = Vec::with_capacity(clients);
    for _ in 0..clients {
        let mut client = target.client(rows).await?;
        // What is prepared or interned at the first request is not measured.
        client.request().await?;
        ready.push(client);
    }
    let started = Instant::now();
    let tasks = ready.into_iter().map(|mut client| {
        tokio::spawn(async move {
            let mut done = 0_u32;
            while started.elapsed() < round {
                client.request().await?;
                done += 1;
            }
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(done)
        })
    });
    let mut done = 0;
    for task in futures::future::join_all(tasks).await {
        done += task??;
    }
    Ok(f64::from(done) / started.elapsed().as_secs_f64())
}

/// A server of ours.
struct Ours {
    store: Store,
    endpoint: Endpoint,
    token: MetadataValue<Ascii>,
    experiment_id: String,
    acknowledged: Arc<AtomicI64>,
    tending: tokio::task::JoinHandle<()>,
    /// The server serves as long as it is there.
    _stop: watch::Sender<bool>,
}

impl Ours {
    async fn start(url: &str, folder: &std::path::Path) -> Result<Self> {
        let store = Store::open(url).await?;
        let access = Access::open(store.clone(), MasterKey::load(&folder.join("master.key"), false)?).await?;
        service::ensure_default_experiment(&store).await?;
        service::ensure_admin(&access, None).await?;
        let user = access.snapshot().await?.user_by_name("admin").ok_or("there is no admin")?.uid.clone();
        let claims = token::Claims::new(&user, &clock::new_uid(), clock::now_ms(), clock::now_ms() + 3_600_000);
        let token = format!("Bearer {}", token::sign(&access.keys(), &claims)?).parse()?;
        let listen: std::net::SocketAddr = "127.0.0.1:0".parse()?;
        let server =
            Server::bind(listen, None, Hosts::new(listen.ip(), &[])?, Proxies::default(), Connections::within(1_024, None), &access)
                .await?;
        let endpoint = Endpoint::from_shared(format!("http://{}", server.local_addr()?))?;
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(server.run(stopped));
        tokio::spawn(access.clone().tend());
        let tending = tokio::spawn(tend_ledger(store.clone(), access));
        let mut ours = Self { store, endpoint, token, experiment_id: String::new(), acknowledged: Arc::default(), tending, _stop: stop };
        let create = v1::CreateExperimentRequest { name: "bench".to_owned(), ..Default::default() };
        ours.experiment_id = ours.connect().await?.create_experiment(ours.signed(create)).await?.into_inner().experiment_id;
        Ok(ours)
    }

    async fn connect(&self) -> Result<TrackingServiceClient<Channel>> {
        Ok(TrackingServiceClient::new(self.endpoint.connect().await?))
    }

    async fn new_run(&self, client: &mut TrackingServiceClient<Channel>) -> Result<String> {
        let create = v1::CreateRunRequest { experiment_id: self.experiment_id.clone(), ..Default::default() };
        let run = client.create_run(self.signed(create)).await?.into_inner().run.and_then(|run| run.info);
        Ok(run.ok_or("no run was answered")?.run_id)
    }

    fn signed<T>(&self, message: T) -> tonic::Request<T> {
        signed(message, &self.token)
    }

    /// Every row that was acknowledged is there.
    async fn check(&self) -> Result<()> {
        self.tending.abort();
        let row = store::sql::one(self.store.reader(), "SELECT COUNT(*) FROM metrics", []).await?;
        let (found, acknowledged) = (row.get::<i64>(0)?, self.acknowledged.load(Ordering::Relaxed));
        if found == acknowledged {
            println!("  {found} rows were acknowledged, and all are there.");
            return Ok(());
        }
        Err(format!("{acknowledged} rows were acknowledged, and {found} are there").into())
    }
}

fn signed<T>(message: T, token: &MetadataValue<Ascii>) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.metadata_mut().insert("authorization", token.clone());
    request
}

/// As the server does beside its requests.
async fn tend_ledger(store: Store, access: Arc<Access>) {
    loop {
        if let Err(error) = store.tend_ledger(&access.keys().ledger, true).await {
            eprintln!("the ledger could not be tended: {error}");
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// The same server over REST.
struct Rest<'a>(&'a Ours);

struct RestClient {
    client: HttpClient<HttpConnector, Full<Bytes>>,
    url: String,
    token: http::HeaderValue,
    run_id: String,
    rows: usize,
    step: i64,
    acknowledged: Arc<AtomicI64>,
}

impl Target for Rest<'_> {
    fn client(&self, rows: usize) -> BoxFuture<'_, Result<Box<dyn Client>>> {
        let ours = self.0;
        Box::pin(async move {
            let run_id = ours.new_run(&mut ours.connect().await?).await?;
            let mut connector = HttpConnector::new();
            connector.set_nodelay(true);
            let client = HttpClient::builder(TokioExecutor::new()).build(connector);
            let operation = if rows == 1 { "log-metric" } else { "log-batch" };
            let url = format!("{}api/2.0/mlflow/runs/{operation}", ours.endpoint.uri());
            let token = http::HeaderValue::from_bytes(ours.token.as_bytes())?;
            let acknowledged = ours.acknowledged.clone();
            Ok(Box::new(RestClient { client, url, token, run_id, rows, step: 0, acknowledged }) as Box<dyn Client>)
        })
    }
}

impl Client for RestClient {
    fn request(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let mut body = format!("{{\"run_id\":\"{}\",", self.run_id);
            if self.rows == 1 {
                self.step += 1;
                let step = self.step;
                write!(body, "\"key\":\"loss\",\"value\":{},\"timestamp\":{step},\"step\":{step}}}", value(step))?;
            } else {
                body.push_str("\"metrics\":[");
                for (index, (key, step)) in points(&mut self.step, self.rows).enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    let value = value(step);
                    write!(body, "{comma}{{\"key\":\"metric_{key}\",\"value\":{value},\"timestamp\":{step},\"step\":{step}}}")?;
                }
                body.push_str("]}");
            }
            let request = http::Request::post(&self.url)
                .header(http::header::AUTHORIZATION, &self.token)
                .header(http::header::CONTENT_TYPE, "application/json")
                .body(Full::new(Bytes::from(body)))?;
            let answer = self.client.request(request).await?;
            let status = answer.status();
            let body = answer.into_body().collect().await?.to_bytes();
            if status != http::StatusCode::OK {
                return Err(format!("{status}: {}", String::from_utf8_lossy(&body)).into());
            }
            self.acknowledged.fetch_add(i64::try_from(self.rows)?, Ordering::Relaxed);
            Ok(())
        })
    }
}

struct OurClient {
    client: TrackingServiceClient<Channel>,
    token: MetadataValue<Ascii>,
    run_id: String,
    rows: usize,
    step: i64,
    acknowledged: Arc<AtomicI64>,
}

impl Target for Ours {
    fn client(&self, rows: usize) -> BoxFuture<'_, Result<Box<dyn Client>>> {
        Box::pin(async move {
            let mut client = self.connect().await?;
            let run_id = self.new_run(&mut client).await?;
            let acknowledged = self.acknowledged.clone();
            Ok(Box::new(OurClient { client, token: self.token.clone(), run_id, rows, step: 0, acknowledged }) as Box<dyn Client>)
        })
    }
}

impl Client for OurClient {
    fn request(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let run_id = self.run_id.clone();
            if self.rows == 1 {
                self.step += 1;
                let (value, timestamp) = (Some(value(self.step)), Some(self.step));
                let message =
                    v1::LogMetricRequest { run_id, key: "loss".to_owned(), value, timestamp, step: self.step, ..Default::default() };
                self.client.log_metric(signed(message, &self.token)).await?;
            } else {
                let metrics = points(&mut self.step, self.rows).map(|(key, step)| v1::Metric {
                    key: format!("metric_{key}"),
                    value: Some(value(step)),
                    timestamp: Some(step),
                    step,
                    ..v1::Metric::default()
                });
                let message = v1::LogBatchRequest { run_id, metrics: metrics.collect(), ..Default::default() };
                self.client.log_batch(signed(message, &self.token)).await?;
            }
            self.acknowledged.fetch_add(i64::try_from(self.rows)?, Ordering::Relaxed);
            Ok(())
        })
    }
}

/// Key and step of each point of a batch: all keys at one step, then at the next.
fn points(step: &mut i64, rows: usize) -> impl Iterator<Item = (usize, i64)> + use<> {
    let first = *step + 1;
    let steps = i64::try_from(rows / KEYS).unwrap_or(i64::MAX);
    *step += steps;
    (first..first + steps).flat_map(|step| (0..KEYS).map(move |key| (key, step)))
}

/// Values with all their digits.
fn value(step: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "any value will do")]
    let step = step as f64;
    (step * 0.1).sin()
}

/// The bare engine, with the schema of a server.
struct Raw {
    connection: DatabaseConnection,
    /// Series are told apart by it.
    next_run: AtomicI64,
}

impl Raw {
    async fn connect(url: &str, clients: usize) -> Result<Self> {
        drop(Store::open(url).await?);
        let sqlite = url.starts_with("sqlite:");
        let mut options = ConnectOptions::new(url);
        // One connection is the fastest way to write to SQLite.
        options.max_connections(if sqlite { 1 } else { u32::try_from(clients)? }).sqlx_logging(false).test_before_acquire(false);
        options.map_sqlx_sqlite_opts(|options| {
            options
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .foreign_keys(true)
                .statement_cache_capacity(512)
        });
        let connection = Database::connect(options).await?;
        let query = Statement::from_string(connection.get_database_backend(), "SELECT COALESCE(MAX(run), 0) FROM metrics");
        let used: i64 = connection.query_one_raw(query).await?.ok_or("no row was answered")?.try_get_by_index(0)?;
        Ok(Self { connection, next_run: AtomicI64::new(used + 1) })
    }
}

struct RawClient {
    connection: DatabaseConnection,
    insert: String,
    run: i64,
    rows: usize,
    step: i64,
}

impl Target for Raw {
    fn client(&self, rows: usize) -> BoxFuture<'_, Result<Box<dyn Client>>> {
        let sqlite = store::is_sqlite(&self.connection);
        let marks = if sqlite { store::sql::unnumbered_rows(rows, 5) } else { store::sql::rows_of(1, rows, 5) };
        let insert = format!("INSERT INTO metrics (run, metric, time, step, value) VALUES {marks} ON CONFLICT DO NOTHING");
        let run = self.next_run.fetch_add(1, Ordering::Relaxed);
        let client = RawClient { connection: self.connection.clone(), insert, run, rows, step: 0 };
        Box::pin(async move { Ok(Box::new(client) as Box<dyn Client>) })
    }
}

impl Client for RawClient {
    fn request(&mut self) -> BoxFuture<'_, Result<()>> {
        let points: Vec<(usize, i64)> = if self.rows == 1 {
            self.step += 1;
            vec![(0, self.step)]
        } else {
            points(&mut self.step, self.rows).collect()
        };
        let run = self.run;
        let row = |(key, step): (usize, i64)| {
            let key = i64::try_from(key).unwrap_or_default();
            [run, key, step, step, metric_value::encode(value(step))].map(Value::from)
        };
        let values: Vec<Value> = points.into_iter().flat_map(row).collect();
        let statement = Statement::from_sql_and_values(self.connection.get_database_backend(), self.insert.as_str(), values);
        Box::pin(async move {
            self.connection.execute_raw(statement).await?;
            Ok(())
        })
    }
}
