//! The schema, as dated steps that are never edited once released. Tables, views and rules are one text for both
//! engines; what only one of them needs stands in a file of its own.
//!
//! A rule becomes a trigger that refuses a change of a row and gives its name:
//! ```text
//! RULE holdings_held BEFORE INSERT ON holdings
//! REQUIRES EXISTS (…)            or REFUSES …, or neither: then it refuses always
//! SAYS 'only a version that is there holds a target';
//! ```
//! `REQUIRES` refuses what is false or unknown, `REFUSES` what is true. A rule that `DOES` something instead, and then
//! says nothing, writes rows along with the change.
//!
//! On SQLite each table that has a trigger gets two more, against REPLACE; see `not_replaced.rs`.

mod not_replaced;

use sea_orm::{ConnectionTrait, DbErr};
use sea_orm_migration::prelude::{MigrationName, MigrationTrait, MigratorTrait, SchemaManager, async_trait};

use crate::domain::stage::{self, STAGES};
use crate::store::{StoreError, is_sqlite, sql};

/// How far a database has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// No step was done.
    Empty,
    /// Steps of this program are missing.
    Older,
    /// All steps were done.
    Current,
    /// There were steps that this program does not know.
    Newer,
}

/// Looks how far a database has come, and changes nothing.
pub async fn schema<C: ConnectionTrait>(on: &C) -> Result<Schema, StoreError> {
    let table = if is_sqlite(on) {
        "SELECT COUNT(*) FROM sqlite_schema WHERE name = 'seaql_migrations'"
    } else {
        "SELECT COUNT(to_regclass('seaql_migrations'))"
    };
    if sql::one(on, table, []).await?.get::<i64>(0)? == 0 {
        return Ok(Schema::Empty);
    }
    let known: Vec<String> = Migrator::migrations().iter().map(|step| step.name().to_owned()).collect();
    let mut done = Vec::new();
    for row in sql::all(on, "SELECT version FROM seaql_migrations", []).await? {
        done.push(row.get::<String>(0)?);
    }
    Ok(match done.len() {
        _ if done.iter().any(|step| !known.contains(step)) => Schema::Newer,
        0 => Schema::Empty,
        steps if steps < known.len() => Schema::Older,
        _ => Schema::Current,
    })
}

/// All steps in their order.
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(Step {
                name: "m20261127_000001_access",
                tables: include_str!("m20261127_000001_access.sql"),
                rules: include_str!("m20261127_000001_access_rules.sql"),
                sqlite: "",
                postgres: include_str!("m20261127_000001_access_postgres.sql"),
            }),
            Box::new(Step {
                name: "m20261127_000002_ledger",
                tables: include_str!("m20261127_000002_ledger.sql"),
                rules: include_str!("m20261127_000002_ledger_rules.sql"),
                sqlite: include_str!("m20261127_000002_ledger_sqlite.sql"),
                postgres: include_str!("m20261127_000002_ledger_postgres.sql"),
            }),
            Box::new(Step {
                name: "m20261127_000003_tracking",
                tables: include_str!("m20261127_000003_tracking.sql"),
                rules: "",
                sqlite: "",
                postgres: "",
            }),
            Box::new(Step {
                name: "m20261127_000004_artifacts",
                tables: include_str!("m20261127_000004_artifacts.sql"),
                rules: include_str!("m20261127_000004_artifacts_rules.sql"),
                sqlite: "",
                postgres: "",
            }),
            Box::new(Step {
                name: "m20261127_000005_registry",
                tables: include_str!("m20261127_000005_registry.sql"),
                rules: include_str!("m20261127_000005_registry_rules.sql"),
                sqlite: "",
                postgres: include_str!("m20261127_000005_registry_postgres.sql"),
            }),
            Box::new(Step {
                name: "m20261127_000006_promotion",
                tables: include_str!("m20261127_000006_promotion.sql"),
                rules: include_str!("m20261127_000006_promotion_rules.sql"),
                sqlite: "",
                postgres: include_str!("m20261127_000006_promotion_postgres.sql"),
            }),
            Box::new(Step {
                name: "m20261127_000007_import",
                tables: include_str!("m20261127_000007_import.sql"),
                rules: include_str!("m20261127_000007_import_rules.sql"),
                sqlite: "",
                postgres: include_str!("m20261127_000007_import_postgres.sql"),
            }),
        ]
    }
}

/// One step: SQL that runs in a transaction of its own.
struct Step {
    name: &'static str,
    tables: &'static str,
    rules: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

impl MigrationName for Step {
    fn name(&self) -> &str {
        self.name
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Step {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let sqlite = manager.get_database_backend() == sea_orm::DbBackend::Sqlite;
        let own = if sqlite { self.sqlite } else { self.postgres };
        if !sqlite {
            manager.get_connection().execute_unprepared(OWN_SCHEMA).await?;
        }
        for text in [for_engine(self.tables, sqlite), with_rules(&for_engine(self.rules, sqlite), sqlite)?, own.to_owned()] {
            if !text.trim().is_empty() {
                manager.get_connection().execute_unprepared(&text.replace(FUNCTION, FUNCTION_OF_OWN_SCHEMA)).await?;
            }
        }
        if sqlite {
            not_replaced::guard(manager.get_connection()).await?;
        }
        Ok(())
    }
}

/// PostgreSQL's functions look names up when they run: whoever may make a temporary view would have them ask that one
/// instead of `gates_in_force`. So each keeps the schema that it was made in, for this transaction the only one.
const OWN_SCHEMA: &str = "SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', TRUE)";
const FUNCTION: &str = " LANGUAGE plpgsql AS ";
const FUNCTION_OF_OWN_SCHEMA: &str = " LANGUAGE plpgsql SET search_path FROM CURRENT AS ";

/// Fills in the few words in which the engines differ, and those that stand elsewhere in the code.
fn for_engine(text: &str, sqlite: bool) -> String {
    let words = if sqlite {
        [
            ("{identity}", "INTEGER PRIMARY KEY AUTOINCREMENT"),
            ("{number_key}", "INTEGER PRIMARY KEY"),
            ("{blob}", "BLOB"),
            ("{whole_row_key}", "WITHOUT ROWID"),
            ("{bytewise}", ""),
            ("{is_text}", "typeof(target) = 'text'"),
            ("{beyond_ascii}", "LENGTH(CAST(name AS BLOB)) <> LENGTH(name)"),
            ("{name_matches}", "m.canonical_name GLOB REPLACE(REPLACE(g.model_pattern, '[', '[[]'), '?', '[?]')"),
        ]
    } else {
        [
            ("{identity}", "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY"),
            ("{number_key}", "BIGINT PRIMARY KEY"),
            ("{blob}", "BYTEA"),
            ("{whole_row_key}", ""),
            ("{bytewise}", "COLLATE \"C\""),
            ("{is_text}", "TRUE"),
            ("{beyond_ascii}", "OCTET_LENGTH(name) <> LENGTH(name)"),
            (
                "{name_matches}",
                r"m.canonical_name LIKE REPLACE(REPLACE(REPLACE(REPLACE(g.model_pattern, '\', '\\'), '%', '\%'), '_', '\_'), '*', '%') ESCAPE '\'",
            ),
        ]
    };
    let quoted = |stages: &[&str]| format!("('{}')", stages.join("', '"));
    let out_of_use: Vec<&str> = STAGES.into_iter().filter(|name| !stage::in_use(name)).collect();
    let blanks: String = [' ', '\t', '\n', '\r', '\u{a0}'].iter().map(|blank| format!(" AND target NOT LIKE '%{blank}%'")).collect();
    let is_target = format!("{{is_text}} AND (target IN {{stages}} OR target LIKE '@_%'{blanks})");
    let text = text.replace("{is_target}", &is_target);
    let text = text.replace("{stages}", &quoted(&STAGES)).replace("{stages_out_of_use}", &quoted(&out_of_use));
    words.into_iter().fold(text, |text, (word, spelled)| text.replace(word, spelled))
}

/// Makes triggers of the rules; what stands before the first rule stays as it is.
fn with_rules(text: &str, sqlite: bool) -> Result<String, DbErr> {
    let mut rules = text.split("\nRULE ");
    let mut made = rules.next().unwrap_or_default().to_owned();
    for rule in rules {
        let broken = || DbErr::Migration(format!("this is no rule: {rule}"));
        // The line break before the next rule went with it.
        let (rule, rest) = rule.split_once(";\n").or_else(|| Some((rule.strip_suffix(';')?, ""))).ok_or_else(broken)?;
        if rest.lines().any(|line| !line.is_empty() && !line.starts_with("--")) {
            return Err(broken());
        }
        let (first, body) = rule.split_once('\n').ok_or_else(broken)?;
        let (name, when) = first.split_once(' ').ok_or_else(broken)?;
        if let Some(deed) = body.strip_prefix("DOES ") {
            made.push_str(&doing(name, when, deed, sqlite));
            continue;
        }
        let (condition, words) = match body.strip_prefix("SAYS '") {
            Some(words) => ("", words),
            None => body.rsplit_once("\nSAYS '").ok_or_else(broken)?,
        };
        let words = words.strip_suffix('\'').ok_or_else(broken)?;
        let condition = match (condition.strip_prefix("REQUIRES "), condition.strip_prefix("REFUSES ")) {
            (Some(lawful), None) => format!("({lawful}) IS NOT TRUE"),
            (None, Some(unlawful)) => format!("({unlawful})"),
            (None, None) if condition.is_empty() => "TRUE".to_owned(),
            _ => return Err(broken()),
        };
        made.push_str(&refusing(name, when, &condition, words, sqlite));
    }
    Ok(made)
}

fn refusing(name: &str, when: &str, condition: &str, words: &str, sqlite: bool) -> String {
    if sqlite {
        return format!("\nCREATE TRIGGER {name} {when}\nWHEN {condition}\nBEGIN SELECT RAISE(ABORT, '{name}: {words}'); END;");
    }
    let row = if when.contains(" DELETE ") { "OLD" } else { "NEW" };
    format!(
        "\nCREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$\nBEGIN\n    IF {condition} THEN\n        \
         RAISE EXCEPTION '{name}: {words}' USING ERRCODE = 'check_violation';\n    END IF;\n    RETURN {row};\nEND $$;\n\
         CREATE TRIGGER {name} {when} FOR EACH ROW EXECUTE FUNCTION {name}();"
    )
}

fn doing(name: &str, when: &str, deed: &str, sqlite: bool) -> String {
    if sqlite {
        return format!("\nCREATE TRIGGER {name} {when}\nBEGIN {deed}; END;");
    }
    format!(
        "\nCREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$\nBEGIN\n    {deed};\n    RETURN NULL;\nEND $$;\n\
         CREATE TRIGGER {name} {when} FOR EACH ROW EXECUTE FUNCTION {name}();"
    )
}
