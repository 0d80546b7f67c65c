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
-- REPLACE deletes without asking the triggers for DELETE unless recursive_triggers is on.
CREATE TRIGGER ledger_entries_not_replaced BEFORE INSERT ON ledger_entries
WHEN EXISTS (SELECT 1 FROM ledger_entries old WHERE old.id = NEW.id OR old.entry_id = NEW.entry_id)
BEGIN SELECT RAISE(ABORT, 'ledger_entries only grows: REPLACE is refused'); END;
CREATE TRIGGER ledger_positions_not_replaced BEFORE INSERT ON ledger_positions
WHEN EXISTS (SELECT 1 FROM ledger_positions old WHERE old.position = NEW.position OR old.entry = NEW.entry)
BEGIN SELECT RAISE(ABORT, 'ledger_positions only grows: REPLACE is refused'); END;
CREATE TRIGGER ledger_hashes_not_replaced BEFORE INSERT ON ledger_hashes
WHEN EXISTS (SELECT 1 FROM ledger_hashes old WHERE old.idx = NEW.idx)
BEGIN SELECT RAISE(ABORT, 'ledger_hashes only grows: REPLACE is refused'); END;
CREATE TRIGGER ledger_checkpoints_not_replaced BEFORE INSERT ON ledger_checkpoints
WHEN EXISTS (SELECT 1 FROM ledger_checkpoints old WHERE old.size = NEW.size)
BEGIN SELECT RAISE(ABORT, 'ledger_checkpoints only grows: REPLACE is refused'); END;
CREATE TRIGGER ledger_cosignatures_no_update BEFORE UPDATE ON ledger_cosignatures
BEGIN SELECT RAISE(ABORT, 'ledger_cosignatures only grows: UPDATE is refused'); END;
CREATE TRIGGER ledger_cosignatures_no_delete BEFORE DELETE ON ledger_cosignatures
BEGIN SELECT RAISE(ABORT, 'ledger_cosignatures only grows: DELETE is refused'); END;
