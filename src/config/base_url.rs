//! The address under which clients reach the server.

use std::str::FromStr;

use serde::Deserialize;
use url::Url;

/// An address without a slash at its end.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct BaseUrl {
    text: String,
    host: String,
}

impl BaseUrl {
    /// The address.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its host.
    pub fn host(&self) -> &str {
        &self.host
    }
}

impl FromStr for BaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // What it says is not repeated: it may hold a password.
        let wrong = || "must be `http://` or `https://`, a host, and perhaps a path; no user, query or fragment".to_owned();
        let url = Url::parse(text).map_err(|_| wrong())?;
        let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
        let host = url.host_str().filter(|_| plain && matches!(url.scheme(), "http" | "https")).ok_or_else(wrong)?;
        Ok(Self { host: host.to_owned(), text: url.as_str().trim_end_matches('/').to_owned() })
    }
}

impl TryFrom<String> for BaseUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_ends_without_a_slash() {
        for (given, kept, host) in [
            ("https://ml.example.com/stagegate/", "https://ml.example.com/stagegate", "ml.example.com"),
            ("http://[::1]:5000", "http://[::1]:5000", "[::1]"),
            ("HTTPS://ML.example.com", "https://ml.example.com", "ml.example.com"),
        ] {
            let url: BaseUrl = given.parse().unwrap();
            assert_eq!((url.as_str(), url.host()), (kept, host));
        }
        for bad in ["", "ml.example.com", "ftp://a", "https://u:secret@a/", "https://a/?q", "https://a/#f", "https://", "/stagegate"] {
            let told = bad.parse::<BaseUrl>().unwrap_err();
            assert!(told.starts_with("must be") && !told.contains("secret"), "{bad}");
        }
    }
}
