-- The ledger only grows.
CREATE TRIGGER ledger_entries_no_update BEFORE UPDATE ON ledger_entries
BEGIN SELECT RAISE(ABORT, 'ledger_entries only grows: UPDATE is refused'); END;
CREATE TRIGGER ledger_entries_no_delete BEFORE DELETE ON ledger_entries
BEGIN SELECT RAISE(ABORT, 'ledger_entries only grows: DELETE is refused'); END;
-- As long as no checkpoint covers it, the place of a row that the server did not write goes to the row that says so.
CREATE TRIGGER ledger_positions_no_update BEFORE UPDATE ON ledger_positions
WHEN NEW.position <> OLD.position
    OR OLD.position < (SELECT COALESCE(MAX(size), 0) FROM ledger_checkpoints)
    OR NOT EXISTS (SELECT 1 FROM ledger_entries refusal WHERE refusal.id = NEW.entry
        AND refusal.action = 'stagegate.ledger.RefusedEntry' AND refusal.object_id = CAST(OLD.entry AS TEXT))
BEGIN SELECT RAISE(ABORT, 'ledger_positions only grows: UPDATE is refused'); END;
CREATE TRIGGER ledger_positions_no_delete BEFORE DELETE ON ledger_positions
BEGIN SELECT RAISE(ABORT, 'ledger_positions only grows: DELETE is refused'); END;
CREATE TRIGGER ledger_positions_without_gaps BEFORE INSERT ON ledger_positions
WHEN NEW.position <> (SELECT COALESCE(MAX(position), -1) + 1 FROM ledger_positions)
BEGIN SELECT RAISE(ABORT, 'ledger_positions only grows: positions count up without gaps'); END;
CREATE TRIGGER ledger_hashes_no_update BEFORE UPDATE ON ledger_hashes
BEGIN SELECT RAISE(ABORT, 'ledger_hashes only grows: UPDATE is refused'); END;
CREATE TRIGGER ledger_hashes_no_delete BEFORE DELETE ON ledger_hashes
BEGIN SELECT RAISE(ABORT, 'ledger_hashes only grows: DELETE is refused'); END;
CREATE TRIGGER ledger_checkpoints_no_update BEFORE UPDATE ON ledger_checkpoints
BEGIN SELECT RAISE(ABORT, 'ledger_checkpoints only grows: UPDATE is refused'); END;
CREATE TRIGGER ledger_checkpoints_no_delete BEFORE DELETE ON ledger_checkpoints
BEGIN SELECT RAISE(ABORT, 'ledger_checkpoints only grows: DELETE is refused'); END;
CREATE TRIGGER ledger_texts_no_update BEFORE UPDATE ON ledger_texts
BEGIN SELECT RAISE(ABORT, 'ledger_texts only grows: UPDATE is refused'); END;
CREATE TRIGGER ledger_texts_no_delete BEFORE DELETE ON ledger_texts
BEGIN SELECT RAISE(ABORT, 'ledger_texts only grows: DELETE is refused'); END;
CREATE TRIGGER ledger_cosignatures_no_update BEFORE UPDATE ON ledger_cosignatures
BEGIN SELECT RAISE(ABORT, 'ledger_cosignatures only grows: UPDATE is refused'); END;
CREATE TRIGGER ledger_cosignatures_no_delete BEFORE DELETE ON ledger_cosignatures
BEGIN SELECT RAISE(ABORT, 'ledger_cosignatures only grows: DELETE is refused'); END;
