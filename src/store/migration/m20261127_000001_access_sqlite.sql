CREATE TRIGGER users_person BEFORE UPDATE ON users
WHEN NEW.uid <> OLD.uid OR NEW.person_uid <> OLD.person_uid
BEGIN SELECT RAISE(ABORT, 'users_person: a user stays with its person'); END;
-- Makers of logins count as long as nobody vouched for the user.
CREATE TRIGGER user_makers_true BEFORE INSERT ON user_makers
WHEN NEW.maker_user_uid <> '' AND NOT EXISTS (SELECT 1 FROM users k, users u WHERE k.uid = NEW.maker_user_uid AND u.uid = NEW.user_uid
        AND k.person_uid = NEW.maker_person_uid AND k.person_uid <> u.person_uid)
    OR NEW.maker_user_uid = '' AND NEW.maker_person_uid <> '' OR NEW.vouched IS NOT NULL OR NEW.vouched_by IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'user_makers_true: a maker is another person, by one of its logins, and nobody has vouched yet'); END;
CREATE TRIGGER user_makers_kept BEFORE DELETE ON user_makers
BEGIN SELECT RAISE(ABORT, 'user_makers_kept: makers stay on record'); END;
CREATE TRIGGER user_makers_identity BEFORE UPDATE ON user_makers
WHEN OLD.vouched IS NOT NULL OR NEW.vouched IS NULL OR NEW.vouched_by IS NULL OR NEW.user_uid <> OLD.user_uid OR NEW.deed <> OLD.deed
    OR NEW.maker_user_uid <> OLD.maker_user_uid OR NEW.maker_person_uid <> OLD.maker_person_uid
    OR NEW.through_user_uid <> OLD.through_user_uid OR NEW.created <> OLD.created
BEGIN SELECT RAISE(ABORT, 'user_makers_identity: makers stay on record as they are, until somebody vouches'); END;
CREATE TRIGGER user_makers_vouched BEFORE UPDATE ON user_makers
WHEN EXISTS (SELECT 1 FROM users v, users u WHERE v.uid = NEW.vouched_by AND u.uid = NEW.user_uid AND (v.person_uid = u.person_uid
        OR EXISTS (SELECT 1 FROM user_makers k WHERE k.user_uid = u.uid AND (k.vouched IS NULL OR k.vouched = NEW.vouched)
            AND (k.maker_person_uid = v.person_uid OR k.maker_person_uid <> '' AND EXISTS (SELECT 1 FROM user_makers b
                WHERE b.user_uid = v.uid AND b.vouched IS NULL AND b.maker_person_uid = k.maker_person_uid)))
        OR EXISTS (SELECT 1 FROM user_makers b WHERE b.user_uid = v.uid AND b.vouched IS NULL AND b.maker_person_uid = u.person_uid)))
BEGIN SELECT RAISE(ABORT, 'user_makers_vouched: four eyes: no maker of a login vouches for it, nor anybody behind whom a maker stands'); END;
CREATE TRIGGER user_makers_not_replaced BEFORE INSERT ON user_makers
WHEN EXISTS (SELECT 1 FROM user_makers old WHERE old.user_uid = NEW.user_uid AND old.deed = NEW.deed AND old.maker_user_uid = NEW.maker_user_uid
        AND old.through_user_uid = NEW.through_user_uid AND old.created = NEW.created)
BEGIN SELECT RAISE(ABORT, 'user_makers_not_replaced: a row is not replaced'); END;
