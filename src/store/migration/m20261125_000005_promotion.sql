-- One request gives the right to one move.
CREATE UNIQUE INDEX transitions_once ON transitions (request_uid) WHERE request_uid IS NOT NULL;
CREATE INDEX transition_requests_by_expiry ON transition_requests (expires) WHERE state = 'OPEN' AND expires IS NOT NULL;
