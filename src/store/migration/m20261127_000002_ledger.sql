CREATE TABLE ledger_entries (
    id {identity},
    entry_id TEXT NOT NULL UNIQUE,
    workspace_id TEXT NOT NULL,
    time BIGINT NOT NULL,
    actor_id TEXT NOT NULL,
    actor_name TEXT NOT NULL,
    person_id TEXT NOT NULL,
    on_behalf_of TEXT NOT NULL,
    token_id TEXT NOT NULL,
    credential TEXT NOT NULL,
    request_id TEXT NOT NULL,
    source_address TEXT NOT NULL,
    action TEXT NOT NULL,
    object_kind TEXT NOT NULL,
    object_id TEXT NOT NULL,
    object_name TEXT NOT NULL,
    scope_id TEXT NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('OK', 'DENIED')),
    reason TEXT NOT NULL,
    salt TEXT NOT NULL,
    payload TEXT,
    payload_digest TEXT NOT NULL,
    leaf_hash {blob} NOT NULL,
    -- HMAC-SHA256 of the leaf's bytes under a key derived from the master key: the server wrote this row.
    code {blob} NOT NULL
);
CREATE INDEX ledger_entries_by_scope ON ledger_entries (scope_id, id);
CREATE INDEX ledger_entries_by_object ON ledger_entries (object_id, id);
-- Which models ever bore a name.
CREATE INDEX ledger_entries_model_names ON ledger_entries (object_name, scope_id) WHERE object_kind = 'registered_model';
-- Long texts that payloads refer to by their digests, each once.
CREATE TABLE ledger_texts (
    sha256 TEXT PRIMARY KEY,
    text TEXT NOT NULL
) {whole_row_key};
-- The order of the log: positions count up from 0 without gaps.
CREATE TABLE ledger_positions (
    position {number_key} CHECK (position >= 0),
    entry BIGINT NOT NULL UNIQUE REFERENCES ledger_entries (id)
);
-- Rows that have no position yet; written with the row, so that the sequencer misses none.
CREATE TABLE ledger_pending (
    entry {number_key} REFERENCES ledger_entries (id)
);
-- The hashes of all full subtrees, in the order in which they become full.
CREATE TABLE ledger_hashes (
    idx {number_key},
    hash {blob} NOT NULL
);
CREATE TABLE ledger_checkpoints (
    size {number_key},
    note TEXT NOT NULL,
    created BIGINT NOT NULL
);
-- What witnesses answered: a line of the signed note for each.
CREATE TABLE ledger_cosignatures (
    size BIGINT NOT NULL REFERENCES ledger_checkpoints (size),
    witness TEXT NOT NULL,
    line TEXT NOT NULL,
    created BIGINT NOT NULL,
    PRIMARY KEY (size, witness)
) {whole_row_key};
