//! Makers attacked by raw SQL: what four eyes say of those who stand behind a login holds in the database.

use crate::house::{Db, Server};
use crate::promotion_sql::{APPROVE, BOB, CAROL, Fortress, decide, moves};

on_both_engines! {
    a_maker_and_the_made_are_one_pair_of_eyes,
    what_is_on_record_of_makers_stays,
    no_maker_vouches,
    a_gate_refuses_common_makers,
}

fn behind(user: &str, maker: &str, through: &str) -> String {
    format!(
        "INSERT INTO user_makers (user_uid, deed, maker_user_uid, maker_person_uid, through_user_uid, created) \
         VALUES ('{user}', 'LOGIN', '{maker}', 'p-{maker}', '{through}', 1)"
    )
}

fn at_request(decision: &str, person: &str, maker: &str) -> String {
    format!(
        "INSERT INTO request_makers (request_uid, decision_uid, person_uid, deed, maker_user_uid, maker_person_uid, through_user_uid) \
         VALUES ('r', '{decision}', 'p-{person}', 'TOKEN', '{maker}', 'p-{maker}', '')"
    )
}

const VOUCH: &str = "UPDATE user_makers SET vouched = 2, vouched_by = 'carol' WHERE user_uid = 'bob'";
const DAVE_ASKS: &str =
    "INSERT INTO request_requesters (request_uid, person_uid, user_uid, comment, created) VALUES ('r', 'p-dave', 'dave', '', 2)";

async fn a_maker_and_the_made_are_one_pair_of_eyes(server: Server) {
    let fortress = Fortress::of(server).await;
    let (bob, carol) = (decide(BOB), decide(CAROL));
    let four_eyes = ["request_makers_four_eyes"];
    // Alice asks. Bob's login is hers, or goes back to her.
    fortress.refuses(&four_eyes, &[&behind("bob", "alice", "")], &bob).await;
    fortress.refuses(&four_eyes, &[&behind("bob", "carol", ""), &behind("bob", "alice", "carol")], &bob).await;
    fortress.allows(&[&behind("bob", "alice", ""), VOUCH, &bob]).await;
    fortress.allows(&[&behind("bob", "dave", ""), &bob]).await;
    // The token of the one who decides, written down behind it.
    fortress.refuses(&four_eyes, &[&bob], &at_request("k1", "bob", "alice")).await;
    // One who asks was made by the one who decides.
    let decides = ["request_decisions_makers"];
    fortress.refuses(&decides, &[&behind("dave", "bob", ""), DAVE_ASKS], &bob).await;
    let withdrawn = "UPDATE request_requesters SET withdrawn = 3 WHERE person_uid = 'p-dave'";
    fortress.refuses(&decides, &[&behind("dave", "bob", ""), DAVE_ASKS, withdrawn], &bob).await;
    fortress.refuses(&decides, &[DAVE_ASKS, &at_request("", "dave", "bob")], &bob).await;
    // Asked first, made later, and asked again through the new maker.
    let again = "UPDATE request_requesters SET withdrawn = NULL WHERE person_uid = 'p-dave'";
    fortress.refuses(&decides, &[DAVE_ASKS, withdrawn, &behind("dave", "bob", ""), again], &bob).await;
    // One who has approved is not made by one who joins, nor the reverse.
    fortress.refuses(&four_eyes, &[&bob, &behind("dave", "bob", "")], DAVE_ASKS).await;
    fortress.refuses(&["request_requesters_makers"], &[&behind("bob", "dave", ""), &bob], DAVE_ASKS).await;
    // Of two who approve neither made the other.
    fortress.refuses(&four_eyes, &[&behind("carol", "bob", ""), &bob], &carol).await;
    fortress.refuses(&decides, &[&behind("bob", "carol", ""), &bob], &carol).await;
    // Nor is a direct move the way round it.
    let own = "INSERT INTO transition_requests (uid, model_uid, version_uid, target, state, gate_id, gate_version, evidence_digest, created, updated) \
               VALUES ('own', 'm', 'v1', 'Production', 'OPEN', 'default-production', 1, 'd', 1, 1)";
    let asks = DAVE_ASKS.replace("'r'", "'own'");
    let past = moves("(1, 't1', 'm', 'v1', 'Production', 'None', 'direct', NULL, NULL, 'bob', 'bob', 2)");
    fortress.allows(&[own, &asks, &past]).await;
    fortress.refuses(&["transitions_own_request"], &[&behind("dave", "bob", ""), own, &asks], &past).await;
    fortress.refuses(&["transitions_own_request"], &[&behind("bob", "dave", ""), own, &asks], &past).await;
}

async fn what_is_on_record_of_makers_stays(server: Server) {
    let fortress = Fortress::of(server).await;
    let (bob, carol, made) = (decide(BOB), decide(CAROL), behind("bob", "dave", ""));
    for (by, attack) in [
        ("user_makers_kept", "DELETE FROM user_makers"),
        ("user_makers_identity", "UPDATE user_makers SET maker_user_uid = '', maker_person_uid = ''"),
        ("user_makers_identity", "UPDATE user_makers SET user_uid = 'carol'"),
        ("user_makers_identity", "UPDATE user_makers SET vouched = 2"),
        ("request_makers_kept", "DELETE FROM request_makers"),
        ("request_makers_identity", "UPDATE request_makers SET maker_user_uid = '', maker_person_uid = ''"),
    ] {
        fortress.refuses(&[by], &[&made, &bob], attack).await;
    }
    fortress.refuses(&["user_makers_identity"], &[&made, VOUCH], "UPDATE user_makers SET vouched = 3, vouched_by = 'carol'").await;
    fortress.refuses(&["user_makers_true"], &[], &made.replace("'p-dave'", "'p-carol'")).await;
    fortress.refuses(&["user_makers_true"], &[], &behind("bob", "bob", "")).await;
    fortress.refuses(&["request_makers_true"], &[&bob], &at_request("k1", "carol", "dave")).await;
    fortress.refuses(&["request_makers_true"], &[], &at_request("", "bob", "dave")).await;
    fortress.refuses(&["request_makers_open"], &[&bob, &carol, APPROVE], &at_request("k1", "bob", "dave")).await;
    if fortress.db == Db::Sqlite {
        let replaced = made.replace("INSERT INTO", "INSERT OR REPLACE INTO");
        fortress.refuses(&["user_makers_not_replaced"], &[&made], &replaced).await;
    } else {
        fortress.refuses(&["not emptied"], &[&made], "TRUNCATE user_makers").await;
        fortress.refuses(&["not emptied"], &[&made], "TRUNCATE request_makers").await;
    }
}

async fn no_maker_vouches(server: Server) {
    let fortress = Fortress::of(server).await;
    let vouched = ["user_makers_vouched"];
    fortress.allows(&[&behind("bob", "alice", ""), VOUCH]).await;
    let itself = VOUCH.replace("'carol'", "'bob'");
    fortress.refuses(&vouched, &[&behind("bob", "alice", "")], &itself).await;
    fortress.refuses(&vouched, &[&behind("bob", "carol", "")], VOUCH).await;
    // All makers at once count, not only those of the row.
    fortress.refuses(&vouched, &[&behind("bob", "alice", ""), &behind("bob", "carol", "alice")], VOUCH).await;
    fortress.refuses(&vouched, &[&behind("bob", "alice", ""), &behind("carol", "alice", "")], VOUCH).await;
    fortress.refuses(&vouched, &[&behind("bob", "alice", ""), &behind("carol", "bob", "")], VOUCH).await;
    fortress.refuses(&["user_makers_identity"], &[&behind("bob", "alice", "")], &VOUCH.replace("'carol'", "'nobody'")).await;
}

async fn a_gate_refuses_common_makers(server: Server) {
    let fortress = Fortress::of(server).await;
    let gate = |common: &str| {
        format!(
            "INSERT INTO gates (gate_id, version, workspace_id, target, model_pattern, approvals_required, \
             direct_moves_allowed, active, created, created_by, common_maker_allowed) \
             VALUES ('strict', 1, 'default', 'Staging', 'closed[1]', 2, FALSE, TRUE, 1, 'alice', {common})"
        )
    };
    let request = "INSERT INTO transition_requests (uid, model_uid, version_uid, target, state, gate_id, gate_version, evidence_digest, created, updated) \
                   VALUES ('s', 'c', 'w1', 'Staging', 'OPEN', 'strict', 1, 'd1', 1, 1)";
    let evidence = "INSERT INTO request_evidence (request_uid, digest, created) VALUES ('s', 'd1', 1)";
    let asks = DAVE_ASKS.replace("'r'", "'s'");
    let by = |values: &str| decide(&values.replace("'r'", "'s'"));
    let (bob, carol) = (by(BOB), by(CAROL));
    let (of_dave, of_bob, of_carol) = (behind("dave", "alice", ""), behind("bob", "alice", ""), behind("carol", "alice", ""));
    let common = ["request_makers_common"];
    fortress.allows(&[&gate("TRUE"), request, evidence, &of_dave, &of_bob, &asks, &bob]).await;
    fortress.refuses(&common, &[&gate("FALSE"), request, evidence, &of_dave, &of_bob, &asks], &bob).await;
    fortress.refuses(&common, &[&gate("FALSE"), request, evidence, &of_carol, &of_bob, &asks, &bob], &carol).await;
    fortress.allows(&[&gate("FALSE"), request, evidence, &of_dave, &asks, &bob]).await;
    let rejects = bob.replace("'APPROVED'", "'REJECTED'");
    fortress.allows(&[&gate("FALSE"), request, evidence, &of_dave, &of_bob, &asks, &rejects]).await;
}
