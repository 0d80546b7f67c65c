CREATE TABLE experiments (
    id {identity},
    workspace_id TEXT NOT NULL,
    name TEXT NOT NULL,
    canonical_name TEXT NOT NULL,
    active BOOLEAN NOT NULL,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    CONSTRAINT experiments_name UNIQUE (workspace_id, canonical_name)
);
CREATE TABLE experiment_tags (
    experiment BIGINT NOT NULL REFERENCES experiments (id),
    tag_key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (experiment, tag_key)
) {whole_row_key};
CREATE TABLE runs (
    id {identity},
    run_id TEXT NOT NULL UNIQUE,
    experiment BIGINT NOT NULL REFERENCES experiments (id),
    name TEXT NOT NULL,
    user_id TEXT NOT NULL,
    status INTEGER NOT NULL,
    start_time BIGINT NOT NULL,
    end_time BIGINT,
    active BOOLEAN NOT NULL,
    created_by TEXT NOT NULL
);
CREATE INDEX runs_by_start ON runs (experiment, active, start_time DESC, run_id);
CREATE TABLE metric_keys (
    id {identity},
    name TEXT NOT NULL UNIQUE
);
-- The bulk. The whole row is the key, so that an identical point is stored once, and it lies in the
-- order in which a history is read. Values are in their sortable integer form.
CREATE TABLE metrics (
    run BIGINT NOT NULL,
    metric BIGINT NOT NULL,
    time BIGINT NOT NULL,
    step BIGINT NOT NULL,
    value BIGINT NOT NULL,
    PRIMARY KEY (run, metric, time, step, value)
) {whole_row_key};
CREATE TABLE latest_metrics (
    run BIGINT NOT NULL,
    metric BIGINT NOT NULL,
    experiment BIGINT NOT NULL,
    step BIGINT NOT NULL,
    time BIGINT NOT NULL,
    value BIGINT NOT NULL,
    PRIMARY KEY (run, metric)
) {whole_row_key};
CREATE INDEX latest_metrics_by_value ON latest_metrics (experiment, metric, value, run);
CREATE TABLE params (
    run BIGINT NOT NULL,
    param_key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (run, param_key)
) {whole_row_key};
CREATE TABLE run_tags (
    run BIGINT NOT NULL,
    tag_key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (run, tag_key)
) {whole_row_key};
CREATE TABLE datasets (
    id {identity},
    experiment BIGINT NOT NULL,
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    source_type TEXT NOT NULL,
    source TEXT NOT NULL,
    dataset_schema TEXT,
    profile TEXT,
    CONSTRAINT datasets_identity UNIQUE (experiment, name, digest)
);
CREATE TABLE run_inputs (
    run BIGINT NOT NULL,
    dataset BIGINT NOT NULL,
    PRIMARY KEY (run, dataset)
) {whole_row_key};
CREATE TABLE run_input_tags (
    run BIGINT NOT NULL,
    dataset BIGINT NOT NULL,
    tag_key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (run, dataset, tag_key)
) {whole_row_key};
-- Bytes, immutable, under random keys of the object store.
CREATE TABLE blobs (
    uid TEXT PRIMARY KEY,
    size BIGINT NOT NULL,
    sha256 TEXT NOT NULL,
    created BIGINT NOT NULL
);
CREATE TABLE run_artifacts (
    run BIGINT NOT NULL REFERENCES runs (id),
    path TEXT {bytewise} NOT NULL,
    blob_uid TEXT NOT NULL REFERENCES blobs (uid),
    PRIMARY KEY (run, path)
) {whole_row_key};
CREATE INDEX run_artifacts_by_blob ON run_artifacts (blob_uid);
