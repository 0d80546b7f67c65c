//! The filter of the log. A bad one would silence the log, and nobody would know.

use tracing_subscriber::EnvFilter;

use super::ConfigError;

/// What is logged of libraries as long as nobody says otherwise.
const LIBRARIES: &str = "sqlx=warn,sea_orm_migration=warn";
/// The driver logs what it cannot read of `.pgpass`, which holds passwords.
const NEVER: &str = "sqlx_postgres::options=off";
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Reads a filter: levels, and `TARGET=LEVEL`, by comma. Without a level that stands alone the rest is logged at `info`.
///
/// # Errors
/// When a part is none of this; it is named.
pub fn read(given: Option<&str>) -> Result<EnvFilter, ConfigError> {
    let given = given.unwrap_or_default();
    let parts: Vec<&str> = given.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    for part in &parts {
        // A word alone would be a target that is logged whole, and everything else would not be.
        let has_level = part.contains('=') && !part.starts_with('=') && EnvFilter::builder().parse(part).is_ok();
        if !is_level(part) && !has_level {
            return Err(ConfigError::LogFilter((*part).to_owned()));
        }
    }
    let has_level = parts.iter().any(|part| is_level(part));
    let mut whole: Vec<&str> = if has_level { Vec::new() } else { vec!["info", LIBRARIES] };
    whole.extend(parts);
    whole.push(NEVER);
    EnvFilter::builder().parse(whole.join(",")).map_err(|_| ConfigError::LogFilter(given.to_owned()))
}

fn is_level(part: &str) -> bool {
    LEVELS.iter().any(|level| level.eq_ignore_ascii_case(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_or_their_bad_part_is_named() {
        for good in
            ["", "info", "WARN", "debug,h2=info", "stagegate::wire=trace", "off", " info , sqlx=warn ", "stagegate[call{a=1}]=debug"]
        {
            assert!(read(Some(good)).is_ok(), "{good}");
        }
        for (bad, part) in [("inof", "inof"), ("info,sqlx=wran", "sqlx=wran"), ("stagegate", "stagegate"), ("info,=", "=")] {
            assert!(matches!(read(Some(bad)), Err(ConfigError::LogFilter(named)) if named == part), "{bad}");
        }
        let level = |given: &str| read(Some(given)).unwrap().max_level_hint().unwrap().to_string();
        assert_eq!((level("").as_str(), level("error").as_str(), level("stagegate=debug,info").as_str()), ("info", "error", "debug"));
        assert!(read(Some("stagegate=debug")).unwrap().to_string().contains("info"), "the rest is not silenced");
    }
}
