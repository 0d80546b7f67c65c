//! Passwords that stand in files, as container platforms hand them over.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use zeroize::Zeroizing;

use super::ConfigError;

/// No password is longer; of a longer file no more is read.
const BYTES: usize = 16 * 1024;

/// The password in the file of a flag: all of it but one line end. Errors name flag and file, never the content.
pub fn read(flag: &'static str, path: &Path) -> Result<Zeroizing<String>, ConfigError> {
    let wrong = |what: String| ConfigError::PasswordFile { flag, path: path.to_owned(), what };
    let mut text = Zeroizing::new(String::new());
    let file = File::open(path).map_err(|error| wrong(error.to_string()))?;
    let read = file.take(BYTES as u64 + 1).read_to_string(&mut text);
    read.map_err(|error| {
        wrong(if error.kind() == std::io::ErrorKind::InvalidData { "is not UTF-8".to_owned() } else { error.to_string() })
    })?;
    let password = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if password.is_empty() {
        return Err(wrong("is empty".to_owned()));
    }
    if text.len() > BYTES || password.contains(['\n', '\r', '\0']) {
        return Err(wrong("must hold the password alone, on one line".to_owned()));
    }
    Ok(Zeroizing::new(password.to_owned()))
}
