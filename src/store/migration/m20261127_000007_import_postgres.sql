CREATE TRIGGER import_objects_no_truncate BEFORE TRUNCATE ON import_objects FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();
