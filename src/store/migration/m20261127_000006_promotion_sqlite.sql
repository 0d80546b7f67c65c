-- Promotion holds in the database: what these triggers refuse, no code path can do.
CREATE TRIGGER transition_requests_start_open BEFORE INSERT ON transition_requests
WHEN NEW.state <> 'OPEN'
BEGIN SELECT RAISE(ABORT, 'transition_requests_start_open: a request starts open'); END;
CREATE TRIGGER transition_requests_final BEFORE UPDATE ON transition_requests
WHEN OLD.state <> 'OPEN'
BEGIN SELECT RAISE(ABORT, 'transition_requests_final: a request that has ended stays as it is'); END;
CREATE TRIGGER transition_requests_identity BEFORE UPDATE ON transition_requests
WHEN NEW.uid <> OLD.uid OR NEW.model_uid <> OLD.model_uid OR NEW.version_uid <> OLD.version_uid OR NEW.target <> OLD.target OR NEW.gate_id <> OLD.gate_id OR NEW.gate_version <> OLD.gate_version
    OR NEW.created <> OLD.created OR COALESCE(NEW.expires, 0) <> COALESCE(OLD.expires, 0)
BEGIN SELECT RAISE(ABORT, 'transition_requests_identity: what a request asks for does not change'); END;
CREATE TRIGGER transition_requests_quorum BEFORE UPDATE ON transition_requests
WHEN NEW.state = 'APPROVED' AND (
        SELECT COUNT(DISTINCT d.person_uid) FROM request_decisions d
        WHERE d.request_uid = NEW.uid AND d.kind = 'APPROVED' AND d.voided IS NULL AND d.evidence_digest = NEW.evidence_digest
    ) < (SELECT g.approvals_required FROM gates g WHERE g.gate_id = NEW.gate_id AND g.version = NEW.gate_version)
BEGIN SELECT RAISE(ABORT, 'transition_requests_quorum: the quorum is not met'); END;
CREATE TRIGGER transition_requests_expired BEFORE UPDATE ON transition_requests
WHEN NEW.state = 'APPROVED' AND NEW.expires IS NOT NULL AND NEW.updated >= NEW.expires
BEGIN SELECT RAISE(ABORT, 'transition_requests_expired: the request has expired'); END;
CREATE TRIGGER transition_requests_kept BEFORE DELETE ON transition_requests
BEGIN SELECT RAISE(ABORT, 'transition_requests_kept: requests are kept'); END;
CREATE TRIGGER evidence_fixed BEFORE UPDATE ON evidence
BEGIN SELECT RAISE(ABORT, 'evidence_fixed: evidence does not change'); END;
CREATE TRIGGER evidence_kept BEFORE DELETE ON evidence
BEGIN SELECT RAISE(ABORT, 'evidence_kept: evidence is kept'); END;
CREATE TRIGGER request_evidence_fixed BEFORE UPDATE ON request_evidence
BEGIN SELECT RAISE(ABORT, 'request_evidence_fixed: what a request rested on does not change'); END;
CREATE TRIGGER request_evidence_kept BEFORE DELETE ON request_evidence
BEGIN SELECT RAISE(ABORT, 'request_evidence_kept: what a request rested on is kept'); END;
CREATE TRIGGER request_requesters_open BEFORE INSERT ON request_requesters
WHEN (SELECT r.state FROM transition_requests r WHERE r.uid = NEW.request_uid) <> 'OPEN'
BEGIN SELECT RAISE(ABORT, 'request_requesters_open: the request has ended'); END;
CREATE TRIGGER request_requesters_four_eyes BEFORE INSERT ON request_requesters
WHEN EXISTS (SELECT 1 FROM request_decisions d WHERE d.request_uid = NEW.request_uid AND d.kind = 'APPROVED' AND d.voided IS NULL
        AND (d.person_uid = NEW.person_uid OR d.person_uid = NEW.issuer_person_uid
             OR d.issuer_person_uid = NEW.person_uid OR d.issuer_person_uid = NEW.issuer_person_uid))
BEGIN SELECT RAISE(ABORT, 'request_requesters_four_eyes: four eyes: an approver cannot become a requester'); END;
CREATE TRIGGER request_requesters_identity BEFORE UPDATE ON request_requesters
WHEN NEW.request_uid <> OLD.request_uid OR NEW.person_uid <> OLD.person_uid OR COALESCE(NEW.issuer_person_uid, '') <> COALESCE(OLD.issuer_person_uid, '') OR NEW.user_uid <> OLD.user_uid
BEGIN SELECT RAISE(ABORT, 'request_requesters_identity: requesters are kept as they were'); END;
CREATE TRIGGER request_requesters_kept BEFORE DELETE ON request_requesters
BEGIN SELECT RAISE(ABORT, 'request_requesters_kept: requesters are kept'); END;
CREATE TRIGGER request_decisions_open BEFORE INSERT ON request_decisions
WHEN (SELECT r.state FROM transition_requests r WHERE r.uid = NEW.request_uid) <> 'OPEN'
BEGIN SELECT RAISE(ABORT, 'request_decisions_open: the request has ended'); END;
CREATE TRIGGER request_decisions_four_eyes BEFORE INSERT ON request_decisions
WHEN EXISTS (SELECT 1 FROM request_requesters q WHERE q.request_uid = NEW.request_uid
        AND (q.person_uid = NEW.person_uid OR q.person_uid = NEW.issuer_person_uid
             OR q.issuer_person_uid = NEW.person_uid OR q.issuer_person_uid = NEW.issuer_person_uid))
BEGIN SELECT RAISE(ABORT, 'request_decisions_four_eyes: four eyes: a requester cannot decide'); END;
CREATE TRIGGER request_decisions_identity BEFORE UPDATE ON request_decisions
WHEN OLD.voided IS NOT NULL OR NEW.voided IS NULL OR NEW.uid <> OLD.uid OR NEW.request_uid <> OLD.request_uid OR NEW.person_uid <> OLD.person_uid OR COALESCE(NEW.issuer_person_uid, '') <> COALESCE(OLD.issuer_person_uid, '') OR NEW.user_uid <> OLD.user_uid OR NEW.kind <> OLD.kind OR NEW.evidence_digest <> OLD.evidence_digest OR NEW.comment <> OLD.comment OR NEW.gate_version <> OLD.gate_version
BEGIN SELECT RAISE(ABORT, 'request_decisions_identity: a decision can only be voided'); END;
CREATE TRIGGER request_decisions_kept BEFORE DELETE ON request_decisions
BEGIN SELECT RAISE(ABORT, 'request_decisions_kept: decisions are kept'); END;
CREATE TRIGGER transition_requests_gate BEFORE INSERT ON transition_requests
WHEN NOT EXISTS (SELECT 1 FROM gates own WHERE own.gate_id = NEW.gate_id AND own.version = NEW.gate_version AND own.active)
    OR NEW.gate_id <> COALESCE((SELECT g.gate_id FROM gates g, registered_models m
        WHERE m.uid = NEW.model_uid AND g.active AND g.target = NEW.target AND m.canonical_name GLOB REPLACE(REPLACE(g.model_pattern, '[', '[[]'), '?', '[?]')
        ORDER BY g.pattern_exact DESC, g.pattern_fixed DESC, g.gate_id DESC LIMIT 1), 'no-gate')
BEGIN SELECT RAISE(ABORT, 'transition_requests_gate: a request stands under the gate in force on its target'); END;
CREATE TRIGGER transition_requests_version BEFORE INSERT ON transition_requests
WHEN NOT EXISTS (SELECT 1 FROM model_versions v WHERE v.uid = NEW.version_uid AND v.model_uid = NEW.model_uid AND v.deleted IS NULL)
BEGIN SELECT RAISE(ABORT, 'transition_requests_version: a request is about a live version of its model'); END;
CREATE TRIGGER request_requesters_person BEFORE INSERT ON request_requesters
WHEN NOT EXISTS (SELECT 1 FROM users u WHERE u.uid = NEW.user_uid AND u.person_uid = NEW.person_uid)
BEGIN SELECT RAISE(ABORT, 'request_requesters_person: a user acts as its own person'); END;
CREATE TRIGGER request_decisions_person BEFORE INSERT ON request_decisions
WHEN NOT EXISTS (SELECT 1 FROM users u WHERE u.uid = NEW.user_uid AND u.person_uid = NEW.person_uid)
BEGIN SELECT RAISE(ABORT, 'request_decisions_person: a user acts as its own person'); END;
CREATE TRIGGER request_decisions_two_persons BEFORE INSERT ON request_decisions
WHEN NEW.kind = 'APPROVED' AND EXISTS (SELECT 1 FROM request_decisions d WHERE d.request_uid = NEW.request_uid
        AND d.kind = 'APPROVED' AND d.voided IS NULL AND d.person_uid <> NEW.person_uid
        AND (d.person_uid = NEW.issuer_person_uid OR d.issuer_person_uid = NEW.person_uid OR d.issuer_person_uid = NEW.issuer_person_uid))
BEGIN SELECT RAISE(ABORT, 'request_decisions_two_persons: one person cannot approve twice through a token for someone else'); END;
CREATE TRIGGER transition_requests_not_replaced BEFORE INSERT ON transition_requests
WHEN EXISTS (SELECT 1 FROM transition_requests old WHERE old.uid = NEW.uid OR old.state = 'OPEN' AND NEW.state = 'OPEN' AND old.version_uid = NEW.version_uid AND old.target = NEW.target)
BEGIN SELECT RAISE(ABORT, 'transition_requests_not_replaced: a row is not replaced'); END;
CREATE TRIGGER evidence_not_replaced BEFORE INSERT ON evidence
WHEN EXISTS (SELECT 1 FROM evidence old WHERE old.digest = NEW.digest AND old.record <> NEW.record)
BEGIN SELECT RAISE(ABORT, 'evidence_not_replaced: a row is not replaced'); END;
CREATE TRIGGER request_requesters_not_replaced BEFORE INSERT ON request_requesters
WHEN EXISTS (SELECT 1 FROM request_requesters old WHERE old.request_uid = NEW.request_uid AND old.person_uid = NEW.person_uid)
BEGIN SELECT RAISE(ABORT, 'request_requesters_not_replaced: a row is not replaced'); END;
CREATE TRIGGER request_decisions_not_replaced BEFORE INSERT ON request_decisions
WHEN EXISTS (SELECT 1 FROM request_decisions old WHERE old.uid = NEW.uid OR old.voided IS NULL AND NEW.voided IS NULL AND old.request_uid = NEW.request_uid AND old.person_uid = NEW.person_uid)
BEGIN SELECT RAISE(ABORT, 'request_decisions_not_replaced: a row is not replaced'); END;
CREATE TRIGGER transition_requests_in_time BEFORE UPDATE ON transition_requests
WHEN NEW.state = 'EXPIRED' AND (NEW.expires IS NULL OR NEW.updated < NEW.expires)
BEGIN SELECT RAISE(ABORT, 'transition_requests_in_time: a request expires when its time is up'); END;
CREATE TRIGGER request_requesters_ended BEFORE UPDATE ON request_requesters
WHEN (SELECT r.state FROM transition_requests r WHERE r.uid = OLD.request_uid) <> 'OPEN'
BEGIN SELECT RAISE(ABORT, 'request_requesters_ended: who asked for a request that has ended stays as it is'); END;
CREATE TRIGGER request_decisions_ended BEFORE UPDATE ON request_decisions
WHEN (SELECT r.state FROM transition_requests r WHERE r.uid = OLD.request_uid) <> 'OPEN'
BEGIN SELECT RAISE(ABORT, 'request_decisions_ended: decisions on a request that has ended stay as they are'); END;
-- Who stands behind the login of one who asks or decides is written down with it, whatever the code does.
CREATE TRIGGER request_makers_open BEFORE INSERT ON request_makers
WHEN (SELECT r.state FROM transition_requests r WHERE r.uid = NEW.request_uid) <> 'OPEN'
BEGIN SELECT RAISE(ABORT, 'request_makers_open: the request has ended'); END;
CREATE TRIGGER request_makers_true BEFORE INSERT ON request_makers
WHEN NEW.decision_uid = '' AND NOT EXISTS (SELECT 1 FROM request_requesters q WHERE q.request_uid = NEW.request_uid AND q.person_uid = NEW.person_uid)
    OR NEW.decision_uid <> '' AND NOT EXISTS (SELECT 1 FROM request_decisions d WHERE d.uid = NEW.decision_uid
        AND d.request_uid = NEW.request_uid AND d.person_uid = NEW.person_uid)
    OR NEW.maker_person_uid = NEW.person_uid OR (NEW.maker_user_uid = '') <> (NEW.maker_person_uid = '')
    OR NEW.maker_user_uid <> '' AND NOT EXISTS (SELECT 1 FROM users k WHERE k.uid = NEW.maker_user_uid AND k.person_uid = NEW.maker_person_uid)
BEGIN SELECT RAISE(ABORT, 'request_makers_true: a maker is another person than the one who asked or decided'); END;
CREATE TRIGGER request_makers_four_eyes BEFORE INSERT ON request_makers
WHEN NEW.maker_person_uid <> '' AND (
        NEW.decision_uid = '' AND EXISTS (SELECT 1 FROM request_decisions d WHERE d.request_uid = NEW.request_uid AND d.kind = 'APPROVED' AND d.voided IS NULL
            AND NEW.maker_person_uid IN (d.person_uid, d.issuer_person_uid))
        OR NEW.decision_uid <> '' AND EXISTS (SELECT 1 FROM request_requesters q WHERE q.request_uid = NEW.request_uid
            AND NEW.maker_person_uid IN (q.person_uid, q.issuer_person_uid))
        OR EXISTS (SELECT 1 FROM request_decisions own, request_decisions d WHERE own.uid = NEW.decision_uid AND own.kind = 'APPROVED'
            AND d.request_uid = NEW.request_uid AND d.kind = 'APPROVED' AND d.voided IS NULL AND d.person_uid <> NEW.person_uid
            AND NEW.maker_person_uid IN (d.person_uid, d.issuer_person_uid)))
BEGIN SELECT RAISE(ABORT, 'request_makers_four_eyes: four eyes: whoever made the login or the token of one is the other'); END;
CREATE TRIGGER request_makers_common BEFORE INSERT ON request_makers
WHEN EXISTS (SELECT 1 FROM transition_requests r, gates g WHERE r.uid = NEW.request_uid AND g.gate_id = r.gate_id AND g.version = r.gate_version
        AND NOT g.common_maker_allowed)
    AND (NEW.decision_uid = '' OR EXISTS (SELECT 1 FROM request_decisions own WHERE own.uid = NEW.decision_uid AND own.kind = 'APPROVED'))
    AND EXISTS (SELECT 1 FROM request_makers k LEFT JOIN request_decisions d ON d.uid = k.decision_uid
        WHERE k.request_uid = NEW.request_uid AND k.maker_person_uid = NEW.maker_person_uid AND k.person_uid <> NEW.person_uid
        AND (k.decision_uid <> '' OR NEW.decision_uid <> '') AND (k.decision_uid = '' OR d.kind = 'APPROVED' AND d.voided IS NULL))
BEGIN SELECT RAISE(ABORT, 'request_makers_common: four eyes: the gate refuses logins that go back to the same maker'); END;
CREATE TRIGGER request_makers_identity BEFORE UPDATE ON request_makers
BEGIN SELECT RAISE(ABORT, 'request_makers_identity: makers are kept as they were'); END;
CREATE TRIGGER request_makers_kept BEFORE DELETE ON request_makers
BEGIN SELECT RAISE(ABORT, 'request_makers_kept: makers are kept'); END;
CREATE TRIGGER request_decisions_makers BEFORE INSERT ON request_decisions
WHEN EXISTS (SELECT 1 FROM request_makers k WHERE k.request_uid = NEW.request_uid AND k.decision_uid = ''
        AND k.maker_person_uid IN (NEW.person_uid, NEW.issuer_person_uid))
    OR NEW.kind = 'APPROVED' AND EXISTS (SELECT 1 FROM request_makers k, request_decisions d WHERE k.request_uid = NEW.request_uid
        AND d.uid = k.decision_uid AND d.kind = 'APPROVED' AND d.voided IS NULL AND d.person_uid <> NEW.person_uid
        AND k.maker_person_uid IN (NEW.person_uid, NEW.issuer_person_uid))
BEGIN SELECT RAISE(ABORT, 'request_decisions_makers: four eyes: whoever made the login or the token of one who asked or approved does not decide'); END;
CREATE TRIGGER request_requesters_makers BEFORE INSERT ON request_requesters
WHEN EXISTS (SELECT 1 FROM request_makers k, request_decisions d WHERE k.request_uid = NEW.request_uid AND d.uid = k.decision_uid AND d.kind = 'APPROVED' AND d.voided IS NULL
        AND k.maker_person_uid IN (NEW.person_uid, NEW.issuer_person_uid))
BEGIN SELECT RAISE(ABORT, 'request_requesters_makers: four eyes: whoever made the login or the token of an approver does not ask'); END;
CREATE TRIGGER request_requesters_copy_makers AFTER INSERT ON request_requesters
BEGIN
    INSERT INTO request_makers (request_uid, decision_uid, person_uid, deed, maker_user_uid, maker_person_uid, through_user_uid)
    SELECT DISTINCT NEW.request_uid, '', NEW.person_uid, k.deed, k.maker_user_uid, k.maker_person_uid, k.through_user_uid
    FROM user_makers k WHERE k.user_uid = NEW.user_uid AND k.vouched IS NULL AND NOT EXISTS (SELECT 1 FROM request_makers o
        WHERE o.request_uid = NEW.request_uid AND o.decision_uid = '' AND o.person_uid = NEW.person_uid AND o.deed = k.deed
        AND o.maker_user_uid = k.maker_user_uid AND o.maker_person_uid = k.maker_person_uid AND o.through_user_uid = k.through_user_uid);
END;
CREATE TRIGGER request_requesters_ask_again AFTER UPDATE ON request_requesters
WHEN OLD.withdrawn IS NOT NULL AND NEW.withdrawn IS NULL
BEGIN
    INSERT INTO request_makers (request_uid, decision_uid, person_uid, deed, maker_user_uid, maker_person_uid, through_user_uid)
    SELECT DISTINCT NEW.request_uid, '', NEW.person_uid, k.deed, k.maker_user_uid, k.maker_person_uid, k.through_user_uid
    FROM user_makers k WHERE k.user_uid = NEW.user_uid AND k.vouched IS NULL AND NOT EXISTS (SELECT 1 FROM request_makers o
        WHERE o.request_uid = NEW.request_uid AND o.decision_uid = '' AND o.person_uid = NEW.person_uid AND o.deed = k.deed
        AND o.maker_user_uid = k.maker_user_uid AND o.maker_person_uid = k.maker_person_uid AND o.through_user_uid = k.through_user_uid);
END;
CREATE TRIGGER request_decisions_copy_makers AFTER INSERT ON request_decisions
BEGIN
    INSERT INTO request_makers (request_uid, decision_uid, person_uid, deed, maker_user_uid, maker_person_uid, through_user_uid)
    SELECT DISTINCT NEW.request_uid, NEW.uid, NEW.person_uid, k.deed, k.maker_user_uid, k.maker_person_uid, k.through_user_uid
    FROM user_makers k WHERE k.user_uid = NEW.user_uid AND k.vouched IS NULL AND NOT EXISTS (SELECT 1 FROM request_makers o
        WHERE o.request_uid = NEW.request_uid AND o.decision_uid = NEW.uid AND o.person_uid = NEW.person_uid AND o.deed = k.deed
        AND o.maker_user_uid = k.maker_user_uid AND o.maker_person_uid = k.maker_person_uid AND o.through_user_uid = k.through_user_uid);
END;
