CREATE TRIGGER transitions_fixed BEFORE UPDATE ON transitions
BEGIN SELECT RAISE(ABORT, 'transitions_fixed: transitions do not change'); END;
CREATE TRIGGER transitions_kept BEFORE DELETE ON transitions
BEGIN SELECT RAISE(ABORT, 'transitions_kept: transitions are kept'); END;
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
CREATE TRIGGER transitions_direct BEFORE INSERT ON transitions
WHEN NEW.authority = 'direct' AND ((SELECT g.direct_moves_allowed FROM gates g, registered_models m
        WHERE m.uid = NEW.model_uid AND g.active AND g.target = NEW.target AND m.canonical_name GLOB REPLACE(REPLACE(g.model_pattern, '[', '[[]'), '?', '[?]')
        ORDER BY g.pattern_exact DESC, g.pattern_fixed DESC, g.gate_id DESC LIMIT 1) = 0
    OR (SELECT g.direct_moves_allowed FROM gates g, registered_models m
        WHERE m.uid = NEW.model_uid AND g.active AND g.target = NEW.from_target AND m.canonical_name GLOB REPLACE(REPLACE(g.model_pattern, '[', '[[]'), '?', '[?]')
        ORDER BY g.pattern_exact DESC, g.pattern_fixed DESC, g.gate_id DESC LIMIT 1) = 0)
BEGIN SELECT RAISE(ABORT, 'transitions_direct: the gate allows no direct moves'); END;
CREATE TRIGGER transitions_own_request BEFORE INSERT ON transitions
WHEN NEW.authority = 'direct' AND EXISTS (SELECT 1 FROM transition_requests r, request_requesters q, users u
        WHERE r.version_uid = NEW.version_uid AND r.target = NEW.target AND r.state = 'OPEN' AND q.request_uid = r.uid
        AND q.withdrawn IS NULL AND u.uid = NEW.actor_uid AND (u.person_uid IN (q.person_uid, q.issuer_person_uid)
            OR EXISTS (SELECT 1 FROM request_makers k WHERE k.request_uid = r.uid AND k.decision_uid = '' AND k.person_uid = q.person_uid
                AND k.maker_person_uid = u.person_uid)
            OR EXISTS (SELECT 1 FROM user_makers k WHERE k.user_uid = u.uid AND k.vouched IS NULL
                AND k.maker_person_uid IN (q.person_uid, q.issuer_person_uid))))
BEGIN SELECT RAISE(ABORT, 'transitions_own_request: a person with an open request cannot move the version there directly'); END;
CREATE TRIGGER transitions_consequence BEFORE INSERT ON transitions
WHEN NEW.authority = 'consequence' AND (NEW.target <> 'Archived' OR NEW.version_uid IS NULL
        OR NEW.cause <> (SELECT MAX(t.id) FROM transitions t WHERE t.model_uid = NEW.model_uid AND t.target = NEW.from_target)
        OR NOT EXISTS (SELECT 1 FROM transitions t WHERE t.id = NEW.cause AND t.model_uid = NEW.model_uid AND t.target = NEW.from_target
            AND t.version_uid <> NEW.version_uid))
BEGIN SELECT RAISE(ABORT, 'transitions_consequence: only those that give way move as a consequence'); END;
CREATE TRIGGER model_versions_start BEFORE INSERT ON model_versions
WHEN NEW.current_stage <> 'None' OR NEW.transition_id IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'model_versions_start: a version starts without a stage'); END;
CREATE TRIGGER model_versions_moved BEFORE UPDATE ON model_versions
WHEN (NEW.current_stage <> OLD.current_stage OR NEW.transition_id IS NOT OLD.transition_id)
        AND (NEW.transition_id IS NULL OR NEW.transition_id <= COALESCE(OLD.transition_id, 0)
        OR NOT EXISTS (SELECT 1 FROM transitions t WHERE t.id = NEW.transition_id AND t.from_target = OLD.current_stage
            AND t.target = NEW.current_stage AND t.version_uid = NEW.uid))
BEGIN SELECT RAISE(ABORT, 'model_versions_moved: a version moves only by a transition'); END;
CREATE TRIGGER model_versions_identity BEFORE UPDATE ON model_versions
WHEN NEW.uid <> OLD.uid OR NEW.model_uid <> OLD.model_uid OR NEW.version <> OLD.version OR NEW.source <> OLD.source OR NEW.source_digest <> OLD.source_digest OR NEW.run_id <> OLD.run_id
BEGIN SELECT RAISE(ABORT, 'model_versions_identity: what a version is does not change'); END;
CREATE TRIGGER model_versions_kept BEFORE DELETE ON model_versions
BEGIN SELECT RAISE(ABORT, 'model_versions_kept: versions leave a tombstone'); END;
CREATE TRIGGER version_artifacts_fixed BEFORE UPDATE ON version_artifacts
BEGIN SELECT RAISE(ABORT, 'version_artifacts_fixed: a manifest does not change'); END;
CREATE TRIGGER version_artifacts_kept BEFORE DELETE ON version_artifacts
BEGIN SELECT RAISE(ABORT, 'version_artifacts_kept: a manifest does not change'); END;
CREATE TRIGGER model_aliases_set BEFORE INSERT ON model_aliases
WHEN NOT EXISTS (SELECT 1 FROM transitions t WHERE t.id = NEW.transition_id AND t.version_uid = NEW.version_uid
        AND t.id = (SELECT MAX(n.id) FROM transitions n WHERE n.model_uid = NEW.model_uid AND n.target = NEW.target))
BEGIN SELECT RAISE(ABORT, 'model_aliases_set: an alias moves only by a transition'); END;
CREATE TRIGGER model_aliases_moved BEFORE UPDATE ON model_aliases
WHEN NEW.model_uid <> OLD.model_uid OR NEW.alias <> OLD.alias OR NEW.transition_id <= OLD.transition_id OR NOT EXISTS (SELECT 1 FROM transitions t WHERE t.id = NEW.transition_id AND t.version_uid = NEW.version_uid
        AND t.id = (SELECT MAX(n.id) FROM transitions n WHERE n.model_uid = NEW.model_uid AND n.target = NEW.target))
BEGIN SELECT RAISE(ABORT, 'model_aliases_moved: an alias moves only by a transition'); END;
CREATE TRIGGER model_aliases_released BEFORE DELETE ON model_aliases
WHEN (SELECT t.version_uid FROM transitions t WHERE t.model_uid = OLD.model_uid AND t.target = OLD.target ORDER BY t.id DESC LIMIT 1) IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'model_aliases_released: an alias is released only by a transition'); END;
CREATE TRIGGER holdings_follow BEFORE INSERT ON holdings
WHEN NEW.until_time IS NOT NULL OR EXISTS (SELECT 1 FROM holdings h WHERE h.model_uid = NEW.model_uid AND h.target = NEW.target AND (h.until_time IS NULL OR h.until_time > NEW.from_time))
BEGIN SELECT RAISE(ABORT, 'holdings_follow: the intervals of a target do not overlap'); END;
CREATE TRIGGER holdings_end_once BEFORE UPDATE ON holdings
WHEN OLD.until_time IS NOT NULL OR NEW.until_time IS NULL OR NEW.model_uid <> OLD.model_uid OR NEW.target <> OLD.target OR NEW.version_uid <> OLD.version_uid OR NEW.from_time <> OLD.from_time OR NEW.transition_id <> OLD.transition_id
BEGIN SELECT RAISE(ABORT, 'holdings_end_once: a holding can only end'); END;
CREATE TRIGGER holdings_kept BEFORE DELETE ON holdings
BEGIN SELECT RAISE(ABORT, 'holdings_kept: holdings are kept'); END;
CREATE TRIGGER gates_fixed BEFORE UPDATE ON gates
WHEN OLD.active = 0 OR NEW.gate_id <> OLD.gate_id OR NEW.version <> OLD.version OR NEW.target <> OLD.target OR NEW.model_pattern <> OLD.model_pattern OR NEW.model_like <> OLD.model_like OR NEW.pattern_exact <> OLD.pattern_exact OR NEW.pattern_fixed <> OLD.pattern_fixed OR NEW.approvals_required <> OLD.approvals_required OR NEW.direct_moves_allowed <> OLD.direct_moves_allowed OR COALESCE(NEW.expires_after, 0) <> COALESCE(OLD.expires_after, 0)
BEGIN SELECT RAISE(ABORT, 'gates_fixed: a version of a gate does not change'); END;
CREATE TRIGGER gates_kept BEFORE DELETE ON gates
BEGIN SELECT RAISE(ABORT, 'gates_kept: gates are kept'); END;
CREATE TRIGGER holdings_held BEFORE INSERT ON holdings
WHEN NOT EXISTS (SELECT 1 FROM model_versions v WHERE v.uid = NEW.version_uid AND v.model_uid = NEW.model_uid AND v.current_stage = NEW.target)
    AND NOT EXISTS (SELECT 1 FROM model_aliases a WHERE a.version_uid = NEW.version_uid AND a.model_uid = NEW.model_uid AND a.target = NEW.target)
BEGIN SELECT RAISE(ABORT, 'holdings_held: only a version that is there holds a target'); END;
CREATE TRIGGER transitions_not_replaced BEFORE INSERT ON transitions
WHEN EXISTS (SELECT 1 FROM transitions old WHERE old.id = NEW.id OR old.uid = NEW.uid)
BEGIN SELECT RAISE(ABORT, 'transitions_not_replaced: a row is not replaced'); END;
CREATE TRIGGER holdings_not_replaced BEFORE INSERT ON holdings
WHEN EXISTS (SELECT 1 FROM holdings old WHERE old.id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'holdings_not_replaced: a row is not replaced'); END;
CREATE TRIGGER gates_not_replaced BEFORE INSERT ON gates
WHEN EXISTS (SELECT 1 FROM gates old WHERE old.gate_id = NEW.gate_id AND (old.version = NEW.version OR old.active AND NEW.active))
BEGIN SELECT RAISE(ABORT, 'gates_not_replaced: a row is not replaced'); END;
CREATE TRIGGER model_versions_not_replaced BEFORE INSERT ON model_versions
WHEN EXISTS (SELECT 1 FROM model_versions old WHERE old.uid = NEW.uid OR old.model_uid = NEW.model_uid AND old.version = NEW.version)
BEGIN SELECT RAISE(ABORT, 'model_versions_not_replaced: a row is not replaced'); END;
CREATE TRIGGER version_artifacts_not_replaced BEFORE INSERT ON version_artifacts
WHEN EXISTS (SELECT 1 FROM version_artifacts old WHERE old.version_uid = NEW.version_uid AND old.path = NEW.path)
BEGIN SELECT RAISE(ABORT, 'version_artifacts_not_replaced: a row is not replaced'); END;
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
CREATE TRIGGER registered_models_not_replaced BEFORE INSERT ON registered_models
WHEN EXISTS (SELECT 1 FROM registered_models old WHERE old.uid = NEW.uid)
BEGIN SELECT RAISE(ABORT, 'registered_models_not_replaced: a row is not replaced'); END;
