//! The one judge of artifact paths, for every door.

use super::field::FieldError;
use super::limits;

/// Accepts a path of a file: relative, of plain segments, and plain still if a careless reader decoded
/// its percent signs once more. The text is judged as it is, never rewritten.
pub fn file(field: &str, path: &str) -> Result<(), FieldError> {
    let refuse = |why: String| Err(FieldError::new(field, why));
    if path.is_empty() {
        return Err(super::text::missing(field));
    }
    if path.len() > limits::ARTIFACT_PATH_BYTES {
        let most = limits::ARTIFACT_PATH_BYTES;
        return refuse(format!("has {} bytes; at most {most} are allowed", path.len()));
    }
    let segments = path.split('/').count();
    if segments > limits::ARTIFACT_PATH_SEGMENTS {
        let most = limits::ARTIFACT_PATH_SEGMENTS;
        return refuse(format!("has {segments} segments; at most {most} are allowed"));
    }
    let mut spelling = path.to_owned();
    // Each decoding that changes the text shortens it, so this ends.
    loop {
        plain(&spelling).or_else(|why| refuse(why.to_owned()))?;
        // Overlong forms of `.` and `/` are no UTF-8.
        let Ok(decoded) = percent_encoding::percent_decode_str(&spelling).decode_utf8() else {
            return refuse("contains percent signs that stand for no UTF-8".to_owned());
        };
        if decoded == spelling {
            return Ok(());
        }
        spelling = decoded.into_owned();
    }
}

/// As `file`, but empty stands for the root.
pub fn folder(field: &str, path: &str) -> Result<(), FieldError> {
    if path.is_empty() { Ok(()) } else { file(field, path) }
}

fn plain(path: &str) -> Result<(), &'static str> {
    if path.chars().any(char::is_control) {
        return Err("contains a control character");
    }
    if path.contains('\\') {
        return Err("contains a backslash");
    }
    let drive = path.as_bytes();
    if drive.len() >= 2 && drive[0].is_ascii_alphabetic() && drive[1] == b':' {
        return Err("starts with a drive letter");
    }
    for segment in path.split('/') {
        if segment.is_empty() {
            return Err("has an empty segment, or starts or ends with `/`");
        }
        // Windows drops blanks at the end of a name.
        if matches!(segment.trim(), "" | "." | "..") {
            return Err("has a segment that is blank, `.` or `..`");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_spellings_are_refused() {
        let hostile = [
            "",
            "/",
            "/etc/passwd",
            "..",
            ".",
            "../x",
            "a/../x",
            "a/..",
            "a/./b",
            "a//b",
            "a/",
            "//a",
            "%2e%2e/x",
            "%2E%2E%2Fx",
            "..%2fx",
            "a/%2e%2e/x",
            "%252e%252e%252fx",
            "%25252e%25252e/x",
            "a%2f%2fb",
            "%2fetc",
            "a\\b",
            "..\\x",
            "%5c..%5cx",
            "C:/x",
            "c:x",
            "C%3a/x",
            "a\0b",
            "a%00b",
            "a\nb",
            "a\r\nb",
            "a%0d%0ab",
            "\u{7f}",
            "a/\u{85}",
            "%2e/x",
            ".%2e/x",
            "%c0%ae%c0%ae/x",
            "a%c0%afb",
            "a/.. /b",
            "a/%20/b",
            "a/ ./b",
            " ",
            "%00",
            "a/%2e%2e%5cb",
            "%25%32%65%25%32%65/x",
        ];
        for path in hostile {
            assert!(file("path", path).is_err(), "{path:?}");
        }
    }

    #[test]
    fn length_and_depth_are_bounded() {
        let deep = |segments: usize| vec!["a"; segments].join("/");
        assert_eq!(file("path", &deep(64)), Ok(()));
        let error = file("path", &deep(65)).unwrap_err();
        assert_eq!(error.to_string(), "path: has 65 segments; at most 64 are allowed");
        assert_eq!(file("path", &"ü".repeat(512)), Ok(()));
        let error = file("path", &"ü".repeat(513)).unwrap_err();
        assert_eq!(error.to_string(), "path: has 1026 bytes; at most 1024 are allowed");
    }

    #[test]
    fn plain_paths_are_accepted() {
        for path in ["model.json", "model/MLmodel", "a b/ü.png", "100%.txt", "...", "x..y", "a;b?c#d", "~x"] {
            assert_eq!(file("path", path), Ok(()), "{path}");
        }
        assert_eq!(folder("path", ""), Ok(()));
    }
}
