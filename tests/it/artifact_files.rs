//! Files over HTTP, as MLflow's clients send and fetch them.

use std::process::Command;

use http::{Method, header};
use serde_json::json;

use crate::house::files::{Owners, STORE, listed, version};
use crate::house::{Http, Server};

on_both_engines! {
    files_go_up_and_come_down,
    a_folder_is_listed_and_deleted,
    no_browser_runs_a_file,
    parts_and_conditions,
    a_version_is_frozen,
    a_deleted_run_is_not_written,
    a_file_from_a_browser_is_small,
    a_body_that_breaks_off_leaves_nothing,
    memory_stays_flat,
}

/// Names as they stand in a URL, and as they are.
const NAMES: [(&str, &str); 9] = [
    ("plain.txt", "plain.txt"),
    ("deep/er/and/deeper/x", "deep/er/and/deeper/x"),
    ("a%20b.txt", "a b.txt"),
    ("%C3%BC/%E6%A8%A1.bin", "ü/模.bin"),
    ("100%25.txt", "100%.txt"),
    ("%23%3B%3F~%27%22%26+.txt", "#;?~'\"&+.txt"),
    ("a%2Fb", "a/b"),
    ("...", "..."),
    ("%2525", "%25"),
];

pub async fn put(http: &Http, path: &str, body: &[u8]) -> u16 {
    http.send(Method::PUT, &format!("{STORE}/{path}"), &[], body).await.status.as_u16()
}

async fn files_go_up_and_come_down(server: Server) {
    let admin = server.admin().await;
    let (http, owners) = (admin.http(), Owners::of(&admin, "files").await);
    for root in [owners.run(), owners.model()] {
        for (spelled, name) in NAMES {
            let url = format!("{STORE}/{root}/{spelled}");
            let answer = http.send(Method::PUT, &url, &[], name.as_bytes()).await;
            assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0), "{url}: {answer:?}");
            let tag = answer.headers[header::ETAG].clone();
            for url in [url.clone(), url.replacen("/api/", "/ajax-api/", 1)] {
                let answer = http.send(Method::GET, &url, &[], b"").await;
                assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, name.as_bytes()), "{url}");
                assert_eq!(answer.headers[header::ETAG], tag, "{url}");
                let head = http.send(Method::HEAD, &url, &[], b"").await;
                assert_eq!((head.status.as_u16(), head.body.len()), (200, 0), "{url}");
                assert_eq!(head.headers[header::CONTENT_LENGTH], name.len().to_string(), "{url}");
            }
        }
        assert_eq!(put(&http, &format!("{root}/empty"), b"").await, 200);
        assert_eq!(put(&http, &format!("{root}/plain.txt"), b"written again").await, 200);
        let again = http.send(Method::GET, &format!("{STORE}/{root}/plain.txt"), &[], b"").await;
        assert_eq!(&again.body[..], b"written again");
        let empty = http.send(Method::GET, &format!("{STORE}/{root}/empty"), &[(header::RANGE, "bytes=0-")], b"").await;
        assert_eq!(empty.status, 416);
        for path in ["deep", "plain.txt/below", "deep/", "plain.txt/", ""] {
            assert_eq!(put(&http, &format!("{root}/{path}"), b"x").await, 400, "{path:?}");
        }
        assert_eq!(http.send(Method::GET, &format!("{STORE}/{root}/nothing"), &[], b"").await.error_code(), "RESOURCE_DOES_NOT_EXIST");
        assert_eq!(http.send(Method::GET, &format!("{STORE}/{root}/deep"), &[], b"").await.status, 404);
    }
    let other_experiment = owners.run().replacen(&owners.experiment_id, "0", 1);
    assert_eq!(http.send(Method::GET, &format!("{STORE}/{other_experiment}/plain.txt"), &[], b"").await.status, 404);
    assert_eq!(put(&http, &format!("{other_experiment}/plain.txt"), b"x").await, 404);
    let by_run = http.send(Method::GET, &format!("/get-artifact?run_uuid={}&path=a%20b.txt", owners.run_id), &[], b"").await;
    assert_eq!(&by_run.body[..], b"a b.txt");
    let by_model = format!("/ajax-api/2.0/mlflow/logged-models/{}/artifacts/files?artifact_file_path=a%2Fb", owners.model_id);
    assert_eq!(&http.send(Method::GET, &by_model, &[], b"").await.body[..], b"a/b");
}

async fn a_folder_is_listed_and_deleted(server: Server) {
    let admin = server.admin().await;
    let (http, owners) = (admin.http(), Owners::of(&admin, "folders").await);
    for (root, list) in [
        (owners.run(), format!("artifacts/list?run_id={}&path=", owners.run_id)),
        (owners.model(), format!("logged-models/{}/artifacts/directories?artifact_directory_path=", owners.model_id)),
    ] {
        for (path, bytes) in [("a/one", "1"), ("a/b/two", "22"), ("top", "333")] {
            assert_eq!(put(&http, &format!("{root}/{path}"), bytes.as_bytes()).await, 200);
        }
        let by_path = async |path: &str| http.json(Method::GET, &format!("{STORE}?path={path}"), "").await.json();
        let names = |found: &[(&str, i64)]| found.iter().map(|(name, size)| ((*name).to_owned(), *size)).collect::<Vec<_>>();
        assert_eq!(listed(&by_path(&root).await), names(&[("a", -1), ("top", 3)]));
        assert_eq!(listed(&by_path(&format!("{root}/a")).await), names(&[("b", -1), ("one", 1)]));
        for nothing in [format!("{root}/top"), format!("{root}/none"), String::new(), "%2F".to_owned(), owners.experiment_id.clone()] {
            assert_eq!(by_path(&nothing).await, json!({}), "{nothing}");
        }
        let own = http.get(&format!("{list}a")).await.json();
        assert_eq!(listed(&own), names(&[("a/b", -1), ("a/one", 1)]));
        assert_eq!(own["root_uri"], format!("mlflow-artifacts:/{root}"));
        for (path, left) in [("none", 2), ("a/b", 2), ("a", 1), ("", 0), ("", 0)] {
            let answer = http.json(Method::DELETE, &format!("{STORE}/{root}/{path}"), "").await;
            assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({})), "{path}");
            assert_eq!(listed(&by_path(&root).await).len(), left, "{path}");
        }
    }
}

async fn no_browser_runs_a_file(server: Server) {
    let admin = server.admin().await;
    let (http, owners) = (admin.http(), Owners::of(&admin, "browsers").await);
    let script = b"<html><svg onload='alert(1)'/></html>";
    for name in [
        "a.html",
        "a.htm",
        "a.HTML",
        "a.svg",
        "a.xml",
        "a.xhtml",
        "a.js",
        "a.mjs",
        "a.css",
        "a.swf",
        "a",
        "MLmodel",
        "a.json",
        "%22;%20x=%22.html",
    ] {
        assert_eq!(put(&http, &format!("{}/{name}", owners.run()), script).await, 200);
        for url in [format!("{STORE}/{}/{name}", owners.run()), format!("/get-artifact?run_id={}&path={name}", owners.run_id)] {
            let answer = http.send(Method::GET, &url, &[(header::ACCEPT, "text/html")], b"").await;
            assert_eq!(answer.status, 200, "{url}");
            let text = |name: &str| answer.headers[name].to_str().expect("plain").to_owned();
            assert!(
                ["text/plain; charset=utf-8", "application/octet-stream"].contains(&text("content-type").as_str()),
                "{url}: {answer:?}"
            );
            assert_eq!(text("x-content-type-options"), "nosniff");
            assert!(text("content-security-policy").contains("sandbox"));
            assert!(text("content-disposition").starts_with("attachment; filename=\""), "{url}");
            assert_eq!(text("content-disposition").matches('"').count(), 2, "{url}");
        }
    }
    assert_eq!(put(&http, &format!("{}/a%0D%0AX-Evil:%201", owners.run()), script).await, 400);
}

async fn parts_and_conditions(server: Server) {
    let admin = server.admin().await;
    let (http, owners) = (admin.http(), Owners::of(&admin, "ranges").await);
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    assert_eq!(put(&http, &format!("{}/file", owners.run()), &bytes).await, 200);
    let url = format!("{STORE}/{}/file", owners.run());
    let tag = http.send(Method::HEAD, &url, &[], b"").await.headers[header::ETAG].to_str().expect("plain").to_owned();
    let last = bytes.len() - 1;
    for (range, first, end) in [
        ("bytes=0-99", 0, 100),
        ("bytes=2500000-", 2_500_000, bytes.len()),
        ("bytes=-7", bytes.len() - 7, bytes.len()),
        ("bytes=1000000-1999999", 1_000_000, 2_000_000),
        ("bytes=0-", 0, bytes.len()),
    ] {
        let answer = http.send(Method::GET, &url, &[(header::RANGE, range), (header::IF_RANGE, &tag)], b"").await;
        assert_eq!(answer.status, 206, "{range}");
        assert_eq!(answer.headers[header::CONTENT_RANGE], format!("bytes {first}-{}/{}", end - 1, bytes.len()));
        assert!(answer.body[..] == bytes[first..end], "{range}");
    }
    let status = async |headers: &[(header::HeaderName, &str)]| http.send(Method::GET, &url, headers, b"").await.status.as_u16();
    assert_eq!(status(&[(header::RANGE, &format!("bytes={}-", last + 1))]).await, 416);
    assert_eq!(status(&[(header::RANGE, "bytes=0-1,5-6")]).await, 200);
    assert_eq!(status(&[(header::RANGE, "bytes=0-1"), (header::IF_RANGE, "\"other\"")]).await, 200);
    assert_eq!(status(&[(header::RANGE, "bytes=0-1"), (header::IF_RANGE, "no tag")]).await, 200);
    assert_eq!(status(&[(header::IF_NONE_MATCH, &tag)]).await, 304);
    assert_eq!(status(&[(header::IF_NONE_MATCH, "\"other\"")]).await, 200);
    assert_eq!(status(&[(header::IF_MATCH, "\"other\"")]).await, 412);
    assert_eq!(status(&[(header::IF_MATCH, &tag)]).await, 200);
    let unsatisfiable = http.send(Method::GET, &url, &[(header::RANGE, "bytes=3000000-")], b"").await;
    assert_eq!(unsatisfiable.headers[header::CONTENT_RANGE], "bytes */3000000");
    // What would be overwritten is not looked at, so who asks for that gets no upload.
    for (name, value) in [
        (header::IF_NONE_MATCH, "*"),
        (header::IF_MATCH, tag.as_str()),
        (header::IF_UNMODIFIED_SINCE, "Wed, 21 Oct 2099 07:28:00 GMT"),
        (header::CONTENT_RANGE, "bytes 0-0/3000000"),
    ] {
        let answer = http.send(Method::PUT, &url, &[(name.clone(), value)], b"x").await;
        assert_eq!(answer.status, 400, "{name}");
        assert!(answer.message().starts_with(name.as_str()), "{}", answer.message());
    }
    assert_eq!(status(&[(header::IF_MATCH, &tag)]).await, 200);
}

async fn a_version_is_frozen(server: Server) {
    let admin = server.admin().await;
    let (http, owners) = (admin.http(), Owners::of(&admin, "frozen").await);
    assert_eq!(put(&http, &format!("{}/m/MLmodel", owners.run()), b"first").await, 200);
    let root = version(&http, "frozen", &owners.run_id, "m").await;
    for body in [&b"second"[..], b""] {
        let answer = http.send(Method::PUT, &format!("{STORE}/{root}/MLmodel"), &[], body).await;
        assert_eq!(answer.status, 400, "{answer:?}");
    }
    assert_eq!(put(&http, &format!("{root}/more"), b"x").await, 400);
    assert_eq!(http.json(Method::DELETE, &format!("{STORE}/{root}/MLmodel"), "").await.status, 400);
    assert_eq!(http.json(Method::DELETE, &format!("{STORE}/{root}"), "").await.status, 400);
    let create = format!("/api/2.0/mlflow-artifacts/mpu/create/{root}");
    assert_eq!(http.json(Method::POST, &create, r#"{"path": "MLmodel", "num_parts": 1}"#).await.status, 400);
    assert_eq!(put(&http, &format!("{}/m/MLmodel", owners.run()), b"second").await, 200);
    assert_eq!(http.json(Method::DELETE, &format!("{STORE}/{}/m", owners.run()), "").await.status, 200);
    for url in [format!("{STORE}/{root}/MLmodel"), "/model-versions/get-artifact?name=frozen&version=1&path=MLmodel".to_owned()] {
        let answer = http.send(Method::GET, &url, &[], b"").await;
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"first"[..]), "{url}");
    }
    assert_eq!(listed(&http.json(Method::GET, &format!("{STORE}?path={root}"), "").await.json()), [("MLmodel".to_owned(), 5)]);
}

async fn a_deleted_run_is_not_written(server: Server) {
    let admin = server.admin().await;
    let (http, owners) = (admin.http(), Owners::of(&admin, "deleted").await);
    let path = format!("{}/file", owners.run());
    assert_eq!(put(&http, &path, b"kept").await, 200);
    assert_eq!(http.post("runs/delete", &json!({"run_id": owners.run_id})).await.status, 200);
    let refused = http.send(Method::PUT, &format!("{STORE}/{path}"), &[], b"changed").await;
    assert_eq!(refused.status, 400);
    assert!(refused.message().contains("must be in the 'active' state"), "{}", refused.message());
    assert_eq!(&http.send(Method::GET, &format!("{STORE}/{path}"), &[], b"").await.body[..], b"kept");
}

async fn a_file_from_a_browser_is_small(server: Server) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let admin = server.admin().await;
    let (http, owners) = (admin.http(), Owners::of(&admin, "browser").await);
    let upload = format!("/ajax-api/2.0/mlflow/upload-artifact?run_uuid={}&path=", owners.run_id);
    assert_eq!(http.send(Method::POST, &format!("{upload}a/b.txt"), &[], b"bytes").await.status, 200);
    assert_eq!(http.send(Method::POST, &format!("{upload}large"), &[], &vec![7; 10 * 1024 * 1024]).await.status, 200);
    assert_eq!(http.send(Method::POST, &format!("{upload}larger"), &[], &vec![7; 10 * 1024 * 1024 + 1]).await.status, 400);
    assert_eq!(http.send(Method::POST, &format!("{upload}none"), &[], b"").await.status, 400);
    assert_eq!(http.send(Method::POST, &upload, &[], b"x").await.status, 400);
    let empty = format!(
        "POST {upload}unknown HTTP/1.1\r\nHost: localhost\r\nAuthorization: {}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        http.authorization.clone().expect("a token")
    );
    let mut stream = tokio::net::TcpStream::connect(http.address()).await.expect("the server listens");
    stream.write_all(empty.as_bytes()).await.expect("it reads");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 400");
    let names: Vec<String> =
        listed(&http.get(&format!("artifacts/list?run_id={}", owners.run_id)).await.json()).into_iter().map(|file| file.0).collect();
    assert_eq!(names, ["a", "large"]);
}

async fn a_body_that_breaks_off_leaves_nothing(server: Server) {
    use tokio::io::AsyncWriteExt;
    let admin = server.admin().await;
    let (http, owners) = (admin.http(), Owners::of(&admin, "broken").await);
    let authorization = http.authorization.clone().expect("a token");
    let mut stream = tokio::net::TcpStream::connect(http.address()).await.expect("the server listens");
    let head =
        format!("PUT {STORE}/{}/half HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\nContent-Length: 1000\r\n\r\n", owners.run());
    stream.write_all(head.as_bytes()).await.expect("it reads");
    stream.write_all(&[7; 500]).await.expect("it reads");
    stream.shutdown().await.expect("an end");
    drop(stream);
    // The same file can come whole, and is then the only one.
    assert_eq!(put(&http, &format!("{}/whole", owners.run()), b"x").await, 200);
    let files = http.json(Method::GET, &format!("{STORE}?path={}", owners.run()), "").await.json();
    assert_eq!(listed(&files), [("whole".to_owned(), 1)]);
}

/// A quarter of a GiB each way by a client that streams; `tests/run` has no time for more.
async fn memory_stays_flat(server: Server) {
    const SIZE: u64 = 256 * 1024 * 1024;
    let admin = server.admin().await;
    let (http, owners) = (admin.http(), Owners::of(&admin, "memory").await);
    let large = server.folder().join("large");
    std::fs::File::create(&large).and_then(|file| file.set_len(SIZE)).expect("a file with holes");
    let url = format!("http://{}{STORE}/{}/large", http.address(), owners.run());
    let authorization = format!("Authorization: {}", http.authorization.clone().expect("a token"));
    let before = server.peak_memory();
    let curl = |arguments: Vec<String>| {
        let output =
            Command::new("curl").args(["-sS", "--fail", "-H", &authorization]).args(arguments).output().expect("curl is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    curl(vec!["-T".to_owned(), large.display().to_string(), url.clone()]);
    let back = server.folder().join("back");
    curl(vec!["-o".to_owned(), back.display().to_string(), url]);
    assert_eq!(std::fs::metadata(&back).expect("it came").len(), SIZE);
    let grown = server.peak_memory() - before;
    assert!(grown < 48 * 1024, "{grown} KiB for a file of {SIZE} bytes");
}
