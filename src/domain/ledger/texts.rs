//! Long texts of payloads: they lie beside the rows, once each, and the rows hold their digests. A tag of 100,000
//! characters that is changed back and forth then costs a row of a few hundred bytes each time.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Longer texts lie beside the row; in bytes.
pub const TEXT_BYTES: usize = 4_096;

const DIGEST: &str = "text_sha256";
const BYTES: &str = "text_bytes";

/// A text that a payload refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LongText {
    /// SHA-256 of its UTF-8 bytes, in hexadecimal.
    pub sha256: String,
    /// The text.
    pub text: String,
}

impl LongText {
    /// A text and its digest.
    pub fn new(text: String) -> Self {
        Self { sha256: text_sha256(&text), text }
    }
}

/// The digest by which a payload refers to a text, in hexadecimal.
pub fn text_sha256(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

/// Puts `{"text_sha256": …, "text_bytes": …}` in the place of each long text of a payload, and gives the texts.
pub fn take_out(payload: &mut Value) -> Vec<LongText> {
    let mut taken = Vec::new();
    take(payload, &mut taken);
    // One order for all writers, so that none waits for another one that waits for it; and each text once.
    taken.sort_by(|one: &LongText, other| one.sha256.cmp(&other.sha256));
    taken.dedup();
    taken
}

fn take(value: &mut Value, taken: &mut Vec<LongText>) {
    match value {
        Value::String(text) if text.len() > TEXT_BYTES => {
            let long = LongText::new(std::mem::take(text));
            *value = json!({DIGEST: long.sha256, BYTES: long.text.len()});
            taken.push(long);
        }
        Value::Array(values) => values.iter_mut().for_each(|value| take(value, taken)),
        Value::Object(fields) => fields.values_mut().for_each(|value| take(value, taken)),
        _ => {}
    }
}

/// The digests of the texts that a payload refers to.
pub fn referred_to(payload: &str) -> Vec<String> {
    let mut found = Vec::new();
    // Few payloads refer to any; the others need not be parsed.
    if payload.contains(DIGEST)
        && let Ok(value) = serde_json::from_str(payload)
    {
        find(&value, &mut found);
    }
    found
}

fn find(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| find(value, found)),
        Value::Object(fields) => match fields.get(DIGEST) {
            Some(Value::String(digest)) => found.push(digest.clone()),
            _ => fields.values().for_each(|value| find(value, found)),
        },
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_taken_out_and_found_again() {
        let (short, long, longer) = ("s".repeat(TEXT_BYTES), "l".repeat(TEXT_BYTES + 1), "ä".repeat(TEXT_BYTES));
        let mut payload =
            json!({"key": "k", "before": {"value": long}, "after": [short, longer, long], "text_sha256 in a text": "text_sha256"});
        let taken = take_out(&mut payload);
        assert_eq!(taken.len(), 2, "each once");
        assert!(taken.iter().any(|text| text.text == long) && taken.iter().any(|text| text.text == longer));
        assert_eq!(payload["before"]["value"], json!({"text_sha256": text_sha256(&long), "text_bytes": TEXT_BYTES + 1}));
        assert_eq!(payload["after"][0], short);
        assert_eq!(payload["after"][1]["text_bytes"], 2 * TEXT_BYTES);
        let mut referred = referred_to(&payload.to_string());
        referred.sort();
        referred.dedup();
        assert_eq!(referred, taken.iter().map(|text| text.sha256.clone()).collect::<Vec<_>>());
        assert!(referred_to("{}").is_empty() && referred_to("no JSON, though it says text_sha256").is_empty());
    }
}
