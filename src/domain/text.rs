//! What texts may hold, and when two names are the same. Names are shown as they were given and
//! compared in their NFKC form; values are free but for NUL, which PostgreSQL cannot store.

use std::collections::HashSet;

use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, UnicodeEmoji, UnicodeGeneralCategory};
use unicode_script::{Script, UnicodeScript};

use super::field::FieldError;
use super::{confusable, limits};

type Result<T> = std::result::Result<T, FieldError>;

/// A value of at most `limit` characters, possibly empty.
pub fn value(field: &str, text: &str, limit: usize) -> Result<()> {
    let length = text.chars().count();
    if length > limit {
        return Err(too_long(field, length, limit));
    }
    if text.contains('\0') {
        return Err(FieldError::new(field, "contains a NUL character"));
    }
    Ok(())
}

/// A value of 1 to `limit` characters that is not blank.
pub fn required(field: &str, text: &str, limit: usize) -> Result<()> {
    if text.trim().is_empty() {
        return Err(missing(field));
    }
    value(field, text, limit)
}

/// The error of a required field that is not set.
pub fn missing(field: &str) -> FieldError {
    FieldError::new(field, "is required")
}

/// A line of at most `limit` characters, possibly empty, that identifies nothing: a run's name, a display
/// name. Nothing in it breaks the line or reorders text.
pub fn label(field: &str, text: &str, limit: usize) -> Result<()> {
    value(field, text, limit)?;
    match text.chars().find(|c| c.is_control() || reorders_or_breaks(*c)) {
        None => Ok(()),
        Some(bad) => Err(forbidden(field, bad)),
    }
}

/// A name of 1 to `limit` characters that people will read and trust: nothing that reorders text, nothing invisible but
/// what shapes words of joining scripts and emoji, no blank at the edges. Scripts may be mixed; what looks like an
/// existing name is for `confusable` to tell. The compared form has to keep all of this, too, its length included: NFKC
/// turns one character into up to 18.
pub fn name(field: &str, text: &str, limit: usize) -> Result<()> {
    required(field, text, limit)?;
    let compared = compared_within(field, text, limit)?;
    for form in [text, compared.as_str()] {
        if form.trim() != form {
            return Err(FieldError::new(field, "starts or ends with a blank"));
        }
        if let Some(bad) = hidden(form) {
            return Err(forbidden(field, bad));
        }
    }
    Ok(())
}

/// The compared form of a name, which has at most `limit` characters as well.
fn compared_within(field: &str, text: &str, limit: usize) -> Result<String> {
    let compared = canonical_name(text);
    let length = compared.chars().count();
    if length > limit {
        let message = format!("has {length} characters in its normal form (NFKC); at most {limit} are allowed");
        return Err(FieldError::new(field, message));
    }
    Ok(compared)
}

/// The form in which names are compared: NFKC.
pub fn canonical_name(text: &str) -> String {
    if text.is_ascii() { text.to_owned() } else { text.nfkc().collect() }
}

/// The first character of a name that shows nothing where it stands.
fn hidden(name: &str) -> Option<char> {
    let characters: Vec<char> = name.chars().collect();
    let at = |index: usize| characters.get(index).copied();
    let shapes = |index: usize| {
        let before = characters[..index].iter().rev().copied().find(|c| *c != EMOJI_STYLE && c.script() != Script::Inherited);
        let (last, next) = (index.checked_sub(1).and_then(at), at(index + 1));
        let pictures = |c: Option<char>| c.is_some_and(|c| !c.is_ascii() && c.is_emoji_char());
        match characters[index] {
            NON_JOINER => joins(before, next),
            JOINER => joins(before, next) || (pictures(before) && pictures(next)),
            EMOJI_STYLE => pictures(last) || (last.is_some_and(UnicodeEmoji::is_emoji_char) && next == Some(KEYCAP)),
            _ => false,
        }
    };
    characters.iter().enumerate().find(|(index, c)| invisible(**c) && !shapes(*index)).map(|(_, c)| *c)
}

const NON_JOINER: char = '\u{200C}';
const JOINER: char = '\u{200D}';
/// Has the sign before it drawn as an emoji.
const EMOJI_STYLE: char = '\u{FE0F}';
const KEYCAP: char = '\u{20E3}';

/// Whether a joiner between two letters changes how they are drawn: both are of one script that joins letters.
fn joins(before: Option<char>, after: Option<char>) -> bool {
    use Script as S;
    let script = before.map(|c| c.script());
    script == after.map(|c| c.script())
        && matches!(
            script,
            Some(
                S::Arabic
                    | S::Syriac
                    | S::Mongolian
                    | S::Nko
                    | S::Mandaic
                    | S::Devanagari
                    | S::Bengali
                    | S::Gurmukhi
                    | S::Gujarati
                    | S::Oriya
                    | S::Tamil
                    | S::Telugu
                    | S::Kannada
                    | S::Malayalam
                    | S::Sinhala
                    | S::Khmer
                    | S::Myanmar
            )
        )
}

/// Whether a character shows nothing, or nothing that all readers agree on: controls, formats, private
/// use, line separators, unassigned, and the letters and marks that are drawn as nothing at all.
fn invisible(c: char) -> bool {
    use GeneralCategory as Category;
    matches!(
        c.general_category(),
        Category::Control
            | Category::Format
            | Category::PrivateUse
            | Category::Unassigned
            | Category::LineSeparator
            | Category::ParagraphSeparator
    ) || matches!(u32::from(c),
        0x034F | 0x115F | 0x1160 | 0x17B4 | 0x17B5 | 0x180B..=0x180F | 0x2800 | 0x3164 | 0xFE00..=0xFE0F
        | 0xFFA0 | 0xE0100..=0xE01EF)
}

/// Whether a character is a bidirectional control or ends a line.
fn reorders_or_breaks(c: char) -> bool {
    matches!(c, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

fn forbidden(field: &str, bad: char) -> FieldError {
    let code = u32::from(bad);
    FieldError::new(field, format!("contains the control, invisible or private-use character U+{code:04X}"))
}

/// An experiment's name: a label of 1 to 500 characters, in its compared form, too. Nothing is promoted by it.
pub fn experiment_name(field: &str, text: &str) -> Result<()> {
    required(field, text, limits::EXPERIMENT_NAME)?;
    label(field, text, limits::EXPERIMENT_NAME)?;
    compared_within(field, text, limits::EXPERIMENT_NAME).map(|_| ())
}

/// A registered model's name: not `.` or `..`, no `/` and no `:`, as in MLflow.
pub fn model_name(field: &str, text: &str) -> Result<()> {
    name(field, text, limits::MODEL_NAME)?;
    let compared = canonical_name(text);
    if compared.contains(['/', ':']) || compared == "." || compared == ".." {
        return Err(FieldError::new(field, "must not contain `/` or `:` nor be `.` or `..`"));
    }
    Ok(())
}

/// A logged model's name by MLflow's rule: 1 to 500 characters, none of `/ : . % " '`. It is a label: models
/// are told apart by their ids.
pub fn logged_model_name(field: &str, text: &str) -> Result<()> {
    required(field, text, limits::LOGGED_MODEL_NAME)?;
    label(field, text, limits::LOGGED_MODEL_NAME)?;
    if text.contains(['/', ':', '.', '%', '"', '\'']) {
        return Err(FieldError::new(field, "must not contain any of `/ : . % \" '`"));
    }
    Ok(())
}

/// A key of a metric, param or tag by MLflow's rule: letters, digits, `_ - . : /` and blanks, in the
/// form of a relative path without empty, `.` or `..` parts.
pub fn key(field: &str, text: &str) -> Result<()> {
    if text.is_empty() {
        return Err(missing(field));
    }
    let length = text.chars().count();
    if length > limits::KEY {
        return Err(too_long(field, length, limits::KEY));
    }
    let legal = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/' | ' ');
    if !text.chars().all(legal) {
        return Err(FieldError::new(field, "may only contain letters, digits, `_`, `-`, `.`, `:`, `/` and blanks"));
    }
    let path_like = text.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    if !path_like || text.starts_with("..") {
        return Err(FieldError::new(field, "must be in the form of a relative path, without empty, `.` or `..` parts"));
    }
    Ok(())
}

/// An alias by MLflow's rule: letters, digits, `_` and `-`; not `latest`, not `v` and digits. Stricter
/// than MLflow, an alias is a name that nobody can imitate: a gate on `@champion` is worth nothing when
/// another alias looks the same. So it has to be in the form in which it is compared, and looks like no reserved word;
/// `confusable` tells whether it looks like another one.
pub fn alias(field: &str, text: &str) -> Result<()> {
    required(field, text, limits::ALIAS)?;
    if !text.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-') {
        return Err(FieldError::new(field, "may only contain letters, digits, `_` and `-`"));
    }
    let number = text.strip_prefix(['v', 'V']).unwrap_or_default();
    let digit = |c: char| c.general_category() == GeneralCategory::DecimalNumber;
    if text.eq_ignore_ascii_case("latest")
        || confusable::confusable(&text.to_lowercase(), "latest")
        || (!number.is_empty() && number.chars().all(digit))
    {
        return Err(FieldError::new(field, "is reserved: `latest`, and `v` followed by digits"));
    }
    name(field, text, limits::ALIAS)?;
    let compared = canonical_name(text);
    if compared != text {
        return Err(FieldError::new(field, format!("is not in its normal form (NFKC): write `{compared}`")));
    }
    Ok(())
}

/// A user's, group's or persona's name: 1 to 128 ASCII letters, digits and `. _ - + @`, starting with
/// a letter or digit.
pub fn principal_name(field: &str, text: &str) -> Result<()> {
    required(field, text, limits::PRINCIPAL_NAME)?;
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+' | '@');
    if !text.chars().all(legal) || !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err(FieldError::new(
            field,
            "may only contain ASCII letters, digits, `.`, `_`, `-`, `+` and `@`, and starts with a letter or digit",
        ));
    }
    Ok(())
}

/// The form in which principals' names are compared: letter case does not tell two users apart.
pub fn canonical_principal(text: &str) -> String {
    text.to_ascii_lowercase()
}

/// A new password: 15 to 1,024 characters, and none that everybody tries first.
pub fn password(field: &str, text: &str) -> Result<()> {
    let length = text.chars().count();
    if length > limits::PASSWORD_MAX {
        return Err(too_long(field, length, limits::PASSWORD_MAX));
    }
    if length < limits::PASSWORD_MIN {
        let least = limits::PASSWORD_MIN;
        return Err(FieldError::new(field, format!("must have at least {least} characters")));
    }
    if guessable(&text.to_lowercase()) {
        return Err(FieldError::new(field, "is among those that are tried first"));
    }
    Ok(())
}

/// Whether a password has fewer than five different characters, is one part said again and again, or is
/// a common word, a row of keys or an alphabet with nothing but digits and signs around it.
fn guessable(lower: &str) -> bool {
    const WELL_KNOWN: [&str; 13] = [
        "1234567890",
        "123456789",
        "1q2w3e4r5t",
        "abcdefghijklmnopqrstuvwxyz",
        "qwertyuiopasdfghjklzxcvbnm",
        "qwertyuiopasdfgh",
        "qwertyuiop",
        "password",
        "passw0rd",
        "p@ssw0rd",
        "administrator",
        "changeme",
        "stagegate",
    ];
    let characters: Vec<char> = lower.chars().collect();
    let different = characters.iter().collect::<HashSet<_>>().len();
    let repeats = |part: usize| characters.iter().zip(&characters[part..]).all(|(one, next)| one == next);
    let rest = WELL_KNOWN.iter().fold(lower.to_owned(), |rest, known| rest.replace(known, ""));
    let letters = rest.chars().filter(|c| c.is_alphabetic()).count();
    different < 5 || (1..=characters.len() / 2).any(repeats) || (rest != lower && letters < 5)
}

/// An idempotency key of 1 to 128 characters.
pub fn idempotency_key(key: Option<&str>) -> Result<()> {
    key.map_or(Ok(()), |text| required("idempotency_key", text, limits::IDEMPOTENCY_KEY))
}

/// The number of results to answer with: `asked`, or `default` for 0. Refuses negatives and more than `most`.
pub fn page_size(field: &str, asked: i64, default: i64, most: i64) -> Result<u64> {
    if asked < 0 || asked > most {
        return Err(FieldError::new(field, format!("is {asked}; must be between 1 and {most}, or 0 for {default}")));
    }
    Ok(if asked == 0 { default } else { asked }.unsigned_abs())
}

/// The same for a field that tells absent from 0, as MLflow's does: what is asked for is at least 1.
pub fn page_size_if_set(field: &str, asked: Option<impl Into<i64>>, default: i64, most: i64) -> Result<u64> {
    match asked.map_or(default, Into::into) {
        0 => Err(FieldError::new(field, format!("is 0; must be between 1 and {most}"))),
        asked => page_size(field, asked, default, most),
    }
}

/// The error of a list with too many items.
pub fn count(field: &str, found: usize, limit: usize) -> Result<()> {
    if found > limit {
        return Err(FieldError::new(field, format!("has {found} items; at most {limit} are allowed")));
    }
    Ok(())
}

fn too_long(field: &str, length: usize, limit: usize) -> FieldError {
    FieldError::new(field, format!("has {length} characters; at most {limit} are allowed"))
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
