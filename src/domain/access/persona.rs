//! Personas: named sets of permissions.

use crate::contract::Permission::{self, *};
use crate::contract::UnknownPermission;

/// The persona that holds everything.
pub const ADMIN: &str = "admin";

/// The names of the personas that every server has.
pub const BUILT_IN: [&str; 8] = ["viewer", "data_scientist", "ml_engineer", "manager", "auditor", "trainer", "deployer", ADMIN];

/// How a right that reaches only one's own objects is marked.
const OWN: &str = " (own)";

/// A permission, perhaps only on what the principal created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Right {
    /// What may be done.
    pub permission: Permission,
    /// Only on objects that the principal created.
    pub own: bool,
}

impl Right {
    /// The right of a text such as `runs.edit (own)`.
    pub fn parse(text: &str) -> Result<Self, UnknownPermission> {
        let (name, own) = text.strip_suffix(OWN).map_or((text, false), |name| (name, true));
        Permission::from_name(name).map(|permission| Self { permission, own })
    }

    /// The text of a right.
    pub fn name(self) -> String {
        format!("{}{}", self.permission.name(), if self.own { OWN } else { "" })
    }
}

/// A named set of rights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Persona {
    /// Unique.
    pub name: String,
    /// What it may do.
    pub rights: Vec<Right>,
    /// Every server has it, and it cannot be changed.
    pub built_in: bool,
}

const VIEWER: &[Permission] = &[ExperimentsRead, ModelsRead, VersionsDownload];
const CREATES: &[Permission] =
    &[ExperimentsCreate, RunsCreate, ModelsCreate, VersionsCreate, RequestsCreate, RequestsWithdraw, CommentsCreate];
const EDITS: &[Permission] = &[ExperimentsEdit, ExperimentsDelete, RunsEdit, RunsDelete, ModelsEdit, VersionsEdit];
const ENGINEERS: &[Permission] = &[ModelsDelete, VersionsDelete, StagesTransition, AliasesSet];
const MANAGES: &[Permission] = &[RequestsApprove, RequestsReject, StagesTransition, StagesPromote, AliasesSet, CommentsCreate];
const AUDITS: &[Permission] = &[UsersRead, TokensRead, GrantsRead, LedgerRead, LedgerVerify, LedgerExport, LedgerWatch];
const TRAINS: &[Permission] = &[RunsCreate, VersionsCreate, RequestsCreate, RequestsWithdraw];

/// A persona that every server has.
pub fn built_in(name: &str) -> Option<Persona> {
    let all = |sets: &[&[Permission]]| rights(sets, false);
    let own = |sets: &[&[Permission]]| rights(sets, true);
    let rights = match name {
        "viewer" => all(&[VIEWER]),
        "data_scientist" => [all(&[VIEWER, CREATES]), own(&[EDITS, &[CommentsEdit]])].concat(),
        "ml_engineer" => [all(&[VIEWER, CREATES, EDITS, ENGINEERS]), own(&[&[CommentsEdit]])].concat(),
        "manager" => [all(&[VIEWER, MANAGES]), own(&[&[CommentsEdit]])].concat(),
        "auditor" => all(&[VIEWER, AUDITS]),
        "trainer" => [all(&[VIEWER, TRAINS]), own(&[&[RunsEdit, VersionsEdit]])].concat(),
        "deployer" => all(&[&[ModelsRead, VersionsDownload, LedgerWatch]]),
        ADMIN => Permission::every().map(|permission| Right { permission, own: false }).collect(),
        _ => return None,
    };
    Some(Persona { name: name.to_owned(), rights, built_in: true })
}

fn rights(sets: &[&[Permission]], own: bool) -> Vec<Right> {
    sets.iter().flat_map(|set| set.iter()).map(|permission| Right { permission: *permission, own }).collect()
}
