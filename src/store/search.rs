//! Filters compiled to SQL. Every text here is a constant; what callers wrote is bound.

use sea_orm::Value;

pub(super) use super::search_order::statement;
pub use super::search_order::{Cursor, Order};
use super::{Engine, WORKSPACE};
use crate::domain::access::Visibility;
use crate::domain::glob;
use crate::domain::metric_value;
use crate::domain::search::{Attribute, Comparison, DatasetField, Entity, Filter, Key, Number, NumberOp, Test, TextOp, like};
use crate::domain::text::canonical_name;

/// So many ids are bound as values of their own.
const IDS_AS_VALUES: usize = 1_000;

/// A condition in the making: texts with placeholders, and the values for them.
#[derive(Clone)]
pub struct Query {
    engine: Engine,
    conditions: Vec<String>,
    /// Which rows of logged models' metrics count, as a condition on the alias `l`.
    datasets: Option<String>,
    /// Which runs' points about logged models count, as a condition on the alias `l`.
    readable: Option<String>,
    /// Bound in the order of their placeholders.
    pub values: Vec<Value>,
}

/// Where an entity's properties lie.
pub(super) struct Layout {
    /// The alias's integer or text id, to which satellites refer.
    pub(super) id: &'static str,
    pub(super) tags: (&'static str, &'static str),
    /// Of those that have some.
    pub(super) params: (&'static str, &'static str),
}

impl Layout {
    pub(super) fn of(entity: Entity) -> Self {
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
pub(super) fn attribute(entity: Entity, attribute: Attribute) -> &'static str {
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
    /// The engine that it is made for.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// Without a condition.
    pub fn new(engine: Engine) -> Self {
        Self { engine, conditions: Vec::new(), datasets: None, readable: None, values: Vec::new() }
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

    /// Whether an integer column is one of some ids. Many of them are bound as one text: a database takes some 32,000 values
    /// in a statement.
    pub fn one_of(&mut self, column: &str, ids: &[i64]) -> String {
        if ids.len() <= IDS_AS_VALUES {
            let list = self.list(ids.iter().copied());
            return format!("{column} IN {list}");
        }
        let text = ids.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
        let text = self.bind(text);
        match self.engine {
            Engine::Sqlite => format!("{column} IN (SELECT value FROM json_each('[' || {text} || ']'))"),
            Engine::Postgres => format!("{column} = ANY (CAST(string_to_array({text}, ',') AS BIGINT[]))"),
        }
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
            let like = self.glob(name, pattern);
            self.and(like);
        }
        if let Some(within) = &visibility.within {
            self.visible(within, uid, name, owner);
        }
    }

    fn any_of(&mut self, uid: &str, name: &str, uids: &[String], patterns: &[String]) -> Vec<String> {
        let mut ways = Vec::new();
        if !uids.is_empty() {
            let list = self.list(uids.iter().map(String::as_str));
            ways.push(format!("{uid} IN {list}"));
        }
        for pattern in patterns {
            ways.push(self.glob(name, pattern));
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
            Key::Attribute(Attribute::Name) => self.name(entity, &clause.test),
            Key::Attribute(key) => self.test(attribute(entity, *key), &clause.test),
            Key::Tag(key) => self.satellite(layout.tags.0, layout.tags.1, "tag_key", layout.id, key, &clause.test),
            Key::Param(key) => self.satellite(layout.params.0, layout.params.1, "param_key", layout.id, key, &clause.test),
            Key::Metric(key) if entity == Entity::LoggedModels => self.model_metric(key, &clause.test),
            Key::Metric(key) => self.metric(key, &clause.test),
            Key::Dataset(field) => self.dataset(*field, &clause.test),
        }
    }

    /// Names are compared in their compared form, as everywhere, and it has the index.
    fn name(&mut self, entity: Entity, test: &Test) -> String {
        let table = match entity {
            Entity::Experiments => "x",
            Entity::RegisteredModels | Entity::ModelVersions => "m",
            // Their names need not be unique, and have no compared form.
            Entity::Runs | Entity::LoggedModels => return self.test(attribute(entity, Attribute::Name), test),
        };
        let canonical = match test {
            Test::Text { op: op @ (TextOp::Eq | TextOp::Ne), value } => Test::Text { op: *op, value: canonical_name(value) },
            Test::Text { op, value } => Test::Text { op: *op, value: like::canonical(value) },
            Test::In { negated, values } => {
                Test::In { negated: *negated, values: values.iter().map(|name| canonical_name(name)).collect() }
            }
            other => other.clone(),
        };
        let condition = self.test(&format!("{table}.canonical_name"), &canonical);
        format!("{table}.workspace_id = '{WORKSPACE}' AND {condition}")
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
        let Some(test) = self.metric_test(key, test) else { return "FALSE".to_owned() };
        format!("EXISTS (SELECT 1 FROM latest_metrics l WHERE l.run = r.id AND {test})")
    }

    /// The condition of a latest metric `l` that passes a test; none of a test that is not about numbers.
    pub(super) fn metric_test(&mut self, key: &str, test: &Test) -> Option<String> {
        let key = self.bind(key);
        let value = self.metric_value("l.value", test)?;
        Some(format!("l.metric = (SELECT k.id FROM metric_keys k WHERE k.name = {key}) AND {value}"))
    }

    /// As in MLflow, any point of the metric may pass the test.
    fn model_metric(&mut self, key: &str, test: &Test) -> String {
        let points = self.points_of_model(key, None);
        let Some(value) = self.metric_value("l.value", test) else { return "FALSE".to_owned() };
        format!("EXISTS (SELECT 1 {points} AND {value})")
    }

    /// The latest value of a logged model's metric by timestamp and step, as in MLflow, on the data sets of the query and on
    /// `dataset`.
    pub(super) fn latest_of_model(&mut self, key: &str, dataset: Option<&Dataset>) -> String {
        let points = self.points_of_model(key, dataset);
        let nan = metric_value::NAN;
        format!(
            "(SELECT l.value {points} \
             ORDER BY l.time DESC, l.step DESC, l.run, (CASE WHEN l.value = {nan} THEN 0 ELSE l.value END) DESC LIMIT 1)"
        )
    }

    fn points_of_model(&mut self, key: &str, dataset: Option<&Dataset>) -> String {
        let key = self.bind(key);
        let mut on: String = [&self.datasets, &self.readable].into_iter().flatten().map(|condition| format!(" AND {condition}")).collect();
        if let Some(dataset) = dataset {
            on.push_str(&format!(" AND {}", self.on_dataset(dataset)));
        }
        format!("FROM logged_model_metrics l WHERE l.model = g.id AND l.metric = (SELECT k.id FROM metric_keys k WHERE k.name = {key}){on}")
    }

    /// Lets only those points about logged models count whose runs the caller may read.
    pub fn readable_points(&mut self, visibility: &Visibility, caller: &str) {
        let before = std::mem::take(&mut self.conditions);
        self.visible_runs(visibility, caller);
        let readable = std::mem::replace(&mut self.conditions, before).join(" AND ");
        self.readable = Some(format!("EXISTS (SELECT 1 FROM runs r WHERE r.id = l.run AND {readable})"));
    }

    /// Leaves only the runs `r` that the caller may read: as the check sees them, by their experiment and their creator.
    pub fn visible_runs(&mut self, visibility: &Visibility, caller: &str) {
        let name = "(SELECT x.name FROM experiments x WHERE x.id = r.experiment)";
        self.visible(visibility, "CAST(r.experiment AS TEXT)", name, ("r.created_by", caller));
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
            let readable = self.readable.as_ref().map_or_else(String::new, |readable| format!(" AND {readable}"));
            self.and(format!("EXISTS (SELECT 1 FROM logged_model_metrics l WHERE l.model = g.id AND {condition}{readable})"));
        }
        self.datasets = Some(condition);
    }

    /// A comparison of a stored value; none for a test that is not about numbers.
    fn metric_value(&mut self, stored: &str, test: &Test) -> Option<String> {
        let Test::Number { op, value: number } = test else { return None };
        let number = match *number {
            #[expect(clippy::cast_precision_loss, reason = "metrics are doubles; so is the comparison")]
            Number::Int(value) => value as f64,
            Number::Float(value) => value,
        };
        let value = self.bind(metric_value::encode(number));
        // NaN is stored above all numbers and is greater than none of them.
        let number_only = match op {
            NumberOp::Gt | NumberOp::Ge => format!(" AND {stored} < {}", metric_value::NAN),
            _ => String::new(),
        };
        Some(format!("{stored} {} {value}{number_only}", number_op(*op)))
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
            Test::Text { op, value: pattern } => self.like(column, *op, pattern),
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
        match (op, self.engine) {
            (TextOp::Ilike, Engine::Postgres) => {
                let regex = self.bind(like::as_regex(pattern));
                format!("{column} COLLATE \"C\" ~ {regex}")
            }
            (TextOp::Ilike, Engine::Sqlite) => {
                let glob = self.bind(like::as_glob(pattern));
                format!("{column} GLOB {glob}")
            }
            _ => {
                let pattern = self.bind(like::escape_for_sql(pattern));
                format!("{column} LIKE {pattern} ESCAPE '\\'")
            }
        }
    }

    /// A pattern of grants.
    fn glob(&mut self, column: &str, pattern: &str) -> String {
        let pattern = self.bind(glob::to_like(pattern));
        format!("{column} LIKE {pattern} ESCAPE '\\'")
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
