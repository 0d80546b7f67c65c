-- Triggers see what is committed: of two transactions at once neither would see the other's row. So that one
-- waits for the other, each locks first what the rows belong to. Triggers fire in the order of their names.
CREATE FUNCTION lock_request() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM transition_requests r WHERE r.uid = NEW.request_uid FOR UPDATE;
    RETURN NEW;
END $$;
CREATE TRIGGER request_requesters_alone BEFORE INSERT OR UPDATE ON request_requesters FOR EACH ROW EXECUTE FUNCTION lock_request();
CREATE TRIGGER request_makers_alone BEFORE INSERT ON request_makers FOR EACH ROW EXECUTE FUNCTION lock_request();
CREATE TRIGGER request_decisions_alone BEFORE INSERT OR UPDATE ON request_decisions FOR EACH ROW EXECUTE FUNCTION lock_request();
CREATE TRIGGER transition_requests_alone BEFORE INSERT ON transition_requests FOR EACH ROW EXECUTE FUNCTION lock_model();
-- A gate is judged by what is held and asked for: what moves or is filed at the same time is waited for.
CREATE FUNCTION lock_moves() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    LOCK TABLE transitions, transition_requests IN SHARE ROW EXCLUSIVE MODE;
    RETURN NEW;
END $$;
CREATE TRIGGER gates_alone BEFORE INSERT ON gates FOR EACH ROW EXECUTE FUNCTION lock_moves();
CREATE TRIGGER transition_requests_no_truncate BEFORE TRUNCATE ON transition_requests FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();
CREATE TRIGGER request_evidence_no_truncate BEFORE TRUNCATE ON request_evidence FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();
CREATE TRIGGER evidence_no_truncate BEFORE TRUNCATE ON evidence FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();
CREATE TRIGGER request_requesters_no_truncate BEFORE TRUNCATE ON request_requesters FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();
CREATE TRIGGER request_decisions_no_truncate BEFORE TRUNCATE ON request_decisions FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();
CREATE TRIGGER request_makers_no_truncate BEFORE TRUNCATE ON request_makers FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();
