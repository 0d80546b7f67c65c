//! Where to import from, as MLflow's users write it.

use std::path::{Path, PathBuf};

use url::Url;

use super::Error;
use crate::domain::url::{DatabaseUrl, UrlFault, place, unambiguous};

/// An MLflow server, or the database of one.
#[derive(Clone, PartialEq, Eq)]
pub enum Address {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL database.
    Postgres(DatabaseUrl),
    /// A running server.
    Http(Url),
}

impl Address {
    /// Understands `sqlite:///PATH`, `postgresql://…` (with a driver behind a `+`, too) and `http(s)://…`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let refuse = |why: &str| Err(Error::Source(format!("--from: {why}")));
        if let Some(rest) = text.strip_prefix("sqlite:") {
            if rest.contains('@') {
                return refuse("is of a SQLite file, which has no user: give sqlite:///RELATIVE/PATH or sqlite:////ABSOLUTE/PATH");
            }
            // As SQLAlchemy reads it: three slashes before a relative path, four before an absolute one.
            let path = rest.strip_prefix("///").or_else(|| rest.strip_prefix("//")).unwrap_or(rest);
            let path = path.split_once('?').map_or(path, |(path, _)| path);
            let given = PathBuf::from(path);
            let rooted = Path::new("/").join(path);
            let found = if !given.is_file() && rooted.is_file() { rooted } else { given };
            return match found.canonicalize() {
                Ok(found) if found.is_file() => Ok(Self::Sqlite(found)),
                _ => refuse(&format!("there is no SQLite file {path}; give sqlite:///RELATIVE/PATH or sqlite:////ABSOLUTE/PATH")),
            };
        }
        let (scheme, rest) = text.split_once("://").unwrap_or_default();
        let plain = scheme.split_once('+').map_or(scheme, |(scheme, _)| scheme);
        let fault = |fault: UrlFault| Error::Source(format!("--from: {fault}"));
        match plain {
            "postgresql" | "postgres" => DatabaseUrl::parse(&format!("postgres://{rest}")).map(Self::Postgres).map_err(fault),
            "http" | "https" => server(text, "--from").map(Self::Http),
            "mysql" | "mssql" => {
                refuse("this kind of database is not read directly; import from its running server: --from http://HOST:PORT")
            }
            _ => refuse(
                "must be sqlite:///FILE, postgresql://USER:PASSWORD@HOST/DATABASE or http://HOST:PORT; for a folder `mlruns` start \
                 `mlflow server --backend-store-uri FOLDER` and import from that",
            ),
        }
    }

    /// The address without user and password.
    pub fn shown(&self) -> String {
        match self {
            Self::Sqlite(path) => format!("sqlite:///{}", path.display()),
            Self::Postgres(url) => url.place(),
            Self::Http(url) => place(url),
        }
    }
}

impl std::fmt::Debug for Address {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.shown())
    }
}

/// The URL of a server, of which it is clear where the host is.
pub(super) fn server(text: &str, flag: &str) -> Result<Url, Error> {
    match unambiguous(text) {
        Ok(url) if url.query().is_none() => Ok(url),
        Ok(_) => Err(Error::Source(format!("{flag}: give the server's address without what follows `?`"))),
        Err(fault) => Err(Error::Source(format!("{flag}: {fault}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_mlflow_reads_them() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().canonicalize().unwrap().join("mlflow.db");
        std::fs::write(&file, "").unwrap();
        for slashes in ["sqlite:///", "sqlite:////"] {
            let text = format!("{slashes}{}", file.display().to_string().trim_start_matches('/'));
            assert_eq!(Address::parse(&text).unwrap(), Address::Sqlite(file.clone()), "{text}");
        }
        let shown = |text: &str| Address::parse(text).unwrap().shown();
        assert_eq!(shown("postgresql+psycopg2://u:secret@db:5433/mlflow?sslmode=require"), "postgres://db:5433/mlflow");
        assert_eq!(shown("https://jo:pw@old/mlflow/"), "https://old/mlflow");
        for bad in ["sqlite:///nowhere.db", "mysql+pymysql://h/d", "file:///mlruns", "mlruns", "http://", ""] {
            assert!(matches!(Address::parse(bad), Err(Error::Source(_))), "{bad}");
        }
    }
}
