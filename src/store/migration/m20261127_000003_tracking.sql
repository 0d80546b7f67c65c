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
CREATE INDEX experiments_by_creation ON experiments (created DESC, id);
CREATE TABLE experiment_tags (
    experiment BIGINT NOT NULL REFERENCES experiments (id),
    tag_key TEXT {bytewise} NOT NULL,
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
    -- When it was deleted, itself or with its experiment.
    deleted_time BIGINT,
    created_by TEXT NOT NULL
);
CREATE INDEX runs_by_deletion ON runs (deleted_time, id) WHERE deleted_time IS NOT NULL;
-- Runs that were removed for good, and of which metric points may be left: those go piece by piece.
CREATE TABLE purged_runs (
    run {number_key}
);
CREATE INDEX runs_by_start ON runs (experiment, active, start_time DESC, run_id);
CREATE TABLE metric_keys (
    id {identity},
    name TEXT {bytewise} NOT NULL UNIQUE
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
    param_key TEXT {bytewise} NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (run, param_key)
) {whole_row_key};
CREATE TABLE run_tags (
    run BIGINT NOT NULL,
    tag_key TEXT {bytewise} NOT NULL,
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
    -- In the order in which the run logged them.
    place BIGINT NOT NULL,
    PRIMARY KEY (run, dataset)
) {whole_row_key};
CREATE TABLE run_input_tags (
    run BIGINT NOT NULL,
    dataset BIGINT NOT NULL,
    tag_key TEXT {bytewise} NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (run, dataset, tag_key)
) {whole_row_key};
CREATE TABLE logged_models (
    id {identity},
    model_id TEXT NOT NULL UNIQUE,
    experiment BIGINT NOT NULL REFERENCES experiments (id),
    name TEXT NOT NULL,
    model_type TEXT NOT NULL,
    source_run BIGINT REFERENCES runs (id),
    status INTEGER NOT NULL,
    active BOOLEAN NOT NULL,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    created_by TEXT NOT NULL
);
CREATE INDEX logged_models_by_creation ON logged_models (experiment, active, created DESC, model_id);
CREATE INDEX logged_models_by_run ON logged_models (source_run);
CREATE TABLE logged_model_params (
    model BIGINT NOT NULL REFERENCES logged_models (id),
    param_key TEXT {bytewise} NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (model, param_key)
) {whole_row_key};
CREATE TABLE logged_model_tags (
    model BIGINT NOT NULL REFERENCES logged_models (id),
    tag_key TEXT {bytewise} NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (model, tag_key)
) {whole_row_key};
-- What runs logged about a model, each point with the run and the user that logged it; the empty data set stands for none,
-- the empty user for one of an import. All points are among those of their runs. Whoever may read a model may log about
-- it, so nothing that is decided about the model is read here.
CREATE TABLE logged_model_metrics (
    model BIGINT NOT NULL REFERENCES logged_models (id),
    metric BIGINT NOT NULL,
    time BIGINT NOT NULL,
    step BIGINT NOT NULL,
    run BIGINT NOT NULL REFERENCES runs (id),
    dataset_name TEXT NOT NULL,
    dataset_digest TEXT NOT NULL,
    value BIGINT NOT NULL,
    logged_by TEXT NOT NULL,
    PRIMARY KEY (model, metric, time, step, run, dataset_name, dataset_digest, value)
) {whole_row_key};
CREATE INDEX logged_model_metrics_by_run ON logged_model_metrics (run);
CREATE TABLE run_model_inputs (
    run BIGINT NOT NULL REFERENCES runs (id),
    model BIGINT NOT NULL REFERENCES logged_models (id),
    PRIMARY KEY (run, model)
) {whole_row_key};
CREATE TABLE run_model_outputs (
    run BIGINT NOT NULL REFERENCES runs (id),
    model BIGINT NOT NULL REFERENCES logged_models (id),
    step BIGINT NOT NULL,
    PRIMARY KEY (run, model)
) {whole_row_key};
