//! What a version's source says. Only addresses of this server's own store lead to bytes; every other
//! URI is a label that is kept and never opened.

use super::artifact_path;
use super::field::FieldError;
use super::{ids, limits, text};

/// A source, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A folder or file of a run: `runs:/RUN_ID/PATH`, or `mlflow-artifacts:/EXPERIMENT/RUN_ID/artifacts/PATH`.
    Run {
        /// The run.
        run_id: String,
        /// Below the run; empty for all of it.
        path: String,
    },
    /// All files of a logged model: `models:/m-…`, or `mlflow-artifacts:/EXPERIMENT/models/m-…/artifacts`.
    LoggedModel {
        /// The logged model.
        model_id: String,
    },
    /// Another version: `models:/NAME/VERSION`.
    Version {
        /// The registered model.
        name: String,
        /// The number.
        version: i32,
    },
    /// A place that this server does not know.
    Label,
}

/// Schemes whose host the server could be led to call, and local files. Refused, as MLflow does.
const REFUSED: [&str; 10] = ["http", "https", "ftp", "sftp", "file", "hdfs", "viewfs", "data", "jar", "javascript"];

/// What MLflow's clients write where a version is a prompt, whose text is a tag.
const PROMPTS: [&str; 2] = ["dummy-source", "prompt-template"];

/// Understands a source, or says why it is refused.
pub fn parse(field: &str, source: &str) -> Result<Source, FieldError> {
    let refuse = |why: &str| Err(FieldError::new(field, why));
    text::required(field, source, limits::URI)?;
    if source.chars().any(char::is_control) {
        return refuse("contains a control character");
    }
    if climbs(source) {
        return refuse("contains a `..` segment");
    }
    if PROMPTS.contains(&source) {
        return Ok(Source::Label);
    }
    let Some((scheme, rest)) = source.split_once(":/") else {
        return refuse("must be a URI such as `runs:/RUN_ID/PATH` or `s3://BUCKET/PATH`; local paths are not read");
    };
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    // One letter is a drive of Windows.
    if scheme.len() < 2 || !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.chars().all(legal) {
        return refuse("must be a URI with a scheme of two or more letters");
    }
    let scheme = scheme.to_ascii_lowercase();
    match scheme.as_str() {
        "runs" => run_source(field, rest.split_once('/').unwrap_or((rest, ""))),
        "mlflow-artifacts" => {
            let parts: Vec<&str> = rest.splitn(4, '/').collect();
            if let [experiment, "models", model_id, below] = parts.as_slice() {
                ids::experiment_id(field, experiment)?;
                if below.trim_end_matches('/') != "artifacts" {
                    return refuse("is no logged model as a whole: `mlflow-artifacts:/EXPERIMENT/models/MODEL_ID/artifacts`");
                }
                return logged_model_source(field, model_id);
            }
            let [experiment, run_id, "artifacts", path @ ..] = parts.as_slice() else {
                return refuse("is no place of a run: `mlflow-artifacts:/EXPERIMENT/RUN_ID/artifacts/PATH`");
            };
            ids::experiment_id(field, experiment)?;
            run_source(field, (run_id, path.first().copied().unwrap_or_default()))
        }
        "models" => {
            let Some((name, version)) = rest.rsplit_once('/') else {
                if rest.starts_with("m-") {
                    return logged_model_source(field, rest);
                }
                return refuse("names neither a version nor a logged model: `models:/NAME/VERSION` or `models:/MODEL_ID`");
            };
            text::model_name(field, name)?;
            Ok(Source::Version { name: name.to_owned(), version: ids::version_number(field, version)? })
        }
        other if REFUSED.contains(&other) => refuse("names a host or a local file; the server reads only its own store"),
        _ => Ok(Source::Label),
    }
}

fn logged_model_source(field: &str, model_id: &str) -> Result<Source, FieldError> {
    ids::logged_model_id(field, model_id)?;
    Ok(Source::LoggedModel { model_id: model_id.to_owned() })
}

fn run_source(field: &str, (run_id, path): (&str, &str)) -> Result<Source, FieldError> {
    ids::run_id(field, run_id)?;
    let path = path.trim_end_matches('/');
    artifact_path::folder(field, path)?;
    Ok(Source::Run { run_id: run_id.to_owned(), path: path.to_owned() })
}

/// Whether any spelling of the text climbs out of a folder.
fn climbs(source: &str) -> bool {
    let mut spelling = source.to_owned();
    loop {
        if spelling.split(['/', '\\', '?', '#', ';', '&', '=']).any(|segment| segment == "..") {
            return true;
        }
        let decoded = percent_encoding::percent_decode_str(&spelling).decode_utf8_lossy().into_owned();
        if decoded == spelling {
            return false;
        }
        spelling = decoded;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_places_are_understood() {
        let run_id = "0123456789abcdef0123456789abcdef";
        let run = |path: &str| Ok(Source::Run { run_id: run_id.into(), path: path.into() });
        assert_eq!(parse("source", &format!("runs:/{run_id}/model")), run("model"));
        assert_eq!(parse("source", &format!("runs:/{run_id}")), run(""));
        assert_eq!(parse("source", &format!("mlflow-artifacts:/1/{run_id}/artifacts/a/b")), run("a/b"));
        assert_eq!(parse("source", &format!("mlflow-artifacts:/1/{run_id}/artifacts")), run(""));
        assert_eq!(parse("source", "models:/m/3"), Ok(Source::Version { name: "m".into(), version: 3 }));
        let model = Ok(Source::LoggedModel { model_id: format!("m-{run_id}") });
        assert_eq!(parse("source", &format!("models:/m-{run_id}")), model);
        assert_eq!(parse("source", &format!("mlflow-artifacts:/1/models/m-{run_id}/artifacts")), model);
        assert_eq!(parse("source", &format!("mlflow-artifacts:/1/models/m-{run_id}/artifacts/")), model);
        assert_eq!(parse("source", "s3://bucket/model"), Ok(Source::Label));
        assert_eq!(parse("source", "dbfs:/models/x"), Ok(Source::Label));
    }

    #[test]
    fn what_could_lead_the_server_elsewhere_is_refused() {
        for bad in [
            "",
            "/etc/passwd",
            "model",
            "file:///etc/passwd",
            "FILE:/etc/passwd",
            "http://169.254.169.254/x",
            "https://x/y",
            "ftp://x/y",
            "s3://b/../x",
            "s3://b/%2e%2e/x",
            "s3://b/%252e%252e/x",
            "s3://b/x?p=..",
            "s3://b/x;..",
            "s3://b/x#..",
            "runs:/../x",
            "runs:/",
            "runs:/abc/../x",
            "models:/m/latest",
            "models:/m",
            "mlflow-artifacts:/1/abc/other",
            "mlflow-artifacts://evil/1/abc/artifacts/x",
            "s3://b/\0",
            "://x",
            "mlflow-artifacts://abc/artifacts/x",
            "mlflow-artifacts:/../abc/artifacts/x",
            "C:/Users/x",
            "c://x",
            "1s:/x",
            "jar:file:/x",
            "a/s3:/x",
            "hdfs://h/x",
            "runs://abc/x",
            "runs:/abc/a%2f..%2fb",
            "runs:/abc/a\\..\\b",
            "models:/a/b/3",
            "models:/m/03",
            "models:/m-0123456789abcdef%30123456789abcdef",
            "mlflow-artifacts:/1/models/m-0123456789abcdef/artifacts/x",
            "mlflow-artifacts:/1/models/m-0123456789abcdef",
            "mlflow-artifacts:/x/models/m-0123456789abcdef/artifacts",
            "mlflow-artifacts:/1/models//artifacts",
            "models://h/m/3",
            "s3://b/a\nb",
        ] {
            assert!(parse("source", bad).is_err(), "{bad:?}");
        }
        let error = parse("source", &format!("s3://{}", "b".repeat(2_044))).unwrap_err();
        assert_eq!(error.to_string(), "source: has 2049 characters; at most 2048 are allowed");
    }
}
