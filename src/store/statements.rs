//! What a statement of the store changes, read from its text. The texts are constants or built from constants, so a
//! look at their words is enough.

use std::fmt;

/// How a table is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Insert,
    Update,
    Delete,
    /// A statement that neither reads nor changes rows of a table. None of the store's own writes has one.
    Other,
}

/// A table that a statement changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub verb: Verb,
    /// In lower case; the whole statement's first word for [`Verb::Other`].
    pub table: String,
    /// The columns that an UPDATE sets, in lower case; empty where they are not told.
    pub columns: Vec<String>,
}

impl Change {
    fn of(verb: Verb, table: String) -> Self {
        Self { verb, table, columns: Vec::new() }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        match self.verb {
            Verb::Insert => write!(to, "INSERT INTO {}", self.table),
            Verb::Update if self.columns.is_empty() => write!(to, "UPDATE {}", self.table),
            Verb::Update => write!(to, "UPDATE {} SET {}", self.table, self.columns.join(", ")),
            Verb::Delete => write!(to, "DELETE FROM {}", self.table),
            Verb::Other => write!(to, "{}", self.table),
        }
    }
}

/// The tables that a statement changes; none when it only reads.
pub(super) fn changes(text: &str) -> Vec<Change> {
    let mut words = text.split(|c: char| c.is_whitespace() || matches!(c, '(' | ')' | ',')).filter(|word| !word.is_empty());
    let Some(first) = words.next() else { return Vec::new() };
    match first.to_ascii_uppercase().as_str() {
        "SELECT" | "VALUES" | "PRAGMA" | "EXPLAIN" => Vec::new(),
        "INSERT" | "REPLACE" => vec![Change::of(Verb::Insert, table(&mut words))],
        "UPDATE" => vec![Change { columns: assigned(text), ..Change::of(Verb::Update, table(&mut words)) }],
        "DELETE" => vec![Change::of(Verb::Delete, table(&mut words))],
        "WITH" => within(words),
        _ => vec![Change::of(Verb::Other, first.to_owned())],
    }
}

/// The changes anywhere in a statement that begins with `WITH`.
fn within<'a>(mut words: impl Iterator<Item = &'a str>) -> Vec<Change> {
    let mut found = Vec::new();
    let mut before = "";
    while let Some(word) = words.next() {
        let verb = match word.to_ascii_uppercase().as_str() {
            "INSERT" | "REPLACE" => Some(Verb::Insert),
            // Rows that are locked, and the other way of an INSERT, are no updates of their own.
            "UPDATE" if !before.eq_ignore_ascii_case("FOR") && !before.eq_ignore_ascii_case("DO") => Some(Verb::Update),
            "DELETE" => Some(Verb::Delete),
            _ => None,
        };
        if let Some(verb) = verb {
            found.push(Change::of(verb, table(&mut words)));
        }
        before = word;
    }
    found
}

/// The columns that an UPDATE sets: in the list after SET each stands before its first equals sign, and commas within
/// brackets or quotes part nothing.
fn assigned(text: &str) -> Vec<String> {
    let lower = text.to_ascii_lowercase();
    let Some((_, list)) = lower.split_once(" set ") else { return Vec::new() };
    let (mut columns, mut depth, mut quoted, mut item) = (Vec::new(), 0_usize, false, String::new());
    for c in list.chars().chain([',']) {
        match c {
            '\'' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth = depth.saturating_sub(1),
            ',' if !quoted && depth == 0 => {
                if let Some((column, _)) = item.split_once('=') {
                    columns.push(column.trim().trim_matches('"').to_owned());
                }
                // What follows the last assignment has no comma of its own before it.
                let ended = item.contains(" where ") || item.contains(" from ") || item.contains(" returning ");
                item.clear();
                if ended {
                    break;
                }
                continue;
            }
            _ => {}
        }
        item.push(if depth > 0 || quoted { '_' } else { c });
    }
    columns
}

/// The table that stands after the verb.
fn table<'a>(words: &mut impl Iterator<Item = &'a str>) -> String {
    let mut name = words.next().unwrap_or_default();
    while ["OR", "IGNORE", "REPLACE", "ABORT", "ROLLBACK", "FAIL", "INTO", "FROM", "ONLY"]
        .iter()
        .any(|skipped| name.eq_ignore_ascii_case(skipped))
    {
        name = words.next().unwrap_or_default();
    }
    name.trim_matches('"').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        changes(text).iter().map(Change::to_string).collect::<Vec<_>>().join(" and ")
    }

    #[test]
    fn a_change_is_known_by_verb_and_table() {
        for (text, change) in [
            ("SELECT 1 FROM models WHERE name = $1 FOR UPDATE", ""),
            ("  select pg_advisory_xact_lock($1)", ""),
            ("INSERT INTO Tokens(token_id) VALUES ($1)", "INSERT INTO tokens"),
            ("INSERT OR IGNORE INTO \"params\" (run) VALUES ($1) ON CONFLICT DO UPDATE SET x = 1", "INSERT INTO params"),
            ("REPLACE INTO gates VALUES (1)", "INSERT INTO gates"),
            ("\n UPDATE tokens SET revoked = $1", "UPDATE tokens SET revoked"),
            (
                "UPDATE runs SET name = COALESCE($1, 'a, where b = (') || (SELECT x FROM y WHERE z = 1, 2), \"Status\" = $2 WHERE id = $3, 4",
                "UPDATE runs SET name, status",
            ),
            ("UPDATE runs SET active = $2", "UPDATE runs SET active"),
            ("DELETE FROM grants", "DELETE FROM grants"),
            ("DROP TRIGGER x", "DROP"),
            ("WITH a AS (SELECT 1 FROM x FOR UPDATE) SELECT * FROM a", ""),
            (
                "WITH taken AS (DELETE FROM ledger_pending RETURNING entry) INSERT INTO ledger_positions (position) SELECT 1",
                "DELETE FROM ledger_pending and INSERT INTO ledger_positions",
            ),
            ("", ""),
        ] {
            assert_eq!(told(text), change, "{text}");
        }
    }
}
