//! The last admin: one who cannot sign in is none.

use sea_orm::ConnectionTrait;
use stagegate::contract::v1;
use tonic::{Code, Status};

use crate::house::{Client, Server};

on_both_engines! {
    an_admin_who_cannot_sign_in_does_not_count,
    one_who_can_sign_in_lets_the_first_go,
}

async fn user(admin: &Client, name: &str, password: &str) {
    let request = v1::CreateUserRequest {
        user_name: name.to_owned(),
        password: password.to_owned(),
        persona: "admin".to_owned(),
        ..Default::default()
    };
    let _: v1::CreateUserResponse = admin.call("CreateUser", request).await.expect("a user");
}

async fn deactivate(admin: &Client, name: &str) -> Result<v1::UpdateUserResponse, Status> {
    let request = v1::UpdateUserRequest { user_name: name.to_owned(), active: Some(false), ..Default::default() };
    admin.call("UpdateUser", request).await
}

fn to_user(name: &str) -> Option<v1::Principal> {
    Some(v1::Principal { principal: Some(v1::principal::Principal::UserName(name.to_owned())) })
}

fn refused<T: std::fmt::Debug>(what: &str, outcome: Result<T, Status>) {
    let status = outcome.expect_err(what);
    assert_eq!(status.code(), Code::FailedPrecondition, "{what}: {status:?}");
    assert!(status.message().contains("no active admin"), "{what}: {status:?}");
}

/// Each way in which the only admin who can sign in could go, while one is there who cannot.
async fn an_admin_who_cannot_sign_in_does_not_count(server: Server) {
    let admin = server.admin().await;
    user(&admin, "ghost", "").await;
    // A token that lives does not help: it ends, and nobody can make another.
    let request = v1::CreateTokenRequest { user_name: "ghost".to_owned(), ..Default::default() };
    let _: v1::CreateTokenResponse = admin.call("CreateToken", request).await.expect("a token");
    refused("deactivating", deactivate(&admin, "admin").await);
    let grants: v1::ListGrantsResponse =
        admin.call("ListGrants", v1::ListGrantsRequest { user_name: "admin".to_owned(), ..Default::default() }).await.expect("grants");
    let grant_id = grants.grants.first().expect("its grant").grant_id.clone();
    let delete = v1::DeleteGrantRequest { grant_id };
    refused("taking the grant", admin.call::<_, v1::DeleteGrantResponse>("DeleteGrant", delete).await);
    let deny = v1::CreateGrantRequest {
        principal: to_user("admin"),
        persona: "admin".to_owned(),
        scope: Some(v1::Scope { scope: Some(v1::scope::Scope::Server(v1::WholeServer {})) }),
        effect: v1::GrantEffect::Deny.into(),
        ..Default::default()
    };
    refused("denying", admin.call::<_, v1::CreateGrantResponse>("CreateGrant", deny).await);
    assert!(deactivate(&admin, "ghost").await.is_ok(), "who does not count may go");
}

async fn one_who_can_sign_in_lets_the_first_go(server: Server) {
    let admin = server.admin().await;
    user(&admin, "second", "a long password of the second").await;
    // Whoever made a login knows its password; on record it becomes the second one's own.
    let request = v1::SignInRequest { user_name: "second".to_owned(), password: "a long password of the second".to_owned() };
    let answer: v1::SignInResponse = server.nobody().call("SignIn", request).await.expect("a session");
    let second = server.with_token("second", answer.token);
    let request = v1::SetPasswordRequest {
        user_name: "second".to_owned(),
        current_password: "a long password of the second".to_owned(),
        new_password: "a password that nobody else knows".to_owned(),
    };
    let _: v1::SetPasswordResponse = second.call("SetPassword", request).await.expect("its own password");
    assert!(deactivate(&admin, "admin").await.is_ok(), "another one can sign in");
    // Without its password the second is the last, and no admin any more, whatever the tables say.
    server.sql().await.execute_unprepared("UPDATE access_epoch SET epoch = epoch + 1").await.expect("SQL beside the server");
    refused("the last one", deactivate(&second, "second").await);
}
