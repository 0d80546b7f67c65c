//! The configuration: flags, then `STAGEGATE_*` variables, then a TOML file, then defaults. Each setting
//! stands on one field with all of these.

mod base_url;
pub mod environment;
mod log_filter;
mod password_file;
mod secret;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use clap::Args;
use serde::Deserialize;
use tracing_subscriber::EnvFilter;
use zeroize::Zeroizing;

use crate::access::Quotas;
use crate::domain::ledger::Cosigner;
use crate::domain::url::{DatabaseUrl, UrlFault, unambiguous};
use crate::memory;
use crate::store::ledger_seal::Seals;
pub use base_url::BaseUrl;
pub use secret::Secret;

/// Where the data is. Given to every command.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataOptions {
    /// Folder of the embedded database, the artifacts and the master key.
    /// [default: ./stagegate-data]
    #[arg(long, env = "STAGEGATE_DATA_DIR", global = true)]
    pub data_dir: Option<PathBuf>,
    /// `sqlite://PATH` or `postgres://USER:PASSWORD@HOST/DATABASE`.
    /// [default: stagegate.db in the data folder]
    #[arg(long, env = "STAGEGATE_DATABASE_URL", global = true)]
    pub database_url: Option<Secret>,
    /// A file with the password of the PostgreSQL user, in place of one in the URL. Nothing in it needs to be
    /// percent-encoded; one line end is not part of it.
    #[arg(long, env = "STAGEGATE_DATABASE_PASSWORD_FILE", value_name = "FILE", global = true)]
    pub database_password_file: Option<PathBuf>,
    /// Where artifacts lie: `file:///PATH`, and with the feature `cloud` also `s3://BUCKET/PREFIX`,
    /// `gs://…` and `az://…`. [default: artifacts in the data folder]
    #[arg(long, env = "STAGEGATE_ARTIFACTS_URL", global = true)]
    pub artifacts_url: Option<Secret>,
    /// The key that seals secrets in the database; replicas share it. [default: master.key in the data folder]
    #[arg(long, env = "STAGEGATE_MASTER_KEY_FILE", global = true)]
    pub master_key_file: Option<PathBuf>,
    /// Where each new checkpoint of the ledger goes besides the data folder, by comma or repeated: a folder, whose file
    /// `ledger-checkpoint` is compared with the ledger at the start and by `ledger verify`, or an `https://…` or
    /// `http://…` URL, which gets the signed note by PUT. Best on a machine that this one cannot change.
    #[arg(long = "checkpoint-sink", env = "STAGEGATE_CHECKPOINT_SINK", value_name = "URL|DIR", value_delimiter = ',', global = true)]
    pub checkpoint_sink: Vec<Secret>,
    /// Witnesses (C2SP tlog-witness), by comma or repeated: the verifier key of each, `@`, and the URL under which it
    /// takes `add-checkpoint`. They cosign each new checkpoint; `ledger verify` counts that, and needs no URL.
    #[arg(long = "witness", env = "STAGEGATE_WITNESS", value_name = "VKEY[@URL]", value_delimiter = ',', global = true)]
    pub witness: Vec<Secret>,
}

/// How the server is reached.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServeOptions {
    /// Address and port; port 0 takes a free one. [default: 127.0.0.1:5000]
    #[arg(long, env = "STAGEGATE_LISTEN")]
    pub listen: Option<SocketAddr>,
    /// Certificate chain for TLS, a PEM file; goes with --tls-key.
    #[arg(long, env = "STAGEGATE_TLS_CERT", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Private key for TLS, a PEM file; goes with --tls-cert.
    #[arg(long, env = "STAGEGATE_TLS_KEY", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Serve an address that is not loopback without TLS: passwords and tokens then travel readable.
    #[arg(long, env = "STAGEGATE_INSECURE_HTTP")]
    #[serde(default)]
    pub insecure_http: bool,
    /// Names under which the server is reached, by comma: `track.example.com`, `*.example.com`, each with
    /// `:PORT` or without; `*` for all. Names of this machine, private addresses and the address it listens
    /// on need not be listed. Requests that name another host are refused.
    #[arg(long, env = "STAGEGATE_ALLOWED_HOSTS", value_delimiter = ',')]
    pub allowed_hosts: Vec<String>,
    /// Connections that one address (of IPv6: one /64 network) may have open; more of them are closed. Raise it where
    /// a proxy brings everybody. [default: 1000]
    #[arg(long, env = "STAGEGATE_MAX_CONNECTIONS_PER_SOURCE", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections_per_source: Option<u32>,
    /// Networks (`10.0.0.0/8`) and addresses of proxies in front, by comma: whose `X-Forwarded-For` says where a
    /// request comes from. That of anybody else is not read. [default: none]
    #[arg(long, env = "STAGEGATE_TRUSTED_PROXIES", value_delimiter = ',')]
    pub trusted_proxies: Vec<String>,
    /// The address under which clients reach the server, with the path that a proxy in front puts before its own:
    /// `https://ml.example.com/stagegate`. Addresses in answers (of uploads in parts) begin with it, and its host counts as
    /// listed. [default: what the request names, and what trusted proxies note in `X-Forwarded-Proto`, `-Host`, `-Prefix`]
    #[arg(long, env = "STAGEGATE_BASE_URL")]
    pub base_url: Option<BaseUrl>,
    /// Bytes that all calls together hold for bodies, rows and answers, such as `256MiB`; each user or service account has
    /// a sixteenth. [default: a quarter of the memory of the container or machine, at most 256MiB]
    #[arg(long, env = "STAGEGATE_MEMORY_BUDGET")]
    pub memory_budget: Option<ByteSize>,
    /// A file with the password of the user `admin` of a first start, in place of the variable
    /// STAGEGATE_ADMIN_PASSWORD. [default: one is generated and shown once]
    #[arg(long, env = "STAGEGATE_ADMIN_PASSWORD_FILE", value_name = "FILE")]
    pub admin_password_file: Option<PathBuf>,
    /// What is logged: `error`, `warn`, `info`, `debug`, `trace` or `off`, and `TARGET=LEVEL` for parts, by comma.
    /// [default: info]
    #[arg(long, env = "STAGEGATE_LOG", value_name = "FILTER")]
    pub log: Option<String>,
    /// Rows of the ledger that each user or service account may have written in a day, by UTC; over a quota, calls that
    /// store something are refused with RESOURCE_EXHAUSTED until the day ends. [default: 1000000]
    #[arg(long, env = "STAGEGATE_QUOTA_LEDGER_ROWS")]
    pub quota_ledger_rows: Option<u64>,
    /// Bytes of requests that the database may keep of each in a day, such as `500MiB`. [default: 16GiB]
    #[arg(long, env = "STAGEGATE_QUOTA_DATABASE_BYTES")]
    pub quota_database_bytes: Option<ByteSize>,
    /// Bytes of artifacts of each in a day. [default: 1TiB]
    #[arg(long, env = "STAGEGATE_QUOTA_ARTIFACT_BYTES")]
    pub quota_artifact_bytes: Option<ByteSize>,
}

/// The TOML file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    data: DataOptions,
    serve: ServeOptions,
}

/// What is wrong with the configuration, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("configuration file {0}: {1}")]
    Read(PathBuf, std::io::Error),
    /// The file cannot be understood.
    #[error("configuration file {path}, line {line}: {what}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What the reader says, without values of the file: one may be a password.
        what: String,
    },
    /// The database's URL. Nothing of it is shown.
    #[error("--database-url (STAGEGATE_DATABASE_URL): {0}")]
    Database(UrlFault),
    /// A password in two places.
    #[error("a password stands in --database-url and one in --database-password-file; give one of them")]
    TwoDatabasePasswords,
    /// A password for a database that has none.
    #[error("--database-password-file: a SQLite database has no password")]
    NoPassword,
    /// The first admin's password in two places.
    #[error("--admin-password-file and STAGEGATE_ADMIN_PASSWORD are both given; give one of them")]
    TwoAdminPasswords,
    /// A password file of no use.
    #[error("{flag}: {path}: {what}")]
    PasswordFile {
        /// The flag.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        what: String,
    },
    /// A variable that is no setting.
    #[error("{name} in the environment is no setting{}", .meant.as_ref().map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default())]
    NoVariable {
        /// The variable.
        name: String,
        /// The nearest one that is.
        meant: Option<String>,
    },
    /// A part of the log's filter.
    #[error(
        "--log (STAGEGATE_LOG): {} is no part of a filter; give error, warn, info, debug, trace or off, and TARGET=LEVEL for parts, by comma",
        shown(.0, "=:_-[]{} ")
    )]
    LogFilter(String),
    /// Passwords and tokens would travel readable.
    #[error("{0} is not a loopback address: give --tls-cert and --tls-key, or --insecure-http if something in front does TLS")]
    Exposed(SocketAddr),
    /// An entry that is no host.
    #[error("--allowed-hosts: {} is no host; give names such as track.example.com, *.example.com or track.example.com:5000", shown(.0, "*.:-_[]"))]
    NoHost(String),
    /// An entry that is no network of proxies.
    #[error("--trusted-proxies: {} is no network; give addresses or networks such as 10.0.0.0/8, and not all there are", shown(.0, ".:-_/[]"))]
    NoNetwork(String),
    /// A sink of a kind that is not known. The text is not shown: it may hold a password.
    #[error("--checkpoint-sink: give a folder, or a URL that begins with https:// or http://")]
    NoSink,
    /// A sink whose folder is not there: it may be misspelt, or not mounted. The text is not shown, as above.
    #[error("--checkpoint-sink: the folder of entry {0} is not there; make it first, or mount it")]
    NoSinkFolder(usize),
    /// A witness that cannot be understood.
    #[error("--witness: entry {0} is no witness; give NAME+KEYID+BASE64@https://URL, as the witness publishes its key")]
    NoWitness(usize),
    /// Too little for any call of usual size.
    #[error("--memory-budget: {0} is too little; give at least {least}", least = ByteSize::b(memory::FLOOR))]
    SmallBudget(ByteSize),
    /// Half of TLS.
    #[error("--tls-cert and --tls-key go together")]
    HalfTls,
}

/// An entry as it was given; without words where it has other characters than letters, digits and these, for then it may
/// be a URL with a password that was put in the wrong place.
fn shown(entry: &str, and: &str) -> String {
    let plain = !entry.contains("//") && entry.chars().all(|c| c.is_ascii_alphanumeric() || and.contains(c));
    if plain { format!("`{entry}`") } else { "an entry".to_owned() }
}

impl DataOptions {
    /// The data folder.
    pub fn folder(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(|| PathBuf::from("stagegate-data"))
    }

    /// The database's URL, with the password of the file.
    pub fn database(&self) -> Result<DatabaseUrl, ConfigError> {
        let default = || crate::store::sqlite_url(&self.folder().join("stagegate.db"));
        let given = self.database_url.as_ref().map_or_else(default, |given| given.exposed().to_owned());
        let url = DatabaseUrl::parse(&given).map_err(ConfigError::Database)?;
        let Some(file) = &self.database_password_file else { return Ok(url) };
        if url.is_sqlite() {
            return Err(ConfigError::NoPassword);
        }
        if url.has_password() {
            return Err(ConfigError::TwoDatabasePasswords);
        }
        url.with_password(&password_file::read("--database-password-file", file)?).map_err(ConfigError::Database)
    }

    /// The artifacts' URL; none for the data folder.
    pub fn artifacts(&self) -> Option<&str> {
        self.artifacts_url.as_ref().map(Secret::exposed)
    }

    /// Where the newest checkpoint is sealed: the data folder, and the folders among the sinks.
    pub fn seals(&self) -> Result<Seals, ConfigError> {
        let mut folders = vec![self.folder()];
        for (number, sink) in self.checkpoint_sink.iter().map(Secret::exposed).enumerate().filter(|(_, sink)| !is_url(sink)) {
            let path = sink.strip_prefix("file://").unwrap_or(sink);
            // What looks like a URL or a user's password is no folder, and its name would be shown.
            if path.is_empty() || path.contains("://") || path.contains('@') || path.contains("password=") {
                return Err(ConfigError::NoSink);
            }
            let folder = PathBuf::from(path);
            if !folder.is_dir() {
                return Err(ConfigError::NoSinkFolder(number + 1));
            }
            folders.push(folder);
        }
        Ok(Seals::within(folders))
    }

    /// The URLs among the sinks of checkpoints.
    pub fn sink_urls(&self) -> Result<Vec<url::Url>, ConfigError> {
        let urls = self.checkpoint_sink.iter().map(Secret::exposed).filter(|sink| is_url(sink));
        urls.map(|sink| unambiguous(sink).map_err(|_| ConfigError::NoSink)).collect()
    }

    /// The witnesses, and where those are reached that have a URL.
    pub fn witnesses(&self) -> Result<Vec<(Cosigner, Option<url::Url>)>, ConfigError> {
        let read = |(number, text): (usize, &Secret)| {
            let (key, url) = match text.exposed().split_once("@http") {
                None => (text.exposed(), None),
                Some((key, rest)) => (key, Some(unambiguous(&format!("http{rest}")).ok())),
            };
            let wrong = || ConfigError::NoWitness(number + 1);
            let cosigner = Cosigner::parse(key).map_err(|_| wrong())?;
            Ok((cosigner, url.map(|url| url.ok_or_else(wrong)).transpose()?))
        };
        self.witness.iter().enumerate().map(read).collect()
    }

    /// The master key's file.
    pub fn master_key(&self) -> PathBuf {
        self.master_key_file.clone().unwrap_or_else(|| self.folder().join("master.key"))
    }
}

impl ServeOptions {
    /// Where to listen.
    pub fn address(&self) -> SocketAddr {
        self.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 5_000)))
    }

    /// The password of the first admin, if one is given.
    pub fn admin_password(&self) -> Result<Option<Zeroizing<String>>, ConfigError> {
        let variable = std::env::var(environment::ADMIN_PASSWORD).ok().map(Zeroizing::new);
        match &self.admin_password_file {
            None => Ok(variable),
            Some(_) if variable.is_some() => Err(ConfigError::TwoAdminPasswords),
            Some(file) => password_file::read("--admin-password-file", file).map(Some),
        }
    }

    /// The quotas, with defaults for what was not set.
    pub fn quotas(&self) -> Quotas {
        let default = Quotas::default();
        Quotas {
            ledger_rows: self.quota_ledger_rows.unwrap_or(default.ledger_rows),
            database_bytes: self.quota_database_bytes.map_or(default.database_bytes, |size| size.as_u64()),
            artifact_bytes: self.quota_artifact_bytes.map_or(default.artifact_bytes, |size| size.as_u64()),
        }
    }

    /// What is logged.
    pub fn log_filter(&self) -> Result<EnvFilter, ConfigError> {
        log_filter::read(self.log.as_deref())
    }

    /// Refuses half a setting, and a public address without TLS.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.tls_cert.is_some() != self.tls_key.is_some() {
            return Err(ConfigError::HalfTls);
        }
        if let Some(budget) = self.memory_budget.filter(|budget| budget.as_u64() < memory::FLOOR) {
            return Err(ConfigError::SmallBudget(budget));
        }
        let address = self.address();
        if !address.ip().is_loopback() && self.tls_cert.is_none() && !self.insecure_http {
            return Err(ConfigError::Exposed(address));
        }
        Ok(())
    }
}

fn is_url(sink: &str) -> bool {
    sink.starts_with("http://") || sink.starts_with("https://")
}

/// Fills what flags and variables left open from a TOML file.
pub fn fill_from(file: Option<&Path>, data: &mut DataOptions, serve: Option<&mut ServeOptions>) -> Result<(), ConfigError> {
    let Some(path) = file else { return Ok(()) };
    let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Read(path.to_owned(), error))?;
    let from: File = toml::from_str(&text).map_err(|error| unread(path, &text, &error))?;
    data.data_dir = data.data_dir.take().or(from.data.data_dir);
    data.database_url = data.database_url.take().or(from.data.database_url);
    data.database_password_file = data.database_password_file.take().or(from.data.database_password_file);
    data.artifacts_url = data.artifacts_url.take().or(from.data.artifacts_url);
    data.master_key_file = data.master_key_file.take().or(from.data.master_key_file);
    if data.checkpoint_sink.is_empty() {
        data.checkpoint_sink = from.data.checkpoint_sink;
    }
    if data.witness.is_empty() {
        data.witness = from.data.witness;
    }
    if let Some(serve) = serve {
        serve.listen = serve.listen.take().or(from.serve.listen);
        serve.tls_cert = serve.tls_cert.take().or(from.serve.tls_cert);
        serve.tls_key = serve.tls_key.take().or(from.serve.tls_key);
        serve.insecure_http |= from.serve.insecure_http;
        serve.admin_password_file = serve.admin_password_file.take().or(from.serve.admin_password_file);
        serve.log = serve.log.take().or(from.serve.log);
        serve.max_connections_per_source = serve.max_connections_per_source.take().or(from.serve.max_connections_per_source);
        if serve.allowed_hosts.is_empty() {
            serve.allowed_hosts = from.serve.allowed_hosts;
        }
        if serve.trusted_proxies.is_empty() {
            serve.trusted_proxies = from.serve.trusted_proxies;
        }
        serve.base_url = serve.base_url.take().or(from.serve.base_url);
        serve.memory_budget = serve.memory_budget.or(from.serve.memory_budget);
        serve.quota_ledger_rows = serve.quota_ledger_rows.or(from.serve.quota_ledger_rows);
        serve.quota_database_bytes = serve.quota_database_bytes.or(from.serve.quota_database_bytes);
        serve.quota_artifact_bytes = serve.quota_artifact_bytes.or(from.serve.quota_artifact_bytes);
    }
    Ok(())
}

/// What is wrong in the file. The reader's own text shows the line, and values.
fn unread(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let said = error.message();
    let what = match (said.find('"'), said.rfind('"')) {
        (Some(first), Some(last)) if first < last => format!("{}…{}", &said[..=first], &said[last..]),
        _ => said.to_owned(),
    };
    ConfigError::Parse { path: path.to_owned(), line: before.matches('\n').count() + 1, what }
}

#[cfg(test)]
mod tests;
