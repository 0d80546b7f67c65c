CREATE TABLE transition_requests (
    uid TEXT NOT NULL PRIMARY KEY,
    model_uid TEXT NOT NULL REFERENCES registered_models (uid),
    version_uid TEXT NOT NULL REFERENCES model_versions (uid),
    target TEXT NOT NULL CHECK ({is_target}),
    state TEXT NOT NULL CHECK (state IN ('OPEN', 'APPROVED', 'REJECTED', 'CANCELLED', 'EXPIRED', 'SUPERSEDED')),
    gate_id TEXT NOT NULL,
    gate_version BIGINT NOT NULL,
    evidence_digest TEXT NOT NULL,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    expires BIGINT,
    FOREIGN KEY (gate_id, gate_version) REFERENCES gates (gate_id, version)
) {whole_row_key};
CREATE UNIQUE INDEX transition_requests_one_open ON transition_requests (version_uid, target) WHERE state = 'OPEN';
CREATE INDEX transition_requests_by_model ON transition_requests (model_uid, created);
CREATE INDEX transition_requests_by_state ON transition_requests (state, created);
CREATE INDEX transition_requests_by_expiry ON transition_requests (expires) WHERE state = 'OPEN' AND expires IS NOT NULL;
-- Each record once, by its hash, however many requests rest on it. The runs that it tells of stand beside it, because
-- whoever may not read them does not see all of it and cannot approve it.
CREATE TABLE evidence (
    digest TEXT NOT NULL PRIMARY KEY,
    record TEXT NOT NULL,
    candidate_run TEXT,
    holder_run TEXT,
    created BIGINT NOT NULL
) {whole_row_key};
CREATE TABLE request_evidence (
    request_uid TEXT NOT NULL REFERENCES transition_requests (uid),
    digest TEXT NOT NULL REFERENCES evidence (digest),
    created BIGINT NOT NULL,
    PRIMARY KEY (request_uid, digest)
) {whole_row_key};
CREATE TABLE request_requesters (
    request_uid TEXT NOT NULL REFERENCES transition_requests (uid),
    person_uid TEXT NOT NULL REFERENCES persons (uid),
    issuer_person_uid TEXT REFERENCES persons (uid),
    user_uid TEXT NOT NULL REFERENCES users (uid),
    comment TEXT NOT NULL,
    created BIGINT NOT NULL,
    withdrawn BIGINT,
    PRIMARY KEY (request_uid, person_uid)
) {whole_row_key};
CREATE INDEX request_requesters_by_person ON request_requesters (person_uid);
CREATE TABLE request_decisions (
    uid TEXT NOT NULL PRIMARY KEY,
    request_uid TEXT NOT NULL REFERENCES transition_requests (uid),
    person_uid TEXT NOT NULL REFERENCES persons (uid),
    issuer_person_uid TEXT REFERENCES persons (uid),
    user_uid TEXT NOT NULL REFERENCES users (uid),
    kind TEXT NOT NULL CHECK (kind IN ('APPROVED', 'REJECTED')),
    comment TEXT NOT NULL,
    evidence_digest TEXT NOT NULL,
    gate_version BIGINT NOT NULL,
    command_line BOOLEAN NOT NULL,
    created BIGINT NOT NULL,
    voided BIGINT,
    FOREIGN KEY (request_uid, evidence_digest) REFERENCES request_evidence (request_uid, digest)
) {whole_row_key};
-- One person counts once.
CREATE UNIQUE INDEX request_decisions_once ON request_decisions (request_uid, person_uid) WHERE voided IS NULL;
-- Who stood behind the login and the token of one who asked (then `decision_uid` is empty) or decided, at that time.
-- A maker without user and person is the command line.
CREATE TABLE request_makers (
    request_uid TEXT NOT NULL REFERENCES transition_requests (uid),
    decision_uid TEXT NOT NULL,
    person_uid TEXT NOT NULL REFERENCES persons (uid),
    deed TEXT NOT NULL CHECK (deed IN ('LOGIN', 'PASSWORD', 'TOKEN')),
    maker_user_uid TEXT NOT NULL,
    maker_person_uid TEXT NOT NULL,
    through_user_uid TEXT NOT NULL,
    PRIMARY KEY (request_uid, decision_uid, person_uid, deed, maker_user_uid, maker_person_uid, through_user_uid)
) {whole_row_key};
CREATE TABLE comments (
    uid TEXT PRIMARY KEY,
    model_uid TEXT NOT NULL REFERENCES registered_models (uid),
    version_uid TEXT NOT NULL REFERENCES model_versions (uid),
    user_uid TEXT NOT NULL,
    text TEXT NOT NULL,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    deleted BIGINT
);
CREATE INDEX comments_by_version ON comments (version_uid, created);
