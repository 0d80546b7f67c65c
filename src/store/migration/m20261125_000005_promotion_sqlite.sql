-- What attacks on promotion by raw SQL still got through.
DROP TRIGGER transition_requests_gate;
CREATE TRIGGER transition_requests_gate BEFORE INSERT ON transition_requests
WHEN NOT EXISTS (SELECT 1 FROM gates own WHERE own.gate_id = NEW.gate_id AND own.version = NEW.gate_version AND own.active)
    OR NEW.gate_id <> COALESCE((SELECT g.gate_id FROM gates g, registered_models m
        WHERE m.uid = NEW.model_uid AND g.active AND g.target = NEW.target AND m.canonical_name GLOB REPLACE(REPLACE(g.model_pattern, '[', '[[]'), '?', '[?]')
        ORDER BY g.pattern_exact DESC, g.pattern_fixed DESC, g.gate_id DESC LIMIT 1), 'no-gate')
BEGIN SELECT RAISE(ABORT, 'transition_requests_gate: a request stands under the gate in force on its target'); END;
DROP TRIGGER transitions_by_request;
CREATE TRIGGER transitions_by_request BEFORE INSERT ON transitions
WHEN NEW.authority = 'request' AND (NOT EXISTS (SELECT 1 FROM transition_requests r
        JOIN gates own ON own.gate_id = r.gate_id AND own.version = r.gate_version
        WHERE r.uid = NEW.request_uid AND r.state = 'APPROVED' AND r.version_uid = NEW.version_uid AND r.target = NEW.target
            AND own.active AND own.gate_id = COALESCE((SELECT g.gate_id FROM gates g, registered_models m
        WHERE m.uid = NEW.model_uid AND g.active AND g.target = NEW.target AND m.canonical_name GLOB REPLACE(REPLACE(g.model_pattern, '[', '[[]'), '?', '[?]')
        ORDER BY g.pattern_exact DESC, g.pattern_fixed DESC, g.gate_id DESC LIMIT 1), 'no-gate'))
    OR EXISTS (SELECT 1 FROM transitions t WHERE t.request_uid = NEW.request_uid)
    -- What the gate of a stage that is left demands, is demanded as well.
    OR NEW.from_target <> NEW.target AND (SELECT COUNT(DISTINCT d.person_uid) FROM request_decisions d
        JOIN transition_requests r ON r.uid = d.request_uid AND r.evidence_digest = d.evidence_digest
        WHERE r.uid = NEW.request_uid AND d.kind = 'APPROVED' AND d.voided IS NULL)
        < COALESCE((SELECT g.approvals_required FROM gates g, registered_models m
        WHERE m.uid = NEW.model_uid AND g.active AND g.target = NEW.from_target AND m.canonical_name GLOB REPLACE(REPLACE(g.model_pattern, '[', '[[]'), '?', '[?]')
        ORDER BY g.pattern_exact DESC, g.pattern_fixed DESC, g.gate_id DESC LIMIT 1), 0))
BEGIN SELECT RAISE(ABORT, 'transitions_by_request: no approved request gives the right to this move'); END;
DROP TRIGGER transitions_direct;
CREATE TRIGGER transitions_direct BEFORE INSERT ON transitions
WHEN NEW.authority = 'direct' AND ((SELECT g.direct_moves_allowed FROM gates g, registered_models m
        WHERE m.uid = NEW.model_uid AND g.active AND g.target = NEW.target AND m.canonical_name GLOB REPLACE(REPLACE(g.model_pattern, '[', '[[]'), '?', '[?]')
        ORDER BY g.pattern_exact DESC, g.pattern_fixed DESC, g.gate_id DESC LIMIT 1) = 0
    OR (SELECT g.direct_moves_allowed FROM gates g, registered_models m
        WHERE m.uid = NEW.model_uid AND g.active AND g.target = NEW.from_target AND m.canonical_name GLOB REPLACE(REPLACE(g.model_pattern, '[', '[[]'), '?', '[?]')
        ORDER BY g.pattern_exact DESC, g.pattern_fixed DESC, g.gate_id DESC LIMIT 1) = 0)
BEGIN SELECT RAISE(ABORT, 'transitions_direct: the gate allows no direct moves'); END;
DROP TRIGGER transitions_own_request;
CREATE TRIGGER transitions_own_request BEFORE INSERT ON transitions
WHEN NEW.authority = 'direct' AND EXISTS (SELECT 1 FROM transition_requests r, request_requesters q, users u
        WHERE r.version_uid = NEW.version_uid AND r.target = NEW.target AND r.state = 'OPEN' AND q.request_uid = r.uid
        AND q.withdrawn IS NULL AND u.uid = NEW.actor_uid AND u.person_uid IN (q.person_uid, q.issuer_person_uid))
BEGIN SELECT RAISE(ABORT, 'transitions_own_request: a person with an open request cannot move the version there directly'); END;
CREATE TRIGGER transition_requests_in_time BEFORE UPDATE ON transition_requests
WHEN NEW.state = 'EXPIRED' AND (NEW.expires IS NULL OR NEW.updated < NEW.expires)
BEGIN SELECT RAISE(ABORT, 'transition_requests_in_time: a request expires when its time is up'); END;
CREATE TRIGGER request_requesters_ended BEFORE UPDATE ON request_requesters
WHEN (SELECT r.state FROM transition_requests r WHERE r.uid = OLD.request_uid) <> 'OPEN'
BEGIN SELECT RAISE(ABORT, 'request_requesters_ended: who asked for a request that has ended stays as it is'); END;
CREATE TRIGGER request_decisions_ended BEFORE UPDATE ON request_decisions
WHEN (SELECT r.state FROM transition_requests r WHERE r.uid = OLD.request_uid) <> 'OPEN'
BEGIN SELECT RAISE(ABORT, 'request_decisions_ended: decisions on a request that has ended stay as they are'); END;
CREATE TRIGGER model_versions_run BEFORE UPDATE ON model_versions
WHEN NEW.run IS NOT OLD.run
BEGIN SELECT RAISE(ABORT, 'model_versions_run: a version stays with its run'); END;
CREATE TRIGGER model_versions_tombstone BEFORE UPDATE ON model_versions
WHEN OLD.deleted IS NOT NULL AND NEW.deleted IS NULL
    OR OLD.deleted IS NULL AND NEW.deleted IS NOT NULL AND ((SELECT g.gate_id FROM gates g, registered_models m
        WHERE m.uid = OLD.model_uid AND g.active AND g.target = OLD.current_stage AND m.canonical_name GLOB REPLACE(REPLACE(g.model_pattern, '[', '[[]'), '?', '[?]')
        ORDER BY g.pattern_exact DESC, g.pattern_fixed DESC, g.gate_id DESC LIMIT 1) IS NOT NULL
        OR EXISTS (SELECT 1 FROM model_aliases a WHERE a.version_uid = OLD.uid))
BEGIN SELECT RAISE(ABORT, 'model_versions_tombstone: a version that holds a gated stage or an alias is not deleted, and a deleted one does not come back'); END;
CREATE TRIGGER registered_models_tombstone BEFORE UPDATE ON registered_models
WHEN OLD.deleted IS NOT NULL AND NEW.deleted IS NULL
    OR NEW.deleted IS NOT NULL AND EXISTS (SELECT 1 FROM model_versions v WHERE v.model_uid = OLD.uid AND v.deleted IS NULL)
BEGIN SELECT RAISE(ABORT, 'registered_models_tombstone: a model is deleted after its versions, and a deleted one does not come back'); END;
CREATE TRIGGER version_artifacts_complete BEFORE INSERT ON version_artifacts
WHEN EXISTS (SELECT 1 FROM model_versions v WHERE v.uid = NEW.version_uid AND v.transition_id IS NOT NULL)
    OR EXISTS (SELECT 1 FROM transition_requests r WHERE r.version_uid = NEW.version_uid)
    OR EXISTS (SELECT 1 FROM model_aliases a WHERE a.version_uid = NEW.version_uid)
BEGIN SELECT RAISE(ABORT, 'version_artifacts_complete: the manifest of a version that was moved or asked for does not grow'); END;
-- REPLACE deletes what is in the way of any unique index, not of the primary key alone.
DROP TRIGGER transition_requests_not_replaced;
CREATE TRIGGER transition_requests_not_replaced BEFORE INSERT ON transition_requests
WHEN EXISTS (SELECT 1 FROM transition_requests old WHERE old.uid = NEW.uid OR old.state = 'OPEN' AND NEW.state = 'OPEN' AND old.version_uid = NEW.version_uid AND old.target = NEW.target)
BEGIN SELECT RAISE(ABORT, 'transition_requests_not_replaced: a row is not replaced'); END;
DROP TRIGGER request_decisions_not_replaced;
CREATE TRIGGER request_decisions_not_replaced BEFORE INSERT ON request_decisions
WHEN EXISTS (SELECT 1 FROM request_decisions old WHERE old.uid = NEW.uid OR old.voided IS NULL AND NEW.voided IS NULL AND old.request_uid = NEW.request_uid AND old.person_uid = NEW.person_uid)
BEGIN SELECT RAISE(ABORT, 'request_decisions_not_replaced: a row is not replaced'); END;
DROP TRIGGER gates_not_replaced;
CREATE TRIGGER gates_not_replaced BEFORE INSERT ON gates
WHEN EXISTS (SELECT 1 FROM gates old WHERE old.gate_id = NEW.gate_id AND (old.version = NEW.version OR old.active AND NEW.active))
BEGIN SELECT RAISE(ABORT, 'gates_not_replaced: a row is not replaced'); END;
DROP TRIGGER model_versions_not_replaced;
CREATE TRIGGER model_versions_not_replaced BEFORE INSERT ON model_versions
WHEN EXISTS (SELECT 1 FROM model_versions old WHERE old.uid = NEW.uid OR old.model_uid = NEW.model_uid AND old.version = NEW.version)
BEGIN SELECT RAISE(ABORT, 'model_versions_not_replaced: a row is not replaced'); END;
CREATE TRIGGER registered_models_not_replaced BEFORE INSERT ON registered_models
WHEN EXISTS (SELECT 1 FROM registered_models old WHERE old.uid = NEW.uid)
BEGIN SELECT RAISE(ABORT, 'registered_models_not_replaced: a row is not replaced'); END;
