//! Secrets: whatever is wrong with a URL, nothing of it that may be a password is shown; passwords come from files, too.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::house::{Db, Server, bare_command, run_to_its_end};

/// What the passwords below are made of. Neither half may be seen.
const HALVES: [&str; 2] = ["hunter", "zwei"];

/// URLs with a password, as people write them.
const HOSTILE: [&str; 39] = [
    "postgres://jo:hunterzwei@127.0.0.1:1/db",
    "postgres://jo:hunter#zwei@127.0.0.1:1/db",
    "postgres://jo:hunter/zwei@127.0.0.1:1/db",
    "postgres://jo:hunter?zwei@127.0.0.1:1/db",
    "postgres://jo:hunter@zwei@127.0.0.1:1/db",
    "postgres://jo:hunter:zwei@127.0.0.1:1/db",
    "postgres://jo:hunter%zwei@127.0.0.1:1/db",
    "postgres://jo:hunter zwei@127.0.0.1:1/db",
    "postgres://jo:hunter\tzwei@127.0.0.1:1/db",
    "postgres://jo:hunter\\zwei@127.0.0.1:1/db",
    "postgres://jo:hunter[zwei]@127.0.0.1:1/db",
    "postgres://jo:hunter\"zwei@127.0.0.1:1/db",
    "postgres://jo:1/hunterzwei@127.0.0.1:1/db",
    "postgres://jo:1?hunterzwei@127.0.0.1:1/db",
    "postgres://jo:1?user=hunterzwei@127.0.0.1:1/db",
    "postgres://jo:p@localhost/hunterzwei@127.0.0.1:1/db",
    "postgres://hunterzwei@127.0.0.1:1/db",
    "postgres://jo:hunterzwei",
    "postgres://jo:hunterzwei@/db",
    "postgres://jo:hunterzwei@127.0.0.1:99999/db",
    "postgres://jo:hunterzwei@127.0.0.1:port/db",
    "postgres://jo:hunterzwei@127.0.0.1:1,127.0.0.1:2/db",
    "postgres://jo:hunterzwei@127.0.0.1,127.0.0.2/db",
    "postgres://jo@127.0.0.1:1/db?password=hunterzwei",
    "postgres://jo@127.0.0.1:1/db?pasword=hunterzwei",
    "postgres://jo@127.0.0.1:1/db?sslmode=hunterzwei",
    "postgres://jo@127.0.0.1:1/db?hunterzwei",
    "postgresql+psycopg2://jo:hunter/zwei@127.0.0.1:1/db",
    "postgre://jo:hunterzwei@127.0.0.1:1/db",
    "postgres:jo:hunterzwei@127.0.0.1:1/db",
    "mysql://jo:hunterzwei@127.0.0.1:1/db",
    "host=127.0.0.1 port=1 user=jo password=hunterzwei dbname=db",
    "sqlite://jo:hunterzwei@127.0.0.1/db",
    "sqlite:///nowhere/x.db?key=hunterzwei",
    "sqlite:///nowhere/x.db?mode=hunterzwei",
    "http://jo:hunterzwei@127.0.0.1:1",
    "http://jo:1/hunterzwei@127.0.0.1:1/",
    "http://jo:hunter#zwei@127.0.0.1:1/x?token=hunterzwei",
    "s3://key:hunter/zwei@bucket?sig=hunterzwei",
];

/// A server that does not end by itself has said by then what it has to say.
const LONG_ENOUGH: Duration = Duration::from_secs(13);

/// Everything that a command writes.
fn said(mut command: Command) -> String {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
    let out = reader(child.stdout.take().expect("standard output is a pipe"));
    let err = reader(child.stderr.take().expect("standard error is a pipe"));
    let since = Instant::now();
    while child.try_wait().expect("the child can be waited for").is_none() && since.elapsed() < LONG_ENOUGH {
        std::thread::sleep(Duration::from_millis(20));
    }
    // It may have ended already.
    let _ = child.kill();
    child.wait().expect("the child ends");
    out.join().expect("a reader ends") + &err.join().expect("a reader ends")
}

fn reader(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read until an error counts.
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// All the places where a URL can stand, or where somebody could put it by mistake.
fn ways(url: &str, folder: &Path) -> Vec<Command> {
    let begin = |arguments: &[&str]| {
        let mut command = bare_command();
        command.env("STAGEGATE_LOG", "trace").env("NO_COLOR", "1").current_dir(folder).args(arguments);
        command
    };
    let export = folder.join("none").display().to_string();
    let mut all = Vec::new();
    let commands: [&[&str]; 8] = [
        &["serve", "--listen", "127.0.0.1:0"],
        &["migrate"],
        &["user", "list"],
        &["token", "list", "--user", "jo"],
        &["ledger", "verify"],
        &["ledger", "export", "--output", &export],
        &["ledger", "new-origin", "--reason", "x"],
        &["import", "mlflow", "--from", "sqlite:///none.db"],
    ];
    for arguments in commands {
        let mut command = begin(arguments);
        command.args(["--database-url", url]);
        all.push(command);
    }
    let mut by_variable = begin(commands[0]);
    by_variable.env("STAGEGATE_DATABASE_URL", url);
    all.push(by_variable);
    for arguments in [&["serve", "--help"][..], &["--help"], &["user", "list", "--help"]] {
        let mut help = begin(arguments);
        for name in ["DATABASE_URL", "ARTIFACTS_URL", "CHECKPOINT_SINK", "WITNESS", "LISTEN", "LOG"] {
            help.env(format!("STAGEGATE_{name}"), url);
        }
        all.push(help);
    }
    for (number, line) in ["database_url = ", "database_ur = ", "witness = ", "database_url = [", "checkpoint_sink = "].iter().enumerate() {
        let file = folder.join(format!("{number}.toml"));
        let text = toml_text(url);
        std::fs::write(&file, format!("[data]\n{line}{text}\n")).expect("a file can be written");
        let mut command = begin(commands[0]);
        command.arg("--config").arg(file);
        all.push(command);
    }
    for option in ["--artifacts-url", "--checkpoint-sink", "--witness", "--allowed-hosts", "--trusted-proxies", "--listen", "--databse-url"]
    {
        let mut command = begin(&["serve"]);
        if option != "--listen" {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        all.push({
            command.args([option, url]);
            command
        });
    }
    all.push(begin(&["import", "mlflow", "--from", url]));
    all.push(begin(&["import", "mlflow", "--from", "sqlite:///none.db", "--artifacts", url]));
    all.push(begin(&["serve", url]));
    all.push(begin(&["user", "list", url]));
    all.push(begin(&[url]));
    all
}

fn toml_text(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\t', "\\t"))
}

#[test]
fn no_part_of_a_hostile_url_is_shown() {
    let folders: Vec<_> = HOSTILE.iter().map(|_| tempfile::tempdir().expect("a folder")).collect();
    let commands: Vec<Command> = HOSTILE.iter().zip(&folders).flat_map(|(url, folder)| ways(url, folder.path())).collect();
    let count = commands.len();
    let (waiting, shown) = (Mutex::new(commands), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..24 {
            scope.spawn(|| {
                loop {
                    let Some(mut command) = waiting.lock().expect("no thread panics").pop() else { break };
                    let folder = tempfile::tempdir().expect("a folder");
                    if !command.get_args().any(|argument| argument == "--help") {
                        command.env("STAGEGATE_DATA_DIR", folder.path());
                    }
                    let line = format!("{command:?}");
                    let text = said(command);
                    if HALVES.iter().any(|half| text.contains(half)) || text.contains("panicked") || text.is_empty() {
                        shown.lock().expect("no thread panics").push(format!("{line}\n    {text}"));
                    }
                }
            });
        }
    });
    let shown = shown.into_inner().expect("no thread panics");
    assert!(shown.is_empty(), "{} of {count}:\n{}", shown.len(), shown.join("\n"));
}

/// Takes one connection as PostgreSQL does, asks for the password in plain, and refuses with the words of `refusal`.
/// Gives the password.
fn postgres_once(listener: &TcpListener, refusal: &str) -> std::io::Result<String> {
    let (mut stream, _) = listener.accept()?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut message = body(&mut stream)?;
    if message == [4, 210, 22, 47] {
        // No TLS here.
        stream.write_all(b"N")?;
        message = body(&mut stream)?;
    }
    assert_eq!(message[..4], [0, 3, 0, 0], "version 3 of the protocol");
    stream.write_all(b"R\0\0\0\x08\0\0\0\x03")?;
    let mut kind = [0];
    stream.read_exact(&mut kind)?;
    assert_eq!(&kind, b"p");
    let password = body(&mut stream)?;
    let fields = format!("SFATAL\0VFATAL\0C28P01\0M{refusal}\0\0");
    let length = u32::try_from(fields.len() + 4).expect("short").to_be_bytes();
    stream.write_all(&[b"E", length.as_slice(), fields.as_bytes()].concat())?;
    Ok(String::from_utf8(password).expect("text").trim_end_matches('\0').to_owned())
}

/// A message without its length.
fn body(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut body = vec![0; u32::from_be_bytes(length) as usize - 4];
    stream.read_exact(&mut body)?;
    Ok(body)
}

/// The password that a command sends, and what it says when the database refuses it.
fn sent(set: impl FnOnce(&mut Command, &str)) -> (String, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let place = listener.local_addr().expect("a port").to_string();
    let asked = std::thread::spawn(move || postgres_once(&listener, "jo may not come in with hunterzwei"));
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = bare_command();
    command.args(["migrate", "--data-dir"]).arg(folder.path());
    set(&mut command, &place);
    let (status, said, _) = run_to_its_end(command, Duration::from_secs(30));
    assert!(!status.success());
    let password = asked.join().expect("the listener ends").unwrap_or_else(|error| panic!("nothing came ({error}): {said}"));
    (password, said)
}

#[test]
fn the_database_s_password_comes_from_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("password");
    // Whatever is special in a URL is nothing special in a file; an editor's line end is not part of it.
    let password = "a#b/c?d@e:f%41 [g] ü";
    for end in ["", "\n", "\r\n"] {
        std::fs::write(&file, format!("{password}{end}")).expect("a file");
        let (by_flag, said) = sent(|command, place| {
            command.args(["--database-url", &format!("postgres://jo@{place}/db"), "--database-password-file"]).arg(&file);
        });
        assert_eq!(by_flag, password);
        assert!(!said.contains("hunterzwei") && said.contains("password"), "{said}");
        let (by_variable, _) = sent(|command, place| {
            command.env("STAGEGATE_DATABASE_URL", format!("postgresql://jo@{place}/db?sslmode=disable"));
            command.env("STAGEGATE_DATABASE_PASSWORD_FILE", &file);
        });
        assert_eq!(by_variable, password);
    }
    let (by_url, _) = sent(|command, place| {
        command.args(["--database-url", &format!("postgres://jo:a%23b@{place}/db")]);
    });
    assert_eq!(by_url, "a#b");
}

/// What a start says that must fail.
fn refused(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = bare_command();
    command.env_remove("STAGEGATE_ADMIN_PASSWORD").envs(variables.iter().copied());
    command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(folder.path()).args(arguments);
    let (status, said, _) = run_to_its_end(command, Duration::from_secs(30));
    assert!(!status.success(), "{said}");
    let lines: Vec<&str> = said.lines().filter(|line| !line.starts_with('{')).collect();
    assert_eq!(lines.len(), 1, "one line says why: {said}");
    lines[0].to_owned()
}

#[test]
fn a_password_file_of_no_use_stops_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (good, empty, lines, missing) = (path("good"), path("empty"), path("lines"), path("missing"));
    std::fs::write(&good, "correct horse battery\n").expect("a file");
    std::fs::write(&empty, "\n").expect("a file");
    std::fs::write(&lines, "hunterzwei\nhunterzwei\n").expect("a file");
    let whole = folder.path().display().to_string();
    let url = "postgres://jo@127.0.0.1:1/db";
    for (option, variable, before) in [
        ("--database-password-file", "STAGEGATE_DATABASE_PASSWORD_FILE", &["--database-url", url][..]),
        ("--admin-password-file", "STAGEGATE_ADMIN_PASSWORD_FILE", &[]),
    ] {
        for (file, why) in [(&missing, "No such file"), (&empty, "empty"), (&lines, "line"), (&whole, "directory")] {
            let by_flag = refused(&[before, &[option, file]].concat(), &[]);
            assert!(by_flag.contains(option) && by_flag.contains(file.as_str()) && by_flag.contains(why), "{by_flag}");
            let by_variable = refused(before, &[(variable, file)]);
            assert!(by_variable.contains(option) && by_variable.contains(why), "{by_variable}");
            assert!(!by_flag.contains("hunterzwei"), "{by_flag}");
        }
    }
    for given in ["postgres://jo:hunterzwei@127.0.0.1:1/db", "postgres://jo@127.0.0.1:1/db?password=hunterzwei"] {
        let both = refused(&["--database-url", given, "--database-password-file", &good], &[]);
        assert!(both.contains("--database-password-file") && both.contains("--database-url") && !both.contains("hunterzwei"), "{both}");
    }
    let needless = refused(&["--database-password-file", &good], &[]);
    assert!(needless.contains("--database-password-file") && needless.contains("SQLite"), "{needless}");
    let both = refused(&["--admin-password-file", &good], &[("STAGEGATE_ADMIN_PASSWORD", "correct horse battery staple")]);
    assert!(both.contains("--admin-password-file") && both.contains("STAGEGATE_ADMIN_PASSWORD") && !both.contains("horse"), "{both}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_admin_s_password_comes_from_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("admin");
    std::fs::write(&file, "another horse, another staple\n").expect("a file");
    let settings = [("STAGEGATE_ADMIN_PASSWORD_FILE", file.to_str().expect("a path"))];
    let server = Server::with(Db::Sqlite, &settings).await.expect("SQLite is always there");
    server.sign_in("admin", "another horse, another staple").await;
}
