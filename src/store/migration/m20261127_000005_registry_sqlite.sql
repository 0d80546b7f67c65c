-- REPLACE deletes without asking the triggers for DELETE unless recursive_triggers is on. So a row in the way is
-- refused first, in each unique index; the store tells it as a duplicate.
CREATE TRIGGER registered_models_not_replaced BEFORE INSERT ON registered_models
WHEN EXISTS (SELECT 1 FROM registered_models old WHERE old.uid = NEW.uid
    OR old.workspace_id = NEW.workspace_id AND old.canonical_name = NEW.canonical_name AND old.deleted IS NULL AND NEW.deleted IS NULL)
BEGIN SELECT RAISE(ABORT, 'registered_models_not_replaced: a row is not replaced'); END;
CREATE TRIGGER registered_models_name_not_replaced BEFORE UPDATE ON registered_models
WHEN EXISTS (SELECT 1 FROM registered_models m WHERE m.uid <> OLD.uid
    AND m.workspace_id = NEW.workspace_id AND m.canonical_name = NEW.canonical_name AND m.deleted IS NULL AND NEW.deleted IS NULL)
BEGIN SELECT RAISE(ABORT, 'registered_models_name_not_replaced: a row is not replaced'); END;
CREATE TRIGGER promoted_names_not_replaced BEFORE INSERT ON promoted_names
WHEN EXISTS (SELECT 1 FROM promoted_names old WHERE old.workspace_id = NEW.workspace_id AND old.canonical_name = NEW.canonical_name AND old.model_uid = NEW.model_uid)
BEGIN SELECT RAISE(ABORT, 'promoted_names_not_replaced: a row is not replaced'); END;
CREATE TRIGGER gates_not_replaced BEFORE INSERT ON gates
WHEN EXISTS (SELECT 1 FROM gates old WHERE old.gate_id = NEW.gate_id AND old.version = NEW.version)
BEGIN SELECT RAISE(ABORT, 'gates_not_replaced: a row is not replaced'); END;
CREATE TRIGGER transitions_not_replaced BEFORE INSERT ON transitions
WHEN EXISTS (SELECT 1 FROM transitions old WHERE old.id = NEW.id OR old.uid = NEW.uid OR old.request_uid = NEW.request_uid)
BEGIN SELECT RAISE(ABORT, 'transitions_not_replaced: a row is not replaced'); END;
CREATE TRIGGER model_versions_not_replaced BEFORE INSERT ON model_versions
WHEN EXISTS (SELECT 1 FROM model_versions old WHERE old.uid = NEW.uid OR old.model_uid = NEW.model_uid AND old.version = NEW.version)
BEGIN SELECT RAISE(ABORT, 'model_versions_not_replaced: a row is not replaced'); END;
CREATE TRIGGER version_artifacts_not_replaced BEFORE INSERT ON version_artifacts
WHEN EXISTS (SELECT 1 FROM version_artifacts old WHERE old.version_uid = NEW.version_uid AND old.path = NEW.path)
BEGIN SELECT RAISE(ABORT, 'version_artifacts_not_replaced: a row is not replaced'); END;
CREATE TRIGGER holdings_not_replaced BEFORE INSERT ON holdings
WHEN EXISTS (SELECT 1 FROM holdings old WHERE old.id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'holdings_not_replaced: a row is not replaced'); END;
