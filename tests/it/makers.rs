//! Whoever made a login, set its password or made its token stands behind it: attacked by an admin who wants to be
//! two persons, by a help desk that makes tokens in advance, and by the thief of a token.

use stagegate::contract::v1;
use tonic::{Code, Status};

use crate::house::{Client, Server};
use crate::promotion::{NAME, refused, version};

on_both_engines! {
    an_admin_is_not_the_manager_whom_they_made,
    an_admin_is_not_the_manager_whose_password_they_set,
    puppets_of_puppets_are_no_second_persons,
    a_puppet_does_not_ask_for_its_maker,
    a_password_that_somebody_else_set_can_only_be_changed,
    a_token_made_in_advance_gives_what_its_maker_holds,
    a_token_ends_when_its_maker_may_no_longer_make_it,
    a_child_falls_with_its_parent,
    a_new_password_ends_what_was_made_before,
    deactivation_ends_what_was_made_before_for_good,
    a_token_that_outlives_its_session_takes_a_fresh_sign_in,
    somebody_else_vouches_and_the_record_shows_it,
    vouching_does_not_reach_back_to_tokens,
    a_common_maker_is_shown_and_a_gate_can_refuse_it,
    the_list_of_what_one_may_approve_tells_what_it_leaves_out,
}

const TEMPORARY: &str = "a temporary password";
const CHOSEN: &str = "a password of one's own";

pub(super) async fn create(who: &Client, name: &str, persona: &str) -> Result<(), Status> {
    let (user_name, password, persona) = (name.to_owned(), TEMPORARY.to_owned(), persona.to_owned());
    let request = v1::CreateUserRequest { user_name, password, persona, ..Default::default() };
    who.call::<_, v1::CreateUserResponse>("CreateUser", request).await.map(drop)
}

async fn set_password(who: &Client, name: &str, current: &str, new: &str) -> Result<(), Status> {
    let (user_name, current_password, new_password) = (name.to_owned(), current.to_owned(), new.to_owned());
    let request = v1::SetPasswordRequest { user_name, current_password, new_password };
    who.call::<_, v1::SetPasswordResponse>("SetPassword", request).await.map(drop)
}

/// Signs in with the password that somebody set, changes it, and signs in with the new one.
pub(super) async fn take_over(server: &Server, name: &str) -> Client {
    let first = server.sign_in(name, TEMPORARY).await;
    set_password(&first, name, TEMPORARY, CHOSEN).await.expect("can be changed");
    server.sign_in(name, CHOSEN).await
}

async fn token(who: &Client, user: &str, ttl_ms: Option<i64>) -> Result<v1::CreateTokenResponse, Status> {
    who.call("CreateToken", v1::CreateTokenRequest { user_name: user.to_owned(), ttl_ms, ..Default::default() }).await
}

async fn made(server: &Server, who: &Client, user: &str) -> Client {
    made_for(server, who, user, 60_000).await
}

async fn made_for(server: &Server, who: &Client, user: &str, ttl_ms: i64) -> Client {
    let answer = token(who, user, Some(ttl_ms)).await.expect("a token can be made");
    server.with_token(user, answer.token_text)
}

async fn known(who: &Client) -> Result<String, Status> {
    let answer: v1::WhoAmIResponse = who.call("WhoAmI", v1::WhoAmIRequest {}).await?;
    Ok(answer.user.expect("is answered").user_name)
}

async fn fallen(who: &Client) {
    refused(known(who).await, Code::Unauthenticated, "sign in");
}

async fn activity(admin: &Client, name: &str, active: bool) {
    let request = v1::UpdateUserRequest { user_name: name.to_owned(), active: Some(active), ..Default::default() };
    let _: v1::UpdateUserResponse = admin.call("UpdateUser", request).await.expect("can be changed");
}

pub(super) async fn ask(who: &Client) -> v1::TransitionRequest {
    let request = v1::CreateTransitionRequestRequest {
        name: NAME.to_owned(),
        version: "1".to_owned(),
        stage: "Production".to_owned(),
        ..Default::default()
    };
    let answer: v1::CreateTransitionRequestResponse = who.call("CreateTransitionRequest", request).await.expect("may be asked for");
    answer.request.expect("is answered")
}

pub(super) async fn approve(who: &Client, asked: &v1::TransitionRequest) -> Result<v1::TransitionRequest, Status> {
    let (request_id, evidence_digest) = (asked.request_id.clone(), asked.evidence_digest.clone());
    let request = v1::ApproveTransitionRequestRequest { request_id, evidence_digest, ..Default::default() };
    let answer: v1::ApproveTransitionRequestResponse = who.call("ApproveTransitionRequest", request).await?;
    Ok(answer.request.expect("is answered"))
}

pub(super) async fn model(admin: &Client) {
    let request = v1::CreateRegisteredModelRequest { name: NAME.to_owned(), ..Default::default() };
    let _: v1::CreateRegisteredModelResponse = admin.call("CreateRegisteredModel", request).await.expect("a model");
    version(admin, NAME, "s3://bucket/model", "").await;
}

async fn grant(admin: &Client, name: &str, persona: &str) -> String {
    let request = v1::CreateGrantRequest {
        principal: Some(v1::Principal { principal: Some(v1::principal::Principal::UserName(name.to_owned())) }),
        persona: persona.to_owned(),
        scope: Some(v1::Scope { scope: Some(v1::scope::Scope::Server(v1::WholeServer {})) }),
        effect: v1::GrantEffect::Allow.into(),
        ..Default::default()
    };
    let answer: v1::CreateGrantResponse = admin.call("CreateGrant", request).await.expect("a grant");
    answer.grant.expect("is answered").grant_id
}

/// A persona with the rights of a help desk, and a user who has it.
async fn help_desk(server: &Server, admin: &Client) -> (Client, String) {
    let permissions = ["users.read", "users.manage", "tokens.create", "passwords.set", "models.read"].map(str::to_owned).to_vec();
    let request = v1::CreatePersonaRequest { name: "help_desk".to_owned(), permissions, ..Default::default() };
    let _: v1::CreatePersonaResponse = admin.call("CreatePersona", request).await.expect("a persona");
    create(admin, "desk", "").await.expect("a user");
    let grant = grant(admin, "desk", "help_desk").await;
    (take_over(server, "desk").await, grant)
}

async fn rotate(who: &Client) -> Result<(), Status> {
    who.call::<_, v1::RotateSigningKeyResponse>("RotateSigningKey", v1::RotateSigningKeyRequest {}).await.map(drop)
}

async fn an_admin_is_not_the_manager_whom_they_made(server: Server) {
    let admin = server.admin().await;
    model(&admin).await;
    let asked = ask(&admin).await;
    create(&admin, "puppet", "manager").await.expect("a user");
    let puppet = take_over(&server, "puppet").await;
    refused(approve(&puppet, &asked).await, Code::PermissionDenied, "admin, who requested it, made your login");
}

async fn an_admin_is_not_the_manager_whose_password_they_set(server: Server) {
    let admin = server.admin().await;
    model(&admin).await;
    server.command_line(&["user", "create", "max", "--persona", "manager"]);
    let asked = ask(&admin).await;
    set_password(&admin, "max", "", TEMPORARY).await.expect("an admin may");
    let max = take_over(&server, "max").await;
    refused(approve(&max, &asked).await, Code::PermissionDenied, "admin, who requested it, set your password");
}

async fn puppets_of_puppets_are_no_second_persons(server: Server) {
    let admin = server.admin().await;
    model(&admin).await;
    let asked = ask(&admin).await;
    create(&admin, "first", "admin").await.expect("a user");
    let first = take_over(&server, "first").await;
    create(&first, "second", "manager").await.expect("a user");
    let second = take_over(&server, "second").await;
    refused(approve(&second, &asked).await, Code::PermissionDenied, "admin, who requested it, stands behind first, who made your login");
    // A token that the puppet makes for somebody else's login is no way round it.
    server.command_line(&["user", "create", "max", "--persona", "manager"]);
    let max = made(&server, &first, "max").await;
    refused(approve(&max, &asked).await, Code::PermissionDenied, "admin, who requested it, stands behind");
}

async fn a_puppet_does_not_ask_for_its_maker(server: Server) {
    let admin = server.admin().await;
    model(&admin).await;
    create(&admin, "ann", "data_scientist").await.expect("a user");
    let ann = take_over(&server, "ann").await;
    let asked = ask(&ann).await;
    refused(approve(&admin, &asked).await, Code::PermissionDenied, "you made the login of ann, who requested it");
}

async fn a_password_that_somebody_else_set_can_only_be_changed(server: Server) {
    let admin = server.admin().await;
    create(&admin, "ann", "data_scientist").await.expect("a user");
    let first = server.sign_in("ann", TEMPORARY).await;
    let basic = |password: &str| {
        use base64::Engine;
        let text = base64::engine::general_purpose::STANDARD.encode(format!("ann:{password}"));
        Client::new(server.nobody().http().address(), Some(format!("Basic {text}")))
    };
    let experiments = |who: Client| async move {
        let request = v1::SearchExperimentsRequest { max_results: Some(10), ..Default::default() };
        who.call::<_, v1::SearchExperimentsResponse>("SearchExperiments", request).await
    };
    for who in [first.clone(), basic(TEMPORARY)] {
        refused(experiments(who.clone()).await, Code::PermissionDenied, "change the password");
        refused(token(&who, "", Some(60_000)).await, Code::PermissionDenied, "change the password");
        assert_eq!(known(&who).await.expect("may be asked"), "ann");
    }
    set_password(&basic(TEMPORARY), "", TEMPORARY, CHOSEN).await.expect("can be changed");
    fallen(&first).await;
    for who in [server.sign_in("ann", CHOSEN).await, basic(CHOSEN)] {
        experiments(who).await.expect("the password is ann's own");
    }
}

async fn a_token_made_in_advance_gives_what_its_maker_holds(server: Server) {
    let admin = server.admin().await;
    let (desk, _) = help_desk(&server, &admin).await;
    create(&desk, "newcomer", "").await.expect("a user");
    let in_advance = made(&server, &desk, "newcomer").await;
    grant(&admin, "newcomer", "admin").await;
    refused(rotate(&in_advance).await, Code::PermissionDenied, "keys.rotate");
    refused(create(&in_advance, "more", "admin").await, Code::PermissionDenied, "cannot hand on");
    // What both hold goes on.
    let request = v1::SearchRegisteredModelsRequest::default();
    let _: v1::SearchRegisteredModelsResponse =
        in_advance.call("SearchRegisteredModels", request).await.expect("models.read is held by both");
    let request = v1::SearchExperimentsRequest { max_results: Some(10), ..Default::default() };
    let found: v1::SearchExperimentsResponse = in_advance.call("SearchExperiments", request).await.expect("a search filters");
    assert_eq!(found.experiments.len(), 0, "the help desk sees no experiments");
    // Newcomer in person is an admin.
    rotate(&take_over(&server, "newcomer").await).await.expect("an admin may");
}

async fn a_token_ends_when_its_maker_may_no_longer_make_it(server: Server) {
    let admin = server.admin().await;
    let (desk, right) = help_desk(&server, &admin).await;
    create(&desk, "ann", "").await.expect("a user");
    let token = made(&server, &desk, "ann").await;
    assert_eq!(known(&token).await.expect("is good"), "ann");
    let _: v1::DeleteGrantResponse = admin.call("DeleteGrant", v1::DeleteGrantRequest { grant_id: right }).await.expect("a grant can go");
    fallen(&token).await;
    grant(&admin, "desk", "help_desk").await;
    let token = made(&server, &desk, "ann").await;
    activity(&admin, "desk", false).await;
    fallen(&token).await;
    activity(&admin, "desk", true).await;
    fallen(&token).await;
}

async fn a_child_falls_with_its_parent(server: Server) {
    server.command_line(&["user", "create", "bot", "--persona", "trainer"]);
    let text = server.command_line(&["token", "create", "--user", "bot"]);
    let parent = server.with_token("bot", text.trim().to_owned());
    refused(token(&parent, "", Some(365 * 86_400_000)).await, Code::FailedPrecondition, "outlive");
    let child = made(&server, &parent, "").await;
    let grandchild = made_for(&server, &child, "", 30_000).await;
    let stranger = made(&server, &parent, "").await;
    let revoke = |who: Client, token: Client| async move {
        let me: v1::WhoAmIResponse = token.call("WhoAmI", v1::WhoAmIRequest {}).await.expect("is good");
        let token_id = me.token.expect("a token").token_id;
        let _: v1::RevokeTokenResponse = who.call("RevokeToken", v1::RevokeTokenRequest { token_id }).await.expect("may be revoked");
    };
    revoke(parent.clone(), child.clone()).await;
    fallen(&child).await;
    fallen(&grandchild).await;
    assert_eq!(known(&stranger).await.expect("another child"), "bot");
    revoke(parent.clone(), parent.clone()).await;
    fallen(&stranger).await;
}

async fn a_new_password_ends_what_was_made_before(server: Server) {
    let admin = server.admin().await;
    create(&admin, "ann", "admin").await.expect("a user");
    let ann = take_over(&server, "ann").await;
    let own = made(&server, &ann, "").await;
    let child = made_for(&server, &own, "", 30_000).await;
    create(&ann, "bot", "trainer").await.expect("a user");
    let for_another = made(&server, &ann, "bot").await;
    set_password(&ann, "", CHOSEN, "yet another password").await.expect("ann's own");
    for token in [&ann, &own, &child, &for_another] {
        fallen(token).await;
    }
    let anew = server.sign_in("ann", "yet another password").await;
    let listed: v1::ListTokensResponse = anew.call("ListTokens", v1::ListTokensRequest::default()).await.expect("own tokens");
    assert_eq!(listed.tokens.iter().filter(|token| !token.revoked).count(), 1, "only the new session is good");
}

async fn deactivation_ends_what_was_made_before_for_good(server: Server) {
    let admin = server.admin().await;
    create(&admin, "ann", "data_scientist").await.expect("a user");
    let ann = take_over(&server, "ann").await;
    let own = made(&server, &ann, "").await;
    let given = made(&server, &admin, "ann").await;
    activity(&admin, "ann", false).await;
    activity(&admin, "ann", true).await;
    for token in [&ann, &own, &given] {
        fallen(token).await;
    }
    assert_eq!(known(&server.sign_in("ann", CHOSEN).await).await.expect("the password is still ann's"), "ann");
}

async fn a_token_that_outlives_its_session_takes_a_fresh_sign_in(server: Server) {
    let admin = server.admin().await;
    let lasting = token(&admin, "", Some(86_400_000)).await.expect("the sign-in is fresh");
    // A token is no sign-in, however young it is.
    let lasting = server.with_token("admin", lasting.token_text);
    refused(token(&lasting, "", Some(2 * 86_400_000)).await, Code::FailedPrecondition, "outlive");
    refused(token(&lasting, "", None).await, Code::FailedPrecondition, "sign in");
    let hour = token(&lasting, "", Some(3_600_000)).await.expect("its parent lives longer").token.expect("is answered");
    assert!(!hour.parent_token_id.is_empty());
    // Signing out ends what was made within the session, and no more.
    let session = server.admin().await;
    let (within, beyond) = (made(&server, &session, "").await, token(&session, "", Some(86_400_000)).await.expect("is fresh"));
    let _: v1::SignOutResponse = session.call("SignOut", v1::SignOutRequest {}).await.expect("signs out");
    fallen(&within).await;
    known(&server.with_token("admin", beyond.token_text)).await.expect("it was made to last");
}

async fn vouch(who: &Client, name: &str) -> Result<v1::User, Status> {
    let request = v1::VouchForUserRequest { user_name: name.to_owned(), comment: "met in person".to_owned() };
    let answer: v1::VouchForUserResponse = who.call("VouchForUser", request).await?;
    Ok(answer.user.expect("is answered"))
}

/// An admin whom nobody nameable made.
async fn second_admin(server: &Server) -> Client {
    server.made_by_hand("dora", "admin")
}

async fn somebody_else_vouches_and_the_record_shows_it(server: Server) {
    let (admin, dora) = (server.admin().await, second_admin(&server).await);
    model(&admin).await;
    let asked = ask(&admin).await;
    create(&admin, "max", "manager").await.expect("a user");
    refused(vouch(&dora, "max").await, Code::FailedPrecondition, "has not changed the password");
    let max = take_over(&server, "max").await;
    create(&admin, "puppet", "admin").await.expect("a user");
    let puppet = take_over(&server, "puppet").await;
    refused(vouch(&admin, "max").await, Code::PermissionDenied, "you made the login of max");
    refused(vouch(&puppet, "max").await, Code::PermissionDenied, "go back to the same maker, admin");
    refused(vouch(&puppet, "puppet").await, Code::PermissionDenied, "login of their own");
    refused(vouch(&max, "max").await, Code::PermissionDenied, "users.manage");
    refused(approve(&max, &asked).await, Code::PermissionDenied, "admin, who requested it, made your login");
    let request = v1::GetUserRequest { user_name: "max".to_owned() };
    let before: v1::GetUserResponse = dora.call("GetUser", request).await.expect("is there");
    let makers = before.user.expect("is answered").makers;
    assert_eq!((makers.len(), makers[0].user_name.as_str(), makers[0].deed()), (1, "admin", v1::MakerDeed::MadeLogin));
    assert!(vouch(&dora, "max").await.expect("nobody made dora").makers.is_empty());
    let entries = server.ledger_of("VouchForUser").await;
    assert_eq!(entries, 1, "vouching is a row");
    // A session from before keeps the makers of its time.
    refused(approve(&max, &asked).await, Code::PermissionDenied, "admin, who requested it");
    let max = server.sign_in("max", CHOSEN).await;
    assert_eq!(approve(&max, &asked).await.expect("max is a second person").state(), v1::TransitionRequestState::Approved);
    // A later password is another matter.
    set_password(&admin, "max", "", TEMPORARY).await.expect("an admin may");
    let request = v1::GetUserRequest { user_name: "max".to_owned() };
    let after: v1::GetUserResponse = dora.call("GetUser", request).await.expect("is there");
    let user = after.user.expect("is answered");
    assert!(user.password_change_due && user.makers.iter().any(|maker| maker.deed() == v1::MakerDeed::SetPassword));
}

async fn vouching_does_not_reach_back_to_tokens(server: Server) {
    let (admin, dora) = (server.admin().await, second_admin(&server).await);
    model(&admin).await;
    let asked = ask(&admin).await;
    create(&admin, "max", "manager").await.expect("a user");
    let admin_as_max = take_over(&server, "max").await;
    let kept = token(&admin_as_max, "", Some(86_400_000)).await.expect("the sign-in is fresh");
    vouch(&dora, "max").await.expect("dora was deceived");
    let kept = server.with_token("max", kept.token_text);
    refused(approve(&kept, &asked).await, Code::PermissionDenied, "admin, who requested it, stands behind max, who made the token");
}

async fn a_common_maker_is_shown_and_a_gate_can_refuse_it(server: Server) {
    let admin = server.admin().await;
    model(&admin).await;
    for (name, persona) in [("ann", "data_scientist"), ("max", "manager")] {
        create(&admin, name, persona).await.expect("a user");
    }
    let (ann, max) = (take_over(&server, "ann").await, take_over(&server, "max").await);
    let strict = "INSERT INTO gates (gate_id, version, workspace_id, target, model_pattern, approvals_required, \
        direct_moves_allowed, active, created, created_by, common_maker_allowed) \
        VALUES ('default-production', 2, 'default', 'Production', '*', 1, FALSE, TRUE, 1, (SELECT uid FROM users WHERE name = 'admin'), FALSE)";
    sea_orm::ConnectionTrait::execute_unprepared(&server.sql().await, strict).await.expect("a stricter gate");
    let asked = ask(&ann).await;
    assert_eq!(asked.requesters[0].makers[0].user_name, "admin");
    refused(approve(&max, &asked).await, Code::PermissionDenied, "go back to the same maker, admin, which is refused here");
    // Vouched for by a second person, max is apart from ann.
    let dora = second_admin(&server).await;
    vouch(&dora, "max").await.expect("nobody made dora");
    let max = server.sign_in("max", CHOSEN).await;
    let done = approve(&max, &asked).await.expect("ann and max have no maker in common");
    assert!(done.decisions[0].makers.is_empty());
    // By default it is allowed, and shown.
    let loose = "INSERT INTO gates (gate_id, version, workspace_id, target, model_pattern, approvals_required, \
        direct_moves_allowed, active, created, created_by) \
        VALUES ('default-production', 3, 'default', 'Production', '*', 1, FALSE, TRUE, 1, (SELECT uid FROM users WHERE name = 'admin'))";
    sea_orm::ConnectionTrait::execute_unprepared(&server.sql().await, loose).await.expect("a gate as by default");
    version(&admin, NAME, "s3://bucket/model", "").await;
    create(&admin, "mia", "manager").await.expect("a user");
    let mia = take_over(&server, "mia").await;
    let request = v1::CreateTransitionRequestRequest {
        name: NAME.to_owned(),
        version: "2".to_owned(),
        stage: "Production".to_owned(),
        ..Default::default()
    };
    let asked: v1::CreateTransitionRequestResponse = ann.call("CreateTransitionRequest", request).await.expect("may be asked for");
    let done = approve(&mia, &asked.request.expect("is answered")).await.expect("allowed");
    assert_eq!((done.requesters[0].makers[0].user_name.as_str(), done.decisions[0].makers[0].user_name.as_str()), ("admin", "admin"));
}

async fn the_list_of_what_one_may_approve_tells_what_it_leaves_out(server: Server) {
    let admin = server.admin().await;
    model(&admin).await;
    let asked = ask(&admin).await;
    create(&admin, "puppet", "manager").await.expect("a user");
    let list = |who: Client| async move {
        let request = v1::ListTransitionRequestsRequest { approvable_by_me: true, ..Default::default() };
        who.call::<_, v1::ListTransitionRequestsResponse>("ListTransitionRequests", request).await.expect("a list")
    };
    let told = list(take_over(&server, "puppet").await).await;
    assert_eq!((told.requests.len(), told.left_out_count, told.left_out.len()), (0, 1, 1));
    assert_eq!(told.left_out[0].request_id, asked.request_id);
    assert!(told.left_out[0].reason.starts_with("admin, who requested it, made your login"), "{told:?}");
    let told = list(server.made_by_hand("vera", "viewer")).await;
    assert!(told.left_out[0].reason.contains("requests.approve"), "{told:?}");
    let found = list(server.made_by_hand("mia", "manager")).await;
    assert_eq!((found.requests.len(), found.left_out_count), (1, 0));
}
