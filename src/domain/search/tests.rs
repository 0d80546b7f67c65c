//! What is understood and how, and what is refused with which words.

use super::*;

fn filter(entity: Entity, text: &str) -> Vec<Comparison> {
    parse_filter(entity, text).unwrap_or_else(|error| panic!("{text:?}: {error}")).clauses
}

fn one(entity: Entity, text: &str) -> (Key, Test) {
    let mut clauses = filter(entity, text);
    assert_eq!(clauses.len(), 1, "{text}");
    let Comparison { key, test } = clauses.remove(0);
    (key, test)
}

fn refusal(entity: Entity, text: &str) -> SearchError {
    match parse_filter(entity, text) {
        Err(error) => error,
        Ok(filter) => panic!("{text:?} is understood as {filter:?}"),
    }
}

fn order(entity: Entity, items: &[&str]) -> Result<Vec<OrderBy>, SearchError> {
    parse_order_by(entity, &items.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>())
}

fn text(op: TextOp, value: &str) -> Test {
    Test::Text { op, value: value.to_owned() }
}

fn float(op: NumberOp, value: f64) -> Test {
    Test::Number { op, value: Number::Float(value) }
}

fn int(op: NumberOp, value: i64) -> Test {
    Test::Number { op, value: Number::Int(value) }
}

#[test]
fn names_are_found_under_every_spelling() {
    let metric = |key: &str| Key::Metric(key.to_owned());
    for (written, key) in [
        ("metrics.rmse", metric("rmse")),
        ("metric.a.b", metric("a.b")),
        ("metrics.`val/loss x`", metric("val/loss x")),
        ("metrics.\"a-b\"", metric("a-b")),
        ("metrics.'a-b'", metric("a-b")),
        ("`metrics`.`a`", metric("a")),
        ("metrics.order", metric("order")),
        ("metrics.from", metric("from")),
        ("metrics.5", metric("5")),
        ("metrics.température", metric("température")),
        ("start_time", Key::Attribute(Attribute::StartTime)),
        ("created", Key::Attribute(Attribute::StartTime)),
        ("attr.Created", Key::Attribute(Attribute::StartTime)),
        ("run.end_time", Key::Attribute(Attribute::EndTime)),
    ] {
        assert_eq!(one(Entity::Runs, &format!("{written}=1")).0, key, "{written}");
    }
    for (entity, written, key) in [
        (Entity::Runs, "parameter.a", Key::Param("a".into())),
        (Entity::Runs, "params.`a`", Key::Param("a".into())),
        (Entity::Runs, "`run name`", Key::Attribute(Attribute::RunName)),
        (Entity::Runs, "attributes.\"Run Name\"", Key::Attribute(Attribute::RunName)),
        (Entity::Runs, "\"status\"", Key::Attribute(Attribute::Status)),
        (Entity::Runs, "dataset.digest", Key::Dataset(DatasetField::Digest)),
        (Entity::Experiments, "attribute.name", Key::Attribute(Attribute::Name)),
        (Entity::LoggedModels, "attributes.model_type", Key::Attribute(Attribute::ModelType)),
        (Entity::LoggedModels, "`name`", Key::Attribute(Attribute::Name)),
        (Entity::LoggedModels, "tags.`a b`", Key::Tag("a b".into())),
        (Entity::LoggedModels, "params.a", Key::Param("a".into())),
        (Entity::RegisteredModels, "tag.a", Key::Tag("a".into())),
        (Entity::ModelVersions, "source_path", Key::Attribute(Attribute::SourcePath)),
    ] {
        assert_eq!(one(entity, &format!("{written} = 'x'")), (key, text(TextOp::Eq, "x")), "{written}");
    }
}

#[test]
fn values_are_typed_by_their_key() {
    for (written, test) in [
        ("metrics.a > 1", float(NumberOp::Gt, 1.0)),
        ("metrics.a>=-.5", float(NumberOp::Ge, -0.5)),
        ("metrics.a != 1e-1", float(NumberOp::Ne, 0.1)),
        ("metrics.a < 2.", float(NumberOp::Lt, 2.0)),
        ("metrics.a <= 1e999", float(NumberOp::Le, f64::INFINITY)),
        ("start_time = 9223372036854775807", int(NumberOp::Eq, i64::MAX)),
        ("start_time > 1.5e12", float(NumberOp::Gt, 1.5e12)),
        ("start_time > 15e11", float(NumberOp::Gt, 1.5e12)),
        ("params.a LIKE '%a_'", text(TextOp::Like, "%a_")),
        ("tags.a iLike \"it's\"", text(TextOp::Ilike, "it's")),
        (r"tags.a = 'C:\'", text(TextOp::Eq, r"C:\")),
        ("tags.a = ''", text(TextOp::Eq, "")),
        ("tags.a = 'x AND y = 1'", text(TextOp::Eq, "x AND y = 1")),
        ("tags.a is null", Test::Null { negated: false }),
        ("params.a IS NOT NULL", Test::Null { negated: true }),
        ("run_id IN('a', \"b\",)", Test::In { negated: false, values: vec!["a".into(), "b".into()] }),
        ("dataset.name not in ('a')", Test::In { negated: true, values: vec!["a".into()] }),
    ] {
        assert_eq!(one(Entity::Runs, written).1, test, "{written}");
    }
    for written in ["creation_time > 5", "creation_timestamp > 5", "attributes.creation_timestamp_ms > 5"] {
        assert_eq!(one(Entity::LoggedModels, written), (Key::Attribute(Attribute::CreationTimestamp), int(NumberOp::Gt, 5)));
    }
    let ready = Test::In { negated: true, values: vec!["READY".into()] };
    assert_eq!(one(Entity::LoggedModels, "status NOT IN ('READY')"), (Key::Attribute(Attribute::Status), ready));
    assert_eq!(one(Entity::LoggedModels, "metrics.a <= 1").1, float(NumberOp::Le, 1.0));
    assert_eq!(one(Entity::ModelVersions, "version_number >= '3'").1, int(NumberOp::Ge, 3));
    assert_eq!(one(Entity::ModelVersions, "version_number < 3").1, int(NumberOp::Lt, 3));
    assert_eq!(one(Entity::Experiments, "experiment_id != '007'").1, int(NumberOp::Ne, 7));
    assert_eq!(one(Entity::Experiments, "experiment_id NOT IN ('1', '2')").1, Test::NumberIn { negated: true, values: vec![1, 2] });
}

#[test]
fn and_separates_and_may_be_missing_or_stand_at_an_end_as_in_mlflow() {
    for text in ["", "  \n", "AND"] {
        assert_eq!(filter(Entity::Runs, text), [], "{text:?}");
    }
    for text in [
        "tags.a = 'x' AND tags.b = 'y'",
        "tags.a = 'x'\nand\ttags.b = 'y'",
        "tags.a = 'x' tags.b = 'y'",
        "tags.a='x'AND tags.b='y' AND",
        "AND tags.a = 'x' AND AND tags.b = 'y' AND",
        "tags.a = 'x' tags.b IS NULL",
    ] {
        assert_eq!(filter(Entity::Runs, text).len(), 2, "{text:?}");
    }
}

#[test]
fn refusals_name_what_was_found_and_what_would_be_right() {
    use Entity::*;
    for (entity, text, position, says) in [
        (Runs, "and AND", 4, "ends with a second AND in a row, where a comparison was expected"),
        (Runs, "tags.a = 'x' AND AND", 17, "ends with a second AND"),
        (Runs, "metrics.a > '0.9'", 12, r#"expected a number without quotes, found "'0.9'""#),
        (Runs, "tags.é = 5", 9, r#"expected a value in single or double quotes, found "5""#),
        (Runs, "tags.a = `x`", 9, "expected a value in single or double quotes"),
        (Runs, "metrics.a == 1", 10, r#"found "=="; the operators of this name are =, !=, <, <=, > and >="#),
        (Runs, "metrics.a <> 1", 10, r#"found "<>""#),
        (Runs, "metrics.a BETWEEN 1 AND 2", 10, r#"found "BETWEEN""#),
        (Runs, "tags.a > 'x'", 7, "=, !=, LIKE, ILIKE, IS NULL and IS NOT NULL"),
        (Runs, "tags.a NOT LIKE 'x'", 7, r#"found "NOT LIKE""#),
        (Runs, "tags.a IN ('x')", 7, r#"found "IN""#),
        (Runs, "status IN ('x')", 7, "=, !=, LIKE and ILIKE"),
        (Runs, "tags.a = 'x' OR tags.b = 'y'", 13, r#"found "OR"; comparisons are only joined by AND"#),
        (Runs, "NOT tags.a = 'x'", 0, "NOT are not supported"),
        (Runs, "(tags.a = 'x')", 0, "parentheses only enclose the list of IN"),
        (Runs, "1 = metrics.a", 0, "its name on the left"),
        (Runs, "'x' = tags.a", 0, "its name on the left"),
        (Runs, "tags.a = 'x';", 12, "joined by AND"),
        (Runs, "tags.a = 'it''s'", 9, "a quote cannot be escaped"),
        (Runs, r"tags.a = 'it\'s'", 15, "is not closed; quotes cannot be escaped"),
        (Runs, "metrics.val/loss > 1", 11, "tags.`a-key`"),
        (Runs, "metrics. a > 1", 0, r#"found "metrics.", which is neither"#),
        (Runs, "metrics.`a`.b > 1", 0, "neither a name nor a number"),
        (Runs, "metrics.`` > 1", 0, "neither a name nor a number"),
        (Runs, "metrics.a > 1_000", 12, "neither a name nor a number"),
        (Runs, "metrics.a > nan", 12, "expected a number"),
        (Runs, "metrics.a", 9, "ends where an operator such as ="),
        (Runs, "metrics.a >", 11, "ends where a number"),
        (Runs, "start_time > 9223372036854775808", 13, "expected an integer between"),
        (Runs, "experiment_id = '1'", 0, "run_id, run_name, status, user_id, artifact_uri, start_time, end_time"),
        (Runs, "model.a = 'x'", 0, "metrics, params, tags, attributes and datasets"),
        (Runs, "Metrics.a = 1", 0, r#"no type of name "Metrics""#),
        (Runs, "dataset.source = 'x'", 0, "name, digest and context"),
        (Runs, "run_id IN ()", 11, r#"quotes, found ")""#),
        (Runs, "run_id IN 'a'", 10, r#"expected a list such as ('a', 'b'), found "'a'""#),
        (Runs, "run_id IN (1)", 11, r#"quotes, found "1""#),
        (Runs, "run_id IN ('a' 'b')", 15, "expected `,` or `)`"),
        (Runs, "run_id IN ('a'", 14, "ends where `,` or `)`"),
        (Runs, "run_id = ('a')", 9, "expected a value in single or double quotes"),
        (Runs, "metrics.a IS NULL", 10, r#"found "IS NULL""#),
        (Runs, "tags.a IS TRUE", 7, "IS NULL and IS NOT NULL"),
        (Experiments, "attributes.name = 'x'", 0, "tags and attribute"),
        (Experiments, "creation_time > 1.5", 16, "expected an integer"),
        (Experiments, "creation_time > '1'", 16, "expected a number without quotes"),
        (Experiments, "experiment_id LIKE '1'", 14, "=, !=, IN and NOT IN"),
        (Experiments, "experiment_id = 'x'", 16, "expected an integer"),
        (Experiments, "name IN ('x')", 5, "=, !=, LIKE and ILIKE"),
        (RegisteredModels, "tags.a IS NULL", 7, "=, !=, LIKE and ILIKE"),
        (RegisteredModels, "last_updated_timestamp > 1", 0, "there are name"),
        (LoggedModels, "metric.a > 1", 0, "metrics, params, tags and attributes"),
        (LoggedModels, "attribute.name = 'x'", 0, "metrics, params, tags and attributes"),
        (LoggedModels, "stage = 'x'", 0, "name, model_id, model_type, source_run_id, experiment_id, artifact_location, status"),
        (LoggedModels, "params.a IS NULL", 9, "=, !=, LIKE, ILIKE, IN and NOT IN"),
        (LoggedModels, "datasets.name = 'x'", 0, r#"no type of name "datasets""#),
        (LoggedModels, "creation_time = '1'", 16, "expected a number without quotes"),
        (ModelVersions, "current_stage = 'Production'", 0, "name, version_number, run_id, source_path"),
        (ModelVersions, "version_number LIKE '1'", 15, "<, <=, > and >="),
        (ModelVersions, "version_number > '1.0'", 17, "expected an integer"),
    ] {
        let error = refusal(entity, text);
        assert!(error.message.contains(says), "{text:?}: {error}");
        assert_eq!((error.field.as_str(), error.position), ("filter", Some(position)), "{text:?}: {error}");
    }
}

#[test]
fn limits_hold_and_are_named() {
    let clauses = |count| vec!["tags.a = 'x'"; count].join(" AND ");
    assert_eq!(filter(Entity::Runs, &clauses(MAX_CLAUSES)).len(), 64);
    assert!(refusal(Entity::Runs, &clauses(MAX_CLAUSES + 1)).message.contains("more than 64 comparisons"));
    let list = |count| format!("run_id IN ({})", vec!["'x'"; count].join(","));
    assert_eq!(filter(Entity::Runs, &list(MAX_LIST_VALUES)).len(), 1);
    assert!(refusal(Entity::Runs, &list(MAX_LIST_VALUES + 1)).message.contains("more than 1000 values"));
    let lists = |count: usize| vec![list(MAX_LIST_VALUES); count].join(" AND ");
    assert_eq!(filter(Entity::Runs, &lists(5)).len(), 5);
    assert!(refusal(Entity::Runs, &lists(6)).message.contains("more than 5000 values together"));
    let long = |bytes: usize| format!("tags.a = '{}'", "x".repeat(bytes - 11));
    assert_eq!(filter(Entity::Runs, &long(MAX_FILTER_BYTES)).len(), 1);
    let error = refusal(Entity::Runs, &long(MAX_FILTER_BYTES + 1));
    assert_eq!(error.to_string(), "has 131073 bytes; at most 131072 are allowed");
    assert_eq!(refusal(Entity::Runs, "tags.a = 'x\0'").to_string(), "contains a NUL character (at character 11)");
    let keys = |count: usize| (0..count).map(|n| format!("metrics.m{n}")).collect::<Vec<_>>();
    assert_eq!(parse_order_by(Entity::Runs, &keys(MAX_ORDER_BY_ITEMS)).unwrap().len(), 16);
    let error = parse_order_by(Entity::Runs, &keys(MAX_ORDER_BY_ITEMS + 1)).unwrap_err();
    assert_eq!((error.field.as_str(), error.message.as_str()), ("order_by", "has 17 items; at most 16 are allowed"));
    let error = order(Entity::Runs, &["start_time", &"x".repeat(MAX_ORDER_BY_BYTES + 1)]).unwrap_err();
    assert_eq!((error.field.as_str(), error.position), ("order_by[1]", None));
    let wide = format!("{}.a-", "x".repeat(MAX_FILTER_BYTES - 3));
    for hostile in [&wide, "(", "'", "\"", "`", "a.`", "a.a-", "-", "a ", "=", "IN ", "run_id IN ('", "metrics.a>1 "] {
        let text = hostile.repeat(MAX_FILTER_BYTES / hostile.len());
        let error = refusal(Entity::Runs, &text);
        assert!(error.message.len() < 500, "{hostile}: {error}");
    }
}

#[test]
fn orders_name_a_key_and_a_direction() {
    let parsed = order(Entity::Runs, &["metrics.`a b` DESC", " created", "tags.x asc", "params.y Desc"]).unwrap();
    let expected = [
        (Key::Metric("a b".into()), true),
        (Key::Attribute(Attribute::StartTime), false),
        (Key::Tag("x".into()), false),
        (Key::Param("y".into()), true),
    ];
    assert_eq!(parsed, expected.map(|(key, descending)| OrderBy { key, descending }));
    let updated = vec![OrderBy { key: Key::Attribute(Attribute::LastUpdatedTimestamp), descending: true }];
    assert_eq!(order(Entity::RegisteredModels, &["timestamp DESC"]).unwrap(), updated);
    assert_eq!(order(Entity::ModelVersions, &["last_updated_timestamp DESC"]).unwrap(), updated);
    for (entity, items, field, says) in [
        (Entity::Runs, &["start_time", "created DESC"][..], "order_by[1]", r#"orders by "start_time" again, as order_by[0]"#),
        (Entity::Runs, &["dataset.name"], "order_by[0]", "metrics, params, tags and attributes"),
        (Entity::Runs, &["metrics.a UP"], "order_by[0]", r#"expected ASC, DESC or the end, found "UP""#),
        (Entity::Runs, &["metrics.a DESC NULLS LAST"], "order_by[0]", r#"found "DESC NULLS LAST""#),
        (Entity::Runs, &["name", ""], "order_by[0]", "no attribute \"name\" to order by"),
        (Entity::Runs, &["status", ""], "order_by[1]", "is empty"),
        (Entity::Runs, &["status, run_id"], "order_by[0]", r#"found ", run_id""#),
        (Entity::Runs, &["'status'"], "order_by[0]", "expected a name"),
        (Entity::Experiments, &["tags.a"], "order_by[0]", "is attribute"),
        (Entity::RegisteredModels, &["creation_timestamp"], "order_by[0]", "name, last_updated_timestamp"),
        (Entity::RegisteredModels, &["timestamp", "last_updated_timestamp"], "order_by[1]", "again"),
        (Entity::ModelVersions, &["run_id"], "order_by[0]", "creation_timestamp, last_updated_timestamp"),
    ] {
        let error = order(entity, items).unwrap_err();
        assert!(error.message.contains(says) && error.field == field, "{items:?}: {error:?}");
    }
}

#[test]
fn logged_models_are_ordered_by_attributes_and_metrics() {
    let key = |text: &str| parse_logged_model_key("order_by[0].field_name", text);
    assert_eq!(key("creation_time"), Ok(Key::Attribute(Attribute::CreationTimestamp)));
    assert_eq!(key("metrics.val/loss x"), Ok(Key::Metric("val/loss x".into())));
    assert_eq!(key("metrics.`a.b`"), Ok(Key::Metric("a.b".into())));
    for (text, says) in [
        ("", "no attribute \"\" to order by"),
        ("stage", "no attribute \"stage\" to order by"),
        ("params.a", "such as metrics.rmse, found \"params.a\""),
        ("metrics.", "such as metrics.rmse"),
        ("metrics.\0", "NUL"),
    ] {
        let error = key(text).unwrap_err();
        assert!(error.message.contains(says) && error.field == "order_by[0].field_name", "{text}: {error:?}");
    }
}

#[test]
fn prompts_are_left_out_unless_the_first_comparison_asks() {
    let rule = |conditions: &[&str]| {
        let text: Vec<_> = conditions.iter().map(|test| format!("tags.`{PROMPT_TAG}` {test}")).collect();
        let mut filter = parse_filter(Entity::RegisteredModels, &format!("name = 'x' AND {}", text.join(" AND "))).unwrap();
        (prompt_rule(&mut filter), filter.clauses.len())
    };
    assert_eq!(rule(&[]), (PromptScope::Exclude, 1));
    assert_eq!(rule(&["!= 'true'"]), (PromptScope::Exclude, 1));
    assert_eq!(rule(&["= 'false'"]), (PromptScope::Exclude, 1));
    assert_eq!(rule(&["LIKE 't%'", "= 'true'"]), (PromptScope::Exclude, 1));
    assert_eq!(rule(&["= 'true'"]), (PromptScope::Only, 2));
    assert_eq!(rule(&["!= 'False'", "!= 'true'"]), (PromptScope::Only, 3));
}

#[test]
fn patterns_are_bounded_in_length_and_wildcards() {
    for (pattern, wanted) in [
        ("x".repeat(1_001), "the pattern has 1001 characters; at most 1000 are allowed"),
        ("%a".repeat(17), "the pattern has 17 wildcards `%`; at most 16 are allowed"),
    ] {
        for op in ["LIKE", "ILIKE"] {
            let error = refusal(Entity::Runs, &format!("tags.a {op} '{pattern}'"));
            assert_eq!((error.field.as_str(), error.message.as_str()), ("filter", wanted));
        }
        assert_eq!(filter(Entity::Runs, &format!("tags.a = '{pattern}'")).len(), 1, "a text that is compared is no pattern");
    }
    let most = format!("{}{}", "%a".repeat(16), "_".repeat(968));
    assert_eq!(filter(Entity::Runs, &format!("tags.a LIKE '{most}'")).len(), 1);
}
