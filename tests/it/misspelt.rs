//! A limit that is misspelt must never be no limit.

use http::Method;
use stagegate::contract::v1;

use crate::house::Server;

on_both_engines!(a_misspelt_limit_is_refused_and_gives_nothing, absent_choices_never_widen_a_grant);

async fn a_misspelt_limit_is_refused_and_gives_nothing(server: Server) {
    let admin = server.admin().await;
    let ann = server.as_("").await.user_name;
    let http = admin.http();
    let grant = |rest: &str| format!(r#"{{"principal":{{"user_name":"{ann}"}},"persona":"manager",{rest}}}"#);
    let whole = r#""scope":{"server":{}}"#;
    let cases = [
        (
            "grants/create",
            grant(r#""effect":"ALLOW","scope":{"registered_models":"credit-*"}"#),
            "scope.registered_models",
            "registered_model",
        ),
        ("grants/create", grant(&format!(r#""efect":"DENY",{whole}"#)), "efect", "effect"),
        ("grants/create", grant(&format!(r#""effect":"ALLOW","target":["Staging"],{whole}"#)), "target", "targets"),
        ("tokens/create", r#"{"ttl":60000}"#.to_owned(), "ttl", "ttl_ms"),
        ("tokens/create", r#"{"permission":["runs.edit"]}"#.to_owned(), "permission", "permissions"),
    ];
    for (path, body, field, nearest) in cases {
        let answer = http.json(Method::POST, &format!("/api/stagegate/v1/{path}"), &body).await;
        assert_eq!(
            (answer.status.as_u16(), answer.error_code().as_str()),
            (400, "INVALID_PARAMETER_VALUE"),
            "{body}: {}",
            answer.message()
        );
        let said = answer.message();
        assert!(said.contains(&format!("{field}: there is no field")) && said.contains(&format!("did you mean `{nearest}`")), "{said}");
    }
    let doubled = grant(&format!(r#""effect":"DENY","effect":"ALLOW",{whole}"#));
    let answer = http.json(Method::POST, "/api/stagegate/v1/grants/create", &doubled).await;
    assert!(answer.status == 400 && answer.message().contains("given twice"), "{}", answer.message());
    for (method, path, body, field) in [
        (Method::GET, format!("grants?user_nam={ann}"), "", "user_nam"),
        (Method::GET, format!("grants?user_name={ann}&user_name=admin"), "", "user_name"),
        (Method::POST, "tokens/create?ttl_ms=60000".to_owned(), "{}", "query"),
        (Method::GET, "grants".to_owned(), r#"{"user_name":"ann"}"#, "body"),
    ] {
        let answer = http.json(method, &format!("/api/stagegate/v1/{path}"), body).await;
        assert!(answer.status == 400 && answer.message().contains(field), "{path}: {} {}", answer.status, answer.message());
    }
    let listed: v1::ListGrantsResponse =
        admin.call("ListGrants", v1::ListGrantsRequest { user_name: ann, ..Default::default() }).await.expect("grants");
    assert_eq!(listed.grants.len(), 0, "nothing was granted");
    // The clients of MLflow send more than we know.
    let lenient = http.json(Method::POST, "/api/2.0/mlflow/experiments/create", r#"{"name":"lenient","unknown":1}"#).await;
    assert_eq!(lenient.status, 200);
}

async fn absent_choices_never_widen_a_grant(server: Server) {
    let admin = server.admin().await;
    let ann = server.as_("").await.user_name;
    let on = |scope| Some(v1::Scope { scope });
    let whole = on(Some(v1::scope::Scope::Server(v1::WholeServer {})));
    let (allow, deny) = (v1::GrantEffect::Allow, v1::GrantEffect::Deny);
    for (scope, effect, wrong) in [
        (None, allow, Some("scope")),
        (on(None), allow, Some("scope")),
        (whole.clone(), v1::GrantEffect::Unspecified, Some("effect")),
        (whole.clone(), deny, None),
    ] {
        let request = v1::CreateGrantRequest {
            principal: Some(v1::Principal { principal: Some(v1::principal::Principal::UserName(ann.clone())) }),
            persona: "viewer".to_owned(),
            scope,
            effect: effect.into(),
            ..Default::default()
        };
        let made = admin.call::<_, v1::CreateGrantResponse>("CreateGrant", request).await;
        match (made, wrong) {
            (Ok(made), None) => assert_eq!(made.grant.expect("the grant").scope, whole),
            (Err(status), Some(field)) => {
                assert_eq!(status.code(), tonic::Code::InvalidArgument);
                assert!(
                    status.message().contains(&format!("{field} is missing")) || status.message().contains(&format!("{field}: is missing")),
                    "{status:?}"
                );
            }
            (made, wrong) => panic!("{made:?}, not {wrong:?}"),
        }
    }
}
