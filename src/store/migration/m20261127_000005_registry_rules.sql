-- What is lawful for models, gates, versions, moves, aliases and holdings. `mod.rs` makes a trigger for each engine of
-- each RULE; a rule that REQUIRES something refuses as well what is unknown (NULL).

-- The gates that protect targets of models, each in its newest version, the first in place before all others: of those
-- whose pattern matches the one that fixes the whole name, then the one that fixes more characters, then the one with
-- the greater id. This is the only place that knows how gates are matched and ranked.
CREATE VIEW gates_matching AS
SELECT m.uid AS model_uid, g.target, g.gate_id, g.version, g.model_pattern, g.approvals_required, g.direct_moves_allowed,
    g.expires_after, g.common_maker_allowed, u.person_uid AS author_person_uid,
    ROW_NUMBER() OVER (PARTITION BY m.uid, g.target ORDER BY CASE WHEN g.model_pattern LIKE '%*%' THEN 0 ELSE 1 END DESC,
        LENGTH(REPLACE(g.model_pattern, '*', '')) DESC, g.gate_id {bytewise} DESC) AS place
FROM gates g
JOIN registered_models m ON m.workspace_id = g.workspace_id AND {name_matches}
LEFT JOIN users u ON u.uid = g.created_by
WHERE g.active AND g.target <> ''
    AND NOT EXISTS (SELECT 1 FROM gates later WHERE later.gate_id = g.gate_id AND later.version > g.version);
CREATE VIEW gates_in_force AS
SELECT model_uid, target, gate_id, version, model_pattern, approvals_required, direct_moves_allowed, expires_after, common_maker_allowed,
    author_person_uid
FROM gates_matching WHERE place = 1;
-- Who gave up a gate that protected a target of a model.
CREATE VIEW gates_ended AS
SELECT m.uid AS model_uid, g.target, u.person_uid AS author_person_uid
FROM gates g
JOIN registered_models m ON m.workspace_id = g.workspace_id AND {name_matches}
JOIN users u ON u.uid = g.created_by
WHERE NOT g.active AND g.target <> '';
-- Which version is where.
CREATE VIEW targets_held AS
SELECT v.model_uid, v.current_stage AS target, v.uid AS version_uid FROM model_versions v
WHERE v.deleted IS NULL AND v.current_stage NOT IN {stages_out_of_use}
UNION ALL SELECT a.model_uid, a.target, a.version_uid FROM model_aliases a;
-- Moves that may still be carried out: the gate that they were made under is in force.
CREATE VIEW transitions_standing AS
SELECT t.id, t.model_uid, t.version_uid, t.target, t.from_target FROM transitions t
WHERE t.authority NOT IN ('request', 'direct') OR NOT EXISTS (
    SELECT 1 FROM gates_in_force f WHERE f.model_uid = t.model_uid AND f.target = t.target
        AND (f.gate_id IS DISTINCT FROM t.gate_id OR f.version IS DISTINCT FROM t.gate_version));

-- Models.
RULE registered_models_identity BEFORE UPDATE ON registered_models
REQUIRES NEW.uid = OLD.uid AND NEW.workspace_id = OLD.workspace_id AND NEW.created = OLD.created
    AND NEW.created_by = OLD.created_by AND NEW.last_version >= OLD.last_version
SAYS 'what a model is does not change';
RULE registered_models_kept BEFORE DELETE ON registered_models
SAYS 'models leave a tombstone';
RULE registered_models_tombstone BEFORE UPDATE ON registered_models
REFUSES OLD.deleted IS NOT NULL AND NEW.deleted IS DISTINCT FROM OLD.deleted
    OR NEW.deleted IS NOT NULL AND EXISTS (SELECT 1 FROM model_versions v WHERE v.model_uid = OLD.uid AND v.deleted IS NULL)
SAYS 'a model is deleted after its versions, and a deleted one does not come back';
-- People approve a version under the name that they read.
RULE registered_models_named BEFORE UPDATE ON registered_models
REFUSES (NEW.name IS DISTINCT FROM OLD.name OR NEW.canonical_name IS DISTINCT FROM OLD.canonical_name)
    AND (OLD.deleted IS NOT NULL OR EXISTS (SELECT 1 FROM transition_requests r WHERE r.model_uid = OLD.uid AND r.state = 'OPEN')
        OR EXISTS (SELECT 1 FROM targets_held h JOIN gates_in_force f ON f.model_uid = h.model_uid AND f.target = h.target
            WHERE h.model_uid = OLD.uid AND f.model_uid = OLD.uid))
SAYS 'a model that holds a gated target or has an open request keeps its name';
RULE registered_models_renamed AFTER UPDATE ON registered_models
REFUSES NEW.canonical_name <> OLD.canonical_name
    AND EXISTS (SELECT 1 FROM targets_held h JOIN gates_in_force f ON f.model_uid = h.model_uid AND f.target = h.target
        WHERE h.model_uid = NEW.uid AND f.model_uid = NEW.uid)
SAYS 'under the new name a gate would protect what a version holds';
RULE registered_models_name_given BEFORE INSERT ON registered_models
REFUSES EXISTS (SELECT 1 FROM promoted_names p
        WHERE p.workspace_id = NEW.workspace_id AND p.canonical_name = NEW.canonical_name AND p.model_uid <> NEW.uid)
    AND NOT EXISTS (SELECT 1 FROM users u WHERE u.uid = NEW.name_taken_by AND u.active)
SAYS 'another model held a gated target under this name';
RULE registered_models_name_taken BEFORE UPDATE ON registered_models
REFUSES CASE WHEN NEW.canonical_name = OLD.canonical_name THEN NEW.name_taken_by IS DISTINCT FROM OLD.name_taken_by
    ELSE EXISTS (SELECT 1 FROM promoted_names p
            WHERE p.workspace_id = NEW.workspace_id AND p.canonical_name = NEW.canonical_name AND p.model_uid <> NEW.uid)
        AND NOT EXISTS (SELECT 1 FROM users u WHERE u.uid = NEW.name_taken_by AND u.active) END
SAYS 'another model held a gated target under this name';
RULE promoted_names_fixed BEFORE UPDATE ON promoted_names
SAYS 'the names of what was promoted are kept';
RULE promoted_names_kept BEFORE DELETE ON promoted_names
SAYS 'the names of what was promoted are kept';

-- Gates. A version of a gate never changes; a newer one takes its place.
RULE gates_fixed BEFORE UPDATE ON gates
SAYS 'a version of a gate does not change';
RULE gates_kept BEFORE DELETE ON gates
SAYS 'gates are kept';
RULE gates_chain BEFORE INSERT ON gates
REQUIRES NEW.gate_id <> 'no-gate' AND CASE WHEN NEW.version = 1
    THEN NEW.active AND NOT EXISTS (SELECT 1 FROM gates g WHERE g.gate_id = NEW.gate_id)
    ELSE NEW.version - 1 = (SELECT MAX(g.version) FROM gates g WHERE g.gate_id = NEW.gate_id)
        AND EXISTS (SELECT 1 FROM gates g WHERE g.gate_id = NEW.gate_id AND g.version = NEW.version - 1 AND g.active
            AND g.workspace_id = NEW.workspace_id AND g.target = NEW.target AND g.model_pattern = NEW.model_pattern) END
SAYS 'a version of a gate follows the one before and protects the same targets';
RULE gates_author BEFORE INSERT ON gates
REQUIRES EXISTS (SELECT 1 FROM users u WHERE u.uid = NEW.created_by AND u.active)
SAYS 'a gate has an author';
-- The way to loosen what protects a version in place or a request is a new version of that gate, which its author
-- cannot use alone (transitions_own_gate); not another gate that takes its place, and not its end. Where nothing is in
-- place yet a gate may end, and who ended it moves nothing past it alone either.
RULE gates_displace AFTER INSERT ON gates
REFUSES NEW.version = 1 AND EXISTS (
    SELECT 1 FROM gates_matching n
    JOIN gates_matching d ON d.model_uid = n.model_uid AND d.target = n.target AND d.place = 2
    JOIN targets_at_stake s ON s.model_uid = n.model_uid AND s.target = n.target
    WHERE n.place = 1 AND n.gate_id = NEW.gate_id AND n.target = NEW.target AND d.target = NEW.target AND s.target = NEW.target
        AND (n.approvals_required < d.approvals_required OR n.direct_moves_allowed AND NOT d.direct_moves_allowed
            OR n.common_maker_allowed AND NOT d.common_maker_allowed))
SAYS 'a gate that takes the place of another is as strict where a target is held or asked for';
RULE gates_given_up BEFORE INSERT ON gates
REFUSES NOT NEW.active AND EXISTS (
    SELECT 1 FROM gates_in_force f JOIN targets_at_stake s ON s.model_uid = f.model_uid AND s.target = f.target
    WHERE f.gate_id = NEW.gate_id AND f.target = NEW.target)
SAYS 'a gate is not given up while what it protects is held or asked for';

RULE gates_single AFTER INSERT ON gates
REFUSES EXISTS (SELECT 1 FROM gates_in_force f WHERE f.gate_id = NEW.gate_id AND f.target NOT LIKE '@%'
    AND (SELECT COUNT(*) FROM targets_held h WHERE h.model_uid = f.model_uid AND h.target = f.target) > 1)
SAYS 'a gated stage holds one version: archive the others first';

-- Moves.
RULE transitions_fixed BEFORE UPDATE ON transitions
SAYS 'transitions do not change';
RULE transitions_kept BEFORE DELETE ON transitions
SAYS 'transitions are kept';
RULE transitions_version BEFORE INSERT ON transitions
REQUIRES CASE WHEN NEW.version_uid IS NULL
    THEN NEW.authority = 'direct' AND NEW.from_target = ''
        AND EXISTS (SELECT 1 FROM registered_models m WHERE m.uid = NEW.model_uid)
        -- An alias is let go of, or a version that was deleted lets go of its stage.
        AND CASE WHEN NEW.target LIKE '@%'
            THEN EXISTS (SELECT 1 FROM model_aliases a WHERE a.model_uid = NEW.model_uid AND a.target = NEW.target)
            ELSE EXISTS (SELECT 1 FROM holdings h JOIN model_versions v ON v.uid = h.version_uid WHERE h.model_uid = NEW.model_uid
                AND h.target = NEW.target AND h.until_time IS NULL AND v.deleted IS NOT NULL) END
    ELSE EXISTS (SELECT 1 FROM model_versions v JOIN registered_models m ON m.uid = v.model_uid
        WHERE v.uid = NEW.version_uid AND v.model_uid = NEW.model_uid AND v.deleted IS NULL AND m.deleted IS NULL
            AND NEW.from_target = CASE WHEN NEW.target LIKE '@%' THEN '' ELSE v.current_stage END) END
SAYS 'a transition is about a live version of its model, and begins where the version stands';
RULE transitions_actor BEFORE INSERT ON transitions
REQUIRES CASE NEW.authority WHEN 'import' THEN NEW.actor_uid = ''
    WHEN 'consequence' THEN EXISTS (SELECT 1 FROM transitions t WHERE t.id = NEW.cause AND t.actor_uid = NEW.actor_uid)
    ELSE EXISTS (SELECT 1 FROM users u WHERE u.uid = NEW.actor_uid AND u.active) END
SAYS 'an active user makes a move';
RULE transitions_gate BEFORE INSERT ON transitions
REQUIRES NEW.authority NOT IN ('request', 'direct') OR EXISTS (
        SELECT 1 FROM gates_in_force f WHERE f.model_uid = NEW.model_uid AND f.target = NEW.target
            AND f.gate_id = NEW.gate_id AND f.version = NEW.gate_version)
    OR (NEW.gate_id IS NULL OR NEW.gate_id = 'no-gate')
        AND NOT EXISTS (SELECT 1 FROM gates_in_force f WHERE f.model_uid = NEW.model_uid AND f.target = NEW.target)
SAYS 'a move names the gate in force';
RULE transitions_by_request BEFORE INSERT ON transitions
REFUSES NEW.authority = 'request' AND (NOT EXISTS (
        SELECT 1 FROM transition_requests r WHERE r.uid = NEW.request_uid AND r.state = 'APPROVED' AND r.model_uid = NEW.model_uid
            AND r.version_uid = NEW.version_uid AND r.target = NEW.target
            AND r.gate_id = COALESCE(NEW.gate_id, 'no-gate') AND r.gate_version = COALESCE(NEW.gate_version, 1))
    OR EXISTS (SELECT 1 FROM transitions t WHERE t.request_uid = NEW.request_uid)
    -- What the gate of a stage that is left demands is demanded as well.
    OR NEW.from_target <> NEW.target AND (SELECT COUNT(DISTINCT d.person_uid) FROM request_decisions d
        JOIN transition_requests r ON r.uid = d.request_uid AND r.evidence_digest = d.evidence_digest
        WHERE r.uid = NEW.request_uid AND d.kind = 'APPROVED' AND d.voided IS NULL)
        < COALESCE((SELECT f.approvals_required FROM gates_in_force f WHERE f.model_uid = NEW.model_uid AND f.target = NEW.from_target), 0))
SAYS 'no approved request gives the right to this move';
RULE transitions_direct BEFORE INSERT ON transitions
REFUSES NEW.authority = 'direct' AND EXISTS (SELECT 1 FROM gates_in_force f WHERE f.model_uid = NEW.model_uid
    AND f.target IN (NEW.target, NEW.from_target) AND NOT f.direct_moves_allowed)
SAYS 'the gate allows no direct moves';
RULE transitions_own_gate BEFORE INSERT ON transitions
REFUSES NEW.authority = 'direct' AND EXISTS (SELECT 1 FROM gates_in_force f JOIN users u ON u.person_uid = f.author_person_uid
        WHERE f.model_uid = NEW.model_uid AND f.target IN (NEW.target, NEW.from_target) AND u.uid = NEW.actor_uid)
    OR NEW.authority = 'direct' AND EXISTS (SELECT 1 FROM gates_ended e JOIN users u ON u.person_uid = e.author_person_uid
        WHERE e.model_uid = NEW.model_uid AND e.target IN (NEW.target, NEW.from_target) AND u.uid = NEW.actor_uid)
SAYS 'who wrote the gate in force, or gave one up, does not move directly there';
RULE transitions_own_request BEFORE INSERT ON transitions
REFUSES NEW.authority = 'direct' AND EXISTS (SELECT 1 FROM transition_requests r, request_requesters q, users u
    WHERE r.version_uid = NEW.version_uid AND r.target = NEW.target AND r.state = 'OPEN' AND q.request_uid = r.uid
    AND q.withdrawn IS NULL AND u.uid = NEW.actor_uid AND (u.person_uid IN (q.person_uid, q.issuer_person_uid)
        OR EXISTS (SELECT 1 FROM request_makers k WHERE k.request_uid = r.uid AND k.decision_uid = '' AND k.person_uid = q.person_uid
            AND k.maker_person_uid = u.person_uid)
        OR EXISTS (SELECT 1 FROM user_makers k WHERE k.user_uid = u.uid AND k.vouched IS NULL
            AND k.maker_person_uid IN (q.person_uid, q.issuer_person_uid))))
SAYS 'a person with an open request cannot move the version there directly';
RULE transitions_consequence BEFORE INSERT ON transitions
REQUIRES NEW.authority <> 'consequence' OR NEW.target = 'Archived' AND NEW.version_uid IS NOT NULL
    AND NEW.cause = (SELECT MAX(t.id) FROM transitions t WHERE t.model_uid = NEW.model_uid AND t.target = NEW.from_target)
    AND EXISTS (SELECT 1 FROM transitions t WHERE t.id = NEW.cause AND t.model_uid = NEW.model_uid AND t.target = NEW.from_target
        AND t.version_uid <> NEW.version_uid)
SAYS 'only those that give way move as a consequence';

-- Versions.
RULE model_versions_start BEFORE INSERT ON model_versions
REQUIRES NEW.current_stage = 'None' AND NEW.transition_id IS NULL AND NEW.deleted IS NULL AND NEW.purged IS NULL
    AND EXISTS (SELECT 1 FROM registered_models m WHERE m.uid = NEW.model_uid AND m.deleted IS NULL)
SAYS 'a version starts without a stage, in a model that is there';
RULE model_versions_identity BEFORE UPDATE ON model_versions
REQUIRES NEW.uid = OLD.uid AND NEW.model_uid = OLD.model_uid AND NEW.version = OLD.version AND NEW.source = OLD.source
    AND NEW.source_digest = OLD.source_digest AND NEW.run_id = OLD.run_id AND NEW.run IS NOT DISTINCT FROM OLD.run
    AND NEW.logged_model IS NOT DISTINCT FROM OLD.logged_model AND NEW.created = OLD.created AND NEW.created_by = OLD.created_by
SAYS 'what a version is does not change';
RULE model_versions_moved BEFORE UPDATE ON model_versions
REFUSES (NEW.current_stage IS DISTINCT FROM OLD.current_stage OR NEW.transition_id IS DISTINCT FROM OLD.transition_id)
    AND NOT EXISTS (SELECT 1 FROM transitions_standing t WHERE t.id = NEW.transition_id AND t.version_uid = NEW.uid
        AND t.model_uid = NEW.model_uid AND t.from_target = OLD.current_stage AND t.target = NEW.current_stage
        AND t.id > COALESCE(OLD.transition_id, 0)
        AND t.id = (SELECT MAX(n.id) FROM transitions n WHERE n.model_uid = NEW.model_uid AND n.version_uid = NEW.uid
            AND n.target NOT LIKE '@%'))
SAYS 'a version moves only by its newest transition, while the gate that allowed it is in force';
RULE model_versions_single BEFORE UPDATE ON model_versions
REFUSES NEW.current_stage IS DISTINCT FROM OLD.current_stage AND NEW.current_stage NOT IN {stages_out_of_use}
    AND EXISTS (SELECT 1 FROM gates_in_force f WHERE f.model_uid = NEW.model_uid AND f.target = NEW.current_stage)
    AND EXISTS (SELECT 1 FROM model_versions v WHERE v.model_uid = NEW.model_uid AND v.uid <> NEW.uid
        AND v.current_stage = NEW.current_stage AND v.deleted IS NULL)
SAYS 'a gated stage holds one version';
RULE model_versions_tombstone BEFORE UPDATE ON model_versions
REFUSES OLD.deleted IS NOT NULL AND NEW.deleted IS DISTINCT FROM OLD.deleted
    OR OLD.deleted IS NULL AND NEW.deleted IS NOT NULL AND (
        EXISTS (SELECT 1 FROM gates_in_force f WHERE f.model_uid = OLD.model_uid AND f.target = OLD.current_stage)
        OR EXISTS (SELECT 1 FROM model_aliases a WHERE a.version_uid = OLD.uid)
        OR EXISTS (SELECT 1 FROM transition_requests r WHERE r.version_uid = OLD.uid AND r.state = 'OPEN'))
SAYS 'a version that holds a gated stage or an alias or has an open request is not deleted, and a deleted one does not come back';
RULE model_versions_kept BEFORE DELETE ON model_versions
SAYS 'versions leave a tombstone';
RULE version_artifacts_complete BEFORE INSERT ON version_artifacts
REFUSES EXISTS (SELECT 1 FROM model_versions v WHERE v.uid = NEW.version_uid AND (v.transition_id IS NOT NULL OR v.deleted IS NOT NULL))
    OR EXISTS (SELECT 1 FROM transition_requests r WHERE r.version_uid = NEW.version_uid)
    OR EXISTS (SELECT 1 FROM model_aliases a WHERE a.version_uid = NEW.version_uid)
SAYS 'the manifest of a version that was moved or asked for does not grow';
RULE version_artifacts_there BEFORE INSERT ON version_artifacts
REQUIRES EXISTS (SELECT 1 FROM model_versions v WHERE v.uid = NEW.version_uid)
    AND EXISTS (SELECT 1 FROM blobs b WHERE b.uid = NEW.blob_uid)
SAYS 'a manifest is of a version and names bytes that are there';
RULE blobs_of_versions_kept BEFORE DELETE ON blobs
REFUSES EXISTS (SELECT 1 FROM version_artifacts f WHERE f.blob_uid = OLD.uid)
SAYS 'bytes of a version are kept';
RULE version_artifacts_fixed BEFORE UPDATE ON version_artifacts
SAYS 'a manifest does not change';
RULE version_artifacts_kept BEFORE DELETE ON version_artifacts
REQUIRES EXISTS (SELECT 1 FROM model_versions v WHERE v.uid = OLD.version_uid AND v.purged IS NOT NULL)
SAYS 'a manifest does not change';

-- Aliases.
RULE model_aliases_set BEFORE INSERT ON model_aliases
REQUIRES EXISTS (SELECT 1 FROM transitions_standing t WHERE t.id = NEW.transition_id AND t.version_uid = NEW.version_uid
    AND t.model_uid = NEW.model_uid AND t.target = NEW.target
    AND t.id = (SELECT MAX(n.id) FROM transitions n WHERE n.model_uid = NEW.model_uid AND n.target = NEW.target))
SAYS 'an alias moves only by its newest transition, while the gate that allowed it is in force';
RULE model_aliases_moved BEFORE UPDATE ON model_aliases
REQUIRES NEW.model_uid = OLD.model_uid AND NEW.alias = OLD.alias AND NEW.transition_id > OLD.transition_id
    AND EXISTS (SELECT 1 FROM transitions_standing t WHERE t.id = NEW.transition_id AND t.version_uid = NEW.version_uid
        AND t.model_uid = NEW.model_uid AND t.target = NEW.target
        AND t.id = (SELECT MAX(n.id) FROM transitions n WHERE n.model_uid = NEW.model_uid AND n.target = NEW.target))
SAYS 'an alias moves only by its newest transition, while the gate that allowed it is in force';
RULE model_aliases_released BEFORE DELETE ON model_aliases
REFUSES NOT EXISTS (SELECT 1 FROM transitions_standing t WHERE t.version_uid IS NULL
    AND t.id = (SELECT MAX(n.id) FROM transitions n WHERE n.model_uid = OLD.model_uid AND n.target = OLD.target))
SAYS 'an alias is released only by a transition';

-- Holdings: who held a target, and when.
RULE holdings_follow BEFORE INSERT ON holdings
REFUSES NEW.until_time IS NOT NULL OR EXISTS (SELECT 1 FROM holdings h WHERE h.model_uid = NEW.model_uid AND h.target = NEW.target
    AND (h.until_time IS NULL OR h.until_time > NEW.from_time))
SAYS 'the intervals of a target do not overlap';
RULE holdings_held BEFORE INSERT ON holdings
REQUIRES EXISTS (SELECT 1 FROM targets_held h WHERE h.version_uid = NEW.version_uid AND h.model_uid = NEW.model_uid
    AND h.target = NEW.target)
SAYS 'only a version that is there holds a target';
RULE holdings_by BEFORE INSERT ON holdings
REQUIRES EXISTS (SELECT 1 FROM transitions t WHERE t.id = NEW.transition_id AND t.model_uid = NEW.model_uid
    AND (t.target = NEW.target AND (t.version_uid = NEW.version_uid OR t.version_uid IS NULL)
        OR t.from_target = NEW.target AND t.version_uid <> NEW.version_uid))
SAYS 'a holding begins by the move into the target, or by that of its last holder out of it';
RULE holdings_end_once BEFORE UPDATE ON holdings
REQUIRES OLD.until_time IS NULL AND NEW.until_time IS NOT NULL AND NEW.id = OLD.id AND NEW.model_uid = OLD.model_uid
    AND NEW.target = OLD.target AND NEW.version_uid = OLD.version_uid AND NEW.from_time = OLD.from_time
    AND NEW.transition_id = OLD.transition_id
SAYS 'a holding can only end';
RULE holdings_ended BEFORE UPDATE ON holdings
REQUIRES EXISTS (SELECT 1 FROM transitions t WHERE t.model_uid = OLD.model_uid AND t.id > OLD.transition_id
        AND (t.target = OLD.target OR t.from_target = OLD.target AND t.version_uid = OLD.version_uid))
    AND (NOT EXISTS (SELECT 1 FROM targets_held h WHERE h.model_uid = OLD.model_uid AND h.target = OLD.target AND h.version_uid = OLD.version_uid)
        OR OLD.target NOT LIKE '@%' AND EXISTS (SELECT 1 FROM targets_held h JOIN transitions t ON t.version_uid = h.version_uid
            AND t.target = h.target AND t.model_uid = h.model_uid AND t.id > OLD.transition_id
            WHERE h.model_uid = OLD.model_uid AND h.target = OLD.target AND h.version_uid <> OLD.version_uid))
SAYS 'a holding ends when its version leaves the target, or another enters it';
RULE holdings_kept BEFORE DELETE ON holdings
SAYS 'holdings are kept';
-- The names of what is promoted are remembered, whoever moves it or puts it under a gate.
RULE holdings_name AFTER INSERT ON holdings
DOES INSERT INTO promoted_names (workspace_id, canonical_name, model_uid)
    SELECT m.workspace_id, m.canonical_name, m.uid FROM registered_models m
    WHERE m.uid = NEW.model_uid AND EXISTS (SELECT 1 FROM gates_in_force f WHERE f.model_uid = m.uid AND f.target = NEW.target)
        AND NOT EXISTS (SELECT 1 FROM promoted_names p
            WHERE p.workspace_id = m.workspace_id AND p.canonical_name = m.canonical_name AND p.model_uid = m.uid);
RULE gates_name AFTER INSERT ON gates
DOES INSERT INTO promoted_names (workspace_id, canonical_name, model_uid)
    SELECT DISTINCT m.workspace_id, m.canonical_name, m.uid FROM registered_models m
    JOIN targets_held h ON h.model_uid = m.uid JOIN gates_in_force f ON f.model_uid = m.uid AND f.target = h.target
    WHERE f.gate_id = NEW.gate_id AND NOT EXISTS (SELECT 1 FROM promoted_names p
        WHERE p.workspace_id = m.workspace_id AND p.canonical_name = m.canonical_name AND p.model_uid = m.uid);
