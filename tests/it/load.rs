//! Load by those who are signed in or not: what is bounded is told, and what nobody waits for any more ends.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream};
use std::time::Duration;

use http::{Method, StatusCode, header};
use sea_orm::{ConnectionTrait, Statement};
use serde_json::json;
use stagegate::contract::v1;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::house::{Client, Db, Server};

on_both_engines! {
    a_search_ends_in_the_database_when_its_caller_leaves,
    slow_searches_of_many_keep_nobody_from_theirs,
    a_pattern_over_a_limit_is_refused_with_the_limit,
    sign_ins_of_made_up_names_are_refused_for_a_while,
    a_source_has_so_many_connections_and_others_have_theirs,
    bodies_of_one_user_take_that_users_memory,
    pages_and_answers_stay_within_the_budget,
}

/// Runs with a tag of 8,000 times `a`: a pattern that almost fits takes long on each.
async fn runs_with_long_tags(server: &Server) {
    let (id, value) = match server.db {
        Db::Sqlite => ("printf('%032x', i)", "replace(hex(zeroblob(4000)), '00', 'aa')"),
        Db::Postgres => ("lpad(to_hex(i), 32, '0')", "repeat('a', 8000)"),
    };
    let sql = server.sql().await;
    let numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)";
    for text in [
        format!(
            "INSERT INTO runs (run_id, experiment, name, user_id, status, start_time, active, created_by) \
             {numbers} SELECT {id}, (SELECT MIN(id) FROM experiments), 'n', 'u', 1, i, TRUE, 'nobody' FROM n"
        ),
        format!("INSERT INTO run_tags (run, tag_key, value) SELECT id, 'long', {value} FROM runs"),
    ] {
        sql.execute_unprepared(&text).await.expect("rows can be made");
    }
}

/// Sends a search that takes far longer than any test, and does not wait for it.
fn long_search(client: &Client, experiment: &str) -> TcpStream {
    let filter = format!("tags.long LIKE '%{}b%'", "a".repeat(900));
    let body = json!({"experiment_ids": [experiment], "filter": filter}).to_string();
    let http = client.http();
    let head = format!(
        "POST /api/2.0/mlflow/runs/search HTTP/1.1\r\nHost: localhost\r\nAuthorization: {}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        http.authorization.as_deref().unwrap_or_default(),
        body.len()
    );
    let mut stream = TcpStream::connect(http.address()).expect("the server listens");
    stream.write_all(head.as_bytes()).expect("the request is taken");
    stream
}

/// Whether something still works on searches: the server itself on SQLite, a process of the database on PostgreSQL.
async fn works(server: &Server) -> bool {
    if server.db == Db::Sqlite {
        let before = server.processor_time();
        tokio::time::sleep(Duration::from_millis(500)).await;
        // A fifth of one core: tests run side by side, and an idle server takes a twentieth.
        return server.processor_time() - before > 10;
    }
    let sql = server.sql().await;
    let text = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' \
                AND pid <> pg_backend_pid() AND query LIKE '%run_tags%'";
    let row = sql.query_one_raw(Statement::from_string(sql.get_database_backend(), text)).await.expect("an answer").expect("a row");
    row.try_get_by_index::<i64>(0).expect("a count") > 0
}

async fn becomes(server: &Server, wanted: bool) -> bool {
    for _ in 0..20 {
        if works(server).await == wanted {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    false
}

async fn a_search_ends_in_the_database_when_its_caller_leaves(server: Server) {
    runs_with_long_tags(&server).await;
    let admin = server.admin().await;
    let experiments = admin.http().post("experiments/search", &json!({"max_results": 1})).await.json();
    let experiment = experiments["experiments"][0]["experiment_id"].as_str().expect("an experiment").to_owned();
    let searches = [long_search(&admin, &experiment), long_search(&admin, &experiment)];
    assert!(becomes(&server, true).await, "the searches take long enough to be left");
    drop(searches);
    assert!(becomes(&server, false).await, "nobody waits for them, and they go on");
    let page = admin.http().post("runs/search", &json!({"experiment_ids": [experiment], "max_results": 5})).await;
    assert_eq!(page.json()["runs"].as_array().map(Vec::len), Some(5), "their connections serve others");
}

/// The first line of an answer.
fn answered(mut stream: TcpStream) -> String {
    stream.set_read_timeout(Some(Duration::from_secs(90))).expect("a socket");
    let mut line = [0; 512];
    let read = stream.read(&mut line).expect("an answer");
    String::from_utf8_lossy(&line[..read]).into_owned()
}

async fn slow_searches_of_many_keep_nobody_from_theirs(server: Server) {
    runs_with_long_tags(&server).await;
    let admin = server.admin().await;
    let experiments = admin.http().post("experiments/search", &json!({"max_results": 1})).await.json();
    let experiment = experiments["experiments"][0]["experiment_id"].as_str().expect("an experiment").to_owned();
    let mut searches = Vec::new();
    for _ in 0..17 {
        let slow = server.as_("viewer").await;
        searches.extend([long_search(&slow, &experiment), long_search(&slow, &experiment)]);
    }
    assert!(becomes(&server, true).await, "the searches take long enough");
    let other = server.as_("data_scientist").await.http();
    let page = other.post("runs/search", &json!({"experiment_ids": [experiment], "max_results": 5})).await;
    assert_eq!(page.status, StatusCode::OK, "another's search: {}", page.message());
    let run = other.post("runs/create", &json!({"experiment_id": experiment})).await;
    assert_eq!(run.status, StatusCode::OK, "another's write: {}", run.message());
    assert_eq!(other.send(Method::GET, "/health", &[], b"").await.status, StatusCode::OK);
    let first = answered(searches.remove(0));
    assert!(first.starts_with("HTTP/1.1 429") && first.to_lowercase().contains("retry-after: "), "{first}");
    drop(searches);
    assert!(becomes(&server, false).await, "nobody waits for them, and they go on");
}

async fn a_pattern_over_a_limit_is_refused_with_the_limit(server: Server) {
    let admin = server.admin().await.http();
    for (pattern, limit) in [("x".repeat(1_001), "at most 1000 are allowed"), ("%x".repeat(17), "at most 16 are allowed")] {
        let body = json!({"experiment_ids": ["0"], "filter": format!("tags.a ILIKE '{pattern}'")});
        let answer = admin.post("runs/search", &body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert!(answer.message().contains("filter") && answer.message().contains(limit), "{}", answer.message());
    }
}

async fn sign_ins_of_made_up_names_are_refused_for_a_while(server: Server) {
    let admin = server.admin().await;
    let stranger = server.nobody().http();
    let guesses = (0..150).map(|number| {
        let stranger = stranger.clone();
        async move {
            let body = json!({"user_name": format!("made-up-{number}"), "password": "a long wrong password"}).to_string();
            stranger.json(Method::POST, "/api/stagegate/v1/sign-in", &body).await
        }
    });
    let answers = futures::future::join_all(guesses).await;
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status == StatusCode::TOO_MANY_REQUESTS).collect();
    assert!(!refused.is_empty(), "{:?}", answers.iter().map(|answer| answer.status).collect::<Vec<_>>());
    for answer in refused {
        let seconds = answer.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        assert!(seconds.is_some_and(|seconds| seconds >= 1), "{answer:?}");
    }
    assert!(answers.iter().all(|answer| [StatusCode::TOO_MANY_REQUESTS, StatusCode::UNAUTHORIZED].contains(&answer.status)));
    // The admin has signed in from here before.
    server.admin().await;
    assert_eq!(admin.http().get("experiments/search?max_results=1").await.status, StatusCode::OK);
}

/// A new connection from an address of this machine, and whether the server answers on it.
async fn answers(server: &Server, from: [u8; 4]) -> Option<tokio::net::TcpStream> {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind((IpAddr::from(from), 0).into()).expect("all of 127.0.0.0/8 is this machine's");
    let mut stream = socket.connect(server.nobody().http().address().parse().expect("an address")).await.expect("the port is open");
    // A connection that was closed may refuse the bytes already.
    let _ = stream.write_all(b"GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.ok()?;
    (&first == b"HTTP/1.1 200").then_some(stream)
}

async fn a_source_has_so_many_connections_and_others_have_theirs(server: Server) {
    let few = [("STAGEGATE_MAX_CONNECTIONS_PER_SOURCE", "5")];
    let limited = Server::with(server.db, &few).await.expect("the engine is there");
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(answers(&limited, [127, 0, 0, 2]).await.expect("there is room"));
    }
    assert!(answers(&limited, [127, 0, 0, 2]).await.is_none(), "the sixth");
    assert!(answers(&limited, [127, 0, 0, 3]).await.is_some(), "another source");
    drop(held);
    let mut again = answers(&limited, [127, 0, 0, 2]).await;
    for _ in 0..50 {
        if again.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        again = answers(&limited, [127, 0, 0, 2]).await;
    }
    assert!(again.is_some(), "places are given back");
    let settings = [few[0], ("STAGEGATE_TRUSTED_PROXIES", "127.0.0.2")];
    let behind_a_proxy = Server::with(server.db, &settings).await.expect("the engine is there");
    let mut brought = Vec::new();
    for _ in 0..12 {
        brought.push(answers(&behind_a_proxy, [127, 0, 0, 2]).await.expect("a trusted proxy brings everybody"));
    }
}

/// The smallest budget there is: 16 MiB, of which one call may hold eight, and a user one and such a call.
const SMALL_BUDGET: [(&str, &str); 1] = [("STAGEGATE_MEMORY_BUDGET", "16MiB")];

/// The body of a request about a run that is not there, of so many bytes.
fn long_body(bytes: usize) -> String {
    let dataset = json!({"name": "n", "digest": "d", "source_type": "s", "source": "x", "profile": "x".repeat(bytes)});
    json!({"run_id": "0".repeat(32), "datasets": [{"dataset": dataset}]}).to_string()
}

async fn bodies_of_one_user_take_that_users_memory(server: Server) {
    let server = Server::with(server.db, &SMALL_BUDGET).await.expect("the engine is there");
    let (greedy, other) = (server.as_("data_scientist").await, server.as_("data_scientist").await);
    let http = greedy.http();
    let body = long_body(2 << 20);
    let mut unfinished = TcpStream::connect(http.address()).expect("the server listens");
    let head = format!(
        "POST /api/2.0/mlflow/runs/log-inputs HTTP/1.1\r\nHost: localhost\r\nAuthorization: {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        http.authorization.as_deref().unwrap_or_default(),
        body.len() + 1
    );
    unfinished.write_all(head.as_bytes()).expect("the bytes are taken");
    let log = async |caller: &Client| caller.http().json(Method::POST, "/api/2.0/mlflow/runs/log-inputs", &body).await;
    let mut refused = log(&greedy).await;
    for _ in 0..20 {
        if refused.status == StatusCode::TOO_MANY_REQUESTS {
            break;
        }
        // The unfinished one has not been read yet.
        refused = log(&greedy).await;
    }
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{refused:?}");
    assert_eq!(refused.headers.get(header::RETRY_AFTER).map(|value| value.as_bytes()), Some(&b"1"[..]));
    assert!(refused.message().contains("--memory-budget"), "{}", refused.message());
    let metrics = vec![v1::Metric { key: "k".repeat(250), value: Some(1.0), ..Default::default() }; 8_000];
    let request = v1::LogBatchRequest { run_id: "0".repeat(32), metrics, ..Default::default() };
    let status = greedy.call::<_, v1::LogBatchResponse>("LogBatch", request.clone()).await.expect_err("over the budget");
    assert_eq!(status.code(), tonic::Code::ResourceExhausted, "{status}");
    assert!(tonic_types::StatusExt::get_error_details(&status).retry_info().is_some(), "{status}");
    let small = greedy.http().post("experiments/search", &json!({"max_results": 1})).await;
    assert_eq!(small.status, StatusCode::OK, "small calls need no room");
    // Another user has room, and is told of the run.
    let told = log(&other).await;
    assert_ne!(told.status, StatusCode::TOO_MANY_REQUESTS, "{told:?}");
    let status = other.call::<_, v1::LogBatchResponse>("LogBatch", request).await.expect_err("too many metrics, or no run");
    assert_ne!(status.code(), tonic::Code::ResourceExhausted, "{status}");
    drop(unfinished);
    let mut again = log(&greedy).await;
    for _ in 0..20 {
        if again.status == told.status {
            break;
        }
        again = log(&greedy).await;
    }
    assert_eq!(again.status, told.status, "the room is given back");
    let many = format!(r#"{{"run_id":"{}","datasets":[{}{{}}]}}"#, "0".repeat(32), "{},".repeat(60_000));
    let answer = other.http().json(Method::POST, "/api/2.0/mlflow/runs/log-inputs", &many).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "few bytes that become many objects: {}", answer.message());
    let many = v1::LogBatchRequest { run_id: "0".repeat(32), metrics: vec![v1::Metric::default(); 60_000], ..Default::default() };
    let status = other.call::<_, v1::LogBatchResponse>("LogBatch", many).await.expect_err("as many over gRPC");
    assert_eq!(status.code(), tonic::Code::ResourceExhausted, "{status}");
    assert!(status.message().contains("--memory-budget"), "{status}");
}

async fn pages_and_answers_stay_within_the_budget(server: Server) {
    let server = Server::with(server.db, &SMALL_BUDGET).await.expect("the engine is there");
    let http = server.as_("data_scientist").await.http();
    let experiment = http.post("experiments/create", &json!({"name": "large"})).await.json()["experiment_id"].clone();
    let mut logged = Vec::new();
    for (index, tags) in [(0, 60), (1, 60), (2, 60), (3, 400)] {
        let run = http.post("runs/create", &json!({"experiment_id": experiment, "start_time": 10 - index})).await.json();
        let run_id = run["run"]["info"]["run_id"].as_str().expect("an id").to_owned();
        let tags: Vec<_> = (0..tags).map(|tag| json!({"key": format!("t{tag}"), "value": "x".repeat(8_000)})).collect();
        for some in tags.chunks(50) {
            let answer = http.post("runs/log-batch", &json!({"run_id": run_id, "tags": some})).await;
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.message());
        }
        logged.push(run_id);
    }
    let page = http.post("runs/search", &json!({"experiment_ids": [experiment], "max_results": 3})).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.message());
    assert_eq!(page.json()["runs"].as_array().map(Vec::len), Some(2), "the page ends early");
    assert!(page.json()["next_page_token"].is_string());
    let answer = http.get(&format!("runs/get?run_id={}", logged[3])).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(answer.message().contains("8.0 MiB") && answer.message().contains("--memory-budget"), "{}", answer.message());
    // Nothing of it is kept: as often as one likes.
    for _ in 0..10 {
        assert_eq!(http.get(&format!("runs/get?run_id={}", logged[0])).await.status, StatusCode::OK);
    }
}
