//! How permissions are written for people: `requests.approve` for `PERMISSION_REQUESTS_APPROVE`.

use super::Permission;

const PREFIX: &str = "PERMISSION_";

/// A text that names no permission.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("there is no permission {name:?}{}", .nearest.as_ref().map(|nearest| format!("; do you mean {nearest:?}?")).unwrap_or_default())]
pub struct UnknownPermission {
    name: String,
    nearest: Option<String>,
}

/// A name that is less alike than this was not meant.
const ALIKE: f64 = 0.6;

impl Permission {
    /// The name in messages and personas, such as `requests.approve`.
    pub fn name(self) -> String {
        self.as_str_name().trim_start_matches(PREFIX).to_ascii_lowercase().replacen('_', ".", 1)
    }

    /// The permission of a name. Errors when there is none.
    pub fn from_name(name: &str) -> Result<Self, UnknownPermission> {
        Self::every().find(|permission| permission.name() == name).ok_or_else(|| {
            let likeness = |known: &String| strsim::normalized_damerau_levenshtein(name, known);
            let nearest = Self::every().map(Self::name).max_by(|one, other| likeness(one).total_cmp(&likeness(other)));
            UnknownPermission { name: name.to_owned(), nearest: nearest.filter(|nearest| likeness(nearest) >= ALIKE) }
        })
    }

    /// Whether it lets its holder see things and change none.
    pub fn only_reads(self) -> bool {
        matches!(
            self,
            Self::ExperimentsRead
                | Self::ModelsRead
                | Self::VersionsDownload
                | Self::UsersRead
                | Self::TokensRead
                | Self::GrantsRead
                | Self::LedgerRead
                | Self::LedgerVerify
                | Self::LedgerExport
                | Self::LedgerWatch
        )
    }

    /// All permissions, in the order of their numbers.
    pub fn every() -> impl Iterator<Item = Self> {
        // Numbers are given without gaps from 1 on; the first unknown one ends the list.
        (1..).map_while(|number| Self::try_from(number).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_with_one_dot_and_lead_back() {
        assert_eq!(Permission::RequestsApprove.name(), "requests.approve");
        for permission in Permission::every() {
            assert_eq!(Permission::from_name(&permission.name()), Ok(permission));
        }
        assert!(Permission::every().any(|permission| permission == Permission::LedgerWatch));
    }

    #[test]
    fn an_unknown_name_is_refused() {
        let told = |name| Permission::from_name(name).unwrap_err().to_string();
        assert_eq!(told("models.reed"), "there is no permission \"models.reed\"; do you mean \"models.read\"?");
        assert_eq!(told("everything"), "there is no permission \"everything\"");
        assert!(Permission::from_name("").is_err());
    }
}
