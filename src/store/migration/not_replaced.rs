//! SQLite's REPLACE deletes the rows in its way without asking the triggers of DELETE, unless a connection asks for that
//! with `recursive_triggers`; ours do, other programs do not. So each table that has triggers refuses a row in the way
//! before that, for each key that SQLite knows of it. The store tells such a refusal as a duplicate.

use sea_orm::{ConnectionTrait, DbErr, QueryResult, Statement};

/// A primary key or unique index.
struct Key {
    columns: Vec<String>,
    /// What the index says after WHERE.
    condition: Option<String>,
}

/// Makes the triggers for all tables that have others and not yet these.
pub(super) async fn guard<C: ConnectionTrait + ?Sized>(on: &C) -> Result<(), DbErr> {
    let tables = "SELECT DISTINCT t.tbl_name FROM sqlite_schema t WHERE t.type = 'trigger' AND NOT EXISTS (
        SELECT 1 FROM sqlite_schema g WHERE g.type = 'trigger' AND g.name = t.tbl_name || '_not_replaced')";
    for table in texts(on, tables).await? {
        let columns = texts(on, &format!("SELECT name FROM pragma_table_info('{table}')")).await?;
        let primary = texts(on, &format!("SELECT name FROM pragma_table_info('{table}') WHERE pk > 0 ORDER BY pk")).await?;
        let keys = keys(on, &table, &primary).await?;
        on.execute_unprepared(&triggers(&table, &columns, &primary, &keys)).await?;
    }
    Ok(())
}

async fn texts<C: ConnectionTrait + ?Sized>(on: &C, query: &str) -> Result<Vec<String>, DbErr> {
    rows(on, query).await?.iter().map(|row| row.try_get_by_index(0)).collect()
}

async fn rows<C: ConnectionTrait + ?Sized>(on: &C, query: &str) -> Result<Vec<QueryResult>, DbErr> {
    on.query_all_raw(Statement::from_string(on.get_database_backend(), query)).await
}

/// The keys of a table. One without a key of its own, or whose rows have a number beside it, cannot be guarded.
async fn keys<C: ConnectionTrait + ?Sized>(on: &C, table: &str, primary: &[String]) -> Result<Vec<Key>, DbErr> {
    let numbered = rows(on, &format!("SELECT 1 FROM pragma_table_list('{table}') WHERE schema = 'main' AND wr = 0")).await?;
    let mut keys = Vec::new();
    let mut has_primary = false;
    for index in rows(on, &format!("SELECT name, origin, partial FROM pragma_index_list('{table}') WHERE \"unique\" = 1")).await? {
        let name: String = index.try_get_by_index(0)?;
        has_primary |= index.try_get_by_index::<String>(1)? == "pk";
        let mut condition = None;
        if index.try_get_by_index::<bool>(2)? {
            let made = texts(on, &format!("SELECT sql FROM sqlite_schema WHERE type = 'index' AND name = '{name}'")).await?.concat();
            condition = made.split_once(" WHERE ").map(|(_, condition)| condition.to_owned());
        }
        keys.push(Key { columns: texts(on, &format!("SELECT name FROM pragma_index_info('{name}')")).await?, condition });
    }
    match (numbered.is_empty(), has_primary, primary) {
        (true, true, _) => {}
        // The number of the row is the key.
        (false, false, [number]) => keys.push(Key { columns: vec![number.clone()], condition: None }),
        _ => return Err(DbErr::Migration(format!("{table} has triggers and so must be WITHOUT ROWID, or have an INTEGER PRIMARY KEY"))),
    }
    Ok(keys)
}

fn triggers(table: &str, columns: &[String], primary: &[String], keys: &[Key]) -> String {
    let joined = |words: Vec<String>, between: &str| words.join(between);
    let new_row = joined(columns.iter().map(|column| format!("NEW.{column} AS {column}")).collect(), ", ");
    let itself = joined(primary.iter().map(|column| format!("there.{column} IS OLD.{column}")).collect(), " AND ");
    let in_the_way = |but: &str| {
        let ways = keys.iter().map(|Key { columns, condition }| {
            let same = joined(columns.iter().map(|column| format!("there.{column} = NEW.{column}")).collect(), " AND ");
            match condition {
                None => format!("EXISTS (SELECT 1 FROM {table} there WHERE {same}{but})"),
                Some(condition) => format!(
                    "EXISTS (SELECT 1 FROM {table} there WHERE {same}{but} AND ({condition})) AND EXISTS (SELECT 1 FROM (SELECT {new_row}) WHERE {condition})"
                ),
            }
        });
        joined(ways.collect(), "\n    OR ")
    };
    let trigger = |name: &str, when: &str, but: &str| {
        format!(
            "CREATE TRIGGER {table}{name} BEFORE {when} ON {table}\nWHEN {}\nBEGIN SELECT RAISE(ABORT, '{table}{name}: a row is not replaced'); END;\n",
            in_the_way(but)
        )
    };
    trigger("_not_replaced", "INSERT", "") + &trigger("_update_not_replaced", "UPDATE", &format!(" AND NOT ({itself})"))
}
