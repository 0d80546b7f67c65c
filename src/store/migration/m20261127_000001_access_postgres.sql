CREATE FUNCTION users_person() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.uid <> OLD.uid OR NEW.person_uid <> OLD.person_uid THEN
        RAISE EXCEPTION 'users_person: a user stays with its person' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER users_person BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION users_person();
-- TRUNCATE asks no trigger for DELETE.
CREATE FUNCTION refuse_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is not emptied', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE FUNCTION users_name() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.canonical_name IS DISTINCT FROM OLD.canonical_name THEN
        RAISE EXCEPTION 'users_name: a user keeps its name' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER users_name BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION users_name();
CREATE FUNCTION users_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'users_kept: users are kept' USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER users_kept BEFORE DELETE ON users FOR EACH ROW EXECUTE FUNCTION users_kept();
CREATE TRIGGER users_no_truncate BEFORE TRUNCATE ON users FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();
