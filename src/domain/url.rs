//! URLs as people write them into settings. Each may hold a password, also where none belongs: one with a `/`, `?` or
//! `#` in it is cut there, and its rest looks like a path or a query. So a URL that can be read in two ways is refused,
//! errors are constants, and what is shown of a URL is the little that cannot be part of a password.

use std::fmt;
use std::path::PathBuf;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::Url;

/// Why a URL is of no use. Holds nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlFault {
    /// Of no kind that is read here.
    #[error("must be sqlite://PATH or postgres://USER@HOST/DATABASE")]
    Kind,
    /// It can be read in two ways, or in none.
    #[error(
        "cannot be understood; in a user or password write `%`, `#`, `/`, `?`, `@`, `:`, `[`, `]` and spaces as %25, %23, %2F, %3F, %40, %3A, %5B, %5D and %20"
    )]
    Ambiguous,
    /// More than one host.
    #[error("names several hosts; give one, such as an address that follows the primary")]
    SeveralHosts,
    /// A parameter that the driver would pass over.
    #[error("has an unknown parameter after `?`; known are {0}")]
    Parameter(&'static str),
    /// A parameter with a value that it cannot have.
    #[error("has a parameter `{0}` with a value that it cannot have")]
    Value(&'static str),
    /// A password where none can be.
    #[error("is of a SQLite file, which has no password")]
    NoPassword,
}

/// A URL of which it is clear where host and path begin.
pub fn unambiguous(text: &str) -> Result<Url, UrlFault> {
    let (_, rest) = text.split_once("://").ok_or(UrlFault::Ambiguous)?;
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '#' | '\\' | '"' | '<' | '>');
    if text.chars().any(odd) {
        return Err(UrlFault::Ambiguous);
    }
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    if path.contains('@') || authority.matches('@').count() > 1 {
        return Err(UrlFault::Ambiguous);
    }
    if let Some((_, hosts)) = authority.rsplit_once('@')
        && hosts.contains(',')
    {
        return Err(UrlFault::SeveralHosts);
    }
    let url = Url::parse(text).map_err(|_| UrlFault::Ambiguous)?;
    if url.host_str().is_some_and(|host| host.contains(',')) { Err(UrlFault::SeveralHosts) } else { Ok(url) }
}

/// A text of somebody else, such as a driver's error, without the URLs in it.
pub fn without_urls(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, url) = rest.split_at(at);
        let end = url.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | ')' | '>')).unwrap_or(url.len());
        shown.push_str(before);
        shown.push_str("://…");
        rest = &url[end..];
    }
    shown + rest
}

/// The URL of a database. Shown, it holds neither user nor password nor parameters.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl {
    text: String,
    kind: Kind,
}

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    Sqlite,
    Postgres(Url),
}

const SQLITE: &str = "mode, cache, immutable and vfs";
const POSTGRES: &str = "sslmode, sslrootcert, sslcert, sslkey, host, hostaddr, port, dbname, user, password, application_name, options and \
                        statement-cache-capacity";
const SSL_MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

impl DatabaseUrl {
    /// Understands `sqlite:…` and `postgres://…`.
    pub fn parse(text: &str) -> Result<Self, UrlFault> {
        let kind = if let Some(rest) = text.strip_prefix("sqlite:") {
            sqlite(rest)?;
            Kind::Sqlite
        } else if ["postgres:", "postgresql:"].iter().any(|scheme| text.starts_with(scheme)) {
            Kind::Postgres(postgres(text)?)
        } else {
            return Err(UrlFault::Kind);
        };
        Ok(Self { text: text.to_owned(), kind })
    }

    /// As the driver takes it, password included.
    pub fn exposed(&self) -> &str {
        &self.text
    }

    /// Whether it is of SQLite.
    pub fn is_sqlite(&self) -> bool {
        self.kind == Kind::Sqlite
    }

    /// The file of SQLite; none for PostgreSQL and for a database in memory.
    pub fn file(&self) -> Option<PathBuf> {
        let path = self.text.strip_prefix("sqlite:").map(without_query)?;
        let decoded = percent_decode_str(path).decode_utf8().ok()?;
        (decoded != ":memory:").then(|| PathBuf::from(&*decoded))
    }

    /// Whether a password stands in it.
    pub fn has_password(&self) -> bool {
        match &self.kind {
            Kind::Sqlite => false,
            Kind::Postgres(url) => url.password().is_some() || url.query_pairs().any(|(name, _)| name == "password"),
        }
    }

    /// The same with this password, in which no character is special.
    pub fn with_password(&self, password: &str) -> Result<Self, UrlFault> {
        let Kind::Postgres(url) = &self.kind else { return Err(UrlFault::NoPassword) };
        let mut url = url.clone();
        // A host that stands in a parameter leaves no place in front of it, but there is a parameter as well.
        let encoded = utf8_percent_encode(password, NON_ALPHANUMERIC).to_string();
        if url.host_str().is_none_or(str::is_empty) || url.set_password(Some(&encoded)).is_err() {
            url.query_pairs_mut().append_pair("password", password);
        }
        Ok(Self { text: url.to_string(), kind: Kind::Postgres(url) })
    }

    /// The place without user and parameters, by which a source of an import is remembered.
    pub fn place(&self) -> String {
        match &self.kind {
            Kind::Sqlite => self.to_string(),
            Kind::Postgres(url) => place(url),
        }
    }
}

/// A URL's scheme, host, port and path.
pub fn place(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path().trim_end_matches('/'))
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Sqlite => match self.file() {
                // Somebody may have taken the scheme of the one for the other.
                Some(file) if !self.text.contains('@') => write!(out, "SQLite file {}", file.display()),
                _ => out.write_str("SQLite database of the given URL"),
            },
            // Without a user in front, what stands for the host may be a user, and the port a password.
            Kind::Postgres(url) => match url.host_str().filter(|host| !host.is_empty() && !url.username().is_empty()) {
                Some(host) => write!(out, "PostgreSQL database on {host}"),
                None => out.write_str("PostgreSQL database of the given URL"),
            },
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

fn without_query(rest: &str) -> &str {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    path.split_once('?').map_or(path, |(path, _)| path)
}

fn sqlite(rest: &str) -> Result<(), UrlFault> {
    let query = rest.split_once('?').map_or("", |(_, query)| query);
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let fits = match &*name {
            "mode" => matches!(&*value, "ro" | "rw" | "rwc" | "memory"),
            "cache" => matches!(&*value, "private" | "shared"),
            "immutable" => matches!(&*value, "true" | "false" | "0" | "1"),
            "vfs" => true,
            _ => return Err(UrlFault::Parameter(SQLITE)),
        };
        if !fits {
            let known = ["mode", "cache", "immutable"].into_iter().find(|known| *known == name);
            return Err(known.map_or(UrlFault::Parameter(SQLITE), UrlFault::Value));
        }
    }
    Ok(())
}

fn postgres(text: &str) -> Result<Url, UrlFault> {
    let url = unambiguous(text)?;
    if url.path().trim_start_matches('/').contains('/') {
        return Err(UrlFault::Ambiguous);
    }
    for (name, value) in url.query_pairs() {
        // The driver logs what it does not know, with its value.
        match &*name {
            "sslmode" | "ssl-mode" if !SSL_MODES.contains(&&*value) => return Err(UrlFault::Value("sslmode")),
            "port" if value.parse::<u16>().is_err() => return Err(UrlFault::Value("port")),
            "hostaddr" if value.parse::<std::net::IpAddr>().is_err() => return Err(UrlFault::Value("hostaddr")),
            "statement-cache-capacity" if value.parse::<usize>().is_err() => return Err(UrlFault::Value("statement-cache-capacity")),
            "host" if value.contains(',') => return Err(UrlFault::SeveralHosts),
            "sslmode"
            | "ssl-mode"
            | "sslrootcert"
            | "ssl-root-cert"
            | "ssl-ca"
            | "sslcert"
            | "ssl-cert"
            | "sslkey"
            | "ssl-key"
            | "host"
            | "hostaddr"
            | "port"
            | "dbname"
            | "user"
            | "password"
            | "application_name"
            | "options"
            | "statement-cache-capacity" => {}
            name if name.starts_with("options[") && name.ends_with(']') => {}
            _ => return Err(UrlFault::Parameter(POSTGRES)),
        }
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_holds_no_secret() {
        let shown = |text: &str| DatabaseUrl::parse(text).map(|url| url.to_string());
        assert_eq!(shown("postgres://jo:hunter%2Fzwei@db:5433/stagegate?sslmode=require").unwrap(), "PostgreSQL database on db");
        assert_eq!(shown("postgres://db/stagegate?user=jo&password=zwei").unwrap(), "PostgreSQL database of the given URL");
        assert_eq!(shown("sqlite:///a/b.db?mode=rwc").unwrap(), "SQLite file /a/b.db");
        assert_eq!(shown("sqlite:a.db").unwrap(), "SQLite file a.db");
        for bad in [
            "postgres://jo:a#b@db/x",
            "postgres://jo:1/b@db/x",
            "postgres://jo:1?b@db/x",
            "postgres://jo:a b@db/x",
            "postgres://jo:a@db/x/y",
            "postgres://jo:a@one,two/x",
            "postgres://jo:a@one:1,two:2/x",
            "postgres://jo@db/x?pasword=a",
            "postgres://jo@db/x?sslmode=a",
            "postgres:jo:a@db/x",
            "sqlite:///x?key=a",
            "host=db password=a",
        ] {
            assert!(DatabaseUrl::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_password_from_elsewhere_is_taken_as_it_is() {
        for text in ["postgres://jo@db:1/x", "postgres://db/x?user=jo", "postgres:///x?host=/run/postgresql&user=jo"] {
            let url = DatabaseUrl::parse(text).unwrap();
            assert!(!url.has_password(), "{text}");
            let with = url.with_password("a#b/c?d@e%41 ü").unwrap();
            assert!(with.has_password() && DatabaseUrl::parse(with.exposed()).is_ok(), "{}", with.exposed());
        }
        assert_eq!(DatabaseUrl::parse("sqlite://x").unwrap().with_password("a"), Err(UrlFault::NoPassword));
    }

    #[test]
    fn texts_of_others_lose_their_urls() {
        let text = "cannot reach https://jo:a@h/x?sig=b (s3://k:v@bucket): timed out";
        assert_eq!(without_urls(text), "cannot reach https://… (s3://…): timed out");
    }
}
