-- What was brought from another server, and as what it is here: an import that is run again finds its way by it.
CREATE TABLE import_objects (
    source TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('experiment', 'run', 'registered_model', 'model_version', 'alias', 'logged_model')),
    source_key TEXT NOT NULL,
    -- The id or uid here, and for runs and experiments the internal id.
    here TEXT NOT NULL,
    here_id BIGINT NOT NULL,
    -- Of what was there; empty until all of it is here. As long as a model's is empty, its first import goes on.
    fingerprint TEXT NOT NULL,
    points BIGINT NOT NULL,
    created BIGINT NOT NULL,
    PRIMARY KEY (source, kind, source_key)
) {whole_row_key};
CREATE INDEX import_objects_by_here ON import_objects (kind, here);
-- A model or version here is one object there, of one source.
CREATE UNIQUE INDEX import_objects_once ON import_objects (kind, here) WHERE kind IN ('registered_model', 'model_version');
