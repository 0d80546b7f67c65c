//! The server as a child process with a folder and a database of its own.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, Statement};
use stagegate::contract::v1;
use tempfile::TempDir;

use super::Client;

/// The admin's password in all tests; it must never be seen in a log.
pub const PASSWORD: &str = "correct horse battery staple";
/// How long a start may take on a machine under load.
const START: Duration = Duration::from_secs(60);

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// The engine under a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Db {
    Sqlite,
    Postgres,
}

/// A running server. It is killed when it is dropped.
pub struct Server {
    pub db: Db,
    pub url: String,
    folder: TempDir,
    child: Child,
    address: String,
    log: Arc<Mutex<String>>,
    secrets: Mutex<Vec<String>>,
}

/// The URL of a new, empty database; none when the engine is not there.
pub async fn fresh_url(db: Db, folder: &TempDir) -> Option<String> {
    if db == Db::Sqlite {
        return Some(format!("sqlite://{}", folder.path().join("stagegate.db").display()));
    }
    let Ok(cluster) = std::env::var("STAGEGATE_TEST_POSTGRES_URL") else {
        eprintln!("SKIPPED on PostgreSQL: STAGEGATE_TEST_POSTGRES_URL is not set");
        return None;
    };
    let name = format!("it_{}_{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
    let connection = Database::connect(&cluster).await.expect("the cluster of STAGEGATE_TEST_POSTGRES_URL answers");
    connection.execute_unprepared(&format!("DROP DATABASE IF EXISTS {name}")).await.expect("an old database can go");
    connection.execute_unprepared(&format!("CREATE DATABASE {name}")).await.expect("databases can be made");
    let mut url = url::Url::parse(&cluster).expect("STAGEGATE_TEST_POSTGRES_URL is a URL");
    url.set_path(&name);
    Some(url.to_string())
}

/// The binary, without the settings of the one who runs the tests.
pub fn bare_command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stagegate"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("STAGEGATE_")) {
        command.env_remove(name);
    }
    command.env("STAGEGATE_ADMIN_PASSWORD", PASSWORD).stdin(Stdio::null());
    command
}

/// Runs a command that must end by itself; gives its status, what it wrote to standard error, and its time.
pub fn run_to_its_end(mut command: Command, within: Duration) -> (ExitStatus, String, Duration) {
    let started = Instant::now();
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary starts");
    let stderr = child.stderr.take().expect("standard error is a pipe");
    let reader = std::thread::spawn(move || std::io::read_to_string(stderr).unwrap_or_default());
    while started.elapsed() < within {
        if let Some(status) = child.try_wait().expect("the child can be waited for") {
            return (status, reader.join().expect("the reader ends"), started.elapsed());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().expect("the child can be killed");
    child.wait().expect("the child ends");
    panic!("it did not end within {within:?}: {}", reader.join().expect("the reader ends"));
}

impl Server {
    /// Starts a server on an empty database; none when the engine is not there.
    pub async fn on(db: Db) -> Option<Self> {
        Self::with(db, &[]).await
    }

    /// The same, with settings as environment variables.
    pub async fn with(db: Db, settings: &[(&str, &str)]) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let url = fresh_url(db, &folder).await?;
        let log = Arc::new(Mutex::new(String::new()));
        let (child, address) = start(&folder, &url, &folder.path().join("master.key"), settings, &log);
        Some(Self { db, url, folder, child, address, log, secrets: Mutex::new(vec![PASSWORD.to_owned()]) })
    }

    /// A server on SQLite to which a file that may not grow is an error and no signal.
    pub fn without_signal_for_large_files() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let url = format!("sqlite://{}", folder.path().join("stagegate.db").display());
        let log = Arc::new(Mutex::new(String::new()));
        let serve = serve_command(&folder, &url, &folder.path().join("master.key"), &[]);
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(serve.get_program()).args(serve.get_args()).stdin(Stdio::null());
        for (name, value) in serve.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let (child, address) = launch(command, &log);
        Self { db: Db::Sqlite, url, folder, child, address, log, secrets: Mutex::new(vec![PASSWORD.to_owned()]) }
    }

    /// Another server on the same database and artifact store, under the same master key.
    pub fn replica(&self) -> Self {
        self.replica_with(&[])
    }

    /// Another server on the same database, with settings of its own.
    pub fn replica_with(&self, settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let log = Arc::new(Mutex::new(String::new()));
        let master_key = self.folder().join("master.key");
        let artifacts = format!("file://{}", self.folder().join("artifacts").display());
        let settings = [&[("STAGEGATE_ARTIFACTS_URL", artifacts.as_str())], settings].concat();
        let (child, address) = start(&folder, &self.url, &master_key, &settings, &log);
        Self { db: self.db, url: self.url.clone(), folder, child, address, log, secrets: Mutex::new(self.secrets()) }
    }

    /// The same caller, who calls this server.
    pub fn moved(&self, client: &Client) -> Client {
        let mut moved = Client::new(&self.address, client.authorization.first().cloned());
        moved.user_name.clone_from(&client.user_name);
        moved
    }

    /// Runs a command beside the server; gives whether it went well, and what it wrote to both outputs.
    pub fn command(&self, arguments: &[&str]) -> (bool, String) {
        let mut command = bare_command();
        command.args(arguments).args(["--database-url", &self.url, "--data-dir"]).arg(self.folder());
        let output = command.output().expect("the binary runs");
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).expect("commands write UTF-8"))
    }

    /// SQL on the server's database, beside the server.
    /// A connection as any other program opens one: SQLite asks for no foreign keys then, and REPLACE for no triggers.
    pub async fn sql(&self) -> DatabaseConnection {
        let mut options = ConnectOptions::new(&self.url);
        options.sqlx_logging(false).map_sqlx_sqlite_opts(|options| options.foreign_keys(false));
        Database::connect(options).await.expect("the database answers")
    }

    /// A client without credentials.
    pub fn nobody(&self) -> Client {
        Client::new(&self.address, None)
    }

    /// The admin that the server made.
    pub async fn admin(&self) -> Client {
        self.sign_in("admin", PASSWORD).await
    }

    /// A new user with a persona on the whole server; with an empty one, a stranger.
    pub async fn as_(&self, persona: &str) -> Client {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let word = if persona.is_empty() { "stranger" } else { persona };
        let user_name = format!("{word}-{number}");
        let admin = self.admin().await;
        let request = v1::CreateUserRequest { user_name: user_name.clone(), persona: persona.to_owned(), ..Default::default() };
        let _: v1::CreateUserResponse = admin.call("CreateUser", request).await.expect("a user can be made");
        let request = v1::CreateTokenRequest { user_name: user_name.clone(), ..Default::default() };
        let answer: v1::CreateTokenResponse = admin.call("CreateToken", request).await.expect("a token can be made");
        self.with_token(&user_name, answer.token_text)
    }

    /// A new user with a persona on the whole server, who has changed the password that the admin gave: the admin
    /// made the login, and nobody else made its token.
    pub async fn signed_in(&self, persona: &str) -> Client {
        let user_name = format!("{persona}-{}", COUNTER.fetch_add(1, Ordering::Relaxed));
        let (first, password) = (format!("the first password of {user_name}"), format!("the long password of {user_name}"));
        let request = v1::CreateUserRequest {
            user_name: user_name.clone(),
            password: first.clone(),
            persona: persona.to_owned(),
            ..Default::default()
        };
        let _: v1::CreateUserResponse = self.admin().await.call("CreateUser", request).await.expect("a user can be made");
        let session = self.sign_in(&user_name, &first).await;
        let request = v1::SetPasswordRequest { current_password: first, new_password: password.clone(), ..Default::default() };
        let _: v1::SetPasswordResponse = session.call("SetPassword", request).await.expect("the first password is changed");
        self.sign_in(&user_name, &password).await
    }

    /// Signs in with a password.
    pub async fn sign_in(&self, user_name: &str, password: &str) -> Client {
        let request = v1::SignInRequest { user_name: user_name.to_owned(), password: password.to_owned() };
        let answer: v1::SignInResponse = self.nobody().call("SignIn", request).await.expect("a user signs in");
        self.with_token(user_name, answer.token)
    }

    /// A new user whom nobody nameable made: login and token come from the command line.
    pub fn made_by_hand(&self, user_name: &str, persona: &str) -> Client {
        self.command_line(&["user", "create", user_name, "--persona", persona]);
        let token = self.command_line(&["token", "create", "--user", user_name]);
        self.with_token(user_name, token.trim().to_owned())
    }

    /// How many rows the ledger has of an operation of `AccessService`.
    pub async fn ledger_of(&self, operation: &str) -> i64 {
        let query = format!("SELECT COUNT(*) FROM ledger_entries WHERE action = 'stagegate.v1.AccessService/{operation}'");
        let sql = self.sql().await;
        let row = sql.query_one_raw(Statement::from_string(sql.get_database_backend(), query)).await.expect("SQL beside the server");
        row.expect("a row").try_get_by_index(0).expect("a number")
    }

    /// Runs the command line beside the server; gives what it printed.
    pub fn command_line(&self, arguments: &[&str]) -> String {
        let mut command = bare_command();
        command.args(arguments).args(["--database-url", &self.url, "--data-dir"]).arg(self.folder.path());
        let output = command.output().expect("the binary starts");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// A client that bears a token, which from now on must not be in the log.
    pub fn with_token(&self, user_name: &str, token: String) -> Client {
        self.secrets.lock().expect("no test panics here").push(token.clone());
        let mut client = Client::new(&self.address, Some(format!("Bearer {token}")));
        user_name.clone_into(&mut client.user_name);
        client
    }

    /// Passwords and tokens that were used.
    pub fn secrets(&self) -> Vec<String> {
        self.secrets.lock().expect("no test panics here").clone()
    }

    /// What the server has written so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("no test panics here").clone()
    }

    /// The data folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The most memory that it has had at a time, in KiB.
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("the server runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux says so");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// Its number among the processes.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Starts it again on the same data, which must fail; gives what it says about that.
    pub fn refuses_to_start(&self, settings: &[(&str, &str)]) -> String {
        let command = serve_command(&self.folder, &self.url, &self.folder().join("master.key"), settings);
        let (status, said, _) = run_to_its_end(command, START);
        assert!(!status.success(), "{said}");
        let plain: Vec<&str> = said.lines().filter(|line| !line.starts_with('{')).collect();
        assert_eq!(plain.len(), 1, "one line says why: {said}");
        plain[0].to_owned()
    }

    /// The processor time that it has used, in hundredths of a second.
    pub fn processor_time(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("the server runs");
        let (_, fields) = stat.rsplit_once(") ").expect("Linux says so");
        fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
    }

    /// Ends the server as a power cut ends it.
    pub fn kill9(&mut self) {
        self.child.kill().expect("the server can be killed");
        self.child.wait().expect("the server ends");
    }

    /// Asks the server to stop and waits until it has.
    pub fn stop(&mut self) -> ExitStatus {
        self.stop_by("-TERM")
    }

    /// The same by another signal.
    pub fn stop_by(&mut self, signal: &str) -> ExitStatus {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().expect("kill runs").success());
        let since = Instant::now();
        while since.elapsed() < START {
            if let Some(status) = self.child.try_wait().expect("the child can be waited for") {
                return status;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the server does not stop: {}", self.log());
    }

    /// Starts it again on the same data, at another port.
    pub fn restart(&mut self) {
        self.restart_with(&[]);
    }

    /// The same, with settings as environment variables.
    pub fn restart_with(&mut self, settings: &[(&str, &str)]) {
        let master_key = self.folder.path().join("master.key");
        (self.child, self.address) = start(&self.folder, &self.url, &master_key, settings, &self.log);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What starts a server.
pub fn serve_command(folder: &TempDir, url: &str, master_key: &Path, settings: &[(&str, &str)]) -> Command {
    let mut command = bare_command();
    if settings.iter().any(|(name, _)| *name == "STAGEGATE_ADMIN_PASSWORD_FILE") {
        command.env_remove("STAGEGATE_ADMIN_PASSWORD");
    }
    command.env("STAGEGATE_LOG", "debug,h2=info,hyper=info,sqlx=info,tower=info");
    command.envs(settings.iter().copied());
    command.args(["serve", "--listen", "127.0.0.1:0", "--database-url", url, "--data-dir"]).arg(folder.path());
    command.arg("--master-key-file").arg(master_key);
    command
}

fn start(folder: &TempDir, url: &str, master_key: &Path, settings: &[(&str, &str)], log: &Arc<Mutex<String>>) -> (Child, String) {
    launch(serve_command(folder, url, master_key, settings), log)
}

fn launch(mut command: Command, log: &Arc<Mutex<String>>) -> (Child, String) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
    let (said, address) = mpsc::channel();
    keep(child.stdout.take().expect("standard output is a pipe"), log.clone(), move |line| {
        if let Some((_, address)) = line.split_once("listens on http://") {
            // Nobody waits for a second one.
            let _ = said.send(address.trim().to_owned());
        }
    });
    keep(child.stderr.take().expect("standard error is a pipe"), log.clone(), |_| {});
    match address.recv_timeout(START) {
        Ok(address) => (child, address),
        Err(_) => {
            let _ = child.kill();
            let _ = child.wait();
            panic!("the server does not start: {}", log.lock().expect("no test panics here"));
        }
    }
}

fn keep(pipe: impl std::io::Read + Send + 'static, log: Arc<Mutex<String>>, mut see: impl FnMut(&str) + Send + 'static) {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            see(&line);
            let mut log = log.lock().expect("no test panics here");
            log.push_str(&line);
            log.push('\n');
        }
    });
}
