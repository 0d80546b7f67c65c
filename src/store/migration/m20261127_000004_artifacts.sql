-- Bytes, immutable, under random keys of the object store. `chunks` are the SHA-256 of each MiB, one after the other,
-- so that a part of a file can be compared before it is served.
CREATE TABLE blobs (
    uid TEXT PRIMARY KEY,
    size BIGINT NOT NULL,
    sha256 TEXT NOT NULL,
    chunks {blob} NOT NULL,
    created BIGINT NOT NULL
) {whole_row_key};
CREATE TABLE run_artifacts (
    run BIGINT NOT NULL REFERENCES runs (id),
    path TEXT {bytewise} NOT NULL,
    blob_uid TEXT NOT NULL REFERENCES blobs (uid),
    PRIMARY KEY (run, path)
) {whole_row_key};
CREATE INDEX run_artifacts_by_blob ON run_artifacts (blob_uid);
CREATE TABLE logged_model_artifacts (
    model BIGINT NOT NULL REFERENCES logged_models (id),
    path TEXT {bytewise} NOT NULL,
    blob_uid TEXT NOT NULL REFERENCES blobs (uid),
    PRIMARY KEY (model, path)
) {whole_row_key};
CREATE INDEX logged_model_artifacts_by_blob ON logged_model_artifacts (blob_uid);
-- Uploads in parts that have begun. `blob_uid` is set when an upload has become a file.
CREATE TABLE uploads (
    uid TEXT PRIMARY KEY,
    created_by TEXT NOT NULL,
    -- What the token said with which it was begun; none for a password. Each part asks again whether it is good.
    claims TEXT,
    folder TEXT NOT NULL,
    file_name TEXT NOT NULL,
    parts BIGINT NOT NULL,
    blob_uid TEXT,
    created BIGINT NOT NULL
);
CREATE INDEX uploads_by_age ON uploads (created);
-- Their parts: blobs that no artifact is made of yet, and so no rows of `blobs`.
CREATE TABLE upload_parts (
    upload_uid TEXT NOT NULL REFERENCES uploads (uid),
    part BIGINT NOT NULL,
    blob_uid TEXT NOT NULL,
    size BIGINT NOT NULL,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (upload_uid, part)
);
