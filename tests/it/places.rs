//! Where a REST request may say what it is about: nothing that a caller sent is passed over.

use http::{Method, header};

use crate::house::{Answer, Server};

on_both_engines! {
    a_get_of_mlflow_may_say_it_in_its_body,
    our_own_paths_have_one_place,
}

/// Answers as they were given: a status, and the field that the message begins with.
fn seen(answer: &Answer) -> (u16, String) {
    let field = if answer.status == 200 { String::new() } else { answer.message().split(':').next().unwrap_or_default().to_owned() };
    (answer.status.as_u16(), field)
}

async fn a_get_of_mlflow_may_say_it_in_its_body(server: Server) {
    let http = server.admin().await.http();
    let search = "/api/2.0/mlflow/experiments/search";
    for name in ["one", "two"] {
        http.post("experiments/create", &serde_json::json!({"name": name})).await;
    }
    let json = [(header::CONTENT_TYPE, "application/json")];
    let one = r#"{"max_results": 1, "filter": "name = 'one'"}"#;
    let in_query = "?max_results=1&filter=name%20%3D%20%27one%27";
    for (query, body, headers) in [
        ("", one, &json[..]),
        ("", one, &[]),
        (in_query, one, &[]),
        (in_query, "", &[]),
        (in_query, "{}", &json),
        ("?unknown=1", one, &[]),
        (in_query, r#"{"unknown": 1}"#, &[]),
    ] {
        let answer = http.send(Method::GET, &format!("{search}{query}"), headers, body.as_bytes()).await;
        assert_eq!(answer.status, 200, "{query} {body}: {}", answer.message());
        let found = answer.json()["experiments"].as_array().cloned().unwrap_or_default();
        assert!(found.len() == 1 && found[0]["name"] == "one", "{query} {body}: {found:?}");
    }
    for (query, body, field) in [
        ("?max_results=2", one, "body"),
        ("?filter=", r#"{"filter": "nonsense"}"#, "filter"),
        ("", "{", "body"),
        ("", r#"{"max_results": "many"}"#, "max_results"),
        ("", r#"{"max_results": 1, "max_results": 2}"#, "body"),
        ("", r#"["filter"]"#, "body"),
    ] {
        let answer = http.send(Method::GET, &format!("{search}{query}"), &json, body.as_bytes()).await;
        assert_eq!(seen(&answer), (400, field.to_owned()), "{query} {body}: {}", answer.message());
    }
    // A call that changes something says in its body what it is about.
    let create = "/api/2.0/mlflow/experiments/create";
    let answer = http.send(Method::POST, &format!("{create}?name=three"), &json, br#"{"name": "four"}"#).await;
    assert_eq!(seen(&answer), (400, "query".to_owned()), "{}", answer.message());
    let answer = http.send(Method::POST, &format!("{create}?name=three"), &json, b"").await;
    assert_eq!(seen(&answer), (400, "query".to_owned()), "{}", answer.message());
    let answer = http.send(Method::POST, &format!("{create}?o=12345"), &json, br#"{"name": "four"}"#).await;
    assert_eq!(answer.status, 200, "what says nothing here is no matter: {}", answer.message());
    let answer = http.send(Method::POST, create, &[(header::CONTENT_TYPE, "text/plain")], br#"{"name": "five"}"#).await;
    assert_eq!(seen(&answer), (400, "Content-Type".to_owned()), "{}", answer.message());
}

async fn our_own_paths_have_one_place(server: Server) {
    let http = server.admin().await.http();
    let json = [(header::CONTENT_TYPE, "application/json")];
    let list = "/api/stagegate/v1/users";
    assert_eq!(http.send(Method::GET, list, &[], b"").await.status, 200);
    for body in [r#"{"max_results": 1}"#, "{}", "x"] {
        let answer = http.send(Method::GET, list, &json, body.as_bytes()).await;
        assert_eq!(seen(&answer), (400, "body".to_owned()), "{body}: {}", answer.message());
    }
    let create = "/api/stagegate/v1/groups/create?group_name=x";
    let answer = http.send(Method::POST, create, &json, br#"{"group_name": "x"}"#).await;
    assert_eq!(seen(&answer), (400, "query".to_owned()), "{}", answer.message());
}
