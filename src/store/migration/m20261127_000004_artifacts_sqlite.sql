-- REPLACE deletes without asking the triggers for DELETE; see the registry.
CREATE TRIGGER blobs_not_replaced BEFORE INSERT ON blobs
WHEN EXISTS (SELECT 1 FROM blobs old WHERE old.uid = NEW.uid)
BEGIN SELECT RAISE(ABORT, 'blobs_not_replaced: a row is not replaced'); END;
