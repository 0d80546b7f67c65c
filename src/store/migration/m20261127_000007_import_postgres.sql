-- An import sets a target once, as the command line, of a version that it brought, and never one that was moved here.
CREATE FUNCTION transitions_import() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.authority = 'import' AND (NEW.actor_uid <> '' OR NEW.from_target NOT IN ('', 'None')
        OR NOT EXISTS (SELECT 1 FROM import_objects i WHERE i.kind = 'model_version' AND i.here = NEW.version_uid)
        OR NEW.from_target = 'None' AND EXISTS (SELECT 1 FROM transitions t WHERE t.version_uid = NEW.version_uid AND t.target NOT LIKE '@%')
        OR NEW.target LIKE '@%' AND EXISTS (SELECT 1 FROM transitions t WHERE t.model_uid = NEW.model_uid AND t.target = NEW.target)
        OR NEW.target <> 'Archived' AND EXISTS (SELECT 1 FROM transitions t WHERE t.model_uid = NEW.model_uid AND t.target = NEW.target AND t.authority <> 'import')) THEN
        RAISE EXCEPTION 'transitions_import: an import sets a target once, and none that was moved here' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER transitions_import BEFORE INSERT ON transitions FOR EACH ROW EXECUTE FUNCTION transitions_import();
CREATE FUNCTION import_objects_fixed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.source, NEW.kind, NEW.source_key, NEW.here, NEW.here_id) <> (OLD.source, OLD.kind, OLD.source_key, OLD.here, OLD.here_id) THEN
        RAISE EXCEPTION 'import_objects_fixed: what was imported as what does not change' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER import_objects_fixed BEFORE UPDATE ON import_objects FOR EACH ROW EXECUTE FUNCTION import_objects_fixed();
CREATE FUNCTION import_objects_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'import_objects_kept: what was imported is kept' USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER import_objects_kept BEFORE DELETE ON import_objects FOR EACH ROW EXECUTE FUNCTION import_objects_kept();
CREATE TRIGGER import_objects_no_truncate BEFORE TRUNCATE ON import_objects FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();
