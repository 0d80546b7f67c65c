//! Texts, from both sides of each rule.

use super::*;

type Rule = fn(&str, &str) -> Result<()>;

/// Accepts `limit` characters, refuses one more, and says so.
fn has_limit(rule: Rule, limit: usize) {
    assert_eq!(rule("field", &"x".repeat(limit)), Ok(()), "{limit}");
    let error = rule("field", &"x".repeat(limit + 1)).unwrap_err();
    assert_eq!(error.field, "field");
    assert_eq!(error.message, format!("has {} characters; at most {limit} are allowed", limit + 1));
}

#[test]
fn each_length_is_bounded_and_the_error_says_how() {
    has_limit(experiment_name, 500);
    has_limit(model_name, 256);
    has_limit(key, 250);
    has_limit(alias, 255);
    has_limit(principal_name, 128);
    has_limit(|field, text| idempotency_key(Some(text)).map_err(|error| FieldError::new(field, error.message)), 128);
    has_limit(|field, text| label(field, text, limits::RUN_NAME), 250);
    has_limit(|field, text| value(field, text, limits::PARAM_VALUE), 65_535);
    has_limit(|field, text| value(field, text, limits::RUN_TAG_VALUE), 65_535);
    has_limit(|field, text| value(field, text, limits::EXPERIMENT_TAG_VALUE), 20_000);
    has_limit(|field, text| value(field, text, limits::REGISTRY_TAG_VALUE), 100_000);
    has_limit(|field, text| value(field, text, limits::DESCRIPTION), 5_000);
    has_limit(|field, text| required(field, text, limits::COMMENT), 65_535);
    has_limit(|field, text| value(field, text, limits::URI), 2_048);
    has_limit(|field, text| value(field, text, limits::DATASET_NAME), 500);
    has_limit(|field, text| value(field, text, limits::DATASET_DIGEST), 36);
    has_limit(|field, text| value(field, text, limits::DATASET_SOURCE), 65_535);
    has_limit(|field, text| value(field, text, limits::DATASET_SCHEMA), 1_048_575);
    has_limit(|field, text| value(field, text, limits::DATASET_PROFILE), 16_777_215);
    has_limit(|field, text| value(field, text, limits::INPUT_TAG_KEY), 255);
    has_limit(|field, text| value(field, text, limits::INPUT_TAG_VALUE), 500);
    assert_eq!(count("metrics", 1_000, limits::BATCH_METRICS), Ok(()));
    let error = count("metrics", 1_001, limits::BATCH_METRICS).unwrap_err();
    assert_eq!(error.to_string(), "metrics: has 1001 items; at most 1000 are allowed");
}

#[test]
fn lengths_are_counted_in_characters_as_python_counts() {
    assert_eq!(value("value", &"é".repeat(65_535), limits::PARAM_VALUE), Ok(()));
    assert_eq!(value("value", &"🦀".repeat(65_535), limits::PARAM_VALUE), Ok(()));
    assert!(value("value", &"e\u{301}".repeat(32_768), limits::PARAM_VALUE).is_err());
}

#[test]
fn keys_follow_mlflows_rule() {
    for good in ["rmse", "val/rmse", "a b", "x:y", "température", "a..b", ".hidden", "a/..b", " "] {
        assert_eq!(key("key", good), Ok(()), "{good}");
    }
    for bad in ["", "a//b", "a/./b", "../x", "/a", ".", "..", "..a", "a/", "a/..", "a\tb", "a#b", "a\0", "a%2e"] {
        assert!(key("key", bad).is_err(), "{bad:?}");
    }
    assert_eq!(key("metrics[3].key", "").unwrap_err().to_string(), "metrics[3].key: is required");
}

#[test]
fn names_hold_nothing_that_deceives() {
    for bad in [
        "",
        " ",
        "\u{3000}",
        " a",
        "a ",
        "a\u{a0}",
        "a\nb",
        "a\0",
        "a\u{7f}",
        "a\u{85}b",
        "a\u{202e}b",
        "a\u{2066}b",
        "a\u{200b}",
        "a\u{200d}b",
        "\u{feff}a",
        "a\u{ad}b",
        "a\u{61c}b",
        "a\u{2028}b",
        "a\u{2029}b",
        "\u{e000}",
        "\u{f0000}",
        "a\u{e0041}",
        "a\u{fe0f}",
        "a\u{e0100}",
        "a\u{3164}b",
        "a\u{2800}",
        "a\u{600}b",
        "a\u{378}",
        "خانه\u{200c}",
        "fraud\u{200c}eu",
        "f\u{200c}\u{430}",
        "1\u{fe0f}",
        "👩\u{200d}",
        "👩\u{200d}x",
        "\u{200d}👩",
    ] {
        assert!(name("name", bad, 100).is_err(), "{bad:?}");
    }
    for good in [
        "my_enet_model",
        "modèle",
        "模型",
        "模型-v2",
        "売上モデル v2",
        "모델-v2",
        "Модель 2",
        "β",
        "fraud: EU/2026 'x'",
        "β-VAE",
        "ε-greedy",
        "10 kΩ",
        "10 k\u{2126}",
        "µ-law",
        "модель bert",
        "نموذج bert",
        "מודל bert",
        "แบบจำลอง bert",
        "मॉडल bert",
        "மாதிரி bert",
        "⚙️ tuning",
        "1️⃣ first",
        "👩‍🔬 lab",
        "🏳️‍🌈",
        "خانه‌ها v2",
        "क्‍ष model",
    ] {
        assert_eq!(name("name", good, 100), Ok(()), "{good}");
    }
    let error = name("name", "a\u{202e}b", 100).unwrap_err();
    assert_eq!(error.message, "contains the control, invisible or private-use character U+202E");
}

#[test]
fn names_are_one_under_nfkc_and_stay_bounded_there() {
    assert_eq!(canonical_name("ﬁt"), canonical_name("fit"));
    assert_eq!(canonical_name("e\u{301}"), canonical_name("é"));
    assert_eq!(canonical_name("ｆｒａｕｄ－ｅｕ"), "fraud-eu");
    let error = name("name", &"\u{fdfa}".repeat(100), 500).unwrap_err();
    assert_eq!(error.message, "has 1800 characters in its normal form (NFKC); at most 500 are allowed");
}

#[test]
fn model_names_are_no_paths_in_either_form() {
    for bad in ["a/b", "a:b", ".", "..", "a／b", "a：b", "．．", "‥", "℀"] {
        assert!(model_name("name", bad).is_err(), "{bad}");
    }
    assert_eq!(model_name("name", "a.b"), Ok(()));
}

#[test]
fn aliases_cannot_be_reserved_words_nor_imitate_one_another() {
    for bad in ["latest", "LATEST", "v1", "V23", "v٣", "a b", "a/b", "", "ｃhampion", "l\u{430}test", "L\u{410}TEST", "a\u{3164}"] {
        assert!(alias("alias", bad).is_err(), "{bad}");
    }
    for good in ["champion", "v1b", "v", "prod-eu", "sieger_ü"] {
        assert_eq!(alias("alias", good), Ok(()), "{good}");
    }
    let error = alias("alias", "ｐrod").unwrap_err();
    assert_eq!(error.message, "is not in its normal form (NFKC): write `prod`");
}

#[test]
fn principals_are_plain_ascii_whatever_their_letter_case() {
    for bad in ["", " ", "-a", "@a", "a b", "a/b", "a:b", "ä", "a\0"] {
        assert!(principal_name("user_name", bad).is_err(), "{bad:?}");
    }
    for good in ["admin", "ann@example.org", "svc-train_1", "a+b.c"] {
        assert_eq!(principal_name("user_name", good), Ok(()), "{good}");
    }
    assert_eq!(canonical_principal("Ann"), canonical_principal("aNN"));
}

#[test]
fn labels_stay_on_one_line_and_in_order() {
    for bad in ["a\nb", "a\0", "a\u{202e}b", "a\u{2028}b", "a\u{2069}"] {
        assert!(label("run_name", bad, 250).is_err(), "{bad:?}");
    }
    for good in ["", "β-vae №1", "🏃\u{200d}♂\u{fe0f} fast"] {
        assert_eq!(label("run_name", good, 250), Ok(()), "{good}");
    }
}

#[test]
fn passwords_are_long_and_not_the_first_guess() {
    assert_eq!(password("password", "fourteen chars").unwrap_err().message, "must have at least 15 characters");
    let long = "correct horse battery".repeat(50);
    assert_eq!(password("password", &long).unwrap_err().message, "has 1050 characters; at most 1024 are allowed");
    for first_guess in [
        "aaaaaaaaaaaaaaaaaaaa",
        "abababababababab",
        "PasswordPassword1",
        "Password12345678!",
        "adminadminadmin",
        "123456789012345",
        "qwertyuiopasdfgh",
        "administrator123",
        "changemechangeme",
        "Stagegate-2026-!",
    ] {
        assert!(password("password", first_guess).is_err(), "{first_guess}");
    }
    for good in ["correct horse battery", "8391 2750 4417 6603", "пароль из пяти слов", "my password has a long tail"] {
        assert_eq!(password("password", good), Ok(()), "{good}");
    }
}

#[test]
fn page_sizes_have_a_default_and_a_bound() {
    assert_eq!(page_size("max_results", 0, 100, 1_000), Ok(100));
    assert_eq!(page_size("max_results", 1_000, 100, 1_000), Ok(1_000));
    for (bad, most) in [(1_001, limits::PAGE_MODELS), (50_001, limits::PAGE_RUNS), (200_001, limits::PAGE_VERSIONS)] {
        let error = page_size("max_results", bad, 100, most).unwrap_err();
        assert_eq!(error.message, format!("is {bad}; must be between 1 and {most}, or 0 for 100"));
    }
    for bad in [-1, i64::MIN, i64::MAX] {
        assert!(page_size("max_results", bad, 100, 1_000).is_err(), "{bad}");
    }
}

#[test]
fn an_experiment_has_any_name_that_stays_on_one_line() {
    for good in [" a", "a ", "β-VAE", "p\u{430}ypal", "a\u{200b}b", "👩‍🔬", "a/b:c", "\u{e000}", "x".repeat(500).as_str()] {
        assert_eq!(experiment_name("name", good), Ok(()), "{good:?}");
    }
    for bad in ["", " ", "a\nb", "a\0", "a\u{7f}", "a\u{202e}b", "a\u{2028}b", &"\u{fdfa}".repeat(100), &"x".repeat(501)] {
        assert!(experiment_name("name", bad).is_err(), "{bad:?}");
    }
}
