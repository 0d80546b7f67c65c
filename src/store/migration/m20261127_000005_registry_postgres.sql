CREATE FUNCTION transitions_fixed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TRUE THEN
        RAISE EXCEPTION 'transitions_fixed: transitions do not change' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER transitions_fixed BEFORE UPDATE ON transitions FOR EACH ROW EXECUTE FUNCTION transitions_fixed();
CREATE FUNCTION transitions_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TRUE THEN
        RAISE EXCEPTION 'transitions_kept: transitions are kept' USING ERRCODE = 'check_violation';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER transitions_kept BEFORE DELETE ON transitions FOR EACH ROW EXECUTE FUNCTION transitions_kept();
CREATE FUNCTION transitions_by_request() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE TRIGGER transitions_by_request BEFORE INSERT ON transitions FOR EACH ROW EXECUTE FUNCTION transitions_by_request();
CREATE FUNCTION transitions_direct() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE TRIGGER transitions_direct BEFORE INSERT ON transitions FOR EACH ROW EXECUTE FUNCTION transitions_direct();
CREATE FUNCTION transitions_own_request() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.authority = 'direct' AND EXISTS (SELECT 1 FROM transition_requests r, request_requesters q, users u
        WHERE r.version_uid = NEW.version_uid AND r.target = NEW.target AND r.state = 'OPEN' AND q.request_uid = r.uid
        AND q.withdrawn IS NULL AND u.uid = NEW.actor_uid AND (u.person_uid IN (q.person_uid, q.issuer_person_uid)
            OR EXISTS (SELECT 1 FROM request_makers k WHERE k.request_uid = r.uid AND k.decision_uid = '' AND k.person_uid = q.person_uid
                AND k.maker_person_uid = u.person_uid)
            OR EXISTS (SELECT 1 FROM user_makers k WHERE k.user_uid = u.uid AND k.vouched IS NULL
                AND k.maker_person_uid IN (q.person_uid, q.issuer_person_uid)))) THEN
        RAISE EXCEPTION 'transitions_own_request: a person with an open request cannot move the version there directly' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER transitions_own_request BEFORE INSERT ON transitions FOR EACH ROW EXECUTE FUNCTION transitions_own_request();
CREATE FUNCTION transitions_consequence() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.authority = 'consequence' AND (NEW.target <> 'Archived' OR NEW.version_uid IS NULL
        OR NEW.cause <> (SELECT MAX(t.id) FROM transitions t WHERE t.model_uid = NEW.model_uid AND t.target = NEW.from_target)
        OR NOT EXISTS (SELECT 1 FROM transitions t WHERE t.id = NEW.cause AND t.model_uid = NEW.model_uid AND t.target = NEW.from_target
            AND t.version_uid <> NEW.version_uid)) THEN
        RAISE EXCEPTION 'transitions_consequence: only those that give way move as a consequence' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER transitions_consequence BEFORE INSERT ON transitions FOR EACH ROW EXECUTE FUNCTION transitions_consequence();
CREATE FUNCTION model_versions_start() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.current_stage <> 'None' OR NEW.transition_id IS NOT NULL THEN
        RAISE EXCEPTION 'model_versions_start: a version starts without a stage' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER model_versions_start BEFORE INSERT ON model_versions FOR EACH ROW EXECUTE FUNCTION model_versions_start();
CREATE FUNCTION model_versions_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.current_stage <> OLD.current_stage OR NEW.transition_id IS DISTINCT FROM OLD.transition_id)
        AND (NEW.transition_id IS NULL OR NEW.transition_id <= COALESCE(OLD.transition_id, 0)
        OR NOT EXISTS (SELECT 1 FROM transitions t WHERE t.id = NEW.transition_id AND t.from_target = OLD.current_stage
            AND t.target = NEW.current_stage AND t.version_uid = NEW.uid)) THEN
        RAISE EXCEPTION 'model_versions_moved: a version moves only by a transition' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER model_versions_moved BEFORE UPDATE ON model_versions FOR EACH ROW EXECUTE FUNCTION model_versions_moved();
CREATE FUNCTION model_versions_identity() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.uid <> OLD.uid OR NEW.model_uid <> OLD.model_uid OR NEW.version <> OLD.version OR NEW.source <> OLD.source OR NEW.source_digest <> OLD.source_digest OR NEW.run_id <> OLD.run_id THEN
        RAISE EXCEPTION 'model_versions_identity: what a version is does not change' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER model_versions_identity BEFORE UPDATE ON model_versions FOR EACH ROW EXECUTE FUNCTION model_versions_identity();
CREATE FUNCTION model_versions_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TRUE THEN
        RAISE EXCEPTION 'model_versions_kept: versions leave a tombstone' USING ERRCODE = 'check_violation';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER model_versions_kept BEFORE DELETE ON model_versions FOR EACH ROW EXECUTE FUNCTION model_versions_kept();
CREATE FUNCTION version_artifacts_fixed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TRUE THEN
        RAISE EXCEPTION 'version_artifacts_fixed: a manifest does not change' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER version_artifacts_fixed BEFORE UPDATE ON version_artifacts FOR EACH ROW EXECUTE FUNCTION version_artifacts_fixed();
CREATE FUNCTION version_artifacts_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TRUE THEN
        RAISE EXCEPTION 'version_artifacts_kept: a manifest does not change' USING ERRCODE = 'check_violation';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER version_artifacts_kept BEFORE DELETE ON version_artifacts FOR EACH ROW EXECUTE FUNCTION version_artifacts_kept();
CREATE FUNCTION model_aliases_set() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM transitions t WHERE t.id = NEW.transition_id AND t.version_uid = NEW.version_uid
        AND t.id = (SELECT MAX(n.id) FROM transitions n WHERE n.model_uid = NEW.model_uid AND n.target = NEW.target)) THEN
        RAISE EXCEPTION 'model_aliases_set: an alias moves only by a transition' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER model_aliases_set BEFORE INSERT ON model_aliases FOR EACH ROW EXECUTE FUNCTION model_aliases_set();
CREATE FUNCTION model_aliases_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.model_uid <> OLD.model_uid OR NEW.alias <> OLD.alias OR NEW.transition_id <= OLD.transition_id OR NOT EXISTS (SELECT 1 FROM transitions t WHERE t.id = NEW.transition_id AND t.version_uid = NEW.version_uid
        AND t.id = (SELECT MAX(n.id) FROM transitions n WHERE n.model_uid = NEW.model_uid AND n.target = NEW.target)) THEN
        RAISE EXCEPTION 'model_aliases_moved: an alias moves only by a transition' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER model_aliases_moved BEFORE UPDATE ON model_aliases FOR EACH ROW EXECUTE FUNCTION model_aliases_moved();
CREATE FUNCTION model_aliases_released() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT t.version_uid FROM transitions t WHERE t.model_uid = OLD.model_uid AND t.target = OLD.target ORDER BY t.id DESC LIMIT 1) IS NOT NULL THEN
        RAISE EXCEPTION 'model_aliases_released: an alias is released only by a transition' USING ERRCODE = 'check_violation';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER model_aliases_released BEFORE DELETE ON model_aliases FOR EACH ROW EXECUTE FUNCTION model_aliases_released();
CREATE FUNCTION holdings_follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.until_time IS NOT NULL OR EXISTS (SELECT 1 FROM holdings h WHERE h.model_uid = NEW.model_uid AND h.target = NEW.target AND (h.until_time IS NULL OR h.until_time > NEW.from_time)) THEN
        RAISE EXCEPTION 'holdings_follow: the intervals of a target do not overlap' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER holdings_follow BEFORE INSERT ON holdings FOR EACH ROW EXECUTE FUNCTION holdings_follow();
CREATE FUNCTION holdings_end_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.until_time IS NOT NULL OR NEW.until_time IS NULL OR NEW.model_uid <> OLD.model_uid OR NEW.target <> OLD.target OR NEW.version_uid <> OLD.version_uid OR NEW.from_time <> OLD.from_time OR NEW.transition_id <> OLD.transition_id THEN
        RAISE EXCEPTION 'holdings_end_once: a holding can only end' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER holdings_end_once BEFORE UPDATE ON holdings FOR EACH ROW EXECUTE FUNCTION holdings_end_once();
CREATE FUNCTION holdings_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TRUE THEN
        RAISE EXCEPTION 'holdings_kept: holdings are kept' USING ERRCODE = 'check_violation';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER holdings_kept BEFORE DELETE ON holdings FOR EACH ROW EXECUTE FUNCTION holdings_kept();
CREATE FUNCTION gates_fixed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT OLD.active OR (NEW.gate_id, NEW.version, NEW.target, NEW.model_pattern, NEW.model_like, NEW.pattern_exact, NEW.pattern_fixed, NEW.approvals_required, NEW.direct_moves_allowed, COALESCE(NEW.expires_after, 0)) <> (OLD.gate_id, OLD.version, OLD.target, OLD.model_pattern, OLD.model_like, OLD.pattern_exact, OLD.pattern_fixed, OLD.approvals_required, OLD.direct_moves_allowed, COALESCE(OLD.expires_after, 0)) THEN
        RAISE EXCEPTION 'gates_fixed: a version of a gate does not change' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER gates_fixed BEFORE UPDATE ON gates FOR EACH ROW EXECUTE FUNCTION gates_fixed();
CREATE FUNCTION gates_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TRUE THEN
        RAISE EXCEPTION 'gates_kept: gates are kept' USING ERRCODE = 'check_violation';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER gates_kept BEFORE DELETE ON gates FOR EACH ROW EXECUTE FUNCTION gates_kept();
CREATE FUNCTION holdings_held() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM model_versions v WHERE v.uid = NEW.version_uid AND v.model_uid = NEW.model_uid AND v.current_stage = NEW.target)
    AND NOT EXISTS (SELECT 1 FROM model_aliases a WHERE a.version_uid = NEW.version_uid AND a.model_uid = NEW.model_uid AND a.target = NEW.target) THEN
        RAISE EXCEPTION 'holdings_held: only a version that is there holds a target' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER holdings_held BEFORE INSERT ON holdings FOR EACH ROW EXECUTE FUNCTION holdings_held();
CREATE TRIGGER gates_no_truncate BEFORE TRUNCATE ON gates FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();
CREATE TRIGGER transitions_no_truncate BEFORE TRUNCATE ON transitions FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();
CREATE TRIGGER model_versions_no_truncate BEFORE TRUNCATE ON model_versions FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();
CREATE TRIGGER version_artifacts_no_truncate BEFORE TRUNCATE ON version_artifacts FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();
CREATE TRIGGER model_aliases_no_truncate BEFORE TRUNCATE ON model_aliases FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();
CREATE TRIGGER holdings_no_truncate BEFORE TRUNCATE ON holdings FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();
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
CREATE FUNCTION lock_model() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM registered_models m WHERE m.uid = NEW.model_uid FOR UPDATE;
    RETURN NEW;
END $$;
CREATE TRIGGER holdings_alone BEFORE INSERT ON holdings FOR EACH ROW EXECUTE FUNCTION lock_model();
CREATE TRIGGER transitions_alone BEFORE INSERT ON transitions FOR EACH ROW EXECUTE FUNCTION lock_model();
CREATE TRIGGER registered_models_no_truncate BEFORE TRUNCATE ON registered_models FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();
