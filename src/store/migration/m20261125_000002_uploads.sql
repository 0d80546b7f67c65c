-- Uploads in parts that have begun. `blob_uid` is set when an upload has become a file.
CREATE TABLE uploads (
    uid TEXT PRIMARY KEY,
    created_by TEXT NOT NULL,
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
