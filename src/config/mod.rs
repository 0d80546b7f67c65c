//! The configuration: flags, then `STAGEGATE_*` variables, then a TOML file, then defaults. Each setting
//! stands on one field with all of these.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use clap::Args;
use serde::Deserialize;

use crate::access::Quotas;
use crate::domain::ledger::Cosigner;
use crate::store::ledger_seal::Seals;

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
    #[arg(long, env = "STAGEGATE_DATABASE_URL", hide_env_values = true, global = true)]
    pub database_url: Option<String>,
    /// Where artifacts lie: `file:///PATH`, and with the feature `cloud` also `s3://BUCKET/PREFIX`,
    /// `gs://…` and `az://…`. [default: artifacts in the data folder]
    #[arg(long, env = "STAGEGATE_ARTIFACTS_URL", global = true)]
    pub artifacts_url: Option<String>,
    /// The key that seals secrets in the database; replicas share it. [default: master.key in the data folder]
    #[arg(long, env = "STAGEGATE_MASTER_KEY_FILE", global = true)]
    pub master_key_file: Option<PathBuf>,
    /// Where each new checkpoint of the ledger goes besides the data folder, by comma or repeated: a folder, whose file
    /// `ledger-checkpoint` is compared with the ledger at the start and by `ledger verify`, or an `https://…` or
    /// `http://…` URL, which gets the signed note by PUT. Best on a machine that this one cannot change.
    #[arg(long = "checkpoint-sink", env = "STAGEGATE_CHECKPOINT_SINK", value_name = "URL|DIR", value_delimiter = ',', global = true)]
    pub checkpoint_sink: Vec<String>,
    /// Witnesses (C2SP tlog-witness), by comma or repeated: the verifier key of each, `@`, and the URL under which it
    /// takes `add-checkpoint`. They cosign each new checkpoint; `ledger verify` counts that, and needs no URL.
    #[arg(long = "witness", env = "STAGEGATE_WITNESS", value_name = "VKEY[@URL]", value_delimiter = ',', global = true)]
    pub witness: Vec<String>,
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
    /// How much each user or service account may store in a day.
    #[command(flatten)]
    #[serde(flatten)]
    pub quotas: QuotaOptions,
}

/// Quotas of each user and service account, for a day by UTC. Over one of them, calls that store something are refused
/// with RESOURCE_EXHAUSTED until the day ends.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(default)]
pub struct QuotaOptions {
    /// Rows of the ledger. [default: 1000000]
    #[arg(long, env = "STAGEGATE_QUOTA_LEDGER_ROWS")]
    pub quota_ledger_rows: Option<u64>,
    /// Bytes of requests that the database keeps, such as `500MiB`. [default: 16GiB]
    #[arg(long, env = "STAGEGATE_QUOTA_DATABASE_BYTES")]
    pub quota_database_bytes: Option<ByteSize>,
    /// Bytes of artifacts. [default: 1TiB]
    #[arg(long, env = "STAGEGATE_QUOTA_ARTIFACT_BYTES")]
    pub quota_artifact_bytes: Option<ByteSize>,
}

impl QuotaOptions {
    fn fill_from(&mut self, from: &Self) {
        self.quota_ledger_rows = self.quota_ledger_rows.or(from.quota_ledger_rows);
        self.quota_database_bytes = self.quota_database_bytes.or(from.quota_database_bytes);
        self.quota_artifact_bytes = self.quota_artifact_bytes.or(from.quota_artifact_bytes);
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
    #[error("configuration file {0}: {1}")]
    Parse(PathBuf, toml::de::Error),
    /// Passwords and tokens would travel readable.
    #[error("{0} is not a loopback address: give --tls-cert and --tls-key, or --insecure-http if something in front does TLS")]
    Exposed(SocketAddr),
    /// An entry that is no host.
    #[error("--allowed-hosts: `{0}` is no host; give names such as track.example.com, *.example.com or track.example.com:5000")]
    NoHost(String),
    /// An entry that is no network of proxies.
    #[error("--trusted-proxies: `{0}` is no network; give addresses or networks such as 10.0.0.0/8, and not all there are")]
    NoNetwork(String),
    /// A sink of a kind that is not known. The text is not shown: it may hold a password.
    #[error("--checkpoint-sink: give a folder, or a URL that begins with https:// or http://")]
    NoSink,
    /// A witness that cannot be understood.
    #[error("--witness: {0:?} is no witness; give NAME+KEYID+BASE64@https://URL, as the witness publishes its key")]
    NoWitness(String),
    /// Half of TLS.
    #[error("--tls-cert and --tls-key go together")]
    HalfTls,
}

impl DataOptions {
    /// The data folder.
    pub fn folder(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(|| PathBuf::from("stagegate-data"))
    }

    /// The database's URL.
    pub fn database(&self) -> String {
        self.database_url.clone().unwrap_or_else(|| crate::store::sqlite_url(&self.folder().join("stagegate.db")))
    }

    /// The artifacts' URL; none for the data folder.
    pub fn artifacts(&self) -> Option<&str> {
        self.artifacts_url.as_deref()
    }

    /// Where the newest checkpoint is sealed: the data folder, and the folders among the sinks.
    pub fn seals(&self) -> Result<Seals, ConfigError> {
        let mut folders = vec![self.folder()];
        for sink in self.checkpoint_sink.iter().filter(|sink| !is_url(sink)) {
            let path = sink.strip_prefix("file://").unwrap_or(sink);
            if path.is_empty() || path.contains("://") {
                return Err(ConfigError::NoSink);
            }
            folders.push(path.into());
        }
        Ok(Seals::within(folders))
    }

    /// The URLs among the sinks of checkpoints.
    pub fn sink_urls(&self) -> Result<Vec<url::Url>, ConfigError> {
        let urls = self.checkpoint_sink.iter().filter(|sink| is_url(sink));
        urls.map(|sink| url::Url::parse(sink).map_err(|_| ConfigError::NoSink)).collect()
    }

    /// The witnesses, and where those are reached that have a URL.
    pub fn witnesses(&self) -> Result<Vec<(Cosigner, Option<url::Url>)>, ConfigError> {
        let read = |text: &String| {
            let (key, url) = match text.split_once("@http") {
                None => (text.as_str(), None),
                Some((key, rest)) => (key, Some(url::Url::parse(&format!("http{rest}")).ok())),
            };
            let wrong = || ConfigError::NoWitness(key.to_owned());
            let cosigner = Cosigner::parse(key).map_err(|_| wrong())?;
            Ok((cosigner, url.map(|url| url.ok_or_else(wrong)).transpose()?))
        };
        self.witness.iter().map(read).collect()
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

    /// Refuses half a setting, and a public address without TLS.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.tls_cert.is_some() != self.tls_key.is_some() {
            return Err(ConfigError::HalfTls);
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
    let from: File = toml::from_str(&text).map_err(|error| ConfigError::Parse(path.to_owned(), error))?;
    data.data_dir = data.data_dir.take().or(from.data.data_dir);
    data.database_url = data.database_url.take().or(from.data.database_url);
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
        serve.max_connections_per_source = serve.max_connections_per_source.take().or(from.serve.max_connections_per_source);
        if serve.allowed_hosts.is_empty() {
            serve.allowed_hosts = from.serve.allowed_hosts;
        }
        if serve.trusted_proxies.is_empty() {
            serve.trusted_proxies = from.serve.trusted_proxies;
        }
        serve.quotas.fill_from(&from.serve.quotas);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_address_needs_tls_or_a_word() {
        let open = ServeOptions { listen: Some(SocketAddr::from(([0, 0, 0, 0], 5_000))), ..ServeOptions::default() };
        assert!(matches!(open.check(), Err(ConfigError::Exposed(_))));
        assert!(ServeOptions { insecure_http: true, ..open.clone() }.check().is_ok());
        let half = ServeOptions { tls_cert: Some("a".into()), ..open };
        assert!(matches!(half.check(), Err(ConfigError::HalfTls)));
        assert!(ServeOptions::default().check().is_ok());
    }

    #[test]
    fn the_file_fills_what_is_left_open_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stagegate.toml");
        std::fs::write(&path, "[data]\ndata_dir = 'x'\ndatabase_url = 'sqlite://y'\n[serve]\nlisten = '127.0.0.1:6000'\n").unwrap();
        let mut data = DataOptions { data_dir: Some("flag".into()), ..DataOptions::default() };
        let mut serve = ServeOptions::default();
        fill_from(Some(&path), &mut data, Some(&mut serve)).unwrap();
        assert_eq!(data.folder(), PathBuf::from("flag"));
        assert_eq!(data.database(), "sqlite://y");
        assert_eq!(serve.address().port(), 6_000);
        let quotas = "[serve]\nquota_ledger_rows = 7\nquota_database_bytes = '500MiB'\nquota_artifact_bytes = '1KiB'\n";
        std::fs::write(&path, quotas).unwrap();
        let mut serve = ServeOptions { quotas: QuotaOptions { quota_ledger_rows: Some(5), ..Default::default() }, ..Default::default() };
        fill_from(Some(&path), &mut data, Some(&mut serve)).unwrap();
        let expected = Quotas { ledger_rows: 5, database_bytes: 500 << 20, artifact_bytes: 1_024 };
        assert_eq!(serve.quotas.quotas(), expected, "a flag before the file, the file before the default");
        std::fs::write(&path, "[serve]\nquota_ledger_row = 7\n").unwrap();
        assert!(matches!(fill_from(Some(&path), &mut data, Some(&mut serve)), Err(ConfigError::Parse(..))));
        std::fs::write(&path, "[data]\nbase_url = 'typo'\n").unwrap();
        assert!(matches!(fill_from(Some(&path), &mut data, None), Err(ConfigError::Parse(..))));
    }
}
