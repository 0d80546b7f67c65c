-- REPLACE deletes without asking the triggers for DELETE; see the registry.
CREATE TRIGGER import_objects_not_replaced BEFORE INSERT ON import_objects
WHEN EXISTS (SELECT 1 FROM import_objects old WHERE old.source = NEW.source AND old.kind = NEW.kind AND old.source_key = NEW.source_key
    OR old.kind = NEW.kind AND old.here = NEW.here AND old.kind IN ('registered_model', 'model_version'))
BEGIN SELECT RAISE(ABORT, 'import_objects_not_replaced: a row is not replaced'); END;
