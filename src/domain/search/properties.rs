//! What holds for every text and every tree.

use proptest::prelude::*;

use super::*;

const ENTITIES: [Entity; 5] = [Entity::Runs, Entity::Experiments, Entity::RegisteredModels, Entity::ModelVersions, Entity::LoggedModels];

fn float(op: NumberOp, value: f64) -> Test {
    Test::Number { op, value: Number::Float(value) }
}

fn int(op: NumberOp, value: i64) -> Test {
    Test::Number { op, value: Number::Int(value) }
}

fn entity() -> impl Strategy<Value = Entity> {
    prop::sample::select(ENTITIES.to_vec())
}

/// Pieces that texts are made of, right and wrong, so that random texts get far into the parser.
fn soup() -> impl Strategy<Value = String> {
    let pieces = [
        "metrics.",
        "params.",
        "tags.",
        "attribute.",
        "attributes.",
        "a",
        "`a b`",
        "name",
        "run_id",
        "experiment_id",
        "version_number",
        "start_time",
        " = ",
        "!=",
        " > ",
        " LIKE ",
        " IN ",
        " NOT ",
        " IS ",
        "NULL",
        "('1')",
        "('a', \"b\")",
        "(",
        ")",
        ",",
        "'x'",
        "\"y'\"",
        "'1'",
        "1",
        "-2.5e3",
        ".5",
        "1e999",
        " AND ",
        " OR ",
        " ",
        "\n",
        "'",
        "\"",
        "`",
        ".",
        "\\",
        ";",
        "é",
        "٣",
        "\u{301}",
        "\0",
        " DESC",
        " asc",
    ];
    prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..24).prop_map(|pieces| pieces.concat())
}

fn number_op() -> impl Strategy<Value = NumberOp> + Clone {
    use NumberOp::*;
    prop::sample::select(vec![Gt, Ge, Eq, Ne, Lt, Le])
}

fn comparison() -> impl Strategy<Value = (Entity, Comparison)> {
    let key = || "[^`\0]{1,12}|[^'\0]{1,12}";
    let value = || "[^'\0]{0,12}|[^\"\0]{0,12}";
    let text_op = prop::sample::select(vec![TextOp::Eq, TextOp::Ne, TextOp::Like, TextOp::Ilike]);
    let text_test = || (text_op.clone(), value()).prop_map(|(op, value)| Test::Text { op, value });
    let null = any::<bool>().prop_map(|negated| Test::Null { negated });
    let list = (any::<bool>(), prop::collection::vec(value(), 1..5)).prop_map(|(negated, values)| Test::In { negated, values });
    let finite = prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO | prop::num::f64::INFINITE;
    let float = (number_op(), finite).prop_map(|(op, value)| float(op, value));
    let integer = (number_op(), any::<i64>()).prop_map(|(op, value)| int(op, value));
    let ids = (any::<bool>(), prop::collection::vec(any::<i64>(), 1..5)).prop_map(|(negated, values)| Test::NumberIn { negated, values });
    let tag = key().prop_map(Key::Tag);
    prop_oneof![
        (Just(Entity::Runs), key().prop_map(Key::Metric), float.clone()),
        (Just(Entity::Runs), key().prop_map(Key::Param), prop_oneof![text_test(), null.clone()]),
        (Just(Entity::Experiments), tag.clone(), prop_oneof![text_test(), null]),
        (entity(), tag, text_test()),
        (Just(Entity::LoggedModels), key().prop_map(Key::Param), prop_oneof![text_test(), list.clone()]),
        (Just(Entity::LoggedModels), Just(Key::Attribute(Attribute::LastUpdatedTimestamp)), prop_oneof![float.clone(), integer.clone()]),
        (Just(Entity::Runs), Just(Key::Dataset(DatasetField::Context)), prop_oneof![text_test(), list.clone()]),
        (Just(Entity::Runs), Just(Key::Attribute(Attribute::EndTime)), prop_oneof![float, integer.clone()]),
        (Just(Entity::ModelVersions), Just(Key::Attribute(Attribute::VersionNumber)), integer),
        (Just(Entity::ModelVersions), Just(Key::Attribute(Attribute::Name)), prop_oneof![text_test(), list]),
        (Just(Entity::Experiments), Just(Key::Attribute(Attribute::ExperimentId)), ids),
    ]
    .prop_map(|(entity, key, test)| (entity, Comparison { key, test }))
}

proptest! {
    #[test]
    fn canonical_text_parses_to_the_same_filter(parts in prop::collection::vec(comparison(), 0..6), entity in entity()) {
        let clauses = parts.into_iter().filter(|(of, _)| *of == entity).map(|(_, clause)| clause).collect();
        let filter = Filter { clauses };
        prop_assert_eq!(parse_filter(entity, &filter.to_string()), Ok(filter));
    }

    #[test]
    fn canonical_text_parses_to_the_same_order(key in "[^`\0]{1,12}|[^'\0]{1,12}", descending: bool) {
        let order = OrderBy { key: Key::Param(key), descending };
        prop_assert_eq!(parse_order_by(Entity::Runs, &[order.to_string()]), Ok(vec![order]));
    }

    #[test]
    fn no_text_panics_and_what_is_understood_has_a_canonical_text(text in prop_oneof![soup(), any::<String>()], entity in entity()) {
        match parse_filter(entity, &text) {
            Ok(filter) => prop_assert_eq!(parse_filter(entity, &filter.to_string()), Ok(filter)),
            Err(error) => prop_assert!(error.position.is_none_or(|at| at <= text.chars().count())),
        }
        if let Ok(orders) = parse_order_by(entity, std::slice::from_ref(&text)) {
            let canonical: Vec<_> = orders.iter().map(ToString::to_string).collect();
            prop_assert_eq!(parse_order_by(entity, &canonical), Ok(orders));
        }
    }
}
