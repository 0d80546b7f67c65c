-- What is lawful for rows that wait for their position. See the rules of access for how they are written.

-- Whoever writes a row, it waits from then on, so that none is passed over.
RULE ledger_entries_wait AFTER INSERT ON ledger_entries
DOES INSERT INTO ledger_pending (entry) SELECT NEW.id WHERE NOT EXISTS (SELECT 1 FROM ledger_pending w WHERE w.entry = NEW.id);
RULE ledger_pending_fixed BEFORE UPDATE ON ledger_pending
SAYS 'a row waits until it has its position';
RULE ledger_pending_kept BEFORE DELETE ON ledger_pending
REQUIRES EXISTS (SELECT 1 FROM ledger_positions p WHERE p.entry = OLD.entry)
    OR NOT EXISTS (SELECT 1 FROM ledger_entries e WHERE e.id = OLD.entry)
    OR EXISTS (SELECT 1 FROM ledger_entries r WHERE r.object_id = CAST(OLD.entry AS TEXT) AND r.action = 'stagegate.ledger.RefusedEntry')
SAYS 'a row waits until it has its position, or a row that says why it gets none';
