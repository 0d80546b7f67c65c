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
    param_key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (model, param_key)
) {whole_row_key};
CREATE TABLE logged_model_tags (
    model BIGINT NOT NULL REFERENCES logged_models (id),
    tag_key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (model, tag_key)
) {whole_row_key};
-- The latest value of each metric on each data set; the empty one stands for none. All points are among
-- those of the runs that logged them.
CREATE TABLE logged_model_metrics (
    model BIGINT NOT NULL REFERENCES logged_models (id),
    metric BIGINT NOT NULL,
    dataset_name TEXT NOT NULL,
    dataset_digest TEXT NOT NULL,
    run BIGINT NOT NULL REFERENCES runs (id),
    step BIGINT NOT NULL,
    time BIGINT NOT NULL,
    value BIGINT NOT NULL,
    PRIMARY KEY (model, metric, dataset_name, dataset_digest)
) {whole_row_key};
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
CREATE TABLE logged_model_artifacts (
    model BIGINT NOT NULL REFERENCES logged_models (id),
    path TEXT {bytewise} NOT NULL,
    blob_uid TEXT NOT NULL REFERENCES blobs (uid),
    PRIMARY KEY (model, path)
) {whole_row_key};
CREATE INDEX logged_model_artifacts_by_blob ON logged_model_artifacts (blob_uid);
-- The logged model that a version was made of.
ALTER TABLE model_versions ADD COLUMN logged_model BIGINT REFERENCES logged_models (id);
CREATE INDEX model_versions_by_logged_model ON model_versions (logged_model);
