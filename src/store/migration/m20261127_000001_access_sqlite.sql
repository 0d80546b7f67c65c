CREATE TRIGGER users_person BEFORE UPDATE ON users
WHEN NEW.uid <> OLD.uid OR NEW.person_uid <> OLD.person_uid
BEGIN SELECT RAISE(ABORT, 'users_person: a user stays with its person'); END;
