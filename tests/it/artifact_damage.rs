//! Bytes that have changed in the artifact store are never served, whatever part of a file is asked for.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use http::{Method, header};
use serde_json::json;
use stagegate::contract::v1;

use crate::house::files::{Owners, STORE};
use crate::house::{Http, Server};

on_both_engines! {
    no_range_gives_damaged_bytes,
    a_damaged_part_becomes_no_file,
}

const MIB: usize = 1024 * 1024;

/// Bytes of which no two MiB are alike.
fn content() -> Vec<u8> {
    (0..3 * MIB + 1_000).map(|at| (at / 7 + at / MIB) as u8).collect()
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

/// Turns one bit over in the only file of so many bytes.
fn damage(server: &Server, size: usize, at: usize) {
    let fits = |path: &PathBuf| std::fs::metadata(path).is_ok_and(|file| file.len() == size as u64);
    let found: Vec<PathBuf> = walk(&server.folder().join("artifacts")).into_iter().filter(fits).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&found[0]).expect("the blob");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at as u64).expect("a byte");
    file.write_all_at(&[byte[0] ^ 1], at as u64).expect("it is written");
}

/// What curl gets of a file: whether it was whole, and the bytes.
fn fetched(http: &Http, path: &str, range: &str) -> (bool, Vec<u8>) {
    let url = format!("http://{}{STORE}/{path}", http.address());
    let authorization = format!("Authorization: {}", http.authorization.clone().expect("a token"));
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--fail", "-H", &authorization]);
    if !range.is_empty() {
        curl.args(["-r", range]);
    }
    let output = curl.arg(url).output().expect("curl is installed");
    (output.status.success(), output.stdout)
}

async fn no_range_gives_damaged_bytes(server: Server) {
    let admin = server.admin().await;
    let (http, owners) = (admin.http(), Owners::of(&admin, "damage").await);
    let (path, bytes) = (format!("{}/file", owners.run()), content());
    assert_eq!(http.send(Method::PUT, &format!("{STORE}/{path}"), &[], &bytes).await.status, 200);
    let ranges = [
        (0, 10),
        (5, MIB + 5),
        (MIB, 2 * MIB - 1),
        (2 * MIB - 1, 2 * MIB + 1),
        (3 * MIB - 2, 3 * MIB + 999),
        (3 * MIB + 990, 3 * MIB + 999),
    ];
    for (first, last) in ranges {
        let (whole, got) = fetched(&http, &path, &format!("{first}-{last}"));
        assert!(whole && got == bytes[first..=last], "{first}-{last} of a sound file");
    }
    damage(&server, bytes.len(), 2 * MIB + 100);
    for (first, last) in ranges {
        let (whole, got) = fetched(&http, &path, &format!("{first}-{last}"));
        let sound = last < 2 * MIB || first >= 3 * MIB;
        assert_eq!(whole, sound, "{first}-{last}");
        assert!(bytes[first..=last].starts_with(&got), "{first}-{last}: damaged bytes were served");
    }
    let (whole, got) = fetched(&http, &path, "");
    assert!(!whole && got.len() <= 2 * MIB && bytes.starts_with(&got), "{} bytes of the whole file", got.len());
    let (whole, got) = fetched(&http, &path, &format!("{}-", 2 * MIB + 200));
    assert!(!whole && got.is_empty(), "a range to the end");
    // A head is of what was uploaded; it bears no bytes.
    let head = http.send(Method::HEAD, &format!("{STORE}/{path}"), &[], b"").await;
    assert_eq!((head.status.as_u16(), head.headers[header::CONTENT_LENGTH].to_str().ok()), (200, Some(bytes.len().to_string().as_str())));
    for (offset, sound) in [(0, false), (2 * MIB, false), (3 * MIB - 1, false), (3 * MIB, true), (bytes.len(), true)] {
        let request = v1::DownloadArtifactRequest {
            run_id: owners.run_id.clone(),
            path: "file".to_owned(),
            offset: offset as i64,
            ..Default::default()
        };
        let answer: Result<v1::DownloadArtifactResponse, _> = admin.last("DownloadArtifact", request).await;
        assert_eq!(answer.is_ok(), sound, "from {offset}: {answer:.300?}");
    }
    damage(&server, bytes.len(), 2 * MIB + 100);
    assert_eq!(fetched(&http, &path, ""), (true, bytes), "mended, it is served again");
}

async fn a_damaged_part_becomes_no_file(server: Server) {
    const TOKEN: header::HeaderName = header::HeaderName::from_static("x-stagegate-upload-token");
    let admin = server.admin().await;
    let (http, owners) = (admin.http(), Owners::of(&admin, "damaged parts").await);
    let mpu = async |step: &str, body: serde_json::Value| {
        http.json(Method::POST, &format!("/api/2.0/mlflow-artifacts/mpu/{step}/{}", owners.run()), &body.to_string()).await
    };
    let created = mpu("create", json!({"path": "file", "num_parts": 1})).await.json();
    let (url, token) = (&created["credentials"][0]["url"], &created["credentials"][0]["headers"][TOKEN.as_str()]);
    let url: http::Uri = url.as_str().expect("a URL").parse().expect("a URL");
    let part = http.send(Method::PUT, url.path(), &[(TOKEN, token.as_str().expect("a token"))], &content()).await;
    let etag = part.headers[header::ETAG].to_str().expect("plain").to_owned();
    damage(&server, content().len(), 5);
    let body = json!({"path": "file", "upload_id": created["upload_id"], "parts": [{"part_number": 1, "etag": etag, "url": ""}]});
    let done = mpu("complete", body).await;
    assert_eq!(done.status, 500, "a damaged part became a file: {done:?}");
    assert_eq!(http.send(Method::GET, &format!("{STORE}/{}/file", owners.run()), &[], b"").await.status, 404);
}
