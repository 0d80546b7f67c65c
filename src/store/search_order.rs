//! Orders compiled to SQL, and the cursors of pages. Every text here is a constant; what callers wrote is bound.

use sea_orm::Value;
use serde::{Deserialize, Serialize};

use super::Engine;
use super::search::{Dataset, Layout, Query, attribute};
use crate::domain::metric_value;
use crate::domain::search::{Attribute, Entity, Key, OrderBy};

/// A value that a page ended at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Cursor {
    /// Times, numbers, ranks, metric values.
    Int(i64),
    /// Names, params, tags.
    Text(String),
}

impl From<Cursor> for Value {
    fn from(cursor: Cursor) -> Self {
        match cursor {
            Cursor::Int(value) => value.into(),
            Cursor::Text(value) => value.into(),
        }
    }
}

/// One expression of an order; never NULL, so that a page can start behind any of its values.
#[derive(Clone)]
struct Sort {
    expression: String,
    descending: bool,
    text: bool,
}

/// An order as SQL.
pub struct Order {
    sorts: Vec<Sort>,
    /// What the expressions read besides the object's own table; each finds one row or none.
    joins: Vec<String>,
    leading: Option<LeadingMetric>,
}

/// The metric that an order begins with: an index holds its values in their order.
pub struct LeadingMetric {
    /// The alias of its table; the first that is joined.
    pub alias: String,
    /// The placeholder of its name.
    pub key: String,
    /// The highest first.
    pub descending: bool,
}

impl Order {
    /// The order of a query: the caller's keys, then `ties`, each a column, whether it is a text, and
    /// whether it descends. Missing values come last whichever way an order goes; NaN before them.
    pub fn new(query: &mut Query, entity: Entity, keys: &[OrderBy], ties: &[(&str, bool, bool)]) -> Self {
        let mut order = Self::empty();
        let layout = Layout::of(entity);
        for key in keys {
            match &key.key {
                Key::Attribute(attribute) => order.attribute(query, entity, *attribute, key.descending),
                Key::Metric(name) => order.metric(query, name, key.descending),
                Key::Param(name) => {
                    order.satellite(query, (layout.params.0, layout.params.1, "param_key"), layout.id, name, key.descending);
                }
                Key::Tag(name) => {
                    order.satellite(query, (layout.tags.0, layout.tags.1, "tag_key"), layout.id, name, key.descending);
                }
                Key::Dataset(_) => {}
            }
        }
        order.ties(query, ties)
    }

    /// The order of logged models: keys, each with whether it descends and a data set for a metric, then `ties`
    /// as in [`new`](Self::new).
    pub fn of_logged_models(query: &mut Query, keys: &[(Key, bool, Option<Dataset>)], ties: &[(&str, bool, bool)]) -> Self {
        let mut order = Self::empty();
        for (key, descending, dataset) in keys {
            match key {
                Key::Attribute(attribute) => order.attribute(query, Entity::LoggedModels, *attribute, *descending),
                Key::Metric(name) => {
                    let value = query.latest_of_model(name, dataset.as_ref());
                    order.stored(query, &value, *descending);
                }
                Key::Param(_) | Key::Tag(_) | Key::Dataset(_) => {}
            }
        }
        order.ties(query, ties)
    }

    fn empty() -> Self {
        Self { sorts: Vec::new(), joins: Vec::new(), leading: None }
    }

    fn ties(mut self, query: &Query, ties: &[(&str, bool, bool)]) -> Self {
        for (column, text, descending) in ties {
            self.push(query, (*column).to_owned(), *text, *descending);
        }
        self
    }

    fn attribute(&mut self, query: &Query, entity: Entity, key: Attribute, descending: bool) {
        let column = attribute(entity, key).to_owned();
        let text = !matches!(
            key,
            Attribute::StartTime
                | Attribute::EndTime
                | Attribute::ExperimentId
                | Attribute::CreationTime
                | Attribute::LastUpdateTime
                | Attribute::CreationTimestamp
                | Attribute::LastUpdatedTimestamp
                | Attribute::VersionNumber
        );
        // The only attributes that may be missing; the others are ordered by as their indexes are.
        if matches!(key, Attribute::EndTime | Attribute::SourceRunId) {
            self.nullable(query, column, text, descending);
        } else {
            self.push(query, column, text, descending);
        }
    }

    fn push(&mut self, query: &Query, expression: String, text: bool, descending: bool) {
        let expression = if text && query.engine() == Engine::Postgres { format!("{expression} COLLATE \"C\"") } else { expression };
        if self.sorts.iter().any(|sort| sort.expression == expression) {
            // What is ordered already is not ordered any further.
            return;
        }
        self.sorts.push(Sort { expression, descending, text });
    }

    fn nullable(&mut self, query: &Query, column: String, text: bool, descending: bool) {
        self.push(query, format!("(CASE WHEN {column} IS NULL THEN 1 ELSE 0 END)"), false, false);
        let missing = if text { "''" } else { "0" };
        self.push(query, format!("COALESCE({column}, {missing})"), text, descending);
    }

    fn metric(&mut self, query: &mut Query, name: &str, descending: bool) {
        let (key, alias) = (query.bind(name), self.alias());
        self.joins.push(format!(
            "LEFT JOIN latest_metrics {alias} ON {alias}.run = r.id AND {alias}.metric = (SELECT k.id FROM metric_keys k WHERE k.name = {key})"
        ));
        if self.sorts.is_empty() {
            self.leading = Some(LeadingMetric { alias: alias.clone(), key, descending });
        }
        self.stored(query, &format!("{alias}.value"), descending);
    }

    /// Orders by an expression of a metric's stored value.
    fn stored(&mut self, query: &Query, value: &str, descending: bool) {
        let nan = metric_value::NAN;
        self.push(query, format!("(CASE WHEN {value} IS NULL THEN 2 WHEN {value} = {nan} THEN 1 ELSE 0 END)"), false, false);
        self.push(query, format!("COALESCE({value}, 0)"), false, descending);
    }

    fn satellite(&mut self, query: &mut Query, table: (&str, &str, &str), id: &str, name: &str, descending: bool) {
        let (key, alias) = (query.bind(name), self.alias());
        let (table, owner, key_column) = table;
        self.joins.push(format!("LEFT JOIN {table} {alias} ON {alias}.{owner} = {id} AND {alias}.{key_column} = {key}"));
        self.nullable(query, format!("{alias}.value"), true, descending);
    }

    fn alias(&self) -> String {
        format!("o{}", self.joins.len())
    }

    /// What to join behind the object's own table.
    pub fn joins(&self) -> String {
        self.joins.join(" ")
    }

    /// The metric that the order begins with.
    pub fn leading(&self) -> Option<&LeadingMetric> {
        self.leading.as_ref()
    }

    /// The same order among rows whose leading metric is a number; as the index has it.
    pub fn walking(&self) -> Option<Self> {
        let leading = self.leading.as_ref()?;
        let mut sorts = self.sorts.clone();
        let first = [("0".to_owned(), false), (format!("{}.value", leading.alias), leading.descending)];
        for (sort, (expression, descending)) in sorts.iter_mut().zip(first) {
            *sort = Sort { expression, descending, text: false };
        }
        Some(Self { sorts, joins: self.joins.get(1..).unwrap_or_default().to_vec(), leading: None })
    }

    /// For an ORDER BY clause.
    pub fn clause(&self) -> String {
        let direction = |sort: &Sort| if sort.descending { " DESC" } else { " ASC" };
        // A number would be read as a column's.
        let sorts = self.sorts.iter().filter(|sort| sort.expression != "0");
        sorts.map(|sort| format!("{}{}", sort.expression, direction(sort))).collect::<Vec<_>>().join(", ")
    }

    /// The expressions, to be selected behind the `skip` columns of the object.
    pub fn columns(&self) -> String {
        self.sorts.iter().map(|sort| sort.expression.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// Reads the values of the expressions from a row.
    pub fn cursor(&self, row: &super::sql::Row, skip: usize) -> Result<Vec<Cursor>, super::StoreError> {
        let read = |(index, sort): (usize, &Sort)| {
            if sort.text {
                Ok(Cursor::Text(row.get(skip + index)?))
            } else if let Ok(number) = row.get::<i64>(skip + index) {
                Ok(Cursor::Int(number))
            } else {
                Ok(Cursor::Int(row.get::<i32>(skip + index)?.into()))
            }
        };
        self.sorts.iter().enumerate().map(read).collect()
    }

    /// Leaves only what comes behind a page that ended at `cursor`; false when the cursor is of another order.
    #[must_use]
    pub fn behind(&self, query: &mut Query, cursor: &[Cursor]) -> bool {
        if cursor.len() != self.sorts.len() {
            return false;
        }
        let mut ways = Vec::new();
        let mut equal = String::new();
        if let Some((sort, value)) = self.sorts.first().zip(cursor.first()) {
            // Follows from what is below, but an index can be entered by it.
            let value = query.bind(value.clone());
            query.and(format!("{} {} {value}", sort.expression, if sort.descending { "<=" } else { ">=" }));
        }
        for (sort, value) in self.sorts.iter().zip(cursor) {
            let value = query.bind(value.clone());
            let beyond = if sort.descending { "<" } else { ">" };
            ways.push(format!("({equal}{} {beyond} {value})", sort.expression));
            equal.push_str(&format!("{} = {value} AND ", sort.expression));
        }
        query.and(format!("({})", ways.join(" OR ")));
        true
    }
}

/// The statement of a search: the columns of the object from its tables, then the order's own.
pub(super) fn statement(columns: &str, from: &str, mut query: Query, order: &Order, limit: u64) -> (String, Vec<Value>) {
    let limit = query.bind(limit.cast_signed());
    let text = format!(
        "SELECT {columns}, {} FROM {from} {} WHERE {} ORDER BY {} LIMIT {limit}",
        order.columns(),
        order.joins(),
        query.condition(),
        order.clause()
    );
    (text, query.values)
}
