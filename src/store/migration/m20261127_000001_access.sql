-- Times are Unix milliseconds. A uid is 32 hexadecimal digits, immutable and never given twice.
CREATE TABLE settings (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
-- One row; every change of access raises it.
CREATE TABLE access_epoch (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    epoch BIGINT NOT NULL
);
INSERT INTO access_epoch (id, epoch) VALUES (1, 1);
-- Private keys and secrets, sealed under the master key. `mac` authenticates all other columns under it: a row that
-- was written or changed without the master key is not used.
CREATE TABLE secret_keys (
    key_id TEXT PRIMARY KEY,
    purpose TEXT NOT NULL CHECK (purpose IN ('token', 'ledger', 'page_token')),
    public_key TEXT NOT NULL,
    sealed {blob} NOT NULL,
    created BIGINT NOT NULL,
    retired BIGINT,
    mac {blob} NOT NULL
);
CREATE TABLE persons (
    uid TEXT PRIMARY KEY,
    created BIGINT NOT NULL
);
CREATE TABLE users (
    uid TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    canonical_name TEXT NOT NULL UNIQUE,
    display_name TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('PERSON', 'SERVICE_ACCOUNT')),
    person_uid TEXT NOT NULL REFERENCES persons (uid),
    password_hash TEXT,
    active BOOLEAN NOT NULL,
    created BIGINT NOT NULL,
    -- Somebody else set the password: it can only be changed.
    password_temporary BOOLEAN NOT NULL DEFAULT FALSE,
    -- Counts what ended the credentials before it: a new password, a deactivation.
    generation BIGINT NOT NULL DEFAULT 0,
    CHECK (kind = 'PERSON' OR password_hash IS NULL)
) {whole_row_key};
-- Who stood behind it when a login was made or its password set. A maker without user and person is the command line;
-- one with a `through_user_uid` stood behind that login when it did it. Makers count until somebody else vouches.
CREATE TABLE user_makers (
    user_uid TEXT NOT NULL REFERENCES users (uid),
    deed TEXT NOT NULL CHECK (deed IN ('LOGIN', 'PASSWORD')),
    maker_user_uid TEXT NOT NULL,
    maker_person_uid TEXT NOT NULL,
    through_user_uid TEXT NOT NULL,
    created BIGINT NOT NULL,
    vouched BIGINT,
    vouched_by TEXT REFERENCES users (uid),
    PRIMARY KEY (user_uid, deed, maker_user_uid, through_user_uid, created)
) {whole_row_key};
CREATE INDEX user_makers_in_force ON user_makers (user_uid) WHERE vouched IS NULL;
CREATE TABLE user_groups (
    uid TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    canonical_name TEXT NOT NULL UNIQUE,
    created BIGINT NOT NULL
);
CREATE TABLE group_members (
    group_uid TEXT NOT NULL REFERENCES user_groups (uid),
    user_uid TEXT NOT NULL REFERENCES users (uid),
    PRIMARY KEY (group_uid, user_uid)
);
CREATE TABLE personas (
    name TEXT PRIMARY KEY,
    permissions TEXT NOT NULL,
    created BIGINT NOT NULL
);
CREATE TABLE grants (
    uid TEXT PRIMARY KEY,
    principal_kind TEXT NOT NULL CHECK (principal_kind IN ('USER', 'GROUP')),
    principal_uid TEXT NOT NULL,
    persona TEXT NOT NULL,
    scope_kind TEXT NOT NULL CHECK (scope_kind IN ('SERVER', 'EXPERIMENT', 'MODEL', 'EXPERIMENTS', 'MODELS')),
    scope_value TEXT NOT NULL,
    targets TEXT NOT NULL,
    effect TEXT NOT NULL CHECK (effect IN ('ALLOW', 'DENY')),
    created BIGINT NOT NULL,
    created_by TEXT NOT NULL
);
CREATE INDEX grants_by_principal ON grants (principal_uid);
CREATE TABLE tokens (
    token_id TEXT PRIMARY KEY,
    user_uid TEXT NOT NULL REFERENCES users (uid),
    description TEXT NOT NULL,
    origin TEXT NOT NULL CHECK (origin IN ('SIGN_IN', 'API', 'COMMAND_LINE')),
    issued_by TEXT,
    -- The token that it was made with, which it does not outlive.
    parent_id TEXT REFERENCES tokens (token_id),
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    last_used BIGINT,
    revoked BIGINT,
    permissions TEXT NOT NULL,
    model_pattern TEXT,
    experiment_pattern TEXT
);
CREATE INDEX tokens_by_user ON tokens (user_uid, created);
CREATE INDEX tokens_by_maker ON tokens (issued_by);
CREATE INDEX tokens_by_parent ON tokens (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX tokens_revoked ON tokens (expires) WHERE revoked IS NOT NULL;
-- First answers to calls with an idempotency key.
CREATE TABLE idempotent_answers (
    user_uid TEXT NOT NULL,
    action TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    request_digest TEXT NOT NULL,
    answer {blob} NOT NULL,
    created BIGINT NOT NULL,
    PRIMARY KEY (user_uid, action, idempotency_key)
);
CREATE INDEX idempotent_answers_by_age ON idempotent_answers (created);
-- What each user and service account stored on each day, counted from 1970-01-01; for quotas.
CREATE TABLE usage_by_day (
    user_uid TEXT NOT NULL,
    day BIGINT NOT NULL,
    ledger_rows BIGINT NOT NULL,
    database_bytes BIGINT NOT NULL,
    artifact_bytes BIGINT NOT NULL,
    PRIMARY KEY (user_uid, day)
) {whole_row_key};
CREATE INDEX usage_by_age ON usage_by_day (day);
