//! The schema, as dated steps that are never edited once released. Tables are one text for both
//! engines; triggers are written for each, because the engines' languages differ.

use std::borrow::Cow;

use sea_orm::{ConnectionTrait, DbErr};
use sea_orm_migration::prelude::{MigrationName, MigrationTrait, MigratorTrait, SchemaManager, async_trait};

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
                sqlite_triggers: include_str!("m20261127_000001_access_sqlite.sql"),
                postgres_triggers: include_str!("m20261127_000001_access_postgres.sql"),
            }),
            Box::new(Step {
                name: "m20261127_000002_ledger",
                tables: include_str!("m20261127_000002_ledger.sql"),
                sqlite_triggers: include_str!("m20261127_000002_ledger_sqlite.sql"),
                postgres_triggers: include_str!("m20261127_000002_ledger_postgres.sql"),
            }),
            Box::new(Step {
                name: "m20261127_000003_tracking",
                tables: include_str!("m20261127_000003_tracking.sql"),
                sqlite_triggers: "",
                postgres_triggers: "",
            }),
            Box::new(Step {
                name: "m20261127_000004_artifacts",
                tables: include_str!("m20261127_000004_artifacts.sql"),
                sqlite_triggers: "",
                postgres_triggers: "",
            }),
            Box::new(Step {
                name: "m20261127_000005_registry",
                tables: include_str!("m20261127_000005_registry.sql"),
                sqlite_triggers: include_str!("m20261127_000005_registry_sqlite.sql"),
                postgres_triggers: include_str!("m20261127_000005_registry_postgres.sql"),
            }),
            Box::new(Step {
                name: "m20261127_000006_promotion",
                tables: include_str!("m20261127_000006_promotion.sql"),
                sqlite_triggers: include_str!("m20261127_000006_promotion_sqlite.sql"),
                postgres_triggers: include_str!("m20261127_000006_promotion_postgres.sql"),
            }),
            Box::new(Step {
                name: "m20261127_000007_import",
                tables: include_str!("m20261127_000007_import.sql"),
                sqlite_triggers: include_str!("m20261127_000007_import_sqlite.sql"),
                postgres_triggers: include_str!("m20261127_000007_import_postgres.sql"),
            }),
        ]
    }
}

/// One step: SQL that runs in a transaction of its own.
struct Step {
    name: &'static str,
    tables: &'static str,
    sqlite_triggers: &'static str,
    postgres_triggers: &'static str,
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
        let triggers = if sqlite { self.sqlite_triggers } else { self.postgres_triggers };
        for text in [for_engine(self.tables, sqlite), Cow::Borrowed(triggers)] {
            if !text.trim().is_empty() {
                manager.get_connection().execute_unprepared(&text).await?;
            }
        }
        Ok(())
    }
}

/// Fills in the few words in which the engines' tables differ.
fn for_engine(tables: &str, sqlite: bool) -> Cow<'_, str> {
    let words = if sqlite {
        [("{identity}", "INTEGER PRIMARY KEY AUTOINCREMENT"), ("{blob}", "BLOB"), ("{whole_row_key}", "WITHOUT ROWID"), ("{bytewise}", "")]
    } else {
        [
            ("{identity}", "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY"),
            ("{blob}", "BYTEA"),
            ("{whole_row_key}", ""),
            ("{bytewise}", "COLLATE \"C\""),
        ]
    };
    words.into_iter().fold(Cow::Borrowed(tables), |text, (word, spelled)| Cow::Owned(text.replace(word, spelled)))
}
