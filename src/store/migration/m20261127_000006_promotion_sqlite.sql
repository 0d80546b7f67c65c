-- REPLACE deletes without asking the triggers for DELETE; see the registry.
CREATE TRIGGER transition_requests_not_replaced BEFORE INSERT ON transition_requests
WHEN EXISTS (SELECT 1 FROM transition_requests old WHERE old.uid = NEW.uid OR old.state = 'OPEN' AND NEW.state = 'OPEN' AND old.version_uid = NEW.version_uid AND old.target = NEW.target)
BEGIN SELECT RAISE(ABORT, 'transition_requests_not_replaced: a row is not replaced'); END;
CREATE TRIGGER evidence_not_replaced BEFORE INSERT ON evidence
WHEN EXISTS (SELECT 1 FROM evidence old WHERE old.digest = NEW.digest
    AND (old.record <> NEW.record OR old.candidate_run IS NOT NEW.candidate_run OR old.holder_run IS NOT NEW.holder_run))
BEGIN SELECT RAISE(ABORT, 'evidence_not_replaced: a row is not replaced'); END;
CREATE TRIGGER request_requesters_not_replaced BEFORE INSERT ON request_requesters
WHEN EXISTS (SELECT 1 FROM request_requesters old WHERE old.request_uid = NEW.request_uid AND old.person_uid = NEW.person_uid)
BEGIN SELECT RAISE(ABORT, 'request_requesters_not_replaced: a row is not replaced'); END;
CREATE TRIGGER request_decisions_not_replaced BEFORE INSERT ON request_decisions
WHEN EXISTS (SELECT 1 FROM request_decisions old WHERE old.uid = NEW.uid OR old.voided IS NULL AND NEW.voided IS NULL AND old.request_uid = NEW.request_uid AND old.person_uid = NEW.person_uid)
BEGIN SELECT RAISE(ABORT, 'request_decisions_not_replaced: a row is not replaced'); END;
