//! Holdings, aliases and records that tell what was not.

use super::{NOTHING, all_refused, attack, direct, promoted, stage};
use crate::house::{Db, Server};
use crate::promotion_sql::{BOB, Fortress, decide, hold, moves};

on_both_engines! {
    records_told_otherwise,
}

async fn records_told_otherwise(server: Server) {
    let fortress = Fortress::of(server).await;
    let first = direct("m", "v1", "@best", "", "bob");
    let set = "INSERT INTO model_aliases (model_uid, alias, target, version_uid, transition_id) VALUES ('m', 'best', '@best', 'v1', 1)";
    let lawful = [first.as_str(), set];
    let held = hold("('m', '@best', 'v1', 10, NULL, 1)");
    let pointed = "UPDATE model_aliases SET version_uid = 'v2', transition_id = 2 WHERE alias = 'best'";
    let moved_on =
        || [&first, set, &held, &direct("m", "v2", "@best", "", "bob").replace("(1, 't1'", "(2, 't2'"), pointed].map(str::to_owned);
    let with_holding = || [&first, set, &held].map(str::to_owned);
    let mut attacks = vec![
        attack("a holding that ends while it is held", &["holdings_ended"], with_holding(), ["UPDATE holdings SET until_time = 20"]),
        attack("a gated holding that ends while it is held", &["holdings_ended"], promoted(), ["UPDATE holdings SET until_time = 20"]),
        attack(
            "a holding by another's move",
            &["holdings_by"],
            [&first, set, &direct("m", "v2", "Staging", "None", "bob").replace("(1, 't1'", "(2, 't2'")],
            [hold("('m', '@best', 'v1', 10, NULL, 2)")],
        ),
        attack("a holding of another model", &["holdings_held", "holdings_by"], lawful, [hold("('c', '@best', 'v1', 10, NULL, 1)")]),
        attack(
            "a holding without its row",
            &["holdings_end_once", "NOT NULL", "null value"],
            moved_on(),
            ["UPDATE holdings SET target = NULL"],
        ),
        attack(
            "a holding that a made-up release ends",
            &["transitions_version"],
            [direct("m", "v1", "Production", "None", "bob"), stage("v1", "Production", 1), hold("('m', 'Production', 'v1', 10, NULL, 1)")],
            [
                moves("(2, 't2', 'm', NULL, 'Production', '', 'direct', NULL, NULL, 'bob', 'bob', 3)"),
                "UPDATE holdings SET until_time = 20".to_owned(),
            ],
        ),
        attack(
            "a holding that ends by a release which releases nothing",
            &["holdings_ended"],
            [
                first.clone(),
                set.to_owned(),
                held.clone(),
                moves("(2, 't2', 'm', NULL, '@best', '', 'direct', NULL, NULL, 'bob', 'bob', 3)"),
            ],
            ["UPDATE holdings SET until_time = 20"],
        ),
        attack(
            "a holding that ends by a move which was never carried out",
            &["holdings_ended"],
            [
                direct("m", "v1", "Production", "None", "bob"),
                stage("v1", "Production", 1),
                hold("('m', 'Production', 'v1', 10, NULL, 1)"),
                direct("m", "v2", "Production", "None", "bob").replace("(1, 't1'", "(2, 't2'"),
            ],
            ["UPDATE holdings SET until_time = 20"],
        ),
        attack("a holding deleted", &["holdings_kept"], with_holding(), ["DELETE FROM holdings"]),
        attack("a holding with another id", &["holdings_end_once"], moved_on(), ["UPDATE holdings SET id = 99"]),
        attack("an alias released without a move", &["model_aliases_released"], lawful, ["DELETE FROM model_aliases"]),
        attack(
            "an alias with another spelling",
            &["CHECK constraint", "check constraint", "model_aliases_set"],
            [&first],
            [set.replace("'best'", "'Best'")],
        ),
        attack("an alias of another spelling in both", &["model_aliases_set", "FOREIGN KEY"], [&first], [set.replace("best'", "Best'")]),
        attack("an alias moved to another model", &["model_aliases_moved"], lawful, ["UPDATE model_aliases SET model_uid = 'c'"]),
        attack("transitions forgotten", &["transitions_kept"], [&first], ["DELETE FROM transitions"]),
        attack("transitions told otherwise", &["transitions_fixed"], [&first], ["UPDATE transitions SET actor_uid = 'alice'"]),
        attack(
            "a request deleted and made again",
            &["transition_requests_kept"],
            NOTHING,
            ["DELETE FROM transition_requests WHERE uid = 'r'"],
        ),
        attack("a requester deleted", &["request_requesters_kept"], NOTHING, ["DELETE FROM request_requesters"]),
        attack("a decision deleted", &["request_decisions_kept"], [decide(BOB)], ["DELETE FROM request_decisions"]),
    ];
    if fortress.db == Db::Sqlite {
        let off = "PRAGMA recursive_triggers = OFF".to_owned();
        let mut lawful = vec![off];
        lawful.extend(with_holding());
        attacks.push(attack(
            "a holding replaced",
            &["holdings_not_replaced", "holdings_follow"],
            lawful,
            ["INSERT OR REPLACE INTO holdings SELECT id, model_uid, target, 'v2', from_time, 20, transition_id FROM holdings"],
        ));
    }
    all_refused(&fortress, attacks).await;
}
