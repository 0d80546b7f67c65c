CREATE TRIGGER users_person BEFORE UPDATE ON users
WHEN NEW.uid IS NOT OLD.uid OR NEW.person_uid IS NOT OLD.person_uid
BEGIN SELECT RAISE(ABORT, 'users_person: a user stays with its person'); END;
CREATE TRIGGER users_name BEFORE UPDATE ON users
WHEN NEW.canonical_name IS NOT OLD.canonical_name
BEGIN SELECT RAISE(ABORT, 'users_name: a user keeps its name'); END;
CREATE TRIGGER users_kept BEFORE DELETE ON users
BEGIN SELECT RAISE(ABORT, 'users_kept: users are kept'); END;
-- REPLACE deletes without asking the trigger for DELETE: a user would come back as another person.
CREATE TRIGGER users_not_replaced BEFORE INSERT ON users
WHEN EXISTS (SELECT 1 FROM users old WHERE old.uid = NEW.uid OR old.canonical_name = NEW.canonical_name)
BEGIN SELECT RAISE(ABORT, 'users_not_replaced: a row is not replaced'); END;
