-- What attacks on promotion by raw SQL still got through.
CREATE OR REPLACE FUNCTION transition_requests_gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM gates own WHERE own.gate_id = NEW.gate_id AND own.version = NEW.gate_version AND own.active)
    OR NEW.gate_id <> COALESCE((SELECT g.gate_id FROM gates g, registered_models m
        WHERE m.uid = NEW.model_uid AND g.active AND g.target = NEW.target AND m.canonical_name LIKE g.model_like ESCAPE '\'
        ORDER BY g.pattern_exact DESC, g.pattern_fixed DESC, g.gate_id DESC LIMIT 1), 'no-gate') THEN
        RAISE EXCEPTION 'transition_requests_gate: a request stands under the gate in force on its target' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE FUNCTION transitions_by_request() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.authority = 'request' AND (NOT EXISTS (SELECT 1 FROM transition_requests r
        JOIN gates own ON own.gate_id = r.gate_id AND own.version = r.gate_version
        WHERE r.uid = NEW.request_uid AND r.state = 'APPROVED' AND r.version_uid = NEW.version_uid AND r.target = NEW.target
            AND own.active AND own.gate_id = COALESCE((SELECT g.gate_id FROM gates g, registered_models m
        WHERE m.uid = NEW.model_uid AND g.active AND g.target = NEW.target AND m.canonical_name LIKE g.model_like ESCAPE '\'
        ORDER BY g.pattern_exact DESC, g.pattern_fixed DESC, g.gate_id DESC LIMIT 1), 'no-gate'))
    OR EXISTS (SELECT 1 FROM transitions t WHERE t.request_uid = NEW.request_uid)
    -- What the gate of a stage that is left demands, is demanded as well.
    OR NEW.from_target <> NEW.target AND (SELECT COUNT(DISTINCT d.person_uid) FROM request_decisions d
        JOIN transition_requests r ON r.uid = d.request_uid AND r.evidence_digest = d.evidence_digest
        WHERE r.uid = NEW.request_uid AND d.kind = 'APPROVED' AND d.voided IS NULL)
        < COALESCE((SELECT g.approvals_required FROM gates g, registered_models m
        WHERE m.uid = NEW.model_uid AND g.active AND g.target = NEW.from_target AND m.canonical_name LIKE g.model_like ESCAPE '\'
        ORDER BY g.pattern_exact DESC, g.pattern_fixed DESC, g.gate_id DESC LIMIT 1), 0)) THEN
        RAISE EXCEPTION 'transitions_by_request: no approved request gives the right to this move' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE FUNCTION transitions_direct() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.authority = 'direct' AND ((SELECT g.direct_moves_allowed FROM gates g, registered_models m
        WHERE m.uid = NEW.model_uid AND g.active AND g.target = NEW.target AND m.canonical_name LIKE g.model_like ESCAPE '\'
        ORDER BY g.pattern_exact DESC, g.pattern_fixed DESC, g.gate_id DESC LIMIT 1) = FALSE
    OR (SELECT g.direct_moves_allowed FROM gates g, registered_models m
        WHERE m.uid = NEW.model_uid AND g.active AND g.target = NEW.from_target AND m.canonical_name LIKE g.model_like ESCAPE '\'
        ORDER BY g.pattern_exact DESC, g.pattern_fixed DESC, g.gate_id DESC LIMIT 1) = FALSE) THEN
        RAISE EXCEPTION 'transitions_direct: the gate allows no direct moves' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE FUNCTION transitions_own_request() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.authority = 'direct' AND EXISTS (SELECT 1 FROM transition_requests r, request_requesters q, users u
        WHERE r.version_uid = NEW.version_uid AND r.target = NEW.target AND r.state = 'OPEN' AND q.request_uid = r.uid
        AND q.withdrawn IS NULL AND u.uid = NEW.actor_uid AND u.person_uid IN (q.person_uid, q.issuer_person_uid)) THEN
        RAISE EXCEPTION 'transitions_own_request: a person with an open request cannot move the version there directly' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE FUNCTION transition_requests_in_time() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state = 'EXPIRED' AND (NEW.expires IS NULL OR NEW.updated < NEW.expires) THEN
        RAISE EXCEPTION 'transition_requests_in_time: a request expires when its time is up' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER transition_requests_in_time BEFORE UPDATE ON transition_requests FOR EACH ROW EXECUTE FUNCTION transition_requests_in_time();
CREATE FUNCTION request_requesters_ended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT r.state FROM transition_requests r WHERE r.uid = OLD.request_uid) <> 'OPEN' THEN
        RAISE EXCEPTION 'request_requesters_ended: who asked for a request that has ended stays as it is' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER request_requesters_ended BEFORE UPDATE ON request_requesters FOR EACH ROW EXECUTE FUNCTION request_requesters_ended();
CREATE FUNCTION request_decisions_ended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT r.state FROM transition_requests r WHERE r.uid = OLD.request_uid) <> 'OPEN' THEN
        RAISE EXCEPTION 'request_decisions_ended: decisions on a request that has ended stay as they are' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER request_decisions_ended BEFORE UPDATE ON request_decisions FOR EACH ROW EXECUTE FUNCTION request_decisions_ended();
CREATE FUNCTION model_versions_run() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.run IS DISTINCT FROM OLD.run THEN
        RAISE EXCEPTION 'model_versions_run: a version stays with its run' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER model_versions_run BEFORE UPDATE ON model_versions FOR EACH ROW EXECUTE FUNCTION model_versions_run();
CREATE FUNCTION model_versions_tombstone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.deleted IS NOT NULL AND NEW.deleted IS NULL
    OR OLD.deleted IS NULL AND NEW.deleted IS NOT NULL AND ((SELECT g.gate_id FROM gates g, registered_models m
        WHERE m.uid = OLD.model_uid AND g.active AND g.target = OLD.current_stage AND m.canonical_name LIKE g.model_like ESCAPE '\'
        ORDER BY g.pattern_exact DESC, g.pattern_fixed DESC, g.gate_id DESC LIMIT 1) IS NOT NULL
        OR EXISTS (SELECT 1 FROM model_aliases a WHERE a.version_uid = OLD.uid)) THEN
        RAISE EXCEPTION 'model_versions_tombstone: a version that holds a gated stage or an alias is not deleted, and a deleted one does not come back' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER model_versions_tombstone BEFORE UPDATE ON model_versions FOR EACH ROW EXECUTE FUNCTION model_versions_tombstone();
CREATE FUNCTION registered_models_tombstone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.deleted IS NOT NULL AND NEW.deleted IS NULL
    OR NEW.deleted IS NOT NULL AND EXISTS (SELECT 1 FROM model_versions v WHERE v.model_uid = OLD.uid AND v.deleted IS NULL) THEN
        RAISE EXCEPTION 'registered_models_tombstone: a model is deleted after its versions, and a deleted one does not come back' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER registered_models_tombstone BEFORE UPDATE ON registered_models FOR EACH ROW EXECUTE FUNCTION registered_models_tombstone();
CREATE FUNCTION version_artifacts_complete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM model_versions v WHERE v.uid = NEW.version_uid AND v.transition_id IS NOT NULL)
    OR EXISTS (SELECT 1 FROM transition_requests r WHERE r.version_uid = NEW.version_uid)
    OR EXISTS (SELECT 1 FROM model_aliases a WHERE a.version_uid = NEW.version_uid) THEN
        RAISE EXCEPTION 'version_artifacts_complete: the manifest of a version that was moved or asked for does not grow' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER version_artifacts_complete BEFORE INSERT ON version_artifacts FOR EACH ROW EXECUTE FUNCTION version_artifacts_complete();
-- Triggers see what is committed: of two transactions at once neither would see the other's row. So that one
-- waits for the other, each locks first what the rows belong to. Triggers fire in the order of their names.
CREATE FUNCTION lock_request() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM transition_requests r WHERE r.uid = NEW.request_uid FOR UPDATE;
    RETURN NEW;
END $$;
CREATE TRIGGER request_requesters_alone BEFORE INSERT OR UPDATE ON request_requesters FOR EACH ROW EXECUTE FUNCTION lock_request();
CREATE TRIGGER request_decisions_alone BEFORE INSERT OR UPDATE ON request_decisions FOR EACH ROW EXECUTE FUNCTION lock_request();
CREATE FUNCTION lock_model() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM registered_models m WHERE m.uid = NEW.model_uid FOR UPDATE;
    RETURN NEW;
END $$;
CREATE TRIGGER holdings_alone BEFORE INSERT ON holdings FOR EACH ROW EXECUTE FUNCTION lock_model();
CREATE TRIGGER transition_requests_alone BEFORE INSERT ON transition_requests FOR EACH ROW EXECUTE FUNCTION lock_model();
CREATE TRIGGER transitions_alone BEFORE INSERT ON transitions FOR EACH ROW EXECUTE FUNCTION lock_model();
CREATE TRIGGER registered_models_no_truncate BEFORE TRUNCATE ON registered_models FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();
