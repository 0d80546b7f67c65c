//! Artifacts in a folder of this machine: an `mlruns` or `mlartifacts` root, or where an experiment's artifacts lie.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The root that was given.
#[derive(Debug, Clone)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// An existing folder.
    pub fn open(root: &Path) -> io::Result<Self> {
        let root = root.canonicalize()?;
        if !root.is_dir() {
            return Err(io::Error::new(io::ErrorKind::NotADirectory, "it is no folder"));
        }
        Ok(Self { root })
    }

    /// The folder of an artifact URI below the root: where the URI says, if that lies in the root, else the same
    /// last parts below the root. None when there is none.
    pub fn of(&self, uri: &str) -> Option<PathBuf> {
        self.candidates(uri)
            .into_iter()
            .filter_map(|path| path.canonicalize().ok())
            .find(|path| path.starts_with(&self.root) && path.is_dir())
    }

    fn candidates(&self, uri: &str) -> Vec<PathBuf> {
        let path = uri.split_once(":/").map_or(uri, |(_, path)| path).trim_start_matches("./");
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let mut candidates = Vec::new();
        if uri.starts_with('/') || uri.starts_with("file:") {
            candidates.push(Path::new("/").join(parts.join("/")));
        }
        // The whole of it, then EXPERIMENT/models/MODEL/artifacts, EXPERIMENT/RUN/artifacts, RUN/artifacts.
        for count in [parts.len(), 4, 3, 2] {
            if let Some(from) = parts.len().checked_sub(count).filter(|_| count >= 2) {
                candidates.push(self.root.join(parts[from..].join("/")));
            }
        }
        candidates
    }
}

/// Relative paths of files, and their sizes in bytes.
pub type Files = Vec<(String, u64)>;

/// All files below a folder by relative paths, with their sizes, and what was not followed: links.
pub fn files(folder: &Path) -> io::Result<(Files, Vec<String>)> {
    let (mut files, mut links) = (Vec::new(), Vec::new());
    let mut folders = vec![(folder.to_owned(), String::new())];
    while let Some((folder, below)) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let relative = if below.is_empty() { name } else { format!("{below}/{name}") };
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push((entry.path(), relative));
            } else if kind.is_file() {
                files.push((relative, entry.metadata()?.len()));
            } else {
                links.push(relative);
            }
        }
    }
    files.sort_unstable();
    Ok((files, links))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_lead_below_the_root_and_nowhere_else() {
        let base = tempfile::tempdir().unwrap();
        let root = base.path().join("mlruns");
        for path in ["mlruns/1/r1/artifacts/model", "mlruns/r2/artifacts", "elsewhere/1/r3/artifacts", "mlruns/1/r3/artifacts"] {
            fs::create_dir_all(base.path().join(path)).unwrap();
        }
        fs::write(root.join("1/r1/artifacts/model/a.bin"), "abc").unwrap();
        let folder = Folder::open(&root).unwrap();
        let below = |path: &str| Some(root.join(path).canonicalize().unwrap());
        assert_eq!(folder.of("mlflow-artifacts:/1/r1/artifacts"), below("1/r1/artifacts"));
        assert_eq!(folder.of("s3://bucket/some/prefix/1/r1/artifacts"), below("1/r1/artifacts"));
        assert_eq!(folder.of("./mlruns/1/r1/artifacts"), below("1/r1/artifacts"));
        assert_eq!(folder.of(&format!("file://{}/1/r1/artifacts", root.display())), below("1/r1/artifacts"));
        assert_eq!(folder.of("/old/alpha/r2/artifacts"), below("r2/artifacts"));
        // The URI's own place lies outside, so that below the root counts.
        assert_eq!(folder.of(&base.path().join("elsewhere/1/r3/artifacts").display().to_string()), below("1/r3/artifacts"));
        for bad in ["mlflow-artifacts:/9/r9/artifacts", "", "mlflow-artifacts:/../../elsewhere/1/r3/x", "/etc"] {
            assert_eq!(folder.of(bad), None, "{bad}");
        }
        std::os::unix::fs::symlink("/etc/passwd", root.join("1/r1/artifacts/link")).unwrap();
        let found = files(&root.join("1/r1/artifacts")).unwrap();
        assert_eq!(found, (vec![("model/a.bin".to_owned(), 3)], vec!["link".to_owned()]));
    }
}
