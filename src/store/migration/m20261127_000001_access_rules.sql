-- What is lawful for users and for those who stand behind their logins. `mod.rs` makes a trigger for each engine of
-- each RULE; a rule that REQUIRES something refuses as well what is unknown (NULL).
RULE users_person BEFORE UPDATE ON users
REQUIRES NEW.uid = OLD.uid AND NEW.person_uid = OLD.person_uid
SAYS 'a user stays with its person';
RULE users_name BEFORE UPDATE ON users
REQUIRES NEW.canonical_name = OLD.canonical_name
SAYS 'a user keeps its name';
RULE users_kept BEFORE DELETE ON users
SAYS 'users are kept';

-- Makers of logins count as long as nobody vouched for the user.
RULE user_makers_true BEFORE INSERT ON user_makers
REFUSES NEW.maker_user_uid <> '' AND NOT EXISTS (SELECT 1 FROM users k, users u WHERE k.uid = NEW.maker_user_uid AND u.uid = NEW.user_uid
        AND k.person_uid = NEW.maker_person_uid AND k.person_uid <> u.person_uid)
    OR NEW.maker_user_uid = '' AND NEW.maker_person_uid <> '' OR NEW.vouched IS NOT NULL OR NEW.vouched_by IS NOT NULL
SAYS 'a maker is another person, by one of its logins, and nobody has vouched yet';
RULE user_makers_kept BEFORE DELETE ON user_makers
SAYS 'makers stay on record';
RULE user_makers_identity BEFORE UPDATE ON user_makers
REQUIRES OLD.vouched IS NULL AND NEW.vouched IS NOT NULL AND EXISTS (SELECT 1 FROM users v WHERE v.uid = NEW.vouched_by AND v.active) AND NEW.user_uid = OLD.user_uid
    AND NEW.deed = OLD.deed AND NEW.maker_user_uid = OLD.maker_user_uid AND NEW.maker_person_uid = OLD.maker_person_uid
    AND NEW.through_user_uid = OLD.through_user_uid AND NEW.created = OLD.created
SAYS 'makers stay on record as they are, until somebody vouches';
RULE user_makers_vouched BEFORE UPDATE ON user_makers
REFUSES EXISTS (SELECT 1 FROM users v, users u WHERE v.uid = NEW.vouched_by AND u.uid = NEW.user_uid AND (v.person_uid = u.person_uid
    OR EXISTS (SELECT 1 FROM user_makers k WHERE k.user_uid = u.uid AND (k.vouched IS NULL OR k.vouched = NEW.vouched)
        AND (k.maker_person_uid = v.person_uid OR k.maker_person_uid <> '' AND EXISTS (SELECT 1 FROM user_makers b
            WHERE b.user_uid = v.uid AND b.vouched IS NULL AND b.maker_person_uid = k.maker_person_uid)))
    OR EXISTS (SELECT 1 FROM user_makers b WHERE b.user_uid = v.uid AND b.vouched IS NULL AND b.maker_person_uid = u.person_uid)))
SAYS 'four eyes: no maker of a login vouches for it, nor anybody behind whom a maker stands';
