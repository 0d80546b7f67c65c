//! Readiness: a database that takes no writes is told by `/health`, gRPC's health and every write, and comes back by itself.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use http::Method;
use sea_orm::{ConnectionTrait, Database};
use stagegate::contract::v1;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::house::{Answer, Client, Db, Http, Server};

/// How long a change of the database may take to be told.
const TOLD: Duration = Duration::from_secs(20);

async fn health(server: &Server) -> Answer {
    Http::new(server.nobody().http().address(), None).json(Method::GET, "/health", "").await
}

async fn grpc_health(server: &Server, service: &str) -> ServingStatus {
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", server.nobody().http().address())).expect("a URL");
    let mut client = HealthClient::new(endpoint.connect().await.expect("the server listens"));
    let answer = client.check(HealthCheckRequest { service: service.to_owned() }).await.expect("health is known").into_inner();
    answer.status()
}

/// Waits until both faces tell the same, with or without writes meanwhile.
async fn becomes(server: &Server, ready: bool) -> Answer {
    let since = Instant::now();
    loop {
        let answer = health(server).await;
        let status = grpc_health(server, "").await;
        let told = (answer.status == 200, status == ServingStatus::Serving);
        if told == (ready, ready) {
            assert_eq!(grpc_health(server, "stagegate.v1.TrackingService").await, status);
            return answer;
        }
        assert!(since.elapsed() < TOLD, "still {} {status:?}: {}", answer.status, server.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn experiment(client: &Client, name: &str) -> Result<(), Status> {
    let request = v1::CreateExperimentRequest { name: name.to_owned(), ..Default::default() };
    client.call::<_, v1::CreateExperimentResponse>("CreateExperiment", request).await.map(|_| ())
}

async fn metric(client: &Client, run_id: &str) -> Result<(), Status> {
    let point = v1::Metric { key: "m".to_owned(), value: Some(1.0), timestamp: Some(1), step: 1, ..Default::default() };
    let request = v1::LogBatchRequest { run_id: run_id.to_owned(), metrics: vec![point], ..Default::default() };
    client.call::<_, v1::LogBatchResponse>("LogBatch", request).await.map(|_| ())
}

async fn run(client: &Client) -> String {
    let request = v1::CreateRunRequest { experiment_id: "0".to_owned(), ..Default::default() };
    let run: v1::CreateRunResponse = client.call("CreateRun", request).await.expect("a run");
    run.run.and_then(|run| run.info).expect("a run has an id").run_id
}

/// Both kinds of writes are answered with what may pass by itself.
async fn writes_are_unavailable(client: &Client, run_id: &str) {
    let refused = experiment(client, "not-now").await.expect_err("nothing can be written");
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    let refused = metric(client, run_id).await.expect_err("nothing can be written");
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    let answer = client.http().post("experiments/create", &serde_json::json!({"name": "not-now-either"})).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
    assert!(
        client
            .call::<_, v1::GetExperimentResponse>("GetExperiment", v1::GetExperimentRequest { experiment_id: "0".to_owned() })
            .await
            .is_ok(),
        "reads go on"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_postgres_is_not_ready_and_comes_back() {
    let Some(server) = Server::on(Db::Postgres).await else { return };
    let admin = server.admin().await;
    let run_id = run(&admin).await;
    becomes(&server, true).await;
    let cluster = Database::connect(std::env::var("STAGEGATE_TEST_POSTGRES_URL").expect("there is a cluster")).await.expect("it answers");
    let database = server.url.rsplit('/').next().expect("a name").to_owned();
    // As a failover does it: connections end, and the next ones find a database that only reads.
    let away = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'");
    cluster.execute_unprepared(&format!("ALTER DATABASE {database} SET default_transaction_read_only = on")).await.expect("a setting");
    cluster.execute_unprepared(&away).await.expect("connections end");
    // Nobody writes; it is told all the same.
    let since = Instant::now();
    loop {
        let answer = becomes(&server, false).await;
        assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
        // Until new connections are there it does not answer at all.
        if String::from_utf8_lossy(&answer.body).contains("read-only") {
            break;
        }
        assert!(since.elapsed() < TOLD, "{answer:?}");
    }
    writes_are_unavailable(&admin, &run_id).await;
    becomes(&server, false).await;
    // Connections that were made meanwhile would stay read-only for as long as they live.
    cluster.execute_unprepared(&format!("ALTER DATABASE {database} RESET default_transaction_read_only")).await.expect("a setting");
    becomes(&server, true).await;
    for number in 0..40 {
        experiment(&admin, &format!("again-{number}")).await.expect("writes go on by themselves");
    }
    metric(&admin, &run_id).await.expect("writes go on by themselves");
    assert!(!server.log().contains("internal error"), "{}", server.log());
}

/// The most bytes that the server may write to a file.
fn largest_file(server: &Server, bytes: &str) {
    let limit = format!("--fsize={bytes}:unlimited");
    let status = Command::new("prlimit").args(["--pid", &server.pid().to_string(), &limit]).stdout(Stdio::null()).status();
    assert!(status.expect("prlimit runs").success());
}

/// To a process, a file that may not grow looks as a full disk does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sqlite_file_that_cannot_grow_is_not_ready_and_comes_back() {
    let server = Server::without_signal_for_large_files();
    let admin = server.admin().await;
    let run_id = run(&admin).await;
    becomes(&server, true).await;
    largest_file(&server, "1");
    let since = Instant::now();
    while experiment(&admin, &format!("filler-{:?}", since.elapsed())).await.is_ok() {
        assert!(since.elapsed() < TOLD, "writes go on");
    }
    becomes(&server, false).await;
    writes_are_unavailable(&admin, &run_id).await;
    // It stays so while nobody writes.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(health(&server).await.status, 503);
    largest_file(&server, "unlimited");
    becomes(&server, true).await;
    experiment(&admin, "again").await.expect("writes go on by themselves");
    metric(&admin, &run_id).await.expect("writes go on by themselves");
}
