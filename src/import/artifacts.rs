//! Brings the files of runs, streamed from where they lie into this server's own store.

use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::json;
use tokio::sync::mpsc;
use url::Url;

use super::folder::{self, Folder};
use super::found::Run;
use super::http::Http;
use super::report::{Line, Report};
use super::{Error, Import, Result};
use crate::access::Subject;
use crate::domain::artifact_path;
use crate::store::artifacts::{self as rows, Owner};
use crate::store::blobs::Blob;
use crate::store::{Recorded, Tx, runs};

/// Bytes that are handed on at once.
const CHUNK: usize = 512 * 1024;

/// Where the artifacts of the source are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArtifactPlace {
    /// A folder of this machine.
    Folder(PathBuf),
    /// The proxy of a running server.
    Server(Url),
}

impl ArtifactPlace {
    /// Understands a path, `file:///PATH` and `http(s)://…`.
    pub fn parse(text: &str) -> Result<Self> {
        match Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(Self::Server(url)),
            Ok(url) if url.scheme() == "file" => {
                url.to_file_path().map(Self::Folder).map_err(|()| Error::Source("--artifacts: must name a folder: file:///PATH".to_owned()))
            }
            Ok(url) => Err(Error::Source(format!(
                "--artifacts: {}:// is not read; give the old server's http://HOST:PORT, which serves them, or a folder with a copy",
                url.scheme()
            ))),
            Err(_) => Ok(Self::Folder(PathBuf::from(text))),
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

    /// Brings the files of some runs, by run and its id here.
    pub async fn bring(&self, import: &Import, runs: impl Iterator<Item = (&Run, i64)>, report: &mut Report) -> Result<()> {
        let mut line = report.artifacts.unwrap_or_default();
        for (run, here) in runs {
            let Some(root) = self.root(run, report) else { continue };
            match root.files(run, report).await {
                Ok(files) => bring_files(import, run, here, &root, files, &mut line, report).await?,
                Err(error) => report.left_out(format!("artifacts of run {}: {error}", run.run_id)),
            }
        }
        report.artifacts = Some(line);
        Ok(())
    }

    /// None when a run has no files that this place could have.
    fn root(&self, run: &Run, report: &mut Report) -> Option<Root> {
        match self {
            Self::Folder(folder) => folder.of(&run.artifact_uri).map(Root::Folder),
            Self::Server(http) => {
                // `mlflow-artifacts://HOST/…` names the server itself.
                let proxied = run.artifact_uri.strip_prefix("mlflow-artifacts:").map(|rest| match rest.strip_prefix("//") {
                    Some(rest) => rest.split_once('/').map_or("", |(_, path)| path),
                    None => rest.trim_start_matches('/'),
                });
                if proxied.is_none() {
                    report.left_out(format!(
                        "artifacts of run {}: they lie at {}, which the old server does not serve",
                        run.run_id, run.artifact_uri
                    ));
                }
                proxied.map(|path| Root::Server(http.clone(), path.to_owned()))
            }
        }
    }
}

impl Root {
    async fn files(&self, run: &Run, report: &mut Report) -> Result<Vec<(String, u64)>> {
        match self {
            Self::Server(http, path) => http.files(path.clone()).await,
            Self::Folder(path) => {
                let (files, links) = folder::files(path).map_err(|error| Error::Source(error.to_string()))?;
                for link in links {
                    report.left_out(format!("artifact {link:?} of run {}: a link or special file is not followed", run.run_id));
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
    run: &Run,
    here: i64,
    root: &Root,
    files: Vec<(String, u64)>,
    line: &mut Line,
    report: &mut Report,
) -> Result<()> {
    let present = rows::manifest_of_run(import.store().reader(), here, "").await?;
    for (path, size) in files {
        line.there += 1;
        match present.iter().find(|file| file.path == path) {
            Some(file) if file.size.unsigned_abs() == size => {
                line.here += 1;
                continue;
            }
            Some(_) => {
                report.left_out(format!("artifact {path:?} of run {}: another file with that path is here", run.run_id));
                continue;
            }
            None => {}
        }
        match bring_file(import, run, root, &path).await {
            Ok(None) => {
                line.here += 1;
                line.new += 1;
            }
            Ok(Some(why)) => report.left_out(format!("artifact {path:?} of run {}: {why}", run.run_id)),
            Err(Error::Source(why)) => report.left_out(format!("artifact {path:?} of run {}: {why}", run.run_id)),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Copies a file; or says why not.
async fn bring_file(import: &Import, run: &Run, root: &Root, path: &str) -> Result<Option<String>> {
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
    let (uid, input) = (blob.uid.clone(), (import.clone(), run.run_id.clone(), path.to_owned(), blob));
    let why = import
        .store()
        .write(input, |tx, (import, run_id, path, blob)| Box::pin(async move { attach(tx, import, run_id, path, blob).await }))
        .await?;
    if why.is_some() {
        import.store().blobs()?.delete(&uid).await?;
    }
    Ok(why)
}

/// Makes a blob the run's file, unless something is in the way.
async fn attach(tx: &Tx, import: &Import, run_id: &str, path: &str, blob: &Blob) -> Result<Recorded<Option<String>>> {
    let Some(run) = runs::lock(tx, run_id).await? else { return Ok(Recorded::nothing(Some("the run is gone".to_owned()))) };
    if let Some(other) = rows::obstacle(&**tx, run.id, path).await? {
        return Ok(Recorded::nothing(Some(format!("the run has the file {other:?} here"))));
    }
    if rows::file(&**tx, &Owner::Run(run.id), path).await?.is_some() {
        return Ok(Recorded::nothing(Some("the run has got this file meanwhile".to_owned())));
    }
    rows::put(tx, run.id, path, blob).await?;
    let scope = run.experiment.to_string();
    let subject = Subject { kind: "run", id: &run.run_id, name: &run.name, scope: &scope };
    let payload = json!({"path": path, "before": null, "after": {"size": blob.size, "sha256": blob.sha256}});
    Ok(import.record(tx, "UploadArtifact", &subject, payload).await?.map(|()| None))
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
