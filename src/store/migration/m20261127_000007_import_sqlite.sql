-- An import sets a target once, as the command line, of a version that it brought, and never one that was moved here.
CREATE TRIGGER transitions_import BEFORE INSERT ON transitions
WHEN NEW.authority = 'import' AND (NEW.actor_uid <> '' OR NEW.from_target NOT IN ('', 'None')
    OR NOT EXISTS (SELECT 1 FROM import_objects i WHERE i.kind = 'model_version' AND i.here = NEW.version_uid)
    OR NEW.from_target = 'None' AND EXISTS (SELECT 1 FROM transitions t WHERE t.version_uid = NEW.version_uid AND t.target NOT LIKE '@%')
    OR NEW.target LIKE '@%' AND EXISTS (SELECT 1 FROM transitions t WHERE t.model_uid = NEW.model_uid AND t.target = NEW.target)
    OR NEW.target <> 'Archived' AND EXISTS (SELECT 1 FROM transitions t WHERE t.model_uid = NEW.model_uid AND t.target = NEW.target AND t.authority <> 'import'))
BEGIN SELECT RAISE(ABORT, 'transitions_import: an import sets a target once, and none that was moved here'); END;
CREATE TRIGGER import_objects_fixed BEFORE UPDATE ON import_objects
WHEN NEW.source <> OLD.source OR NEW.kind <> OLD.kind OR NEW.source_key <> OLD.source_key OR NEW.here <> OLD.here OR NEW.here_id <> OLD.here_id
BEGIN SELECT RAISE(ABORT, 'import_objects_fixed: what was imported as what does not change'); END;
CREATE TRIGGER import_objects_kept BEFORE DELETE ON import_objects
BEGIN SELECT RAISE(ABORT, 'import_objects_kept: what was imported is kept'); END;
-- REPLACE deletes without asking the triggers for DELETE unless recursive_triggers is on.
CREATE TRIGGER import_objects_not_replaced BEFORE INSERT ON import_objects
WHEN EXISTS (SELECT 1 FROM import_objects old WHERE old.source = NEW.source AND old.kind = NEW.kind AND old.source_key = NEW.source_key)
BEGIN SELECT RAISE(ABORT, 'import_objects_not_replaced: a row is not replaced'); END;
