-- The ledger only grows.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% only grows: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER ledger_entries_only_grows BEFORE UPDATE OR DELETE ON ledger_entries
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ledger_entries_no_truncate BEFORE TRUNCATE ON ledger_entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ledger_positions_only_grows BEFORE DELETE ON ledger_positions
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
-- As long as no checkpoint covers it, the place of a row that the server did not write goes to the row that says so.
CREATE FUNCTION refuse_move_of_entry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.position <> OLD.position
        OR OLD.position < (SELECT COALESCE(MAX(size), 0) FROM ledger_checkpoints)
        OR NOT EXISTS (SELECT 1 FROM ledger_entries refusal WHERE refusal.id = NEW.entry
            AND refusal.action = 'stagegate.ledger.RefusedEntry' AND refusal.object_id = CAST(OLD.entry AS TEXT))
    THEN
        RAISE EXCEPTION 'ledger_positions only grows: UPDATE is refused' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER ledger_positions_no_update BEFORE UPDATE ON ledger_positions
    FOR EACH ROW EXECUTE FUNCTION refuse_move_of_entry();
CREATE FUNCTION refuse_gap() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.position <> (SELECT COALESCE(MAX(position), -1) + 1 FROM ledger_positions) THEN
        RAISE EXCEPTION 'ledger_positions only grows: positions count up without gaps' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER ledger_positions_without_gaps BEFORE INSERT ON ledger_positions
    FOR EACH ROW EXECUTE FUNCTION refuse_gap();
CREATE TRIGGER ledger_positions_no_truncate BEFORE TRUNCATE ON ledger_positions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ledger_hashes_only_grows BEFORE UPDATE OR DELETE ON ledger_hashes
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ledger_hashes_no_truncate BEFORE TRUNCATE ON ledger_hashes
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ledger_checkpoints_only_grows BEFORE UPDATE OR DELETE ON ledger_checkpoints
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ledger_checkpoints_no_truncate BEFORE TRUNCATE ON ledger_checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ledger_texts_only_grows BEFORE UPDATE OR DELETE ON ledger_texts
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ledger_texts_no_truncate BEFORE TRUNCATE ON ledger_texts
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ledger_cosignatures_only_grows BEFORE UPDATE OR DELETE ON ledger_cosignatures
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ledger_cosignatures_no_truncate BEFORE TRUNCATE ON ledger_cosignatures
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ledger_pending_no_truncate BEFORE TRUNCATE ON ledger_pending
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
