-- What is lawful for requests, those who ask, those who decide, and the evidence. What these triggers refuse, no code
-- path can do. See the registry's rules for how they are written.

-- Targets of models that somebody relies on: held, or asked for.
CREATE VIEW targets_at_stake AS
SELECT h.model_uid, h.target FROM targets_held h
UNION SELECT r.model_uid, r.target FROM transition_requests r WHERE r.state = 'OPEN';

-- Versions that were ever asked for or moved to a target of a gate, whatever models that one is for. What they were is
-- evidence, and is never removed.
CREATE VIEW versions_gated AS
SELECT t.version_uid FROM transitions t JOIN gates g ON g.target = t.target WHERE t.version_uid IS NOT NULL
UNION SELECT r.version_uid FROM transition_requests r JOIN gates g ON g.target = r.target;
RULE model_versions_purged BEFORE UPDATE ON model_versions
REFUSES NEW.purged IS DISTINCT FROM OLD.purged AND (OLD.purged IS NOT NULL OR OLD.deleted IS NULL
    OR EXISTS (SELECT 1 FROM versions_gated g WHERE g.version_uid = OLD.uid))
SAYS 'only a deleted version that was never promoted under a gate is removed for good';

-- Requests.
RULE transition_requests_start_open BEFORE INSERT ON transition_requests
REQUIRES NEW.state = 'OPEN'
SAYS 'a request starts open';
RULE transition_requests_version BEFORE INSERT ON transition_requests
REQUIRES EXISTS (SELECT 1 FROM model_versions v JOIN registered_models m ON m.uid = v.model_uid
    WHERE v.uid = NEW.version_uid AND v.model_uid = NEW.model_uid AND v.deleted IS NULL AND m.deleted IS NULL)
SAYS 'a request is about a live version of its model';
RULE transition_requests_gate BEFORE INSERT ON transition_requests
REQUIRES EXISTS (SELECT 1 FROM gates_in_force f WHERE f.model_uid = NEW.model_uid AND f.target = NEW.target
        AND f.gate_id = NEW.gate_id AND f.version = NEW.gate_version)
    OR NEW.gate_id = 'no-gate'
        AND NOT EXISTS (SELECT 1 FROM gates_in_force f WHERE f.model_uid = NEW.model_uid AND f.target = NEW.target)
SAYS 'a request stands under the gate in force on its target';
RULE transition_requests_expiry BEFORE INSERT ON transition_requests
REFUSES NEW.expires IS DISTINCT FROM
    (SELECT NEW.created + g.expires_after FROM gates g WHERE g.gate_id = NEW.gate_id AND g.version = NEW.gate_version)
SAYS 'a request expires when its gate says so';
RULE transition_requests_identity BEFORE UPDATE ON transition_requests
REQUIRES NEW.uid = OLD.uid AND NEW.model_uid = OLD.model_uid AND NEW.version_uid = OLD.version_uid AND NEW.target = OLD.target
    AND NEW.gate_id = OLD.gate_id AND NEW.gate_version = OLD.gate_version AND NEW.created = OLD.created
    AND NEW.expires IS NOT DISTINCT FROM OLD.expires
SAYS 'what a request asks for does not change';
RULE transition_requests_quorum BEFORE UPDATE ON transition_requests
REFUSES NEW.state = 'APPROVED' AND (
        SELECT COUNT(DISTINCT d.person_uid) FROM request_decisions d
        WHERE d.request_uid = NEW.uid AND d.kind = 'APPROVED' AND d.voided IS NULL AND d.evidence_digest = NEW.evidence_digest
    ) < (SELECT g.approvals_required FROM gates g WHERE g.gate_id = NEW.gate_id AND g.version = NEW.gate_version)
SAYS 'the quorum is not met';
RULE transition_requests_gate_changed BEFORE UPDATE ON transition_requests
REFUSES NEW.state = 'APPROVED' AND (
    EXISTS (SELECT 1 FROM gates_in_force f WHERE f.model_uid = NEW.model_uid AND f.target = NEW.target
        AND (f.gate_id <> NEW.gate_id OR f.version <> NEW.gate_version))
    OR NEW.gate_id <> 'no-gate'
        AND NOT EXISTS (SELECT 1 FROM gates_in_force f WHERE f.model_uid = NEW.model_uid AND f.target = NEW.target))
SAYS 'a request is approved under the gate that it was filed under, while that is in force';
RULE transition_requests_expired BEFORE UPDATE ON transition_requests
REFUSES NEW.state = 'APPROVED' AND NEW.expires IS NOT NULL AND NEW.updated >= NEW.expires
SAYS 'the request has expired';
RULE transition_requests_in_time BEFORE UPDATE ON transition_requests
REFUSES NEW.state = 'EXPIRED' AND (NEW.expires IS NULL OR NEW.updated < NEW.expires)
SAYS 'a request expires when its time is up';
RULE transition_requests_final BEFORE UPDATE ON transition_requests
REFUSES OLD.state <> 'OPEN'
SAYS 'a request that has ended stays as it is';
RULE transition_requests_kept BEFORE DELETE ON transition_requests
SAYS 'requests are kept';

-- Evidence.
RULE evidence_fixed BEFORE UPDATE ON evidence
SAYS 'evidence does not change';
RULE evidence_kept BEFORE DELETE ON evidence
SAYS 'evidence is kept';
RULE request_evidence_fixed BEFORE UPDATE ON request_evidence
SAYS 'what a request rested on does not change';
RULE request_evidence_kept BEFORE DELETE ON request_evidence
SAYS 'what a request rested on is kept';

-- Those who ask.
RULE request_requesters_open BEFORE INSERT ON request_requesters
REQUIRES (SELECT r.state FROM transition_requests r WHERE r.uid = NEW.request_uid) = 'OPEN'
SAYS 'the request has ended';
RULE request_requesters_person BEFORE INSERT ON request_requesters
REFUSES NOT EXISTS (SELECT 1 FROM users u WHERE u.uid = NEW.user_uid AND u.person_uid = NEW.person_uid)
SAYS 'a user acts as its own person';
RULE request_requesters_four_eyes BEFORE INSERT ON request_requesters
REFUSES EXISTS (SELECT 1 FROM request_decisions d WHERE d.request_uid = NEW.request_uid AND d.kind = 'APPROVED' AND d.voided IS NULL
    AND (d.person_uid = NEW.person_uid OR d.person_uid = NEW.issuer_person_uid
        OR d.issuer_person_uid = NEW.person_uid OR d.issuer_person_uid = NEW.issuer_person_uid))
SAYS 'four eyes: an approver cannot become a requester';
RULE request_requesters_identity BEFORE UPDATE ON request_requesters
REQUIRES NEW.request_uid = OLD.request_uid AND NEW.person_uid = OLD.person_uid AND NEW.user_uid = OLD.user_uid
    AND NEW.issuer_person_uid IS NOT DISTINCT FROM OLD.issuer_person_uid AND NEW.created = OLD.created
SAYS 'requesters are kept as they were';
RULE request_requesters_ended BEFORE UPDATE ON request_requesters
REFUSES (SELECT r.state FROM transition_requests r WHERE r.uid = OLD.request_uid) <> 'OPEN'
SAYS 'who asked for a request that has ended stays as it is';
RULE request_requesters_kept BEFORE DELETE ON request_requesters
SAYS 'requesters are kept';

-- Those who decide.
RULE request_decisions_open BEFORE INSERT ON request_decisions
REQUIRES (SELECT r.state FROM transition_requests r WHERE r.uid = NEW.request_uid) = 'OPEN'
SAYS 'the request has ended';
RULE request_decisions_gate BEFORE INSERT ON request_decisions
REFUSES (SELECT r.gate_version FROM transition_requests r WHERE r.uid = NEW.request_uid) <> NEW.gate_version
SAYS 'a decision names the version of the gate that the request stands under';
RULE request_decisions_evidence BEFORE INSERT ON request_decisions
REQUIRES EXISTS (SELECT 1 FROM request_evidence e WHERE e.request_uid = NEW.request_uid AND e.digest = NEW.evidence_digest)
SAYS 'a decision rests on evidence of its request';
RULE request_decisions_person BEFORE INSERT ON request_decisions
REFUSES NOT EXISTS (SELECT 1 FROM users u WHERE u.uid = NEW.user_uid AND u.person_uid = NEW.person_uid)
SAYS 'a user acts as its own person';
RULE request_decisions_four_eyes BEFORE INSERT ON request_decisions
REFUSES EXISTS (SELECT 1 FROM request_requesters q WHERE q.request_uid = NEW.request_uid
    AND (q.person_uid = NEW.person_uid OR q.person_uid = NEW.issuer_person_uid
        OR q.issuer_person_uid = NEW.person_uid OR q.issuer_person_uid = NEW.issuer_person_uid))
SAYS 'four eyes: a requester cannot decide';
RULE request_decisions_two_persons BEFORE INSERT ON request_decisions
REFUSES NEW.kind = 'APPROVED' AND EXISTS (SELECT 1 FROM request_decisions d WHERE d.request_uid = NEW.request_uid
    AND d.kind = 'APPROVED' AND d.voided IS NULL AND d.person_uid <> NEW.person_uid
    AND (d.person_uid = NEW.issuer_person_uid OR d.issuer_person_uid = NEW.person_uid OR d.issuer_person_uid = NEW.issuer_person_uid))
SAYS 'one person cannot approve twice through a token for someone else';
RULE request_decisions_identity BEFORE UPDATE ON request_decisions
REQUIRES OLD.voided IS NULL AND NEW.voided IS NOT NULL AND NEW.uid = OLD.uid AND NEW.request_uid = OLD.request_uid
    AND NEW.person_uid = OLD.person_uid AND NEW.issuer_person_uid IS NOT DISTINCT FROM OLD.issuer_person_uid
    AND NEW.user_uid = OLD.user_uid AND NEW.kind = OLD.kind AND NEW.evidence_digest = OLD.evidence_digest
    AND NEW.comment = OLD.comment AND NEW.gate_version = OLD.gate_version AND NEW.command_line = OLD.command_line
    AND NEW.created = OLD.created
SAYS 'a decision can only be voided';
RULE request_decisions_ended BEFORE UPDATE ON request_decisions
REFUSES (SELECT r.state FROM transition_requests r WHERE r.uid = OLD.request_uid) <> 'OPEN'
SAYS 'decisions on a request that has ended stay as they are';
RULE request_decisions_kept BEFORE DELETE ON request_decisions
SAYS 'decisions are kept';

-- Who stands behind the login of one who asks or decides is written down with it, whatever the code does.
RULE request_makers_open BEFORE INSERT ON request_makers
REQUIRES (SELECT r.state FROM transition_requests r WHERE r.uid = NEW.request_uid) = 'OPEN'
SAYS 'the request has ended';
RULE request_makers_true BEFORE INSERT ON request_makers
REFUSES NEW.decision_uid = '' AND NOT EXISTS (SELECT 1 FROM request_requesters q
        WHERE q.request_uid = NEW.request_uid AND q.person_uid = NEW.person_uid)
    OR NEW.decision_uid <> '' AND NOT EXISTS (SELECT 1 FROM request_decisions d WHERE d.uid = NEW.decision_uid
        AND d.request_uid = NEW.request_uid AND d.person_uid = NEW.person_uid)
    OR NEW.maker_person_uid = NEW.person_uid OR (NEW.maker_user_uid = '') <> (NEW.maker_person_uid = '')
    OR NEW.maker_user_uid <> '' AND NOT EXISTS (SELECT 1 FROM users k
        WHERE k.uid = NEW.maker_user_uid AND k.person_uid = NEW.maker_person_uid)
SAYS 'a maker is another person than the one who asked or decided';
RULE request_makers_four_eyes BEFORE INSERT ON request_makers
REFUSES NEW.maker_person_uid <> '' AND (
    NEW.decision_uid = '' AND EXISTS (SELECT 1 FROM request_decisions d WHERE d.request_uid = NEW.request_uid AND d.kind = 'APPROVED'
        AND d.voided IS NULL AND NEW.maker_person_uid IN (d.person_uid, d.issuer_person_uid))
    OR NEW.decision_uid <> '' AND EXISTS (SELECT 1 FROM request_requesters q WHERE q.request_uid = NEW.request_uid
        AND NEW.maker_person_uid IN (q.person_uid, q.issuer_person_uid))
    OR EXISTS (SELECT 1 FROM request_decisions own, request_decisions d WHERE own.uid = NEW.decision_uid AND own.kind = 'APPROVED'
        AND d.request_uid = NEW.request_uid AND d.kind = 'APPROVED' AND d.voided IS NULL AND d.person_uid <> NEW.person_uid
        AND NEW.maker_person_uid IN (d.person_uid, d.issuer_person_uid)))
SAYS 'four eyes: whoever made the login or the token of one is the other';
RULE request_makers_common BEFORE INSERT ON request_makers
REFUSES EXISTS (SELECT 1 FROM transition_requests r, gates g WHERE r.uid = NEW.request_uid AND g.gate_id = r.gate_id
        AND g.version = r.gate_version AND NOT g.common_maker_allowed)
    AND (NEW.decision_uid = '' OR EXISTS (SELECT 1 FROM request_decisions own WHERE own.uid = NEW.decision_uid AND own.kind = 'APPROVED'))
    AND EXISTS (SELECT 1 FROM request_makers k LEFT JOIN request_decisions d ON d.uid = k.decision_uid
        WHERE k.request_uid = NEW.request_uid AND k.maker_person_uid = NEW.maker_person_uid AND k.person_uid <> NEW.person_uid
            AND (k.decision_uid <> '' OR NEW.decision_uid <> '') AND (k.decision_uid = '' OR d.kind = 'APPROVED' AND d.voided IS NULL))
SAYS 'four eyes: the gate refuses logins that go back to the same maker';
RULE request_makers_identity BEFORE UPDATE ON request_makers
SAYS 'makers are kept as they were';
RULE request_makers_kept BEFORE DELETE ON request_makers
SAYS 'makers are kept';
RULE request_decisions_makers BEFORE INSERT ON request_decisions
REFUSES EXISTS (SELECT 1 FROM request_makers k WHERE k.request_uid = NEW.request_uid AND k.decision_uid = ''
        AND k.maker_person_uid IN (NEW.person_uid, NEW.issuer_person_uid))
    OR NEW.kind = 'APPROVED' AND EXISTS (SELECT 1 FROM request_makers k, request_decisions d WHERE k.request_uid = NEW.request_uid
        AND d.uid = k.decision_uid AND d.kind = 'APPROVED' AND d.voided IS NULL AND d.person_uid <> NEW.person_uid
        AND k.maker_person_uid IN (NEW.person_uid, NEW.issuer_person_uid))
SAYS 'four eyes: whoever made the login or the token of one who asked or approved does not decide';
RULE request_requesters_makers BEFORE INSERT ON request_requesters
REFUSES EXISTS (SELECT 1 FROM request_makers k, request_decisions d WHERE k.request_uid = NEW.request_uid AND d.uid = k.decision_uid
    AND d.kind = 'APPROVED' AND d.voided IS NULL AND k.maker_person_uid IN (NEW.person_uid, NEW.issuer_person_uid))
SAYS 'four eyes: whoever made the login or the token of an approver does not ask';
RULE request_requesters_copy_makers AFTER INSERT ON request_requesters
DOES INSERT INTO request_makers (request_uid, decision_uid, person_uid, deed, maker_user_uid, maker_person_uid, through_user_uid)
    SELECT DISTINCT NEW.request_uid, '', NEW.person_uid, k.deed, k.maker_user_uid, k.maker_person_uid, k.through_user_uid
    FROM user_makers k WHERE k.user_uid = NEW.user_uid AND k.vouched IS NULL;
-- Who asks again has perhaps other makers than the first time.
RULE request_requesters_ask_again AFTER UPDATE ON request_requesters
DOES INSERT INTO request_makers (request_uid, decision_uid, person_uid, deed, maker_user_uid, maker_person_uid, through_user_uid)
    SELECT DISTINCT NEW.request_uid, '', NEW.person_uid, k.deed, k.maker_user_uid, k.maker_person_uid, k.through_user_uid
    FROM user_makers k WHERE OLD.withdrawn IS NOT NULL AND NEW.withdrawn IS NULL AND k.user_uid = NEW.user_uid AND k.vouched IS NULL
        AND NOT EXISTS (SELECT 1 FROM request_makers o
            WHERE o.request_uid = NEW.request_uid AND o.decision_uid = '' AND o.person_uid = NEW.person_uid AND o.deed = k.deed
                AND o.maker_user_uid = k.maker_user_uid AND o.maker_person_uid = k.maker_person_uid AND o.through_user_uid = k.through_user_uid);
RULE request_decisions_copy_makers AFTER INSERT ON request_decisions
DOES INSERT INTO request_makers (request_uid, decision_uid, person_uid, deed, maker_user_uid, maker_person_uid, through_user_uid)
    SELECT DISTINCT NEW.request_uid, NEW.uid, NEW.person_uid, k.deed, k.maker_user_uid, k.maker_person_uid, k.through_user_uid
    FROM user_makers k WHERE k.user_uid = NEW.user_uid AND k.vouched IS NULL;
