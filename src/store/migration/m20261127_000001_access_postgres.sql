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
