//! Whose a path of MLflow's artifact store is: `EXPERIMENT/RUN/artifacts/…` is a run's,
//! `EXPERIMENT/models/MODEL/artifacts/…` a logged model's, `versions/UID/…` a registered version's. The check and
//! the operations ask here, so that nothing is done to a path but what the grant on its owner allows.

use super::field::FieldError;
use super::{artifact_path, ids};

/// What a path belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathOwner<'a> {
    /// A run, which must be of the experiment.
    Run {
        /// The experiment.
        experiment: i64,
        /// The run.
        run_id: &'a str,
    },
    /// A logged model, which must be of the experiment.
    LoggedModel {
        /// The experiment.
        experiment: i64,
        /// The logged model.
        model_id: &'a str,
    },
    /// A registered version. Nobody writes there.
    Version {
        /// Its immutable id.
        uid: &'a str,
    },
}

impl<'a> PathOwner<'a> {
    /// The id of the owner.
    pub fn id(&self) -> &'a str {
        match self {
            Self::Run { run_id, .. } => run_id,
            Self::LoggedModel { model_id, .. } => model_id,
            Self::Version { uid } => uid,
        }
    }
}

/// A path, divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owned<'a> {
    /// Whose it is.
    pub owner: PathOwner<'a>,
    /// The rest of it, below the owner's root; empty for the root itself.
    pub below: &'a str,
}

/// Divides a path, whose percent signs were decoded once; none when it has no owner. Errors when it is spelled in
/// a way that some reader could take for another path. One `/` at its end is no part of it.
pub fn owned<'a>(field: &str, path: &'a str) -> Result<Option<Owned<'a>>, FieldError> {
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Ok(None);
    }
    let Some(owned) = divided(path) else {
        return artifact_path::file(field, path).map(|()| None);
    };
    artifact_path::folder(field, owned.below).map(|()| Some(owned))
}

fn divided(path: &str) -> Option<Owned<'_>> {
    let (first, rest) = path.split_once('/')?;
    if first == "versions" {
        let (uid, below) = head(rest);
        ids::uid("", uid).ok()?;
        return Some(Owned { owner: PathOwner::Version { uid }, below });
    }
    let experiment = ids::experiment_id("", first).ok()?;
    let (second, rest) = head(rest);
    if second == "models" {
        let (model_id, rest) = head(rest);
        ids::logged_model_id("", model_id).ok()?;
        return Some(Owned { owner: PathOwner::LoggedModel { experiment, model_id }, below: artifacts(rest)? });
    }
    ids::run_id("", second).ok()?;
    Some(Owned { owner: PathOwner::Run { experiment, run_id: second }, below: artifacts(rest)? })
}

/// The first segment, and what comes behind its `/`. An empty second segment stays in the rest, to be refused.
fn head(path: &str) -> (&str, &str) {
    path.split_once('/').unwrap_or((path, ""))
}

fn artifacts(path: &str) -> Option<&str> {
    if path == "artifacts" { Some("") } else { path.strip_prefix("artifacts/") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn a_path_names_its_owner() {
        let run = PathOwner::Run { experiment: 7, run_id: UID };
        let version = PathOwner::Version { uid: UID };
        let model = PathOwner::LoggedModel { experiment: 0, model_id: "m-0123456789abcdef0123456789abcdef" };
        for (path, owner, below) in [
            (format!("7/{UID}/artifacts"), run, ""),
            (format!("7/{UID}/artifacts/"), run, ""),
            (format!("7/{UID}/artifacts/a b/ü#?;%.txt"), run, "a b/ü#?;%.txt"),
            (format!("7/{UID}/artifacts/models/x/artifacts/y"), run, "models/x/artifacts/y"),
            (format!("0/models/m-{UID}/artifacts/MLmodel"), model, "MLmodel"),
            (format!("0/models/m-{UID}/artifacts"), model, ""),
            (format!("versions/{UID}"), version, ""),
            (format!("versions/{UID}/a/b"), version, "a/b"),
        ] {
            assert_eq!(owned("path", &path), Ok(Some(Owned { owner, below })), "{path}");
        }
    }

    #[test]
    fn other_paths_have_no_owner() {
        for path in [
            String::new(),
            "/".to_owned(),
            "7".to_owned(),
            "x".to_owned(),
            format!("7/{UID}"),
            format!("7/{UID}/artifactsx"),
            format!("7/{UID}/artifacts%2fx"),
            format!("7/{UID}/ARTIFACTS/x"),
            format!("07/{UID}/artifacts/x"),
            format!("-7/{UID}/artifacts/x"),
            format!("7/{UID}x y/artifacts/x"),
            format!("7/models/m-{UID}"),
            format!("7/models/m-{UID}/x"),
            format!("7/traces/tr-{UID}/artifacts/traces.json"),
            "versions".to_owned(),
            "versions/x".to_owned(),
            format!("versions/{}/x", UID.to_uppercase()),
            format!("Versions/{UID}/x"),
        ] {
            assert_eq!(owned("path", &path), Ok(None), "{path}");
        }
    }

    #[test]
    fn spellings_that_could_lead_elsewhere_are_refused() {
        for root in [format!("7/{UID}/artifacts"), format!("0/models/m-{UID}/artifacts"), format!("versions/{UID}")] {
            for below in
                ["..", "../x", "a/../../x", "%2e%2e/x", "%252e%252e/x", "a//b", "//", "a/./b", "a\\b", "C:/x", "a\r\nb", "%00", "%5c"]
            {
                assert!(owned("path", &format!("{root}/{below}")).is_err(), "{root}/{below}");
            }
        }
        for path in ["../x", "/etc/passwd", "//", "x/../7", "7//x", "%2e%2e/x", "C:/x", "a\0", "versions/../x", "versions//x"] {
            assert!(owned("path", path).is_err(), "{path:?}");
        }
    }
}
