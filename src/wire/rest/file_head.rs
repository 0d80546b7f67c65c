//! The heads of downloads: what a client may do with a file, and which part of it was asked for.

use headers::{ETag, HeaderMapExt, IfMatch, IfNoneMatch, IfRange};
use http::{HeaderMap, HeaderValue, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::domain::field::FieldError;

/// What RFC 5987 lets stand in a parameter's extended value.
const ATTRIBUTE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');
/// Nothing that a browser shows of a file may run, load or be framed.
const POLICY: &str = "sandbox; default-src 'none'; frame-ancestors 'none'";
/// Names that MLflow's clients take for text, beside those whose type is text anyway.
const TEXTS: [&str; 27] = [
    "MLmodel",
    "MLproject",
    "cf",
    "cfg",
    "cnf",
    "conf",
    "csv",
    "err",
    "hocon",
    "ini",
    "ipynb",
    "js",
    "json",
    "log",
    "md",
    "prop",
    "properties",
    "py",
    "py3",
    "rst",
    "svg",
    "toml",
    "tsv",
    "txt",
    "xml",
    "yaml",
    "yml",
];

/// The answer to a request for a file, before its bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All of it.
    Whole,
    /// So many bytes from one on.
    Part {
        /// The first byte, counted from 0.
        first: u64,
        /// At least 1.
        length: u64,
    },
    /// The client has it already.
    NotModified,
    /// It is not the file that the client means.
    NotTheOne,
    /// The file has no such bytes.
    NoSuchPart,
}

/// The strong tag of a file's bytes.
pub fn etag(sha256: &str) -> String {
    format!("\"{sha256}\"")
}

/// Which part of a file a request asks for (RFC 9110, sections 13 and 14). Where it asks for several, it gets all,
/// as the standard allows.
pub fn verdict(asked: &HeaderMap, sha256: &str, size: u64) -> Verdict {
    let Ok(tag) = etag(sha256).parse::<ETag>() else { return Verdict::Whole };
    if asked.typed_get::<IfMatch>().is_some_and(|condition| !condition.precondition_passes(&tag)) {
        return Verdict::NotTheOne;
    }
    if asked.typed_get::<IfNoneMatch>().is_some_and(|condition| !condition.precondition_passes(&tag)) {
        return Verdict::NotModified;
    }
    // A date is never the file's: its tag tells all there is.
    let another = |condition: IfRange| condition.is_modified(Some(&tag), None);
    if asked.contains_key(header::IF_RANGE) && asked.typed_get().is_none_or(another) {
        return Verdict::Whole;
    }
    let range = asked.get(header::RANGE).and_then(|range| range.to_str().ok());
    range.map_or(Verdict::Whole, |range| part(range.trim(), size))
}

/// The one range of bytes that a header asks for. Read here and not by the crate, which takes a suffix that is longer
/// than the file for none at all.
fn part(asked: &str, size: u64) -> Verdict {
    let Some((first, last)) = asked.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else { return Verdict::Whole };
    let (first, last) = (first.trim(), last.trim());
    // What is no number makes the header one to pass over, and so do several ranges.
    if !first.bytes().chain(last.bytes()).all(|digit| digit.is_ascii_digit()) {
        return Verdict::Whole;
    }
    let number = |text: &str| text.parse().unwrap_or(u64::MAX);
    let (first, end) = match (first, last) {
        ("", "") => return Verdict::Whole,
        ("", suffix) => (size.saturating_sub(number(suffix)), size),
        (first, "") => (number(first), size),
        (first, last) if number(first) <= number(last) => (number(first), number(last).saturating_add(1).min(size)),
        _ => return Verdict::Whole,
    };
    if first >= end { Verdict::NoSuchPart } else { Verdict::Part { first, length: end - first } }
}

/// Accepts an upload that is to take place in any case. Whoever sets a condition wants to overwrite nothing that they
/// have not seen; since no upload is compared with what it replaces, it must not take place at all.
pub fn unconditional(asked: &HeaderMap) -> Result<(), FieldError> {
    let conditions = [header::IF_MATCH, header::IF_NONE_MATCH, header::IF_UNMODIFIED_SINCE, header::CONTENT_RANGE];
    match conditions.into_iter().find(|name| asked.contains_key(name)) {
        Some(name) => Err(FieldError::new(name.as_str(), "is not understood on uploads, which replace the whole file in any case")),
        None => Ok(()),
    }
}

/// The headers of a file of a path.
pub fn head(path: &str, sha256: &str) -> HeaderMap {
    let name = path.rsplit('/').next().unwrap_or(path);
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(name)));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    // Both texts are ASCII without controls, so neither is ever refused.
    for (header, text) in [(header::CONTENT_DISPOSITION, disposition(name)), (header::ETAG, etag(sha256))] {
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(header, value);
        }
    }
    headers
}

/// The file is to be saved, under its name: in full for those who read RFC 5987, in plain ASCII for others.
fn disposition(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '%') || c == ' ' { c } else { '_' };
    let ascii: String = name.chars().map(plain).collect();
    format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''{}", utf8_percent_encode(name, ATTRIBUTE))
}

/// By the name alone, as in MLflow, but for all that a browser might run: text is plain text, and what is neither
/// text nor picture nor sound is bytes.
fn content_type(name: &str) -> &'static str {
    let extension = name.rsplit_once('.').map_or(name, |(_, extension)| extension);
    if TEXTS.binary_search(&extension).is_ok() {
        return "text/plain; charset=utf-8";
    }
    let Some(guess) = mime_guess::from_path(name).first_raw() else { return "application/octet-stream" };
    match guess.split('/').next().unwrap_or_default() {
        "text" => "text/plain; charset=utf-8",
        "image" if !guess.contains("xml") => guess,
        "audio" | "video" => guess,
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA: &str = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";

    fn asked(headers: &[(&'static str, &str)]) -> Verdict {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        verdict(&map, SHA, 10)
    }

    #[test]
    fn ranges() {
        let part = |first, length| Verdict::Part { first, length };
        for (range, expected) in [
            ("bytes=0-3", part(0, 4)),
            ("bytes=3-", part(3, 7)),
            ("bytes=-4", part(6, 4)),
            ("bytes=-40", part(0, 10)),
            ("bytes=9-9", part(9, 1)),
            ("bytes=5-100", part(5, 5)),
            ("bytes=0-18446744073709551615", part(0, 10)),
            ("bytes=10-", Verdict::NoSuchPart),
            ("bytes=-0", Verdict::NoSuchPart),
            ("bytes=0-1,4-5", Verdict::Whole),
            ("bytes=5-2", Verdict::Whole),
            ("bytes=-", Verdict::Whole),
            ("bytes=a-3", Verdict::Whole),
            ("bytes=+1-3", Verdict::Whole),
            ("lines=1-2", Verdict::Whole),
            ("bytes", Verdict::Whole),
        ] {
            assert_eq!(asked(&[("range", range)]), expected, "{range}");
        }
    }

    #[test]
    fn conditions_come_before_ranges() {
        let (same, other) = (etag(SHA), "\"other\"");
        let range = ("range", "bytes=0-3");
        let part = Verdict::Part { first: 0, length: 4 };
        assert_eq!(asked(&[("if-none-match", &same), range]), Verdict::NotModified);
        assert_eq!(asked(&[("if-none-match", &format!("W/{same}"))]), Verdict::NotModified);
        assert_eq!(asked(&[("if-none-match", "*")]), Verdict::NotModified);
        assert_eq!(asked(&[("if-none-match", other), range]), part);
        assert_eq!(asked(&[("if-match", other), range]), Verdict::NotTheOne);
        assert_eq!(asked(&[("if-match", &format!("{other}, {same}")), range]), part);
        assert_eq!(asked(&[("if-range", &same), range]), part);
        assert_eq!(asked(&[("if-range", other), range]), Verdict::Whole);
        assert_eq!(asked(&[("if-range", "neither tag nor date"), range]), Verdict::Whole);
        assert_eq!(asked(&[("if-range", "Wed, 21 Oct 2099 07:28:00 GMT"), range]), Verdict::Whole);
    }

    #[test]
    fn no_browser_runs_a_file() {
        for name in [
            "a.html", "a.HTML", "a.htm", "a.xhtml", "a.svg", "a.SVG", "a.xml", "a.js", "a.mjs", "a.css", "a.pdf", "a.swf", "a.wasm",
            "a.xsl",
        ] {
            let given = content_type(name);
            assert!(["text/plain; charset=utf-8", "application/octet-stream"].contains(&given), "{name}: {given}");
        }
        for name in TEXTS.map(|extension| format!("a.{extension}")).iter().map(String::as_str).chain(["MLmodel", "MLproject"]) {
            assert_eq!(content_type(name), "text/plain; charset=utf-8", "{name}");
        }
        assert_eq!(content_type("plot.png"), "image/png");
        assert_eq!(content_type("model.pkl"), "application/octet-stream");
        assert_eq!(content_type("no extension"), "application/octet-stream");
    }

    #[test]
    fn names_are_quoted() {
        assert_eq!(disposition("a b.txt"), "attachment; filename=\"a b.txt\"; filename*=UTF-8''a%20b.txt");
        let hostile = disposition("ü\"; evil=\"x\r\n.txt");
        assert_eq!(hostile, "attachment; filename=\"__; evil=_x__.txt\"; filename*=UTF-8''%C3%BC%22%3B%20evil%3D%22x%0D%0A.txt");
    }
}
