//! The contract from outside: every operation is documented, ruled and routed; what belongs to every
//! call is there on every call.

use prost_reflect::DescriptorPool;
use stagegate::contract::{DESCRIPTOR_SET, OPERATIONS, v1};
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::house::Server;
use prost::Message;

on_both_engines! {
    what_is_not_declared_is_unimplemented,
    health_and_reflection_answer,
    every_answer_names_its_request,
    two_credentials_are_none,
    no_secret_is_logged,
    one_name_has_one_winner,
}

#[test]
fn every_operation_is_documented_ruled_and_routed() {
    let pool = DescriptorPool::decode(DESCRIPTOR_SET).expect("the descriptor set is one");
    let rule = pool.get_extension_by_name("stagegate.options.v1.rule").expect("rules are declared");
    let mut seen = 0;
    for service in pool.services().filter(|service| service.package_name().starts_with("stagegate.")) {
        for method in service.methods() {
            seen += 1;
            let name = method.full_name();
            let path = method.path().to_vec();
            let file = method.parent_file();
            let info = file.file_descriptor_proto().source_code_info.clone().expect("comments are kept");
            let comment =
                info.location.iter().find(|location| location.path == path).map(|location| location.leading_comments().trim().to_owned());
            assert!(comment.is_some_and(|comment| comment.len() > 10), "{name} has no comment");
            assert!(method.options().has_extension(&rule), "{name} has no rule");
            let operation = OPERATIONS.iter().find(|operation| operation.path == format!("/{}/{}", service.full_name(), method.name()));
            let operation = operation.unwrap_or_else(|| panic!("{name} is not in OPERATIONS"));
            let streams = operation.client_streaming || operation.server_streaming;
            assert!(streams || !operation.http.is_empty(), "{name} has no REST route");
            // MLflow's own pages fetch files at these two.
            let at_the_root = ["/get-artifact", "/model-versions/get-artifact"];
            let placed = |path: &str| path.starts_with("/api/") || at_the_root.contains(&path);
            assert!(operation.http.iter().all(|(_, path)| placed(path)), "{name}: routes start with /api/");
        }
    }
    assert_eq!(seen, OPERATIONS.len());
    assert!(seen > 50, "only {seen} operations");
    let mut routes: Vec<_> = OPERATIONS.iter().flat_map(|operation| operation.http).collect();
    let before = routes.len();
    routes.sort();
    routes.dedup();
    assert_eq!(routes.len(), before, "two operations share a route");
}

async fn what_is_not_declared_is_unimplemented(server: Server) {
    let admin = server.admin().await;
    for path in ["/stagegate.v1.TrackingService/Nothing", "/stagegate.v1.NoService/GetRun", "/x.Y/Z"] {
        let status = admin.bytes(path, Vec::new()).await.expect_err("there is no such operation");
        assert_eq!(status.code(), Code::Unimplemented, "{path}: {status:?}");
    }
}

async fn health_and_reflection_answer(server: Server) {
    let nobody = server.nobody();
    for service in OPERATIONS.iter().map(|operation| operation.service) {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = nobody.bytes("/grpc.health.v1.Health/Check", request.encode_to_vec()).await.expect("health answers");
        let answer = HealthCheckResponse::decode(answer.into_inner()).expect("a health answer");
        assert_eq!(answer.status, 1, "{service} serves");
    }
    // ServerReflectionRequest { list_services: "" }
    let asked = crate::house::grpc_message(7, b"*");
    let mut answers =
        nobody.open("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", asked).await.expect("reflection answers").into_inner();
    let answer = answers.message().await.expect("an answer").expect("one message");
    let text = String::from_utf8_lossy(&answer);
    for service in OPERATIONS.iter().map(|operation| operation.service) {
        assert!(text.contains(service), "reflection does not know {service}");
    }
}

async fn every_answer_names_its_request(server: Server) {
    let admin = server.admin().await;
    let path = stagegate::contract::operation_by_path("/stagegate.v1.TrackingService/GetExperiment").expect("declared").path;
    let good = v1::GetExperimentRequest { experiment_id: "0".to_owned() }.encode_to_vec();
    let absent = v1::GetExperimentRequest { experiment_id: "987654".to_owned() }.encode_to_vec();
    let answer = admin.bytes(path, good.clone()).await.expect("the default experiment is there");
    let mut ids = vec![answer.metadata().get("x-request-id").expect("a request id").clone()];
    let missing = admin.bytes(path, absent).await.expect_err("it is not there");
    assert_eq!(missing.code(), Code::NotFound);
    ids.push(missing.metadata().get("x-request-id").expect("a request id on an error").clone());
    let unknown = server.nobody().bytes(path, good).await.expect_err("nobody is signed in");
    assert_eq!(unknown.code(), Code::Unauthenticated);
    ids.push(unknown.metadata().get("x-request-id").expect("a request id on a refusal").clone());
    for id in &ids {
        assert_eq!(id.len(), 32, "{id:?}");
        assert_eq!(ids.iter().filter(|other| *other == id).count(), 1, "ids are given once: {ids:?}");
    }
}

async fn two_credentials_are_none(server: Server) {
    let mut twice = server.admin().await;
    let token = twice.authorization[0].clone();
    twice.authorization.push(token);
    let answer: Result<v1::WhoAmIResponse, _> = twice.call("WhoAmI", v1::WhoAmIRequest {}).await;
    assert_eq!(answer.expect_err("two are refused, even alike").code(), Code::Unauthenticated);
    twice.authorization = vec!["Bearer x".to_owned()];
    let answer: Result<v1::WhoAmIResponse, _> = twice.call("WhoAmI", v1::WhoAmIRequest {}).await;
    assert_eq!(answer.expect_err("no token").code(), Code::Unauthenticated);
}

async fn no_secret_is_logged(mut server: Server) {
    let manager = server.as_("manager").await;
    let _: v1::WhoAmIResponse = manager.call("WhoAmI", v1::WhoAmIRequest {}).await.expect("signed in");
    let wrong = "a wrong password that is long enough";
    let request = v1::SignInRequest { user_name: "admin".to_owned(), password: wrong.to_owned() };
    let answer: Result<v1::SignInResponse, _> = server.nobody().call("SignIn", request).await;
    assert_eq!(answer.expect_err("the password is wrong").code(), Code::Unauthenticated);
    assert!(server.stop().success(), "a clean stop");
    let log = server.log();
    assert!(log.contains("CreateUser"), "the log tells of calls: {log}");
    for secret in server.secrets().iter().map(String::as_str).chain([wrong]) {
        // A token's signature alone would be too much.
        let tail = &secret[secret.len() - 20..];
        assert!(!log.contains(secret) && !log.contains(tail), "a secret is in the log");
    }
}

async fn one_name_has_one_winner(server: Server) {
    let admin = server.admin().await;
    let racers = (0..32).map(|_| {
        let admin = admin.clone();
        tokio::spawn(async move {
            let request = v1::CreateExperimentRequest { name: "wanted".to_owned(), ..Default::default() };
            let answer: Result<v1::CreateExperimentResponse, _> = admin.call("CreateExperiment", request).await;
            answer
        })
    });
    let mut won = 0;
    for racer in racers.collect::<Vec<_>>() {
        match racer.await.expect("no panic") {
            Ok(_) => won += 1,
            Err(status) => assert_eq!(status.code(), Code::AlreadyExists, "{status:?}"),
        }
    }
    assert_eq!(won, 1);
}
