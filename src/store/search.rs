//! Filters and orders compiled to SQL. Every text here is a constant; what callers wrote is bound.

use sea_orm::Value;
use serde::{Deserialize, Serialize};

use super::Engine;
use crate::domain::access::Visibility;
use crate::domain::glob;
use crate::domain::metric_value;
use crate::domain::search::{
    Attribute, Comparison, DatasetField, Entity, Filter, Key, Number, NumberOp, OrderBy, Test, TextOp, like::escape_for_sql,
};

/// A condition in the making: texts with placeholders, and the values for them.
pub struct Query {
    engine: Engine,
    conditions: Vec<String>,
    /// Which rows of logged models' metrics count, as a condition on the alias `l`.
    datasets: Option<String>,
    /// Bound in the order of their placeholders.
    pub values: Vec<Value>,
}

/// Where an entity's properties lie.
struct Layout {
    /// The alias's integer or text id, to which satellites refer.
    id: &'static str,
    tags: (&'static str, &'static str),
    /// Of those that have some.
    params: (&'static str, &'static str),
}

impl Layout {
    fn of(entity: Entity) -> Self {
        let params = ("params", "run");
        match entity {
            Entity::Runs => Self { id: "r.id", tags: ("run_tags", "run"), params },
            Entity::Experiments => Self { id: "x.id", tags: ("experiment_tags", "experiment"), params },
            Entity::RegisteredModels => Self { id: "m.uid", tags: ("registered_model_tags", "model_uid"), params },
            Entity::ModelVersions => Self { id: "v.uid", tags: ("model_version_tags", "version_uid"), params },
            Entity::LoggedModels => Self { id: "g.id", tags: ("logged_model_tags", "model"), params: ("logged_model_params", "model") },
        }
    }
}

/// The column or expression of an attribute. Queries name their tables `r`, `x`, `m`, `v` and `g`, the source
/// run of a logged model `s`.
fn attribute(entity: Entity, attribute: Attribute) -> &'static str {
    match (entity, attribute) {
        (Entity::Runs, Attribute::RunId) => "r.run_id",
        (Entity::Runs, Attribute::RunName) => "r.name",
        (Entity::Runs, Attribute::Status) => {
            "(CASE r.status WHEN 1 THEN 'RUNNING' WHEN 2 THEN 'SCHEDULED' WHEN 3 THEN 'FINISHED' WHEN 4 THEN 'FAILED' ELSE 'KILLED' END)"
        }
        (Entity::Runs, Attribute::ArtifactUri) => "('mlflow-artifacts:/' || CAST(r.experiment AS TEXT) || '/' || r.run_id || '/artifacts')",
        (Entity::Runs, Attribute::StartTime) => "r.start_time",
        (Entity::Runs, Attribute::EndTime) => "r.end_time",
        (Entity::Experiments, Attribute::ExperimentId) => "x.id",
        (Entity::Experiments, Attribute::CreationTime) => "x.created",
        (Entity::Experiments, Attribute::LastUpdateTime) => "x.updated",
        (Entity::Experiments, _) => "x.name",
        (Entity::RegisteredModels, Attribute::LastUpdatedTimestamp) => "m.updated",
        (Entity::RegisteredModels, _) => "m.name",
        (Entity::ModelVersions, Attribute::RunId) => "v.run_id",
        (Entity::ModelVersions, Attribute::SourcePath) => "v.source",
        (Entity::ModelVersions, Attribute::VersionNumber) => "v.version",
        (Entity::ModelVersions, Attribute::CreationTimestamp) => "v.created",
        (Entity::ModelVersions, Attribute::LastUpdatedTimestamp) => "v.updated",
        (Entity::ModelVersions, _) => "m.name",
        (Entity::LoggedModels, Attribute::ModelId) => "g.model_id",
        (Entity::LoggedModels, Attribute::ModelType) => "g.model_type",
        (Entity::LoggedModels, Attribute::SourceRunId) => "s.run_id",
        (Entity::LoggedModels, Attribute::ExperimentId) => "g.experiment",
        (Entity::LoggedModels, Attribute::ArtifactLocation) => {
            "('mlflow-artifacts:/' || CAST(g.experiment AS TEXT) || '/models/' || g.model_id || '/artifacts')"
        }
        (Entity::LoggedModels, Attribute::Status) => "(CASE g.status WHEN 1 THEN 'PENDING' WHEN 2 THEN 'READY' ELSE 'FAILED' END)",
        (Entity::LoggedModels, Attribute::CreationTimestamp) => "g.created",
        (Entity::LoggedModels, Attribute::LastUpdatedTimestamp) => "g.updated",
        (Entity::LoggedModels, _) => "g.name",
        (Entity::Runs, _) => "r.user_id",
    }
}

impl Query {
    /// Without a condition.
    pub fn new(engine: Engine) -> Self {
        Self { engine, conditions: Vec::new(), datasets: None, values: Vec::new() }
    }

    /// Binds a value and gives its placeholder.
    pub fn bind(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len())
    }

    /// Adds a condition that must hold too.
    pub fn and(&mut self, condition: impl Into<String>) {
        self.conditions.push(condition.into());
    }

    /// All conditions, for a WHERE clause.
    pub fn condition(&self) -> String {
        if self.conditions.is_empty() { "TRUE".to_owned() } else { self.conditions.join(" AND ") }
    }

    fn list<T: Into<Value>>(&mut self, values: impl IntoIterator<Item = T>) -> String {
        let placeholders: Vec<String> = values.into_iter().map(|value| self.bind(value)).collect();
        format!("({})", placeholders.join(", "))
    }

    /// Leaves only what the caller may see. `uid`, `name` and `owner` are expressions of the query.
    pub fn visible(&mut self, visibility: &Visibility, uid: &str, name: &str, owner: (&str, &str)) {
        if visibility.none {
            return self.and("FALSE");
        }
        let mut ways = Vec::new();
        if visibility.all {
            ways.push("TRUE".to_owned());
        }
        if visibility.own {
            let caller = self.bind(owner.1);
            ways.push(format!("{} = {caller}", owner.0));
        }
        ways.extend(self.any_of(uid, name, &visibility.uids, &visibility.patterns));
        let ways = if ways.is_empty() { "FALSE".to_owned() } else { ways.join(" OR ") };
        self.and(format!("({ways})"));
        for denied in self.any_of(uid, name, &visibility.denied_uids, &visibility.denied_patterns) {
            self.and(format!("NOT {denied}"));
        }
        if let Some(pattern) = &visibility.only_pattern {
            let like = self.like(name, TextOp::Like, &glob::to_like(pattern));
            self.and(like);
        }
    }

    fn any_of(&mut self, uid: &str, name: &str, uids: &[String], patterns: &[String]) -> Vec<String> {
        let mut ways = Vec::new();
        if !uids.is_empty() {
            let list = self.list(uids.iter().map(String::as_str));
            ways.push(format!("{uid} IN {list}"));
        }
        for pattern in patterns {
            ways.push(self.like(name, TextOp::Like, &glob::to_like(pattern)));
        }
        ways
    }

    /// Adds the conditions of a filter.
    pub fn filter(&mut self, entity: Entity, filter: &Filter) {
        for clause in &filter.clauses {
            let condition = self.comparison(entity, clause);
            self.and(condition);
        }
    }

    fn comparison(&mut self, entity: Entity, clause: &Comparison) -> String {
        let layout = Layout::of(entity);
        match &clause.key {
            Key::Attribute(key) => self.test(attribute(entity, *key), &clause.test),
            Key::Tag(key) => self.satellite(layout.tags.0, layout.tags.1, "tag_key", layout.id, key, &clause.test),
            Key::Param(key) => self.satellite(layout.params.0, layout.params.1, "param_key", layout.id, key, &clause.test),
            Key::Metric(key) if entity == Entity::LoggedModels => self.model_metric(key, &clause.test),
            Key::Metric(key) => self.metric(key, &clause.test),
            Key::Dataset(field) => self.dataset(*field, &clause.test),
        }
    }

    fn satellite(&mut self, table: &str, owner: &str, key_column: &str, id: &str, key: &str, test: &Test) -> String {
        let key = self.bind(key);
        let exists = format!("EXISTS (SELECT 1 FROM {table} s WHERE s.{owner} = {id} AND s.{key_column} = {key}");
        match test {
            Test::Null { negated: true } => format!("{exists})"),
            Test::Null { negated: false } => format!("NOT {exists})"),
            test => format!("{exists} AND {})", self.test("s.value", test)),
        }
    }

    fn metric(&mut self, key: &str, test: &Test) -> String {
        let key = self.bind(key);
        let value = self.metric_value("l.value", test);
        format!(
            "EXISTS (SELECT 1 FROM latest_metrics l WHERE l.run = r.id AND l.metric = (SELECT k.id FROM metric_keys k WHERE k.name = {key}) \
             AND {value})"
        )
    }

    fn model_metric(&mut self, key: &str, test: &Test) -> String {
        let latest = self.latest_of_model(key, None);
        self.metric_value(&latest, test)
    }

    /// The latest value of a logged model's metric, on the data sets of the query and on `dataset`.
    fn latest_of_model(&mut self, key: &str, dataset: Option<&Dataset>) -> String {
        let key = self.bind(key);
        let mut on = self.datasets.as_ref().map_or_else(String::new, |datasets| format!(" AND {datasets}"));
        if let Some(dataset) = dataset {
            on.push_str(&format!(" AND {}", self.on_dataset(dataset)));
        }
        let nan = metric_value::NAN;
        format!(
            "(SELECT l.value FROM logged_model_metrics l WHERE l.model = g.id \
             AND l.metric = (SELECT k.id FROM metric_keys k WHERE k.name = {key}){on} \
             ORDER BY l.step DESC, l.time DESC, (CASE WHEN l.value = {nan} THEN 0 ELSE l.value END) DESC LIMIT 1)"
        )
    }

    fn on_dataset(&mut self, dataset: &Dataset) -> String {
        let name = self.bind(dataset.name.as_str());
        if dataset.digest.is_empty() {
            return format!("l.dataset_name = {name}");
        }
        let digest = self.bind(dataset.digest.as_str());
        format!("(l.dataset_name = {name} AND l.dataset_digest = {digest})")
    }

    /// Lets metrics of logged models count on some data sets only; without any, on all. When no condition of
    /// `filter` is about a metric, models must have one on these data sets.
    pub fn on_datasets(&mut self, datasets: &[Dataset], filter: &Filter) {
        if datasets.is_empty() {
            return;
        }
        let ways: Vec<String> = datasets.iter().map(|dataset| self.on_dataset(dataset)).collect();
        let condition = format!("({})", ways.join(" OR "));
        if !filter.clauses.iter().any(|clause| matches!(clause.key, Key::Metric(_))) {
            self.and(format!("EXISTS (SELECT 1 FROM logged_model_metrics l WHERE l.model = g.id AND {condition})"));
        }
        self.datasets = Some(condition);
    }

    /// A comparison of a stored value.
    fn metric_value(&mut self, stored: &str, test: &Test) -> String {
        let Test::Number { op, value: number } = test else { return "FALSE".to_owned() };
        let number = match *number {
            #[expect(clippy::cast_precision_loss, reason = "metrics are doubles; so is the comparison")]
            Number::Int(value) => value as f64,
            Number::Float(value) => value,
        };
        let value = self.bind(metric_value::encode(number));
        // NaN is stored above all numbers and is greater than none of them.
        let number_only = match op {
            NumberOp::Gt | NumberOp::Ge => format!(" AND {stored} <> {}", metric_value::NAN),
            _ => String::new(),
        };
        format!("({stored} {} {value}{number_only})", number_op(*op))
    }

    fn dataset(&mut self, field: DatasetField, test: &Test) -> String {
        let (column, join) = match field {
            DatasetField::Name => ("d.name", ""),
            DatasetField::Digest => ("d.digest", ""),
            DatasetField::Context => {
                ("t.value", " JOIN run_input_tags t ON t.run = i.run AND t.dataset = i.dataset AND t.tag_key = 'mlflow.data.context'")
            }
        };
        let test = self.test(column, test);
        format!("EXISTS (SELECT 1 FROM run_inputs i JOIN datasets d ON d.id = i.dataset{join} WHERE i.run = r.id AND {test})")
    }

    fn test(&mut self, column: &str, test: &Test) -> String {
        match test {
            Test::Number { op, value: Number::Int(value) } => {
                let value = self.bind(*value);
                format!("{column} {} {value}", number_op(*op))
            }
            Test::Number { op, value: Number::Float(value) } => {
                let value = self.bind(*value);
                format!("CAST({column} AS DOUBLE PRECISION) {} {value}", number_op(*op))
            }
            Test::Text { op: TextOp::Eq, value } => {
                let value = self.bind(value.as_str());
                format!("{column} = {value}")
            }
            Test::Text { op: TextOp::Ne, value } => {
                let value = self.bind(value.as_str());
                format!("{column} <> {value}")
            }
            Test::Text { op, value: pattern } => self.like(column, *op, &escape_for_sql(pattern)),
            Test::In { negated, values } => {
                let list = self.list(values.iter().map(String::as_str));
                format!("{column} {}IN {list}", if *negated { "NOT " } else { "" })
            }
            Test::NumberIn { negated, values } => {
                let list = self.list(values.iter().copied());
                format!("{column} {}IN {list}", if *negated { "NOT " } else { "" })
            }
            Test::Null { negated } => format!("{column} IS {}NULL", if *negated { "NOT " } else { "" }),
        }
    }

    fn like(&mut self, column: &str, op: TextOp, pattern: &str) -> String {
        let pattern = self.bind(pattern);
        match (op, self.engine) {
            (TextOp::Ilike, Engine::Postgres) => format!("lower({column} COLLATE \"C\") LIKE lower({pattern} COLLATE \"C\") ESCAPE '\\'"),
            (TextOp::Ilike, Engine::Sqlite) => format!("LOWER({column}) LIKE LOWER({pattern}) ESCAPE '\\'"),
            _ => format!("{column} LIKE {pattern} ESCAPE '\\'"),
        }
    }
}

/// A data set that metrics of logged models count on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset {
    /// Its name.
    pub name: String,
    /// Its digest; empty for any.
    pub digest: String,
}

fn number_op(op: NumberOp) -> &'static str {
    match op {
        NumberOp::Eq => "=",
        NumberOp::Ne => "<>",
        NumberOp::Lt => "<",
        NumberOp::Le => "<=",
        NumberOp::Gt => ">",
        NumberOp::Ge => ">=",
    }
}

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
struct Sort {
    expression: String,
    descending: bool,
    text: bool,
}

/// An order as SQL.
pub struct Order {
    sorts: Vec<Sort>,
}

impl Order {
    /// The order of a query: the caller's keys, then `ties`, each a column, whether it is a text, and
    /// whether it descends. Missing values come last whichever way an order goes; NaN before them.
    pub fn new(query: &mut Query, entity: Entity, keys: &[OrderBy], ties: &[(&str, bool, bool)]) -> Self {
        let mut order = Self { sorts: Vec::new() };
        let layout = Layout::of(entity);
        for key in keys {
            match &key.key {
                Key::Attribute(attribute) => order.attribute(query, entity, *attribute, key.descending),
                Key::Metric(name) => {
                    let name = query.bind(name);
                    let value = format!(
                        "(SELECT l.value FROM latest_metrics l WHERE l.run = r.id \
                         AND l.metric = (SELECT k.id FROM metric_keys k WHERE k.name = {name}))"
                    );
                    order.metric(query, &value, key.descending);
                }
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
        let mut order = Self { sorts: Vec::new() };
        for (key, descending, dataset) in keys {
            match key {
                Key::Attribute(attribute) => order.attribute(query, Entity::LoggedModels, *attribute, *descending),
                Key::Metric(name) => {
                    let value = query.latest_of_model(name, dataset.as_ref());
                    order.metric(query, &value, *descending);
                }
                Key::Param(_) | Key::Tag(_) | Key::Dataset(_) => {}
            }
        }
        order.ties(query, ties)
    }

    fn ties(mut self, query: &Query, ties: &[(&str, bool, bool)]) -> Self {
        for (column, text, descending) in ties {
            self.push(query, (*column).to_owned(), *text, *descending);
        }
        self
    }

    fn attribute(&mut self, query: &Query, entity: Entity, key: Attribute, descending: bool) {
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
        self.nullable(query, attribute(entity, key).to_owned(), text, descending);
    }

    fn push(&mut self, query: &Query, expression: String, text: bool, descending: bool) {
        let expression = if text && query.engine == Engine::Postgres { format!("{expression} COLLATE \"C\"") } else { expression };
        self.sorts.push(Sort { expression, descending, text });
    }

    fn nullable(&mut self, query: &Query, column: String, text: bool, descending: bool) {
        self.push(query, format!("(CASE WHEN {column} IS NULL THEN 1 ELSE 0 END)"), false, false);
        let missing = if text { "''" } else { "0" };
        self.push(query, format!("COALESCE({column}, {missing})"), text, descending);
    }

    /// Orders by an expression of a stored value.
    fn metric(&mut self, query: &Query, value: &str, descending: bool) {
        let nan = metric_value::NAN;
        self.push(query, format!("(CASE WHEN {value} IS NULL THEN 2 WHEN {value} = {nan} THEN 1 ELSE 0 END)"), false, false);
        self.push(query, format!("COALESCE({value}, 0)"), false, descending);
    }

    fn satellite(&mut self, query: &mut Query, table: (&str, &str, &str), id: &str, name: &str, descending: bool) {
        let key = query.bind(name);
        let value = format!("(SELECT s.value FROM {} s WHERE s.{} = {id} AND s.{} = {key})", table.0, table.1, table.2);
        self.nullable(query, value, true, descending);
    }

    /// For an ORDER BY clause.
    pub fn clause(&self) -> String {
        let direction = |sort: &Sort| if sort.descending { " DESC" } else { " ASC" };
        self.sorts.iter().map(|sort| format!("{}{}", sort.expression, direction(sort))).collect::<Vec<_>>().join(", ")
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
