//! Brings the files of runs and logged models, streamed from where they lie into this server's own store.

use std::collections::HashMap;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::json;
use tokio::sync::mpsc;
use url::Url;

use super::address::server;
use super::folder::{self, Folder};
use super::http::Http;
use super::report::{Line, Report};
use super::{Error, Import, Result, actions};
use crate::access::Subject;
use crate::domain::artifact_path;
use crate::domain::url::place;
use crate::store::artifacts::{self as rows, ManifestFile, Owner};
use crate::store::blobs::NewBlob;
use crate::store::{Recorded, Tx, logged_models, runs};

/// Bytes that are handed on at once.
const CHUNK: usize = 512 * 1024;

/// Where the artifacts of the source are.
#[derive(Clone, PartialEq, Eq)]
pub enum ArtifactPlace {
    /// A folder of this machine.
    Folder(PathBuf),
    /// The proxy of a running server.
    Server(Url),
}

impl fmt::Debug for ArtifactPlace {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(out, "{}", path.display()),
            Self::Server(url) => out.write_str(&place(url)),
        }
    }
}

impl ArtifactPlace {
    /// Understands a path, `file:///PATH` and `http(s)://…`.
    pub fn parse(text: &str) -> Result<Self> {
        let Some((scheme, _)) = text.split_once("://") else {
            let is_folder = !text.contains('@') && !text.contains("password=");
            let wrong = || Error::Source("--artifacts: must be a folder, file:///PATH or http://HOST:PORT".to_owned());
            return is_folder.then(|| Self::Folder(PathBuf::from(text))).ok_or_else(wrong);
        };
        match scheme {
            "http" | "https" => server(text, "--artifacts").map(Self::Server),
            "file" => {
                let path = Url::parse(text).ok().and_then(|url| url.to_file_path().ok());
                path.map(Self::Folder).ok_or_else(|| Error::Source("--artifacts: must name a folder: file:///PATH".to_owned()))
            }
            _ => Err(Error::Source(
                "--artifacts: URLs of this kind are not read; give the old server's http://HOST:PORT, which serves them, or a folder with a copy"
                    .to_owned(),
            )),
        }
    }
}

/// An opened place of artifacts.
pub enum Artifacts {
    /// A folder of this machine.
    Folder(Folder),
    /// The proxy of a running server.
    Server(Http),
}

/// Where one run's files are.
#[derive(Clone)]
enum Root {
    Folder(PathBuf),
    Server(Http, String),
}

impl Artifacts {
    /// Opens a place. Errors say what to do.
    pub async fn open(place: ArtifactPlace) -> Result<Self> {
        match place {
            ArtifactPlace::Folder(path) => Folder::open(&path)
                .map(Self::Folder)
                .map_err(|error| Error::Source(format!("--artifacts: folder {} cannot be read: {error}", path.display()))),
            ArtifactPlace::Server(url) => Ok(Self::Server(Http::open(&url).await?)),
        }
    }

    /// Brings the files that lie at a URI of the source.
    pub async fn bring(&self, import: &Import, keeper: &Keeper, uri: &str, report: &mut Report) -> Result<()> {
        let mut line = report.artifacts.unwrap_or_default();
        if let Some(root) = self.root(keeper, uri, report) {
            match root.files(keeper, report).await {
                Ok(files) => bring_files(import, keeper, &root, files, &mut line, report).await?,
                Err(error) => report.left_out(format!("artifacts of {keeper}: {error}")),
            }
        }
        report.artifacts = Some(line);
        Ok(())
    }

    /// None when there are no files that this place could have.
    fn root(&self, keeper: &Keeper, uri: &str, report: &mut Report) -> Option<Root> {
        match self {
            Self::Folder(folder) => folder.of(uri).map(Root::Folder),
            Self::Server(http) => {
                // `mlflow-artifacts://HOST/…` names the server itself.
                let proxied = uri.strip_prefix("mlflow-artifacts:").map(|rest| match rest.strip_prefix("//") {
                    Some(rest) => rest.split_once('/').map_or("", |(_, path)| path),
                    None => rest.trim_start_matches('/'),
                });
                if proxied.is_none() {
                    report.left_out(format!("artifacts of {keeper}: they lie at {uri}, which the old server does not serve"));
                }
                proxied.map(|path| Root::Server(http.clone(), path.to_owned()))
            }
        }
    }
}

/// Whose files are brought.
#[derive(Debug, Clone)]
pub struct Keeper {
    kind: &'static str,
    id: String,
    owner: Owner,
}

impl Keeper {
    /// A run, by its id and its internal id here.
    pub fn run(run_id: &str, here: i64) -> Self {
        Self { kind: "run", id: run_id.to_owned(), owner: Owner::Run(here) }
    }

    /// A logged model, by its id and its internal id here.
    pub fn logged_model(model_id: &str, here: i64) -> Self {
        Self { kind: "logged model", id: model_id.to_owned(), owner: Owner::LoggedModel(here) }
    }

    async fn present(&self, import: &Import) -> Result<Vec<ManifestFile>> {
        let on = import.store().reader();
        Ok(match &self.owner {
            Owner::LoggedModel(id) => rows::manifest_of_logged_model(on, *id).await?,
            Owner::Run(id) => rows::manifest_of_run(on, *id, "").await?,
            Owner::Version(uid) => rows::manifest_of_version(on, uid).await?,
        })
    }

    /// Name and experiment as they are within the write, locked.
    async fn lock(&self, tx: &Tx) -> Result<Option<(String, i64)>> {
        Ok(match &self.owner {
            Owner::LoggedModel(_) => logged_models::lock(tx, &self.id).await?.map(|row| (row.name, row.experiment)),
            _ => runs::lock(tx, &self.id).await?.map(|row| (row.name, row.experiment)),
        })
    }
}

impl fmt::Display for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.id)
    }
}

impl Root {
    async fn files(&self, keeper: &Keeper, report: &mut Report) -> Result<Vec<(String, u64)>> {
        match self {
            Self::Server(http, path) => http.files(path.clone()).await,
            Self::Folder(path) => {
                let (files, links) = folder::files(path).map_err(|error| Error::Source(error.to_string()))?;
                for link in links {
                    report.left_out(format!("artifact {link:?} of {keeper}: a link or special file is not followed"));
                }
                Ok(files)
            }
        }
    }

    /// The bytes of a file, read on a thread of their own.
    fn read(&self, path: &str) -> mpsc::Receiver<Result<Bytes>> {
        let (sender, receiver) = mpsc::channel(2);
        let (root, path) = (self.clone(), path.to_owned());
        tokio::task::spawn_blocking(move || {
            if let Err(error) = root.opened(&path).and_then(|mut file| send(&mut *file, &sender)) {
                // Whoever does not listen any more has an error already.
                let _ = sender.blocking_send(Err(error));
            }
        });
        receiver
    }

    fn opened(&self, path: &str) -> Result<Box<dyn Read + Send>> {
        match self {
            Self::Server(http, root) => http.download(&format!("{root}/{path}")),
            Self::Folder(root) => {
                let file = std::fs::File::open(root.join(Path::new(path)));
                Ok(Box::new(file.map_err(|error| Error::Source(format!("{path}: {error}")))?))
            }
        }
    }
}

fn send(file: &mut dyn Read, sender: &mpsc::Sender<Result<Bytes>>) -> Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = file.read(&mut buffer).map_err(|error| Error::Source(error.to_string()))?;
        // A receiver that has gone away has an error of its own.
        if read == 0 || sender.blocking_send(Ok(Bytes::copy_from_slice(&buffer[..read]))).is_err() {
            return Ok(());
        }
    }
}

async fn bring_files(
    import: &Import,
    keeper: &Keeper,
    root: &Root,
    files: Vec<(String, u64)>,
    line: &mut Line,
    report: &mut Report,
) -> Result<()> {
    let present: HashMap<String, u64> =
        keeper.present(import).await?.into_iter().map(|file| (file.path, file.size.unsigned_abs())).collect();
    for (path, size) in files {
        line.there += 1;
        let left_out = match present.get(&path) {
            Some(here) if *here == size => None,
            Some(_) => Some("another file with that path is here".to_owned()),
            None => match bring_file(import, keeper, root, &path).await {
                Ok(why) => {
                    line.new += i64::from(why.is_none());
                    why
                }
                Err(Error::Source(why)) => Some(why),
                Err(error) => return Err(error),
            },
        };
        match left_out {
            None => line.here += 1,
            Some(why) => report.left_out(format!("artifact {path:?} of {keeper}: {why}")),
        }
    }
    Ok(())
}

/// Copies a file; or says why not.
async fn bring_file(import: &Import, keeper: &Keeper, root: &Root, path: &str) -> Result<Option<String>> {
    if let Err(error) = artifact_path::file("path", path) {
        return Ok(Some(format!("the path {}", error.message)));
    }
    let mut upload = import.store().blobs()?.begin();
    let mut bytes = root.read(path);
    while let Some(chunk) = bytes.recv().await {
        match chunk {
            Ok(chunk) => upload.write(chunk).await?,
            Err(error) => {
                upload.abort().await;
                return Err(error);
            }
        }
    }
    let blob = upload.finish().await?;
    let (uid, input) = (blob.uid.clone(), (import.clone(), keeper.clone(), path.to_owned(), blob));
    let why = import
        .store()
        .write(input, |tx, (import, keeper, path, blob)| Box::pin(async move { attach(tx, import, keeper, path, blob).await }))
        .await?
        .into_value();
    if why.is_some() {
        import.store().blobs()?.delete(&uid).await?;
    }
    Ok(why)
}

/// Makes a blob the file at a path, unless something is in the way.
async fn attach(tx: &Tx, import: &Import, keeper: &Keeper, path: &str, blob: &NewBlob) -> Result<Recorded<Option<String>>> {
    let Some((name, experiment)) = keeper.lock(tx).await? else {
        return Ok(Recorded::nothing(Some("it is gone".to_owned())));
    };
    if let Some(other) = rows::obstacle(&**tx, &keeper.owner, path).await? {
        return Ok(Recorded::nothing(Some(format!("the file {other:?} is in its way here"))));
    }
    if rows::file(&**tx, &keeper.owner, path).await?.is_some() {
        return Ok(Recorded::nothing(Some("a file with that path has come meanwhile".to_owned())));
    }
    rows::put(tx, &keeper.owner, path, blob).await?;
    let scope = experiment.to_string();
    let kind = if keeper.kind == "run" { "run" } else { "logged_model" };
    let subject = Subject { kind, id: &keeper.id, name: &name, scope: &scope };
    let payload = json!({"path": path, "before": null, "after": {"size": blob.size, "sha256": blob.sha256}});
    Ok(import.record(tx, actions::UPLOAD_ARTIFACT, &subject, payload).await?.map(|()| None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_folders_or_servers() {
        assert_eq!(ArtifactPlace::parse("./mlruns").unwrap(), ArtifactPlace::Folder("./mlruns".into()));
        assert_eq!(ArtifactPlace::parse("file:///a/b").unwrap(), ArtifactPlace::Folder("/a/b".into()));
        assert!(matches!(ArtifactPlace::parse("http://old:5000").unwrap(), ArtifactPlace::Server(_)));
        assert!(ArtifactPlace::parse("s3://bucket").unwrap_err().to_string().contains("http://HOST:PORT"));
    }
}
