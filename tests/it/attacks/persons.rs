//! Four eyes that are two, and requests that end as nobody decided.

use super::{NOTHING, all_refused, attack};
use crate::house::{Db, Server};
use crate::promotion_sql::{APPROVE, BOB, CAROL, Fortress, decide};

on_both_engines! {
    persons_who_become_others,
}

async fn persons_who_become_others(server: Server) {
    let fortress = Fortress::of(server).await;
    let user = "INSERT INTO users (uid, name, canonical_name, display_name, kind, person_uid, active, created) VALUES ('alice', 'alice', 'alice', '', 'PERSON', 'p-bob', TRUE, 1)";
    let identity: &[&str] = &["request_requesters_identity"];
    let decision: &[&str] = &["request_decisions_identity"];
    let mut attacks = vec![
        attack(
            "a user of another person",
            &["users_person"],
            NOTHING,
            [
                "UPDATE users SET person_uid = 'p-bob' WHERE uid = 'alice'",
                &decide("('k1', 'r', 'p-bob', NULL, 'alice', 'APPROVED', '', 'd1', 1, FALSE, 2)"),
            ],
        ),
        attack(
            "a user without a person",
            &["users_person", "NOT NULL", "null value"],
            NOTHING,
            ["UPDATE users SET person_uid = NULL WHERE uid = 'alice'"],
        ),
        attack("a user deleted", &["users_kept"], NOTHING, ["DELETE FROM users WHERE uid = 'dave'"]),
        attack("a user with another's name", &["users_name"], NOTHING, ["UPDATE users SET canonical_name = 'eve' WHERE uid = 'alice'"]),
        attack("a requester of another time", identity, NOTHING, ["UPDATE request_requesters SET created = 0"]),
        attack("a requester of another user", identity, NOTHING, ["UPDATE request_requesters SET user_uid = 'bot'"]),
        attack(
            "a requester without a person",
            &["request_requesters_identity", "NOT NULL", "null value"],
            NOTHING,
            ["UPDATE request_requesters SET person_uid = NULL"],
        ),
        attack(
            "a requester of another request",
            &["request_requesters_identity", "FOREIGN KEY", "foreign key"],
            NOTHING,
            ["UPDATE request_requesters SET request_uid = 'x'"],
        ),
        attack(
            "a decision by no token of the command line",
            decision,
            [decide(&BOB.replace("FALSE", "TRUE"))],
            ["UPDATE request_decisions SET voided = 5, command_line = FALSE"],
        ),
        attack("a decision of another time", decision, [decide(BOB)], ["UPDATE request_decisions SET voided = 5, created = 0"]),
        attack(
            "a decision through no other",
            decision,
            [decide(&BOB.replace("NULL", "'p-dave'"))],
            ["UPDATE request_decisions SET voided = 5, issuer_person_uid = NULL"],
        ),
        attack(
            "a decision that was not voided",
            decision,
            [decide(BOB), "UPDATE request_decisions SET voided = 5".to_owned()],
            ["UPDATE request_decisions SET voided = NULL"],
        ),
        attack(
            "approved without a word",
            &["CHECK constraint", "check constraint", "transition_requests_quorum"],
            NOTHING,
            ["UPDATE transition_requests SET state = 'approved' WHERE uid = 'r'"],
        ),
        attack("approved by NULL", &["NOT NULL", "null value"], NOTHING, ["UPDATE transition_requests SET state = NULL WHERE uid = 'r'"]),
        attack(
            "approved with the id lost",
            &["transition_requests_identity", "transition_requests_quorum", "NOT NULL", "null value"],
            NOTHING,
            ["UPDATE transition_requests SET state = 'APPROVED', uid = NULL WHERE uid = 'r'"],
        ),
        attack(
            "approved and reopened",
            &["transition_requests_final"],
            [decide(BOB), decide(CAROL), APPROVE.to_owned()],
            ["UPDATE transition_requests SET state = 'OPEN' WHERE uid = 'r'"],
        ),
    ];
    if fortress.db == Db::Sqlite {
        attacks.push(attack(
            "a user replaced by one of another person",
            &["users_not_replaced"],
            ["PRAGMA defer_foreign_keys = ON"],
            [user.replace("INSERT INTO", "INSERT OR REPLACE INTO")],
        ));
        attacks.push(attack(
            "a user replaced through the name",
            &["users_not_replaced"],
            ["PRAGMA defer_foreign_keys = ON"],
            [user.replace("INSERT INTO", "INSERT OR REPLACE INTO").replace("('alice', ", "('x', ")],
        ));
        attacks.push(attack(
            "UPDATE OR REPLACE of a user",
            &["users_update_not_replaced"],
            ["PRAGMA defer_foreign_keys = ON"],
            ["UPDATE OR REPLACE users SET canonical_name = 'bob' WHERE uid = 'alice'"],
        ));
    } else {
        attacks.push(attack(
            "ON CONFLICT DO UPDATE of a user",
            &["users_person"],
            NOTHING,
            [format!("{user} ON CONFLICT (uid) DO UPDATE SET person_uid = 'p-bob'")],
        ));
        attacks.push(attack("TRUNCATE of users", &["is not emptied"], NOTHING, ["TRUNCATE users CASCADE"]));
    }
    all_refused(&fortress, attacks).await;
}
