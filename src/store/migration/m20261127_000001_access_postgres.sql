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
-- Makers of logins count as long as nobody vouched for the user.
CREATE FUNCTION user_makers_true() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.maker_user_uid <> '' AND NOT EXISTS (SELECT 1 FROM users k, users u WHERE k.uid = NEW.maker_user_uid AND u.uid = NEW.user_uid
        AND k.person_uid = NEW.maker_person_uid AND k.person_uid <> u.person_uid)
    OR NEW.maker_user_uid = '' AND NEW.maker_person_uid <> '' OR NEW.vouched IS NOT NULL OR NEW.vouched_by IS NOT NULL THEN
        RAISE EXCEPTION 'user_makers_true: a maker is another person, by one of its logins, and nobody has vouched yet' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER user_makers_true BEFORE INSERT ON user_makers FOR EACH ROW EXECUTE FUNCTION user_makers_true();
CREATE FUNCTION user_makers_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TRUE THEN
        RAISE EXCEPTION 'user_makers_kept: makers stay on record' USING ERRCODE = 'check_violation';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER user_makers_kept BEFORE DELETE ON user_makers FOR EACH ROW EXECUTE FUNCTION user_makers_kept();
CREATE FUNCTION user_makers_identity() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.vouched IS NOT NULL OR NEW.vouched IS NULL OR NEW.vouched_by IS NULL OR NEW.user_uid <> OLD.user_uid OR NEW.deed <> OLD.deed
    OR NEW.maker_user_uid <> OLD.maker_user_uid OR NEW.maker_person_uid <> OLD.maker_person_uid
    OR NEW.through_user_uid <> OLD.through_user_uid OR NEW.created <> OLD.created THEN
        RAISE EXCEPTION 'user_makers_identity: makers stay on record as they are, until somebody vouches' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER user_makers_identity BEFORE UPDATE ON user_makers FOR EACH ROW EXECUTE FUNCTION user_makers_identity();
CREATE FUNCTION user_makers_vouched() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM users v, users u WHERE v.uid = NEW.vouched_by AND u.uid = NEW.user_uid AND (v.person_uid = u.person_uid
        OR EXISTS (SELECT 1 FROM user_makers k WHERE k.user_uid = u.uid AND (k.vouched IS NULL OR k.vouched = NEW.vouched)
            AND (k.maker_person_uid = v.person_uid OR k.maker_person_uid <> '' AND EXISTS (SELECT 1 FROM user_makers b
                WHERE b.user_uid = v.uid AND b.vouched IS NULL AND b.maker_person_uid = k.maker_person_uid)))
        OR EXISTS (SELECT 1 FROM user_makers b WHERE b.user_uid = v.uid AND b.vouched IS NULL AND b.maker_person_uid = u.person_uid))) THEN
        RAISE EXCEPTION 'user_makers_vouched: four eyes: no maker of a login vouches for it, nor anybody behind whom a maker stands' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER user_makers_vouched BEFORE UPDATE ON user_makers FOR EACH ROW EXECUTE FUNCTION user_makers_vouched();
CREATE TRIGGER user_makers_no_truncate BEFORE TRUNCATE ON user_makers FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();
