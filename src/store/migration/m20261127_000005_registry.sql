CREATE TABLE registered_models (
    uid TEXT NOT NULL PRIMARY KEY,
    workspace_id TEXT NOT NULL,
    name TEXT NOT NULL,
    canonical_name TEXT NOT NULL,
    -- What the name looks like, as `domain/confusable.rs` makes it.
    skeleton TEXT,
    description TEXT NOT NULL,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    last_version BIGINT NOT NULL,
    deleted BIGINT,
    -- Who gave it a name under which another model held a gated target; NULL for every other name.
    name_taken_by TEXT,
    -- What is shown is what is compared; SQL cannot say the same of names beyond ASCII, which have an NFKC form.
    CONSTRAINT registered_models_shown CHECK (canonical_name = name OR {beyond_ascii})
) {whole_row_key};
-- A deleted name is free again; the deleted model keeps its uid.
CREATE UNIQUE INDEX registered_models_name ON registered_models (workspace_id, canonical_name) WHERE deleted IS NULL;
CREATE INDEX registered_models_by_looks ON registered_models (workspace_id, skeleton);
-- The orders in which objects are listed when nobody asks for another.
CREATE INDEX registered_models_by_name ON registered_models (name {bytewise}, uid {bytewise}) WHERE deleted IS NULL;
CREATE TABLE registered_model_tags (
    model_uid TEXT NOT NULL REFERENCES registered_models (uid),
    tag_key TEXT {bytewise} NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (model_uid, tag_key)
) {whole_row_key};
-- Names under which a model held a target that a gate protected. Whoever reads such a name trusts it.
CREATE TABLE promoted_names (
    workspace_id TEXT NOT NULL,
    canonical_name TEXT NOT NULL,
    model_uid TEXT NOT NULL REFERENCES registered_models (uid),
    PRIMARY KEY (workspace_id, canonical_name, model_uid)
) {whole_row_key};
-- Each change of a gate is a new row, and the newest is in force; requests and moves name the row that they were
-- made under. Which gate protects what is told by the view `gates_in_force` alone.
CREATE TABLE gates (
    gate_id TEXT NOT NULL CHECK (gate_id <> ''),
    version BIGINT NOT NULL CHECK (version >= 1),
    workspace_id TEXT NOT NULL,
    -- A stage in use, or an alias.
    target TEXT NOT NULL CHECK (target NOT IN {stages_out_of_use}),
    -- In NFKC form, as the names that it is compared with.
    model_pattern TEXT NOT NULL CHECK (LENGTH(model_pattern) BETWEEN 1 AND 256),
    approvals_required BIGINT NOT NULL CHECK (approvals_required >= 1),
    direct_moves_allowed BOOLEAN NOT NULL,
    expires_after BIGINT CHECK (expires_after > 0),
    -- A gate that is given up ends with a version that protects nothing.
    active BOOLEAN NOT NULL,
    created BIGINT NOT NULL,
    -- Empty for those that the server comes with.
    created_by TEXT NOT NULL,
    -- Whether one who asks and one who approves may have logins that the same third person made.
    common_maker_allowed BOOLEAN NOT NULL DEFAULT TRUE,
    PRIMARY KEY (gate_id, version),
    CHECK ((gate_id = 'no-gate') = (target = '')),
    CHECK (target = '' OR {is_target})
) {whole_row_key};
INSERT INTO gates (gate_id, version, workspace_id, target, model_pattern, approvals_required, direct_moves_allowed, expires_after,
                   active, created, created_by)
VALUES ('default-production', 1, 'default', 'Production', '*', 1, TRUE, NULL, TRUE, 0, ''),
-- Requests for targets that no gate protects are decided under this one, which protects nothing.
       ('no-gate', 1, 'default', '', '*', 1, TRUE, NULL, TRUE, 0, '');
-- Every move of a version to a target, or of a target to nothing, with what gave the right to it.
CREATE TABLE transitions (
    id {identity},
    uid TEXT NOT NULL UNIQUE,
    model_uid TEXT NOT NULL REFERENCES registered_models (uid),
    version_uid TEXT,
    target TEXT NOT NULL CHECK ({is_target}),
    from_target TEXT NOT NULL CHECK (from_target = '' OR from_target IN {stages}),
    authority TEXT NOT NULL CHECK (authority IN ('request', 'direct', 'consequence', 'import')),
    request_uid TEXT,
    cause BIGINT REFERENCES transitions (id),
    gate_id TEXT,
    gate_version BIGINT,
    actor_uid TEXT NOT NULL,
    actor_name TEXT NOT NULL,
    created BIGINT NOT NULL,
    FOREIGN KEY (gate_id, gate_version) REFERENCES gates (gate_id, version),
    CHECK ((authority = 'request') = (request_uid IS NOT NULL)),
    CHECK ((authority = 'consequence') = (cause IS NOT NULL)),
    UNIQUE (id, version_uid, target)
);
CREATE INDEX transitions_by_target ON transitions (model_uid, target, id);
-- One request gives the right to one move.
CREATE UNIQUE INDEX transitions_once ON transitions (request_uid) WHERE request_uid IS NOT NULL;
CREATE TABLE model_versions (
    uid TEXT NOT NULL PRIMARY KEY,
    model_uid TEXT NOT NULL REFERENCES registered_models (uid),
    version BIGINT NOT NULL CHECK (version >= 1),
    description TEXT NOT NULL,
    source TEXT NOT NULL,
    source_digest TEXT NOT NULL,
    run_id TEXT NOT NULL,
    -- They may have been removed for good since, when the version is deleted and was never promoted under a gate.
    run BIGINT,
    -- The logged model that it was made of.
    logged_model BIGINT,
    run_link TEXT NOT NULL,
    current_stage TEXT NOT NULL CHECK (current_stage IN {stages}),
    transition_id BIGINT,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    deleted BIGINT,
    -- When files, tags and description of a deleted version were removed for good.
    purged BIGINT,
    CONSTRAINT model_versions_number UNIQUE (model_uid, version),
    FOREIGN KEY (transition_id, uid, current_stage) REFERENCES transitions (id, version_uid, target)
) {whole_row_key};
CREATE INDEX model_versions_by_run ON model_versions (run);
CREATE INDEX model_versions_by_stage ON model_versions (model_uid, current_stage, version);
CREATE INDEX model_versions_by_logged_model ON model_versions (logged_model);
CREATE INDEX model_versions_by_update ON model_versions (updated DESC) WHERE deleted IS NULL;
CREATE TABLE model_version_tags (
    version_uid TEXT NOT NULL REFERENCES model_versions (uid),
    tag_key TEXT {bytewise} NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (version_uid, tag_key)
) {whole_row_key};
-- A version's own manifest over the run's blobs.
CREATE TABLE version_artifacts (
    version_uid TEXT NOT NULL REFERENCES model_versions (uid),
    path TEXT {bytewise} NOT NULL,
    blob_uid TEXT NOT NULL REFERENCES blobs (uid),
    PRIMARY KEY (version_uid, path)
) {whole_row_key};
CREATE INDEX version_artifacts_by_blob ON version_artifacts (blob_uid);
CREATE TABLE model_aliases (
    model_uid TEXT NOT NULL REFERENCES registered_models (uid),
    alias TEXT NOT NULL,
    target TEXT NOT NULL,
    version_uid TEXT NOT NULL REFERENCES model_versions (uid),
    transition_id BIGINT NOT NULL,
    PRIMARY KEY (model_uid, alias),
    CHECK (target = '@' || alias),
    FOREIGN KEY (transition_id, version_uid, target) REFERENCES transitions (id, version_uid, target)
) {whole_row_key};
CREATE INDEX model_aliases_by_version ON model_aliases (version_uid);
-- Who held a target, and when. The intervals of one target do not overlap.
CREATE TABLE holdings (
    id {identity},
    model_uid TEXT NOT NULL REFERENCES registered_models (uid),
    target TEXT NOT NULL CHECK ({is_target}),
    version_uid TEXT NOT NULL REFERENCES model_versions (uid),
    from_time BIGINT NOT NULL,
    until_time BIGINT,
    transition_id BIGINT NOT NULL REFERENCES transitions (id),
    CHECK (until_time >= from_time)
);
CREATE UNIQUE INDEX holdings_now ON holdings (model_uid, target) WHERE until_time IS NULL;
CREATE INDEX holdings_by_time ON holdings (model_uid, target, from_time);
