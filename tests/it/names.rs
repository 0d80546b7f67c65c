//! Names of experiments, models and aliases: what people have is taken, what deceives is not.

use sea_orm::ConnectionTrait;
use serde_json::json;

use crate::house::{Answer, Http, Server};

on_both_engines! {
    ordinary_names_of_every_script_are_taken,
    what_looks_like_a_model_is_refused,
    look_alikes_do_not_come_at_the_same_time,
    what_looks_like_an_alias_is_refused,
}

async fn create(http: &Http, name: &str) -> Answer {
    http.post("registered-models/create", &json!({"name": name})).await
}

/// Refused, and the error begins with these words.
fn refused(answer: &Answer, start: &str) {
    assert_eq!((answer.status.as_u16(), answer.error_code().as_str()), (400, "INVALID_PARAMETER_VALUE"), "{}", answer.message());
    assert!(answer.message().starts_with(start), "{}", answer.message());
}

async fn ordinary_names_of_every_script_are_taken(server: Server) {
    let http = server.as_("data_scientist").await.http();
    let names = [
        "β-VAE",
        "ε-greedy",
        "10 kΩ",
        "модель bert",
        "نموذج bert",
        "מודל bert",
        "แบบจำลอง bert",
        "मॉडल bert",
        "மாதிரி bert",
        "⚙️ tuning",
        "خانه‌ها",
        "👩‍🔬 lab",
        "1️⃣ first",
        "größe-ß",
        "模型 v2",
        "モデル-β",
        "modem",
        "modern",
        "churn",
        "chum",
        "model-1",
        "model-l",
        "model-I",
        "v0",
        "vO",
        "rn",
        "m",
        "credit_risk",
        "Credit_Risk",
        "TF-IDF",
        "µ-law",
        "naïve bayes",
        "L² loss",
        "½ life",
    ];
    for name in names {
        let made = http.post("experiments/create", &json!({"name": name})).await;
        assert_eq!(made.status, 200, "{name}: {}", made.message());
        let run = http.post("runs/create", &json!({"experiment_id": made.json()["experiment_id"], "run_name": name})).await;
        assert_eq!(run.json()["run"]["info"]["run_name"], name);
        let model = create(&http, name).await;
        assert_eq!(model.status, 200, "{name}: {}", model.message());
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("name", name).finish();
        let found = http.get(&format!("registered-models/get?{query}")).await;
        assert_eq!(found.json()["registered_model"]["name"], name);
    }
    // Experiments promote nothing; their names are for people.
    for name in [" padded ", "p\u{430}ypal", "zero\u{200b}width"] {
        let made = http.post("experiments/create", &json!({"name": name})).await;
        assert_eq!(made.status, 200, "{name:?}: {}", made.message());
    }
    for name in ["a\u{202e}b", "line\nbreak", ""] {
        refused(&http.post("experiments/create", &json!({"name": name})).await, "name: ");
        refused(&create(&http, name).await, "name: ");
    }
    for name in ["p\u{200b}aypal", "fraud\u{200d}", "a\u{fe0f}"] {
        refused(&create(&http, name).await, "name: contains the control, invisible or private-use character");
    }
}

async fn what_looks_like_a_model_is_refused(server: Server) {
    let admin = server.admin().await.http();
    let (ann, nobody) = (server.as_("ml_engineer").await.http(), server.as_("").await);
    for name in ["fraud", "⚙ tuning", "خانهها", "сhurn-ru"] {
        assert_eq!(create(&admin, name).await.status, 200, "{name}");
    }
    for (name, like) in [
        ("fr\u{430}ud", "fraud"),
        ("f\u{433}\u{430}ud", "fraud"),
        ("𝐟raud", ""),
        ("frɑud", "fraud"),
        ("⚙️ tuning", "⚙ tuning"),
        ("خانه\u{200c}ها", "خانهها"),
        ("churn-ru", "сhurn-ru"),
    ] {
        let answer = create(&ann, name).await;
        match (like, name) {
            ("", _) => assert_eq!(answer.error_code(), "RESOURCE_ALREADY_EXISTS", "the same name in another form"),
            _ => refused(&answer, &format!("name: looks like the name {like:?}, and would be taken for it")),
        }
    }
    // The other face says the same, and a name that the caller may not read is not told.
    let body = json!({"name": "fr\u{430}ud"}).to_string();
    let json_type = [(http::header::CONTENT_TYPE, "application/json")];
    let own = ann.send(http::Method::POST, "/api/stagegate/v1/registered-models/create", &json_type, body.as_bytes()).await;
    refused(&own, "name: looks like the name \"fraud\"");
    let grant = json!({"principal": {"user_name": nobody.user_name}, "persona": "data_scientist",
                       "scope": {"pattern": {"registered_models": "fr\u{430}*"}}, "effect": "ALLOW"});
    let granted = admin.send(http::Method::POST, "/api/stagegate/v1/grants/create", &json_type, grant.to_string().as_bytes()).await;
    assert_eq!(granted.status, 200, "{}", granted.message());
    refused(&create(&nobody.http(), "fr\u{430}ud").await, "name: looks like the name of another registered model, and");
    // By renaming neither; a model may take another form of its own name.
    assert_eq!(create(&ann, "mine").await.status, 200);
    let rename = |from: &str, to: &str| json!({"name": from, "new_name": to});
    refused(&ann.post("registered-models/rename", &rename("mine", "fr\u{430}ud")).await, "new_name: looks like the name \"fraud\"");
    assert_eq!(ann.post("registered-models/rename", &rename("mine", "mın\u{435}")).await.status, 200);
    assert_eq!(ann.post("registered-models/rename", &rename("mın\u{435}", "mine")).await.status, 200, "its own look does not count");
    // What was deleted and never promoted is gone.
    assert_eq!(
        admin.send(http::Method::DELETE, "/api/2.0/mlflow/registered-models/delete", &json_type, br#"{"name": "fraud"}"#).await.status,
        200
    );
    assert_eq!(create(&ann, "fr\u{430}ud").await.status, 200);
    refused(&create(&admin, "fraud").await, "name: looks like the name \"fr\u{430}ud\"");
}

async fn look_alikes_do_not_come_at_the_same_time(server: Server) {
    let http = server.admin().await.http();
    for round in 0..10 {
        let (one, other) = (format!("race-{round}"), format!("r\u{430}ce-{round}"));
        let (one, other) = tokio::join!(create(&http, &one), create(&http, &other));
        let made = [one.status.as_u16(), other.status.as_u16()].iter().filter(|status| **status == 200).count();
        assert_eq!(made, 1, "round {round}: {} / {}", one.message(), other.message());
    }
}

async fn what_looks_like_an_alias_is_refused(server: Server) {
    let http = server.admin().await.http();
    let gate = "INSERT INTO gates (gate_id, version, workspace_id, target, model_pattern, approvals_required, direct_moves_allowed, active, created, \
                created_by) SELECT 'gate-of-prod', 1, 'default', '@prod', 'other-*', 1, TRUE, TRUE, 1, uid FROM users WHERE name = 'admin'";
    server.sql().await.execute_unprepared(gate).await.expect("a gate");
    assert_eq!(create(&http, "m").await.status, 200);
    for number in 1..3 {
        let made = http.post("model-versions/create", &json!({"name": "m", "source": format!("s3://b/{number}")})).await;
        assert_eq!(made.status, 200, "{}", made.message());
    }
    let set = |alias: &str| json!({"name": "m", "alias": alias, "version": "1"});
    for alias in ["champion", "sieger_ü", "модель-bert", "modem", "modern"] {
        let answer = http.post("registered-models/alias", &set(alias)).await;
        assert_eq!(answer.status, 200, "{alias}: {}", answer.message());
        assert_eq!(http.post("registered-models/alias", &set(alias)).await.status, 200, "again is no error");
    }
    for (alias, like) in [("сhampion", "champion"), ("ch\u{430}mp\u{456}on", "champion"), ("pr\u{43e}d", "prod"), ("\u{440}rod", "prod")] {
        refused(&http.post("registered-models/alias", &set(alias)).await, &format!("alias: looks like the alias {like:?}"));
        let file = json!({"name": "m", "version": "2", "alias": alias, "comment": "please"});
        let ann = server.as_("data_scientist").await.http();
        let json_type = [(http::header::CONTENT_TYPE, "application/json")];
        let path = "/api/stagegate/v1/transition-requests/create";
        let filed = ann.send(http::Method::POST, path, &json_type, file.to_string().as_bytes()).await;
        refused(&filed, &format!("alias: looks like the alias {like:?}"));
    }
    refused(&http.post("registered-models/alias", &set("l\u{430}test")).await, "alias: is reserved");
    let aliases = http.get("registered-models/get?name=m").await.json()["registered_model"]["aliases"].clone();
    assert_eq!(aliases.as_array().map(Vec::len), Some(5), "{aliases}");
}
