//! The state machine under random walks.

use proptest::prelude::*;

use super::*;
use crate::domain::person::{Deed, Login, Maker};

#[derive(Debug, Clone)]
enum Step {
    Join(Actor),
    Withdraw(Actor),
    Approve(Actor, bool),
    Reject(Actor),
    NewEvidence(u8),
    Wait(i64),
    Expire,
    Supersede,
}

fn actor() -> impl Strategy<Value = Actor> {
    ("[a-e]", proptest::option::weighted(0.2, "[a-e]")).prop_map(|(person, issuer)| made(&person, issuer.as_deref()))
}

/// Of five persons `a` made the login of `d`, and `e`'s through `b`; nobody knows who made `c`'s.
fn made(person: &str, issuer: Option<&str>) -> Actor {
    let login = |name: &str| Login { uid: name.to_owned(), name: name.to_owned() };
    let maker = |name: &str, through: Option<&str>| Maker {
        person: name.to_owned(),
        login: login(name),
        deed: Deed::Login,
        through: through.map(login),
    };
    let makers = match person {
        "d" => vec![maker("a", None)],
        "e" => vec![maker("b", None), maker("a", Some("b"))],
        _ => Vec::new(),
    };
    Actor { person: person.to_owned(), name: person.to_owned(), issuer: issuer.map(str::to_owned), makers }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => actor().prop_map(Step::Join),
        20 => actor().prop_map(Step::Withdraw),
        50 => (actor(), proptest::bool::weighted(0.85)).prop_map(|(by, fresh)| Step::Approve(by, fresh)),
        10 => actor().prop_map(Step::Reject),
        10 => any::<u8>().prop_map(Step::NewEvidence),
        10 => (0i64..40).prop_map(Step::Wait),
        10 => Just(Step::Expire),
        1 => Just(Step::Supersede),
    ]
}

fn filed(by: Actor, approvals_required: usize, expires_at: Option<i64>) -> Request {
    Request {
        state: State::Open,
        requesters: vec![by.clone()],
        ever_requested: vec![by],
        approvals: Vec::new(),
        evidence_digest: "first".into(),
        approvals_required,
        common_maker_allowed: true,
        expires_at,
    }
}

fn person(name: &str) -> Actor {
    made(name, None)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn random_walks_keep_the_rules(
        first in actor(), quorum in 1usize..4, common in any::<bool>(), expires_at in proptest::option::of(1i64..100),
        steps in proptest::collection::vec(step(), 0..40),
    ) {
        let mut request = Request { common_maker_allowed: common, ..filed(first, quorum, expires_at) };
        let mut now = 0;
        for step in steps {
            let before = request.clone();
            let expiring = matches!(step, Step::Expire | Step::Supersede);
            let refused = match step {
                Step::Join(by) => request.join(by, now).is_err(),
                Step::Withdraw(by) => request.withdraw(&by, now).is_err(),
                Step::Approve(by, fresh) => {
                    let seen = if fresh { request.evidence_digest.clone() } else { "stale".into() };
                    request.approve(by, &seen, now).is_err()
                }
                Step::Reject(by) => request.reject(&by, now).is_err(),
                Step::NewEvidence(n) => { request.renew_evidence(format!("evidence-{n}")); false }
                Step::Wait(ms) => { now += ms; false }
                Step::Expire => !request.expire(now),
                Step::Supersede => !request.supersede(),
            };
            if refused || before.state != State::Open {
                prop_assert_eq!(&request, &before, "what is refused and what has ended changes nothing");
            }
            let due = expires_at.is_some_and(|at| now >= at);
            if due && before.state == State::Open && !expiring {
                prop_assert_eq!(request.state, State::Open, "nobody decides on a request whose time is up");
            }
            prop_assert!(due || request.state != State::Expired, "none expires before its time");
            for (at, approval) in request.approvals.iter().enumerate() {
                prop_assert!(!request.ever_requested.iter().any(|r| tie(r, &approval.by, "", common).is_some()), "four eyes");
                prop_assert_eq!(&approval.evidence_digest, &request.evidence_digest);
                let others = &request.approvals[at + 1..];
                prop_assert!(!others.iter().any(|other| tie(&other.by, &approval.by, "", common).is_some()), "one person counts once");
            }
            prop_assert_eq!(request.state == State::Approved, request.approvals.len() >= quorum);
            prop_assert_eq!(request.requesters.is_empty(), request.state == State::Cancelled);
        }
    }
}

#[test]
fn nobody_approves_through_a_token_that_a_requester_made() {
    let mut request = filed(person("ann"), 1, None);
    let robot = made("bob", Some("ann"));
    assert_eq!(request.approve(robot, "first", 0), Err(Refusal::OwnRequest("ann, who requested it, made the token that you use".into())));
    assert_eq!(request.approve(person("ann"), "first", 0), Err(Refusal::OwnRequest("you requested it".into())));
    assert_eq!(request.approve(person("bob"), "first", 0), Ok(Outcome::Promote));
    assert_eq!(request.state, State::Approved);
}

#[test]
fn withdrawing_does_not_make_an_approver() {
    let mut request = filed(person("ann"), 1, None);
    request.join(person("bob"), 0).unwrap();
    request.withdraw(&person("ann"), 0).unwrap();
    assert_eq!(request.approve(person("ann"), "first", 0), Err(Refusal::OwnRequest("you requested it".into())));
}

#[test]
fn changed_evidence_voids_approvals_and_stale_ones_are_refused() {
    let mut request = filed(person("ann"), 2, None);
    assert_eq!(request.approve(person("bob"), "first", 0), Ok(Outcome::StillOpen));
    request.renew_evidence("second".into());
    assert!(request.approvals.is_empty());
    let stale = request.approve(person("bob"), "first", 0).unwrap_err();
    assert_eq!(stale, Refusal::StaleEvidence { expected: "second".into(), seen: "first".into() });
}

#[test]
fn who_approved_cannot_join_and_who_joined_cannot_approve() {
    let mut request = filed(person("ann"), 2, None);
    request.approve(person("bob"), "first", 0).unwrap();
    assert_eq!(request.join(person("bob"), 0), Err(Refusal::HasApproved));
    assert_eq!(
        request.join(made("robot", Some("bob")), 0),
        Err(Refusal::BoundToApprover("bob, who approved it, made the token that you use".into()))
    );
    assert_eq!(request.approve(person("bob"), "first", 0), Err(Refusal::ApprovedTwice));
    request.join(person("cyd"), 0).unwrap();
    assert_eq!(request.join(person("cyd"), 0), Err(Refusal::AlreadyRequester));
    assert_eq!(request.approve(person("cyd"), "first", 0), Err(Refusal::OwnRequest("you requested it".into())));
    assert_eq!(request.reject(&person("cyd"), 0), Err(Refusal::OwnRequest("you requested it".into())));
    assert_eq!(request.withdraw(&person("bob"), 0), Err(Refusal::NotRequester));
    assert_eq!(request.approve(person("dan"), "first", 0), Ok(Outcome::Promote));
}

#[test]
fn the_last_to_withdraw_cancels_and_ended_requests_refuse_everything() {
    let mut request = filed(person("ann"), 1, None);
    request.join(person("bob"), 0).unwrap();
    request.withdraw(&person("ann"), 0).unwrap();
    assert_eq!(request.state, State::Open);
    request.withdraw(&person("bob"), 0).unwrap();
    let ended = Refusal::NotOpen(State::Cancelled);
    assert_eq!(request.join(person("ann"), 0), Err(ended.clone()));
    assert_eq!(request.withdraw(&person("bob"), 0), Err(ended.clone()));
    assert_eq!(request.approve(person("cyd"), "first", 0), Err(ended.clone()));
    assert_eq!(request.reject(&person("cyd"), 0), Err(ended.clone()));
    assert!(!request.supersede() && !request.expire(i64::MAX));
    assert_eq!(ended.to_string(), "the request is not open: it is CANCELLED");
}

#[test]
fn time_ends_a_request_at_the_very_millisecond() {
    let mut request = filed(person("ann"), 1, Some(100));
    assert!(!request.expire(99));
    assert_eq!(request.approve(person("bob"), "first", 100), Err(Refusal::Expired));
    assert!(request.expire(100));
    assert_eq!(request.state, State::Expired);
}

#[test]
fn states_are_read_as_they_are_written() {
    for text in ["OPEN", "APPROVED", "REJECTED", "CANCELLED", "EXPIRED", "SUPERSEDED"] {
        assert_eq!(State::parse(text).map(State::as_str), Some(text));
    }
    assert_eq!(State::parse("open"), None);
}
