-- What an import may do past the rules of promotion, and that it stays on record.

-- The rows of an import are written with what they speak of: never later, and never for what was made here.
RULE import_objects_new BEFORE INSERT ON import_objects
REQUIRES CASE NEW.kind
    WHEN 'registered_model' THEN NEW.fingerprint = '' AND EXISTS (
            SELECT 1 FROM registered_models m WHERE m.uid = NEW.here AND m.created_by = '' AND m.deleted IS NULL)
        AND NOT EXISTS (SELECT 1 FROM model_versions v WHERE v.model_uid = NEW.here)
    WHEN 'model_version' THEN EXISTS (SELECT 1 FROM model_versions v
            JOIN import_objects m ON m.kind = 'registered_model' AND m.here = v.model_uid AND m.source = NEW.source
            WHERE v.uid = NEW.here AND v.created_by = '' AND v.deleted IS NULL
                AND NEW.source_key = m.source_key || '/' || CAST(v.version AS TEXT))
        AND NOT EXISTS (SELECT 1 FROM transitions t WHERE t.version_uid = NEW.here)
        AND NOT EXISTS (SELECT 1 FROM transition_requests r WHERE r.version_uid = NEW.here)
    WHEN 'alias' THEN EXISTS (SELECT 1 FROM transitions t WHERE t.id = NEW.here_id AND t.version_uid = NEW.here AND t.authority = 'import')
    ELSE TRUE END
SAYS 'the row of an import comes with what it brings';
RULE import_objects_fixed BEFORE UPDATE ON import_objects
REQUIRES NEW.source = OLD.source AND NEW.kind = OLD.kind AND NEW.source_key = OLD.source_key AND NEW.here = OLD.here
    AND NEW.here_id = OLD.here_id AND (NEW.kind <> 'registered_model' OR OLD.fingerprint = '' OR NEW.fingerprint = OLD.fingerprint)
SAYS 'what was imported as what does not change, and a first import ends once';
RULE import_objects_kept BEFORE DELETE ON import_objects
REFUSES CASE OLD.kind
    WHEN 'run' THEN EXISTS (SELECT 1 FROM runs r WHERE r.id = OLD.here_id)
    WHEN 'logged_model' THEN EXISTS (SELECT 1 FROM logged_models g WHERE g.id = OLD.here_id)
    WHEN 'experiment' THEN EXISTS (SELECT 1 FROM experiments x WHERE x.id = OLD.here_id)
    ELSE TRUE END
SAYS 'what was imported is kept';
-- Stages and aliases come with a model's first import, once, as long as nobody has moved a version of it here.
RULE transitions_import BEFORE INSERT ON transitions
REQUIRES NEW.authority <> 'import' OR NEW.actor_uid = '' AND NEW.from_target IN ('', 'None')
    AND EXISTS (SELECT 1 FROM import_objects m JOIN import_objects v ON v.source = m.source AND v.kind = 'model_version'
        WHERE m.kind = 'registered_model' AND m.here = NEW.model_uid AND m.fingerprint = '' AND v.here = NEW.version_uid)
    AND NOT EXISTS (SELECT 1 FROM transitions t WHERE t.model_uid = NEW.model_uid AND t.authority IN ('request', 'direct'))
    AND CASE WHEN NEW.target LIKE '@%'
        THEN NOT EXISTS (SELECT 1 FROM transitions t WHERE t.model_uid = NEW.model_uid AND t.target = NEW.target)
        ELSE NOT EXISTS (SELECT 1 FROM transitions t WHERE t.model_uid = NEW.model_uid AND t.version_uid = NEW.version_uid
            AND t.target NOT LIKE '@%') END
SAYS 'an import sets a target with the first import of its model, once, before anything is moved here';
