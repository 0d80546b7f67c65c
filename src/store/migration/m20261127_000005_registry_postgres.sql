-- Triggers see what is committed: of two transactions at once neither would see the other's row. So that one waits
-- for the other, each locks its model first. Triggers fire in the order of their names.
CREATE FUNCTION lock_model() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM registered_models m WHERE m.uid = NEW.model_uid FOR UPDATE;
    RETURN NEW;
END $$;
CREATE TRIGGER holdings_alone BEFORE INSERT ON holdings FOR EACH ROW EXECUTE FUNCTION lock_model();
CREATE TRIGGER model_versions_alone BEFORE UPDATE ON model_versions FOR EACH ROW
WHEN (NEW.current_stage IS DISTINCT FROM OLD.current_stage) EXECUTE FUNCTION lock_model();
CREATE TRIGGER transitions_alone BEFORE INSERT ON transitions FOR EACH ROW EXECUTE FUNCTION lock_model();
CREATE TRIGGER registered_models_no_truncate BEFORE TRUNCATE ON registered_models FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();
CREATE TRIGGER promoted_names_no_truncate BEFORE TRUNCATE ON promoted_names FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();
CREATE TRIGGER gates_no_truncate BEFORE TRUNCATE ON gates FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();
CREATE TRIGGER transitions_no_truncate BEFORE TRUNCATE ON transitions FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();
CREATE TRIGGER model_versions_no_truncate BEFORE TRUNCATE ON model_versions FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();
CREATE TRIGGER version_artifacts_no_truncate BEFORE TRUNCATE ON version_artifacts FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();
CREATE TRIGGER model_aliases_no_truncate BEFORE TRUNCATE ON model_aliases FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();
CREATE TRIGGER holdings_no_truncate BEFORE TRUNCATE ON holdings FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();
