-- REPLACE deletes without asking the trigger for DELETE: a user would come back as another person.
CREATE TRIGGER users_not_replaced BEFORE INSERT ON users
WHEN EXISTS (SELECT 1 FROM users old WHERE old.uid = NEW.uid OR old.canonical_name = NEW.canonical_name)
BEGIN SELECT RAISE(ABORT, 'users_not_replaced: a row is not replaced'); END;
CREATE TRIGGER user_makers_not_replaced BEFORE INSERT ON user_makers
WHEN EXISTS (SELECT 1 FROM user_makers old WHERE old.user_uid = NEW.user_uid AND old.deed = NEW.deed AND old.maker_user_uid = NEW.maker_user_uid
        AND old.through_user_uid = NEW.through_user_uid AND old.created = NEW.created)
BEGIN SELECT RAISE(ABORT, 'user_makers_not_replaced: a row is not replaced'); END;
